//! The exposition for Prometheus: the cells' numbers as text, written when somebody asks.
//!
//! Everything here runs on the control thread and reads cells; no core is stopped, woken or locked
//! for it. The text is our own rather than a library's: the same series have to come out in two
//! formats, filtered and bounded, and that is less than the adapters to anybody else's encoder.

mod catalogue;
mod filter;
mod fold;
mod gather;

pub(crate) use gather::agent;
mod text;

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use axum::{
    Router,
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use tokio::task::AbortHandle;

pub use catalogue::{ALL, Family, Kind};

use self::{
    filter::Filter,
    text::{Format, Page},
};
use super::{
    Control, admin,
    api::{self, Refused},
    doors,
};
use crate::heritage::Tag;

/// A query's pairs, if it can be understood.
pub(super) type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// What outlives a scrape.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    /// Series left out of answers so far.
    dropped: AtomicU64,
    /// Where `metrics.listen` is served.
    door: Mutex<Option<Door>>,
}

#[derive(Debug)]
struct Door {
    /// As configured; its port may be 0.
    wanted: SocketAddr,
    bound: SocketAddr,
    task: AbortHandle,
}

impl Control {
    /// Answers `GET /metrics`.
    pub(super) fn scrape(&self, query: Pairs, headers: &HeaderMap) -> Response {
        let refused = |error: QueryRejection| Refused::new(api::Kind::Request, error.body_text());
        let filter = query.map_err(refused).and_then(|Query(pairs)| Filter::of(pairs));
        let accept = headers.get_all(header::ACCEPT).iter().filter_map(|it| it.to_str().ok());
        let format = Format::of(&accept.collect::<Vec<_>>().join(","));
        match filter {
            Ok(filter) => {
                let text = self.exposition(format, filter);
                ([(header::CONTENT_TYPE, format.content_type())], text).into_response()
            }
            Err(refused) => admin::refuse(&refused),
        }
    }

    /// All families that the filter wants.
    fn exposition(&self, format: Format, filter: Filter) -> String {
        let config = self.state().config.clone();
        let mut page = Page::new(format, filter, &config.metrics);
        self.gather(&mut page);
        let dropped = page.dropped() + self.metrics.dropped.fetch_add(page.dropped(), Relaxed);
        page.make_room();
        page.family(&catalogue::DROPPED).add(&[], dropped);
        page.end()
    }

    /// Where `metrics.listen` is served, if it is.
    pub(crate) fn metrics_address(&self) -> Option<SocketAddr> {
        self.door().as_ref().map(|door| door.bound)
    }

    /// Serves the metrics on a listener that is bound.
    pub(super) fn serve_metrics(self: &Arc<Self>, wanted: SocketAddr, listener: TcpListener) {
        let service = Router::new().fallback(answer_anywhere).with_state(self.clone());
        let double = listener.try_clone().ok().map(std::os::fd::OwnedFd::from);
        let served = listener.local_addr().and_then(|bound| {
            let listener = doors::Bounded::new(tokio::net::TcpListener::from_std(listener)?);
            let task = tokio::spawn(axum::serve(listener, service).into_future());
            Ok(Door { wanted, bound, task: task.abort_handle() })
        });
        match served {
            Ok(door) => {
                self.succession.note_door(Tag::Metrics, double, door.task.clone());
                if let Some(before) = self.door().replace(door) {
                    before.task.abort();
                }
            }
            Err(error) => tracing::error!(%error, "`metrics.listen` cannot be served"),
        }
    }

    /// Serves the metrics where the configuration says now. If that cannot be bound, they stay
    /// where they were.
    pub(super) fn follow_metrics(
        self: &Arc<Self>,
        wanted: Option<SocketAddr>,
    ) -> Result<(), Refused> {
        if self.door().as_ref().map(|door| door.wanted) == wanted {
            return Ok(());
        }
        match wanted {
            Some(wanted) => self.serve_metrics(wanted, doors::bind_tcp("metrics.listen", wanted)?),
            None => {
                if let Some(before) = self.door().take() {
                    before.task.abort();
                    self.succession.forget_door(&Tag::Metrics);
                }
            }
        }
        Ok(())
    }

    fn door(&self) -> std::sync::MutexGuard<'_, Option<Door>> {
        self.metrics.door.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// On a listener of its own there is one page, which only reads, so anybody may have it.
async fn answer_anywhere(
    State(control): admin::Control_,
    query: Pairs,
    request: Request,
) -> Response {
    let path = control.state().config.metrics.path.clone();
    if request.uri().path() != &*path {
        return (StatusCode::NOT_FOUND, format!("the metrics are at {path}\n")).into_response();
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    control.scrape(query, request.headers())
}
