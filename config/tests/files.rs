//! What involves more than one text: includes, overrides, environment, secrets.

use std::{fs, path::PathBuf};

use gnomon_config::{
    Loaded, Options, Problems, diff, load,
    model::{Level, Share, TlsVersion},
};

/// A folder of its own for each test.
fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&root);
    for (name, text) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("files lie below the root")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    root
}

const MAIN: &str = r#"
include = ["conf.d/*.toml"]
listen = "127.0.0.1:8080"

[upstream.shop]
versions.v1 = ["127.0.0.1:9000"]
versions.v2 = ["127.0.0.1:9001"]

[route.shop]
to = "shop"
"#;

const CART: &str = r#"
upstream.cart.versions.v1 = ["127.0.0.1:9002"]
route.cart = { to = "cart", match.path = "/cart/*" }
"#;

fn with_sets(sets: &[(&str, &str)]) -> Result<Loaded, Problems> {
    let root = folder("sets", &[("gnomon.toml", MAIN)]);
    let sets: Vec<_> = sets.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    load(&root.join("gnomon.toml"), &Options { sets: &sets, ..Options::default() })
}

fn codes(result: Result<Loaded, Problems>) -> Vec<&'static str> {
    result.expect_err("something is wrong").iter().map(|problem| problem.code).collect()
}

#[test]
fn included_tables_join_in_the_order_of_their_files() {
    let pay = CART.replace("cart", "pay");
    let files = [
        ("gnomon.toml", MAIN),
        ("conf.d/b.toml", pay.as_str()),
        ("conf.d/a.toml", CART),
        ("conf.d/ignored.txt", "not TOML at all"),
    ];
    let root = folder("join", &files);
    let loaded = load(&root.join("gnomon.toml"), &Options::default()).unwrap();
    let names: Vec<&str> = loaded.config.upstreams.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["shop", "cart", "pay"]);
    let files: Vec<_> = loaded.config.files.iter().map(|it| it.file_name().unwrap()).collect();
    assert_eq!(files, ["gnomon.toml", "a.toml", "b.toml"]);
}

#[test]
fn shadows_rollouts_and_kpis_of_several_files_stand_together() {
    let one = "[shadow.s]\nfrom = \"shop@v1\"\nto = \"shop@v2\"\n\
               [rollout.shop]\nfrom = \"shop@v1\"\nto = \"shop@v2\"\n\
               [kpi.a]\nof = \"shop\"\nfrom = \"late\"\n";
    let other = "[shadow.t]\nfrom = \"shop\"\nto = \"shop@v2\"\n\
                 [kpi.b]\nof = \"shop\"\nfrom = \"late\"\n";
    let files = [("gnomon.toml", MAIN), ("conf.d/a.toml", one), ("conf.d/b.toml", other)];
    let root = folder("together", &files);
    let loaded = load(&root.join("gnomon.toml"), &Options::default());
    let config = loaded.unwrap_or_else(|problems| panic!("{problems}")).config;
    assert_eq!((config.shadows.len(), config.rollouts.len(), config.kpis.len()), (2, 1, 2));
    let again = [("gnomon.toml", MAIN), ("conf.d/a.toml", one), ("conf.d/b.toml", one)];
    let root = folder("together", &again);
    let codes = codes(load(&root.join("gnomon.toml"), &Options::default()));
    assert_eq!(codes, ["G010", "G010", "G010"]);
}

#[test]
fn nothing_to_include_is_fine_but_a_missing_file_is_not() {
    let root = folder("missing", &[("gnomon.toml", MAIN)]);
    load(&root.join("gnomon.toml"), &Options::default()).unwrap();
    let literal = MAIN.replace("conf.d/*.toml", "conf.d/a.toml");
    let root = folder("missing", &[("gnomon.toml", &literal)]);
    assert_eq!(codes(load(&root.join("gnomon.toml"), &Options::default())), ["G001"]);
    assert_eq!(codes(load(&root.join("none.toml"), &Options::default())), ["G001"]);
    assert_eq!(codes(load(&root, &Options::default())), ["G001"]);
}

#[test]
fn the_same_table_in_two_files_shows_both_places() {
    let again = "[upstream.shop]\nversions.v1 = [\"127.0.0.1:9003\"]\n";
    let root = folder("twice", &[("gnomon.toml", MAIN), ("conf.d/a.toml", again)]);
    let problems = load(&root.join("gnomon.toml"), &Options::default()).unwrap_err();
    let problem = problems.iter().find(|problem| problem.code == "G010").unwrap();
    assert_eq!(problem.message, "[upstream.shop] is defined twice");
    assert_eq!(problems.files()[problem.place.file].text, again);
    assert_eq!(problems.position(0, problem.related[0].0.start), (5, 11));
    let told = problems.render(false);
    assert!(told.contains("a.toml:1:11") && told.contains("gnomon.toml:5:11"), "{told}");
}

#[test]
fn included_files_include_no_others() {
    let nested = "include = []\n";
    let root = folder("nested", &[("gnomon.toml", MAIN), ("conf.d/a.toml", nested)]);
    assert_eq!(codes(load(&root.join("gnomon.toml"), &Options::default())), ["G011"]);
}

#[test]
fn overrides_reach_any_key() {
    let loaded = with_sets(&[
        ("upstream.shop.split.v2", "10"),
        ("log.level", "debug"),
        ("timeouts", "{ idle = \"5s\" }"),
        ("upstream.\"shop\".sticky", "cookie"),
    ])
    .unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.config.upstreams[0].split, [Share(90_000), Share(10_000)]);
    assert_eq!(loaded.config.log.level, Level::Debug);
    assert_eq!(loaded.config.timeouts.idle.as_secs(), 5);
}

#[test]
fn wrong_overrides_show_the_argument() {
    assert_eq!(codes(with_sets(&[("a..b", "1")])), ["G034"]);
    assert_eq!(codes(with_sets(&[("[a]\nb", "1")])), ["G034"]);
    let problems = with_sets(&[("upstream.shop.split.v9", "10")]).unwrap_err();
    let told = problems.render(false);
    assert!(told.contains("--> --set upstream.shop.split.v9=10:1:1"), "{told}");
}

#[test]
fn values_come_from_environment_and_files_but_never_structure() {
    let text = r#"
        listen = { env = "LISTEN" }
        log.level = { env = "LEVEL", default = "warn" }
        runtime.pin = { env = "PIN" }
        limits.headers = { env = "HEADERS" }
        timeouts.idle = { file = "idle" }
        admin.group = { env = "GROUP" }
        [upstream.shop]
        versions.v1 = ["127.0.0.1:9000", { env = "SECOND" }]
        sticky = { key = { env = "KEY", default = "cookie" }, secret = { file = "secret" } }
        [route.shop]
        to = "shop"
    "#;
    let files = [("gnomon.toml", text), ("idle", "5s\n"), ("secret", "0123456789abcdef\n")];
    let root = folder("outside", &files);
    let env = |name: &str| match name {
        "LISTEN" => Some("127.0.0.1:80".to_owned()),
        "PIN" => Some("false".to_owned()),
        "HEADERS" => Some("7".to_owned()),
        "GROUP" => Some("x\"\n[admin]".to_owned()),
        "SECOND" => Some("127.0.0.1:9001".to_owned()),
        _ => None,
    };
    let options = Options { env: &env, ..Options::default() };
    let loaded = load(&root.join("gnomon.toml"), &options).unwrap_or_else(|p| panic!("{p}"));
    let config = loaded.config;
    assert_eq!(config.log.level, Level::Warn);
    assert!(!config.runtime.pin);
    assert_eq!(config.limits.headers, 7);
    assert_eq!(config.timeouts.idle.as_secs(), 5);
    assert_eq!(config.admin.group.as_deref(), Some("x\"\n[admin]"));
    assert_eq!(config.upstreams[0].versions[0].endpoints.len(), 2);
    assert_eq!(config.upstreams[0].sticky.secret.0, b"0123456789abcdef");

    fs::write(root.join("secret"), "short").unwrap();
    assert_eq!(codes(load(&root.join("gnomon.toml"), &options)), ["G009"]);
}

const TLS: &str = r#"
listener.https = { bind = "127.0.0.1:8443", tls = { cert = "tls/a.pem", key = "tls/a.key" } }
listener.mutual.bind = "127.0.0.1:8444"
listener.mutual.tls.certs = [
  { cert = "tls/a.pem", key = "tls/a.key" },
  { cert = "tls/a.pem", key = "tls/a.key", ocsp = "tls/a.ocsp" },
]
listener.mutual.tls.min = "1.3"
listener.mutual.tls.client_ca = "tls/ca.pem"
upstream.shop.versions.v1.endpoints = ["shop.internal:443"]
upstream.shop.versions.v1.tls = { name = "Shop.Internal", ca = "tls/ca.pem", cert = "tls/a.pem", key = "tls/a.key" }
upstream.shop.versions.v2 = { endpoints = ["shop.internal:443"], tls = true }
upstream.shop.versions.v3 = { endpoints = ["shop.internal:443"], tls = false }
route.shop.to = "shop"
"#;

fn with_tls(name: &str, key: &str) -> PathBuf {
    let files = [
        ("gnomon.toml", "include = [\"conf.d/*.toml\"]\n"),
        ("conf.d/tls.toml", TLS),
        ("conf.d/tls/a.pem", "a certificate"),
        ("conf.d/tls/a.key", key),
        ("conf.d/tls/a.ocsp", "a staple"),
        ("conf.d/tls/ca.pem", "a root"),
    ];
    folder(name, &files)
}

#[test]
fn what_tls_names_is_read_beside_the_file_that_names_it() {
    let root = with_tls("tls", "a key");
    let config = load(&root.join("gnomon.toml"), &Options::default()).unwrap().config;
    let [https, mutual] = [0, 1].map(|at| config.listeners[at].tls.clone().unwrap());
    assert_eq!(https.certs[0].cert.content.0, b"a certificate");
    assert_eq!(https.certs[0].key.path, root.join("conf.d/tls/a.key"));
    assert_eq!((https.min, &https.clients), (TlsVersion::V12, &None));
    assert_eq!(mutual.certs[1].ocsp.as_ref().unwrap().content.0, b"a staple");
    assert_eq!(mutual.min, TlsVersion::V13);
    assert!(mutual.clients.unwrap().required);
    let [v1, v2, v3] = [0, 1, 2].map(|at| config.upstreams[0].versions[at].tls.clone());
    let v1 = v1.unwrap();
    assert_eq!(v1.name.as_deref(), Some("shop.internal"));
    assert_eq!(v1.identity.unwrap().key.content.0, b"a key");
    let v2 = v2.unwrap();
    assert!(v2.verify && v2.ca.is_none() && v2.name.is_none());
    assert_eq!(v3, None);
}

#[test]
fn other_content_under_the_same_name_is_a_change() {
    let read = |key| {
        let root = with_tls("changed", key);
        load(&root.join("gnomon.toml"), &Options::default()).unwrap().config
    };
    let (old, new) = (read("a key"), read("another"));
    assert_eq!(diff(&old, &old.clone()), []);
    let changes: Vec<String> = diff(&old, &new).iter().map(ToString::to_string).collect();
    assert_eq!(changes.len(), 3, "{changes:?}");
    assert!(changes[0].starts_with("~ listener.https.tls.certs [{ cert = "), "{changes:?}");
    assert!(changes[0].ends_with(", with other content"), "{changes:?}");
    assert!(changes[2].starts_with("~ upstream.shop.versions.v1.tls.key "), "{changes:?}");
    let written: String =
        gnomon_config::effective(&new).iter().map(|it| it.value.clone()).collect();
    assert!(!written.contains("another"), "{written}");
}

#[test]
fn a_file_of_tls_that_cannot_be_read_is_told_where_it_is_named() {
    let root = with_tls("unread", "a key");
    fs::remove_file(root.join("conf.d/tls/a.key")).unwrap();
    let problems = load(&root.join("gnomon.toml"), &Options::default()).unwrap_err();
    assert!(problems.iter().all(|problem| problem.code == "G009"), "{problems}");
    let first = problems.iter().next().unwrap();
    assert_eq!(first.message, "cannot read tls/a.key: there is no such file");
    assert_eq!(problems.position(first.place.file, first.place.start), (2, 79));
}
