//! The admin API: routes to handlers, over a unix socket and, if asked for, over loopback TCP.
//!
//! Reading is by GET, acting by POST, and nothing acts on a GET. Who may open the socket may do
//! everything. Over TCP a web page in somebody's browser is the danger: the Host field has to name
//! this machine (against DNS rebinding), and a POST has to carry a field that no page can add
//! without asking first, which is never granted.

mod flag;
mod rollout;

use std::{fmt, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        ConnectInfo, DefaultBodyLimit, Path, Query, RawQuery, Request, State,
        rejection::QueryRejection,
    },
    http::{HeaderMap, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use gnomon_shadow::ledger::Command;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Control,
    api::{ACTION_FIELD, Check, Done, ForgetAsked, Kind, MarkAsked, Named, PageAsked, Refused},
    kpis,
    metrics::Pairs,
    ofrep, record,
    splits::Verb,
    stop::Stop,
};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    /// Over the socket, as this user.
    User(u32),
    /// Over the socket; the kernel did not say as whom.
    Unknown,
    /// Over TCP, from this machine.
    Loopback(std::net::SocketAddr),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(uid) => write!(f, "uid {uid}"),
            Self::Unknown => f.write_str("socket"),
            Self::Loopback(address) => address.fmt(f),
        }
    }
}

/// All routes. Those over TCP are guarded against web pages.
pub(crate) fn router(control: Arc<Control>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/healthz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/v1/status", get(status))
        .route("/v1/golden", get(golden))
        .route("/v1/flags/{name}/compare", get(compare_flag))
        .route("/v1/saturation", get(saturation))
        .route("/v1/config", get(config))
        .route("/v1/diff", get(diff))
        .route("/v1/shadows", get(shadows))
        .route("/v1/shadows/{name}", get(shadow))
        .route("/v1/shadows/{name}/findings", get(findings))
        .route("/v1/shadows/{name}/noise", get(noise))
        .route("/v1/shadows/{name}/mark", post(mark))
        .route("/v1/shadows/{name}/forget", post(forget))
        .route("/v1/findings/{id}", get(finding))
        .route("/v1/examples/{id}", get(example))
        .route(
            KPI_PATH,
            get(kpi_list).post(report).layer(DefaultBodyLimit::max(kpis::BODY_BYTES_MAX)),
        )
        .route("/v1/reload", post(reload))
        .route("/v1/record", post(record::begin))
        .route("/v1/record/stop", post(record::stop))
        .route("/v1/stop", post(stop))
        .route("/v1/logs/reopen", post(reopen))
        .route("/v1/upgrade", post(upgrade))
        .route("/v1/upstreams/{name}/weight", post(weight))
        .route("/v1/upstreams/{name}/drain", post(drain))
        .route("/v1/upstreams/{name}/freeze", post(freeze))
        .route("/v1/upstreams/{name}/resume", post(resume))
        .route("/v1/upstreams/{name}/rollback", post(rollback))
        .merge(flag::router())
        .merge(rollout::router())
        .merge(ofrep::router(control.ofrep.clone()))
        .fallback(nowhere)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(control.clone(), guard))
        .with_state(control)
}

pub(super) type Control_ = State<Arc<Control>>;
type Peer_ = ConnectInfo<Peer>;
type Page_ = Result<Query<PageAsked>, QueryRejection>;

/// Refuses what a web page may have sent, and every action where only reading is allowed.
async fn guard(
    State(control): Control_,
    ConnectInfo(peer): Peer_,
    request: Request,
    next: Next,
) -> Response {
    let reads = request.method() == Method::GET || request.method() == Method::HEAD;
    // Applications ask for flags by POST; no page can send what they send without asking first.
    let acts = !reads && !ofrep::is_ours(request.uri().path());
    if matches!(peer, Peer::Loopback(_)) {
        if !is_loopback_host(request.headers()) {
            return refuse(
                &Refused::new(Kind::Forbidden, "the Host field is not a loopback name")
                    .help("say localhost, 127.0.0.1 or [::1]"),
            );
        }
        if acts && request.headers().get(ACTION_FIELD).is_none_or(|value| value != "1") {
            let error = format!("an action over TCP needs the field `{ACTION_FIELD}: 1`");
            return refuse(&Refused::new(Kind::Forbidden, error));
        }
    }
    if acts && control.state().config.admin.read_only {
        return refuse(
            &Refused::new(Kind::Forbidden, "only reading is allowed")
                .help("set `admin.read_only = false` and send SIGHUP"),
        );
    }
    if acts && let Some(refused) = control.succession.in_the_way() {
        return refuse(&refused);
    }
    // Reports of outcomes come with the traffic, and change nothing but counts.
    let is_told = acts && request.uri().path() != KPI_PATH;
    let what = is_told.then(|| format!("{} {}", request.method(), request.uri().path()));
    let response = next.run(request).await;
    if let Some(what) = what {
        let status = response.status().as_u16();
        tracing::info!(target: "gnomon::audit", by = %peer, what, status, "action");
    }
    response
}

async fn livez(State(control): Control_, RawQuery(query): RawQuery) -> Response {
    checks(&control.liveness(), query.as_deref())
}

async fn readyz(State(control): Control_, RawQuery(query): RawQuery) -> Response {
    checks(&control.readiness(), query.as_deref())
}

async fn status(State(control): Control_) -> Response {
    Json(control.status()).into_response()
}

async fn golden(State(control): Control_) -> Response {
    Json(control.golden()).into_response()
}

async fn compare_flag(State(control): Control_, Path(name): Path<String>) -> Response {
    answer(control.compare_flag(&name))
}

async fn metrics(State(control): Control_, asked: Pairs, headers: HeaderMap) -> Response {
    control.scrape(asked, &headers)
}

async fn saturation(State(control): Control_) -> Response {
    Json(&*control.saturation()).into_response()
}

async fn config(State(control): Control_) -> Response {
    control.effective().into_response()
}

async fn diff(State(control): Control_) -> Response {
    answer(control.diff().await)
}

async fn shadows(State(control): Control_) -> Response {
    Json(control.shadows()).into_response()
}

async fn shadow(State(control): Control_, Path(name): Path<String>) -> Response {
    answer(control.shadow_report(&name))
}

async fn findings(State(control): Control_, Path(name): Path<String>, asked: Page_) -> Response {
    answer(part(asked).and_then(|asked| control.findings(&name, &asked)))
}

async fn noise(State(control): Control_, Path(name): Path<String>, asked: Page_) -> Response {
    answer(part(asked).and_then(|asked| control.noise(&name, &asked)))
}

/// Which part of a list is wanted, if that can be understood.
pub(super) fn part(asked: Page_) -> Result<PageAsked, Refused> {
    let refused = |error: QueryRejection| {
        Refused::new(Kind::Request, error.body_text())
            .help("say, for instance, ?offset=50&limit=50&all=true")
    };
    asked.map(|Query(asked)| asked).map_err(refused)
}

async fn finding(State(control): Control_, Path(id): Path<String>) -> Response {
    answer(control.finding(&id))
}

/// A repro bundle, as it is kept.
async fn example(State(control): Control_, Path(id): Path<String>) -> Response {
    match control.example(&id) {
        Ok(example) => {
            ([(header::CONTENT_TYPE, "application/json")], example.json.to_string()).into_response()
        }
        Err(refused) => refuse(&refused),
    }
}

async fn mark(
    State(control): Control_,
    ConnectInfo(peer): Peer_,
    Path(name): Path<String>,
    body: Bytes,
) -> Response {
    let asked = parse(&body, "{\"pattern\": \"$..served_at\", \"kind\": \"noise\"}");
    let MarkAsked { pattern, kind, why } = match asked {
        Ok(asked) => asked,
        Err(refused) => return refuse(&refused),
    };
    let pattern = pattern.into_boxed_str();
    let command = match kind {
        Some(kind) => Command::Mark { pattern, kind, by: peer.to_string().into(), why: why.into() },
        None => Command::Unmark { pattern },
    };
    answer(control.order(&name, command).await)
}

async fn forget(State(control): Control_, Path(name): Path<String>, body: Bytes) -> Response {
    match parse(&body, "{\"path\": \"$.price\"}") {
        Ok(ForgetAsked { path }) => {
            let path = path.map(String::into_boxed_str);
            answer(control.order(&name, Command::Forget { path }).await)
        }
        Err(refused) => refuse(&refused),
    }
}

async fn kpi_list(State(control): Control_) -> Response {
    Json(control.kpis()).into_response()
}

async fn report(State(control): Control_, body: Bytes) -> Response {
    answer(kpis::parse(&body).and_then(|asked| control.report(&asked)))
}

async fn reload(State(control): Control_) -> Response {
    answer(control.reload().await)
}

async fn stop(State(control): Control_) -> Response {
    let change = if control.is_stopping() {
        control.ask_stop(Stop::Now);
        "stopping now"
    } else {
        control.ask_stop(Stop::Graceful);
        "stopping, gracefully"
    };
    let generation = control.state().generation;
    let changes = vec![change.to_owned()];
    answer(Ok(Done { ok: true, changes, generation, ..Done::default() }))
}

async fn upgrade(State(control): Control_, ConnectInfo(peer): Peer_) -> Response {
    answer(control.upgrade(&peer.to_string()).await)
}

async fn reopen(State(control): Control_) -> Response {
    answer(control.reopen_logs())
}

async fn weight(
    State(control): Control_,
    ConnectInfo(peer): Peer_,
    Path(name): Path<String>,
    body: Bytes,
) -> Response {
    match parse(&body, "{\"v2\": 10}") {
        Ok(weights) => act(&control, peer, &name, &Verb::Weight(weights)).await,
        Err(refused) => refuse(&refused),
    }
}

async fn drain(
    State(control): Control_,
    ConnectInfo(peer): Peer_,
    Path(name): Path<String>,
    body: Bytes,
) -> Response {
    match parse(&body, "{\"version\": \"v2\"}") {
        Ok(Named { version }) => act(&control, peer, &name, &Verb::Drain(version)).await,
        Err(refused) => refuse(&refused),
    }
}

async fn freeze(s: Control_, ConnectInfo(peer): Peer_, Path(name): Path<String>) -> Response {
    act(&s.0, peer, &name, &Verb::Freeze).await
}

async fn resume(s: Control_, ConnectInfo(peer): Peer_, Path(name): Path<String>) -> Response {
    act(&s.0, peer, &name, &Verb::Resume).await
}

async fn rollback(s: Control_, ConnectInfo(peer): Peer_, Path(name): Path<String>) -> Response {
    act(&s.0, peer, &name, &Verb::Rollback).await
}

async fn act(control: &Arc<Control>, peer: Peer, name: &str, verb: &Verb) -> Response {
    let result = control.act(name, verb, &peer.to_string()).await;
    match &result {
        Ok(done) => {
            let changes = done.changes.join("; ");
            tracing::info!(target: "gnomon::audit", by = %peer, upstream = name, changes, "split changed");
        }
        Err(error) => {
            let error = &error.error;
            tracing::info!(target: "gnomon::audit", by = %peer, upstream = name, error, "split kept");
        }
    }
    answer(result)
}

async fn nowhere(request: Request) -> Response {
    let error = format!("there is no {}", request.uri().path());
    refuse(&Refused::new(Kind::Unknown, error).help("begin with /v1/status"))
}

async fn wrong_method(request: Request) -> Response {
    let error = format!("{} is not for {}", request.uri().path(), request.method());
    let refused = Refused::new(Kind::Request, error).help("reading is by GET, acting by POST");
    (StatusCode::METHOD_NOT_ALLOWED, Json(refused)).into_response()
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8], example: &str) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| {
        Refused::new(Kind::Request, format!("the body is not understood: {error}"))
            .help(format!("say, for instance, {example}"))
    })
}

pub(super) fn answer<T: Serialize>(result: Result<T, Refused>) -> Response {
    match result {
        Ok(done) => Json(done).into_response(),
        Err(refused) => refuse(&refused),
    }
}

pub(super) fn refuse(refused: &Refused) -> Response {
    let status = StatusCode::from_u16(refused.kind.status());
    (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Json(refused)).into_response()
}

/// Plain words as Kubernetes writes them: `ok`, or each check on its line.
fn checks(checks: &[Check], query: Option<&str>) -> Response {
    let ok = checks.iter().all(|check| check.ok);
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let verbose = query.is_some_and(|query| query.split('&').any(|key| key.starts_with("verbose")));
    if ok && !verbose {
        return "ok\n".into_response();
    }
    let line = |check: &Check| {
        let mark = if check.ok { '+' } else { '-' };
        format!("[{mark}] {}: {}\n", check.name, check.detail)
    };
    (status, checks.iter().map(line).collect::<String>()).into_response()
}

pub(super) fn is_loopback_host(headers: &HeaderMap) -> bool {
    let Some(Ok(host)) = headers.get(header::HOST).map(|host| host.to_str()) else { return false };
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split_once(']').map_or(v6, |(name, _)| name),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

const KPI_PATH: &str = "/v1/kpi";

/// More than any weights need.
const BODY_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_pass() {
        let table = [
            ("localhost", true),
            ("LOCALHOST:9000", true),
            ("127.0.0.1:1", true),
            ("127.8.8.8", true),
            ("[::1]:80", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("10.0.0.1", false),
            ("", false),
        ];
        for (host, expected) in table {
            let headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            assert_eq!(is_loopback_host(&headers), expected, "{host}");
        }
        assert!(!is_loopback_host(&HeaderMap::new()));
    }
}
