//! `frontend` and `listen`: where they listen, and which request goes to which backend.

use super::{
    super::{
        draft::{At, Kind},
        ledger::Id,
        values,
    },
    Line, Section, World,
    condition::{Condition, alternatives},
};

/// Sockets of one listener.
#[derive(Default)]
pub(super) struct Sockets {
    addresses: Vec<String>,
    from: Vec<Id>,
    certs: Vec<(String, Id)>,
    min: Option<(&'static str, Id)>,
    client: Vec<(&'static str, String, Id)>,
}

const HTTPS: &str = "routes hold on every listener, and this one would catch https as well: let whatever answers \
                     port 80 today go on sending people to https";

impl World<'_> {
    /// Listeners for every way of speaking.
    pub(super) fn listeners(&mut self) {
        for ((tls, proxy), sockets) in std::mem::take(&mut self.sockets) {
            let at = self.draft.table(Kind::Listener, if tls { "https" } else { "http" }, &[]);
            self.draft.need(at, "bind", values::list(&sockets.addresses), &sockets.from);
            if proxy {
                self.draft.need(at, "proxy_protocol", "true", &[]);
            }
            if !tls {
                continue;
            }
            // HAProxy has certificate and key in one file, and so may we.
            let pairs: Vec<String> = sockets
                .certs
                .iter()
                .map(|(file, _)| {
                    format!("{{ cert = {}, key = {} }}", values::text(file), values::text(file))
                })
                .collect();
            let from: Vec<Id> = sockets.certs.iter().map(|(_, id)| *id).collect();
            self.draft.need(at, "tls.certs", format!("[{}]", pairs.join(", ")), &from);
            if let Some((min, id)) = sockets.min {
                self.draft.set(at, "tls.min", values::text(min), &[id]);
            }
            for (key, value, id) in &sockets.client {
                self.draft.set(at, &format!("tls.{key}"), values::text(value), &[*id]);
            }
        }
    }

    /// Sockets and routes of a frontend.
    pub(super) fn frontend(&mut self, section: &Section) {
        for line in section.all(&["bind"]) {
            self.bind(line);
        }
        let before = self.draft.tables.len();
        let mut rules = Vec::new();
        for line in &section.lines {
            match (line.word(0), line.word(1)) {
                ("http-request" | "redirect", _) => rules.push(line),
                ("use_backend", _) => rules.push(line),
                _ => {}
            }
        }
        let count = rules.len();
        for (ix, line) in rules.into_iter().enumerate() {
            self.rule(section, line, count - ix);
        }
        let default = section.last(&["default_backend"]).cloned();
        if let Some(line) = default {
            self.forward(section, line.word(1), &Condition::default(), &[line.id], 0);
        } else if section.kind == "listen" && section.all(&["server"]).next().is_some() {
            self.forward(section, &section.name, &Condition::default(), &[section.id], 0);
        }
        if self.draft.tables.len() > before {
            self.draft.ledger.carry(section.id);
        }
    }

    fn bind(&mut self, line: &Line) {
        let words = line.from(2);
        let has = |word: &str| words.iter().any(|it| it == word);
        let after = |word: &str| {
            let at = words.iter().position(|it| it == word)?;
            words.get(at + 1).cloned()
        };
        let tls = has("ssl");
        if after("alpn").is_some_and(|it| it.contains("h2")) {
            self.draft.ledger.partly(line.id, "gnomon speaks HTTP/1.1 with clients");
        }
        let sockets = self.sockets.entry((tls, has("accept-proxy"))).or_default();
        for address in line.word(1).split(',') {
            let Some(address) = address_of(address) else {
                let why = "gnomon listens on an IP address and one port: write them in `bind`";
                self.draft.ledger.leave(line.id, why);
                return;
            };
            if !sockets.addresses.contains(&address) {
                sockets.addresses.push(address);
            }
        }
        sockets.from.push(line.id);
        for (at, word) in words.iter().enumerate() {
            if let ("crt", Some(file)) = (word.as_str(), words.get(at + 1)) {
                sockets.certs.push((file.clone(), line.id));
            }
        }
        if after("ssl-min-ver").is_some_and(|it| it == "TLSv1.3") {
            sockets.min = Some(("1.3", line.id));
        }
        if let Some(file) = after("ca-file") {
            sockets.client.push(("client_ca", file, line.id));
            let auth = if after("verify").is_some_and(|it| it == "required") {
                "require"
            } else {
                "optional"
            };
            sockets.client.push(("client_auth", auth.to_owned(), line.id));
        }
    }

    /// `use_backend`, `redirect` and `http-request`, in their order.
    fn rule(&mut self, section: &Section, line: &Line, priority: usize) {
        let words = &line.words;
        let at = words.iter().position(|it| it == "if" || it == "unless").unwrap_or(words.len());
        let (does, when) = words.split_at(at);
        match (line.word(0), line.word(1)) {
            ("use_backend", backend) => {
                if backend.contains('%') {
                    let why = "a backend's name out of the request: write a route for each";
                    return self.draft.ledger.leave(line.id, why);
                }
                for condition in self.conditions(section, line, when) {
                    self.forward(section, backend, &condition, &[line.id], priority);
                }
            }
            ("redirect", _) => self.redirect(section, line, &does[1..], when, priority),
            ("http-request", "redirect") => {
                self.redirect(section, line, &does[2..], when, priority)
            }
            ("http-request", "deny" | "return" | "tarpit" | "reject") => {
                self.respond(section, line, does, when, priority);
            }
            _ => {}
        }
    }

    fn conditions(&mut self, section: &Section, line: &Line, when: &[String]) -> Vec<Condition> {
        match alternatives(section, when) {
            Ok(all) => all,
            Err(why) => {
                self.draft.ledger.leave(line.id, why);
                Vec::new()
            }
        }
    }

    fn redirect(
        &mut self,
        section: &Section,
        line: &Line,
        does: &[String],
        when: &[String],
        priority: usize,
    ) {
        let after = |word: &str| {
            let at = does.iter().position(|it| it == word)?;
            does.get(at + 1).map(String::as_str)
        };
        if after("scheme").is_some() {
            let why = if self.has_tls {
                HTTPS
            } else {
                "gnomon does not know how its client's client spoke"
            };
            return self.draft.ledger.leave(line.id, why);
        }
        let code = after("code").unwrap_or("302").to_owned();
        let to = match (after("location"), after("prefix")) {
            (Some(to), _) => to.to_owned(),
            (None, Some(prefix)) => format!("{}{{uri}}", prefix.trim_end_matches('/')),
            (None, None) => return self.draft.ledger.leave(line.id, "it does not say where to"),
        };
        if to.contains('%') {
            let why = "redirects know {host}, {uri}, {path} and {query}";
            return self.draft.ledger.leave(line.id, why);
        }
        for condition in self.conditions(section, line, when) {
            let at = self.route(section, "redirect", &condition, priority);
            self.draft.need(at, "redirect.to", values::text(&to), &[line.id]);
            self.draft.need(at, "redirect.status", code.clone(), &[line.id]);
        }
    }

    fn respond(
        &mut self,
        section: &Section,
        line: &Line,
        does: &[String],
        when: &[String],
        priority: usize,
    ) {
        let after = |word: &str| {
            let at = does.iter().position(|it| it == word)?;
            does.get(at + 1).map(String::as_str)
        };
        let is_answer = line.word(1) == "return";
        let status = after("status").or_else(|| after("deny_status"));
        let status = status.unwrap_or(if is_answer { "200" } else { "403" }).to_owned();
        let body = after("string").or_else(|| after("lf-string")).unwrap_or_default().to_owned();
        if body.contains('%') || after("file").is_some() || after("errorfile").is_some() {
            return self.draft.ledger.leave(line.id, "a reply has a fixed text");
        }
        if when.is_empty() && !is_answer {
            return self.draft.ledger.leave(line.id, "it would refuse everybody");
        }
        let kind = after("content-type").map(str::to_owned);
        for condition in self.conditions(section, line, when) {
            let at = self.route(section, "answer", &condition, priority);
            self.draft.need(at, "respond.status", status.clone(), &[line.id]);
            if !body.is_empty() {
                self.draft.set(at, "respond.body", values::text(&body), &[line.id]);
            }
            if let Some(kind) = &kind {
                self.draft.set(at, "respond.headers.content-type", values::text(kind), &[line.id]);
            }
        }
    }

    /// A route with its matches. Rules are asked in their order: `priority` says so.
    fn route(
        &mut self,
        section: &Section,
        name: &str,
        condition: &Condition,
        priority: usize,
    ) -> At {
        let at = self.draft.table(Kind::Route, &format!("{}-{name}", section.name), &[]);
        for (key, value) in &condition.matches {
            self.draft.need(at, key, value.clone(), &condition.from);
        }
        if priority > 0 {
            self.draft.need(at, "priority", priority.to_string(), &[]);
            self.draft.note("`priority` keeps the order of HAProxy's rules.");
        }
        at
    }

    fn forward(
        &mut self,
        section: &Section,
        backend: &str,
        condition: &Condition,
        from: &[Id],
        priority: usize,
    ) {
        let Some(upstream) = self.backend(backend) else {
            let why = format!("the backend `{backend}` could not be carried over");
            from.iter().for_each(|id| self.draft.ledger.leave(*id, why.clone()));
            return;
        };
        let at = self.route(section, backend, condition, priority);
        let name = self.draft.name(upstream).to_owned();
        self.draft.need(at, "to", values::text(&name), from);
        let sections = self.sections.clone();
        let own = sections.iter().find(|it| it.name == backend && it.kind != "frontend");
        for section in [Some(section), own.filter(|it| it.id != section.id)].into_iter().flatten() {
            self.terms(at, section);
        }
    }
}

/// An address as ours are written.
fn address_of(text: &str) -> Option<String> {
    let text = text.strip_prefix("ipv4@").or_else(|| text.strip_prefix("ipv6@")).unwrap_or(text);
    if let Some(path) = text.strip_prefix("unix@") {
        return Some(format!("unix:{path}"));
    }
    if text.starts_with('/') {
        return Some(format!("unix:{text}"));
    }
    let (host, port) = text.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    match host {
        "" | "*" => Some(format!("0.0.0.0:{port}")),
        "::" | "[::]" => Some(format!("[::]:{port}")),
        "localhost" => Some(format!("127.0.0.1:{port}")),
        host => {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            let ip = bare.parse::<std::net::IpAddr>().ok()?;
            Some(std::net::SocketAddr::new(ip, port.parse().ok()?).to_string())
        }
    }
}
