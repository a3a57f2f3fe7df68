//! The policy files that routes name.

use std::path::{Path, PathBuf};

use mcp_auth::document::KeyPath;
use mcp_auth::policy::{Policy, PolicyHandle};
use mcp_auth_runtime::config::Report;
use mcp_auth_runtime::files;

/// A policy file and the handle that it keeps up to date.
#[derive(Clone, Debug)]
pub(crate) struct PolicyFile {
    pub(crate) path: PathBuf,
    pub(crate) handle: PolicyHandle,
    /// What the policy in force was read from.
    pub(crate) text: String,
}

/// The path by which the list has the file, once it was read without fault.
pub(super) fn understand(
    value: Option<&str>,
    at: &KeyPath,
    policies: &mut Vec<PolicyFile>,
    report: &mut Report,
) -> Option<PathBuf> {
    let Some(value) = value else {
        report.unexpected(at, "the path of a policy file");
        return None;
    };
    let path = report.resolve(value);
    if let Some(known) = policies.iter().find(|known| same_file(&known.path, &path)) {
        return Some(known.path.clone());
    }
    let text = match files::read_to_string(&path) {
        Ok(text) => text,
        Err(reason) => {
            let message =
                format!("expected a policy file, but `{}` cannot be read: {reason}", path.display());
            report.fault(at, message);
            return None;
        }
    };
    match Policy::parse(&text) {
        Ok(policy) => {
            let handle = PolicyHandle::new(policy);
            policies.push(PolicyFile { path: path.clone(), handle, text });
            Some(path)
        }
        Err(faults) => {
            report.include(&path, faults);
            None
        }
    }
}

/// Whether two paths, both of which can be read, name one file now.
fn same_file(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}
