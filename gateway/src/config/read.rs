//! Which files a configuration was read from, and what they held.

use std::path::PathBuf;

use aws_lc_rs::digest::{SHA256, digest};
use mcp_auth_runtime::config::Report;
use mcp_auth_runtime::files;

/// What a file held, without keeping it: some hold secrets. `None` is one that could not be read.
pub(crate) type Content = Option<[u8; 32]>;

/// The configuration first, then the files that it names.
pub(super) fn all(report: &Report) -> Vec<(PathBuf, Content)> {
    let own = (report.file().to_owned(), content(Some(report.text())));
    let named = report.named_files().into_iter().map(|path| {
        let text = files::read_to_string(&path).ok();
        (path, content(text.as_deref()))
    });
    std::iter::once(own).chain(named).collect()
}

pub(crate) fn content(text: Option<&str>) -> Content {
    digest(&SHA256, text?.as_bytes()).as_ref().try_into().ok()
}
