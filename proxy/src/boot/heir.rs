//! A process that takes another one's place: what it is given, and when it may begin.

use std::{os::unix::net::UnixStream, time::Duration};

use gnomon_sys::passing;

use super::{Kind, Refused, Signals};
use crate::{
    clock,
    control::{Predecessor, listeners::inherited::Inherited},
    environment,
    heritage::{Frame, Line, PROTOCOL, VARIABLE, left::Left},
};

/// What this process is to another that has started it.
pub(super) struct Heir {
    line: Line,
}

/// What it was given.
pub(super) struct Given {
    pub(super) sockets: Inherited,
    pub(super) left: Box<Left>,
}

impl Heir {
    /// If the process that started this one wants it to take its place.
    pub(super) fn of(signals: Signals) -> Result<Option<Self>, Refused> {
        if signals == Signals::Ignored {
            return Ok(None);
        }
        // Whoever inherited the variable from an heir is none.
        let said = environment::variable(VARIABLE).and_then(|pid| pid.parse::<i32>().ok());
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
        if said.is_none() || said != parent {
            return Ok(None);
        }
        let line = passing::take_stdin().map_err(|error| {
            Refused::new(Kind::Machine, format!("the line to the process before: {error}"))
        })?;
        Ok(Some(Self { line: Line::new(UnixStream::from(line)) }))
    }

    /// Asks for everything, now that this process knows that it can serve.
    pub(super) fn ask(&mut self) -> Result<Given, Refused> {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let hello = Frame::Hello { protocol: PROTOCOL, version, pid: std::process::id() };
        self.line.send(&hello, PATIENCE).map_err(broken)?;
        let mut sockets = Vec::new();
        loop {
            match self.line.receive(PATIENCE).map_err(broken)? {
                Some(Frame::Sockets(tags)) => {
                    sockets.extend(self.line.sockets(tags).map_err(broken)?);
                }
                Some(Frame::Left(left)) => {
                    return Ok(Given { sockets: Inherited::from_process(sockets), left });
                }
                Some(other) => return Err(broken(other.unexpected())),
                None => return Err(broken(std::io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }

    /// Says that every core accepts, and waits for the pen. If the other process has ended instead,
    /// it is ours all the same.
    pub(super) fn serve(mut self, left: &Left) -> Result<Predecessor, Refused> {
        self.line.send(&Frame::Serving, PATIENCE).map_err(broken)?;
        match self.line.receive(PATIENCE).map_err(broken)? {
            Some(Frame::Pen) => {}
            Some(other) => return Err(broken(other.unexpected())),
            None => tracing::warn!("the process before has ended without handing over"),
        }
        tracing::info!(pid = left.pid, version = %left.version, "this process serves in the place of another");
        Predecessor::listen(self.line, left)
    }

    /// Says why this process cannot take the other one's place.
    pub(super) fn refuse(mut self, refused: &Refused) {
        // If nobody listens any more, nobody wants to know.
        let _ = self.line.send(&Frame::Refused(refused.clone()), PATIENCE);
    }
}

/// Tells the process that started this one, if it is to be replaced, why it cannot be: for whatever
/// fails before [`start`](super::start).
pub fn renounce(refused: &Refused) {
    if let Ok(Some(heir)) = Heir::of(Signals::Handled) {
        heir.refuse(refused);
    }
}

fn broken(error: std::io::Error) -> Refused {
    Refused::new(Kind::Machine, format!("the process before has not handed over: {error}"))
}

/// Waits until every core accepts.
pub(super) fn await_cores(
    cores: &[std::sync::Arc<crate::cells::CoreCells>],
) -> Result<(), Refused> {
    let end = clock::now() + super::PATIENCE;
    while cores.iter().any(|core| core.ready.read() == 0) {
        if clock::now() >= end {
            return Err(Refused::new(Kind::Machine, "a core does not begin to accept"));
        }
        std::thread::park_timeout(LOOK);
    }
    Ok(())
}

/// How long the other process may take for what it has to say: as long as it has patience itself.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at the cores.
const LOOK: Duration = Duration::from_millis(1);
