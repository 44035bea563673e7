//! May a request be tried again, and is there budget for it.
//!
//! | stage | nothing sent | head sent | body sent |
//! |---|---|---|---|
//! | connecting | yes | – | – |
//! | a reused connection, before any byte of a reply | yes | idempotent only | no |
//! | a fresh connection, before any byte of a reply | yes | idempotent only | no |
//! | after the first byte of a reply | no | no | no |
//!
//! A body that has begun to leave is gone: nothing keeps a copy. A POST whose connection died
//! after its head was written may have been carried out, so it is answered with 502 and never
//! repeated (RFC 9110 section 9.2.2). Retries also need [`Budget`], or an outage would be
//! answered with twice the load.

use gnomon_config::model::{FailureKind, Retry, Share};

/// Where an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureStage {
    /// No connection came about.
    Connect,
    /// A connection from the pool ended before any byte of a reply.
    Reused,
    /// A connection dialled for this request ended before any byte of a reply.
    Fresh,
    /// A deadline passed before any byte of a reply.
    Timeout,
    /// Later: the client may have seen a part of the reply.
    Reply,
}

/// What had left for the origin when the attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sent {
    /// Not a byte.
    Nothing,
    /// Some or all of the head, and no body.
    Head,
    /// Some of the body.
    Body,
}

/// Whether repeating the request has the effect of sending it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Idempotence {
    /// It has.
    Idempotent,
    /// It may have another.
    NotIdempotent,
}

/// Whether a method asks for nothing to be changed (RFC 9110 section 9.2.1).
#[must_use]
pub fn is_safe(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE")
}

impl Idempotence {
    /// Of a method, by RFC 9110 section 9.2.2; methods unknown there are not idempotent.
    #[must_use]
    pub fn of(method: &[u8]) -> Self {
        match method {
            b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE" => Self::Idempotent,
            _ => Self::NotIdempotent,
        }
    }
}

/// Whether a failed attempt may be followed by another, `attempts` of which were made so far,
/// the first included. Total; the table is in the [module](self).
///
/// A pooled connection that died with nothing sent is not the origin's failure, and is replaced
/// even where the configuration allows no retries; `attempts` bounds it all the same: at most
/// [`REPLACEMENTS_MAX`] times.
#[must_use]
pub fn may_retry(
    stage: FailureStage,
    sent: Sent,
    idempotence: Idempotence,
    attempts: u32,
    retry: &Retry,
) -> bool {
    let kind = match stage {
        FailureStage::Connect => FailureKind::Connect,
        FailureStage::Reused | FailureStage::Fresh => FailureKind::Reset,
        FailureStage::Timeout => FailureKind::Timeout,
        FailureStage::Reply => return false,
    };
    let harmless = match (sent, idempotence) {
        (Sent::Nothing, _) | (Sent::Head, Idempotence::Idempotent) => true,
        (Sent::Head, Idempotence::NotIdempotent) | (Sent::Body, _) => false,
    };
    if stage == FailureStage::Reused && sent == Sent::Nothing && attempts <= REPLACEMENTS_MAX {
        return true;
    }
    harmless && attempts <= retry.attempts && retry.on.contains(&kind)
}

/// Stale pooled connections that one request may replace without asking the configuration: an
/// origin that restarted leaves a pool full of them, a third attempt should dial.
pub const REPLACEMENTS_MAX: u32 = 2;

/// A token bucket counted in requests, so that it needs no clock: every request pays its share
/// in, every retry takes a whole token out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    share: Share,
    /// In 1/100,000 of a token.
    level: u64,
}

impl Budget {
    /// A full bucket, so that an upstream with little traffic can retry too.
    #[must_use]
    pub fn new(retry: &Retry) -> Self {
        Self { share: retry.budget, level: Self::FULL }
    }

    /// Pays in for a request. Call once a request, not once an attempt.
    pub fn deposit(&mut self) {
        self.level = (self.level + u64::from(self.share.0)).min(Self::FULL);
    }

    /// Takes a token for a retry, if there is one. A budget of 0 % never has one.
    #[must_use]
    pub fn try_withdraw(&mut self) -> bool {
        match self.level.checked_sub(TOKEN) {
            Some(rest) if self.share > Share::NONE => {
                self.level = rest;
                true
            }
            _ => false,
        }
    }

    /// Ten retries at once per core: enough for one restarting origin, too few to double an
    /// outage.
    const FULL: u64 = 10 * TOKEN;
}

const TOKEN: u64 = 100_000;

#[cfg(test)]
mod tests {
    use FailureStage::*;
    use Idempotence::*;
    use Sent::*;

    use super::*;

    fn retry() -> Retry {
        let on = vec![FailureKind::Connect, FailureKind::Reset];
        Retry { attempts: 1, on, budget: Share(10_000) }
    }

    fn check(stage: FailureStage, sent: Sent, idempotence: Idempotence, expected: bool) {
        let answer = may_retry(stage, sent, idempotence, 1, &retry());
        assert_eq!(answer, expected, "{stage:?} {sent:?} {idempotence:?}");
    }

    #[test]
    fn the_table_of_the_docs_holds() {
        check(Connect, Nothing, NotIdempotent, true);
        check(Connect, Nothing, Idempotent, true);
        for stage in [Reused, Fresh] {
            check(stage, Nothing, NotIdempotent, true);
            check(stage, Head, Idempotent, true);
            check(stage, Head, NotIdempotent, false);
            check(stage, Body, Idempotent, false);
            check(stage, Body, NotIdempotent, false);
        }
        check(Timeout, Head, Idempotent, false);
        check(Reply, Nothing, Idempotent, false);
    }

    #[test]
    fn attempts_and_kinds_are_those_of_the_configuration() {
        let none = Retry { attempts: 0, ..retry() };
        assert!(!may_retry(Connect, Nothing, Idempotent, 1, &none));
        assert!(!may_retry(Connect, Nothing, Idempotent, 2, &retry()));
        let timeouts = Retry { on: vec![FailureKind::Timeout], ..retry() };
        assert!(may_retry(Timeout, Head, Idempotent, 1, &timeouts));
        assert!(!may_retry(Connect, Nothing, Idempotent, 1, &timeouts));
    }

    #[test]
    fn a_stale_pool_is_replaced_even_without_retries_but_not_for_ever() {
        let none = Retry { attempts: 0, on: vec![], budget: Share::NONE };
        assert!(may_retry(Reused, Nothing, NotIdempotent, 1, &none));
        assert!(!may_retry(Reused, Nothing, NotIdempotent, 3, &none));
        assert!(!may_retry(Reused, Head, Idempotent, 1, &none));
    }

    #[test]
    fn unknown_methods_are_not_idempotent() {
        assert_eq!(Idempotence::of(b"DELETE"), Idempotent);
        assert_eq!(Idempotence::of(b"get"), NotIdempotent);
        assert_eq!(Idempotence::of(b"PATCH"), NotIdempotent);
    }

    #[test]
    fn a_budget_of_a_tenth_allows_a_tenth() {
        let mut budget = Budget::new(&retry());
        let burst = (0..100).filter(|_| budget.try_withdraw()).count();
        assert_eq!(burst, 10);
        let granted = (0..1000).filter(|_| {
            budget.deposit();
            budget.try_withdraw()
        });
        assert_eq!(granted.count(), 100);
        let mut none = Budget::new(&Retry { budget: Share::NONE, ..retry() });
        assert!(!none.try_withdraw());
    }
}
