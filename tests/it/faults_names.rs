//! Names of origins that vanish, move, or were never there.

use std::{fs, net::TcpListener};

use e2e::{Origin, eventually, on_each_driver, origin::ok};

use super::{
    GET,
    guest::{Guest, may_unshare},
};

/// Runs the rest of its arguments where names are looked up in a file of the test's own, and nowhere
/// else.
const OWN_NAMES: [&str; 6] = [
    "unshare",
    "-rm",
    "sh",
    "-c",
    "for last; do :; done; at=$(dirname \"$last\"); \
     echo '127.0.0.1 shop.test' > \"$at/hosts\"; echo 'nameserver 127.0.0.1' > \"$at/resolv\"; \
     mount --bind \"$at/hosts\" /etc/hosts; mount --bind \"$at/resolv\" /etc/resolv.conf; \
     exec \"$@\"",
    "sh",
];

/// An origin at both addresses, under one port: which of them was asked?
fn twins() -> (Origin, Origin) {
    for _ in 0..100 {
        let first = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = first.local_addr().expect("it is bound").port();
        let Ok(second) = TcpListener::bind(("127.0.0.2", port)) else { continue };
        return (answering(first, "here"), answering(second, "there"));
    }
    panic!("no port is free at both addresses");
}

/// Closes each connection after its reply, so that the next request needs an address.
fn answering(listener: TcpListener, name: &'static str) -> Origin {
    Origin::on(listener, move |call, _| {
        call.read_request()?;
        call.reply(ok(name))
    })
}

#[test]
fn a_name_that_vanishes_keeps_its_last_addresses_and_one_that_moves_is_followed() {
    if !may_unshare() {
        return;
    }
    on_each_driver(|driver| {
        let (here, _there) = twins();
        let port = here.address().port();
        // While any name was never resolved, all are looked up every other second.
        let config = format!(
            "upstream.o.versions.v1 = [\"shop.test:{port}\"]\nroute.all.to = \"o\"\n\
             upstream.p.versions.v1 = [\"never.test:1\"]\n\
             route.p = {{ match.host = \"p\", to = \"p\" }}\n\
             log = {{ level = \"info\", to = \"{{folder}}/own.log\" }}\n"
        );
        let proxy = Guest::start_on(driver, &OWN_NAMES, &config);
        let mut client = proxy.connect();
        assert_eq!(client.ask(GET).text(), "here");
        let own = || fs::read_to_string(proxy.folder().join("own.log")).unwrap_or_default();
        let hosts = proxy.folder().join("hosts");

        fs::write(&hosts, "").expect("it can be written");
        eventually("the loss is said", || own().contains("its last addresses stay"));
        assert_eq!(client.ask(GET).text(), "here");

        let reload = |more: &str| {
            let text = format!("{}{config}{more}", proxy.doors());
            let text = text.replace("{folder}", &proxy.folder().to_string_lossy());
            fs::write(proxy.folder().join("gnomon.toml"), text).expect("it can be written");
            proxy.call("POST", "/v1/reload")
        };
        let (status, text) = reload("limits.headers = 90\n");
        assert_eq!(status, 200, "a name that was known once needs no answer now: {text}");
        assert_eq!(client.ask(GET).text(), "here");
        let (status, text) = reload("upstream.q.versions.v1 = [\"new.test:1\"]\n");
        assert_ne!(status, 200, "{text}");
        assert!(text.contains("new.test:1") && text.contains("cannot be resolved"), "{text}");
        assert_eq!(client.ask(GET).text(), "here");

        fs::write(&hosts, "127.0.0.2 shop.test\n").expect("it can be written");
        eventually("the move is followed", || client.ask(GET).text() == "there");
    });
}
