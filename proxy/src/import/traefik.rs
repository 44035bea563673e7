//! Traefik: static and dynamic configuration, in YAML or TOML.

mod middleware;
mod router;
mod rule;
mod service;

use std::{collections::HashMap, sync::Arc};

use super::{
    Text,
    draft::{At, Draft, Kind},
    ledger::Id,
    tree::{self, Leaves, Node},
    values,
};

/// A file as a tree, with its directives.
struct Page {
    node: Node,
    leaves: Leaves,
}

/// All files together.
struct World<'d> {
    draft: &'d mut Draft,
    pages: Vec<Page>,
    /// Our upstream for a service, and those that get copies of it.
    made: HashMap<String, Option<service::Target>>,
    /// Entry points that speak TLS because a router or they themselves say so.
    secure: Vec<String>,
}

/// Reads Traefik's configuration into the draft.
///
/// # Errors
///
/// What is neither YAML nor TOML, with file and line.
pub(super) fn read(draft: &mut Draft, texts: &[Text]) -> Result<(), String> {
    let mut pages = Vec::new();
    for text in texts {
        let nodes = if text.name.ends_with(".toml") {
            vec![tree::toml(&text.name, &text.text)?]
        } else {
            tree::yaml(&text.name, &text.text)?
        };
        let file: Arc<str> = Arc::from(text.name.as_str());
        for node in nodes {
            let leaves = Leaves::enter(&mut draft.ledger, &file, "", &node);
            pages.push(Page { node, leaves });
        }
    }
    let mut world = World { draft, pages, made: HashMap::new(), secure: Vec::new() };
    world.entry_points();
    world.routers();
    world.statics();
    world.settle();
    Ok(())
}

impl World<'_> {
    /// What a path of keys holds in any file, with its directives.
    fn find(&self, path: &[&str]) -> Option<(Node, Vec<Id>)> {
        self.pages.iter().find_map(|page| {
            let node = page.node.find(path)?;
            Some((node.clone(), page.leaves.below(path)))
        })
    }

    /// The names under a path, over all files.
    fn names(&self, path: &[&str]) -> Vec<String> {
        let nodes = self.pages.iter().filter_map(|page| page.node.find(path));
        nodes.flat_map(|node| node.entries().iter().map(|(name, _)| name.clone())).collect()
    }

    /// The directives at or below a path, in all files.
    fn ids(&self, path: &[&str]) -> Vec<Id> {
        self.pages.iter().flat_map(|page| page.leaves.below(path)).collect()
    }

    fn carry(&mut self, path: &[&str]) {
        for id in self.ids(path) {
            self.draft.ledger.carry(id);
        }
    }

    fn leave(&mut self, path: &[&str], why: &str) {
        for id in self.ids(path) {
            self.draft.ledger.leave(id, why);
        }
    }

    fn partly(&mut self, path: &[&str], why: &str) {
        for id in self.ids(path) {
            self.draft.ledger.partly(id, why);
        }
    }

    /// Listeners.
    fn entry_points(&mut self) {
        for name in self.names(&["http", "routers"]) {
            let path = ["http", "routers", name.as_str()];
            let Some((router, _)) = self.find(&path) else { continue };
            let has_tls = router.get("tls").is_some_and(|it| it.text() != Some("false"));
            if has_tls {
                self.secure.extend(router.get("entryPoints").map(Node::texts).unwrap_or_default());
            }
        }
        for name in self.names(&["entryPoints"]) {
            self.entry_point(&name);
        }
    }

    fn entry_point(&mut self, name: &str) {
        let path = ["entryPoints", name];
        let Some((node, _)) = self.find(&path) else { return };
        let Some(address) = node.said("address") else { return };
        let from = self.ids(&["entryPoints", name, "address"]);
        let (address, sort) = address.split_once('/').unwrap_or((address, "tcp"));
        if sort == "udp" {
            return self.leave(&path, "gnomon proxies HTTP alone");
        }
        let address = match address.rsplit_once(':') {
            Some(("", port)) => format!("0.0.0.0:{port}"),
            Some(_) | None => address.to_owned(),
        };
        if node.find(&["http", "redirections"]).is_some() {
            let why = "routes hold on every listener, and this one would catch https as well: let whatever \
                       answers port 80 today go on sending people to https";
            return self.leave(&path, why);
        }
        let at = self.draft.table(Kind::Listener, name, &[]);
        self.draft.need(at, "bind", values::list(&[address]), &from);
        let tls = node.find(&["http", "tls"]).is_some() || self.secure.iter().any(|it| it == name);
        if tls {
            self.certificates(at, name);
        }
        if let Some(trusted) = node.find(&["forwardedHeaders", "trustedIPs"]) {
            let from = self.ids(&["entryPoints", name, "forwardedHeaders", "trustedIPs"]);
            self.draft.set(at, "trusted", values::list(&trusted.texts()), &from);
        }
        if let Some(trusted) = node.find(&["proxyProtocol", "trustedIPs"]) {
            let from = self.ids(&["entryPoints", name, "proxyProtocol"]);
            self.draft.need(at, "proxy_protocol", "true", &from);
            self.draft.set(at, "proxy_trusted", values::list(&trusted.texts()), &from);
        }
    }

    fn certificates(&mut self, at: At, name: &str) {
        let mut pairs = Vec::new();
        let mut from = Vec::new();
        let mut lists: Vec<&[&str]> = vec![&["tls", "certificates"]];
        lists.push(&["tls", "stores", "default", "defaultCertificate"]);
        for path in lists {
            let Some((node, ids)) = self.find(path) else { continue };
            let one = std::slice::from_ref(&node);
            let items = if node.items().is_empty() { one } else { node.items() };
            for item in items {
                if let (Some(cert), Some(key)) = (item.said("certFile"), item.said("keyFile")) {
                    let pair =
                        format!("{{ cert = {}, key = {} }}", values::text(cert), values::text(key));
                    pairs.push(pair);
                }
            }
            from.extend(ids);
        }
        if pairs.is_empty() {
            let why = "it speaks TLS, and no certificate stands in these files: gnomon reads them from files, \
                       so let an ACME client write them";
            self.leave(&["entryPoints", name], why);
            return self.draft.strike(at, why);
        }
        self.draft.need(at, "tls.certs", format!("[{}]", pairs.join(", ")), &from);
        if let Some((min, ids)) = self.find(&["tls", "options", "default", "minVersion"]) {
            let min = if min.text() == Some("VersionTLS13") { "1.3" } else { "1.2" };
            self.draft.set(at, "tls.min", values::text(min), &ids);
        }
    }

    /// What of the static configuration has an equal here.
    fn statics(&mut self) {
        if let Some((node, _)) = self.find(&["accessLog"]) {
            let path = node.said("filePath").map(str::to_owned);
            let ids = self.ids(&["accessLog"]);
            let at = self.draft.global("access_log");
            let format = if node.said("format") == Some("json") { "json" } else { "combined" };
            let own: Vec<Id> = self.ids(&["accessLog", "format"]);
            let whole = if node.entries().is_empty() { ids } else { own };
            self.draft.set(at, "format", values::text(format), &whole);
            if let Some(path) = path {
                let from = self.ids(&["accessLog", "filePath"]);
                self.draft.set(at, "to", values::text(&path), &from);
            }
        }
    }

    /// Says of every directive that nobody has spoken of what becomes of it.
    fn settle(&mut self) {
        for page in &self.pages {
            for (path, id) in page.leaves.iter() {
                let first = path.first().map(|it| it.to_ascii_lowercase()).unwrap_or_default();
                let second = path.get(1).map(|it| it.to_ascii_lowercase()).unwrap_or_default();
                if matches!(
                    first.as_str(),
                    "global" | "log" | "providers" | "hub" | "pilot" | "core" | "serverstransport"
                ) {
                    self.draft.ledger.needless(id);
                    continue;
                }
                let why = match (first.as_str(), second.as_str()) {
                    ("tcp" | "udp", _) => "gnomon proxies HTTP alone",
                    ("certificatesresolvers", _) => {
                        "gnomon reads certificates from files: let an ACME client write them"
                    }
                    ("api" | "ping", _) => {
                        "gnomon tells of itself by its console, `gnomon status` and the admin socket"
                    }
                    ("metrics", _) => "gnomon tells of itself in Prometheus's format: [metrics]",
                    ("tracing", _) => "gnomon continues traces of its own configuration",
                    ("accesslog", _) => "the access log has a fixed set of fields: [access_log]",
                    ("experimental", _) => "gnomon has no plugins",
                    ("tls", "options") => {
                        "gnomon speaks TLS 1.2 and 1.3 with the suites that are sound today"
                    }
                    ("tls", _) => "no listener that speaks TLS could be carried over",
                    ("entrypoints", _) => {
                        "gnomon has nothing like it: see [listener.*] and [timeouts]"
                    }
                    ("http", "middlewares") => "no route that could be carried over uses it",
                    ("http", "services") => "no route that could be carried over leads to it",
                    ("http", "serverstransports") => "see `tls` of an upstream's version",
                    _ => "gnomon has nothing like it, as far as this importer knows",
                };
                self.draft.ledger.otherwise(id, why);
            }
        }
    }
}
