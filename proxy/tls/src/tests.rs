//! Sessions with both ends in memory, and streams over socket pairs.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    sync::Arc,
};

use gnomon_sys::duplex::Duplex;
use monoio::io::Canceller;
use proptest::prelude::*;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion,
    client::UnbufferedClientConnection,
    pki_types::{PrivateKeyDer, ServerName},
    version::{TLS12, TLS13},
};

use crate::{
    Class, Stream, Version,
    handshake::{Handshake, Server, Step, prepare_client, prepare_server},
    outbox::Outbox,
    record::{HANDSHAKE, RECORD},
    session::Session,
};

/// What both ends go by.
struct Terms {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

fn terms(version: &'static SupportedProtocolVersion) -> Terms {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut server = ServerConfig::builder_with_protocol_versions(&[version])
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    prepare_server(&mut server);
    let mut client = ClientConfig::builder_with_protocol_versions(&[version])
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    prepare_client(&mut client);
    Terms { server: Arc::new(server), client: Arc::new(client) }
}

fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

impl Terms {
    /// Both ends of a session, shaken in memory.
    fn pair(&self) -> (Session, Session) {
        let mut server = Handshake::new(Server::new(Arc::clone(&self.server)).unwrap());
        let side = UnbufferedClientConnection::new(Arc::clone(&self.client), localhost()).unwrap();
        let mut client = Handshake::new(side);
        loop {
            let done = matches!(client.go_on().unwrap(), Step::Done);
            server.input.append(&mut client.output);
            let done = matches!(server.go_on().unwrap(), Step::Done) && done;
            client.input.append(&mut server.output);
            if done {
                return (server.finish().unwrap().0, client.finish().unwrap().0);
            }
        }
    }
}

/// What `session` makes of `content`.
fn sealed(session: &Session, mut content: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let mut out = Outbox::rent(session.wanted(content.len()));
        let count = session.seal(content, &mut out).unwrap();
        content = &content[count..];
        all.extend_from_slice(&out.bytes[out.range()]);
        out.give_back();
        if content.is_empty() {
            return all;
        }
    }
}

/// What `session` has to say beside data.
fn words(session: &Session) -> Vec<u8> {
    session.take_pending()
}

fn all_taken(session: &Session) -> (Vec<u8>, Option<std::io::Result<usize>>) {
    let mut plain = Vec::new();
    loop {
        match session.take(&mut plain, 1000) {
            Some(Ok(count)) if count > 0 => {}
            other => return (plain, other),
        }
    }
}

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|place| u8::try_from(place * 31 % 251).unwrap()).collect()
}

#[test]
fn what_was_agreed_on_is_known() {
    for (version, known) in [(&TLS12, Version::Tls12), (&TLS13, Version::Tls13)] {
        let terms = terms(version);
        for is_resumed in [false, true] {
            let (server, client) = terms.pair();
            assert_eq!(server.details.version, known);
            assert_eq!(server.details.is_resumed, is_resumed && client.details.is_resumed);
            assert_eq!(server.details.name.as_deref(), Some("localhost"));
            assert_eq!(server.details.protocol.as_deref(), Some(&b"http/1.1"[..]));
            assert!(server.details.suite.starts_with("TLS"), "{}", server.details.suite);
            assert_eq!(client.details.version, known);
        }
    }
}

#[test]
fn a_session_is_resumed() {
    for version in [&TLS12, &TLS13] {
        let terms = terms(version);
        let (server, client) = terms.pair();
        assert!(!server.details.is_resumed);
        // Tickets of TLS 1.3 come behind the handshake.
        client.settle(words(&server));
        let (server, client) = terms.pair();
        assert!(server.details.is_resumed && client.details.is_resumed);
        client.settle(sealed(&server, b"hello"));
        assert_eq!(all_taken(&client).0, b"hello");
    }
}

#[test]
fn both_ends_read_what_the_other_writes() {
    for version in [&TLS12, &TLS13] {
        let (server, client) = terms(version).pair();
        for length in [1, 100, 16_384, 16_385, 300_000] {
            let content = text(length);
            server.settle(sealed(&client, &content));
            assert_eq!(all_taken(&server).0, content);
            client.settle(sealed(&server, &content));
            assert_eq!(all_taken(&client).0, content);
        }
        client.close();
        server.settle(words(&client));
        assert!(matches!(all_taken(&server), (empty, Some(Ok(0))) if empty.is_empty()));
        client.settle(sealed(&server, b"still"));
        assert_eq!(all_taken(&client).0, b"still");
        assert_eq!(client.seal(b"x", &mut Outbox::rent(10)), None);
    }
}

#[test]
fn keys_are_renewed_both_ways() {
    let (server, client) = terms(&TLS13).pair();
    server.settle(words(&client));
    for turn in 0..3 {
        client.wear_out();
        let content = text(50_000 + turn);
        server.settle(sealed(&client, &content));
        assert_eq!(all_taken(&server).0, content);
        client.settle(sealed(&server, b"and back"));
        assert_eq!(all_taken(&client).0, b"and back");
    }
}

#[test]
fn an_older_session_that_has_sealed_enough_ends() {
    let (_, client) = terms(&TLS12).pair();
    words(&client);
    client.wear_out();
    assert_eq!(client.seal(b"more", &mut Outbox::rent(10)), None);
}

/// rustls asks for a key update of ours; ours answers, behind what it wrote before.
#[test]
fn a_key_update_that_is_asked_for_is_answered_with_the_next_write() {
    let terms = terms(&TLS13);
    let mut theirs = ServerConnection::new(Arc::clone(&terms.server)).unwrap();
    let side = UnbufferedClientConnection::new(Arc::clone(&terms.client), localhost()).unwrap();
    let mut ours = Handshake::new(side);
    let pull = |theirs: &mut ServerConnection| {
        let mut bytes = Vec::new();
        while theirs.wants_write() {
            theirs.write_tls(&mut bytes).unwrap();
        }
        bytes
    };
    let push = |theirs: &mut ServerConnection, mut bytes: &[u8]| {
        while !bytes.is_empty() {
            theirs.read_tls(&mut bytes).unwrap();
            theirs.process_new_packets().unwrap();
        }
    };
    while !matches!(ours.go_on().unwrap(), Step::Done) {
        push(&mut theirs, &std::mem::take(&mut ours.output));
        ours.input.extend(pull(&mut theirs));
    }
    let (session, certificate) = ours.finish().unwrap();
    assert!(certificate.is_some());
    push(&mut theirs, &sealed(&session, b"before"));
    theirs.reader().read_exact(&mut [0; 6]).unwrap();
    session.settle(pull(&mut theirs));
    for turn in 0..5_u8 {
        theirs.refresh_traffic_keys().unwrap();
        theirs.writer().write_all(&[turn; 3]).unwrap();
        session.settle(pull(&mut theirs));
        assert_eq!(all_taken(&session).0, [turn; 3]);
        push(&mut theirs, &sealed(&session, &text(9000)));
        let mut read = vec![0; 9000];
        theirs.reader().read_exact(&mut read).unwrap();
        assert_eq!(read, text(9000));
    }
}

#[test]
fn idle_talk_ends_the_session() {
    let (server, client) = terms(&TLS13).pair();
    server.settle(words(&client));
    for _ in 0..40 {
        client.wear_out();
        // Renewing is all that this does.
        let mut out = Outbox::rent(100);
        client.seal(b"x", &mut out);
        let mut records = out.bytes[out.range()].to_vec();
        records.truncate(records.len() - 23);
        server.settle(records);
    }
    assert!(server.has_last_words());
}

#[test]
fn no_room_is_made_for_a_key_update_that_is_none() {
    for (length, is_over) in [([0, 0, 1], false), ([0, 0, 2], true), ([1, 0, 0], true)] {
        let (server, client) = terms(&TLS13).pair();
        server.settle(words(&client));
        client.push(HANDSHAKE, &[&[24], &length[..]].concat());
        server.settle(words(&client));
        assert_eq!(server.has_last_words(), is_over, "{length:?}");
    }
}

#[test]
fn plaintext_after_the_handshake_is_never_read() {
    for version in [&TLS12, &TLS13] {
        let (server, _) = terms(version).pair();
        server.settle(b"\x17\x03\x03\x00\x05hello".to_vec());
        let (plain, end) = all_taken(&server);
        assert!(plain.is_empty() && matches!(end, Some(Err(_))));
        assert!(server.has_last_words());
    }
}

#[test]
fn what_is_longer_than_a_record_may_be_is_refused_at_its_header() {
    let (server, _) = terms(&TLS13).pair();
    server.settle(vec![0x17, 3, 3, 0x7f, 0xff]);
    assert!(matches!(all_taken(&server).1, Some(Err(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_split_gives_the_same(
        is_older: bool,
        pieces in prop::collection::vec(1_usize..40_000, 1..6),
        splits in prop::collection::vec(1_usize..9000, 1..50),
    ) {
        let (server, client) = terms(if is_older { &TLS12 } else { &TLS13 }).pair();
        let content: Vec<_> = pieces.iter().map(|&length| text(length)).collect();
        let mut wire: Vec<u8> =
            content.iter().flat_map(|content| sealed(&client, content)).collect();
        let mut read = Vec::new();
        let mut splits = splits.iter().cycle();
        while !wire.is_empty() {
            let rest = wire.split_off((*splits.next().unwrap()).min(wire.len()));
            // As a read into a caller's buffer does, behind something that is already there.
            let mut bytes = b"before".to_vec();
            session_read(&server, &mut bytes, &wire);
            prop_assert_eq!(&bytes[..6], b"before");
            read.extend_from_slice(&bytes[6..]);
            wire = rest;
        }
        prop_assert_eq!(read, content.concat());
    }

    #[test]
    fn a_flipped_bit_ends_it(is_older: bool, place: prop::sample::Index, bit in 0..8_u8) {
        let (server, client) = terms(if is_older { &TLS12 } else { &TLS13 }).pair();
        server.settle(words(&client));
        let content = text(20_000);
        let mut wire = sealed(&client, &content);
        let place = place.index(wire.len());
        wire[place] ^= 1 << bit;
        server.settle(wire);
        let (plain, end) = all_taken(&server);
        prop_assert!(content.starts_with(&plain) && plain.len() < content.len());
        // A header that now claims more waits for it.
        prop_assert!(end.is_none() || (matches!(end, Some(Err(_))) && server.has_last_words()));
        prop_assert!(end.is_some() || place % (16_384 + 22) < 29);
    }
}

/// Reads as a stream does where there is room for a whole record.
fn session_read(session: &Session, bytes: &mut Vec<u8>, wire: &[u8]) {
    let from = bytes.len();
    session.copy_sealed(bytes);
    bytes.extend_from_slice(wire);
    session.digest_at(bytes, from);
}

#[test]
fn every_split_of_a_record_gives_the_same() {
    for version in [&TLS12, &TLS13] {
        let (server, client) = terms(version).pair();
        server.settle(words(&client));
        for place in 0..=30 {
            let wire = sealed(&client, b"hello");
            let (one, other) = wire.split_at(place.min(wire.len()));
            let mut bytes = Vec::new();
            session_read(&server, &mut bytes, one);
            session_read(&server, &mut bytes, other);
            assert_eq!(bytes, b"hello");
        }
    }
}

fn streams() -> (Stream, Stream) {
    let (one, other) = UnixStream::pair().unwrap();
    let stream = |socket: UnixStream| {
        socket.set_nonblocking(true).unwrap();
        Stream::plain(Duplex::unix(socket).unwrap())
    };
    (stream(one), stream(other))
}

async fn shaken(terms: &Terms) -> (Stream, Stream) {
    let (mut server, mut client) = streams();
    let (accepted, connected) = monoio::join!(server.accept(Arc::clone(&terms.server)), async {
        let connected = client.connect(Arc::clone(&terms.client), localhost()).await;
        // The client's last words go out with its first write.
        let (sent, _) = client.write(b"hi".to_vec(), 0..2, || {}).await;
        sent.unwrap();
        connected
    });
    assert!(accepted.unwrap().is_none());
    assert!(connected.unwrap().is_some());
    let (read, bytes) = server.read(Vec::with_capacity(2), 0..2).await;
    assert_eq!((read.unwrap(), bytes), (2, b"hi".to_vec()));
    (server, client)
}

async fn read_all(stream: &Stream, room: usize) -> (Vec<u8>, std::io::Result<()>) {
    let mut all = Vec::new();
    loop {
        match stream.read(Vec::with_capacity(room), 0..room).await {
            (Ok(0), _) => return (all, Ok(())),
            (Ok(count), bytes) => {
                assert_eq!(count, bytes.len());
                all.extend(bytes);
            }
            (Err(error), _) => return (all, Err(error)),
        }
    }
}

#[monoio::test(driver = "legacy")]
async fn both_directions_at_once_in_any_room() {
    for version in [&TLS12, &TLS13] {
        let terms = terms(version);
        for room in [1, 700, 16_384, RECORD, 100_000] {
            let (server, client) = shaken(&terms).await;
            let content = text(if room == 1 { 3000 } else { 700_000 });
            let write = async |stream: &Stream| {
                let (sent, _) = stream.write(content.clone(), 0..content.len(), || {}).await;
                sent.unwrap();
                stream.close().await;
            };
            let ((), (), (down, ended), (up, _)) = monoio::join!(
                write(&server),
                write(&client),
                read_all(&client, room),
                read_all(&server, room)
            );
            assert!(down == content && up == content);
            ended.unwrap();
        }
    }
}

#[monoio::test(driver = "legacy")]
async fn an_end_without_a_word_is_a_truncation() {
    let (server, client) = shaken(&terms(&TLS13)).await;
    let (sent, _) = server.write(b"a part".to_vec(), 0..6, || {}).await;
    sent.unwrap();
    drop(server);
    let (plain, end) = read_all(&client, 100).await;
    assert_eq!(plain, b"a part");
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
}

#[monoio::test(driver = "legacy", timer_enabled = true)]
async fn a_cancelled_read_loses_nothing() {
    let terms = terms(&TLS13);
    for room in [100, RECORD] {
        let (server, client) = shaken(&terms).await;
        let session = server.session_for_tests();
        let wire = sealed(session, b"whole");
        let (one, other) = wire.split_at(9);
        let raw = server.duplex_for_tests();
        raw.write(one.to_vec()).await.0.unwrap();
        let canceller = Canceller::new();
        let read = client.read_until(Vec::with_capacity(room), 0..room, canceller.handle());
        let ((read, _), ()) = monoio::join!(read, async {
            monoio::time::sleep(std::time::Duration::from_millis(20)).await;
            let _ = canceller.cancel();
        });
        assert!(read.is_err());
        assert!(client.is_midway());
        raw.write(other.to_vec()).await.0.unwrap();
        let (read, bytes) = client.read(Vec::with_capacity(room), 0..room).await;
        assert_eq!((read.unwrap(), bytes), (5, b"whole".to_vec()));
        assert!(client.is_quiet());
    }
}

#[monoio::test(driver = "legacy")]
async fn tickets_are_no_answer_and_data_is() {
    let (server, client) = shaken(&terms(&TLS13)).await;
    assert!(client.is_quiet());
    let (sent, _) = server.write(b"unasked".to_vec(), 0..7, || {}).await;
    sent.unwrap();
    assert!(!client.is_quiet());
    client.readable().await.unwrap();
}

#[monoio::test(driver = "legacy")]
async fn what_is_no_tls_is_told_so() {
    let terms = terms(&TLS13);
    let (mut server, client) = streams();
    let (sent, _) = client.write(b"GET / HTTP/1.1\r\n\r\n".to_vec(), 0..18, || {}).await;
    sent.unwrap();
    let refusal = server.accept(Arc::clone(&terms.server)).await.unwrap_err();
    assert_eq!(refusal.class, Class::Garbage, "{refusal}");
    drop(server);
    let (told, _) = read_all(&client, 100).await;
    assert_eq!(told[0], 0x15, "an alert: {told:?}");
}

#[monoio::test(driver = "legacy")]
async fn a_certificate_that_is_not_trusted_is_refused_on_both_sides() {
    let (ours, others) = (terms(&TLS13), terms(&TLS13));
    let (mut server, mut client) = streams();
    let (accepted, connected) = monoio::join!(
        server.accept(Arc::clone(&ours.server)),
        client.connect(Arc::clone(&others.client), localhost())
    );
    assert_eq!(connected.unwrap_err().class, Class::Certificate);
    assert_eq!(accepted.unwrap_err().class, Class::Alert);
}

/// What a fuzzer was given and has found; see `tests/fuzz`.
#[test]
fn wires_that_were_found_are_read_right() {
    let made = [&TLS13, &TLS12].map(|version| {
        let made = terms(version);
        let is_newest = version.version == TLS13.version;
        crate::fuzzing::Terms { server: made.server, client: made.client, is_newest }
    });
    let [newest, older] = &made;
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus/tls");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let input = std::fs::read(entry.path()).unwrap();
        let run = std::panic::AssertUnwindSafe(|| crate::fuzzing::tls([newest, older], &input));
        assert!(std::panic::catch_unwind(run).is_ok(), "{}", entry.path().display());
        count += 1;
    }
    assert!(count > 20, "{count} wires");
}
