//! Why a flag is what it is for somebody.

use std::net::{IpAddr, Ipv4Addr};

use gnomon_config::model::{Key, flag::Place};
use gnomon_flags::{Context, Explanation, FlagIx, FlagSet, JsonContext, Reason, RequestContext};
use gnomon_wire::{HeadLimits, Progress, Request, RequestHead};
use serde_json::Value;

use super::{Flags, shown};
use crate::{
    clock,
    control::{
        Control,
        api::{
            Kind, Refused,
            flag::{Explained, Why, WhyAsked},
        },
    },
};

impl Control {
    /// What flags come to for somebody, and why.
    pub(crate) fn why_flags(&self, mut asked: WhyAsked) -> Result<Why, Refused> {
        let state = self.state();
        let flags = &state.flags;
        let set = flags.set();
        let wanted = match &asked.flag {
            None => None,
            Some(name) => {
                let unknown = || Refused::new(Kind::Unknown, format!("there is no flag `{name}`"));
                Some(set.find(name).ok_or_else(|| flags.advise(unknown()))?)
            }
        };
        if let Some(user) = asked.user.take() {
            put_user(&mut asked, &set, user)?;
        }
        let now = asked.at.unwrap_or_else(|| clock::wall().as_secs());
        let terms = set.terms();
        if let Some(said) = &asked.context {
            return Ok(flags.explain(&set, wanted, &JsonContext { terms, said }, now));
        }
        let bytes = request(&asked)?;
        let mut head = RequestHead::default();
        match head.read(&bytes, &HeadLimits::REQUEST) {
            Ok(Progress::Done(_)) => {}
            Ok(Progress::More) => return Err(unsound("it has no end")),
            Err(reject) => return Err(unsound(reject.as_str())),
        }
        let request = Request { head: &head, bytes: &bytes };
        let client = asked.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let context = RequestContext { terms, request, client, claims: asked.claims.as_ref() };
        Ok(flags.explain(&set, wanted, &context, now))
    }
}

impl Flags {
    fn explain(
        &self,
        set: &FlagSet,
        wanted: Option<FlagIx>,
        context: &impl Context,
        now: u64,
    ) -> Why {
        let groups = set.groups_of(context).into_iter().map(str::to_owned).collect();
        let all = set.flags().iter().filter_map(|flag| set.find(&flag.name));
        let asked = all.filter(|flag| wanted.is_none_or(|wanted| wanted == *flag));
        let flags = asked.map(|flag| self.explain_one(set, flag, context, now)).collect();
        Why { groups, flags }
    }

    fn explain_one(
        &self,
        set: &FlagSet,
        ix: FlagIx,
        context: &impl Context,
        now: u64,
    ) -> Explained {
        let flag = set.flag(ix);
        let explanation = set.explain(ix, context, now);
        let resolution = explanation.resolution;
        let variant = resolution.variant.and_then(|at| flag.variants.get(usize::from(at)));
        Explained {
            name: flag.name.to_string(),
            variant: variant.map(|it| it.name.to_string()),
            value: variant.map(|it| it.value.clone()),
            reason: resolution.reason,
            error: resolution.error,
            rule: explanation.decider().map(|rule| rule + 1),
            steps: self.steps(&flag.name, &explanation, now),
            overridden: self.is_changed(&flag.name),
        }
    }

    /// What was looked at, one line each.
    fn steps(&self, name: &str, explanation: &Explanation, now: u64) -> Vec<String> {
        let mut steps = Vec::new();
        if let Some(change) = self.overrides.0.get(name) {
            steps.push(format!("changed by {}: {}", change.by, change.reason));
        }
        let resolution = &explanation.resolution;
        if resolution.reason == Reason::Disabled {
            steps.push("it is off: applications use what is in their code".to_owned());
            return steps;
        }
        let Some(own) = self.own(name) else {
            steps.push(match resolution.reason {
                Reason::TargetingMatch | Reason::Split => "its targeting decides".to_owned(),
                Reason::Static => "it has no targeting: everybody gets the default".to_owned(),
                Reason::Error => "its targeting cannot be followed".to_owned(),
                Reason::Default | Reason::Disabled => {
                    "its targeting names no variant: the default".to_owned()
                }
            });
            return steps;
        };
        if own.start.is_some_and(|start| now < start) {
            steps.push("its rules do not count yet".to_owned());
        } else if own.end.is_some_and(|end| now >= end) {
            steps.push("its rules do not count any more".to_owned());
        }
        let rules = shown::rules(own, self.set.terms());
        for (rule, outcome) in &explanation.rules {
            let words = rules.get(*rule).map_or("", String::as_str);
            steps.push(format!("rule {}: {words}: {outcome}", rule + 1));
        }
        if explanation.decider().is_none() {
            steps.push("no rule decides: the default".to_owned());
        }
        steps
    }
}

/// Puts what tells the user apart where the configuration looks for it.
fn put_user(asked: &mut WhyAsked, set: &FlagSet, user: String) -> Result<(), Refused> {
    if let Some(context) = &mut asked.context {
        context.insert(gnomon_flags::context::TARGETING_KEY.to_owned(), Value::String(user));
        return Ok(());
    }
    let refused = |error: &str| Refused::new(Kind::Request, error);
    let Some(by) = &set.terms().by else {
        return Err(refused("`flags.by` does not say what tells users apart")
            .help("say what stands in the request, as with -H, instead of --user"));
    };
    match by {
        Place::Key(Key::Header(name)) => asked.headers.push((name.to_string(), user)),
        Place::Key(Key::Cookie(name)) => {
            let mine = format!("{name}={user}");
            let cookie =
                asked.headers.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case("cookie"));
            match cookie {
                Some((_, cookies)) => *cookies = format!("{cookies}; {mine}"),
                None => asked.headers.push(("cookie".to_owned(), mine)),
            }
        }
        Place::Key(Key::Query(name)) => {
            let url = asked.url.take().unwrap_or_else(|| "/".to_owned());
            let mark = if url.contains('?') { '&' } else { '?' };
            asked.url = Some(format!("{url}{mark}{name}={user}"));
        }
        Place::Key(Key::ClientIp) => {
            let client = user.parse();
            asked.client =
                Some(client.map_err(|_| refused("users are told apart by address; this is none"))?);
        }
        Place::Claim(name) => {
            let claims = asked.claims.get_or_insert_default();
            claims.insert(name.to_string(), Value::String(user));
        }
        Place::Host | Place::Path | Place::Method => {
            return Err(refused("`flags.by` is a part of the request's own head")
                .help("say it with --url or --method"));
        }
    }
    Ok(())
}

/// The request as it would arrive.
fn request(asked: &WhyAsked) -> Result<Vec<u8>, Refused> {
    let url = asked.url.as_deref().unwrap_or("/");
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let (host, target) = match rest {
        Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
        None => ("localhost", url),
    };
    let target = target.split('#').next().unwrap_or_default();
    let slash = if target.starts_with('/') { "" } else { "/" };
    let method = asked.method.as_deref().unwrap_or("GET");
    let mut text = format!("{method} {slash}{target} HTTP/1.1\r\n");
    if !asked.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        text.push_str(&format!("host: {host}\r\n"));
    }
    for (name, value) in &asked.headers {
        if name.contains(['\r', '\n']) || value.contains(['\r', '\n']) {
            return Err(unsound("a field has more than one line"));
        }
        text.push_str(&format!("{}: {}\r\n", name.trim(), value.trim()));
    }
    text.push_str("\r\n");
    Ok(text.into_bytes())
}

fn unsound(why: &str) -> Refused {
    Refused::new(Kind::Request, format!("such a request would be refused: {why}"))
}
