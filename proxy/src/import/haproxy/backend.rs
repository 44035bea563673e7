//! `backend`: servers, their checks, and what requests to them get.

use std::time::Duration;

use super::{
    super::{
        draft::{At, Kind},
        ledger::Id,
        values::{self, read_duration},
    },
    Line, Section, World,
};

/// A server of a backend.
struct Origin {
    endpoint: String,
    weight: u32,
    line: Line,
}

impl World<'_> {
    /// Our upstream for a backend; none if it has no server that we could ask.
    pub(super) fn backend(&mut self, name: &str) -> Option<At> {
        if let Some(made) = self.made.get(name) {
            return *made;
        }
        let found = self
            .sections
            .iter()
            .find(|it| it.name == name && matches!(it.kind.as_str(), "backend" | "listen"));
        let section = found?.clone();
        if !section.is_http() {
            return None;
        }
        let origins = self.origins(&section);
        let made = (!origins.is_empty()).then(|| self.upstream(&section, &origins));
        self.made.insert(name.to_owned(), made);
        made
    }

    fn origins(&mut self, section: &Section) -> Vec<Origin> {
        let mut origins = Vec::new();
        for line in section.all(&["server"]) {
            let has = |word: &str| line.words.iter().any(|it| it == word);
            if has("disabled") {
                self.draft.ledger.carry(line.id);
                continue;
            }
            if has("backup") {
                let why =
                    "gnomon has no endpoints in reserve: all of a version's share its requests";
                self.draft.ledger.leave(line.id, why);
                continue;
            }
            let address = line.word(2).strip_prefix("unix@").map(|it| format!("unix:{it}"));
            let address = address.unwrap_or_else(|| line.word(2).replace("ipv4@", ""));
            let port = if has("ssl") { 443 } else { 80 };
            let endpoint = values::endpoint(&address, port);
            let weight = after(line, "weight").and_then(|it| it.parse().ok()).unwrap_or(1);
            origins.push(Origin { endpoint, weight, line: line.clone() });
        }
        origins
    }

    fn upstream(&mut self, section: &Section, origins: &[Origin]) -> At {
        let at = self.draft.table(Kind::Upstream, &section.name, &[section.id]);
        let mut weights: Vec<u32> = origins.iter().map(|it| it.weight).collect();
        weights.sort_unstable_by(|a, b| b.cmp(a));
        weights.dedup();
        let total: f64 = origins.iter().map(|it| f64::from(it.weight)).sum();
        for (ix, weight) in weights.iter().enumerate() {
            let of: Vec<&Origin> = origins.iter().filter(|it| it.weight == *weight).collect();
            let version = format!("versions.v{}", ix + 1);
            let endpoints: Vec<String> = of.iter().map(|it| it.endpoint.clone()).collect();
            let from: Vec<Id> = of.iter().map(|it| it.line.id).collect();
            self.draft.need(at, &format!("{version}.endpoints"), values::list(&endpoints), &from);
            if let Some(first) = of.first() {
                self.tls(at, &version, &first.line);
            }
            // The heaviest takes the rest.
            if ix > 0 {
                let share = of.iter().map(|it| f64::from(it.weight)).sum::<f64>() / total * 100.0;
                self.draft.need(at, &format!("split.v{}", ix + 1), values::percent(share), &from);
            }
        }
        self.balance(at, section);
        self.health(at, section, origins);
        self.sticky(at, section);
        for origin in origins {
            if let Some(count) = after(&origin.line, "maxconn") {
                self.draft.set(at, "pool.max", count, &[origin.line.id]);
            }
        }
        if let Some(line) = section.last(&["retries"]) {
            let count = line.word(1).parse::<u32>().unwrap_or(1).min(10);
            self.draft.set(at, "retry.attempts", count.to_string(), &[line.id]);
        }
        if let Some((time, id)) = section.timeout("queue") {
            self.draft.set(at, "pool.queue", values::duration(time), &[id]);
        }
        at
    }

    fn tls(&mut self, at: At, version: &str, line: &Line) {
        let has = |word: &str| line.words.iter().any(|it| it == word);
        if has("send-proxy-v2") {
            self.draft.need(at, &format!("{version}.proxy_protocol"), "\"v2\"", &[line.id]);
        } else if has("send-proxy") {
            self.draft.need(at, &format!("{version}.proxy_protocol"), "\"v2\"", &[line.id]);
            self.draft.ledger.partly(line.id, "the PROXY header has version 2");
        }
        if !has("ssl") {
            return;
        }
        let verify =
            if after(line, "verify").is_some_and(|it| it == "none") { "false" } else { "true" };
        self.draft.need(at, &format!("{version}.tls.verify"), verify, &[line.id]);
        for (theirs, ours) in [("ca-file", "ca"), ("sni", "name"), ("verifyhost", "name")] {
            let value =
                after(line, theirs).map(|it| it.trim_start_matches("str(").trim_end_matches(')'));
            match value {
                Some(value) if !value.contains('(') => {
                    let key = format!("{version}.tls.{ours}");
                    self.draft.set(at, &key, values::text(value), &[line.id]);
                }
                Some(_) => self.draft.ledger.partly(line.id, "`tls.name` is a fixed name"),
                None => {}
            }
        }
        if let Some(file) = after(line, "crt") {
            for key in ["cert", "key"] {
                let key = format!("{version}.tls.{key}");
                self.draft.set(at, &key, values::text(file), &[line.id]);
            }
        }
    }

    fn balance(&mut self, at: At, section: &Section) {
        let Some(line) = section.last(&["balance"]) else { return };
        let word = line.word(1);
        let argument = word.split_once('(').map(|(_, it)| it.trim_end_matches(')').to_owned());
        let value = match (word, argument) {
            ("roundrobin" | "static-rr", _) => "round_robin".to_owned(),
            ("leastconn", _) => "least_conn".to_owned(),
            ("random", _) => "p2c".to_owned(),
            ("source", _) => "hash:client_ip".to_owned(),
            ("url_param", _) => format!("hash:query:{}", line.word(2)),
            (word, Some(field)) if word.starts_with("hdr(") => {
                format!("hash:header:{}", field.to_ascii_lowercase())
            }
            (word, Some(_)) if word.starts_with("random(") => "p2c".to_owned(),
            _ => {
                let why = "`balance` is p2c, round_robin, least_conn or the hash of a key";
                return self.draft.ledger.leave(line.id, why);
            }
        };
        self.draft.set(at, "balance", values::text(&value), &[line.id]);
    }

    fn health(&mut self, at: At, section: &Section, origins: &[Origin]) {
        let checked = origins.iter().find(|it| it.line.words.iter().any(|it| it == "check"));
        let Some(checked) = checked else { return };
        let id = checked.line.id;
        let base = section.last(&["default-server"]).cloned();
        let said = |word: &str| {
            let own = after(&checked.line, word).map(|it| (it.to_owned(), id));
            own.or_else(|| base.as_ref().and_then(|it| Some((after(it, word)?.to_owned(), it.id))))
        };
        let inter = said("inter")
            .and_then(|(it, id)| Some((read_duration(&it, Duration::from_millis(1))?, id)));
        let (interval, from) = inter.unwrap_or((Duration::from_secs(2), id));
        self.draft.set(at, "health.interval", values::duration(interval), &[from]);
        if let Some((time, id)) = section.timeout("check") {
            self.draft.set(at, "health.timeout", values::duration(time.min(interval)), &[id]);
        }
        for (theirs, ours) in [("rise", "health.healthy"), ("fall", "health.unhealthy")] {
            if let Some((count, id)) = said(theirs) {
                self.draft.set(at, ours, count, &[id]);
            }
        }
        if let Some(line) = section.last(&["option", "httpchk"]) {
            // `GET /path HTTP/1.1\r\nHost:…`, or the path alone, or nothing.
            let words = line.from(2);
            let path = words.iter().find(|it| it.starts_with('/'));
            let path = path.map_or("/", String::as_str);
            self.draft.set(at, "health.path", values::text(path), &[line.id]);
            let method = words.first().map(String::as_str);
            if method.is_some_and(|it| !it.starts_with('/') && it != "GET") {
                self.draft.ledger.partly(line.id, "a check is a GET");
            }
        }
        for line in section.all(&["http-check"]) {
            self.http_check(at, line);
        }
    }

    fn http_check(&mut self, at: At, line: &Line) {
        let word = |word: &str| after(line, word);
        match line.word(1) {
            "send" => {
                if let Some(path) = word("uri") {
                    self.draft.set(at, "health.path", values::text(path), &[line.id]);
                }
                let host = line.words.iter().position(|it| it.eq_ignore_ascii_case("host"));
                if let Some(host) = host.and_then(|it| line.words.get(it + 1)) {
                    self.draft.set(at, "health.host", values::text(host), &[line.id]);
                }
            }
            "expect" if line.word(2) == "status" => {
                let all: Vec<String> = line.word(3).split(',').map(str::to_owned).collect();
                self.draft.set(at, "health.expect", values::list(&all), &[line.id]);
            }
            "expect" if line.word(2) == "rstatus" => {
                let starts =
                    [("2", "200-299"), ("3", "300-399"), ("(2|3)", "200-399"), ("[23]", "200-399")];
                let found = starts.iter().find(|(it, _)| {
                    let bare = line.word(3).trim_start_matches('^');
                    bare.strip_prefix(it).is_some_and(|rest| {
                        !rest.contains(|it: char| it.is_ascii_digit() && it != '0' && it != '9')
                    })
                });
                if let Some((_, range)) = found {
                    self.draft.set(at, "health.expect", values::text(range), &[line.id]);
                }
            }
            _ => {}
        }
    }

    fn sticky(&mut self, at: At, section: &Section) {
        let Some(line) = section.last(&["cookie"]) else { return };
        let why = "users stay on their version; which of its endpoints they get is `balance`'s";
        let has = |word: &str| line.words.iter().any(|it| it == word);
        if has("insert") || has("prefix") || has("rewrite") {
            let cookie = values::text(line.word(1));
            self.draft.set(at, "sticky.key", "\"cookie\"", &[line.id]);
            self.draft.set(at, "sticky.cookie", cookie, &[line.id]);
            if let Some(age) =
                after(line, "maxlife").and_then(|it| read_duration(it, Duration::from_secs(1)))
            {
                self.draft.set(at, "sticky.max_age", values::duration(age), &[line.id]);
            }
        } else {
            let key = format!("cookie:{}", line.word(1));
            self.draft.set(at, "sticky", values::text(&key), &[line.id]);
        }
        self.draft.ledger.partly(line.id, why);
    }

    /// What requests of a route get: deadlines and fields.
    pub(super) fn terms(&mut self, at: At, section: &Section) {
        if section.kind != "frontend" {
            for (theirs, ours) in [
                ("connect", &["timeouts.connect"][..]),
                ("server", &["timeouts.response", "timeouts.body"]),
                ("tunnel", &["timeouts.tunnel"]),
            ] {
                if let Some((time, id)) = section.timeout(theirs) {
                    for key in ours {
                        self.draft.set(at, key, values::duration(time), &[id]);
                    }
                }
            }
        }
        for line in &section.lines {
            match (line.word(0), line.word(1)) {
                ("http-request" | "http-response", _) => self.edit(at, line),
                ("reqadd" | "rspadd", _) => {
                    let text = line.from(1).join(" ");
                    if line.words.iter().any(|it| it == "if" || it == "unless") {
                        let why = "fields are edited by route: write one for the condition";
                        self.draft.ledger.leave(line.id, why);
                    } else if let Some((name, value)) = text.split_once(':') {
                        let side = if line.word(0) == "reqadd" { "request" } else { "response" };
                        let key = format!(
                            "headers.{side}.add.{}",
                            values::key(&name.to_ascii_lowercase())
                        );
                        self.draft.set(at, &key, values::text(value.trim()), &[line.id]);
                    }
                }
                _ => {}
            }
        }
    }

    fn edit(&mut self, at: At, line: &Line) {
        let side = if line.word(0) == "http-request" { "request" } else { "response" };
        let conditions = line.words.iter().any(|it| it == "if" || it == "unless");
        let (name, value) = (line.word(2).to_ascii_lowercase(), line.word(3));
        let sort = match line.word(1) {
            "set-header" => "set",
            "add-header" => "add",
            "del-header" => "remove",
            "set-path" | "replace-path" if side == "request" => return self.rewrite(at, line),
            _ => return,
        };
        if name == "x-forwarded-proto" || (name == "x-forwarded-for" && value.starts_with("%[src"))
        {
            return self.draft.ledger.carry(line.id);
        }
        if name == "x-forwarded-host" || (name == "x-real-ip" && value == "%[src]") {
            return self.draft.ledger.carry(line.id);
        }
        if conditions {
            return self
                .draft
                .ledger
                .leave(line.id, "fields are edited by route: write one for the condition");
        }
        if value.contains('%') {
            return self.draft.ledger.leave(line.id, "a field gets a fixed text");
        }
        if sort == "remove" {
            self.draft.push(at, &format!("headers.{side}.remove"), &name, line.id);
        } else {
            let key = format!("headers.{side}.{sort}.{}", values::key(&name));
            self.draft.set(at, &key, values::text(value.trim()), &[line.id]);
        }
    }

    fn rewrite(&mut self, at: At, line: &Line) {
        if line.words.iter().any(|it| it == "if" || it == "unless") {
            return self
                .draft
                .ledger
                .leave(line.id, "paths are rewritten by route: write one for the condition");
        }
        if line.word(1) == "replace-path" {
            let with = line.word(3).replace('\\', "$");
            self.draft.need(at, "rewrite.path_regex", values::text(line.word(2)), &[line.id]);
            self.draft.need(at, "rewrite.with", values::text(&with), &[line.id]);
        } else if line.word(2).contains('%') {
            self.draft.ledger.leave(line.id, "write `rewrite` of the route");
        } else {
            self.draft.need(at, "rewrite.path", values::text(line.word(2)), &[line.id]);
        }
    }

    /// What holds for all of ours.
    pub(super) fn globals(&mut self, sections: &[Section]) {
        for section in sections {
            if section.kind == "global" {
                if let Some(line) = section.last(&["maxconn"]) {
                    let at = self.draft.global("limits");
                    self.draft.set(at, "connections", line.word(1), &[line.id]);
                }
            } else {
                self.deadlines(section);
            }
        }
    }

    fn deadlines(&mut self, section: &Section) {
        if section.kind != "defaults" && !section.is_http() {
            return;
        }
        for (theirs, ours) in
            [("http-request", "header"), ("http-keep-alive", "idle"), ("client", "body")]
        {
            let own = section.all(&["timeout", theirs]).last().cloned();
            let time = own.and_then(|line| {
                Some((read_duration(line.word(2), Duration::from_millis(1))?, line.id))
            });
            let http =
                section.kind != "defaults" || section.all(&["mode", "http"]).next().is_some();
            if let (Some((time, id)), true) = (time, http) {
                let at = self.draft.global("timeouts");
                self.draft.set(at, ours, values::duration(time), &[id]);
            }
        }
    }
}

/// The word after one.
fn after<'l>(line: &'l Line, word: &str) -> Option<&'l str> {
    let at = line.words.iter().position(|it| it == word)?;
    line.words.get(at + 1).map(String::as_str)
}
