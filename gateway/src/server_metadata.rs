//! A copy of an authorization server's own metadata, for old clients that look for it beside the resource.
//!
//! Up to MCP 2025-03-26 the authorization server was the MCP server itself, and some clients still ask there first. They
//! get the issuer's document byte for byte, whatever it says: an issuer that was rewritten would be another one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Response};
use mcp_auth::clock::Clock;
use mcp_auth::verifier::keys::Fetch;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use crate::body::ResponseBody;
use crate::respond;

/// How a copy is kept, in seconds, as the issuer's keys are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeping {
    /// Used without asking again.
    pub(crate) fresh: u64,
    /// Used while the issuer cannot be reached.
    pub(crate) stale: u64,
    /// The issuer is left alone after an attempt.
    pub(crate) cool_down: u64,
}

/// The metadata of one issuer.
#[derive(Debug)]
pub(crate) struct ServerMetadata {
    issuer: String,
    /// Where it may be, in the order of RFC 8414 §5.
    urls: Vec<Url>,
    fetch: Arc<dyn Fetch>,
    clock: Arc<dyn Clock>,
    keeping: Keeping,
    /// Held while it is fetched: whoever asks meanwhile waits for the same answer.
    copy: Mutex<Copy>,
}

#[derive(Debug, Default)]
struct Copy {
    /// And when it was fetched.
    document: Option<(Bytes, u64)>,
    tried_at: Option<u64>,
}

impl ServerMetadata {
    /// # Errors
    ///
    /// An issuer that is no URL.
    pub(crate) fn new(
        issuer: &str,
        fetch: Arc<dyn Fetch>,
        clock: Arc<dyn Clock>,
        keeping: Keeping,
    ) -> anyhow::Result<Self> {
        let url = Url::parse(issuer).context("an issuer that is no URL")?;
        let path = url.path().trim_end_matches('/').to_owned();
        let at = |path: String| {
            let mut metadata = url.clone();
            metadata.set_path(&path);
            metadata
        };
        let mut urls = vec![
            at(format!("/.well-known/oauth-authorization-server{path}")),
            at(format!("/.well-known/openid-configuration{path}")),
        ];
        if !path.is_empty() {
            urls.push(at(format!("{path}/.well-known/openid-configuration")));
        }
        Ok(Self { issuer: issuer.to_owned(), urls, fetch, clock, keeping, copy: Mutex::default() })
    }

    /// Answers a request for it.
    pub(crate) async fn respond(&self, method: &Method) -> Response<ResponseBody> {
        match *method {
            Method::GET | Method::HEAD => match self.document().await {
                Some(document) => respond::document(method, document, Duration::from_mins(1)),
                None => respond::unavailable("the authorization server's metadata cannot be fetched now"),
            },
            Method::OPTIONS => respond::may_ask(),
            _ => respond::only_to_read(),
        }
    }

    async fn document(&self) -> Option<Bytes> {
        let mut copy = self.copy.lock().await;
        let now = self.clock.unix_seconds();
        // a clock that was set back makes what was fetched old, and not new for as long
        let age = |then: u64| then.abs_diff(now);
        let usable = |copy: &Copy, seconds: u64| {
            copy.document.as_ref().filter(|(_, at)| age(*at) < seconds).map(|(document, _)| document.clone())
        };
        if let Some(document) = usable(&copy, self.keeping.fresh) {
            return Some(document);
        }
        if copy.tried_at.is_none_or(|at| age(at) >= self.keeping.cool_down) {
            copy.tried_at = Some(now);
            match self.fetch().await {
                Ok(document) => {
                    copy.document = Some((document.clone(), now));
                    return Some(document);
                }
                Err(reason) => {
                    tracing::warn!(
                        token.issuer = self.issuer,
                        reason,
                        "the issuer's metadata cannot be copied"
                    );
                }
            }
        }
        usable(&copy, self.keeping.stale)
    }

    async fn fetch(&self) -> Result<Bytes, String> {
        #[derive(Deserialize)]
        struct Named {
            issuer: String,
        }
        let mut failures = Vec::new();
        for url in &self.urls {
            match self.fetch.get(url).await {
                // RFC 8414 §3.3: it must be the one that was asked for
                Ok(document) => match serde_json::from_slice::<Named>(&document) {
                    Ok(named) if named.issuer == self.issuer => return Ok(document),
                    Ok(named) => failures.push(format!("{url} is of the issuer `{}`", named.issuer)),
                    Err(reason) => failures.push(format!("{url} holds no metadata: {reason}")),
                },
                Err(reason) => failures.push(reason.to_string()),
            }
        }
        Err(failures.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use bytes::Bytes;
    use http::{Method, StatusCode};
    use http_body_util::BodyExt as _;
    use mcp_auth::clock::ManualClock;
    use mcp_auth::verifier::BoxFuture;
    use mcp_auth::verifier::keys::{Fetch, FetchError};
    use url::Url;

    use super::{Keeping, ServerMetadata};

    /// A web of documents, and what was asked for.
    #[derive(Debug, Default)]
    struct Web {
        documents: Mutex<HashMap<String, &'static str>>,
        asked: Mutex<Vec<String>>,
    }

    impl Fetch for Web {
        fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Bytes, FetchError>> {
            Box::pin(async move {
                self.asked.lock().unwrap().push(url.to_string());
                // long enough for others to come
                tokio::task::yield_now().await;
                let found = self.documents.lock().unwrap().get(url.as_str()).copied();
                found
                    .map(|text| Bytes::from_static(text.as_bytes()))
                    .ok_or_else(|| FetchError::new("no such document"))
            })
        }
    }

    const ISSUER: &str = "https://as.test/tenant";
    const LAST: &str = "https://as.test/tenant/.well-known/openid-configuration";
    const DOCUMENT: &str = "{ \"issuer\": \"https://as.test/tenant\",  \"kept\": \"as it is\" }";

    fn metadata() -> (Arc<Web>, Arc<ManualClock>, Arc<ServerMetadata>) {
        let (web, clock) = (Arc::new(Web::default()), Arc::new(ManualClock::at(1000)));
        let keeping = Keeping { fresh: 300, stale: 3600, cool_down: 10 };
        let metadata = ServerMetadata::new(ISSUER, web.clone(), clock.clone(), keeping).unwrap();
        (web, clock, Arc::new(metadata))
    }

    async fn get(metadata: &ServerMetadata) -> (StatusCode, String) {
        let response = metadata.respond(&Method::GET).await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn what_is_not_the_issuers_own_is_not_copied() {
        let (web, clock, metadata) = metadata();
        for (url, document) in [
            (
                "https://as.test/.well-known/oauth-authorization-server/tenant",
                "{\"issuer\":\"https://evil.test\"}",
            ),
            ("https://as.test/.well-known/openid-configuration/tenant", "<html>"),
            (LAST, "{\"issuer\":\"https://as.test/tenant/\"}"),
        ] {
            web.documents.lock().unwrap().insert(url.to_owned(), document);
        }
        assert_eq!(get(&metadata).await.0, StatusCode::SERVICE_UNAVAILABLE);
        clock.advance(Duration::from_secs(10));
        web.documents.lock().unwrap().insert(LAST.to_owned(), DOCUMENT);
        assert_eq!(get(&metadata).await, (StatusCode::OK, DOCUMENT.to_owned()), "byte for byte");
        assert_eq!(metadata.respond(&Method::POST).await.status(), StatusCode::METHOD_NOT_ALLOWED);
        let preflight = metadata.respond(&Method::OPTIONS).await;
        assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    }

    #[tokio::test]
    async fn the_issuer_is_asked_once_and_left_alone_while_it_fails() {
        let (web, clock, metadata) = metadata();
        for _ in 0..3 {
            assert_eq!(get(&metadata).await.0, StatusCode::SERVICE_UNAVAILABLE);
        }
        assert_eq!(web.asked.lock().unwrap().len(), 3, "three places, one attempt");
        clock.advance(Duration::from_secs(10));
        web.documents.lock().unwrap().insert(LAST.to_owned(), DOCUMENT);
        let (one, two) = tokio::join!(get(&metadata), get(&metadata));
        assert_eq!((one.0, two.0), (StatusCode::OK, StatusCode::OK));
        assert_eq!(web.asked.lock().unwrap().len(), 6, "one flight for both");
        clock.advance(Duration::from_secs(299));
        get(&metadata).await;
        assert_eq!(web.asked.lock().unwrap().len(), 6, "fresh");
    }

    #[tokio::test]
    async fn an_old_copy_serves_for_a_while_and_no_longer() {
        let (web, clock, metadata) = metadata();
        web.documents.lock().unwrap().insert(LAST.to_owned(), DOCUMENT);
        assert_eq!(get(&metadata).await.0, StatusCode::OK);
        web.documents.lock().unwrap().clear();
        clock.advance(Duration::from_secs(3599));
        assert_eq!(get(&metadata).await, (StatusCode::OK, DOCUMENT.to_owned()));
        clock.advance(Duration::from_secs(1));
        assert_eq!(get(&metadata).await.0, StatusCode::SERVICE_UNAVAILABLE);
    }
}
