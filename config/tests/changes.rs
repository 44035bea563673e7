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
