//! Request bodies: continued, refused early, broken off, read slowly.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use e2e::{Origin, Running, eventually, eventually::linger, on_each_driver, origin::ok};
use std::{sync::Arc, time::Duration};

use super::{GET, to};

#[test]
fn a_reply_that_beats_the_upload_still_reaches_the_client() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| {
            call.read_head()?;
            call.reply("HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")?;
            call.never_read_again();
            Ok(())
        });
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        client.send("POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 15000000\r\n\r\n");
        assert!(client.keep_sending(15_000_000) < 15_000_000);
        client.expect_head("HTTP/1.1 413");
        // Half an upload was left unread: this connection cannot be used again.
        assert!(client.is_closed());
    });
}

#[test]
fn the_origin_decides_whether_an_upload_may_begin() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| {
            let head = call.read_head()?;
            assert!(head.to_lowercase().contains("expect: 100-continue"), "{head}");
            call.reply("HTTP/1.1 100 Continue\r\n\r\n")?;
            let request = call.read_body(&head)?;
            call.reply(ok(&String::from_utf8_lossy(&request.body)))
        });
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        client.send(
            "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n",
        );
        client.expect_head("HTTP/1.1 100");
        assert_eq!(client.send("hello").read_reply().text(), "hello");
    });
}

#[test]
fn an_upload_refused_before_it_began_is_never_sent() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| {
            call.read_head()?;
            call.reply("HTTP/1.1 417 No\r\ncontent-length: 0\r\n\r\n")?;
            call.drain();
            Ok(())
        });
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        client.send(
            "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n",
        );
        assert_eq!(client.read_reply().status(), 417);
        assert!(client.is_closed());
    });
}

#[test]
fn a_client_that_goes_away_in_the_middle_ends_the_exchange_at_the_origin() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| {
            let head = call.read_head()?;
            call.read_body(&head).map(|_| ())
        });
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf");
        eventually("the origin has the head", || origin.requests().len() == 1);
        client.reset();
        eventually("the origin's connection ends", || origin.open() == 0);
        assert!(!origin.request().whole);
        eventually("the client's connection ends", || proxy.sum(|core| core.connections) == 0);
        eventually("nothing is under way", || {
            proxy.status().upstreams[0].versions[0].in_flight == 0
        });
    });
}

#[test]
fn a_client_that_half_closes_after_its_request_gets_the_reply() {
    on_each_driver(|driver| {
        let origin = Origin::named("still");
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi").half_close();
        assert_eq!(client.read_reply().text(), "still");
        assert!(client.is_closed());
    });
}

#[test]
fn a_chunked_upload_that_turns_to_garbage_is_never_completed() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
        eventually("the origin is dialled", || origin.connections() == 1);
        client.send("zz\r\n\r\n");
        let reply = client.read_reply();
        assert!(matches!(reply.status(), 400 | 502), "{reply:?}");
        assert!(client.is_closed());
        eventually("the origin's connection ends", || origin.open() == 0);
        assert!(origin.requests().iter().all(|request| !request.whole));
    });
}

#[test]
fn a_slow_reader_holds_its_origin_back_and_not_the_memory() {
    on_each_driver(|driver| {
        const TOTAL: usize = 64 << 20;
        let sent = Arc::new(AtomicUsize::new(0));
        let count = sent.clone();
        let origin = Origin::start(move |call, _| {
            call.read_head()?;
            call.reply(format!("HTTP/1.1 200 OK\r\ncontent-length: {TOTAL}\r\n\r\n"))?;
            let piece = vec![b'x'; 64 * 1024];
            for _ in 0..TOTAL / piece.len() {
                call.reply(&piece)?;
                count.fetch_add(piece.len(), SeqCst);
            }
            Ok(())
        });
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        client.send(GET).await_answer();
        // The origin has come to a stand once two looks see the same.
        let mut last = usize::MAX;
        eventually("the origin stands", || {
            linger(Duration::from_millis(100));
            std::mem::replace(&mut last, sent.load(SeqCst)) == sent.load(SeqCst)
        });
        assert!(last < TOTAL / 2, "{last} bytes are somewhere");
        assert_eq!(client.read_reply().body.len(), TOTAL);
    });
}

#[test]
fn what_is_left_of_an_upload_is_not_the_next_request() {
    on_each_driver(|driver| {
        for (cut, rest) in [("\r", "\n"), ("GET", ": x\r\n\r\n")] {
            let origin = Origin::replying(ok("done"));
            let proxy = Running::start(driver, &to(&origin));
            let mut client = proxy.connect();
            client.send(format!(
                "POST /up HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
                 3\r\nabc\r\n0\r\n{cut}"
            ));
            eventually("the upload has begun", || origin.connections() == 1);
            client.send(rest);
            assert_eq!(client.read_reply().text(), "done");
            assert_eq!(client.ask("GET /next HTTP/1.1\r\nhost: a\r\n\r\n").text(), "done");
            let requests = origin.requests();
            assert_eq!(requests.last().expect("two").line(), "GET /next HTTP/1.1");
        }
    });
}

#[test]
fn a_slow_reply_to_an_upload_in_pieces_is_not_held_against_the_client() {
    on_each_driver(|driver| {
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let gone = std::sync::Mutex::new(gone);
        let origin = Origin::start(move |call, _| {
            while call.read_request()?.is_some() {
                // Longer than a client may take between two pieces.
                let wait = Duration::from_millis(1500);
                let _ = gone.lock().map(|gone| gone.recv_timeout(wait));
                call.reply(ok("late"))?;
            }
            Ok(())
        });
        let config = to(&origin) + "timeouts = { body = \"500ms\", response = \"20s\" }\n";
        let proxy = Running::start(driver, &config);
        let mut client = proxy.connect();
        client.send("POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab");
        eventually("the upload has begun", || origin.connections() == 1);
        client.send("cd");
        assert_eq!(client.read_reply().text(), "late");
        assert_eq!(client.ask("GET /next HTTP/1.1\r\nhost: a\r\n\r\n").text(), "late");
        drop(go);
    });
}
