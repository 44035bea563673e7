//! `[flags]`: what all flags have in common.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::Given;
use crate::{
    check::needed,
    code,
    model::{
        Flags, Name,
        flag::{self, Jwt, Ofrep, Source, Told},
    },
    names,
    problem::Problem,
    read::{Placed, Reader, Scope, shared, values},
    tree::Value,
};

/// A source that is asked more often would do little else.
const POLL_MIN: Duration = Duration::from_millis(100);

/// What all flags have in common, before the flags themselves are read.
pub(in crate::check) struct Terms {
    pub(super) flags: Flags,
    pub(super) given: Given,
    /// The flags that `send` names.
    pub(super) sent: Vec<Placed<Name>>,
    /// Where applications ask.
    pub(in crate::check) binds: Vec<Placed<SocketAddr>>,
}

/// Reads `[flags]`.
pub(in crate::check) fn terms(reader: &mut Reader<'_, '_>, root: &Scope<'_>) -> Terms {
    let scope = root.child("flags");
    let given =
        Given { has_tokens: scope.entry("jwt").is_some(), has_key: scope.entry("by").is_some() };
    let (send, sent) = send(reader, &scope);
    let (ofrep, binds) = ofrep(reader, &scope);
    let flags = Flags {
        groups: Vec::new(),
        own: Vec::new(),
        source: source(reader, &scope),
        poll: poll(reader, &scope),
        by: given.place(reader, &scope, "by"),
        secret: reader.secret(&scope, "secret"),
        context: context(reader, &scope, given),
        header: header(reader, &scope),
        sign: reader.secret(&scope, "sign"),
        send,
        jwt: jwt(reader, &scope),
        ofrep,
        stale: reader.duration(&scope, "stale"),
    };
    Terms { flags, given, sent, binds }
}

fn poll(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Duration {
    let poll = reader.duration(scope, "poll");
    if let Some(written) = scope.entry("poll").filter(|_| !poll.is_zero() && poll < POLL_MIN) {
        let problem = Problem::error(code::RANGE, written.node.place, "`poll` is out of range");
        reader.tell(problem.label("at least 100ms"));
    }
    poll
}

fn source(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Option<Source> {
    let source = reader.form(scope, "source", names::source)?;
    if let Source::File(path) = &source.value {
        return Some(Source::File(reader.sources.path_of(source.place, path)));
    }
    Some(source.value)
}

/// The field, and whether `sign` and `send` have one to be about.
fn header(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Option<Arc<str>> {
    let name = |text: &str| match text {
        "" => Ok(None),
        text => names::edited_field(text).map(Some),
    };
    let header = reader.form(scope, "header", name)?.value;
    if let (None, Some(off)) = (&header, scope.entry("header")) {
        for entry in ["sign", "send"].iter().filter_map(|key| scope.entry(key)) {
            let message = format!("`{}` is about a field that is switched off", entry.key);
            let problem = Problem::error(code::EXCLUSIVE, entry.key_place, message);
            reader.tell(problem.related(off.node.place, "here"));
        }
    }
    header
}

fn send(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> (Told, Vec<Placed<Name>>) {
    reader.not_empty(scope, &["send"]);
    let names = reader.forms(scope, "send", names::flag);
    let is_list =
        scope.entry("send").is_some_and(|entry| matches!(entry.node.value, Value::List(_)));
    match names.as_slice() {
        [] => (Told::Used, names),
        [one] if !is_list && &*one.value == "used" => (Told::Used, Vec::new()),
        [one] if !is_list && &*one.value == "all" => (Told::All, Vec::new()),
        _ => (Told::Only(values(names.clone())), names),
    }
}

fn context(
    reader: &mut Reader<'_, '_>,
    scope: &Scope<'_>,
    given: Given,
) -> Vec<(Arc<str>, flag::Place)> {
    let written = reader.map(scope, "context", Reader::as_text);
    let mut context = Vec::new();
    for (name, place, text) in written {
        let name = reader.check(place, names::attribute(&name));
        let found = reader.check(text.place, names::place(&text.value));
        if let Some(found) = &found {
            given.believes(reader, found, text.place);
        }
        context.extend(name.zip(found));
    }
    context
}

fn jwt(reader: &mut Reader<'_, '_>, flags: &Scope<'_>) -> Option<Jwt> {
    let scope = flags.present("jwt")?;
    scope.table?;
    needed(reader, "flags.jwt", &scope, "keys");
    reader.not_empty(&scope, &["issuer", "audience"]);
    let place = reader.form(&scope, "from", names::token_place);
    let keys = reader.value(&scope, "keys", Reader::as_material);
    let issuers = values(reader.forms(&scope, "issuer", |text| Ok(shared(text))));
    let audiences = values(reader.forms(&scope, "audience", |text| Ok(shared(text))));
    let leeway = reader.duration(&scope, "leeway");
    Some(Jwt { place: place?.value, keys: keys?, issuers, audiences, leeway })
}

fn ofrep(
    reader: &mut Reader<'_, '_>,
    flags: &Scope<'_>,
) -> (Option<Ofrep>, Vec<Placed<SocketAddr>>) {
    let Some(scope) = flags.present("ofrep") else { return (None, Vec::new()) };
    reader.not_empty(&scope, &["listen"]);
    let binds = reader.forms(&scope, "listen", names::socket_address);
    let tokens = reader.value(&scope, "tokens", Reader::as_material);
    let open = binds.iter().find(|bind| !bind.value.ip().is_loopback());
    if let Some(open) = open.filter(|_| scope.entry("tokens").is_none()) {
        let message = format!("anybody who reaches {} could ask about any user", open.value);
        reader.tell(
            Problem::error(code::OFREP, open.place, message)
                .label("not a loopback address")
                .help("add tokens = \"/path/to/tokens\", a token on each line".to_owned()),
        );
    }
    let headers = headers(reader, &scope);
    let bind = binds.iter().map(|bind| bind.value).collect();
    (Some(Ofrep { bind, tokens, headers }), binds)
}

fn headers(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Vec<(Arc<str>, Arc<str>)> {
    let written = reader.map(scope, "headers", Reader::as_text);
    let mut headers: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    for (field, place, text) in written {
        let field = reader.check(place, names::field_name(&field));
        let name = match text.value.as_str() {
            // An application may well say in a field whom it asks for.
            "targetingKey" => Some(shared(&text.value)),
            name => reader.check(text.place, names::attribute(name)),
        };
        headers.extend(field.zip(name));
    }
    headers
}
