//! `[keys]`

use std::{ffi::OsString, sync::Arc};

use mcp_auth::document::KeyPath;
use mcp_auth_runtime::{config::Report, files};
use secrecy::{ExposeSecret as _, SecretString};

use super::{raw, seconds};
use crate::keys::{Algorithm, OLD_SEALING_KEY_VARIABLE, SEALING_KEY_VARIABLE, Schedule, SealingKey};

const DAY: i64 = 86_400;

/// The signing keys.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) schedule: Schedule,
    /// What private keys are encrypted with.
    pub(crate) sealing: Option<Arc<SealingKey>>,
    /// What they were encrypted with before, for `key reseal`.
    pub(crate) old_sealing: Option<Arc<SealingKey>>,
}

pub(super) fn understand(raw: &raw::Keys, report: &mut Report) -> Keys {
    let path = KeyPath::root().key("keys");
    let publish_before =
        seconds(raw.publish_before_seconds, 10..=30 * DAY, &path.key("publish_before_seconds"), report);
    let rotate_after = i64::from(raw.rotate_after_days) * DAY;
    if rotate_after != 0 && rotate_after <= publish_before {
        report.unexpected(
            &path.key("rotate_after_days"),
            "0 for never, or more days than a key is published before it signs",
        );
    }
    Keys {
        schedule: Schedule {
            algorithms: algorithms(&raw.algorithms, &path.key("algorithms"), report),
            rotate_after: (rotate_after != 0).then_some(rotate_after),
            publish_before,
        },
        sealing: sealing(raw, &path, std::env::var_os(SEALING_KEY_VARIABLE), report),
        old_sealing: std::env::var_os(OLD_SEALING_KEY_VARIABLE)
            .and_then(|value| from_variable(OLD_SEALING_KEY_VARIABLE, value, report)),
    }
}

fn algorithms(names: &[String], path: &KeyPath, report: &mut Report) -> Vec<Algorithm> {
    if names.is_empty() {
        report.unexpected(path, "at least one of `ES256`, `RS256` and `EdDSA`");
    }
    let mut algorithms = Vec::new();
    for (index, name) in names.iter().enumerate() {
        match Algorithm::parse(name) {
            Some(algorithm) if !algorithms.contains(&algorithm) => algorithms.push(algorithm),
            _ => report.unexpected(&path.index(index), "`ES256`, `RS256` or `EdDSA`, each once"),
        }
    }
    algorithms
}

fn sealing(
    raw: &raw::Keys,
    path: &KeyPath,
    variable: Option<OsString>,
    report: &mut Report,
) -> Option<Arc<SealingKey>> {
    let path = path.key("encryption_key_file");
    match (variable, raw.encryption_key_file.as_str()) {
        (None, "") => None,
        (Some(value), "") => from_variable(SEALING_KEY_VARIABLE, value, report),
        (Some(_), _) => {
            report.fault(
                &path,
                format!(
                    "expected one key, but found this one and that of the variable `{SEALING_KEY_VARIABLE}`"
                ),
            );
            None
        }
        (None, file) => {
            let file = report.resolve(file);
            let text = match files::read_to_string(&file) {
                Ok(text) => SecretString::from(text),
                Err(reason) => {
                    report.fault(&path, format!("`{}` cannot be read: {reason}", file.display()));
                    return None;
                }
            };
            match SealingKey::parse(text.expose_secret()) {
                Ok(key) => Some(Arc::new(key)),
                Err(reason) => {
                    report.fault(&path, format!("{reason} in `{}`", file.display()));
                    None
                }
            }
        }
    }
}

fn from_variable(name: &str, value: OsString, report: &mut Report) -> Option<Arc<SealingKey>> {
    // what is not text is no base64 either
    let text = SecretString::from(value.into_string().unwrap_or_default());
    match SealingKey::parse(text.expose_secret()) {
        Ok(key) => Some(Arc::new(key)),
        Err(reason) => {
            report.fault_in_variable(name, reason.to_string());
            None
        }
    }
}
