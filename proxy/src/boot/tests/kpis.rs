//! Business outcomes, from an origin's reply or a report to what the judge gets.

use gnomon_config::model::{
    Direction, Fuse, Gate, Kpi, KpiSource, Limit, On, OnFail, OnInconclusive, Rollout, Share,
    Stage, Start, Step, Timing, UpstreamIx, VersionIx,
};
use gnomon_policy::judge::cohort::Cohort;

use super::*;
use crate::control::{
    api::{
        KpiAnswer,
        KpiOutcome::{Counted, Duplicate, Refused, Unknown},
        KpiStatus,
    },
    ctl,
};

const MORE: &str = "upstream.shop.versions.v2 = [\"127.0.0.1:1\"]\n\
                    upstream.shop.split = { v1 = 50, v2 = 50 }\n";

fn kpi(name: &str, source: KpiSource) -> Kpi {
    let (upstream, worse) = (UpstreamIx(0), Direction::Lower);
    Kpi { name: name.into(), upstream, source, max: 32.0, is_binary: false, worse }
}

fn rollout() -> Rollout {
    let limit = Limit::default();
    let seconds = Duration::from_secs;
    let step = Step { to: Stage::Weight(Share(50_000)), hold: Duration::ZERO, approve: false };
    Rollout {
        name: "new".into(),
        upstream: UpstreamIx(0),
        from: VersionIx(0),
        to: VersionIx(1),
        start: Start::Manual,
        steps: vec![step],
        max: seconds(60),
        cooldown: seconds(60),
        gate: Gate {
            min_requests: 0,
            confidence: Share(99_000),
            warmup: Duration::ZERO,
            horizon: Duration::from_secs(60),
            timing: Timing::Total,
            error_rate: limit,
            timeout_rate: limit,
            latency: limit,
            quantiles: Vec::new(),
            saturation_max: None,
            diff_rate_max: None,
            kpis: Vec::new(),
            risk_errors: 0.01,
            risk_latency: 0.01,
        },
        fuse: Fuse { budget: 0, window: seconds(10), factor: 4 },
        on: On {
            fail: OnFail::Hold,
            inconclusive: OnInconclusive::Hold,
            webhook: None,
            confirm: None,
            timeout: seconds(1),
            retries: 0,
        },
        tests: Vec::new(),
        windows: Vec::new(),
    }
}

/// A proxy with three KPIs: in a header, in JSON, and told late.
fn start_with_kpis(name: &str, sticky: &str) -> Running {
    let origin = shop();
    let more = MORE.replace("127.0.0.1:1", &origin.to_string()) + sticky;
    let text = Arc::new(Mutex::new(text(name, origin, &more)));
    let Options { load, signals, log } = options(&text);
    let load: Load = Arc::new(move || {
        let mut loaded = load()?;
        loaded.config.rollouts = vec![rollout()];
        loaded.config.kpis = vec![
            kpi("basket", KpiSource::Header("x-basket".into())),
            kpi("total", KpiSource::Json("/order/items/1/total".into())),
            kpi("orders", KpiSource::Late(Duration::from_secs(60))),
        ];
        Ok(loaded)
    });
    start(Options { load, signals, log }).unwrap()
}

const JSON: &str = r#"{"order": {"note": "\u00e4\"]", "items": [{"total": 1}, {"total": 16}]}}"#;

/// An origin that answers by the path.
fn shop() -> SocketAddr {
    let origin = Origin::bind("127.0.0.1:0").unwrap();
    let address = origin.local_addr().unwrap();
    let serve = move || {
        for stream in origin.incoming() {
            let mut stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let path = head.split(' ').nth(1).unwrap_or_default();
            let _ = match path {
                "/header" => whole(&mut stream, "X-Basket: 16\r\n", "hello"),
                "/pieces" => pieces(&mut stream),
                "/whole" => whole(&mut stream, "content-type: application/json\r\n", JSON),
                "/packed" => {
                    let fields = "content-type: application/json\r\ncontent-encoding: br\r\n";
                    whole(&mut stream, fields, JSON)
                }
                "/text" => whole(&mut stream, "content-type: text/plain\r\n", JSON),
                _ => whole(&mut stream, "", "hello"),
            };
        }
    };
    thread::Builder::new().spawn(serve).unwrap();
    address
}

fn whole(stream: &mut TcpStream, fields: &str, content: &str) -> std::io::Result<()> {
    let length = content.len();
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{fields}content-length: {length}");
    stream.write_all(format!("{head}\r\n\r\n{content}").as_bytes())
}

/// Every byte in a chunk of its own, and every chunk in a packet of its own.
fn pieces(stream: &mut TcpStream) -> std::io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/x+json\r\n";
    stream.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes())?;
    for byte in JSON.bytes() {
        stream.write_all(&[b'1', b'\r', b'\n', byte, b'\r', b'\n'])?;
        thread::park_timeout(Duration::from_micros(500));
    }
    stream.write_all(b"0\r\n\r\n")
}

fn ask(running: &Running, path: &str, fields: &str) -> String {
    let address = running.addresses()[0].1;
    request(
        address,
        &format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\r\n"),
    )
}

fn call(running: &Running, body: &str) -> (u16, String) {
    let socket = running.admin_socket();
    let (status, answer) = ctl::call(&socket, "POST", "/v1/kpi", body.as_bytes()).unwrap();
    (status, String::from_utf8(answer).unwrap())
}

fn tell(running: &Running, body: &str) -> KpiAnswer {
    let (status, answer) = call(running, body);
    assert_eq!(status, 200, "{answer}");
    serde_json::from_str(&answer).unwrap()
}

fn kpis(running: &Running) -> Vec<KpiStatus> {
    ctl::read(&running.admin_socket(), "/v1/kpi").unwrap()
}

/// Exchanges whose books are closed, which is soon after the reply.
fn ended(running: &Running) -> u64 {
    running.status().upstreams[0].versions.iter().map(|version| version.latency.count).sum()
}

fn later(seconds: u64) -> clock::Moment {
    clock::now() + Duration::from_secs(seconds)
}

/// Those assigned, and the levels of a KPI, of both versions.
fn sum(cohorts: &[Cohort], kpi: usize) -> (u64, Vec<(u8, u32)>) {
    let sides = || cohorts.iter().flat_map(|cohort| [&cohort.canary, &cohort.stable]);
    let mut levels: Vec<(u8, u32)> = Vec::new();
    for (level, count) in sides().flat_map(|tally| &tally.kpis[kpi]) {
        match levels.iter_mut().find(|(known, _)| known == level) {
            Some((_, sum)) => *sum += count,
            None => levels.push((*level, *count)),
        }
    }
    (sides().map(|tally| tally.assigned).sum(), levels)
}

#[test]
fn what_a_reply_tells_reaches_the_judge_and_not_the_client() {
    let running = start_with_kpis("kpi-reply", "");
    for _ in 0..5 {
        let reply = ask(&running, "/header", "");
        assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("hello"), "{reply}");
        assert!(!reply.to_ascii_lowercase().contains("x-basket"), "{reply}");
    }
    for _ in 0..3 {
        let reply = ask(&running, "/pieces", "");
        assert!(reply.contains("x+json") && reply.contains("\r\n1\r\n{\r\n"), "{reply}");
        assert!(ask(&running, "/whole", "").ends_with(JSON));
    }
    for path in ["/packed", "/text", "/"] {
        assert!(ask(&running, path, "").starts_with("HTTP/1.1 200"), "{path}");
    }
    let told = || kpis(&running).iter().map(|kpi| kpi.told).collect::<Vec<_>>();
    until(|| told() == [5, 6, 0]);
    let mut all = Vec::new();
    until(|| {
        all.extend(running.control.state().trials.collect("new", later(5)));
        sum(&all, 0).0 == 14
    });
    assert_eq!(sum(&all, 0), (14, vec![(16, 5)]));
    assert_eq!(sum(&all, 1), (14, vec![(16, 6)]));
    assert_eq!(sum(&all, 2), (14, vec![]));
    assert_eq!(running.stop(), Report { cut: 0, stuck: 0 });
}

#[test]
fn what_is_told_late_counts_once_in_its_second() {
    let running = start_with_kpis("kpi-late", "listener.main.trusted = [\"127.0.0.1\"]\n");
    let ids: Vec<String> = (0..4)
        .map(|_| {
            let reply = ask(&running, "/", "").to_ascii_lowercase();
            let id = reply.split("x-request-id: ").nth(1).and_then(|rest| rest.get(..32));
            id.unwrap_or_else(|| panic!("{reply}")).to_owned()
        })
        .collect();
    ask(&running, "/", "x-request-id: given\r\n");
    let say = |id: &str, value: &str| {
        format!("{{\"request\": \"{id}\", \"kpi\": \"orders\", \"value\": {value}}}")
    };
    until(|| ended(&running) == 5);
    assert_eq!(tell(&running, &say("given", "8")).outcomes, [Counted]);
    assert_eq!(tell(&running, &say("given", "8")).duplicate, 1);
    let (status, answer) = call(&running, &say("given", "9"));
    assert!(status == 409 && answer.contains("another value"), "{answer}");

    let list = [&ids[0], &ids[1], &ids[0], "nobody", &ids[1]];
    let values = ["true", "32", "1", "5", "31"];
    let list: Vec<String> = list.iter().zip(values).map(|(id, value)| say(id, value)).collect();
    let answer = tell(&running, &format!(" [{}]", list.join(",")));
    assert_eq!(answer.outcomes, [Counted, Counted, Duplicate, Unknown, Refused]);
    let orders = &kpis(&running)[2];
    assert_eq!(orders.from, "late, within 60 s");
    let counts = (orders.reported, orders.duplicate, orders.refused, orders.unknown);
    assert_eq!((counts, orders.forgotten), ((3, 2, 2, 1), 0));

    assert!(running.control.state().trials.collect_late("new", clock::now()).is_empty());
    let all = running.control.state().trials.collect_late("new", later(70));
    assert!(all.iter().all(|(index, _)| *index == 2));
    let cohorts: Vec<Cohort> = all.into_iter().map(|(_, cohort)| cohort).collect();
    let (assigned, mut levels) = sum(&cohorts, 2);
    levels.sort_unstable();
    assert_eq!((assigned, levels), (5, vec![(1, 1), (8, 1), (32, 1)]));
    assert!(cohorts.iter().all(|cohort| cohort.weight == 0.5 && cohort.second > 1_600_000_000));
    assert_eq!(tell(&running, &say(&ids[2], "1")).late, 1, "its second has been given out");
    assert_eq!(running.stop(), Report { cut: 0, stuck: 0 });
}

#[test]
fn of_users_who_stay_each_counts_once() {
    let sticky = "upstream.shop.sticky = { key = \"header:x-user\" }\n";
    let running = start_with_kpis("kpi-users", sticky);
    let mut ids = Vec::new();
    for user in ["ann", "ann", "bob"] {
        let reply = ask(&running, "/", &format!("x-user: {user}\r\n")).to_ascii_lowercase();
        let id = reply.split("x-request-id: ").nth(1).and_then(|rest| rest.get(..32));
        ids.push(id.unwrap_or_else(|| panic!("{reply}")).to_owned());
    }
    until(|| ended(&running) == 3);
    for (id, value) in ids.iter().zip([3, 5, 7]) {
        let body = format!("{{\"request\": \"{id}\", \"kpi\": \"orders\", \"value\": {value}}}");
        assert_eq!(tell(&running, &body).counted, 1);
    }
    let all = running.control.state().trials.collect_late("new", later(70));
    let cohorts: Vec<Cohort> = all.into_iter().map(|(_, cohort)| cohort).collect();
    let (assigned, mut levels) = sum(&cohorts, 2);
    levels.sort_unstable();
    assert_eq!((assigned, levels), (2, vec![(5, 1), (7, 1)]));
    assert_eq!(running.stop(), Report { cut: 0, stuck: 0 });
}

#[test]
fn a_report_that_makes_no_sense_is_refused_and_nothing_counts() {
    let running = start_with_kpis("kpi-refused", "");
    let good = "{\"request\": \"x\", \"kpi\": \"orders\", \"value\": 1}";
    let many = format!("[{}]", vec![good; 1001].join(","));
    let table = [
        ("nonsense", 400, "not understood"),
        ("{\"request\": \"x\", \"kpi\": \"orders\", \"value\": \"1\"}", 400, "true or false"),
        ("{\"request\": \"\", \"kpi\": \"orders\", \"value\": 1}", 400, "1 to 256 bytes"),
        ("{\"request\": \"x\", \"kpi\": \"basket\", \"value\": 1}", 400, "header:x-basket"),
        (&format!("[{good}, {}]", good.replace("orders", "sales")), 404, "told late are: orders"),
        (&many, 400, "1000 at most"),
    ];
    for (body, expected, word) in table {
        let (status, answer) = call(&running, body);
        assert!(status == expected && answer.contains(word), "{status}: {answer}");
    }
    assert_eq!(kpis(&running)[2].unknown, 0);
    let thousand = format!("[{}]", vec![good; 1000].join(","));
    assert_eq!(tell(&running, &thousand).unknown, 1000);
    assert_eq!(running.stop(), Report { cut: 0, stuck: 0 });
}
