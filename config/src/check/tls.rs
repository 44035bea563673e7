//! TLS of a listener and of a version: files are read here, and understood by whoever knows
//! certificates.

use std::{net::IpAddr, sync::Arc};

use super::guessing;
use crate::{
    code,
    fields::{Effect, Field, Kind, Preset},
    known,
    model::{
        ClientCerts, Endpoint, KeyPair, ListenerTls, Material, TlsVersion, VersionTls, Written,
    },
    names,
    problem::{Place, Problem, Wrong},
    read::{Placed, Reader, Scope},
    tree::{Entry, Node, Table, Value},
};

const CERT: Field = part("cert");
const KEY: Field = part("key");
const OCSP: Field = part("ocsp");
const KEYS: [&str; 3] = ["cert", "key", "ocsp"];

/// A key of a pair: items of a list have no rows of their own.
const fn part(path: &'static str) -> Field {
    let kind = Kind::Form("FILE");
    Field { path, kind, preset: Preset::Commented(""), effect: Effect::Reload, doc: "" }
}

/// `[listener.*.tls]`, if it is there.
pub(super) fn listener(
    reader: &mut Reader<'_, '_>,
    listener: &Scope<'_>,
    name: &str,
) -> Option<ListenerTls> {
    let scope = listener.present("tls")?;
    reader.not_empty(&scope, &["certs"]);
    let mut certs: Vec<KeyPair> = reader
        .value(&scope, "certs", |reader, _, node| Some(pairs(reader, node)))
        .unwrap_or_default();
    let table = format!("[listener.{name}.tls]");
    let short = KEYS.iter().find_map(|key| scope.entry(key));
    if let Some(place) = short.map(|entry| entry.key_place) {
        certs.extend(pair(reader, &table, scope.place, |key| scope.entry(key)));
        if let Some(long) = scope.entry("certs") {
            let message = format!("{table} has both `cert` and `certs`");
            let problem = Problem::error(code::EXCLUSIVE, place, message);
            reader.tell(problem.label("short for one of `certs`").related(long.key_place, "here"));
        }
    } else if scope.entry("certs").is_none() && scope.table.is_some() {
        let message = format!("{table} has no certificate");
        let problem = Problem::error(code::MISSING, scope.place, message);
        reader.tell(
            problem.help("add cert = \"/path/to.pem\" and key = \"/path/to.key\"".to_owned()),
        );
    }
    let min = match reader.choice(&scope, "min") {
        "1.3" => TlsVersion::V13,
        _ => TlsVersion::V12,
    };
    Some(ListenerTls { certs, min, clients: clients(reader, &scope, &table) })
}

fn clients(reader: &mut Reader<'_, '_>, scope: &Scope<'_>, table: &str) -> Option<ClientCerts> {
    let required = reader.choice(scope, "client_auth") == "require";
    if let (Some(auth), None) = (scope.entry("client_auth"), scope.entry("client_ca")) {
        let message = format!("{table} has `client_auth` and no `client_ca`");
        let problem = Problem::error(code::MISSING, auth.key_place, message);
        reader.tell(problem.label("whose certificates are believed?"));
    }
    let ca = reader.value(scope, "client_ca", Reader::as_material)?;
    Some(ClientCerts { ca, required })
}

fn pairs(reader: &mut Reader<'_, '_>, node: &Node) -> Vec<KeyPair> {
    let one = std::slice::from_ref(node);
    let items = if let Value::List(items) = &node.value { items.as_slice() } else { one };
    items.iter().filter_map(|item| listed(reader, item)).collect()
}

/// `{ cert = …, key = … }`.
fn listed(reader: &mut Reader<'_, '_>, node: &Node) -> Option<KeyPair> {
    let Some(table) = node.as_table() else {
        return reader.mistyped(&part("certs"), node, "{ cert = \"FILE\", key = \"FILE\" }");
    };
    for entry in table.entries.iter().filter(|entry| !KEYS.contains(&entry.key.as_str())) {
        let message = format!("unknown key `{}` in a certificate", entry.key);
        let wrong = Wrong::new(code::UNKNOWN_KEY, message);
        reader.tell(guessing(wrong, &entry.key, KEYS.into_iter()).at(entry.key_place));
    }
    pair(reader, "a certificate", node.place, |key| table.get(key))
}

/// A certificate and its key, both or neither.
pub(super) fn pair<'t>(
    reader: &mut Reader<'_, '_>,
    table: &str,
    place: Place,
    entry: impl Fn(&str) -> Option<&'t Entry>,
) -> Option<KeyPair> {
    for (key, other) in [("cert", "key"), ("key", "cert")] {
        if entry(key).is_none() {
            let place = entry(other).map_or(place, |entry| entry.key_place);
            let message = format!("{table} has no `{key}`");
            reader.tell(Problem::error(code::MISSING, place, message));
        }
    }
    let cert = entry("cert").map(|entry| reader.as_material(&CERT, &entry.node));
    let key = entry("key").map(|entry| reader.as_material(&KEY, &entry.node));
    let ocsp = entry("ocsp").map(|entry| reader.as_material(&OCSP, &entry.node));
    // What could not be read was told.
    Some(KeyPair { cert: cert??, key: key??, ocsp: ocsp.flatten() })
}

/// `tls` of a version, if it is there and not `false`.
pub(super) fn version(
    reader: &mut Reader<'_, '_>,
    version: &Scope<'_>,
    shown: &str,
    endpoints: &[Placed<Endpoint>],
) -> Option<VersionTls> {
    let entry = version.entry("tls")?;
    let scope = version.child("tls");
    let long = scope.table.filter(|table| !known::is_outside(table));
    if long.is_none() && !reader.as_bool(scope.row.field, &entry.node)? {
        return None;
    }
    let scope = Scope { table: long, ..scope };
    let tls = VersionTls {
        name: reader.form(&scope, "name", server_name).map(|name| name.value),
        ca: reader.value(&scope, "ca", Reader::as_material),
        identity: identity(reader, &scope, shown),
        verify: reader.bool(&scope, "verify"),
        place: Written(entry.key_place),
    };
    if !tls.verify {
        let place = scope.entry("verify").map_or(scope.place, |entry| entry.node.place);
        let message = format!("certificates of `{shown}` are not verified");
        let problem = Problem::warning(code::UNVERIFIED, place, message)
            .label("whoever can reach the wire can be the origin")
            .help("name the roots that are believed with `ca`, and with `name` the name that the certificate is for".to_owned());
        reader.tell(match scope.entry("ca") {
            Some(ca) => problem.related(ca.key_place, "this has no effect"),
            None => problem,
        });
    }
    let unnamed = endpoints.iter().find(|it| matches!(it.value, Endpoint::Unix(_)));
    if let Some(endpoint) = unnamed.filter(|_| tls.name.is_none() && scope.entry("name").is_none())
    {
        let message = format!("`tls` of `{shown}` has no `name`");
        let problem = Problem::error(code::MISSING, scope.place, message);
        reader.tell(
            problem.related(endpoint.place, "a socket has none that a certificate could be for"),
        );
    }
    Some(tls)
}

fn identity(reader: &mut Reader<'_, '_>, scope: &Scope<'_>, shown: &str) -> Option<KeyPair> {
    KEYS[..2].iter().find_map(|key| scope.entry(key))?;
    let table: Option<&Table> = scope.table;
    pair(reader, &format!("`tls` of `{shown}`"), scope.place, |key| {
        table.and_then(|table| table.get(key))
    })
}

/// A name or an address that a certificate may be for.
fn server_name(text: &str) -> Result<Arc<str>, Wrong> {
    if text.parse::<IpAddr>().is_ok() || names::plain_host(text) {
        return Ok(text.to_ascii_lowercase().into());
    }
    Err(Wrong::new(code::HOST, format!("`{text}` is no name that a certificate could be for"))
        .label("expected a host without port, or an IP address"))
}

impl Reader<'_, '_> {
    /// What the file holds that a value names, with where it is named.
    pub(super) fn as_material(&mut self, field: &'static Field, node: &Node) -> Option<Material> {
        let name = self.as_text(field, node)?;
        match self.sources.read_material(node.place, &name) {
            Ok((path, content, mode)) => {
                Some(Material { path, content, mode, place: Written(node.place) })
            }
            Err(why) => {
                let message = format!("cannot read {name}: {why}");
                self.tell(Problem::error(code::OUTSIDE, node.place, message));
                None
            }
        }
    }
}
