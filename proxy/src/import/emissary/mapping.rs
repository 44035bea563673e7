//! Mappings: those for the same requests are one route, and by their weights versions of one upstream.

use std::time::Duration;

use super::{
    super::{
        draft::{At, Kind},
        ledger::Id,
        tree::Node,
        values::{self, Path},
    },
    Resource, World,
};

impl World<'_> {
    /// Routes and shadows for all mappings.
    pub(super) fn mappings(&mut self, all: &[&Resource]) {
        let mut groups: Vec<(String, Vec<&Resource>)> = Vec::new();
        for mapping in all {
            let key = identity(mapping);
            match groups.iter_mut().find(|(other, _)| *other == key) {
                Some((_, group)) => group.push(mapping),
                None => groups.push((key, vec![mapping])),
            }
        }
        for (_, group) in groups {
            self.group(&group);
        }
    }

    fn group(&mut self, group: &[&Resource]) {
        let is_shadow = |it: &Resource| it.spec.said("shadow") == Some("true");
        let (shadows, mains): (Vec<&Resource>, Vec<&Resource>) =
            group.iter().copied().partition(|it| is_shadow(it));
        let Some(first) = mains.first().copied() else {
            let why = "nothing here answers the requests that it would get copies of";
            return shadows.iter().for_each(|it| self.leave(it, &[], why));
        };
        let at = self.draft.table(Kind::Route, &first.name, &[]);
        for mapping in &mains {
            self.matches(at, mapping);
        }
        if first.spec.get("host_redirect").is_some() {
            return self.redirect(at, first);
        }
        let upstream = match mains.as_slice() {
            [one] => {
                if let Some(weight) = one.spec.said("weight").filter(|it| *it != "100") {
                    let why = format!(
                        "only {weight} % are meant for it, and no other mapping here takes the rest"
                    );
                    self.leave(one, &["weight"], &why);
                } else {
                    self.carry(one, &["weight"]);
                }
                self.single(one)
            }
            several => self.versions(several),
        };
        let Some(upstream) = upstream else {
            return mains
                .iter()
                .for_each(|it| self.leave(it, &[], "its service is not understood"));
        };
        let from: Vec<Id> = mains.iter().flat_map(|it| it.ids(&["service"])).collect();
        let name = self.draft.name(upstream).to_owned();
        self.draft.need(at, "to", values::text(&name), &from);
        for mapping in &mains {
            self.terms(at, mapping);
        }
        for shadow in shadows {
            self.shadow(at, shadow, &name);
        }
    }

    /// What requests look like.
    fn matches(&mut self, at: At, mapping: &Resource) {
        let spec = &mapping.spec;
        let prefix = spec.said("prefix").unwrap_or("/");
        let is = |key: &str| spec.said(key) == Some("true");
        let path = if is("prefix_regex") {
            Path::Regex(prefix.to_owned())
        } else if is("prefix_exact") {
            Path::Exact(prefix.to_owned())
        } else {
            Path::beginning(prefix)
        };
        let from: Vec<Id> = ["prefix", "prefix_regex", "prefix_exact"]
            .iter()
            .flat_map(|key| mapping.ids(&[key]))
            .collect();
        match path.condition() {
            Some((key, value)) => self.draft.need(at, key, value, &from),
            None => from.iter().for_each(|id| self.draft.ledger.carry(*id)),
        }
        for key in ["host", "hostname"] {
            let Some(host) = spec.said(key) else { continue };
            let ids = mapping.ids(&[key]);
            if spec.said("host_regex") == Some("true") {
                let value = format!("{{ regex = {} }}", values::text(&format!("^(?:{host})$")));
                self.draft.need(
                    at,
                    "match.header.host",
                    value,
                    &[ids, mapping.ids(&["host_regex"])].concat(),
                );
            } else if host == "*" {
                ids.iter().for_each(|id| self.draft.ledger.carry(*id));
            } else {
                let bare = host.split(':').next().unwrap_or(host);
                self.draft.need(at, "match.host", values::text(bare), &ids);
            }
        }
        self.fields(at, mapping);
    }

    /// Conditions on method, fields and query.
    fn fields(&mut self, at: At, mapping: &Resource) {
        let spec = &mapping.spec;
        let is = |key: &str| spec.said(key) == Some("true");
        if let Some(method) = spec.said("method") {
            if is("method_regex") {
                let all: Vec<String> = method.split('|').map(str::to_owned).collect();
                let ids = [mapping.ids(&["method"]), mapping.ids(&["method_regex"])].concat();
                self.draft.need(at, "match.method", values::texts(&all), &ids);
            } else {
                self.draft.need(
                    at,
                    "match.method",
                    values::text(method),
                    &mapping.ids(&["method"]),
                );
            }
        }
        for (theirs, ours, regex) in [
            ("headers", "header", false),
            ("regex_headers", "header", true),
            ("query_parameters", "query", false),
            ("regex_query_parameters", "query", true),
        ] {
            for (name, value) in spec.get(theirs).map(Node::entries).unwrap_or_default() {
                let ids = mapping.ids(&[theirs, name]);
                let value = value.text().unwrap_or_default();
                if lower_is_host(name) && !regex {
                    self.draft.need(at, "match.host", values::text(value), &ids);
                    continue;
                }
                let lower = if ours == "header" { name.to_ascii_lowercase() } else { name.clone() };
                let toml = match value {
                    value if regex => {
                        format!("{{ regex = {} }}", values::text(&format!("^(?:{value})$")))
                    }
                    "true" => "{ present = true }".to_owned(),
                    value => values::text(value),
                };
                self.draft.need(at, &format!("match.{ours}.{}", values::key(&lower)), toml, &ids);
            }
        }
        if let Some(precedence) = spec.said("precedence") {
            self.draft.need(at, "priority", precedence, &mapping.ids(&["precedence"]));
        }
    }

    fn redirect(&mut self, at: At, mapping: &Resource) {
        let spec = &mapping.spec;
        let host = spec.said("service").unwrap_or("{host}");
        let host = values::scheme(host).map_or(host, |(_, rest)| rest);
        let scheme =
            values::scheme(spec.said("service").unwrap_or_default()).map_or("https", |it| it.0);
        let path = spec.said("path_redirect").unwrap_or("{uri}");
        let to = format!("{scheme}://{host}{path}");
        let ids: Vec<Id> = ["service", "host_redirect", "path_redirect"]
            .iter()
            .flat_map(|it| mapping.ids(&[it]))
            .collect();
        self.draft.need(at, "redirect.to", values::text(&to), &ids);
        let code = spec.said("redirect_response_code").unwrap_or("301");
        self.draft.need(at, "redirect.status", code, &mapping.ids(&["redirect_response_code"]));
    }

    /// The upstream of a mapping that stands alone.
    fn single(&mut self, mapping: &Resource) -> Option<At> {
        let service = mapping.spec.said("service")?;
        let key = format!("{service} {}", options(&mapping.spec));
        if let Some(at) = self.made.get(&key) {
            let at = *at;
            self.options(at, mapping);
            return Some(at);
        }
        let (authority, endpoint, tls) = address(service)?;
        let at = self.draft.table(Kind::Upstream, &authority, &[]);
        self.made.insert(key, at);
        let from = mapping.ids(&["service"]);
        self.draft.need(at, "versions.v1.endpoints", values::list(&[endpoint]), &from);
        if tls {
            self.draft.need(at, "versions.v1.tls.verify", "true", &from);
            let why =
                "the origin's certificate is verified; `tls.ca` names the roots that are believed";
            from.iter().for_each(|id| self.draft.ledger.partly(*id, why));
        }
        self.options(at, mapping);
        Some(at)
    }

    /// One upstream whose versions are the mappings.
    fn versions(&mut self, mappings: &[&Resource]) -> Option<At> {
        let first = mappings
            .iter()
            .find(|it| it.spec.said("weight").is_none())
            .or_else(|| mappings.first())?;
        let (authority, ..) = address(first.spec.said("service")?)?;
        let at = self.draft.table(Kind::Upstream, &authority, &[]);
        let unweighted = mappings.iter().filter(|it| it.spec.said("weight").is_none()).count();
        let total: f64 =
            mappings.iter().filter_map(|it| it.spec.said("weight")?.parse::<f64>().ok()).sum();
        let mut names = Vec::new();
        for (ix, mapping) in mappings.iter().enumerate() {
            let (_, endpoint, tls) = address(mapping.spec.said("service")?)?;
            let base = values::name(&mapping.name);
            let version = if names.contains(&base) { format!("{base}-{ix}") } else { base };
            names.push(version.clone());
            let version = values::key(&version);
            let key = format!("versions.{version}.endpoints");
            self.draft.need(at, &key, values::list(&[endpoint]), &mapping.ids(&["service"]));
            if tls {
                self.draft.need(at, &format!("versions.{version}.tls.verify"), "true", &[]);
            }
            let ids = mapping.ids(&["weight"]);
            let share = match mapping.spec.said("weight").and_then(|it| it.parse::<f64>().ok()) {
                Some(weight) if unweighted == 0 && total > 0.0 => Some(weight / total * 100.0),
                Some(weight) => Some(weight),
                None if unweighted > 1 => Some(
                    (100.0 - total).max(0.0) / f64::from(u32::try_from(unweighted).unwrap_or(1)),
                ),
                None => None,
            };
            // Where all have a share, the last takes what rounding leaves.
            let last = ix + 1 == mappings.len() && (unweighted == 0 || unweighted > 1);
            match share {
                Some(share) if !last => {
                    self.draft.need(at, &format!("split.{version}"), values::percent(share), &ids);
                }
                Some(_) | None => ids.iter().for_each(|id| self.draft.ledger.carry(*id)),
            }
            self.options(at, mapping);
        }
        Some(at)
    }

    /// What a mapping says of its service.
    fn options(&mut self, at: At, mapping: &Resource) {
        let spec = &mapping.spec;
        if let Some(host) = spec.said("host_rewrite") {
            self.draft.set(at, "host", values::text(host), &mapping.ids(&["host_rewrite"]));
        }
        if spec.said("auto_host_rewrite") == Some("true") {
            self.draft.set(at, "host", "\"endpoint\"", &mapping.ids(&["auto_host_rewrite"]));
        }
        if let Some(policy) = spec.get("retry_policy") {
            if let Some(count) = policy.said("num_retries") {
                self.draft.set(
                    at,
                    "retry.attempts",
                    count,
                    &mapping.ids(&["retry_policy", "num_retries"]),
                );
            }
            let why = "what is repeated is a failed or a broken connection, before a reply";
            let on = mapping.ids(&["retry_policy", "retry_on"]);
            self.draft.set(at, "retry.on", "[\"connect\", \"reset\"]", &on);
            on.iter().for_each(|id| self.draft.ledger.partly(*id, why));
        }
        if let Some(time) = millis(spec.said("cluster_idle_timeout_ms")) {
            self.draft.set(
                at,
                "pool.idle",
                values::duration(time),
                &mapping.ids(&["cluster_idle_timeout_ms"]),
            );
        }
        for breaker in spec.get("circuit_breakers").map(Node::items).unwrap_or_default() {
            if let Some(count) = breaker.said("max_connections") {
                let ids = mapping.ids(&["circuit_breakers"]);
                self.draft.set(at, "pool.max", count, &ids);
                let why = "`pool.max` bounds connections, and `pool.queue` how long requests wait for one";
                ids.iter().for_each(|id| self.draft.ledger.partly(*id, why));
            }
        }
        if let Some(balancer) = spec.get("load_balancer") {
            self.balance(at, mapping, balancer);
        }
    }

    fn balance(&mut self, at: At, mapping: &Resource, balancer: &Node) {
        let ids = mapping.ids(&["load_balancer"]);
        let key = balancer
            .find(&["cookie", "name"])
            .and_then(Node::text)
            .map(|it| format!("cookie:{it}"))
            .or_else(|| {
                balancer.said("header").map(|it| format!("header:{}", it.to_ascii_lowercase()))
            })
            .or_else(|| {
                (balancer.said("source_ip") == Some("true")).then(|| "client_ip".to_owned())
            });
        let value = match (balancer.said("policy"), key) {
            (Some("round_robin"), _) => "round_robin".to_owned(),
            (Some("least_request"), _) => "least_conn".to_owned(),
            (_, Some(key)) => format!("hash:{key}"),
            _ => return,
        };
        self.draft.set(at, "balance", values::text(&value), &ids);
    }

    /// What a mapping says of its requests.
    fn terms(&mut self, at: At, mapping: &Resource) {
        let spec = &mapping.spec;
        self.rewrite(at, mapping);
        for (theirs, ours) in [
            ("timeout_ms", &["timeouts.request"][..]),
            ("connect_timeout_ms", &["timeouts.connect"]),
            ("idle_timeout_ms", &["timeouts.body", "timeouts.tunnel"]),
        ] {
            if let Some(time) = millis(spec.said(theirs)) {
                for key in ours {
                    self.draft.set(at, key, values::duration(time), &mapping.ids(&[theirs]));
                }
            }
        }
        for (theirs, side) in
            [("add_request_headers", "request"), ("add_response_headers", "response")]
        {
            for (name, node) in spec.get(theirs).map(Node::entries).unwrap_or_default() {
                let ids = mapping.ids(&[theirs, name]);
                let (value, append) = match node.text() {
                    Some(value) => (value, true),
                    None => (
                        node.said("value").unwrap_or_default(),
                        node.said("append") != Some("false"),
                    ),
                };
                let sort = if append { "add" } else { "set" };
                if value.contains('%') {
                    ids.iter()
                        .for_each(|id| self.draft.ledger.leave(*id, "a field gets a fixed text"));
                    continue;
                }
                let key =
                    format!("headers.{side}.{sort}.{}", values::key(&name.to_ascii_lowercase()));
                self.draft.set(at, &key, values::text(value), &ids);
            }
        }
        for (theirs, side) in
            [("remove_request_headers", "request"), ("remove_response_headers", "response")]
        {
            for name in spec.get(theirs).map(Node::texts).unwrap_or_default() {
                for id in mapping.ids(&[theirs]) {
                    self.draft.push(
                        at,
                        &format!("headers.{side}.remove"),
                        &name.to_ascii_lowercase(),
                        id,
                    );
                }
            }
        }
        for key in ["bypass_auth", "shadow"] {
            self.carry(mapping, &[key]);
        }
        let websockets = spec.get("allow_upgrade").map(Node::texts).unwrap_or_default();
        if websockets.iter().all(|it| it == "websocket") {
            self.carry(mapping, &["allow_upgrade"]);
        }
        self.carry(mapping, &["use_websocket"]);
    }

    /// Emissary puts `/` in the place of the prefix unless told otherwise.
    fn rewrite(&mut self, at: At, mapping: &Resource) {
        let spec = &mapping.spec;
        if let Some(regex) = spec.get("regex_rewrite") {
            if let (Some(pattern), Some(with)) = (regex.said("pattern"), regex.said("substitution"))
            {
                let ids = mapping.ids(&["regex_rewrite"]);
                let with = with.replace('\\', "$");
                self.draft.need(at, "rewrite.path_regex", values::text(pattern), &ids);
                self.draft.need(at, "rewrite.with", values::text(&with), &ids);
            }
            return;
        }
        let ids = mapping.ids(&["rewrite"]);
        let said = spec.get("rewrite");
        let to = said.map_or("/", |it| it.text().unwrap_or_default());
        let prefix = spec.said("prefix").unwrap_or("/").trim_end_matches('/');
        let regex = spec.said("prefix_regex") == Some("true");
        let exact = spec.said("prefix_exact") == Some("true");
        if to.is_empty()
            || regex
            || (prefix.is_empty() && to == "/")
            || to.trim_end_matches('/') == prefix
        {
            return ids.iter().for_each(|id| self.draft.ledger.carry(*id));
        }
        let (key, value) = match (exact, prefix, to.trim_end_matches('/')) {
            (true, ..) => ("rewrite.path", to),
            (false, "", to) => ("rewrite.add_prefix", to),
            (false, prefix, "") => ("rewrite.strip_prefix", prefix),
            (false, _, to) => ("rewrite.replace_prefix", to),
        };
        self.draft.need(at, key, values::text(value), &ids);
    }

    fn shadow(&mut self, route: At, mapping: &Resource, from: &str) {
        let Some(upstream) = self.single(mapping) else {
            return self.leave(mapping, &[], "its service is not understood");
        };
        let at = self.draft.table(Kind::Shadow, &mapping.name, &[]);
        self.draft.need(at, "from", values::text(from), &[]);
        let to = format!("{}@v1", self.draft.name(upstream));
        let ids = [mapping.ids(&["shadow"]), mapping.ids(&["service"])].concat();
        self.draft.need(at, "to", values::text(&to), &ids);
        if let Some(weight) = mapping.spec.said("weight") {
            let share = values::text(&format!("{weight}%"));
            self.draft.need(at, "sample", share, &mapping.ids(&["weight"]));
        }
        self.draft.copy_matches(route, at);
        for key in ["prefix", "host", "hostname", "method", "headers", "rewrite"] {
            self.carry(mapping, &[key]);
        }
        for id in mapping.ids(&["shadow"]) {
            self.draft
                .ledger
                .partly(id, "GET and HEAD are copied; `match.method` of the shadow names more");
        }
    }

    fn carry(&mut self, mapping: &Resource, path: &[&str]) {
        mapping.ids(path).iter().for_each(|id| self.draft.ledger.carry(*id));
    }

    fn leave(&mut self, mapping: &Resource, path: &[&str], why: &str) {
        mapping.ids(path).iter().for_each(|id| self.draft.ledger.leave(*id, why));
    }
}

/// What makes mappings one route: all that says which requests they are for.
fn identity(mapping: &Resource) -> String {
    let keys = [
        "prefix",
        "prefix_regex",
        "prefix_exact",
        "host",
        "hostname",
        "host_regex",
        "method",
        "method_regex",
        "headers",
        "regex_headers",
        "query_parameters",
        "regex_query_parameters",
        "precedence",
    ];
    let all = keys.iter().map(|key| format!("{:?}", mapping.spec.get(key).map(plain)));
    all.collect::<Vec<_>>().join("|")
}

/// Whether a condition on this field is one on the host.
fn lower_is_host(name: &str) -> bool {
    name == ":authority" || name.eq_ignore_ascii_case("host")
}

/// A value without its lines.
fn plain(node: &Node) -> String {
    let entries = node.entries().iter().map(|(key, it)| format!("{key}={}", plain(it)));
    entries.chain(node.texts()).collect::<Vec<_>>().join(",")
}

/// What mappings must agree on to share an upstream.
fn options(spec: &Node) -> String {
    let keys =
        ["host_rewrite", "auto_host_rewrite", "retry_policy", "circuit_breakers", "load_balancer"];
    keys.iter().map(|key| format!("{:?}", spec.get(key).map(plain))).collect::<Vec<_>>().join("|")
}

/// Name, endpoint, and whether it speaks TLS.
fn address(service: &str) -> Option<(String, String, bool)> {
    let (scheme, rest) = values::scheme(service).unwrap_or(("http", service));
    let tls = scheme.eq_ignore_ascii_case("https");
    let authority = rest.split('/').next().filter(|it| !it.is_empty())?;
    let endpoint = values::endpoint(authority, if tls { 443 } else { 80 });
    let name = authority.rsplit_once(':').map_or(authority, |(name, _)| name);
    Some((name.to_owned(), endpoint, tls))
}

fn millis(text: Option<&str>) -> Option<Duration> {
    text?.parse().ok().map(Duration::from_millis)
}
