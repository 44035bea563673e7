//! Texts with a form: names, addresses, hosts, paths, fields, keys, patterns.
//!
//! Every function is total: it takes any text and gives the value or what is [`Wrong`].

mod flag;
mod trace;
mod window;

use std::{net::IpAddr, net::SocketAddr, path::PathBuf, sync::Arc};

use ipnet::IpNet;

use crate::{
    code,
    json_path::JsonPath,
    model::{ArrayRule, Bind, Endpoint, HostPattern, HostRule, Key, PathPattern, Piece, Regex},
    problem::Wrong,
};

pub(crate) use flag::{
    attribute, claim, flag, moment, place, show_moment, show_place, source, token_place, user,
};
pub(crate) use trace::{collector, status_class, upstream_version};
pub(crate) use window::{show_window, window};

/// The quantiles of latency that a gate may hold by themselves, and their keys.
pub(crate) const QUANTILES: [(&str, f64); 6] = [
    ("latency_p50", 0.5),
    ("latency_p75", 0.75),
    ("latency_p90", 0.9),
    ("latency_p95", 0.95),
    ("latency_p99", 0.99),
    ("latency_p999", 0.999),
];
/// Longest name of a listener, an upstream, a version or a route.
const NAME_BYTES_MAX: usize = 64;
/// Longest regular expression; longer ones are data, not patterns.
const REGEX_BYTES_MAX: usize = 4096;
/// Largest compiled program of a regular expression.
const REGEX_PROGRAM_BYTES_MAX: usize = 1 << 20;

/// Fields that concern one connection or delimit a message (RFC 9110 section 7.6.1).
const RESERVED_FIELDS: &[&str] = &[
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A name of ours.
pub(crate) fn name(text: &str) -> Result<Arc<str>, Wrong> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if plain && (1..=NAME_BYTES_MAX).contains(&text.len()) {
        return Ok(text.into());
    }
    Err(Wrong::new(code::NAME, format!("`{text}` is not a name"))
        .label("letters, digits, `_` and `-`, at most 64"))
}

/// A local address to listen on.
pub(crate) fn bind(text: &str) -> Result<Bind, Wrong> {
    if let Some(path) = unix(text)? {
        return Ok(Bind::Unix(path));
    }
    text.parse().map(Bind::Tcp).map_err(|_| {
        let guess = host_and_port(text).map(|(host, port)| match host {
            "localhost" => format!("did you mean \"127.0.0.1:{port}\"?"),
            "" | "*" => format!("for every address write \"0.0.0.0:{port}\" or \"[::]:{port}\""),
            _ => "a name cannot be listened on: write an IP address".to_owned(),
        });
        address(text, "\"IP:PORT\", \"[IPv6]:PORT\" or \"unix:/path\"").help(guess)
    })
}

/// The address of an origin.
pub(crate) fn endpoint(text: &str) -> Result<Endpoint, Wrong> {
    let form = "\"IP:PORT\", \"name:PORT\" or \"unix:/path\"";
    if let Some(path) = unix(text)? {
        return Ok(Endpoint::Unix(path));
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let rest = rest.trim_end_matches('/');
        let rest = if rest.contains(':') { rest.to_owned() } else { format!("{rest}:80") };
        let help = match scheme {
            "http" => Some(format!("did you mean \"{rest}\"?")),
            "https" => Some("write it without, and `tls = true` beside `endpoints`".to_owned()),
            _ => None,
        };
        return Err(address(text, form).label("an endpoint has no scheme").help(help));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        if address.port() == 0 {
            return Err(address_port(text));
        }
        return Ok(Endpoint::Tcp(address));
    }
    let Some((host, port)) = host_and_port(text) else {
        let help = plain_host(text).then(|| format!("did you mean \"{text}:80\"?"));
        return Err(address(text, form).label("the port is missing").help(help));
    };
    match port.parse::<u16>() {
        Ok(0) | Err(_) => Err(address_port(text)),
        Ok(_) if !plain_host(host) => Err(address(text, form)),
        Ok(port) => Ok(Endpoint::Name(host.to_ascii_lowercase().into(), port)),
    }
}

fn unix(text: &str) -> Result<Option<PathBuf>, Wrong> {
    // `sockaddr_un` has room for 107 bytes and a NUL.
    const PATH_BYTES_MAX: usize = 107;
    let Some(path) = text.strip_prefix("unix:") else { return Ok(None) };
    if !path.starts_with('/') || path.contains('\0') {
        return Err(address(text, "\"unix:/absolute/path\""));
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(Wrong::new(code::ADDRESS, "a socket's path is at most 107 bytes long"));
    }
    Ok(Some(path.into()))
}

fn address(text: &str, form: &str) -> Wrong {
    Wrong::new(code::ADDRESS, format!("`{text}` is not an address"))
        .label(format!("expected {form}"))
}

fn address_port(text: &str) -> Wrong {
    Wrong::new(code::ADDRESS, format!("`{text}` has no usable port")).label("1 to 65535")
}

fn host_and_port(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once(':')
        .filter(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

pub(crate) fn plain_host(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

/// An address to listen on that is no socket's path.
pub(crate) fn socket_address(text: &str) -> Result<SocketAddr, Wrong> {
    text.parse().map_err(|_| address(text, "\"IP:PORT\" or \"[IPv6]:PORT\""))
}

/// A network, or an address that stands for itself.
pub(crate) fn network(text: &str) -> Result<IpNet, Wrong> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    match net {
        Ok(net) if net.addr() == net.network() => Ok(net),
        Ok(net) => Err(Wrong::new(code::CIDR, format!("`{text}` has bits beyond its prefix"))
            .help(format!("did you mean \"{}\"?", net.trunc()))),
        Err(_) => Err(Wrong::new(code::CIDR, format!("`{text}` is not a network"))
            .label("expected CIDR notation such as \"10.0.0.0/8\"")),
    }
}

/// A pattern for a request's host.
pub(crate) fn host_pattern(text: &str) -> Result<HostPattern, Wrong> {
    let wrong = |label: &str| {
        Wrong::new(code::HOST, format!("`{text}` is not a host pattern")).label(label)
    };
    let lower = text.to_ascii_lowercase();
    let below = lower.strip_prefix("*.");
    let host = below.unwrap_or(&lower);
    let literal_v6 = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_v6 = literal_v6.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    if !is_v6 {
        if text == "*" {
            return Err(wrong("leave `host` out to match every host"));
        }
        if let Some((host, _)) = host_and_port(host) {
            return Err(wrong("a host has no port").help(format!("did you mean \"{host}\"?")));
        }
        if host.contains('*') {
            return Err(wrong("`*` stands only for the first labels: \"*.example.com\""));
        }
        if !plain_host(host) {
            return Err(wrong("expected \"shop.example.com\" or \"*.example.com\""));
        }
    }
    Ok(below.map_or_else(
        || HostPattern::Exact(lower.as_str().into()),
        |below| HostPattern::Below(below.into()),
    ))
}

/// What the `Host` field says towards an origin.
pub(crate) fn host_rule(text: &str) -> Result<HostRule, Wrong> {
    match text {
        "preserve" => Ok(HostRule::Preserve),
        "endpoint" => Ok(HostRule::Endpoint),
        literal => authority(literal).map(HostRule::Literal),
    }
}

/// A host, with or without a port, as it stands in a `Host` field.
pub(crate) fn authority(text: &str) -> Result<Arc<str>, Wrong> {
    let plain = match host_and_port(text) {
        Some((host, _)) => plain_host(host),
        None => plain_host(text),
    };
    if plain || text.parse::<SocketAddr>().is_ok() {
        return Ok(text.into());
    }
    Err(Wrong::new(code::HOST, format!("`{text}` is not a host"))
        .label("expected \"shop.example.com\" or \"shop.example.com:8080\""))
}

/// A path, with or without a query, as it stands in a request line.
pub(crate) fn target(text: &str) -> Result<Arc<str>, Wrong> {
    path(text.split_once('?').map_or(text, |(path, _)| path))?;
    if text.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        return Ok(text.into());
    }
    Err(Wrong::new(code::PATH, format!("`{text}` is not a request's target")))
}

/// A path that stands for itself.
pub(crate) fn path(text: &str) -> Result<Arc<str>, Wrong> {
    let wrong =
        |label: &str| Wrong::new(code::PATH, format!("`{text}` is not a path")).label(label);
    if !text.starts_with('/') {
        return Err(wrong("a path starts with `/`").help(format!("did you mean \"/{text}\"?")));
    }
    if text.contains(['?', '#']) {
        return Err(wrong("a path has neither query nor fragment"));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(wrong("anything but visible ASCII is percent-encoded in a path"));
    }
    Ok(text.into())
}

/// A prefix that is put before or taken off a path: without the final `/`, so that paths join.
pub(crate) fn prefix(text: &str) -> Result<Arc<str>, Wrong> {
    let text = text.strip_suffix("/*").filter(|rest| !rest.is_empty()).unwrap_or(text);
    let checked = path(text)?;
    Ok(checked.strip_suffix('/').map_or_else(|| Arc::clone(&checked), Into::into))
}

/// A pattern for a request's path: exact, or a prefix when it ends in `/*`.
pub(crate) fn path_pattern(text: &str) -> Result<PathPattern, Wrong> {
    let prefix = text.strip_suffix("/*");
    let literal = prefix.unwrap_or(text);
    if literal.contains('*') {
        return Err(Wrong::new(code::PATH, format!("`{text}` is not a path pattern"))
            .label("`*` stands only at the end, as `/*`")
            .help("for anything else there is `path_regex`".to_owned()));
    }
    match prefix {
        Some("") => Ok(PathPattern::Any),
        Some(prefix) => path(prefix).map(PathPattern::Prefix),
        None => path(text).map(PathPattern::Exact),
    }
}

/// A request method.
pub(crate) fn method(text: &str) -> Result<Arc<str>, Wrong> {
    const KNOWN: &[&str] =
        &["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    if !is_token(text) {
        return Err(Wrong::new(code::METHOD, format!("`{text}` is not a method")));
    }
    let upper = text.to_ascii_uppercase();
    if upper != text && KNOWN.contains(&upper.as_str()) {
        return Err(Wrong::new(code::METHOD, format!("`{text}` is not a method"))
            .label("methods are case-sensitive")
            .help(format!("did you mean \"{upper}\"?")));
    }
    Ok(text.into())
}

/// A field's name, in lower case.
pub(crate) fn field_name(text: &str) -> Result<Arc<str>, Wrong> {
    if is_token(text) {
        return Ok(text.to_ascii_lowercase().into());
    }
    Err(Wrong::new(code::HEADER, format!("`{text}` is not a field name"))
        .label("letters, digits and !#$%&'*+-.^_`|~"))
}

/// The name of a field that may be edited, in lower case.
pub(crate) fn edited_field(text: &str) -> Result<Arc<str>, Wrong> {
    let name = field_name(text)?;
    if RESERVED_FIELDS.contains(&&*name) {
        return Err(Wrong::new(code::HEADER_RESERVED, format!("`{name}` may not be edited"))
            .label("gnomon writes this field itself")
            .help((&*name == "host").then(|| "set `host` of the upstream instead".to_owned())));
    }
    Ok(name)
}

/// A field's value.
pub(crate) fn field_value(text: &str) -> Result<Arc<str>, Wrong> {
    let plain = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ' || b == b'\t');
    if plain && text.trim() == text {
        return Ok(text.into());
    }
    Err(Wrong::new(code::HEADER, "this is not a field value")
        .label("visible ASCII, spaces and tabs, without space at either end"))
}

/// The name of a cookie.
pub(crate) fn cookie_name(text: &str) -> Result<Arc<str>, Wrong> {
    if is_token(text) {
        return Ok(text.into());
    }
    Err(Wrong::new(code::HEADER, format!("`{text}` is not a cookie name")))
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// A pattern of places in JSON documents.
pub(crate) fn json_path(text: &str) -> Result<JsonPath, Wrong> {
    JsonPath::parse(text).map_err(|bad| {
        Wrong::new(code::JSON_PATH, format!("`{text}` is not a JSON path"))
            .label(format!("{}, at byte {}", bad.what, bad.at))
            .help("a path looks like $.items[*].price or $..token".to_owned())
    })
}

/// How the arrays at a place are compared.
pub(crate) fn array_rule(text: &str) -> Result<ArrayRule, Wrong> {
    match text.split_once(' ') {
        None if text == "ordered" => Ok(ArrayRule::Ordered),
        None if text == "set" => Ok(ArrayRule::Set),
        Some(("by", field)) if !field.trim().is_empty() => Ok(ArrayRule::By(field.trim().into())),
        _ => Err(Wrong::new(code::VALUE, format!("`{text}` is no way to compare arrays"))
            .label("expected ordered, set or \"by FIELD\"")),
    }
}

/// What picks a request's user apart.
pub(crate) fn key(text: &str) -> Result<Key, Wrong> {
    let wrong = || {
        Wrong::new(code::KEY, format!("`{text}` does not say what picks a user apart"))
            .label("expected cookie:NAME, header:NAME, query:NAME or client_ip")
    };
    if text == "client_ip" {
        return Ok(Key::ClientIp);
    }
    match text.split_once(':').ok_or_else(wrong)? {
        ("cookie", name) => cookie_name(name).map(Key::Cookie),
        ("header", name) => field_name(name).map(Key::Header),
        ("query", name) if !name.is_empty() => Ok(Key::Query(name.into())),
        _ => Err(wrong()),
    }
}

/// Where a webhook is, without credentials.
pub(crate) fn webhook(text: &str) -> Result<Arc<str>, Wrong> {
    url(text, "a webhook's address")
}

/// What HTTP is spoken to, without credentials.
fn url(text: &str, what: &str) -> Result<Arc<str>, Wrong> {
    let wrong = |label: &str| Wrong::new(code::URL, format!("`{text}` is not {what}")).label(label);
    let form = "expected \"http://HOST:PORT/PATH\" or \"https://HOST/PATH\"";
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let rest = rest.ok_or_else(|| wrong(form))?;
    let path_at = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(path_at);
    if host.contains('@') {
        return Err(wrong("without user and password, which would be logged and shown"));
    }
    let port = host_and_port(host).map(|(_, port)| port);
    if authority(host).is_err() || port.is_some_and(|port| !matches!(port.parse(), Ok(1_u16..))) {
        return Err(wrong(form));
    }
    if !path.is_empty() {
        target(path).map_err(|_| wrong("path and query are visible ASCII, without a fragment"))?;
    }
    Ok(text.into())
}

/// A place in a JSON document by an RFC 6901 pointer.
pub(crate) fn json_pointer(text: &str) -> Result<Arc<str>, Wrong> {
    let wrong =
        |label: &str| Wrong::new(code::KPI, format!("`{text}` is not a JSON pointer")).label(label);
    if !text.starts_with('/') {
        return Err(wrong("expected a pointer such as \"json:/order/total\""));
    }
    let escapes = text.split('~').skip(1);
    if escapes.into_iter().any(|after| !after.starts_with(['0', '1'])) {
        return Err(wrong("in a key, `~` is written `~0` and `/` is written `~1`"));
    }
    Ok(text.into())
}

/// One status or a range of them: `"200"`, `"200-399"`.
pub(crate) fn statuses(text: &str) -> Result<(u16, u16), Wrong> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) if first <= last && first >= 100 && last <= 599 => Ok((first, last)),
        _ => Err(Wrong::new(code::STATUS, format!("`{text}` is not a range of statuses"))
            .label("expected \"200\" or \"200-399\" within 100 to 599")),
    }
}

/// Permission bits in octal: `"0660"`.
pub(crate) fn mode(text: &str) -> Result<u32, Wrong> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        Ok(_) | Err(_) => Err(Wrong::new(code::VALUE, format!("`{text}` is not a mode"))
            .label("expected octal permission bits such as \"0660\"")),
    }
}

/// A list of cores: `"0-7,16-23"`.
pub(crate) fn cores(text: &str) -> Result<Vec<usize>, Wrong> {
    const CORE_MAX: usize = 1023;
    let wrong = || {
        Wrong::new(code::VALUE, format!("`{text}` does not name cores"))
            .label("expected auto, physical, a number or a list such as \"0-7,16-23\"")
    };
    let mut cores = Vec::new();
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let first: usize = first.trim().parse().map_err(|_| wrong())?;
        let last: usize = last.trim().parse().map_err(|_| wrong())?;
        if first > last || last > CORE_MAX {
            return Err(wrong());
        }
        cores.extend(first..=last);
    }
    let named = cores.len();
    cores.sort_unstable();
    cores.dedup();
    if named == cores.len() { Ok(cores) } else { Err(wrong().label("a core is named twice")) }
}

/// The parts of a redirect's `Location`.
pub(crate) fn location(text: &str) -> Result<Vec<Piece>, Wrong> {
    field_value(text)?;
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let close = rest[open..].find('}').map(|at| open + at);
        let piece = match close.map(|close| &rest[open + 1..close]) {
            Some("uri") => Piece::Uri,
            Some("path") => Piece::Path,
            Some("query") => Piece::Query,
            Some("host") => Piece::Host,
            Some(_) | None => {
                return Err(Wrong::new(code::VALUE, "unknown placeholder in the redirect")
                    .label("expected {uri}, {path}, {query} or {host}"));
            }
        };
        if open > 0 {
            pieces.push(Piece::Text(rest[..open].into()));
        }
        pieces.push(piece);
        rest = &rest[close.map_or(rest.len(), |close| close + 1)..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.into()));
    }
    if pieces.is_empty() {
        return Err(Wrong::new(code::VALUE, "a redirect leads somewhere").label("empty"));
    }
    Ok(pieces)
}

/// Whether a regular expression must match the whole text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// Anywhere.
    No,
    /// From first to last byte.
    Both,
}

/// A regular expression over bytes; else what is wrong and at which byte of it, if that is known.
pub(crate) fn regex(text: &str, anchor: Anchor) -> Result<Regex, (Wrong, Option<usize>)> {
    let wrong =
        |why: &str| Wrong::new(code::REGEX, "the regular expression cannot be used").label(why);
    if text.len() > REGEX_BYTES_MAX {
        return Err((wrong("longer than 4 KiB"), None));
    }
    // The bare text is compiled first, so that offsets are those of the text that a person wrote.
    let bare = compile(text).map_err(|error| {
        if matches!(error, regex::Error::CompiledTooBig(_)) {
            return (wrong("needs more than 1 MiB when compiled"), None);
        }
        let told = error.to_string();
        let why = told.lines().last().unwrap_or_default().trim_start_matches("error: ");
        (wrong(why), offset(&told, text))
    })?;
    match anchor {
        Anchor::No => Ok(Regex(bare)),
        Anchor::Both => compile(&format!(r"\A(?:{text})\z"))
            .map(Regex)
            .map_err(|_| (wrong("needs more than 1 MiB when compiled"), None)),
    }
}

/// A regular expression as it was written: without the anchors of a whole match.
pub(crate) fn bare_pattern(regex: &Regex) -> &str {
    let text = regex.0.as_str();
    text.strip_prefix(r"\A(?:").and_then(|text| text.strip_suffix(r")\z")).unwrap_or(text)
}

fn compile(text: &str) -> Result<regex::bytes::Regex, regex::Error> {
    regex::bytes::RegexBuilder::new(text)
        .unicode(false)
        .size_limit(REGEX_PROGRAM_BYTES_MAX)
        .dfa_size_limit(REGEX_PROGRAM_BYTES_MAX)
        .build()
}

/// Where `regex` puts its caret: the crate tells offsets only in the text of its message, four
/// spaces before the pattern and before the caret.
fn offset(message: &str, pattern: &str) -> Option<usize> {
    let mut lines = message.lines();
    lines.find(|line| line.strip_prefix("    ") == Some(pattern))?;
    let caret = lines.next()?.find('^')?.checked_sub(4)?;
    pattern.char_indices().map(|(at, _)| at).nth(caret).or(Some(pattern.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_asked_in_the_clear_and_without_credentials() {
        for text in [
            "http://127.0.0.1:9000/rollouts",
            "http://hooks.example.com",
            "http://hooks:80/",
            "http://[::1]:9000/x?y=z",
        ] {
            assert_eq!(webhook(text).as_deref(), Ok(text));
        }
        for text in [
            "",
            "http://",
            "http:///x",
            "http://a:0/",
            "http://a:65536/",
            "http://a:/",
            "http://a b/",
            "http://a/b c",
            "http://a/b#c",
            "http://a?b",
            "http://me@a/",
            "http://me:secret@a/",
            "HTTP://a/",
            "ftp://a/",
            "a/b",
            "http://a/\r\nx: y",
        ] {
            assert_eq!(webhook(text).unwrap_err().code, code::URL, "{text:?}");
        }
    }

    #[test]
    fn a_json_pointer_escapes_its_own_signs() {
        for text in ["/", "/order/total", "/a~1b/0", "/m~0n", "/ ", "/\u{e9}"] {
            assert_eq!(json_pointer(text).as_deref(), Ok(text));
        }
        for text in ["", "order", "$.order", "/a~", "/a~2", "/~/b", "/~~0"] {
            assert!(json_pointer(text).is_err(), "{text:?}");
        }
    }
}
