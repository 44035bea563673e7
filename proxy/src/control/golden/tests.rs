//! A window holds what came within it, and nothing else.

use super::*;
use gnomon_config::model::VersionIx;
use gnomon_policy::RouteIx;

fn book() -> RouteBook {
    let text = "listen = \"127.0.0.1:0\"\nupstream.o.versions.v1 = [\"127.0.0.1:1\"]\n\
                upstream.o.versions.v2 = [\"127.0.0.1:2\"]\nupstream.o.split = { v1 = 100 }\n\
                route.a = { match = { path = \"/a\" }, to = \"o\" }\n";
    let loaded = gnomon_config::parse("test", text, &gnomon_config::Options::default());
    let config = loaded.unwrap_or_else(|problems| panic!("{}", problems.render(false))).config;
    RouteBook::new(&config, 2, None)
}

fn answer(book: &RouteBook, core: usize, class: usize, millis: u64) {
    let cells = book.cells(core, RouteIx(0), VersionIx(1)).unwrap();
    cells.arms[0].add(1);
    cells.classes[class].add(1);
    cells.times.record(Time::FirstByte, millis * 500_000);
    let time = if class == 4 { Time::Failed } else { Time::Whole };
    cells.times.record(time, millis * 1_000_000);
}

#[test]
fn a_minute_adds_up_the_cores_and_forgets_what_is_older() {
    let (book, mut minute) = (book(), Minute::new());
    let begun = minute.begun;
    assert!(minute.report(&book, begun + PART).is_empty());
    for _ in 0..90 {
        answer(&book, 0, 1, 20);
    }
    for _ in 0..10 {
        answer(&book, 1, 4, 900);
    }
    let golden = minute.report(&book, begun + PART).remove(0);
    assert_eq!((&*golden.route, &*golden.upstream, &*golden.version), ("a", "o", "v2"));
    assert_eq!((golden.arms.drawn, golden.classes), (100, [0, 90, 0, 0, 10]));
    assert_eq!((golden.rate, golden.error_rate, golden.seconds), (10.0, 0.1, 10.0));
    assert_eq!((golden.latency.count, golden.failure_latency.count), (90, 10));
    let p99 = golden.latency.p99_seconds.unwrap();
    assert!((0.018..0.022).contains(&p99), "{p99}");
    let p50 = golden.first_byte.p50_seconds.unwrap();
    assert!((0.009..0.011).contains(&p50), "{p50}");
    for part in 1..=6 {
        minute.turn(&book, begun + PART * part);
        assert_eq!(minute.report(&book, begun + PART * part).len(), usize::from(part < 6));
    }
    answer(&book, 0, 2, 3);
    let golden = minute.report(&book, begun + PART * 6).remove(0);
    assert_eq!((golden.classes, golden.seconds), ([0, 0, 1, 0, 0], 50.0));
}
