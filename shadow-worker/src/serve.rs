//! One copy for one shadow: replay it, wait for the primary's answer, compare.

use std::time::{Duration, Instant};

use bytes::Bytes;
use gnomon_policy::retry::is_safe;
use gnomon_wire::ResponseHead;

use crate::{
    compare::{Comparer, Comparison, Side},
    counts::{Failed, Unpaired},
    difference::{Difference, Kind, Uncomparable},
    endpoint,
    exchange::{Lost, Reply},
    ledger::{self, Baseline},
    outgoing::{self, Receiver},
    pair::Pair,
    plain,
    replay::{Errand, Replied},
    run::Shadow,
    span::CopySpan,
    tally::Draw,
    terms::{Definition, Endpoint},
};

impl Shadow {
    pub(crate) async fn serve(&self, pair: &Pair, index: usize, definition: &Definition) {
        let endpoint = endpoint_of(pair);
        let draw = self.draw(pair, definition, &endpoint);
        let asked = self.falls(draw);
        let case = Case { pair, definition, endpoint: &endpoint, draw };
        let outcome = if asked {
            // Rare, and large: boxed, so that it is no part of every replay.
            Box::pin(self.replay_both(pair, index, definition)).await
        } else {
            let shadow = self.replay(pair, index, definition, Receiver::Shadow).await;
            Outcome { shadow, second: None }
        };
        self.settle(&case, outcome).await;
    }

    /// Asks the shadow, and the primary's version once more.
    async fn replay_both(&self, pair: &Pair, index: usize, definition: &Definition) -> Outcome {
        let counts = &definition.counts.replay;
        counts.again.add(1);
        let shadow = self.replay(pair, index, definition, Receiver::Shadow);
        let second = self.replay(pair, index, definition, Receiver::Primary);
        // Whoever comes second may find a warm cache: neither always does.
        let (shadow, second) = if self.luck.borrow_mut().draw() & 1 == 0 {
            monoio::join!(shadow, second)
        } else {
            let (second, shadow) = monoio::join!(second, shadow);
            (shadow, second)
        };
        counts.again_failed.add(u64::from(second.is_err()));
        Outcome { shadow, second: Some(second) }
    }

    /// How it is decided whether the request also goes to the primary's version once more.
    fn draw(&self, pair: &Pair, definition: &Definition, endpoint: &str) -> Draw {
        let is_learning = self.ledger.borrow().is_learning(&definition.shadow.name, endpoint);
        Draw::of(definition.shadow.noise, is_safe(pair.request().method()), is_learning)
    }

    fn falls(&self, draw: Draw) -> bool {
        match draw {
            Draw::Never => false,
            Draw::Always => true,
            // 53 bits are what a fraction has.
            Draw::Chance(share) => {
                let bits = self.luck.borrow_mut().draw() >> 11;
                (bits as f64) < share * 9_007_199_254_740_992.0
            }
        }
    }

    async fn replay(
        &self,
        pair: &Pair,
        index: usize,
        definition: &Definition,
        receiver: Receiver,
    ) -> Result<Replied, Failed> {
        let (upstream, version) = match receiver {
            Receiver::Shadow => definition.shadow.to,
            Receiver::Primary => (pair.copy.plan.upstream, pair.copy.plan.version),
        };
        let endpoints = pair.terms().endpoints_of(upstream, version);
        let Some(endpoint) = self.choose(endpoints, pair.copy.endpoint) else {
            self.shut(receiver, definition);
            return Err(Failed::Unavailable);
        };
        let request = pair.request();
        let whom = (receiver, endpoint);
        let span = self.luck.borrow_mut().draw().max(1);
        let (head, body) = outgoing::write(&pair.copy, request, index, whom, span);
        let errand = Errand {
            endpoint,
            head,
            body,
            is_head: request.is_head(),
            is_safe: is_safe(request.method()),
            most: usize::try_from(definition.shadow.compare.max).unwrap_or(usize::MAX),
            timeout: definition.shadow.timeout,
        };
        if receiver == Receiver::Shadow {
            definition.counts.replay.sent.add(1);
        }
        let begun = ((self.lines.clock.now)(), (self.lines.clock.wall)());
        let replied = self.lines.run(errand).await;
        if receiver == Receiver::Shadow && pair.copy.is_told {
            self.tell(pair, definition, endpoint, (span, begun), &replied);
        }
        if matches!(replied, Err(Failed::Refused)) && endpoints.len() == 1 {
            self.shut(receiver, definition);
        }
        replied
    }

    /// Leaves the copy's span for the trace of its request.
    fn tell(
        &self,
        pair: &Pair,
        definition: &Definition,
        endpoint: &Endpoint,
        (span, (from, begun)): (u64, (Instant, Duration)),
        replied: &Result<Replied, Failed>,
    ) {
        let Some(trace) = pair.copy.trace else { return };
        let (upstream, version) = definition.shadow.to;
        let upstream = pair.terms().table.upstream(upstream);
        let Some(version) = upstream.versions.get(usize::from(version.0)) else { return };
        let status = |replied: &Replied| {
            let head = &replied.reply.head;
            let digits = head.get(9..12).and_then(|text| std::str::from_utf8(text).ok());
            digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
        };
        self.spans.leave(CopySpan {
            trace: trace.trace,
            span,
            parent: trace.parent,
            begun,
            took: (self.lines.clock.now)() - from,
            outcome: replied.as_ref().map(status).map_err(|why| *why),
            shadow: definition.shadow.name.clone(),
            to: (upstream.name.clone(), version.name.clone()),
            endpoint: endpoint.authority.clone(),
            method: Bytes::copy_from_slice(pair.request().method()),
        });
    }

    /// Nobody can be reached there: for a while, copies are not worth their making.
    fn shut(&self, receiver: Receiver, definition: &Definition) {
        if receiver == Receiver::Shadow && definition.counts.shut.read() == 0 {
            definition.counts.shut.set(1);
            let until = (self.lines.clock.now)() + SHUT_FOR;
            self.shut.borrow_mut().push((until, definition.counts.clone()));
        }
    }

    /// Lets copies be made again where it is time to try.
    pub(crate) fn reopen(&self, now: Instant) {
        self.shut.borrow_mut().retain(|(until, counts)| {
            let is_over = now >= *until;
            if is_over {
                counts.shut.set(0);
            }
            !is_over
        });
    }

    /// One of the endpoints that may be used: by luck, and not the one that the request itself went
    /// to if there is another.
    fn choose<'e>(&self, endpoints: &'e [Endpoint], not: u64) -> Option<&'e Endpoint> {
        let pick = |others: bool| {
            let fits = |e: &&Endpoint| e.available && (!others || e.id != not);
            let count = endpoints.iter().filter(fits).count();
            let place = self.luck.borrow_mut().draw() % (count.max(1) as u64);
            endpoints.iter().filter(fits).nth(usize::try_from(place).unwrap_or(0))
        };
        pick(true).or_else(|| pick(false))
    }

    async fn settle(&self, case: &Case<'_>, outcome: Outcome) {
        let counts = &case.definition.counts.replay;
        let answer = case.pair.answer(case.definition.shadow.timeout).await;
        let primary = match answer.map(|answer| &answer.reply) {
            Some(Ok(primary)) => Ok(primary),
            Some(Err(Lost::Failed)) => Err(Unpaired::Primary),
            Some(Err(Lost::Moved)) => Err(Unpaired::Moved),
            None => Err(Unpaired::Late),
        };
        // Counted last: what panics on its way is counted as that, and once.
        match (&outcome.shadow, primary) {
            (Ok(shadow), Ok(primary)) => {
                self.compare(case, primary, shadow, outcome.second.as_ref());
                counts.compared.add(1);
            }
            (Ok(_), Err(why)) => counts.unpaired[why as usize].add(1),
            (Err(why), primary) => {
                if let Ok(primary) = primary {
                    self.miss(case, primary, *why, outcome.second.as_ref());
                }
                counts.failed[*why as usize].add(1);
            }
        }
    }

    /// Holds the replies against each other, and writes down what differs.
    fn compare(
        &self,
        case: &Case<'_>,
        primary: &Reply,
        shadow: &Replied,
        second: Option<&Result<Replied, Failed>>,
    ) {
        let counts = &case.definition.counts.replay;
        let comparer = &case.definition.comparer;
        let so_far = counts.compared.read();
        // Which places there are is soon known; looking at each for every pair costs too much.
        let want_paths = so_far < LISTED_FIRST || so_far.is_multiple_of(LISTED_EVERY);
        let Some(found) = held(comparer, primary, &shadow.reply, want_paths) else { return };
        if let Some(why) = found.uncomparable {
            counts.uncomparable[why as usize].add(1);
        }
        let outcome = if found.differences.is_empty() { &counts.same } else { &counts.different };
        outcome.add(1);
        let noise = noise(case, primary, second);
        let baseline = noise.baseline();
        let second = second.and_then(|second| second.as_ref().ok());
        let again = second.map(|second| &second.reply);
        let pace = second.filter(|_| case.definition.shadow.compare.latency);
        let pace = pace.map(|second| (shadow.first_byte, second.first_byte));
        let Comparison { differences, uncomparable, paths } = found;
        self.write(
            case,
            primary,
            &shadow.reply,
            Written {
                found: &differences,
                second: again,
                baseline,
                paths: &paths,
                uncomparable,
                pace,
            },
        );
    }

    /// A reply that never came differs as well, unless the shadow was not even reached.
    fn miss(
        &self,
        case: &Case<'_>,
        primary: &Reply,
        why: Failed,
        second: Option<&Result<Replied, Failed>>,
    ) {
        if matches!(why, Failed::Unavailable | Failed::Refused | Failed::Connect | Failed::Panic) {
            return;
        }
        let mut head = ResponseHead::default();
        let Some(was) = side(primary, &mut head) else { return };
        let status = was.response.status();
        let difference = Difference {
            path: "status".into(),
            kind: Kind::Missing,
            shape: format!("{status} → {}", why.name()).into(),
            primary: Some(status.to_string().into()),
            other: None,
        };
        let (none, noise) = (Reply::default(), noise(case, primary, second));
        self.write(
            case,
            primary,
            &none,
            Written {
                found: &[difference],
                second: second.and_then(|second| Some(&second.as_ref().ok()?.reply)),
                baseline: noise.baseline(),
                paths: &[],
                uncomparable: None,
                pace: None,
            },
        );
    }

    fn write(&self, case: &Case<'_>, primary: &Reply, shadow: &Reply, written: Written<'_>) {
        let pair = ledger::Pair {
            endpoint: case.endpoint,
            request: &case.pair.copy.asked,
            primary,
            shadow,
            second: written.second,
            found: written.found,
            draw: case.draw,
            baseline: written.baseline,
            paths: written.paths,
            uncomparable: written.uncomparable,
            pace: written.pace,
            versions: &case.definition.versions,
            config: &case.pair.terms().config,
            at: self.at(),
        };
        self.ledger.borrow_mut().record(&case.definition.shadow.name, &pair);
    }
}

/// Another reply held against the primary's.
fn held(
    comparer: &Comparer,
    primary: &Reply,
    other: &Reply,
    want_paths: bool,
) -> Option<Comparison> {
    let (mut was, mut is) = (ResponseHead::default(), ResponseHead::default());
    let was = side(primary, &mut was)?;
    Some(comparer.compare(&was, &side(other, &mut is)?, want_paths))
}

/// What came of asking the primary's version a second time: nothing if it was not, or what differs
/// if that is known.
struct Noise(Option<Option<Vec<Difference>>>);

impl Noise {
    fn baseline(&self) -> Baseline<'_> {
        match &self.0 {
            None => Baseline::Unasked,
            Some(None) => Baseline::Lost,
            Some(Some(noise)) => Baseline::Found(noise),
        }
    }
}

fn noise(case: &Case<'_>, primary: &Reply, second: Option<&Result<Replied, Failed>>) -> Noise {
    let differences = |second: &Result<Replied, Failed>| {
        let second = &second.as_ref().ok()?.reply;
        let noise = held(&case.definition.comparer, primary, second, false)?;
        let noise = noise.uncomparable.is_none().then_some(noise.differences)?;
        case.definition.counts.replay.noisy.add(u64::from(!noise.is_empty()));
        Some(noise)
    };
    Noise(second.map(differences))
}

/// One copy for one shadow.
struct Case<'a> {
    pair: &'a Pair,
    definition: &'a Definition,
    endpoint: &'a str,
    draw: Draw,
}

/// What came of the replays.
struct Outcome {
    shadow: Result<Replied, Failed>,
    second: Option<Result<Replied, Failed>>,
}

/// What is written down of a pair.
struct Written<'a> {
    found: &'a [Difference],
    second: Option<&'a Reply>,
    baseline: Baseline<'a>,
    paths: &'a [Box<str>],
    uncomparable: Option<Uncomparable>,
    pace: Option<(Duration, Duration)>,
}

/// A reply as it is compared; none if its head is none, which nobody would have kept.
fn side<'a>(reply: &'a Reply, head: &'a mut ResponseHead) -> Option<Side<'a>> {
    Some(Side { response: plain::read(head, &reply.head)?, body: &reply.body })
}

/// How long nobody tries an endpoint that refuses connections: a tenth of what health checks take.
const SHUT_FOR: Duration = Duration::from_millis(200);

/// Pairs of a shadow whose places are all looked at, first and then every so many.
const LISTED_FIRST: u64 = 256;
const LISTED_EVERY: u64 = 64;

/// The endpoint that a request belongs to.
fn endpoint_of(pair: &Pair) -> String {
    let request = pair.request();
    let text = String::from_utf8_lossy;
    endpoint::key(&text(request.method()), &text(request.path()))
}
