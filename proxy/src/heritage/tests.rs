//! The line: frames and sockets arrive whole and in order, and what is wrong with them is told.

use std::thread;

use super::*;

const SOON: Duration = Duration::from_secs(5);

fn lines() -> (Line, Line) {
    let (one, two) = UnixStream::pair().unwrap();
    (Line::new(one), Line::new(two))
}

fn listener(place: usize) -> Tag {
    Tag::Listener { name: "web".to_owned(), place }
}

#[test]
fn frames_and_sockets_arrive_in_order() {
    let (mut old, mut new) = lines();
    let sender = thread::Builder::new().spawn(move || {
        let socket = || std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into();
        let many: Vec<_> = (0..150).map(|place| (listener(place), socket())).collect();
        old.send_sockets(&many, SOON).unwrap();
        old.send(&Frame::Left(Box::default()), SOON).unwrap();
        old.send(&Frame::Farewell { cut: 3 }, SOON).unwrap();
    });
    let mut places = Vec::new();
    loop {
        let frame = new.receive(SOON).unwrap().unwrap();
        if let Frame::Left(left) = frame {
            break assert_eq!(*left, Left::default());
        }
        let Frame::Sockets(tags) = frame else { panic!("{frame:?}") };
        places.extend(new.sockets(tags).unwrap().into_iter().map(|(tag, _)| tag));
    }
    assert_eq!(places, (0..150).map(listener).collect::<Vec<_>>());
    assert!(matches!(new.receive(SOON).unwrap(), Some(Frame::Farewell { cut: 3 })));
    sender.unwrap().join().unwrap();
    assert!(new.receive(SOON).unwrap().is_none(), "the other side has gone");
}

#[test]
fn what_is_no_frame_is_told() {
    for (bytes, what) in [
        (&[255, 255, 255, 255][..], "too long"),
        (&[2, 0, 0, 0, b'{', b'}'], "expected value"),
        (&[9, 0, 0, 0, b'"'], ""),
        (&[7, 0], ""),
    ] {
        let (old, mut new) = lines();
        (&old.socket).write_all(bytes).unwrap();
        drop(old);
        let error = new.receive(SOON).unwrap_err();
        assert!(error.to_string().contains(what), "{bytes:?}: {error}");
    }
}

#[test]
fn a_socket_that_did_not_come_is_missed_and_silence_is_bounded() {
    let (mut old, mut new) = lines();
    old.send(&Frame::Sockets(vec![listener(0)]), SOON).unwrap();
    let Some(Frame::Sockets(tags)) = new.receive(SOON).unwrap() else { panic!("sockets") };
    assert!(new.sockets(tags).is_err());
    let error = new.receive(Duration::from_millis(20)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}
