//! How the resource server shows the authorization server who asks.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method as HttpMethod, Request, header};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use url::{Url, form_urlencoded};

use crate::ConfigError;
use crate::random::Random;
use crate::verifier::keys::FetchError;

/// How long an assertion is good, in seconds: it is used at once, and must be worth nothing to who finds it later.
const ASSERTION_SECONDS: u64 = 60;

/// RFC 7523 §2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Client authentication at an endpoint of the authorization server: introspection (RFC 7662 §2.1), or tokens (RFC 6749
/// §2.3).
///
/// Two are equal when they show the same client by the same secret or key.
///
/// `Debug` shows the client and the method, never the secret or the key.
#[derive(Clone, PartialEq)]
pub struct ClientAuthentication {
    client_id: Box<str>,
    method: Method,
}

#[derive(Clone, PartialEq)]
enum Method {
    Basic(Arc<str>),
    Post(Arc<str>),
    PrivateKeyJwt(Arc<PrivateKeyJwt>),
}

impl ClientAuthentication {
    /// `client_secret_basic`: identifier and secret in the `Authorization` header (RFC 6749 §2.3.1).
    pub fn basic(client_id: impl Into<Box<str>>, secret: impl Into<Arc<str>>) -> Self {
        Self { client_id: client_id.into(), method: Method::Basic(secret.into()) }
    }

    /// `client_secret_post`: identifier and secret in the form (RFC 6749 §2.3.1).
    ///
    /// For servers that know nothing better: forms find their way into logs more easily than headers do.
    pub fn post(client_id: impl Into<Box<str>>, secret: impl Into<Arc<str>>) -> Self {
        Self { client_id: client_id.into(), method: Method::Post(secret.into()) }
    }

    /// `private_key_jwt`: an assertion signed with the client's own key (RFC 7523 §2.2).
    pub fn private_key_jwt(client_id: impl Into<Box<str>>, key: PrivateKeyJwt) -> Self {
        Self { client_id: client_id.into(), method: Method::PrivateKeyJwt(Arc::new(key)) }
    }

    /// Whether there is something to authenticate with.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.client_id.is_empty() {
            return Err(ConfigError::new("expected a client identifier, but found an empty one"));
        }
        match &self.method {
            Method::Basic(secret) | Method::Post(secret) if secret.is_empty() => {
                Err(ConfigError::new("expected a client secret, but found an empty one"))
            }
            _ => Ok(()),
        }
    }

    /// A POST of a form to an endpoint of the authorization server that shows who sends it, and wants JSON.
    ///
    /// `audience` is the `aud` of an assertion whose key names none: the issuer, or the endpoint (RFC 7523 §3).
    ///
    /// # Errors
    /// The secret or the endpoint fits no request, or no assertion can be made. The message quotes neither.
    pub fn form_request(
        &self,
        endpoint: &Url,
        form: &[(&str, &str)],
        audience: &str,
        now: u64,
        random: &dyn Random,
    ) -> Result<Request<Bytes>, FetchError> {
        let mut fields = form_urlencoded::Serializer::new(String::new());
        fields.extend_pairs(form);
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = HttpMethod::POST;
        *request.uri_mut() =
            endpoint.as_str().parse().map_err(|_| FetchError::new("the endpoint is no URI"))?;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        self.apply(&mut fields, headers, audience, now, random).map_err(FetchError::new)?;
        *request.body_mut() = fields.finish().into();
        Ok(request)
    }

    /// Adds to a request what shows who sends it. `issuer` is the audience of an assertion that has none of its own.
    fn apply(
        &self,
        form: &mut form_urlencoded::Serializer<'_, String>,
        headers: &mut HeaderMap,
        issuer: &str,
        now: u64,
        random: &dyn Random,
    ) -> Result<(), String> {
        match &self.method {
            Method::Basic(secret) => {
                // RFC 6749 §2.3.1: both are form-encoded before they are joined, so that a colon or a character
                // outside ASCII survives.
                let encode =
                    |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", encode(&self.client_id), encode(secret));
                let value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair)));
                let mut value = value.map_err(|_| "the client's credentials fit no header")?;
                value.set_sensitive(true);
                headers.insert(header::AUTHORIZATION, value);
            }
            Method::Post(secret) => {
                form.append_pair("client_id", &self.client_id).append_pair("client_secret", secret);
            }
            Method::PrivateKeyJwt(key) => {
                let assertion = key.assertion(&self.client_id, issuer, now, random)?;
                form.append_pair("client_assertion_type", JWT_BEARER)
                    .append_pair("client_assertion", &assertion);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ClientAuthentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match self.method {
            Method::Basic(_) => "client_secret_basic",
            Method::Post(_) => "client_secret_post",
            Method::PrivateKeyJwt(_) => "private_key_jwt",
        };
        f.debug_struct("ClientAuthentication")
            .field("client_id", &self.client_id)
            .field("method", &method)
            .finish_non_exhaustive()
    }
}

/// The private key of `private_key_jwt`, and what its assertions say.
///
/// Defaults: the algorithm is that of the key; no `kid`; the audience is the issuer.
pub struct PrivateKeyJwt {
    key: EncodingKey,
    algorithm: Algorithm,
    key_id: Option<String>,
    audience: Option<Box<str>>,
}

impl PrivateKeyJwt {
    /// Reads a key in PEM form, PKCS #8: P-256 for ES256, RSA of 2048 bits or more for RS256, Ed25519 for EdDSA.
    ///
    /// # Errors
    /// The text is no such key.
    pub fn from_pem(pem: &str) -> Result<Self, ConfigError> {
        let _chosen_before = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        let pem = pem.as_bytes();
        let readings = [
            (EncodingKey::from_ec_pem(pem), Algorithm::ES256),
            (EncodingKey::from_rsa_pem(pem), Algorithm::RS256),
            (EncodingKey::from_ed_pem(pem), Algorithm::EdDSA),
        ];
        for (key, algorithm) in readings {
            // A reader looks at the kind of key alone. Only a signature shows whether there is a private key of a
            // fitting curve or size in it.
            if let Ok(key) = key
                && jsonwebtoken::crypto::sign(b"", &key, algorithm).is_ok()
            {
                return Ok(Self { key, algorithm, key_id: None, audience: None });
            }
        }
        Err(ConfigError::new(
            "expected a private key in PEM form (PKCS #8; P-256, RSA of at least 2048 bits, or Ed25519), but found none",
        ))
    }

    /// The `kid` by which the authorization server finds the public key.
    #[must_use]
    pub fn key_id(mut self, kid: impl Into<String>) -> Self {
        self.key_id = Some(kid.into());
        self
    }

    /// The `aud` of assertions instead of the issuer: some servers want the URL of their token or introspection endpoint.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<Box<str>>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    fn assertion(
        &self,
        client_id: &str,
        issuer: &str,
        now: u64,
        random: &dyn Random,
    ) -> Result<String, String> {
        /// RFC 7523 §3.
        #[derive(Serialize)]
        struct Claims<'a> {
            iss: &'a str,
            sub: &'a str,
            aud: &'a str,
            jti: String,
            iat: u64,
            exp: u64,
        }
        let mut jti = [0; 16];
        random.fill(&mut jti).map_err(|error| error.to_string())?;
        let claims = Claims {
            iss: client_id,
            sub: client_id,
            aud: self.audience.as_deref().unwrap_or(issuer),
            jti: URL_SAFE_NO_PAD.encode(jti),
            iat: now,
            exp: now.saturating_add(ASSERTION_SECONDS),
        };
        let mut header = Header::new(self.algorithm);
        header.kid.clone_from(&self.key_id);
        jsonwebtoken::encode(&header, &claims, &self.key)
            .map_err(|_| "the client's key signs no assertion".to_owned())
    }
}

impl PartialEq for PrivateKeyJwt {
    fn eq(&self, other: &Self) -> bool {
        self.key.as_bytes() == other.key.as_bytes()
            && self.algorithm == other.algorithm
            && self.key_id == other.key_id
            && self.audience == other.audience
    }
}

impl fmt::Debug for PrivateKeyJwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKeyJwt")
            .field("algorithm", &self.algorithm)
            .field("key_id", &self.key_id)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
