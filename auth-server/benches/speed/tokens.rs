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
    format!("{}.{}", grant(number), refresh_secret(number))
}

fn refresh_secret(number: u64) -> String {
    hash(&format!("refresh {number}"))
}

/// As long as one that was signed. The server finds it by its time and its digest.
pub(crate) fn access(number: u64) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims = format!("{{\"iat\":{},\"as\":\"{}\"}}", issued_at(number), "long as others".repeat(17));
    let signature = hash(&format!("access {number}")).repeat(2);
    format!(
        "{}.{}.{signature}",
        part("{\"typ\":\"at+jwt\",\"alg\":\"ES256\",\"kid\":\"of 22 characters, all\"}"),
        part(&claims)
    )
}

/// As if so many clients came back all the time: the seconds in which they were issued have some 250 each.
pub(crate) fn issued_at(number: u64) -> i64 {
    1_700_000_000 + i64::try_from(number / 250).unwrap()
}

/// What the server stores of a refresh token.
pub(crate) fn refresh_digest(number: u64) -> String {
    hash(&refresh_secret(number))
}

/// What the server stores of an access token.
pub(crate) fn digest_of(token: &str) -> String {
    hash(token)
}
