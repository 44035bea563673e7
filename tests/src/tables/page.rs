//! The page with all tables.

use std::fmt::Write as _;

use e2e::sim::{
    RATES,
    cases::{self, Found},
};

/// The whole page.
pub(super) fn page(
    errors: &[Found],
    times: &[Found],
    both: &[Found],
    rest: &str,
    size: &str,
) -> String {
    let mut page = format!("{HEAD}\n{size}\n\n{ROWS}\n");
    heading(&mut page, "Errors: healthy canaries that are rolled back within 40 minutes");
    shares(&mut page, errors, &["healthy", "healthy, incidents", "at the margin"]);
    page.push_str("\n\"At the margin\" is worse by just what gnomon's default allows: 1.25 × stable + 0.01 points. Rules without a margin are right to find it.\n");
    for (kind, title) in [
        ("×3", "Errors: 0.1 % become 0.3 %"),
        ("×10", "Errors: 0.1 % become 1 %"),
        ("×3, incidents", "Errors: three times stable's, while incidents befall both versions"),
        ("×3 late", "Errors: 0.1 % become 0.3 % after 25 minutes (times count from the start)"),
    ] {
        heading(&mut page, title);
        found(&mut page, errors, kind, true);
    }
    heading(&mut page, "Latency: healthy canaries that are rolled back within 40 minutes");
    shares(&mut page, times, &["healthy", "healthy, incidents", "at the margin"]);
    page.push_str("\n\"At the margin\" is slower by just what gnomon's default allows: 4.4 %.\n");
    for (kind, title) in [
        ("all +20 %", "Latency: every request takes 20 % longer"),
        ("tail +20 %", "Latency: the slowest 3 % of requests take 20 % longer, and so p99 does"),
        ("tail +20 %, incidents", "Latency: the same, while incidents befall both versions"),
    ] {
        heading(&mut page, title);
        found(&mut page, times, kind, false);
    }
    whole(&mut page, both);
    page.push_str(rest);
    page
}

pub(super) fn heading(page: &mut String, title: &str) {
    let _ = writeln!(page, "\n## {title}\n");
}

/// A line of a table.
pub(super) fn line(page: &mut String, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().collect();
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

/// The first two lines of a table.
pub(super) fn top(page: &mut String, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().collect();
    let _ = writeln!(page, "| {} |\n|{}", cells.join(" | "), "---|".repeat(cells.len()));
}

fn names(all: &[Found]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for found in all {
        if !names.contains(&found.rule) {
            names.push(found.rule);
        }
    }
    names
}

fn get<'a>(all: &'a [Found], rule: &str, kind: &str, rate: f64) -> Option<&'a Found> {
    all.iter().find(|it| it.rule == rule && it.kind == kind && it.rate.to_bits() == rate.to_bits())
}

fn shares(page: &mut String, all: &[Found], kinds: &[&str]) {
    let columns = kinds.iter().flat_map(|kind| RATES.map(|rate| format!("{kind}: {rate}/s")));
    top(page, std::iter::once("rule".to_owned()).chain(columns));
    for rule in names(all) {
        let cells = kinds.iter().flat_map(|kind| RATES.map(|rate| get(all, rule, kind, rate)));
        let cells = cells.map(|it| it.map_or_else(String::new, |it| percent(it.spoken.share())));
        line(page, std::iter::once(shown(rule)).chain(cells));
    }
}

fn found(page: &mut String, all: &[Found], kind: &str, has_errors: bool) {
    let rates = RATES.map(|rate| format!("{rate}/s"));
    let last = has_errors.then(|| "canary errors until then".to_owned());
    top(page, std::iter::once("rule".to_owned()).chain(rates).chain(last));
    for rule in names(all) {
        let cells = RATES.map(|rate| get(all, rule, kind, rate).map_or_else(String::new, when));
        let errors = RATES.map(|rate| get(all, rule, kind, rate).and_then(|it| it.errors));
        let show = |errors: Option<u64>| {
            errors.map_or_else(|| "–".to_owned(), |errors| errors.to_string())
        };
        let errors = has_errors.then(|| errors.map(show).join(" / "));
        line(page, std::iter::once(shown(rule)).chain(cells).chain(errors));
    }
}

/// Our own lines stand out.
fn shown(rule: &str) -> String {
    if rule == cases::DEFAULT { format!("**{rule}**") } else { rule.to_owned() }
}

fn when(found: &Found) -> String {
    let share = found.spoken.share();
    let median = time(found.spoken.median());
    let p90 = time(found.spoken.quantile(0.9));
    let rest = if share < 0.995 { format!(" ({})", percent(share)) } else { String::new() };
    format!("{median} / {p90}{rest}")
}

/// A time that a person can compare.
pub(super) fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "–".to_owned(),
        Some(seconds) if seconds < 120.0 => format!("{seconds:.0} s"),
        Some(seconds) => format!("{:.1} min", seconds / 60.0),
    }
}

/// A share.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn whole(page: &mut String, both: &[Found]) {
    heading(page, "All signals together: errors and latency, with the default warm-up of 30 s");
    page.push_str("What the product does: its evidence is the weighted mean of all signals, so each alone needs a little more.\n\n");
    let rates = RATES.map(|rate| format!("{rate}/s"));
    top(page, std::iter::once("canary".to_owned()).chain(rates));
    for kind in cases::BOTH {
        let cell = |rate| {
            let Some(it) =
                both.iter().find(|it| it.kind == kind && it.rate.to_bits() == f64::to_bits(rate))
            else {
                return String::new();
            };
            if kind.starts_with("healthy") {
                format!("{} rolled back", percent(it.spoken.share()))
            } else {
                when(it)
            }
        };
        line(page, std::iter::once(kind.to_owned()).chain(RATES.map(cell)));
    }
}

const HEAD: &str = "# The judge and other rules, in the same simulated rollouts

![False rollbacks against the time to find three times the errors](errors.svg)

![False rollbacks against the time to find a p99 that is 20 % longer](latency.svg)

Stable fails once in a thousand requests; half of its requests take 40 ms at most, one in a hundred more than 204 ms \
(lognormal, σ = 0.7). Arrivals are Poisson, counted every 5 s. The canary gets 1, 5, 25 and 50 % of them for ten minutes \
each: a rollout is watched for 40 minutes. \"Incidents\" befall both versions alike: one minute in twelve has 8 to 30 times \
the errors and 1.3 to 3 times the latency, five minutes in a row have ten times the errors and 1.5 times the latency, and \
traffic varies by half. Times are median / 90th percentile over all rollouts; in brackets is the share that was found at \
all, if below 99.5 %; \"–\" is never within 40 minutes.
";

const ROWS: &str = "The rules:

* **gnomon, default**: the judge of the product itself, given errors alone or latency alone; rolls back at evidence of \
100 : 1. *Strict*: its bare formula without margin and restarts.
* *z-test*: of two proportions, one-sided, 5 %, looked at again and again.
* *Mann–Whitney*: of per-minute values, as Kayenta's judge does with its defaults.
* *success <*, *p99 >*: checks of the canary alone, minute by minute, that roll back at the first or fifth failed check, \
as Flagger's do.
* *bands*: two bands around distribution functions that hold at all times (Howard and Ramdas).

The rules of others are written anew from what they document, and fed with exact figures. The same seeds give the same page: \
`cargo run --release -p e2e --bin judge-tables -- FOLDER`. Three standard errors are 1.0 points at a share of 5 % of 4000 \
rollouts.
";
