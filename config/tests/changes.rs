//! Two configurations are told apart in a person's words.

use gnomon_config::{Config, Options, change::Effect, diff, effective, parse};

const BEFORE: &str = r#"
listen = "127.0.0.1:8080"

[upstream.shop]
versions.v1 = ["10.0.0.11:8080"]
versions.v2 = ["10.0.0.21:8080"]
split = { v1 = 95, v2 = 5 }

[route.shop]
to = "shop"
match.header.x-a = "1"
"#;

fn config(text: &str) -> Config {
    parse("gnomon.toml", text, &Options::default()).unwrap_or_else(|p| panic!("{p}")).config
}

#[track_caller]
fn check(after: &str, expected: &[&str]) {
    let changes = diff(&config(BEFORE), &config(after));
    let lines: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(lines, expected);
}

#[test]
fn the_same_is_no_change() {
    check(BEFORE, &[]);
    check(&format!("# a remark\n{BEFORE}"), &[]);
}

#[test]
fn a_split_shows_by_version() {
    check(
        &BEFORE.replace("v1 = 95, v2 = 5", "v1 = 90"),
        &["~ upstream.shop.split v1 95 → 90", "~ upstream.shop.split v2 5 → 10"],
    );
}

#[test]
fn tables_come_and_go_as_a_whole() {
    let staff = "[route.shop-staff]\nto = \"shop@v2\"\n";
    check(&format!("{BEFORE}{staff}"), &["+ route.shop-staff"]);
    let back = diff(&config(&format!("{BEFORE}{staff}")), &config(BEFORE));
    assert_eq!(back.iter().map(ToString::to_string).collect::<Vec<_>>(), ["- route.shop-staff"]);
    check(
        &BEFORE.replace("split =", "versions.v3 = []\nhealth.path = \"/up\"\nsplit ="),
        &[
            "+ upstream.shop.split v3 0",
            "+ upstream.shop.versions.v3",
            "+ upstream.shop.health.path \"/up\"",
            "+ upstream.shop.health.interval \"2s\"",
            "+ upstream.shop.health.timeout \"500ms\"",
            "+ upstream.shop.health.healthy 2",
            "+ upstream.shop.health.unhealthy 3",
            "+ upstream.shop.health.expect [\"200-399\"]",
        ],
    );
}

#[test]
fn what_needs_a_restart_says_so() {
    let after = format!("runtime.cores = 4\nlog.level = \"debug\"\n{BEFORE}");
    check(
        &after,
        &["~ log.level \"info\" → \"debug\"", "! runtime.cores \"auto\" → 4 needs a restart"],
    );
    let changes = diff(&config(BEFORE), &config(&after));
    assert_eq!(changes[1].effect, Effect::Restart);
    let json = serde_json::to_value(&changes[1]).unwrap();
    assert_eq!(json["effect"], "restart");
    assert_eq!(json["kind"], "changed");
}

#[test]
fn another_order_is_a_change() {
    let moved = BEFORE.replace("versions.v1", "versions.x").replace("versions.v2", "versions.v1");
    let moved = moved.replace("versions.x", "versions.v2").replace("11:", "9:");
    let moved = moved.replace("21:", "11:").replace("9:", "21:");
    check(&moved, &["~ order of declaration"]);
}

#[test]
fn what_is_effective_loads_again_as_the_same() {
    let before = config(include_str!("../sample/reference.toml"));
    let text: String =
        effective(&before).iter().map(|it| format!("{} = {}\n", it.path, it.value)).collect();
    assert_eq!(effective(&config(&text)), effective(&before));
}

#[test]
fn a_rollout_that_is_effective_loads_again_as_the_same() {
    let more = r#"
        [rollout.shop.gate]
        confidence = "99.9%"
        timing = "first_byte"
        latency = { max = "1.5s", worse_by = "10%" }
        latency_p999.max = "2s"
        risk = { errors = "0.00001pp", latency = "100pp" }
        kpi.spent.worse_by = "0.5%"
        kpi.seen.worse_by = "1% + 0.3pp"
        [kpi.spent]
        of = "shop"
        from = "late"
        within = "24h"
        max = 499.5
        [kpi.flag]
        of = "shop"
        from = "header:X-Flag"
        max = 1
        [kpi.seen]
        of = "shop"
        from = "json:/a~1b/0"
        worse = "higher"
        [rollout.shop]
        from = "shop@v1"
        to = "shop@v2"
        start = "on_change"
        fuse = false
        steps = [{ shadow = "1%", hold = "0s", approve = true }, "0.001%", { weight = "7%", approve = true }]
        windows = ["* 00:00-24:00", "sat-mon 09:30-10:00"]
        on = { fail = "hold", inconclusive = "advance", confirm = "http://a:1/?b" }
        test.one = { method = "POST", path = "/a?b", host = "x:1", headers = { "X-A" = "b" }, body = "\u0001\"", status = ["200", "301-302"], contains = "ok" }
        [shadow.s]
        from = "shop@v1"
        to = "shop@v2"
        [metrics]
        listen = "[::1]:0"
        path = "/m"
        buckets = "1.5s"
        exemplars = false
    "#;
    let sample = include_str!("../sample/rollout.toml");
    for text in
        [sample.to_owned(), format!("{}{more}", BEFORE.replace("v1 = 95, v2 = 5", "v1 = 100"))]
    {
        let before = config(&text);
        let written: String =
            effective(&before).iter().map(|it| format!("{} = {}\n", it.path, it.value)).collect();
        let after = config(&written);
        assert_eq!(before.rollouts, after.rollouts);
        assert_eq!(before.kpis, after.kpis);
        assert_eq!(before.metrics, after.metrics);
        assert_eq!(diff(&before, &after), []);
    }
}

#[test]
fn rollouts_kpis_and_shadows_come_and_go_as_a_whole_and_change_hot() {
    let stable = BEFORE.replace("v1 = 95, v2 = 5", "v1 = 100");
    let more = "[rollout.r]\nfrom = \"shop@v1\"\nto = \"shop@v2\"\ngate.kpi.k.worse_by = \"1%\"\n\
                [kpi.k]\nof = \"shop\"\nfrom = \"late\"\n\
                [shadow.s]\nfrom = \"shop@v1\"\nto = \"shop@v2\"\n";
    let with = format!("{stable}{more}");
    let lines = |before: &str, after: &str| -> Vec<String> {
        diff(&config(before), &config(after)).iter().map(ToString::to_string).collect()
    };
    assert_eq!(lines(&stable, &with), ["+ shadow.s", "+ rollout.r", "+ kpi.k"]);
    assert_eq!(lines(&with, &stable), ["- shadow.s", "- rollout.r", "- kpi.k"]);
    let fields = format!(
        "{with}[rollout.r.gate.latency]\nworse_by = \"10%\"\n[metrics]\nlisten = \"127.0.0.1:1\"\n"
    );
    assert_eq!(
        lines(
            &with,
            &fields.replace(
                "to = \"shop@v2\"\ngate",
                "to = \"shop@v2\"\nsteps = \"5%\"\nwindows = \"sun 01:00-02:00\"\ngate"
            )
        ),
        [
            "~ rollout.r.steps [\"1% for 10m\", \"5% for 10m\", \"25% for 10m\", \"50% for 10m\", \"100% for 10m\"] → [\"5% for 10m\"]",
            "+ rollout.r.windows [\"sun 01:00-02:00\"]",
            "~ rollout.r.gate.latency.worse_by \"4%\" → \"10%\"",
            "+ metrics.listen \"127.0.0.1:1\"",
        ]
    );
    let changes = diff(&config(&stable), &config(&with));
    assert!(changes.iter().all(|change| change.effect == Effect::Hot));
}

#[test]
fn a_route_that_leads_elsewhere_by_the_same_number_has_changed() {
    let text = |first, second, to| {
        format!(
            "listen = \"127.0.0.1:8080\"\n\
             upstream.{first}.versions.v1 = [\"10.0.0.11:8080\"]\n\
             upstream.{second}.versions.v1 = [\"10.0.0.11:8080\"]\n\
             route.one.to = \"{to}\"\n\
             route.two = {{ match.path = \"/two\", to = \"{second}\" }}\n"
        )
    };
    let changes = diff(&config(&text("a", "b", "a")), &config(&text("b", "a", "b")));
    let lines: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["~ route.one.to \"a\" → \"b\"", "~ route.two.to \"b\" → \"a\""]);
}

#[test]
fn a_route_has_the_rate_of_all_unless_it_says_otherwise() {
    let routes = |limits: &str| {
        let text = format!("limits = {{ {limits} }}\n{BEFORE}limits = {{ rate = \"0\" }}\n{MORE}");
        let all = effective(&config(&text));
        let of = |path: &str| all.iter().find(|it| it.path == path).map(|it| it.value.clone());
        ["limits.burst", "route.shop.limits.rate", "route.a.limits.rate", "route.b.limits.by"]
            .map(|path| of(path).unwrap_or_default())
    };
    const MORE: &str = "[route.a]\nmatch.path = \"/a\"\nrespond.status = 204\n\
        limits = { rate = \"5/m\" }\n\
        [route.b]\nmatch.path = \"/b\"\nrespond.status = 204\n\
        limits = { rate = \"1/s\", by = \"cookie:uid\" }\n";
    assert_eq!(routes(""), ["", "\"0\"", "\"5/m\"", "\"cookie:uid\""]);
    assert_eq!(
        routes("rate = \"6000/m\", by = \"header:x-user\""),
        ["100", "\"0\"", "\"5/m\"", "\"cookie:uid\""]
    );
    let own = "limits.rate = \"100/s\"\nlimits.burst = 7\nlisten = \"127.0.0.1:1\"\n\
               route.a = { respond.status = 204, limits.by = \"query:k\" }\n\
               route.c = { match.path = \"/c\", respond.status = 204, limits.rate = \"5/m\" }\n";
    let all = effective(&config(own));
    let of = |path: &str| all.iter().find(|it| it.path == path).map(|it| it.value.as_str());
    assert_eq!(of("route.a.limits.rate"), Some("\"100/s\""));
    assert_eq!(of("route.a.limits.burst"), Some("7"));
    assert_eq!(of("route.c.limits.burst"), Some("1"), "five a minute give none in a second");
}
