//! A proxy in processes of its own, one after the other: each hands over to the next.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use e2e::{Client, Door, Driver, eventually, exposition};
use gnomon::control::{
    api::{Done, Refused, Status},
    ctl,
};
use rustix::process::{Pid, Signal, kill_process};

/// A dynasty of proxies in a folder of its own. Whoever lives is killed when this is dropped.
pub(super) struct Heirs {
    child: Child,
    folder: PathBuf,
    seen: Vec<u32>,
}

impl Heirs {
    /// Starts the first; `{folder}` in the configuration is its folder. It listens on a port of its
    /// own and on `p.sock`.
    pub(super) fn start(driver: Driver, config: &str) -> Self {
        let folder = folder();
        let program = folder.join("gnomon");
        let guest = env!("CARGO_BIN_EXE_guest");
        // A file of its own, that can be replaced.
        let linked = std::fs::hard_link(guest, &program);
        linked.or_else(|_| std::fs::copy(guest, &program).map(drop)).expect("it is built");
        write(&folder, driver, config);
        let child = run(&mut command(&folder));
        let mut started = Self { child, folder, seen: Vec::new() };
        eventually("it serves", || started.try_status().is_some());
        started.note();
        started
    }

    /// Changes the configuration that the next one reads.
    pub(super) fn write(&self, driver: Driver, config: &str) {
        write(&self.folder, driver, config);
    }

    /// Puts another program where this one lies.
    pub(super) fn replace(&self, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let new = self.folder.join("new");
        std::fs::write(&new, script).expect("it can be written");
        let rights = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&new, rights).expect("it is ours");
        std::fs::rename(&new, self.folder.join("gnomon")).expect("it is ours");
    }

    /// Has it hand over; what the command line says, and its exit code.
    pub(super) fn upgrade(&mut self) -> (i32, String) {
        let socket = self.folder.join("admin.sock");
        let told = Command::new(env!("CARGO_BIN_EXE_guest"))
            .args(["upgrade", "--socket"])
            .arg(socket)
            .output()
            .expect("it is built");
        self.note();
        let text = [told.stdout, told.stderr].concat();
        (told.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
    }

    /// The same, well: waits until the old one has ended, unless it is to go on.
    #[track_caller]
    pub(super) fn upgrade_well(&mut self) {
        let before = self.pid();
        let (code, text) = self.upgrade();
        assert_eq!(code, 0, "{text}");
        assert_ne!(self.pid(), before, "{text}");
    }

    /// Waits until nobody but the newest is left.
    #[track_caller]
    pub(super) fn settle(&mut self) {
        eventually("the old one has ended", || self.status().succession.before.is_none());
        let newest = self.pid();
        let old: Vec<u32> = self.seen.iter().copied().filter(|pid| *pid != newest).collect();
        for pid in old {
            eventually("its process is gone", || !self.lives(pid));
        }
    }

    /// Whether a process of ours lives.
    pub(super) fn lives(&mut self, pid: u32) -> bool {
        if pid == self.child.id() {
            return self.child.try_wait().expect("it is ours").is_none();
        }
        // One whose parent is gone may stay as a zombie where nobody is there to bury it.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    }

    /// How the first one ended.
    #[track_caller]
    pub(super) fn first_exit(&mut self) -> Option<i32> {
        self.child.wait().expect("it is ours").code()
    }

    fn note(&mut self) {
        let pid = self.pid();
        if !self.seen.contains(&pid) {
            self.seen.push(pid);
        }
    }

    fn try_status(&self) -> Option<Status> {
        let socket = self.folder.join("admin.sock");
        let (_, text) = ctl::call(&socket, "GET", "/v1/status", b"").ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// What the newest one says of itself.
    #[track_caller]
    pub(super) fn status(&self) -> Status {
        self.try_status().expect("somebody answers")
    }

    /// Who answers.
    #[track_caller]
    pub(super) fn pid(&self) -> u32 {
        self.status().pid
    }

    /// The children of a process.
    pub(super) fn children(pid: u32) -> Vec<u32> {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let listed =
            tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        listed
            .flat_map(|list| {
                list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()
            })
            .collect()
    }

    /// SIGKILL.
    pub(super) fn kill(pid: u32) {
        signal(pid, Signal::KILL);
    }

    /// SIGTERM.
    pub(super) fn kill_softly(pid: u32) {
        signal(pid, Signal::TERM);
    }

    /// Any signal, to whoever answers.
    pub(super) fn signal(&self, signal_: Signal) {
        signal(self.pid(), signal_);
    }

    /// Where it listens over TCP.
    pub(super) fn address(&self) -> SocketAddr {
        let listeners = self.status().listeners;
        let mut addresses = listeners.iter().filter_map(|it| it.address.parse().ok());
        addresses.next().expect("it listens over TCP")
    }

    pub(super) fn door(&self) -> Door {
        Door::Tcp(self.address())
    }

    pub(super) fn unix_door(&self) -> Door {
        Door::Unix(self.folder.join("p.sock"))
    }

    pub(super) fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the admin API answers.
    pub(super) fn call(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let socket = self.folder.join("admin.sock");
        let (status, text) =
            ctl::call(&socket, method, path, body.as_bytes()).expect("the API answers");
        (status, String::from_utf8_lossy(&text).into_owned())
    }

    /// A POST that succeeds.
    #[track_caller]
    pub(super) fn act(&self, path: &str, body: &str) -> Done {
        let (status, text) = self.call("POST", path, body);
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).expect("it is what the API says")
    }

    /// Asks for an upgrade over the API: why there was none.
    #[track_caller]
    pub(super) fn refused(&self) -> Refused {
        let (status, text) = self.call("POST", "/v1/upgrade", "{}");
        assert_ne!(status, 200, "{text}");
        serde_json::from_str(&text).expect("it is what the API says")
    }

    /// The sum of a metric.
    pub(super) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        exposition::parse(&self.call("GET", "/metrics", "").1, false).sum(name, labels)
    }
}

impl Drop for Heirs {
    fn drop(&mut self) {
        // They may be gone already; what stays is in the temporary folder.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // An heir may have started one that nobody has seen yet.
        for _ in 0..GENERATIONS {
            let living = living(&self.folder);
            living.iter().for_each(|&pid| signal(pid, Signal::KILL));
            if living.is_empty() {
                break;
            }
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Looks for those that live: each may start one more between two.
const GENERATIONS: usize = 8;

/// Processes whose program lies in this folder.
fn living(folder: &Path) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let program = std::fs::read_link(format!("/proc/{pid}/exe"));
        program.is_ok_and(|program| program.starts_with(folder))
    })
    .collect()
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process has a number");
    let _ = kill_process(pid, signal);
}

/// A folder of its own. Short, since a socket's path has at most 107 bytes.
pub(super) fn folder() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("gnomon-heirs-{}-{}", std::process::id(), NEXT.fetch_add(1, SeqCst));
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
    folder
}

/// How the program in a folder is started.
pub(super) fn command(folder: &Path) -> Command {
    let mut command = Command::new(folder.join("gnomon"));
    command.arg(folder.join("gnomon.toml"));
    command
}

/// Starts it, silently.
pub(super) fn run(command: &mut Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it is built")
}

/// Writes its configuration.
pub(super) fn write(folder: &Path, driver: Driver, config: &str) {
    let cores = if config.contains("cores =") { "" } else { "runtime.cores = 2\n" };
    let listen = "listen = [\"127.0.0.1:0\", \"unix:{folder}/p.sock\"]\n";
    let listen = if config.lines().any(|line| line.starts_with("listen = ")) { "" } else { listen };
    let grace = if config.contains("grace") { "" } else { "timeouts.grace = \"0s\"\n" };
    let drain = if config.contains("drain =") { "" } else { "timeouts.drain = \"20s\"\n" };
    let driver = driver.name();
    let doors = format!(
        "{listen}admin.socket = \"{{folder}}/admin.sock\"\nstate.dir = \"{{folder}}/state\"\n\
         log.to = \"{{folder}}/log\"\n\
         runtime.driver = \"{driver}\"\nruntime.pin = false\nruntime.entries = 256\n{cores}{grace}{drain}"
    );
    let config = format!("{doors}{config}").replace("{folder}", &folder.to_string_lossy());
    std::fs::write(folder.join("gnomon.toml"), config).expect("it can be written");
}
