//! The names of metrics: one list in the code, and the manual, the dashboard and the alerts hold to it.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use e2e::{Client, Driver, Running, eventually};
use gnomon::control::metrics::{ALL, Kind};
use serde_json::Value;

fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests lie in the project").to_owned()
}

fn ops(name: &str) -> PathBuf {
    root().join("scripts/ops").join(name)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a series of ours may be called in a query.
fn series() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for family in ALL {
        match family.kind {
            Kind::Histogram => {
                all.extend(
                    ["bucket", "sum", "count"].map(|part| format!("{}_{part}", family.name)),
                );
            }
            Kind::Counter | Kind::Gauge | Kind::Info => {
                all.insert(family.name.to_owned());
            }
        }
    }
    all
}

/// The words in a text that look like names of metrics.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let words = text.split(|letter| !is_part(letter));
    let ours = words.filter(|word| word.starts_with("gnomon_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

#[track_caller]
fn check_named(text: &str, least: usize) {
    let (named, known) = (named(text), series());
    let unknown: Vec<&String> = named.difference(&known).collect();
    assert!(unknown.is_empty(), "nobody writes these: {unknown:?}");
    assert!(named.len() >= least, "{named:?}");
}

#[test]
fn the_manual_has_every_metric_and_no_other() {
    let manual = read(&root().join("docs/OPERATING.md"));
    let rows = manual
        .lines()
        .filter(|line| line.starts_with("| `gnomon_") || line.starts_with("| `process_"));
    let written: BTreeSet<&str> = rows.collect();
    let row = |family: &gnomon::control::metrics::Family| {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, labels) = (family.name, family.kind.name(), labels.join(", "));
        format!("| `{name}` | {kind} | {labels} | {} |", family.help)
    };
    let promised: Vec<String> = ALL.iter().map(row).collect();
    let promised: BTreeSet<&str> = promised.iter().map(String::as_str).collect();
    let missing: Vec<_> = promised.difference(&written).collect();
    let surplus: Vec<_> = written.difference(&promised).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "missing: {missing:#?}\nsurplus: {surplus:#?}"
    );
}

#[test]
fn alerts_use_metrics_that_there_are() {
    check_named(&read(&ops("gnomon.rules.yml")), 8);
    check_named(&read(&ops("gnomon.rules.test.yml")), 6);
    let alerts = |name: &str, key: &str| -> BTreeSet<String> {
        let text = read(&ops(name));
        let alerts = text.lines().filter_map(|line| line.trim().strip_prefix(key));
        alerts.map(|alert| alert.trim().to_owned()).collect()
    };
    let tried = alerts("gnomon.rules.test.yml", "- alertname:");
    assert_eq!(tried, alerts("gnomon.rules.yml", "- alert:"), "each is tried");
}

fn dashboard() -> Value {
    serde_json::from_str(&read(&ops("grafana.json"))).expect("it is JSON")
}

fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().expect("there are panels")
}

/// All queries of the dashboard, with values for its variables.
fn queries(dashboard: &Value) -> Vec<String> {
    let targets =
        panels(dashboard).iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let notes = dashboard["annotations"]["list"].as_array().into_iter().flatten();
    let queries = targets.chain(notes).map(|it| it["expr"].as_str().expect("it is a text"));
    let filled = |query: &str| query.replace("$__rate_interval", "5m").replace('$', "");
    queries.map(filled).collect()
}

#[test]
fn the_dashboard_uses_metrics_that_there_are() {
    let dashboard = dashboard();
    check_named(&queries(&dashboard).join("\n"), 20);
    for variable in dashboard["templating"]["list"].as_array().expect("there are variables") {
        check_named(variable["definition"].as_str().unwrap_or_default(), 0);
    }
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().expect("it has a title");
        assert!(ids.insert(panel["id"].as_u64()), "{title}: its id is used twice");
        let at = |key: &str| panel["gridPos"][key].as_u64().expect("it has a place");
        assert!(at("x") + at("w") <= 24, "{title} is too wide");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{title} lies on another");
            }
        }
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            assert!(panel["description"].as_str().is_some_and(|what| !what.is_empty()), "{title}");
        }
    }
}

/// Runs Prometheus' own tool; on a machine without it, says so.
fn promtool(arguments: &[&str], input: &str) {
    let started = Command::new("promtool")
        .args(arguments)
        .current_dir(root().join("scripts/ops"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = started else {
        #[expect(clippy::print_stderr, reason = "a part of the tests does not run")]
        {
            eprintln!("promtool is not installed: `promtool {}` is skipped", arguments.join(" "));
        }
        return;
    };
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "promtool {}: {said}", arguments.join(" "));
}

#[test]
fn prometheus_takes_the_alerts_and_they_do_what_they_say() {
    promtool(&["check", "rules", "gnomon.rules.yml"], "");
    promtool(&["test", "rules", "gnomon.rules.test.yml"], "");
}

#[test]
fn prometheus_understands_the_dashboards_queries() {
    let rules: Vec<Value> = (0..)
        .zip(queries(&dashboard()))
        .map(|(at, expr): (u32, _)| serde_json::json!({ "record": format!("query:{at}"), "expr": expr }))
        .collect();
    // JSON is YAML.
    let file = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let path = std::env::temp_dir().join(format!("gnomon-dashboard-{}.yml", std::process::id()));
    fs::write(&path, file.to_string()).expect("it can be written");
    promtool(&["check", "rules", &path.to_string_lossy()], "");
    fs::remove_file(&path).expect("it is there");
}

#[test]
fn prometheus_finds_no_fault_with_the_metrics() {
    let proxy = Running::start(Driver::Epoll, "route.all.respond.status = 204\n");
    let socket = proxy.folder().join("admin.sock");
    let scrape = || {
        let reply = Client::connect_unix(&socket).ask("GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n");
        reply.text()
    };
    eventually("a second has passed", || scrape().contains("gnomon_saturation_ratio"));
    promtool(&["check", "metrics"], &scrape());
}
