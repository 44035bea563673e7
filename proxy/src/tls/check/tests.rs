//! What `gnomon check` says of certificates and keys: G055, G056, G057.

use std::fs;

use super::*;
use crate::tls::testing::{DAY, FAR, Folder, NOW, ONE};

/// What is said, a line for each problem, with what it is said of.
fn told(folder: &Folder, tls: &str) -> Vec<String> {
    let problems = match checked(folder.load(tls), NOW, Overdue::Refused) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems,
    };
    let line = |problem: &Problem| {
        let text = &problems.files()[problem.place.file].text;
        let place = &text[problem.place.start..problem.place.end];
        let Problem { code, severity, message, label, .. } = problem;
        format!("{} {code} {place}: {message}: {label}", severity.as_str())
    };
    problems.iter().map(line).collect()
}

#[test]
fn a_certificate_that_is_right_is_not_spoken_of() {
    assert!(told(&Folder::new("right"), ONE).is_empty());
}

#[test]
fn files_that_hold_something_else_are_told_apart() {
    let folder = Folder::new("else");
    folder.issue("b", &["cart.example.com"], FAR);
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    folder.write("locked.key", encrypted);
    folder.write("cut.pem", &folder.read("a.pem")[..200]);
    folder.write("noise.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    folder.write("empty", "");
    for (cert, key, start) in [
        ("a.pem", "b.key", "error G056 \"b.key\": this key is not the certificate's"),
        ("a.key", "a.pem", "error G055 \"a.key\": this is a private key, not a certificate"),
        ("a.pem", "a.pem", "error G056 \"a.pem\": this is a certificate, not a private key"),
        ("a.pem", "locked.key", "error G056 \"locked.key\": this key has a passphrase"),
        ("a.pem", "empty", "error G056 \"empty\": there is no private key in it"),
        ("empty", "a.key", "error G055 \"empty\": there is no certificate in it"),
        ("cut.pem", "a.key", "error G055 \"cut.pem\": this is not PEM"),
        ("noise.pem", "a.key", "error G055 \"noise.pem\": this is no certificate"),
    ] {
        let lines = told(&folder, &format!("{{ cert = \"{cert}\", key = \"{key}\" }}"));
        assert!(lines.iter().any(|line| line.starts_with(start)), "{cert} {key}: {lines:#?}");
    }
    let der = rustls::pki_types::pem::PemObject::from_pem_slice(folder.read("a.pem").as_bytes());
    let der: rustls::pki_types::CertificateDer<'_> = der.unwrap();
    folder.write("a.der", &der);
    let lines = told(&folder, "{ cert = \"a.der\", key = \"a.key\" }");
    assert!(
        lines[0].starts_with("error G055 \"a.der\": this is a certificate in DER"),
        "{lines:?}"
    );
}

#[test]
fn a_chain_is_told_where_it_breaks() {
    let folder = Folder::new("chain");
    folder.issue("b", &["cart.example.com"], FAR);
    let [a, b] = ["a.pem", "b.pem"].map(|name| folder.read(name));
    folder.write("whole.pem", format!("{a}{}", folder.root_pem));
    assert!(told(&folder, "{ cert = \"whole.pem\", key = \"a.key\" }").is_empty());
    folder.write("broken.pem", format!("{a}{}{b}", folder.root_pem));
    let lines = told(&folder, "{ cert = \"broken.pem\", key = \"a.key\" }");
    let expected = "error G055 \"broken.pem\": certificate 3 did not issue certificate 2";
    assert!(lines[0].starts_with(expected), "{lines:?}");
}

#[test]
fn a_certificate_is_in_force() {
    let folder = Folder::new("force");
    folder.issue("old", &["shop.example.com"], NOW - DAY);
    folder.issue("soon", &["shop.example.com"], NOW + 13 * DAY);
    let old = "{ cert = \"old.pem\", key = \"old.key\" }";
    let lines = told(&folder, old);
    assert_eq!(
        lines,
        ["error G055 \"old.pem\": this certificate has expired: on 2026-11-22 00:00 UTC"]
    );
    let lines = told(&folder, "{ cert = \"soon.pem\", key = \"soon.key\" }");
    let expected =
        "warning G057 \"soon.pem\": this certificate expires soon: on 2026-12-06 00:00 UTC";
    assert_eq!(lines, [expected]);
    let before = checked(folder.load(ONE), NOW - 20 * DAY, Overdue::Served).unwrap_err();
    assert!(before.to_string().contains("not in force yet"), "{before}");
    // What is served already does not stand in the way of other changes, nor of a start.
    let serving = folder.load(old).unwrap().config;
    for overdue in [Overdue::IfServed(&serving), Overdue::Served] {
        let loaded = checked(folder.load(old), NOW, overdue).unwrap();
        assert!(loaded.warnings.to_string().contains("has expired"));
    }
    let serving = folder.load(ONE).unwrap().config;
    checked(folder.load(old), NOW, Overdue::IfServed(&serving)).unwrap_err();
}

#[test]
fn names_that_nobody_has_or_two_have_are_warned_of() {
    let folder = Folder::new("names");
    folder.issue("b", &["cart.example.com"], FAR);
    folder.issue("none", &[], FAR);
    let lines = told(&folder, "{ cert = \"b.pem\", key = \"b.key\" }");
    let expected = "warning G057 \"b.pem\": no certificate is for `shop.example.com`";
    assert!(lines.len() == 1 && lines[0].starts_with(expected), "{lines:?}");
    let both = "{ certs = [{ cert = \"b.pem\", key = \"b.key\" }, { cert = \"a.pem\", key = \"a.key\" }] }";
    assert!(told(&folder, both).is_empty());
    let twice = both.replace("b.", "a.");
    let lines = told(&folder, &twice);
    let expected = "warning G057 \"a.pem\": this certificate is never shown";
    assert!(lines.len() == 1 && lines[0].starts_with(expected), "{lines:?}");
    let lines = told(&folder, "{ cert = \"none.pem\", key = \"none.key\" }");
    assert!(lines.iter().any(|line| line.contains("this certificate is for no name")), "{lines:?}");
}

#[test]
fn weak_keys_and_keys_for_everybody_are_told_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new("keys");
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(folder.path.join("a.key"), open).unwrap();
    let lines = told(&folder, ONE);
    let expected = "warning G056 \"a.key\": everybody on this machine can read this key";
    assert!(lines.len() == 1 && lines[0].starts_with(expected), "{lines:?}");

    folder.write("weak.pem", WEAK);
    let lines = told(&folder, "{ cert = \"weak.pem\", key = \"a.key\" }");
    let expected = "error G055 \"weak.pem\": its RSA key of 1024 bits is too weak";
    assert!(lines[0].starts_with(expected), "{lines:?}");
}

/// For shop.example.com, of an RSA key of 1024 bits that nobody has.
const WEAK: &str = "\
-----BEGIN CERTIFICATE-----
MIICGTCCAYKgAwIBAgIUDJSJmX0ePeKLGuNbglL4BIbbbMIwDQYJKoZIhvcNAQEL
BQAwDzENMAsGA1UEAwwEd2VhazAgFw0yNjExMjMwNjQwMDlaGA8yMTI2MTAzMDA2
NDAwOVowDzENMAsGA1UEAwwEd2VhazCBnzANBgkqhkiG9w0BAQEFAAOBjQAwgYkC
gYEAkTLTFn0dVlClNvANQxlt5vYFVVgiHBFLqJTyyCC1fXged9MNIKTAKxFxEMV8
iHnTTg1ucBxQ6gcgzmY+tXQ+CbzcwG2Kr0FfbsgXPmys3xqWfSqopennA7y2kwUG
Jc+Fx4Qc8caJeMP2wBPfw5CutvV9eTqf95t8D9pABkXhAN0CAwEAAaNwMG4wHQYD
VR0OBBYEFNCrm8X6RCqMUb+h20/PBjzT/MxGMB8GA1UdIwQYMBaAFNCrm8X6RCqM
Ub+h20/PBjzT/MxGMA8GA1UdEwEB/wQFMAMBAf8wGwYDVR0RBBQwEoIQc2hvcC5l
eGFtcGxlLmNvbTANBgkqhkiG9w0BAQsFAAOBgQAgvUgwjMtznZrQOsyhf19opJZu
eeDrcr2Zz8zTEWiHDyMMuViZzQB/U/ce7TPACUI4XfsJ39nkGgHfY0ET5iE+t3fS
JZ6Wmh92XqQ9M8lBSfcWbCPdtoWFh0w/hwK+Pmi/v62kKsXu6Kc3mxbanXuesV1T
6txBp28YECqFqH+Qmw==
-----END CERTIFICATE-----
";
