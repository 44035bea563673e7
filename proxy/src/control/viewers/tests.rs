//! Who is shown what, and what becomes of those who do not read.

use super::*;
use crate::{
    access::{Texts, Wants},
    control::tests::{bench, run},
};

fn record(path: &'static [u8], status: u16) -> Record<'static> {
    let texts = Texts { path, query: Some(b"token=secret&a=1"), ..Texts::default() };
    Record {
        time: Duration::ZERO,
        total_us: 0,
        queue_us: 0,
        connect_us: 0,
        first_byte_us: 0,
        status,
        minor: 1,
        attempts: 1,
        end: *b"--",
        assignment: None,
        probability: 0,
        sent: 0,
        received: 0,
        texts,
        tls: None,
        is_plain: false,
        arm: None,
        wants: Wants { viewers: true, ..Wants::default() },
        spans: &[],
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn each_sees_what_passes_its_filter_and_nobody_sees_a_secret() {
    let viewers = Viewers::default();
    let mut show = Show::new(&viewers);
    show.redact(&["token".into()]);
    let (all, mut seen_by_all) = viewers.admit(Filter::default()).unwrap();
    let (failures, _) = asked(&pairs(&[("status", "5xx")])).unwrap();
    let (_, mut seen_failures) = viewers.admit(failures).unwrap();
    show.follow();
    show.show(&record(b"/ok", 200));
    show.show(&record(b"/broken", 503));
    let mut lines = Vec::new();
    while let Ok(line) = seen_by_all.try_recv() {
        lines.push(String::from_utf8(line.to_vec()).unwrap());
    }
    assert_eq!(lines.len(), 2);
    assert!(lines[0].contains("/ok") && lines[1].contains("/broken"));
    assert!(lines.iter().all(|line| line.contains("token=<redacted>&a=1") && line.ends_with('\n')));
    let line = seen_failures.try_recv().unwrap();
    assert!(line.ends_with(lines[1].as_bytes()));
    assert!(seen_failures.try_recv().is_err());
    viewers.dismiss(&all);
    show.follow();
    show.show(&record(b"/ok", 200));
    assert!(seen_by_all.try_recv().is_err());
    assert_eq!(viewers.lines(), (3, 0));
}

#[test]
fn only_so_many_may_look() {
    let viewers = Viewers::default();
    let seats: Vec<_> = (0..VIEWERS_MAX).map(|_| viewers.admit(Filter::default())).collect();
    assert!(seats.iter().all(Option::is_some));
    assert!(viewers.admit(Filter::default()).is_none());
    viewers.dismiss(&seats[0].as_ref().unwrap().0);
    assert!(viewers.admit(Filter::default()).is_some());
}

#[test]
fn who_does_not_read_loses_lines_and_is_told() {
    let viewers = Viewers::default();
    let mut show = Show::new(&viewers);
    let (viewer, lines) = viewers.admit(Filter::default()).unwrap();
    show.follow();
    (0..LINES_MAX + 7).for_each(|_| show.show(&record(b"/", 200)));
    assert_eq!(viewers.lines(), (LINES_MAX as u64, 7));
    run(async {
        let (chunks, mut body) = mpsc::channel(1);
        let leaving = viewers.leaving.subscribe();
        let count = LINES_MAX as u64;
        tell(&viewer, lines, count, leaving, &chunks).await;
        let text = String::from_utf8(body.recv().await.unwrap().to_vec()).unwrap();
        assert_eq!(text.lines().count(), LINES_MAX + 2);
        assert!(text.ends_with("{\"dropped\":7}\n{\"end\":\"count\"}\n"), "{text}");
    });
}

#[test]
fn what_is_asked_for_must_make_sense() {
    for (key, text, told) in [
        ("status", "6xx", "names no statuses"),
        ("count", "0", "no number"),
        ("color", "red", "no condition `color`"),
        ("min", "fast", "min: "),
    ] {
        let refused = asked(&pairs(&[(key, text)])).unwrap_err();
        assert!(refused.error.contains(told), "{refused}");
        assert!(refused.help.is_some());
    }
    let (filter, count) = asked(&pairs(&[("upstream", "shop@v2"), ("count", "3")])).unwrap();
    assert_eq!((filter.upstreams.len(), count), (1, 3));
}

#[test]
fn the_cores_write_everything_down_only_while_somebody_looks() {
    let bench = bench("viewers", "");
    run(async {
        let control = &bench.control;
        let viewed = || control.shared.publisher.current().viewed;
        assert!(!viewed());
        let first = control.view(&[]).await.unwrap();
        let second = control.view(&[]).await.unwrap();
        assert!(viewed());
        drop(first);
        drop(second);
        while viewed() {
            tokio::task::yield_now().await;
        }
        let body = control.view(&[]).await.unwrap();
        control.logs.viewers.leave();
        let whole = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        assert_eq!(&whole[..], b"{\"end\":\"leaving\"}\n");
        while viewed() {
            tokio::task::yield_now().await;
        }
    });
}
