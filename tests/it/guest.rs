//! The proxy as a process of its own, which can be measured, starved, and looked into.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use e2e::{Client, eventually};
use gnomon::control::{api::Shadow, ctl};

/// A proxy that serves on a unix socket in a folder of its own. Killed when dropped.
pub(super) struct Guest {
    child: Child,
    folder: PathBuf,
}

impl Guest {
    /// Starts one; `{folder}` in the configuration is its folder.
    pub(super) fn start(config: &str) -> Self {
        Self::start_by(&[], config)
    }

    /// The same by way of other programs, each of which runs the rest of its arguments.
    pub(super) fn start_by(way: &[&str], config: &str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("gnomon-guest-{}-{}", std::process::id(), NEXT.fetch_add(1, SeqCst));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let file = folder.join("gnomon.toml");
        let doors = "listen = \"unix:{folder}/p.sock\"\nadmin.socket = \"{folder}/admin.sock\"\n\
                     state.dir = \"{folder}/state\"\n\
                     runtime = { cores = 1, pin = false, entries = 256 }\n";
        let config = format!("{doors}{config}").replace("{folder}", &folder.to_string_lossy());
        std::fs::write(&file, config).expect("it can be written");
        let all: Vec<&str> = way.iter().copied().chain([env!("CARGO_BIN_EXE_guest")]).collect();
        let (program, rest) = all.split_first().expect("it has one");
        let child = Command::new(program)
            .args(rest)
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it is built");
        let started = Self { child, folder };
        let socket = started.socket();
        eventually("it serves", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
        started
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

    /// What a GET of the admin API answers.
    pub(super) fn get(&self, path: &str) -> (u16, String) {
        let socket = self.folder.join("admin.sock");
        let (status, text) = ctl::call(&socket, "GET", path, b"").expect("the API answers");
        (status, String::from_utf8_lossy(&text).into_owned())
    }

    /// Its first shadow.
    pub(super) fn books(&self) -> Shadow {
        let (_, text) = self.get("/v1/shadows");
        let shadows: Vec<Shadow> = serde_json::from_str(&text).expect("it is what the API says");
        shadows.into_iter().next().expect("there is one")
    }

    /// The most memory that it has had so far, in KiB.
    pub(super) fn peak(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).expect("it runs");
        let line = text.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux says so");
        line.split_whitespace().nth(1).and_then(|peak| peak.parse().ok()).expect("a number")
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It may be gone already; what stays is in the temporary folder.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
