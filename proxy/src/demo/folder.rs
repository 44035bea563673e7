//! A private folder that goes when its owner does.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crate::clock;

/// A folder that nobody else may look into, removed when dropped.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> io::Result<Self> {
        let name = format!("gnomon-demo-{}-{:x}", std::process::id(), clock::wall().as_nanos());
        let mut path = std::env::temp_dir().join(&name);
        // The kernel takes 107 bytes of a socket's path, and some temporary folders are deep.
        if path.as_os_str().len() > PATH_BYTES_MAX {
            path = Path::new("/tmp").join(&name);
        }
        // Refuses a folder that is there already, whoever made it.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.0.join("admin.sock")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.0.join("state")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of it is in a folder for temporary things.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Room for `/admin.sock.new` below 107.
const PATH_BYTES_MAX: usize = 90;
