//! Lines as words, and what becomes of those that need no thought.

use super::super::ledger::{Id, Ledger};

/// Concern HAProxy's own process, or say what is so here anyway.
const NEEDLESS: &[&str] = &[
    "chroot",
    "user",
    "group",
    "daemon",
    "pidfile",
    "nbproc",
    "nbthread",
    "cpu-map",
    "ulimit-n",
    "master-worker",
    "external-check",
    "log-send-hostname",
    "spread-checks",
    "description",
    "node",
    "unix-bind",
    "setenv",
    "presetenv",
    "uid",
    "gid",
    "localpeer",
    "insecure-fork-wanted",
    "quiet",
    "hard-stop-after",
    "server-state-base",
    "server-state-file",
    "load-server-state-from-file",
    "log-tag",
    "maxpipes",
    "noepoll",
    "zero-warning",
    "strict-limits",
    "maxsslconn",
    "mode",
];

/// Options that say what is so here anyway.
const SO_HERE: &[&str] = &[
    "httplog",
    "tcplog",
    "dontlognull",
    "dontlog-normal",
    "http-server-close",
    "http-keep-alive",
    "forwardfor",
    "redispatch",
    "http-use-htx",
    "tcp-smart-accept",
    "tcp-smart-connect",
    "tcpka",
    "clitcpka",
    "srvtcpka",
    "prefer-last-server",
    "http-pretend-keepalive",
    "splice-auto",
    "logasap",
    "contstats",
    "log-health-checks",
    "log-separate-errors",
    "socket-stats",
    "idle-close-on-response",
];

/// First words, and why there is nothing like them here.
const LEFT: &[(&str, &str)] = &[
    ("stats", "gnomon tells of itself by `gnomon status`, `gnomon top`, its console and [metrics]"),
    ("errorfile", "gnomon's own replies are plain text; those of origins are passed on"),
    ("errorloc", "gnomon's own replies are plain text; those of origins are passed on"),
    ("http-errors", "gnomon's own replies are plain text; those of origins are passed on"),
    ("log", "the access log goes to stdout, stderr or a file: [access_log]"),
    ("log-format", "the access log is json, ecs, logfmt, common or combined"),
    ("capture", "the access log has a fixed set of fields"),
    ("unique-id", "gnomon gives every request an X-Request-Id"),
    ("lua-load", "gnomon runs no scripts"),
    ("lua-prepend-path", "gnomon runs no scripts"),
    ("compression", "gnomon does not compress: let origins do it"),
    ("filter", "gnomon has no filters of others"),
    ("ssl-default-bind-ciphers", "gnomon offers the suites that are sound today, and no others"),
    (
        "ssl-default-bind-ciphersuites",
        "gnomon offers the suites that are sound today, and no others",
    ),
    ("ssl-default-server-ciphers", "gnomon offers the suites that are sound today, and no others"),
    ("ssl-default-server-options", "gnomon speaks TLS 1.2 and 1.3 with origins"),
    ("ssl-default-bind-options", "TLS 1.2 is the oldest spoken; `tls.min` of a listener says 1.3"),
    ("ca-base", "name files with their whole path"),
    ("crt-base", "name files with their whole path"),
    ("stick", "`sticky` of an upstream keeps users on their version"),
    ("stick-table", "`sticky` keeps users on their version, `limits.rate` limits them"),
    ("tcp-request", "connections of a client are limited by `limits.per_client`"),
    ("tcp-response", "gnomon proxies HTTP alone"),
    ("http-response", "replies get fixed fields: `headers.response` of a route"),
    (
        "http-request",
        "write it as a route: `match`, `respond`, `redirect`, `rewrite`, `headers.request`",
    ),
    ("server", "no route that could be carried over leads to it"),
    ("balance", "no route that could be carried over leads to it"),
    ("cookie", "no route that could be carried over leads to it"),
    ("retries", "no route that could be carried over leads to it"),
    ("default_backend", "nothing that could be carried over uses it"),
    ("default-server", "what gnomon knows of it is said by other lines"),
    ("bind", "nothing that could be carried over uses it"),
    ("maxconn", "connections are bounded for all listeners together: `limits.connections`"),
    ("acl", "nothing that could be carried over uses it"),
    ("use_backend", "write it as a route with `match`"),
    ("monitor-uri", "write a route with `respond`"),
    ("email-alert", "alerts come from [metrics]"),
    ("resolvers", "names of origins are resolved as the system does"),
    ("server-template", "write the endpoints; a name's addresses are all used"),
    (
        "http-check",
        "a check is a GET; `health.path`, `health.host` and `health.expect` say the rest",
    ),
    ("http-reuse", "connections to origins are shared between clients"),
    ("fullconn", "`pool.max` and `pool.queue` bound what waits"),
    ("rate-limit", "`limits.rate` limits clients"),
    ("reqrep", "write `rewrite` of the route"),
    ("rspadd", "write `headers.response.add` of the route"),
    ("reqadd", "write `headers.request.add` of the route"),
    ("rspdel", "write `headers.response.remove` of the route"),
    ("tune", "memory is bounded by `limits.memory` and what belongs to it"),
];

/// Words of a line, quotes and escapes undone, without remarks.
///
/// # Errors
///
/// Why it is no line.
pub(super) fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '#' => break,
            '\\' => word.get_or_insert_default().extend(letters.next()),
            '"' | '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next() {
                        None => return Err("a quoted text does not end".to_owned()),
                        Some(it) if it == letter => break,
                        Some('\\') if letter == '"' => word.extend(letters.next()),
                        Some(it) => word.push(it),
                    }
                }
            }
            letter if letter.is_whitespace() => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Says what becomes of a line that nobody has spoken of.
pub(super) fn settle(ledger: &mut Ledger, id: Id, words: &[String], section: &str) {
    if !ledger.is_open(id) {
        return;
    }
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let (first, second) = match word(0) {
        "no" => (word(1), word(2)),
        first => (first, word(1)),
    };
    if first == "option" && SO_HERE.contains(&second) {
        ledger.carry(id);
    } else if first == "option" && second == "httpchk" {
        ledger.otherwise(id, "no route that could be carried over leads to it");
    } else if first == "option" {
        let why =
            format!("gnomon has nothing like `option {second}`, as far as this importer knows");
        ledger.otherwise(id, why);
    } else if first == "http-reuse" && matches!(second, "safe" | "always" | "aggressive") {
        ledger.carry(id);
    } else if NEEDLESS.contains(&first)
        || first.starts_with("tune.")
        || (section == "global" && matches!(first, "log" | "stats"))
        || (first == "log" && second == "global")
    {
        ledger.needless(id);
    } else if first == "timeout" {
        let known = [
            "connect",
            "client",
            "server",
            "tunnel",
            "queue",
            "check",
            "http-request",
            "http-keep-alive",
        ];
        let why = if known.contains(&second) {
            "nothing that could be carried over uses it"
        } else {
            "gnomon has no deadline of this kind: see [timeouts]"
        };
        ledger.otherwise(id, why);
    } else {
        let why =
            LEFT.iter().filter(|(start, _)| first.starts_with(start)).max_by_key(|it| it.0.len());
        let why =
            why.map_or("gnomon has nothing like it, as far as this importer knows", |it| it.1);
        ledger.otherwise(id, why);
    }
}
