//! Where a token's status is to be found (§6.2), and whether that is a place to look at.

use serde_json::Value;
use url::Url;

use crate::verifier::{InvalidToken, VerifiedToken};

/// The claim `status.status_list` of an access token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reference<'a> {
    pub(super) index: u64,
    pub(super) uri: &'a str,
}

impl<'a> Reference<'a> {
    /// The token's reference, if it has one. A `status` that is no object, or speaks of other mechanisms, is none.
    pub(super) fn of(token: &'a VerifiedToken) -> Result<Option<Self>, InvalidToken> {
        let Some(reference) = token.claim("status").and_then(|status| status.get("status_list")) else {
            return Ok(None);
        };
        let index = reference.get("idx").and_then(Value::as_u64);
        let uri = reference.get("uri").and_then(Value::as_str);
        match (index, uri) {
            (Some(index), Some(uri)) => Ok(Some(Self { index, uri })),
            _ => Err(InvalidToken::Untrusted("the token's `status_list` has not both an `idx` and a `uri`")),
        }
    }
}

/// The servers whose lists are fetched: a token names a URL, and nobody may send us anywhere by that.
#[derive(Debug)]
pub(super) struct Places {
    /// The origin of the issuer.
    pub(super) issuer: Option<url::Origin>,
    /// `host` or `host:port`, reached by https.
    pub(super) hosts: Vec<Box<str>>,
}

impl Places {
    /// The URL of a list, if it is one of these places'.
    pub(super) fn allow(&self, uri: &str) -> Option<Url> {
        let url = Url::parse(uri).ok()?;
        let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        let same_origin = self.issuer.as_ref() == Some(&url.origin());
        (plain && (same_origin || (url.scheme() == "https" && self.is_listed(&url)))).then_some(url)
    }

    fn is_listed(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else {
            return false;
        };
        self.hosts.iter().any(|listed| match url.port() {
            None => **listed == *host || listed.strip_suffix(":443") == Some(host),
            Some(port) => {
                listed.strip_suffix(&port.to_string()).and_then(|rest| rest.strip_suffix(':')) == Some(host)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::ScopeSet;

    fn token(status: &Value) -> VerifiedToken {
        let claims = json!({ "status": status }).as_object().unwrap().clone();
        VerifiedToken::assert_verified("https://as.test", "alex", None, ScopeSet::default(), 1, claims)
    }

    #[test]
    fn a_reference_has_an_index_and_a_uri_or_is_refused() {
        for status in [json!(null), json!("active"), json!({}), json!({"other_list": {"idx": 1}})] {
            assert_eq!(Reference::of(&token(&status)), Ok(None), "{status}");
        }
        for list in [
            json!({}),
            json!(null),
            json!("https://as.test/1"),
            json!({"idx": 1}),
            json!({"uri": "https://as.test/1"}),
            json!({"idx": -1, "uri": "https://as.test/1"}),
            json!({"idx": 1.0, "uri": "https://as.test/1"}),
            json!({"idx": "1", "uri": "https://as.test/1"}),
            json!({"idx": 1, "uri": 1}),
        ] {
            assert!(Reference::of(&token(&json!({ "status_list": list }))).is_err(), "{list}");
        }
        let token = token(&json!({"status_list": {"idx": 7, "uri": "https://as.test/1"}}));
        assert_eq!(Reference::of(&token), Ok(Some(Reference { index: 7, uri: "https://as.test/1" })));
    }

    #[test]
    fn lists_are_fetched_from_the_issuer_and_from_hosts_that_are_configured() {
        let places = Places {
            issuer: Url::parse("https://as.test/tenant").ok().map(|url| url.origin()),
            hosts: ["status.test", "lists.test:8443", "other.test:443"].map(Into::into).to_vec(),
        };
        for uri in [
            "https://as.test/lists/1",
            "https://as.test:443/lists/1?page=2",
            "https://status.test/1",
            "https://status.test:443/1",
            "https://lists.test:8443/1",
            "https://other.test/1",
        ] {
            assert!(places.allow(uri).is_some(), "{uri}");
        }
        for uri in [
            "http://as.test/lists/1",
            "https://as.test:8443/lists/1",
            "https://as.test@evil.test/1",
            "https://user@as.test/1",
            "https://:password@as.test/1",
            "https://as.test.evil.test/1",
            "https://as.test/1#fragment",
            "http://status.test/1",
            "https://status.test:8443/1",
            "https://sub.status.test/1",
            "https://lists.test/1",
            "https://lists.test:443/1",
            "https://169.254.169.254/latest/meta-data",
            "file:///etc/passwd",
            "data:,x",
            "/lists/1",
            "",
        ] {
            assert_eq!(places.allow(uri), None, "{uri}");
        }
    }

    #[test]
    fn a_development_issuer_on_this_machine_has_its_own_origin() {
        let issuer = Url::parse("http://localhost:4000").ok().map(|url| url.origin());
        let places = Places { issuer, hosts: vec!["localhost:5000".into()] };
        assert!(places.allow("http://localhost:4000/status/1").is_some());
        assert_eq!(places.allow("http://localhost:5000/status/1"), None);
    }
}
