//! `[flags]`, `[group.*]` and `[flag.*]` written down.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::{Writer, bare, condition_on, joined, names_of, quoted, tls};
use crate::{
    model::{
        Config, Flags, Key, Secret, Share,
        flag::{
            Flag, FlagCondition, Group, Jwt, Ofrep, Place, Portion, Rule, Source, Told,
            VariantValue,
        },
    },
    names::{show_moment, show_place},
    units::{show_duration, show_percent},
};

pub(super) fn terms(out: &mut Writer, it: &Flags) {
    match &it.source {
        None => {}
        Some(Source::File(path)) => out.text("source", path.display()),
        Some(Source::Url(url)) => out.text("source", url),
        Some(Source::Ofrep(url)) => out.text("source", format!("ofrep+{url}")),
    }
    out.text("poll", show_duration(it.poll));
    by(out, it.by.as_ref());
    out.secret("secret", &it.secret);
    out.text("header", it.header.as_deref().unwrap_or_default());
    out.secret("sign", &it.sign);
    match &it.send {
        // Of a field that nobody gets, there is nothing to say.
        _ if it.header.is_none() => {}
        Told::Used => out.text("send", "used"),
        Told::All => out.text("send", "all"),
        Told::Only(names) => out.list("send", names.iter()),
    }
    out.text("stale", show_duration(it.stale));
    for (name, place) in &it.context {
        out.text(&format!("context.{}", bare(name)), show_place(place));
    }
    if let Some(it) = &it.jwt {
        out.within("jwt", |out| jwt(out, it));
    }
    if let Some(it) = &it.ofrep {
        ofrep(out, it);
    }
}

fn by(out: &mut Writer, it: Option<&Place>) {
    if let Some(place) = it {
        out.text("by", show_place(place));
    }
}

fn jwt(out: &mut Writer, it: &Jwt) {
    out.text("from", show_place(&it.place));
    tls::file(out, "keys", &it.keys);
    out.texts("issuer", it.issuers.iter());
    out.texts("audience", it.audiences.iter());
    out.text("leeway", show_duration(it.leeway));
}

fn ofrep(out: &mut Writer, it: &Ofrep) {
    if it.bind.is_empty() && it.tokens.is_none() && it.headers.is_empty() {
        out.plain("ofrep", "{}");
    }
    out.within("ofrep", |out| {
        out.texts("listen", it.bind.iter());
        if let Some(tokens) = &it.tokens {
            tls::file(out, "tokens", tokens);
        }
        out.pairs("headers", &it.headers);
    });
}

pub(super) fn group(out: &mut Writer, it: &Group, flags: &Flags) {
    for (place, condition) in &it.conditions {
        let key = match place {
            Place::Key(Key::Header(name)) => format!("header.{}", bare(name)),
            Place::Key(Key::Cookie(name)) => format!("cookie.{}", bare(name)),
            Place::Key(Key::Query(name)) => format!("query.{}", bare(name)),
            Place::Claim(name) => format!("claim.{}", bare(name)),
            Place::Key(Key::ClientIp) | Place::Host | Place::Path | Place::Method => {
                show_place(place)
            }
        };
        condition_on(out, &key, condition);
    }
    out.texts("client", it.clients.iter());
    match (&it.users_file, &it.users) {
        (Some(path), users) => {
            out.text("users_file", path.display());
            if let Some(setting) = out.settings.last_mut() {
                let mut hasher = DefaultHasher::new();
                users.hash(&mut hasher);
                setting.secret = Secret(hasher.finish().to_le_bytes().into());
            }
        }
        (None, Some(users)) => out.texts("users", users.iter()),
        (None, None) => {}
    }
    if let Some(share) = it.share {
        out.plain("percent", show_percent(share));
    }
    by(out, it.by.as_ref());
    out.text("salt", &it.salt);
    out.texts("any", it.any.iter().filter_map(|at| Some(&*flags.groups.get(*at)?.name)));
}

pub(super) fn flag(out: &mut Writer, it: &Flag, config: &Config) {
    out.plain("enabled", it.enabled);
    for (name, value) in &it.variants {
        out.plain(&format!("variants.{name}"), show_value(value));
    }
    out.text("default", name_of(it, it.default));
    by(out, it.by.as_ref());
    out.text("salt", &it.salt);
    rules(out, it, &config.flags);
    for (key, at) in [("start", it.start), ("end", it.end), ("expires", it.expires)] {
        if let Some(at) = at {
            out.text(key, show_moment(at));
        }
    }
    for (key, text) in [("owner", &it.owner), ("description", &it.description)] {
        out.maybe(key, Some(text).filter(|text| !text.is_empty()));
    }
    if let Some(judge) = &it.judge {
        out.text("judge.upstream", names_of(config, judge.upstream, None).0);
        out.text("judge.variant", name_of(it, judge.variant));
        out.text("judge.horizon", show_duration(judge.horizon));
    }
}

fn name_of(flag: &Flag, variant: usize) -> &str {
    flag.variants.get(variant).map_or("", |(name, _)| &**name)
}

fn show_value(it: &VariantValue) -> String {
    match it {
        VariantValue::Bool(truth) => truth.to_string(),
        VariantValue::Text(text) => quoted(text),
        VariantValue::Integer(number) => number.to_string(),
        VariantValue::Float(number) => toml::Value::Float(*number).to_string(),
        VariantValue::Json(text) => {
            serde_json::from_str(text).map_or_else(|_| quoted(text), |it| show_json(&it))
        }
    }
}

fn show_json(it: &serde_json::Value) -> String {
    use serde_json::Value;
    match it {
        // TOML has none, so that there is none.
        Value::Null => String::new(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", joined(items.iter().map(show_json), ", ")),
        Value::Object(map) => {
            let pairs =
                map.iter().map(|(key, value)| format!("{} = {}", bare(key), show_json(value)));
            format!("{{ {} }}", joined(pairs, ", "))
        }
    }
}

/// In the short form if that says all.
fn rules(out: &mut Writer, it: &Flag, flags: &Flags) {
    let Some(short) = Short::of(it) else {
        let rules: Vec<String> = it.rules.iter().map(|rule| show_rule(rule, it, flags)).collect();
        return out.plain("rules", format!("[{}]", rules.join(", ")));
    };
    out.texts("deny", short.deny.iter().flat_map(|rule| &rule.users));
    out.texts("allow", short.allow.iter().flat_map(|rule| &rule.users));
    if let Some(portion) = short.portion {
        out.plain("percent", show_portion(portion));
    }
}

/// Rules that `deny`, `allow` and `percent` can say.
struct Short<'a> {
    deny: Option<&'a Rule>,
    allow: Option<&'a Rule>,
    portion: Option<Portion>,
}

impl<'a> Short<'a> {
    fn of(flag: &'a Flag) -> Option<Self> {
        let is = |truth| flag.variants.iter().position(|(_, it)| *it == VariantValue::Bool(truth));
        let (on, off) = (is(true), is(false));
        let is_short = flag.variants.len() == 2 && on.is_some() && off.is_some();
        if !is_short && !flag.rules.is_empty() {
            return None;
        }
        let mut rules = flag.rules.iter().peekable();
        let serves = |rule: &Rule, variant: Option<usize>| {
            let plain = rule.groups.is_empty() && rule.not.is_empty();
            plain && matches!(rule.serve.as_slice(), [(served, _)] if Some(*served) == variant)
        };
        let names = |rule: &&Rule, variant| {
            serves(rule, variant) && rule.portion.is_none() && !rule.users.is_empty()
        };
        let deny = rules.next_if(|rule| names(rule, off));
        let allow = rules.next_if(|rule| names(rule, on));
        let share = rules
            .next_if(|rule| serves(rule, on) && rule.portion.is_some() && rule.users.is_empty());
        let portion = share.and_then(|rule| rule.portion);
        rules.next().is_none().then_some(Self { deny, allow, portion })
    }
}

/// A rule as an inline table.
fn show_rule(it: &Rule, flag: &Flag, flags: &Flags) -> String {
    let parts = parts(it, flag, flags).into_iter();
    format!("{{ {} }}", joined(parts.map(|(key, value)| format!("{key} = {value}")), ", "))
}

/// What a rule says, key by key, each value as TOML.
pub(crate) fn parts(it: &Rule, flag: &Flag, flags: &Flags) -> Vec<(&'static str, String)> {
    let list = |texts: Vec<String>| format!("[{}]", texts.join(", "));
    let mut parts = Vec::new();
    for (key, groups) in [("group", &it.groups), ("not", &it.not)] {
        if !groups.is_empty() {
            let names = groups.iter().filter_map(|at| Some(quoted(&flags.groups.get(*at)?.name)));
            parts.push((key, list(names.collect())));
        }
    }
    if !it.users.is_empty() {
        parts.push(("users", list(it.users.iter().map(quoted).collect())));
    }
    if let Some(portion) = it.portion {
        parts.push(("percent", show_portion(portion)));
    }
    let serve = match it.serve.as_slice() {
        [(variant, 1)] => quoted(name_of(flag, *variant)),
        all => {
            let weights =
                all.iter().map(|(at, weight)| format!("{} = {weight}", name_of(flag, *at)));
            format!("{{ {} }}", joined(weights, ", "))
        }
    };
    parts.push(("serve", serve));
    parts
}

fn show_portion(it: Portion) -> String {
    let moment = |at| quoted(show_moment(at));
    match it {
        Portion::Fixed(share) => show_percent(share),
        Portion::Ramp { from, to, start, end } => {
            let from = if from == Share::NONE {
                String::new()
            } else {
                format!("from = {}, ", show_percent(from))
            };
            let to = show_percent(to);
            format!("{{ {from}to = {to}, start = {}, end = {} }}", moment(start), moment(end))
        }
    }
}

/// What a match says of flags.
pub(super) fn conditions(out: &mut Writer, all: &[FlagCondition]) {
    let show = |it: &FlagCondition| match (&it.variant, it.not) {
        (None, false) => quoted(&it.flag),
        (None, true) => quoted(format!("!{}", it.flag)),
        (Some(variant), false) => format!("{{ {} = {} }}", bare(&it.flag), quoted(variant)),
        (Some(variant), true) => {
            format!("{{ {} = {{ not = {} }} }}", bare(&it.flag), quoted(variant))
        }
    };
    if !all.is_empty() {
        out.plain("flag", format!("[{}]", joined(all.iter().map(show), ", ")));
    }
}
