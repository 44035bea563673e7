//! Many connections, rude ones, and one panic.

use e2e::{Origin, Running, eventually, on_each_driver};

use super::{GET, to};

#[test]
fn hundreds_of_connections_are_served_side_by_side_and_all_let_go() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &(to(&origin) + "runtime.cores = 2\n"));
        let mut clients: Vec<_> = (0..300).map(|_| proxy.connect()).collect();
        for client in &mut clients {
            client.send(GET);
        }
        for client in &mut clients {
            assert_eq!(client.read_reply().text(), "x");
        }
        drop(clients);
        eventually("all are let go", || proxy.sum(|core| core.connections) == 0);
        // A core keeps a few buffers of its own, and reads idle connections to origins into others.
        eventually("and their buffers", || {
            proxy.sum(|core| core.buffers) <= 8 + proxy.sum(|core| core.origin_connections)
        });
    });
}

#[test]
fn resets_at_any_moment_harm_nobody_else() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &to(&origin));
        let post = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n0123456789";
        for end in 0..post.len() {
            let mut client = proxy.connect();
            client.send(&post[..end]);
            client.reset();
        }
        assert_eq!(proxy.get("/"), "x");
        eventually("all are let go", || proxy.sum(|core| core.connections) == 0);
        let origins = || origin.requests().iter().filter(|request| request.whole).count();
        assert_eq!(origins(), 1);
    });
}

#[test]
fn a_client_that_reads_nothing_and_resets_frees_its_origin() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| {
            call.read_head()?;
            call.reply("HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")?;
            loop {
                call.reply(vec![b'x'; 65536])?;
            }
        });
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        client.send(GET).await_answer();
        client.reset();
        eventually("the origin is freed", || origin.open() == 0);
        eventually("the client is gone", || proxy.sum(|core| core.connections) == 0);
    });
}

#[test]
fn origins_that_reset_at_any_moment_are_bad_gateways_or_cut() {
    on_each_driver(|driver| {
        let reply = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfour";
        let origin = Origin::start(move |call, number| {
            call.read_head()?;
            call.reply(&reply[..number % reply.len()])?;
            call.reset();
            Ok(())
        });
        let more = "upstream.o.retry.attempts = 0\nupstream.o.eject.after = 0\n";
        let proxy = Running::start(driver, &(to(&origin) + more));
        let head = reply.len() - 4;
        for end in 0..reply.len() {
            let mut client = proxy.connect();
            client.send(GET);
            let got = client.try_read_reply_to("GET");
            let status = got.as_ref().map_or(0, e2e::Reply::status);
            if end < head {
                assert_eq!(status, 502, "after {end} bytes: {got:?}");
            } else {
                // The reset may overtake what came before it.
                let whole = got.as_ref().is_ok_and(|got| got.status() == 200 && got.whole);
                assert!(!whole, "after {end} bytes: {got:?}");
            }
        }
    });
}

#[test]
fn several_listeners_serve_the_same_routes() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let config = format!(
            "listener.a.bind = [\"127.0.0.1:0\", \"[::1]:0\"]\nlistener.b.bind = \"127.0.0.1:0\"\n{}",
            to(&origin)
        );
        // A machine without IPv6 is no failure of ours.
        let proxy = match Running::try_start(driver, &config) {
            Ok(proxy) => proxy,
            Err(_) => Running::start(driver, &config.replace(", \"[::1]:0\"", "")),
        };
        assert_eq!(e2e::Client::connect(proxy.address_of("a")).ask(GET).text(), "x");
        assert_eq!(e2e::Client::connect(proxy.address_of("b")).ask(GET).text(), "x");
    });
}
