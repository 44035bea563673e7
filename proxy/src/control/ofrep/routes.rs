//! Who is answered, and with what: paths, tokens, sizes, and whether an answer is still the same.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::{
    Router,
    body::Body,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use gnomon_flags::{ErrorCode, FlagIx, FlagSet, Hasher, Resolution, set::Memberships};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::{
    Desk,
    answer::{self, All, Asked, Flaw, Stream},
    stream::Edition,
};
use crate::{clock, control::admin, snapshot::Snapshot};

/// Who answers, and over which door.
#[derive(Clone, Debug)]
struct At {
    desk: Arc<Desk>,
    /// Over the admin API, where whoever gets in may do everything.
    is_admin: bool,
}

/// The paths of the protocol, for the admin API.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(desk: Arc<Desk>) -> Router<S> {
    paths(At { desk, is_admin: true })
}

/// The same on an address of their own, where there is nothing else.
pub(super) fn alone(desk: Arc<Desk>) -> Router {
    let at = At { desk, is_admin: false };
    let nowhere = async || said(None, &Flaw::new(StatusCode::NOT_FOUND, "there is nothing here"));
    paths(at.clone()).fallback(nowhere).layer(middleware::from_fn_with_state(at, count))
}

fn paths<S: Clone + Send + Sync + 'static>(at: At) -> Router<S> {
    let wrong = async || {
        said(None, &Flaw::new(StatusCode::METHOD_NOT_ALLOWED, "flags are asked for by POST"))
    };
    let paths = Router::new()
        .route("/ofrep/v1/evaluate/flags", post(all).fallback(wrong))
        .route("/ofrep/v1/evaluate/flags/{*key}", post(one).fallback(wrong))
        .route(EVENTS, get(events).fallback(wrong));
    let is_admin = at.is_admin;
    let paths = if is_admin {
        paths.layer(middleware::from_fn_with_state(at.clone(), count))
    } else {
        paths
    };
    paths.with_state(at)
}

/// Whether a path is one of the protocol's, which change nothing whatever their method is.
pub(crate) fn is_ours(path: &str) -> bool {
    path.starts_with("/ofrep/")
}

async fn count(State(at): State<At>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    at.desk.count(response.status().as_u16());
    if at.desk.is_ending() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn one(State(at): State<At>, Path(key): Path<String>, request: Request) -> Response {
    let found = async {
        let (snapshot, asked, _) = at.hear(request).await?;
        let set = &snapshot.flags;
        let Some(ix) = set.find(&key) else {
            let details = format!("there is no flag `{key}`");
            let code = Some(ErrorCode::FlagNotFound);
            return Err(Flaw { status: StatusCode::NOT_FOUND, code, details });
        };
        let now = clock::wall().as_secs();
        let resolution = asked.resolve(set, ix, now, &Memberships::default());
        exposed(&snapshot, ix, resolution);
        let answer = answer::of(set.flag(ix), resolution);
        Ok(in_json(answer.status(), answer::json(&answer)))
    };
    found.await.unwrap_or_else(|flaw| said(Some(&key), &flaw))
}

async fn all(State(at): State<At>, request: Request) -> Response {
    let found = async {
        let (snapshot, asked, head) = at.hear(request).await?;
        // Of this very snapshot, so that whoever opens a stream with it misses nothing.
        let edition = Edition::of(&snapshot.flags);
        let body = evaluate(&snapshot, &asked, &edition);
        let tag = tag(&snapshot.flags, &asked, &body);
        // After a change, nobody is told that nothing has changed unless this is that change.
        let changed = query(&head.uri, "flagConfigEtag");
        let may_match = changed.is_none_or(|changed| unquoted(&changed) == edition.tag);
        let mut response = if may_match && is_known(&head.headers, &tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            in_json(StatusCode::OK, body)
        };
        // Of hexadecimal digits and quotes, which always can be a value.
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{tag}\"")) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        Ok(response)
    };
    found.await.unwrap_or_else(|flaw| said(None, &flaw))
}

async fn events(State(at): State<At>, request: Request) -> Response {
    let found = || {
        let (head, _) = request.into_parts();
        at.admit(&head.headers)?;
        let places = &at.desk.places;
        let places = if at.is_admin { &places.admin_streams } else { &places.streams };
        let place = places.clone().try_acquire_owned().map_err(|_| busy("streams"))?;
        let last = head.headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
        let seen = last.map(str::to_owned).or_else(|| query(&head.uri, SINCE));
        at.desk.look();
        Ok(at.desk.stream(seen, place))
    };
    found().unwrap_or_else(|flaw| said(None, &flaw))
}

impl At {
    /// What is asked, by somebody who may: under which flags, of whom, and in what a head.
    async fn hear(&self, request: Request) -> Result<(Arc<Snapshot>, Asked, Parts), Flaw> {
        let (head, body) = request.into_parts();
        self.admit(&head.headers)?;
        if !is_json(&head.headers) {
            let details = "the body has to be JSON: say `Content-Type: application/json`";
            return Err(Flaw {
                code: Some(ErrorCode::ParseError),
                ..Flaw::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, details)
            });
        }
        let _place = self.desk.places.requests.try_acquire().map_err(|_| busy("requests"))?;
        let body = read(body).await?;
        let (snapshot, now) = (self.desk.snapshot(), clock::wall().as_secs());
        let asked = Asked::read(&snapshot.flags, &head.headers, &body, now)?;
        if let Some(is_believed) = asked.is_believed() {
            self.desk.count_frozen(is_believed);
        }
        Ok((snapshot, asked, head))
    }

    /// Whether whoever asks may.
    fn admit(&self, headers: &HeaderMap) -> Result<(), Flaw> {
        if self.is_admin {
            return Ok(());
        }
        let snapshot = self.desk.snapshot();
        let tokens = snapshot.flags.terms().ofrep.as_ref().and_then(|ofrep| ofrep.tokens.as_ref());
        let Some(tokens) = tokens else {
            // A page in somebody's browser could be sent here under a name of its own.
            if admin::is_loopback_host(headers) {
                return Ok(());
            }
            let details = "without tokens, the Host field has to be a loopback name: \
                           say localhost, or set `flags.ofrep.tokens`";
            return Err(Flaw::new(StatusCode::FORBIDDEN, details));
        };
        let said =
            shown(headers).ok_or("a token is needed: `Authorization: Bearer …` or `X-API-Key: …`");
        let is_known = said.map(|said| is_among(&tokens.content.0, said));
        match is_known {
            Ok(true) => Ok(()),
            Ok(false) => Err(Flaw::new(StatusCode::UNAUTHORIZED, "the token is not known")),
            Err(details) => Err(Flaw::new(StatusCode::UNAUTHORIZED, details)),
        }
    }
}

/// What all flags come to.
fn evaluate(snapshot: &Snapshot, asked: &Asked, edition: &Edition) -> Vec<u8> {
    let (set, now) = (&*snapshot.flags, clock::wall().as_secs());
    let memberships = Memberships::default();
    let flags = (0..).map(FlagIx).zip(set.flags()).map(|(ix, flag)| {
        let resolution = asked.resolve(set, ix, now, &memberships);
        exposed(snapshot, ix, resolution);
        answer::of(flag, resolution)
    });
    answer::json(&All {
        flags: flags.collect(),
        metadata: Some(&set.metadata).filter(|metadata| !metadata.is_empty()),
        event_streams: [Stream::at(format!("{EVENTS}?{SINCE}={}", edition.tag))],
    })
}

/// An application was told what a flag comes to for its user.
fn exposed(snapshot: &Snapshot, flag: FlagIx, resolution: Resolution) {
    if let Some(variant) = resolution.variant {
        snapshot.flag_book.told(flag, variant);
    }
}

/// The token that is shown.
fn shown(headers: &HeaderMap) -> Option<&[u8]> {
    let key = headers.get(API_KEY).map(HeaderValue::as_bytes);
    let bearer = || {
        let (scheme, token) = headers.get(header::AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
    };
    key.or_else(bearer).map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// Whether a token is one of the lines. All are looked at, whichever it is.
fn is_among(lines: &[u8], said: &[u8]) -> bool {
    let lines = lines.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let tokens = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    tokens.fold(false, |found, token| found | verify_slices_are_equal(token, said).is_ok())
}

fn is_json(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let media = said.and_then(|said| said.split(';').next()).unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/json")
}

/// The whole body, if it is small and comes in time.
async fn read(body: Body) -> Result<Bytes, Flaw> {
    let collected = Limited::new(body, BODY_BYTES_MAX).collect();
    match tokio::time::timeout(BODY_PATIENCE, collected).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Flaw::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a body has at most {BODY_BYTES_MAX} bytes"),
        )),
        Ok(Err(error)) => Err(Flaw::of(ErrorCode::ParseError, format!("the body: {error}"))),
        Err(_) => Err(Flaw::new(StatusCode::REQUEST_TIMEOUT, "the body does not come")),
    }
}

fn busy(what: &str) -> Flaw {
    Flaw::new(StatusCode::TOO_MANY_REQUESTS, format!("there are too many {what} at once"))
}

/// What an answer is known by: other flags, another user and another answer each have another.
fn tag(set: &FlagSet, asked: &Asked, body: &[u8]) -> String {
    let hash = |salt, bytes: &[u8]| {
        Hasher::derive(b"gnomon ofrep 1", salt, &set.terms().secret.0).hash(bytes)
    };
    let (asked, body) = (hash("context", &asked.bytes()), hash("answer", body));
    format!("{:016x}{asked:016x}{body:016x}", set.revision)
}

/// Whether whoever asks has this answer already.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let fields = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|it| it.to_str().ok());
    fields.flat_map(|field| field.split(',')).any(|known| unquoted(known) == tag)
}

/// A tag as it is, strong, weak or without quotes.
fn unquoted(tag: &str) -> &str {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')
}

fn query(uri: &Uri, name: &str) -> Option<String> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

fn in_json(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn said(key: Option<&str>, flaw: &Flaw) -> Response {
    let mut response = in_json(flaw.status, flaw.body(key));
    let (field, value) = match flaw.status {
        StatusCode::TOO_MANY_REQUESTS => (header::RETRY_AFTER, "1"),
        StatusCode::UNAUTHORIZED => (header::WWW_AUTHENTICATE, "Bearer"),
        _ => return response,
    };
    response.headers_mut().insert(field, HeaderValue::from_static(value));
    response
}

/// Where changes are told.
const EVENTS: &str = "/ofrep/v1/events";
/// In its query: the edition that is known.
const SINCE: &str = "since";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Bytes of a body.
const BODY_BYTES_MAX: usize = 64 << 10;
/// For a body to come.
const BODY_PATIENCE: Duration = Duration::from_secs(5);
