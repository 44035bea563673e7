//! Certificates: what `check` says of them, and what a reload does with them.

use std::{fs, path::Path};

use rcgen::{CertificateParams, DnType, KeyPair};

use crate::{AT_ONCE, Folder, Proxy, config, run};

/// Writes `a.pem` and `a.key`, for this name.
fn issue(folder: &Path, name: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    fs::write(folder.join("a.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    let path = folder.join("a.key");
    fs::write(&path, key.serialize_pem()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

const LISTENER: &str = "\n[listener.https]\nbind = \"127.0.0.1:0\"\n\
                        tls = { cert = \"a.pem\", key = \"a.key\" }\n";

#[test]
fn check_reads_certificates_and_says_where_they_are_named() {
    let folder = Folder::new();
    let socket = folder.0.join("admin.sock").display().to_string();
    let text = config(&socket, "hello", AT_ONCE) + LISTENER;
    let file = folder.write("gnomon.toml", &text);
    let told = run(&["check", "--offline", &file]).is(78);
    assert!(told.data.contains("cannot read a.pem: there is no such file"), "{told:?}");
    issue(&folder.0, "shop.test");
    run(&["check", "--offline", "--strict", &file]).is(0);
    // The key of before, as after half of a renewal.
    let key = fs::read_to_string(folder.0.join("a.key")).unwrap();
    issue(&folder.0, "other.test");
    let told = run(&["check", "--offline", &file]).is(0);
    assert!(told.data.contains("warning[G057]: no certificate is for `shop.test`"), "{told:?}");
    folder.write("a.key", &key);
    let told = run(&["check", "--offline", &file]).is(78);
    for part in ["error[G056]: this key is not the certificate's", "gnomon.toml:18:31", "| tls = "]
    {
        assert!(told.data.contains(part), "{part}: {}", told.data);
    }
}

#[test]
fn a_reload_takes_a_renewed_certificate_over_and_refuses_a_wrong_one() {
    let proxy = Proxy::start_with("one", AT_ONCE, |folder| {
        issue(folder, "shop.test");
        LISTENER.to_owned()
    });
    let shown = || {
        let status = proxy.status();
        let listeners = status["listeners"].as_array().unwrap();
        let https = listeners.iter().find(|it| it["name"] == "https").unwrap();
        assert!(https["certificates"][0]["not_after"].as_i64().unwrap() > 0);
        https["certificates"][0]["names"][0].as_str().unwrap().to_owned()
    };
    assert_eq!(shown(), "shop.test");
    let told = proxy.ask(&["reload"]).is(0);
    assert_eq!(told.data, "nothing has changed\n");
    let key = fs::read_to_string(proxy.folder.0.join("a.key")).unwrap();
    issue(&proxy.folder.0, "cart.test");
    let told = proxy.ask(&["reload"]).is(0);
    assert!(told.data.contains("~ listener.https.tls.certs"), "{told:?}");
    assert!(told.data.contains(", with other content"), "{told:?}");
    assert_eq!(shown(), "cart.test");
    let told = proxy.ask(&["status"]).is(0);
    assert!(told.data.contains("cert     https cart.test   CN=cart.test   until "), "{told:?}");
    let good = fs::read_to_string(proxy.folder.0.join("a.key")).unwrap();
    proxy.folder.write("a.key", &key);
    let told = proxy.ask(&["reload"]);
    assert_ne!(told.code, 0);
    assert!(told.messages.contains("error[G056]"), "{told:?}");
    assert_eq!(shown(), "cart.test");
    proxy.folder.write("a.key", &good);
    proxy.ask(&["reload"]).is(0);
}
