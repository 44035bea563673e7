//! What is not about traffic: deadlines, limits, admin, logs, threads, state.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{Filter, Key, Seen, Share};

/// Deadlines. Zero means none, where the field says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To receive a request's head, from its first byte.
    pub header: Duration,
    /// Between two reads of a body, either way, and for a write to make progress.
    pub body: Duration,
    /// To agree on TLS: with a client from its connection, with an origin from ours.
    pub handshake: Duration,
    /// Between two requests of a connection.
    pub idle: Duration,
    /// To connect to an origin.
    pub connect: Duration,
    /// From the end of the request's head to the reply's first byte; zero is none.
    pub response: Duration,
    /// The whole exchange; zero is none.
    pub request: Duration,
    /// Between two reads of an upgraded connection, both ways.
    pub tunnel: Duration,
    /// How long connections may finish after a stop.
    pub drain: Duration,
    /// How long a stop stays unready but accepting, so that balancers notice.
    pub grace: Duration,
}

/// Global limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections over all cores; 0 derives it from the file-descriptor limit.
    pub connections: u32,
    /// TLS handshakes with clients under way over all cores; 0 derives it from the cores.
    pub handshakes: u32,
    /// Connections of one client's address over all cores, of IPv6 its /64; 0 is unlimited.
    pub per_client: u32,
    /// How many requests one client may make, if that is limited: those of every route without a
    /// rate of its own, together.
    pub rate: Option<RateLimit>,
    /// Who is counted by a route that has a rate of its own and does not say.
    pub by: Key,
    /// Bytes a second that a body must move at least, up or down, while we wait for its client; 0
    /// is no bound.
    pub body_rate: u64,
    /// Bytes of memory that the process may take before it sheds load; 0 derives it from what the
    /// machine or the cgroup has.
    pub memory: u64,
    /// Bytes of a request's head.
    pub header_bytes: u32,
    /// Bytes of a request line.
    pub request_line_bytes: u32,
    /// Fields of a request's head.
    pub headers: u16,
    /// Bytes of a reply's head.
    pub response_header_bytes: u32,
    /// Fields of a reply's head.
    pub response_headers: u16,
    /// Largest request body in bytes; 0 is unlimited.
    pub body: u64,
    /// Requests on one client connection before it is closed; 0 is unlimited.
    pub requests_per_connection: u32,
    /// Bytes that copies for shadows may hold, over all cores.
    pub shadow: u64,
}

/// A number of requests in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many, one at least.
    pub requests: u32,
    /// In which time: a second, a minute or an hour.
    pub per: Duration,
}

/// How many requests may be made by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many in the long run.
    pub rate: Rate,
    /// How many at once by who has been silent for long enough, one at least.
    pub burst: u32,
    /// What tells one who is counted from another.
    pub by: Key,
}

/// The rate that holds on a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteRate {
    /// The global one, counted with all other routes that have none of their own.
    Global,
    /// Its own, counted apart.
    Own(Box<RateLimit>),
    /// None, though there may be a global one.
    Off,
}

/// Our own log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: Level,
    /// How a line looks.
    pub format: LogFormat,
    /// Where lines go.
    pub to: Sink,
}

/// Severity of a line in our own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How a line of our own log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For eyes.
    Text,
    /// One object a line.
    Json,
    /// `key=value`.
    Logfmt,
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, opened for appending and again at SIGUSR1.
    File(PathBuf),
}

/// The access log.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// How a line looks; [`AccessFormat::Off`] writes none.
    pub format: AccessFormat,
    /// Where lines go.
    pub to: Sink,
    /// Share of exchanges that are written.
    pub sample: Share,
    /// Written whatever the sample says: replies of 500 and above.
    pub always_5xx: bool,
    /// Written whatever the sample says: exchanges that took at least `slow`.
    pub always_slow: bool,
    /// What slow means.
    pub slow: Duration,
    /// Query parameters whose values are replaced by `<redacted>`.
    pub redact_query: Vec<Arc<str>>,
    /// Nothing else is written, whatever the sample says.
    pub only: Filter,
    /// What is never written.
    pub except: Filter,
    /// Fields that lines do not have.
    pub left_out: Vec<AccessField>,
}

impl AccessLog {
    /// Whether its filters let an exchange in.
    #[must_use]
    pub fn has(&self, seen: &Seen<'_>) -> bool {
        self.only.holds(seen) && !self.except.touches(seen)
    }
}

/// Declares the fields of a line, each with the word it is called by.
macro_rules! access_fields {
    ($($name:ident = $word:literal),* $(,)?) => {
        /// A field of a line that may be left out; the time may not.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the names say it")]
        pub enum AccessField {
            $($name),*
        }

        impl AccessField {
            /// All of them, in their order.
            pub const ALL: [Self; Self::WORDS.len()] = [$(Self::$name),*];
            /// Their words, in the same order.
            pub const WORDS: &'static [&'static str] = &[$($word),*];
        }
    };
}

access_fields! {
    RequestId = "request_id",
    TraceId = "trace_id",
    SpanId = "span_id",
    Client = "client",
    Method = "method",
    Host = "host",
    Path = "path",
    Query = "query",
    Protocol = "protocol",
    Tls = "tls",
    Status = "status",
    Sent = "sent_bytes",
    Received = "received_bytes",
    Route = "route",
    Upstream = "upstream",
    Version = "version",
    Arm = "arm",
    Assignment = "assignment",
    Probability = "probability",
    Endpoint = "endpoint",
    Attempts = "attempts",
    End = "end",
    Queue = "queue_ms",
    Connect = "connect_ms",
    FirstByte = "first_byte_ms",
    Total = "total_ms",
    Referer = "referer",
    UserAgent = "user_agent",
}

impl AccessField {
    /// What it is called in the configuration and, in `json` and `logfmt`, in a line.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.get(self as usize).copied().unwrap_or_default()
    }

    /// The field of this word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.word() == word)
    }
}

/// How a line of the access log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessFormat {
    /// No access log.
    Off,
    /// One object a line, our names.
    Json,
    /// One object a line, Elastic Common Schema names.
    Ecs,
    /// `key=value`.
    Logfmt,
    /// NCSA common.
    Common,
    /// NCSA combined.
    Combined,
}

/// Threads and rings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Which cores to run on.
    pub cores: Cores,
    /// Whether workers are pinned.
    pub pin: bool,
    /// Submission queue entries of each ring, a power of two.
    pub entries: u32,
    /// How the kernel is asked for IO.
    pub driver: Driver,
}

/// Which cores to run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cores {
    /// All that affinity mask and cgroup quota allow, one fewer when there are four or more.
    Auto,
    /// One per physical core of those.
    Physical,
    /// So many of those.
    Count(usize),
    /// These.
    List(Vec<usize>),
}

/// How the kernel is asked for IO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// `io_uring` where the kernel allows it, else epoll.
    Auto,
    /// `io_uring` or refuse to start.
    IoUring,
    /// epoll.
    Epoll,
}

/// Where state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The directory.
    pub dir: PathBuf,
}
