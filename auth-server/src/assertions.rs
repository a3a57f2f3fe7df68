//! Identity providers whose assertions this server takes (`[[assertion_issuers]]`).

use jsonwebtoken::Algorithm;

use crate::{
    client_keys::ClientKeys,
    model::{client::KeysAt, jwks::PublicKey},
};

/// A trusted identity provider.
#[derive(Debug)]
pub(crate) struct AssertionIssuer {
    /// As `iss` has it.
    pub(crate) issuer: String,
    pub(crate) keys: KeysAt,
    /// Seconds that an assertion may live.
    pub(crate) max_lifetime: i64,
    /// Whether an assertion may be presented more than once until it expires.
    pub(crate) may_be_used_again: bool,
    pub(crate) accounts: Accounts,
}

/// Which accounts an identity provider may speak for.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    /// Domains of addresses that it has verified, in lower case.
    pub(crate) email_domains: Vec<String>,
    /// Whether a user who is not there is created.
    pub(crate) create: bool,
}

impl AssertionIssuer {
    /// Whether its keys have to be fetched.
    pub(crate) const fn has_keys_elsewhere(&self) -> bool {
        matches!(self.keys, KeysAt::Url(_))
    }

    pub(crate) async fn key(
        &self,
        fetched: Option<&ClientKeys>,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Option<PublicKey> {
        match &self.keys {
            KeysAt::Hand(keys) => keys.find(kid, algorithm, None).cloned(),
            KeysAt::Url(url) => fetched?.find(url, kid, algorithm, None).await,
        }
    }
}

impl Accounts {
    /// Whether an address is in a domain that the identity provider speaks for.
    pub(crate) fn vouches_for(&self, email: &str) -> bool {
        email
            .rsplit_once('@')
            .is_some_and(|(_, domain)| self.email_domains.iter().any(|own| own.eq_ignore_ascii_case(domain)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_other_domains_are_not_vouched_for() {
        let accounts = Accounts { email_domains: vec!["corp.test".to_owned()], create: false };
        for email in
            ["a@evil.test", "a@corp.test.evil.test", "a@evilcorp.test", "corp.test", "a@corp.test@evil.test"]
        {
            assert!(!accounts.vouches_for(email), "{email}");
        }
        assert!(accounts.vouches_for("a@corp.test") && accounts.vouches_for("a@CORP.test"));
        assert!(!Accounts::default().vouches_for("a@corp.test"));
    }
}
