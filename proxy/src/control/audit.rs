//! Who did what, and who was refused: a line each in a file that only grows.
//!
//! A thread of its own writes it, so that a slow disk keeps nobody waiting. What it cannot write is
//! counted, and stands in our own log all the same.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender};
use gnomon_config::{
    Config,
    model::{Admin, Audit},
};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    Control,
    api::{AuditStatus, Refused, series::Entry},
    reload,
};
use crate::{cells::totals::Totals, clock};

/// What somebody did or was refused.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Deed {
    /// Who, by name.
    pub(super) by: String,
    /// Their number, over the socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<u32>,
    /// Where from, over TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<String>,
    /// Whose certificate was shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<String>,
    /// What they may do; absent where nobody knows who they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
    pub(super) method: String,
    pub(super) path: String,
    /// Of what: a rollout's, an upstream's or a flag's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<String>,
    /// Why, as they said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    pub(super) status: u16,
    pub(super) outcome: Outcome,
    /// What is different now, or what was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
    /// Strangers who were refused since the line before and have no line.
    #[serde(skip_serializing_if = "is_none")]
    pub(super) hushed: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// It was done.
    #[default]
    Done,
    /// They may not.
    Refused,
    /// They may, and it could not be done.
    Failed,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
const fn is_none(count: &u64) -> bool {
    *count == 0
}

/// A line: when, and what.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(flatten)]
    deed: &'a Deed,
}

/// What control and the audit thread know of each other.
#[derive(Debug)]
pub(crate) struct Desk {
    messages: Sender<Message>,
    inbox: Receiver<Message>,
    file: Mutex<Option<PathBuf>>,
    lines: AtomicU64,
    lost: AtomicU64,
    last_failure: Mutex<Option<String>>,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    /// Open this file from now on, or the same anew.
    Open(Option<PathBuf>),
    /// Write what is left, say so, and end.
    End(Sender<()>),
}

impl Desk {
    pub(crate) fn new(config: &Config) -> Self {
        let (messages, inbox) = crossbeam_channel::bounded(LINES_MAX);
        Self {
            messages,
            inbox,
            file: Mutex::new(file_of(config)),
            lines: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            last_failure: Mutex::default(),
        }
    }

    /// Starts the thread. Without it, lines are lost and counted.
    pub(super) fn begin(self: &Arc<Self>) {
        let desk = self.clone();
        let spawned = thread::Builder::new().name("gnomon-audit".to_owned()).spawn(move || {
            desk.run();
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "the audit log has no thread, and stays empty");
        }
    }

    /// Has what is left written, and waits for it, though not for long.
    pub(super) async fn end(self: Arc<Self>) {
        let (sender, receiver) = crossbeam_channel::bounded(1);
        if self.messages.try_send(Message::End(sender)).is_ok() {
            let wait = move || receiver.recv_timeout(LAST_WORD);
            // Whatever came of it: the process ends.
            let _ = tokio::task::spawn_blocking(wait).await;
        }
    }

    /// Opens the file anew, after it was rotated away.
    pub(super) fn reopen(&self) {
        let file = lock(&self.file).clone();
        self.send(Message::Open(file));
    }

    /// Writes where the configuration says now.
    pub(super) fn follow(&self, config: &Config) {
        let wanted = file_of(config);
        let mut file = lock(&self.file);
        if *file != wanted {
            file.clone_from(&wanted);
            drop(file);
            self.send(Message::Open(wanted));
        }
    }

    /// How it goes.
    pub(super) fn status(&self) -> AuditStatus {
        AuditStatus {
            file: lock(&self.file).as_ref().map(|path| path.display().to_string()),
            lines: self.lines.load(Relaxed),
            lost: self.lost.load(Relaxed),
            last_failure: lock(&self.last_failure).clone(),
        }
    }

    fn write(&self, deed: &Deed) {
        if lock(&self.file).is_none() {
            return;
        }
        let now = i64::try_from(clock::wall().as_millis()).unwrap_or_default();
        let now = Timestamp::from_millisecond(now).unwrap_or_default();
        let time = now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        // A deed has nothing that JSON could not say.
        let mut line = serde_json::to_vec(&Line { time, deed }).unwrap_or_default();
        line.push(b'\n');
        self.send(Message::Line(line));
    }

    fn send(&self, message: Message) {
        if self.messages.try_send(message).is_err() {
            self.fail("the disk does not keep up".to_owned());
        }
    }

    fn fail(&self, why: String) {
        self.lost.fetch_add(1, Relaxed);
        let mut last = lock(&self.last_failure);
        if last.as_ref() != Some(&why) {
            tracing::error!(why, "a line of the audit log is lost");
            *last = Some(why);
        }
    }

    /// The thread's body.
    fn run(&self) {
        let mut path = lock(&self.file).clone();
        let mut file = None;
        while let Ok(message) = self.inbox.recv() {
            match message {
                Message::Line(line) => match self.put(path.as_deref(), &mut file, &line) {
                    Ok(()) => {
                        self.lines.fetch_add(1, Relaxed);
                    }
                    Err(error) => self.fail(error.to_string()),
                },
                Message::Open(now) => (path, file) = (now, None),
                Message::End(done) => {
                    // Nobody may be waiting any more.
                    let _ = done.send(());
                    return;
                }
            }
        }
    }

    /// A whole line at once, so that two processes can write to one file.
    fn put(&self, path: Option<&Path>, file: &mut Option<File>, line: &[u8]) -> io::Result<()> {
        let Some(path) = path else { return Ok(()) };
        let mut open = match file.take() {
            Some(open) => open,
            None => open_file(path)?,
        };
        open.write_all(line)?;
        *file = Some(open);
        Ok(())
    }
}

/// Which file it is, if there is one.
fn file_of(config: &Config) -> Option<PathBuf> {
    match &config.admin.audit {
        Audit::Off => None,
        Audit::File(path) => Some(path.clone()),
        Audit::State if config.state.dir.is_dir() => Some(config.state.dir.join("audit.log")),
        Audit::State => None,
    }
}

/// For the owner to write, and for the group to read.
fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

/// Whether the file that is asked for can be written.
pub(super) fn check(admin: &Admin) -> Result<(), Refused> {
    let Audit::File(path) = &admin.audit else { return Ok(()) };
    open_file(path).map(drop).map_err(|error| reload::unwritable("admin.audit", &error))
}

impl Control {
    /// Tells of what somebody did or was refused: in the audit log and in the journal.
    pub(super) fn note(&self, deed: Deed) {
        self.audit.write(&deed);
        let what = format!("{} {}", deed.method, deed.path);
        let failed = deed.outcome != Outcome::Done;
        let text = match deed.detail {
            Some(detail) if failed => format!("{what}: {detail}"),
            Some(detail) => detail,
            None => what,
        };
        self.journal.add(Entry {
            kind: "action".to_owned(),
            subject: deed.subject,
            text,
            by: deed.by,
            reason: deed.reason,
            failed,
            ..Entry::default()
        });
    }

    /// The same of somebody who may not even ask: nobody can fill the journal so.
    pub(super) fn note_stranger(&self, deed: &Deed) {
        self.audit.write(deed);
    }

    /// Tells of somebody with whom TLS could not be agreed on.
    pub(super) fn tell_of_handshake(&self, address: SocketAddr, error: &io::Error) {
        let Some(hushed) = self.hush.tell(clock::wall().as_secs()) else { return };
        tracing::warn!(target: "gnomon::audit", by = %address, %error, hushed, "refused");
        self.note_stranger(&Deed {
            by: address.to_string(),
            address: Some(address.to_string()),
            outcome: Outcome::Refused,
            detail: Some(format!("handshake: {error}")),
            hushed,
            ..Deed::default()
        });
    }

    /// Refusals so far, those of earlier processes among them, by reason.
    pub(super) fn admin_refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let before = |reason| self.succession.own(&format!("{REFUSED}{reason}"));
        self.refusals.all().map(move |(reason, count)| (reason, before(reason) + count))
    }

    /// Lines that were lost, likewise.
    pub(super) fn audit_lost(&self) -> u64 {
        self.succession.own(LOST) + self.audit.lost.load(Relaxed)
    }

    /// Both, for the process that comes after this one.
    pub(super) fn leave_audit(&self, own: &mut Totals) {
        for (reason, count) in self.admin_refused() {
            own.count(&format!("{REFUSED}{reason}"), count);
        }
        own.count(LOST, self.audit_lost());
    }
}

/// Keeps those who are refused again and again from filling a log.
#[derive(Debug, Default)]
pub(super) struct Hush(Mutex<Hushed>);

#[derive(Debug, Default)]
struct Hushed {
    second: u64,
    told: u32,
    hushed: u64,
}

impl Hush {
    /// Whether one more is told of, and how many were not since the last.
    pub(super) fn tell(&self, second: u64) -> Option<u64> {
        let mut all = lock(&self.0);
        if all.second != second {
            (all.second, all.told) = (second, 0);
        }
        if all.told >= STRANGERS_A_SECOND {
            all.hushed += 1;
            return None;
        }
        all.told += 1;
        Some(std::mem::take(&mut all.hushed))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What counts are called where they are left.
const REFUSED: &str = "admin_refused_";
const LOST: &str = "audit_lost";
/// Lines that may wait for the disk.
const LINES_MAX: usize = 1024;
/// For the lines that are left when the process ends.
const LAST_WORD: Duration = Duration::from_secs(1);
/// Strangers in a second who have a line each: 5 are a megabyte an hour.
const STRANGERS_A_SECOND: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn config(audit: &Path) -> Config {
        let text = format!(
            "admin.audit = \"{}\"\nlistener.a.bind = \"127.0.0.1:0\"\n\
             route.all.respond.status = 204\n",
            audit.display()
        );
        gnomon_config::parse("test.toml", &text, &gnomon_config::Options::default()).unwrap().config
    }

    fn deed(path: &str) -> Deed {
        Deed { by: "uid 0".to_owned(), path: path.to_owned(), status: 200, ..Deed::default() }
    }

    #[test]
    fn lines_are_whole_and_a_file_that_was_moved_away_is_made_anew() {
        let folder = std::env::temp_dir().join(format!("gnomon-audit-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("audit.log");
        let desk = Arc::new(Desk::new(&config(&path)));
        desk.begin();
        desk.write(&deed("/one"));
        while !path.exists() || std::fs::read(&path).unwrap().is_empty() {
            thread::yield_now();
        }
        std::fs::rename(&path, folder.join("old")).unwrap();
        desk.reopen();
        desk.write(&deed("/two \"quoted\""));
        super::super::tests::run(desk.clone().end());
        let text = std::fs::read_to_string(&path).unwrap();
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(line["path"], "/two \"quoted\"");
        assert!(line["time"].as_str().unwrap().ends_with('Z'));
        assert_eq!((desk.status().lines, desk.status().lost), (2, 0));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_keeps_nobody_waiting() {
        let desk = Arc::new(Desk::new(&config("/dev/full".as_ref())));
        for _ in 0..LINES_MAX + 5 {
            desk.write(&deed("/"));
        }
        assert_eq!(desk.status().lost, 5);
        desk.begin();
        super::super::tests::run(async {
            while desk.status().lost < LINES_MAX as u64 + 5 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        assert!(desk.status().last_failure.is_some());
    }

    #[test]
    fn strangers_are_told_of_so_often_and_counted_beyond() {
        let hush = Hush::default();
        let told = (0..20).filter(|_| hush.tell(1).is_some()).count();
        assert_eq!(told, STRANGERS_A_SECOND as usize);
        assert_eq!(hush.tell(2), Some(15));
        assert_eq!(hush.tell(2), Some(0));
    }
}
