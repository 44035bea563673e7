//! Business outcomes, as they are told and asked for over the API.

use gnomon_config::{
    Config,
    model::{Kpi, KpiSource},
};

use gnomon_policy::pointer::Pointer;

use super::{
    Control, admin,
    api::{Kind, KpiAnswer, KpiOutcome, KpiReport, KpiStatus, KpiValue, Refused},
    trials::late::{Report, Told},
};
use crate::clock;

/// One report or a list of such.
#[derive(Debug)]
pub(super) enum Asked {
    One(Box<KpiReport>),
    Many(Vec<KpiReport>),
}

/// Understands the body of a `POST /v1/kpi`.
pub(super) fn parse(body: &[u8]) -> Result<Asked, Refused> {
    if body.trim_ascii_start().starts_with(b"[") {
        let all: Vec<KpiReport> = admin::parse(body, EXAMPLES)?;
        if all.len() > REPORTS_MAX {
            let error = format!("{} reports are too many at once", all.len());
            return Err(Refused::new(Kind::Request, error)
                .help(format!("{REPORTS_MAX} at most; send more lists")));
        }
        return Ok(Asked::Many(all));
    }
    admin::parse(body, EXAMPLE).map(Asked::One)
}

impl Control {
    /// All KPIs, in the order of the configuration.
    pub(super) fn kpis(&self) -> Vec<KpiStatus> {
        let state = self.state();
        let config = &state.config;
        let of = |(index, kpi): (usize, &Kpi)| {
            let (counts, forgotten) = state.trials.counts(kpi);
            let upstream = config.upstreams.get(usize::from(kpi.upstream.0));
            KpiStatus {
                name: kpi.name.to_string(),
                upstream: upstream.map_or_else(String::new, |it| it.name.to_string()),
                from: source(kpi),
                told: state.trials.told(index),
                reported: counts.reported,
                duplicate: counts.duplicate,
                refused: counts.refused,
                late: counts.late,
                unknown: counts.unknown,
                forgotten,
            }
        };
        config.kpis.iter().enumerate().map(of).collect()
    }

    /// Takes reports: all of them, unless one makes no sense. A single one that contradicts an earlier
    /// one is refused; in a list, the others count.
    pub(super) fn report(&self, asked: &Asked) -> Result<KpiAnswer, Refused> {
        let mut state = self.state();
        let config = state.config.clone();
        let all = match asked {
            Asked::One(one) => std::slice::from_ref(&**one),
            Asked::Many(all) => all,
        };
        let reports: Vec<Report<'_>> =
            all.iter().map(|report| understand(&config, report)).collect::<Result<_, _>>()?;
        let told = state.trials.report(&reports, clock::now());
        if let (Asked::One(report), [told]) = (asked, &told[..]) {
            contradiction(report, *told).map_or(Ok(()), Err)?;
        }
        Ok(summary(&told))
    }
}

fn understand<'a>(config: &'a Config, asked: &'a KpiReport) -> Result<Report<'a>, Refused> {
    let name = &asked.kpi;
    let Some(kpi) = config.kpis.iter().find(|kpi| *kpi.name == **name) else {
        let late = config.kpis.iter().filter(|kpi| matches!(kpi.source, KpiSource::Late(_)));
        let names: Vec<&str> = late.map(|kpi| &*kpi.name).collect();
        let refused = Refused::new(Kind::Unknown, format!("there is no KPI `{name}`"));
        return Err(refused.help(format!("told late are: {}", names.join(", "))));
    };
    if !matches!(kpi.source, KpiSource::Late(_)) {
        let error = format!("`{name}` is read from the reply ({}), not told", source(kpi));
        return Err(Refused::new(Kind::Request, error).help("a KPI has one source"));
    }
    let texts = [Some(&asked.request), asked.key.as_ref()];
    if texts.into_iter().flatten().any(|text| text.is_empty() || text.len() > TEXT_MAX) {
        let error = format!("`request` and `key` have 1 to {TEXT_MAX} bytes");
        return Err(Refused::new(Kind::Request, error));
    }
    let value = match asked.value {
        KpiValue::Amount(value) => value,
        KpiValue::Is(is_so) => f64::from(u8::from(is_so)),
    };
    let key = asked.key.as_ref().map(String::as_bytes);
    Ok(Report { request: asked.request.as_bytes(), kpi, value, key })
}

fn contradiction(report: &KpiReport, told: Told) -> Option<Refused> {
    let KpiReport { request, kpi, key, .. } = report;
    let error = match told {
        Told::OtherValue => format!("of request {request} another value of `{kpi}` was told"),
        Told::OtherKey => {
            let key = key.as_deref().unwrap_or_default();
            format!("under the key `{key}` another request or KPI was told of")
        }
        Told::Counted | Told::Duplicate | Told::Late | Told::Unknown => return None,
    };
    Some(Refused::new(Kind::State, error).help("what was told first counts, and stays"))
}

fn summary(told: &[Told]) -> KpiAnswer {
    let mut answer = KpiAnswer::default();
    for told in told {
        let (count, outcome) = match told {
            Told::Counted => (&mut answer.counted, KpiOutcome::Counted),
            Told::Duplicate => (&mut answer.duplicate, KpiOutcome::Duplicate),
            Told::Late => (&mut answer.late, KpiOutcome::Late),
            Told::Unknown => (&mut answer.unknown, KpiOutcome::Unknown),
            Told::OtherValue | Told::OtherKey => (&mut answer.refused, KpiOutcome::Refused),
        };
        *count += 1;
        answer.outcomes.push(outcome);
    }
    answer
}

/// Where a KPI comes from.
fn source(kpi: &Kpi) -> String {
    match &kpi.source {
        KpiSource::Header(field) => format!("header:{field}"),
        KpiSource::Json(pointer) => match Pointer::parse(pointer) {
            Ok(_) => format!("json:{pointer}"),
            Err(bad) => format!("json:{pointer} (never read: {bad})"),
        },
        KpiSource::Late(within) => format!("late, within {} s", within.as_secs()),
    }
}

const EXAMPLE: &str = r#"{"request": "…", "kpi": "orders", "value": 12.5}"#;
const EXAMPLES: &str = r#"[{"request": "…", "kpi": "orders", "value": 12.5}]"#;

/// Reports in one list.
const REPORTS_MAX: usize = 1000;
/// Bytes of a request's id, or of a key.
const TEXT_MAX: usize = 256;
/// A full list of long ids and keys.
pub(super) const BODY_BYTES_MAX: usize = 1 << 20;
