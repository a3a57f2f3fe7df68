//! What a metadata document may say.

use serde::{Deserialize, de::IgnoredAny};

use crate::wire::registration::{ClientMetadata, is_shallow_object};

#[derive(Deserialize)]
struct Document {
    client_id: String,
    client_secret: Option<IgnoredAny>,
    client_secret_expires_at: Option<IgnoredAny>,
    #[serde(flatten)]
    metadata: ClientMetadata,
}

/// Reads a document that was found at `id`.
pub(super) fn parse(body: &[u8], id: &str) -> Result<ClientMetadata, &'static str> {
    let document: Document = is_shallow_object(body)
        .then(|| serde_json::from_slice(body).ok())
        .flatten()
        .ok_or("expected a JSON object with client metadata")?;
    // §4.1: simple string comparison, nothing normalised
    if document.client_id != id {
        return Err("expected client_id to be the URL of the document");
    }
    // §4.1: what is public cannot hold a secret
    if document.client_secret.is_some() || document.client_secret_expires_at.is_some() {
        return Err("expected no client secret");
    }
    Ok(document.metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "https://client.test/c.json";

    #[test]
    fn documents_that_do_not_describe_their_url_are_refused() {
        for body in [
            "",
            "null",
            "[]",
            "\"x\"",
            "{}",
            r#"{"client_id":1}"#,
            r#"{"client_id":"https://client.test/c.json/"}"#,
            r#"{"client_id":"https://client.test:443/c.json"}"#,
            r#"{"client_id":"https://CLIENT.test/c.json"}"#,
            r#"{"client_id":"https://client.test/c.json "}"#,
            r#"{"client_id":"https://other.test/c.json"}"#,
            r#"{"client_id":"https://client.test/c.json","client_secret":"s"}"#,
            r#"{"client_id":"https://client.test/c.json","client_secret_expires_at":0}"#,
            r#"{"client_id":"https://client.test/c.json","client_id":"https://client.test/c.json"}"#,
            r#"{"client_id":"https://client.test/c.json","client_name":7}"#,
        ] {
            assert!(parse(body.as_bytes(), ID).is_err(), "{body}");
        }
        assert!(parse(format!("{}{}", "[".repeat(5000), "]".repeat(5000)).as_bytes(), ID).is_err());
        assert!(parse(r#"{"client_id":"https://client.test/c.json","unknown":1}"#.as_bytes(), ID).is_ok());
    }
}
