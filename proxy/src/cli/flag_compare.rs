//! `gnomon flag compare`: the variants of a flag side by side, and what the judge says of them.

use gnomon_policy::judge::report::SignalReport;

use super::{Failure, Paint, live::Door};
use crate::control::api::flag_compare::{FlagCompare, FlagJudged, VariantCounts};

/// Shows the variants of a flag.
pub(super) fn compare(door: &Door, name: &str) -> Result<(), Failure> {
    let compared: FlagCompare = door.read(&format!("/v1/flags/{name}/compare"))?;
    if door.json {
        door.console.json(&compared)
    } else {
        door.console.data(render(&compared, door.console.paint()))
    }
}

fn render(compared: &FlagCompare, paint: Paint) -> String {
    let mut text = format!(
        "{}\n",
        paint.bold(
            "variant            exposures     asked  requests   errors      p50      p99     users"
        )
    );
    for counts in &compared.variants {
        text.push_str(&line(counts, compared.judged.as_ref(), paint));
    }
    match &compared.judged {
        Some(judged) => text.push_str(&verdict(&compared.flag, judged, paint)),
        None => text.push_str(&format!(
            "\nnobody judges {0}: set `judge` in [flag.{0}], or wait for the first look\n",
            compared.flag
        )),
    }
    text
}

fn line(counts: &VariantCounts, judged: Option<&FlagJudged>, paint: Paint) -> String {
    let requests = counts.ok + counts.errors + counts.client;
    let errors = format!("{:6.2} %", counts.error_rate * 100.0);
    let errors = if counts.errors > 0 { paint.yellow(&errors) } else { errors };
    let users = judged.and_then(|judged| match &counts.variant {
        variant if *variant == judged.variant => Some(judged.ratio.variant),
        variant if *variant == judged.default => Some(judged.ratio.default),
        _ => None,
    });
    let users = users.map_or_else(String::new, |users| users.to_string());
    format!(
        "{:<17} {:>10} {:>9} {requests:>9} {errors} {} {} {users:>9}\n",
        counts.variant,
        counts.exposures,
        counts.asked,
        time(counts.p50_seconds),
        time(counts.p99_seconds),
    )
}

fn verdict(flag: &str, judged: &FlagJudged, paint: Paint) -> String {
    let FlagJudged { upstream, variant, default, horizon_seconds, .. } = judged;
    let mut text = format!(
        "\n{flag}: {variant} against {default}, by what users get from {upstream}, {horizon_seconds} s \
         after their first request\n"
    );
    let report = judged.report.as_ref();
    for signal in report.into_iter().flat_map(|report| &report.signals) {
        text.push_str(&compared(signal, judged));
    }
    text.push_str(&ratio(judged, paint));
    if judged.lost > 0 {
        text.push_str(&format!("{} outcomes were lost on their way to the judge\n", judged.lost));
    }
    let words = match &*judged.verdict {
        "worse" | "blind" => paint.red(&judged.words),
        "doubt" => paint.yellow(&judged.words),
        "no_worse" => paint.green(&judged.words),
        _ => judged.words.clone(),
    };
    text.push_str(&format!("{words}\n"));
    text
}

/// A signal of which something was seen.
fn compared(signal: &SignalReport, judged: &FlagJudged) -> String {
    let (canary, stable) = (signal.overall.canary, signal.overall.stable);
    if canary.bad + stable.bad == 0 {
        return String::new();
    }
    let ratio = signal.ratio.map_or_else(String::new, |range| {
        let times = |bound: Option<f64>, none: &str| {
            bound.map_or_else(|| none.to_owned(), |bound| format!("{bound:.2}"))
        };
        format!("  {} to {} times", times(range.low, "0"), times(range.high, "any number of"))
    });
    format!(
        "  {:<14} {} {:.2} %, {} {:.2} %{ratio}\n",
        signal.name,
        judged.variant,
        canary.rate() * 100.0,
        judged.default,
        stable.rate() * 100.0,
    )
}

/// Whether as many users have the variant as should.
fn ratio(judged: &FlagJudged, paint: Paint) -> String {
    let ratio = judged.ratio;
    if ratio.variant + ratio.default == 0 {
        return String::new();
    }
    let text = format!(
        "  {:<14} {:.2} % of {} have {}, {:.2} % should; evidence that it is another share {:.1} : 1\n",
        "users",
        ratio.counted * 100.0,
        ratio.variant + ratio.default,
        judged.variant,
        ratio.expected * 100.0,
        ratio.e,
    );
    if ratio.is_broken { paint.red(&text) } else { text }
}

fn time(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "       -".to_owned(), |it| format!("{:5.1} ms", it * 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::api::flag_compare::SampleRatio;

    #[test]
    fn variants_stand_side_by_side() {
        let of = |variant: &str, errors| VariantCounts {
            variant: variant.to_owned(),
            exposures: 100,
            asked: 7,
            ok: 100 - errors,
            errors,
            error_rate: 0.2,
            p50_seconds: Some(0.012),
            ..VariantCounts::default()
        };
        let ratio = SampleRatio {
            variant: 48,
            default: 52,
            expected: 0.5,
            counted: 0.48,
            e: 1.2,
            ..SampleRatio::default()
        };
        let judged = FlagJudged {
            upstream: "shop".into(),
            variant: "on".into(),
            default: "off".into(),
            ratio,
            verdict: "not_proven".into(),
            words: "NOT PROVEN: yet.".into(),
            ..FlagJudged::default()
        };
        let mut compared = FlagCompare {
            flag: "new-cart".into(),
            variants: vec![of("off", 0), of("on", 20)],
            judged: Some(judged),
        };
        let text = render(&compared, Paint::PLAIN);
        assert!(text.contains("48.00 % of 100 have on, 50.00 % should"), "{text}");
        assert!(text.contains("new-cart: on against off") && text.contains("NOT PROVEN"), "{text}");
        compared.judged = None;
        assert!(render(&compared, Paint::PLAIN).contains("nobody judges new-cart"));
    }
}
