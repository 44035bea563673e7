//! The keys of session tickets, from one process to the next.

use super::Running;
use crate::control::api::Refused;

impl Running {
    /// The keys of session tickets as bytes, for the process that takes over: with them, whoever was
    /// connected here resumes there. They go over a socket of ours and nowhere else.
    #[must_use]
    pub fn export_tickets(&self) -> Vec<u8> {
        self.control.export_tickets()
    }

    /// Goes on with the keys of the process before.
    ///
    /// # Errors
    /// If these are no keys: then all is as before.
    pub fn import_tickets(&self, keys: &[u8]) -> Result<(), Refused> {
        self.control.import_tickets(keys)
    }

    /// Draws new keys if it were this late, in seconds since 1970, as happens every eight hours.
    pub fn rotate_tickets(&self, now: u64) {
        self.control.rotate_tickets(now);
    }
}
