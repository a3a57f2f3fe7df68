//! Making users.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    Config, audit,
    model::{
        audit::{AuditEvent, AuditKind},
        secret::identifier,
        session::{User, user_name},
    },
    outside::Outside,
    passwords, server,
    storage::{Accounts as _, Housekeeping as _, sql::Database},
};

/// Creates a user who can sign in.
///
/// # Errors
/// When the name is taken or not legal, the password is shorter than 8 or longer than 128 characters, or the database
/// cannot be opened.
pub async fn add_user(config: &Config, username: &str, password: &SecretString) -> anyhow::Result<()> {
    let storage = server::open(config).await?;
    let added = add(&storage, &Outside::default(), username, password).await;
    storage.close().await;
    added.map(drop)
}

/// Creates a user in an open database.
pub(crate) async fn add(
    storage: &Database,
    outside: &Outside,
    username: &str,
    password: &SecretString,
) -> anyhow::Result<User> {
    let name = user_name(username)?;
    passwords::check_new(password)?;
    let now = outside.clock.now();
    let user = User {
        id: identifier(&*outside.rng)?,
        name,
        password_hash: passwords::hash(SecretString::from(password.expose_secret()), &*outside.rng).await?,
        email: None,
        email_verified: false,
        attributes: BTreeMap::new(),
        disabled_at: None,
        created_at: now,
    };
    anyhow::ensure!(
        storage.insert_user(&user).await?,
        "expected a new user name, but found `{}` in the database already",
        user.name
    );
    let event = AuditEvent::new(AuditKind::UserCreated, now).user(&user.id);
    audit::record(storage, &event.detail("by", "operator")).await?;
    Ok(user)
}
