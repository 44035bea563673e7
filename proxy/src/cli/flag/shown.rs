//! Flags for eyes.

use std::{fmt::Write as _, time::Duration};

use gnomon_flags::Override;
use serde_json::Value;

use crate::{
    cli::{Paint, percent, status::span},
    clock,
    control::api::flag::{Explained, Flag, Flags, Record, Source, Variant, Why},
};

/// All of them, and where they come from.
pub(super) fn all(all: &Flags, paint: Paint) -> String {
    let mut text = String::new();
    if let Some(trouble) = &all.trouble {
        let said = format!("changes cannot be written, and a restart would forget them: {trouble}");
        let _ = writeln!(text, "{}", paint.red(&said));
    }
    if let Some(it) = &all.source {
        source(&mut text, it, paint);
    }
    let width = all.flags.iter().map(|flag| flag.name.len()).max().unwrap_or_default();
    for flag in &all.flags {
        let _ = writeln!(text, "{}", line(flag, width, paint));
        below(&mut text, flag, paint);
    }
    for (name, change) in &all.lost {
        let said = format!("{name} is in no file; what was changed of it waits: {}", who(change));
        let _ = writeln!(text, "{}", paint.dim(&said));
    }
    text
}

fn source(text: &mut String, it: &Source, paint: Paint) {
    let last = it.last_success.map_or_else(|| "never".to_owned(), ago);
    let flags = format!("{} flag{}", it.flags, if it.flags == 1 { "" } else { "s" });
    if it.ok {
        let _ = writeln!(text, "{}", paint.dim(&format!("{}: {flags}, read {last}", it.what)));
        return;
    }
    let stays = if it.last_success.is_some() { "what it said last stays" } else { "none is known" };
    let said = format!("{}: {flags}, right {last}; {stays}", it.what);
    let _ = writeln!(text, "{}", paint.red(&said));
    for fault in it.faults.iter().take(FAULTS) {
        let _ = writeln!(text, "  {}", fault.replace('\n', "\n  "));
    }
    if it.faults.len() > FAULTS {
        let _ = writeln!(text, "  and {} more: --json", it.faults.len() - FAULTS);
    }
}

/// One in a line, its name in so many columns.
fn line(flag: &Flag, width: usize, paint: Paint) -> String {
    let state = if flag.enabled { paint.green("on ") } else { paint.red("off") };
    let default = flag.default.as_deref().unwrap_or("as in the code");
    let rules = match (flag.percent, flag.rules.len()) {
        (_, 0) => "no rules".to_owned(),
        (Some(share), 1) => percent(share),
        (Some(share), many) => format!("{many} rules, {}", percent(share)),
        (None, 1) => "1 rule".to_owned(),
        (None, many) => format!("{many} rules"),
    };
    let told: Vec<String> =
        flag.exposures.iter().map(|(variant, count)| format!("{variant} {count}")).collect();
    let told = if told.is_empty() { String::new() } else { format!("   {}", told.join(", ")) };
    let from = if flag.source == "config" { "" } else { "   (source)" };
    let name = format!("{:<width$}", flag.name);
    format!("{state} {}   {rules}, else {default}{told}{from}", paint.bold(&name))
}

/// What is remarkable of one.
fn below(text: &mut String, flag: &Flag, paint: Paint) {
    for drift in &flag.drift {
        let _ = writeln!(text, "    {}", paint.yellow(drift));
    }
    if let Some(change) = flag.changed.as_ref().filter(|_| !flag.drift.is_empty()) {
        let _ = writeln!(text, "    {}", paint.dim(&format!("last changed by {}", who(change))));
    }
    for remark in &flag.remarks {
        let owner = if flag.owner.is_empty() { "" } else { "; ask " };
        let said = format!("stale: {}{owner}{}", remark.text, flag.owner);
        let _ = writeln!(text, "    {}", paint.yellow(&said));
    }
}

/// One in full.
pub(super) fn one(flag: &Flag, paint: Paint) -> String {
    let mut text = format!("{}\n", line(flag, flag.name.len(), paint));
    below(&mut text, flag, paint);
    let mut row = |name: &str, said: &str| {
        if !said.is_empty() {
            let _ = writeln!(text, "  {name:<9} {said}");
        }
    };
    row("about", &flag.description);
    row("owner", &flag.owner);
    row("expires", &flag.expires.map(date).unwrap_or_default());
    row("from", &flag.source);
    let variant = |it: &Variant| format!("{} = {}", it.name, it.value);
    let variants: Vec<String> = flag.variants.iter().map(variant).collect();
    row("variants", &variants.join(", "));
    for (number, rule) in (1..).zip(&flag.rules) {
        row(&format!("rule {number}"), rule);
    }
    row("default", flag.default.as_deref().unwrap_or("what is in the code of applications"));
    let used = flag.last_evaluated.map_or_else(|| "not since it is known".to_owned(), ago);
    row("asked for", &used);
    row(
        "the same",
        &flag
            .same_since
            .map(|since| format!("for everybody, since {}", date(since)))
            .unwrap_or_default(),
    );
    text
}

/// What flags come to, and why.
pub(super) fn why(why: &Why, paint: Paint) -> String {
    let groups = if why.groups.is_empty() { "none".to_owned() } else { why.groups.join(", ") };
    let mut text = format!("{} {groups}\n", paint.dim("groups"));
    for flag in &why.flags {
        explained(&mut text, flag, paint);
    }
    text
}

fn explained(text: &mut String, flag: &Explained, paint: Paint) {
    let value = match (&flag.variant, &flag.value) {
        (Some(variant), Some(value)) if is_said_by(variant, value) => variant.clone(),
        (Some(variant), Some(value)) => format!("{variant} = {value}"),
        _ => "what is in the code".to_owned(),
    };
    let reason = serde_json::to_value(flag.reason).ok();
    let reason = reason.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
    let error = flag.error.and_then(|error| serde_json::to_value(error).ok());
    let error =
        error.as_ref().and_then(Value::as_str).map_or_else(String::new, |it| format!(", {it}"));
    let changed =
        if flag.overridden { paint.yellow("   changed beside its file") } else { String::new() };
    let _ = writeln!(
        text,
        "{}   {}   {}{changed}",
        paint.bold(&flag.name),
        paint.green(&value),
        paint.dim(&format!("{reason}{error}"))
    );
    for step in &flag.steps {
        let _ = writeln!(text, "    {step}");
    }
}

/// Whether a variant's name tells its value.
fn is_said_by(variant: &str, value: &Value) -> bool {
    match value {
        Value::String(text) => text == variant,
        Value::Bool(is_on) => is_on.to_string() == *variant,
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

/// What was changed, one a line.
pub(super) fn history(records: &[Record], paint: Paint) -> String {
    let mut text = String::new();
    for record in records {
        let Record { at, flag, what, changes, by, reason, .. } = record;
        let flag = if flag.is_empty() { "source" } else { flag };
        let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let _ = writeln!(
            text,
            "{}  {}  {what}  {}  {by}{why}",
            paint.dim(&date(*at)),
            paint.bold(flag),
            changes.join("; ")
        );
    }
    text
}

fn who(change: &Override) -> String {
    format!("{}, {}: {}", change.by, ago(change.at), change.reason)
}

/// How long ago, for seconds since 1970.
fn ago(at: u64) -> String {
    let now = clock::wall().as_secs();
    format!("{} ago", span(Duration::from_secs(now.saturating_sub(at))))
}

/// A time, in UTC.
fn date(at: u64) -> String {
    let at = jiff::Timestamp::from_second(i64::try_from(at).unwrap_or_default());
    at.map_or_else(|_| "?".to_owned(), |at| at.to_string())
}

/// What is shown of what is wrong with a source.
const FAULTS: usize = 10;
