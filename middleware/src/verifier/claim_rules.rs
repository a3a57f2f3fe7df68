//! What an issuer's tokens call things: which claim is the audience, the scopes, the subject, the client.

use serde_json::Value;

use crate::ConfigError;

/// Claims that tell the users of an issuer apart, by the word of those who issue them: `sub` (RFC 7519 §4.1.2), `oid` of
/// Entra, `uid` of Okta. An address or a name of a user can be changed, and be given to somebody else.
pub const SUBJECT_CLAIMS: [&str; 3] = ["sub", "oid", "uid"];

/// How the claims of one issuer are read.
#[derive(Debug, Clone)]
pub(super) struct ClaimRules {
    /// Accepted audiences; without them it is the resource.
    pub(super) audiences: Option<Vec<Box<str>>>,
    pub(super) audience_claim: Box<str>,
    /// Claims that must be there, with this value or with any.
    pub(super) required: Vec<(Box<str>, Option<Value>)>,
    /// The first that is there counts.
    pub(super) scope_claims: Vec<Box<str>>,
    pub(super) subject_claims: Vec<Box<str>>,
    pub(super) client_claims: Vec<Box<str>>,
    /// Whether subjects may come from other claims than [`SUBJECT_CLAIMS`].
    pub(super) insecure_subjects: bool,
}

impl Default for ClaimRules {
    fn default() -> Self {
        Self {
            audiences: None,
            audience_claim: "aud".into(),
            required: Vec::new(),
            scope_claims: vec!["scope".into()],
            subject_claims: vec!["sub".into()],
            client_claims: ["client_id", "azp", "cid", "appid"].map(Into::into).to_vec(),
            insecure_subjects: false,
        }
    }
}

impl ClaimRules {
    /// Whether tokens can be judged by these rules, and users told apart.
    pub(super) fn check(&self, issuer: &str) -> Result<(), ConfigError> {
        let refuse = |wanted: &str, found: &str| {
            Err(ConfigError::new(format!("expected {wanted} for `{issuer}`, but found {found}")))
        };
        match self.audiences.as_deref() {
            // Tokens for everybody would be tokens for us.
            Some([]) => return refuse("at least one audience", "none"),
            Some(audiences) if audiences.iter().any(|audience| audience.trim().is_empty()) => {
                return refuse("audiences", "an empty one");
            }
            _ => {}
        }
        if self.scope_claims.is_empty() || self.subject_claims.is_empty() {
            return refuse("a claim for the scopes and one for the subject", "none");
        }
        let names = self.required.iter().map(|(name, _)| name);
        let lists = [&self.scope_claims, &self.subject_claims, &self.client_claims];
        if names.chain(lists.into_iter().flatten()).chain([&self.audience_claim]).any(|name| name.is_empty())
        {
            return refuse("the names of claims", "an empty one");
        }
        let strange = self.subject_claims.iter().find(|name| !SUBJECT_CLAIMS.contains(&&***name));
        match strange {
            Some(name) if !self.insecure_subjects => refuse(
                "the subject in `sub`, `oid` or `uid`, which tell the users of an issuer apart",
                &format!("`{}`", name.escape_debug()),
            ),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_could_take_one_user_or_audience_for_another_are_refused() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).into()).collect::<Vec<Box<str>>>();
        let rules = ClaimRules::default;
        let subjects = |names: &[&str]| ClaimRules { subject_claims: list(names), ..rules() };
        let audiences = |names: &[&str]| ClaimRules { audiences: Some(list(names)), ..rules() };
        for (bad, expected) in [
            (audiences(&[]), "expected at least one audience for `i`, but found none"),
            (audiences(&["a", ""]), "expected audiences for `i`, but found an empty one"),
            (audiences(&[" "]), "expected audiences for `i`, but found an empty one"),
            (
                subjects(&["email"]),
                "expected the subject in `sub`, `oid` or `uid`, which tell the users of an issuer apart for `i`, but found `email`",
            ),
            (
                subjects(&["sub", "client_id"]),
                "expected the subject in `sub`, `oid` or `uid`, which tell the users of an issuer apart for `i`, but found `client_id`",
            ),
            (
                subjects(&[]),
                "expected a claim for the scopes and one for the subject for `i`, but found none",
            ),
            (
                ClaimRules { scope_claims: Vec::new(), ..rules() },
                "expected a claim for the scopes and one for the subject for `i`, but found none",
            ),
            (
                ClaimRules { audience_claim: "".into(), ..rules() },
                "expected the names of claims for `i`, but found an empty one",
            ),
            (
                ClaimRules { client_claims: list(&[""]), ..rules() },
                "expected the names of claims for `i`, but found an empty one",
            ),
            (
                ClaimRules { required: vec![("".into(), None)], ..rules() },
                "expected the names of claims for `i`, but found an empty one",
            ),
        ] {
            assert_eq!(bad.check("i").unwrap_err().to_string(), expected);
        }
        for good in [
            rules(),
            audiences(&["a"]),
            subjects(&["oid", "sub"]),
            ClaimRules { insecure_subjects: true, ..subjects(&["email"]) },
            ClaimRules { client_claims: Vec::new(), ..rules() },
        ] {
            assert!(good.check("i").is_ok(), "{good:?}");
        }
    }
}
