//! A few seconds of the soak, and that it sees what it is there to see.

use std::time::Duration;

use e2e::{
    Door, on_each_driver,
    soak::{Soak, Target, Terms},
};

use super::guest::Guest;

const TERMS: Terms = Terms {
    clients: 16,
    lasting: Duration::from_secs(20),
    sample: Duration::from_secs(1),
    reload: Duration::from_secs(3),
    seed: 20,
};

#[test]
fn under_faults_of_every_kind_no_reply_is_wrong_and_nothing_grows() {
    on_each_driver(|driver| {
        let soak = Soak::new(TERMS);
        let guest = Guest::start_on(driver, &[], &soak.config(0));
        let target = Target {
            door: Door::Unix(guest.socket()),
            admin: guest.folder().join("admin.sock"),
            config: guest.folder().join("gnomon.toml"),
            pid: guest.pid(),
        };
        let report = soak.run(&target, guest.doors());
        assert!(report.violations.is_empty(), "{report}");
        for what in [
            "right",
            "failed as their origin did",
            "cut as their origin did",
            "given up by their clients",
            "connections that died as they were used again",
            "reloads",
        ] {
            assert!(report.count(what) > 0, "nothing {what}: {report}");
        }
    });
}

/// A proxy that gives the reply to one request to whoever asks, and says that a cut one was whole.
#[test]
fn a_soak_of_a_proxy_that_errs_says_so() {
    let soak = Soak::new(Terms {
        clients: 2,
        lasting: Duration::from_millis(500),
        sample: Duration::from_millis(50),
        ..TERMS
    });
    let wrong = e2e::Origin::start(|call, number| {
        let reply = if number % 2 == 0 { "x-id: 0\r\nx-got: 0\r\n" } else { "" };
        while call.next_head()?.is_some() {
            call.reply(format!("HTTP/1.1 200 OK\r\n{reply}content-length: 0\r\n\r\n"))?;
        }
        Ok(())
    });
    let nobody = std::env::temp_dir().join("there-is-no-such-socket");
    let target = Target {
        door: Door::Tcp(wrong.address()),
        admin: nobody.clone(),
        config: nobody,
        pid: std::process::id(),
    };
    let report = soak.run(&target, "");
    let told = report.violations.join("\n");
    assert!(told.contains("the reply to another request"), "{told}");
    assert!(told.contains("failed without a reason"), "{told}");
    assert!(told.contains("the admin API does not answer"), "{told}");
}
