//! Which route a request takes, and what the route does with it.

use e2e::{Origin, Running, eventually, on_each_driver};

/// Routes that answer with their own name.
fn answering(routes: &[(&str, &str)]) -> String {
    let line = |(name, matches): &(&str, &str)| {
        format!("route.{name} = {{ match = {{ {matches} }}, respond = {{ body = \"{name}\" }} }}\n")
    };
    routes.iter().map(line).collect()
}

/// The answers to requests, as a table of what is asked and what is expected.
fn check(driver: e2e::Driver, config: &str, table: &[(&str, &str)]) {
    let proxy = Running::start(driver, config);
    let mut client = proxy.connect();
    for (request, expected) in table {
        let request = format!("{request}\r\n\r\n").replace('\n', "\r\n").replace("\r\r", "\r");
        let reply = client.ask(&request);
        let got = if reply.status() == 200 { reply.text() } else { reply.status().to_string() };
        assert_eq!(got, *expected, "{request}");
    }
}

#[test]
fn hosts_are_matched_exactly_then_by_wildcard() {
    on_each_driver(|driver| {
        let config = answering(&[
            ("exact", "host = \"shop.example\""),
            ("below", "host = \"*.example\""),
            ("deeper", "host = \"*.a.example\""),
        ]);
        let table = [
            ("GET / HTTP/1.1\nhost: shop.example", "exact"),
            ("GET / HTTP/1.1\nhost: SHOP.EXAMPLE:8080", "exact"),
            ("GET / HTTP/1.1\nhost: other.example", "below"),
            ("GET / HTTP/1.1\nhost: x.a.example", "deeper"),
            ("GET / HTTP/1.1\nhost: example", "404"),
            ("GET / HTTP/1.1\nhost: shop.example.evil", "404"),
            ("GET http://shop.example/ HTTP/1.1\nhost: shop.example", "exact"),
        ];
        check(driver, &config, &table);
    });
}

#[test]
fn paths_are_matched_exactly_then_by_the_longest_prefix_then_by_expression() {
    on_each_driver(|driver| {
        let config = answering(&[
            ("exact", "path = \"/a/b\""),
            ("long", "path = \"/a/b/*\""),
            ("short", "path = \"/a/*\""),
            ("regex", "path_regex = \"/v[0-9]+/.*\""),
        ]);
        let table = [
            ("GET /a/b HTTP/1.1\nhost: x", "exact"),
            ("GET /a/b?q=/c HTTP/1.1\nhost: x", "exact"),
            ("GET /a/b/c HTTP/1.1\nhost: x", "long"),
            ("GET /a/bc HTTP/1.1\nhost: x", "short"),
            ("GET /ab HTTP/1.1\nhost: x", "404"),
            ("GET /v12/x HTTP/1.1\nhost: x", "regex"),
            ("GET /vx/x HTTP/1.1\nhost: x", "404"),
        ];
        check(driver, &config, &table);
    });
}

#[test]
fn further_conditions_must_all_hold() {
    on_each_driver(|driver| {
        let config = answering(&[
            ("method", "method = [\"PUT\", \"DELETE\"]"),
            ("header", "header = { x-country = [\"NO\", \"SE\"] }"),
            ("present", "header = { x-debug = { present = true } }, path = \"/d\""),
            ("query", "query = { v = \"2\" }"),
            ("cookie", "cookie = { tier = { regex = \"^gold\" } }"),
            ("both", "header = { x-country = \"NO\" }, query = { v = \"2\" }"),
            ("elsewhere", "client = \"10.0.0.0/8\", path = \"/c\""),
            ("here", "client = \"127.0.0.0/8\", path = \"/c\""),
        ]);
        let table = [
            ("DELETE / HTTP/1.1\nhost: x", "method"),
            ("GET / HTTP/1.1\nhost: x", "404"),
            ("GET / HTTP/1.1\nhost: x\nX-Country: SE", "header"),
            ("GET / HTTP/1.1\nhost: x\nx-country: DE", "404"),
            ("GET /d HTTP/1.1\nhost: x\nx-debug:", "present"),
            ("GET /?a=1&v=2 HTTP/1.1\nhost: x", "query"),
            ("GET /?v=22 HTTP/1.1\nhost: x", "404"),
            ("GET / HTTP/1.1\nhost: x\ncookie: a=b; tier=golden", "cookie"),
            ("GET / HTTP/1.1\nhost: x\ncookie: tier=silver", "404"),
            ("GET /?v=2 HTTP/1.1\nhost: x\nx-country: NO", "both"),
            ("GET /c HTTP/1.1\nhost: x", "here"),
        ];
        check(driver, &config, &table);
    });
}

#[test]
fn priority_goes_before_all_else() {
    on_each_driver(|driver| {
        let config = format!(
            "{}route.first = {{ priority = 1, match = {{ header = {{ x-staff = \"1\" }} }}, \
             respond = {{ body = \"first\" }} }}\n",
            answering(&[("exact", "host = \"a\", path = \"/x\"")])
        );
        let table = [
            ("GET /x HTTP/1.1\nhost: a", "exact"),
            ("GET /x HTTP/1.1\nhost: a\nx-staff: 1", "first"),
        ];
        check(driver, &config, &table);
    });
}

#[test]
fn targets_are_rewritten() {
    on_each_driver(|driver| {
        let origin = Origin::mirror();
        let rules = [
            ("strip", "/beta/*", "strip_prefix = \"/beta\""),
            ("add", "/add/*", "add_prefix = \"/v2\""),
            ("swap", "/old/*", "replace_prefix = \"/new\""),
            ("whole", "/any/*", "path = \"/index.html\""),
            ("regex", "/item/*", "path_regex = \"^/item/([0-9]+)\", with = \"/i/$1\""),
        ];
        let mut config = format!("upstream.o.versions.v1 = [\"{}\"]\n", origin.address());
        for (name, path, rewrite) in rules {
            config += &format!(
                "route.{name} = {{ match.path = \"{path}\", rewrite = {{ {rewrite} }}, to = \"o\" }}\n"
            );
        }
        let proxy = Running::start(driver, &config);
        let table = [
            ("/beta/x?q=1", "/x?q=1"),
            ("/beta/", "/"),
            ("/add/x", "/v2/add/x"),
            ("/old/x/y?z", "/new/x/y?z"),
            ("/any/thing?q", "/index.html?q"),
            ("/item/42/more", "/i/42/more"),
            ("/item/x", "/item/x"),
        ];
        for (asked, expected) in table {
            let got = proxy.get(asked);
            assert_eq!(got.lines().next(), Some(&*format!("GET {expected} HTTP/1.1")), "{asked}");
        }
    });
}

#[test]
fn a_route_redirects_or_answers_by_itself() {
    on_each_driver(|driver| {
        let config = "route.moved = { match.path = \"/moved/*\", redirect.to = \"https://new.example{uri}\" }\n\
            route.found = { match.path = \"/found\", redirect = { to = \"/else?{query}\", status = 302 } }\n\
            route.gone = { match.path = \"/gone\", respond = { status = 410, body = \"gone\", \
            headers = { content-type = \"text/x\", x-why = \"old\" } } }\n\
            route.ok.respond.body = \"{}\"\n";
        let proxy = Running::start(driver, config);
        let mut client = proxy.connect();
        let moved =
            client.ask("POST /moved/a?b=c HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi");
        assert_eq!(moved.status(), 308);
        assert_eq!(moved.field("location"), Some("https://new.example/moved/a?b=c"));
        let found = client.ask("GET /found?q=1 HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!((found.status(), found.field("location")), (302, Some("/else?q=1")));
        let gone = client.ask("GET /gone HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!((gone.status(), gone.text().as_str()), (410, "gone"));
        assert_eq!(
            (gone.field("content-type"), gone.field("x-why")),
            (Some("text/x"), Some("old"))
        );
        let head = client.ask("HEAD /gone HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!((head.status(), head.field("content-length")), (410, Some("4")));
        assert_eq!(client.ask("GET /x HTTP/1.1\r\nhost: a\r\n\r\n").text(), "{}");
    });
}

#[test]
fn a_request_that_no_route_wants_is_told_so_and_the_connection_stays() {
    on_each_driver(|driver| {
        let proxy = Running::start(driver, &answering(&[("a", "host = \"a\"")]));
        let mut client = proxy.connect();
        let lost = client.ask("POST / HTTP/1.1\r\nhost: b\r\ncontent-length: 2\r\n\r\nhi");
        assert_eq!(lost.status(), 404);
        assert_eq!(client.ask("GET / HTTP/1.1\r\nhost: a\r\n\r\n").text(), "a");
        assert_eq!(proxy.sum(|core| core.unrouted), 1);
    });
}

#[test]
fn a_route_may_pin_a_version() {
    on_each_driver(|driver| {
        let (stable, canary) = (Origin::named("v1"), Origin::named("v2"));
        let config = super::between(&stable, &canary, 0.0)
            + "route.staff = { match.header = { x-staff = \"1\" }, to = \"shop@v2\" }\n";
        let proxy = Running::start(driver, &config);
        let mut client = proxy.connect();
        for _ in 0..20 {
            assert_eq!(client.ask(super::GET).text(), "v1");
            let staff = client.ask("GET / HTTP/1.1\r\nhost: a\r\nx-staff: 1\r\n\r\n");
            assert_eq!(staff.text(), "v2");
        }
        // An exchange is counted once its reply is out.
        eventually("all are counted", || {
            let versions = &proxy.status().upstreams[0].versions;
            let counts = |at: usize| (versions[at].assigned, versions[at].pinned);
            (counts(0), counts(1)) == ((20, 0), (0, 20))
        });
    });
}
