//! Rollouts over the admin API.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use gnomon_policy::rollout::Verb;

use super::{By_, Control_, Page_, answer, done, parse, part, refuse};
use crate::control::{
    Control,
    api::{
        Kind, Refused,
        rollout::{LineAsked, OrderAsked, RejudgeAsked},
    },
};

pub(super) fn router() -> Router<Arc<Control>> {
    Router::new()
        .route("/v1/rollouts", get(all))
        .route("/v1/rollouts/{name}", get(one))
        .route("/v1/rollouts/{name}/history", get(history))
        .route("/v1/rollouts/{name}/why", get(why))
        .route("/v1/rollouts/{name}/plan", get(plan))
        .route("/v1/rollouts/{name}/rejudge", post(rejudge))
        .route("/v1/rollouts/{name}/{verb}", post(order))
        .route("/v1/stop-the-line", post(line))
}

async fn all(State(control): Control_) -> Response {
    Json(control.all_rollouts()).into_response()
}

async fn one(State(control): Control_, Path(name): Path<String>) -> Response {
    answer(control.rollout(&name))
}

async fn history(State(control): Control_, Path(name): Path<String>, asked: Page_) -> Response {
    match part(asked) {
        Ok(asked) => answer(control.rollout_history(&name, &asked).await),
        Err(refused) => refuse(&refused),
    }
}

async fn why(State(control): Control_, Path(name): Path<String>) -> Response {
    answer(control.rollout_why(&name).await)
}

async fn plan(State(control): Control_, Path(name): Path<String>) -> Response {
    answer(control.rollout_plan(&name))
}

async fn rejudge(State(control): Control_, Path(name): Path<String>, body: Bytes) -> Response {
    match parse::<RejudgeAsked>(&body, "{\"gate\": {\"error_rate.worse_by\": \"50%\"}}") {
        Ok(asked) => answer(control.rejudge(&name, asked).await),
        Err(refused) => refuse(&refused),
    }
}

async fn order(
    State(control): Control_,
    Extension(by): By_,
    Path((name, verb)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    // Who and why may be left out, and so may all of it.
    let asked = if body.is_empty() {
        Ok(OrderAsked::default())
    } else {
        parse(&body, "{\"reason\": \"checked by hand\"}")
    };
    let asked = match asked {
        Ok(asked) => asked,
        Err(refused) => return refuse(&refused),
    };
    let verb = match &*verb {
        "start" => Verb::Start,
        "pause" => Verb::Pause,
        "resume" => Verb::Resume,
        "approve" => Verb::Approve,
        "promote" if asked.full => Verb::PromoteFull,
        "promote" => Verb::Promote(asked.step),
        "abort" => Verb::Abort,
        "freeze" => Verb::Freeze,
        verb => {
            let error = format!("a rollout knows no `{verb}`");
            let help = "start, pause, resume, approve, promote, abort or freeze";
            return refuse(&Refused::new(Kind::Unknown, error).help(help));
        }
    };
    let by = &*by.name;
    let result = control.order_rollout(&name, verb, &asked, by).await;
    let (what, reason) = (verb.name(), &asked.reason);
    match &result {
        Ok(done) => {
            let changes = done.changes.join("; ");
            tracing::info!(target: "gnomon::audit", by, rollout = name, what, reason, changes, "rollout");
        }
        Err(error) => {
            let error = &error.error;
            tracing::info!(target: "gnomon::audit", by, rollout = name, what, reason, error, "rollout kept");
        }
    }
    done(result, Some(&name), reason)
}

async fn line(State(control): Control_, Extension(by): By_, body: Bytes) -> Response {
    match parse::<LineAsked>(&body, "{\"on\": true, \"reason\": \"peak\"}") {
        Ok(asked) => done(control.stop_line(&asked, &by.name).await, None, &asked.reason),
        Err(refused) => refuse(&refused),
    }
}
