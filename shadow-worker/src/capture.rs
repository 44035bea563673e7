//! A body on its way past: its beginning, its length and, if it is long, its hash.

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use crate::difference::Body;

/// Keeps the beginning of a body; hashes all of it once it is longer than that.
pub struct Capture {
    bytes: Vec<u8>,
    /// Bytes kept at most.
    most: usize,
    length: u64,
    hash: Option<Box<Xxh3>>,
}

impl Capture {
    /// Keeps at most `most` bytes.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self { bytes: Vec::new(), most, length: 0, hash: None }
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.length += piece.len() as u64;
        if self.hash.is_none() && piece.len() > self.room() {
            let mut hash = Box::new(Xxh3::new());
            hash.update(&self.bytes);
            self.hash = Some(hash);
        }
        match &mut self.hash {
            Some(hash) => hash.update(piece),
            None => self.bytes.extend_from_slice(piece),
        }
    }

    /// Bytes that would be kept of a piece this long.
    #[must_use]
    pub fn wants(&self, piece: usize) -> usize {
        if self.hash.is_none() && piece <= self.room() { piece } else { 0 }
    }

    /// Bytes kept.
    #[must_use]
    pub const fn kept(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes that have passed.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Keeps no more than it has.
    pub const fn close(&mut self) {
        self.most = self.bytes.len();
    }

    /// The body; only once all of it has passed.
    #[must_use]
    pub fn finish(self) -> Body {
        let hash = self.hash.map(|hash| hash.digest());
        Body { bytes: Bytes::from(self.bytes), length: self.length, hash }
    }

    const fn room(&self) -> usize {
        self.most.saturating_sub(self.bytes.len())
    }
}

impl std::fmt::Debug for Capture {
    /// Never the text: it may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kept = self.kept();
        f.debug_struct("Capture").field("length", &self.length).field("kept", &kept).finish()
    }
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    fn captured(most: usize, pieces: &[&[u8]]) -> Body {
        let mut capture = Capture::new(most);
        pieces.iter().for_each(|piece| capture.push(piece));
        capture.finish()
    }

    #[test]
    fn what_fits_is_kept_whole() {
        let body = captured(6, &[b"abc", b"def"]);
        assert_eq!(body, Body { bytes: "abcdef".into(), length: 6, hash: None });
    }

    #[test]
    fn what_does_not_fit_is_hashed_whole_however_it_is_cut() {
        let whole = xxh3_64(b"abcdefgh");
        for pieces in [&[&b"abcdefgh"[..]][..], &[b"abc", b"defgh"], &[b"abcdef", b"", b"gh"]] {
            let body = captured(6, pieces);
            assert_eq!((body.length, body.hash), (8, Some(whole)));
            assert!(body.bytes.len() <= 6 && b"abcdefgh".starts_with(&body.bytes));
        }
    }

    #[test]
    fn closed_it_keeps_what_it_has() {
        let mut capture = Capture::new(100);
        capture.push(b"abc");
        capture.close();
        assert_eq!(capture.wants(1), 0);
        capture.push(b"d");
        let body = capture.finish();
        assert_eq!(
            (&body.bytes[..], body.length, body.hash),
            (&b"abc"[..], 4, Some(xxh3_64(b"abcd")))
        );
    }
}
