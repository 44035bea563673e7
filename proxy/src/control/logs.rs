//! The access log: one thread that empties the cores' rings, formats and writes.
//!
//! No core ever waits for it. A ring that is full drops lines, which its core counts; a sink that
//! fails loses lines, which are counted here.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use gnomon_config::{
    Config,
    model::{AccessFormat, AccessLog, Sink, Tracing},
};
use gnomon_shadow::span::Spans;
use rtrb::Consumer;

#[cfg(feature = "otlp")]
use super::otlp;
use super::{
    format::Formatter,
    viewers::{Show, Viewers},
};
use crate::{access, clock};

/// What control and the log thread know of each other.
#[derive(Debug)]
pub(crate) struct Desk {
    settings: Mutex<Settings>,
    /// Raised when the settings have changed.
    revision: AtomicU64,
    /// Set to have a file opened anew.
    reopen: AtomicBool,
    ending: AtomicBool,
    /// Lines written.
    pub(crate) lines: AtomicU64,
    /// Times that the sink refused.
    pub(crate) failures: AtomicU64,
    /// What it said last.
    last_failure: Mutex<Option<String>>,
    /// Those who look at exchanges as they end.
    pub(crate) viewers: Viewers,
    /// What became of spans.
    pub(crate) span_tally: SpanTally,
    /// Spans on their way to a collector.
    #[cfg(feature = "otlp")]
    pub(crate) spans: otlp::Queue,
    /// What this process is called among its like.
    #[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "spans say it"))]
    pub(crate) instance: String,
}

/// What the thread goes by.
#[derive(Clone, Debug, PartialEq)]
struct Settings {
    log: AccessLog,
    trace: Tracing,
}

impl Settings {
    fn of(config: &Config) -> Self {
        Self { log: config.access_log.clone(), trace: config.trace.clone() }
    }
}

/// What became of spans, but for those that found no room in a core's ring.
#[derive(Debug, Default)]
pub(crate) struct SpanTally {
    pub(crate) sent: AtomicU64,
    /// By the collector.
    pub(crate) rejected: AtomicU64,
    /// Because too many waited.
    pub(crate) dropped: AtomicU64,
    /// Given up.
    pub(crate) failed: AtomicU64,
}

impl Desk {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            settings: Mutex::new(Settings::of(config)),
            revision: AtomicU64::new(1),
            reopen: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            lines: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            last_failure: Mutex::new(None),
            viewers: Viewers::default(),
            span_tally: SpanTally::default(),
            #[cfg(feature = "otlp")]
            spans: otlp::Queue::default(),
            instance: instance(),
        }
    }

    /// Has the thread take over what `config` says, if that is new.
    pub(crate) fn set(&self, config: &Config) {
        let settings = Settings::of(config);
        let mut current = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        if *current != settings {
            *current = settings;
            self.revision.fetch_add(1, Relaxed);
        }
    }

    /// Has a file opened anew, after it was rotated away.
    pub(crate) fn reopen(&self) {
        self.reopen.store(true, Relaxed);
    }

    /// Has the thread write what is left, and end.
    pub(crate) fn end(&self) {
        self.ending.store(true, Relaxed);
    }

    /// What the sink said last.
    pub(crate) fn last_failure(&self) -> String {
        let last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone().unwrap_or_default()
    }

    fn note(&self, error: &io::Error) {
        self.failures.fetch_add(1, Relaxed);
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }
}

/// The thread's body.
pub(crate) fn run(rings: &mut [Consumer<u8>], copies: &Spans, desk: &Desk) {
    let mut writer = Writer::new(desk);
    loop {
        // Read before the rings: what was written before the end was called is not lost.
        let ending = desk.ending.load(Relaxed);
        writer.follow();
        let found: usize = rings.iter_mut().map(|ring| writer.take(ring)).sum();
        let found = found + writer.take_copies(copies);
        writer.flush_if_due(ending);
        if ending && found == 0 {
            return;
        }
        if found == 0 {
            // The only wait. Nobody wakes this thread, so that a line costs its core no system
            // call; 5 ms of a core's full rate are a quarter of its ring.
            thread::park_timeout(PAUSE);
        }
    }
}

/// Checks that `sink` can be written.
pub(crate) fn open(sink: &Sink) -> io::Result<Box<dyn Write + Send>> {
    Ok(match sink {
        Sink::Stdout => Box::new(io::stdout()),
        Sink::Stderr => Box::new(io::stderr()),
        Sink::File(path) => Box::new(append(path)?),
    })
}

/// Opens a log file.
pub(crate) fn append(path: &std::path::Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// A name that no other process has, for as long as this one lives.
fn instance() -> String {
    let seed = gnomon_sys::entropy::draw().unwrap_or_default();
    seed[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Writer<'a> {
    desk: &'a Desk,
    revision: u64,
    formatter: Formatter,
    sink: Option<BufWriter<Box<dyn Write + Send>>>,
    frame: Vec<u8>,
    line: Vec<u8>,
    flushed: clock::Moment,
    dirty: bool,
    show: Show<'a>,
    #[cfg(feature = "otlp")]
    spans: otlp::Gatherer<'a>,
}

impl<'a> Writer<'a> {
    fn new(desk: &'a Desk) -> Self {
        Self {
            desk,
            revision: 0,
            formatter: Formatter::new(AccessFormat::Off, &[], &[]),
            sink: None,
            frame: Vec::new(),
            line: Vec::new(),
            flushed: clock::now(),
            dirty: false,
            show: Show::new(&desk.viewers),
            #[cfg(feature = "otlp")]
            spans: otlp::Gatherer::new(&desk.spans, &desk.span_tally),
        }
    }

    /// Takes over new settings and opens the sink anew where that was asked for.
    fn follow(&mut self) {
        self.show.follow();
        let revision = self.desk.revision.load(Relaxed);
        let changed = revision != self.revision;
        if !changed && !self.desk.reopen.swap(false, Relaxed) {
            return;
        }
        self.flush();
        self.revision = revision;
        let settings = self.desk.settings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Settings { log: settings, trace } = settings;
        self.show.redact(&settings.redact_query);
        #[cfg(feature = "otlp")]
        self.spans.follow(trace.otlp.as_ref(), &settings.redact_query);
        #[cfg(not(feature = "otlp"))]
        drop(trace);
        self.formatter =
            Formatter::new(settings.format, &settings.redact_query, &settings.left_out);
        if settings.format == AccessFormat::Off {
            self.sink = None;
            return;
        }
        match open(&settings.to) {
            Ok(sink) => self.sink = Some(BufWriter::with_capacity(BUFFER_BYTES, sink)),
            // The old one, if any, goes on: better a line in the rotated file than none.
            Err(error) => self.desk.note(&error),
        }
    }

    /// Writes what a ring holds, at most a batch, and says how many lines that were.
    fn take(&mut self, ring: &mut Consumer<u8>) -> usize {
        for taken in 0..BATCH {
            self.line.clear();
            let mut frame = std::mem::take(&mut self.frame);
            let found = access::read(ring, &mut frame, |record| self.see(record));
            self.frame = frame;
            if !found {
                return taken;
            }
            if !self.line.is_empty() {
                self.put();
            }
        }
        BATCH
    }

    /// Gives a record to everybody who wants it.
    fn see(&mut self, record: &access::Record<'_>) {
        if record.wants.line {
            self.formatter.write(record, &mut self.line);
        }
        if record.wants.viewers {
            self.show.show(record);
        }
        #[cfg(feature = "otlp")]
        if record.wants.spans {
            self.spans.take(record);
        }
    }

    /// Takes what there is of spans of copies, at most a batch.
    fn take_copies(&mut self, copies: &Spans) -> usize {
        let taken = std::iter::from_fn(|| copies.next()).take(BATCH);
        #[cfg(feature = "otlp")]
        let taken = taken.map(|copy| self.spans.take_copy(&copy));
        taken.count()
    }

    fn put(&mut self) {
        let Some(sink) = &mut self.sink else { return };
        match sink.write_all(&self.line) {
            Ok(()) => {
                self.dirty = true;
                self.desk.lines.fetch_add(1, Relaxed);
            }
            Err(error) => self.desk.note(&error),
        }
    }

    fn flush_if_due(&mut self, ending: bool) {
        let now = clock::now();
        #[cfg(feature = "otlp")]
        self.spans.leave_if_due(now);
        if ending || now.duration_since(self.flushed) >= FLUSH {
            self.flushed = now;
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        if let Some(Err(error)) = self.sink.as_mut().map(Write::flush) {
            self.desk.note(&error);
            // What the buffer holds is tried again, even if no line follows.
            self.dirty = true;
        }
    }
}

/// How long the thread rests when all rings are empty.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a line may wait in the buffer: short enough for `tail -f`.
const FLUSH: Duration = Duration::from_millis(200);
/// Some 200 lines a system call.
const BUFFER_BYTES: usize = 64 << 10;
/// Lines of one ring before the next has its turn.
const BATCH: usize = 512;

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, sync::Arc};

    use super::*;
    use crate::access::{Record, Texts};

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("gnomon-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn desk(path: &std::path::Path) -> Arc<Desk> {
        let text = format!(
            "listen = \"127.0.0.1:0\"\naccess_log = {{ format = \"common\", to = {path:?} }}\n\
             route.all.respond.status = 204\n"
        );
        let loaded = gnomon_config::parse("t", &text, &gnomon_config::Options::default());
        Arc::new(Desk::new(&loaded.unwrap_or_else(|problems| panic!("{problems}")).config))
    }

    fn record(path: &'static [u8]) -> Record<'static> {
        let texts = Texts { path, ..Texts::default() };
        Record {
            time: Duration::ZERO,
            total_us: 0,
            queue_us: 0,
            connect_us: 0,
            first_byte_us: 0,
            status: 200,
            minor: 1,
            attempts: 1,
            end: *b"--",
            assignment: None,
            probability: 0,
            sent: 0,
            received: 0,
            texts,
            tls: None,
            is_plain: false,
            arm: None,
            wants: access::Wants { line: true, ..access::Wants::default() },
            spans: &[],
        }
    }

    fn wait_for(path: &std::path::Path, lines: usize) {
        while std::fs::read_to_string(path).unwrap_or_default().lines().count() < lines {
            thread::park_timeout(Duration::from_millis(1));
        }
    }

    #[test]
    fn lines_are_written_files_reopened_and_nothing_is_lost_at_the_end() {
        let folder = folder("logs");
        let (path, rotated) = (folder.join("access.log"), folder.join("access.log.1"));
        let desk = desk(&path);
        let (core, ring) = rtrb::RingBuffer::new(access::RING_BYTES);
        let mut core = access::Recorder::new(core);
        let theirs = desk.clone();
        let log = thread::Builder::new()
            .spawn(move || run(&mut [ring], &Spans::default(), &theirs))
            .unwrap();
        assert!(core.write(&record(b"/one")));
        wait_for(&path, 1);
        std::fs::rename(&path, &rotated).unwrap();
        desk.reopen();
        while !path.exists() {
            thread::yield_now();
        }
        for _ in 0..1000 {
            assert!(core.write(&record(b"/two")));
        }
        desk.end();
        log.join().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().filter(|line| line.contains("/two")).count(), 1000);
        assert!(std::fs::read_to_string(&rotated).unwrap().contains("/one"));
        assert_eq!(desk.lines.load(Relaxed), 1001);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_sink_that_fails_is_counted_and_drained_all_the_same() {
        let desk = desk("/dev/full".as_ref());
        let (core, ring) = rtrb::RingBuffer::new(access::RING_BYTES);
        let mut core = access::Recorder::new(core);
        assert!(core.write(&record(b"/")));
        desk.end();
        run(&mut [ring], &Spans::default(), &desk);
        assert!(desk.failures.load(Relaxed) > 0);
        assert!(desk.last_failure.lock().unwrap().is_some());
    }
}
