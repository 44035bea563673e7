//! `gnomon record`: exchanges of the running proxy, into a capture file.

use std::{
    fs::OpenOptions,
    io::{self, IsTerminal, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use clap::Args;
use flate2::{Compression, write::GzEncoder};
use gnomon_config::{model::Share, show_duration, show_share, units};
use gnomon_shadow::recording::End;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, header};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    net::UnixStream,
    signal::unix::{Signal, SignalKind, signal},
};

use super::{Console, FAILED, Failure, live::Door, source::STDIN as STDOUT};
use crate::control::{
    api::{self, Done, Kind, Refused},
    ctl,
};

#[derive(Args, Debug)]
pub(crate) struct RecordArguments {
    /// Only this route's exchanges
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Only this upstream's exchanges
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    /// Share of them
    #[arg(long, value_name = "PERCENT", default_value = "100%", value_parser = units::read_share)]
    sample: Share,
    /// End after so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so long [default: at Ctrl-C]
    #[arg(long = "for", value_name = "TIME", value_parser = units::read_duration)]
    time: Option<Duration>,
    /// End at this size of the file
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = units::read_size)]
    max_size: u64,
    /// The file, which must not be there yet; `-` for stdout
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

/// `gnomon record`.
pub(super) fn record(arguments: &RecordArguments, door: &Door) -> Result<(), Failure> {
    let is_stdout = arguments.to == Path::new(STDOUT);
    if is_stdout && io::stdout().is_terminal() {
        return Err(Failure::usage("a capture is compressed: a terminal cannot show it")
            .help("name a file, or: gnomon record --to - | zcat"));
    }
    let runtime = super::runtime()?;
    let end = runtime.block_on(follow(arguments, door))?;
    let shown = if is_stdout { "stdout".to_owned() } else { arguments.to.display().to_string() };
    tell(&end, &shown, door.console);
    if door.json && !is_stdout {
        door.console.json(&end)?;
    }
    if !is_stdout {
        door.console.hint(format_args!("gnomon replay {shown} --to HOST:PORT"));
    }
    Ok(())
}

/// Writes lines as they come, until the proxy says that it was the last.
async fn follow(arguments: &RecordArguments, door: &Door) -> Result<End, Failure> {
    let socket = door.socket();
    let mut interrupts = Interrupts::new()?;
    let mut body = begin(arguments, &socket).await?.into_body();
    let mut tape = Tape::new(open(&arguments.to)?, arguments.max_size);
    let mut flush = tokio::time::interval(FLUSH);
    let mut is_asked = false;
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = interrupts.next() => {
                if is_asked {
                    break;
                }
                is_asked = true;
                ask_stop(&socket, door.console);
                continue;
            }
            _ = flush.tick() => {
                tape.flush()?;
                continue;
            }
        };
        let Some(Ok(frame)) = frame else { break };
        if let Some(bytes) = frame.data_ref() {
            tape.take(bytes)?;
        }
        if tape.is_full() && !is_asked {
            is_asked = true;
            ask_stop(&socket, door.console);
        }
    }
    tape.finish()?.ok_or_else(|| {
        Failure::new(FAILED, "the proxy went away; what there was is in the capture")
            .help("it can be replayed: `gnomon replay` takes it up to its last whole line")
    })
}

/// Asks for the lines.
async fn begin(arguments: &RecordArguments, socket: &Path) -> Result<Response<Incoming>, Failure> {
    let absent = |error| Failure::call(ctl::Failure::Absent(error), socket);
    let garbled =
        |error: hyper::Error| Failure::call(ctl::Failure::Garbled(error.to_string()), socket);
    let wish = api::Record {
        route: arguments.route.clone(),
        upstream: arguments.upstream.clone(),
        sample: Some(show_share(arguments.sample)),
        count: arguments.count,
        time: arguments.time.map(show_duration),
    };
    let stream = UnixStream::connect(socket).await.map_err(absent)?;
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(garbled)?;
    tokio::spawn(connection);
    let request = Request::post("/v1/record")
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(json!(wish).to_string())))
        .map_err(|error| Failure::new(FAILED, error.to_string()))?;
    let response = sender.send_request(request).await.map_err(garbled)?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let body = response.into_body().collect().await.map_err(garbled)?.to_bytes();
    let refused = serde_json::from_slice(&body)
        .unwrap_or_else(|_| Refused::new(Kind::Machine, format!("status {status}")));
    Err(Failure::call(ctl::Failure::Refused(refused), socket))
}

/// Has the proxy end the recording; what is under way still comes.
fn ask_stop(socket: &Path, console: Console) {
    let done: Result<Done, _> = ctl::act(socket, "/v1/record/stop", &json!({}));
    if let Err(failure) = done {
        // It may have come to its end by itself.
        console.warn(failure);
    }
}

fn tell(end: &End, shown: &str, console: Console) {
    let End { why, written, unanswered, .. } = end;
    console.say(format_args!("{written} exchanges recorded in {shown} (end: {why})"));
    if *unanswered > 0 {
        console.warn(format_args!("{unanswered} of them have no reply"));
    }
    if !end.dropped.is_empty() {
        let reasons: Vec<String> =
            end.dropped.iter().map(|(why, count)| format!("{why} {count}")).collect();
        console.warn(format_args!("not recorded: {}", reasons.join(", ")));
    }
}

/// The file, readable by its owner alone; never one that is there already.
fn open(path: &Path) -> Result<Box<dyn Write>, Failure> {
    if path == Path::new(STDOUT) {
        return Ok(Box::new(io::stdout()));
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = file.map_err(|error| {
        Failure::new(FAILED, format!("{} cannot be written: {error}", path.display()))
            .help("name a file that is not there yet, in a folder that is")
    })?;
    Ok(Box::new(file))
}

/// Ctrl-C, and what a supervisor sends.
struct Interrupts(Signal, Signal);

impl Interrupts {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::new(FAILED, format!("no signals: {error}")))
        };
        Ok(Self(listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?))
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

/// The capture under way: whole lines, compressed.
struct Tape<W: Write> {
    coder: GzEncoder<Counted<W>>,
    line: Vec<u8>,
    most: u64,
    /// Lines written, the first among them.
    lines: u64,
    discarded: u64,
    end: Option<End>,
}

impl<W: Write> Tape<W> {
    fn new(sink: W, most: u64) -> Self {
        let coder = GzEncoder::new(Counted { sink, bytes: 0 }, Compression::fast());
        Self { coder, line: Vec::new(), most, lines: 0, discarded: 0, end: None }
    }

    fn is_full(&self) -> bool {
        self.coder.get_ref().bytes >= self.most
    }

    /// Takes a piece of the stream of lines.
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        while let Some(length) = bytes.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&bytes[..=length]);
            bytes = &bytes[length + 1..];
            let line = std::mem::take(&mut self.line);
            self.take_line(&line)?;
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), Failure> {
        if let Some(end) = End::of_line(line) {
            self.end = Some(end);
            return Ok(());
        }
        if self.is_full() {
            self.discarded += 1;
            return Ok(());
        }
        self.lines += 1;
        self.coder.write_all(line).map_err(Failure::output)
    }

    /// Whoever reads the file sees all that came.
    fn flush(&mut self) -> Result<(), Failure> {
        self.coder.flush().map_err(Failure::output)
    }

    /// Writes the last line, if it came, and what it says.
    fn finish(mut self) -> Result<Option<End>, Failure> {
        if let Some(end) = &mut self.end {
            // What is in the file is known best here.
            end.written = self.lines.saturating_sub(1);
            if self.discarded > 0 {
                "size".clone_into(&mut end.why);
                end.dropped.insert("size".to_owned(), self.discarded);
            }
            self.coder.write_all(&end.to_line()).map_err(Failure::output)?;
        }
        let mut counted = self.coder.finish().map_err(Failure::output)?;
        counted.flush().map_err(Failure::output)?;
        Ok(self.end)
    }
}

/// Counts what is written.
struct Counted<W> {
    sink: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// Between two flushes: so much is lost at most if this process is killed.
const FLUSH: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::{
        io::{Cursor, Read},
        sync::{Arc, Mutex},
    };

    use gnomon_shadow::recording::{Opening, Recorded, Recording, Rules};

    use super::*;

    /// A file that can be looked into.
    #[derive(Clone, Default)]
    struct File(Arc<Mutex<Vec<u8>>>);

    impl Write for File {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut file = self.0.lock().map_err(|_| io::Error::other("a test has panicked"))?;
            file.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn stream(exchanges: u64) -> Vec<u8> {
        let opening = Opening {
            gnomon_capture: 1,
            started: 1,
            route: None,
            upstream: None,
            sample: 100.0,
            config: String::new(),
            redacted: Rules::default(),
        };
        let mut all = opening.to_line().to_vec();
        for at_us in 0..exchanges {
            let mut one = Recorded { at_us, ..Recorded::default() };
            (one.request.method, one.request.target) = ("GET".into(), "/".into());
            // Not to be compressed to nothing.
            one.route =
                (0..40).map(|bit| format!("{:x}", at_us.wrapping_mul(0x9e37_79b9 + bit))).collect();
            all.extend_from_slice(&one.to_line());
        }
        let end = End { why: "count".into(), written: 99, ..End::default() };
        all.extend_from_slice(&end.to_line());
        all
    }

    fn count(file: &File) -> (usize, Option<End>) {
        let bytes = file.0.lock().unwrap().clone();
        let mut recording = Recording::open(Cursor::new(bytes)).unwrap();
        let mut exchanges = 0;
        while recording.next_exchange().unwrap().is_some() {
            exchanges += 1;
        }
        (exchanges, recording.end().cloned())
    }

    #[test]
    fn lines_are_put_together_however_they_come() {
        for size in [1, 7, 1 << 20] {
            let file = File::default();
            let mut tape = Tape::new(file.clone(), 1 << 30);
            stream(9).chunks(size).for_each(|piece| tape.take(piece).unwrap());
            assert_eq!(tape.finish().unwrap().unwrap().written, 9);
            let (exchanges, end) = count(&file);
            assert_eq!((exchanges, end.unwrap().written), (9, 9));
        }
    }

    #[test]
    fn a_file_grows_no_larger_than_was_said() {
        let file = File::default();
        let mut tape = Tape::new(file.clone(), 10_000);
        for piece in stream(5000).chunks(4096) {
            tape.take(piece).unwrap();
            tape.flush().unwrap();
        }
        assert!(tape.is_full());
        let end = tape.finish().unwrap().unwrap();
        assert_eq!((&*end.why, end.written + end.dropped["size"]), ("size", 5000));
        assert!(file.0.lock().unwrap().len() < 20_000);
        assert_eq!(count(&file).0 as u64, end.written);
    }

    #[test]
    fn what_was_flushed_can_be_read_without_an_end() {
        let file = File::default();
        let mut tape = Tape::new(file.clone(), 1 << 30);
        let stream = stream(9);
        tape.take(&stream[..stream.len() - 20]).unwrap();
        tape.flush().unwrap();
        assert_eq!(count(&file), (9, None));
        let mut text = String::new();
        let bytes = file.0.lock().unwrap().clone();
        let _ = flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text);
        assert_eq!(text.lines().count(), 10);
    }
}
