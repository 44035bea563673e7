//! What is not about traffic: deadlines, limits, admin, logs, state, threads.

use std::time::Duration;

use super::{rate, trace};
use crate::{
    code,
    fields::Field,
    known,
    model::{
        AccessFormat, AccessLog, Cores, Driver, Key, Level, Limits, Log, LogFormat, Metrics,
        Runtime, Sink, State, Timeouts,
    },
    names,
    problem::{Problem, Wrong},
    read::{Reader, Scope, shared, values},
    tree::{Node, Value},
    units,
};

pub(super) fn timeouts(reader: &mut Reader<'_, '_>, root: &Scope<'_>) -> Timeouts {
    let scope = root.child("timeouts");
    let timeouts = Timeouts {
        header: reader.duration(&scope, "header"),
        body: reader.duration(&scope, "body"),
        handshake: reader.duration(&scope, "handshake"),
        idle: reader.duration(&scope, "idle"),
        connect: reader.duration(&scope, "connect"),
        response: reader.duration(&scope, "response"),
        request: reader.duration(&scope, "request"),
        tunnel: reader.duration(&scope, "tunnel"),
        drain: reader.duration(&scope, "drain"),
        grace: reader.duration(&scope, "grace"),
    };
    in_time(reader, &scope, &timeouts);
    timeouts
}

/// The deadlines of a route: the global ones but for what it says itself.
pub(super) fn route_timeouts(
    reader: &mut Reader<'_, '_>,
    route: &Scope<'_>,
    global: &Timeouts,
) -> Timeouts {
    let scope = route.child("timeouts");
    let mut or = |key, or: Duration| reader.duration_or(&scope, key, or);
    let timeouts = Timeouts {
        body: or("body", global.body),
        connect: or("connect", global.connect),
        response: or("response", global.response),
        request: or("request", global.request),
        tunnel: or("tunnel", global.tunnel),
        ..global.clone()
    };
    if scope.entry("response").is_some() {
        in_time(reader, &scope, &timeouts);
    }
    timeouts
}

/// Warns of a wait for the reply that the deadline of the whole exchange cuts short.
fn in_time(reader: &mut Reader<'_, '_>, scope: &Scope<'_>, timeouts: &Timeouts) {
    let both = !timeouts.request.is_zero() && scope.entry("response").is_some();
    if both && timeouts.request < timeouts.response {
        let message = "`response` is longer than `request` and never passes";
        let place = scope.place_of("response");
        let problem = Problem::warning(code::TIMING, place, message);
        reader.tell(problem.related(scope.place_of("request"), "the whole exchange"));
    }
}

pub(super) fn limits(reader: &mut Reader<'_, '_>, root: &Scope<'_>) -> Limits {
    let scope = root.child("limits");
    let by = rate::by(reader, &scope).unwrap_or(Key::ClientIp);
    Limits {
        connections: reader.integer(&scope, "connections"),
        handshakes: reader.integer(&scope, "handshakes"),
        per_client: reader.integer(&scope, "per_client"),
        rate: rate::global(reader, &scope, &by),
        by,
        body_rate: reader.form(&scope, "body_rate", units::byte_rate).map_or(0, |it| it.value),
        memory: reader.size(&scope, "memory"),
        header_bytes: reader.size(&scope, "header_bytes"),
        request_line_bytes: reader.size(&scope, "request_line_bytes"),
        headers: reader.integer(&scope, "headers"),
        response_header_bytes: reader.size(&scope, "response_header_bytes"),
        response_headers: reader.integer(&scope, "response_headers"),
        body: reader.size(&scope, "body"),
        shadow: reader.size(&scope, "shadow"),
        requests_per_connection: reader.integer(&scope, "requests_per_connection"),
    }
}

pub(super) fn metrics(reader: &mut Reader<'_, '_>, root: &Scope<'_>) -> Metrics {
    let scope = root.child("metrics");
    Metrics {
        listen: reader.form(&scope, "listen", names::socket_address).map(|address| address.value),
        path: reader.form(&scope, "path", names::path).map_or_else(|| "/".into(), |it| it.value),
        buckets: buckets(reader, &scope),
        exemplars: reader.bool(&scope, "exemplars"),
        max_series: reader.integer(&scope, "max_series"),
    }
}

/// Every bucket is a series for each label set, so that many are dear.
const BUCKETS_MAX: usize = 64;

fn buckets(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Vec<Duration> {
    reader.not_empty(scope, &["buckets"]);
    let buckets = reader.durations(scope, "buckets");
    if let Some(first) = buckets.first().filter(|bucket| bucket.value.is_zero()) {
        let message = "no request takes less than \"0s\"";
        reader.tell(Problem::error(code::RANGE, first.place, message));
    }
    for pair in buckets.windows(2).filter(|pair| pair[0].value >= pair[1].value) {
        let message = "bounds of buckets rise";
        let problem = Problem::error(code::RANGE, pair[1].place, message);
        reader.tell(problem.label("not above the one before").related(pair[0].place, "this one"));
    }
    if let Some(first) = buckets.get(BUCKETS_MAX) {
        let message = format!("there are more than {BUCKETS_MAX} buckets");
        reader.tell(Problem::error(code::RANGE, first.place, message));
    }
    values(buckets)
}

pub(super) fn log(reader: &mut Reader<'_, '_>, root: &Scope<'_>) -> Log {
    let scope = root.child("log");
    Log {
        level: match reader.choice(&scope, "level") {
            "error" => Level::Error,
            "warn" => Level::Warn,
            "debug" => Level::Debug,
            "trace" => Level::Trace,
            _ => Level::Info,
        },
        format: match reader.choice(&scope, "format") {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            "logfmt" => LogFormat::Logfmt,
            _ => LogFormat::Auto,
        },
        to: to(reader, &scope),
    }
}

pub(super) fn access_log(
    reader: &mut Reader<'_, '_>,
    root: &Scope<'_>,
    named: &trace::Named<'_>,
) -> AccessLog {
    let scope = root.child("access_log");
    let always = reader.choices(&scope, "always");
    let format = match reader.choice(&scope, "format") {
        // Without the table, nobody asked for an access log.
        _ if root.entry("access_log").is_none() => AccessFormat::Off,
        "ecs" => AccessFormat::Ecs,
        "logfmt" => AccessFormat::Logfmt,
        "common" => AccessFormat::Common,
        "combined" => AccessFormat::Combined,
        "off" => AccessFormat::Off,
        _ => AccessFormat::Json,
    };
    AccessLog {
        format,
        to: to(reader, &scope),
        sample: reader.share(&scope, "sample"),
        always_5xx: always.contains(&"5xx"),
        always_slow: always.contains(&"slow"),
        slow: reader.duration(&scope, "slow"),
        redact_query: values(reader.forms(&scope, "redact_query", |text| Ok(shared(text)))),
        only: trace::filter(reader, &scope, "only", named),
        except: trace::filter(reader, &scope, "except", named),
        left_out: trace::left_out(reader, &scope.child("fields")),
    }
}

fn to(reader: &mut Reader<'_, '_>, scope: &Scope<'_>) -> Sink {
    reader.form(scope, "to", sink).map_or(Sink::Stderr, |sink| sink.value)
}

fn sink(text: &str) -> Result<Sink, Wrong> {
    match text {
        "stdout" => Ok(Sink::Stdout),
        "stderr" => Ok(Sink::Stderr),
        // A bare word is more often a typing error than a file in whatever folder we run in.
        path if path.contains('/') && !path.ends_with('/') => Ok(Sink::File(path.into())),
        word => {
            let guess = known::nearest(word, ["stdout", "stderr"].into_iter());
            Err(Wrong::new(code::VALUE, format!("`{word}` is no place for a log"))
                .label("expected stdout, stderr or the path of a file")
                .help(guess.map(|guess| format!("did you mean \"{guess}\"?"))))
        }
    }
}

pub(super) fn state(reader: &mut Reader<'_, '_>, root: &Scope<'_>) -> State {
    let dir = reader.filled(&root.child("state"), "dir");
    State { dir: dir.map(|dir| dir.value.into()).unwrap_or_default() }
}

pub(super) fn runtime(reader: &mut Reader<'_, '_>, root: &Scope<'_>) -> Runtime {
    let scope = root.child("runtime");
    let entries: u32 = reader.integer(&scope, "entries");
    if entries > 0 && !entries.is_power_of_two() {
        let place = scope.entry("entries").map_or(scope.place, |entry| entry.node.place);
        let message = "`entries` is not a power of two";
        let near = format!("did you mean {}?", entries.next_power_of_two());
        reader.tell(Problem::error(code::RANGE, place, message).label(near));
    }
    Runtime {
        cores: reader.value(&scope, "cores", cores).unwrap_or(Cores::Auto),
        pin: reader.bool(&scope, "pin"),
        entries,
        driver: match reader.choice(&scope, "driver") {
            "io_uring" => Driver::IoUring,
            "epoll" => Driver::Epoll,
            _ => Driver::Auto,
        },
    }
}

fn cores(reader: &mut Reader<'_, '_>, field: &'static Field, node: &Node) -> Option<Cores> {
    if let Value::Integer(count) = node.value {
        if let Some(count) = usize::try_from(count).ok().filter(|count| (1..=1024).contains(count))
        {
            return Some(Cores::Count(count));
        }
        let problem = Problem::error(code::RANGE, node.place, "`cores` is out of range");
        reader.tell(problem.label("between 1 and 1024"));
        return None;
    }
    let text = reader.as_text(field, node)?;
    match text.as_str() {
        "auto" => Some(Cores::Auto),
        "physical" => Some(Cores::Physical),
        list => reader.check(node.place, names::cores(list)).map(Cores::List),
    }
}
