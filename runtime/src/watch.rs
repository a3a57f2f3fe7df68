//! Files that are edited while the process runs.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{Event, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use thiserror::Error;
use tokio::sync::watch;

use crate::files;

/// Two reads this far apart must agree before a content counts.
const SETTLE: Duration = Duration::from_millis(200);
/// How often the file is read where no notification comes: network file systems, exhausted inotify watches.
const POLL: Duration = Duration::from_millis(500);

/// Why a settled edit was not taken over.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Refused {
    /// Editors and `>` empty a file before they write it; nobody means an empty policy.
    #[error("the file is empty")]
    Empty,
    /// It is gone, or may not be read.
    #[error("the file cannot be read: {0}")]
    Unreadable(#[source] io::Error),
}

/// A text file of which every settled edit is reported, however it is made: in place, by atomic rename, or by moving
/// a symbolic link.
///
/// A content counts when two reads 200 ms apart agree, so that a file caught half-written is not taken for an edit.
/// The directory is watched rather than the file, because a rename replaces the file that a watch would hang on.
#[derive(Debug)]
pub struct SettledFile {
    path: PathBuf,
    /// The content reported last.
    content: String,
    /// The refusal reported last, so that each is reported once.
    refused: Option<String>,
    woken: watch::Receiver<()>,
    /// Kept alive for its notifications; `None` where the system gives none and polling does the work.
    _watcher: Option<RecommendedWatcher>,
}

impl SettledFile {
    /// Reads the file and starts to watch it; returns what it holds now.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is not UTF-8, or is larger than 16 MiB.
    pub async fn open(path: impl Into<PathBuf>) -> io::Result<(String, Self)> {
        let path = path.into();
        let (wake, woken) = watch::channel(());
        // before the first read: an edit after it must not go unseen
        let watcher = notifications(&path, wake);
        let content = read(&path).await?;
        let file = Self { path, content: content.clone(), refused: None, woken, _watcher: watcher };
        Ok((content, file))
    }

    /// The file's path, as given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the next settled content that differs from the last one returned.
    ///
    /// Cancel-safe: a wait that is dropped loses no edit.
    ///
    /// # Errors
    ///
    /// An edit that cannot be taken over, once per cause; the watch goes on.
    pub async fn changed(&mut self) -> Result<String, Refused> {
        loop {
            match self.settled().await {
                Ok(content) if content == self.content => self.refused = None,
                Ok(content) if content.trim().is_empty() => {
                    if let Some(refusal) = self.refuse(Refused::Empty) {
                        return Err(refusal);
                    }
                }
                Ok(content) => {
                    self.refused = None;
                    self.content.clone_from(&content);
                    return Ok(content);
                }
                Err(reason) => {
                    if let Some(refusal) = self.refuse(Refused::Unreadable(reason)) {
                        return Err(refusal);
                    }
                }
            }
            // an error means that there is no watcher: then only time tells
            tokio::select! {
                Ok(()) = self.woken.changed() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// The refusal, unless it is the one reported last.
    fn refuse(&mut self, refusal: Refused) -> Option<Refused> {
        let words = refusal.to_string();
        if self.refused.as_ref() == Some(&words) {
            return None;
        }
        self.refused = Some(words);
        Some(refusal)
    }

    /// What the file holds once it stands still; at once where nothing has changed.
    async fn settled(&self) -> io::Result<String> {
        let mut before = read(&self.path).await;
        loop {
            if matches!(&before, Ok(content) if *content == self.content) {
                return before;
            }
            tokio::time::sleep(SETTLE).await;
            let after = read(&self.path).await;
            match (&before, &after) {
                (Ok(first), Ok(second)) if first == second => return after,
                // an atomic rename never leaves a gap, but deleting and writing anew does
                (Err(first), Err(second)) if first.kind() == second.kind() => return after,
                _ => before = after,
            }
        }
    }
}

/// Whether an event in the file's directory may be an edit of the file, which goes by this `name` there.
///
/// Others may be written all the time: a log, an audit. Names that come, go or move concern everyone, because a link may
/// lead by them to the file; and what is written into a file that only a link leads to is found by reading it from time
/// to time.
fn concerns(event: &Event, name: Option<&OsStr>) -> bool {
    match event.kind {
        // reading the file would otherwise wake its own reader
        EventKind::Access(_) => false,
        EventKind::Modify(ModifyKind::Any | ModifyKind::Data(_) | ModifyKind::Metadata(_)) => {
            event.paths.is_empty() || event.paths.iter().any(|path| path.file_name() == name)
        }
        _ => true,
    }
}

/// Wakes the receiver at every change in the file's directory that may concern it.
fn notifications(path: &Path, wake: watch::Sender<()>) -> Option<RecommendedWatcher> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().map(OsStr::to_owned);
    let started = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // what went wrong may have hidden an edit
        if event.map_or(true, |event| concerns(&event, name.as_deref())) {
            wake.send_replace(());
        }
    })
    .and_then(|mut watcher| watcher.watch(directory, RecursiveMode::NonRecursive).map(|()| watcher));
    match started {
        Ok(watcher) => Some(watcher),
        Err(reason) => {
            tracing::warn!(file = %path.display(), %reason, "no notifications of file changes; polling instead");
            None
        }
    }
}

async fn read(path: &Path) -> io::Result<String> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || files::read_to_string(&path)).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::time::Duration;

    use notify::event::{AccessKind, CreateKind, DataChange, MetadataKind, RemoveKind, RenameMode};
    use tokio::time::{Instant, timeout};

    use super::{Event, EventKind, ModifyKind, OsStr, Refused, SettledFile, concerns};

    /// Longer than an edit may take; only a broken watch lets it pass.
    const DEADLINE: Duration = Duration::from_secs(2);
    /// Long enough for an edit to be seen, were it taken for one.
    const QUIET: Duration = Duration::from_millis(1200);

    async fn opened(path: &Path, content: &str) -> SettledFile {
        std::fs::write(path, content).unwrap();
        let (read, file) = SettledFile::open(path).await.unwrap();
        assert_eq!(read, content);
        file
    }

    async fn next(file: &mut SettledFile) -> Result<String, Refused> {
        timeout(DEADLINE, file.changed()).await.expect("an edit must be seen within two seconds")
    }

    #[tokio::test]
    async fn sees_every_way_to_edit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.toml");
        let mut file = opened(&path, "one").await;

        std::fs::write(&path, "two").unwrap();
        assert_eq!(next(&mut file).await.unwrap(), "two");

        let aside = dir.path().join("aside");
        std::fs::write(&aside, "three").unwrap();
        std::fs::rename(&aside, &path).unwrap();
        assert_eq!(next(&mut file).await.unwrap(), "three");

        std::fs::remove_file(&path).unwrap();
        assert!(matches!(next(&mut file).await, Err(Refused::Unreadable(_))));
        std::fs::write(&path, "four").unwrap();
        assert_eq!(next(&mut file).await.unwrap(), "four");
    }

    /// Opening a pipe would wait for ever, and nothing would be seen any more.
    #[tokio::test]
    async fn a_pipe_in_place_of_the_file_is_refused_and_no_trap() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.toml");
        let mut file = opened(&path, "one").await;

        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(matches!(next(&mut file).await, Err(Refused::Unreadable(_))));
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "two").unwrap();
        loop {
            // between the two it may have been seen missing
            if let Ok(content) = next(&mut file).await {
                assert_eq!(content, "two");
                break;
            }
        }
    }

    #[tokio::test]
    async fn sees_a_link_moved_in_another_directory() {
        let dir = tempfile::tempdir().unwrap();
        for (version, content) in [("v1", "one"), ("v2", "two")] {
            std::fs::create_dir(dir.path().join(version)).unwrap();
            std::fs::write(dir.path().join(version).join("policy.toml"), content).unwrap();
        }
        // as a Kubernetes volume does it: policy.toml -> data/policy.toml, data -> v1
        symlink("v1", dir.path().join("data")).unwrap();
        symlink("data/policy.toml", dir.path().join("policy.toml")).unwrap();
        let (content, mut file) = SettledFile::open(dir.path().join("policy.toml")).await.unwrap();
        assert_eq!(content, "one");

        symlink("v2", dir.path().join("next")).unwrap();
        std::fs::rename(dir.path().join("next"), dir.path().join("data")).unwrap();
        assert_eq!(next(&mut file).await.unwrap(), "two");
    }

    #[tokio::test]
    async fn never_reports_what_is_still_being_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.toml");
        let mut file = opened(&path, "start").await;

        // a writer that is never still for as long as the watch wants
        let writer = tokio::task::spawn_blocking({
            let path = path.clone();
            move || {
                let mut out = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
                let started = std::time::Instant::now();
                while started.elapsed() < QUIET {
                    out.write_all(b".").unwrap();
                    std::thread::yield_now();
                }
                out.write_all(b"end").unwrap();
            }
        });
        let seen = file.changed().await.unwrap();
        assert!(seen.ends_with("end"), "reported {} bytes too early", seen.len());
        writer.await.unwrap();
    }

    #[tokio::test]
    async fn refuses_an_empty_file_once_and_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.toml");
        let mut file = opened(&path, "one").await;

        for empty in ["", " \n\n"] {
            std::fs::write(&path, empty).unwrap();
            if empty.is_empty() {
                assert!(matches!(next(&mut file).await, Err(Refused::Empty)));
            }
            assert!(timeout(QUIET, file.changed()).await.is_err(), "reported once");
        }
        std::fs::write(&path, "two").unwrap();
        assert_eq!(next(&mut file).await.unwrap(), "two");
    }

    #[tokio::test]
    async fn the_same_content_again_is_no_edit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.toml");
        let mut file = opened(&path, "one").await;

        std::fs::write(&path, "one").unwrap();
        assert!(timeout(QUIET, file.changed()).await.is_err());
        // the dropped wait lost nothing
        std::fs::write(&path, "two").unwrap();
        assert_eq!(next(&mut file).await.unwrap(), "two");
    }

    #[test]
    fn what_is_written_into_another_file_concerns_nobody() {
        let name = Some(OsStr::new("policy.toml"));
        let event =
            |kind: EventKind, path: &str| Event::new(kind).add_path(Path::new("/etc/gateway").join(path));
        let written = [
            EventKind::Modify(ModifyKind::Any),
            EventKind::Modify(ModifyKind::Data(DataChange::Any)),
            EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)),
        ];
        for kind in written {
            assert!(concerns(&event(kind, "policy.toml"), name), "{kind:?}");
            assert!(!concerns(&event(kind, "audit.jsonl"), name), "{kind:?}");
            // of which nobody knows what they are about
            assert!(concerns(&Event::new(kind), name), "{kind:?}");
        }
        for kind in [
            EventKind::Any,
            EventKind::Other,
            EventKind::Create(CreateKind::File),
            EventKind::Remove(RemoveKind::File),
            EventKind::Modify(ModifyKind::Name(RenameMode::To)),
        ] {
            // a link may lead by this name
            assert!(concerns(&event(kind, "..data"), name), "{kind:?}");
        }
        assert!(!concerns(&event(EventKind::Access(AccessKind::Read), "policy.toml"), name));
    }

    #[tokio::test]
    async fn polls_where_no_notification_comes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.toml");
        let SettledFile { path, content, refused, woken, .. } = opened(&path, "one").await;
        let mut file = SettledFile { path: path.clone(), content, refused, woken, _watcher: None };

        let started = Instant::now();
        std::fs::write(&path, "two").unwrap();
        assert_eq!(next(&mut file).await.unwrap(), "two");
        assert!(started.elapsed() < DEADLINE);
    }

    #[tokio::test]
    async fn does_not_open_what_it_cannot_read() {
        let dir = tempfile::tempdir().unwrap();
        assert!(SettledFile::open(dir.path().join("absent")).await.is_err());
        std::fs::write(dir.path().join("bytes"), [0xff, 0xfe, 0x00]).unwrap();
        assert!(SettledFile::open(dir.path().join("bytes")).await.is_err());
        let large = std::fs::File::create(dir.path().join("large")).unwrap();
        large.set_len(crate::files::MAX_BYTES + 1).unwrap();
        assert!(SettledFile::open(dir.path().join("large")).await.is_err());
    }
}
