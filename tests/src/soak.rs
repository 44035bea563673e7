//! A soak: a proxy under all the load this machine can make, with clients and origins that break
//! every rule at random, and every reply checked end to end.
//!
//! Each request has a number, from which everything about it follows (`asked`): its method, its
//! body, the reply, and what goes wrong. Its origin checks what arrives, its client checks what
//! comes back, and a POST that arrives twice is seen. Meanwhile the configuration is reloaded, and
//! memory and file descriptors of the proxy are sampled.

mod asked;
mod books;
mod clients;
mod dice;
mod peers;
mod watch;

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use gnomon::{clock, control::ctl};

use self::books::{Books, add};
pub use self::watch::Sample;
use crate::{Door, Origin, PATIENCE, eventually::linger, spawn};

/// What a soak is like.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Clients at once, each on a thread of its own.
    pub clients: usize,
    /// How long they ask.
    pub lasting: Duration,
    /// Between two samples.
    pub sample: Duration,
    /// Between two reloads.
    pub reload: Duration,
    /// What all luck follows from.
    pub seed: u64,
}

/// The origins of a soak; they listen already.
#[derive(Debug)]
pub struct Soak {
    terms: Terms,
    books: Arc<Books>,
    origins: Vec<Origin>,
    shadow: Origin,
    nobody: (socket2::Socket, SocketAddr),
}

/// A proxy that is to be soaked.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it serves.
    pub door: Door,
    /// Path of its admin socket.
    pub admin: PathBuf,
    /// Its configuration, which is written anew before each reload.
    pub config: PathBuf,
    /// Its process.
    pub pid: u32,
}

impl Soak {
    /// Starts the origins.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        let books = Arc::new(Books::new());
        Self {
            terms,
            origins: (0..3).map(|_| peers::origin(terms.seed, &books)).collect(),
            shadow: peers::shadow(terms.seed),
            nobody: peers::nobody(),
            books,
        }
    }

    /// The proxy's configuration, but for where it listens; each turn has another.
    #[must_use]
    pub fn config(&self, turn: u64) -> String {
        let at = |index: usize| self.origins[index].address();
        let share = 20 + turn % 2 * 10;
        format!(
            "upstream.o.versions.v1 = [\"{}\", \"{}\", \"{}\"]\n\
             upstream.o.versions.v2 = [\"{}\"]\n\
             upstream.o.versions.v3 = [\"{}\"]\n\
             upstream.o.split = {{ v1 = {}, v2 = {share} }}\n\
             upstream.o.retry = {{ attempts = 6, budget = \"100%\" }}\n\
             upstream.o.eject.for = \"1s\"\n\
             route.all = {{ to = \"o\", timeouts.response = \"2s\" }}\n\
             shadow.new = {{ from = \"o@v1\", to = \"o@v3\", sample = \"5%\" }}\n\
             limits.headers = {}\n\
             access_log = {{ to = \"/dev/null\" }}\n\
             timeouts.grace = \"0s\"\n",
            at(0),
            at(1),
            self.nobody.1,
            at(2),
            self.shadow.address(),
            100 - share,
            100 + turn % 7,
        )
    }

    /// Has all clients ask, for as long as was said.
    ///
    /// # Panics
    /// If a client does.
    #[must_use]
    pub fn run(&self, target: &Target, doors: &str) -> Report {
        let ending = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..self.terms.clients)
            .map(|_| {
                let (door, books, ending) =
                    (target.door.clone(), self.books.clone(), ending.clone());
                let seed = self.terms.seed;
                spawn("client", move || {
                    clients::run(&door, seed, &books, &|| ending.load(Relaxed));
                })
            })
            .collect();
        let samples = self.attend(target, doors);
        ending.store(true, Relaxed);
        for client in clients {
            client.join().expect("no client panics");
        }
        self.close(target, samples)
    }

    /// Samples and reloads until the time is up.
    fn attend(&self, target: &Target, doors: &str) -> Vec<Sample> {
        let begun = clock::now();
        let (mut samples, mut turn) = (Vec::new(), 0);
        let (mut sampled, mut reloaded) = (Duration::ZERO, Duration::ZERO);
        while begun.elapsed() < self.terms.lasting {
            linger(LOOK);
            let now = begun.elapsed();
            if now - sampled >= self.terms.sample {
                sampled = now;
                match watch::look(target.pid, now.as_secs(), self.books.asked()) {
                    Some(sample) => samples.push(sample),
                    None => {
                        self.books.is_wrong("the proxy is gone".to_owned());
                        break;
                    }
                }
            }
            if now - reloaded >= self.terms.reload {
                reloaded = now;
                turn += 1;
                self.reload(target, doors, turn);
            }
        }
        samples
    }

    fn reload(&self, target: &Target, doors: &str, turn: u64) {
        let text = format!("{doors}{}", self.config(turn));
        if let Err(error) = std::fs::write(&target.config, text) {
            self.books.is_wrong(format!("{}: {error}", target.config.display()));
        }
        match ctl::call(&target.admin, "POST", "/v1/reload", b"") {
            Ok((200, _)) => add(&self.books.reloads),
            other => self.books.is_wrong(format!("a reload failed: {other:?}")),
        }
    }

    /// Waits until the proxy holds nothing any more, and tells all.
    fn close(&self, target: &Target, samples: Vec<Sample>) -> Report {
        let begun = clock::now();
        let held = loop {
            match held(&target.admin) {
                Ok(held) if !held.is_empty() && begun.elapsed() < PATIENCE => linger(LOOK),
                Ok(held) => break held,
                Err(why) => break vec![why],
            }
        };
        let books = &self.books;
        let (wrongs, told) = books.wrong();
        let mut violations = told;
        if wrongs > violations.len() as u64 {
            violations.push(format!("and so on, {wrongs} in all"));
        }
        violations.extend(held.into_iter().chain(watch::growth(&samples)));
        let counts = [
            ("requests", books.asked()),
            ("right", books.right.load(Relaxed)),
            ("failed as their origin did", books.failed.load(Relaxed)),
            ("cut as their origin did", books.cut.load(Relaxed)),
            ("not repeatable, on connections that died", books.stale.load(Relaxed)),
            ("given up by their clients", books.left.load(Relaxed)),
            ("connections that died as they were used again", books.tired.load(Relaxed)),
            ("MiB of replies", books.bytes.load(Relaxed) >> 20),
            ("reloads", books.reloads.load(Relaxed)),
        ];
        Report { counts: counts.to_vec(), samples, violations }
    }
}

/// What a proxy still holds that nobody asks, and whether anything in it has panicked.
fn held(admin: &Path) -> Result<Vec<String>, String> {
    let status =
        watch::status(admin).map_err(|why| format!("the admin API does not answer: {why}"))?;
    let panics: u64 = status.cores.iter().map(|core| core.panics).sum();
    let panicked = (panics > 0).then(|| format!("{panics} connections have panicked"));
    Ok(watch::held(&status).into_iter().chain(panicked).collect())
}

/// What a soak has shown.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was counted.
    pub counts: Vec<(&'static str, u64)>,
    /// What the proxy used.
    pub samples: Vec<Sample>,
    /// What must not be; empty if all is well.
    pub violations: Vec<String>,
}

impl Report {
    /// How many there were of something.
    #[must_use]
    pub fn count(&self, what: &str) -> u64 {
        self.counts.iter().find(|(name, _)| *name == what).map_or(0, |(_, count)| *count)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &self.counts {
            writeln!(f, "{count:>12} {what}")?;
        }
        writeln!(f, "\n{:>8} {:>12} {:>10} {:>6}", "seconds", "requests", "RSS KiB", "fds")?;
        // Twenty lines say as much as hundreds.
        let step = (self.samples.len() / 20).max(1);
        for sample in self.samples.iter().step_by(step) {
            let Sample { at, asked, rss, fds } = sample;
            writeln!(f, "{at:>8} {asked:>12} {rss:>10} {fds:>6}")?;
        }
        match self.violations.len() {
            0 => writeln!(f, "\nno violation"),
            count => writeln!(f, "\n{count} VIOLATIONS\n{}", self.violations.join("\n")),
        }
    }
}

/// Between two looks at the clock.
const LOOK: Duration = Duration::from_millis(20);
