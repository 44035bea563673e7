//! What each route says and is told: the types are those of `control/api` and of the shadows.

/// Method, path, what it does, parameters of its query, what it is told, and what it says: a type, or
/// a media type.
pub(super) type Operation =
    (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

const PAGE: &str = "offset limit all";
const TEXT: &str = "text/plain";

const fn get(path: &'static str, what: &'static str, says: &'static str) -> Operation {
    ("GET", path, what, "", "", says)
}

const fn part(path: &'static str, what: &'static str, says: &'static str) -> Operation {
    ("GET", path, what, PAGE, "", says)
}

const fn act(path: &'static str, what: &'static str, told: &'static str) -> Operation {
    ("POST", path, what, "", told, "Done")
}

/// In any order.
pub(super) const OPERATIONS: &[Operation] = &[
    get("/", "the console", "text/html"),
    get("/console/{*path}", "a file of the console", "application/octet-stream"),
    ("GET", "/livez", "whether the cores move", "verbose", "", TEXT),
    ("GET", "/readyz", "whether clients may be sent here", "verbose", "", TEXT),
    ("GET", "/healthz", "the same under its old name", "verbose", "", TEXT),
    get("/metrics", "everything for Prometheus", TEXT),
    get("/v1/whoami", "who asks, and what they may do", "Whoami"),
    get("/v1/openapi.json", "this", "Value"),
    get("/v1/status", "everything in one answer", "Status"),
    get("/v1/golden", "the last minute, versions side by side, by route", "Vec<Golden>"),
    get("/v1/saturation", "how full everything is", "Saturation"),
    ("GET", "/v1/history", "the last hour", "versions since", "", "History"),
    get("/v1/events", "what happens, from now on: beat each second, entry", "text/event-stream"),
    part("/v1/journal", "what has happened lately, newest first", "Page<Entry>"),
    (
        "GET",
        "/v1/route",
        "what this request would meet",
        "method url client header",
        "",
        "Routed<Value>",
    ),
    part("/v1/routes", "the routes, in the order of the configuration", "Page<RouteEntry>"),
    get("/v1/tap", "exchanges as they end", "application/x-ndjson"),
    get("/v1/config", "the configuration in force, secrets redacted", TEXT),
    get("/v1/diff", "what a reload would change", "Diff"),
    get("/v1/shadows", "the shadows", "Vec<Shadow>"),
    get("/v1/shadows/{name}", "what a shadow has found, endpoint by endpoint", "ShadowReport"),
    part("/v1/shadows/{name}/endpoints", "its endpoints", "Page<EndpointReport>"),
    part("/v1/shadows/{name}/findings", "its findings, the gravest first", "Page<Finding>"),
    part("/v1/shadows/{name}/noise", "what it takes for noise", "NoisePage"),
    act("/v1/shadows/{name}/mark", "mark paths as noise, or as none", "MarkAsked"),
    act("/v1/shadows/{name}/forget", "forget what was learnt", "ForgetAsked"),
    get("/v1/findings/{id}", "a finding with its newest example", "FindingDetail"),
    get("/v1/examples/{id}", "a pair of replies, redacted", "Value"),
    get("/v1/kpi", "the KPIs", "Vec<KpiStatus>"),
    ("POST", "/v1/kpi", "tell outcomes that are known late", "", "Value", "KpiAnswer"),
    get("/v1/flags", "all flags", "Flags"),
    get("/v1/flags/why", "a flag of this name", "Flag"),
    (
        "POST",
        "/v1/flags/why",
        "what a request's flags come to, and why",
        "",
        "WhyAsked",
        "flag::Why",
    ),
    get("/v1/flags/{name}", "a flag", "Flag"),
    get("/v1/flags/{name}/compare", "how its variants do", "FlagCompare"),
    act("/v1/flags/{name}/{verb}", "set, kill, revive or reset", "ChangeAsked"),
    (
        "GET",
        "/v1/flag-history",
        "who changed which flag",
        "flag offset limit",
        "",
        "Page<flag::Record>",
    ),
    get("/v1/rollouts", "all rollouts", "Rollouts"),
    get("/v1/rollouts/{name}", "a rollout", "Rollout"),
    part("/v1/rollouts/{name}/history", "what became of it", "Page<rollout::Record>"),
    get("/v1/rollouts/{name}/why", "why it is where it is", "rollout::Why"),
    get("/v1/rollouts/{name}/plan", "how long it will take", "Forecast"),
    (
        "POST",
        "/v1/rollouts/{name}/rejudge",
        "judge its past by other gates",
        "",
        "RejudgeAsked",
        "Rejudged",
    ),
    act(
        "/v1/rollouts/{name}/{verb}",
        "start, pause, resume, approve, promote, abort or freeze",
        "OrderAsked",
    ),
    act("/v1/stop-the-line", "raise no weight anywhere, or again", "LineAsked"),
    act("/v1/upstreams/{name}/weight", "set shares in percent", "Weights"),
    act("/v1/upstreams/{name}/drain", "give a version no new users", "Named"),
    act("/v1/upstreams/{name}/freeze", "keep the split as it is", ""),
    act("/v1/upstreams/{name}/resume", "end a freeze and every drain", ""),
    act("/v1/upstreams/{name}/rollback", "send everybody to stable, at once", ""),
    act("/v1/reload", "take the configuration over anew", ""),
    ("POST", "/v1/record", "record exchanges", "", "api::Record", "application/x-ndjson"),
    act("/v1/record/stop", "end the recording", ""),
    act("/v1/logs/reopen", "open log files anew", ""),
    act("/v1/stop", "stop, gracefully; said twice, at once", ""),
    act("/v1/upgrade", "hand over to a new process", ""),
    ("POST", "/ofrep/v1/evaluate/flags", "all flags for a user, by OFREP", "", "Value", "Value"),
    (
        "POST",
        "/ofrep/v1/evaluate/flags/{*key}",
        "a flag for a user, by OFREP",
        "",
        "Value",
        "Value",
    ),
    get("/ofrep/v1/events", "changes of flags, by OFREP", "text/event-stream"),
];
