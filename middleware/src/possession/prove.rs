//! The station: a verified token and the request that it came with → a [`Caller`], or the reason why not.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::CACHE_CONTROL;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response};

use super::proof::{self, Expected};
use super::target::TargetUri;
use super::{Caller, Confirmation, DpopOptions, NotProven, PeerCertificate};
use crate::ConfigError;
use crate::clock::Clock;
use crate::request::Scheme;
use crate::request::credentials::Credentials;
use crate::resource::ResourceUri;
use crate::state::{Account, Key, Once, Space, State, StateError};
use crate::verifier::VerifiedToken;

/// `DPoP`, which carries a proof.
pub(crate) const DPOP: HeaderName = HeaderName::from_static("dpop");

/// `DPoP-Nonce`, which carries the nonce for the proofs to come.
pub(crate) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// How much longer than needed a used proof is remembered: the clock of a store that is shared may be ahead of ours.
const STORE_CLOCK_SKEW: u64 = 60;

/// How possession is proved at one resource.
#[derive(Debug)]
pub(crate) struct Possession {
    target: TargetUri,
    /// The origin below which each path is a target of its own; `None` where all requests have one target.
    below: Option<Box<str>>,
    dpop: DpopOptions,
    /// Whether metadata and challenges name DPoP.
    offers_dpop: bool,
    /// Whether the metadata says that tokens may be bound to certificates.
    pub(crate) offers_certificates: bool,
}

/// A caller, and what else a proof has told.
#[derive(Debug)]
pub(crate) struct Proven {
    pub(crate) caller: Caller,
    /// A nonce for the proofs to come, where that of this one is about to be too old.
    pub(crate) new_nonce: Option<String>,
}

/// Why there is no caller.
#[derive(Debug)]
pub(crate) enum Unproven {
    /// The client's fault.
    No(NotProven),
    /// Nobody can say whether the proof was used before.
    Unavailable(StateError),
}

impl From<NotProven> for Unproven {
    fn from(why: NotProven) -> Self {
        Self::No(why)
    }
}

impl Possession {
    pub(crate) fn new(resource: &ResourceUri) -> Self {
        Self {
            target: TargetUri::of(resource),
            below: None,
            dpop: DpopOptions::default(),
            offers_dpop: false,
            offers_certificates: false,
        }
    }

    pub(crate) fn offer_dpop(&mut self, options: DpopOptions) {
        self.dpop = options;
        self.offers_dpop = true;
    }

    /// Makes the path of each request its target, at the origin of the resource.
    pub(crate) fn prove_each_path(&mut self, resource: &ResourceUri) {
        self.below = Some(resource.origin().into());
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.dpop.check()
    }

    pub(crate) fn offers_dpop(&self) -> bool {
        self.offers_dpop
    }

    /// Whether bearer tokens are refused.
    pub(crate) fn requires_dpop(&self) -> bool {
        self.dpop.required
    }

    /// The algorithms of proofs, as challenges and metadata name them.
    pub(crate) fn dpop_algorithms(&self) -> Vec<&'static str> {
        self.dpop.names().collect()
    }

    pub(crate) fn uses_nonces(&self) -> bool {
        self.dpop.nonces.is_some()
    }

    /// The nonce that proofs need now, where they need one.
    pub(crate) fn nonce(&self, clock: &dyn Clock) -> Option<String> {
        self.dpop.current_nonce(clock.unix_seconds())
    }

    /// Hands the client a new nonce with the answer of the server, where one is due (RFC 9449 §8.2).
    pub(crate) fn renew_nonce<B>(&self, response: &mut Response<B>, new_nonce: Option<String>) {
        if self.uses_nonces() {
            // One of the server's own would send the client in circles.
            response.headers_mut().remove(DPOP_NONCE);
        }
        if let Some(Ok(nonce)) = new_nonce.map(HeaderValue::try_from) {
            response.headers_mut().insert(DPOP_NONCE, nonce);
            // Out of a cache it would be too old (RFC 9449 §8.2).
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
    }

    /// Whether a verified token is its sender's to use, for this request.
    pub(crate) async fn prove(
        &self,
        token: Arc<VerifiedToken>,
        credentials: &Credentials,
        parts: &Parts,
        clock: &dyn Clock,
        state: &dyn State,
    ) -> Result<Proven, Unproven> {
        let new_nonce = match (credentials.scheme, token.confirmation()) {
            (_, Some(Confirmation::Unprovable)) => return Err(NotProven::Unprovable.into()),
            (Scheme::Bearer, Some(Confirmation::Key(_))) => return Err(NotProven::BoundKeyAsBearer.into()),
            (Scheme::Bearer, _) if self.dpop.required => return Err(NotProven::KeyRequired.into()),
            (Scheme::Bearer, None) => None,
            (Scheme::Bearer, Some(Confirmation::Certificate(thumbprint))) => {
                // Both are public: there is nothing to learn from the time that a comparison takes.
                match parts.extensions.get::<PeerCertificate>() {
                    Some(certificate) if certificate.thumbprint() == thumbprint => None,
                    Some(_) => return Err(NotProven::OtherCertificate.into()),
                    None => return Err(NotProven::NoCertificate.into()),
                }
            }
            (Scheme::DPoP, Some(Confirmation::Key(jkt))) => {
                let account = Account::new(&[token.issuer(), token.subject()]);
                let token = credentials.token.expose();
                Box::pin(self.check_dpop((jkt, account), token, parts, clock, state)).await?
            }
            (Scheme::DPoP, None | Some(Confirmation::Certificate(_))) => {
                return Err(NotProven::NoKeyInDpop.into());
            }
        };
        Ok(Proven { caller: Caller::proven(token), new_nonce })
    }

    /// All of RFC 9449 §4.3, and that the proof is new; gives a new nonce where one is due.
    async fn check_dpop(
        &self,
        (jkt, account): (&str, Account),
        token: &str,
        parts: &Parts,
        clock: &dyn Clock,
        state: &dyn State,
    ) -> Result<Option<String>, Unproven> {
        let mut proofs = parts.headers.get_all(DPOP).iter();
        let proof = proofs.next().ok_or(NotProven::InvalidProof("The request has no DPoP proof"))?;
        if proofs.next().is_some() {
            return Err(NotProven::SeveralProofs.into());
        }
        let proof = proof.to_str().map_err(|_| NotProven::InvalidProof("The DPoP proof is no JWT"))?;
        let own = match &self.below {
            Some(origin) => Some(
                TargetUri::below(origin, parts.uri.path())
                    .ok_or(NotProven::InvalidProof("The request has no target that a proof could name"))?,
            ),
            None => None,
        };
        let target = own.as_ref().unwrap_or(&self.target);
        let now = clock.unix_seconds();
        let checked = proof::check(
            proof,
            &Expected {
                algorithms: &self.dpop.algorithms,
                jkt: Some(jkt),
                method: parts.method.as_str(),
                target,
                ath: Some(&URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()))),
                now,
                window_seconds: self.dpop.window.as_secs(),
                nonces: self.dpop.nonces.as_ref(),
            },
        )?;
        // A `jti` is its key's own, and used once for each target (RFC 9449 §11.1).
        let proof = Once {
            key: Key::new(Space::Replay, &["dpop", target.as_str(), jkt, &checked.jti]),
            account,
            made_at: checked.made_at,
            expires_at: checked.good_until.saturating_add(1 + STORE_CLOCK_SKEW),
        };
        match state.use_once(proof).await {
            Ok(true) => Ok(checked.nonce_ages.then(|| self.nonce(clock)).flatten()),
            Ok(false) => Err(NotProven::InvalidProof("The DPoP proof was used before").into()),
            Err(error) => Err(Unproven::Unavailable(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::possession::DpopNonces;

    /// The server behind may ask for nonces of its own; its callers are not ours to send to it.
    #[test]
    fn a_nonce_of_the_server_never_passes_for_ours() {
        let mut possession = Possession::new(&"https://gw.test/mcp".parse().unwrap());
        possession.offer_dpop(DpopOptions::new().nonces(DpopNonces::from_key(&[1; 32])));
        for (new_nonce, expected) in [(None, None), (Some("ours".to_owned()), Some("ours"))] {
            let mut response = Response::new(());
            response.headers_mut().insert(DPOP_NONCE, HeaderValue::from_static("of the server"));
            possession.renew_nonce(&mut response, new_nonce);
            let nonces: Vec<_> = response.headers().get_all(DPOP_NONCE).iter().collect();
            assert_eq!(nonces, expected.into_iter().collect::<Vec<_>>());
            assert_eq!(response.headers().contains_key(CACHE_CONTROL), expected.is_some());
        }
    }
}
