//! Grant types: what a client may come to the token endpoint with.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A grant type that this server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum GrantType {
    /// OAuth 2.1 §4.1
    AuthorizationCode,
    /// OAuth 2.1 §4.3
    RefreshToken,
    /// OAuth 2.1 §4.2
    ClientCredentials,
    /// RFC 8628
    DeviceCode,
    /// RFC 8693
    TokenExchange,
    /// RFC 7523
    JwtBearer,
}

/// Grant types of one client.
pub(crate) type GrantTypes = BTreeSet<GrantType>;

impl GrantType {
    pub(crate) const ALL: [Self; 6] = [
        Self::AuthorizationCode,
        Self::RefreshToken,
        Self::ClientCredentials,
        Self::DeviceCode,
        Self::TokenExchange,
        Self::JwtBearer,
    ];

    /// The name on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }

    /// Whether a client that nobody vouches for may have it: only where a user says yes each time.
    pub(crate) const fn is_open_to_strangers(self) -> bool {
        matches!(self, Self::AuthorizationCode | Self::RefreshToken)
    }

    /// Whether a client must prove who it is, since there is no user whose consent the grant rests on.
    pub(crate) const fn needs_authentication(self) -> bool {
        matches!(self, Self::ClientCredentials | Self::TokenExchange | Self::JwtBearer)
    }
}

/// What a client has that signs users in and keeps them signed in.
pub(crate) fn interactive() -> GrantTypes {
    [GrantType::AuthorizationCode, GrantType::RefreshToken].into()
}

impl Serialize for GrantType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for GrantType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("expected a grant type"))
    }
}
