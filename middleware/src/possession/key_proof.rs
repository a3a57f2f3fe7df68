//! [`KeyProof`]: what a proof says that comes with a request for tokens, before there is a token.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::proof::{self, Expected};
use super::target::TargetUri;
use super::{DpopOptions, NotProven};

/// The key that a client has proved to hold, with a proof for one request (RFC 9449 §5).
///
/// For authorization servers: what they issue to this request is bound to [`thumbprint`](Self::thumbprint). The proof is
/// good if it is the first one of its key with this `jti` at this URL, which is for the caller to remember until
/// [`good_until`](Self::good_until).
///
/// ```
/// use mcp_auth::possession::{DpopOptions, KeyProof, NotProven};
///
/// let options = DpopOptions::new();
/// let url = "https://login.example/oauth2/token";
/// let none = KeyProof::check("no proof", "POST", url, None, &options, 1_800_000_000);
/// assert!(matches!(none, Err(NotProven::InvalidProof(_))));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyProof {
    thumbprint: String,
    jti: String,
    good_until: u64,
    nonce_ages: bool,
}

impl KeyProof {
    /// Checks the value of a `DPoP` header against the request that it came with: its method, the URL under which the
    /// endpoint is published, the access token where there is one, and the time in seconds since 1970.
    ///
    /// # Errors
    /// What is wrong with the proof; [`NotProven::NonceNeeded`] where it has not the nonce that the options want.
    pub fn check(
        proof: &str,
        method: &str,
        url: &str,
        token: Option<&str>,
        options: &DpopOptions,
        now: u64,
    ) -> Result<Self, NotProven> {
        let target = TargetUri::below(url, "")
            .ok_or(NotProven::InvalidProof("The request has no target that a proof could name"))?;
        let ath = token.map(|token| URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes())));
        let expected = Expected {
            algorithms: &options.algorithms,
            jkt: None,
            method,
            target: &target,
            ath: ath.as_deref(),
            now,
            window_seconds: options.window.as_secs(),
            nonces: options.nonces.as_ref(),
        };
        let checked = proof::check(proof, &expected)?;
        Ok(Self {
            thumbprint: checked.jkt,
            jti: checked.jti,
            good_until: checked.good_until,
            nonce_ages: checked.nonce_ages,
        })
    }

    /// The SHA-256 thumbprint of the key (RFC 7638), in base64url: the `cnf.jkt` of what is issued.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The proof's own name.
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// The last second in which the proof is accepted, since 1970.
    pub fn good_until(&self) -> u64 {
        self.good_until
    }

    /// Whether the client should be given a new nonce with the answer.
    pub fn nonce_ages(&self) -> bool {
        self.nonce_ages
    }
}
