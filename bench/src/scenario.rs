//! The workloads, by name.

use std::{net::SocketAddr, rc::Rc};

use crate::{
    load::Plan,
    secure::{self, Hello},
};

/// One workload, the same for every proxy.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// How it is asked for.
    pub name: &'static str,
    /// What it is, for the tables.
    pub what: &'static str,
    /// How it is measured.
    pub how: How,
    /// The folder below `peers/` with configurations of its own, if it has one.
    pub configs: Option<&'static str>,
    /// How often a configuration repeats what it says to repeat. With more than one size, each
    /// is measured like a proxy of its own.
    pub sizes: &'static [u32],
    /// Who gets a copy of every request. Each proxy is then measured without copies, too.
    pub shadow: Option<Shadow>,
    /// Whether only gnomon is measured.
    pub ours: bool,
    /// Whether the origin answers on all addresses of this machine.
    pub everywhere: bool,
    connections: u32,
    depth: u32,
    path: &'static str,
    post: Option<usize>,
    cookies: u32,
    by_route: bool,
    churn: bool,
    /// How TLS is spoken with the proxy, if it is.
    pub tls: Option<Hello>,
}

/// How a workload is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// As many requests as go: what does one cost?
    Saturated,
    /// Half as many as the slowest can do: how long does one take?
    HalfRate,
    /// Connections that asked once and stay silent: what does one occupy?
    Idle,
    /// Starting, and reloading under load: how long does it take, and who notices?
    Restart,
}

/// What becomes of the copies of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shadow {
    /// They are answered.
    Answers,
    /// They are taken, and never answered.
    Hangs,
    /// Nobody listens.
    Refuses,
}

const PLAIN: Scenario = Scenario {
    name: "",
    what: "",
    how: How::Saturated,
    configs: None,
    sizes: &[0],
    shadow: None,
    ours: false,
    everywhere: false,
    connections: 64,
    depth: 1,
    path: "/",
    post: None,
    cookies: 0,
    by_route: false,
    churn: false,
    tls: None,
};

/// TLS 1.3 with one certificate for all, whose key is ECDSA P-256.
const TLS: Scenario = Scenario { configs: Some("tls"), tls: Some(Hello::Again), ..PLAIN };

/// The configurations repeat once what copies want, or not at all.
const MIRROR: Scenario =
    Scenario { configs: Some("mirror"), shadow: Some(Shadow::Answers), ..PLAIN };

const SCALING: Scenario = Scenario { sizes: &[2, 1000], ours: true, ..PLAIN };

/// Every workload there is.
pub const ALL: [Scenario; 27] = [
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
        name: "get-1m",
        what: "GET 1 MiB, 16 connections",
        connections: 16,
        path: "/b/1048576",
        ..PLAIN
    },
    Scenario {
        name: "post-16k",
        what: "POST 16 KiB, 64 connections",
        post: Some(16 << 10),
        ..PLAIN
    },
    Scenario {
        name: "pipelined",
        what: "GET 150 B, 8 deep on 16 connections",
        connections: 16,
        depth: 8,
        ..PLAIN
    },
    Scenario {
        name: "churn",
        what: "GET 150 B, a connection for each request, 64 at a time",
        churn: true,
        ..PLAIN
    },
    Scenario {
        name: "tls-get-1k",
        what: "GET 1 KiB over TLS 1.3, 64 connections",
        path: "/b/1024",
        ..TLS
    },
    Scenario {
        name: "tls-get-100k",
        what: "GET 100 KiB over TLS 1.3, 64 connections",
        path: "/b/102400",
        ..TLS
    },
    Scenario {
        name: "tls-churn",
        what: "GET 150 B, a TLS 1.3 connection for each request, shaken in full, 64 at a time",
        churn: true,
        tls: Some(Hello::Stranger),
        ..TLS
    },
    Scenario {
        name: "tls-resumed",
        what: "GET 150 B, a TLS 1.3 connection for each request, resumed, 64 at a time",
        churn: true,
        ..TLS
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
        sizes: &[10],
        by_route: true,
        path: "/item",
        ..PLAIN
    },
    Scenario {
        name: "routes-10000",
        what: "GET 150 B over 10,000 routes, 64 connections",
        configs: Some("routes"),
        sizes: &[10_000],
        by_route: true,
        path: "/item",
        ..PLAIN
    },
    Scenario {
        name: "full",
        what: "GET 1 KiB, canary 10 % by cookie, 10,000 routes, access log to a file, 64 connections",
        configs: Some("full"),
        sizes: &[10_000],
        by_route: true,
        path: "/b/1024",
        cookies: 512,
        ..PLAIN
    },
    Scenario {
        name: "rate",
        what: "GET 150 B at a fixed rate, 64 connections",
        how: How::HalfRate,
        ..PLAIN
    },
    Scenario {
        name: "mirror",
        what: "GET 150 B, every request also to a shadow, 64 connections",
        ..MIRROR
    },
    Scenario {
        name: "mirror-rate",
        what: "GET 150 B at a fixed rate, every request also to a shadow, 64 connections",
        how: How::HalfRate,
        ..MIRROR
    },
    Scenario {
        name: "mirror-16k",
        what: "POST 16 KiB, every request also to a shadow, 64 connections",
        post: Some(16 << 10),
        ..MIRROR
    },
    Scenario {
        name: "mirror-hung",
        what: "GET 150 B, every request also to a shadow that never answers, 64 connections",
        shadow: Some(Shadow::Hangs),
        ..MIRROR
    },
    Scenario {
        name: "mirror-refused",
        what: "GET 150 B, every request also to a shadow that nobody listens for, 64 connections",
        shadow: Some(Shadow::Refuses),
        ..MIRROR
    },
    Scenario {
        name: "idle",
        what: "connections that asked once, 3 s ago",
        how: How::Idle,
        configs: Some("idle"),
        ..PLAIN
    },
    Scenario {
        name: "restart",
        what: "10,000 routes: start, and reload at a fixed rate, 64 connections",
        how: How::Restart,
        configs: Some("restart"),
        sizes: &[10_000],
        by_route: true,
        path: "/item",
        ..PLAIN
    },
    Scenario {
        name: "workers",
        what: "GET 150 B, one and two workers on one core, 64 connections",
        configs: Some("workers"),
        sizes: &[1, 2],
        ..SCALING
    },
    Scenario {
        name: "routes",
        what: "GET 150 B over 2 and 1,000 routes, 64 connections",
        configs: Some("routes"),
        by_route: true,
        path: "/item",
        ..SCALING
    },
    Scenario {
        name: "versions",
        what: "GET 150 B, 2 and 1,000 versions, 64 connections",
        configs: Some("versions"),
        ..SCALING
    },
    Scenario {
        name: "endpoints",
        what: "GET 150 B, 2 and 1,000 endpoints, 64 connections",
        configs: Some("endpoints"),
        everywhere: true,
        ..SCALING
    },
];

/// The workload of that name.
#[must_use]
pub fn by_name(name: &str) -> Option<Scenario> {
    ALL.into_iter().find(|scenario| scenario.name == name)
}

impl Scenario {
    /// What the load does to the proxy at `address`, which is configured in `size`.
    #[must_use]
    pub fn plan(&self, address: SocketAddr, size: u32) -> Plan {
        let variants = if self.by_route { size } else { self.cookies };
        let requests = (0..variants.clamp(1, VARIANTS_MAX)).map(|at| self.request(at, variants));
        let Self { connections, depth, churn, .. } = *self;
        // Without a certificate there is no load either: the first request fails.
        let tls = self.tls.and_then(|hello| secure::client(hello).ok());
        Plan { address, connections, depth, rate: None, churn, tls, requests: requests.collect() }
    }

    fn request(&self, at: u32, variants: u32) -> Rc<[u8]> {
        let uid = (self.cookies > 0).then(|| at % self.cookies);
        if !self.by_route {
            return request(self.path, self.post, uid);
        }
        // A stride that shares no factor with the counts, so that neighbours in the configuration
        // are not neighbours in time.
        let route = u64::from(at) * 7919 % u64::from(variants.max(1));
        request(&format!("/r{route}{}", self.path), self.post, uid)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(name: &str, size: u32) -> Vec<String> {
        let plan = by_name(name).unwrap().plan(([127, 0, 0, 1], 1).into(), size);
        plan.requests.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    #[test]
    fn every_route_is_asked_once_and_every_visitor_has_a_cookie() {
        let heads = heads("full", 10_000);
        let paths: std::collections::BTreeSet<_> =
            heads.iter().filter_map(|head| head.split(' ').nth(1)).collect();
        assert_eq!(paths.len(), 10_000);
        assert!(paths.contains("/r9999/b/1024"));
        assert!(heads[511].contains("uid=u00511;"), "{}", heads[511]);
    }

    #[test]
    fn names_are_found_and_differ() {
        for (at, scenario) in ALL.iter().enumerate() {
            let first = ALL.iter().position(|other| other.name == scenario.name);
            assert_eq!(first, Some(at), "{}", scenario.name);
        }
        assert_eq!(heads("get-150", 0).len(), 1);
        assert_eq!(heads("sticky", 0).len(), 512);
    }
}
