//! Configuration: defaults, then a TOML file, then the environment; every fault at once.
//!
//! A variable `PREFIX__SERVER__PUBLIC_URL` stands for the key `server.public_url`: case counts for nothing, and two
//! underscores separate keys. Its value is written as in TOML (`30`, `true`, `["a", "b"]`); what is not TOML is a
//! string, so that strings need no quotes. A variable cannot reach into an element of an array, but it can replace
//! the array. A variable with one underscore where two are meant would be without effect: one that would stand for a key is
//! a fault, and one that begins as a table does is a warning, unless the file itself names it.

mod misspelt;

use std::cell::RefCell;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use figment::providers::Serialized;
use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider};
use mcp_auth::document::{Document, Fault, Faults, KeyPath};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::files;

/// Everything that is wrong with a configuration, file by file.
///
/// Displays one fault a line, each with its file's name: `gateway.toml:4:14: …`.
#[derive(Debug, Default)]
pub struct ConfigError {
    files: Vec<(String, Faults)>,
}

impl ConfigError {
    /// A file that cannot even be read.
    fn unreadable(file: &Path, reason: &std::io::Error) -> Self {
        let fault = Fault::in_document(format!("cannot be read: {reason}"));
        Self { files: vec![(file.display().to_string(), Faults::from(fault))] }
    }

    /// The faults with the files that they are in.
    pub fn files(&self) -> impl Iterator<Item = (&str, &Faults)> {
        self.files.iter().map(|(file, faults)| (file.as_str(), faults))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rendered: Vec<_> = self.files.iter().map(|(file, faults)| faults.render(file)).collect();
        f.write_str(&rendered.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

/// A configuration as read, not yet understood.
#[derive(Debug)]
pub struct Loaded<T> {
    /// The values: all that is sound, defaults for the rest.
    pub value: T,
    /// What is wrong so far. Add what the values' meaning shows, then call [`Report::finish`].
    pub report: Report,
}

/// Collects the faults of a configuration, each located where its value came from.
pub struct Report {
    file: PathBuf,
    text: String,
    variables: Vec<Variable>,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
    others: Vec<(String, Faults)>,
    named: RefCell<Vec<PathBuf>>,
}

impl fmt::Debug for Report {
    /// Without values: they may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("file", &self.file)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

impl Report {
    /// Notes that the value at `path` is not what was `expected`, in words with their article: "expected an absolute
    /// http or https URL, but found `localhost`".
    pub fn unexpected(&mut self, path: &KeyPath, expected: impl fmt::Display) {
        let fault = self.locate(path, |document, path| document.unexpected_at(path, &expected));
        self.faults.push(fault);
    }

    /// Notes a fault of the value at `path` in the caller's own words.
    pub fn fault(&mut self, path: &KeyPath, message: impl Into<String>) {
        let message = message.into();
        let fault = self.locate(path, |document, path| document.fault_at(path, message.clone()));
        self.faults.push(fault);
    }

    /// As [`Report::fault`], with advice on the next line.
    pub fn fault_with_hint(&mut self, path: &KeyPath, message: impl Into<String>, hint: impl Into<String>) {
        self.fault(path, message);
        if let Some(fault) = self.faults.pop() {
            self.faults.push(fault.with_hint(hint));
        }
    }

    /// Notes a fault of an environment variable that stands for no key.
    pub fn fault_in_variable(&mut self, name: &str, message: impl Into<String>) {
        self.faults.push(Fault::in_variable(name, message));
    }

    /// Notes that the value at `path` loads and is perhaps not meant, in the caller's own words. It stops nothing.
    pub fn warning(&mut self, path: &KeyPath, message: impl Into<String>) {
        let message = message.into();
        let warning = self.locate(path, |document, path| document.fault_at(path, message.clone()));
        self.warnings.push(warning);
    }

    /// The warnings that were noted, which are no longer here then: [`Report::finish`] says nothing of them.
    pub fn take_warnings(&mut self) -> Vec<Fault> {
        std::mem::take(&mut self.warnings)
    }

    /// Takes in the faults of a file that the configuration names.
    pub fn include(&mut self, file: &Path, faults: Faults) {
        let file = file.display().to_string();
        // two keys may name the same file
        if !self.others.iter().any(|(known, _)| *known == file) {
            self.others.push((file, faults));
        }
    }

    /// The path of a file that the configuration names: relative to the configuration's own folder.
    pub fn resolve(&self, file: impl AsRef<Path>) -> PathBuf {
        let path = self.file.parent().unwrap_or(Path::new("")).join(file);
        let mut named = self.named.borrow_mut();
        if !named.contains(&path) {
            named.push(path.clone());
        }
        path
    }

    /// The file itself.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What the file holds.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The path of a file that is written, and never read: relative to the configuration's own folder, and none of the
    /// [files that it names](Self::named_files), which are followed.
    pub fn resolve_output(&self, file: impl AsRef<Path>) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(file)
    }

    /// The files that were [resolved](Self::resolve) so far, each once.
    pub fn named_files(&self) -> Vec<PathBuf> {
        self.named.borrow().clone()
    }

    /// Whether nothing is wrong so far.
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty() && self.others.is_empty()
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// Every fault noted.
    pub fn finish<V>(self, value: V) -> Result<V, ConfigError> {
        if self.is_clean() {
            return Ok(value);
        }
        let mut files = Vec::new();
        if !self.faults.is_empty() {
            files.push((self.file.display().to_string(), Faults::new(self.faults)));
        }
        files.extend(self.others);
        Err(ConfigError { files })
    }

    fn locate(&self, path: &KeyPath, fault: impl Fn(&Document<'_>, &KeyPath) -> Fault) -> Fault {
        let variable = self.variables.iter().find(|variable| path.starts_with(&variable.path));
        let text = variable.map_or(&self.text, |variable| &variable.toml);
        match (Document::parse(text), variable) {
            (Ok(document), None) => fault(&document, path),
            (Ok(document), Some(variable)) => variable.rename(&fault(&document, path)),
            // both were parsed before
            (Err(_), _) => Fault::in_key(path, "cannot be read"),
        }
    }
}

/// Reads `file` and the environment variables that begin with `prefix` and `__`.
///
/// # Errors
///
/// If the file cannot be read or is not TOML. All other faults are in the report, so that the caller can add its own.
pub fn load<T>(file: &Path, prefix: &str) -> Result<Loaded<T>, ConfigError>
where
    T: DeserializeOwned + Serialize + Default,
{
    load_with(file, prefix, std::env::vars_os())
}

/// As [`load`], with an environment of the caller's choice.
///
/// # Errors
///
/// As [`load`].
pub fn load_with<T>(
    file: &Path,
    prefix: &str,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded<T>, ConfigError>
where
    T: DeserializeOwned + Serialize + Default,
{
    let text = files::read_to_string(file).map_err(|reason| ConfigError::unreadable(file, &reason))?;
    let from_file = {
        let document = Document::parse(&text)
            .map_err(|faults| ConfigError { files: vec![(file.display().to_string(), faults)] })?;
        document.read::<T>()
    };
    let (sound, mut faults) = from_file;
    let environment: Vec<_> = environment.into_iter().collect();
    let mut warnings = Vec::new();
    for misspelt in misspelt::find::<T>(prefix, environment.iter().filter_map(|(name, _)| name.to_str())) {
        // a key may name a variable of this name for a secret
        if !text.contains(misspelt.name) {
            let found = if misspelt.is_a_key { &mut faults } else { &mut warnings };
            found.push(misspelt.fault(prefix));
        }
    }
    let variables = variables::<T>(prefix, environment, &mut faults);

    let mut figment = Figment::from(Serialized::defaults(T::default())).merge(Serialized::defaults(sound));
    for variable in &variables {
        figment = figment.merge(variable);
    }
    let value = figment.extract().unwrap_or_else(|reason| {
        // the layers are sound one by one, so that only their combination can be at fault
        faults.push(Fault::in_document(format!("the file and the environment do not go together: {reason}")));
        T::default()
    });
    let report = Report {
        file: file.to_owned(),
        text,
        variables,
        faults,
        warnings,
        others: Vec::new(),
        named: RefCell::default(),
    };
    Ok(Loaded { value, report })
}

/// An environment variable that stands for a key.
struct Variable {
    name: String,
    path: KeyPath,
    /// The variable as a TOML document of one key.
    toml: String,
}

impl Variable {
    /// The variable's fault instead of the key's; a line and column within it would help nobody.
    fn rename(&self, fault: &Fault) -> Fault {
        let message = fault.message();
        let renamed = Fault::in_variable(&self.name, message);
        match fault.hint() {
            Some(hint) => renamed.with_hint(hint),
            None => renamed,
        }
    }
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("environment variable `{}`", self.name))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let table: toml::Table = self.toml.parse().map_err(|reason: toml::de::Error| reason.to_string())?;
        Serialized::defaults(table).data()
    }
}

/// The variables that begin with the prefix, without those that are faulty.
fn variables<T: DeserializeOwned + Default>(
    prefix: &str,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    faults: &mut Vec<Fault>,
) -> Vec<Variable> {
    let mut found: Vec<(String, Option<String>)> = environment
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok())))
        .filter(|(name, _)| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with("__")))
        .collect();
    // the environment has no order; messages should
    found.sort();

    let mut variables = Vec::new();
    for (name, value) in found {
        let keys: Vec<String> =
            name.split("__").skip(prefix.split("__").count()).map(str::to_ascii_lowercase).collect();
        let path: KeyPath = keys.iter().map(|key| key.as_str().into()).collect();
        let Some(value) = value else {
            faults.push(Fault::in_variable(name, "expected UTF-8 text, but found other bytes"));
            continue;
        };
        // what is not TOML is a string, and so is what looks like a number where a string is wanted
        let written = toml::de::DeValue::parse(&value).is_ok().then(|| one_key(&keys, &value));
        let forms = [written, Some(one_key(&keys, &toml::Value::from(value).to_string()))];
        let mut refusal = None;
        let mut accepted = None;
        for toml in forms.into_iter().flatten() {
            let Ok(document) = Document::parse(&toml) else {
                continue;
            };
            let mut wrong = document.read::<T>().1;
            let variable = Variable { name: name.clone(), path: path.clone(), toml: toml.clone() };
            if wrong.is_empty() {
                accepted = Some(variable);
                break;
            }
            refusal.get_or_insert_with(|| variable.rename(&wrong.swap_remove(0)));
        }
        match (accepted, refusal) {
            (Some(variable), _) => variables.push(variable),
            (None, Some(fault)) => faults.push(fault),
            (None, None) => {
                faults.push(Fault::in_variable(name, "expected a key of the configuration in its name"));
            }
        }
    }
    variables
}

/// A document of one key, whose value is given as TOML.
fn one_key(keys: &[String], value: &str) -> String {
    let keys: Vec<String> = keys.iter().map(|key| toml::Value::from(key.as_str()).to_string()).collect();
    format!("{} = {value}", keys.join("."))
}

#[cfg(test)]
mod tests;
