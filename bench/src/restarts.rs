//! Restarts of every kind under load, and what clients lose by them.
//!
//! The load is constant: clients that keep their connections, and clients that open one for each
//! request. What fails is counted as they see it, in four ways ([`Counts`]).

mod callers;
mod proxies;

use std::{
    fmt::Write,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use self::callers::Book;
pub use self::{
    callers::Counts,
    proxies::{Event, Kind, Proxy, Site},
};
use crate::rig::Rig;

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Clients with a connection that they keep, and as many without.
    pub clients: usize,
    /// Each client's pause after a request.
    pub pause: Duration,
    /// Between two events.
    pub gap: Duration,
}

/// What came of one kind of event at one proxy.
#[derive(Debug, Clone)]
pub struct Row {
    /// Name and version of the proxy.
    pub proxy: String,
    /// What happened.
    pub event: Event,
    /// How often it was meant to, and how often it did.
    pub times: (u32, u32),
    /// What the clients saw meanwhile.
    pub counts: Counts,
    /// The longest that a request took.
    pub worst: Duration,
    /// The median time from the beginning of an event to its end.
    pub took: Duration,
    /// Why it ended early.
    pub trouble: Option<String>,
}

impl Row {
    /// Of a proxy that could not even be started.
    #[must_use]
    pub fn failed(name: &str, event: Event, times: u32, why: String) -> Self {
        Self {
            proxy: name.to_owned(),
            event,
            times: (times, 0),
            counts: Counts::default(),
            worst: Duration::ZERO,
            took: Duration::ZERO,
            trouble: Some(why),
        }
    }
}

/// Has `event` happen `times` times at a proxy under load.
///
/// # Errors
/// A sentence, when the proxy does not start.
pub fn run(
    terms: &Terms,
    site: &Site,
    event: Event,
    times: u32,
    name: &str,
) -> Result<Row, String> {
    let (book, ending) = (Book::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        let _ended = Ended(&ending);
        scope.spawn(|| serve(site.upstream, &ending));
        let mut proxy = Proxy::start(site, event)?;
        for client in 0..terms.clients * 2 {
            let (book, ending, address) = (&book, &ending, site.listen);
            let pause = terms.pause;
            scope.spawn(move || callers::run(address, client % 2 == 0, pause, book, ending));
        }
        thread::sleep(terms.gap * 2);
        let before = book.counts();
        let _ = book.take_worst();
        let (mut took, mut trouble) = (Vec::new(), None);
        for _ in 0..times {
            let begun = Instant::now();
            if let Err(why) = proxy.undergo() {
                trouble = Some(why);
                break;
            }
            took.push(begun.elapsed());
            thread::sleep(terms.gap);
        }
        took.sort_unstable();
        Ok(Row {
            proxy: name.to_owned(),
            event,
            times: (times, u32::try_from(took.len()).unwrap_or(0)),
            counts: book.counts().since(&before),
            worst: book.take_worst(),
            took: took.get(took.len() / 2).copied().unwrap_or_default(),
            trouble,
        })
    })
}

/// An origin, until `ending`. If it can't listen, the proxy never answers.
fn serve(address: SocketAddr, ending: &AtomicBool) {
    let Ok(mut rig) = Rig::new().and_then(|rig| rig.with_origin(address)) else { return };
    while !ending.load(Relaxed) && rig.serve(TURN).is_ok() {}
}

/// Ends all clients, however the scope is left.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// All rows as a table.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| proxy | event | done | requests | refused | crossed | broken | other status | longest ms | event ms |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let [refused, crossed, broken, other] = row.counts.failed;
        let (meant, done) = row.times;
        let _ = writeln!(
            text,
            "| {} | {} | {done} of {meant} | {} | {refused} | {crossed} | {broken} | {other} | {:.0} | {:.0} |",
            row.proxy,
            row.event.name(),
            row.counts.asked,
            row.worst.as_secs_f64() * 1e3,
            row.took.as_secs_f64() * 1e3,
        );
    }
    for row in rows {
        if let Some(why) = &row.trouble {
            let _ = writeln!(text, "\n{}, {}: {why}", row.proxy, row.event.name());
        }
    }
    text
}

/// The origin looks this often whether it is to end.
const TURN: Duration = Duration::from_millis(100);
