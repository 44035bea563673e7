//! `server`: where it listens, for which hosts, and what it does with them.

use std::collections::BTreeMap;

use super::{
    super::{
        draft::Kind,
        ledger::Id,
        values::{self, Path},
    },
    World,
    grammar::Statement,
    terms::Terms,
};

/// A `server` block as its locations see it.
#[derive(Clone, Debug)]
pub(super) struct Server<'s> {
    pub(super) statement: &'s Statement,
    /// Hosts as ours are written; none for any.
    pub(super) hosts: Vec<String>,
    /// Its names as they are written.
    pub(super) names: Vec<String>,
    pub(super) names_id: Option<Id>,
    pub(super) tls: bool,
    pub(super) plain: bool,
}

/// What listens on an address.
#[derive(Default)]
struct Socket {
    tls: bool,
    proxy: bool,
    from: Vec<Id>,
    certs: Vec<(String, String, Vec<Id>)>,
    min: Option<(&'static str, Id)>,
    client: Vec<(&'static str, String, Id)>,
}

impl<'s> World<'s> {
    /// One listener for each way of speaking.
    pub(super) fn listeners(&mut self, servers: &[&'s Statement]) {
        let mut sockets: BTreeMap<String, Socket> = BTreeMap::new();
        for server in servers {
            self.sockets(server, &mut sockets);
        }
        let mut groups: BTreeMap<(bool, bool), Vec<(String, Socket)>> = BTreeMap::new();
        for (address, socket) in sockets {
            groups.entry((socket.tls, socket.proxy)).or_default().push((address, socket));
        }
        self.has_tls = groups.keys().any(|(tls, _)| *tls);
        for ((tls, proxy), sockets) in groups {
            self.listener(tls, proxy, &sockets);
        }
    }

    fn listener(&mut self, tls: bool, proxy: bool, sockets: &[(String, Socket)]) {
        let name = if tls { "https" } else { "http" };
        let at = self.draft.table(Kind::Listener, name, &[]);
        let binds: Vec<String> = sockets.iter().map(|(address, _)| address.clone()).collect();
        let from: Vec<Id> = sockets.iter().flat_map(|(_, it)| it.from.clone()).collect();
        self.draft.need(at, "bind", values::list(&binds), &from);
        if proxy {
            self.draft.need(at, "proxy_protocol", "true", &[]);
        }
        if !tls {
            return;
        }
        let mut certs: Vec<String> = Vec::new();
        let mut ids = Vec::new();
        for (_, socket) in sockets {
            for (cert, key, from) in &socket.certs {
                let pair =
                    format!("{{ cert = {}, key = {} }}", values::text(cert), values::text(key));
                if !certs.contains(&pair) {
                    certs.push(pair);
                }
                ids.extend(from);
            }
            if let Some((min, id)) = socket.min {
                self.draft.set(at, "tls.min", values::text(min), &[id]);
            }
            for (key, value, id) in &socket.client {
                self.draft.set(at, &format!("tls.{key}"), values::text(value), &[*id]);
            }
        }
        self.draft.need(at, "tls.certs", format!("[{}]", certs.join(", ")), &ids);
    }

    fn sockets(&mut self, server: &'s Statement, sockets: &mut BTreeMap<String, Socket>) {
        let certs = self.certs(server);
        let min = self.protocols(server);
        let client = clients(server);
        let forced = server.child("ssl").is_some_and(|it| it.argument(0) == "on");
        if let Some(ssl) = server.child("ssl") {
            self.draft.ledger.carry(ssl.id);
        }
        let mut addresses = Vec::new();
        for listen in server.inner().iter().filter(|it| it.name() == "listen") {
            if listen.arguments().iter().any(|it| it == "quic") {
                self.draft.ledger.leave(listen.id, "gnomon speaks HTTP/1.1 with clients");
                continue;
            }
            let Some(address) = address(listen.argument(0)) else {
                let why = "gnomon listens on an IP address and a port: write them in `bind`";
                self.draft.ledger.leave(listen.id, why);
                continue;
            };
            let has = |word: &str| listen.arguments().iter().any(|it| it == word);
            if has("http2") || has("spdy") {
                self.draft.ledger.partly(listen.id, "gnomon speaks HTTP/1.1 with clients");
            }
            addresses.push((address, forced || has("ssl"), has("proxy_protocol"), Some(listen.id)));
        }
        if server.child("listen").is_none() {
            addresses.push(("0.0.0.0:80".to_owned(), forced, false, None));
        }
        for (address, tls, proxy, id) in addresses {
            let socket = sockets.entry(address).or_default();
            socket.tls |= tls;
            socket.proxy |= proxy;
            socket.from.extend(id);
            if tls {
                socket.certs.extend(certs.iter().cloned());
                socket.min = socket.min.or(min);
                socket.client.extend(client.iter().cloned());
            }
        }
    }

    /// Certificates with their keys, in pairs as they stand.
    fn certs(&self, server: &Statement) -> Vec<(String, String, Vec<Id>)> {
        let named = |name: &str| -> Vec<(String, Id)> {
            let all = server.inner().iter().filter(|it| it.name() == name);
            all.map(|it| (it.argument(0).to_owned(), it.id)).collect()
        };
        let (certs, keys) = (named("ssl_certificate"), named("ssl_certificate_key"));
        let pairs = certs
            .into_iter()
            .zip(keys)
            .map(|((cert, one), (key, two))| (self.path(&cert), self.path(&key), vec![one, two]));
        pairs.collect()
    }

    fn path(&self, path: &str) -> String {
        if path.starts_with('/') { path.to_owned() } else { super::grammar::join(&self.root, path) }
    }

    fn protocols(&mut self, server: &Statement) -> Option<(&'static str, Id)> {
        let statement = server.child("ssl_protocols")?;
        let has = |word: &str| statement.arguments().iter().any(|it| it == word);
        if has("TLSv1") || has("TLSv1.1") {
            self.draft.ledger.partly(statement.id, "TLS 1.2 and 1.3 are spoken, and nothing older");
        }
        let min = if has("TLSv1.3") && statement.arguments().len() == 1 { "1.3" } else { "1.2" };
        Some((min, statement.id))
    }

    /// Routes of a server.
    pub(super) fn server(
        &mut self,
        statement: &'s Statement,
        outer: &Terms,
        all: &[&'s Statement],
    ) {
        let inner: Vec<&Statement> = statement.inner().iter().collect();
        let terms = self.terms(outer, &inner);
        let server = self.known(statement, all);
        let before = self.routes.len();
        for inner in statement.inner() {
            match inner.name() {
                "return" => {
                    self.answered(&server, Path::Any, statement, inner, &terms);
                }
                "rewrite" => {
                    self.rewritten_server(&server, inner);
                }
                "location" => self.location(&server, inner, &terms, ""),
                "if" => self.condition(&server, inner),
                _ => {}
            }
        }
        if self.routes.len() > before {
            self.draft.ledger.carry(statement.id);
            if let Some(id) = server.names_id {
                self.draft.ledger.carry(id);
            }
        }
    }

    fn known(&mut self, statement: &'s Statement, all: &[&'s Statement]) -> Server<'s> {
        let named = statement.child("server_name");
        let names = named.map(|it| it.arguments().to_vec()).unwrap_or_default();
        let listens = || statement.inner().iter().filter(|it| it.name() == "listen");
        let has = |word: &str| listens().any(|it| it.arguments().iter().any(|it| it == word));
        let is_default = has("default_server") || has("default");
        let alone = all.len() == 1 && names.iter().all(|it| it == "localhost");
        let mut hosts = Vec::new();
        for name in &names {
            match host(name) {
                Some(more) => hosts.extend(more),
                None => {
                    if let Some(named) = named {
                        let why = format!("`{name}`: a host is a name, or `*.` and a name");
                        self.draft.ledger.partly(named.id, why);
                    }
                }
            }
        }
        // A server of patterns alone would otherwise be for every host.
        let patterns_only = hosts.is_empty() && names.iter().any(|it| host(it).is_none());
        let any = is_default || alone || names.iter().any(|it| it == "_" || it.is_empty());
        if any {
            hosts.clear();
        } else if patterns_only {
            hosts.push("unknown.invalid".to_owned());
        }
        let forced = statement.child("ssl").is_some_and(|it| it.argument(0) == "on");
        let tls = forced || has("ssl");
        let is_plain =
            |it: &Statement| !it.arguments().iter().any(|it| it == "ssl" || it == "quic");
        let plain = !forced && (listens().any(is_plain) || statement.child("listen").is_none());
        Server { statement, hosts, names, names_id: named.map(|it| it.id), tls, plain }
    }

    /// `if` of a server: nearly always what sends people to https.
    fn condition(&mut self, server: &Server<'_>, statement: &Statement) {
        let to_https = statement.inner().iter().any(|it| {
            it.name() == "return" && it.arguments().iter().any(|it| it.starts_with("https://$"))
        });
        if !to_https {
            return;
        }
        let all = [statement].into_iter().chain(statement.inner());
        for it in all {
            self.draft.ledger.leave(it.id, HTTPS);
        }
        let _ = server;
    }
}

/// Why a redirect to https is left.
pub(super) const HTTPS: &str = "routes hold on every listener, and this one would catch https as well: let \
                                whatever answers port 80 today go on sending people to https";

/// An address as ours are written.
fn address(text: &str) -> Option<String> {
    if text.starts_with("unix:") {
        return Some(text.to_owned());
    }
    if text.bytes().all(|it| it.is_ascii_digit()) && !text.is_empty() {
        return Some(format!("0.0.0.0:{text}"));
    }
    if let Some(port) = text.strip_prefix("*:") {
        return Some(format!("0.0.0.0:{port}"));
    }
    if let Some(port) = text.strip_prefix("localhost:") {
        return Some(format!("127.0.0.1:{port}"));
    }
    if text.parse::<std::net::SocketAddr>().is_ok() {
        return Some(text.to_owned());
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let ip = bare.parse::<std::net::IpAddr>().ok()?;
    Some(std::net::SocketAddr::new(ip, 80).to_string())
}

/// Hosts as ours are written; none if there is no such form.
fn host(name: &str) -> Option<Vec<String>> {
    if name == "_" || name.is_empty() {
        return Some(Vec::new());
    }
    if name.starts_with('~') || name.contains('$') || name.ends_with(".*") {
        return None;
    }
    if let Some(below) = name.strip_prefix('.') {
        return Some(vec![below.to_owned(), format!("*.{below}")]);
    }
    Some(vec![name.to_owned()])
}

/// What is asked of clients' certificates.
fn clients(server: &Statement) -> Vec<(&'static str, String, Id)> {
    let mut all = Vec::new();
    if let Some(ca) = server.child("ssl_client_certificate") {
        all.push(("client_ca", ca.argument(0).to_owned(), ca.id));
    }
    match server.child("ssl_verify_client") {
        Some(it) if it.argument(0) == "on" => {
            all.push(("client_auth", "require".to_owned(), it.id))
        }
        Some(it) if it.argument(0) == "optional" => {
            all.push(("client_auth", "optional".to_owned(), it.id));
        }
        Some(_) | None => {}
    }
    all
}
