//! Connections to one upstream, kept and reused.

use std::sync::Arc;
use std::time::Duration;

use http::uri::Scheme;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::request::CleanBody;

/// How long an idle connection is kept: less than any common server keeps it (Node and uvicorn close after 5 s). A call
/// sent just as the server closes is lost, and a POST must not be sent a second time.
const IDLE: Duration = Duration::from_secs(4);
/// How often an HTTP/2 upstream is asked whether it still lives.
const H2_KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Why an upstream's client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    #[error("the system's certificate authorities cannot be used")]
    Authorities(#[from] std::io::Error),
}

/// An HTTP client with a pool of its own, so that nothing of one route leaks into another.
#[derive(Clone, Debug)]
pub(crate) struct Client(legacy::Client<HttpsConnector<HttpConnector>, CleanBody>);

impl Client {
    /// Trusts `authorities` alone for https, or the system's where none are given. For plain http, which needs no
    /// trust roots and must work where the system has none, nobody is trusted.
    ///
    /// # Errors
    ///
    /// If TLS, or the system's certificate authorities, cannot be set up.
    pub(crate) fn new(
        upstream: &Uri,
        connect_timeout: Duration,
        authorities: Option<Arc<rustls::RootCertStore>>,
    ) -> Result<Self, ClientError> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(connect_timeout));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let nobody = || Arc::new(rustls::RootCertStore::empty());
        let authorities =
            if upstream.scheme() == Some(&Scheme::HTTPS) { authorities } else { Some(nobody()) };
        let https = match authorities {
            Some(authorities) => {
                let config = rustls::ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()?
                    .with_root_certificates(authorities)
                    .with_no_client_auth();
                HttpsConnectorBuilder::new().with_tls_config(config)
            }
            None => HttpsConnectorBuilder::new().with_provider_and_platform_verifier(provider)?,
        };
        let connector = https.https_or_http().enable_http1().enable_http2().wrap_connector(http);
        let client = legacy::Client::builder(TokioExecutor::new())
            // without both, idle connections stay until somebody looks and HTTP/2 cannot notice a dead peer
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http2_keep_alive_interval(H2_KEEP_ALIVE)
            .build(connector);
        Ok(Self(client))
    }

    /// Sends the request; returns when the head of the answer is there. Dropping the future, or the answer's body,
    /// ends the exchange with the upstream.
    pub(crate) async fn send(
        &self,
        request: Request<CleanBody>,
    ) -> Result<Response<Incoming>, legacy::Error> {
        self.0.request(request).await
    }
}
