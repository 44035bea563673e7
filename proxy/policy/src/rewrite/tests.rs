//! Targets and locations, by table.

use gnomon_config::model::Regex;

use super::*;
use crate::testing::{Parsed, route};

fn check(rewrite: Rewrite, matches: &str, url: &str, expected: &str) {
    let mut route = route(&format!("r: {matches}"));
    route.rewrite = rewrite;
    let (parsed, mut out) = (Parsed::new(&format!("GET {url}")), vec![]);
    let target = rewrite_target(&route, parsed.request(), &mut out);
    assert_eq!(target == Target::Kept, expected.is_empty(), "{url}");
    assert_eq!(std::str::from_utf8(&out).unwrap(), expected, "{url}");
    assert!(out.is_empty() || gnomon_wire::is_origin_form(&out), "{expected}");
}

fn regex(pattern: &str) -> Regex {
    Regex(regex::bytes::Regex::new(pattern).unwrap())
}

#[test]
fn targets() {
    let strip = || Rewrite::StripPrefix("/beta".into());
    check(Rewrite::Keep, "", "http://h/beta/x", "");
    check(strip(), "", "http://h/beta/x?q=1", "/x?q=1");
    check(strip(), "", "http://h/beta", "/");
    check(strip(), "", "http://h/beta?q", "/?q");
    check(strip(), "", "http://h/betamax", "");
    check(Rewrite::StripPrefix("/".into()), "", "http://h/x", "/x");
    check(Rewrite::AddPrefix("/v2".into()), "", "http://h/x?q", "/v2/x?q");
    check(Rewrite::AddPrefix("/v2/".into()), "", "http://h/", "/v2/");
    let replace = || Rewrite::ReplacePrefix("/new".into());
    check(replace(), "path=/old/*", "http://h/old/x", "/new/x");
    check(replace(), "path=/old/*", "http://h/old", "/new");
    check(Rewrite::ReplacePrefix("/".into()), "path=/old/*", "http://h/old/x", "/x");
    check(Rewrite::ReplacePrefix("/".into()), "path=/old/*", "http://h/old", "/");
    check(Rewrite::Path("/one".into()), "", "http://h/x/y?q=1", "/one?q=1");
    check(Rewrite::Path("o ne\r\n".into()), "", "http://h/x", "/o%20ne%0D%0A");
    let users = || Rewrite::Regex(regex("^/users/([^/]+)"), "/u?id=${1}".into());
    check(users(), "", "http://h/users/7/a", "/u?id=7/a");
    check(users(), "", "http://h/other", "");
    check(Rewrite::Regex(regex("^/a"), "".into()), "", "http://h/abc", "/bc");
}

#[test]
fn the_asterisk_is_kept() {
    let mut route = route("r:");
    route.rewrite = Rewrite::Path("/x".into());
    let bytes = b"OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n";
    let (mut head, mut out) = (gnomon_wire::RequestHead::default(), vec![]);
    assert!(head.read(bytes, &gnomon_wire::HeadLimits::REQUEST).is_ok());
    let request = Request { head: &head, bytes };
    assert_eq!(rewrite_target(&route, request, &mut out), Target::Kept);
    assert!(out.is_empty());
}

fn location(to: &[Piece], url: &str) -> String {
    let (parsed, mut out) = (Parsed::new(&format!("GET {url}")), vec![]);
    write_location(to, parsed.request(), &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn locations() {
    let shop = Piece::Text("https://shop.example.com".into());
    assert_eq!(
        location(&[shop.clone(), Piece::Uri], "http://h/a?b=c"),
        "https://shop.example.com/a?b=c"
    );
    assert_eq!(location(&[shop, Piece::Path], "http://h/a?b=c"), "https://shop.example.com/a");
    let parts =
        [Piece::Text("https://".into()), Piece::Host, Piece::Text("/?".into()), Piece::Query];
    assert_eq!(location(&parts, "http://h:8080/a?b=c"), "https://h/?b=c");
    assert_eq!(location(&parts, "http://h/a"), "https://h/?");
    assert_eq!(
        location(&[Piece::Text("/a\r\nset-cookie: x".into())], "http://h/"),
        "/a%0D%0Aset-cookie:%20x"
    );
}

#[test]
fn a_local_location_stays_local() {
    assert_eq!(location(&[Piece::Uri], "http://h//evil.example/x"), "/evil.example/x");
    assert_eq!(location(&[Piece::Path], "http://h///evil.example"), "/evil.example");
}
