//! The claims of a request: out of its token, if somebody whom the configuration trusts has signed it.

use std::rc::Rc;

use gnomon_config::model::{Key, flag::Place};
use gnomon_wire::Request;
use serde_json::{Map, Value};

use super::{Worker, view::View};

/// What is vouched for of a request's user; nothing where no flag asks. `now` is in seconds since 1970.
pub(super) fn claims(
    worker: &Worker,
    view: &View,
    request: Request<'_>,
    now: u64,
) -> Option<Rc<Map<String, Value>>> {
    let verifier = view.snapshot.jwt.as_ref()?;
    if !view.snapshot.flags.uses_claims() {
        return None;
    }
    worker.claims.of(verifier, token(verifier.place(), request)?, now)
}

/// The token of a request.
fn token<'r>(place: &Place, request: Request<'r>) -> Option<&'r [u8]> {
    let text = match place {
        Place::Key(Key::Header(name)) => {
            let mut values = request.values(name);
            // Of two, the origin may believe the other.
            values.next().filter(|_| values.next().is_none())?
        }
        Place::Key(Key::Cookie(name)) => request.cookie(name)?,
        Place::Key(Key::Query(name)) => request.query_value(name)?,
        Place::Key(Key::ClientIp) | Place::Claim(_) | Place::Host | Place::Path | Place::Method => {
            return None;
        }
    };
    Some(without_scheme(text))
}

/// The text without `Bearer` before it, in any case (RFC 9110, 11.1).
fn without_scheme(text: &[u8]) -> &[u8] {
    match text.split_at_checked(BEARER.len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(BEARER) => token.trim_ascii(),
        _ => text,
    }
}

const BEARER: &[u8] = b"bearer ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_is_skipped_in_any_case_and_nothing_else_is() {
        for (text, token) in [
            ("Bearer a.b.c", "a.b.c"),
            ("bEARER   a.b.c", "a.b.c"),
            ("a.b.c", "a.b.c"),
            ("Basic a.b.c", "Basic a.b.c"),
            ("Bearera.b.c", "Bearera.b.c"),
            ("Bearer ", ""),
            ("", ""),
        ] {
            assert_eq!(without_scheme(text.as_bytes()), token.as_bytes(), "{text}");
        }
    }
}
