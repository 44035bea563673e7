//! Everything that is learnt from pairs of replies, for each shadow. Owned by the shadow thread.
//!
//! Memory is bounded whatever comes: endpoints, paths, findings, examples and marks of a shadow
//! have a most, and what does not fit is counted.

mod book;
mod publish;

use std::{fmt, sync::Arc, time::Duration};

use gnomon_config::model::Shadow;

use crate::{
    difference::{Difference, Uncomparable},
    endpoint,
    evidence::LEARNING,
    exchange::{Asked, Reply},
    finding::MarkKind,
    redact::Redactor,
    report::{Report, ShadowReport},
    tally::Draw,
};
use book::Book;

/// What is known of all shadows.
#[derive(Debug)]
pub struct Ledger {
    books: Vec<Book>,
    key: [u8; 32],
    /// Counts everything that happens: what it was when something last changed is its revision.
    revision: u64,
    published: Arc<Report>,
}

/// Replies to one request, compared.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// Method and path without identifiers: [`endpoint::key`].
    pub endpoint: &'a str,
    /// What was asked.
    pub request: &'a Asked,
    /// What the primary answered.
    pub primary: &'a Reply,
    /// What the shadow answered.
    pub shadow: &'a Reply,
    /// What the primary's version answered the second time, if it did.
    pub second: Option<&'a Reply>,
    /// What differs between the first two.
    pub found: &'a [Difference],
    /// How it was decided whether to ask the primary's version a second time. It must not depend
    /// on any answer.
    pub draw: Draw,
    /// What came of it.
    pub baseline: Baseline<'a>,
    /// All paths that were compared; empty where they were not listed this time.
    pub paths: &'a [Box<str>],
    /// Why something could not be compared.
    pub uncomparable: Option<Uncomparable>,
    /// Times to the first byte of both replays: the shadow's, and the primary's second answer.
    pub pace: Option<(Duration, Duration)>,
    /// The versions compared, for the examples.
    pub versions: &'a str,
    /// Hash of the configuration in force, for the examples.
    pub config: &'a str,
    /// The time, in milliseconds since 1970.
    pub at: u64,
}

/// What became of the second request to the primary's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline<'a> {
    /// It was not made: the draw said so.
    Unasked,
    /// It was made, but there is no answer to compare. Such a pair is no evidence.
    Lost,
    /// Primary and second primary differ in this.
    Found(&'a [Difference]),
}

/// What a person may tell the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Pin a verdict to paths.
    Mark {
        /// A pattern such as `$..updated_at`, or a path as it is.
        pattern: Box<str>,
        /// Which verdict.
        kind: MarkKind,
        /// Who says so.
        by: Box<str>,
        /// Why.
        why: Box<str>,
    },
    /// Take a pin away.
    Unmark {
        /// The pattern it was pinned to.
        pattern: Box<str>,
    },
    /// Forget what was learnt and found: of one path, or of all.
    Forget {
        /// The path; all if none.
        path: Option<Box<str>>,
    },
}

/// Why a command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such shadow.
    NoShadow,
    /// The pattern is no path.
    Pattern,
    /// There is no such mark or path.
    Nothing,
    /// There are too many marks, or a text is too long.
    TooMuch,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoShadow => "there is no such shadow",
            Self::Pattern => "the pattern is no path",
            Self::Nothing => "there is no such thing",
            Self::TooMuch => "there are too many, or it is too long",
        })
    }
}

impl std::error::Error for Refusal {}

/// What was kept from an earlier run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Saved {
    /// The shadows of that time.
    pub shadows: Vec<ShadowReport>,
}

impl Ledger {
    /// A ledger that knows what was `saved`. Secrets are hashed under `key`.
    #[must_use]
    pub fn new(key: [u8; 32], saved: Saved) -> Self {
        let mut ledger =
            Self { books: Vec::new(), key, revision: 0, published: Arc::new(Report::default()) };
        for shadow in saved.shadows.into_iter().take(SHADOWS_MAX) {
            ledger.revision += 1;
            let book = Book::restore(shadow, ledger.revision);
            ledger.books.push(book);
        }
        ledger
    }

    /// Takes over the rules of these shadows. Those that are gone are put aside, not forgotten.
    pub fn configure(&mut self, shadows: &[Shadow]) {
        for book in &mut self.books {
            book.close();
        }
        for shadow in shadows {
            let redactor = Redactor::new(&shadow.redact, self.key);
            self.open(&shadow.name, shadow.keep.clone(), redactor);
        }
    }

    fn open(&mut self, name: &str, keep: gnomon_config::model::Keep, redactor: Redactor) {
        self.revision += 1;
        self.book(name).open(keep, redactor);
    }

    /// The book of this shadow; a new one if there is none.
    fn book(&mut self, name: &str) -> &mut Book {
        let index = self.index(name).unwrap_or_else(|| {
            if self.books.len() >= SHADOWS_MAX
                && let Some(gone) = self.books.iter().position(|book| !book.is_open())
            {
                self.books.remove(gone);
            }
            self.books.push(Book::new(name));
            self.books.len() - 1
        });
        &mut self.books[index]
    }

    /// Whether the primary's version is to be asked again each time, because too little is known
    /// of this endpoint.
    #[must_use]
    pub fn is_learning(&self, shadow: &str, endpoint: &str) -> bool {
        let book = self.index(shadow).map(|index| &self.books[index]);
        book.is_none_or(|book| book.first_pairs(endpoint) < LEARNING)
    }

    /// Counts a pair of replies of this shadow. After a reload a core may know of it earlier than
    /// we do.
    pub fn record(&mut self, shadow: &str, pair: &Pair<'_>) {
        self.revision += 1;
        let revision = self.revision;
        self.book(shadow).record(pair, revision);
    }

    /// Does what a person says to this shadow.
    ///
    /// # Errors
    /// If it cannot be done; then nothing has changed.
    pub fn command(&mut self, shadow: &str, command: Command, at: u64) -> Result<(), Refusal> {
        let index = self.index(shadow).ok_or(Refusal::NoShadow)?;
        self.revision += 1;
        self.books[index].command(command, at, self.revision)
    }

    /// What is known at this time. The same report as before where nothing has changed.
    pub fn report(&mut self, at: u64) -> Arc<Report> {
        let mut expired = false;
        for book in &mut self.books {
            expired |= book.expire(at);
        }
        self.revision += u64::from(expired);
        if self.revision != self.published.revision {
            let open = self.books.iter_mut().filter(|book| book.is_open());
            let mut shadows: Vec<_> = open.map(|book| book.report(self.revision)).collect();
            shadows.sort_by(|a, b| a.name.cmp(&b.name));
            self.published = Arc::new(Report { at, revision: self.revision, shadows });
        }
        self.published.clone()
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.books.iter().position(|book| book.name() == name)
    }
}

/// Shadows of which something is remembered, those that are no longer configured included.
const SHADOWS_MAX: usize = 64;

#[cfg(test)]
pub(crate) mod tests;
