//! The door for a fuzzer: both ends in memory, and the wire between them in its hands.

use std::sync::Arc;

use rustls::{
    ClientConfig, ServerConfig, client::UnbufferedClientConnection, pki_types::ServerName,
};

use crate::{
    handshake::{Handshake, Server, Side, Step},
    outbox::Outbox,
    session::Session,
};

/// What both ends go by, made ready for this crate; the server's certificate is for `localhost`.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The server's.
    pub server: Arc<ServerConfig>,
    /// The client's.
    pub client: Arc<ClientConfig>,
    /// Whether a record is authenticated as a whole: not so the version in it, before TLS 1.3.
    pub is_newest: bool,
}

/// The longest wire that is looked at: some dozens of full records.
const WIRE_MAX: usize = 1 << 20;

/// The first byte chooses what is tried, the next four cut what is read, and the rest says what
/// happens.
///
/// # Panics
/// If a reader ever gets what was not written, or bytes that nobody sealed become a session.
pub fn tls(terms: [&Terms; 2], input: &[u8]) {
    let Some((&[choice, ref seed @ ..], rest)) = input.split_first_chunk::<5>() else { return };
    let terms = terms[usize::from(choice & 1)];
    match choice >> 1 & 3 {
        0 => garbage(terms, seed, rest),
        1 => spoilt_handshake(terms, seed, rest),
        _ => session(terms, choice, seed, rest),
    }
}

/// The pieces in which `bytes` come.
fn pieces<'b>(mut bytes: &'b [u8], seed: &'b [u8]) -> impl Iterator<Item = &'b [u8]> {
    let mut turn = 0;
    std::iter::from_fn(move || {
        let step = seed.get(turn % seed.len().max(1)).map_or(1, |step| usize::from(*step));
        turn += 1;
        // Steps grow, so that long inputs end.
        let (piece, rest) = bytes.split_at((step * step / 8 + 1).min(bytes.len()));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn server(terms: &Terms) -> Handshake<Server> {
    Handshake::new(Server::new(Arc::clone(&terms.server)).expect("the configuration is sound"))
}

fn client(terms: &Terms) -> Handshake<UnbufferedClientConnection> {
    let name = ServerName::try_from("localhost").expect("it is a name");
    let side = UnbufferedClientConnection::new(Arc::clone(&terms.client), name);
    Handshake::new(side.expect("the configuration is sound"))
}

/// Bytes of nobody's are no handshake, and that does not depend on how they are cut.
fn garbage(terms: &Terms, seed: &[u8], bytes: &[u8]) {
    fn refuses<S: Side>(mut handshake: Handshake<S>, bytes: &[u8], seed: &[u8]) -> bool {
        for piece in pieces(bytes, seed) {
            handshake.input.extend_from_slice(piece);
            match handshake.go_on() {
                Ok(Step::Done) => panic!("a session with nobody"),
                Ok(Step::Read) => {}
                Err(_) => return true,
            }
        }
        false
    }
    let whole = [0xff, 0xff];
    assert_eq!(refuses(server(terms), bytes, seed), refuses(server(terms), bytes, &whole));
    let mut begun = client(terms);
    assert!(matches!(begun.go_on(), Ok(Step::Read)));
    refuses(begun, bytes, seed);
}

/// Both ends of a session, with `spoil` in between; none if one of them refuses.
fn pair(terms: &Terms, mut spoil: impl FnMut(usize, &mut Vec<u8>)) -> Option<(Session, Session)> {
    let (mut server, mut client) = (server(terms), client(terms));
    for turn in 0..8 {
        let done = matches!(client.go_on().ok()?, Step::Done);
        spoil(2 * turn, &mut client.output);
        server.input.append(&mut client.output);
        let done = matches!(server.go_on().ok()?, Step::Done) && done;
        spoil(2 * turn + 1, &mut server.output);
        client.input.append(&mut server.output);
        if done {
            return Some((server.finish().ok()?.0, client.finish().ok()?.0));
        }
    }
    None
}

/// A handshake in which some bytes are not as they were sent comes to nothing, or to a session on
/// which each end reads what the other wrote.
fn spoilt_handshake(terms: &Terms, seed: &[u8], changes: &[u8]) {
    let made = pair(terms, |flight, bytes| {
        for change in changes.chunks_exact(4) {
            let place = usize::from(u16::from_le_bytes([change[1], change[2]]));
            if usize::from(change[0]) % 6 == flight && !bytes.is_empty() {
                let place = place % bytes.len();
                bytes[place] ^= change[3];
            }
        }
    });
    let Some((server, client)) = made else { return };
    let content = text(100);
    let wire = sealed(&client, &content);
    let (read, _) = read(&server, &wire, seed, false);
    assert!(content.starts_with(&read), "what nobody wrote");
}

/// Whatever becomes of the wire, a reader gets the beginning of what was written, and no more; and
/// all of it if nothing was changed.
fn session(terms: &Terms, choice: u8, seed: &[u8], program: &[u8]) {
    let (server, client) = pair(terms, |_, _| {}).expect("nobody interferes");
    // Tickets come behind a handshake.
    client.settle(server.take_pending());
    server.settle(client.take_pending());
    let (writer, reader) = if choice & 8 == 0 { (&client, &server) } else { (&server, &client) };
    let mut wire = Wire::default();
    for step in program.chunks_exact(2) {
        wire.step(writer, terms, step[0], usize::from(step[1]));
        if wire.bytes.len() > WIRE_MAX {
            break;
        }
    }
    let (read, is_over) = read(reader, &wire.bytes, seed, choice & 16 != 0);
    assert!(wire.content.starts_with(&read), "what nobody wrote");
    match wire.changed() {
        None => assert_eq!((read.len(), is_over), (wire.content.len(), wire.is_closed)),
        Some(most) => assert!(!terms.is_newest || read.len() <= most, "a changed record was read"),
    }
}

/// What is between two ends.
#[derive(Default)]
struct Wire {
    bytes: Vec<u8>,
    /// The same as it was sent.
    sent: Vec<u8>,
    /// What was written.
    content: Vec<u8>,
    /// Where each write ends, on the wire and in the content.
    writes: Vec<(usize, usize)>,
    is_closed: bool,
}

impl Wire {
    fn step(&mut self, writer: &Session, terms: &Terms, what: u8, how: usize) {
        let place = how * self.bytes.len() / 256;
        match what % 8 {
            0 | 1 if !self.is_closed => {
                let content = text(how * how / 2 + 1);
                self.send(&sealed(writer, &content));
                self.content.extend_from_slice(&content);
                self.writes.push((self.sent.len(), self.content.len()));
            }
            2 if !self.is_closed && terms.is_newest => writer.wear_out(),
            3 if !self.is_closed => {
                writer.close();
                self.send(&writer.take_pending());
                self.is_closed = true;
            }
            4 if place < self.bytes.len() => {
                self.bytes[place] ^= 1 << (what >> 3 & 7);
            }
            5 if place < self.bytes.len() => {
                self.bytes.remove(place);
            }
            6 => {
                let again = self.bytes.get(place..).unwrap_or_default().to_vec();
                self.bytes.extend_from_slice(&again);
            }
            7 => self.bytes.insert(place, what),
            _ => {}
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.sent.extend_from_slice(bytes);
    }

    /// If it is not as it was sent, the most that may still be read: of what was written over the
    /// first byte that is another, the end cannot come. One change may undo another.
    fn changed(&self) -> Option<usize> {
        if self.bytes == self.sent {
            return None;
        }
        let place = self.bytes.iter().zip(&self.sent).take_while(|(now, then)| now == then).count();
        let over = self.writes.iter().find(|(wire, _)| place < *wire);
        Some(over.map_or(self.content.len(), |(_, content)| content - 1))
    }
}

/// What `reader` makes of the wire, and whether it was told the end.
fn read(reader: &Session, wire: &[u8], seed: &[u8], in_place: bool) -> (Vec<u8>, bool) {
    let mut content = Vec::new();
    for piece in pieces(wire, seed) {
        if in_place {
            let from = content.len();
            reader.copy_sealed(&mut content);
            content.extend_from_slice(piece);
            reader.digest_at(&mut content, from);
        } else {
            let mut bytes = reader.take_sealed();
            bytes.extend_from_slice(piece);
            reader.settle(bytes);
        }
        while matches!(reader.take(&mut content, 1000), Some(Ok(count)) if count > 0) {}
    }
    let end = reader.take(&mut content, 1);
    (content, matches!(end, Some(Ok(0))))
}

/// What `session` makes of `content`.
fn sealed(session: &Session, mut content: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while !content.is_empty() {
        let mut out = Outbox::rent(session.wanted(content.len()));
        let count = session.seal(content, &mut out);
        all.extend_from_slice(out.bytes.get(out.range()).unwrap_or_default());
        out.give_back();
        content = content.get(count.unwrap_or(content.len())..).unwrap_or_default();
    }
    all
}

fn text(length: usize) -> Vec<u8> {
    b"what one end writes and the other reads; ".iter().copied().cycle().take(length).collect()
}
