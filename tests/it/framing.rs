//! Where messages end, on both sides, and what becomes of the connection then.

use e2e::{Origin, Running, on_each_driver};

use super::{GET, to};

#[test]
fn a_connection_carries_one_request_after_the_other() {
    on_each_driver(|driver| {
        let origin = Origin::named("hello");
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        for _ in 0..5 {
            let reply = client.ask(GET);
            assert_eq!((reply.status(), reply.text().as_str()), (200, "hello"));
        }
        assert_eq!(origin.connections(), 1);
        assert_eq!(proxy.sum(|core| core.accepted), 1);
    });
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    on_each_driver(|driver| {
        let origin = Origin::mirror();
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        let all: String =
            (0..50).map(|n| format!("GET /{n} HTTP/1.1\r\nhost: a\r\n\r\n")).collect();
        client.send(all);
        for n in 0..50 {
            let reply = client.read_reply();
            assert!(reply.text().starts_with(&format!("GET /{n} HTTP/1.1\r\n")), "{reply:?}");
        }
    });
}

#[test]
fn a_request_may_follow_a_body_in_the_same_segment() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        client.send(
            "POST /1 HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nGET /\
             POST /2 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
             GET /3 HTTP/1.1\r\nhost: a\r\n\r\n",
        );
        for _ in 0..3 {
            assert_eq!(client.read_reply().status(), 200);
        }
        let requests = origin.requests();
        let bodies: Vec<_> = requests.iter().map(|request| request.body.as_slice()).collect();
        assert_eq!(bodies, [b"GET /" as &[u8], b"abc", b""]);
        assert_eq!(requests[2].line(), "GET /3 HTTP/1.1");
    });
}

#[test]
fn bytes_that_come_one_by_one_make_the_same_request() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        let request = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
                       4\r\nabcd\r\n1\r\ne\r\n0\r\nx-sum: 5\r\n\r\n";
        for byte in request.as_bytes() {
            client.send([*byte]);
        }
        assert_eq!(client.read_reply().status(), 200);
        let got = origin.request();
        assert_eq!(
            (got.body.as_slice(), got.trailers.as_str()),
            (b"abcde" as &[u8], "x-sum: 5\r\n")
        );
    });
}

#[test]
fn chunks_and_trailers_come_back_as_chunks_and_trailers() {
    on_each_driver(|driver| {
        let origin = Origin::replying(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
             5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nx-sum: 11\r\n\r\n",
        );
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        for _ in 0..2 {
            let reply = client.ask("GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\n\r\n");
            assert_eq!(reply.text(), "hello world");
            assert!(reply.trailers.to_lowercase().contains("x-sum: 11"), "{reply:?}");
        }
        assert_eq!(origin.connections(), 1);
    });
}

#[test]
fn a_reply_until_close_reaches_a_client_that_keeps_its_connection() {
    on_each_driver(|driver| {
        let origin = Origin::once("HTTP/1.1 200 OK\r\n\r\nall there is");
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        for _ in 0..2 {
            let reply = client.ask(GET);
            assert_eq!((reply.text().as_str(), reply.whole), ("all there is", true));
            assert_eq!(reply.field("transfer-encoding"), Some("chunked"));
        }
        assert_eq!(origin.connections(), 2);
    });
}

#[test]
fn a_client_of_1_0_gets_no_chunks_and_is_closed_on() {
    on_each_driver(|driver| {
        let origin = Origin::replying(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        );
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        let reply = client.ask("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
        assert_eq!((reply.text().as_str(), reply.field("transfer-encoding")), ("hi", None));
        assert!(client.is_closed());
    });
}

#[test]
fn a_client_of_1_0_may_ask_to_be_kept() {
    on_each_driver(|driver| {
        let origin = Origin::named("hi");
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        for _ in 0..2 {
            let reply = client.ask("GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n");
            let connection = reply.field("connection").unwrap_or_default().to_lowercase();
            assert_eq!((reply.text().as_str(), connection.as_str()), ("hi", "keep-alive"));
        }
    });
}

#[test]
fn an_origin_of_1_0_is_not_asked_twice_on_a_connection() {
    on_each_driver(|driver| {
        let origin = Origin::once("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi");
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        for _ in 0..3 {
            let reply = client.ask(GET);
            assert_eq!(reply.text(), "hi");
            assert!(reply.head.starts_with("HTTP/1.1 200"), "{reply:?}");
        }
        assert_eq!(origin.connections(), 3);
    });
}

#[test]
fn replies_without_a_body_leave_the_connection_in_step() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| {
            while let Some(request) = call.read_request()? {
                call.reply(match request.line() {
                    "HEAD / HTTP/1.1" => "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n",
                    "GET /204 HTTP/1.1" => "HTTP/1.1 204 No Content\r\n\r\n",
                    "GET /304 HTTP/1.1" => {
                        "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\netag: \"x\"\r\n\r\n"
                    }
                    _ => "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlast",
                })?;
            }
            Ok(())
        });
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        let head = client.ask("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!((head.status(), head.field("content-length")), (200, Some("1000")));
        assert_eq!(client.ask("GET /204 HTTP/1.1\r\nhost: a\r\n\r\n").status(), 204);
        let unchanged = client.ask("GET /304 HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!((unchanged.status(), unchanged.field("etag")), (304, Some("\"x\"")));
        assert_eq!(client.ask(GET).text(), "last");
        assert_eq!(origin.connections(), 1);
    });
}

#[test]
fn interim_replies_reach_the_client_before_the_final_one() {
    on_each_driver(|driver| {
        let origin = Origin::replying(
            "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
             HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        );
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        let hints = client.send(GET).expect_head("HTTP/1.1 103");
        assert!(hints.to_lowercase().contains("link: </a.css>"), "{hints}");
        client.expect_head("HTTP/1.1 102");
        assert_eq!(client.read_reply().text(), "ok");
        // Whoever speaks 1.0 does not know of them.
        assert_eq!(proxy.ask("GET / HTTP/1.0\r\nhost: a\r\n\r\n").status(), 200);
    });
}

#[test]
fn a_reply_that_is_cut_short_is_cut_short_for_the_client() {
    on_each_driver(|driver| {
        let replies = [
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        ];
        for reply in replies {
            let origin = Origin::once(reply);
            let proxy = Running::start(driver, &to(&origin));
            let mut client = proxy.connect();
            client.send(GET);
            let cut = client.try_read_reply_to("GET");
            assert!(cut.as_ref().is_ok_and(|cut| cut.status() == 200 && !cut.whole), "{cut:?}");
            assert!(client.is_closed());
        }
    });
}

#[test]
fn an_origin_that_speaks_garbage_is_a_bad_gateway() {
    on_each_driver(|driver| {
        let replies: [&[u8]; 6] = [
            b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
            b"HTTP/1.1 abc OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x0d\x0a\x0d\x0a",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        ];
        for reply in replies {
            let origin = Origin::once(reply);
            let proxy = Running::start(driver, &to(&origin));
            let mut client = proxy.connect();
            let answer = client.ask(GET);
            assert_eq!(answer.status(), 502, "{:?}", String::from_utf8_lossy(reply));
            // It is the origin's fault: the client may go on.
            assert_eq!(client.ask(GET).status(), 502);
        }
    });
}

#[test]
fn what_cannot_be_framed_is_refused_and_never_reaches_an_origin() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &to(&origin));
        let table = [
            (
                "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
                400,
            ),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +3\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n", 501),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nhost : a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n host: a\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\nhost: a\r\n\r\n", 505),
            ("\x16\x03\x01\x02\r\n\r\n", 400),
        ];
        for (request, status) in table {
            let mut client = proxy.connect();
            let reply = client.ask(request);
            assert_eq!(reply.status(), status, "{request:?}");
            assert!(client.is_closed(), "{request:?}");
        }
        assert_eq!(origin.connections(), 0);
        assert_eq!(proxy.sum(|core| core.rejects), table.len() as u64);
    });
}

#[test]
fn a_large_body_comes_through_both_ways_unchanged() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| {
            while let Some(request) = call.read_request()? {
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", request.body.len());
                call.reply(head)?;
                call.reply(&request.body)?;
            }
            Ok(())
        });
        let proxy = Running::start(driver, &to(&origin));
        let body: Vec<u8> =
            (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut client = proxy.connect();
        client
            .send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", body.len()));
        client.send(&body);
        let reply = client.read_reply();
        assert!(reply.body == body, "{} bytes of {}", reply.body.len(), body.len());
    });
}
