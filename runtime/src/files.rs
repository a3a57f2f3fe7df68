//! Files that a configuration names: whatever stands in their place, reading them ends.

use std::io::{self, Read as _};
use std::path::Path;

/// The largest file that is read.
pub const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// What a file holds.
///
/// # Errors
///
/// If it cannot be read, is no regular file (or a link to one), or is larger than [`MAX_BYTES`]: a device may have no end,
/// and opening a pipe waits for somebody to write into it.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let file = std::fs::File::open(path)?;
    // at once, since what a buffer that grows leaves behind may be a secret
    let expected = file.metadata()?.len().min(MAX_BYTES) + 1;
    let mut content = Vec::with_capacity(usize::try_from(expected).unwrap_or_default());
    // one byte more than allowed shows that there is more
    file.take(MAX_BYTES + 1).read_to_end(&mut content)?;
    if u64::try_from(content.len()).is_ok_and(|length| length > MAX_BYTES) {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {MAX_BYTES} bytes")));
    }
    Ok(content)
}

/// As [`read`], of a text.
///
/// # Errors
///
/// As [`read`], and if it is not UTF-8.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    // the error would keep the bytes, and may be logged
    String::from_utf8(read(path)?).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{MAX_BYTES, read, read_to_string};

    #[test]
    fn only_regular_files_of_a_bounded_size_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("text"), "text").unwrap();
        std::os::unix::fs::symlink(path("text"), path("link")).unwrap();
        assert_eq!(read_to_string(&path("text")).unwrap(), "text");
        assert_eq!(read_to_string(&path("link")).unwrap(), "text");
        std::fs::write(path("bytes"), [0xFF, 0xFE]).unwrap();
        assert_eq!(read(&path("bytes")).unwrap(), [0xFF, 0xFE]);

        std::fs::File::create(path("full")).unwrap().set_len(MAX_BYTES).unwrap();
        assert!(read(&path("full")).is_ok());
        std::fs::File::create(path("large")).unwrap().set_len(MAX_BYTES + 1).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        std::os::unix::fs::symlink("/dev/zero", path("device")).unwrap();
        for (file, reason) in [
            (path("large"), "larger than 16777216 bytes"),
            (path("pipe"), "not a regular file"),
            (path("device"), "not a regular file"),
            ("/dev/zero".into(), "not a regular file"),
            (dir.path().to_owned(), "not a regular file"),
            (path("bytes"), "not UTF-8"),
            (path("absent"), "No such file"),
        ] {
            let found = read_to_string(Path::new(&file)).unwrap_err().to_string();
            assert!(found.starts_with(reason), "{}: {found}", file.display());
        }
    }
}
