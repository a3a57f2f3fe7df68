//! The demo's users.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};

/// Who can sign in.
const NAMES: [&str; 2] = ["alex", "blake"];
/// Their password where nobody but the one at this machine sees the sign-in page.
const LOCAL_PASSWORD: &str = "password";
const RANDOM_BYTES: usize = 16;

/// How one user signs in.
#[derive(Clone)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// The password; `None` if it was a random one, told when the user was made and not kept since.
    pub password: Option<SecretString>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Telling the password is what the demo's announcement is for.
impl Serialize for Credentials {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Credentials", 2)?;
        fields.serialize_field("username", &self.username)?;
        fields.serialize_field("password", &self.password.as_ref().map(ExposeSecret::expose_secret))?;
        fields.end()
    }
}

/// How a user came to the password, which outlives the process; the password itself is stored hashed only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Chosen {
    Local,
    Random,
}

/// Which users a data directory has already.
#[derive(Debug)]
struct Register {
    file: PathBuf,
    users: BTreeMap<String, Chosen>,
}

impl Register {
    fn open(directory: &Path) -> anyhow::Result<Self> {
        let file = directory.join("users.json");
        let users = match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)
                .with_context(|| format!("cannot understand `{}`", file.display()))?,
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(fault) => return Err(fault).with_context(|| format!("cannot read `{}`", file.display())),
        };
        Ok(Self { file, users })
    }

    fn enter(&mut self, name: &str, chosen: Chosen) -> anyhow::Result<()> {
        self.users.insert(name.to_owned(), chosen);
        let text = serde_json::to_vec_pretty(&self.users)?;
        std::fs::write(&self.file, text).with_context(|| format!("cannot write `{}`", self.file.display()))
    }
}

/// Makes the users that `directory` does not have yet. Users who are there keep their password.
pub(crate) async fn seed(
    config: &mcp_auth_server::config::Config,
    directory: &Path,
    public: bool,
) -> anyhow::Result<Vec<Credentials>> {
    let mut register = Register::open(directory)?;
    let mut users = Vec::new();
    for name in NAMES {
        let password = match register.users.get(name) {
            Some(Chosen::Local) => {
                if public {
                    tracing::warn!(
                        user = name,
                        "the user has the well-known password: choose a fresh data directory"
                    );
                }
                Some(LOCAL_PASSWORD.into())
            }
            Some(Chosen::Random) => None,
            None => {
                let (chosen, password) =
                    if public { (Chosen::Random, random()?) } else { (Chosen::Local, LOCAL_PASSWORD.into()) };
                mcp_auth_server::add_user(config, name, &password)
                    .await
                    .with_context(|| format!("cannot add the user `{name}`"))?;
                register.enter(name, chosen)?;
                Some(password)
            }
        };
        users.push(Credentials { username: name.to_owned(), password });
    }
    Ok(users)
}

fn random() -> anyhow::Result<SecretString> {
    let mut bytes = [0; RANDOM_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).context("no random numbers to be had")?;
    Ok(URL_SAFE_NO_PAD.encode(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_debugged() {
        let user = Credentials { username: "alex".to_owned(), password: Some("hunter2".into()) };
        assert!(!format!("{user:?}").contains("hunter2"));
        assert_eq!(serde_json::to_string(&user).unwrap(), r#"{"username":"alex","password":"hunter2"}"#);
    }

    #[test]
    fn random_passwords_differ_and_are_long() {
        let (one, two) = (random().unwrap(), random().unwrap());
        assert_ne!(one.expose_secret(), two.expose_secret());
        assert!(one.expose_secret().len() >= 22);
    }

    #[test]
    fn the_register_outlives_the_process_and_holds_no_password() {
        let directory = tempfile::tempdir().unwrap();
        let mut register = Register::open(directory.path()).unwrap();
        assert!(register.users.is_empty());
        register.enter("alex", Chosen::Random).unwrap();
        let again = Register::open(directory.path()).unwrap();
        assert_eq!(again.users.get("alex"), Some(&Chosen::Random));
        std::fs::write(directory.path().join("users.json"), "{").unwrap();
        assert!(Register::open(directory.path()).is_err());
    }
}
