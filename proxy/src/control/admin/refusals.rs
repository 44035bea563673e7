//! Why requests are refused before anybody looks at what they ask for, counted by reason.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::refuse;
use crate::control::api::{ACTION_FIELD, Kind, Refused};

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control) enum Reason {
    /// The Host is not a name of ours.
    Host,
    /// A web page from elsewhere has sent it.
    Origin,
    /// An action without the field that no web page can add.
    Field,
    /// Nothing is shown where something has to be.
    Nothing,
    /// A token that is not known.
    Token,
    /// A certificate that is for nothing.
    Certificate,
    /// The TLS handshake failed: no certificate where one has to be, or none that is believed.
    Handshake,
    /// The role is too small.
    Role,
    /// Only reading is allowed.
    ReadOnly,
}

impl Reason {
    const ALL: [Self; 9] = [
        Self::Host,
        Self::Origin,
        Self::Field,
        Self::Nothing,
        Self::Token,
        Self::Certificate,
        Self::Handshake,
        Self::Role,
        Self::ReadOnly,
    ];

    /// As the metric has it.
    pub(in crate::control) const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Origin => "origin",
            Self::Field => "field",
            Self::Nothing => "nothing_shown",
            Self::Token => "token",
            Self::Certificate => "certificate",
            Self::Handshake => "handshake",
            Self::Role => "role",
            Self::ReadOnly => "read_only",
        }
    }

    /// Whether whoever it was may not have been somebody who may ask at all.
    pub(super) const fn is_of_strangers(self) -> bool {
        !matches!(self, Self::Role | Self::ReadOnly)
    }

    /// What is answered; `needed` says what the route asks for, where that is the reason.
    pub(super) fn answer(self, needed: Option<String>) -> Response {
        let refused = |error: &str, help: &str| Refused::new(Kind::Forbidden, error).help(help);
        let refused = match self {
            Self::Host => refused(
                "the Host field names another machine",
                "say localhost, 127.0.0.1 or [::1], or list the name in `admin.hosts`",
            ),
            Self::Origin => refused(
                "a web page from elsewhere may not ask",
                "open the console at this address itself",
            ),
            Self::Field => Refused::new(
                Kind::Forbidden,
                format!("an action over TCP needs the field `{ACTION_FIELD}: 1`"),
            ),
            Self::Nothing => return unauthorized("a token is needed", NOTHING_HELP),
            Self::Token => return unauthorized("the token is not known", "see `admin.token`"),
            Self::Certificate | Self::Handshake => refused(
                "this certificate is for nothing here",
                "add an [admin.client.NAME] for it, or set `admin.tls.client_role`",
            ),
            Self::Role => Refused::new(Kind::Forbidden, needed.unwrap_or_default()),
            Self::ReadOnly => {
                refused("only reading is allowed", "set `admin.read_only = false` and send SIGHUP")
            }
        };
        refuse(&refused)
    }
}

fn unauthorized(error: &str, help: &str) -> Response {
    let refused = Refused::new(Kind::Forbidden, error).help(help);
    let mut response = (StatusCode::UNAUTHORIZED, Json(refused)).into_response();
    let how = HeaderValue::from_static("Bearer");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, how);
    response
}

/// How often, by reason.
#[derive(Debug, Default)]
pub(in crate::control) struct Refusals {
    counts: [AtomicU64; Reason::ALL.len()],
}

impl Refusals {
    pub(in crate::control) fn count(&self, reason: Reason) {
        if let Some(at) = Reason::ALL.iter().position(|known| *known == reason) {
            self.counts[at].fetch_add(1, Relaxed);
        }
    }

    /// Each reason with its count.
    pub(in crate::control) fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.counts.iter().map(|count| count.load(Relaxed));
        Reason::ALL.into_iter().map(Reason::name).zip(counts)
    }
}

const NOTHING_HELP: &str = "say `Authorization: Bearer …`, or show a certificate; \
                            the admin socket of the machine needs neither";
