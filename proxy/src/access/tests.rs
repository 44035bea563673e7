//! Round trips, at every place a ring may cut a frame.

use std::{thread, time::Duration};

use gnomon_policy::{luck::Luck, plan::Assignment};

use super::*;

fn record<'a>(texts: Texts<'a>, seed: u32) -> Record<'a> {
    Record {
        time: Duration::new(1_795_369_260, 123_456_789),
        total_us: seed,
        queue_us: 1,
        connect_us: 2,
        first_byte_us: u32::MAX,
        status: 503,
        minor: 1,
        attempts: 2,
        end: *b"OC",
        assignment: Some(Assignment::Fallback),
        probability: 5_000,
        sent: u64::MAX,
        received: 7,
        tls: [None, Some((TlsVersion::Tls12, false)), Some((TlsVersion::Tls13, true))]
            [seed as usize % 3],
        texts,
        is_plain: false,
        arm: [None, Some(Arm::Stable), Some(Arm::Pinned)][seed as usize % 3],
        wants: Wants { line: true, viewers: seed.is_multiple_of(2), spans: seed.is_multiple_of(3) },
        spans: &[7, 8, 9][..seed as usize % 4],
    }
}

fn check(expected: &Record<'_>, producer: &mut Recorder, consumer: &mut Consumer<u8>) {
    assert!(producer.write(expected));
    let mut seen = false;
    assert!(read(consumer, &mut Vec::new(), |record| {
        seen = true;
        assert_eq!(format!("{record:?}"), format!("{expected:?}"));
    }));
    assert!(seen);
    assert!(!read(consumer, &mut Vec::new(), |_| panic!("nothing is left")));
}

#[test]
fn a_record_comes_back_as_it_was_at_every_cut() {
    let texts = Texts {
        route: b"shop",
        path: b"/cart\r\n\xff",
        query: Some(b""),
        endpoint: b"127.0.0.1:80",
        ..Texts::default()
    };
    // A prime number of bytes, so that each turn begins at another place.
    let (producer, mut consumer) = rtrb::RingBuffer::new(257);
    let mut producer = Recorder::new(producer);
    for turn in 0..600 {
        check(&record(texts, turn), &mut producer, &mut consumer);
    }
    check(&record(Texts { query: None, ..texts }, 0), &mut producer, &mut consumer);
}

#[test]
fn texts_of_any_length_survive_and_long_ones_are_cut() {
    let bytes: Vec<u8> = (0..=255).cycle().take(4 * TEXT_MAX).collect();
    let (producer, mut consumer) = rtrb::RingBuffer::new(40_009);
    let mut producer = Recorder::new(producer);
    let mut luck = Luck::seeded(11);
    let mut draw = || usize::try_from(luck.draw() % (TEXT_MAX as u64 + 1)).unwrap();
    for turn in 0..500 {
        let texts = Texts {
            path: &bytes[..draw()],
            query: (turn % 3 > 0).then(|| &bytes[..draw()]),
            user_agent: &bytes[..draw()],
            referer: &bytes[..draw()],
            host: &bytes[..draw()],
            ..Texts::default()
        };
        check(&record(texts, turn), &mut producer, &mut consumer);
    }
    let long = Texts { path: &bytes, ..Texts::default() };
    assert!(producer.write(&record(long, 0)));
    read(&mut consumer, &mut Vec::new(), |record| assert_eq!(record.texts.path.len(), TEXT_MAX));
}

#[test]
fn one_odd_byte_anywhere_is_seen() {
    let (producer, mut consumer) = rtrb::RingBuffer::new(RING_BYTES);
    let mut producer = Recorder::new(producer);
    let mut plainness = |path: &[u8]| {
        let texts =
            Texts { path, host: b"a.example", user_agent: b"curl/8 (x; y)", ..Texts::default() };
        assert!(producer.write(&record(texts, 0)));
        let mut is_plain = None;
        read(&mut consumer, &mut Vec::new(), |record| is_plain = Some(record.is_plain));
        is_plain.unwrap()
    };
    for odd in 0..=u8::MAX {
        for at in [0, 15, 16, 40] {
            let mut path = [b'x'; 41];
            path[at] = odd;
            let escaped = !matches!(odd, b' '..=b'~') || odd == b'"' || odd == b'\\';
            assert_eq!(plainness(&path), !escaped, "{odd}");
        }
    }
}

#[test]
fn what_is_no_line_leaves_half_of_the_ring_to_lines() {
    let (producer, mut consumer) = rtrb::RingBuffer::new(4096);
    let mut producer = Recorder::new(producer);
    let texts = Texts { path: &[b'a'; 60], ..Texts::default() };
    let line = record(texts, 1);
    let wants = Wants { line: false, viewers: true, spans: false };
    let viewed = Record { wants, ..line };
    let count = (0..100).filter(|_| producer.write(&viewed)).count();
    assert!(count > 5 && producer.ring.slots() >= 4096 / 2 - 400, "{count}");
    let lines = (0..100).filter(|_| producer.write(&line)).count();
    // Its first one may reach into the other half.
    assert!(lines >= count - 2, "{lines} of {count}");
    assert!(read(&mut consumer, &mut Vec::new(), |record| assert_eq!(record.wants, wants)));
}

#[test]
fn a_full_ring_takes_nothing_of_a_frame() {
    let (producer, mut consumer) = rtrb::RingBuffer::new(200);
    let mut producer = Recorder::new(producer);
    let texts = Texts { path: &[b'a'; 60], ..Texts::default() };
    assert!(producer.write(&record(texts, 1)));
    let room = producer.ring.slots();
    assert!(!producer.write(&record(texts, 2)));
    assert_eq!(producer.ring.slots(), room);
    assert!(read(&mut consumer, &mut Vec::new(), |record| assert_eq!(record.total_us, 1)));
    assert!(producer.write(&record(texts, 3)));
    assert!(read(&mut consumer, &mut Vec::new(), |record| assert_eq!(record.total_us, 3)));
}

#[test]
fn records_between_threads_keep_their_order() {
    let (producer, mut consumer) = rtrb::RingBuffer::new(1009);
    let mut producer = Recorder::new(producer);
    let core = thread::Builder::new().spawn(move || {
        let text = [b'x'; 300];
        (0..50_000).for_each(|turn| {
            let texts = Texts { path: &text[..turn as usize % 300], ..Texts::default() };
            while !producer.write(&record(texts, turn)) {
                thread::yield_now();
            }
        });
    });
    let (mut frame, mut expected) = (Vec::new(), 0);
    while expected < 50_000 {
        read(&mut consumer, &mut frame, |record| {
            assert_eq!(record.total_us, expected);
            assert_eq!(record.texts.path.len(), expected as usize % 300);
            expected += 1;
        });
    }
    core.unwrap().join().unwrap();
}
