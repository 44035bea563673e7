//! What a supervisor and this process tell each other, in systemd's words.
//!
//! Sockets are given to it to keep: if this process is killed, whoever connects meanwhile waits in
//! their queues, and the next one is started with them. Where no supervisor listens, all of this does
//! nothing.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use gnomon_sys::passing;
use sd_notify::NotifyState;

use crate::environment;

/// A supervisor, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    socket: Option<PathBuf>,
    watchdog: Option<Duration>,
    /// What it keeps: how often each name is in use.
    kept: Mutex<BTreeMap<String, u64>>,
}

impl Supervisor {
    /// As the environment says. For the process itself, not for guests in it.
    pub(crate) fn of_process() -> Self {
        Self {
            socket: std::env::var_os("NOTIFY_SOCKET").map(PathBuf::from),
            watchdog: sd_notify::watchdog_enabled(),
            kept: Mutex::default(),
        }
    }

    /// Sockets that this process was started with, and what they are called. To be asked once,
    /// before anything else is opened.
    pub(crate) fn sockets() -> Vec<(String, OwnedFd)> {
        let number = |name| environment::variable(name).and_then(|text| text.parse::<usize>().ok());
        let is_ours = number("LISTEN_PID") == usize::try_from(std::process::id()).ok();
        let count = number("LISTEN_FDS").filter(|count| is_ours && *count <= SOCKETS_MAX);
        let names = environment::variable("LISTEN_FDNAMES").unwrap_or_default();
        let names = names.split(':').map(str::to_owned).chain(std::iter::repeat(String::new()));
        names.zip(passing::take_inherited(count.unwrap_or(0))).collect()
    }

    /// This process serves; `status` is for people.
    pub(crate) fn ready(&self, status: &str) {
        // Said every time: after an upgrade the supervisor knows another process.
        let pid = NotifyState::MainPid(std::process::id());
        self.tell(&[NotifyState::Ready, pid, NotifyState::Status(status)], &[]);
    }

    /// A reload begins; [`Supervisor::ready`] ends it, however it went.
    pub(crate) fn reloading(&self) {
        // A supervisor that waits for the end of a reload needs to know when it began.
        let now = i128::try_from(crate::clock::monotonic().as_micros()).unwrap_or(i128::MAX);
        self.tell(&[NotifyState::Reloading, NotifyState::MonotonicUsec(now)], &[]);
    }

    /// This process ends.
    pub(crate) fn stopping(&self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("draining")], &[]);
    }

    /// How often it wants to be told that all is well, if it does.
    pub(crate) fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.socket.is_some())
    }

    /// All is well.
    pub(crate) fn alive(&self) {
        self.tell(&[NotifyState::Watchdog], &[]);
    }

    /// Has it keep these sockets, by name, and none that it was given before under other names.
    /// `key` tells a socket from another of the same name.
    pub(crate) fn keep<'s>(&self, sockets: impl Iterator<Item = (String, u64, BorrowedFd<'s>)>) {
        if self.socket.is_none() {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = BTreeMap::new();
        for (name, key, socket) in sockets {
            let before = kept.remove(&name);
            if before.is_some_and(|before| before != key) {
                self.forget(&name);
            }
            if before != Some(key) {
                let states = [NotifyState::Custom("FDSTORE=1"), NotifyState::Custom("FDPOLL=0")];
                let called = format!("FDNAME={name}");
                let [store, poll] = states;
                self.tell(&[store, poll, NotifyState::Custom(&called)], &[socket.as_fd()]);
            }
            now.insert(name, key);
        }
        for name in kept.keys() {
            self.forget(name);
        }
        *kept = now;
    }

    /// Has it keep a socket no longer.
    pub(crate) fn forget(&self, name: &str) {
        let called = format!("FDNAME={name}");
        self.tell(&[NotifyState::Custom("FDSTOREREMOVE=1"), NotifyState::Custom(&called)], &[]);
    }

    fn tell(&self, states: &[NotifyState<'_>], fds: &[BorrowedFd<'_>]) {
        let Some(socket) = &self.socket else { return };
        let text: String = states.iter().map(|state| format!("{state}\n")).collect();
        if let Err(error) = passing::send_to(socket, text.as_bytes(), fds) {
            tracing::warn!(%error, text = text.trim(), "the supervisor does not listen");
        }
    }
}

/// Sockets that a supervisor may give: as many as the unit lets it keep, many times over.
const SOCKETS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn sockets_are_kept_once_and_forgotten_when_they_are_gone() {
        let path = std::env::temp_dir().join(format!("gnomon-notify-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let ear = UnixDatagram::bind(&path).unwrap();
        ear.set_nonblocking(true).unwrap();
        let supervisor = Supervisor { socket: Some(path.clone()), ..Supervisor::default() };
        let heard = || {
            let (mut room, mut fds) = ([0; 256], Vec::new());
            let count = passing::receive(&ear, &mut room, &mut fds).ok()?;
            Some((String::from_utf8_lossy(&room[..count]).replace('\n', " "), fds.len()))
        };
        let one = |name: &str, key| vec![(name.to_owned(), key, ear.as_fd())].into_iter();
        supervisor.keep(one("a", 1));
        supervisor.keep(one("a", 1));
        supervisor.keep(one("b", 2));
        supervisor.keep(one("b", 3));
        let store = |name| Some((format!("FDSTORE=1 FDPOLL=0 FDNAME={name} "), 1));
        let remove = |name| Some((format!("FDSTOREREMOVE=1 FDNAME={name} "), 0));
        for expected in [store("a"), store("b"), remove("a"), remove("b"), store("b"), None] {
            assert_eq!(heard(), expected);
        }
        supervisor.ready("serves");
        let pid = std::process::id();
        assert_eq!(heard(), Some((format!("READY=1 MAINPID={pid} STATUS=serves "), 0)));
        assert_eq!(supervisor.watchdog(), None);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn without_a_supervisor_nothing_happens() {
        let supervisor = Supervisor::default();
        supervisor.keep([("a".to_owned(), 1, std::io::stdin().as_fd())].into_iter());
        supervisor.reloading();
        supervisor.stopping();
    }
}
