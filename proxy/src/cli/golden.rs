//! `gnomon golden`: the golden signals of versions side by side, by route.

use super::{Failure, Paint, live::Door};
use crate::control::api::{Golden, Quantiles};

/// Shows them, of one route or of all.
pub(super) fn golden(door: &Door, route: Option<&str>) -> Result<(), Failure> {
    let mut all: Vec<Golden> = door.read("/v1/golden")?;
    all.retain(|golden| route.is_none_or(|route| golden.route == route));
    if door.json {
        door.console.json(&all)
    } else {
        door.console.data(render(&all, door.console.paint()))
    }
}

fn render(all: &[Golden], paint: Paint) -> String {
    let Some(first) = all.first() else {
        return "nobody has asked for anything within the last minute\n".to_owned();
    };
    let mut text = format!(
        "the last {:.0} s\n{}\n",
        first.seconds,
        paint.bold(
            "route             version              req/s   errors      p50      p99  first p50  first p99"
        )
    );
    let mut before = "";
    for golden in all {
        let name = if before == golden.route { "" } else { &golden.route };
        let version = format!("{}@{}", golden.upstream, golden.version);
        let errors = format!("{:7.3} %", golden.error_rate * 100.0);
        let errors = if golden.error_rate > 0.0 { paint.yellow(&errors) } else { errors };
        text.push_str(&format!(
            "{name:<17} {version:<18} {:>7.1} {errors} {} {}  {}  {}\n",
            golden.rate,
            time(golden.latency, |it| it.p50_seconds),
            time(golden.latency, |it| it.p99_seconds),
            time(golden.first_byte, |it| it.p50_seconds),
            time(golden.first_byte, |it| it.p99_seconds),
        ));
        text.push_str(&beside(golden));
        before = &golden.route;
    }
    text
}

/// What did not come about as it should.
fn beside(golden: &Golden) -> String {
    let (arms, failures) = (golden.arms, golden.failures);
    let counts = [
        ("pinned", arms.pinned),
        ("fallback", arms.fallback),
        ("retried", arms.retried),
        ("4xx", golden.classes[3]),
        ("5xx", golden.classes[4]),
        ("connect", failures.connect),
        ("reset", failures.reset),
        ("timeout", failures.timeout),
        ("truncated", failures.truncated),
        ("protocol", failures.protocol),
    ];
    let said: Vec<String> = counts
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| format!("{what} {count}"))
        .collect();
    if said.is_empty() { String::new() } else { format!("{:18}  {}\n", "", said.join("   ")) }
}

fn time(of: Quantiles, which: fn(&Quantiles) -> Option<f64>) -> String {
    which(&of).map_or_else(|| format!("{:>9}", "–"), |seconds| format!("{:>6.1} ms", seconds * 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::api::{Arms, RouteFailures};

    #[test]
    fn versions_stand_side_by_side() {
        let quantiles = Quantiles {
            count: 9,
            p50_seconds: Some(0.0123),
            p99_seconds: Some(0.2),
            ..Quantiles::default()
        };
        let golden = |version: &str, error_rate| Golden {
            route: "cart".to_owned(),
            upstream: "shop".to_owned(),
            version: version.to_owned(),
            seconds: 60.0,
            rate: 12.5,
            arms: Arms { drawn: 750, ..Arms::default() },
            classes: [0, 740, 0, 0, 10],
            failures: RouteFailures::default(),
            error_rate,
            latency: quantiles,
            failure_latency: Quantiles::default(),
            first_byte: Quantiles::default(),
        };
        let text = render(&[golden("v1", 0.0), golden("v2", 0.0133)], Paint::PLAIN);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[2],
            "cart              shop@v1               12.5   0.000 %   12.3 ms  200.0 ms          –          –"
        );
        assert!(lines[4].starts_with("                  shop@v2 ") && lines[4].contains("1.330 %"));
        assert_eq!(lines[5].trim(), "5xx 10");
    }
}
