//! Replies that end too early, at every byte there is: what a client is told.

use std::time::Duration;

use e2e::{Call, Client, Origin, Reply, Running, eventually::linger, on_each_driver};

use super::to;

/// Replies in every framing there is, each with the body `four5`; the number of bytes of its head.
fn forms() -> Vec<(&'static str, usize)> {
    [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfour5",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfour\r\n1\r\n5\r\n0\r\nx-t: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nfour5",
        "HTTP/1.0 200 OK\r\n\r\nfour5",
    ]
    .into_iter()
    .map(|reply| (reply, reply.find("\r\n\r\n").map_or(0, |end| end + 4)))
    .collect()
}

/// How an origin lets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Reset,
    Close,
}

/// Sends the first bytes of a form, at once or the head first, and lets go. The request says which.
fn cutting(call: &mut Call) -> std::io::Result<()> {
    let Some(request) = call.read_request()? else { return Ok(()) };
    let target = request.line().split(' ').nth(1).unwrap_or_default().to_owned();
    let numbers: Vec<usize> = target.split('/').filter_map(|part| part.parse().ok()).collect();
    let [form, at] = numbers[..] else { return Ok(()) };
    let (reply, head) = forms()[form];
    if target.contains("slow") && at > head {
        call.reply(&reply[..head])?;
        linger(Duration::from_millis(3));
        call.reply(&reply[head..at])?;
    } else {
        call.reply(&reply[..at])?;
    }
    if target.contains("Reset") {
        call.reset();
    }
    Ok(())
}

/// What may come of a reply of which only `at` bytes came.
fn check(form: usize, at: usize, end: End, what: &str, got: &std::io::Result<Reply>) {
    let (reply, head) = forms()[form];
    let until_close = form >= 2;
    let is_whole = at == reply.len() || (until_close && at >= head);
    let got_whole = got.as_ref().is_ok_and(|got| got.status() == 200 && got.whole);
    let status = got.as_ref().map_or(0, Reply::status);
    let said = || format!("form {form}, {at} of {} bytes, {end:?}, {what}: {got:?}", reply.len());
    match end {
        _ if at < head => assert_eq!(status, 502, "{}", said()),
        End::Close if is_whole => {
            assert!(got_whole, "{}", said());
            let body = got.as_ref().map(Reply::text).unwrap_or_default();
            assert_eq!(body, "four5"[..body.len()], "{}", said());
        }
        // A reset may overtake what came before it; one behind the end harms nobody.
        End::Reset if at == reply.len() && !until_close => {
            assert!(matches!(status, 0 | 200 | 502), "{}", said());
        }
        End::Reset | End::Close => assert!(!got_whole, "{}", said()),
    }
    if let Ok(got) = got
        && got.status() == 200
    {
        assert!("four5".as_bytes().starts_with(&got.body), "{}", said());
    }
}

fn cut_everywhere(request: impl Fn(&str) -> String + Sync, more: &str) {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| cutting(call));
        // None is kept: one that closes right behind its reply may die under the next request.
        let off = "upstream.o.eject.after = 0\nupstream.o.pool.idle_per_core = 0\n";
        let proxy = Running::start(driver, &(to(&origin) + off + more));
        let mut asked = 0;
        for (form, (reply, _)) in forms().into_iter().enumerate() {
            for (end, pace) in
                [(End::Reset, "slow"), (End::Reset, ""), (End::Close, "slow"), (End::Close, "")]
            {
                for at in 0..=reply.len() {
                    let target = format!("/{end:?}/{pace}/{form}/{at}");
                    let mut client = proxy.connect();
                    client.send(request(&target));
                    let got = client.try_read_reply_to("GET");
                    check(form, at, end, &target, &got);
                    asked += 1;
                }
            }
        }
        assert_eq!(origin.requests().len(), asked, "each has arrived once");
    });
}

#[test]
fn a_reply_that_ends_at_any_byte_is_a_bad_gateway_or_cut() {
    let request = |target: &str| format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
    cut_everywhere(request, "upstream.o.retry.attempts = 0\n");
}

#[test]
fn the_same_of_a_post_which_is_never_sent_again() {
    let request =
        |target: &str| format!("POST {target} HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi");
    cut_everywhere(request, "upstream.o.retry = { attempts = 5, budget = \"100%\" }\n");
}

#[test]
fn the_same_to_a_client_to_which_the_end_of_the_connection_is_that_of_the_reply() {
    let request = |target: &str| format!("GET {target} HTTP/1.0\r\nhost: a\r\n\r\n");
    cut_everywhere(request, "upstream.o.retry.attempts = 0\n");
}

#[test]
fn a_reply_that_comes_byte_by_byte_is_the_same_reply() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, number| {
            call.read_request()?;
            for byte in forms()[number].0.as_bytes() {
                call.reply([*byte])?;
                linger(Duration::from_micros(300));
            }
            Ok(())
        });
        let proxy = Running::start(driver, &to(&origin));
        for (form, _) in forms() {
            let reply = proxy.ask("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
            assert!(reply.status() == 200 && reply.whole, "{form:?}: {reply:?}");
            assert_eq!(reply.text(), "four5", "{form:?}");
        }
    });
}

#[test]
fn what_follows_a_cut_reply_is_not_taken_for_its_rest() {
    on_each_driver(|driver| {
        // The second connection would go on where the first was cut.
        let origin = Origin::start(|call, number| {
            call.read_request()?;
            if number == 0 {
                call.reply("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")?;
                return Ok(());
            }
            call.reply("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond")
        });
        let proxy = Running::start(driver, &to(&origin));
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n");
        let reply = client.read_reply();
        assert_eq!((reply.status(), reply.whole, reply.text().as_str()), (200, false, "half"));
        assert!(client.is_closed(), "nothing may follow");
        assert_eq!(Client::connect(proxy.address()).ask(super::GET).text(), "second");
    });
}
