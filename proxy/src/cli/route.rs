//! `gnomon route`: what would become of a request, told from a file alone.

use std::sync::Arc;

use gnomon_config::{Config, model::Action};
use gnomon_policy::{
    Assignment, Availability, Decision, Luck, Plan, RouteIx, Subject, Table,
    explain::{Explanation, KeyFound, Outcome, Shares},
};
use gnomon_wire::{HeadLimits, Progress, Request, RequestHead};
use serde_json::{Value as Json, json};

use super::{BAD_CONFIG, Console, FAILED, Failure, arguments::RouteArguments, source};
use crate::clock;

/// Says which route takes the request, which version, and why.
pub(super) fn route(
    arguments: &RouteArguments,
    json: bool,
    console: Console,
) -> Result<(), Failure> {
    let loaded = source::load_any(&arguments.source.config, &arguments.source.set)?
        .map_err(|problems| Failure::problems(&problems, console.message_colour()))?;
    let config = Arc::new(loaded.config);
    let bytes = request(arguments)?;
    let limits = HeadLimits {
        bytes: usize::try_from(config.limits.header_bytes).unwrap_or(usize::MAX),
        line_bytes: usize::try_from(config.limits.request_line_bytes).unwrap_or(usize::MAX),
        fields: usize::from(config.limits.headers),
        ..HeadLimits::REQUEST
    };
    let mut head = RequestHead::default();
    match head.read(&bytes, &limits) {
        Ok(Progress::Done(_)) => {}
        Ok(Progress::More) => return Err(Failure::usage("the request has no end")),
        Err(reject) => {
            let (status, why) = (reject.status(), reject.as_str());
            let text = format!("gnomon would refuse this request with {status}: {why}");
            return Err(Failure::new(FAILED, text));
        }
    }
    let table = Table::compile(config.clone(), &[])
        .map_err(|bad| Failure::new(BAD_CONFIG, format!("the configuration: {bad}")))?;
    let mut luck = Luck::seeded(clock::nanos(clock::wall()));
    let request = Request { head: &head, bytes: &bytes };
    let available = Availability::of(&config);
    let explanation =
        table.explain(&Subject::new(request, arguments.client), &available, &mut luck);
    let told = Told { config: &config, explanation: &explanation };
    if json {
        return console.json(&told.json());
    }
    console.line(told.line())?;
    if arguments.explain {
        console.data(format_args!("\n{explanation}"))?;
    } else {
        console.hint("the same with --explain, for the reasons");
    }
    Ok(())
}

/// An explanation, in the words of its configuration.
struct Told<'a> {
    config: &'a Config,
    explanation: &'a Explanation,
}

impl Told<'_> {
    /// The outcome in a line.
    fn line(&self) -> String {
        match self.explanation.decision {
            Decision::NoRoute => "no route takes this request: 404".to_owned(),
            Decision::Redirect(route) => {
                format!("route {}: redirects with {}", self.name(route), self.status(route))
            }
            Decision::Respond(route) => {
                format!("route {}: responds with {}", self.name(route), self.status(route))
            }
            Decision::Unavailable(plan) => {
                format!("route {}: no endpoint is available: 503", self.name(plan.route))
            }
            Decision::Forward(plan) => {
                let (upstream, version) = self.target(&plan);
                let why = self.explanation.upstream.as_ref().map(why).unwrap_or_default();
                format!("route {} → {upstream}@{version}   {why}", self.name(plan.route))
            }
        }
    }

    fn name(&self, route: RouteIx) -> &str {
        let route = usize::try_from(route.0).ok().and_then(|ix| self.config.routes.get(ix));
        route.map_or("", |route| &*route.name)
    }

    fn status(&self, route: RouteIx) -> u16 {
        let route = usize::try_from(route.0).ok().and_then(|ix| self.config.routes.get(ix));
        match route.map(|route| &route.action) {
            Some(Action::Redirect { status, .. } | Action::Respond { status, .. }) => *status,
            Some(Action::Forward(..)) | None => 0,
        }
    }

    fn target(&self, plan: &Plan) -> (&str, &str) {
        let upstream = self.config.upstreams.get(usize::from(plan.upstream.0));
        let version =
            upstream.and_then(|upstream| upstream.versions.get(usize::from(plan.version.0)));
        (upstream.map_or("", |it| &*it.name), version.map_or("", |it| &*it.name))
    }

    fn json(&self) -> Json {
        let candidates: Vec<Json> = self
            .explanation
            .candidates
            .iter()
            .map(|it| {
                let won = it.outcome == Outcome::Won;
                json!({ "route": &*it.name, "won": won, "why": it.outcome.to_string() })
            })
            .collect();
        let mut object = json!({
            "decision": "no_route",
            "status": 404,
            "candidates": candidates,
            "elsewhere": self.explanation.elsewhere,
        });
        let mut set = |key: &str, value: Json| object[key] = value;
        match self.explanation.decision {
            Decision::NoRoute => {}
            Decision::Redirect(route) | Decision::Respond(route) => {
                let redirects = matches!(self.explanation.decision, Decision::Redirect(_));
                set("decision", json!(if redirects { "redirect" } else { "respond" }));
                set("route", json!(self.name(route)));
                set("status", json!(self.status(route)));
            }
            Decision::Unavailable(plan) => {
                set("decision", json!("unavailable"));
                set("route", json!(self.name(plan.route)));
                set("status", json!(503));
            }
            Decision::Forward(plan) => {
                let (upstream, version) = self.target(&plan);
                set("decision", json!("forward"));
                set("status", Json::Null);
                set("route", json!(self.name(plan.route)));
                set("upstream", json!(upstream));
                set("version", json!(version));
                set("assignment", json!(assignment(plan.assignment)));
                set("probability_percent", json!(plan.probability.percent()));
            }
        }
        if let Some(shares) = &self.explanation.upstream {
            let split: serde_json::Map<String, Json> = shares
                .versions
                .iter()
                .map(|version| (version.name.to_string(), json!(version.share.percent())))
                .collect();
            object["split"] = Json::Object(split);
            object["key"] = json!(shares.key.to_string());
        }
        object
    }
}

/// Why this version and no other.
fn why(shares: &Shares) -> String {
    let split = || {
        let versions = shares.versions.iter();
        let shown =
            versions.map(|it| format!("{} {}", it.name, gnomon_config::show_share(it.share)));
        shown.collect::<Vec<_>>().join(", ")
    };
    match shares.key {
        KeyFound::Pinned => "(the route forces it)".to_owned(),
        KeyFound::Found(_) => "(by the user's key; always the same)".to_owned(),
        KeyFound::Ours(_) => "(by our cookie; always the same)".to_owned(),
        KeyFound::Minted => format!("(a new user, drawn from {}; a cookie keeps it so)", split()),
        KeyFound::NotSticky | KeyFound::Missing => {
            format!("(drawn for this request from {}; the next may differ)", split())
        }
    }
}

const fn assignment(assignment: Assignment) -> &'static str {
    match assignment {
        Assignment::Coin => "coin",
        Assignment::Sticky => "sticky",
        Assignment::Pinned => "pinned",
        Assignment::Fallback => "fallback",
    }
}

/// The request as it would arrive.
fn request(arguments: &RouteArguments) -> Result<Vec<u8>, Failure> {
    let example = || {
        Failure::usage(format!("`{}` is no URL", arguments.url))
            .help("say http://HOST/PATH, or /PATH with -H 'host: NAME'")
    };
    let url = arguments.url.as_str();
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let (host, target) = match rest {
        Some(rest) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            (Some(&rest[..end]), &rest[end..])
        }
        None if url.starts_with('/') || url == "*" => (None, url),
        None => return Err(example()),
    };
    // A fragment never leaves the browser.
    let target = target.split('#').next().unwrap_or_default();
    let slash = if target.is_empty() || target.starts_with('?') { "/" } else { "" };
    let mut text = format!("{} {slash}{target} HTTP/1.1\r\n", arguments.method);
    let mut has_host = false;
    for line in &arguments.headers {
        let Some((name, value)) = line.split_once(':') else {
            return Err(
                Failure::usage(format!("`{line}` is no field")).help("say -H 'name: value'")
            );
        };
        has_host |= name.trim().eq_ignore_ascii_case("host");
        text.push_str(&format!("{}: {}\r\n", name.trim(), value.trim()));
    }
    match host {
        Some("") => return Err(example()),
        Some(host) if !has_host => text.push_str(&format!("host: {host}\r\n")),
        Some(_) => {}
        None if has_host => {}
        None => return Err(example()),
    }
    text.push_str("\r\n");
    Ok(text.into_bytes())
}
