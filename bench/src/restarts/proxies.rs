//! How each proxy is started, reloaded, replaced by a new process, and killed.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::{fd::AsRawFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    process,
    template::{self, Values},
};

/// A proxy that this harness can restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ours.
    Gnomon,
    /// By HUP; USR2 and QUIT.
    Nginx,
    /// In master-worker mode by USR2; by a new process with `-x` and `-sf`.
    Haproxy,
}

/// What happens to a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It reads its configuration anew.
    Reload,
    /// Another process of the same program takes its place.
    Upgrade,
    /// All its processes are killed, and it is started again at once.
    Kill,
    /// The same, while whoever starts it holds its listening sockets and hands them on.
    KillHeld,
}

impl Event {
    /// As it is called in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Upgrade => "upgrade",
            Self::Kill => "kill -9",
            Self::KillHeld => "kill -9, sockets held",
        }
    }
}

/// Where a proxy is and what it works on.
#[derive(Debug)]
pub struct Site {
    /// Which proxy.
    pub kind: Kind,
    /// Its program.
    pub program: PathBuf,
    /// The templates.
    pub templates: PathBuf,
    /// A folder for its files.
    pub dir: PathBuf,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where the origin listens.
    pub upstream: SocketAddr,
    /// Its listening sockets, where it does not open them itself.
    pub held: Vec<std::net::TcpListener>,
}

/// A proxy that runs. Dropping it kills all its processes.
#[derive(Debug)]
pub struct Proxy<'a> {
    site: &'a Site,
    event: Event,
    generation: u32,
    children: Vec<Child>,
    /// The process that signals go to.
    main: u32,
}

impl<'a> Proxy<'a> {
    /// Starts it, in the way that `event` needs, and waits until it answers.
    ///
    /// # Errors
    /// A sentence on why it does not.
    pub fn start(site: &'a Site, event: Event) -> Result<Self, String> {
        let mut proxy = Self { site, event, generation: 0, children: Vec::new(), main: 0 };
        let command = proxy.command()?;
        proxy.spawn(command)?;
        proxy.await_answer()?;
        if (site.kind, event) == (Kind::Nginx, Event::Upgrade) {
            proxy.main = proxy.nginx_pid().ok_or("nginx has written no pid file")?;
        }
        Ok(proxy)
    }

    /// Has `event` happen, and waits until it is over.
    ///
    /// # Errors
    /// A sentence on what did not happen.
    pub fn undergo(&mut self) -> Result<(), String> {
        self.generation += 1;
        match (self.event, self.site.kind) {
            (Event::Kill | Event::KillHeld, _) => self.kill_and_start(),
            (Event::Reload, Kind::Gnomon) => self.configure().and_then(|_| self.post("reload")),
            (Event::Upgrade, Kind::Gnomon) => self.upgrade_ours(),
            (Event::Reload, Kind::Nginx) => self.reload_with(Signal::HUP),
            (Event::Reload, Kind::Haproxy) => self.reload_with(Signal::USR2),
            (Event::Upgrade, Kind::Nginx) => self.upgrade_nginx(),
            (Event::Upgrade, Kind::Haproxy) => self.upgrade_haproxy(),
        }
    }

    fn configure(&self) -> Result<PathBuf, String> {
        let Site { templates, dir, listen, upstream, kind, .. } = self.site;
        let name = match kind {
            Kind::Gnomon => "restarts/gnomon.toml",
            Kind::Nginx => "restarts/nginx.conf",
            Kind::Haproxy => "restarts/haproxy.cfg",
        };
        let values = Values {
            dir,
            listen: *listen,
            upstream: *upstream,
            shadow: *upstream,
            core: 0,
            size: 1,
            generation: self.generation,
        };
        template::write(&templates.join(name), templates, &values)
    }

    fn command(&self) -> Result<Command, String> {
        let config = self.configure()?;
        let Site { program, held, .. } = self.site;
        if !held.is_empty() {
            return Ok(self.holding(&config));
        }
        let mut command = Command::new(program);
        match (self.site.kind, self.event) {
            (Kind::Gnomon, _) => command.args(["run", "-c"]).arg(config),
            (Kind::Nginx, event) => {
                // One that stays in the foreground takes no USR2.
                let daemon = if event == Event::Upgrade { "daemon on;" } else { "daemon off;" };
                command.args(["-e", "stderr", "-g", daemon, "-c"]).arg(config)
            }
            (Kind::Haproxy, Event::Upgrade) => command.args(["-db", "-f"]).arg(config),
            (Kind::Haproxy, _) => command.args(["-W", "-f"]).arg(config),
        };
        Ok(command)
    }

    /// Hands the held sockets on as systemd does: from descriptor 3, with their number and the
    /// process's own, which only the process itself can say.
    fn holding(&self, config: &Path) -> Command {
        let places = self.site.held.iter().enumerate();
        let moves = places.map(|(index, held)| format!("{}<&{}", index + 3, held.as_raw_fd()));
        let moves: Vec<String> = moves.collect();
        let script = format!(
            "exec {}; LISTEN_PID=$$ LISTEN_FDS={} exec \"$0\" run -c \"$1\"",
            moves.join(" "),
            moves.len()
        );
        let mut command = Command::new("bash");
        command.arg("-c").arg(script).arg(&self.site.program).arg(config);
        command
    }

    fn spawn(&mut self, mut command: Command) -> Result<(), String> {
        let log = fs::File::options().create(true).append(true).open(self.site.dir.join("log"));
        let log = log.map_err(|error| error.to_string())?;
        let out = log.try_clone().map_err(|error| error.to_string())?;
        command.stdin(Stdio::null()).stdout(out).stderr(log).current_dir(&self.site.dir);
        let child = command
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", self.site.program.display()))?;
        self.main = child.id();
        self.children.push(child);
        Ok(())
    }

    fn await_answer(&self) -> Result<(), String> {
        until("the proxy answers", || {
            let Ok(mut stream) = TcpStream::connect_timeout(&self.site.listen, LOOK * 10) else {
                return false;
            };
            let asked = stream.set_read_timeout(Some(LOOK * 50)).and_then(|()| {
                stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            });
            let mut answer = [0; 12];
            asked.and_then(|()| stream.read_exact(&mut answer)).is_ok() && answer.ends_with(b"200")
        })
    }

    /// `POST /v1/WHAT`, which answers when it is done.
    fn post(&self, what: &str) -> Result<(), String> {
        let path = self.site.dir.join("admin.sock");
        let said = UnixStream::connect(&path).and_then(|mut socket| {
            socket.set_read_timeout(Some(PATIENCE))?;
            let head = format!(
                "POST /v1/{what} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
                 content-length: 2\r\nconnection: close\r\n\r\n{{}}"
            );
            socket.write_all(head.as_bytes())?;
            let mut said = String::new();
            // The old process may be gone before it has closed in order.
            let _ = socket.read_to_string(&mut said);
            Ok(said)
        });
        match said {
            Ok(said) if said.starts_with("HTTP/1.1 200 ") => Ok(()),
            Ok(said) => Err(format!("/v1/{what}: {said}")),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    fn upgrade_ours(&mut self) -> Result<(), String> {
        let before = self.main;
        self.post("upgrade")?;
        until("the old process ends", || !is_alive(before))?;
        // The kernel's list of children is not exact while one of them ends.
        let heir = || serving(&self.site.program).into_iter().find(|pid| *pid != before);
        let mut found = None;
        until("there is a new process", || {
            found = heir();
            found.is_some()
        })?;
        self.main = found.unwrap_or(before);
        Ok(())
    }

    /// Signals the main process, and waits for a new worker.
    fn reload_with(&self, signal: Signal) -> Result<(), String> {
        self.configure()?;
        let before = process::tree(self.main);
        send(self.main, signal);
        until("there is a new worker", || {
            process::tree(self.main).iter().any(|pid| !before.contains(pid))
        })
    }

    fn upgrade_nginx(&mut self) -> Result<(), String> {
        let before = self.main;
        send(before, Signal::USR2);
        until("there is a new master", || self.nginx_pid().is_some_and(|pid| pid != before))?;
        self.main = self.nginx_pid().unwrap_or(before);
        until("it has workers", || process::tree(self.main).len() > 1)?;
        send(before, Signal::QUIT);
        until("the old master ends", || !is_alive(before))
    }

    fn nginx_pid(&self) -> Option<u32> {
        fs::read_to_string(self.site.dir.join("nginx.pid")).ok()?.trim().parse().ok()
    }

    fn upgrade_haproxy(&mut self) -> Result<(), String> {
        let before = self.main;
        let config = self.configure()?;
        let mut command = Command::new(&self.site.program);
        command.args(["-db", "-f"]).arg(config).arg("-x").arg(self.site.dir.join("stats.sock"));
        command.arg("-sf").arg(before.to_string());
        self.spawn(command)?;
        until("the old process ends", || {
            self.children.iter_mut().for_each(|child| drop(child.try_wait()));
            !is_alive(before)
        })
    }

    fn kill_and_start(&mut self) -> Result<(), String> {
        self.kill_all();
        let command = self.command()?;
        self.spawn(command)?;
        self.await_answer()
    }

    fn kill_all(&mut self) {
        for pid in process::tree(self.main) {
            send(pid, Signal::KILL);
        }
        for mut child in self.children.drain(..) {
            // Children that have been replaced have ended by themselves.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Proxy<'_> {
    fn drop(&mut self) {
        self.kill_all();
    }
}

fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may be gone already.
        let _ = kill_process(pid, signal);
    }
}

/// Whether a process runs; one that only waits to be reaped does not.
fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

/// Descendants of ours that run `program`: those whose parents have ended are ours too.
fn serving(program: &Path) -> Vec<u32> {
    let all = process::tree(std::process::id()).into_iter();
    let program = fs::canonicalize(program).unwrap_or_default();
    all.filter(|pid| is_alive(*pid))
        .filter(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program))
        .collect()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<(), String> {
    let begun = Instant::now();
    while !is_so() {
        if begun.elapsed() > PATIENCE {
            return Err(format!("in vain: {what}"));
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

const LOOK: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(30);
