//! The black-box battery against whole proxies: every case, whole and in pieces, on both drivers.
//!
//! `cargo test` runs the cases once, whole. `cargo test -p e2e --test conformance -- pieces faults`
//! runs them line by line and byte by byte, and every fault; CI does both. A battery mostly waits,
//! so its cases are dealt out to several proxies, each with a port and an origin of its own.
//!
//! The runner is Python and needs nothing but its standard library; without it this says so and
//! passes, since a bare machine shall be able to run `cargo test`.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::atomic::{AtomicU16, Ordering::SeqCst},
};

use e2e::{Driver, Running, eventually};
use serde_json::Value;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let is_asked = |what: &str| arguments.iter().any(|argument| argument == what);
    let (pieces, faults) = (is_asked("pieces"), is_asked("faults"));
    if Command::new("python3").arg("--version").stdout(Stdio::null()).status().is_err() {
        say("conformance: skipped, there is no python3");
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    let splits: &[Split] = match (pieces, faults) {
        (true, _) => &[Split::Lines, Split::Bytes],
        (false, true) => &[],
        (false, false) => &[Split::Whole],
    };
    for (name, cases) in batteries() {
        for &split in splits {
            for &driver in Driver::all() {
                failed += run_cases(&name, &cases, split, driver);
            }
        }
    }
    if faults {
        failed += run_faults();
    }
    say(&format!("conformance: {failed} failed"));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn say(line: &str) {
    #[expect(clippy::print_stdout, reason = "this is a program")]
    {
        println!("{line}");
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("h1battery")
}

/// Our own cases, and llhttp's where they lie beside the project.
fn batteries() -> Vec<(String, Value)> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/h1battery");
    let files = [folder().join("cases.json"), beside.join("cases_llhttp.json")];
    files
        .iter()
        .filter_map(|path| {
            let text = fs::read_to_string(path).ok()?;
            let cases = serde_json::from_str(&text).expect("a battery is JSON");
            let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
            Some((name.unwrap_or_default(), cases))
        })
        .collect()
}

/// How a case's bytes are sent.
#[derive(Clone, Copy, Debug)]
enum Split {
    Whole,
    Lines,
    Bytes,
}

impl Split {
    const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Whole => &[],
            Self::Lines => &["--split", "line", "--gap", "0.002"],
            // A head of eight thousand bytes has to come through before a case gives up.
            Self::Bytes => &["--split", "1", "--gap", "0.0003", "--max", "30"],
        }
    }

    /// The slowest of heads takes that long to come.
    const fn header(self) -> &'static str {
        match self {
            Self::Whole | Self::Lines => "3s",
            Self::Bytes => "30s",
        }
    }
}

/// Runs a battery on one driver; how many proxies saw a case fail.
fn run_cases(name: &str, battery: &Value, split: Split, driver: Driver) -> usize {
    let begun = gnomon::clock::now();
    let cases = battery["cases"].as_array().expect("a battery has cases");
    let proxies: Vec<_> = (0..SHARES).map(|_| Seat::take(driver, split)).collect();
    let runs: Vec<_> = proxies
        .iter()
        .enumerate()
        .map(|(index, seat)| {
            let mut share = battery.clone();
            share["cases"] = cases.iter().skip(index).step_by(SHARES).cloned().collect();
            let file = seat.proxy.folder().join("cases.json");
            fs::write(&file, share.to_string()).expect("the temporary folder can be written");
            let mut command = python("h1battery.py", seat.proxy.address(), seat.origin);
            // It takes silence for an end, which a machine that is busy elsewhere may feign once.
            command.arg("--cases").arg(&file).args(["--quiet", "--explain", "--retry"]);
            Run::start(command.args(split.arguments()), &seat.proxy.folder().join("out"))
        })
        .collect();
    let failed = runs.into_iter().filter_map(Run::finish).map(|out| say(&out)).count();
    say(&format!(
        "conformance: {name}, {} cases, {split:?}, {}: {} ({:.0} s)",
        cases.len(),
        driver.name(),
        verdict(failed),
        begun.elapsed().as_secs_f64()
    ));
    failed
}

const fn verdict(failed: usize) -> &'static str {
    if failed == 0 { "ok" } else { "FAILED" }
}

/// A proxy, and the port at which the runner will play its origin.
struct Seat {
    proxy: Running,
    origin: SocketAddr,
}

impl Seat {
    fn take(driver: Driver, split: Split) -> Self {
        let origin = free_address();
        let config = config(origin, split.header());
        Self { proxy: Running::start(driver, &config), origin }
    }
}

fn config(origin: SocketAddr, header: &str) -> String {
    format!(
        "upstream.o.versions.v1 = [\"{origin}\"]\nroute.all.to = \"o\"\n\
         timeouts = {{ header = \"{header}\", body = \"3s\", idle = \"10s\", connect = \"2s\", \
         response = \"4s\", grace = \"0s\", drain = \"0s\" }}\n"
    )
}

/// A port for a runner to listen on a little later. Not one that the kernel gives away by itself:
/// it would, to the next connection.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 5000).unwrap_or_default();
    (0..PORTS.1)
        .map(|_| PORTS.0 + (start + NEXT.fetch_add(1, SeqCst)) % PORTS.1)
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("there is a free port")
}

/// The first port to try, and how many there are; the kernel's own begin at 32768.
const PORTS: (u16, u16) = (18_000, 14_000);

fn python(script: &str, proxy: SocketAddr, origin: SocketAddr) -> Command {
    let mut command = Command::new("python3");
    command.arg(folder().join(script));
    command.args(["--proxy", &proxy.to_string(), "--upstream", &origin.to_string()]);
    command
}

/// A runner under way; what it says goes to a file.
struct Run {
    child: Child,
    out: PathBuf,
}

impl Run {
    fn start(command: &mut Command, out: &Path) -> Self {
        let file = fs::File::create(out).expect("the temporary folder can be written");
        let errors = file.try_clone().expect("there is a descriptor left");
        let child = command.stdout(file).stderr(errors).spawn().expect("python3 is there");
        Self { child, out: out.to_owned() }
    }

    /// What it said, if it failed.
    fn finish(mut self) -> Option<String> {
        let status = self.child.wait().expect("it is our child");
        let out = || fs::read_to_string(&self.out).unwrap_or_default();
        (!status.success()).then(out)
    }
}

/// Every fault on every driver, side by side, each against a process of its own, whose memory and
/// descriptors are watched.
fn run_faults() -> usize {
    let begun = gnomon::clock::now();
    let runs: Vec<_> =
        Driver::all().iter().map(|&driver| (driver, Faults::start(driver))).collect();
    let mut failed = 0;
    for (driver, run) in runs {
        let (out, is_whole) = run.finish();
        if !is_whole {
            failed += 1;
            say(&out);
        }
        let sum = out.lines().rev().find(|line| line.contains(" passed")).unwrap_or_default();
        let verdict = verdict(usize::from(!is_whole));
        let seconds = begun.elapsed().as_secs_f64();
        say(&format!("conformance: faults, {}: {verdict}: {sum} ({seconds:.0} s)", driver.name()));
    }
    failed
}

struct Faults {
    proxy: Child,
    run: Run,
    folder: PathBuf,
}

impl Faults {
    fn start(driver: Driver) -> Self {
        let name = format!("gnomon-faults-{}-{}", std::process::id(), driver.name());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let (listen, origin) = (free_address(), free_address());
        let more = format!(
            "listen = \"{listen}\"\nadmin.socket = \"{}/admin.sock\"\nlimits.connections = 20000\n\
             runtime = {{ cores = 2, pin = false, driver = \"{}\" }}\n",
            folder.display(),
            driver.name()
        );
        let file = folder.join("gnomon.toml");
        fs::write(&file, more + &config(origin, "3s")).expect("the folder can be written");
        let log = fs::File::create(folder.join("log")).expect("the folder can be written");
        let proxy = Command::new(env!("CARGO_BIN_EXE_guest"))
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("it has been built");
        let up = || std::net::TcpStream::connect(listen).is_ok();
        eventually("the proxy serves", up);
        let pid = proxy.id().to_string();
        let mut command = python("faults.py", listen, origin);
        command.args(["--pid", &pid, "--reload-cmd", &format!("kill -HUP {pid}")]);
        let run = Run::start(&mut command, &folder.join("out"));
        Self { proxy, run, folder }
    }

    /// What the runner said, and whether nothing failed.
    fn finish(mut self) -> (String, bool) {
        let status = self.run.child.wait().expect("it is our child");
        let out = fs::read_to_string(&self.run.out).unwrap_or_default();
        let is_alive = matches!(self.proxy.try_wait(), Ok(None));
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
        let _ = fs::remove_dir_all(&self.folder);
        (out, status.success() && is_alive)
    }
}

/// Proxies that share a battery's cases: enough that two cores are never idle for long.
const SHARES: usize = 12;
