//! What scanners make of a TLS port of ours: no weak protocol, no weak cipher, no known hole.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Starts a proxy with a certificate made for this, and has `sslscan` and `testssl.sh` look at it;
/// one that is not installed is left out, and said so.
pub(crate) fn scan(gnomon: &Path) -> Result<(), String> {
    let folder = Folder::new()?;
    let address = free_address()?;
    if !make_certificate(&folder.0)? {
        say("openssl is not installed, so there is no certificate: nothing is scanned");
        return Ok(());
    }
    let _proxy = start(gnomon, &folder.0, address)?;
    let mut found = Vec::new();
    match sslscan(address)? {
        Some(faults) => found.extend(faults),
        None => say("sslscan is not installed: skipped"),
    }
    match testssl(&folder.0, address)? {
        Some(faults) => found.extend(faults),
        None => say("testssl.sh is not installed: skipped"),
    }
    if found.is_empty() { Ok(()) } else { Err(format!("found:\n  {}", found.join("\n  "))) }
}

/// A folder of its own, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("gnomon-scan-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| error.to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays is in the temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A proxy, ended in the end.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_address() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map_err(|error| error.to_string())
}

/// Says whether it could.
fn make_certificate(folder: &Path) -> Result<bool, String> {
    let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
                   -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
                   -keyout a.key -out a.pem";
    let made = Command::new("openssl")
        .args(request.split_whitespace())
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match made {
        Ok(status) if status.success() => Ok(true),
        Ok(status) => Err(format!("openssl makes no certificate ({status})")),
        Err(_) => Ok(false),
    }
}

fn start(gnomon: &Path, folder: &Path, address: SocketAddr) -> Result<Proxy, String> {
    let text = format!(
        "admin.socket = \"{0}/admin.sock\"\nstate.dir = \"{0}/state\"\nruntime.cores = 1\n\
         [listener.https]\nbind = \"{address}\"\ntls = {{ cert = \"a.pem\", key = \"a.key\" }}\n\
         [route.all]\nrespond.status = 204\n",
        folder.display()
    );
    let file = folder.join("gnomon.toml");
    fs::write(&file, text).map_err(|error| error.to_string())?;
    let child = Command::new(gnomon)
        .arg("run")
        .arg("-c")
        .arg(&file)
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("{} does not start: {error}", gnomon.display()))?;
    let mut proxy = Proxy(child);
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if TcpStream::connect(address).is_ok() {
            return Ok(proxy);
        }
        if let Ok(Some(status)) = proxy.0.try_wait() {
            return Err(format!("{} has ended ({status})", gnomon.display()));
        }
        thread::park_timeout(LOOK);
    }
    Err(format!("{} does not listen", gnomon.display()))
}

/// The output of a scanner, shown and given back; none if there is no such scanner.
fn look(command: &mut Command) -> Result<Option<String>, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let Ok(mut child) = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn() else {
        return Ok(None);
    };
    let output = child.stdout.take().ok_or("it has no output")?;
    let reader = thread::Builder::new()
        .spawn(move || std::io::read_to_string(output))
        .map_err(|error| error.to_string())?;
    let begun = Instant::now();
    while child.try_wait().map_err(|error| error.to_string())?.is_none() {
        if begun.elapsed() > PATIENCE_WITH_SCANNER {
            // Then there is nothing left to wait for.
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("{name} does not come to an end"));
        }
        thread::park_timeout(LOOK);
    }
    let text = reader.join().map_err(|_| "reading has panicked")?;
    let text = text.map_err(|error| error.to_string())?;
    say(&text);
    Ok(Some(text))
}

/// Every old protocol is off, and every cipher is one of those that keep secrets for good.
fn sslscan(address: SocketAddr) -> Result<Option<Vec<String>>, String> {
    let target = address.to_string();
    let text =
        look(Command::new("sslscan").args(["--no-colour", "--no-check-certificate", &target]))?;
    let Some(text) = text else { return Ok(None) };
    let faults: Vec<String> = faults_of_sslscan(&text);
    if !text.contains("TLSv1.3   enabled") {
        return Ok(Some(vec!["sslscan: TLS 1.3 is not spoken".to_owned()]));
    }
    Ok(Some(faults))
}

fn faults_of_sslscan(text: &str) -> Vec<String> {
    let is_old = |line: &&str| {
        let old = ["SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"];
        old.iter().any(|name| line.starts_with(name)) && line.ends_with("enabled")
    };
    let is_weak = |line: &&str| {
        let taken = line.starts_with("Accepted") || line.starts_with("Preferred");
        taken && !STRONG.iter().any(|cipher| line.contains(cipher))
    };
    let lines = text.lines().map(str::trim);
    lines.filter(|line| is_old(line) || is_weak(line)).map(|it| format!("sslscan: {it}")).collect()
}

/// No finding above low: protocols, ciphers, forward secrecy, and known holes. The certificate is
/// made for this and believed by nobody, so it is not looked at.
fn testssl(folder: &Path, address: SocketAddr) -> Result<Option<Vec<String>>, String> {
    let findings = folder.join("findings.csv");
    let target = address.to_string();
    for name in ["testssl.sh", "testssl"] {
        let mut command = Command::new(name);
        command.args(["--quiet", "--color", "0", "--warnings", "off", "--ip", "one", "--csvfile"]);
        command.arg(&findings).args(["-p", "-s", "-f", "-U", &target]);
        if look(&mut command)?.is_some() {
            let text = fs::read_to_string(&findings).map_err(|error| error.to_string())?;
            return Ok(Some(faults_of_testssl(&text)));
        }
    }
    Ok(None)
}

/// The lines of the table whose fourth cell says that it is bad.
fn faults_of_testssl(text: &str) -> Vec<String> {
    let bad = |line: &&str| {
        let severity = line.split("\",\"").nth(3).unwrap_or_default();
        matches!(severity, "MEDIUM" | "HIGH" | "CRITICAL" | "FATAL")
    };
    text.lines().filter(bad).map(|line| format!("testssl.sh: {line}")).collect()
}

fn say(text: &str) {
    #[expect(clippy::print_stdout, reason = "this is what the scan is for")]
    {
        println!("{text}");
    }
}

/// Authenticated encryption under keys that are agreed on anew each time.
const STRONG: [&str; 9] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
];
/// How long the proxy may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a scanner may take.
const PATIENCE_WITH_SCANNER: Duration = Duration::from_secs(900);
const LOOK: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_weak_is_found_in_what_scanners_say() {
        let text = "SSLv3     disabled\nTLSv1.1   enabled\nTLSv1.2   enabled\n\
                    Preferred TLSv1.3  128 bits  TLS_AES_128_GCM_SHA256  Curve 25519 DHE 253\n\
                    Accepted  TLSv1.2  128 bits  AES128-SHA\n";
        let faults = faults_of_sslscan(text);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("TLSv1.1") && faults[1].contains("AES128-SHA"));
        let table = "\"id\",\"fqdn/ip\",\"port\",\"severity\",\"finding\",\"cve\",\"cwe\"\n\
                     \"SSLv3\",\"a/1\",\"1\",\"OK\",\"not offered\",\"\",\"\"\n\
                     \"SWEET32\",\"a/1\",\"1\",\"LOW\",\"x\",\"\",\"\"\n\
                     \"BEAST\",\"a/1\",\"1\",\"MEDIUM\",\"x\",\"\",\"\"\n";
        let faults = faults_of_testssl(table);
        assert!(faults.len() == 1 && faults[0].contains("BEAST"), "{faults:?}");
    }
}
