//! What a location does: proxy, redirect, answer.

use super::{
    super::{
        draft::{At, Kind},
        ledger::Id,
        values::{self, Path},
    },
    World,
    grammar::Statement,
    location::Place,
    server::{HTTPS, Server},
    terms::Terms,
    upstream::Proxied,
};

const STATIC: &str = "gnomon has no variables; redirects know {host}, {uri}, {path} and {query}";

impl<'s> World<'s> {
    /// `return`: a redirect, or a reply of our own.
    pub(super) fn answer(
        &mut self,
        server: &Server<'s>,
        block: &'s Statement,
        answer: &'s Statement,
        place: &Place,
    ) -> Option<At> {
        let (code, rest) = match answer.argument(0).parse::<u16>() {
            Ok(code) => (code, answer.argument(1)),
            Err(_) => (302, answer.argument(0)),
        };
        let is_redirect = matches!(code, 301 | 302 | 303 | 307 | 308) && !rest.is_empty();
        if is_redirect {
            return self.redirect(server, block, answer.id, place, rest, code);
        }
        if !(200..=599).contains(&code) {
            let why = "gnomon always answers: write `respond` with a status from 200 to 599";
            self.draft.ledger.leave(answer.id, why);
            self.draft.ledger.leave(block.id, "its answer could not be carried over");
            return None;
        }
        if rest.contains('$') {
            self.draft.ledger.leave(answer.id, "a reply has a fixed text: gnomon has no variables");
            return None;
        }
        let at = self.route_of(server, &[block.id], place);
        self.draft.need(at, "respond.status", code.to_string(), &[answer.id]);
        if !rest.is_empty() {
            self.draft.set(at, "respond.body", values::text(rest), &[answer.id]);
        }
        let kind = block.child("default_type").map(|it| (it.argument(0), it.id));
        if let (Some((kind, id)), false) = (kind, rest.is_empty()) {
            self.draft.set(at, "respond.headers.content-type", values::text(kind), &[id]);
        }
        Some(at)
    }

    fn redirect(
        &mut self,
        server: &Server<'s>,
        block: &Statement,
        id: Id,
        place: &Place,
        to: &str,
        code: u16,
    ) -> Option<At> {
        let Some(to) = location_text(server, to) else {
            self.draft.ledger.leave(id, STATIC);
            return None;
        };
        let host = to.strip_prefix("https://").and_then(|it| it.split(['/', '{']).next());
        let own = to.starts_with("https://{host}")
            || host.is_some_and(|host| server.names.iter().any(|name| name == host));
        if own && server.plain && (self.has_tls || server.tls) {
            self.draft.ledger.leave(id, HTTPS);
            self.draft.ledger.leave(block.id, HTTPS);
            return None;
        }
        let at = self.route_of(server, &[block.id], place);
        self.draft.need(at, "redirect.to", values::text(&to), &[id]);
        self.draft.need(at, "redirect.status", code.to_string(), &[id]);
        Some(at)
    }

    /// `rewrite` of a server, which nearly always redirects.
    pub(super) fn rewritten_server(&mut self, server: &Server<'s>, statement: &'s Statement) {
        let place = Place::any();
        self.moved(server, server.statement, statement, &place);
    }

    /// `rewrite` where there is no proxy: a redirect, or nothing of ours.
    pub(super) fn moved(
        &mut self,
        server: &Server<'s>,
        block: &'s Statement,
        statement: &'s Statement,
        place: &Place,
    ) {
        let code = match statement.argument(2) {
            "permanent" => 301,
            "redirect" => 302,
            "" if statement.argument(1).contains("://") => 302,
            _ => return,
        };
        let (pattern, to) = (statement.argument(0), statement.argument(1));
        let whole =
            matches!(pattern, "^" | ".*" | "^.*$" | "^(.*)$" | "^(.*)" | "^/(.*)$" | "^/(.*)");
        if !whole {
            self.draft
                .ledger
                .leave(statement.id, "redirects keep the path or replace it, no parts of it");
            return;
        }
        // nginx puts the query behind it by itself.
        let to = match to.strip_suffix("$1") {
            Some(rest) if pattern.starts_with("^/(") => {
                format!("{}$request_uri", rest.trim_end_matches('/'))
            }
            Some(rest) => format!("{rest}$request_uri"),
            None => to.trim_end_matches('?').to_owned(),
        };
        if let Some(at) = self.redirect(server, block, statement.id, place, &to, code) {
            self.rank_as(at, server, place);
        }
    }

    /// `proxy_pass`, and all that goes with it.
    pub(super) fn proxied_location(
        &mut self,
        server: &Server<'s>,
        location: &'s Statement,
        pass: &'s Statement,
        place: &Place,
        terms: &Terms,
    ) {
        let proxied = match self.proxied(pass, terms) {
            Ok(proxied) => proxied,
            Err(why) => {
                self.draft.ledger.leave(pass.id, why);
                self.draft.ledger.leave(location.id, "its `proxy_pass` could not be carried over");
                return;
            }
        };
        for (condition, value, upstream, id) in &proxied.others {
            let at = self.route_of(server, &[], place);
            self.draft.need(at, condition, value.clone(), &[*id]);
            self.forward(at, location, pass, place, terms, upstream, &proxied);
            self.rank_as(at, server, place);
        }
        let at = self.route_of(server, &[location.id], place);
        if let (false, Some(deny)) = (terms.allow.is_empty(), terms.deny_all) {
            let nets: Vec<String> = terms.allow.iter().map(|(net, _)| net.clone()).collect();
            let from: Vec<Id> = terms.allow.iter().map(|(_, id)| *id).chain([deny]).collect();
            self.draft.need(at, "match.client", values::list(&nets), &from);
            self.forbidden(server, location, place, &[deny]);
        }
        self.forward(at, location, pass, place, terms, &proxied.upstream, &proxied);
        self.rank_as(at, server, place);
        for (uri, id) in &terms.mirrors {
            self.mirrored(server, at, uri, *id, &proxied.upstream);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all of it belongs to one `proxy_pass`")]
    fn forward(
        &mut self,
        at: At,
        location: &Statement,
        pass: &Statement,
        place: &Place,
        terms: &Terms,
        upstream: &str,
        proxied: &Proxied,
    ) {
        self.draft.need(at, "to", values::text(upstream), &[pass.id]);
        self.put_terms(at, terms);
        let rewrite = location.child("rewrite").filter(|it| !it.argument(1).contains("://"));
        if let Some(rewrite) = rewrite {
            self.rewritten(at, rewrite);
        } else if let Some(uri) = &proxied.uri {
            let Some((key, value)) = rewriting(place, uri) else { return };
            self.draft.need(at, key, values::text(&value), &[pass.id]);
        }
    }

    /// `rewrite PATTERN TEXT break`.
    fn rewritten(&mut self, at: At, rewrite: &Statement) {
        let (pattern, with) = (rewrite.argument(0), rewrite.argument(1));
        if rewrite.argument(2) != "break" {
            let why = "gnomon looks for a route once: write the rewrite into the route that is meant in the end";
            self.draft.ledger.leave(rewrite.id, why);
            return;
        }
        let with = with.trim_end_matches('?');
        let numbers =
            with.split('$').skip(1).all(|it| it.starts_with(|it: char| it.is_ascii_digit()));
        if !numbers || with.contains('?') {
            self.draft
                .ledger
                .leave(rewrite.id, "gnomon has no variables; `$1` is a group of the pattern");
            return;
        }
        self.draft.need(at, "rewrite.path_regex", values::text(&anchored(pattern)), &[rewrite.id]);
        self.draft.need(at, "rewrite.with", values::text(&braced(with)), &[rewrite.id]);
    }

    /// `mirror`: a shadow that gets copies.
    fn mirrored(&mut self, server: &Server<'s>, route: At, uri: &str, id: Id, from: &str) {
        let location = server.statement.inner().iter().find(|it| {
            it.name() == "location" && it.arguments().last().is_some_and(|it| it == uri)
        });
        let pass = location.and_then(|it| it.child("proxy_pass").map(|pass| (it, pass)));
        let Some((location, pass)) = pass else {
            self.draft.ledger.leave(id, "the location that it names proxies nowhere");
            return;
        };
        let proxied = match self.proxied(pass, &Terms::default()) {
            Ok(proxied) => proxied,
            Err(why) => return self.draft.ledger.leave(id, why),
        };
        let name = format!("{}-copy", self.draft.name(route));
        let at = self.draft.table(Kind::Shadow, &name, &[]);
        self.draft.need(at, "from", values::text(from), &[id]);
        let to = format!("{}@v1", proxied.upstream);
        self.draft.need(at, "to", values::text(&to), &[pass.id, location.id]);
        self.draft.copy_matches(route, at);
        let why = "GET and HEAD are copied; `match.method` of the shadow names more";
        self.draft.ledger.partly(id, why);
        for inner in location.inner() {
            if matches!(inner.name(), "internal" | "proxy_pass_request_body" | "proxy_set_header") {
                self.draft.ledger.carry(inner.id);
            }
        }
    }
}

impl Place {
    /// Any path.
    pub(super) fn any() -> Self {
        Self::new(Path::Any, "/".to_owned())
    }
}

/// What `proxy_pass` with a path makes of a location's.
fn rewriting(place: &Place, uri: &str) -> Option<(&'static str, String)> {
    if uri == place.text {
        return None;
    }
    let bare = |text: &str| text.trim_end_matches('/').to_owned();
    match &place.path {
        Path::Any if uri == "/" => None,
        Path::Any => Some(("rewrite.add_prefix", bare(uri))),
        Path::Exact(_) => Some(("rewrite.path", uri.to_owned())),
        Path::Prefix(_) if uri == "/" => Some(("rewrite.strip_prefix", bare(&place.text))),
        Path::Prefix(_) => Some(("rewrite.replace_prefix", bare(uri))),
        Path::Regex(_) => None,
    }
}

/// A redirect's text with our placeholders; none where there is no such.
fn location_text(server: &Server<'_>, to: &str) -> Option<String> {
    let only_tls = server.tls && !server.plain;
    let scheme = if only_tls { "https" } else { "http" };
    let mut text = to.replace(['\u{0}'], "").replace("${", "$").replace('}', "");
    if text.contains("$scheme") && server.tls && server.plain {
        return None;
    }
    let name = server.names.first().map_or("{host}", String::as_str);
    for (theirs, ours) in [
        ("$uri$is_args$args", "{uri}"),
        ("$request_uri", "{uri}"),
        ("$document_uri", "{path}"),
        ("$uri", "{path}"),
        ("$query_string", "{query}"),
        ("$args", "{query}"),
        ("$http_host", "{host}"),
        ("$server_name", name),
        ("$host", "{host}"),
        ("$scheme", scheme),
    ] {
        text = text.replace(theirs, ours);
    }
    (!text.contains('$')).then_some(text)
}

/// A pattern that takes the whole path, as nginx replaces it.
fn anchored(pattern: &str) -> String {
    let start = if pattern.starts_with('^') { "" } else { "^.*?" };
    let end = if pattern.ends_with('$') { "" } else { ".*$" };
    format!("{start}{pattern}{end}")
}

/// `$1x` would be the group `1x`.
fn braced(with: &str) -> String {
    let mut out = String::new();
    let mut pieces = with.split('$');
    out.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = piece.split_at(digits);
        if rest.starts_with(|it: char| it.is_ascii_alphanumeric() || it == '_') {
            out.push_str(&format!("${{{number}}}{rest}"));
        } else {
            out.push_str(&format!("${number}{rest}"));
        }
    }
    out
}
