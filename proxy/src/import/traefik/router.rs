//! `http.routers`: rules, middlewares and services joined to routes.

use super::{
    super::{draft::Kind, ledger::Id, tree::Node, values},
    World,
    rule::{self, Matches},
};

impl World<'_> {
    /// A route for each alternative of each rule.
    pub(super) fn routers(&mut self) {
        for name in self.names(&["http", "routers"]) {
            self.router(&name);
        }
    }

    fn router(&mut self, name: &str) {
        let path = ["http", "routers", name];
        let Some((node, _)) = self.find(&path) else { return };
        let below = |key: &'static str| [path[0], path[1], path[2], key];
        let Some(rule) = node.said("rule") else {
            return self.leave(&path, "it has no rule");
        };
        let all = match rule::alternatives(rule) {
            Ok(all) => all,
            Err(why) => return self.leave(&path, &why),
        };
        let service = node.said("service").unwrap_or(name).to_owned();
        let middlewares = node.get("middlewares").map(Node::texts).unwrap_or_default();
        if self.sends_to_https(&middlewares) {
            let why = "routes hold on every listener, and this one would catch https as well: let whatever \
                       answers port 80 today go on sending people to https";
            self.leave(&path, why);
            return;
        }
        let Some(target) = self.service(&service) else {
            let why = if service.contains('@') {
                "the service comes from another provider: write [upstream.*] with its endpoints"
            } else {
                "its service could not be carried over"
            };
            return self.leave(&path, why);
        };
        let several = all.len() > 1;
        for (ix, matches) in all.into_iter().enumerate() {
            let wanted = if several { format!("{name}-{}", ix + 1) } else { name.to_owned() };
            self.route(name, &wanted, &node, &matches, &target.upstream, &middlewares);
            for (shadow, percent) in &target.shadows {
                self.shadow(&wanted, &matches, &target.upstream, shadow, *percent);
            }
        }
        self.carry(&below("entryPoints"));
        if node.get("tls").is_some() {
            let why = "certificates are the listener's";
            if node.find(&["tls", "certResolver"]).is_some() {
                self.leave(
                    &below("tls"),
                    "gnomon reads certificates from files: let an ACME client write them",
                );
            } else if node.find(&["tls", "options"]).is_some() {
                self.partly(&below("tls"), why);
            } else {
                self.carry(&below("tls"));
            }
        }
        if node.get("entryPoints").is_some() && self.names(&["entryPoints"]).len() > 1 {
            self.partly(&below("entryPoints"), "routes hold on every listener");
        }
    }

    fn route(
        &mut self,
        name: &str,
        wanted: &str,
        node: &Node,
        matches: &Matches,
        upstream: &str,
        middlewares: &[String],
    ) {
        let ids = |world: &Self, key: &str| world.ids(&["http", "routers", name, key]);
        let at = self.draft.table(Kind::Route, wanted, &[]);
        let from: Vec<Id> = ids(self, "rule");
        for (key, value) in matches {
            self.draft.need(at, key, value.clone(), &from);
        }
        let from = ids(self, "service");
        self.draft.need(at, "to", values::text(upstream), &from);
        if matches.is_empty() {
            for id in ids(self, "rule") {
                self.draft.ledger.carry(id);
            }
        }
        if let Some(priority) = node.said("priority") {
            let from = ids(self, "priority");
            self.draft.need(at, "priority", priority, &from);
        }
        let used = ids(self, "middlewares");
        for middleware in middlewares {
            self.middleware(at, middleware, &used, 0);
        }
        for id in used {
            self.draft.ledger.carry(id);
        }
    }

    fn shadow(&mut self, name: &str, matches: &Matches, from: &str, to: &str, percent: f64) {
        let at = self.draft.table(Kind::Shadow, &format!("{name}-copy"), &[]);
        self.draft.need(at, "from", values::text(from), &[]);
        self.draft.need(at, "to", values::text(&format!("{to}@v1")), &[]);
        let share = format!("{}%", values::percent(percent));
        self.draft.need(at, "sample", values::text(&share), &[]);
        for (key, value) in matches {
            self.draft.need(at, key, value.clone(), &[]);
        }
    }
}
