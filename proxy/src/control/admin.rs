//! The admin API: routes to handlers, over a unix socket and, if asked for, over loopback TCP.
//!
//! Reading is by GET, acting by POST, and nothing acts on a GET. Who may open the socket may do
//! everything. Over TCP a web page in somebody's browser is the danger: the Host field has to name
//! this machine (against DNS rebinding), and a POST has to carry a field that no page can add
//! without asking first, which is never granted.

mod caller;
mod flag;
mod guard;
mod openapi;
mod refusals;
mod rights;
mod rollout;
mod series;
mod site;
mod tcp;

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Query, RawQuery, Request, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use gnomon_shadow::ledger::Command;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Control,
    api::{Check, Done, ForgetAsked, Kind, MarkAsked, Named, PageAsked, Refused},
    console, kpis,
    metrics::Pairs,
    ofrep, record,
    splits::Verb,
    stop::Stop,
};

pub(super) use caller::Caller;
pub(crate) use caller::Peer;
use guard::Told;
pub(super) use refusals::Refusals;
pub(super) use site::is_loopback_host;
pub(super) use tcp::accept;

/// All routes; each has its row in [`rights::RIGHTS`].
pub(crate) fn router(control: Arc<Control>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/healthz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/v1/whoami", get(guard::whoami))
        .route("/v1/openapi.json", get(openapi::serve))
        .route("/v1/status", get(status))
        .route("/v1/golden", get(golden))
        .route("/v1/flags/{name}/compare", get(compare_flag))
        .route("/v1/saturation", get(saturation))
        .route("/v1/config", get(config))
        .route("/v1/diff", get(diff))
        .route("/v1/routes", get(routes))
        .route("/v1/shadows", get(shadows))
        .route("/v1/shadows/{name}", get(shadow))
        .route("/v1/shadows/{name}/findings", get(findings))
        .route("/v1/shadows/{name}/endpoints", get(endpoints))
        .route("/v1/shadows/{name}/noise", get(noise))
        .route("/v1/shadows/{name}/mark", post(mark))
        .route("/v1/shadows/{name}/forget", post(forget))
        .route("/v1/findings/{id}", get(finding))
        .route("/v1/examples/{id}", get(example))
        .route(
            KPI_PATH,
            get(kpi_list).post(report).layer(DefaultBodyLimit::max(kpis::BODY_BYTES_MAX)),
        )
        .route("/v1/tap", get(tap))
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
        .merge(console::router())
        .merge(flag::router())
        .merge(rollout::router())
        .merge(series::router())
        .merge(ofrep::router(control.ofrep.clone()))
        .fallback(nowhere)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(control.clone(), guard::guard))
        .with_state(control)
}

pub(super) type Control_ = State<Arc<Control>>;
/// Who asks: of every route that has a role.
type By_ = Extension<Caller>;
type Page_ = Result<Query<PageAsked>, QueryRejection>;

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

/// Exchanges as they end, a line of JSON for each.
async fn tap(State(control): Control_, asked: Pairs) -> Response {
    let pairs = match asked {
        Ok(Query(pairs)) => pairs,
        Err(error) => return refuse(&Refused::new(Kind::Request, error.body_text())),
    };
    match control.view(&pairs).await {
        Ok(lines) => {
            let fields = [
                (header::CONTENT_TYPE, "application/x-ndjson"),
                (header::CACHE_CONTROL, "no-store"),
            ];
            (fields, lines).into_response()
        }
        Err(refused) => refuse(&refused),
    }
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

async fn routes(State(control): Control_, asked: Page_) -> Response {
    answer(part(asked).map(|asked| control.route_entries(&asked)))
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

async fn endpoints(State(control): Control_, Path(name): Path<String>, asked: Page_) -> Response {
    answer(part(asked).and_then(|asked| control.shadow_endpoints(&name, &asked)))
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
    Extension(by): By_,
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
        Some(kind) => {
            Command::Mark { pattern, kind, by: by.to_string().into(), why: why.as_str().into() }
        }
        None => Command::Unmark { pattern },
    };
    done(control.order(&name, command).await, Some(&name), &why)
}

async fn forget(State(control): Control_, Path(name): Path<String>, body: Bytes) -> Response {
    match parse(&body, "{\"path\": \"$.price\"}") {
        Ok(ForgetAsked { path }) => {
            let path = path.map(String::into_boxed_str);
            done(control.order(&name, Command::Forget { path }).await, Some(&name), "")
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

async fn reload(State(control): Control_, by: By_) -> Response {
    done(control.reload_by(&by.name).await, None, "")
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
    done(Ok(Done { ok: true, changes, generation, ..Done::default() }), None, "")
}

async fn upgrade(State(control): Control_, Extension(by): By_) -> Response {
    done(control.upgrade(&by.name).await, None, "")
}

async fn reopen(State(control): Control_) -> Response {
    done(control.reopen_logs(), None, "")
}

async fn weight(
    State(control): Control_,
    Extension(by): By_,
    Path(name): Path<String>,
    body: Bytes,
) -> Response {
    match parse(&body, "{\"v2\": 10}") {
        Ok(weights) => act(&control, &by, &name, &Verb::Weight(weights)).await,
        Err(refused) => refuse(&refused),
    }
}

async fn drain(
    State(control): Control_,
    Extension(by): By_,
    Path(name): Path<String>,
    body: Bytes,
) -> Response {
    match parse(&body, "{\"version\": \"v2\"}") {
        Ok(Named { version }) => act(&control, &by, &name, &Verb::Drain(version)).await,
        Err(refused) => refuse(&refused),
    }
}

async fn freeze(s: Control_, Extension(by): By_, Path(name): Path<String>) -> Response {
    act(&s.0, &by, &name, &Verb::Freeze).await
}

async fn resume(s: Control_, Extension(by): By_, Path(name): Path<String>) -> Response {
    act(&s.0, &by, &name, &Verb::Resume).await
}

async fn rollback(s: Control_, Extension(by): By_, Path(name): Path<String>) -> Response {
    act(&s.0, &by, &name, &Verb::Rollback).await
}

async fn act(control: &Arc<Control>, by: &Caller, name: &str, verb: &Verb) -> Response {
    let result = control.act(name, verb, &by.name).await;
    match &result {
        Ok(done) => {
            let changes = done.changes.join("; ");
            tracing::info!(target: "gnomon::audit", %by, upstream = name, changes, "split changed");
        }
        Err(error) => {
            let error = &error.error;
            tracing::info!(target: "gnomon::audit", %by, upstream = name, error, "split kept");
        }
    }
    done(result, Some(name), "")
}

async fn nowhere(request: Request) -> Response {
    let error = format!("there is no {}", request.uri().path());
    refuse(&Refused::new(Kind::Unknown, error).help("begin with /v1/status"))
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
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(refused)).into_response();
    let told = Told { detail: Some(refused.error.clone()), ..Told::default() };
    response.extensions_mut().insert(told);
    response
}

/// The answer to an action, with what is told of it: what it is about, and why it was asked for.
pub(super) fn done(result: Result<Done, Refused>, subject: Option<&str>, reason: &str) -> Response {
    let changes = result.as_ref().ok().map(|done| done.changes.join("; "));
    let mut response = answer(result);
    let told: &mut Told = response.extensions_mut().get_or_insert_default();
    told.subject = subject.map(str::to_owned);
    told.reason = Some(reason.to_owned());
    told.detail = changes.filter(|changes| !changes.is_empty()).or_else(|| told.detail.take());
    response
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

const KPI_PATH: &str = "/v1/kpi";

/// More than any weights need.
const BODY_BYTES_MAX: usize = 64 << 10;
