//! `user set`: what is said about a user.

use clap::Args;

use super::{super::Desk, Named};
use crate::{
    cli::desk::say,
    model::{audit::AuditKind, session::User},
    storage::Accounts as _,
};

/// Longest address (RFC 5321 §4.5.3.1, less the brackets).
const MAX_EMAIL_BYTES: usize = 254;
const MAX_NAME_BYTES: usize = 64;
const MAX_VALUE_BYTES: usize = 1024;

/// What is to be different.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(in crate::cli) struct Change {
    /// The mail address. A new one counts as not verified unless `--verified` says otherwise.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "no_email")]
    email: Option<String>,
    /// Takes the mail address away.
    #[arg(long)]
    no_email: bool,
    /// Whether the mail address is known to be the user's.
    #[arg(long, value_name = "TRUE|FALSE")]
    verified: Option<bool>,
    /// Gives an attribute a value. May come several times.
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,
    /// Takes an attribute away. May come several times.
    #[arg(long = "no-attribute", value_name = "NAME")]
    without: Vec<String>,
}

pub(super) async fn set(change: &Change, named: &Named) -> anyhow::Result<()> {
    let desk = Desk::open(&named.file).await?;
    let user = desk.user(&named.name).await?;
    let (changed, what) = applied(change, user)?;
    Desk::found(desk.storage.update_user(&changed).await?, &changed.name)?;
    // which ones, not what they are: the audit outlives the user
    desk.record(desk.event(AuditKind::UserChanged).user(&changed.id).detail("changed", &what.join(" ")))
        .await?;
    desk.close().await;
    say(&format!("user `{}` changed: {}", changed.name, what.join(", ")))
}

/// The user as it is to be, and the names of what changes.
fn applied(change: &Change, mut user: User) -> anyhow::Result<(User, Vec<String>)> {
    let mut what = Vec::new();
    if let Some(address) = &change.email {
        anyhow::ensure!(
            is_address(address),
            "expected a mail address, but found `{}`",
            address.escape_debug()
        );
        if user.email.as_ref() != Some(address) {
            user.email_verified = false;
        }
        user.email = Some(address.clone());
        what.push("email".to_owned());
    }
    if change.no_email {
        (user.email, user.email_verified) = (None, false);
        what.push("email".to_owned());
    }
    if let Some(verified) = change.verified {
        anyhow::ensure!(
            user.email.is_some() || !verified,
            "expected a mail address to be verified, but there is none"
        );
        user.email_verified = verified;
        what.push("verified".to_owned());
    }
    for (name, value) in &change.attributes {
        user.attributes.insert(name.clone(), value.clone());
        what.push(name.clone());
    }
    for name in &change.without {
        anyhow::ensure!(
            user.attributes.remove(name).is_some(),
            "expected an attribute of the user, but found `{}`",
            name.escape_debug()
        );
        what.push(name.clone());
    }
    Ok((user, what))
}

/// Only what is certainly none is refused: what is one, mail tells.
fn is_address(text: &str) -> bool {
    let plain = text.chars().all(|c| !c.is_whitespace() && !c.is_control());
    let parts = text.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    plain && parts && text.len() <= MAX_EMAIL_BYTES
}

fn attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected `NAME=VALUE`")?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(legal) {
        return Err(format!("expected a name of 1 to {MAX_NAME_BYTES} letters, digits or `_ - . :`"));
    }
    if value.len() > MAX_VALUE_BYTES || value.chars().any(char::is_control) {
        return Err(format!(
            "expected a value of at most {MAX_VALUE_BYTES} bytes without control characters"
        ));
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outside::Timestamp;

    fn user() -> User {
        User {
            id: "u".into(),
            name: "alice".into(),
            password_hash: "hash".into(),
            email: Some("a@b.test".into()),
            email_verified: true,
            attributes: [("tier".to_owned(), "gold".to_owned())].into(),
            created_at: Timestamp::from_unix_seconds(1),
            disabled_at: None,
        }
    }

    fn change() -> Change {
        Change { email: None, no_email: false, verified: None, attributes: Vec::new(), without: Vec::new() }
    }

    #[test]
    fn a_new_address_is_not_verified_by_the_old_one() {
        let new = Change { email: Some("c@d.test".into()), ..change() };
        let (changed, _) = applied(&new, user()).unwrap();
        assert_eq!((changed.email.as_deref(), changed.email_verified), (Some("c@d.test"), false));
        let same = Change { email: Some("a@b.test".into()), ..change() };
        assert!(applied(&same, user()).unwrap().0.email_verified);
        let said = Change { verified: Some(true), ..new };
        assert!(applied(&said, user()).unwrap().0.email_verified);
        let none = Change { no_email: true, ..change() };
        let (changed, _) = applied(&none, user()).unwrap();
        assert_eq!((changed.email, changed.email_verified), (None, false));
        assert!(applied(&Change { verified: Some(true), ..none }, user()).is_err());
    }

    #[test]
    fn attributes_come_and_go() {
        let change = Change {
            attributes: vec![("org".into(), "a=b".into()), ("tier".into(), "silver".into())],
            ..change()
        };
        let (changed, what) = applied(&change, user()).unwrap();
        assert_eq!(
            changed.attributes,
            [("org", "a=b"), ("tier", "silver")].map(|(n, v)| (n.into(), v.into())).into()
        );
        assert_eq!(what, ["org", "tier"]);
        let gone = Change { without: vec!["tier".into()], ..super::tests::change() };
        assert!(applied(&gone, user()).unwrap().0.attributes.is_empty());
        let absent = Change { without: vec!["nothing".into()], ..super::tests::change() };
        assert!(applied(&absent, user()).is_err());
    }

    #[test]
    fn what_is_no_address_and_no_attribute_is_refused() {
        for bad in ["", "a", "@b", "a@", "a b@c", "a@b\n", &format!("{}@b", "a".repeat(300))] {
            assert!(!is_address(bad), "{bad}");
        }
        assert!(is_address("\"a@b\"@c.test"));
        for bad in ["", "=v", "name", "a b=c", "ä=c", "a=\u{1b}", &format!("{}=v", "a".repeat(65))] {
            assert!(attribute(bad).is_err(), "{bad}");
        }
        assert_eq!(attribute("urn:org=a=b"), Ok(("urn:org".into(), "a=b".into())));
        assert_eq!(attribute("empty="), Ok(("empty".into(), String::new())));
    }
}
