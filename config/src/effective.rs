//! A configuration written down: every setting with the value that holds.

mod admin;
pub(crate) mod flag;
mod rollout;
mod shadow;
mod tls;
mod trace;

use std::{fmt::Display, sync::Arc};

use crate::model::{
    AccessFormat, AccessLog, Action, Balance, Bind, Condition, Config, Cores, Driver, Edits,
    Endpoint, FailureKind, Headers, HostPattern, HostRule, Key, Level, Listener, LogFormat, Match,
    Metrics, PathPattern, Piece, RateLimit, Rewrite, Route, RouteRate, Secret, Sink, Sticky,
    StickyMode, Timeouts, Upstream, UpstreamIx, VersionIx,
};
use crate::names::bare_pattern;
use crate::units::{show_byte_rate, show_duration, show_percent, show_rate, show_share, show_size};

/// What stands for a secret.
const REDACTED: &str = "<redacted>";

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its dotted key, as one would give it to `--set`.
    pub path: String,
    /// Its value as TOML; of a secret, that there is one.
    pub value: String,
    /// The secret itself, so that a change of it can be told.
    pub(crate) secret: Secret,
}

/// Every setting of a configuration, in the order of the file format. Secrets do not show.
#[must_use]
pub fn effective(config: &Config) -> Vec<Setting> {
    with_routes(config, &config.routes)
}

/// The same with only these of its routes.
pub(crate) fn with_routes<'c>(
    config: &Config,
    routes: impl IntoIterator<Item = &'c Route>,
) -> Vec<Setting> {
    let mut out = Writer { settings: Vec::new(), path: String::new() };
    for it in &config.listeners {
        out.within(&format!("listener.{}", it.name), |out| listener(out, it));
    }
    for it in &config.upstreams {
        out.within(&format!("upstream.{}", it.name), |out| upstream(out, it));
    }
    for it in routes {
        out.within(&format!("route.{}", it.name), |out| route(out, it, config));
    }
    out.within("flags", |out| flag::terms(out, &config.flags));
    for it in &config.flags.groups {
        out.within(&format!("group.{}", it.name), |out| flag::group(out, it, &config.flags));
    }
    for it in &config.flags.own {
        out.within(&format!("flag.{}", it.name), |out| flag::flag(out, it, config));
    }
    for it in &config.shadows {
        out.within(&format!("shadow.{}", it.name), |out| shadow::write(out, it, config));
    }
    for it in &config.rollouts {
        out.within(&format!("rollout.{}", it.name), |out| rollout::write(out, it, config));
    }
    for it in &config.kpis {
        out.within(&format!("kpi.{}", it.name), |out| rollout::kpi(out, it, config));
    }
    out.within("timeouts", |out| timeouts(out, &config.timeouts));
    out.within("limits", |out| limits(out, config));
    out.within("admin", |out| admin::write(out, &config.admin));
    out.within("metrics", |out| metrics(out, &config.metrics));
    out.within("log", |out| {
        out.text("level", level(config.log.level));
        out.text("format", log_format(config.log.format));
        out.text("to", sink(&config.log.to));
    });
    out.within("access_log", |out| access_log(out, &config.access_log));
    out.within("trace", |out| trace::tracing(out, &config.trace));
    out.text("state.dir", config.state.dir.display());
    out.within("runtime", |out| {
        match &config.runtime.cores {
            Cores::Auto => out.text("cores", "auto"),
            Cores::Physical => out.text("cores", "physical"),
            Cores::Count(count) => out.plain("cores", count),
            Cores::List(list) => out.text("cores", joined(list.iter(), ",")),
        }
        out.plain("pin", config.runtime.pin);
        out.plain("entries", config.runtime.entries);
        out.text("driver", driver(config.runtime.driver));
    });
    out.settings
}

/// Gathers settings below a path.
struct Writer {
    settings: Vec<Setting>,
    path: String,
}

impl Writer {
    fn within(&mut self, key: &str, write: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push_str(key);
        self.path.push('.');
        write(self);
        self.path.truncate(length);
    }

    /// A value whose text is TOML already.
    fn plain(&mut self, key: &str, value: impl Display) {
        let path = format!("{}{key}", self.path);
        self.settings.push(Setting { path, value: value.to_string(), secret: Secret::default() });
    }

    fn text(&mut self, key: &str, value: impl Display) {
        self.plain(key, quoted(value));
    }

    /// A secret, if there is one.
    fn secret(&mut self, key: &str, secret: &Secret) {
        if *secret != Secret::default() {
            let path = format!("{}{key}", self.path);
            let value = REDACTED.to_owned();
            self.settings.push(Setting { path, value, secret: secret.clone() });
        }
    }

    /// A text that may be left out.
    fn maybe(&mut self, key: &str, value: Option<&Arc<str>>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn list(&mut self, key: &str, values: impl Iterator<Item = impl Display>) {
        self.plain(key, format!("[{}]", joined(values.map(quoted), ", ")));
    }

    /// A list that, when empty, is left out.
    fn texts(&mut self, key: &str, values: impl Iterator<Item = impl Display>) {
        let mut values = values.peekable();
        if values.peek().is_some() {
            self.list(key, values);
        }
    }

    /// A table with free keys.
    fn pairs(&mut self, key: &str, pairs: &[(Arc<str>, Arc<str>)]) {
        for (name, value) in pairs {
            self.text(&format!("{key}.{}", bare(name)), value);
        }
    }
}

fn quoted(value: impl Display) -> String {
    toml::Value::from(value.to_string()).to_string()
}

/// A key as it may stand in a dotted path.
fn bare(key: &str) -> String {
    let plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if plain && !key.is_empty() { key.to_owned() } else { quoted(key) }
}

fn joined(values: impl Iterator<Item = impl Display>, separator: &str) -> String {
    let texts: Vec<String> = values.map(|value| value.to_string()).collect();
    texts.join(separator)
}

fn listener(out: &mut Writer, it: &Listener) {
    out.list("bind", it.bind.iter().map(bind));
    out.plain("backlog", it.backlog);
    out.list("trusted", it.trusted.iter());
    out.list("upgrade", it.upgrade.iter());
    out.plain("connect", it.connect);
    out.plain("proxy_protocol", it.proxy_protocol.is_some());
    if let Some(senders) = &it.proxy_protocol {
        out.list("proxy_trusted", senders.iter());
    }
    if let Some(it) = &it.tls {
        out.within("tls", |out| tls::listener(out, it));
    }
}

fn bind(it: &Bind) -> String {
    match it {
        Bind::Tcp(address) => address.to_string(),
        Bind::Unix(path) => format!("unix:{}", path.display()),
    }
}

fn endpoint(it: &Endpoint) -> String {
    match it {
        Endpoint::Tcp(address) => address.to_string(),
        Endpoint::Name(name, port) => format!("{name}:{port}"),
        Endpoint::Unix(path) => format!("unix:{}", path.display()),
    }
}

fn upstream(out: &mut Writer, it: &Upstream) {
    match &it.balance {
        Balance::P2c => out.text("balance", "p2c"),
        Balance::RoundRobin => out.text("balance", "round_robin"),
        Balance::LeastConn => out.text("balance", "least_conn"),
        Balance::Hash(by) => out.text("balance", format!("hash:{}", key(by))),
    }
    for (version, share) in it.versions.iter().zip(&it.split) {
        out.plain(&format!("split.{}", version.name), show_percent(*share));
    }
    out.text("host", host_rule(&it.host));
    for version in &it.versions {
        out.within(&format!("versions.{}", version.name), |out| {
            out.list("endpoints", version.endpoints.iter().map(endpoint));
            if version.proxy_protocol {
                out.text("proxy_protocol", "v2");
            }
            headers(out, &version.headers);
            if let Some(it) = &version.tls {
                out.within("tls", |out| tls::version(out, it));
            }
        });
    }
    out.within("sticky", |out| sticky(out, &it.sticky));
    if let Some(health) = &it.health {
        out.within("health", |out| {
            out.maybe("path", health.path.as_ref());
            out.maybe("host", health.host.as_ref());
            out.text("interval", show_duration(health.interval));
            out.text("timeout", show_duration(health.timeout));
            out.plain("healthy", health.healthy);
            out.plain("unhealthy", health.unhealthy);
            out.list("expect", health.expect.iter().map(|(first, last)| format!("{first}-{last}")));
        });
    }
    out.within("eject", |out| {
        out.plain("after", it.eject.after);
        out.text("for", show_duration(it.eject.duration));
        out.text("max_ejected", show_share(it.eject.max_ejected));
        out.list("on", it.eject.on.iter().map(failure));
    });
    out.within("retry", |out| {
        out.plain("attempts", it.retry.attempts);
        out.list("on", it.retry.on.iter().map(failure));
        out.text("budget", show_share(it.retry.budget));
    });
    out.within("pool", |out| {
        out.plain("idle_per_core", it.pool.idle_per_core);
        out.text("idle", show_duration(it.pool.idle));
        out.plain("max", it.pool.max);
        out.text("queue", show_duration(it.pool.queue));
    });
}

fn host_rule(it: &HostRule) -> &str {
    match it {
        HostRule::Preserve => "preserve",
        HostRule::Endpoint => "endpoint",
        HostRule::Literal(host) => host,
    }
}

fn sticky(out: &mut Writer, it: &Sticky) {
    match &it.mode {
        StickyMode::None => out.text("key", "none"),
        StickyMode::Minted => out.text("key", "cookie"),
        StickyMode::Key(by) => out.text("key", key(by)),
    }
    out.text("cookie", &it.cookie);
    out.text("max_age", show_duration(it.max_age));
    out.secret("secret", &it.secret);
    out.text("salt", &it.salt);
}

fn key(it: &Key) -> String {
    match it {
        Key::Cookie(name) => format!("cookie:{name}"),
        Key::Header(name) => format!("header:{name}"),
        Key::Query(name) => format!("query:{name}"),
        Key::ClientIp => "client_ip".to_owned(),
    }
}

const fn failure(it: &FailureKind) -> &'static str {
    match it {
        FailureKind::Connect => "connect",
        FailureKind::Reset => "reset",
        FailureKind::Timeout => "timeout",
        FailureKind::Status5xx => "5xx",
    }
}

fn headers(out: &mut Writer, it: &Headers) {
    out.within("headers.request", |out| edits(out, &it.request));
    out.within("headers.response", |out| edits(out, &it.response));
}

fn edits(out: &mut Writer, it: &Edits) {
    out.pairs("set", &it.set);
    out.pairs("add", &it.add);
    out.texts("remove", it.remove.iter());
}

fn route(out: &mut Writer, it: &Route, config: &Config) {
    match &it.action {
        Action::Forward(upstream, version) => {
            let (upstream, version) = names_of(config, *upstream, *version);
            match version {
                Some(version) => out.text("to", format!("{upstream}@{version}")),
                None => out.text("to", upstream),
            }
        }
        Action::Redirect { to, status } => {
            out.text("redirect.to", joined(to.iter().map(piece), ""));
            out.plain("redirect.status", status);
        }
        Action::Respond { status, body, headers } => {
            out.plain("respond.status", status);
            out.text("respond.body", body);
            out.pairs("respond.headers", headers);
        }
    }
    out.plain("priority", it.priority);
    out.within("match", |out| matches(out, &it.matches));
    rewrite(out, &it.rewrite);
    headers(out, &it.headers);
    let own = &it.timeouts;
    out.within("timeouts", |out| {
        out.text("body", show_duration(own.body));
        out.text("connect", show_duration(own.connect));
        out.text("response", show_duration(own.response));
        out.text("request", show_duration(own.request));
        out.text("tunnel", show_duration(own.tunnel));
    });
    out.text("limits.body", show_size(it.body_max));
    match &it.rate {
        RouteRate::Global => {}
        RouteRate::Own(own) => out.within("limits", |out| rate(out, own)),
        RouteRate::Off => out.text("limits.rate", "0"),
    }
    if let Some(share) = it.log_sample {
        out.text("log_sample", show_share(share));
    }
}

fn rewrite(out: &mut Writer, it: &Rewrite) {
    match it {
        Rewrite::Keep => {}
        Rewrite::StripPrefix(prefix) => out.text("rewrite.strip_prefix", prefix),
        Rewrite::AddPrefix(prefix) => out.text("rewrite.add_prefix", prefix),
        Rewrite::ReplacePrefix(prefix) => out.text("rewrite.replace_prefix", prefix),
        Rewrite::Path(path) => out.text("rewrite.path", path),
        Rewrite::Regex(regex, with) => {
            out.text("rewrite.path_regex", bare_pattern(regex));
            out.text("rewrite.with", with);
        }
    }
}

/// The names of an upstream and of a version that is forced, if one is.
pub(crate) fn names_of(
    config: &Config,
    upstream: UpstreamIx,
    version: Option<VersionIx>,
) -> (&str, Option<&str>) {
    let upstream = config.upstreams.get(usize::from(upstream.0));
    let version = upstream.zip(version).and_then(|(upstream, version)| {
        upstream.versions.get(usize::from(version.0)).map(|version| &*version.name)
    });
    (upstream.map_or("", |upstream| &*upstream.name), version)
}

fn piece(it: &Piece) -> &str {
    match it {
        Piece::Text(text) => text,
        Piece::Uri => "{uri}",
        Piece::Path => "{path}",
        Piece::Query => "{query}",
        Piece::Host => "{host}",
    }
}

fn matches(out: &mut Writer, it: &Match) {
    out.texts(
        "host",
        it.hosts.iter().map(|host| match host {
            HostPattern::Exact(host) => host.to_string(),
            HostPattern::Below(host) => format!("*.{host}"),
        }),
    );
    match &it.path {
        PathPattern::Any => {}
        PathPattern::Exact(path) => out.text("path", path),
        PathPattern::Prefix(path) => out.text("path", format!("{path}/*")),
        PathPattern::Regex(regex) => out.text("path_regex", bare_pattern(regex)),
    }
    out.texts("method", it.methods.iter());
    for (key, conditions) in
        [("header", &it.headers), ("query", &it.query), ("cookie", &it.cookies)]
    {
        for (name, condition) in conditions {
            condition_on(out, &format!("{key}.{}", bare(name)), condition);
        }
    }
    out.texts("client", it.clients.iter());
    flag::conditions(out, &it.flags);
}

fn condition_on(out: &mut Writer, key: &str, it: &Condition) {
    match it {
        Condition::Present(present) => out.plain(key, format!("{{ present = {present} }}")),
        Condition::OneOf(texts) => out.texts(key, texts.iter()),
        Condition::Regex(regex) => {
            out.plain(key, format!("{{ regex = {} }}", quoted(bare_pattern(regex))));
        }
    }
}

fn timeouts(out: &mut Writer, it: &Timeouts) {
    for (key, duration) in [
        ("header", it.header),
        ("body", it.body),
        ("handshake", it.handshake),
        ("idle", it.idle),
        ("connect", it.connect),
        ("response", it.response),
        ("request", it.request),
        ("tunnel", it.tunnel),
        ("drain", it.drain),
        ("grace", it.grace),
    ] {
        out.text(key, show_duration(duration));
    }
}

fn limits(out: &mut Writer, config: &Config) {
    let it = &config.limits;
    out.plain("connections", it.connections);
    out.plain("handshakes", it.handshakes);
    out.plain("per_client", it.per_client);
    if let Some(limit) = &it.rate {
        rate(out, limit);
    } else {
        out.text("by", key(&it.by));
    }
    out.text("body_rate", show_byte_rate(it.body_rate));
    out.text("memory", show_size(it.memory));
    out.text("header_bytes", show_size(it.header_bytes.into()));
    out.text("request_line_bytes", show_size(it.request_line_bytes.into()));
    out.plain("headers", it.headers);
    out.text("response_header_bytes", show_size(it.response_header_bytes.into()));
    out.plain("response_headers", it.response_headers);
    out.text("body", show_size(it.body));
    out.plain("requests_per_connection", it.requests_per_connection);
    out.text("shadow", show_size(config.limits.shadow));
}

fn rate(out: &mut Writer, it: &RateLimit) {
    out.text("rate", show_rate(it.rate));
    out.plain("burst", it.burst);
    out.text("by", key(&it.by));
}

fn metrics(out: &mut Writer, it: &Metrics) {
    if let Some(address) = it.listen {
        out.text("listen", address);
    }
    out.text("path", &it.path);
    out.list("buckets", it.buckets.iter().map(|bucket| show_duration(*bucket)));
    out.plain("exemplars", it.exemplars);
    out.plain("max_series", it.max_series);
}

fn access_log(out: &mut Writer, it: &AccessLog) {
    out.text("format", access_format(it.format));
    out.text("to", sink(&it.to));
    out.text("sample", show_share(it.sample));
    let always = [("5xx", it.always_5xx), ("slow", it.always_slow)];
    out.list("always", always.iter().filter(|(_, on)| *on).map(|(word, _)| word));
    out.text("slow", show_duration(it.slow));
    out.list("redact_query", it.redact_query.iter());
    out.within("only", |out| trace::filter(out, &it.only));
    out.within("except", |out| trace::filter(out, &it.except));
    out.within("fields", |out| trace::fields(out, &it.left_out));
}

fn sink(it: &Sink) -> String {
    match it {
        Sink::Stdout => "stdout".to_owned(),
        Sink::Stderr => "stderr".to_owned(),
        Sink::File(path) => path.display().to_string(),
    }
}

const fn level(it: Level) -> &'static str {
    match it {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

const fn log_format(it: LogFormat) -> &'static str {
    match it {
        LogFormat::Auto => "auto",
        LogFormat::Text => "text",
        LogFormat::Json => "json",
        LogFormat::Logfmt => "logfmt",
    }
}

const fn access_format(it: AccessFormat) -> &'static str {
    match it {
        AccessFormat::Off => "off",
        AccessFormat::Json => "json",
        AccessFormat::Ecs => "ecs",
        AccessFormat::Logfmt => "logfmt",
        AccessFormat::Common => "common",
        AccessFormat::Combined => "combined",
    }
}

const fn driver(it: Driver) -> &'static str {
    match it {
        Driver::Auto => "auto",
        Driver::IoUring => "io_uring",
        Driver::Epoll => "epoll",
    }
}
