//! The proxy as a process of its own, which can be measured, starved, and looked into.

use std::{
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use e2e::{Client, Driver, eventually};
use gnomon::control::{api::Shadow, ctl};

/// A proxy that serves on a unix socket in a folder of its own. Killed when dropped.
pub(super) struct Guest {
    child: Child,
    folder: PathBuf,
    way: Vec<String>,
    doors: String,
}

impl Guest {
    /// Starts one; `{folder}` in the configuration is its folder.
    pub(super) fn start(config: &str) -> Self {
        Self::start_by(&[], config)
    }

    /// The same by way of other programs, each of which runs the rest of its arguments.
    pub(super) fn start_by(way: &[&str], config: &str) -> Self {
        Self::launched(way, "auto", config)
    }

    /// The same on a driver.
    pub(super) fn start_on(driver: Driver, way: &[&str], config: &str) -> Self {
        Self::launched(way, driver.name(), config)
    }

    fn launched(way: &[&str], driver: &str, config: &str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("gnomon-guest-{}-{}", std::process::id(), NEXT.fetch_add(1, SeqCst));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let file = folder.join("gnomon.toml");
        let doors = doors(&folder, driver, config);
        write(&folder, &doors, config);
        let way: Vec<String> = way.iter().map(|&it| it.to_owned()).collect();
        let started = Self { child: launch(&way, &file), folder, way, doors };
        eventually("it serves", || started.is_ready());
        started
    }

    /// Gives it another configuration, and has it reload.
    pub(super) fn configure(&self, config: &str) {
        write(&self.folder, &self.doors, config);
        let (status, text) = self.call("POST", "/v1/reload");
        assert_eq!(status, 200, "{text}");
    }

    /// Ends it with SIGKILL: it has no time for anything.
    pub(super) fn kill(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
    }

    /// Waits until it has ended by itself.
    pub(super) fn await_end(&mut self) -> ExitStatus {
        let mut ended = None;
        eventually("it ends", || {
            ended = self.child.try_wait().expect("it is ours");
            ended.is_some()
        });
        ended.expect("it has")
    }

    /// Starts it again, in the same folder.
    pub(super) fn revive(&mut self) {
        self.child = launch(&self.way, &self.folder.join("gnomon.toml"));
        eventually("it serves again", || {
            let ended = self.child.try_wait().expect("it is ours");
            assert_eq!(ended, None, "it does not start");
            self.is_ready()
        });
    }

    fn is_ready(&self) -> bool {
        let socket = self.folder.join("admin.sock");
        let answer = UnixStream::connect(&socket)
            .is_ok()
            .then(|| ctl::call(&socket, "GET", "/v1/status", b""));
        matches!(answer, Some(Ok((200, _))))
    }

    /// Where clients connect.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join("p.sock")
    }

    /// A connection of a client.
    pub(super) fn connect(&self) -> Client {
        Client::connect_unix(&self.socket())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The part of its configuration that every guest has: where it serves, and how.
    pub(super) fn doors(&self) -> &str {
        &self.doors
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What a GET of the admin API answers.
    pub(super) fn get(&self, path: &str) -> (u16, String) {
        self.call("GET", path)
    }

    /// What the admin API answers to a request without a body.
    pub(super) fn call(&self, method: &str, path: &str) -> (u16, String) {
        let socket = self.folder.join("admin.sock");
        let (status, text) = ctl::call(&socket, method, path, b"").expect("the API answers");
        (status, String::from_utf8_lossy(&text).into_owned())
    }

    /// Its first shadow.
    pub(super) fn books(&self) -> Shadow {
        let (_, text) = self.get("/v1/shadows");
        let shadows: Vec<Shadow> = serde_json::from_str(&text).expect("it is what the API says");
        shadows.into_iter().next().expect("there is one")
    }

    /// How many files it has open.
    pub(super) fn files(&self) -> usize {
        let folder = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        folder.map_or(0, |files| files.count())
    }

    /// The most memory that it has had so far, in KiB.
    pub(super) fn peak(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).expect("it runs");
        let line = text.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux says so");
        line.split_whitespace().nth(1).and_then(|peak| peak.parse().ok()).expect("a number")
    }
}

/// Whether this user may have a file system of its own; says so if not.
pub(super) fn may_unshare() -> bool {
    let may = Command::new("unshare").args(["-rm", "true"]).stderr(Stdio::null()).status();
    let may = may.is_ok_and(|status| status.success());
    if !may {
        #[expect(clippy::print_stderr, reason = "a test does not run")]
        {
            eprintln!("skipped: `unshare -rm` is not allowed here");
        }
    }
    may
}

/// The lines of a guest's configuration that say where it is reached, and on what it runs.
fn doors(folder: &Path, driver: &str, config: &str) -> String {
    let mut doors = "listen = \"unix:{folder}/p.sock\"\nadmin.socket = \"{folder}/admin.sock\"\n\
                     state.dir = \"{folder}/state\"\nruntime.pin = false\nruntime.entries = 256\n"
        .to_owned();
    for (key, usual) in [("cores", "1"), ("driver", &format!("\"{driver}\""))] {
        if !config.contains(&format!("runtime.{key}")) {
            doors += &format!("runtime.{key} = {usual}\n");
        }
    }
    doors.replace("{folder}", &folder.to_string_lossy())
}

fn write(folder: &Path, doors: &str, config: &str) {
    let config = config.replace("{folder}", &folder.to_string_lossy());
    let written = std::fs::write(folder.join("gnomon.toml"), format!("{doors}{config}"));
    written.expect("it can be written");
}

/// A process by way of other programs, each of which runs the rest of its arguments.
fn launch(way: &[String], file: &Path) -> Child {
    let guest = env!("CARGO_BIN_EXE_guest").to_owned();
    let all: Vec<&String> = way.iter().chain([&guest]).collect();
    let (program, rest) = all.split_first().expect("it has one");
    Command::new(program)
        .args(rest)
        .arg(file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it is built")
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It may be gone already; what stays is in the temporary folder.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
