//! Starting the program once more, as another process that is to take this one's place.

use std::{
    ffi::OsString,
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command},
};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{Kind, Refused, spawn};
use crate::heritage::{Line, VARIABLE};

/// Starts the program once more when it is asked to.
///
/// It does so on a thread of its own, which was made before any other changed its priority or the
/// core it runs on: a new process inherits these from the thread that starts it.
#[derive(Debug)]
pub(crate) struct Launcher {
    orders: Sender<Order>,
    program: PathBuf,
}

/// The other end of the line, and who waits for the process.
type Order = (OwnedFd, Sender<io::Result<Child>>);

impl Launcher {
    /// Of this process's own program and arguments.
    pub(crate) fn new() -> Result<Self, Refused> {
        let mut arguments = std::env::args_os();
        let program = program(arguments.next());
        let arguments: Vec<OsString> = arguments.collect();
        let (orders, ordered) = bounded(1);
        let path = program.clone();
        // Never joined: it ends with the process.
        drop(spawn("gnomon-launcher", move || run(&path, &arguments, &ordered))?);
        Ok(Self { orders, program })
    }

    /// What would be started.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Starts it: the process, and the line to it. Blocks for a moment.
    pub(crate) fn launch(&self) -> Result<(Child, Line), Refused> {
        let program = self.program.display();
        let cannot = |error: io::Error| {
            Refused::new(Kind::Machine, format!("{program} cannot be started: {error}"))
                .help("the program must lie where it was when this process was started")
        };
        let (ours, theirs) = UnixStream::pair().map_err(cannot)?;
        let (report, reported) = bounded(1);
        let gone = || io::Error::other("the thread that starts it has ended");
        self.orders.send((theirs.into(), report)).map_err(|_| cannot(gone()))?;
        let child = reported.recv().map_err(|_| cannot(gone()))?.map_err(cannot)?;
        Ok((child, Line::new(ours)))
    }
}

/// Where the program lies: as it was called, so that a link which is moved is followed, or as the
/// kernel knows it. Asked for at the start: once the file is replaced, the kernel's answer is of no
/// use.
fn program(said: Option<OsString>) -> PathBuf {
    let said = said.map(PathBuf::from).filter(|path| path.is_absolute() && path.exists());
    said.or_else(|| std::env::current_exe().ok()).unwrap_or_default()
}

fn run(program: &Path, arguments: &[OsString], ordered: &Receiver<Order>) {
    for (line, report) in ordered {
        let mut command = Command::new(program);
        // Standard input is the one descriptor that can be given without a race: all others are
        // closed on exec, from the moment they are made.
        command.args(arguments).stdin(line).env(VARIABLE, std::process::id().to_string());
        // What a supervisor said of this process by its number is not true of another.
        for variable in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"] {
            command.env_remove(variable);
        }
        // Nobody may be waiting any more.
        let _ = report.send(command.spawn());
    }
}
