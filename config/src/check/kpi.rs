//! `[kpi.*]`: business outcomes of requests.

use std::time::Duration;

use super::{Upstreams, end, named, needed};
use crate::{
    code,
    model::{Direction, KPIS_MAX, Kpi, KpiSource, UpstreamIx},
    names,
    problem::{Place, Problem, Wrong},
    read::{Placed, Reader, Scope},
    tree::Entry,
};

/// The ids of all requests are kept for so long.
const WITHIN_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A KPI, with the places that problems point at.
pub(super) struct DeclaredKpi {
    pub(super) kpi: Kpi,
    pub(super) place: Place,
    /// Whether its upstream is known.
    pub(super) has_upstream: bool,
}

/// Every KPI, in order of declaration.
pub(super) fn all(
    reader: &mut Reader<'_, '_>,
    root: &Scope<'_>,
    upstreams: &Upstreams,
) -> Vec<DeclaredKpi> {
    let tables = root.named("kpi");
    if let Some((beyond, _)) = tables.get(KPIS_MAX) {
        let message = format!("there are more than {KPIS_MAX} KPIs");
        let problem = Problem::error(code::KPI, beyond.key_place, message);
        reader.tell(problem.label("one too many"));
    }
    tables.into_iter().map(|(entry, scope)| kpi(reader, entry, &scope, upstreams)).collect()
}

fn kpi(
    reader: &mut Reader<'_, '_>,
    entry: &Entry,
    scope: &Scope<'_>,
    upstreams: &Upstreams,
) -> DeclaredKpi {
    let name = named(reader, entry);
    let table = format!("kpi.{name}");
    let upstream = of(reader, &table, scope, upstreams);
    needed(reader, &table, scope, "from");
    let from = reader.form(scope, "from", source);
    let within = within(reader, scope, from.as_ref());
    let source = match from.map(|from| from.value) {
        Some(From::Known(source)) => source,
        Some(From::Late) | None => KpiSource::Late(within),
    };
    let is_binary = is_binary(reader, scope);
    let max = max(reader, scope, is_binary);
    let worse = match reader.choice(scope, "worse") {
        "higher" => Direction::Higher,
        _ => Direction::Lower,
    };
    // Never seen by anyone: without an upstream, a problem was told.
    let of = upstream.unwrap_or(UpstreamIx(0));
    let kpi = Kpi { name, upstream: of, source, max, is_binary, worse };
    DeclaredKpi { kpi, place: entry.key_place, has_upstream: upstream.is_some() }
}

fn of(
    reader: &mut Reader<'_, '_>,
    table: &str,
    scope: &Scope<'_>,
    upstreams: &Upstreams,
) -> Option<UpstreamIx> {
    let found = end(reader, table, scope, "of", upstreams)?;
    let (upstream, version) = found.value;
    if version.is_some() {
        let message = "a KPI is measured on every version of an upstream";
        let problem = Problem::error(code::REFERENCE, found.place, message);
        reader.tell(problem.label("without the version"));
        return None;
    }
    Some(upstream)
}

/// Where an outcome comes from, as far as one key says it.
enum From {
    Known(KpiSource),
    Late,
}

fn source(text: &str) -> Result<From, Wrong> {
    match text.split_once(':') {
        None if text == "late" => Ok(From::Late),
        Some(("header", name)) => {
            // Taken out of the reply, such a field would leave it broken.
            let name = names::edited_field(name).map_err(|wrong| match wrong.code {
                code::HEADER_RESERVED => {
                    Wrong::new(wrong.code, format!("`{name}` cannot be a KPI"))
                        .label("it is about the message or the connection")
                }
                _ => wrong,
            })?;
            Ok(From::Known(KpiSource::Header(name)))
        }
        Some(("json", pointer)) => {
            names::json_pointer(pointer).map(|pointer| From::Known(KpiSource::Json(pointer)))
        }
        None | Some(_) => {
            let wrong = Wrong::new(code::KPI, format!("`{text}` does not say where it comes from"));
            Err(wrong.label("expected header:NAME, json:POINTER or late"))
        }
    }
}

fn within(reader: &mut Reader<'_, '_>, scope: &Scope<'_>, from: Option<&Placed<From>>) -> Duration {
    let within = reader.duration(scope, "within");
    let Some(written) = scope.entry("within") else { return within };
    if let Some(Placed { value: From::Known(_), place }) = from {
        let message = "only a late KPI comes `within` a time";
        let problem = Problem::error(code::EXCLUSIVE, written.key_place, message);
        reader.tell(problem.related(*place, "this one comes with the reply"));
    }
    if within > WITHIN_MAX {
        let problem =
            Problem::error(code::RANGE, written.node.place, "`within` is longer than 24h");
        reader.tell(problem.label("requests are not remembered for longer"));
    }
    within
}

/// Whether it is there or not, rather than an amount: an amount has a bound.
fn is_binary(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> bool {
    let bound = scope.entry("max");
    let Some(written) = scope.entry("binary") else { return bound.is_none() };
    let is_binary = reader.bool(scope, "binary");
    if let Some(bound) = bound.filter(|_| is_binary) {
        let message = "a KPI that is there or not has no `max`";
        let problem = Problem::error(code::EXCLUSIVE, bound.key_place, message);
        reader.tell(problem.related(written.key_place, "is there or not"));
    }
    is_binary
}

fn max(reader: &mut Reader<'_, '_>, scope: &Scope<'_>, is_binary: bool) -> f64 {
    let max = reader.number(scope, "max");
    if let Some(written) = scope.entry("max").filter(|_| max == 0.0) {
        let problem = Problem::error(code::RANGE, written.node.place, "`max` may not be zero");
        reader.tell(problem.label("the largest amount of one request"));
    }
    if is_binary { 1.0 } else { max }
}
