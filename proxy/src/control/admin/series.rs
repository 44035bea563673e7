//! What consoles draw: the last hour, and what happens now.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::{Control, Control_, Page_, answer, part, refuse};
use crate::{
    control::{
        api::{Kind, Refused},
        metrics::Pairs,
        series::HistoryAsked,
    },
    told::Asked,
};

pub(super) fn router() -> Router<Arc<Control>> {
    Router::new()
        .route("/v1/history", get(history))
        .route("/v1/events", get(events))
        .route("/v1/journal", get(journal))
        .route("/v1/route", get(route))
}

async fn history(
    State(control): Control_,
    asked: Result<Query<HistoryAsked>, QueryRejection>,
) -> Response {
    let Query(asked) = match asked {
        Ok(asked) => asked,
        Err(error) => {
            let refused = Refused::new(Kind::Request, error.body_text());
            return refuse(&refused.help("say, for instance, ?versions=shop@v1,shop@v2&since=0"));
        }
    };
    match control.history(asked).await {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(refused) => refuse(&refused),
    }
}

async fn events(State(control): Control_, headers: HeaderMap) -> Response {
    // As browsers say it when they come again.
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    control.events(seen).unwrap_or_else(|refused| refuse(&refused))
}

async fn journal(State(control): Control_, asked: Page_) -> Response {
    answer(part(asked).map(|asked| {
        let limit = asked.limit.clamp(1, ENTRIES_MAX);
        control.journal.list(asked.offset, limit)
    }))
}

async fn route(State(control): Control_, pairs: Pairs) -> Response {
    answer(thought_of(pairs).and_then(|asked| control.route(&asked)))
}

/// The request that somebody thinks of.
fn thought_of(pairs: Pairs) -> Result<Asked, Refused> {
    let wrong = |error: String| {
        Refused::new(Kind::Request, error)
            .help("say, for instance, ?method=GET&url=http://shop/cart&client=10.0.0.1&header=cookie:%20uid=7")
    };
    let Query(pairs) = pairs.map_err(|error| wrong(error.body_text()))?;
    let mut asked = Asked {
        method: "GET".to_owned(),
        url: String::new(),
        headers: Vec::new(),
        client: std::net::Ipv4Addr::LOCALHOST.into(),
    };
    for (name, value) in pairs {
        match name.as_str() {
            "method" => asked.method = value,
            "url" => asked.url = value,
            "client" => {
                let client = value.parse();
                asked.client = client.map_err(|_| wrong(format!("`{value}` is no address")))?;
            }
            "header" => asked.headers.push(value),
            other => return Err(wrong(format!("`{other}` is not known here"))),
        }
    }
    if asked.url.is_empty() {
        return Err(wrong("`url` is missing".to_owned()));
    }
    Ok(asked)
}

/// Entries in one answer.
const ENTRIES_MAX: usize = 1000;
