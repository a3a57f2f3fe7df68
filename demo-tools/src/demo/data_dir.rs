//! Where the demo keeps its files.

use std::fs::DirBuilder;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

/// A directory for configuration and database, readable by this user alone where it is made here.
#[derive(Debug)]
pub(crate) enum DataDir {
    /// Removed when this value is dropped.
    Temporary(TempDir, PathBuf),
    /// Chosen by the user, and left alone at the end.
    Kept(PathBuf),
}

impl DataDir {
    pub(crate) fn open(chosen: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(path) = chosen {
            make_private(path)
                .and_then(|()| path.canonicalize())
                .map(Self::Kept)
                .with_context(|| format!("cannot use `{}` (`--data-dir`)", path.display()))
        } else {
            let directory =
                TempDir::with_prefix("mcp-auth-demo-").context("cannot make a temporary directory")?;
            let path = directory.path().canonicalize()?;
            Ok(Self::Temporary(directory, path))
        }
    }

    /// The absolute path.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Temporary(_, path) | Self::Kept(path) => path,
        }
    }

    /// Removes the directory if it was temporary.
    pub(crate) fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Temporary(directory, path) => {
                directory.close().with_context(|| format!("cannot remove `{}`", path.display()))
            }
            Self::Kept(_) => Ok(()),
        }
    }
}

fn make_private(path: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        // signing keys end up in here
        builder.mode(0o700);
    }
    builder.create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_the_way_is_named_with_the_flag() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let fault = DataDir::open(Some(&file.path().join("below"))).unwrap_err().to_string();
        assert!(fault.contains("--data-dir"), "{fault}");
    }

    #[test]
    fn a_temporary_directory_goes_and_a_chosen_one_stays() {
        let temporary = DataDir::open(None).unwrap();
        let path = temporary.path().to_owned();
        assert!(path.is_absolute() && path.is_dir());
        temporary.close().unwrap();
        assert!(!path.exists());

        let above = TempDir::new().unwrap();
        let chosen = above.path().join("a/b");
        DataDir::open(Some(&chosen)).unwrap().close().unwrap();
        assert!(chosen.is_dir());
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_made_here_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let above = TempDir::new().unwrap();
        let chosen = above.path().join("new");
        let directory = DataDir::open(Some(&chosen)).unwrap();
        assert_eq!(std::fs::metadata(directory.path()).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
