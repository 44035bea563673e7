//! A report in sentences.

mod variants;

use std::time::Duration;

use super::{
    bernoulli::Boundary,
    gauge::Both,
    plan::{Advice, StepForecast},
    report::{ProofReport, Report, SignalReport},
    rules::{Allowed, Signal, Worsening, quantile_name},
    verdict::{Missing, Verdict, Why},
};

pub use variants::variants;

/// What the two that are compared are called.
#[derive(Clone, Copy, Debug)]
struct Sides<'a> {
    canary: &'a str,
    stable: &'a str,
}

const VERSIONS: Sides<'_> = Sides { canary: "canary", stable: "stable" };

/// What the sentences say besides the report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Occasion<'a> {
    /// The time of day, as it is to be written.
    pub at: &'a str,
    /// How long the canary had users.
    pub after: Duration,
    /// The weight that follows; `None`: the canary becomes stable.
    pub next: Option<f64>,
    /// Requests that the canary gets a second.
    pub pace: f64,
    /// Of this step.
    pub forecast: Option<&'a StepForecast>,
}

/// What a verdict says, why, and what can be done about it.
#[must_use]
pub fn words(report: &Report, occasion: &Occasion<'_>) -> String {
    match &report.verdict {
        Verdict::Rollback { .. } => rolled_back(report, occasion),
        Verdict::Hold { why } => format!("HOLD: {}", held(why, report)),
        Verdict::Advance => advanced(report, occasion),
        Verdict::NotProven { missing } => not_proven(missing, occasion),
    }
}

fn rolled_back(report: &Report, occasion: &Occasion<'_>) -> String {
    let culprits = report.signals.iter().filter(|signal| signal.is_culprit);
    let told = culprits.filter(|signal| !is_told_by_errors(signal, report));
    let told = told.map(|signal| format!(" {}", told_of(signal, report, VERSIONS)));
    let signals: String = told.collect();
    format!(
        "ROLLED BACK{} after {}.{signals} Evidence {} that the limit is broken; the rule is {}. A \
         healthy canary meets this rule in at most 1 of {} rollouts, however often one looks.",
        if occasion.at.is_empty() { String::new() } else { format!(" at {}", occasion.at) },
        duration(occasion.after.as_secs_f64()),
        odds(report.mean_e),
        odds(report.rule),
        grouped(report.rule),
    )
}

/// Whether all errors are of this one class and are told as such: once is enough.
fn is_told_by_errors(signal: &SignalReport, report: &Report) -> bool {
    let is_class = matches!(signal.signal, Signal::Class(_));
    let is_same = |other: &SignalReport| {
        matches!((other.signal, other.allowed), (Signal::Errors, Allowed::Against(_)))
            && other.is_culprit
            && other.overall == signal.overall
    };
    is_class && report.signals.iter().any(is_same)
}

/// What one signal looks like.
fn told_of(signal: &SignalReport, report: &Report, sides: Sides<'_>) -> String {
    let mut text = format!("{}: ", title(&signal.name));
    if matches!(signal.signal, Signal::Latency) {
        let Both { canary, stable } = report.times;
        for (name, canary, stable) in
            [("p50", canary.p50, stable.p50), ("p99", canary.p99, stable.p99)]
        {
            if let (Some(canary), Some(stable)) = (canary, stable) {
                let (canary, stable) = (time(canary), time(stable));
                text.push_str(&format!("{name} {canary}, {} {stable}; ", sides.stable));
            }
        }
    }
    text.push_str(&shares(signal, sides));
    if let Some(range) = signal.ratio {
        let likely = range.likely.map_or_else(|| "only one has any".to_owned(), times);
        let low = range.low.map_or_else(|| "0".to_owned(), plain);
        let high = range.high.map_or_else(|| "any".to_owned(), times);
        text.push_str(&format!(": {likely}, range {low}–{high} (95%, valid at every moment)"));
    }
    text.push_str(&format!(". Allowed: {}.", allowed(signal)));
    text
}

fn shares(signal: &SignalReport, sides: Sides<'_>) -> String {
    let one = |name: &str, counts: super::bernoulli::Counts| match signal.signal {
        Signal::Amount(..) => format!("{name} {} of the maximum", percent(counts.rate())),
        Signal::Errors
        | Signal::Class(_)
        | Signal::Latency
        | Signal::Quantile(_)
        | Signal::Conversion(..) => {
            let (bad, all) = (count(counts.bad), count(counts.all));
            format!("{name} {} ({bad} of {all})", percent(counts.rate()))
        }
    };
    let slow = match (signal.quantile, signal.signal, signal.allowed) {
        (Some(quantile), ..) => {
            format!("slower than {}'s usual {}: ", sides.stable, quantile_name(quantile))
        }
        (None, Signal::Latency | Signal::Quantile(_), Allowed::AtMost(most)) => {
            format!("slower than {}: ", time(most))
        }
        _ => String::new(),
    };
    let overall = signal.overall;
    let (canary, stable) = (one(sides.canary, overall.canary), one(sides.stable, overall.stable));
    format!("{slow}{canary}, {stable}")
}

fn allowed(signal: &SignalReport) -> String {
    let Boundary { ratio, points } = match signal.allowed {
        Allowed::Against(boundary) => boundary,
        Allowed::AtMost(most) => {
            return match signal.signal {
                Signal::Latency => format!("99.9% within {}", time(most)),
                Signal::Quantile(quantile) => {
                    format!("{} within {}", percent(quantile), time(most))
                }
                Signal::Errors | Signal::Class(_) | Signal::Conversion(..) | Signal::Amount(..) => {
                    format!("at most {}", percent(most))
                }
            };
        }
    };
    match signal.signal {
        Signal::Latency | Signal::Quantile(_) => format!("{} slower", percent(ratio - 1.0)),
        Signal::Conversion(_, Worsening::Lower) | Signal::Amount(_, Worsening::Lower) => {
            let less = if points > 0.0 { format!(" - {}", pp(points)) } else { String::new() };
            format!("{}{less}", times(2.0 - ratio))
        }
        Signal::Errors | Signal::Class(_) | Signal::Conversion(..) | Signal::Amount(..) => {
            let more = if points > 0.0 { format!(" + {}", pp(points)) } else { String::new() };
            format!("{}{more}", times(ratio))
        }
    }
}

fn held(why: &Why, report: &Report) -> String {
    let evidence = odds(report.mean_e);
    match why {
        Why::Invalid => format!(
            "the judge is blind. The canary gets another share of the requests than the router \
             says ({}); nothing that was counted means anything.",
            odds(report.router_e)
        ),
        Why::Suspicious => {
            let loudest = loudest(report, VERSIONS);
            let but = if report.mean_e < report.rule {
                format!("a rollback needs {}", odds(report.rule))
            } else {
                "it rests on too few bad answers yet, or on one second alone".to_owned()
            };
            format!("there is evidence against the canary ({evidence}), but {but}.{loudest}")
        }
        Why::BothDegraded { signal, canary, stable, usual } => {
            let what = match (&**signal, usual) {
                ("errors", _) => String::new(),
                ("latency", Some(_)) => "slower than stable's usual p99: ".to_owned(),
                (signal, _) => format!("{signal}: "),
            };
            let usual = usual.map_or_else(String::new, |it| format!(", usually {}", percent(it)));
            let (canary, stable) = (percent(*canary), percent(*stable));
            let rest = if report.mean_e < 10.0 { "no evidence" } else { "not enough evidence" };
            format!(
                "both versions degraded together ({what}canary {canary}, stable {stable}{usual}); \
                 {rest} against the canary ({evidence})."
            )
        }
        Why::NoTraffic => format!(
            "no traffic to judge by (canary {} requests, stable {} in this step).",
            count(report.assigned.canary),
            count(report.assigned.stable)
        ),
    }
}

/// What the signal looks like that says most.
fn loudest(report: &Report, sides: Sides<'_>) -> String {
    let says = |signal: &SignalReport| signal.e * signal.weight;
    let loudest = report.signals.iter().max_by(|a, b| says(a).total_cmp(&says(b)));
    loudest.map_or_else(String::new, |signal| format!(" {}", told_of(signal, report, sides)))
}

fn advanced(report: &Report, occasion: &Occasion<'_>) -> String {
    let to = occasion.next.map_or_else(|| "all traffic".to_owned(), percent);
    let proofs: Vec<String> = report.proofs.iter().map(excluded).collect();
    if proofs.is_empty() {
        return format!("ADVANCED to {to}: the step holds nothing that had to be excluded.");
    }
    let need = report.proofs.iter().map(|proof| proof.need).fold(f64::INFINITY, f64::min);
    format!("ADVANCED to {to}: excluded, {} or better, {}.", odds(need), proofs.join(" and "))
}

fn excluded(proof: &ProofReport) -> String {
    format!("that {} {} worse by {}", proof.name, verb(&proof.name), pp(proof.margin))
}

fn verb(signal: &str) -> &'static str {
    if signal == "errors" { "are" } else { "is" }
}

fn not_proven(missing: &[Missing], occasion: &Occasion<'_>) -> String {
    let triple = occasion.forecast.and_then(|forecast| {
        forecast.errors.iter().find(|found| (found.factor - 3.0).abs() < 1e-9)?.seconds
    });
    let first = match triple {
        Some(seconds) if occasion.pace > 0.0 => format!(
            "at {} canary requests/s this step needs about {} to detect ×3.",
            plain(occasion.pace),
            duration(seconds)
        ),
        _ => "this step needs more evidence.".to_owned(),
    };
    let lacks: Vec<String> = missing.iter().map(lacking).collect();
    let lacks =
        if lacks.is_empty() { String::new() } else { format!(" Missing: {}.", lacks.join("; ")) };
    format!("NOT PROVEN: {first}{lacks}{}", options(occasion.forecast))
}

fn lacking(missing: &Missing) -> String {
    match missing {
        Missing::Warmup { seconds } => format!("the canary is cold for another {seconds} s"),
        Missing::Requests { have, need } => {
            format!("{} of {} requests to each version", count(*have), count(*need))
        }
        Missing::Proof { signal, margin, e, need } => {
            let (has, needs) = (odds(*e), odds(*need));
            let verb = verb(signal);
            format!("that {signal} {verb} not worse by {} ({has}, {needs} is needed)", pp(*margin))
        }
    }
}

fn options(forecast: Option<&StepForecast>) -> String {
    let mut options: Vec<String> = Vec::new();
    for advice in forecast.map_or(&[][..], |forecast| &forecast.advice) {
        let takes = |how: &str, seconds: Option<f64>| {
            seconds.map_or_else(String::new, |it| format!(" ({how} {})", duration(it)))
        };
        options.push(match advice {
            Advice::Mirror => "mirror".to_owned(),
            Advice::Larger { weight, triple, .. } => {
                format!("{} weight{}", percent(*weight), takes("about", *triple))
            }
            Advice::Wider { risk_errors, proof } => {
                let takes = takes("proven in about", *proof);
                format!("wider limit of {} at risk{takes}", pp(*risk_errors))
            }
        });
    }
    if options.is_empty() { String::new() } else { format!(" Options: {}.", options.join(", ")) }
}

/// "errors" is "Errors".
fn title(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// With as many digits as say something: 0.31, 2.1, 25.
fn plain(value: f64) -> String {
    let digits = match value.abs() {
        it if it >= 10.0 => 0,
        it if it >= 1.0 => 1,
        it if it >= 0.01 => 2,
        it if it >= 0.0001 => 4,
        _ => 6,
    };
    format!("{value:.digits$}")
}

/// Without the zeros behind: 1.25, 4, 0.01.
fn exact(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let is_round = (percent - percent.round()).abs() < 1e-9;
    if is_round || percent > 90.0 {
        format!("{}%", exact(percent))
    } else {
        format!("{}%", plain(percent))
    }
}

fn pp(points: f64) -> String {
    format!("{} pp", exact(points * 100.0))
}

fn times(ratio: f64) -> String {
    let is_short = (ratio * 10.0 - (ratio * 10.0).round()).abs() > 1e-9 && ratio < 2.0;
    if is_short && (ratio * 100.0 - (ratio * 100.0).round()).abs() < 1e-9 {
        return format!("{}×", exact(ratio));
    }
    format!("{}×", plain(ratio))
}

/// Evidence as odds: 1 250 : 1.
#[must_use]
pub fn odds(e: f64) -> String {
    if e > 1e6 {
        return "more than 1 000 000 : 1".to_owned();
    }
    let text = if e >= 9.95 { grouped(e) } else { format!("{e:.1}") };
    format!("{} : 1", text.trim_end_matches(".0"))
}

fn grouped(value: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "up to a million")]
    let whole = value.round().max(0.0) as u64;
    count(whole)
}

/// Thousands apart: 401 900.
fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn time(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{} ms", plain(seconds * 1000.0))
    } else {
        format!("{} s", exact(seconds))
    }
}

/// 40 s, 6 m 20 s, 8.5 h, 3.2 d.
fn duration(seconds: f64) -> String {
    if seconds < 1.0 {
        return "1 s".to_owned();
    }
    if seconds < 60.0 {
        return format!("{seconds:.0} s");
    }
    if seconds < 3600.0 {
        let whole = seconds.round();
        return format!("{:.0} m {:.0} s", (whole / 60.0).floor(), whole % 60.0);
    }
    let (value, unit) =
        if seconds < 172_800.0 { (seconds / 3600.0, "h") } else { (seconds / 86_400.0, "d") };
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_right() {
        assert_eq!(
            (percent(0.0031), percent(0.021), percent(0.25)),
            sample(["0.31%", "2.1%", "25%"])
        );
        assert_eq!((times(3.0), times(1.25), times(4.2)), sample(["3.0×", "1.25×", "4.2×"]));
        assert_eq!(
            (odds(1250.0), odds(1.3), odds(20.0)),
            sample(["1 250 : 1", "1.3 : 1", "20 : 1"])
        );
        let lasts = (duration(380.0), duration(30_600.0), duration(5.0));
        assert_eq!(lasts, sample(["6 m 20 s", "8.5 h", "5 s"]));
        assert_eq!((pp(0.0001), pp(0.002), pp(0.02)), sample(["0.01 pp", "0.2 pp", "2 pp"]));
        assert_eq!((count(20_100), count(401_900), count(62)), sample(["20 100", "401 900", "62"]));
    }

    fn sample(texts: [&str; 3]) -> (String, String, String) {
        let [a, b, c] = texts.map(str::to_owned);
        (a, b, c)
    }
}
