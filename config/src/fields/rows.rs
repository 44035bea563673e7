//! The rows themselves, in the order in which the reference shows them.

use super::{
    Effect::{Later, Reload, Restart},
    Field,
    Kind::{
        self, Bool, Choice, Condition, Duration, Form, Integer, IntegerOr, Keyed, Map, OneOrMany,
        Percent, Secret, Share, Size, Table, TableOr, Text,
    },
    Preset::{Commented, Default, Shown},
};

const fn table(path: &'static str, doc: &'static str) -> Field {
    Field { path, kind: Table, preset: Default(""), effect: Reload, doc }
}

const fn keyed(path: &'static str, doc: &'static str) -> Field {
    Field { path, kind: Keyed, preset: Default(""), effect: Reload, doc }
}

/// A table that switches something on by being there.
const fn switch(path: &'static str, doc: &'static str) -> Field {
    Field { path, kind: Table, preset: Shown(""), effect: Reload, doc }
}

/// A table that most files do without.
const fn rare(path: &'static str, doc: &'static str) -> Field {
    Field { path, kind: Table, preset: Commented(""), effect: Reload, doc }
}

const fn key(path: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Field {
    Field { path, kind, preset: Default(default), effect: Reload, doc }
}

const fn needed(path: &'static str, kind: Kind, shown: &'static str, doc: &'static str) -> Field {
    Field { path, kind, preset: Shown(shown), effect: Reload, doc }
}

const fn free(path: &'static str, kind: Kind, shown: &'static str, doc: &'static str) -> Field {
    Field { path, kind, preset: Commented(shown), effect: Reload, doc }
}

const fn later(path: &'static str, doc: &'static str) -> Field {
    Field { path, kind: Text, preset: Commented(""), effect: Later, doc }
}

const fn restart(field: Field) -> Field {
    Field { effect: Restart, ..field }
}

const fn count(min: i64) -> Kind {
    Integer { min, max: u32::MAX as i64 }
}

const KIB: u64 = 1 << 10;
const TIME: Kind = Duration { zero: false };
const TIME_OR_NONE: Kind = Duration { zero: true };
const ENDPOINTS: Kind = OneOrMany(&Form("endpoint"));
const NETWORKS: Kind = OneOrMany(&Form("network"));
const FAILURES: &[&str] = &["connect", "reset", "timeout", "5xx"];
const CONDITIONS: Kind = Map(&Condition);
const TEXTS: Kind = Map(&Text);
const NAMES: Kind = OneOrMany(&Text);

/// Every key, in the order of the reference.
pub const FIELDS: &[Field] = &[
    key(
        "include",
        OneOrMany(&Text),
        "[]",
        "further files, relative to this one; `*` in the last part of a path; tables join, nothing overrides",
    ),
    free(
        "listen",
        OneOrMany(&Form("address")),
        "\"0.0.0.0:8080\"",
        "short for [listener.default] bind",
    ),
    // Where clients connect.
    keyed("listener", "where clients connect"),
    table("listener.*", "a listener"),
    needed(
        "listener.*.bind",
        OneOrMany(&Form("address")),
        "[\"0.0.0.0:8080\"]",
        "addresses to listen on: \"IP:PORT\", \"[IPv6]:PORT\" or \"unix:/path\"",
    ),
    key(
        "listener.*.protocols",
        OneOrMany(&Choice { now: &["http/1.1"], later: &["h2", "h3"] }),
        "[\"http/1.1\"]",
        "protocols spoken with clients",
    ),
    key(
        "listener.*.backlog",
        Integer { min: 1, max: 65_535 },
        "4096",
        "length of the kernel's accept queue, per core",
    ),
    key(
        "listener.*.trusted",
        NETWORKS,
        "[\"127.0.0.0/8\", \"::1/128\"]",
        "whose X-Forwarded-*, traceparent and X-Request-Id are believed",
    ),
    key(
        "listener.*.upgrade",
        OneOrMany(&Form("protocol")),
        "[\"websocket\"]",
        "protocols that a client may upgrade to",
    ),
    key(
        "listener.*.connect",
        Bool,
        "false",
        "whether CONNECT is tunnelled to the routed origin instead of refused",
    ),
    later("listener.*.proxy_protocol", "the PROXY protocol in front of a connection"),
    later("listener.*.tls", "TLS towards clients"),
    // What we proxy to.
    keyed("upstream", "what is proxied to"),
    table("upstream.*", "an upstream: a group of origins in one or more versions"),
    key(
        "upstream.*.balance",
        Form("p2c | round_robin | least_conn | hash:KEY"),
        "\"p2c\"",
        "how an endpoint is chosen; KEY as in sticky; least_conn compares 32 at most",
    ),
    free(
        "upstream.*.split",
        Map(&Percent),
        "{ v1 = 95, v2 = 5 }",
        "percent per version; a version left out takes the rest; without `split` the first version takes all",
    ),
    key(
        "upstream.*.host",
        Form("preserve | endpoint | HOST"),
        "\"preserve\"",
        "the Host field towards the origin",
    ),
    key(
        "upstream.*.protocol",
        Choice { now: &["http/1.1"], later: &["h2", "h2c"] },
        "\"http/1.1\"",
        "protocol spoken with origins",
    ),
    keyed("upstream.*.versions", "the versions of an upstream"),
    Field {
        path: "upstream.*.versions.*",
        kind: TableOr(&ENDPOINTS),
        preset: Default(""),
        effect: Reload,
        doc: "a version; `v1 = [\"10.0.0.11:8080\"]` is short for its endpoints",
    },
    needed(
        "upstream.*.versions.*.endpoints",
        ENDPOINTS,
        "[\"10.0.0.11:8080\"]",
        "where it runs: \"IP:PORT\", \"name:PORT\" or \"unix:/path\"; may be empty while it has no share",
    ),
    rare("upstream.*.versions.*.headers", "edits of this version alone"),
    rare("upstream.*.versions.*.headers.request", "edits of requests to this version"),
    free(
        "upstream.*.versions.*.headers.request.set",
        TEXTS,
        "{ x-version = \"v1\" }",
        "fields put in the place of any of the same name",
    ),
    free(
        "upstream.*.versions.*.headers.request.add",
        TEXTS,
        "{ x-via = \"gnomon\" }",
        "fields put beside any of the same name",
    ),
    free(
        "upstream.*.versions.*.headers.request.remove",
        NAMES,
        "[\"x-debug\"]",
        "fields taken out",
    ),
    rare("upstream.*.versions.*.headers.response", "edits of replies from this version"),
    free(
        "upstream.*.versions.*.headers.response.set",
        TEXTS,
        "{ x-version = \"v1\" }",
        "fields put in the place of any of the same name",
    ),
    free(
        "upstream.*.versions.*.headers.response.add",
        TEXTS,
        "{ vary = \"x-version\" }",
        "fields put beside any of the same name",
    ),
    free(
        "upstream.*.versions.*.headers.response.remove",
        NAMES,
        "[\"server\"]",
        "fields taken out",
    ),
    later("upstream.*.versions.*.tls", "TLS towards origins"),
    later("upstream.*.versions.*.protocol", "a protocol of one version"),
    Field {
        path: "upstream.*.sticky",
        kind: TableOr(&Form("cookie | none | KEY")),
        preset: Default(""),
        effect: Reload,
        doc: "what keeps a user on one version; `sticky = \"cookie\"` is short for its key",
    },
    key(
        "upstream.*.sticky.key",
        Form("none | cookie | cookie:NAME | header:NAME | query:NAME | client_ip"),
        "\"none\"",
        "cookie is one that gnomon mints; cookie:NAME falls back to that one",
    ),
    free(
        "upstream.*.sticky.cookie",
        Text,
        "\"gnomon_shop\"",
        "name of the minted cookie; gnomon_UPSTREAM unless set",
    ),
    key("upstream.*.sticky.max_age", TIME, "\"30d\"", "how long a browser keeps the minted cookie"),
    free(
        "upstream.*.sticky.secret",
        Secret,
        "{ file = \"/etc/gnomon/sticky.secret\" }",
        "at least 16 bytes that key the hash; the same on every host of a fleet",
    ),
    switch("upstream.*.health", "active checks of every endpoint; left out, there are none"),
    free(
        "upstream.*.health.path",
        Text,
        "\"/healthz\"",
        "path to GET; left out, a TCP connect suffices",
    ),
    free(
        "upstream.*.health.host",
        Form("host"),
        "\"shop.internal\"",
        "Host field of a check; the endpoint unless set",
    ),
    key("upstream.*.health.interval", TIME, "\"2s\"", "time between two checks"),
    key("upstream.*.health.timeout", TIME, "\"500ms\"", "time that one check may take"),
    key(
        "upstream.*.health.healthy",
        count(1),
        "2",
        "successes in a row that bring an endpoint back",
    ),
    key(
        "upstream.*.health.unhealthy",
        count(1),
        "3",
        "failures in a row that take an endpoint out",
    ),
    key(
        "upstream.*.health.expect",
        OneOrMany(&Form("status | FIRST-LAST")),
        "[\"200-399\"]",
        "statuses that pass",
    ),
    table("upstream.*.eject", "passive: leave an endpoint out after failures of real requests"),
    key(
        "upstream.*.eject.after",
        count(0),
        "5",
        "failures in a row that eject; 0 switches ejection off",
    ),
    key("upstream.*.eject.for", TIME, "\"30s\"", "how long the endpoint stays out"),
    key(
        "upstream.*.eject.max_ejected",
        Share,
        "\"50%\"",
        "largest share of a version's endpoints out at once, rounded down",
    ),
    key(
        "upstream.*.eject.on",
        OneOrMany(&Choice { now: FAILURES, later: &[] }),
        "[\"connect\", \"reset\", \"timeout\", \"5xx\"]",
        "what counts as a failure",
    ),
    table(
        "upstream.*.retry",
        "repeating a request on another connection, before any byte of a reply; never for unsafe methods",
    ),
    key(
        "upstream.*.retry.attempts",
        Integer { min: 0, max: 10 },
        "1",
        "repeats per request; 0 switches retries off",
    ),
    key(
        "upstream.*.retry.on",
        OneOrMany(&Choice { now: &["connect", "reset"], later: &[] }),
        "[\"connect\", \"reset\"]",
        "what may be retried",
    ),
    key("upstream.*.retry.budget", Share, "\"10%\"", "requests retried; refusals are free"),
    table("upstream.*.pool", "connections kept to origins"),
    key(
        "upstream.*.pool.idle_per_core",
        count(0),
        "64",
        "idle connections kept per endpoint and core",
    ),
    key(
        "upstream.*.pool.idle",
        TIME,
        "\"55s\"",
        "how long an idle connection is kept; below the origin's own idle time",
    ),
    key("upstream.*.pool.max", count(1), "1024", "connections per endpoint over all cores"),
    key(
        "upstream.*.pool.queue",
        TIME_OR_NONE,
        "\"1s\"",
        "how long a request may wait for a connection; 0s: not at all",
    ),
    // Which request goes where.
    keyed(
        "route",
        "which request goes where: the most specific match wins (host, then path, then the number of other conditions)",
    ),
    table("route.*", "a route"),
    needed(
        "route.*.to",
        Form("UPSTREAM | UPSTREAM@VERSION"),
        "\"shop\"",
        "where requests go; @VERSION pins one version. One of to, redirect and respond",
    ),
    key(
        "route.*.priority",
        Integer { min: -1_000_000, max: 1_000_000 },
        "0",
        "overrides specificity: the higher wins",
    ),
    table(
        "route.*.match",
        "what a request must look like; every condition must hold; empty: any request",
    ),
    free(
        "route.*.match.host",
        OneOrMany(&Form("host pattern")),
        "[\"shop.example.com\", \"*.shop.example.com\"]",
        "any of these; `*.x` is every host below x",
    ),
    free(
        "route.*.match.path",
        Form("path pattern"),
        "\"/beta/*\"",
        "exact, or a prefix by whole segments when it ends in /*",
    ),
    free(
        "route.*.match.path_regex",
        Form("regular expression"),
        "\"/v[0-9]+/.*\"",
        "matches the whole path; excludes path",
    ),
    free("route.*.match.method", OneOrMany(&Form("method")), "[\"GET\", \"POST\"]", "any of these"),
    free(
        "route.*.match.header",
        CONDITIONS,
        "{ x-country = [\"NO\", \"SE\"], x-debug = { present = true } }",
        "conditions on fields",
    ),
    free("route.*.match.query", CONDITIONS, "{ v = \"2\" }", "conditions on query parameters"),
    free(
        "route.*.match.cookie",
        CONDITIONS,
        "{ tier = { regex = \"^gold\" } }",
        "conditions on cookies",
    ),
    free(
        "route.*.match.client",
        NETWORKS,
        "[\"10.0.0.0/8\"]",
        "the client's address is in any of these",
    ),
    later("route.*.match.flag", "a feature flag"),
    rare("route.*.rewrite", "change of the request's target; one of"),
    free(
        "route.*.rewrite.strip_prefix",
        Form("path"),
        "\"/beta\"",
        "take this prefix off the path",
    ),
    free("route.*.rewrite.add_prefix", Form("path"), "\"/v2\"", "put this before the path"),
    free(
        "route.*.rewrite.replace_prefix",
        Form("path"),
        "\"/new\"",
        "put this in the place of the matched prefix",
    ),
    free(
        "route.*.rewrite.path",
        Form("path"),
        "\"/index.html\"",
        "put this in the place of the whole path; the query stays",
    ),
    free(
        "route.*.rewrite.path_regex",
        Form("regular expression"),
        "\"^/item/([0-9]+)\"",
        "replace the first match by `with`",
    ),
    free(
        "route.*.rewrite.with",
        Text,
        "\"/i/$1\"",
        "what path_regex puts in; $1 is the first group",
    ),
    rare("route.*.redirect", "answer with a redirect"),
    free(
        "route.*.redirect.to",
        Text,
        "\"https://shop.example.com{uri}\"",
        "the Location; {uri}, {path}, {query} and {host} are the request's",
    ),
    key(
        "route.*.redirect.status",
        Integer { min: 301, max: 308 },
        "308",
        "the status: 301, 302, 303, 307 or 308",
    ),
    rare("route.*.respond", "answer from here"),
    key("route.*.respond.status", Integer { min: 200, max: 599 }, "200", "the status"),
    key("route.*.respond.body", Text, "\"\"", "the whole body"),
    free("route.*.respond.headers", TEXTS, "{ content-type = \"text/plain\" }", "further fields"),
    rare("route.*.headers", "edits of this route, in the order remove, set, add"),
    rare("route.*.headers.request", "edits of requests"),
    free(
        "route.*.headers.request.set",
        TEXTS,
        "{ x-beta = \"1\" }",
        "fields put in the place of any of the same name",
    ),
    free(
        "route.*.headers.request.add",
        TEXTS,
        "{ x-via = \"gnomon\" }",
        "fields put beside any of the same name",
    ),
    free("route.*.headers.request.remove", NAMES, "[\"x-debug\"]", "fields taken out"),
    rare("route.*.headers.response", "edits of replies"),
    free(
        "route.*.headers.response.set",
        TEXTS,
        "{ x-frame-options = \"DENY\" }",
        "fields put in the place of any of the same name",
    ),
    free(
        "route.*.headers.response.add",
        TEXTS,
        "{ vary = \"x-beta\" }",
        "fields put beside any of the same name",
    ),
    free("route.*.headers.response.remove", NAMES, "[\"server\"]", "fields taken out"),
    rare("route.*.timeouts", "deadlines of this route; left out, those of [timeouts]"),
    free("route.*.timeouts.body", TIME, "\"30s\"", "as timeouts.body"),
    free("route.*.timeouts.connect", TIME, "\"1s\"", "as timeouts.connect"),
    free("route.*.timeouts.response", TIME_OR_NONE, "\"30s\"", "as timeouts.response"),
    free("route.*.timeouts.request", TIME_OR_NONE, "\"10s\"", "as timeouts.request"),
    free("route.*.timeouts.tunnel", TIME, "\"5m\"", "as timeouts.tunnel"),
    rare("route.*.limits", "limits of this route; left out, those of [limits]"),
    free("route.*.limits.body", Size { min: 0, max: u64::MAX }, "\"1MiB\"", "as limits.body"),
    later("route.*.limits.rate", "requests per second"),
    later("route.*.limits.burst", "requests above the rate"),
    later("route.*.limits.by", "who is counted"),
    // Time and size.
    table("timeouts", "deadlines; 0s is none where it is allowed"),
    key("timeouts.header", TIME, "\"10s\"", "to receive a request's head, from its first byte"),
    key(
        "timeouts.body",
        TIME,
        "\"30s\"",
        "between two reads of a body, either way, and for a write to make progress",
    ),
    key("timeouts.idle", TIME, "\"75s\"", "between two requests of a client's connection"),
    key("timeouts.connect", TIME, "\"1s\"", "to connect to an origin"),
    key(
        "timeouts.response",
        TIME_OR_NONE,
        "\"30s\"",
        "from the end of the request's head to the reply's first byte; 0s is none",
    ),
    key("timeouts.request", TIME_OR_NONE, "\"0s\"", "the whole exchange; 0s is none"),
    key("timeouts.tunnel", TIME, "\"5m\"", "between two reads of an upgraded connection"),
    key("timeouts.drain", TIME_OR_NONE, "\"30s\"", "how long connections may finish after a stop"),
    key(
        "timeouts.grace",
        TIME_OR_NONE,
        "\"5s\"",
        "how long a stop stays unready but accepting, so that balancers notice",
    ),
    table("limits", "bounds on what a client or an origin may send"),
    key(
        "limits.connections",
        count(0),
        "0",
        "client connections over all cores; 0: from the file-descriptor limit",
    ),
    key("limits.header_bytes", Size { min: KIB, max: 64 * KIB }, "\"32KiB\"", "a request's head"),
    key(
        "limits.request_line_bytes",
        Size { min: 256, max: 64 * KIB },
        "\"8KiB\"",
        "a request line",
    ),
    key("limits.headers", Integer { min: 1, max: 1024 }, "100", "fields of a request's head"),
    key(
        "limits.response_header_bytes",
        Size { min: KIB, max: 1024 * KIB },
        "\"64KiB\"",
        "a reply's head",
    ),
    key(
        "limits.response_headers",
        Integer { min: 1, max: 1024 },
        "200",
        "fields of a reply's head",
    ),
    key(
        "limits.body",
        Size { min: 0, max: u64::MAX },
        "\"0\"",
        "a request's body; 0: unlimited, since bodies are streamed and cost no memory, and a limit nobody asked for breaks uploads",
    ),
    key(
        "limits.requests_per_connection",
        count(0),
        "0",
        "requests on one client connection before it is closed; 0: unlimited",
    ),
    later("limits.per_client", "connections of one client"),
    later("limits.streams", "streams of one HTTP/2 connection"),
    // Operating it.
    table("admin", "the admin API"),
    restart(key("admin.socket", Text, "\"/run/gnomon/admin.sock\"", "path of its unix socket")),
    restart(key("admin.mode", Form("octal mode"), "\"0660\"", "permission bits of the socket")),
    restart(free(
        "admin.group",
        Text,
        "\"gnomon\"",
        "group of the socket; that of the process unless set",
    )),
    restart(free(
        "admin.listen",
        Form("loopback address"),
        "\"127.0.0.1:9099\"",
        "a loopback address that answers too",
    )),
    key("admin.read_only", Bool, "false", "whether only reading is allowed"),
    later("admin.tls", "TLS of the admin API"),
    later("admin.tokens", "roles by token"),
    later("admin.dashboard", "the dashboard"),
    table("log", "our own log"),
    key(
        "log.level",
        Choice { now: &["error", "warn", "info", "debug", "trace"], later: &[] },
        "\"info\"",
        "the least severe lines that are written",
    ),
    key(
        "log.format",
        Choice { now: &["auto", "text", "json", "logfmt"], later: &[] },
        "\"auto\"",
        "auto is text on a terminal, json otherwise",
    ),
    key("log.to", Form("stdout | stderr | FILE"), "\"stderr\"", "where lines go"),
    switch("access_log", "a line per exchange; left out, there is none"),
    key(
        "access_log.format",
        Choice { now: &["json", "ecs", "logfmt", "common", "combined", "off"], later: &[] },
        "\"json\"",
        "how a line looks",
    ),
    key("access_log.to", Form("stdout | stderr | FILE"), "\"stdout\"", "where lines go"),
    key("access_log.sample", Share, "\"100%\"", "share of exchanges that are written"),
    key(
        "access_log.always",
        OneOrMany(&Choice { now: &["5xx", "slow"], later: &[] }),
        "[\"5xx\", \"slow\"]",
        "written whatever the sample says",
    ),
    key("access_log.slow", TIME_OR_NONE, "\"1s\"", "what slow means"),
    key(
        "access_log.redact_query",
        OneOrMany(&Text),
        "[\"token\", \"password\"]",
        "query parameters whose values are not written",
    ),
    table("state", "what outlives the process"),
    restart(key("state.dir", Text, "\"/var/lib/gnomon\"", "folder of the state")),
    table("runtime", "threads and rings"),
    restart(key(
        "runtime.cores",
        IntegerOr("auto | physical | LIST"),
        "\"auto\"",
        "a number of cores, or a list of them such as \"0-7,16-23\"",
    )),
    restart(key("runtime.pin", Bool, "true", "whether each worker stays on its core")),
    restart(key(
        "runtime.entries",
        Integer { min: 8, max: 32_768 },
        "1024",
        "io_uring submission queue of each core, a power of two",
    )),
    restart(key(
        "runtime.driver",
        Choice { now: &["auto", "io_uring", "epoll"], later: &[] },
        "\"auto\"",
        "auto is io_uring where the kernel allows it, else epoll",
    )),
    later("runtime.numa", "memory placement"),
    later("runtime.user", "the user to become"),
    // What is to come.
    later("flags", "a source of feature flags"),
    later("flag", "feature flags"),
    later("shadow", "shadow traffic"),
    later("rollout", "automated rollouts"),
    later("metrics", "metrics"),
    later("trace", "tracing"),
    later("fleet", "several hosts that agree"),
];
