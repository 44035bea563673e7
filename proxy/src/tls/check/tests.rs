//! What `gnomon check` says of certificates and keys: G055, G056, G057.

use std::{fs, path::PathBuf, time::Duration};

use gnomon_config::{Options, load};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair as Drawn, date_time_ymd,
};

use super::*;

/// A folder with certificates, and a root that issued them.
struct Folder {
    path: PathBuf,
    root: Issuer<'static, Drawn>,
    root_pem: String,
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays is in the temporary folder.
        let _ = fs::remove_dir_all(&self.path);
    }
}

const DAY: u64 = 86_400;
/// 2026-11-23.
const NOW: u64 = 1_795_392_000;

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gnomon-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = Drawn::generate().unwrap();
        let root_pem = params.self_signed(&key).unwrap().pem();
        let folder = Self { path, root: Issuer::new(params, key), root_pem };
        folder.write("root.pem", &folder.root_pem);
        folder.issue("a", &["shop.example.com", "*.shop.example.com"], NOW + 100 * DAY);
        folder
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path.join(name)).unwrap()
    }

    fn issue(&self, name: &str, hosts: &[&str], until: u64) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let at = |seconds| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
        (params.not_before, params.not_after) = (at(NOW - 10 * DAY), at(until));
        let key = Drawn::generate().unwrap();
        self.write(&format!("{name}.pem"), params.signed_by(&key, &self.root).unwrap().pem());
        self.write(&format!("{name}.key"), key.serialize_pem());
    }

    fn load(&self, tls: &str) -> Result<Loaded, Problems> {
        let text = format!(
            "listener.https.bind = \"127.0.0.1:8443\"\n\
             listener.https.tls = {tls}\n\
             route.all = {{ match.host = \"shop.example.com\", respond.status = 204 }}\n"
        );
        self.write("gnomon.toml", text);
        load(&self.path.join("gnomon.toml"), &Options::default())
    }

    /// What is said, a line for each problem, with what it is said of.
    fn told(&self, tls: &str) -> Vec<String> {
        let problems = match checked(self.load(tls), NOW, Overdue::Refused) {
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
}

const ONE: &str = "{ cert = \"a.pem\", key = \"a.key\" }";

#[test]
fn a_certificate_that_is_right_is_not_spoken_of() {
    assert!(Folder::new("right").told(ONE).is_empty());
}

#[test]
fn files_that_hold_something_else_are_told_apart() {
    let folder = Folder::new("else");
    folder.issue("b", &["cart.example.com"], NOW + 100 * DAY);
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    folder.write("locked.key", encrypted);
    folder.write("cut.pem", &folder.read("a.pem")[..200]);
    folder.write("noise.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    folder.write("empty", "");
    for (cert, key, told) in [
        ("a.pem", "b.key", "error G056 \"b.key\": this key is not the certificate's"),
        ("a.key", "a.pem", "error G055 \"a.key\": this is a private key, not a certificate"),
        ("a.pem", "a.pem", "error G056 \"a.pem\": this is a certificate, not a private key"),
        ("a.pem", "locked.key", "error G056 \"locked.key\": this key has a passphrase"),
        ("a.pem", "empty", "error G056 \"empty\": there is no private key in it"),
        ("empty", "a.key", "error G055 \"empty\": there is no certificate in it"),
        ("cut.pem", "a.key", "error G055 \"cut.pem\": this is not PEM"),
        ("noise.pem", "a.key", "error G055 \"noise.pem\": this is no certificate"),
    ] {
        let lines = folder.told(&format!("{{ cert = \"{cert}\", key = \"{key}\" }}"));
        assert!(lines.iter().any(|line| line.starts_with(told)), "{cert} {key}: {lines:#?}");
    }
    let der = rustls::pki_types::pem::PemObject::from_pem_slice(folder.read("a.pem").as_bytes());
    let der: rustls::pki_types::CertificateDer<'_> = der.unwrap();
    folder.write("a.der", &der);
    let lines = folder.told("{ cert = \"a.der\", key = \"a.key\" }");
    assert!(
        lines[0].starts_with("error G055 \"a.der\": this is a certificate in DER"),
        "{lines:?}"
    );
}

#[test]
fn a_chain_is_told_where_it_breaks() {
    let folder = Folder::new("chain");
    folder.issue("b", &["cart.example.com"], NOW + 100 * DAY);
    let [a, b] = ["a.pem", "b.pem"].map(|name| folder.read(name));
    folder.write("whole.pem", format!("{a}{}", folder.root_pem));
    assert!(folder.told("{ cert = \"whole.pem\", key = \"a.key\" }").is_empty());
    folder.write("broken.pem", format!("{a}{}{b}", folder.root_pem));
    let lines = folder.told("{ cert = \"broken.pem\", key = \"a.key\" }");
    let expected = "error G055 \"broken.pem\": certificate 3 did not issue certificate 2";
    assert!(lines[0].starts_with(expected), "{lines:?}");
}

#[test]
fn a_certificate_is_in_force() {
    let folder = Folder::new("force");
    folder.issue("old", &["shop.example.com"], NOW - DAY);
    folder.issue("soon", &["shop.example.com"], NOW + 13 * DAY);
    let old = "{ cert = \"old.pem\", key = \"old.key\" }";
    let lines = folder.told(old);
    assert_eq!(
        lines,
        ["error G055 \"old.pem\": this certificate has expired: on 2026-11-22 00:00 UTC"]
    );
    let lines = folder.told("{ cert = \"soon.pem\", key = \"soon.key\" }");
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
    folder.issue("b", &["cart.example.com"], NOW + 100 * DAY);
    folder.issue("none", &[], NOW + 100 * DAY);
    let lines = folder.told("{ cert = \"b.pem\", key = \"b.key\" }");
    let expected = "warning G057 \"b.pem\": no certificate is for `shop.example.com`";
    assert!(lines.len() == 1 && lines[0].starts_with(expected), "{lines:?}");
    let both = "{ certs = [{ cert = \"b.pem\", key = \"b.key\" }, { cert = \"a.pem\", key = \"a.key\" }] }";
    assert!(folder.told(both).is_empty());
    let twice = both.replace("b.", "a.");
    let lines = folder.told(&twice);
    let expected = "warning G057 \"a.pem\": this certificate is never shown";
    assert!(lines.len() == 1 && lines[0].starts_with(expected), "{lines:?}");
    let lines = folder.told("{ cert = \"none.pem\", key = \"none.key\" }");
    assert!(lines.iter().any(|line| line.contains("this certificate is for no name")), "{lines:?}");
}

#[test]
fn weak_keys_and_keys_for_everybody_are_told_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new("keys");
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(folder.path.join("a.key"), open).unwrap();
    let lines = folder.told(ONE);
    let expected = "warning G056 \"a.key\": everybody on this machine can read this key";
    assert!(lines.len() == 1 && lines[0].starts_with(expected), "{lines:?}");

    folder.write("weak.pem", WEAK);
    let lines = folder.told("{ cert = \"weak.pem\", key = \"a.key\" }");
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
