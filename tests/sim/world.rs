//! What clients, origins and the judge of a run know of each other.

use super::{
    draw::Draw,
    exchange::{Exchange, Framing, Outcome},
    message::{self, Message},
};

/// The outside of the proxy, and the book of what was done and seen.
pub(super) struct World {
    /// Milliseconds since the run began.
    pub(super) now: u64,
    pub(super) draw: Draw,
    pub(super) exchanges: Vec<Exchange>,
    /// What happened, one line each.
    pub(super) trace: Vec<String>,
    /// What must not have happened.
    pub(super) wrong: Vec<String>,
    /// When something was out of order that may concern anybody.
    windows: Vec<(u64, u64)>,
    /// From when on connections without a request may be closed.
    pub(super) draining: Option<u64>,
    /// From when on everything may be.
    pub(super) closing: Option<u64>,
    /// Whether there are so few connections to origins that requests may wait for them in vain.
    pub(super) is_tight: bool,
    /// Whether so few clients are let in that others wait in the kernel, which no drain waits for.
    pub(super) is_crowded: bool,
    /// Whether the worker is to be given time before anybody else acts.
    pub(super) is_hushed: bool,
}

/// Milliseconds by which what was out of order may be felt later: what waits for a connection, or
/// a place, does so for no longer.
const AFTERMATH: u64 = 1_500;

impl World {
    pub(super) fn new(draw: Draw) -> Self {
        Self {
            now: 0,
            draw,
            exchanges: Vec::new(),
            trace: Vec::new(),
            wrong: Vec::new(),
            windows: Vec::new(),
            draining: None,
            closing: None,
            is_tight: false,
            is_crowded: false,
            is_hushed: false,
        }
    }

    /// Something has happened.
    pub(super) fn say(&mut self, what: impl AsRef<str>) {
        self.trace.push(format!("{:6} {}", self.now, what.as_ref()));
    }

    /// Something has happened that must not.
    pub(super) fn accuse(&mut self, what: impl AsRef<str>) {
        self.say(format!("WRONG: {}", what.as_ref()));
        self.wrong.push(format!("at {} ms: {}", self.now, what.as_ref()));
    }

    /// Something is out of order, until so many milliseconds of the run.
    pub(super) fn excuse(&mut self, until: u64) {
        self.windows.push((self.now, until.saturating_add(AFTERMATH)));
    }

    pub(super) fn exchange(&mut self, id: u32) -> &mut Exchange {
        &mut self.exchanges[id as usize]
    }

    /// A reply has come whole to who had asked for `id`.
    pub(super) fn replied(&mut self, id: u32, reply: &Message) {
        let exchange = &self.exchanges[id as usize];
        let status = reply.status();
        let Some(whose) = reply.number("x-sim") else {
            return self.end(id, Outcome::Refused(status));
        };
        let answer = exchange.answer;
        let has_content = !matches!(answer.status, 204 | 304) && exchange.ask.method != "HEAD";
        let length = if has_content { answer.length } else { 0 };
        let content = message::content(id, 'p', length);
        // Where the connection's end is the reply's, only a reset tells that it is cut short, and
        // these sockets know none.
        let is_old = exchange.ask.is_old && answer.framing != Framing::Length;
        let may_be_cut = is_old || answer.framing == Framing::UntilClose;
        let is_short = reply.body.len() < length || (exchange.is_wronged && exchange.must_be_cut());
        if may_be_cut && is_short && content.starts_with(&reply.body) {
            return self.end(id, Outcome::Cut);
        }
        let mut wrong = Vec::new();
        if whose != u64::from(id) {
            wrong.push(format!("got the reply to {whose}"));
        } else if status != answer.status {
            wrong.push(format!("status {status} and not {}", answer.status));
        } else if reply.body != content {
            let place = reply.body.iter().zip(&content);
            let place = place.take_while(|(seen, meant)| seen == meant).count();
            wrong.push(format!("{} bytes, not {length}, other from {place} on", reply.body.len()));
        } else if exchange.is_wronged && exchange.must_be_cut() && exchange.arrivals < 2 {
            wrong.push(format!("a whole reply, though the origin made {:?}", answer.fault));
        } else if exchange.arrivals == 0 {
            wrong.push("a reply that no origin made".to_owned());
        }
        for what in wrong {
            self.accuse(format!("#{id} {what}"));
        }
        self.end(id, Outcome::Replied(status));
    }

    /// An exchange has ended for its client.
    pub(super) fn end(&mut self, id: u32, outcome: Outcome) {
        self.say(format!("#{id} ends: {outcome:?}"));
        if let Some(complaint) = self.complaint(id, &outcome) {
            self.accuse(format!("#{id} {complaint}"));
        }
        let exchange = self.exchange(id);
        if exchange.outcome.is_some() {
            self.accuse(format!("#{id} has ended twice"));
        }
        self.exchange(id).outcome = Some(outcome);
    }

    /// What is wrong with how an exchange ended now.
    fn complaint(&self, id: u32, outcome: &Outcome) -> Option<String> {
        let exchange = &self.exchanges[id as usize];
        let began = exchange.began.unwrap_or(self.now);
        let took = self.now - began.max(exchange.turn);
        let is_bound = exchange.is_behaved && !self.is_crowded && *outcome != Outcome::Abandoned;
        if is_bound && took > LIFE_MAX {
            return Some(format!("took {took} ms, {LIFE_MAX} are allowed"));
        }
        let is_free = !exchange.is_behaved
            || self.windows.iter().any(|&(from, to)| from <= self.now && began <= to)
            || self.closing.is_some();
        let may_miss = self.draining.is_some_and(|since| began >= since);
        let fits = match outcome {
            Outcome::Replied(_) | Outcome::Abandoned => true,
            Outcome::Refused(404) => exchange.ask.route == "/nowhere",
            Outcome::Refused(503) if self.is_tight => true,
            Outcome::Refused(502..=504) | Outcome::Cut => is_free || exchange.is_wronged,
            Outcome::Nothing => is_free || may_miss || (self.is_crowded && self.draining.is_some()),
            Outcome::Refused(_) => !exchange.is_behaved,
        };
        (!fits).then(|| format!("may not end as {outcome:?}, {:?}", exchange.answer.fault))
    }
}

/// The longest that an exchange may take whose client does its part: the deadline of the whole,
/// what it may wait before that, and some ticks.
const LIFE_MAX: u64 = super::REQUEST_MILLIS + 2_000;
