//! The canaries that are simulated, and the rules that watch them.

use gnomon_policy::judge::bernoulli::{Boundary, Counts};

use super::{
    MARGIN, errors,
    judged::{self, Judged},
    rules::{MannWhitney, PeekedZ, Rule, Strata, Strict, Threshold},
    runs::{self, Spoken, repeat},
    slow_rules::{self, Bands, PeekedP99, SlowRule, StrictP99},
    times::{self, Histogram, Shape},
};

/// What a rule did in many rollouts of one kind.
#[derive(Clone, Debug)]
pub struct Found {
    /// The rule's name.
    pub rule: &'static str,
    /// The kind's name.
    pub kind: &'static str,
    /// Requests per second.
    pub rate: f64,
    /// When it would have rolled back.
    pub spoken: Spoken,
    /// Errors of the canary until then, in the middle of those rollouts.
    pub errors: Option<u64>,
    /// Seed of the first rollout in which it did.
    pub seed: Option<u64>,
}

/// Kinds of canaries by their errors.
pub const ERRORS: [&str; 7] =
    ["healthy", "healthy, incidents", "at the margin", "×3", "×10", "×3, incidents", "×3 late"];

/// The second in which a late regression begins.
pub const LATE: u64 = 1500;

/// One of [`ERRORS`] at a rate.
#[must_use]
pub fn error_case(kind: &str, rate: f64) -> errors::Case {
    let case = |factor| errors::Case::times(rate, factor);
    match kind {
        "healthy, incidents" => case(1.0).in_rough_weather(),
        "at the margin" => case(1.0).with(MARGIN),
        "×3" => case(3.0),
        "×10" => case(10.0),
        "×3, incidents" => case(3.0).in_rough_weather(),
        "×3 late" => case(3.0).from(LATE),
        _ => case(1.0),
    }
}

/// Kinds of canaries by their times.
pub const TIMES: [&str; 6] = [
    "healthy",
    "healthy, incidents",
    "at the margin",
    "all +20 %",
    "tail +20 %",
    "tail +20 %, incidents",
];

/// One of [`TIMES`] at a rate.
#[must_use]
pub fn time_case(kind: &str, rate: f64) -> times::Case {
    let canary = match kind {
        "at the margin" => Shape::All(2.0_f64.powf(1.0 / 16.0)),
        "all +20 %" => Shape::All(1.2),
        "tail +20 %" | "tail +20 %, incidents" => Shape::Tail(1.2),
        _ => Shape::SAME,
    };
    times::Case { rate, canary, errors: None, rough: kind.ends_with("incidents") }
}

/// Kinds of canaries with errors and times.
pub const BOTH: [&str; 5] =
    ["healthy", "healthy, incidents", "errors ×3", "all +20 %", "tail +20 %"];

/// One of [`BOTH`] at a rate.
#[must_use]
pub fn both_case(kind: &str, rate: f64) -> times::Case {
    let ratio = if kind == "errors ×3" { 3.0 } else { 1.0 };
    times::Case { errors: Some(Boundary { ratio, points: 0.0 }), ..time_case(kind, rate) }
}

/// The judge as it is.
pub const DEFAULT: &str = "gnomon, default";
/// Its formula without a margin, at α = 0.05.
pub const STRICT_05: &str = "gnomon, strict, α = .05";
/// Its formula without a margin, at α = 0.01.
pub const STRICT_01: &str = "gnomon, strict, α = .01";

/// A rule and how it begins.
type ErrorRule = (&'static str, fn(Counts) -> Box<dyn Rule>);

/// The judge and its bare formula.
pub const OUR_ERROR_RULES: [ErrorRule; 3] = [
    (DEFAULT, |before| Box::new(Judged::of_errors(&judged::ERRORS, before))),
    (STRICT_05, |before| Box::new(Strict::new(before, 0.05))),
    (STRICT_01, |before| Box::new(Strict::new(before, 0.01))),
];

/// What others do.
pub const OTHER_ERROR_RULES: [ErrorRule; 8] = [
    ("z-test, each weight apart, every 60 s", |_| Box::new(PeekedZ::new(Strata::ByWeight, 60))),
    ("z-test, every 60 s", |_| Box::new(PeekedZ::new(Strata::Pooled, 60))),
    ("z-test, every 5 s", |_| Box::new(PeekedZ::new(Strata::Pooled, 5))),
    ("Mann–Whitney, every 5 min", |_| Box::<MannWhitney>::default()),
    ("success < 99 %, once", |_| Box::new(Threshold::new(0.99, 1))),
    ("success < 99 %, 5 times", |_| Box::new(Threshold::new(0.99, 5))),
    ("success < 99.8 %, 5 times", |_| Box::new(Threshold::new(0.998, 5))),
    ("success < 99.8 %, once", |_| Box::new(Threshold::new(0.998, 1))),
];

/// Lets rules watch so many rollouts of one kind.
#[must_use]
pub fn watch_errors(rules: &[ErrorRule], kind: &'static str, rate: f64, runs: u64) -> Vec<Found> {
    let one = |seed| {
        let mut rollout = errors::Rollout::new(error_case(kind, rate), seed);
        let mut rules: Vec<_> = rules.iter().map(|(_, new)| new(rollout.before)).collect();
        let mut said = vec![None; rules.len()];
        let mut canary = Counts::default();
        for tick in rollout.ticks() {
            canary.add(tick.canary);
            for (said, rule) in said.iter_mut().zip(&mut rules) {
                if said.is_none() && rule.sees(&tick) {
                    *said = Some((tick.end, canary.bad));
                }
            }
        }
        said
    };
    let name = format!("errors {kind} {rate}");
    let all = repeat(&name, runs, one);
    let found = |(at, (rule, _)): (usize, &ErrorRule)| found(rule, kind, rate, &name, &all, at);
    rules.iter().enumerate().map(found).collect()
}

/// When each rule spoke in one run, and how many errors the canary had had.
type Said = Vec<Option<(u64, u64)>>;

fn found(
    rule: &'static str,
    kind: &'static str,
    rate: f64,
    name: &str,
    all: &[Said],
    at: usize,
) -> Found {
    let first = all.iter().position(|said| said[at].is_some());
    let mut errors: Vec<u64> = all.iter().filter_map(|said| Some(said[at]?.1)).collect();
    errors.sort_unstable();
    let errors = errors.get(errors.len() / 2).copied();
    let times = all.iter().map(|said| said[at].map(|(end, _)| end as f64));
    let seed = first.map(|number| runs::seed(name, number as u64));
    Found { rule, kind, rate, spoken: Spoken::new(times), errors, seed }
}

/// A rule for times and how it begins.
type TimeRule = (&'static str, fn(&Histogram) -> Box<dyn SlowRule>);

/// The judge and its bare formula.
pub const OUR_TIME_RULES: [TimeRule; 4] = [
    (DEFAULT, |before| Box::new(Judged::of_times(&judged::LATENCY, before))),
    (STRICT_05, |before| Box::new(slow_rules::Strict::new(before, 0.05))),
    (STRICT_01, |before| Box::new(slow_rules::Strict::new(before, 0.01))),
    ("gnomon, strict, p99 alone, α = .05", |before| Box::new(StrictP99::new(before, 0.05))),
];

/// What others do.
pub const OTHER_TIME_RULES: [TimeRule; 7] = [
    ("z-test beyond p99, each weight apart, every 60 s", |before| {
        Box::new(PeekedP99::new(before, Strata::ByWeight))
    }),
    ("z-test beyond p99, every 60 s", |before| Box::new(PeekedP99::new(before, Strata::Pooled))),
    ("bands around distributions, every 5 s", |_| Box::<Bands>::default()),
    ("Mann–Whitney of p99, every 5 min", |_| Box::<slow_rules::MannWhitney>::default()),
    ("p99 > 500 ms, 5 times", |_| Box::new(slow_rules::Threshold::new(0.5, 5))),
    ("p99 > 1.1 × before, 5 times", |before| {
        Box::new(slow_rules::Threshold::relative(before, 1.1, 5))
    }),
    ("p99 > 1.1 × before, once", |before| {
        Box::new(slow_rules::Threshold::relative(before, 1.1, 1))
    }),
];

/// The judge with all that it looks at by default, errors and times.
pub const WHOLE_RULE: [TimeRule; 1] =
    [("gnomon, all signals", |before| Box::new(Judged::of_times(&judged::WHOLE, before)))];

/// Lets rules watch so many rollouts of a case.
#[must_use]
pub fn watch_times(
    rules: &[TimeRule],
    kind: &'static str,
    case: times::Case,
    runs: u64,
) -> Vec<Found> {
    let one = |seed| {
        let mut rollout = times::Rollout::new(case, seed);
        let mut rules: Vec<_> = rules.iter().map(|(_, new)| new(&rollout.before)).collect();
        let mut said: Said = vec![None; rules.len()];
        let mut errors = 0;
        for number in 0..times::Rollout::ticks() {
            let tick = rollout.tick(number);
            errors += tick.failed.0;
            for (said, rule) in said.iter_mut().zip(&mut rules) {
                if said.is_none() && rule.sees(&tick) {
                    *said = Some((tick.end, errors));
                }
            }
            if said.iter().all(Option::is_some) {
                break;
            }
        }
        said
    };
    let what = if case.errors.is_some() { "both" } else { "times" };
    let name = format!("{what} {kind} {}", case.rate);
    let all = repeat(&name, runs, one);
    let found = |(at, (rule, _)): (usize, &TimeRule)| found(rule, kind, case.rate, &name, &all, at);
    rules.iter().enumerate().map(found).collect()
}
