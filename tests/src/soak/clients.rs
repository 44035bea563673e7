//! The clients: each checks every reply from its first byte to its last.

use std::{io, sync::atomic::Ordering::Relaxed, time::Duration};

use super::{
    asked::{Asked, Manners},
    books::{Books, add},
    dice::Dice,
};
use crate::{Client, Door, Reply, eventually::linger};

/// Asks until `is_over`, or there are no more numbers.
pub(super) fn run(door: &Door, seed: u64, books: &Books, is_over: &dyn Fn() -> bool) {
    let mut client = None;
    while !is_over() {
        let Some(mut asked) = books.draw().map(|id| Asked::of(seed, id)) else { return };
        if asked.manners == Manners::Old && matches!(door, Door::Unix(_)) {
            // A unix socket has no reset, so to HTTP/1.0 a reply cut short looks whole there.
            asked.manners = Manners::Good;
        }
        if asked.manners == Manners::Old {
            client = None;
        }
        let connected = match client.take() {
            Some(client) => Ok(client),
            None => Client::try_connect(door),
        };
        match connected {
            Ok(open) => client = ask(open, &asked, seed, books),
            Err(error) => {
                books.is_wrong(format!("no connection: {error}"));
                linger(Duration::from_millis(100));
            }
        }
    }
}

/// One request; the connection, if it can be used again.
fn ask(mut client: Client, asked: &Asked, seed: u64, books: &Books) -> Option<Client> {
    let bytes = asked.bytes();
    match asked.manners {
        Manners::LeavesAsking => {
            let mut dice = Dice::of(asked.id);
            client.try_send(&bytes[..dice.within(bytes.len())]);
            add(&books.left);
            if dice.below(2) == 0 {
                client.reset();
            }
            return None;
        }
        Manners::LeavesReading => {
            client.try_send(&bytes);
            if asked.id.is_multiple_of(2) {
                // Whatever it is, nobody looks at it.
                let _ = client.read_some();
            }
            add(&books.left);
            client.reset();
            return None;
        }
        Manners::Drips => drip(&mut client, &bytes),
        Manners::Hurries => return hurry(client, asked, seed, books),
        Manners::Good | Manners::Old => {
            client.try_send(&bytes);
        }
    }
    let reply = client.try_read_reply_to(asked.method);
    judge(asked, reply, books).then_some(client)
}

/// In pieces; what a client that is cut off meanwhile misses, it learns from the reply.
fn drip(client: &mut Client, bytes: &[u8]) {
    let (first, rest) = bytes.split_at(bytes.len().min(60));
    for piece in first.chunks(7).chain(rest.chunks(rest.len() / 4 + 1)) {
        if !client.try_send(piece) {
            return;
        }
        linger(Duration::from_millis(1));
    }
}

/// Two requests in one breath.
fn hurry(mut client: Client, first: &Asked, seed: u64, books: &Books) -> Option<Client> {
    let second = books.draw().map(|id| Asked::of(seed, id))?;
    // The second is sent as it is, whatever its own manners.
    let second = Asked { manners: Manners::Good, ..second };
    client.try_send([first.bytes(), second.bytes()].concat());
    let reply = client.try_read_reply_to(first.method);
    if !judge(first, reply, books) {
        // Nobody promised to answer it.
        add(&books.left);
        return None;
    }
    let reply = client.try_read_reply_to(second.method);
    judge(&second, reply, books).then_some(client)
}

/// Looks whether this is what must come of `asked`; whether the connection stays.
fn judge(asked: &Asked, reply: io::Result<Reply>, books: &Books) -> bool {
    let reply = match reply {
        Ok(reply) if reply.status() != 0 => reply,
        nothing => {
            if asked.fault.breaks() {
                add(&books.cut);
            } else {
                books.is_wrong(format!("no reply to {asked:?}: {nothing:?}"));
            }
            return false;
        }
    };
    books.bytes.fetch_add(reply.body.len() as u64, Relaxed);
    let closes = reply.field("connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
    match wrong_with(asked, &reply) {
        Some(what) => books.is_wrong(format!("{what}: {asked:?}, {:?}", reply.head)),
        None => count(asked, &reply, books),
    }
    // A reply that overtook its upload leaves the connection unfit for another request.
    let overtook = reply.field("x-got") == Some("early");
    reply.whole && !closes && !overtook && asked.manners != Manners::Old
}

/// What must not be.
fn wrong_with(asked: &Asked, reply: &Reply) -> Option<&'static str> {
    if reply.field("x-id").is_none() {
        return match reply.status() {
            502..=504 if asked.fault.breaks() => None,
            // On a connection that had just died: never sent again.
            502 if asked.is_once() || asked.body > 0 => None,
            _ => Some("failed without a reason"),
        };
    }
    let early = reply.field("x-got") == Some("early");
    let is_its_own = reply.field("x-id") == Some(&asked.id.to_string())
        && (early || reply.field("x-got") == Some(&asked.sum()));
    if !is_its_own {
        return Some("the reply to another request");
    }
    let body = asked.reply_body();
    if !body.starts_with(&reply.body) {
        return Some("another body");
    }
    if !reply.whole {
        return (!asked.fault.breaks()).then_some("cut without a reason");
    }
    if reply.body != body {
        return Some("a clean end with missing bytes");
    }
    asked.fault.breaks().then_some("whole, though it never came whole")
}

fn count(asked: &Asked, reply: &Reply, books: &Books) {
    let is_ours = reply.field("x-id").is_none();
    add(match (is_ours, asked.fault.breaks()) {
        (true, true) => &books.failed,
        (true, false) => &books.stale,
        (false, true) => &books.cut,
        (false, false) => &books.right,
    });
    if !is_ours && asked.is_once() && !books.has_arrived(asked) {
        books.is_wrong(format!("answered, though it never arrived: {asked:?}"));
    }
}
