//! Fields: what goes on, what stays behind, what is written anew.

use e2e::{Origin, Running, on_each_driver};

use super::{GET, to};

/// The same upstream behind a listener that trusts nobody.
fn untrusting(origin: &Origin) -> String {
    format!("listener.open = {{ bind = \"127.0.0.1:0\", trusted = [] }}\n{}", to(origin))
}

#[test]
fn what_is_between_two_hops_does_not_go_on() {
    on_each_driver(|driver| {
        let origin = Origin::replying(
            "HTTP/1.1 200 OK\r\nconnection: keep-alive, x-origin-hop\r\nx-origin-hop: 1\r\n\
             keep-alive: timeout=5\r\nx-end: 1\r\ncontent-length: 0\r\n\r\n",
        );
        let proxy = Running::start(driver, &to(&origin));
        let reply = proxy.ask(
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: x-hop, keep-alive\r\nx-hop: 1\r\n\
             keep-alive: 5\r\nproxy-connection: x\r\nproxy-authorization: x\r\nte: gzip\r\n\
             upgrade: h2c\r\nx-end: 1\r\n\r\n",
        );
        for name in ["x-origin-hop", "keep-alive"] {
            assert_eq!(reply.field(name), None, "{reply:?}");
        }
        assert_eq!(reply.field("x-end"), Some("1"));
        let got = origin.request();
        for name in
            ["x-hop", "keep-alive", "proxy-connection", "proxy-authorization", "te", "upgrade"]
        {
            assert_eq!(got.field(name), None, "{got:?}");
        }
        assert_eq!(got.field("x-end"), Some("1"));
    });
}

#[test]
fn a_stranger_is_not_believed_about_who_it_speaks_for() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &untrusting(&origin));
        let reply = proxy.ask(
            "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 6.6.6.6\r\nx-forwarded-proto: https\r\n\
             x-forwarded-host: evil\r\nx-real-ip: 6.6.6.6\r\nforwarded: for=6.6.6.6\r\n\
             x-request-id: forged\r\n\
             traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n",
        );
        assert_eq!(reply.status(), 200);
        let got = origin.request();
        assert!(!got.head.contains("6.6.6.6") && !got.head.contains("evil"), "{got:?}");
        assert_eq!(got.field("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(got.field("x-forwarded-proto"), Some("http"));
        assert_eq!(got.field("x-forwarded-host"), Some("a"));
        assert!(got.field("forwarded").is_some_and(|f| f.contains("127.0.0.1")), "{got:?}");
        assert!(!got.head.contains("forged"), "{got:?}");
        assert!(!got.head.contains("0af7651916cd43dd8448eb211c80319c"), "{got:?}");
    });
}

#[test]
fn a_trusted_proxy_is_believed_and_added_to() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &to(&origin));
        let _ = proxy.ask(
            "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 1.2.3.4\r\nx-forwarded-proto: https\r\n\
             forwarded: for=1.2.3.4\r\nvia: 1.1 edge\r\n\
             traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
             tracestate: k=v\r\n\r\n",
        );
        let got = origin.request();
        assert_eq!(got.field("x-forwarded-for"), Some("1.2.3.4, 127.0.0.1"));
        assert_eq!(got.field("x-forwarded-proto"), Some("https"));
        let forwarded = got.field("forwarded").unwrap_or_default();
        assert!(
            forwarded.starts_with("for=1.2.3.4, ") && forwarded.contains("127.0.0.1"),
            "{got:?}"
        );
        assert_eq!(got.field("via"), Some("1.1 edge, 1.1 gnomon"));
        let trace = got.field("traceparent").unwrap_or_default();
        assert!(trace.starts_with("00-0af7651916cd43dd8448eb211c80319c-"), "{got:?}");
        assert!(!trace.contains("b7ad6b7169203331"), "the span is ours: {got:?}");
        assert_eq!(got.field("tracestate"), Some("k=v"));
    });
}

#[test]
fn the_id_that_a_trusted_proxy_gave_is_kept() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &to(&origin));
        let reply = proxy.ask("GET / HTTP/1.1\r\nhost: a\r\nx-request-id: theirs-1\r\n\r\n");
        assert_eq!(reply.status(), 200);
        assert_eq!(origin.request().field("x-request-id"), Some("theirs-1"));
    });
}

#[test]
fn every_request_has_an_id_of_its_own_that_the_client_learns() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        let told: Vec<String> = (0..3)
            .map(|_| client.ask(GET).field("x-request-id").unwrap_or_default().to_owned())
            .collect();
        let sent: Vec<String> = origin
            .requests()
            .iter()
            .map(|request| request.field("x-request-id").unwrap_or_default().to_owned())
            .collect();
        assert_eq!(told, sent);
        assert!(told.iter().all(|id| id.len() >= 16), "{told:?}");
        assert!(told[0] != told[1] && told[1] != told[2], "{told:?}");
    });
}

#[test]
fn both_ends_learn_that_the_proxy_was_there() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &to(&origin));
        let reply = proxy.ask(GET);
        assert_eq!(reply.field("via"), Some("1.1 gnomon"));
        assert!(reply.field("date").is_some());
        assert_eq!(origin.request().field("via"), Some("1.1 gnomon"));
    });
}

#[test]
fn a_target_in_absolute_form_goes_on_in_origin_form() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &to(&origin));
        let _ =
            proxy.ask("GET http://shop.example/cart?n=1 HTTP/1.1\r\nhost: shop.example\r\n\r\n");
        let got = origin.request();
        assert_eq!(got.line(), "GET /cart?n=1 HTTP/1.1");
        assert_eq!(got.field("host"), Some("shop.example"));
        assert_eq!(got.fields("host").count(), 1);
        // Two opinions are one too many: whoever is behind might follow the other.
        let torn = proxy.ask("GET http://shop.example/ HTTP/1.1\r\nhost: other\r\n\r\n");
        assert_eq!(torn.status(), 400);
    });
}

#[test]
fn edits_of_a_route_and_of_a_version_are_made() {
    on_each_driver(|driver| {
        let origin = Origin::replying(
            "HTTP/1.1 200 OK\r\nserver: secret\r\nx-old: 1\r\ncontent-length: 0\r\n\r\n",
        );
        let config = format!(
            "upstream.o.versions.v1.endpoints = [\"{}\"]\nupstream.o.host = \"inner.example\"\n\
             upstream.o.versions.v1.headers.request.set = {{ x-version = \"v1\" }}\n\
             upstream.o.versions.v1.headers.response.set = {{ x-served-by = \"v1\" }}\n\
             route.all.to = \"o\"\nroute.all.headers.request.set = {{ x-beta = \"1\" }}\n\
             route.all.headers.request.add = {{ x-list = \"2\" }}\n\
             route.all.headers.request.remove = [\"x-debug\"]\n\
             route.all.headers.response.remove = [\"server\", \"x-old\"]\n\
             route.all.headers.response.add = {{ vary = \"x-beta\" }}\n",
            origin.address()
        );
        let proxy = Running::start(driver, &config);
        let reply =
            proxy.ask("GET / HTTP/1.1\r\nhost: a\r\nx-beta: 0\r\nx-list: 1\r\nx-debug: 1\r\n\r\n");
        assert_eq!((reply.field("server"), reply.field("x-old")), (None, None));
        assert_eq!((reply.field("vary"), reply.field("x-served-by")), (Some("x-beta"), Some("v1")));
        let got = origin.request();
        assert_eq!(got.fields("x-beta").collect::<Vec<_>>(), ["1"]);
        assert_eq!(got.fields("x-list").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((got.field("x-debug"), got.field("x-version")), (None, Some("v1")));
        assert_eq!(got.field("host"), Some("inner.example"));
    });
}

#[test]
fn cookies_and_credentials_go_on_untouched() {
    on_each_driver(|driver| {
        let origin = Origin::replying(
            "HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 0\r\n\r\n",
        );
        let proxy = Running::start(driver, &to(&origin));
        let reply = proxy.ask(
            "GET / HTTP/1.1\r\nhost: a\r\ncookie: x=\"1, 2\"; y\r\nauthorization: Bearer t\r\n\r\n",
        );
        let cookies: Vec<_> = e2e::reading::fields(&reply.head, "set-cookie").collect();
        assert_eq!(cookies, ["a=1", "b=2"]);
        let got = origin.request();
        assert_eq!(got.field("cookie"), Some("x=\"1, 2\"; y"));
        assert_eq!(got.field("authorization"), Some("Bearer t"));
    });
}
