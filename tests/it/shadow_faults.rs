//! Shadows that misbehave, and what the client sees of it: nothing.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use e2e::{
    Origin, Running, eventually,
    eventually::linger,
    on_each_driver,
    origin::{Call, ok},
};
use gnomon::boot::Report;

use super::{
    GET,
    guest::Guest,
    shadow::{books, of, post, settled, shadowed, shadowed_at, total, under_way},
};

/// What a client does while a shadow misbehaves; all of it succeeds, on one connection.
fn ask_all(proxy: &Running, requests: &[String]) {
    let mut client = proxy.connect();
    for request in requests {
        let reply = client.ask(request);
        assert_eq!((reply.status(), reply.text().as_str()), (200, "one"), "{request:.80}");
    }
}

/// So many requests without bodies.
fn gets(count: usize) -> Vec<String> {
    vec![GET.to_owned(); count]
}

/// Every copy fails for one of these reasons.
#[track_caller]
fn fails(shadow: &Origin, more: &str, why: &[&str]) {
    on_each_driver(|driver| {
        let primary = Origin::named("one");
        let proxy = Running::start(driver, &shadowed(&primary, shadow, more));
        ask_all(&proxy, &gets(4));
        let books = settled(&proxy, "new", 4).accounting;
        let failed: u64 = why.iter().map(|why| of(&books.failed, why)).sum();
        assert_eq!((books.copied, failed), (4, 4), "{books:#?}");
        // Nor is anything left that would keep the next ones from being copied.
        ask_all(&proxy, &gets(4));
        assert_eq!(settled(&proxy, "new", 8).accounting.copied, 8);
    });
}

/// Every copy is answered, and compared.
#[track_caller]
fn answers(shadow: &Origin) {
    on_each_driver(|driver| {
        let primary = Origin::named("one");
        let proxy = Running::start(driver, &shadowed(&primary, shadow, ""));
        ask_all(&proxy, &gets(6));
        let books = settled(&proxy, "new", 6).accounting;
        assert_eq!(books.compared, 6, "{books:#?}");
    });
}

const SOON: &str = "shadow.new.timeout = \"300ms\"\n";

/// An origin that takes requests and never answers.
fn hung() -> Origin {
    Origin::start(|call, _| {
        while call.read_request()?.is_some() {}
        Ok(())
    })
}

/// An origin that does the same on every connection once a head has come.
fn after_head(act: impl Fn(&mut Call) -> io::Result<()> + Send + Sync + 'static) -> Origin {
    Origin::start(move |call, _| {
        call.read_head()?;
        act(call)
    })
}

#[test]
fn nobody_listens() {
    on_each_driver(|driver| {
        let primary = Origin::named("one");
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        let nobody = nobody.expect("there is a free port").to_string();
        let config = shadowed_at(&primary.address().to_string(), &nobody, "");
        let proxy = Running::start(driver, &config);
        ask_all(&proxy, &gets(4));
        // Once refused, it is left alone for a while: a copy of each request would be in vain.
        let all = settled(&proxy, "new", 4).accounting;
        let (refused, spared) = (of(&all.failed, "refused"), of(&all.dropped, "unreachable"));
        assert_eq!((refused >= 1, refused + spared), (true, 4), "{all:?}");
        eventually("it is tried again", || {
            ask_all(&proxy, &gets(1));
            of(&books(&proxy, "new").accounting.failed, "refused") > refused
        });
    });
}

#[test]
fn it_never_answers() {
    fails(&hung(), SOON, &["timeout"]);
}

#[test]
fn it_drips() {
    let shadow = Origin::start(|call, _| {
        call.read_head()?;
        for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".iter().chain(&[b'x'; 1000]) {
            call.reply([*byte])?;
            linger(Duration::from_millis(100));
        }
        Ok(())
    });
    fails(&shadow, SOON, &["timeout"]);
}

#[test]
fn it_resets() {
    let at_once = Origin::start(|call, _| {
        call.reset();
        Ok(())
    });
    // Whether that is seen while connecting or while sending is a matter of chance.
    fails(&at_once, "", &["connect", "reset"]);
    let before_head = after_head(|call| {
        call.reset();
        Ok(())
    });
    fails(&before_head, "", &["reset"]);
}

#[test]
fn its_reply_does_not_come_whole() {
    let parts = [
        "HTTP/1.1 200 OK\r\ncont",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhalf",
        "HTTP/1.1 103 Early Hints\r\n\r\n",
    ];
    for part in parts {
        fails(&after_head(move |call| call.reply(part)), "", &["reset"]);
    }
}

#[test]
fn what_it_says_is_no_reply() {
    let endless = after_head(|call| {
        call.reply("HTTP/1.1 200 OK\r\n")?;
        loop {
            call.reply("x: y\r\n".repeat(1000))?;
        }
    });
    fails(&endless, "", &["malformed"]);
    let replies = [
        "garbage\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx".to_owned(),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".to_owned(),
        "HTTP/1.1 100 Continue\r\n\r\n".repeat(11),
    ];
    for reply in replies {
        fails(&Origin::replying(reply), "", &["malformed"]);
    }
}

#[test]
fn its_reply_has_no_end() {
    let told = after_head(|call| {
        call.reply("HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n")?;
        call.drain();
        Ok(())
    });
    fails(&told, "", &["too_long"]);
}

#[test]
fn replies_of_any_form_are_read() {
    let forms = [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nt: 1\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n\
         HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 100\r\n\r\n",
    ];
    for form in forms {
        answers(&Origin::replying(form));
    }
    for form in ["HTTP/1.0 200 OK\r\n\r\nabc", "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"] {
        answers(&Origin::once(form));
    }
}

#[test]
fn connections_that_it_closed_meanwhile_lose_no_copy() {
    on_each_driver(|driver| {
        let primary = Origin::named("one");
        let shadow = Origin::once(ok("two"));
        let more = "shadow.new.match.method = [\"GET\", \"POST\"]\n";
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, more));
        for count in 1..=10 {
            ask_all(&proxy, &gets(1));
            assert_eq!(settled(&proxy, "new", count).accounting.compared, count);
        }
        // What may not be sent twice may be lost.
        for count in 11..=20 {
            ask_all(&proxy, &[post("/", "x")]);
            settled(&proxy, "new", count);
        }
        let books = settled(&proxy, "new", 20).accounting;
        assert_eq!(books.compared + of(&books.failed, "reset"), 20, "{books:#?}");
        let posts = shadow.requests().iter().filter(|it| it.line().starts_with("POST")).count();
        assert!(posts <= 10, "{posts} posts");
    });
}

#[test]
fn it_refuses_an_upload_early() {
    let refusal = "HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n";
    let closes = after_head(move |call| call.reply(refusal));
    let stays = after_head(move |call| {
        call.reply(refusal)?;
        call.never_read_again();
        Ok(())
    });
    for shadow in [closes, stays] {
        on_each_driver(|driver| {
            let primary = Origin::named("one");
            let more = "shadow.new.match.method = \"POST\"\nshadow.new.body = \"16MiB\"\n";
            let proxy = Running::start(driver, &shadowed(&primary, &shadow, more));
            ask_all(&proxy, &[post("/", &"x".repeat(8 << 20)), post("/", &"y".repeat(8 << 20))]);
            let books = settled(&proxy, "new", 2).accounting;
            assert_eq!(books.compared, 2, "{books:#?}");
        });
    }
}

#[test]
fn no_more_copies_are_under_way_than_may_be() {
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::named("one"), hung());
        let more = "shadow.new.in_flight = 4\n";
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, more));
        ask_all(&proxy, &gets(50));
        let books = under_way(&proxy, "new", 50, 4).accounting;
        assert_eq!((books.copied, of(&books.dropped, "in_flight")), (4, 46), "{books:#?}");
        eventually("the four have come", || shadow.requests().len() == 4);
    });
}

#[test]
fn uploads_that_end_at_once_are_no_way_around_the_cap() {
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::named("one"), hung());
        let more = "shadow.new.in_flight = 2\nshadow.new.match.method = \"POST\"\n";
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, more));
        let mut clients: Vec<_> = (0..8).map(|_| proxy.connect()).collect();
        for client in &mut clients {
            client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n12345");
        }
        eventually("all are under way", || books(&proxy, "new").accounting.sampled == 8);
        for client in &mut clients {
            assert_eq!(client.send("67890").read_reply().text(), "one");
        }
        let books = under_way(&proxy, "new", 8, 2).accounting;
        assert_eq!((books.copied, of(&books.dropped, "in_flight")), (2, 6), "{books:#?}");
    });
}

#[test]
fn copies_hold_no_more_memory_than_they_may_and_give_it_back() {
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::named("one"), hung());
        let more = "limits.shadow = \"64KiB\"\nshadow.new.match.method = \"POST\"\n\
                    shadow.new.timeout = \"1s\"\n";
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, more));
        let body = "x".repeat(10 << 10);
        let mut dropped = 0;
        for round in 1..=3 {
            ask_all(&proxy, &vec![post("/", &body); 10]);
            let books = settled(&proxy, "new", round * 10).accounting;
            let now = of(&books.dropped, "memory");
            // Half of it is for copies, of which three fit at once; unless they have ended.
            assert!(now > dropped && now - dropped <= 7, "{books:#?}");
            assert_eq!(now, total(&books.dropped));
            dropped = now;
        }
        // All of it is free again: exactly three fit.
        ask_all(&proxy, &vec![post("/", &body); 3]);
        assert_eq!(of(&settled(&proxy, "new", 33).accounting.dropped, "memory"), dropped);
    });
}

#[test]
fn a_primary_that_fails_leaves_nothing_to_compare_with() {
    on_each_driver(|driver| {
        let primary = Origin::once("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
        let shadow = Origin::named("two");
        let more = "upstream.shop.retry.attempts = 0\n";
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, more));
        for _ in 0..5 {
            let reply = proxy.ask(GET);
            assert_eq!((reply.status(), reply.whole), (200, false));
        }
        let books = settled(&proxy, "new", 5).accounting;
        assert_eq!(of(&books.unpaired, "primary_failed"), 5, "{books:#?}");
    });
}

#[test]
fn what_no_primary_took_is_not_copied() {
    on_each_driver(|driver| {
        let shadow = Origin::named("two");
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        let nobody = nobody.expect("there is a free port").to_string();
        let config = shadowed_at(&nobody, &shadow.address().to_string(), "");
        let proxy = Running::start(driver, &config);
        assert!(proxy.status_of("/") >= 500);
        let books = settled(&proxy, "new", 1).accounting;
        assert_eq!(of(&books.dropped, "incomplete"), 1, "{books:#?}");
        assert_eq!(shadow.connections(), 0);
    });
}

#[test]
fn what_another_version_answers_is_not_compared() {
    on_each_driver(|driver| {
        let (stable, shadow) = (Origin::named("one"), Origin::named("two"));
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        let nobody = nobody.expect("there is a free port");
        let config = format!(
            "upstream.shop.versions.v1 = [\"{}\"]\nupstream.shop.versions.v2 = [\"{nobody}\"]\n\
             upstream.shop.split = {{ v1 = 50, v2 = 50 }}\nroute.all.to = \"shop\"\n\
             upstream.shop.eject.after = 0\nupstream.o.versions.v = [\"{}\"]\n\
             shadow.new = {{ from = \"shop@v2\", to = \"o@v\", shed_at = \"100%\", \
             timeout = \"60s\" }}\n",
            stable.address(),
            shadow.address()
        );
        let proxy = Running::start(driver, &config);
        ask_all(&proxy, &gets(40));
        eventually("some were meant for the other", || books(&proxy, "new").accounting.sampled > 0);
        let sampled = books(&proxy, "new").accounting.sampled;
        let books = settled(&proxy, "new", sampled).accounting;
        assert_eq!(of(&books.unpaired, "primary_moved"), sampled, "{books:#?}");
    });
}

#[test]
fn a_client_that_leaves_takes_the_pair_with_it() {
    on_each_driver(|driver| {
        let go = Arc::new(AtomicBool::new(false));
        let gone = go.clone();
        let primary = after_head(move |call| {
            call.reply("HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\nbegun")?;
            eventually("the client has left", || gone.load(SeqCst));
            while call.reply([b'x'; 10_000]).is_ok() {}
            Ok(())
        });
        let shadow = Origin::named("two");
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, ""));
        let mut client = proxy.connect();
        client.send(GET).expect_head("HTTP/1.1 200");
        client.reset();
        go.store(true, SeqCst);
        let books = settled(&proxy, "new", 1).accounting;
        assert_eq!(of(&books.unpaired, "primary_failed"), 1, "{books:#?}");
    });
}

/// An origin that answers once it is let go, and from then on.
fn held() -> (Origin, Arc<AtomicBool>) {
    let go = Arc::new(AtomicBool::new(false));
    let gone = go.clone();
    let origin = Origin::start(move |call, _| {
        while call.read_request()?.is_some() {
            eventually("it is let go", || gone.load(SeqCst));
            call.reply(ok("two"))?;
        }
        Ok(())
    });
    (origin, go)
}

#[test]
fn a_reload_changes_nothing_for_copies_under_way() {
    on_each_driver(|driver| {
        let (primary, (shadow, go)) = (Origin::named("one"), held());
        let text = shadowed(&primary, &shadow, "");
        let proxy = Running::start(driver, &text);
        ask_all(&proxy, &gets(3));
        under_way(&proxy, "new", 3, 3);
        // Another name: counts of its own.
        proxy.edit("shadow.new", "shadow.other");
        proxy.reload().expect("it is right");
        ask_all(&proxy, &gets(2));
        under_way(&proxy, "other", 2, 2);
        // Another endpoint, under the old name, whose counts go on.
        let next = Origin::named("two");
        proxy.write(&text.replace(&shadow.address().to_string(), &next.address().to_string()));
        proxy.reload().expect("it is right");
        ask_all(&proxy, &gets(1));
        eventually("the new endpoint is asked", || next.requests().len() == 1);
        under_way(&proxy, "new", 4, 3);
        // None at all.
        let (kept, _) = text.split_once("shadow.new").expect("it is there");
        proxy.write(kept);
        proxy.reload().expect("it is right");
        ask_all(&proxy, &gets(5));
        assert_eq!(proxy.call("GET", "/v1/shadows", ""), (200, "[]".to_owned()));
        go.store(true, SeqCst);
        proxy.write(
            &(text
                + "shadow.other = { from = \"shop@v1\", to = \"shop@v2\", \
                      shed_at = \"100%\", sample = \"0%\" }\n"),
        );
        proxy.reload().expect("it is right");
        assert_eq!(settled(&proxy, "new", 4).accounting.compared, 4);
        assert_eq!(settled(&proxy, "other", 2).accounting.compared, 2);
        assert_eq!(shadow.requests().len(), 5);
    });
}

#[test]
fn a_stop_does_not_wait_for_copies() {
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::named("one"), hung());
        let more = "timeouts.drain = \"10s\"\n";
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, more));
        ask_all(&proxy, &gets(10));
        under_way(&proxy, "new", 10, 10);
        assert_eq!(proxy.stop(), Report { cut: 0, stuck: 0 });
    });
}

#[test]
fn neither_endless_replies_nor_long_uploads_cost_more_memory_than_allowed() {
    let primary = Origin::named("one");
    let endless = after_head(|call| {
        call.reply("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
        let piece = [b"10000\r\n".as_slice(), &vec![b'x'; 0x10000], b"\r\n"].concat();
        for _ in 0..16_384 {
            call.reply(&piece)?;
        }
        Ok(())
    });
    let mut config = shadowed(
        &primary,
        &endless,
        "limits.shadow = \"8MiB\"\n\
         shadow.new.match.method = [\"GET\", \"POST\"]\nshadow.new.body = \"16MiB\"\n",
    );
    for number in 0..8 {
        config += &format!(
            "shadow.s{number} = {{ from = \"shop@v1\", to = \"shop@v2\", shed_at = \"100%\", \
             timeout = \"60s\", match.method = [\"GET\", \"POST\"], body = \"16MiB\" }}\n"
        );
    }
    let proxy = Guest::start(&config);
    let mut client = proxy.connect();
    assert_eq!(client.ask(GET).text(), "one");
    let ended = |count: u64| {
        let books = proxy.books().accounting;
        books.in_flight == 0 && books.sampled == count
    };
    eventually("the first ones have ended", || ended(1));
    assert_eq!(of(&proxy.books().accounting.failed, "too_long"), 1);
    let before = proxy.peak();
    let body = "x".repeat(3 << 20);
    assert_eq!(client.ask(post("/", &body)).text(), "one");
    eventually("the second ones have ended", || ended(2));
    let more = proxy.peak() - before;
    // Nine copies of three MiB would be 27.
    assert!(more < 20 << 10, "{more} KiB more");
}
