//! [`Assertions`]: a statement about one request, signed by the gateway, good for seconds and for one upstream.
//!
//! An upstream that believes nothing else is safe from whoever else can reach it: what it gets was judged by the gateway,
//! is meant for it, and says this and nothing else. What that costs is a signature for each request, about 30 µs with
//! ES256 and 18 µs with EdDSA, and a digest of its body.

mod key;
mod ring;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use jsonwebtoken::Header;
use jsonwebtoken::jwk::Jwk;
use mcp_auth::clock::Clock;
use mcp_auth::random::Random;
use mcp_auth::verifier::VerifiedToken;
use mcp_auth::{Judged, JudgedMessage};
use serde::Serialize;
use zeroize::Zeroizing;

use super::follow::{Following, follow};
use super::{CredentialError, Surroundings};
use crate::config::AssertionConfig;

pub(crate) use key::{AssertionAlgorithm, SigningKey};
use ring::Ring;

/// The header with the assertion. As every header that begins so, it is taken from what clients send.
const X_AUTH_ASSERTION: HeaderName = HeaderName::from_static("x-auth-assertion");

/// The `typ` of assertions, so that none passes for another JWT (RFC 8725 §3.11).
const TYPE: &str = "mcp-auth-assertion+jwt";

/// The assertions of one route.
#[derive(Debug)]
pub(crate) struct Assertions {
    gateway: Box<str>,
    audience: Box<str>,
    lifetime_seconds: u64,
    publish_ahead_seconds: u64,
    ring: ArcSwap<Ring>,
    following: OnceLock<Following>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// What an assertion says (RFC 7519 §4.1, RFC 9493 §4.1, RFC 8693 §4.2 and §4.3).
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
    jti: String,
    /// The user, who is unique only together with their issuer: see `sub_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_id: Option<SubjectId<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    /// As granted, separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(flatten)]
    message: Option<Message<'a>>,
    /// The messages of a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<Message<'a>>>,
    /// Of the bytes that follow, in base64url without padding.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_sha256: Option<String>,
}

/// RFC 9493 §3.2.2.
#[derive(Serialize)]
struct SubjectId<'a> {
    format: &'static str,
    iss: &'a str,
    sub: &'a str,
}

/// One JSON-RPC message.
#[derive(Serialize)]
struct Message<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    /// The tool that it calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<&'a str>,
    /// The resource or prompt that it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<&'a str>,
}

impl<'a> From<&'a JudgedMessage> for Message<'a> {
    fn from(message: &'a JudgedMessage) -> Self {
        let tool = message.tool();
        Self { method: message.method(), tool, object: message.object().filter(|_| tool.is_none()) }
    }
}

impl Assertions {
    /// # Errors
    ///
    /// If no key can be made, where none is configured.
    pub(super) fn new(
        config: &AssertionConfig,
        gateway: &str,
        surroundings: &Surroundings,
    ) -> anyhow::Result<Arc<Self>> {
        let keys = if let Some(file) = &config.key_file {
            SigningKey::all_from_pem(file.text.expose()).map_err(anyhow::Error::msg)?
        } else {
            let key = SigningKey::generate(config.algorithm).context("no key for assertions can be made")?;
            tracing::warn!(
                key.id = key.id(),
                upstream = &*config.audience,
                "assertions are signed with a key that ends with this process, and that no other gateway has: name a `key_file`"
            );
            vec![key]
        };
        let ring = Ring::new(keys).context("no key for assertions")?;
        let assertions = Arc::new(Self {
            gateway: gateway.into(),
            audience: config.audience.clone(),
            lifetime_seconds: config.lifetime_seconds,
            publish_ahead_seconds: config.publish_ahead_seconds,
            ring: ArcSwap::from_pointee(ring),
            following: OnceLock::new(),
            clock: Arc::clone(&surroundings.clock),
            random: Arc::clone(&surroundings.random),
        });
        if let Some(file) = &config.key_file {
            let (path, known) = (PathBuf::clone(&file.path), Zeroizing::new(file.text.expose().to_owned()));
            let following = follow(&assertions, path, known, Self::take);
            let _only_once = assertions.following.set(following);
        }
        Ok(assertions)
    }

    /// Takes over the keys of an edited file.
    pub(super) fn take(&self, text: &str) -> Result<(), String> {
        let keys = SigningKey::all_from_pem(text)?;
        let now = self.clock.unix_seconds();
        let ring = self.ring.load().next(keys, now, self.publish_ahead_seconds, self.lifetime_seconds);
        self.ring.store(Arc::new(ring.ok_or("expected at least one key, but found none")?));
        Ok(())
    }

    /// The keys to publish now.
    pub(super) fn published(&self) -> Vec<Jwk> {
        self.ring.load().published(self.clock.unix_seconds())
    }

    /// For how long those who verify may keep the published keys.
    pub(super) fn publish_ahead_seconds(&self) -> u64 {
        self.publish_ahead_seconds
    }

    /// The header for one request. A request without a body that is at hand, which was not judged as MCP, has no
    /// `body_sha256`.
    pub(super) fn sign(
        &self,
        judged: &Judged,
        body: Option<&Bytes>,
    ) -> Result<(HeaderName, HeaderValue), CredentialError> {
        let mut jti = [0; 16];
        self.random.fill(&mut jti).map_err(|_| CredentialError::Internal)?;
        let now = self.clock.unix_seconds();
        let user = judged.permit().and_then(mcp_auth::Permit::principal);
        let (message, messages) = match judged.messages() {
            [] => (None, None),
            [one] => (Some(one.into()), None),
            all => (None, Some(all.iter().map(Message::from).collect())),
        };
        let claims = Claims {
            iss: &self.gateway,
            aud: &self.audience,
            iat: now,
            exp: now.saturating_add(self.lifetime_seconds),
            jti: URL_SAFE_NO_PAD.encode(jti),
            sub: user.map(VerifiedToken::subject),
            sub_id: user.map(|user| SubjectId { format: "iss_sub", iss: user.issuer(), sub: user.subject() }),
            client_id: user.and_then(VerifiedToken::client_id),
            scope: user.map(|user| user.scopes().to_string()),
            message,
            messages,
            body_sha256: body.map(|body| URL_SAFE_NO_PAD.encode(digest(&SHA256, body))),
        };
        let ring = self.ring.load();
        let key = ring.signer(now);
        let mut header = Header::new(key.algorithm());
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(key.id().to_owned());
        let assertion = jsonwebtoken::encode(&header, &claims, key.encoding());
        let value = assertion.ok().and_then(|assertion| HeaderValue::try_from(assertion).ok());
        let mut value = value.ok_or_else(|| {
            tracing::error!(key.id = key.id(), "a key signs no assertion");
            CredentialError::Internal
        })?;
        value.set_sensitive(true);
        Ok((X_AUTH_ASSERTION, value))
    }
}
