//! Spans as a collector gets them, and what becomes of trace context on its way.

use std::{
    collections::BTreeMap,
    io::Read as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use e2e::{Origin, Running, eventually, on_each_driver};

use super::{GET, to};

/// A span, read by numbers of fields alone: nothing of ours says what they mean.
#[derive(Clone, Debug, Default)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
    kind: u64,
    said: BTreeMap<String, String>,
    is_error: bool,
    links: Vec<String>,
    resource: BTreeMap<String, String>,
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a protobuf message, in their order.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => Field::Number(u64::from_le_bytes(take(&mut bytes, 8).try_into().expect("eight"))),
            2 => {
                let length = usize::try_from(varint(&mut bytes)).expect("it is short");
                Field::Bytes(take(&mut bytes, length))
            }
            5 => {
                let four: [u8; 4] = take(&mut bytes, 4).try_into().expect("four");
                Field::Number(u32::from_le_bytes(four).into())
            }
            other => panic!("wire type {other}"),
        };
        all.push((key >> 3, field));
    }
    all
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

/// All messages in the field `number`.
fn messages(bytes: &[u8], number: u64) -> Vec<&[u8]> {
    let all = fields(bytes).into_iter().filter(|(known, _)| *known == number);
    all.filter_map(|(_, field)| if let Field::Bytes(it) = field { Some(it) } else { None })
        .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it is text")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(bytes: &[u8], number: u64) -> BTreeMap<String, String> {
    let pair = |bytes: &&[u8]| {
        let key = text(messages(bytes, 1)[0]);
        let value = match fields(messages(bytes, 2)[0]).remove(0) {
            (1, Field::Bytes(it)) => text(it),
            (3, Field::Number(it)) => it.to_string(),
            (other, _) => panic!("a value of type {other}"),
        };
        (key, value)
    };
    messages(bytes, number).iter().map(pair).collect()
}

fn span(bytes: &[u8], resource: &BTreeMap<String, String>) -> Span {
    let mut span = Span { resource: resource.clone(), ..Span::default() };
    span.said = attributes(bytes, 9);
    for (number, field) in fields(bytes) {
        match (number, field) {
            (1, Field::Bytes(it)) => span.trace = hex(it),
            (2, Field::Bytes(it)) => span.id = hex(it),
            (4, Field::Bytes(it)) => span.parent = hex(it),
            (5, Field::Bytes(it)) => span.name = text(it),
            (6, Field::Number(it)) => span.kind = it,
            (13, Field::Bytes(it)) => span.links.push(hex(messages(it, 1)[0])),
            (15, Field::Bytes(it)) => {
                let is_error = |field: &(u64, Field<'_>)| matches!(field, (3, Field::Number(2)));
                span.is_error = fields(it).iter().any(is_error);
            }
            _ => {}
        }
    }
    span
}

/// All spans that a collector was sent.
fn spans(collector: &Origin) -> Vec<Span> {
    let mut all = Vec::new();
    for request in collector.requests() {
        let mut content = Vec::new();
        if request.field("content-encoding") == Some("gzip") {
            let mut reader = flate2::read::GzDecoder::new(&request.body[..]);
            reader.read_to_end(&mut content).expect("it is gzip");
        } else {
            content = request.body;
        }
        for of_resource in messages(&content, 1) {
            let resource = attributes(messages(of_resource, 1)[0], 1);
            for scope in messages(of_resource, 2) {
                all.extend(messages(scope, 2).into_iter().map(|bytes| span(bytes, &resource)));
            }
        }
    }
    all
}

/// The spans, once there are so many.
#[track_caller]
fn collected(collector: &Origin, count: usize) -> Vec<Span> {
    eventually("the spans are there", || spans(collector).len() >= count);
    spans(collector)
}

/// Every trace is begun and sent.
fn traced(collector: &Origin, more: &str) -> String {
    let address = collector.address();
    format!(
        "trace = {{ start = true, sample = \"100%\", otlp.endpoint = \"http://{address}\"{more} }}\n"
    )
}

/// What the proxy counts of spans with this result.
fn counted(proxy: &Running, result: &str) -> u64 {
    let (_, page) = proxy.call("GET", "/metrics", "");
    let start = format!("gnomon_trace_spans_total{{result=\"{result}\"}} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&start).map(str::to_owned));
    line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{page}"))
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn a_trace_that_begins_here_has_a_span_that_answers_and_one_that_asks() {
    on_each_driver(|driver| {
        let (origin, collector) = (Origin::named("x"), Origin::named(""));
        let more = format!(
            "{}access_log.to = \"{{folder}}/access.log\"\n",
            traced(&collector, ", otlp.headers = { authorization = \"Bearer t0p\" }")
        );
        let proxy = Running::start(driver, &(to(&origin) + &more));
        let reply = proxy.ask("GET /cart?token=secret HTTP/1.1\r\nhost: shop.example\r\n\r\n");
        assert_eq!(reply.status(), 200);
        let all = collected(&collector, 2);
        let [server, client] = all.as_slice() else { panic!("{all:#?}") };
        assert_eq!((server.kind, client.kind), (2, 3));
        assert_eq!(server.parent, "");
        assert_eq!((&client.trace, &client.parent), (&server.trace, &server.id));
        let told = origin.request().field("traceparent").map(str::to_owned);
        assert_eq!(told, Some(format!("00-{}-{}-01", server.trace, client.id)));
        for (key, value) in [
            ("http.request.method", "GET"),
            ("url.path", "/cart"),
            ("url.scheme", "http"),
            ("server.address", "shop.example"),
            ("client.address", "127.0.0.1"),
            ("http.response.status_code", "200"),
            ("gnomon.route", "all"),
            ("gnomon.upstream", "o"),
            ("gnomon.version", "v1"),
            ("gnomon.arm", "stable"),
        ] {
            assert_eq!(server.said.get(key).map(String::as_str), Some(value), "{key}: {server:#?}");
        }
        assert_eq!(client.said["server.port"], origin.address().port().to_string());
        assert!(!client.said.contains_key("http.request.resend_count"), "{client:?}");
        assert_eq!(server.resource["service.name"], "gnomon");
        assert!(server.resource["service.instance.id"].len() >= 16);
        assert!(!server.is_error && !client.is_error);
        let request = collector.request();
        assert_eq!(request.line(), "POST /v1/traces HTTP/1.1");
        assert_eq!(request.field("content-type"), Some("application/x-protobuf"));
        assert_eq!(request.field("authorization"), Some("Bearer t0p"));
        let log = proxy.folder().join("access.log");
        let line = || std::fs::read_to_string(&log).unwrap_or_default();
        eventually("the line is written", || line().ends_with('\n'));
        let ids = format!("\"trace_id\":\"{}\",\"span_id\":\"{}\"", server.trace, server.id);
        assert!(line().contains(&ids), "{}", line());
        eventually("they are counted", || counted(&proxy, "sent") == 2);
        // The header's value is a secret.
        let (_, config) = proxy.call("GET", "/v1/config", "");
        assert!(config.contains("trace.otlp.endpoint") && !config.contains("t0p"), "{config}");
    });
}

#[test]
fn each_attempt_is_a_span_of_its_own() {
    on_each_driver(|driver| {
        let collector = Origin::named("");
        let origin = Origin::start(|call, number| {
            while call.read_request()?.is_some() {
                if number == 0 {
                    return Ok(());
                }
                call.reply(e2e::origin::ok("x"))?;
            }
            Ok(())
        });
        let more = format!(
            "{}upstream.o.retry = {{ attempts = 2, on = [\"reset\"] }}\n",
            traced(&collector, "")
        );
        let proxy = Running::start(driver, &(to(&origin) + &more));
        assert_eq!(proxy.ask(GET).status(), 200);
        let all = collected(&collector, 3);
        let [server, first, second] = all.as_slice() else { panic!("{all:#?}") };
        assert_eq!((&first.parent, &second.parent), (&server.id, &server.id));
        assert_ne!(first.id, second.id);
        assert_eq!(first.said["error.type"], "reset");
        assert!(first.is_error && !second.is_error && !server.is_error);
        assert!(!first.said.contains_key("http.request.resend_count"));
        assert_eq!(second.said["http.request.resend_count"], "1");
        assert_eq!(second.said["http.response.status_code"], "200");
        let told: Vec<_> = origin.requests();
        let told: Vec<_> = told.iter().filter_map(|it| it.field("traceparent")).collect();
        assert_eq!(told.len(), 2);
        assert!(told[0].contains(&first.id) && told[1].contains(&second.id), "{told:?}");
    });
}

#[test]
fn a_trusted_peers_trace_and_decision_are_taken_over() {
    on_each_driver(|driver| {
        let (origin, collector) = (Origin::named("x"), Origin::named(""));
        // Nothing is begun here.
        let more = format!("trace.otlp.endpoint = \"http://{}/custom\"\n", collector.address());
        let proxy = Running::start(driver, &(to(&origin) + &more));
        assert_eq!(proxy.ask(GET).status(), 200);
        assert_eq!(origin.request().field("traceparent"), None);
        let with = |parent: &str| {
            format!("GET / HTTP/1.1\r\nhost: a\r\ntraceparent: {parent}\r\ntracestate: k=v\r\n\r\n")
        };
        let unsampled = PARENT.replace("-01", "-00");
        assert_eq!(proxy.ask(with(&unsampled)).status(), 200);
        let told = origin.requests()[1].field("traceparent").map(str::to_owned);
        assert!(told.is_some_and(|told| told.ends_with("-00")), "the decision is the peer's");
        assert_eq!(proxy.ask(with(PARENT)).status(), 200);
        let all = collected(&collector, 2);
        assert_eq!(all.len(), 2, "only the sampled one: {all:#?}");
        assert_eq!(all[0].trace, "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(all[0].parent, "b7ad6b7169203331");
        assert_eq!(origin.requests()[2].field("tracestate"), Some("k=v"));
        assert_eq!(collector.request().line(), "POST /custom HTTP/1.1");
    });
}

#[test]
fn a_strangers_trace_is_linked_and_not_continued() {
    on_each_driver(|driver| {
        let (origin, collector) = (Origin::named("x"), Origin::named(""));
        let open = "listener.open = { bind = \"127.0.0.1:0\", trusted = [] }\n";
        let config = open.to_owned() + &to(&origin) + &traced(&collector, "");
        let proxy = Running::start(driver, &config);
        let asked = format!(
            "GET / HTTP/1.1\r\nhost: a\r\ntraceparent: {PARENT}\r\ntracestate: k=v\r\n\r\n"
        );
        assert_eq!(proxy.ask(asked).status(), 200);
        let all = collected(&collector, 2);
        assert_ne!(all[0].trace, "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(all[0].links, ["0af7651916cd43dd8448eb211c80319c"]);
        assert_eq!(all[0].parent, "");
        assert_eq!(origin.request().field("tracestate"), None);
    });
}

#[test]
fn what_is_no_traceparent_begins_a_new_trace() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &to(&origin));
        for bad in ["00-0-0-01", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"] {
            let asked = format!(
                "GET / HTTP/1.1\r\nhost: a\r\ntraceparent: {bad}\r\ntracestate: k=v\r\n\r\n"
            );
            assert_eq!(proxy.ask(asked).status(), 200);
            let got = origin.requests().pop().expect("it was asked");
            let told = got.field("traceparent").unwrap_or_default();
            assert!(told.len() == 55 && told.ends_with("-00") && !told.contains(bad), "{got:?}");
            assert_eq!(got.field("tracestate"), None, "{got:?}");
        }
        let _ = proxy.ask("GET / HTTP/1.1\r\nhost: a\r\ntracestate: k=v\r\n\r\n");
        let got = origin.requests().pop().expect("it was asked");
        assert_eq!((got.field("traceparent"), got.field("tracestate")), (None, None));
    });
}

#[test]
fn a_copy_is_a_child_of_the_exchange_that_was_copied() {
    on_each_driver(|driver| {
        let (primary, shadow, collector) =
            (Origin::named("x"), Origin::named("x"), Origin::named(""));
        let config = super::shadow::shadowed(&primary, &shadow, &traced(&collector, ""));
        let proxy = Running::start(driver, &config);
        assert_eq!(proxy.ask(GET).status(), 200);
        eventually("it is copied", || shadow.requests().len() == 1);
        let all = collected(&collector, 3);
        let server = all.iter().find(|span| span.kind == 2).expect("it was answered");
        let copy =
            all.iter().find(|span| span.said.get("gnomon.arm").is_some_and(|a| a == "shadow"));
        let copy = copy.expect("the copy is told of");
        assert_eq!((&copy.trace, &copy.parent), (&server.trace, &server.id));
        assert_eq!((copy.said["gnomon.shadow"].as_str(), copy.kind), ("new", 3));
        let told = shadow.request().field("traceparent").map(str::to_owned);
        assert_eq!(told, Some(format!("00-{}-{}-01", server.trace, copy.id)));
    });
}

#[test]
fn a_collector_that_is_gone_costs_nobody_anything() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        // Nobody listens there.
        let more = "trace = { start = true, sample = \"100%\", otlp.endpoint = \"http://127.0.0.1:1\", \
                    otlp.queue = 512 }\n";
        let proxy = Running::start(driver, &(to(&origin) + more));
        let mut client = proxy.connect();
        for _ in 0..600 {
            assert_eq!(client.ask(GET).status(), 200);
        }
        eventually("what finds no room is counted", || counted(&proxy, "dropped") >= 100);
        assert_eq!(counted(&proxy, "sent"), 0);
        assert_eq!(client.ask(GET).status(), 200);
    });
}

#[test]
fn a_collector_that_is_busy_is_asked_again() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let asked = Arc::new(AtomicUsize::new(0));
        let times = asked.clone();
        let collector = Origin::start(move |call, _| {
            while call.read_request()?.is_some() {
                if times.fetch_add(1, SeqCst) == 0 {
                    call.reply("HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n")?;
                } else {
                    call.reply(e2e::origin::ok(""))?;
                }
            }
            Ok(())
        });
        let proxy =
            Running::start(driver, &(to(&origin) + &traced(&collector, ", otlp.gzip = false")));
        assert_eq!(proxy.ask(GET).status(), 200);
        eventually("they are sent in the end", || counted(&proxy, "sent") == 2);
        assert_eq!(asked.load(SeqCst), 2);
        assert_eq!(counted(&proxy, "failed"), 0);
    });
}

#[test]
fn spans_that_wait_are_sent_before_the_end() {
    on_each_driver(|driver| {
        let (origin, collector) = (Origin::named("x"), Origin::named(""));
        let proxy = Running::start(driver, &(to(&origin) + &traced(&collector, "")));
        assert_eq!(proxy.ask(GET).status(), 200);
        let _ = proxy.stop();
        assert_eq!(spans(&collector).len(), 2);
    });
}

#[test]
fn trusted_peers_are_told_where_the_time_went_if_they_may() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &(to(&origin) + "trace.server_timing = true\n"));
        let reply = proxy.ask(GET);
        let timing = reply.field("server-timing").unwrap_or_default();
        assert!(
            timing.starts_with("gnomon;dur=") && timing.contains(", upstream;dur="),
            "{reply:?}"
        );
        let open = "listener.open = { bind = \"127.0.0.1:0\", trusted = [] }\n";
        let other = Running::start(
            driver,
            &(open.to_owned() + &to(&origin) + "trace.server_timing = true\n"),
        );
        assert_eq!(other.ask(GET).field("server-timing"), None);
    });
}
