//! Traces and the access log's filters written down.

use std::sync::Arc;

use super::{Writer, bare};
use crate::{
    model::{AccessField, Filter, Otlp, Tracing},
    units::{show_duration, show_share},
};

pub(super) fn filter(out: &mut Writer, it: &Filter) {
    let status = |(first, last): &(u16, u16)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    out.texts("status", it.statuses.iter().map(status));
    if !it.min.is_zero() {
        out.text("min", show_duration(it.min));
    }
    out.texts("route", it.routes.iter());
    let upstream = |(upstream, version): &(_, Option<_>)| match version {
        Some(version) => format!("{upstream}@{version}"),
        None => format!("{upstream}"),
    };
    out.texts("upstream", it.upstreams.iter().map(|it: &(Arc<str>, _)| upstream(it)));
    out.texts("arm", it.arms.iter().map(|arm| arm.word()));
    out.texts("method", it.methods.iter());
    out.texts("path", it.paths.iter());
    out.texts("client", it.clients.iter());
}

pub(super) fn fields(out: &mut Writer, left_out: &[AccessField]) {
    out.texts("leave_out", left_out.iter().map(|field| field.word()));
}

pub(super) fn tracing(out: &mut Writer, it: &Tracing) {
    out.plain("start", it.start);
    out.text("sample", show_share(it.sample));
    out.plain("server_timing", it.server_timing);
    if let Some(it) = &it.otlp {
        out.within("otlp", |out| otlp(out, it));
    }
}

fn otlp(out: &mut Writer, it: &Otlp) {
    out.text("endpoint", &it.endpoint);
    for (name, value) in &it.headers {
        out.secret(&format!("headers.{}", bare(name)), value);
    }
    out.text("sample", show_share(it.sample));
    out.text("timeout", show_duration(it.timeout));
    out.plain("queue", it.queue);
    out.plain("gzip", it.gzip);
    out.text("service", &it.service);
    let attributes = [("user_agent.original", it.user_agent), ("url.query", it.query)];
    out.list("attributes", attributes.iter().filter(|(_, on)| *on).map(|(word, _)| word));
}
