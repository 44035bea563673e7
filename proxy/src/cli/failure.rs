//! Why a command did not do what was asked, and the exit code that says so.

use std::{fmt, io};

use gnomon_config::Problems;

use super::{ABSENT, BAD_CONFIG, DONE, FAILED, USAGE};
use crate::control::{
    api::{Kind, Refused},
    ctl,
};

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The process's exit code.
    pub(crate) code: u8,
    /// What to tell the person; with help on further lines.
    pub(crate) text: String,
    /// Whether the text is complete as it is, as that of problems is.
    pub(crate) is_rendered: bool,
}

impl Failure {
    pub(crate) fn new(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), is_rendered: false }
    }

    /// The arguments make no sense together.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(USAGE, text)
    }

    /// What was to be told is told; only the exit code is left.
    pub(crate) fn silent(code: u8) -> Self {
        Self { code, text: String::new(), is_rendered: true }
    }

    /// The same with advice.
    pub(crate) fn help(mut self, help: impl fmt::Display) -> Self {
        self.text.push_str(&format!("\n  help: {help}"));
        self
    }

    /// The configuration is wrong.
    pub(crate) fn problems(problems: &Problems, colour: bool) -> Self {
        let mut text = problems.render(colour);
        if problems.iter().any(|problem| problem.code == "G001") {
            text.push_str("\n  help: name the file with -c FILE; `gnomon demo` needs none\n");
        }
        Self { code: BAD_CONFIG, text, is_rendered: true }
    }

    /// Output could not be written. A reader that has had enough (`| head`) is no failure.
    pub(crate) fn output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::silent(DONE);
        }
        Self::new(FAILED, format!("the output cannot be written: {error}"))
    }

    /// The proxy on `socket` did not do it.
    pub(crate) fn call(failure: ctl::Failure, socket: &std::path::Path) -> Self {
        let shown = socket.display();
        match failure {
            ctl::Failure::Absent(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Self::new(FAILED, format!("you may not open the admin socket {shown}")).help(
                    "become the proxy's user or join the socket's group (`admin.group`, `admin.mode`)",
                )
            }
            ctl::Failure::Absent(error) => {
                Self::new(ABSENT, format!("no gnomon answers on {shown}: {error}"))
                    .help("start one with `gnomon run -c FILE`, or name its socket with --socket")
            }
            ctl::Failure::Refused(refused) => refused.into(),
            ctl::Failure::Garbled(why) => {
                Self::new(FAILED, format!("{shown} answers what is not understood: {why}"))
                    .help("command and proxy should be of the same version")
            }
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let code = match refused.kind {
            Kind::Config => BAD_CONFIG,
            Kind::Request
            | Kind::Forbidden
            | Kind::Unknown
            | Kind::State
            | Kind::Machine
            | Kind::Busy => FAILED,
        };
        let text = refused.to_string();
        // Problems of a configuration come rendered.
        let is_rendered = text.starts_with("error");
        Self { code, text, is_rendered }
    }
}
