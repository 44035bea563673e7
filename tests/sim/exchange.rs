//! What is to happen in one exchange, and what may come of it.

use super::{draw::Draw, message};

/// What the client asks, what the origin does, and what became of it.
pub(super) struct Exchange {
    pub(super) id: u32,
    pub(super) ask: Ask,
    pub(super) answer: Answer,
    /// Heads of it that reached an origin.
    pub(super) arrivals: u32,
    /// Whether an origin has done it wrong.
    pub(super) is_wronged: bool,
    /// When its first byte was sent, in milliseconds of the run.
    pub(super) began: Option<u64>,
    /// When it was the first of its connection that waits for a reply.
    pub(super) turn: u64,
    /// Whether the client does its part.
    pub(super) is_behaved: bool,
    pub(super) outcome: Option<Outcome>,
}

/// The request.
#[derive(Clone, Copy)]
pub(super) struct Ask {
    pub(super) method: &'static str,
    pub(super) length: usize,
    /// Largest chunk, if it is sent in chunks.
    pub(super) chunk: Option<usize>,
    pub(super) is_old: bool,
    pub(super) route: &'static str,
}

/// The reply.
#[derive(Clone, Copy)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) length: usize,
    pub(super) framing: Framing,
    /// Interim replies before it.
    pub(super) interims: u32,
    /// Milliseconds until it begins.
    pub(super) delay: u64,
    /// Bytes written at once, and milliseconds between two writes.
    pub(super) pace: (usize, u64),
    /// Whether the origin says that it closes.
    pub(super) closes: bool,
    /// Whether it begins before the request has come whole.
    pub(super) is_early: bool,
    pub(super) fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length,
    Chunks(usize),
    UntilClose,
}

/// What an origin does wrong with the first attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Closes when it has the head, or the whole of the request.
    Drop { at_head: bool },
    /// Ends after so many bytes of the reply, in thousandths of it.
    Cut(u64),
    /// Replies with what is no reply.
    Garbage,
    /// Never replies.
    Hang,
    /// Sends more interim replies than anybody wants.
    Flood,
    /// Sends so few bytes so seldom that no deadline for a read passes.
    Drip,
    /// Sends another reply behind the one that was asked for, so many milliseconds later.
    Two(u64),
    /// Closes so many milliseconds after the reply, without having said so.
    Leave(u64),
}

/// What a client has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A whole reply, from an origin.
    Replied(u16),
    /// A whole reply, of the proxy's own.
    Refused(u16),
    /// A part of a reply.
    Cut,
    /// The connection's end, and nothing else.
    Nothing,
    /// The client has given it up.
    Abandoned,
}

impl Exchange {
    pub(super) fn draw(id: u32, draw: &mut Draw, faults: u64) -> Self {
        let ask = Ask::draw(draw);
        let answer = Answer::draw(draw, &ask, faults);
        Self {
            id,
            ask,
            answer,
            arrivals: 0,
            is_wronged: false,
            began: None,
            turn: 0,
            is_behaved: true,
            outcome: None,
        }
    }

    /// The request's bytes.
    pub(super) fn request(&self) -> Vec<u8> {
        let Ask { method, length, chunk, is_old, route } = self.ask;
        let minor = u8::from(!is_old);
        let mut out = format!(
            "{method} {route}/{} HTTP/1.{minor}\r\nHost: sim.test\r\nX-Sim: {}\r\n",
            self.id, self.id
        );
        match chunk {
            Some(_) => out.push_str("Transfer-Encoding: chunked\r\n"),
            None if length > 0 || matches!(method, "POST" | "PUT") => {
                out.push_str(&format!("Content-Length: {length}\r\n"));
            }
            None => {}
        }
        out.push_str("\r\n");
        let mut out = out.into_bytes();
        let content = message::content(self.id, 'q', length);
        match chunk {
            Some(most) => message::chunks(&content, most, &mut out),
            None => out.extend_from_slice(&content),
        }
        out
    }

    /// The reply's bytes, interim ones included, and how many of them are interim.
    pub(super) fn reply(&self, version: &str) -> Vec<u8> {
        let Answer { status, length, framing, closes, interims, .. } = self.answer;
        let mut out = String::new();
        for _ in 0..interims {
            out.push_str("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        }
        let (id, total) = (self.id, length);
        out.push_str(&format!(
            "HTTP/1.1 {status} Whatever\r\nX-Sim: {id}\r\nX-Total: {total}\r\nX-From: {version}\r\n"
        ));
        if closes {
            out.push_str("Connection: close\r\n");
        }
        let has_content = !matches!(status, 204 | 304);
        match framing {
            Framing::Length if has_content => {
                out.push_str(&format!("Content-Length: {length}\r\n"));
            }
            Framing::Chunks(_) if has_content => out.push_str("Transfer-Encoding: chunked\r\n"),
            Framing::Length | Framing::Chunks(_) | Framing::UntilClose => {}
        }
        out.push_str("\r\n");
        let mut out = out.into_bytes();
        if has_content && self.ask.method != "HEAD" {
            let content = message::content(id, 'p', length);
            match framing {
                Framing::Chunks(most) => message::chunks(&content, most, &mut out),
                Framing::Length | Framing::UntilClose => out.extend_from_slice(&content),
            }
        }
        out
    }

    /// Whether a repetition would do no harm.
    pub(super) fn is_idempotent(&self) -> bool {
        self.ask.method != "POST"
    }

    /// Whether its fault, if it has come to that, forbids a whole reply.
    pub(super) fn must_be_cut(&self) -> bool {
        matches!(self.answer.fault, Some(Fault::Cut(_) | Fault::Garbage | Fault::Flood))
    }
}

impl Ask {
    fn draw(draw: &mut Draw) -> Self {
        let method = draw.pick(&["GET", "GET", "GET", "POST", "POST", "PUT", "HEAD"]);
        let has_content = matches!(method, "POST" | "PUT");
        let length = if has_content { draw.length() } else { 0 };
        let in_chunks = has_content && draw.chance(40);
        let chunk = in_chunks.then(|| draw.pick(&[9, 700, 5_000, 60_000]).max(length / 200));
        let is_old = chunk.is_none() && draw.chance(8);
        let route = draw.pick(&["/shop", "/shop", "/shop", "/cart", "/nowhere"]);
        Self { method, length, chunk, is_old, route }
    }
}

impl Answer {
    fn draw(draw: &mut Draw, ask: &Ask, faults: u64) -> Self {
        let status = draw.pick(&[200, 200, 200, 200, 404, 204, 304, 500]);
        let chunk = draw.pick(&[9, 700, 5_000, 60_000]);
        let length = draw.length();
        let framing = match draw.below(10) {
            0 if ask.method != "HEAD" && !matches!(status, 204 | 304) => Framing::UntilClose,
            1..5 => Framing::Chunks(chunk.max(length / 200)),
            _ => Framing::Length,
        };
        let fault = draw.chance(faults).then(|| Fault::draw(draw));
        // Its end would look like a whole reply's.
        let framing = match fault {
            Some(_) if framing == Framing::UntilClose => Framing::Length,
            _ => framing,
        };
        let pace = match draw.below(4) {
            0 => ((length / 20).max(20), draw.below(120)),
            1 => ((length / 3).max(20), draw.below(20)),
            _ => (usize::MAX, 0),
        };
        Self {
            status,
            length,
            framing,
            interims: if draw.chance(10) && !ask.is_old { draw.between(1, 9) as u32 } else { 0 },
            delay: draw.pick(&[0, 0, 0, 1, 30, 600]),
            pace,
            closes: framing == Framing::UntilClose || draw.chance(8),
            is_early: ask.length > 0 && draw.chance(15),
            fault,
        }
    }
}

impl Fault {
    fn draw(draw: &mut Draw) -> Self {
        match draw.below(10) {
            0 => Self::Drop { at_head: draw.chance(50) },
            1 | 2 => Self::Cut(draw.below(1000)),
            3 => Self::Garbage,
            4 => Self::Hang,
            5 => Self::Flood,
            6 => Self::Drip,
            7 => Self::Two(draw.pick(&[0, 0, 1, 30, 200])),
            _ => Self::Leave(draw.pick(&[0, 0, 1, 7, 60, 400])),
        }
    }
}
