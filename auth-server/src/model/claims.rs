//! What a resource is told about users: claims of the access tokens for it, as the administrator chose them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::session::User;

/// Claims that say something else, to this server, to gateways or to other resource servers. An attribute of a user must
/// never pass for one of them.
const RESERVED: [&str; 40] = [
    // JWT, RFC 9068, RFC 8693, RFC 7800, status lists
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "client_id",
    "scope",
    "act",
    "may_act",
    "cnf",
    "status",
    // OpenID Connect and its logout
    "azp",
    "auth_time",
    "acr",
    "amr",
    "nonce",
    "at_hash",
    "c_hash",
    "s_hash",
    "sid",
    "events",
    "sub_jwk",
    // introspection (RFC 7662), authorization details (RFC 9396)
    "active",
    "username",
    "token_type",
    "authorization_details",
    // where other servers write the client or its scopes
    "scp",
    "cid",
    "appid",
    "client",
    "scopes",
    "permissions",
    // proofs, transactions and assertions
    "htm",
    "htu",
    "ath",
    "txn",
    "vot",
    "resource",
];

const MAX_NAME_BYTES: usize = 128;

/// A claim, and where its value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    name: String,
    source: Source,
    description: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    /// The address, once it is known to be the user's: whoever reads it takes it for who somebody is.
    Email,
    UserName,
    Attribute(String),
}

/// Why there is no such claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAClaim {
    #[error("a claim name of 1 to 128 printable ASCII characters without quotes and backslashes")]
    Name,
    #[error("a claim that does not mean something else in a token")]
    Reserved,
    #[error("`email`, `preferred_username` or `attributes.NAME`")]
    Source,
}

impl Claim {
    /// `from` is `email`, `preferred_username` or `attributes.NAME`; empty: what the name says, by default an attribute of
    /// that name.
    pub(crate) fn new(name: &str, from: &str, description: &str) -> Result<Self, NotAClaim> {
        let legal = |byte: u8| matches!(byte, 0x21..=0x7E) && byte != b'"' && byte != b'\\';
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(legal) {
            return Err(NotAClaim::Name);
        }
        if RESERVED.contains(&name) {
            return Err(NotAClaim::Reserved);
        }
        let source = match if from.is_empty() { name } else { from } {
            "email" => Source::Email,
            "preferred_username" => Source::UserName,
            other => match other.strip_prefix("attributes.") {
                Some(attribute) if !attribute.is_empty() => Source::Attribute(attribute.to_owned()),
                None if from.is_empty() => Source::Attribute(name.to_owned()),
                _ => return Err(NotAClaim::Source),
            },
        };
        let description = (!description.is_empty()).then(|| description.to_owned());
        Ok(Self { name: name.to_owned(), source, description })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// For users who are asked whether the resource may know it.
    pub(crate) fn words(&self) -> String {
        match (&self.description, &self.source) {
            (Some(words), _) => words.clone(),
            (None, Source::Email) => "your e-mail address".to_owned(),
            (None, Source::UserName) => "your user name".to_owned(),
            (None, Source::Attribute(name)) => format!("your {name}"),
        }
    }

    fn value(&self, user: &User) -> Option<Value> {
        match &self.source {
            Source::Email => user.email.clone().filter(|_| user.email_verified),
            Source::UserName => Some(user.name.clone()),
            Source::Attribute(name) => user.attributes.get(name).cloned(),
        }
        .map(Value::from)
    }
}

/// What tokens say of a user. What the user does not have is left out.
pub(crate) fn about<'c>(claims: &'c [Claim], user: &User) -> BTreeMap<&'c str, Value> {
    claims.iter().filter_map(|claim| claim.value(user).map(|value| (claim.name(), value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outside::Timestamp;

    fn user() -> User {
        User {
            id: "u".to_owned(),
            name: "alice".to_owned(),
            password_hash: "hash".to_owned(),
            email: Some("a@b.test".to_owned()),
            email_verified: true,
            attributes: [("tier", "gold"), ("email", "not the address")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            created_at: Timestamp::from_unix_seconds(1),
            disabled_at: None,
        }
    }

    fn told(name: &str, from: &str, user: &User) -> Option<Value> {
        let claims = [Claim::new(name, from, "").unwrap()];
        about(&claims, user).remove(name)
    }

    #[test]
    fn names_that_mean_something_else_and_sources_that_are_none_are_refused() {
        for name in RESERVED {
            assert_eq!(Claim::new(name, "email", ""), Err(NotAClaim::Reserved), "{name}");
        }
        for name in ["", "a b", "a\"", "a\\", "\u{e4}", "a\n", &"a".repeat(129)] {
            assert_eq!(Claim::new(name, "email", ""), Err(NotAClaim::Name), "{name}");
        }
        for from in ["password_hash", "id", "attributes", "attributes.", "Email", "tier", "email_verified"] {
            assert_eq!(Claim::new("a", from, ""), Err(NotAClaim::Source), "{from}");
        }
    }

    #[test]
    fn a_claim_says_what_it_is_from() {
        let user = user();
        for (name, from, value) in [
            ("email", "", "a@b.test"),
            ("mail", "email", "a@b.test"),
            ("email", "attributes.email", "not the address"),
            ("preferred_username", "", "alice"),
            ("https://as.test/tier", "attributes.tier", "gold"),
            ("tier", "", "gold"),
        ] {
            assert_eq!(told(name, from, &user), Some(value.into()), "{name} {from}");
        }
    }

    #[test]
    fn what_a_user_does_not_have_and_an_address_that_nobody_checked_are_left_out() {
        let user = User { email_verified: false, ..user() };
        assert_eq!(told("email", "", &user), None);
        assert_eq!(told("organisation", "", &user), None);
        assert_eq!(told("email", "", &User { email: None, email_verified: true, ..user }), None);
    }
}
