//! `gnomon import`: what comes out of it goes into `gnomon check`.

use std::fs;

use rcgen::{CertificateParams, KeyPair};

use crate::{Folder, run};

const NGINX: &str = "
upstream shop { server 10.0.0.11:8080; server 10.0.0.12:8080; }
server {
    listen 127.0.0.1:8080;
    include parts/*.conf;
    location / { proxy_pass http://shop; proxy_set_header Host $host; }
}
";

#[test]
fn what_is_imported_passes_the_check_and_the_rest_is_told() {
    let folder = Folder::new();
    fs::create_dir(folder.0.join("parts")).unwrap();
    folder.write(
        "parts/old.conf",
        "location /old/ { return 301 https://new.example.com$request_uri; }",
    );
    let file = folder.write("nginx.conf", NGINX);
    let told = run(&["import", "nginx", &file]).is(0);
    assert!(told.messages.contains("11 of 11 directives carried over (100.0 %)"), "{told:?}");
    assert!(told.data.contains("[upstream.shop]"), "{told:?}");
    let ours = folder.write("gnomon.toml", &told.data);
    run(&["check", "--offline", &ours]).is(0);
    let routed = run(&["route", "GET", "http://any/old/x", "-c", &ours]).is(0);
    assert!(routed.data.contains("redirects with 301"), "{routed:?}");
}

#[test]
fn what_is_left_is_marked_and_says_so_in_the_exit_code() {
    let folder = Folder::new();
    let text = format!("gzip on;\n{NGINX}");
    let file = folder.write("nginx.conf", &text);
    let told = run(&["import", "nginx", &file]).is(1);
    let mark = concat!("# TO", "DO ");
    let line = told.data.lines().find(|line| line.starts_with(mark)).unwrap_or_default();
    assert!(line.contains("nginx.conf:1: gzip on -- "), "{told:?}");
    let json = run(&["--json", "import", "nginx", &file]).is(1).json();
    assert_eq!(json["todo"][0]["line"], 1, "{json}");
    assert_eq!(json["todo"][0]["directive"], "gzip on", "{json}");
    assert_eq!(
        json["directives"].as_u64().unwrap(),
        json["carried"].as_u64().unwrap() + 1,
        "{json}"
    );
    let ours = folder.write("gnomon.toml", json["config"].as_str().unwrap());
    run(&["check", "--offline", &ours]).is(0);
}

#[test]
fn a_certificate_that_is_here_is_carried_over_and_another_is_not() {
    let folder = Folder::new();
    let params = CertificateParams::new(["a.example.com".to_owned()]).unwrap();
    let pair = KeyPair::generate().unwrap();
    let cert = folder.write("a.pem", &params.self_signed(&pair).unwrap().pem());
    let key = folder.write("a.key", &pair.serialize_pem());
    let server = |cert: &str| {
        format!(
            "server {{ listen 443 ssl; server_name a.example.com; ssl_certificate {cert}; \
             ssl_certificate_key {key}; location / {{ proxy_pass http://10.0.0.1:80; }} }}"
        )
    };
    let file = folder.write("tls.conf", &server(&cert));
    let told = run(&["import", "nginx", &file]).is(0);
    assert!(told.data.contains("\ntls.certs = "), "{told:?}");
    let file = folder.write("absent.conf", &server("/absent/a.pem"));
    let told = run(&["import", "nginx", &file]).is(1);
    assert!(told.data.contains("\n# tls.certs = "), "{told:?}");
    assert!(!told.data.contains("\nbind = "), "never in the clear: {told:?}");
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    let folder = Folder::new();
    let file = folder.write("h.cfg", "bind :80\n");
    let told = run(&["import", "haproxy", &file]).is(1);
    assert!(told.messages.contains("h.cfg:1: `bind` stands before any section"), "{told:?}");
    assert_eq!(told.data, "");
    run(&["import", "nginx", "/absent.conf"]).is(1);
    run(&["import", "caddy", &file]).is(2);
}
