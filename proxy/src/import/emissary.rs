//! Emissary-ingress: Mapping, Host, Listener and their like, as Kubernetes has them, or in annotations.

mod mapping;

use std::{collections::HashMap, sync::Arc};

use super::{
    Text,
    draft::{At, Draft, Kind},
    ledger::Id,
    tree::{self, Leaves, Node, Value},
    values,
};

/// A resource with its directives.
#[derive(Clone)]
struct Resource {
    name: String,
    kind: String,
    spec: Node,
    /// Keys of `spec` that are directives, with them.
    leaves: Arc<Leaves>,
}

impl Resource {
    fn ids(&self, path: &[&str]) -> Vec<Id> {
        self.leaves.below(path)
    }
}

/// All resources together.
struct World<'d> {
    draft: &'d mut Draft,
    /// Our upstream for a service and what its mapping says of it.
    made: HashMap<String, At>,
}

/// Reads Emissary's resources into the draft.
///
/// # Errors
///
/// What is no YAML, with file and line.
pub(super) fn read(draft: &mut Draft, texts: &[Text]) -> Result<(), String> {
    let mut resources = Vec::new();
    for text in texts {
        let file: Arc<str> = Arc::from(text.name.as_str());
        for node in tree::yaml(&text.name, &text.text)? {
            collect(draft, &file, node, &mut resources)?;
        }
    }
    let mut world = World { draft, made: HashMap::new() };
    for resource in resources.iter().filter(|it| it.kind == "Listener") {
        world.listener(resource);
    }
    let mappings: Vec<&Resource> = resources.iter().filter(|it| it.kind == "Mapping").collect();
    world.mappings(&mappings);
    for resource in resources.iter().filter(|it| it.kind == "Host") {
        let insecure = ["requestPolicy", "insecure", "action"];
        if resource.spec.find(&insecure).and_then(Node::text) == Some("Route") {
            resource.ids(&insecure).iter().for_each(|id| world.draft.ledger.carry(*id));
        }
    }
    for resource in &resources {
        settle(world.draft, resource);
    }
    Ok(())
}

/// Resources in a document, in a list, or in an annotation of one.
fn collect(
    draft: &mut Draft,
    file: &Arc<str>,
    node: Node,
    all: &mut Vec<Resource>,
) -> Result<(), String> {
    if node.said("kind") == Some("List") {
        for item in node.get("items").map(Node::items).unwrap_or_default() {
            collect(draft, file, item.clone(), all)?;
        }
        return Ok(());
    }
    let annotation = node.find(&["metadata", "annotations", "getambassador.io/config"]);
    if let Some((text, line)) = annotation.and_then(|it| Some((it.text()?, it.line))) {
        for inner in tree::yaml(&format!("{file} (annotation in line {line})"), text)? {
            collect(draft, file, inner.moved(line), all)?;
        }
    }
    let version = node.said("apiVersion").unwrap_or_default();
    if !version.contains("getambassador.io") && !version.starts_with("ambassador/") {
        return Ok(());
    }
    let kind = node.said("kind").unwrap_or_default();
    let kind = kind.strip_prefix("Ambassador").unwrap_or(kind).to_owned();
    let name = node.find(&["metadata", "name"]).or_else(|| node.get("name"));
    let name = name.and_then(Node::text).unwrap_or("unnamed").to_owned();
    let spec = match node.get("spec") {
        Some(spec) => spec.clone(),
        None => bare(node),
    };
    let leaves = Leaves::enter(&mut draft.ledger, file, &format!("{kind} {name}"), &spec);
    all.push(Resource { name, kind, spec, leaves: Arc::new(leaves) });
    Ok(())
}

/// What an old resource says beside its name.
fn bare(node: Node) -> Node {
    let value = match node.value {
        Value::Map(entries) => Value::Map(
            entries
                .into_iter()
                .filter(|(key, _)| {
                    !matches!(key.as_str(), "apiVersion" | "kind" | "name" | "metadata")
                })
                .collect(),
        ),
        other @ (Value::Nothing | Value::Text(_) | Value::List(_)) => other,
    };
    Node { value, ..node }
}

/// Says of every directive that nobody has spoken of what becomes of it.
fn settle(draft: &mut Draft, resource: &Resource) {
    for (path, id) in resource.leaves.iter() {
        let key = path.first().map_or("", String::as_str);
        if matches!(
            key,
            "ambassador_id" | "resolver" | "docs" | "stats_name" | "cluster_tag" | "v2ExplicitTLS"
        ) {
            draft.ledger.needless(id);
            continue;
        }
        let why = match (resource.kind.as_str(), key) {
            ("Mapping", "cors") => {
                "answers to preflight requests are the origin's, or routes with `respond`"
            }
            ("Mapping", "grpc") => "gnomon speaks HTTP/1.1 with origins, no gRPC yet",
            ("Mapping", "labels" | "rate_limits") => "`limits.rate` of a route limits clients",
            ("Mapping", "tls") => "name the roots of an upstream's version with `tls.ca`",
            ("Host", "tlsSecret" | "acmeProvider" | "tlsContext" | "tls") | ("TLSContext", _) => {
                "gnomon reads certificates from files: write them with `tls.certs` of a listener"
            }
            ("Host", "requestPolicy") => {
                "routes hold on every listener: redirects to https belong before gnomon"
            }
            ("Host", _) => "hosts stand in `match.host` of routes",
            ("Listener", _) => "gnomon has nothing like it: see [listener.*]",
            ("TCPMapping", _) => "gnomon proxies HTTP alone",
            ("AuthService", _) => "gnomon asks nobody before it forwards: leave that to the origin",
            ("RateLimitService", _) => "`limits.rate` of a route limits clients",
            ("LogService" | "TracingService", _) => "see [access_log]",
            ("Module", _) => "settings for all: see [timeouts], [limits] and listeners",
            _ => "gnomon has nothing like it, as far as this importer knows",
        };
        draft.ledger.otherwise(id, why);
    }
}

impl World<'_> {
    fn listener(&mut self, resource: &Resource) {
        let Some(port) = resource.spec.said("port") else { return };
        let protocol = resource.spec.said("protocol").unwrap_or("HTTP");
        let at = self.draft.table(Kind::Listener, &resource.name, &[]);
        let from = resource.ids(&["port"]);
        self.draft.need(at, "bind", values::list(&[format!("0.0.0.0:{port}")]), &from);
        let ids = resource.ids(&["protocol"]);
        match protocol {
            "HTTP" => ids.iter().for_each(|id| self.draft.ledger.carry(*id)),
            "HTTPPROXY" => self.draft.need(at, "proxy_protocol", "true", &ids),
            "HTTPS" | "HTTPSPROXY" => {
                let why = "it speaks TLS, and its certificate is a Secret: gnomon reads certificates from files";
                self.draft.strike(at, why);
                ids.iter().for_each(|id| self.draft.ledger.leave(*id, why));
            }
            _ => {
                let why = "gnomon proxies HTTP alone";
                self.draft.strike(at, why);
                ids.iter().for_each(|id| self.draft.ledger.leave(*id, why));
            }
        }
        for id in resource.ids(&["securityModel"]) {
            self.draft
                .ledger
                .partly(id, "origins are told how clients spoke; nobody is redirected");
        }
        for id in resource.ids(&["hostBinding"]) {
            self.draft.ledger.partly(id, "routes hold on every listener");
        }
    }
}
