//! Flags over the admin API.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::{Path, Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
    routing::{get, post},
};

use super::{By_, Control_, answer, done, parse, refuse};
use crate::control::{
    Control,
    api::{
        Kind, Refused,
        flag::{ChangeAsked, HistoryAsked, WhyAsked},
    },
    flags::Verb,
};

pub(super) fn router() -> Router<Arc<Control>> {
    Router::new()
        .route("/v1/flags", get(all))
        // One may be called so.
        .route("/v1/flags/why", get(one_called_why).post(why))
        .route("/v1/flags/{name}", get(one))
        .route("/v1/flags/{name}/{verb}", post(order))
        .route("/v1/flag-history", get(history))
}

async fn all(State(control): Control_) -> Response {
    Json(control.all_flags()).into_response()
}

async fn one(State(control): Control_, Path(name): Path<String>) -> Response {
    answer(control.one_flag(&name))
}

async fn one_called_why(State(control): Control_) -> Response {
    answer(control.one_flag("why"))
}

type History_ = Result<Query<HistoryAsked>, QueryRejection>;

async fn history(State(control): Control_, asked: History_) -> Response {
    match asked {
        Ok(Query(asked)) => answer(control.flag_history(&asked).await),
        Err(error) => {
            let refused = Refused::new(Kind::Request, error.body_text());
            refuse(&refused.help("say, for instance, ?flag=new-cart&offset=50&limit=50"))
        }
    }
}

async fn why(State(control): Control_, body: Bytes) -> Response {
    match parse::<WhyAsked>(&body, "{\"url\": \"/cart\", \"headers\": [[\"x-user\", \"ann\"]]}") {
        Ok(asked) => answer(control.why_flags(asked)),
        Err(refused) => refuse(&refused),
    }
}

async fn order(
    State(control): Control_,
    Extension(by): By_,
    Path((name, verb)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    // Who and why may be left out by some, and so may all of it.
    let asked = if body.is_empty() {
        Ok(ChangeAsked::default())
    } else {
        parse(&body, "{\"percent\": 20, \"reason\": \"release 42\"}")
    };
    let verb = asked.and_then(|asked| Ok((verb_of(&verb, &asked)?, asked)));
    let (verb, asked) = match verb {
        Ok(understood) => understood,
        Err(refused) => return refuse(&refused),
    };
    let by = &*by.name;
    let result = control.order_flag(&name, &verb, &asked, by).await;
    let (what, reason) = (verb.name(), &asked.reason);
    match &result {
        Ok(done) => {
            let changes = done.changes.join("; ");
            tracing::info!(target: "gnomon::audit", by, flag = name, what, reason, changes, "flag");
        }
        Err(error) => {
            let error = &error.error;
            tracing::info!(target: "gnomon::audit", by, flag = name, what, reason, error, "flag kept");
        }
    }
    done(result, Some(&name), reason)
}

fn verb_of(verb: &str, asked: &ChangeAsked) -> Result<Verb, Refused> {
    let ChangeAsked { enabled, default, percent, .. } = asked;
    let is_bare = enabled.is_none() && default.is_none() && percent.is_none();
    let refused = |error: String| Refused::new(Kind::Request, error);
    match verb {
        "set" if is_bare => {
            Err(refused("what is to be set?".to_owned()).help("`enabled`, `default` or `percent`"))
        }
        "set" => Ok(Verb::Set(asked.clone())),
        "kill" | "revive" | "reset" if !is_bare => {
            Err(refused(format!("`{verb}` takes `reason` and `by` alone")))
        }
        "kill" => Ok(Verb::Kill),
        "revive" => Ok(Verb::Revive),
        "reset" => Ok(Verb::Reset),
        verb => {
            let refused = Refused::new(Kind::Unknown, format!("a flag knows no `{verb}`"));
            Err(refused.help("set, kill, revive or reset"))
        }
    }
}
