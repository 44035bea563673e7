//! What can go wrong with one exchange: whose fault, when, how; and what follows from it.
//!
//! Everything a failure leads to (status, log code, may it count against the origin) is a total
//! function of its value; nobody edits a failure on its way up.

use std::fmt;

use gnomon_config::model::FailureKind;
use gnomon_wire::Reject;

/// Who ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The client.
    Client,
    /// The origin.
    Origin,
    /// We did.
    Proxy,
}

/// When it ended. The letters are HAProxy's where it has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Before anything is done for the request.
    Limit,
    /// Reading or sending the request's head.
    Request,
    /// Waiting for a place in the origin's pool.
    Queue,
    /// Connecting to the origin.
    Connect,
    /// Moving the request's body.
    Body,
    /// Waiting for, or reading, the reply's head.
    Head,
    /// Moving the reply's body.
    Data,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The connection ended, or could not be made.
    Gone,
    /// A deadline passed.
    Timeout,
    /// The bytes were refused.
    Malformed(Reject),
    /// What came was well-formed, and yet no reply to what was asked.
    Unexpected,
    /// There was no endpoint to go to.
    Unavailable,
    /// A bound of ours was reached.
    Full,
}

/// What went wrong with one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) side: Side,
    pub(crate) stage: Stage,
    pub(crate) kind: Kind,
}

impl Failure {
    pub(crate) const fn client(stage: Stage, kind: Kind) -> Self {
        Self { side: Side::Client, stage, kind }
    }

    pub(crate) const fn origin(stage: Stage, kind: Kind) -> Self {
        Self { side: Side::Origin, stage, kind }
    }

    pub(crate) const fn proxy(stage: Stage, kind: Kind) -> Self {
        Self { side: Side::Proxy, stage, kind }
    }

    /// The status of our answer, if one can still be given.
    pub(crate) fn status(&self) -> u16 {
        match (self.side, self.kind) {
            (Side::Client, Kind::Malformed(reject)) => reject.status(),
            (Side::Client, Kind::Timeout) => 408,
            (Side::Client, Kind::Full) => 429,
            (Side::Client, Kind::Gone | Kind::Unexpected | Kind::Unavailable) => 400,
            (Side::Origin, Kind::Timeout) => 504,
            (Side::Origin, Kind::Gone | Kind::Malformed(_) | Kind::Unexpected) => 502,
            (Side::Origin, Kind::Unavailable | Kind::Full) | (Side::Proxy, _) => 503,
        }
    }

    /// The two letters of the access log: who, and when; a small second letter is a deadline.
    pub(crate) const fn code(&self) -> [u8; 2] {
        let side = match self.side {
            Side::Client => b'C',
            Side::Origin => b'O',
            Side::Proxy => b'P',
        };
        let stage = match self.stage {
            Stage::Limit => b'L',
            Stage::Request => b'R',
            Stage::Queue => b'Q',
            Stage::Connect => b'C',
            Stage::Body => b'B',
            Stage::Head => b'H',
            Stage::Data => b'D',
        };
        match self.kind {
            Kind::Timeout => [side, stage.to_ascii_lowercase()],
            Kind::Gone | Kind::Malformed(_) | Kind::Unexpected | Kind::Unavailable | Kind::Full => {
                [side, stage]
            }
        }
    }

    /// What it counts as against the origin's endpoint; `None` if the origin is not to blame.
    pub(crate) fn counts_as(&self) -> Option<FailureKind> {
        match (self.side, self.stage, self.kind) {
            (Side::Client | Side::Proxy, _, _) => None,
            (Side::Origin, Stage::Connect, _) => Some(FailureKind::Connect),
            (Side::Origin, _, Kind::Timeout) => Some(FailureKind::Timeout),
            (
                Side::Origin,
                _,
                Kind::Gone | Kind::Malformed(_) | Kind::Unexpected | Kind::Unavailable | Kind::Full,
            ) => Some(FailureKind::Reset),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match (self.side, self.stage, self.kind) {
            (_, _, Kind::Malformed(reject)) => return f.write_str(reject.as_str()),
            (_, _, Kind::Unexpected) => "the origin replied what nobody asked for",
            (_, _, Kind::Unavailable) => "no endpoint available",
            (Side::Client, Stage::Limit, _) => "the client asks too often",
            (_, Stage::Limit, _) => "the proxy has too much to do",
            (_, Stage::Queue, _) => "no origin connection became free in time",
            (_, _, Kind::Full) => "a limit was reached",
            (Side::Client, _, Kind::Timeout) => "the client was too slow",
            (Side::Client, _, Kind::Gone) => "the client went away",
            (Side::Origin, Stage::Connect, Kind::Timeout) => {
                "connecting to the origin took too long"
            }
            (Side::Origin, Stage::Connect, Kind::Gone) => "the origin could not be connected to",
            (Side::Origin, _, Kind::Timeout) => "the origin was too slow",
            (Side::Origin, _, Kind::Gone) => "the origin closed the connection early",
            (Side::Proxy, _, Kind::Timeout | Kind::Gone) => "the exchange was ended",
        };
        f.write_str(what)
    }
}
