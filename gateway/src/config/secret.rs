//! Secrets, which come from the environment or from a file and never from the configuration itself.

use std::fmt;
use std::path::PathBuf;

use mcp_auth::document::KeyPath;
use mcp_auth_runtime::config::Report;
use mcp_auth_runtime::files;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

/// A secret, compared by what it is and printed by nobody.
#[derive(Clone)]
pub(crate) struct Secret(SecretString);

impl Secret {
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A file with a secret that is followed, as it was read.
///
/// Two are equal that have the same path: whoever follows a file takes over its edits, and must not be made anew for them.
#[derive(Clone, Debug)]
pub(crate) struct SecretFile {
    pub(crate) path: PathBuf,
    pub(crate) text: Secret,
}

impl PartialEq for SecretFile {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

/// Where a secret comes from: the name of each of the two keys, and its value.
pub(super) struct SecretSource<'a> {
    pub(super) environment: (&'static str, Option<&'a str>),
    pub(super) file: (&'static str, Option<&'a str>),
}

impl SecretSource<'_> {
    /// The secret, and the file where it comes from one.
    pub(super) fn read(&self, path: &KeyPath, report: &mut Report) -> Option<(Secret, Option<SecretFile>)> {
        let ((env_key, environment), (file_key, file)) = (self.environment, self.file);
        let (path, found) = match (environment, file) {
            (None, None) => {
                let message = format!("expected `{env_key}` or `{file_key}`, but found neither");
                report.fault(&path.key(file_key), message);
                return None;
            }
            (Some(_), Some(_)) => {
                let message = format!("expected `{env_key}` or `{file_key}`, but found both");
                report.fault(&path.key(file_key), message);
                return None;
            }
            (Some(variable), None) => {
                #[expect(clippy::disallowed_methods, reason = "this is part of the configuration loader")]
                let value = std::env::var(variable);
                // the reason of a failure quotes the value
                let found = value.map(|text| (Zeroizing::new(text), None)).map_err(|_| {
                    format!("expected the environment variable `{variable}` to be set, to text")
                });
                (path.key(env_key), found)
            }
            (None, Some(file)) => {
                let file = report.resolve(file);
                let found = files::read_to_string(&file).map_err(|reason| {
                    format!("expected a secret, but `{}` cannot be read: {reason}", file.display())
                });
                (path.key(file_key), found.map(|text| (Zeroizing::new(text), Some(file))))
            }
        };
        let found = found.and_then(|(text, file)| {
            let secret = Secret::from(one_line(&text)?.to_owned());
            let file = file.map(|path| SecretFile { path, text: Secret::from(text.as_str().to_owned()) });
            Ok((secret, file))
        });
        found.map_err(|message| report.fault(&path, message)).ok()
    }
}

/// The secret in a text: a line break at its end does not count.
///
/// # Errors
///
/// There is nothing else.
pub(crate) fn one_line(text: &str) -> Result<&str, String> {
    let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    if line.is_empty() { Err("expected a secret, but found nothing".to_owned()) } else { Ok(line) }
}
