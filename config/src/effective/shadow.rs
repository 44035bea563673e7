//! `[shadow.*]` written down.

use super::{Writer, bare, edits, host_rule, key, matches, names_of, rewrite};
use crate::{
    model::{ArrayRule, BodyMode, Compare, Config, Noise, Redact, RedactStyle, Shadow},
    units::{show_duration, show_share, show_size},
};

pub(super) fn write(out: &mut Writer, it: &Shadow, config: &Config) {
    let end = |(upstream, version)| match names_of(config, upstream, version) {
        (upstream, Some(version)) => format!("{upstream}@{version}"),
        (upstream, None) => upstream.to_owned(),
    };
    out.text("from", end(it.from));
    out.text("to", end((it.to.0, Some(it.to.1))));
    out.text("sample", show_share(it.sample));
    if let Some(by) = &it.by {
        out.text("by", key(by));
    }
    out.maybe("salt", it.salt.as_ref());
    out.within("match", |out| matches(out, &it.matches));
    out.plain("forced", it.forced);
    match it.noise {
        Noise::Off => out.plain("noise", false),
        Noise::Learn(share) => out.text("noise", show_share(share)),
    }
    out.text("timeout", show_duration(it.timeout));
    out.plain("in_flight", it.in_flight);
    out.text("shed_at", show_share(it.shed_at));
    out.text("mark", &it.mark);
    out.text("body", show_size(it.body_max));
    out.text("host", host_rule(&it.host));
    out.list("without", it.without.iter());
    out.within("headers.request", |out| edits(out, &it.edits));
    rewrite(out, &it.rewrite);
    out.within("compare", |out| compare(out, &it.compare));
    out.within("redact", |out| redact(out, &it.redact));
    out.within("keep", |out| {
        out.plain("samples", it.keep.samples);
        out.text("age", show_duration(it.keep.age));
        out.text("size", show_size(it.keep.size));
    });
}

fn compare(out: &mut Writer, it: &Compare) {
    out.plain("status", it.status);
    out.list("headers", it.headers.iter());
    let body = match it.body {
        BodyMode::Auto => "auto",
        BodyMode::Json => "json",
        BodyMode::Text => "text",
        BodyMode::Bytes => "bytes",
        BodyMode::None => "none",
    };
    out.text("body", body);
    out.text("max", show_size(it.max));
    out.texts("ignore", it.ignore.iter());
    out.plain("numbers.tolerance", it.tolerance);
    for (path, rule) in &it.arrays {
        let rule = match rule {
            ArrayRule::Ordered => "ordered".to_owned(),
            ArrayRule::Set => "set".to_owned(),
            ArrayRule::By(field) => format!("by {field}"),
        };
        out.text(&format!("arrays.{}", bare(&path.to_string())), rule);
    }
    out.plain("latency", it.latency);
}

fn redact(out: &mut Writer, it: &Redact) {
    out.list("headers", it.headers.iter());
    out.list("query", it.query.iter());
    out.list("json", it.json.iter());
    let style = match it.style {
        RedactStyle::Hash => "hash",
        RedactStyle::Drop => "drop",
        RedactStyle::Mask => "mask",
    };
    out.text("style", style);
}
