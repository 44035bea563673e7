//! Directives that inner blocks inherit: deadlines, fields, limits.

use std::time::Duration;

use super::{
    super::{
        draft::At,
        ledger::Id,
        values::{self, read_duration, read_size},
    },
    World,
    grammar::Statement,
};

/// What holds in a block.
#[derive(Clone, Debug, Default)]
pub(super) struct Terms {
    pub(super) connect: Option<(Duration, Id)>,
    pub(super) read: Option<(Duration, Id)>,
    pub(super) send: Option<(Duration, Id)>,
    pub(super) body: Option<(u64, Id)>,
    /// Fields towards origins; a block that has any has none of the outer ones.
    pub(super) request: Vec<(String, String, Id)>,
    /// Fields towards clients, likewise.
    pub(super) response: Vec<(String, String, Id)>,
    pub(super) hidden: Vec<(String, Id)>,
    pub(super) rate: Option<Id>,
    pub(super) rate_words: Vec<String>,
    pub(super) mirrors: Vec<(String, Id)>,
    pub(super) allow: Vec<(String, Id)>,
    pub(super) deny_all: Option<Id>,
    /// `proxy_ssl_*` and `proxy_next_upstream*`, for the upstream.
    pub(super) origin: Vec<(String, Vec<String>, Id)>,
    /// `set $name text`.
    pub(super) constants: Vec<(String, String, Id)>,
}

impl<'s> World<'s> {
    /// What holds in a block within another.
    pub(super) fn terms(&mut self, outer: &Terms, block: &[&'s Statement]) -> Terms {
        let mut terms = outer.clone();
        let has = |name: &str| block.iter().any(|it| it.name() == name);
        if has("proxy_set_header") {
            terms.request.clear();
        }
        if has("add_header") {
            terms.response.clear();
        }
        if has("allow") || has("deny") {
            (terms.allow, terms.deny_all) = (Vec::new(), None);
        }
        if has("mirror") {
            terms.mirrors.clear();
        }
        for statement in block {
            self.term(&mut terms, statement);
        }
        terms
    }

    fn term(&mut self, terms: &mut Terms, statement: &Statement) {
        let id = statement.id;
        let (first, second) = (statement.argument(0), statement.argument(1));
        let time = || read_duration(first, Duration::from_secs(1)).map(|it| (it, id));
        match statement.name() {
            "proxy_connect_timeout" => terms.connect = time(),
            "proxy_read_timeout" => terms.read = time(),
            "proxy_send_timeout" => terms.send = time(),
            "client_max_body_size" => terms.body = read_size(first).map(|it| (it, id)),
            "proxy_set_header" => {
                terms.request.push((first.to_owned(), second.to_owned(), id));
            }
            "add_header" => {
                terms.response.push((first.to_owned(), second.to_owned(), id));
                if statement.argument(2) != "always" {
                    let why = "set on replies of every status, as with `always`";
                    self.draft.ledger.partly(id, why);
                }
            }
            "proxy_hide_header" => terms.hidden.push((first.to_owned(), id)),
            "limit_req" => {
                terms.rate = Some(id);
                terms.rate_words = statement.arguments().to_vec();
            }
            "mirror" if first != "off" => terms.mirrors.push((first.to_owned(), id)),
            "allow" => terms.allow.push((first.to_owned(), id)),
            "deny" if first == "all" => terms.deny_all = Some(id),
            "set" if !second.contains('$') => {
                terms.constants.push((first.to_owned(), second.to_owned(), id));
            }
            name if name.starts_with("proxy_ssl_") || name.starts_with("proxy_next_upstream") => {
                let words = statement.arguments().to_vec();
                terms.origin.retain(|(other, ..)| other != name);
                terms.origin.push((name.to_owned(), words, id));
            }
            _ => self.plain(statement),
        }
    }

    /// What is so here anyway, or holds for all of ours.
    fn plain(&mut self, statement: &Statement) {
        let id = statement.id;
        let first = statement.argument(0);
        match (statement.name(), first) {
            ("proxy_http_version", "1.1")
            | ("proxy_buffering" | "proxy_request_buffering" | "proxy_cache", "off")
            | ("proxy_redirect", "off")
            | ("gzip" | "autoindex" | "auth_basic" | "mirror" | "http2" | "ssl_stapling", "off")
            | ("proxy_cache_bypass" | "proxy_no_cache", "$http_upgrade")
            | ("proxy_socket_keepalive" | "underscores_in_headers", "on" | "off")
            | ("ignore_invalid_headers", _) => self.draft.ledger.carry(id),
            ("proxy_buffering" | "proxy_request_buffering", _) => {
                self.draft
                    .ledger
                    .partly(id, "bodies are streamed; a slow client is held off by its own flow");
            }
            ("set_real_ip_from", "unix:") => {}
            ("set_real_ip_from", net) => self.trusted.push((net.to_owned(), id)),
            ("real_ip_header", name) if name.eq_ignore_ascii_case("X-Forwarded-For") => {
                self.draft.ledger.carry(id);
            }
            ("real_ip_header", "proxy_protocol")
            | ("real_ip_recursive", "on")
            | ("proxy_pass_header", _) => self.draft.ledger.carry(id),
            ("keepalive_timeout", _) => self.deadline("idle", statement),
            ("client_header_timeout", _) => self.deadline("header", statement),
            ("client_body_timeout" | "send_timeout", _) => self.deadline("body", statement),
            ("keepalive_requests", count) => {
                let at = self.draft.global("limits");
                self.draft.set(at, "requests_per_connection", count, &[id]);
            }
            ("large_client_header_buffers", _) => {
                if let Some(bytes) = read_size(statement.argument(1)) {
                    let at = self.draft.global("limits");
                    self.draft.set(at, "header_bytes", values::size(bytes), &[id]);
                    self.draft.ledger.partly(id, "all fields of a head together have so much room");
                }
            }
            _ => {}
        }
    }

    fn deadline(&mut self, key: &str, statement: &Statement) {
        if let Some(time) = read_duration(statement.argument(0), Duration::from_secs(1)) {
            let at = self.draft.global("timeouts");
            self.draft.set(at, key, values::duration(time), &[statement.id]);
        }
    }

    /// Puts down in a route what holds for it.
    pub(super) fn put_terms(&mut self, at: At, terms: &Terms) {
        if let Some((time, id)) = terms.connect {
            self.draft.set(at, "timeouts.connect", values::duration(time), &[id]);
        }
        if let Some((time, id)) = terms.read {
            self.draft.set(at, "timeouts.response", values::duration(time), &[id]);
            self.draft.set(at, "timeouts.tunnel", values::duration(time), &[id]);
        }
        let (read, send) = (terms.read, terms.send);
        let from: Vec<Id> = [read, send].into_iter().flatten().map(|(_, id)| id).collect();
        if let Some(time) = [read, send].into_iter().flatten().map(|(time, _)| time).max() {
            self.draft.set(at, "timeouts.body", values::duration(time), &from);
        }
        self.put_limits(at, terms);
        self.put_request(at, terms);
        self.put_response(at, terms);
    }

    pub(super) fn put_limits(&mut self, at: At, terms: &Terms) {
        if let Some((bytes, id)) = terms.body {
            self.draft.set(at, "limits.body", values::size(bytes), &[id]);
        }
        let Some(id) = terms.rate else { return };
        let word = |key: &str| terms.rate_words.iter().find_map(|it| it.strip_prefix(key));
        let Some(zone) = word("zone=").and_then(|zone| self.zones.get(zone)).copied() else {
            self.draft.ledger.leave(id, "its zone is not defined in these files");
            return;
        };
        let rate = zone.words.iter().find_map(|it| it.strip_prefix("rate="));
        let rate = rate.and_then(|it| {
            it.strip_suffix("r/s")
                .map(|n| (n, "s"))
                .or_else(|| it.strip_suffix("r/m").map(|n| (n, "m")))
        });
        let (Some((number, unit)), Some(by)) = (rate, key_of(zone.argument(0))) else {
            let why = "clients are counted by address, a cookie, a field or a query parameter";
            self.draft.ledger.leave(id, why);
            self.draft.ledger.leave(zone.id, why);
            return;
        };
        let both = [id, zone.id];
        self.draft.set(at, "limits.rate", values::text(&format!("{number}/{unit}")), &both);
        self.draft.set(at, "limits.by", values::text(&by), &both);
        if let Some(burst) = word("burst=").and_then(|it| it.parse::<u32>().ok()) {
            self.draft.set(at, "limits.burst", burst.saturating_add(1).to_string(), &[id]);
        }
        if !terms.rate_words.iter().any(|it| it == "nodelay") {
            self.draft
                .ledger
                .partly(id, "what is beyond the rate is refused with 429, never delayed");
        }
    }

    fn put_request(&mut self, at: At, terms: &Terms) {
        for (name, value, id) in &terms.request {
            let lower = name.to_ascii_lowercase();
            if is_written(&lower, value) {
                self.draft.ledger.carry(*id);
            } else if lower == "host" {
                // The upstream says so; see `upstream.rs`.
            } else if value.is_empty() {
                self.draft.push(at, "headers.request.remove", &lower, *id);
            } else if value.contains('$') {
                let why = "a field gets a fixed text: gnomon has no variables";
                self.draft.ledger.leave(*id, why);
            } else {
                let key = format!("headers.request.set.{}", values::key(&lower));
                self.draft.set(at, &key, values::text(value), &[*id]);
            }
        }
    }

    fn put_response(&mut self, at: At, terms: &Terms) {
        for (name, value, id) in &terms.response {
            if value.contains('$') {
                self.draft.ledger.leave(*id, "a field gets a fixed text: gnomon has no variables");
            } else if !value.is_empty() {
                let key =
                    format!("headers.response.add.{}", values::key(&name.to_ascii_lowercase()));
                self.draft.set(at, &key, values::text(value.trim()), &[*id]);
            }
        }
        for (name, id) in &terms.hidden {
            let lower = name.to_ascii_lowercase();
            self.draft.push(at, "headers.response.remove", &lower, *id);
        }
    }
}

/// Whether gnomon writes this field itself, or passes it on, or has no use for it.
fn is_written(name: &str, value: &str) -> bool {
    match name {
        "x-real-ip" => value == "$remote_addr" || value == "$proxy_add_x_forwarded_for",
        "x-forwarded-for" => {
            matches!(value, "$proxy_add_x_forwarded_for" | "$remote_addr" | "$proxy_protocol_addr")
        }
        "x-forwarded-proto" | "x-forwarded-scheme" | "x-scheme" => {
            value == "$scheme" && name == "x-forwarded-proto"
        }
        "x-forwarded-host" => matches!(value, "$host" | "$http_host"),
        "x-request-id" => value == "$request_id",
        "upgrade" => value == "$http_upgrade" || value.eq_ignore_ascii_case("websocket"),
        "connection" => {
            value.is_empty()
                || value.starts_with("$connection")
                || value == "$http_connection"
                || value.eq_ignore_ascii_case("upgrade")
                || value.eq_ignore_ascii_case("keep-alive")
        }
        // A field that is set to what the client sent is passed on.
        name => value.strip_prefix("$http_").is_some_and(|it| it == name.replace('-', "_")),
    }
}

/// The key that a variable stands for, as ours are written.
pub(super) fn key_of(variable: &str) -> Option<String> {
    let variable = variable.replace(['{', '}'], "");
    let name = variable.strip_prefix('$')?;
    if name.contains('$') {
        return None;
    }
    match name {
        "remote_addr" | "binary_remote_addr" | "realip_remote_addr" | "proxy_protocol_addr" => {
            Some("client_ip".to_owned())
        }
        name => {
            let dashed = |name: &str| name.replace('_', "-");
            let of = |start: &str| name.strip_prefix(start).filter(|it| !it.is_empty());
            of("cookie_")
                .map(|it| format!("cookie:{it}"))
                .or_else(|| of("arg_").map(|it| format!("query:{it}")))
                .or_else(|| of("http_").map(|it| format!("header:{}", dashed(it))))
        }
    }
}
