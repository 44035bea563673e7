//! `upstream`, and wherever else `proxy_pass` leads.

use std::time::Duration;

use super::{
    super::{
        draft::{At, Kind},
        ledger::Id,
        values,
    },
    World,
    grammar::Statement,
    terms::{Terms, key_of},
};

/// Where `proxy_pass` leads.
pub(super) struct Proxied {
    /// Our upstream.
    pub(super) upstream: String,
    /// The path behind the address, if there is one.
    pub(super) uri: Option<String>,
    /// Conditions under which another upstream is meant: key, TOML, upstream, the table's directive.
    pub(super) others: Vec<(String, String, String, Id)>,
}

/// A server of an upstream.
struct Origin {
    endpoint: String,
    weight: u32,
    from: Id,
}

const VARIABLE: &str = "gnomon has no variables: name an upstream, or write routes with conditions";

impl<'s> World<'s> {
    /// Where `proxy_pass` leads; the upstreams for it are made.
    ///
    /// # Errors
    ///
    /// Why nobody can say.
    pub(super) fn proxied(
        &mut self,
        pass: &'s Statement,
        terms: &Terms,
    ) -> Result<Proxied, String> {
        let mut url = pass.argument(0).to_owned();
        for (name, value, id) in &terms.constants {
            let braced = format!("${{{}}}", name.trim_start_matches('$'));
            if url.contains(name.as_str()) || url.contains(&braced) {
                url = url.replace(&braced, value).replace(name.as_str(), value);
                self.draft.ledger.carry(*id);
            }
        }
        let url = url.replace("$request_uri", "").replace("$uri$is_args$args", "");
        if let Some(table) =
            url.strip_prefix('$').and_then(|_| self.tables.get(url.as_str()).copied())
        {
            return self.chosen(pass, table, "", terms);
        }
        let (scheme, rest) = values::scheme(&url).ok_or(VARIABLE)?;
        if scheme != "http" && scheme != "https" {
            return Err("gnomon speaks HTTP to origins alone".to_owned());
        }
        let (authority, uri) = split(rest);
        if let Some(table) = self.tables.get(authority.as_str()).copied() {
            return self.chosen(pass, table, &format!("{scheme}://"), terms);
        }
        if authority.contains('$') || uri.as_ref().is_some_and(|it| it.contains('$')) {
            return Err(VARIABLE.to_owned());
        }
        let upstream = self.pool(scheme == "https", &authority, pass.id, terms);
        Ok(Proxied { upstream: self.draft.name(upstream).to_owned(), uri, others: Vec::new() })
    }

    /// `proxy_pass http://$x`, where `map` or `split_clients` says what `$x` is.
    fn chosen(
        &mut self,
        pass: &'s Statement,
        table: &'s Statement,
        scheme: &str,
        terms: &Terms,
    ) -> Result<Proxied, String> {
        let rows: Vec<(String, String)> = table
            .inner()
            .iter()
            .map(|row| (row.name().to_owned(), row.argument(0).to_owned()))
            .collect();
        if rows.iter().any(|(_, value)| value.is_empty() || value.contains('$')) {
            return Err(VARIABLE.to_owned());
        }
        let addressed = |value: &str| {
            let url = format!("{scheme}{value}");
            let (scheme, rest) = values::scheme(&url).map_or(("http", url.as_str()), |it| it);
            (scheme == "https", split(rest).0)
        };
        if table.name() == "split_clients" {
            let rows = rows.iter().map(|(share, value)| (share.clone(), addressed(value)));
            return self.split(table, &rows.collect::<Vec<_>>(), terms);
        }
        let key = key_of(table.argument(0));
        let key = key.as_deref().and_then(|key| key.split_once(':'));
        let Some((sort, name)) = key else {
            let why = "choose by a field, a cookie or a query parameter, in routes of their own";
            self.draft.ledger.leave(table.id, why);
            return Err(why.to_owned());
        };
        let condition = format!("match.{sort}.{}", values::key(name));
        let mut others = Vec::new();
        let mut default = None;
        for (when, value) in &rows {
            let (tls, authority) = addressed(value);
            let at = self.pool(tls, &authority, pass.id, terms);
            let upstream = self.draft.name(at).to_owned();
            let toml = match when.strip_prefix('~') {
                _ if when == "default" => {
                    default = Some(upstream);
                    continue;
                }
                Some(regex) => {
                    let (start, regex) =
                        regex.strip_prefix('*').map_or(("", regex), |it| ("(?i)", it));
                    format!("{{ regex = {} }}", values::text(&format!("{start}{regex}")))
                }
                None => values::text(when),
            };
            others.push((condition.clone(), toml, upstream, table.id));
        }
        let upstream = default.ok_or("the map has no default")?;
        self.draft.ledger.carry(table.id);
        Ok(Proxied { upstream, uri: None, others })
    }

    /// `split_clients`: the versions of one upstream.
    fn split(
        &mut self,
        table: &'s Statement,
        rows: &[(String, (bool, String))],
        terms: &Terms,
    ) -> Result<Proxied, String> {
        let name = format!("split {}", table.argument(1));
        let done = |upstream: String| Proxied { upstream, uri: None, others: Vec::new() };
        if let Some(at) = self.made.get(&name) {
            return Ok(done(self.draft.name(*at).to_owned()));
        }
        let at = self.draft.table(Kind::Upstream, table.argument(1), &[table.id]);
        self.made.insert(name, at);
        for (share, (tls, authority)) in rows {
            let version = values::key(&values::name(authority));
            let origins = self.origins(authority, *tls, table.id);
            self.version(at, &version, &origins);
            if *tls {
                self.draft.need(at, &format!("versions.{version}.tls"), "true", &[]);
            }
            if let Some(percent) = share.strip_suffix('%') {
                self.draft.need(at, &format!("split.{version}"), percent, &[table.id]);
            }
            self.pool_terms(at, authority);
        }
        let by = table.argument(0);
        let variables = by.matches('$').count();
        let first = by.split('$').nth(1).map(|it| it.trim_matches(['{', '}', '"']));
        let first = first.map(|it| it.split(['}', '$']).next().unwrap_or(it));
        match first.and_then(|it| key_of(&format!("${it}"))) {
            Some(key) => {
                self.draft.set(at, "sticky", values::text(&key), &[table.id]);
                if variables > 1 {
                    let why = "users are told apart by the first of its variables alone";
                    self.draft.ledger.partly(table.id, why);
                }
            }
            None => {
                let why =
                    "each request is drawn anew; `sticky` says what keeps a user on a version";
                self.draft.ledger.partly(table.id, why);
            }
        }
        self.host(at, None, terms);
        Ok(done(self.draft.name(at).to_owned()))
    }

    /// The upstream for an address or for the name of an `upstream`.
    fn pool(&mut self, tls: bool, authority: &str, pass: Id, terms: &Terms) -> At {
        let host = host_of(terms).map(|(value, _)| value);
        let key = format!("{tls} {authority} {host:?}");
        if let Some(at) = self.made.get(&key) {
            let at = *at;
            self.host(at, Some(authority), terms);
            self.origin_terms(at, tls, pass, terms);
            return at;
        }
        let named = self.pools.get(authority).copied();
        let from: Vec<Id> = named.iter().map(|it| it.id).collect();
        let at = self.draft.table(Kind::Upstream, authority, &from);
        self.made.insert(key, at);
        let origins = self.origins(authority, tls, pass);
        self.weighted(at, &origins, tls);
        self.pool_terms(at, authority);
        self.host(at, Some(authority), terms);
        self.origin_terms(at, tls, pass, terms);
        at
    }

    fn origins(&mut self, authority: &str, tls: bool, from: Id) -> Vec<Origin> {
        let port = if tls { 443 } else { 80 };
        let Some(pool) = self.pools.get(authority).copied() else {
            let endpoint = values::endpoint(authority, port);
            return vec![Origin { endpoint, weight: 1, from }];
        };
        let mut origins = Vec::new();
        for server in pool.inner().iter().filter(|it| it.name() == "server") {
            let has = |word: &str| server.arguments().iter().any(|it| it == word);
            let number = |key: &str| server.words.iter().find_map(|it| it.strip_prefix(key));
            if has("down") {
                self.draft.ledger.carry(server.id);
                continue;
            }
            if has("backup") {
                let why =
                    "gnomon has no endpoints in reserve: all of a version's share its requests";
                self.draft.ledger.leave(server.id, why);
                continue;
            }
            let weight = number("weight=").and_then(|it| it.parse().ok()).unwrap_or(1);
            let endpoint = values::endpoint(server.argument(0), 80);
            origins.push(Origin { endpoint, weight, from: server.id });
        }
        origins
    }

    /// Endpoints of unequal weight become versions with shares: a version's endpoints are equals.
    fn weighted(&mut self, at: At, origins: &[Origin], tls: bool) {
        let mut weights: Vec<u32> = origins.iter().map(|it| it.weight).collect();
        weights.sort_unstable_by(|a, b| b.cmp(a));
        weights.dedup();
        let total: f64 = origins.iter().map(|it| f64::from(it.weight)).sum();
        for (ix, weight) in weights.iter().enumerate() {
            let of: Vec<&Origin> = origins.iter().filter(|it| it.weight == *weight).collect();
            let version = format!("v{}", ix + 1);
            let endpoints: Vec<String> = of.iter().map(|it| it.endpoint.clone()).collect();
            let from: Vec<Id> = of.iter().map(|it| it.from).collect();
            let key = format!("versions.{version}.endpoints");
            self.draft.need(at, &key, values::list(&endpoints), &from);
            if tls {
                self.draft.need(at, &format!("versions.{version}.tls.verify"), "true", &[]);
            }
            // The first takes the rest.
            if ix > 0 {
                let share = of.iter().map(|it| f64::from(it.weight)).sum::<f64>() / total * 100.0;
                self.draft.need(at, &format!("split.{version}"), values::percent(share), &from);
            }
        }
    }

    fn version(&mut self, at: At, version: &str, origins: &[Origin]) {
        let endpoints: Vec<String> = origins.iter().map(|it| it.endpoint.clone()).collect();
        let from: Vec<Id> = origins.iter().map(|it| it.from).collect();
        let key = format!("versions.{version}.endpoints");
        self.draft.need(at, &key, values::list(&endpoints), &from);
    }

    /// What an `upstream` block says beside its servers.
    fn pool_terms(&mut self, at: At, name: &str) {
        let Some(pool) = self.pools.get(name).copied() else { return };
        self.draft.ledger.carry(pool.id);
        for statement in pool.inner() {
            let id = statement.id;
            let first = statement.argument(0);
            match statement.name() {
                "least_conn" => self.draft.set(at, "balance", "\"least_conn\"", &[id]),
                "ip_hash" => self.draft.set(at, "balance", "\"hash:client_ip\"", &[id]),
                "random" => self.draft.set(at, "balance", "\"p2c\"", &[id]),
                "hash" => match key_of(first) {
                    Some(key) => {
                        let key = format!("hash:{key}");
                        self.draft.set(at, "balance", values::text(&key), &[id]);
                    }
                    None => self.draft.ledger.leave(
                        id,
                        "`balance` hashes a cookie, a field, a query parameter or the address",
                    ),
                },
                "keepalive" => self.draft.set(at, "pool.idle_per_core", first, &[id]),
                "keepalive_timeout" => {
                    if let Some(time) = values::read_duration(first, Duration::from_secs(1)) {
                        self.draft.set(at, "pool.idle", values::duration(time), &[id]);
                    }
                }
                "server" => self.failures(at, statement),
                _ => {}
            }
        }
    }

    /// `max_fails`, `fail_timeout`, `max_conns`, which ours have for all endpoints together.
    fn failures(&mut self, at: At, server: &Statement) {
        let number = |key: &str| server.words.iter().find_map(|it| it.strip_prefix(key));
        if let Some(count) = number("max_fails=") {
            self.draft.set(at, "eject.after", count, &[server.id]);
        }
        let time = number("fail_timeout=");
        if let Some(time) = time.and_then(|it| values::read_duration(it, Duration::from_secs(1))) {
            self.draft.set(at, "eject.for", values::duration(time), &[server.id]);
        }
        if let Some(count) = number("max_conns=") {
            self.draft.set(at, "pool.max", count, &[server.id]);
        }
        if number("slow_start=").is_some() || number("route=").is_some() {
            self.draft.ledger.partly(server.id, "an endpoint takes its full share at once");
        }
    }

    /// What origins are told as `Host`.
    fn host(&mut self, at: At, authority: Option<&str>, terms: &Terms) {
        let value = match host_of(terms) {
            None => match authority {
                Some(name) if self.pools.contains_key(name) => values::text(name),
                Some(_) => "\"endpoint\"".to_owned(),
                None => return,
            },
            Some((value, id)) => match value {
                "$host"
                | "$http_host"
                | "$host:$server_port"
                | "$host:$proxy_port"
                | "$server_name"
                | "$http_host:$server_port" => {
                    self.draft.ledger.carry(id);
                    return;
                }
                "$proxy_host" | "$upstream_addr" => {
                    self.draft.set(at, "host", "\"endpoint\"", &[id]);
                    return;
                }
                value if value.contains('$') => {
                    let why = "`host` is preserve, endpoint or a fixed name";
                    return self.draft.ledger.leave(id, why);
                }
                value => {
                    self.draft.set(at, "host", values::text(value), &[id]);
                    return;
                }
            },
        };
        self.draft.set(at, "host", value, &[]);
    }

    /// `proxy_ssl_*` and `proxy_next_upstream*`.
    fn origin_terms(&mut self, at: At, tls: bool, pass: Id, terms: &Terms) {
        let mut verified = false;
        for (name, words, id) in &terms.origin {
            let first = words.first().map_or("", String::as_str);
            let key = |key: &str| format!("versions.v1.tls.{key}");
            match name.as_str() {
                "proxy_ssl_server_name" => self.draft.ledger.carry(*id),
                "proxy_next_upstream" if first == "off" => {
                    self.draft.set(at, "retry.attempts", "0", &[*id]);
                }
                "proxy_next_upstream" => {
                    self.draft.set(at, "retry.on", "[\"connect\", \"reset\"]", &[*id]);
                    if words.iter().any(|it| it != "error") {
                        let why =
                            "what is repeated is a failed or a broken connection, before a reply";
                        self.draft.ledger.partly(*id, why);
                    }
                }
                "proxy_next_upstream_timeout" if first == "0" => self.draft.ledger.carry(*id),
                "proxy_next_upstream_timeout" => {
                    self.draft
                        .ledger
                        .leave(*id, "`timeouts.request` of a route bounds the whole exchange");
                }
                "proxy_next_upstream_tries" => {
                    let tries = first.parse::<u32>().unwrap_or(1).saturating_sub(1).min(10);
                    self.draft.set(at, "retry.attempts", tries.to_string(), &[*id]);
                }
                _ if !tls => {}
                "proxy_ssl_verify" => {
                    verified = true;
                    let value = if first == "on" { "true" } else { "false" };
                    self.override_verify(at, value, *id);
                }
                "proxy_ssl_name" if !first.contains('$') => {
                    self.draft.set(at, &key("name"), values::text(first), &[*id]);
                }
                "proxy_ssl_name" => self.draft.ledger.carry(*id),
                "proxy_ssl_trusted_certificate" => {
                    self.draft.set(at, &key("ca"), values::text(first), &[*id]);
                }
                "proxy_ssl_certificate" => {
                    self.draft.set(at, &key("cert"), values::text(first), &[*id]);
                }
                "proxy_ssl_certificate_key" => {
                    self.draft.set(at, &key("key"), values::text(first), &[*id]);
                }
                _ => {
                    self.draft.ledger.leave(*id, "gnomon speaks TLS 1.2 and 1.3 as is sound today")
                }
            }
        }
        if tls && !verified {
            let why =
                "the origin's certificate is verified; `tls.ca` names the roots that are believed";
            self.draft.ledger.partly(pass, why);
        }
    }

    fn override_verify(&mut self, at: At, value: &str, id: Id) {
        let settings = &mut self.draft.tables[at.0].settings;
        for setting in settings.iter_mut().filter(|it| it.key.ends_with(".tls.verify")) {
            value.clone_into(&mut setting.value);
            setting.from.push(id);
        }
    }
}

/// The `Host` field that origins get, if it is said.
fn host_of(terms: &Terms) -> Option<(&str, Id)> {
    let found = terms.request.iter().rev().find(|(name, ..)| name.eq_ignore_ascii_case("host"));
    found.map(|(_, value, id)| (value.as_str(), *id))
}

/// Address and path of what follows the scheme.
fn split(rest: &str) -> (String, Option<String>) {
    if let Some(path) = rest.strip_prefix("unix:") {
        let (socket, uri) = path.split_once(':').map_or((path, None), |(it, uri)| (it, Some(uri)));
        return (format!("unix:{socket}"), uri.filter(|it| !it.is_empty()).map(str::to_owned));
    }
    match rest.find('/') {
        Some(at) => (rest[..at].to_owned(), Some(rest[at..].to_owned())),
        None => (rest.to_owned(), None),
    }
}
