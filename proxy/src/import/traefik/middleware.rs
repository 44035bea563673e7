//! `http.middlewares`: what happens to requests and replies on their way.

use std::time::Duration;

use super::{
    super::{draft::At, ledger::Id, tree::Node, values},
    World,
};

/// How deep chains may refer to each other.
const DEPTH_MAX: usize = 8;

impl World<'_> {
    /// Whether one of these sends people to https.
    pub(super) fn sends_to_https(&self, middlewares: &[String]) -> bool {
        middlewares.iter().any(|name| {
            let name = name.trim_end_matches("@file");
            let found = self.find(&["http", "middlewares", name, "redirectScheme"]);
            found.is_some_and(|(it, _)| it.said("scheme") == Some("https"))
        })
    }

    /// Puts down in a route what a middleware does.
    pub(super) fn middleware(&mut self, at: At, name: &str, used: &[Id], depth: usize) {
        let bare = name.strip_suffix("@file").unwrap_or(name).to_owned();
        let Some((node, _)) = self.find(&["http", "middlewares", &bare]) else {
            for id in used {
                self.draft.ledger.leave(*id, format!("`{name}` is not defined in these files"));
            }
            return;
        };
        for (kind, inner) in node.entries() {
            self.does(at, &bare, kind, inner, depth);
        }
    }

    fn does(&mut self, at: At, name: &str, kind: &str, node: &Node, depth: usize) {
        let path = ["http", "middlewares", name, kind];
        let from = self.ids(&path);
        let first = |key: &str| node.get(key).map(Node::texts).and_then(|it| it.into_iter().next());
        match kind.to_ascii_lowercase().as_str() {
            "chain" if depth < DEPTH_MAX => {
                for inner in node.get("middlewares").map(Node::texts).unwrap_or_default() {
                    self.middleware(at, &inner, &from, depth + 1);
                }
                self.carry(&path);
            }
            "stripprefix" => self.strip(at, node, &from),
            "addprefix" => {
                if let Some(prefix) = first("prefix") {
                    self.draft.need(at, "rewrite.add_prefix", values::text(&prefix), &from);
                }
            }
            "replacepath" => {
                if let Some(to) = first("path") {
                    self.draft.need(at, "rewrite.path", values::text(&to), &from);
                }
            }
            "replacepathregex" => {
                if let (Some(regex), Some(with)) = (first("regex"), first("replacement")) {
                    self.draft.need(at, "rewrite.path_regex", values::text(&regex), &from);
                    self.draft.need(at, "rewrite.with", values::text(&with), &from);
                }
            }
            "headers" => self.headers(at, &path, node),
            "retry" => self.leave(&path, "repeats belong to an upstream: `retry.attempts`"),
            "ratelimit" => self.rate(at, node, &from),
            "buffering" => {
                if let Some(bytes) = first("maxRequestBodyBytes").and_then(|it| it.parse().ok()) {
                    let from =
                        self.ids(&["http", "middlewares", name, kind, "maxRequestBodyBytes"]);
                    self.draft.set(at, "limits.body", values::size(bytes), &from);
                }
            }
            "ipallowlist" | "ipwhitelist" => {
                let nets = node.get("sourceRange").map(Node::texts).unwrap_or_default();
                self.draft.need(at, "match.client", values::list(&nets), &from);
                self.partly(&path, "others get 404, as if there were no route");
            }
            other => {
                let why = match other {
                    "basicauth" | "digestauth" | "forwardauth" => {
                        "gnomon asks for no passwords: leave that to the origin"
                    }
                    "compress" => "gnomon does not compress: let origins do it",
                    "circuitbreaker" => "`eject` of an upstream leaves out endpoints that fail",
                    "inflightreq" => {
                        "`pool.max` of an upstream bounds requests under way, `limits.per_client` connections"
                    }
                    "redirectregex" => {
                        "write a route with `match` and `redirect`: redirects know {host}, {uri}, {path}, {query}"
                    }
                    "redirectscheme" => "routes hold on every listener",
                    "errors" => "gnomon passes replies of origins on as they are",
                    "plugin" => "gnomon has no plugins",
                    "stripprefixregex" => {
                        "write `rewrite.path_regex` and `rewrite.with` of the route"
                    }
                    "contenttype" => "gnomon passes replies of origins on as they are",
                    "passtlsclientcert" => {
                        "origins are told whose certificate it was where the listener has `tls.client_ca`"
                    }
                    _ => "gnomon has nothing like it, as far as this importer knows",
                };
                self.leave(&path, why);
            }
        }
    }

    fn strip(&mut self, at: At, node: &Node, from: &[Id]) {
        let prefixes = node.get("prefixes").map(Node::texts).unwrap_or_default();
        let own = self.draft.value(at, "match.path").map(str::to_owned);
        // The one that this route is for, if there are several.
        let fits = |prefix: &&String| {
            let bare = prefix.trim_end_matches('/');
            own.as_ref().is_some_and(|own| own.trim_matches('"').starts_with(bare))
        };
        let Some(prefix) = prefixes.iter().find(fits).or_else(|| prefixes.first()) else { return };
        let bare = prefix.trim_end_matches('/');
        if bare.is_empty() {
            from.iter().for_each(|id| self.draft.ledger.carry(*id));
            return;
        }
        self.draft.need(at, "rewrite.strip_prefix", values::text(bare), from);
    }

    fn headers(&mut self, at: At, path: &[&str; 4], node: &Node) {
        for (theirs, ours) in
            [("customRequestHeaders", "request"), ("customResponseHeaders", "response")]
        {
            let entries = node.get(theirs).map(Node::entries).unwrap_or_default();
            for (field, value) in entries {
                let from = self.ids(&[path[0], path[1], path[2], path[3], theirs, field]);
                let value = value.text().unwrap_or_default();
                let field = field.to_ascii_lowercase();
                if field == "x-forwarded-proto" && ours == "request" {
                    from.iter().for_each(|id| self.draft.ledger.carry(*id));
                } else if value.is_empty() {
                    from.iter().for_each(|id| {
                        self.draft.push(at, &format!("headers.{ours}.remove"), &field, *id)
                    });
                } else {
                    let key = format!("headers.{ours}.set.{}", values::key(&field));
                    self.draft.set(at, &key, values::text(value.trim()), &from);
                }
            }
        }
        self.safety(at, path, node);
        self.left_of_headers(path, node);
    }

    /// Fields that have a name of their own.
    fn safety(&mut self, at: At, path: &[&str; 4], node: &Node) {
        const FIXED: [(&str, &str, &str); 7] = [
            ("frameDeny", "x-frame-options", "DENY"),
            ("contentTypeNosniff", "x-content-type-options", "nosniff"),
            ("browserXssFilter", "x-xss-protection", "1; mode=block"),
            ("referrerPolicy", "referrer-policy", ""),
            ("contentSecurityPolicy", "content-security-policy", ""),
            ("permissionsPolicy", "permissions-policy", ""),
            ("customFrameOptionsValue", "x-frame-options", ""),
        ];
        let ids = |world: &Self, key: &str| world.ids(&[path[0], path[1], path[2], path[3], key]);
        for (theirs, field, fixed) in FIXED {
            let Some(value) = node.said(theirs) else { continue };
            let from = ids(self, theirs);
            let value = if fixed.is_empty() { value } else { fixed };
            if node.said(theirs) == Some("false") {
                from.iter().for_each(|id| self.draft.ledger.carry(*id));
                continue;
            }
            let key = format!("headers.response.set.{}", values::key(field));
            self.draft.set(at, &key, values::text(value.trim()), &from);
        }
        if let Some(seconds) = node.said("stsSeconds").filter(|it| *it != "0") {
            let mut value = format!("max-age={seconds}");
            let mut from = ids(self, "stsSeconds");
            for (key, text) in
                [("stsIncludeSubdomains", "; includeSubDomains"), ("stsPreload", "; preload")]
            {
                if node.said(key) == Some("true") {
                    value.push_str(text);
                    from.extend(ids(self, key));
                }
            }
            self.draft.set(
                at,
                "headers.response.set.strict-transport-security",
                values::text(&value),
                &from,
            );
            let why = "set on plain replies as well, where clients take no notice of it";
            ids(self, "stsSeconds").iter().for_each(|id| self.draft.ledger.partly(*id, why));
        }
    }

    /// What has no equal here.
    fn left_of_headers(&mut self, path: &[&str; 4], node: &Node) {
        let ids = |world: &Self, key: &str| world.ids(&[path[0], path[1], path[2], path[3], key]);
        for key in [
            "sslRedirect",
            "sslHost",
            "sslForceHost",
            "forceSTSHeader",
            "sslProxyHeaders",
            "hostsProxyHeaders",
            "allowedHosts",
        ] {
            let why = "gnomon has nothing like it: routes match hosts, and redirects are routes";
            for id in ids(self, key) {
                self.draft.ledger.leave(id, why);
            }
        }
        for (key, _) in node.entries() {
            if key.starts_with("accessControl") || key == "addVaryHeader" {
                let why =
                    "answers to preflight requests are the origin's, or routes with `respond`";
                for id in ids(self, key) {
                    self.draft.ledger.leave(id, why);
                }
            }
        }
        for id in self.ids(path) {
            self.draft
                .ledger
                .otherwise(id, "gnomon has nothing like it, as far as this importer knows");
        }
    }

    fn rate(&mut self, at: At, node: &Node, from: &[Id]) {
        let number = |key: &str| node.said(key).and_then(|it| it.parse::<u32>().ok());
        let Some(average) = number("average").filter(|it| *it > 0) else {
            from.iter().for_each(|id| self.draft.ledger.carry(*id));
            return;
        };
        let period = node.said("period").unwrap_or("1s");
        let unit =
            match values::read_duration(period, Duration::from_secs(1)).map(|it| it.as_secs()) {
                Some(1) => "s",
                Some(60) => "m",
                Some(3600) => "h",
                Some(_) | None => {
                    let why = "a rate is in seconds, minutes or hours";
                    from.iter().for_each(|id| self.draft.ledger.leave(*id, why));
                    return;
                }
            };
        self.draft.set(at, "limits.rate", values::text(&format!("{average}/{unit}")), from);
        if let Some(burst) = number("burst").filter(|it| *it > 0) {
            self.draft.set(at, "limits.burst", burst.to_string(), from);
        }
        if let Some(field) =
            node.find(&["sourceCriterion", "requestHeaderName"]).and_then(Node::text)
        {
            let by = format!("header:{}", field.to_ascii_lowercase());
            self.draft.set(at, "limits.by", values::text(&by), from);
        }
    }
}
