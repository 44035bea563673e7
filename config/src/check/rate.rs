//! How many requests may be made by whom: for all routes together, and for one.

use std::time::Duration;

use crate::{
    code,
    model::{Key, Limits, Rate, RateLimit, RouteRate},
    names,
    problem::Problem,
    read::{Reader, Scope},
    units,
};

/// What `[limits]` says.
pub(super) fn global(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    by: &Key,
) -> Option<RateLimit> {
    let rate = match reader.form(scope, "rate", units::rate).map(|rate| rate.value) {
        Some(Some(rate)) => rate,
        // What is wrong with it has been told.
        None if scope.entry("rate").is_some() => return None,
        Some(None) | None => {
            idle(reader, scope, &["burst"]);
            return None;
        }
    };
    let burst = burst(reader, scope).unwrap_or_else(|| a_second(rate));
    Some(RateLimit { rate, burst, by: by.clone() })
}

/// What a route says in its own `limits`, else what holds for all. Its rate, and with it the burst,
/// and who is counted are taken over one by one.
pub(super) fn of_route(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    limits: &Limits,
) -> RouteRate {
    let keys = ["rate", "burst", "by"];
    if keys.iter().all(|key| scope.entry(key).is_none()) {
        return RouteRate::Global;
    }
    let own = reader.form(scope, "rate", units::rate).map(|rate| rate.value);
    let (burst, by) = (burst(reader, scope), by(reader, scope));
    let by = by.unwrap_or_else(|| limits.by.clone());
    let limit = match (own, &limits.rate) {
        (Some(Some(rate)), _) => {
            RateLimit { rate, burst: burst.unwrap_or_else(|| a_second(rate)), by }
        }
        (None, Some(global)) => {
            RateLimit { rate: global.rate, burst: burst.unwrap_or(global.burst), by }
        }
        (None, None) if scope.entry("rate").is_some() => return RouteRate::Off,
        (Some(None), _) | (None, None) => {
            idle(reader, scope, &["burst", "by"]);
            return RouteRate::Off;
        }
    };
    RouteRate::Own(Box::new(limit))
}

/// Who is counted, if that is said.
pub(super) fn by(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Option<Key> {
    reader.form(scope, "by", names::key).map(|key| key.value)
}

fn burst(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Option<u32> {
    // The row has no default: left out, it depends on the rate.
    scope.entry("burst").map(|_| reader.integer(scope, "burst")).filter(|burst| *burst > 0)
}

/// What a rate gives in a second, one at least.
fn a_second(rate: Rate) -> u32 {
    let seconds = u32::try_from(rate.per.as_secs()).unwrap_or(u32::MAX);
    debug_assert!(rate.per >= Duration::from_secs(1), "the units begin with the second");
    rate.requests.div_ceil(seconds.max(1)).max(1)
}

/// Tells of keys that mean nothing because there is no rate.
fn idle(reader: &mut Reader<'_, '_>, scope: &Scope<'_>, keys: &[&str]) {
    for entry in keys.iter().filter_map(|key| scope.entry(key)) {
        let message = format!("`{}` means nothing without a rate", entry.key);
        let problem = Problem::error(code::MISSING, entry.key_place, message);
        reader.tell(problem.help("add `rate`, such as rate = \"100/s\"".to_owned()));
    }
}
