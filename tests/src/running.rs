//! A proxy in this process, started for one test and stopped at its end.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use gnomon::{
    boot::{self, Load, Options, Report, Signals, Stop},
    control::{
        api::{Done, Refused, Status},
        ctl,
    },
};

use crate::Client;

/// How a proxy asks the kernel for IO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// By completions.
    IoUring,
    /// By readiness.
    Epoll,
}

impl Driver {
    /// As the configuration calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        }
    }

    /// The drivers that this kernel has; says so once if one is missing.
    #[must_use]
    pub fn all() -> &'static [Self] {
        static ALL: OnceLock<Vec<Driver>> = OnceLock::new();
        ALL.get_or_init(|| {
            let proxy = Running::try_start(Self::IoUring, "route.all.respond.status = 204");
            if let Err(why) = proxy {
                #[expect(clippy::print_stderr, reason = "half of the tests do not run")]
                {
                    eprintln!("only epoll is tested: {why}");
                }
                return vec![Self::Epoll];
            }
            vec![Self::IoUring, Self::Epoll]
        })
    }
}

/// Runs a test on every driver of this kernel, side by side.
///
/// # Panics
/// If the test does, on either.
#[track_caller]
pub fn on_each_driver(test: impl Fn(Driver) + Sync) {
    thread::scope(|scope| {
        let test = &test;
        let runs: Vec<_> = Driver::all()
            .iter()
            .map(|&driver| {
                let name = format!("on {}", driver.name());
                let run =
                    thread::Builder::new().name(name).spawn_scoped(scope, move || test(driver));
                (driver, run.expect("there is room for a thread"))
            })
            .collect();
        let failed: Vec<_> = runs
            .into_iter()
            .filter_map(|(driver, run)| run.join().is_err().then_some(driver.name()))
            .collect();
        assert!(failed.is_empty(), "fails on {}; see above", failed.join(" and on "));
    });
}

/// A proxy, its configuration and its folder.
#[derive(Debug)]
pub struct Running {
    running: Option<boot::Running>,
    file: PathBuf,
    folder: PathBuf,
}

#[expect(clippy::missing_panics_doc, reason = "a proxy that does not start is a failed test")]
impl Running {
    /// Starts a proxy on this driver with these lines of configuration. It listens on a free port
    /// unless they say where; what else a test needs is set unless they set it.
    #[track_caller]
    #[must_use]
    pub fn start(driver: Driver, config: &str) -> Self {
        Self::try_start(driver, config).unwrap_or_else(|refused| panic!("{refused}"))
    }

    /// The same, or why not.
    ///
    /// # Errors
    /// What the proxy says.
    pub fn try_start(driver: Driver, config: &str) -> Result<Self, Refused> {
        let folder = folder();
        let file = folder.join("gnomon.toml");
        write(&file, config, &folder);
        let (read, base) = (file.clone(), folder.clone());
        let load: Load = Arc::new(move || {
            let text = std::fs::read_to_string(&read).unwrap_or_default();
            assert!(!text.contains("# the reader panics"), "as the test wants it");
            let sets = sets(driver, &text, &base);
            let options =
                gnomon_config::Options { sets: &sets, ..gnomon_config::Options::default() };
            gnomon_config::load(&read, &options)
        });
        let running = boot::start(Options { load, signals: Signals::Ignored, log: None });
        let running = running.inspect_err(|_| {
            // What stays is in the temporary folder.
            let _ = std::fs::remove_dir_all(&folder);
        })?;
        Ok(Self { running: Some(running), file, folder })
    }

    /// A folder of its own.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where its first listener is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        let addresses = self.inner().addresses();
        addresses.first().expect("it listens over TCP").1
    }

    /// Where a listener is.
    #[must_use]
    pub fn address_of(&self, listener: &str) -> SocketAddr {
        let addresses = self.inner().addresses();
        addresses.iter().find(|(name, _)| **name == *listener).expect("there is such a one").1
    }

    /// Where applications ask for flags.
    ///
    /// # Panics
    /// If they cannot.
    #[track_caller]
    #[must_use]
    pub fn ofrep(&self) -> SocketAddr {
        *self.inner().ofrep_addresses().first().expect("they have an address")
    }

    /// Where its admin API answers over TCP.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.inner().admin_address().expect("it has an address")
    }

    /// A new connection to its first listener.
    #[track_caller]
    #[must_use]
    pub fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// One request on a connection of its own.
    #[track_caller]
    #[must_use]
    pub fn ask(&self, request: impl AsRef<[u8]>) -> crate::Reply {
        self.connect().ask(request)
    }

    /// The body that `GET path` is answered with.
    #[track_caller]
    #[must_use]
    pub fn get(&self, path: &str) -> String {
        self.ask(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).text()
    }

    /// The status that `GET path` is answered with.
    #[track_caller]
    #[must_use]
    pub fn status_of(&self, path: &str) -> u16 {
        self.ask(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).status()
    }

    /// What `GET /v1/status` says.
    #[must_use]
    pub fn status(&self) -> Status {
        self.inner().status()
    }

    /// What the cores go by now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<gnomon::snapshot::Snapshot> {
        self.inner().shared().publisher.current()
    }

    /// The sum of one number over all cores.
    #[must_use]
    pub fn sum(&self, of: impl Fn(&gnomon::control::api::CoreStatus) -> u64) -> u64 {
        self.status().cores.iter().map(of).sum()
    }

    /// Changes the text of the configuration; the next reload reads it.
    #[track_caller]
    pub fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.file).expect("it is there");
        assert!(text.contains(from), "{from:?} is not in the configuration");
        self.write(&text.replace(from, to));
    }

    /// Replaces the whole text; the next reload reads it.
    pub fn write(&self, config: &str) {
        write(&self.file, config, &self.folder);
    }

    /// Reloads.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub fn reload(&self) -> Result<Done, Refused> {
        self.inner().reload()
    }

    /// Has the keys of session tickets rotate as if they were older by so many seconds.
    pub fn age_tickets(&self, seconds: u64) {
        self.inner().rotate_tickets(gnomon::clock::wall().as_secs() + seconds);
    }

    /// A POST to the admin API that succeeds.
    #[track_caller]
    pub fn act(&self, path: &str, body: &str) -> Done {
        let (status, answer) = self.call("POST", path, body);
        assert_eq!(status, 200, "{path} {body}: {answer}");
        serde_json::from_str(&answer).expect("it is what the API says")
    }

    /// Any request to the admin API: the status and the body.
    #[track_caller]
    #[must_use]
    pub fn call(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let socket = self.inner().admin_socket();
        let (status, answer) =
            ctl::call(&socket, method, path, body.as_bytes()).expect("the API answers");
        (status, String::from_utf8_lossy(&answer).into_owned())
    }

    /// Asks for a stop, and does not wait for it.
    pub fn ask_stop(&self, stop: Stop) {
        self.inner().ask_stop(stop);
    }

    /// Stops as configured and waits for it.
    pub fn stop(mut self) -> Report {
        self.check_panics();
        self.running.take().expect("it runs until then").stop()
    }

    /// Waits for a stop that was asked for.
    pub fn wait(mut self) -> Report {
        self.running.take().expect("it runs until then").wait()
    }

    fn inner(&self) -> &boot::Running {
        self.running.as_ref().expect("it runs until it is taken")
    }

    fn check_panics(&self) {
        assert_eq!(self.sum(|core| core.panics), 0, "connections have panicked");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.running.is_some() && !thread::panicking() {
            self.check_panics();
        }
        if let Some(running) = self.running.take() {
            running.ask_stop(Stop::Now);
            let _ = running.wait();
        }
        // What stays is in the temporary folder.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What a test proxy needs, unless its text says otherwise.
fn sets(driver: Driver, text: &str, folder: &Path) -> Vec<(String, String)> {
    let socket = format!("\"{}/admin.sock\"", folder.display());
    let state = format!("\"{}/state\"", folder.display());
    let driver = format!("\"{}\"", driver.name());
    let all = [
        ("listen", "\"127.0.0.1:0\"", !text.contains("listen")),
        ("admin.socket", &socket, !text.contains("admin.socket")),
        ("state.dir", &state, !text.contains("state.dir")),
        ("runtime.cores", "1", !text.contains("runtime.cores")),
        ("runtime.pin", "false", true),
        ("runtime.entries", "256", true),
        ("runtime.driver", &driver, true),
        ("timeouts.grace", "\"0s\"", !text.contains("grace")),
        ("timeouts.drain", "\"5s\"", !text.contains("drain =")),
    ];
    let wanted = all.into_iter().filter(|(_, _, wanted)| *wanted);
    wanted.map(|(key, value, _)| (key.to_owned(), value.to_owned())).collect()
}

/// A new folder. Short, since a socket's path has at most 107 bytes.
fn folder() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, SeqCst);
    let folder = std::env::temp_dir().join(format!("gnomon-e2e-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
    folder
}

fn write(file: &Path, config: &str, folder: &Path) {
    let config = config.replace("{folder}", &folder.to_string_lossy());
    std::fs::write(file, config).expect("the temporary folder can be written");
}
