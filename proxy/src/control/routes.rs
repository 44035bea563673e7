//! The routes of the configuration, in words.

use gnomon_config::{
    Config,
    model::{
        Action, Condition, HostPattern, Match, PathPattern, Piece, Route, flag::FlagCondition,
    },
};

use super::{
    Control,
    api::{
        Page, PageAsked,
        routes::{RouteAction, RouteEntry},
    },
    findings::page,
};

impl Control {
    /// A page of the routes, in the order of the configuration.
    pub(crate) fn route_entries(&self, asked: &PageAsked) -> Page<RouteEntry> {
        let config = self.state().config.clone();
        let Page { total, offset, items } = page(config.routes.iter(), asked);
        Page { total, offset, items: items.into_iter().map(|it| entry(it, &config)).collect() }
    }
}

fn entry(route: &Route, config: &Config) -> RouteEntry {
    let matches = conditions(&route.matches);
    let name = route.name.to_string();
    let bare = RouteEntry { name, priority: route.priority, matches, ..RouteEntry::default() };
    match &route.action {
        Action::Forward(upstream, version) => {
            let upstream = config.upstreams.get(usize::from(upstream.0));
            let version = upstream.zip(*version).and_then(|(upstream, version)| {
                upstream.versions.get(usize::from(version.0)).map(|it| it.name.to_string())
            });
            let upstream = upstream.map(|it| it.name.to_string());
            RouteEntry { upstream, version, ..bare }
        }
        Action::Redirect { to, status } => RouteEntry {
            action: RouteAction::Redirect,
            status: Some(*status),
            to: Some(to.iter().map(piece).collect()),
            ..bare
        },
        Action::Respond { status, .. } => {
            RouteEntry { action: RouteAction::Respond, status: Some(*status), ..bare }
        }
    }
}

fn piece(piece: &Piece) -> &str {
    match piece {
        Piece::Text(text) => text,
        Piece::Uri => "{uri}",
        Piece::Path => "{path}",
        Piece::Query => "{query}",
        Piece::Host => "{host}",
    }
}

/// What a request must look like, one condition each.
fn conditions(matches: &Match) -> Vec<String> {
    let mut said = Vec::new();
    if !matches.hosts.is_empty() {
        let hosts = matches.hosts.iter().map(|host| match host {
            HostPattern::Exact(host) => host.to_string(),
            HostPattern::Below(host) => format!("*.{host}"),
        });
        said.push(format!("host is {}", any(hosts)));
    }
    match &matches.path {
        PathPattern::Any => {}
        PathPattern::Exact(path) => said.push(format!("path is {path}")),
        PathPattern::Prefix(path) => said.push(format!("path is {path}/*")),
        PathPattern::Regex(regex) => said.push(format!("path is like {}", regex.0.as_str())),
    }
    if !matches.methods.is_empty() {
        said.push(format!("method is {}", any(matches.methods.iter().map(|it| it.to_string()))));
    }
    for (what, all) in
        [("header", &matches.headers), ("query", &matches.query), ("cookie", &matches.cookies)]
    {
        said.extend(all.iter().map(|(name, condition)| on(what, name, condition)));
    }
    if !matches.clients.is_empty() {
        said.push(format!("client is in {}", any(matches.clients.iter().map(ToString::to_string))));
    }
    said.extend(matches.flags.iter().map(flag));
    said
}

fn on(what: &str, name: &str, condition: &Condition) -> String {
    match condition {
        Condition::Present(true) => format!("{what} {name} is there"),
        Condition::Present(false) => format!("{what} {name} is not there"),
        Condition::OneOf(texts) => {
            format!("{what} {name} is {}", any(texts.iter().map(|it| it.to_string())))
        }
        Condition::Regex(regex) => format!("{what} {name} is like {}", regex.0.as_str()),
    }
}

fn flag(condition: &FlagCondition) -> String {
    let FlagCondition { flag, variant, not } = condition;
    let is = if *not { "is not" } else { "is" };
    format!("flag {flag} {is} {}", variant.as_deref().unwrap_or("true"))
}

/// These, as many as a person reads.
fn any(texts: impl Iterator<Item = String>) -> String {
    let mut texts: Vec<String> = texts.collect();
    let more = texts.len().saturating_sub(SHOWN_MAX);
    texts.truncate(SHOWN_MAX);
    let said = texts.join(" or ");
    if more == 0 { said } else { format!("{said} or {more} more") }
}

/// Alternatives that are named; a condition may have hundreds.
const SHOWN_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<RouteEntry> {
        let text = format!(
            "listen = \"127.0.0.1:0\"\nupstream.shop.versions.v1 = \"127.0.0.1:1\"\n{text}"
        );
        let parsed = gnomon_config::parse("test.toml", &text, &gnomon_config::Options::default());
        let config = parsed.expect("it is right").config;
        config.routes.iter().map(|route| entry(route, &config)).collect()
    }

    #[test]
    fn a_route_is_told_in_words() {
        let entries = entries(
            r#"
            [route.a]
            to = "shop@v1"
            match = { host = ["a.test", "*.b.test"], path = "/cart/*", method = "GET", header = { x-staff = "1" } }
            [route.b]
            match = { path = "/old" }
            redirect = { to = "https://{host}/new", status = 308 }
            [route.c]
            respond.status = 204
            "#,
        );
        let [a, b, c] = &entries[..] else { panic!("{entries:?}") };
        assert_eq!((a.upstream.as_deref(), a.version.as_deref()), (Some("shop"), Some("v1")));
        assert_eq!(
            a.matches,
            [
                "host is a.test or *.b.test",
                "path is /cart/*",
                "method is GET",
                "header x-staff is 1"
            ]
        );
        assert_eq!((b.action, b.status), (RouteAction::Redirect, Some(308)));
        assert_eq!(b.to.as_deref(), Some("https://{host}/new"));
        assert_eq!((c.action, c.status, c.matches.len()), (RouteAction::Respond, Some(204), 0));
    }

    #[test]
    fn many_alternatives_are_counted() {
        assert_eq!(
            any((0..9).map(|it| it.to_string())),
            "0 or 1 or 2 or 3 or 4 or 5 or 6 or 7 or 1 more"
        );
        assert_eq!(any(["x".to_owned()].into_iter()), "x");
    }
}
