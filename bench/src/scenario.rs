//! The workloads, by name.

use std::{net::SocketAddr, rc::Rc};

use crate::load::Plan;

/// One workload, the same for every proxy.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// How it is asked for.
    pub name: &'static str,
    /// What it is, for the tables.
    pub what: &'static str,
    /// The folder below `peers/` with configurations of its own, if it has one.
    pub configs: Option<&'static str>,
    /// Routes that are configured and asked for in turn.
    pub routes: u32,
    connections: u32,
    path: &'static str,
    post: Option<usize>,
    cookies: u32,
    churn: bool,
}

const PLAIN: Scenario = Scenario {
    name: "",
    what: "",
    configs: None,
    routes: 0,
    connections: 64,
    path: "/",
    post: None,
    cookies: 0,
    churn: false,
};

/// Every workload there is.
pub const ALL: [Scenario; 8] = [
    Scenario { name: "get-150", what: "GET 150 B, 64 connections", ..PLAIN },
    Scenario {
        name: "get-1k",
        what: "GET 1 KiB, 256 connections",
        connections: 256,
        path: "/b/1024",
        ..PLAIN
    },
    Scenario { name: "get-100k", what: "GET 100 KiB, 64 connections", path: "/b/102400", ..PLAIN },
    Scenario {
        name: "post-16k",
        what: "POST 16 KiB, 64 connections",
        post: Some(16 << 10),
        ..PLAIN
    },
    Scenario {
        name: "sticky",
        what: "GET 150 B, canary 10 % by cookie, 64 connections",
        configs: Some("sticky"),
        cookies: 512,
        ..PLAIN
    },
    Scenario {
        name: "routes-10",
        what: "GET 150 B over 10 routes, 64 connections",
        configs: Some("routes"),
        routes: 10,
        ..PLAIN
    },
    Scenario {
        name: "routes-10000",
        what: "GET 150 B over 10,000 routes, 64 connections",
        configs: Some("routes"),
        routes: 10_000,
        ..PLAIN
    },
    Scenario {
        name: "churn",
        what: "GET 150 B, a connection for each request, 64 at a time",
        churn: true,
        ..PLAIN
    },
];

/// The workload of that name.
#[must_use]
pub fn by_name(name: &str) -> Option<Scenario> {
    ALL.into_iter().find(|scenario| scenario.name == name)
}

impl Scenario {
    /// What the load does to the proxy at `address`.
    #[must_use]
    pub fn plan(&self, address: SocketAddr) -> Plan {
        let requests = if self.routes > 0 {
            // A stride that shares no factor with the counts, so that neighbours in the
            // configuration are not neighbours in time.
            let routes = (0..self.routes).map(|at| at.wrapping_mul(7919) % self.routes);
            routes.map(|route| request(&format!("/r{route}/item"), None, None)).collect()
        } else if self.cookies > 0 {
            (0..self.cookies).map(|uid| request(self.path, self.post, Some(uid))).collect()
        } else {
            vec![request(self.path, self.post, None)]
        };
        let (connections, churn) = (self.connections, self.churn);
        Plan { address, connections, depth: 1, rate: None, churn, requests }
    }
}

/// A request as a browser's library would send it, with few fields.
#[must_use]
pub fn request(path: &str, post: Option<usize>, uid: Option<u32>) -> Rc<[u8]> {
    let method = if post.is_some() { "POST" } else { "GET" };
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench/1\r\nAccept: */*\r\n"
    );
    if let Some(uid) = uid {
        head.push_str(&format!("Cookie: theme=dark; uid=u{uid:05}; lang=en\r\n"));
    }
    if let Some(body_bytes) = post {
        head.push_str(&format!("Content-Length: {body_bytes}\r\n"));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.resize(bytes.len() + post.unwrap_or(0).min(POST_BYTES_MAX), b'x');
    bytes.into()
}

/// Different requests of one kind; all are kept in memory.
pub const VARIANTS_MAX: u32 = 100_000;
const POST_BYTES_MAX: usize = 64 << 20;
