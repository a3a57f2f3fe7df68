//! Whether SQLite's file is still where it was when it was opened.
//!
//! SQLite goes on with a file that was removed or moved away, and what it writes there is gone with the process: sign-ins
//! and revocations that were confirmed and never were. So it is asked each time, which costs one call of the system.

use std::{
    fs::Metadata,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::storage::{Result, StorageError};

/// A file that is open.
#[derive(Clone, Debug)]
pub(super) struct OpenFile {
    path: Arc<PathBuf>,
    identity: Identity,
}

impl OpenFile {
    /// Notes which file is open.
    pub(super) fn new(path: &Path) -> std::io::Result<Self> {
        Ok(Self { path: Arc::new(path.to_owned()), identity: identity(&std::fs::metadata(path)?) })
    }

    /// Fails where there is no file any more, or another one: once the same one is back, it goes on.
    pub(super) fn check(&self) -> Result<()> {
        let found = std::fs::metadata(&*self.path).map_err(StorageError::new)?;
        if identity(&found) == self.identity {
            return Ok(());
        }
        Err(StorageError::new("the database was replaced by another file: start the server again"))
    }
}

#[cfg(unix)]
type Identity = (u64, u64);

#[cfg(unix)]
fn identity(file: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;

    (file.dev(), file.ino())
}

#[cfg(not(unix))]
type Identity = ();

#[cfg(not(unix))]
const fn identity(_: &Metadata) -> Identity {}
