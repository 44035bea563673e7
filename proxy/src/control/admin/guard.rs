//! What every request has to pass: what a web page may have sent is refused, and what whoever asks
//! may not do; and what they did is told.

use axum::{
    Json,
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{
    By_, Control_, KPI_PATH,
    caller::{Caller, Peer},
    refusals::Reason,
    refuse,
    rights::{self, Asked, Right},
    site,
};
use crate::{
    clock,
    control::{
        Control,
        api::{ACTION_FIELD, Kind, Refused, series::Whoami},
        audit::{Deed, Outcome},
        ofrep,
    },
};

/// What a handler tells of an action, beside its answer; an extension of the response.
#[derive(Clone, Debug, Default)]
pub(in crate::control) struct Told {
    /// Of what.
    pub(super) subject: Option<String>,
    /// Why, as whoever asked says.
    pub(super) reason: Option<String>,
    /// What is different now, or what is wrong.
    pub(super) detail: Option<String>,
}

/// Lets through who may, and tells of what they do.
pub(super) async fn guard(
    State(control): Control_,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let is_api = !is_of_console(&request);
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let deed = Deed { method, path, ..deed_of(&peer) };
    let (right, caller) = match pass(&control, &peer, &request) {
        Ok(passed) => passed,
        Err(stopped) => return dressed(tell_of_refusal(&control, *stopped, deed), is_api),
    };
    // Reports of outcomes come with the traffic, and change nothing but counts.
    let is_told = right.is_some_and(|right| right.acts() && right.path != KPI_PATH);
    if let Some(caller) = caller.clone() {
        request.extensions_mut().insert(caller);
    }
    let mut response = next.run(request).await;
    let told = response.extensions_mut().remove::<Told>().unwrap_or_default();
    if let Some(caller) = caller.filter(|_| is_told) {
        let status = response.status();
        let outcome = if status.is_success() { Outcome::Done } else { Outcome::Failed };
        tell(&control, &caller, Deed { status: status.as_u16(), outcome, ..deed }, told);
    }
    dressed(response, is_api)
}

/// Why a request goes no further.
struct Stopped {
    /// None where it is nobody's fault.
    reason: Option<Reason>,
    caller: Option<Caller>,
    response: Response,
}

impl Stopped {
    fn boxed(reason: Reason, caller: Option<Caller>) -> Box<Self> {
        Box::new(Self { reason: Some(reason), caller, response: reason.answer(None) })
    }

    fn answer(caller: Option<Caller>, response: Response) -> Box<Self> {
        Box::new(Self { reason: None, caller, response })
    }
}

type Passed = (Option<&'static Right>, Option<Caller>);

/// Whether a request may go on: its row, if its path has one, and who it is from, if that is known.
fn pass(control: &Control, peer: &Peer, request: &Request) -> Result<Passed, Box<Stopped>> {
    let gate = control.gate();
    let (method, headers) = (request.method(), request.headers());
    let known = Caller::of(peer, headers, &gate);
    let known =
        if control.state().config.admin.read_only { known.map(Caller::reading) } else { known };
    let whoever = || known.clone().ok();
    site::check(method, headers, peer, &gate)
        .map_err(|reason| Stopped::boxed(reason, whoever()))?;
    let right = match rights::of(request) {
        Asked::Known(right) if right.needs.is_none() => return Ok((Some(right), whoever())),
        Asked::Known(right) => right,
        other @ (Asked::WrongMethod | Asked::Nowhere | Asked::Unlisted) => {
            let caller = known.map_err(|reason| Stopped::boxed(reason, None))?;
            return unknown(other, request, caller);
        }
    };
    let caller = known.map_err(|reason| Stopped::boxed(reason, None))?;
    let is_marked = || headers.get(ACTION_FIELD).is_some_and(|value| value == "1");
    if peer.is_tcp() && *method == Method::POST && !right.is_ofrep() && !is_marked() {
        return Err(Stopped::boxed(Reason::Field, Some(caller)));
    }
    may(control, right, &caller)?;
    if right.acts()
        && let Some(refused) = control.succession.in_the_way()
    {
        return Err(Stopped::answer(Some(caller), refuse(&refused)));
    }
    Ok((Some(right), Some(caller)))
}

/// What has no row of its own.
fn unknown(asked: Asked, request: &Request, caller: Caller) -> Result<Passed, Box<Stopped>> {
    let path = request.uri().path();
    match asked {
        Asked::WrongMethod if !ofrep::is_ours(path) => {
            let error = format!("{path} is not for {}", request.method());
            let refused =
                Refused::new(Kind::Request, error).help("reading is by GET, acting by POST");
            let response = (StatusCode::METHOD_NOT_ALLOWED, Json(refused)).into_response();
            Err(Stopped::answer(Some(caller), response))
        }
        Asked::Unlisted => {
            let error = format!("nobody knows who may ask for {path}");
            let refused = Refused::new(Kind::Machine, error).help("this is a bug");
            Err(Stopped::answer(Some(caller), refuse(&refused)))
        }
        // They answer in their own words.
        Asked::Known(_) | Asked::WrongMethod | Asked::Nowhere => Ok((None, Some(caller))),
    }
}

fn may(control: &Control, right: &Right, caller: &Caller) -> Result<(), Box<Stopped>> {
    let Some(needed) = right.needs.filter(|needed| *needed > caller.role) else { return Ok(()) };
    if control.state().config.admin.read_only {
        return Err(Stopped::boxed(Reason::ReadOnly, Some(caller.clone())));
    }
    let (needed, name, has) = (needed.name(), &caller.name, caller.role.name());
    let error = format!("this needs the role `{needed}`, and {name} has `{has}`");
    let response = Reason::Role.answer(Some(error));
    let caller = Some(caller.clone());
    Err(Box::new(Stopped { reason: Some(Reason::Role), caller, response }))
}

/// What is told of whoever is at a connection's other end.
fn deed_of(peer: &Peer) -> Deed {
    let certificate = match peer {
        Peer::Tcp(remote) => remote.certificate.as_ref(),
        Peer::User(_) | Peer::Unknown => None,
    };
    let subject = |shown: &crate::tls::identity::ClientIdentity| {
        shown.subject.clone().unwrap_or_else(|| format!("sha256 {}", shown.sha256))
    };
    Deed {
        by: peer.to_string(),
        uid: if let Peer::User(uid) = peer { Some(*uid) } else { None },
        address: peer.address().map(|address| address.to_string()),
        certificate: certificate.map(|shown| subject(shown)),
        ..Deed::default()
    }
}

fn tell(control: &Control, caller: &Caller, deed: Deed, told: Told) {
    let (by, status) = (&caller.name, deed.status);
    let what = format!("{} {}", deed.method, deed.path);
    tracing::info!(target: "gnomon::audit", %by, what, status, "action");
    let Told { subject, reason, detail } = told;
    let reason = reason.filter(|reason| !reason.is_empty());
    control.note(Deed {
        by: caller.name.to_string(),
        role: Some(caller.role.name()),
        subject,
        reason,
        detail,
        ..deed
    });
}

/// Counts and tells of a refusal: of those who may ask at all each one, of strangers some.
fn tell_of_refusal(control: &Control, stopped: Stopped, deed: Deed) -> Response {
    let Stopped { reason, caller, mut response } = stopped;
    let told = response.extensions_mut().remove::<Told>().unwrap_or_default();
    let Some(reason) = reason else { return response };
    control.refusals.count(reason);
    let status = response.status().as_u16();
    let deed = Deed { status, outcome: Outcome::Refused, ..deed };
    match caller {
        Some(caller) if !reason.is_of_strangers() => tell(control, &caller, deed, told),
        caller => {
            let Some(hushed) = control.hush.tell(clock::wall().as_secs()) else { return response };
            let role = caller.map(|caller| caller.role.name());
            let (by, what) = (&deed.by, format!("{} {}", deed.method, deed.path));
            let why = reason.name();
            tracing::warn!(target: "gnomon::audit", by, what, status, why, hushed, "refused");
            control.note_stranger(&Deed { detail: Some(why.to_owned()), role, hushed, ..deed });
        }
    }
    response
}

/// Whether it asks for a part of the console that is the same for everybody.
fn is_of_console(request: &Request) -> bool {
    let path = request.uri().path();
    path == "/" || path.starts_with("/console/")
}

/// Adds what keeps browsers from doing more with an answer than was meant. What the API says is
/// for who asked, now.
fn dressed(mut response: Response, is_api: bool) -> Response {
    let headers = response.headers_mut();
    for (name, value) in DRESS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if is_api {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// `GET /v1/whoami`.
pub(super) async fn whoami(by: By_) -> Json<Whoami> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Json(Whoami {
        name: by.name.to_string(),
        role: by.role,
        host: host.trim().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Nothing from elsewhere, in no frame, and no telling where one came from.
const DRESS: [(header::HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];
