//! Connections that become something else than HTTP.

use e2e::{Origin, Running, eventually, on_each_driver};

use super::to;

const ASK: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

fn chat() -> Origin {
    Origin::start(|call, _| {
        call.read_head()?;
        call.reply(SWITCH)?;
        call.echo()
    })
}

#[test]
fn a_websocket_carries_bytes_both_ways() {
    on_each_driver(|driver| {
        let origin = chat();
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        let head = client.send(ASK).expect_head("HTTP/1.1 101");
        assert!(head.to_lowercase().contains("upgrade: websocket"), "{head}");
        let got = origin.request();
        assert_eq!(got.field("upgrade"), Some("websocket"));
        assert_eq!(got.field("sec-websocket-version"), Some("13"));
        for text in ["one", "GET / HTTP/1.1\r\n\r\n", "\0\u{1}\u{2}"] {
            assert_eq!(client.send(text).read_bytes(text.len()), text.as_bytes());
        }
        client.half_close();
        assert!(client.is_closed());
        eventually("the origin's connection ends", || origin.open() == 0);
    });
}

#[test]
fn bytes_sent_ahead_of_the_switch_are_not_lost() {
    on_each_driver(|driver| {
        let origin = chat();
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        client.send(format!("{ASK}early")).expect_head("HTTP/1.1 101");
        assert_eq!(client.read_bytes(5), b"early");
    });
}

#[test]
fn an_origin_may_refuse_and_the_connection_stays_http() {
    on_each_driver(|driver| {
        let origin = Origin::named("no");
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        for _ in 0..2 {
            let reply = client.ask(ASK);
            assert_eq!((reply.status(), reply.text().as_str()), (200, "no"));
        }
    });
}

#[test]
fn a_listener_that_does_not_allow_it_asks_for_no_upgrade() {
    on_each_driver(|driver| {
        let origin = Origin::named("plain");
        let config =
            format!("listener.x = {{ bind = \"127.0.0.1:0\", upgrade = [] }}\n{}", to(&origin));
        let proxy = Running::start(driver, &config);
        assert_eq!(proxy.ask(ASK).text(), "plain");
        assert_eq!(origin.request().field("upgrade"), None);
    });
}

#[test]
fn a_switch_that_nobody_asked_for_is_a_bad_gateway() {
    on_each_driver(|driver| {
        let origin = Origin::once(SWITCH);
        let proxy = Running::start(driver, &to(&origin));
        assert_eq!(proxy.status_of("/"), 502);
    });
}

#[test]
fn the_end_of_either_side_ends_a_tunnel() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| {
            call.read_head()?;
            call.reply(SWITCH)?;
            call.read_more()?;
            call.reply("bye")
        });
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        client.send(ASK).expect_head("HTTP/1.1 101");
        assert_eq!(client.send("x").read_rest(), b"bye");
        drop(client);
        eventually("the client's connection ends", || proxy.sum(|core| core.connections) == 0);
    });
}

#[test]
fn a_tunnel_that_is_silent_for_too_long_is_closed() {
    on_each_driver(|driver| {
        let origin = chat();
        let proxy = Running::start(driver, &format!("{}timeouts.tunnel = \"300ms\"", to(&origin)));
        let mut client = proxy.connect();
        client.send(ASK).expect_head("HTTP/1.1 101");
        assert!(client.is_closed());
        eventually("the origin's connection ends", || origin.open() == 0);
    });
}
