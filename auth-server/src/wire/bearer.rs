//! A bearer token in the `Authorization` header (RFC 6750 §2.1): for registrations, which have no other way.

use http::{HeaderMap, header};

use crate::model::secret::Secret;

/// What a request has in its header.
#[derive(Debug)]
pub(crate) enum Bearer {
    None,
    Token(Secret),
    /// Two headers, another scheme, or nothing that could be a token.
    Unfit,
}

impl Bearer {
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let mut lines = headers.get_all(header::AUTHORIZATION).iter();
        let Some(line) = lines.next() else { return Self::None };
        if lines.next().is_some() {
            return Self::Unfit;
        }
        let token = line.to_str().ok().and_then(|line| line.split_once(' '));
        match token {
            Some((scheme, token))
                if scheme.eq_ignore_ascii_case("Bearer") && is_token(token.trim_start()) =>
            {
                Self::Token(Secret::received(token.trim_start()))
            }
            _ => Self::Unfit,
        }
    }
}

/// `b64token` of RFC 6750 §2.1, but for its padding, which ours have not.
fn is_token(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    !text.is_empty() && text.bytes().all(legal)
}
