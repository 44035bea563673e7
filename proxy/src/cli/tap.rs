//! `gnomon tap`: exchanges of the running proxy as they end.

use clap::Args;
use serde_json::Value;

use super::{DONE, FAILED, Failure, Paint, live::Door, url};
use crate::control::ctl;

/// Which exchanges to show. What is given several times means any of these.
#[derive(Args, Debug)]
pub(crate) struct TapArguments {
    /// Of this route
    #[arg(long, value_name = "ROUTE")]
    route: Vec<String>,
    /// Meant for this upstream, or for one version of it: shop, shop@v2
    #[arg(long, value_name = "UPSTREAM[@VERSION]")]
    upstream: Vec<String>,
    /// By the part that the version plays: stable, canary, pinned
    #[arg(long, value_name = "ARM")]
    arm: Vec<String>,
    /// Answered so: 404, 200-299, 5xx
    #[arg(long, value_name = "STATUS")]
    status: Vec<String>,
    /// With this method
    #[arg(long, value_name = "METHOD")]
    method: Vec<String>,
    /// Whose path begins so
    #[arg(long, value_name = "PREFIX")]
    path: Vec<String>,
    /// That took at least so long: 250ms
    #[arg(long, value_name = "TIME")]
    min: Option<String>,
    /// Of a client at this address or in this network
    #[arg(long, value_name = "IP | CIDR")]
    client: Vec<String>,
    /// End after so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

impl TapArguments {
    /// What to ask for.
    fn target(&self) -> String {
        let lists = [
            ("route", &self.route),
            ("upstream", &self.upstream),
            ("arm", &self.arm),
            ("status", &self.status),
            ("method", &self.method),
            ("path", &self.path),
            ("client", &self.client),
        ];
        let listed = lists.iter().flat_map(|(key, texts)| texts.iter().map(|text| (*key, &**text)));
        let count = self.count.map(|count| count.to_string());
        let single = [("min", self.min.as_deref()), ("count", count.as_deref())];
        let single = single.into_iter().filter_map(|(key, text)| Some((key, text?)));
        let pairs: Vec<(&str, &str)> = listed.chain(single).collect();
        format!("/v1/tap?{}", url::query(&pairs))
    }
}

/// Shows them until Ctrl-C, or until that was all.
pub(super) fn tap(door: &Door, arguments: &TapArguments) -> Result<(), Failure> {
    let socket = door.socket();
    let paint = door.console.paint();
    let mut failed = None;
    let lines = ctl::lines(&socket, &arguments.target(), |line| {
        let shown = show(door, line, paint);
        let goes_on = matches!(shown, Ok(true));
        failed = shown.err();
        goes_on
    });
    match failed {
        Some(failure) if failure.code == DONE => Ok(()),
        Some(failure) => Err(failure),
        None => lines.map_err(|failure| Failure::call(failure, &socket)),
    }
}

/// Shows a line; `false` if it was the last.
fn show(door: &Door, line: &str, paint: Paint) -> Result<bool, Failure> {
    if door.json {
        door.console.line(line)?;
    }
    let Ok(value) = serde_json::from_str::<Value>(line) else {
        return Err(Failure::new(FAILED, "the proxy says what is not understood")
            .help("command and proxy should be of the same version"));
    };
    if let Some(dropped) = value["dropped"].as_u64() {
        door.console
            .warn(format_args!("{dropped} did not fit so far: filter more, or look at fewer"));
        return Ok(true);
    }
    if let Some(end) = value["end"].as_str().filter(|_| value.get("time").is_none()) {
        if end == "leaving" {
            door.console.say("another process serves now: look again");
        }
        return Ok(false);
    }
    if !door.json {
        door.console.line(render(&value, paint))?;
    }
    Ok(true)
}

/// An exchange, in a line for eyes.
fn render(value: &Value, paint: Paint) -> String {
    let text = |key: &str| value[key].as_str().unwrap_or_default();
    let number = |key: &str| value[key].as_f64().unwrap_or_default();
    let time = text("time").split_once('T').map_or("", |(_, time)| time.trim_end_matches('Z'));
    let status = value["status"].as_u64().unwrap_or_default();
    let shown = if status == 0 { "---".to_owned() } else { status.to_string() };
    let status = match status {
        0 | 500.. => paint.red(&shown),
        400..=499 => paint.yellow(&shown),
        _ => paint.green(&shown),
    };
    let query = value["query"].as_str().map_or_else(String::new, |query| format!("?{query}"));
    let version = match (text("upstream"), text("version")) {
        ("", _) => "-".to_owned(),
        (upstream, version) => format!("{upstream}@{version}"),
    };
    let mut line = format!(
        "{time} {status} {:>8.1}ms {:<7} {}{}{query}  {} {version}",
        number("total_ms"),
        visible(text("method")),
        visible(text("host")),
        visible(text("path")),
        text("client"),
    );
    let tries = number("attempts");
    let arm = text("arm");
    for (part, is_worth) in [
        (arm.to_owned(), !matches!(arm, "" | "stable")),
        (format!("{tries} attempts"), tries > 1.0),
        (format!("end {}", text("end")), text("end") != "--"),
    ] {
        if is_worth {
            line.push_str("  ");
            line.push_str(&paint.dim(&part));
        }
    }
    line
}

/// The same without anything that a terminal would obey.
fn visible(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { '\u{fffd}' } else { it }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_encoded() {
        let arguments = TapArguments {
            route: vec!["all".to_owned()],
            upstream: vec!["shop@v2".to_owned()],
            arm: Vec::new(),
            status: vec!["5xx".to_owned(), "404".to_owned()],
            method: Vec::new(),
            path: vec!["/a b&c".to_owned()],
            min: Some("250ms".to_owned()),
            client: vec!["10.0.0.0/8".to_owned()],
            count: Some(3),
        };
        assert_eq!(
            arguments.target(),
            "/v1/tap?route=all&upstream=shop%40v2&status=5xx&status=404&path=%2Fa%20b%26c\
             &client=10.0.0.0%2F8&min=250ms&count=3"
        );
    }

    #[test]
    fn a_line_for_eyes_says_what_matters_and_nothing_to_the_terminal() {
        let value = serde_json::json!({
            "time": "2026-11-23T13:00:01.250Z", "status": 503, "total_ms": 12.34, "method": "GET",
            "host": "shop", "path": "/cart\u{1b}[2J", "query": "a=1", "client": "10.0.0.9",
            "upstream": "shop", "version": "v2", "arm": "canary", "attempts": 2, "end": "OH",
        });
        assert_eq!(
            render(&value, Paint::PLAIN),
            "13:00:01.250 503     12.3ms GET     shop/cart\u{fffd}[2J?a=1  10.0.0.9 shop@v2  canary  \
             2 attempts  end OH"
        );
    }
}
