//! What each route asks of whoever calls it.
//!
//! The only such list: a route that is not here is refused to everybody, so that none can be added
//! without one.

use axum::{
    extract::{MatchedPath, Request},
    http::Method,
};

use crate::control::{api::series::Role, ofrep};

/// What a route is for and what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Right {
    /// `GET` or `POST`.
    pub(super) method: &'static str,
    /// As the router has it.
    pub(super) path: &'static str,
    /// What whoever calls it must be allowed; none if anybody may.
    pub(super) needs: Option<Role>,
}

/// What is to become of a request, as far as its route says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A route with its row.
    Known(&'static Right),
    /// A path that there is, and not for this method.
    WrongMethod,
    /// No path that there is.
    Nowhere,
    /// A route without a row: our own mistake.
    Unlisted,
}

/// What a request asks for.
pub(super) fn of(request: &Request) -> Asked {
    let Some(path) = request.extensions().get::<MatchedPath>() else { return Asked::Nowhere };
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    find(method.as_str(), path.as_str())
}

fn find(method: &str, path: &str) -> Asked {
    let mut of_path = RIGHTS.iter().filter(|right| right.path == path).peekable();
    if of_path.peek().is_none() {
        return Asked::Unlisted;
    }
    match of_path.find(|right| right.method == method) {
        Some(right) => Asked::Known(right),
        None => Asked::WrongMethod,
    }
}

impl Right {
    /// Whether it changes something, and is told of.
    pub(super) fn acts(&self) -> bool {
        self.needs > Some(Role::Read)
    }

    /// Whether it is one of OFREP's paths, which applications ask by POST.
    pub(super) fn is_ofrep(&self) -> bool {
        ofrep::is_ours(self.path)
    }
}

const fn open(path: &'static str) -> Right {
    Right { method: "GET", path, needs: None }
}

const fn read(path: &'static str) -> Right {
    Right { method: "GET", path, needs: Some(Role::Read) }
}

const fn post(path: &'static str, role: Role) -> Right {
    Right { method: "POST", path, needs: Some(role) }
}

/// Every route.
pub(super) const RIGHTS: &[Right] = &[
    // Of the console, what is the same for everybody: what it shows is asked for.
    open("/"),
    open("/console/{*path}"),
    open("/livez"),
    open("/readyz"),
    open("/healthz"),
    read("/metrics"),
    read("/v1/whoami"),
    read("/v1/openapi.json"),
    read("/v1/status"),
    read("/v1/golden"),
    read("/v1/saturation"),
    read("/v1/history"),
    read("/v1/events"),
    read("/v1/journal"),
    read("/v1/route"),
    read("/v1/routes"),
    read("/v1/tap"),
    read("/v1/config"),
    read("/v1/diff"),
    read("/v1/shadows"),
    read("/v1/shadows/{name}"),
    read("/v1/shadows/{name}/endpoints"),
    read("/v1/shadows/{name}/findings"),
    read("/v1/shadows/{name}/noise"),
    post("/v1/shadows/{name}/mark", Role::Rollout),
    post("/v1/shadows/{name}/forget", Role::Rollout),
    read("/v1/findings/{id}"),
    read("/v1/examples/{id}"),
    read("/v1/kpi"),
    post("/v1/kpi", Role::Rollout),
    read("/v1/flags"),
    read("/v1/flags/why"),
    // Asks, and changes nothing.
    post("/v1/flags/why", Role::Read),
    read("/v1/flags/{name}"),
    read("/v1/flags/{name}/compare"),
    post("/v1/flags/{name}/{verb}", Role::Rollout),
    read("/v1/flag-history"),
    read("/v1/rollouts"),
    read("/v1/rollouts/{name}"),
    read("/v1/rollouts/{name}/history"),
    read("/v1/rollouts/{name}/why"),
    read("/v1/rollouts/{name}/plan"),
    // Judges once more, and changes nothing.
    post("/v1/rollouts/{name}/rejudge", Role::Read),
    post("/v1/rollouts/{name}/{verb}", Role::Rollout),
    post("/v1/stop-the-line", Role::Rollout),
    post("/v1/upstreams/{name}/weight", Role::Rollout),
    post("/v1/upstreams/{name}/drain", Role::Rollout),
    post("/v1/upstreams/{name}/freeze", Role::Rollout),
    post("/v1/upstreams/{name}/resume", Role::Rollout),
    post("/v1/upstreams/{name}/rollback", Role::Rollout),
    post("/v1/reload", Role::Config),
    post("/v1/record", Role::Config),
    post("/v1/record/stop", Role::Config),
    post("/v1/logs/reopen", Role::Config),
    post("/v1/stop", Role::Admin),
    post("/v1/upgrade", Role::Admin),
    // What a user's flags come to, as applications ask.
    post("/ofrep/v1/evaluate/flags", Role::Read),
    post("/ofrep/v1/evaluate/flags/{*key}", Role::Read),
    read("/ofrep/v1/events"),
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    type Routes = BTreeSet<(&'static str, String)>;

    /// What the router's sources say: `.route("/path", get(…).post(…))`.
    fn routes(folder: &Path, found: &mut Routes) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                routes(&path, found);
            } else if !path.ends_with("rights.rs") {
                routes_of(&fs::read_to_string(&path).unwrap(), found);
            }
        }
    }

    fn routes_of(text: &str, found: &mut Routes) {
        for route in text.split(".route(").skip(1) {
            let route = route.split([';', '\n']).take(4).collect::<String>();
            // Others have a `route` too, of one argument.
            let Some((path, methods)) = route.split_once(',') else { continue };
            let path = match path.trim() {
                "KPI_PATH" => "/v1/kpi",
                "EVENTS" => "/ofrep/v1/events",
                path if path.starts_with("\"/") => path.trim_matches('"'),
                _ => continue,
            };
            // Up to where the next call of the router's begins.
            let end = [".route", ".merge", ".fallback(nowhere"].into_iter();
            let end = end.filter_map(|word| methods.find(word)).min().unwrap_or(methods.len());
            for (method, word) in [("GET", "get("), ("POST", "post(")] {
                if methods[..end].contains(word) {
                    found.insert((method, path.to_owned()));
                }
            }
        }
    }

    #[test]
    fn every_route_has_a_row_and_every_row_a_route() {
        let mut found = Routes::new();
        routes(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/control"), &mut found);
        let listed: Routes =
            RIGHTS.iter().map(|right| (right.method, right.path.to_owned())).collect();
        assert_eq!(listed.len(), RIGHTS.len(), "a row stands twice");
        let missing: Vec<_> = found.difference(&listed).collect();
        assert!(missing.is_empty(), "add to RIGHTS who may ask for {missing:?}");
        let left: Vec<_> = listed.difference(&found).collect();
        assert!(left.is_empty(), "there is no route for {left:?}");
    }

    #[test]
    fn what_acts_is_a_post_and_has_a_role() {
        for right in RIGHTS {
            assert!(right.method == "POST" || !right.acts(), "{right:?}");
            assert!(right.needs.is_some() || right.method == "GET", "{right:?}");
        }
        assert_eq!(find("GET", "/v1/nowhere"), Asked::Unlisted);
        assert_eq!(find("GET", "/v1/reload"), Asked::WrongMethod);
        assert_eq!(find("DELETE", "/v1/kpi"), Asked::WrongMethod);
    }
}
