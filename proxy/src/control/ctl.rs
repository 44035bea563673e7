//! The command line's half of the API: one request over the admin socket, blocking.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
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
    within(PATIENCE, socket, method, path, body)
}

/// As [`call`] to read, for who would rather have no answer than a late one: no read of the reply
/// takes longer than `patience`.
///
/// # Errors
/// As [`call`].
pub fn glance(socket: &Path, path: &str, patience: Duration) -> Result<(u16, Vec<u8>), Failure> {
    within(patience, socket, "GET", path, b"")
}

fn within(
    patience: Duration,
    socket: &Path,
    method: &str,
    path: &str,
    body: &[u8],
) -> Result<(u16, Vec<u8>), Failure> {
    let mut stream = UnixStream::connect(socket).map_err(Failure::Absent)?;
    let timeouts = stream
        .set_read_timeout(Some(patience))
        .and_then(|()| stream.set_write_timeout(Some(patience)));
    timeouts.map_err(Failure::Absent)?;
    let reply = exchange(&mut stream, method, path, body).map_err(Failure::Absent)?;
    split(&reply).ok_or_else(|| Failure::Garbled("the reply is not HTTP".to_owned()))
}

/// Reads `path` line by line, for as long as the proxy has something to say and `see` gives `true`.
///
/// # Errors
/// As [`read`].
pub fn lines(socket: &Path, path: &str, mut see: impl FnMut(&str) -> bool) -> Result<(), Failure> {
    let mut stream = UnixStream::connect(socket).map_err(Failure::Absent)?;
    let head = format!("GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n");
    stream.write_all(head.as_bytes()).map_err(Failure::Absent)?;
    let mut reader = BufReader::new(stream);
    let status = read_head(&mut reader)?;
    if status != 200 {
        let mut body = Vec::new();
        reader.take(REPLY_BYTES_MAX).read_to_end(&mut body).map_err(Failure::Absent)?;
        return parse::<serde_json::Value>((status, body)).map(drop);
    }
    while let Some(line) = read_line(&mut reader)? {
        if !line.is_empty() && !see(&line) {
            break;
        }
    }
    Ok(())
}

/// Listens to the server-sent events of `path`, of entries to those after `seen`, and hands each one's
/// name and data to `hear` until that has heard enough or nobody tells any more.
///
/// # Errors
/// As [`read`].
pub fn listen(
    socket: &Path,
    path: &str,
    seen: u64,
    mut hear: impl FnMut(&str, &str) -> bool,
) -> Result<(), Failure> {
    let mut stream = UnixStream::connect(socket).map_err(Failure::Absent)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(Failure::Absent)?;
    let head = format!(
        "GET {path} HTTP/1.0\r\nhost: localhost\r\naccept: text/event-stream\r\n\
         last-event-id: {seen}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).map_err(Failure::Absent)?;
    let mut reader = BufReader::new(stream);
    let status = read_head(&mut reader)?;
    if !(200..300).contains(&status) {
        let mut body = Vec::new();
        reader.take(REPLY_BYTES_MAX).read_to_end(&mut body).map_err(Failure::Absent)?;
        return parse::<serde_json::Value>((status, body)).map(drop);
    }
    let (mut name, mut data) = (String::new(), String::new());
    loop {
        let Some(line) = read_line(&mut reader)? else { return Ok(()) };
        if let Some(text) = line.strip_prefix("event: ") {
            text.clone_into(&mut name);
        } else if let Some(text) = line.strip_prefix("data: ") {
            text.clone_into(&mut data);
        } else if line.is_empty() && !data.is_empty() {
            if !hear(&name, &data) {
                return Ok(());
            }
            name.clear();
            data.clear();
        }
    }
}

/// The status of a reply, read up to its empty line.
fn read_head(reader: &mut impl BufRead) -> Result<u16, Failure> {
    let garbled = || Failure::Garbled("the reply is not HTTP".to_owned());
    let first = read_line(reader)?.ok_or_else(garbled)?;
    let status = first.get(9..12).and_then(|text| text.parse().ok()).ok_or_else(garbled)?;
    while !read_line(reader)?.ok_or_else(garbled)?.is_empty() {}
    Ok(status)
}

/// The next line without its end; none at the end.
fn read_line(reader: &mut impl BufRead) -> Result<Option<String>, Failure> {
    let mut line = String::new();
    match reader.take(LINE_BYTES_MAX).read_line(&mut line) {
        Ok(0) => Ok(None),
        Ok(_) => Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned())),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(Failure::Garbled("the reply is not text".to_owned()))
        }
        Err(error) => Err(Failure::Absent(error)),
    }
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
/// A beat of some five hundred versions is an eighth of this.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// A status of some ten thousand endpoints.
const REPLY_BYTES_MAX: u64 = 64 << 20;
