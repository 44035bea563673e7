//! `gnomon kpi`: business outcomes, and telling one by hand.

use std::fmt::Write as _;

use clap::Subcommand;

use super::{FAILED, Failure, Paint, live::Door};
use crate::control::{
    api::{KpiAnswer, KpiOutcome, KpiReport, KpiStatus, KpiValue},
    ctl,
};

/// What to do with KPIs.
#[derive(Debug, Subcommand)]
pub(crate) enum KpiCommand {
    /// The KPIs, where each comes from, and what was told of it
    List,
    /// Tell the outcome of a request, by its x-request-id: gnomon kpi report ID orders 12.50
    Report {
        /// The request's x-request-id
        request: String,
        /// The KPI
        kpi: String,
        /// A number, true or false
        #[arg(value_parser = value, allow_negative_numbers = true)]
        value: KpiValue,
        /// What makes it the same report when it is made again
        #[arg(long, value_name = "TEXT")]
        key: Option<String>,
    },
}

/// Does it.
pub(super) fn kpi(door: &Door, command: KpiCommand) -> Result<(), Failure> {
    match command {
        KpiCommand::List => list(door),
        KpiCommand::Report { request, kpi, value, key } => {
            report(door, &KpiReport { request, kpi, value, key })
        }
    }
}

fn value(text: &str) -> Result<KpiValue, String> {
    match text {
        "true" => Ok(KpiValue::Is(true)),
        "false" => Ok(KpiValue::Is(false)),
        _ => match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(KpiValue::Amount(value)),
            Ok(_) | Err(_) => Err("say a number, true or false".to_owned()),
        },
    }
}

fn list(door: &Door) -> Result<(), Failure> {
    let kpis: Vec<KpiStatus> = door.read("/v1/kpi")?;
    if door.json {
        return door.console.json(&kpis);
    }
    if kpis.is_empty() {
        door.console.hint("there are none: see `[kpi.NAME]` in `gnomon config --defaults`");
    }
    let paint = door.console.paint();
    door.console.data(kpis.iter().map(|kpi| render(kpi, paint)).collect::<String>())
}

/// One KPI, for eyes.
fn render(kpi: &KpiStatus, paint: Paint) -> String {
    let KpiStatus { name, upstream, from, .. } = kpi;
    let mut text = format!("{}   of {upstream}   {from}\n", paint.bold(name));
    if !from.starts_with("late") {
        let _ = writeln!(text, "  told by {} replies", kpi.told);
        return text;
    }
    let _ = write!(text, "  reported {} · duplicate {}", kpi.reported, kpi.duplicate);
    for (what, count) in [
        ("refused", kpi.refused),
        ("late", kpi.late),
        ("unknown", kpi.unknown),
        ("forgotten", kpi.forgotten),
    ] {
        let part = format!("{what} {count}");
        let _ = write!(text, " · {}", if count > 0 { paint.yellow(&part) } else { part });
    }
    text.push('\n');
    text
}

fn report(door: &Door, report: &KpiReport) -> Result<(), Failure> {
    let socket = door.socket();
    let answer: KpiAnswer =
        ctl::act(&socket, "/v1/kpi", report).map_err(|failure| Failure::call(failure, &socket))?;
    if door.json {
        door.console.json(&answer)?;
    }
    let failed = match answer.outcomes.first() {
        Some(KpiOutcome::Counted) => return said(door, "counted"),
        Some(KpiOutcome::Duplicate) => return said(door, "told before: it counts once"),
        Some(KpiOutcome::Late) => Failure::new(FAILED, "too late: its second has been judged")
            .help("a longer `within` waits for it"),
        Some(KpiOutcome::Unknown) | None => {
            Failure::new(FAILED, "no request of a trial that is remembered has this id")
                .help("a trial lasts as long as its rollout is configured; see `gnomon kpi list`")
        }
        Some(KpiOutcome::Refused) => Failure::new(FAILED, "it contradicts an earlier report"),
    };
    Err(failed)
}

fn said(door: &Door, text: &str) -> Result<(), Failure> {
    if door.json { Ok(()) } else { door.console.line(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_number_or_yes_or_no() {
        assert_eq!(value("12.50"), Ok(KpiValue::Amount(12.5)));
        assert_eq!(value("-1"), Ok(KpiValue::Amount(-1.0)));
        assert_eq!(value("true"), Ok(KpiValue::Is(true)));
        for text in ["", "yes", "NaN", "inf", "1e999", "1,5"] {
            assert!(value(text).is_err(), "{text}");
        }
    }
}
