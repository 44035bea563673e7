//! Routes, as `GET /v1/routes` tells them.

use serde::{Deserialize, Serialize};

/// A route of the configuration: an item of `GET /v1/routes?offset&limit`, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteEntry {
    /// Its name.
    pub name: String,
    /// Overrides specificity: the higher wins.
    pub priority: i32,
    /// What a request must look like, one condition each, in words; none means any request.
    pub matches: Vec<String>,
    /// What is done with it.
    pub action: RouteAction,
    /// The upstream that gets it, where it is forwarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// The version that it forces, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The status, where it is answered from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Where a redirect leads; `{uri}`, `{path}`, `{query}` and `{host}` are the request's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// What is done with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteAction {
    /// It goes to an upstream.
    #[default]
    Forward,
    /// It is told to go elsewhere.
    Redirect,
    /// It is answered from here.
    Respond,
}
