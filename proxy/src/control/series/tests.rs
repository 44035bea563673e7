//! Rates, windows, means and streams, on cells that a test writes.

use std::{sync::Arc, time::Duration};

use gnomon_policy::judge::{bernoulli::Counts, range};
use http_body_util::BodyExt;

use super::{
    HistoryAsked,
    book::{self, Book, COARSE, COARSE_SECONDS, FINE},
    kept::{Kept, Named, Row},
    stream::STREAMS_MAX,
    window::{ALPHA, Small, Tally},
};
use crate::{
    cells::VersionCells,
    clock,
    control::{
        Control, Stop,
        api::{
            Arm,
            series::{Beat, Entry, History, VersionBeat},
        },
        registry::VersionKey,
        tests::{bench, run},
    },
};

fn key(version: &str) -> VersionKey {
    VersionKey { upstream: "shop".into(), version: version.into() }
}

fn cells(control: &Control, version: &str) -> Vec<Arc<VersionCells>> {
    control.state().registry.version(&key(version)).unwrap().cells.clone()
}

/// So many seconds later, on this thread.
struct Time(clock::Moment, Duration, u64);

impl Time {
    fn begin() -> Self {
        let time = Self(clock::now(), clock::wall(), 0);
        time.set();
        time
    }

    fn set(&self) {
        let later = Duration::from_secs(self.2);
        clock::simulate(Some((self.0 + later, self.1 + later)));
    }

    fn beat(&mut self, control: &Control) -> Beat {
        self.2 += 1;
        self.set();
        control.beat();
        newest(control)
    }
}

impl Drop for Time {
    fn drop(&mut self) {
        clock::simulate(None);
    }
}

fn newest(control: &Control) -> Beat {
    control.series.book().since(0).last().unwrap().beat(|_| true)
}

fn of<'a>(beat: &'a Beat, version: &str) -> &'a VersionBeat {
    beat.versions.iter().find(|it| it.version == version).unwrap()
}

/// Counts requests, some of them failed, and how long the others took, in milliseconds.
fn count(cells: &VersionCells, good: u64, bad: u64, millis: u64) {
    cells.classes[1].add(good);
    cells.classes[4].add(bad);
    (0..good).for_each(|_| cells.latency.record(millis * 1_000_000));
}

#[test]
fn rates_are_differences_and_a_window_is_a_minute() {
    let bench = bench("beats", "");
    let control = &bench.control;
    let (v1, v2) = (cells(control, "v1"), cells(control, "v2"));
    control.begin_series();
    let mut time = Time::begin();
    control.begin_series();
    count(&v1[0], 10, 2, 5);
    count(&v1[1], 8, 0, 20);
    v1[1].truncated.add(1);
    v2[0].in_flight.set(3);
    let beat = time.beat(control);
    let (one, two) = (of(&beat, "v1"), of(&beat, "v2"));
    assert_eq!((one.rate, one.errors, one.arm, one.share), (20.0, 3.0, Some(Arm::Stable), 95.0));
    assert_eq!((two.rate, two.in_flight, two.arm), (0.0, 3, Some(Arm::Canary)));
    let minute = one.minute;
    assert_eq!((minute.requests, minute.error_rate, one.step), (20, 0.15, None));
    let expected = range::rate(Counts { bad: 3, all: 20 }, ALPHA);
    assert!((minute.error_band.0 - expected.0).abs() < 1e-6, "{minute:?} {expected:?}");
    assert!((minute.error_band.1 - expected.1).abs() < 1e-6, "{minute:?} {expected:?}");
    let near = |seen: Option<f64>, expected: f64| (seen.unwrap() / expected - 1.0).abs() < 0.02;
    assert!(near(minute.p50, 0.005) && near(minute.p99, 0.02), "{minute:?}");
    assert_eq!(time.beat(control).versions[0].rate, 0.0);
    (0..50).for_each(|_| drop(time.beat(control)));
    assert_eq!(of(&newest(control), "v1").minute.requests, 20, "they are not a minute old");
    (0..20).for_each(|_| drop(time.beat(control)));
    let minute = of(&newest(control), "v1").minute;
    assert_eq!((minute.requests, minute.error_band, minute.p50), (0, (0.0, 1.0), None));
}

#[test]
fn the_band_of_a_quantile_is_the_judges() {
    let mut tally = Tally { requests: 5000, bad: 0, times: Vec::new() };
    tally.times = (300..400).map(|place| (place, 50)).collect();
    let mut cells = vec![0; gnomon_policy::golden::CELLS];
    cells[300..400].fill(50);
    let (low, high) = range::quantile(&cells, 0.99, ALPHA);
    let edge = |place| gnomon_policy::golden::bounds(place).1 as f64 / 1e9;
    let window = tally.window();
    assert_eq!(window.p99_band, (low.map(edge), high.map(edge)));
    let (low, high) = (window.p99_band.0.unwrap(), window.p99_band.1.unwrap());
    assert!(low < window.p99.unwrap() && window.p99.unwrap() <= high);
    // As it is kept and told.
    let told = Small::of(&window).window();
    assert!((told.p99_band.0.unwrap() - low).abs() < 1e-6 && told.requests == 5000);
}

#[test]
fn versions_come_and_go_and_what_comes_back_goes_on() {
    let bench = bench("reloaded", "");
    let control = &bench.control;
    run(async {
        control.begin_series();
        let v2 = cells(control, "v2");
        count(&v2[0], 6, 0, 1);
        control.beat();
        let two = "versions.v2 = [\"127.0.0.1:2\"]";
        bench.change(two, "versions.v3 = [\"127.0.0.1:2\"]");
        bench.change("v2 = 5", "v3 = 5");
        control.reload().await.unwrap();
        count(&cells(control, "v3")[1], 4, 0, 1);
        control.beat();
        let beat = newest(control);
        assert_eq!(of(&beat, "v3").minute.requests, 4, "none is lost before the first look");
        assert!(beat.versions.iter().all(|it| it.version != "v2"));
        bench.change("versions.v3", "versions.v2");
        bench.change("v3 = 5", "v2 = 5");
        control.reload().await.unwrap();
        control.beat();
        assert_eq!(of(&newest(control), "v2").minute.requests, 6);
        let asked = HistoryAsked::new("shop@v3", 0);
        let history = history(control, asked).await;
        assert_eq!(history.beats.len(), 3);
        let shown: Vec<usize> = history.beats.iter().map(|beat| beat.versions.len()).collect();
        assert_eq!((shown, history.beats[0].left_out), (vec![0, 1, 0], 0));
    });
}

async fn history(control: &Control, asked: HistoryAsked) -> History {
    serde_json::from_slice(&control.history(asked).await.unwrap()).unwrap()
}

fn kept(at: u64, names: &Arc<[Named]>, rates: &[f32]) -> Arc<Kept> {
    let rows = (0..).zip(rates).map(|(place, rate)| Row {
        place,
        rate: *rate,
        errors: rate / 2.0,
        in_flight: 1,
        minute: Small::empty(),
    });
    Arc::new(Kept {
        at,
        saturation: rates[0],
        fullest: format!("at {at}").into(),
        cores: [0.1, rates[0]].into(),
        names: names.clone(),
        shares: vec![50.0; names.len()].into(),
        rows: rows.collect(),
        ..Kept::default()
    })
}

fn names(versions: &[&str]) -> Arc<[Named]> {
    versions.iter().map(|version| Named { key: key(version), arm: None }).collect()
}

#[test]
fn ten_seconds_become_one_and_an_hour_is_all() {
    let (old, new) = (names(&["v1", "v2"]), names(&["v2", "v3"]));
    let mut book = Book::default();
    let total = FINE + COARSE_SECONDS - 1;
    for at in 0..total {
        // The configuration changes within the first ten.
        let names = if at < 5 { &old } else { &new };
        book.push(kept(at as u64 + 1, names, &[1.0, 3.0]));
    }
    assert_eq!(book.since(0).len(), total);
    book.push(kept(1000, &new, &[1.0, 3.0]));
    let all = book.since(0);
    assert_eq!(all.len(), FINE + 1);
    let first = all[0].beat(|_| true);
    assert_eq!((first.at, first.versions.len(), first.versions[0].share), (10, 2, 50.0));
    // v2 had 3 a second and then 1; v3 nothing and then 3.
    assert_eq!(first.versions.iter().map(|it| it.rate).collect::<Vec<_>>(), [2.0, 1.5]);
    assert_eq!(
        (first.versions[0].errors, first.cores, first.saturation),
        (1.0, vec![0.1, 1.0], 1.0)
    );
    assert_eq!(book.since(1).len(), FINE + 1, "the mean ends later");
    assert_eq!(book.since(999).len(), 1);
    for at in 2000..9000 {
        book.push(kept(at, &new, &[1.0, 3.0]));
    }
    let all = book.since(0);
    assert!((COARSE + FINE..COARSE + FINE + COARSE_SECONDS).contains(&all.len()));
    assert!(all.is_sorted_by_key(|kept| kept.at));
}

#[test]
fn a_beat_takes_few_bytes_and_a_history_has_a_bound() {
    let versions: Vec<String> = (0..500).map(|number| format!("v{number}")).collect();
    let names = names(&versions.iter().map(String::as_str).collect::<Vec<_>>());
    let all: Vec<Arc<Kept>> = (1..=3).map(|at| kept(at, &names, &[1.5; 500])).collect();
    assert_eq!(size_of::<Row>(), 52);
    assert!(all[0].bytes() < 500 * 52 + 300, "{}", all[0].bytes());
    let told = |asked: &HistoryAsked| -> History {
        let wanted = asked.wanted().unwrap();
        serde_json::from_slice(&book::write(&all, &wanted).unwrap()).unwrap()
    };
    let unasked = told(&HistoryAsked::new("", 0));
    assert_eq!((unasked.beats[0].versions.len(), unasked.beats[0].left_out), (64, 436));
    let asked = told(&HistoryAsked::new("shop@v499,shop@v3,cart", 0));
    let shown: Vec<&str> = asked.beats[0].versions.iter().map(|it| it.version.as_str()).collect();
    assert_eq!((shown, asked.beats[0].left_out), (vec!["v3", "v499"], 0));
    assert_eq!(told(&HistoryAsked::new("shop", 0)).beats[2].versions.len(), 500);
    assert!(HistoryAsked::new(&vec!["a"; 65].join(","), 0).wanted().is_err());
}

/// The next event of a stream: its name, id and data.
async fn next(body: &mut axum::body::Body) -> Option<String> {
    let frame = body.frame().await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

#[test]
fn streams_tell_beats_and_entries_and_end_with_the_process() {
    let bench = bench("stream", "");
    let control = &bench.control;
    run(async {
        control.begin_series();
        let entry = |text: &str| Entry { text: text.to_owned(), ..Entry::default() };
        control.journal.add(entry("before"));
        control.journal.add(entry("missed"));
        let mut body = control.events(None).unwrap().into_body();
        assert_eq!(next(&mut body).await.unwrap(), "retry: 1000\n\n");
        control.beat();
        let beat = next(&mut body).await.unwrap();
        let data = beat.strip_prefix("event: beat\ndata: ").unwrap();
        let beat: Beat = serde_json::from_str(data.trim_end()).unwrap();
        assert_eq!(beat, newest(control));
        control.journal.add(entry("after"));
        let told = next(&mut body).await.unwrap();
        assert!(told.starts_with("event: entry\nid: 3\ndata: {") && told.contains("after"));
        let mut again = control.events(Some(1)).unwrap().into_body();
        assert_eq!(next(&mut again).await.unwrap(), "retry: 1000\n\n");
        assert!(next(&mut again).await.unwrap().contains("missed"));
        assert!(next(&mut again).await.unwrap().contains("after"));
        // One that nobody reads holds nothing back.
        let _stuck = control.events(None).unwrap();
        for _ in 0..5 {
            control.beat();
            assert!(next(&mut body).await.unwrap().starts_with("event: beat"));
        }
        control.ask_stop(Stop::Graceful);
        while next(&mut body).await.is_some() {}
        assert!(control.events(None).is_err(), "no more of them");
    });
}

#[test]
fn there_are_only_so_many_streams() {
    let bench = bench("streams", "");
    let control = &bench.control;
    run(async {
        let open: Vec<_> = (0..STREAMS_MAX).map(|_| control.events(None).unwrap()).collect();
        let refused = control.events(None).unwrap_err();
        assert_eq!(refused.kind.status(), 503);
        assert!(refused.error.contains("32 streams"), "{refused}");
        drop(open);
        while control.series.streams() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        control.events(None).unwrap();
    });
}

#[test]
fn what_is_left_is_what_another_process_goes_on_with() {
    let (one, other) = (bench("leaves", ""), bench("inherits", ""));
    let left = {
        let control = &one.control;
        control.begin_series();
        count(&cells(control, "v1")[0], 9, 1, 5);
        let mut time = Time::begin();
        (0..140).for_each(|_| drop(time.beat(control)));
        count(&cells(control, "v1")[0], 4, 1, 7);
        drop(time.beat(control));
        control.journal.add(Entry { text: "old".to_owned(), ..Entry::default() });
        let left = serde_json::to_string(&control.leave_series()).unwrap();
        serde_json::from_str(&left).unwrap()
    };
    let control = &other.control;
    let counted = &cells(control, "v1")[0];
    // As the block of the process before has it.
    count(counted, 13, 2, 5);
    control.inherit_series(left);
    let before: Vec<Beat> =
        one.control.series.book().since(0).iter().map(|it| it.beat(|_| true)).collect();
    let after: Vec<Beat> =
        control.series.book().since(0).iter().map(|it| it.beat(|_| true)).collect();
    assert_eq!(before.len(), after.len());
    assert_eq!(before, after);
    count(counted, 2, 0, 5);
    control.begin_series();
    control.beat();
    assert_eq!(of(&newest(control), "v1").minute.requests, 7, "the minute goes on");
    control.journal.add(Entry { text: "new".to_owned(), ..Entry::default() });
    let texts: Vec<(u64, String)> =
        control.journal.list(0, 9).items.into_iter().map(|it| (it.id, it.text)).collect();
    assert_eq!(texts, [(2, "new".to_owned()), (1, "old".to_owned())]);
}
