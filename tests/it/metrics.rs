//! What Prometheus scrapes: that it can be read, adds up, and has everything it promises.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use e2e::{
    Client, Driver, Origin, Reply, Running,
    certs::Authority,
    eventually,
    exposition::{Exposition, parse},
    on_each_driver,
    origin::ok,
};
use gnomon::{
    boot::{self, Load, Options, Signals},
    control::{
        metrics::{ALL, Kind},
        saturation::Saturation,
    },
};
use gnomon_config::model::Metrics;

use super::{GET, between, shadow::shadowed, to};

const OPEN: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";

/// What the admin API answers with at `/metrics`.
#[track_caller]
fn scraped(proxy: &Running, query: &str, accept: &str) -> Reply {
    let mut client = Client::connect_unix(&proxy.folder().join("admin.sock"));
    client.ask(format!("GET /metrics{query} HTTP/1.1\r\nhost: a\r\naccept: {accept}\r\n\r\n"))
}

#[track_caller]
fn read(proxy: &Running, query: &str) -> Exposition {
    let reply = scraped(proxy, query, OPEN);
    assert_eq!(reply.status(), 200, "{}", reply.text());
    parse(&reply.text(), true)
}

#[test]
fn counts_add_up_and_both_formats_say_the_same() {
    on_each_driver(|driver| {
        let (stable, canary) = (Origin::named("old"), Origin::named("canary"));
        let proxy = Running::start(driver, &between(&stable, &canary, 50.0));
        let mut client = proxy.connect();
        for _ in 0..40 {
            assert_eq!(client.ask(GET).status(), 200);
        }
        client.ask("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 7\r\n\r\n1234567");
        let requests =
            |labels: &[(&str, &str)]| read(&proxy, "").sum("gnomon_requests_total", labels);
        eventually("all are counted", || requests(&[]) == 41.0);
        let said = read(&proxy, "");
        assert_eq!(said.sum("gnomon_requests_total", &[("code", "2xx")]), 41.0);
        let of = |arm| said.sum("gnomon_requests_total", &[("arm", arm)]);
        assert_eq!((of("stable") + of("canary"), of("pinned")), (41.0, 0.0));
        assert_eq!(said.sum("gnomon_assigned_total", &[("by", "split")]), 41.0);
        assert_eq!(said.sum("gnomon_request_duration_seconds_count", &[]), 41.0);
        assert_eq!(said.sum("gnomon_request_bytes_total", &[]), 7.0);
        let bytes = 3.0 * of("stable") + 6.0 * of("canary");
        assert_eq!(said.sum("gnomon_response_bytes_total", &[]), bytes);
        assert_eq!(said.sum("gnomon_connections_accepted_total", &[]), 1.0);
        assert_eq!(said.sum("gnomon_core_requests_total", &[("core", "0")]), 41.0);
        assert_eq!(said.sum("gnomon_split_ratio", &[("version", "v2")]), 0.5);
        assert_eq!(said.sum("gnomon_endpoint_up", &[]), 2.0);
        let text = scraped(&proxy, "", OPEN).text();
        assert!(text.contains(" # {request_id=\""), "{text}");
        let plain = scraped(&proxy, "", "*/*");
        assert!(
            plain
                .field("content-type")
                .unwrap_or_default()
                .starts_with("text/plain; version=0.0.4")
        );
        let plain = parse(&plain.text(), false);
        let stem = |it: &Exposition| -> Vec<(String, usize)> {
            it.0.iter().map(|family| (family.name.clone(), family.samples.len())).collect()
        };
        assert_eq!(stem(&plain), stem(&said));
        assert_eq!(plain.sum("gnomon_requests_total", &[]), 41.0);
    });
}

#[test]
fn failures_retries_and_ejections_have_their_reasons() {
    on_each_driver(|driver| {
        // Two connections end without a word; the retry meets the same.
        let origin = Origin::start(|call, _| call.read_head().map(|_| ()));
        let proxy = Running::start(
            driver,
            &(to(&origin) + "upstream.o.versions.v2 = []\nupstream.o.split = { v1 = 100 }\n"),
        );
        assert_eq!(proxy.status_of("/"), 502);
        let errors =
            |reason| read(&proxy, "").sum("gnomon_upstream_errors_total", &[("reason", reason)]);
        eventually("it is counted", || errors("reset") == 1.0);
        let said = read(&proxy, "");
        assert_eq!(said.sum("gnomon_requests_total", &[("code", "5xx"), ("arm", "stable")]), 1.0);
        let retries = said.sum("gnomon_retries_total", &[("version", "v1"), ("reason", "reset")]);
        assert_eq!(retries, said.sum("gnomon_retries_total", &[]));
        assert_eq!(retries.to_string(), proxy.sum(|core| core.retries).to_string());
        let errors = [("outcome", "error")];
        assert_eq!(said.sum("gnomon_request_duration_seconds_count", &errors), 1.0);
        let reload = |it: &Exposition| {
            (
                it.sum("gnomon_config_last_reload_success", &[]),
                it.sum("gnomon_config_reloads_total", &[("result", "refused")]),
            )
        };
        assert_eq!(reload(&said), (1.0, 0.0));
        proxy.edit("route.all", "routes.all");
        assert!(proxy.reload().is_err());
        assert_eq!(reload(&read(&proxy, "")), (0.0, 1.0));
    });
}

#[test]
fn everything_that_is_promised_is_there_as_it_is_promised() {
    on_each_driver(|driver| {
        let (primary, shadow) = (Origin::named("x"), Origin::named("x"));
        let folder = std::env::temp_dir().join(format!("gnomon-metrics-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let shop = Authority::new("root").issue(&["shop.example"]);
        let (cert, key) = shop.write(&folder, driver.name());
        let flags = folder.join(format!("{}.json", driver.name()));
        std::fs::write(&flags, "{\"flags\": {}}").expect("the temporary folder can be written");
        let more = format!(
            "flags = {{ by = \"header:x-user\", send = \"all\", source = {flags:?} }}\n\
             flag.half.percent = 50\nrollout.r = {{ from = \"shop@v1\", to = \"shop@v2\" }}\n\
             listener.a.bind = \"127.0.0.1:0\"\nlistener.b.bind = \"127.0.0.1:0\"\n\
             listener.b.tls = {{ cert = {cert:?}, key = {key:?} }}\n"
        );
        let proxy = Running::start(driver, &shadowed(&primary, &shadow, &more));
        assert_eq!(proxy.status_of("/"), 200);
        let (status, said) = proxy.call("POST", "/v1/rollouts/r/start", "{}");
        assert_eq!(status, 200, "{said}");
        let compared =
            || read(&proxy, "").sum("gnomon_shadow_compared_total", &[("verdict", "same")]);
        eventually("the copy is compared", || compared() == 1.0);
        let full = || {
            read(&proxy, "").sum("process_open_fds", &[]) > 0.0
                && !read(&proxy, "?signal=all").0.is_empty()
                && !read(&proxy, "?component=core").0.is_empty()
        };
        eventually("a second has passed", full);
        let said = read(&proxy, "");
        assert_eq!(
            said.sum("gnomon_shadow_requests_total", &[("shadow", "new"), ("result", "sent")]),
            1.0
        );
        assert_eq!(said.sum("gnomon_shadow_eligible_total", &[]), 1.0);
        assert_eq!(said.sum("gnomon_split_ratio", &[("arm", "shadow")]), 0.0);
        let names: Vec<&str> = said.0.iter().map(|family| family.name.as_str()).collect();
        let promised: BTreeSet<&str> = ALL.iter().map(|family| family.name).collect();
        assert_eq!(names.iter().copied().collect::<BTreeSet<_>>(), promised);
        for (said, promised) in
            said.0.iter().map(|said| (said, ALL.iter().find(|it| it.name == said.name)))
        {
            let promised = promised.expect("it is among them");
            assert_eq!(said.kind, promised.kind.name(), "{}", said.name);
            for sample in &said.samples {
                let labels = sample.labels.iter().map(|(name, _)| name.as_str());
                let labels: Vec<&str> = labels
                    .filter(|name| promised.kind != Kind::Histogram || *name != "le")
                    .collect();
                assert_eq!(labels, promised.labels, "{}", said.name);
            }
        }
    });
}

#[test]
fn a_scrape_can_be_narrowed() {
    let (stable, canary) = (Origin::named("old"), Origin::named("new"));
    let proxy = Running::start(Driver::Epoll, &between(&stable, &canary, 10.0));
    let said = read(&proxy, "?upstream=shop&arm=canary");
    let own = "gnomon_metrics_dropped_series_total";
    assert!(said.0.len() > 10 && said.0.iter().all(|family| family.name != own));
    let samples = || said.0.iter().flat_map(|family| &family.samples);
    let is_canary = |(name, value): &(String, String)| name == "arm" && value == "canary";
    assert!(samples().all(|sample| sample.labels.iter().any(is_canary)));
    assert!(read(&proxy, "?arm=shadow").0.is_empty());
    let both = read(&proxy, "?version=v1&version=v2");
    assert_eq!(both.sum("gnomon_split_ratio", &[]), 1.0);
    let refused = scraped(&proxy, "?nix=1", OPEN);
    assert!(refused.status() == 400 && refused.text().contains("`nix`"), "{}", refused.text());
    assert_eq!(proxy.call("POST", "/metrics", "").0, 405);
}

#[test]
fn a_full_pool_is_seen_on_its_version() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| {
            while call.read_request()?.is_some() {
                call.drain();
            }
            call.reply(ok("late"))
        });
        let more = "upstream.o.pool = { max = 1, queue = \"100s\" }\n";
        let proxy = Running::start(driver, &(to(&origin) + more));
        let mut clients = [proxy.connect(), proxy.connect()];
        for client in &mut clients {
            client.send(GET);
        }
        let waiting = || read(&proxy, "").sum("gnomon_upstream_waiting", &[("upstream", "o")]);
        eventually("one waits for the other", || waiting() == 1.0);
        let full = || -> Saturation {
            let (status, text) = proxy.call("GET", "/v1/saturation", "");
            assert_eq!(status, 200);
            serde_json::from_str(&text).expect("it is what the API says")
        };
        eventually("the pool is full", || full().of_version("o", "v1") >= 1.0);
        let said = full();
        assert!(said.versions[0].queue > 0.0 && said.of_version("o", "v2") == 0.0, "{said:?}");
        let pool =
            said.components.iter().find(|it| it.name == "upstream_pool").expect("it is told");
        assert_eq!((pool.ratio, pool.which.as_str()), (1.0, "o@v1"));
        assert_eq!(proxy.status().saturation.hottest().map(|it| it.ratio), Some(1.0));
        let state =
            |state| read(&proxy, "").sum("gnomon_upstream_connections", &[("state", state)]);
        assert_eq!((state("in_use"), state("idle")), (1.0, 0.0));
    });
}

#[test]
fn cores_tell_how_much_they_work() {
    on_each_driver(|driver| {
        let proxy = Running::start(driver, "route.all.respond.status = 204\nruntime.cores = 2\n");
        let of = |name, core| read(&proxy, "").sum(name, &[("core", core)]);
        eventually("both count", || {
            ["0", "1"].iter().all(|core| {
                of("gnomon_core_busy_seconds_total", core) > 0.0
                    && of("gnomon_core_wait_seconds_total", core) > 0.0
            })
        });
        let before = of("gnomon_core_busy_seconds_total", "0");
        assert_eq!(proxy.status_of("/"), 204);
        eventually("it has worked", || of("gnomon_core_busy_seconds_total", "0") > before);
        let components = || proxy.status().saturation.components;
        eventually("a second has passed", || components().iter().any(|it| it.name == "core"));
        for component in components() {
            assert!((0.0..=1.0).contains(&component.ratio), "{component:?}");
        }
    });
}

/// What a listener of its own answers.
#[track_caller]
fn asked(address: SocketAddr, line: &str) -> Reply {
    Client::connect(address)
        .ask(format!("{line} HTTP/1.1\r\nhost: elsewhere\r\nconnection: close\r\n\r\n"))
}

#[test]
fn the_metrics_have_a_listener_of_their_own_that_follows_reloads() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let metrics =
        Metrics { listen: Some(any), path: "/m".into(), max_series: 40, ..Metrics::default() };
    let metrics = Arc::new(Mutex::new(metrics));
    let set = metrics.clone();
    let folder = std::env::temp_dir().join(format!("gnomon-metrics-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("it can be written");
    let text = format!(
        "listen = \"127.0.0.1:0\"\nadmin.socket = \"{}/admin.sock\"\nroute.all.respond.status = 204\n\
         runtime = {{ cores = 1, pin = false }}\ntimeouts.grace = \"0s\"\n",
        folder.display()
    );
    let load: Load = Arc::new(move || {
        let mut loaded =
            gnomon_config::parse("test.toml", &text, &gnomon_config::Options::default())?;
        loaded.config.metrics = set.lock().expect("nobody panics").clone();
        Ok(loaded)
    });
    let running =
        boot::start(Options { load, signals: Signals::Ignored, log: None }).expect("it starts");
    let change = |change: &dyn Fn(&mut Metrics)| {
        change(&mut metrics.lock().expect("nobody panics"));
        running.reload().expect("it is taken over").warnings
    };
    eventually("it is served", || running.metrics_address().is_some());
    let first = running.metrics_address().expect("it is");
    let reply = asked(first, "GET /m");
    let said = parse(&reply.text(), false);
    assert_eq!(reply.status(), 200);
    let lines = reply.text().lines().filter(|line| !line.starts_with('#')).count();
    assert!(lines <= 41 && said.sum("gnomon_metrics_dropped_series_total", &[]) >= 0.0, "{lines}");
    for (line, status) in
        [("GET /metrics", 404), ("POST /m", 405), ("GET /m?nix=1", 400), ("GET /v1/status", 404)]
    {
        assert_eq!(asked(first, line).status(), status, "{line}");
    }
    // An address that is taken: it stays where it was, and says so.
    let taken = std::net::TcpListener::bind(any).expect("there is a port");
    let taken_at = taken.local_addr().ok();
    let warnings = change(&|metrics| metrics.listen = taken_at);
    assert!(warnings.iter().any(|it| it.contains("`metrics.listen`")), "{warnings:?}");
    assert_eq!(running.metrics_address(), Some(first));
    drop(taken);
    let warnings = change(&|metrics| metrics.path = "/n".into());
    assert_eq!((warnings.len(), running.metrics_address()), (0, taken_at), "it is tried again");
    let second = taken_at.expect("it was bound");
    assert_eq!((asked(second, "GET /n").status(), asked(second, "GET /m").status()), (200, 404));
    eventually("the first is gone", || std::net::TcpStream::connect(first).is_err());
    change(&|metrics| metrics.listen = None);
    eventually("so is the second", || std::net::TcpStream::connect(second).is_err());
    assert_eq!((running.metrics_address(), running.stop().stuck), (None, 0));
    let _ = std::fs::remove_dir_all(folder);
}
