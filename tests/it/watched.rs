//! A supervisor as systemd is one: it is told, keeps sockets, and starts anew whoever dies.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net::UnixDatagram,
    },
    path::PathBuf,
    process::{Child, Command},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use e2e::{Client, Door, Driver, Origin, eventually, on_each_driver, spawn};
use gnomon_sys::passing;
use rustix::process::{Pid, Signal, kill_process};

use super::{
    GET,
    heirs::{Heirs, folder, run, write},
    to,
};

/// What it was told and was given.
#[derive(Debug, Default)]
struct Told {
    lines: Vec<String>,
    kept: BTreeMap<String, OwnedFd>,
    main: Option<u32>,
}

struct Supervisor {
    folder: PathBuf,
    told: Arc<Mutex<Told>>,
    over: Arc<AtomicBool>,
    child: Child,
}

impl Supervisor {
    fn start(driver: Driver, config: &str, given: Vec<(String, OwnedFd)>) -> Self {
        let folder = folder();
        let program = folder.join("gnomon");
        let guest = env!("CARGO_BIN_EXE_guest");
        let linked = std::fs::hard_link(guest, &program);
        linked.or_else(|_| std::fs::copy(guest, &program).map(drop)).expect("it is built");
        write(&folder, driver, config);
        let ear = UnixDatagram::bind(folder.join("notify")).expect("the folder is ours");
        ear.set_read_timeout(Some(Duration::from_millis(20))).expect("it is open");
        let (told, over) = (Arc::<Mutex<Told>>::default(), Arc::<AtomicBool>::default());
        drop(spawn("supervisor", {
            let (told, over) = (told.clone(), over.clone());
            move || listen(&ear, &told, &over)
        }));
        let child = Self::launch(&folder, &given);
        drop(given);
        let started = Self { folder, told, over, child };
        started.hears("READY=1");
        started
    }

    /// Starts the program with these descriptors from number 3 on, as systemd does. Only a shell
    /// knows its own number before the program begins.
    fn launch(folder: &std::path::Path, given: &[(String, OwnedFd)]) -> Child {
        let (mut script, mut lent) = (String::new(), Vec::new());
        for (place, (_, fd)) in given.iter().enumerate() {
            // Beyond all numbers that are wanted, so that none is overwritten before it is used.
            let high = rustix::io::fcntl_dupfd_cloexec(fd, 200).expect("there is room");
            let flags = rustix::io::FdFlags::empty();
            rustix::io::fcntl_setfd(&high, flags).expect("it is open");
            script +=
                &format!("exec {}<&{} {}<&-; ", place + 3, high.as_raw_fd(), high.as_raw_fd());
            // The shell closes its own; ours is closed once it has it.
            lent.push(high);
        }
        let names: Vec<&str> = given.iter().map(|(name, _)| &**name).collect();
        script += "export LISTEN_PID=$$ WATCHDOG_PID=$$; exec \"$0\" \"$1\"";
        let mut command = Command::new("bash");
        command.args(["-c", &script]).arg(folder.join("gnomon")).arg(folder.join("gnomon.toml"));
        command.env("NOTIFY_SOCKET", folder.join("notify")).env("WATCHDOG_USEC", "600000");
        command.env("LISTEN_FDS", given.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        run(&mut command)
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[track_caller]
    fn hears(&self, line: &str) {
        eventually(line, || self.told().lines.iter().any(|known| known == line));
    }

    fn forget(&self) {
        self.told().lines.clear();
    }

    /// Kills it and starts it anew, with what it was given to keep.
    fn restart(&mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it is ours");
        self.forget();
        let given: Vec<(String, OwnedFd)> = {
            let told = self.told();
            let kept = told.kept.iter();
            kept.map(|(name, fd)| (name.clone(), fd.try_clone().expect("there is room"))).collect()
        };
        self.child = Self::launch(&self.folder, &given);
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.over.store(true, SeqCst);
        let _ = self.child.kill();
        let _ = self.child.wait();
        let main = self.told().main.filter(|pid| *pid != self.child.id());
        if let Some(pid) = main.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn listen(ear: &UnixDatagram, told: &Mutex<Told>, over: &AtomicBool) {
    let (mut room, mut fds) = ([0; 4096], Vec::new());
    while !over.load(SeqCst) {
        let Ok(count) = passing::receive(ear, &mut room, &mut fds) else { continue };
        let text = String::from_utf8_lossy(&room[..count]).into_owned();
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = value("FDNAME=") {
            match fds.pop() {
                Some(fd) => drop(told.kept.insert(name.to_owned(), fd)),
                None => drop(told.kept.remove(name)),
            }
        }
        if let Some(pid) = value("MAINPID=").and_then(|pid| pid.parse().ok()) {
            told.main = Some(pid);
        }
        told.lines.extend(text.lines().map(str::to_owned));
    }
}

fn free_port() -> SocketAddr {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("there are ports");
    free.local_addr().expect("it is bound")
}

#[test]
fn after_a_crash_nobody_was_refused() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let address = free_port();
        let config =
            format!("listen = [\"{address}\", \"unix:{{folder}}/p.sock\"]\n{}", to(&origin));
        let mut supervisor = Supervisor::start(driver, &config, Vec::new());
        let names: Vec<String> = supervisor.told().kept.keys().cloned().collect();
        assert_eq!(names.len(), 3, "two cores' and a unix socket: {names:?}");
        let (over, answered, refused) = (
            Arc::<AtomicBool>::default(),
            Arc::<AtomicU64>::default(),
            Arc::<AtomicU64>::default(),
        );
        let doors = [Door::Tcp(address), Door::Unix(supervisor.folder.join("p.sock"))];
        let clients = doors.map(|door| {
            let (over, answered, refused) = (over.clone(), answered.clone(), refused.clone());
            spawn("client", move || {
                while !over.load(SeqCst) {
                    let Ok(mut client) = Client::try_connect(&door) else {
                        refused.fetch_add(1, SeqCst);
                        continue;
                    };
                    // What was under way when it died is lost with it.
                    let reply = client.try_send(GET).then(|| client.try_read_reply_to("GET"));
                    let is_good = matches!(reply, Some(Ok(reply)) if reply.status() == 200);
                    answered.fetch_add(u64::from(is_good), SeqCst);
                }
            })
        });
        for _ in 0..3 {
            let before = answered.load(SeqCst);
            eventually("clients are answered", || answered.load(SeqCst) > before + 50);
            supervisor.restart();
            supervisor.hears("READY=1");
        }
        let before = answered.load(SeqCst);
        eventually("and again", || answered.load(SeqCst) > before + 50);
        over.store(true, SeqCst);
        clients.into_iter().for_each(|client| client.join().expect("no client panics"));
        assert_eq!(refused.load(SeqCst), 0);
        let now: Vec<String> = supervisor.told().kept.keys().cloned().collect();
        assert_eq!(now, names);
    });
}

#[test]
fn sockets_that_a_supervisor_has_opened_are_used() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let alone = std::net::TcpListener::bind("127.0.0.1:0").expect("there are ports");
        let address = alone.local_addr().expect("it is bound");
        let config = format!("listen = \"{address}\"\n{}", to(&origin));
        let given = vec![("http.socket".to_owned(), alone.into())];
        let _supervisor = Supervisor::start(driver, &config, given);
        (0..20).for_each(|_| assert_eq!(Client::connect(address).ask(GET).text(), "x"));
    });
}

#[test]
fn it_is_told_of_everything_and_fed_while_every_core_moves() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let supervisor = Supervisor::start(driver, &to(&origin), Vec::new());
        let first = supervisor.child.id();
        assert_eq!(supervisor.told().main, Some(first));
        supervisor.hears("WATCHDOG=1");
        supervisor.forget();
        let signal = |signal| {
            let pid = Pid::from_raw(i32::try_from(first).expect("small")).expect("not 0");
            kill_process(pid, signal).expect("it lives");
        };
        signal(Signal::HUP);
        supervisor.hears("RELOADING=1");
        supervisor.hears("READY=1");
        assert!(supervisor.told().lines.iter().any(|line| line.starts_with("MONOTONIC_USEC=")));
        supervisor.forget();
        signal(Signal::USR2);
        eventually("another is the main process", || supervisor.told().main != Some(first));
        let second = supervisor.told().main.expect("it said so");
        supervisor.forget();
        supervisor.hears("WATCHDOG=1");
        assert!(!supervisor.told().lines.iter().any(|line| line == "STOPPING=1"));
        Heirs::kill_softly(second);
        supervisor.hears("STOPPING=1");
    });
}
