//! The origins: they answer as the request's number says.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use socket2::{Domain, Socket, Type};

use super::{
    asked::{Asked, Fault, Form, sum},
    books::{Books, add},
    dice::Dice,
};
use crate::{Call, Origin, eventually::linger};

/// An origin of the soak.
pub(super) fn origin(seed: u64, books: &Arc<Books>) -> Origin {
    let books = books.clone();
    Origin::start(move |call, number| {
        let mut dice = Dice::of(seed ^ !(number as u64));
        while serve(call, seed, &books)? {
            if dice.below(60) == 0 {
                // Its keep-alive has run out, and it sees so only as the next request comes.
                if call.read_more()? > 0 {
                    add(&books.tired);
                }
                call.reset();
                return Ok(());
            }
        }
        Ok(())
    })
}

/// An address where nobody listens, for as long as the socket is held.
pub(super) fn nobody() -> (Socket, SocketAddr) {
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).and_then(|socket| {
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
        let address = socket.local_addr()?.as_socket();
        Ok((socket, address.ok_or(io::ErrorKind::Other)?))
    });
    bound.expect("there is a free port")
}

/// An origin that gets copies: it answers all of them, and nobody looks at what it says.
pub(super) fn shadow(seed: u64) -> Origin {
    Origin::start(move |call, _| {
        while let Some(head) = call.next_head()? {
            let Some(asked) = asked(seed, &head) else { return Ok(()) };
            call.body_behind(&head)?;
            call.reply(asked.reply("a copy"))?;
            if asked.form == Form::Close {
                break;
            }
        }
        Ok(())
    })
}

fn asked(seed: u64, head: &str) -> Option<Asked> {
    let target = head.split(' ').nth(1)?;
    Some(Asked::of(seed, target.strip_prefix('/')?.parse().ok()?))
}

/// One request; whether there may be another.
fn serve(call: &mut Call, seed: u64, books: &Books) -> io::Result<bool> {
    let Some(head) = call.next_head()? else { return Ok(false) };
    let Some(asked) = asked(seed, &head) else {
        books.is_wrong(format!("a request that nobody sent arrived: {head:?}"));
        return Ok(false);
    };
    if !head.starts_with(&format!("{} ", asked.method)) {
        books.is_wrong(format!("{asked:?} arrived as {head:?}"));
    }
    books.arrive(&asked);
    if asked.fault == Fault::Early {
        call.reply(asked.reply("early"))?;
        call.half_close()?;
        call.drain();
        return Ok(false);
    }
    let request = call.body_behind(&head)?;
    if !request.whole {
        return Ok(false);
    }
    let got = sum(&request.body);
    if got != asked.sum() {
        books.is_wrong(format!("{asked:?} arrived with another body: {got}"));
    }
    misbehave(call, &asked, &asked.reply(&got))
}

fn misbehave(call: &mut Call, asked: &Asked, reply: &[u8]) -> io::Result<bool> {
    let part = |at: u16| &reply[..reply.len() * usize::from(at) / 1000];
    match asked.fault {
        Fault::None | Fault::Early => {
            call.reply(reply)?;
            return Ok(asked.form != Form::Close);
        }
        Fault::Leave => call.reply(reply)?,
        Fault::Slow => {
            for piece in reply.chunks(reply.len() / 5 + 1) {
                call.reply(piece)?;
                linger(Duration::from_millis(1));
            }
        }
        // The end of the connection would be that of the reply.
        Fault::Reset(at) | Fault::Cut(at)
            if asked.form == Form::Close || matches!(asked.fault, Fault::Reset(_)) =>
        {
            call.reply(part(at))?;
            call.reset();
        }
        Fault::Reset(at) | Fault::Cut(at) => call.reply(part(at))?,
        Fault::Garbage => {
            call.reply(b"\x16\x03\x01 nothing that anybody\r\nwould expect\r\n\r\n")?
        }
        Fault::Hang => call.drain(),
    }
    Ok(false)
}
