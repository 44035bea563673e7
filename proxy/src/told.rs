//! What would become of a request, told from a configuration or from the tables that a proxy runs by.
//!
//! It is decided by the same function that the cores ask, so what is told is what would happen.

use std::{net::IpAddr, sync::Arc};

use gnomon_config::{Config, model::Action};
use gnomon_flags::{Evaluation, FlagSet, RequestContext};
use gnomon_policy::{
    Assignment, Availability, Decision, Luck, Plan, RouteIx, Subject, Table,
    explain::{Explanation, KeyFound, Outcome, Shares},
};
use gnomon_wire::{HeadLimits, Progress, Request, RequestHead};
use serde_json::{Value as Json, json};

use crate::clock;

/// A request that somebody thinks of.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// `http://HOST/PATH?QUERY`, or a path where a field names the host.
    pub(crate) url: String,
    /// Fields, as in `cookie: uid=7`.
    pub(crate) headers: Vec<String>,
    pub(crate) client: IpAddr,
}

/// What it is decided by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables<'a> {
    pub(crate) config: &'a Arc<Config>,
    pub(crate) table: &'a Table,
    pub(crate) available: &'a Availability,
    /// The flags of the user, where they are known. Claims of tokens are not among what they go by.
    pub(crate) flags: Option<&'a FlagSet>,
}

/// What would become of it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// The outcome in a line.
    pub(crate) line: String,
    /// The reasons, in lines.
    pub(crate) reasons: String,
    /// All of it.
    pub(crate) decision: Json,
}

/// Why it cannot be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Untold {
    /// It is no request: what is wrong, and how to mend it.
    Unclear(String, String),
    /// It would be refused: with which status, and why.
    Rejected(u16, &'static str),
}

impl Told {
    /// The line and the reasons.
    pub(crate) fn text(&self) -> String {
        format!("{}\n\n{}", self.line, self.reasons)
    }
}

/// Tells what would become of it.
pub(crate) fn tell(asked: &Asked, tables: Tables<'_>) -> Result<Told, Untold> {
    let Tables { config, table, available, flags } = tables;
    let bytes = request(asked)?;
    let limits = HeadLimits {
        bytes: usize::try_from(config.limits.header_bytes).unwrap_or(usize::MAX),
        line_bytes: usize::try_from(config.limits.request_line_bytes).unwrap_or(usize::MAX),
        fields: usize::from(config.limits.headers),
        ..HeadLimits::REQUEST
    };
    let mut head = RequestHead::default();
    match head.read(&bytes, &limits) {
        Ok(Progress::Done(length)) if length == bytes.len() => {}
        // Somebody has written an empty line into it, or less than a request.
        Ok(_) => {
            return Err(unclear("the request does not end where it should", "one line a field"));
        }
        Err(reject) => return Err(Untold::Rejected(reject.status(), reject.as_str())),
    }
    let mut luck = Luck::seeded(clock::nanos(clock::wall()));
    let request = Request { head: &head, bytes: &bytes };
    let evaluation = flags.map(|set| {
        let context =
            RequestContext { terms: set.terms(), request, client: asked.client, claims: None };
        Evaluation::new(set, context, clock::wall().as_secs())
    });
    let subject = Subject { request, client: asked.client, flags: evaluation.as_ref() };
    let explanation = table.explain(&subject, available, &mut luck);
    let words = Words { config, explanation: &explanation };
    Ok(Told { line: words.line(), decision: words.json(), reasons: explanation.to_string() })
}

fn unclear(error: impl Into<String>, help: &str) -> Untold {
    Untold::Unclear(error.into(), help.to_owned())
}

/// An explanation, in the words of its configuration.
struct Words<'a> {
    config: &'a Config,
    explanation: &'a Explanation,
}

impl Words<'_> {
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
fn request(asked: &Asked) -> Result<Vec<u8>, Untold> {
    let example = || {
        let help = "say http://HOST/PATH, or /PATH with a field host: NAME";
        unclear(format!("`{}` is no URL", asked.url), help)
    };
    let url = asked.url.as_str();
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
    let mut lines = [&asked.method, &asked.url].into_iter().chain(&asked.headers);
    if let Some(line) = lines.find(|line| line.contains(['\r', '\n'])) {
        return Err(unclear(format!("{line:?} has more than one line"), "say one line each"));
    }
    let mut text = format!("{} {slash}{target} HTTP/1.1\r\n", asked.method);
    let mut has_host = false;
    for line in &asked.headers {
        let Some((name, value)) = line.split_once(':') else {
            return Err(unclear(format!("`{line}` is no field"), "say name: value"));
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
