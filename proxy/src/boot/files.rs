//! What a start that fails must not leave behind.

use std::path::PathBuf;

/// Socket files, removed again unless the start comes to a good end.
pub(super) struct Files(pub(super) Vec<PathBuf>);

impl Files {
    /// The start has come to a good end.
    pub(super) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in &self.0 {
            // It may be gone already.
            let _ = std::fs::remove_file(path);
        }
    }
}
