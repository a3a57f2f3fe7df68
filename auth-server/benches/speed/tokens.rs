//! The tokens of grants that were put into a database: each is made of its number, so that nobody needs to keep them.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

pub(crate) fn grant(number: u64) -> String {
    hash(&format!("grant {number}")).chars().take(22).collect()
}

pub(crate) fn refresh(number: u64) -> String {
    hash(&format!("refresh {number}"))
}

/// As long as one that was signed. The server finds it by its digest.
pub(crate) fn access(number: u64) -> String {
    hash(&format!("access {number}")).repeat(12)
}

/// What the server stores of a token.
pub(crate) fn digest_of(token: &str) -> String {
    hash(token)
}
