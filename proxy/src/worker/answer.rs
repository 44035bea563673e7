//! Answers of our own: refusals, redirects, fixed replies.

use std::{rc::Rc, time::Duration};

use gnomon_config::model::{Action, Route};
use gnomon_policy::rewrite;
use gnomon_wire::{Answer, Request, Version, write_answer};

use super::{
    Worker,
    buffers::{Buffer, Size},
    client::Client,
};
use crate::{failure::Failure, patience::Ticks};

/// An answer in its buffer, ready to be sent.
pub(super) struct Reply {
    pub(super) buffer: Buffer,
    pub(super) status: u16,
}

/// How an answer is to be framed for its client.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    pub(super) version: Version,
    pub(super) keep_alive: bool,
    pub(super) head_only: bool,
}

impl Manner {
    const CLOSING: Self = Self { version: Version::Http11, keep_alive: false, head_only: false };
}

/// The answer to bytes that never became a request.
pub(super) fn of_failure(worker: &Rc<Worker>, failure: &Failure) -> Reply {
    write(worker, failure.status(), &[], None, Manner::CLOSING)
}

/// A plain status, with its reason as the body.
pub(super) fn of_status(worker: &Rc<Worker>, status: u16, manner: Manner) -> Reply {
    write(worker, status, &[], None, manner)
}

/// A status, and when it is worth asking again: in whole seconds, one at least.
pub(super) fn of_refusal(
    worker: &Rc<Worker>,
    status: u16,
    wait: Duration,
    manner: Manner,
) -> Reply {
    let seconds = wait.as_millis().div_ceil(1000).max(1).to_string();
    write(worker, status, &[(b"Retry-After", seconds.as_bytes())], None, manner)
}

/// What a route's `redirect` or `respond` says; `None` if the route forwards.
pub(super) fn of_route(
    worker: &Rc<Worker>,
    route: &Route,
    request: Request<'_>,
    manner: Manner,
) -> Option<Reply> {
    match &route.action {
        Action::Redirect { to, status } => {
            let mut location = Vec::new();
            rewrite::write_location(to, request, &mut location);
            Some(write(worker, *status, &[(b"Location", &location)], None, manner))
        }
        Action::Respond { status, body, headers } => {
            let is_type = |name: &str| name.eq_ignore_ascii_case("content-type");
            let kind = headers.iter().find(|(name, _)| is_type(name));
            let kind = kind.map_or("text/plain; charset=utf-8", |(_, value)| value);
            let fields: Vec<(&[u8], &[u8])> = headers
                .iter()
                .filter(|(name, _)| !is_type(name))
                .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
                .collect();
            let body = (body.as_bytes(), kind.as_bytes());
            Some(write(worker, *status, &fields, Some(body), manner))
        }
        Action::Forward(..) => None,
    }
}

fn write(
    worker: &Rc<Worker>,
    status: u16,
    fields: &[(&[u8], &[u8])],
    body: Option<(&[u8], &[u8])>,
    manner: Manner,
) -> Reply {
    let mut buffer = worker.buffers.rent(Size::Small);
    let (out, _) = buffer.parts();
    let date = worker.date.text();
    let answer = Answer {
        status,
        fields,
        body,
        version: manner.version,
        keep_alive: manner.keep_alive,
        head_only: manner.head_only,
        date: Some(&date),
    };
    write_answer(out, &answer);
    Reply { buffer, status }
}

/// Sends an answer; whether it went out whole.
pub(super) async fn send(client: &Client, mut answer: Reply, patience: Ticks) -> bool {
    answer.buffer.send_data(&client.stream, &client.deadline, patience).await.is_ok()
}
