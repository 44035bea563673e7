//! Our own log: one line per change of state, by `tracing`. Never on the path of a request.
//!
//! Installed by the `run` command alone; a proxy inside a test says nothing.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
};

use gnomon_config::model::{Level, Log, LogFormat, Sink};
use tracing::{Event, Subscriber, field::Field, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    fmt::{
        FmtContext, FormatEvent, FormatFields, MakeWriter, format,
        format::{Format, Json, Writer},
        time::{FormatTime, SystemTime},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt,
};

use crate::control::logs;

/// Our own log, installed.
#[derive(Debug)]
pub struct OwnLog {
    current: Mutex<Log>,
    output: Output,
    look: Arc<AtomicU8>,
    filter: reload::Handle<Targets, Registry>,
}

/// Installs our own log for the whole process.
///
/// # Errors
/// If the sink can't be opened, or a log is installed already.
pub fn install(settings: &Log) -> io::Result<OwnLog> {
    let output = Output::open(&settings.to)?;
    let look = Arc::new(AtomicU8::new(look(settings)));
    // Colours are each look's own business.
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(output.clone())
        .with_ansi(true)
        .event_format(Lines::new(look.clone()));
    let (filter, handle) = reload::Layer::new(targets(settings.level));
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init()
        .map_err(io::Error::other)?;
    Ok(OwnLog { current: Mutex::new(settings.clone()), output, look, filter: handle })
}

impl OwnLog {
    /// Opens the file anew, after it was rotated away.
    ///
    /// # Errors
    /// If the file can't be opened; the old one stays in use then.
    pub fn reopen(&self) -> io::Result<()> {
        let sink = self.current.lock().unwrap_or_else(PoisonError::into_inner).to.clone();
        self.output.set(&sink)
    }

    /// Takes over new settings.
    pub(crate) fn follow(&self, settings: &Log) -> io::Result<()> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.to != settings.to {
            self.output.set(&settings.to)?;
        }
        // Refused only if the log is gone.
        let _ = self.filter.reload(targets(settings.level));
        self.look.store(look(settings), Relaxed);
        *current = settings.clone();
        Ok(())
    }
}

/// How a line looks, as [`Lines`] knows it.
fn look(settings: &Log) -> u8 {
    let terminal = match settings.to {
        Sink::Stdout => io::stdout().is_terminal(),
        Sink::Stderr => io::stderr().is_terminal(),
        Sink::File(_) => false,
    };
    match (settings.format, terminal) {
        (LogFormat::Text | LogFormat::Auto, true) => COLOURED,
        (LogFormat::Text, false) => PLAIN,
        (LogFormat::Json, _) | (LogFormat::Auto, false) => JSON,
        (LogFormat::Logfmt, _) => LOGFMT,
    }
}

const COLOURED: u8 = 0;
const PLAIN: u8 = 1;
const JSON: u8 = 2;
const LOGFMT: u8 = 3;

/// All looks in one, so that a reload can change it.
struct Lines {
    look: Arc<AtomicU8>,
    coloured: Format,
    plain: Format,
    json: Format<Json>,
}

impl Lines {
    fn new(look: Arc<AtomicU8>) -> Self {
        let text = || format().with_target(false);
        Self {
            look,
            coloured: text().with_ansi(true),
            plain: text().with_ansi(false),
            json: text().json().flatten_event(true).with_current_span(false).with_span_list(false),
        }
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match self.look.load(Relaxed) {
            COLOURED => self.coloured.format_event(context, writer, event),
            PLAIN => self.plain.format_event(context, writer, event),
            LOGFMT => logfmt(writer, event),
            _ => self.json.format_event(context, writer, event),
        }
    }
}

/// Ours as configured; of other crates only what is wrong.
fn targets(level: Level) -> Targets {
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    Targets::new().with_target("gnomon", level).with_default(level.min(LevelFilter::WARN))
}

/// Where lines go, for every thread; a line is written whole.
#[derive(Clone)]
struct Output(Arc<Mutex<Box<dyn Write + Send>>>);

impl Output {
    fn open(sink: &Sink) -> io::Result<Self> {
        Ok(Self(Arc::new(Mutex::new(logs::open(sink)?))))
    }

    fn set(&self, sink: &Sink) -> io::Result<()> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = logs::open(sink)?;
        Ok(())
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Output")
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

impl MakeWriter<'_> for Output {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// `time=… level=… msg=… key=value`.
fn logfmt(mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
    writer.write_str("time=")?;
    SystemTime.format_time(&mut writer)?;
    let level = event.metadata().level().as_str().to_ascii_lowercase();
    write!(writer, " level={level}")?;
    let mut fields = Fields { writer: &mut writer, result: Ok(()) };
    event.record(&mut fields);
    fields.result?;
    writeln!(writer)
}

struct Fields<'a, 'w> {
    writer: &'a mut Writer<'w>,
    result: fmt::Result,
}

impl tracing::field::Visit for Fields<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let name = if field.name() == "message" { "msg" } else { field.name() };
        let bare = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\');
        if self.result.is_ok() {
            self.result = if value.bytes().all(bare) {
                write!(self.writer, " {name}={value}")
            } else {
                write!(self.writer, " {name}={value:?}")
            };
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_of_logfmt_cannot_be_broken() {
        let memory = Memory::default();
        let output = Output(Arc::new(Mutex::new(Box::new(memory.clone()))));
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(output)
            .event_format(Lines::new(Arc::new(AtomicU8::new(LOGFMT))));
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(name = "a\n\"b\"", times = 3, plain = %"x", "two words");
        });
        let text = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
        let expected = " level=warn msg=\"two words\" name=\"a\\n\\\"b\\\"\" times=3 plain=x\n";
        assert!(text.ends_with(expected), "{text}");
    }
}
