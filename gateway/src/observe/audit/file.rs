//! Lines into a file that is set aside when it has grown, or to standard output.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::observe::lines::{Sink, Unwritten, Written};

/// Who was let in is for the operator's eyes.
const MODE: u32 = 0o640;

/// A file, or what can be written to like one.
#[derive(Debug)]
pub(super) struct FileSink {
    path: PathBuf,
    rotate_bytes: Option<u64>,
    keep_files: u16,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Device and number, by which another file of the same name is told apart.
    identity: (u64, u64),
    bytes: u64,
    /// Whether it keeps what it is given, as pipes and devices do not.
    regular: bool,
}

impl FileSink {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn open(path: &Path, rotate_bytes: Option<u64>, keep_files: u16) -> io::Result<Self> {
        let open = Some(Open::at(path)?);
        Ok(Self { path: path.to_owned(), rotate_bytes, keep_files, open })
    }

    /// The file to append to: opened anew where it was moved or removed (logrotate), or could not be opened before; set
    /// aside where these lines would make it too long.
    fn current(&mut self, more: usize) -> io::Result<&mut Open> {
        let there = std::fs::metadata(&self.path).map(|found| (found.dev(), found.ino())).ok();
        let same = |open: &Open| there == Some(open.identity);
        self.open = self.open.take().filter(same);
        let full = |open: &Open, rotate_bytes: u64| {
            let more = u64::try_from(more).unwrap_or(u64::MAX);
            open.regular && open.bytes > 0 && open.bytes.saturating_add(more) > rotate_bytes
        };
        if let (Some(open), Some(rotate_bytes)) = (&self.open, self.rotate_bytes)
            && full(open, rotate_bytes)
        {
            self.set_aside()?;
            self.open = None;
        }
        match self.open.take() {
            Some(open) => Ok(self.open.insert(open)),
            None => Ok(self.open.insert(Open::at(&self.path)?)),
        }
    }

    /// `FILE` becomes `FILE.1`, `FILE.1` becomes `FILE.2`, and the oldest goes.
    ///
    /// From the oldest on, so that a stop halfway loses none: the next start goes on from what there is.
    fn set_aside(&self) -> io::Result<()> {
        let numbered = |number: u16| {
            let mut name = self.path.clone().into_os_string();
            if number > 0 {
                name.push(format!(".{number}"));
            }
            PathBuf::from(name)
        };
        if self.keep_files == 0 {
            return absent_is_well(std::fs::remove_file(&self.path));
        }
        // the first number that is free is as far as files have to move
        let free = (1..=self.keep_files).find(|number| !numbered(*number).exists());
        for number in (0..free.unwrap_or(self.keep_files)).rev() {
            absent_is_well(std::fs::rename(numbered(number), numbered(number + 1)))?;
        }
        Ok(())
    }
}

fn absent_is_well(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(MODE);
        // pipes cannot be read back, and a device must not
        let special = std::fs::metadata(path).is_ok_and(|found| !found.file_type().is_file());
        let file = options.read(!special).open(path)?;
        let found = file.metadata()?;
        if found.file_type().is_block_device() {
            return Err(io::Error::other("it is a block device"));
        }
        let regular = found.file_type().is_file();
        let identity = (found.dev(), found.ino());
        let mut open = Self { file, identity, bytes: found.len(), regular };
        if regular {
            open.end_line()?;
        }
        Ok(open)
    }

    /// Ends a line that was cut off, by a machine that lost its power or a disk that was full.
    fn end_line(&mut self) -> io::Result<()> {
        if self.bytes == 0 {
            return Ok(());
        }
        let mut last = [0];
        self.file.seek(SeekFrom::End(-1))?;
        self.file.read_exact(&mut last)?;
        if last != *b"\n" {
            self.file.write_all(b"\n")?;
            self.bytes += 1;
        }
        Ok(())
    }

    fn append(&mut self, lines: &[u8]) -> Result<(), Unwritten> {
        let outcome = append(&mut self.file, lines);
        let mut written = outcome.as_ref().map_or_else(|unwritten| unwritten.written, |()| lines.len());
        if outcome.is_err() && self.regular {
            // back to the end of the last whole line: what follows may go to another file
            let whole = lines.get(..written).and_then(|lines| lines.iter().rposition(|byte| *byte == b'\n'));
            let whole = whole.map_or(0, |at| at + 1);
            let length = self.bytes + u64::try_from(whole).unwrap_or_default();
            if written != whole && self.file.set_len(length).is_ok() {
                written = whole;
            }
        }
        self.bytes += u64::try_from(written).unwrap_or_default();
        outcome.map_err(|unwritten| Unwritten { written, ..unwritten })
    }
}

/// Writes all of it, or says how far it got.
fn append(to: &mut impl Write, lines: &[u8]) -> Result<(), Unwritten> {
    let mut written = 0;
    while let Some(rest) = lines.get(written..).filter(|rest| !rest.is_empty()) {
        match to.write(rest) {
            Ok(0) => return Err(Unwritten { written, reason: "it takes no more".to_owned() }),
            Ok(bytes) => written += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Unwritten { written, reason: error.to_string() }),
        }
    }
    Ok(())
}

impl Sink for FileSink {
    fn write(&mut self, lines: &[u8]) -> Result<Written, Unwritten> {
        match self.current(lines.len()) {
            Ok(open) => open.append(lines).map(|()| Written::all(lines)),
            Err(error) => Err(Unwritten { written: 0, reason: error.to_string() }),
        }
    }
}

/// Standard output, for whoever gathers it.
#[derive(Debug)]
pub(super) struct StandardOutput;

impl Sink for StandardOutput {
    fn write(&mut self, lines: &[u8]) -> Result<Written, Unwritten> {
        let mut output = io::stdout().lock();
        append(&mut output, lines)?;
        let flushed = output.flush();
        flushed.map_err(|error| Unwritten { written: lines.len(), reason: error.to_string() })?;
        Ok(Written::all(lines))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn a_file_that_has_grown_is_set_aside_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit");
        let mut sink = FileSink::open(&path, Some(10), 2).unwrap();
        for line in ["first\n", "second\n", "third\n", "4\n", "a line that is longer than all\n", "last\n"] {
            sink.write(line.as_bytes()).unwrap();
        }
        assert_eq!(read(&path), "last\n");
        assert_eq!(read(&dir.path().join("audit.1")), "a line that is longer than all\n");
        assert_eq!(read(&dir.path().join("audit.2")), "third\n4\n");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
        // a gap, as a stop halfway leaves it, is closed before anything goes
        std::fs::remove_file(dir.path().join("audit.1")).unwrap();
        sink.write(b"another\n").unwrap();
        assert_eq!(read(&dir.path().join("audit.1")), "last\n");
        assert_eq!(read(&dir.path().join("audit.2")), "third\n4\n");
        // and with none to keep, it begins anew
        let mut sink = FileSink::open(&path, Some(10), 0).unwrap();
        sink.write(b"and another\n").unwrap();
        assert_eq!(read(&path), "and another\n");
        assert_eq!(read(&dir.path().join("audit.1")), "last\n");
    }

    #[test]
    fn a_start_appends_and_ends_what_was_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit");
        std::fs::write(&path, "whole\ncut o").unwrap();
        let mut sink = FileSink::open(&path, None, 0).unwrap();
        sink.write(b"next\n").unwrap();
        assert_eq!(read(&path), "whole\ncut o\nnext\n");
        drop(sink);
        FileSink::open(&path, None, 0).unwrap().write(b"last\n").unwrap();
        assert_eq!(read(&path), "whole\ncut o\nnext\nlast\n");
    }

    #[test]
    fn a_file_that_was_moved_or_removed_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit");
        let mut sink = FileSink::open(&path, None, 0).unwrap();
        sink.write(b"one\n").unwrap();
        std::fs::rename(&path, dir.path().join("moved")).unwrap();
        sink.write(b"two\n").unwrap();
        std::fs::remove_file(&path).unwrap();
        sink.write(b"three\n").unwrap();
        assert_eq!((read(&dir.path().join("moved")).as_str(), read(&path).as_str()), ("one\n", "three\n"));
        // without its folder there is nothing to write to, until it is there again
        std::fs::remove_dir_all(dir.path()).unwrap();
        assert_eq!(sink.write(b"four\n").unwrap_err().written, 0);
        std::fs::create_dir(dir.path()).unwrap();
        sink.write(b"four\n").unwrap();
        assert_eq!(read(&path), "four\n");
    }

    #[test]
    fn a_full_disk_takes_nothing() {
        let mut sink = FileSink::open(Path::new("/dev/full"), Some(4096), 1).unwrap();
        let unwritten = sink.write(b"one\n").unwrap_err();
        assert_eq!((unwritten.written, unwritten.reason.contains("No space left")), (0, true), "{unwritten}");
        assert!(Path::new("/dev/full").exists() && !Path::new("/dev/full.1").exists());
    }
}
