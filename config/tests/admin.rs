//! Who may administer: tokens out of files, addresses that need them, and what is told of neither.

#![expect(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "helpers of tests are tests as well"
)]

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use gnomon_config::{
    Loaded, Options, Problems, diff, effective, load,
    model::{Audit, Role, Shows},
};

const BASE: &str = "listen = \"127.0.0.1:8080\"\nroute.all.respond.status = 204\n";
const GOOD: &str = "nXQ0m2v1T4pC7yKzR9sLw3uE5hJ8bGdF";

/// A folder with token files, for one test.
fn folder(name: &str, tokens: &[(&str, &str, u32)]) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root).unwrap();
    for (name, text, mode) in tokens {
        fs::write(root.join(name), text).unwrap();
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(*mode)).unwrap();
    }
    root
}

fn read(root: &std::path::Path, text: &str) -> Result<Loaded, Problems> {
    let path = root.join("gnomon.toml");
    fs::write(&path, format!("{text}\n{BASE}")).unwrap();
    load(&path, &Options::default())
}

#[test]
fn a_token_must_be_long_whole_and_private() {
    let tokens = [
        ("good", GOOD, 0o640),
        ("line", &format!("{GOOD}\n"), 0o600),
        ("short", "hunter2", 0o600),
        ("open", GOOD, 0o644),
        ("two", &format!("{GOOD}\n{GOOD}"), 0o600),
        ("empty", "", 0o600),
    ];
    let root = folder("tokens", &tokens);
    let table = [
        ("good", None),
        ("line", None),
        ("short", Some("at least 32 characters")),
        ("open", Some("everybody on this machine can read this token")),
        ("two", Some("one line of visible ASCII")),
        ("empty", Some("at least 32 characters")),
        ("nosuch", Some("cannot read nosuch")),
    ];
    for (file, expected) in table {
        let text = format!("admin.token.ci = {{ file = \"{file}\", role = \"rollout\" }}");
        match (read(&root, &text), expected) {
            (Ok(loaded), None) => {
                let token = &loaded.config.admin.tokens[0];
                assert_eq!((&*token.name, token.role), ("ci", Role::Rollout));
                assert!(!format!("{:?}", loaded.config).contains(GOOD), "only its hash is kept");
            }
            (Err(problems), Some(expected)) => {
                let told = problems.render(false);
                assert!(told.contains(expected), "{file}: {told}");
                assert!(told.contains("G070") || file == "nosuch", "{told}");
                assert!(!told.contains("hunter2") && !told.contains(GOOD), "{told}");
            }
            (result, _) => panic!("{file}: {result:?}"),
        }
    }
    let twice = "admin.token.a = { file = \"good\", role = \"read\" }\n\
                 admin.token.b = { file = \"line\", role = \"admin\" }";
    let told = read(&root, twice).unwrap_err().render(false);
    assert!(told.contains("`a` and `b` are the same token"), "{told}");
}

#[test]
fn a_new_token_in_the_same_file_is_a_change_that_shows_no_token() {
    let root = folder("rotated", &[("t", GOOD, 0o600)]);
    let text = "admin.token.ci = { file = \"t\", role = \"read\" }";
    let old = read(&root, text).unwrap().config;
    let other: String = GOOD.chars().rev().collect();
    fs::write(root.join("t"), &other).unwrap();
    let new = read(&root, text).unwrap().config;
    let changes: Vec<String> = diff(&old, &new).iter().map(ToString::to_string).collect();
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(changes[0].contains("admin.token.ci.file") && changes[0].contains("other content"));
    let shown = format!("{:?}", effective(&new));
    assert!(!shown.contains(&other), "{shown}");
}

#[test]
fn beyond_loopback_there_are_tls_and_something_to_show_or_nothing_at_all() {
    let root = folder("beyond", &[("t", GOOD, 0o600), ("c", "PEM", 0o600), ("k", "PEM", 0o600)]);
    let listen = "admin.listen = \"0.0.0.0:9099\"\n";
    let tls = "admin.tls = { cert = \"c\", key = \"k\" }\n";
    let mutual = "admin.tls = { cert = \"c\", key = \"k\", client_ca = \"c\" }\n";
    let token = "admin.token.ci = { file = \"t\", role = \"read\" }\n";
    for (parts, expected) in [
        (vec![], Some("anybody on the way could read")),
        (vec![token], Some("anybody on the way could read")),
        (vec![tls], Some("anybody could come")),
        (vec![tls, token], None),
        (vec![mutual], None),
        (vec![mutual, token], None),
    ] {
        let result = read(&root, &format!("{listen}{}", parts.concat()));
        match (result, expected) {
            (Ok(_), None) => {}
            (Err(problems), Some(expected)) => {
                let told = problems.render(false);
                assert!(told.contains("G032") && told.contains(expected), "{told}");
            }
            (result, _) => panic!("{parts:?}: {result:?}"),
        }
    }
    // Loopback needs nothing.
    let admin = read(&root, "admin.listen = \"[::1]:9099\"").unwrap().config.admin;
    assert_eq!(admin.listen_role, Some(Role::Rollout));
    assert_eq!(admin.audit, Audit::State);
}

#[test]
fn callers_are_told_apart_by_one_thing_each() {
    let root = folder("callers", &[("c", "PEM", 0o600), ("k", "PEM", 0o600)]);
    let tls =
        "admin.tls = { cert = \"c\", key = \"k\", client_ca = \"c\", client_role = \"none\" }\n";
    let text = format!(
        "{tls}admin.client.ann = {{ subject = \"CN=ann\", role = \"admin\" }}\n\
         admin.client.ops = {{ san = \"URI:spiffe://a/ops\", role = \"config\" }}\n\
         admin.user.monitor.role = \"read\"\nadmin.hosts = [\"Ops.Example.com\", \"10.0.0.1\"]\n\
         admin.audit = \"/var/log/gnomon/audit.log\""
    );
    let admin = read(&root, &text).unwrap().config.admin;
    let shows: Vec<&Shows> = admin.clients.iter().map(|client| &client.shows).collect();
    let expected = [&Shows::Subject("CN=ann".into()), &Shows::San("URI:spiffe://a/ops".into())];
    assert_eq!(shows, expected);
    assert_eq!((&*admin.users[0].name, admin.users[0].role), ("monitor", Role::Read));
    assert_eq!(&*admin.hosts[0], "ops.example.com");
    assert_eq!(admin.tls.unwrap().client_role, None);
    for (text, expected) in [
        ("admin.client.x = { role = \"read\" }", "either `subject` or `san`"),
        ("admin.client.x = { subject = \"CN=x\", san = \"DNS:x\", role = \"read\" }", "either"),
        ("admin.client.x = { san = \"x\", role = \"read\" }", "no name of a certificate"),
        ("admin.client.x = { san = \"DNS:x\", role = \"root\" }", "`root`"),
        ("admin.client.x.san = \"DNS:x\"", "no `role`"),
        ("admin.hosts = \"a:1\"", "not a host"),
        ("admin.audit = \"of\"", "did you mean"),
    ] {
        let told = read(&root, &format!("{tls}{text}")).unwrap_err().render(false);
        assert!(told.contains(expected), "{text}: {told}");
    }
    let told = read(&root, "admin.client.x = { san = \"DNS:x\", role = \"read\" }").unwrap_err();
    assert!(told.render(false).contains("is for nobody"));
}
