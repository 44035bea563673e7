//! The command line's half of the API: one request over the admin socket, blocking.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};

use super::api::{Kind, Refused};

/// Reads `path` from the proxy that listens on `socket`.
///
/// # Errors
/// [`Failure::Absent`] if nobody answers there; what the proxy says.
pub fn read<A: DeserializeOwned>(socket: &Path, path: &str) -> Result<A, Failure> {
    parse(call(socket, "GET", path, b"")?)
}

/// Asks the proxy that listens on `socket` to act.
///
/// # Errors
/// As [`read`].
pub fn act<A: DeserializeOwned>(
    socket: &Path,
    path: &str,
    body: &impl Serialize,
) -> Result<A, Failure> {
    let body = serde_json::to_vec(body).map_err(|error| Failure::Garbled(error.to_string()))?;
    parse(call(socket, "POST", path, &body)?)
}

/// One request and its reply: the status and the body.
///
/// # Errors
/// [`Failure::Absent`] and [`Failure::Garbled`].
pub fn call(
    socket: &Path,
    method: &str,
    path: &str,
    body: &[u8],
) -> Result<(u16, Vec<u8>), Failure> {
    let mut stream = UnixStream::connect(socket).map_err(Failure::Absent)?;
    let reply = exchange(&mut stream, method, path, body).map_err(Failure::Absent)?;
    split(&reply).ok_or_else(|| Failure::Garbled("the reply is not HTTP".to_owned()))
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// No running proxy answers on that socket: exit code 3.
    Absent(io::Error),
    /// The proxy refused.
    Refused(Refused),
    /// The reply makes no sense: not a gnomon, or another version.
    Garbled(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent(error) => write!(f, "no running gnomon answers: {error}"),
            Self::Refused(refused) => refused.fmt(f),
            Self::Garbled(why) => write!(f, "the answer is not understood: {why}"),
        }
    }
}

impl std::error::Error for Failure {}

/// HTTP/1.0, so that the reply ends with the connection and needs no framing.
fn exchange(stream: &mut UnixStream, method: &str, path: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.0\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut reply = Vec::new();
    stream.take(REPLY_BYTES_MAX).read_to_end(&mut reply)?;
    Ok(reply)
}

fn split(reply: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = reply.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let status = std::str::from_utf8(reply.get(9..12)?).ok()?.parse().ok()?;
    Some((status, reply[end + 4..].to_vec()))
}

fn parse<A: DeserializeOwned>((status, body): (u16, Vec<u8>)) -> Result<A, Failure> {
    if (200..300).contains(&status) {
        return serde_json::from_slice(&body).map_err(|error| Failure::Garbled(error.to_string()));
    }
    Err(Failure::Refused(serde_json::from_slice(&body).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(&body);
        Refused::new(Kind::Machine, format!("status {status}: {text}"))
    })))
}

/// Longer than a reload takes that resolves names and waits for its cores, and than an upgrade may take.
const PATIENCE: Duration = Duration::from_secs(40);
/// A status of some ten thousand endpoints.
const REPLY_BYTES_MAX: u64 = 64 << 20;
