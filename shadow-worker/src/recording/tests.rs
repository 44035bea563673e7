//! Captures survive being written, cut and lied about.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};

use super::*;

fn opening() -> Opening {
    Opening {
        gnomon_capture: 1,
        started: 1_700_000_000_000,
        route: Some("shop".into()),
        upstream: None,
        sample: 10.0,
        config: "abc".into(),
        redacted: Rules::of(&Redact::default()),
    }
}

fn exchange(nth: u64) -> Recorded {
    let request = Request { method: "GET".into(), target: format!("/{nth}"), ..Request::default() };
    let reply = Some(Answer { status: 200, ..Answer::default() });
    Recorded { at_us: nth, request, reply, ..Recorded::default() }
}

fn end() -> End {
    let dropped = BTreeMap::from([("busy".to_owned(), 2)]);
    End { why: "count".into(), eligible: 12, sampled: 12, written: 10, unanswered: 0, dropped }
}

fn capture() -> Vec<u8> {
    let mut all = opening().to_line().to_vec();
    (0..10).for_each(|nth| all.extend_from_slice(&exchange(nth).to_line()));
    all.extend_from_slice(&end().to_line());
    all
}

fn coded(bytes: &[u8]) -> Vec<u8> {
    let mut coder = GzEncoder::new(Vec::new(), Compression::fast());
    coder.write_all(bytes).unwrap();
    coder.finish().unwrap()
}

fn all(bytes: Vec<u8>) -> Result<(Vec<Recorded>, Option<End>), Flaw> {
    let mut recording = Recording::open(io::Cursor::new(bytes))?;
    assert_eq!(recording.opening(), &opening());
    let mut exchanges = Vec::new();
    while let Some(exchange) = recording.next_exchange()? {
        exchanges.push(exchange);
    }
    Ok((exchanges, recording.end().cloned()))
}

#[test]
fn a_capture_survives_a_round_trip_compressed_or_not() {
    for bytes in [capture(), coded(&capture())] {
        let (exchanges, last) = all(bytes).unwrap();
        assert_eq!(exchanges, (0..10).map(exchange).collect::<Vec<_>>());
        assert_eq!(last, Some(end()));
    }
}

#[test]
fn wherever_it_is_cut_it_is_read_up_to_its_last_whole_line() {
    let (whole, first) = (capture(), opening().to_line().len());
    for length in first..whole.len() {
        let (exchanges, last) = all(whole[..length].to_vec()).unwrap();
        let lines = whole[..length].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!((exchanges.len(), last), (lines - 1, None));
    }
    let mut coder = GzEncoder::new(Vec::new(), Compression::fast());
    coder.write_all(&whole[..whole.len() - 3]).unwrap();
    coder.flush().unwrap();
    let (exchanges, last) = all(coder.get_ref().clone()).unwrap();
    assert_eq!((exchanges.len(), last), (10, None));
    let coded = coded(&whole);
    let mut most = 0;
    for length in 1..coded.len() {
        match all(coded[..length].to_vec()) {
            Ok((exchanges, _)) => most = exchanges.len(),
            Err(flaw) => assert!(matches!(flaw, Flaw::NoCapture), "{flaw}"),
        }
    }
    assert_eq!(most, 10);
}

#[test]
fn what_is_no_capture_is_refused() {
    let flaw = |bytes: &[u8]| all(bytes.to_vec()).unwrap_err();
    assert_eq!(flaw(b""), Flaw::NoCapture);
    assert_eq!(flaw(b"GET / HTTP/1.1\r\n"), Flaw::NoCapture);
    assert_eq!(flaw(b"{\"gnomon_capture\":2}\n"), Flaw::Version(2));
    assert!(matches!(flaw(b"{\"gnomon_capture\":1}\n"), Flaw::Line(1, _)));
    let mut bytes = opening().to_line().to_vec();
    bytes.extend_from_slice(b"{\"at_us\":1}\n");
    assert!(matches!(flaw(&bytes), Flaw::Line(2, _)));
    let mut evil = exchange(1);
    evil.request.target = "/ HTTP/1.1\r\nx: y".into();
    let bytes = [opening().to_line(), evil.to_line()].concat();
    assert_eq!(flaw(&bytes), Flaw::Request(2, bundle::Flaw::Target));
}

#[test]
fn a_line_without_end_is_given_up() {
    let mut bytes = opening().to_line().to_vec();
    bytes.resize(bytes.len() + LINE_MAX + 1, b' ');
    assert_eq!(all(bytes).unwrap_err(), Flaw::TooLong(2));
}

#[test]
fn members_that_nobody_knows_yet_are_passed_over() {
    let mut bytes = opening().to_line().to_vec();
    let more = String::from_utf8(exchange(1).to_line().to_vec()).unwrap();
    bytes.extend_from_slice(more.replacen('{', "{\"new\":1,", 1).as_bytes());
    assert_eq!(all(bytes).unwrap().0, [exchange(1)]);
}
