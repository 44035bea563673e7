//! `location`: which paths, and the routes for them.

use super::{
    super::{
        draft::At,
        ledger::Id,
        values::{self, Path},
    },
    Ranked, World,
    grammar::Statement,
    server::Server,
    terms::Terms,
};

/// A `location` as its action sees it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) path: Path,
    /// The prefix or path as nginx has it; empty for a pattern.
    pub(super) text: String,
    kind: u8,
}

impl Place {
    /// As if it stood in a prefix location.
    pub(super) const fn new(path: Path, text: String) -> Self {
        Self { path, text, kind: 0 }
    }
}

impl<'s> World<'s> {
    /// Routes of a location and those in it.
    pub(super) fn location(
        &mut self,
        server: &Server<'s>,
        statement: &'s Statement,
        outer: &Terms,
        above: &str,
    ) {
        let Some(place) = place(statement) else {
            let why = "nothing here jumps to a location by its name";
            self.draft.ledger.leave(statement.id, why);
            return;
        };
        let inner: Vec<&Statement> = statement.inner().iter().collect();
        let terms = self.terms(outer, &inner);
        let _ = above;
        for inner in statement.inner() {
            match inner.name() {
                "location" => self.location(server, inner, &terms, &place.text),
                "if" => self.preflight(server, statement, inner, &place),
                _ => {}
            }
        }
        let find = |name: &str| statement.child(name);
        if let Some(pass) = find("proxy_pass") {
            self.proxied_location(server, statement, pass, &place, &terms);
        } else if let Some(answer) = find("return") {
            self.ranked_answer(server, statement, answer, &place, &terms);
        } else if let (Some(deny), true) = (find("deny"), terms.allow.is_empty()) {
            if deny.argument(0) == "all" {
                self.forbidden(server, statement, &place, &[deny.id]);
            }
        } else if let Some(rewrite) = find("rewrite") {
            self.moved(server, statement, rewrite, &place);
        }
    }

    /// `if ($request_method = OPTIONS) { return 204; }`
    fn preflight(
        &mut self,
        server: &Server<'s>,
        location: &'s Statement,
        condition: &'s Statement,
        place: &Place,
    ) {
        let words = condition.arguments().join(" ");
        let words = words.trim_matches(['(', ')', ' ']);
        let method = words.strip_prefix("$request_method").map(str::trim_start);
        let method = method.and_then(|it| it.strip_prefix('=')).map(str::trim);
        let (Some(method), Some(answer)) = (method, condition.child("return")) else { return };
        let method = method.trim_matches(['\'', '"']).to_owned();
        let inner: Vec<&Statement> = condition.inner().iter().collect();
        let terms = self.terms(&Terms::default(), &inner);
        let Some(at) = self.answer(server, location, answer, place) else { return };
        self.draft.need(at, "match.method", values::text(&method), &[condition.id]);
        self.put_terms(at, &terms);
        self.routes.push(Ranked { at, host: tier(server), kind: place.kind });
    }

    fn ranked_answer(
        &mut self,
        server: &Server<'s>,
        location: &'s Statement,
        answer: &'s Statement,
        place: &Place,
        terms: &Terms,
    ) {
        let Some(at) = self.answer(server, location, answer, place) else { return };
        self.put_response_only(at, terms);
        self.rank_as(at, server, place);
    }

    /// `return` of a server.
    pub(super) fn answered(
        &mut self,
        server: &Server<'s>,
        path: Path,
        block: &'s Statement,
        answer: &'s Statement,
        terms: &Terms,
    ) {
        let place = Place::new(path, "/".to_owned());
        self.ranked_answer(server, block, answer, &place, terms);
    }

    fn put_response_only(&mut self, at: At, terms: &Terms) {
        let only = Terms { response: terms.response.clone(), ..Terms::default() };
        self.put_terms(at, &only);
    }

    /// A route for a location, with its host and path.
    pub(super) fn route_of(&mut self, server: &Server<'_>, from: &[Id], place: &Place) -> At {
        let host = server.hosts.first().map_or("any", String::as_str);
        let path = if place.text.is_empty() { "pattern" } else { place.text.as_str() };
        let at = self.route(&format!("{host}{path}"), from);
        if !server.hosts.is_empty() {
            let from: Vec<Id> = server.names_id.into_iter().collect();
            self.draft.need(at, "match.host", values::texts(&server.hosts), &from);
        }
        if let Some((key, value)) = place.path.condition() {
            self.draft.need(at, key, value, &[]);
        }
        at
    }

    /// Remembers where nginx's order puts a route.
    pub(super) fn rank_as(&mut self, at: At, server: &Server<'_>, place: &Place) {
        self.ordered |= place.kind == 1 || place.kind == 2;
        self.routes.push(Ranked { at, host: tier(server), kind: place.kind });
    }

    /// A route that refuses.
    pub(super) fn forbidden(
        &mut self,
        server: &Server<'_>,
        location: &Statement,
        place: &Place,
        from: &[Id],
    ) {
        let at = self.route_of(server, &[location.id], place);
        self.draft.need(at, "respond.status", "403", from);
        self.rank_as(at, server, place);
    }
}

fn tier(server: &Server<'_>) -> u8 {
    match server.hosts.first() {
        None => 0,
        Some(host) if host.starts_with("*.") => 1,
        Some(_) => 2,
    }
}

/// Which paths a location is for.
fn place(statement: &Statement) -> Option<Place> {
    let (sign, text) = match statement.arguments() {
        [text] => {
            let sign = ["=", "^~", "~*", "~"].into_iter().find(|it| text.starts_with(it));
            (sign.unwrap_or(""), &text[sign.map_or(0, str::len)..])
        }
        [sign, text] => (sign.as_str(), text.as_str()),
        _ => return None,
    };
    let (path, kind) = match sign {
        "" if text.starts_with('@') => return None,
        "" => (Path::beginning(text), 0),
        "=" => (Path::Exact(text.to_owned()), 3),
        "^~" => (Path::beginning(text), 2),
        "~" => (Path::regex(text), 1),
        "~*" => (insensitive(Path::regex(text)), 1),
        _ => return None,
    };
    let text = if kind == 1 { String::new() } else { text.to_owned() };
    Some(Place { path, text, kind })
}

fn insensitive(path: Path) -> Path {
    match path {
        Path::Regex(regex) => Path::Regex(format!("(?i){regex}")),
        other @ (Path::Any | Path::Exact(_) | Path::Prefix(_)) => other,
    }
}
