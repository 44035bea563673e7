//! `http.services`: servers, weights and mirrors as upstreams, versions and shadows.

use std::time::Duration;

use super::{
    super::{
        draft::{At, Kind},
        tree::Node,
        values,
    },
    World,
};

/// How deep services may refer to each other.
const DEPTH_MAX: usize = 8;

/// Where a service leads.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Our upstream.
    pub(super) upstream: String,
    /// Upstreams that get copies, each with its share in percent.
    pub(super) shadows: Vec<(String, f64)>,
}

impl World<'_> {
    /// Our upstream for a service; none if there is no such.
    pub(super) fn service(&mut self, name: &str) -> Option<Target> {
        self.service_at(name, 0)
    }

    fn service_at(&mut self, name: &str, depth: usize) -> Option<Target> {
        let name = name.strip_suffix("@file").unwrap_or(name);
        if let Some(made) = self.made.get(name) {
            return made.clone();
        }
        if depth > DEPTH_MAX {
            return None;
        }
        let (node, _) = self.find(&["http", "services", name])?;
        let made = if let Some(balancer) = node.get("loadBalancer") {
            self.balancer(name, balancer)
        } else if let Some(weighted) = node.get("weighted") {
            self.weighted(name, weighted)
        } else if let Some(mirroring) = node.get("mirroring") {
            self.mirroring(name, mirroring, depth)
        } else if let Some(failover) = node.get("failover") {
            let main = failover.said("service").map(str::to_owned);
            let why = "where a version cannot be reached at all, another one of its upstream answers; declare both there";
            self.leave(&["http", "services", name], why);
            main.and_then(|main| self.service_at(&main, depth + 1))
        } else {
            None
        };
        self.made.insert(name.to_owned(), made.clone());
        made
    }

    fn balancer(&mut self, name: &str, node: &Node) -> Option<Target> {
        let (endpoints, tls) = endpoints(node);
        if endpoints.is_empty() {
            return None;
        }
        let at = self.draft.table(Kind::Upstream, name, &[]);
        self.version(at, "v1", name, node, &endpoints, tls);
        self.options(at, name, node);
        let upstream = self.draft.name(at).to_owned();
        Some(Target { upstream, shadows: Vec::new() })
    }

    fn version(
        &mut self,
        at: At,
        version: &str,
        name: &str,
        node: &Node,
        endpoints: &[String],
        tls: bool,
    ) {
        let path = ["http", "services", name, "loadBalancer", "servers"];
        let from = self.ids(&path);
        let key = format!("versions.{}.endpoints", values::key(version));
        self.draft.need(at, &key, values::list(endpoints), &from);
        if tls {
            let verify = self.insecure(node);
            let key = format!("versions.{}.tls.verify", values::key(version));
            let value = if verify { "true" } else { "false" };
            let from = self.ids(&["http", "services", name, "loadBalancer", "serversTransport"]);
            self.draft.need(at, &key, value, &from);
        }
        let weighted = node
            .get("servers")
            .is_some_and(|it| it.items().iter().any(|it| it.get("weight").is_some()));
        if weighted {
            self.partly(&path, "endpoints of a version are equals; versions have shares");
        }
        let paths = node.get("servers").is_some_and(|it| {
            it.items().iter().filter_map(|it| it.said("url")).any(|url| {
                values::scheme(url)
                    .is_some_and(|(_, rest)| rest.trim_end_matches('/').contains('/'))
            })
        });
        if paths {
            self.partly(&path, "an endpoint has no path: write `rewrite.add_prefix` of the route");
        }
    }

    /// Whether certificates of origins are verified.
    fn insecure(&self, node: &Node) -> bool {
        let name = node.said("serversTransport").map(|it| it.trim_end_matches("@file").to_owned());
        let of = name.and_then(|name| self.find(&["http", "serversTransports", &name]));
        let skipped = of.is_some_and(|(it, _)| it.said("insecureSkipVerify") == Some("true"));
        let all = self.find(&["serversTransport", "insecureSkipVerify"]);
        !(skipped || all.is_some_and(|(it, _)| it.text() == Some("true")))
    }

    fn options(&mut self, at: At, name: &str, node: &Node) {
        let ids = |world: &Self, keys: &[&str]| {
            let path: Vec<&str> = ["http", "services", name, "loadBalancer"]
                .into_iter()
                .chain(keys.iter().copied())
                .collect();
            world.ids(&path)
        };
        let pass = ids(self, &["passHostHeader"]);
        match node.said("passHostHeader") {
            Some("false") => self.draft.set(at, "host", "\"endpoint\"", &pass),
            Some(_) => pass.iter().for_each(|id| self.draft.ledger.carry(*id)),
            None => {}
        }
        if let Some(check) = node.get("healthCheck") {
            self.health(at, name, check);
        }
        if let Some(sticky) = node.get("sticky") {
            let from = ids(self, &["sticky"]);
            self.sticky(at, sticky, &from);
            let why = "users stay on their version; which of its endpoints they get is `balance`'s";
            from.iter().for_each(|id| self.draft.ledger.partly(*id, why));
        }
        let why = "replies are passed on as they come";
        for id in ids(self, &["responseForwarding"]) {
            self.draft.ledger.partly(id, why);
        }
    }

    fn sticky(&mut self, at: At, sticky: &Node, from: &[super::Id]) {
        self.draft.set(at, "sticky.key", "\"cookie\"", from);
        if let Some(name) = sticky.find(&["cookie", "name"]).and_then(Node::text) {
            self.draft.set(at, "sticky.cookie", values::text(name), from);
        }
        if let Some(age) = sticky.find(&["cookie", "maxAge"]).and_then(Node::text)
            && let Some(age) = values::read_duration(age, Duration::from_secs(1))
            && !age.is_zero()
        {
            self.draft.set(at, "sticky.max_age", values::duration(age), from);
        }
    }

    fn health(&mut self, at: At, name: &str, check: &Node) {
        for (theirs, ours) in [
            ("path", "path"),
            ("hostname", "host"),
            ("interval", "interval"),
            ("timeout", "timeout"),
            ("status", "expect"),
        ] {
            let Some(value) = check.said(theirs) else { continue };
            let from = self.ids(&["http", "services", name, "loadBalancer", "healthCheck", theirs]);
            let toml = match theirs {
                "interval" | "timeout" => {
                    match values::read_duration(value, Duration::from_secs(1)) {
                        Some(time) => values::duration(time),
                        None => continue,
                    }
                }
                _ => values::text(value),
            };
            self.draft.set(at, &format!("health.{ours}"), toml, &from);
        }
        if check.get("path").is_some() && check.get("interval").is_none() {
            self.draft.set(at, "health.interval", "\"30s\"", &[]);
            self.draft.set(at, "health.timeout", "\"5s\"", &[]);
        }
    }

    /// Weights become the split of one upstream.
    fn weighted(&mut self, name: &str, node: &Node) -> Option<Target> {
        let parts: Vec<(String, f64)> = node
            .get("services")?
            .items()
            .iter()
            .filter_map(|it| {
                let weight = it.said("weight").and_then(|it| it.parse().ok()).unwrap_or(1.0);
                Some((it.said("name")?.trim_end_matches("@file").to_owned(), weight))
            })
            .collect();
        let total: f64 = parts.iter().map(|(_, weight)| weight).sum();
        let path = ["http", "services", name, "weighted"];
        let mut versions = Vec::new();
        for (part, weight) in &parts {
            let (inner, _) = self.find(&["http", "services", part, "loadBalancer"])?;
            let (endpoints, tls) = endpoints(&inner);
            if endpoints.is_empty() || total <= 0.0 {
                return None;
            }
            versions.push((part.clone(), inner, endpoints, tls, weight / total * 100.0));
        }
        let stable = versions.iter().enumerate().max_by(|a, b| a.1.4.total_cmp(&b.1.4))?.0;
        let at = self.draft.table(Kind::Upstream, name, &[]);
        let from = self.ids(&[path[0], path[1], path[2], path[3], "services"]);
        for (ix, (part, inner, endpoints, tls, share)) in versions.iter().enumerate() {
            let version = values::name(part);
            self.version(at, &version, part, inner, endpoints, *tls);
            self.options(at, part, inner);
            // The heaviest takes the rest.
            if ix != stable {
                let key = format!("split.{}", values::key(&version));
                self.draft.need(at, &key, values::percent(*share), &from);
            }
        }
        from.iter().for_each(|id| self.draft.ledger.carry(*id));
        if let Some(sticky) = node.get("sticky") {
            let from = self.ids(&[path[0], path[1], path[2], path[3], "sticky"]);
            self.sticky(at, sticky, &from);
        }
        Some(Target { upstream: self.draft.name(at).to_owned(), shadows: Vec::new() })
    }

    fn mirroring(&mut self, name: &str, node: &Node, depth: usize) -> Option<Target> {
        let main = node.said("service")?.to_owned();
        let mut target = self.service_at(&main, depth + 1)?;
        let path = ["http", "services", name, "mirroring"];
        self.carry(&[path[0], path[1], path[2], path[3], "service"]);
        for mirror in node.get("mirrors").map(Node::items).unwrap_or_default() {
            let percent =
                mirror.said("percent").and_then(|it| it.parse::<f64>().ok()).unwrap_or(0.0);
            let ids = [path[0], path[1], path[2], path[3], "mirrors"];
            let Some(copy) = mirror.said("name").and_then(|it| self.service_at(it, depth + 1))
            else {
                self.leave(&ids, "the service that it names could not be carried over");
                continue;
            };
            if percent <= 0.0 {
                self.leave(&ids, "its percent is 0: nothing is copied to it");
                continue;
            }
            target.shadows.push((copy.upstream, percent));
            self.partly(&ids, "GET and HEAD are copied; `match.method` of the shadow names more");
        }
        Some(target)
    }
}

/// Endpoints of a balancer, and whether they speak TLS.
fn endpoints(node: &Node) -> (Vec<String>, bool) {
    let mut tls = false;
    let mut all = Vec::new();
    for server in node.get("servers").map(Node::items).unwrap_or_default() {
        let Some(url) = server.said("url") else { continue };
        let (scheme, rest) = values::scheme(url).unwrap_or(("http", url));
        tls |= scheme == "https";
        let authority = rest.split('/').next().unwrap_or_default();
        let authority = authority.rsplit('@').next().unwrap_or_default();
        all.push(values::endpoint(authority, if scheme == "https" { 443 } else { 80 }));
    }
    (all, tls)
}
