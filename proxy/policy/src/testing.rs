//! Small builders for tests: a configuration in a few words, a request from its text.

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use gnomon_config::model::*;
use gnomon_wire::{HeadLimits, Progress, Request, RequestHead};

use crate::{
    Subject,
    luck::Luck,
    split::SplitState,
    table::{Availability, Decision, Table},
};

/// A request and the bytes it was read from.
pub(crate) struct Parsed {
    head: RequestHead,
    bytes: Vec<u8>,
}

impl Parsed {
    /// `GET http://shop/x; cookie: a=b; x-user: 7`: method, URL, fields.
    pub(crate) fn new(text: &str) -> Self {
        let mut parts = text.split("; ");
        let (method, url) = parts.next().unwrap().split_once(' ').unwrap();
        let rest = url.strip_prefix("http://").unwrap();
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = if path.is_empty() { "/" } else { path };
        let fields: String = parts.map(|field| format!("{field}\r\n")).collect();
        let bytes =
            format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{fields}\r\n").into_bytes();
        let mut head = RequestHead::default();
        let progress = head.read(&bytes, &HeadLimits::REQUEST);
        assert!(matches!(progress, Ok(Progress::Done(_))), "{text}: {progress:?}");
        Self { head, bytes }
    }

    pub(crate) fn request(&self) -> Request<'_> {
        Request { head: &self.head, bytes: &self.bytes }
    }

    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject::new(self.request(), CLIENT)
    }
}

pub(crate) const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

/// A table and all that one decision takes.
pub(crate) struct Bench {
    pub(crate) table: Table,
    pub(crate) available: Availability,
    pub(crate) luck: Luck,
}

impl Bench {
    pub(crate) fn new(config: Config, splits: &[SplitState]) -> Self {
        let available = Availability::of(&config);
        let table = Table::compile(Arc::new(config), splits).unwrap();
        Self { table, available, luck: Luck::seeded(1) }
    }

    pub(crate) fn decide(&mut self, text: &str) -> Decision {
        let parsed = Parsed::new(text);
        self.table.decide(&parsed.subject(), &self.available, &mut self.luck)
    }

    /// Upstream 0's version `number` goes up or down.
    pub(crate) fn turn(&mut self, number: u16, available: bool) {
        self.available.set(UpstreamIx(0), VersionIx(number), available);
    }
}

/// An upstream with these versions and shares, one endpoint each; the first is stable.
pub(crate) fn upstream(name: &str, versions: &[(&str, u32)], mode: StickyMode) -> Upstream {
    let version = |(number, (name, _)): (u8, &(&str, u32))| Version {
        name: (*name).into(),
        endpoints: vec![Endpoint::Tcp(([10, 0, 0, number], 8080).into())],
        proxy_protocol: false,
        headers: Headers::default(),
        tls: None,
    };
    Upstream {
        name: name.into(),
        versions: (0..).zip(versions).map(version).collect(),
        stable: VersionIx(0),
        split: versions.iter().map(|&(_, share)| Share(share)).collect(),
        sticky: Sticky {
            mode,
            cookie: format!("gnomon_{name}").into(),
            max_age: Duration::from_secs(86_400),
            secret: Secret::default(),
            salt: name.into(),
        },
        balance: Balance::P2c,
        host: HostRule::Preserve,
        health: None,
        eject: Eject { after: 0, duration: Duration::ZERO, max_ejected: Share::NONE, on: vec![] },
        retry: Retry { attempts: 0, on: vec![], budget: Share::NONE },
        pool: Pool { idle_per_core: 1, idle: Duration::ZERO, max: 1, queue: Duration::ZERO },
    }
}

/// One upstream and a route for everything.
pub(crate) fn single(upstream: Upstream) -> Config {
    config(vec![upstream], vec![route("all:")])
}

/// A route to upstream 0, as `name: host=a,*.b path=/c/* regex=/d.* method=GET,HEAD header=x:1
/// query=v:2 cookie=t:3 client=10.0.0.0/8 priority=1 pin=2`; a condition without a value wants
/// presence.
pub(crate) fn route(text: &str) -> Route {
    let (name, words) = text.split_once(':').unwrap();
    let mut route = Route {
        name: name.into(),
        priority: 0,
        matches: Match::default(),
        action: Action::Forward(UpstreamIx(0), None),
        rewrite: Rewrite::Keep,
        headers: Headers::default(),
        timeouts: timeouts(),
        body_max: 0,
        rate: RouteRate::Global,
        log_sample: None,
    };
    for word in words.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap();
        let condition = || match value.split_once(':') {
            Some((name, value)) => (name.into(), Condition::OneOf(vec![value.into()])),
            None => (value.into(), Condition::Present(true)),
        };
        let matches = &mut route.matches;
        match key {
            "host" => matches.hosts = value.split(',').map(host).collect(),
            "path" => matches.path = path(value),
            "regex" => {
                let regex = regex::bytes::Regex::new(&format!("^(?:{value})$")).unwrap();
                matches.path = PathPattern::Regex(Regex(regex));
            }
            "method" => matches.methods = value.split(',').map(Arc::from).collect(),
            "header" => matches.headers.push(condition()),
            "query" => matches.query.push(condition()),
            "cookie" => matches.cookies.push(condition()),
            "client" => matches.clients.push(value.parse().unwrap()),
            "priority" => route.priority = value.parse().unwrap(),
            "pin" => {
                let version = VersionIx(value.parse().unwrap());
                route.action = Action::Forward(UpstreamIx(0), Some(version));
            }
            _ => panic!("{word}"),
        }
    }
    route
}

fn host(text: &str) -> HostPattern {
    match text.strip_prefix("*.") {
        Some(suffix) => HostPattern::Below(suffix.into()),
        None => HostPattern::Exact(text.into()),
    }
}

fn path(text: &str) -> PathPattern {
    match text.strip_suffix("/*") {
        Some(prefix) => PathPattern::Prefix(prefix.into()),
        None => PathPattern::Exact(text.into()),
    }
}

fn timeouts() -> Timeouts {
    let none = Duration::ZERO;
    Timeouts {
        handshake: none,
        header: none,
        body: none,
        idle: none,
        connect: none,
        response: none,
        request: none,
        tunnel: none,
        drain: none,
        grace: none,
    }
}

pub(crate) fn config(upstreams: Vec<Upstream>, routes: Vec<Route>) -> Config {
    let access_log = AccessLog {
        format: AccessFormat::Off,
        to: Sink::Stdout,
        sample: Share::NONE,
        always_5xx: false,
        always_slow: false,
        slow: Duration::ZERO,
        redact_query: vec![],
        only: Filter::default(),
        except: Filter::default(),
        left_out: vec![],
    };
    let trace = Tracing { start: false, sample: Share::NONE, server_timing: false, otlp: None };
    let limits = Limits {
        connections: 0,
        handshakes: 0,
        per_client: 0,
        rate: None,
        by: Key::ClientIp,
        body_rate: 0,
        memory: 0,
        header_bytes: 0,
        request_line_bytes: 0,
        headers: 0,
        response_header_bytes: 0,
        response_headers: 0,
        body: 0,
        requests_per_connection: 0,
        shadow: 0,
    };
    let admin = Admin {
        socket: PathBuf::new(),
        mode: 0,
        group: None,
        listen: None,
        listen_role: None,
        hosts: vec![],
        read_only: false,
        tls: None,
        tokens: vec![],
        clients: vec![],
        users: vec![],
        audit: Audit::Off,
    };
    Config {
        shadows: Vec::new(),
        flags: Flags::default(),
        rollouts: Vec::new(),
        kpis: Vec::new(),
        metrics: Metrics::default(),
        listeners: vec![],
        upstreams,
        routes,
        timeouts: timeouts(),
        limits,
        admin,
        log: Log { level: Level::Info, format: LogFormat::Auto, to: Sink::Stderr },
        access_log,
        trace,
        runtime: Runtime { cores: Cores::Auto, pin: false, entries: 0, driver: Driver::Auto },
        state: State { dir: PathBuf::new() },
        files: vec![],
    }
}
