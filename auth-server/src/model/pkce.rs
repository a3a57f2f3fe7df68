//! Proof Key for Code Exchange (RFC 7636), S256 only.

use aws_lc_rs::{constant_time, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

/// Why a challenge is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadChallenge {
    #[error("code_challenge is required")]
    Missing,
    #[error("code_challenge_method must be S256")]
    Method,
    #[error("code_challenge must be 43 characters of base64url")]
    Form,
}

/// The S256 challenge of one authorization request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct CodeChallenge(String);

impl CodeChallenge {
    /// Checks what an authorization request carried.
    ///
    /// A missing method means `plain` (RFC 7636 §4.3), and `plain` is refused: OAuth 2.1 §7.5.2 requires S256 where it
    /// can be had, and every client can.
    pub(crate) fn from_request(challenge: Option<&str>, method: Option<&str>) -> Result<Self, BadChallenge> {
        let challenge = challenge.ok_or(BadChallenge::Missing)?;
        if method != Some("S256") {
            return Err(BadChallenge::Method);
        }
        // SHA-256 in base64url without padding is always 43 characters
        let base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if challenge.len() != 43 || !challenge.bytes().all(base64url) {
            return Err(BadChallenge::Form);
        }
        Ok(Self(challenge.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `verifier` is the one that the challenge was made from (RFC 7636 §4.6).
    pub(crate) fn accepts(&self, verifier: &CodeVerifier) -> bool {
        let hashed = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.0.as_bytes()));
        constant_time::verify_slices_are_equal(hashed.as_bytes(), self.0.as_bytes()).is_ok()
    }
}

/// A verifier of legal form: 43 to 128 unreserved characters (RFC 7636 §4.1).
pub(crate) struct CodeVerifier(String);

impl CodeVerifier {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let legal = (43..=128).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'));
        legal.then(|| Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // the example of RFC 7636 appendix B
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn only_s256_challenges_of_the_right_form_pass() {
        let long = "A".repeat(129);
        for (challenge, method, wanted) in [
            (None, None, BadChallenge::Missing),
            (None, Some("S256"), BadChallenge::Missing),
            (Some(CHALLENGE), None, BadChallenge::Method),
            (Some(CHALLENGE), Some("plain"), BadChallenge::Method),
            (Some(CHALLENGE), Some("s256"), BadChallenge::Method),
            (Some(CHALLENGE), Some("S256 "), BadChallenge::Method),
            (Some(CHALLENGE), Some("S512"), BadChallenge::Method),
            (CHALLENGE.get(1..), Some("S256"), BadChallenge::Form),
            (Some(&long), Some("S256"), BadChallenge::Form),
            (Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM="), Some("S256"), BadChallenge::Form),
            (Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM"), Some("S256"), BadChallenge::Form),
            (Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw/cM"), Some("S256"), BadChallenge::Form),
        ] {
            assert_eq!(
                CodeChallenge::from_request(challenge, method),
                Err(wanted),
                "{challenge:?} {method:?}"
            );
        }
    }

    #[test]
    fn only_the_matching_verifier_is_accepted() {
        let challenge = CodeChallenge::from_request(Some(CHALLENGE), Some("S256")).unwrap();
        assert!(challenge.accepts(&CodeVerifier::parse(VERIFIER).unwrap()));
        assert!(!challenge.accepts(&CodeVerifier::parse(CHALLENGE).unwrap()));
    }

    #[test]
    fn verifiers_of_illegal_form_do_not_parse() {
        for bad in [
            VERIFIER.replacen('d', "", 1),
            "a".repeat(129),
            format!("{VERIFIER}\n"),
            format!("{VERIFIER} "),
            format!("{VERIFIER}="),
        ] {
            assert!(CodeVerifier::parse(&bad).is_none(), "{bad:?}");
        }
    }
}
