//! An OAuth client of our own, for the requests that no honest client would send.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use url::Url;

use super::Demo;
use super::browser::{Browser, Page};

/// The example pair of RFC 7636 appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(crate) const REDIRECT_URI: &str = "http://127.0.0.1:6276/oauth/callback";

/// A registered public client.
pub(crate) struct OauthClient {
    pub(crate) metadata: Value,
    pub(crate) id: String,
    pub(crate) resource: String,
    http: reqwest::Client,
}

impl OauthClient {
    /// Finds the authorization server from the resource alone and registers there.
    pub(crate) async fn register(demo: &Demo) -> Self {
        Self::register_at(&demo.ready.mcp_url, json!([REDIRECT_URI])).await
    }

    pub(crate) async fn register_at(mcp_url: &str, redirect_uris: Value) -> Self {
        let http = super::http();
        let resource = Url::parse(mcp_url).unwrap();
        let document =
            resource.join(&format!("/.well-known/oauth-protected-resource{}", resource.path())).unwrap();
        let document: Value = http.get(document).send().await.unwrap().json().await.unwrap();
        let issuer = Url::parse(document["authorization_servers"][0].as_str().unwrap()).unwrap();
        let metadata = issuer.join("/.well-known/oauth-authorization-server").unwrap();
        let metadata: Value = http.get(metadata).send().await.unwrap().json().await.unwrap();
        let registration = json!({
            "client_name": "End-to-end test",
            "redirect_uris": redirect_uris,
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "none",
        });
        let endpoint = metadata["registration_endpoint"].as_str().unwrap();
        let response = http.post(endpoint).json(&registration).send().await.unwrap();
        let status = response.status();
        let client: Value = response.json().await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{client}");
        let id = client["client_id"].as_str().unwrap().to_owned();
        let resource = document["resource"].as_str().unwrap().to_owned();
        Self { metadata, id, resource, http }
    }

    pub(crate) fn endpoint(&self, name: &str) -> Url {
        Url::parse(self.metadata[name].as_str().unwrap()).unwrap()
    }

    pub(crate) fn authorization_url(&self, scope: &str) -> Url {
        let mut url = self.endpoint("authorization_endpoint");
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.id)
            .append_pair("redirect_uri", REDIRECT_URI)
            .append_pair("scope", scope)
            .append_pair("state", "the state")
            .append_pair("resource", &self.resource)
            .append_pair("code_challenge", CHALLENGE)
            .append_pair("code_challenge_method", "S256");
        url
    }

    /// Signs `username` in and allows; gives the code and the pages on the way.
    pub(crate) async fn code(&self, demo: &Demo, username: &str, scope: &str) -> (String, Vec<Page>) {
        let browser = Browser::new(demo.user(username));
        let (callback, pages) = browser.authorize(&self.authorization_url(scope), "allow").await;
        (parameter(&callback, "code").expect("a code"), pages)
    }

    pub(crate) async fn post_token(&self, fields: &[(&str, &str)]) -> Response {
        self.http.post(self.endpoint("token_endpoint")).form(fields).send().await.unwrap()
    }

    pub(crate) async fn exchange(&self, code: &str, verifier: &str) -> (StatusCode, Value) {
        let response = self
            .post_token(&[
                ("grant_type", "authorization_code"),
                ("client_id", &self.id),
                ("code", code),
                ("redirect_uri", REDIRECT_URI),
                ("code_verifier", verifier),
                ("resource", &self.resource),
            ])
            .await;
        (response.status(), response.json().await.unwrap())
    }

    pub(crate) async fn refresh(&self, refresh_token: &str) -> (StatusCode, Value) {
        let response = self
            .post_token(&[
                ("grant_type", "refresh_token"),
                ("client_id", &self.id),
                ("refresh_token", refresh_token),
                ("resource", &self.resource),
            ])
            .await;
        (response.status(), response.json().await.unwrap())
    }

    /// An access token for `username`, the honest way.
    pub(crate) async fn access_token(&self, demo: &Demo, username: &str, scope: &str) -> String {
        self.tokens(demo, username, scope).await["access_token"].as_str().unwrap().to_owned()
    }

    /// Everything that the token endpoint gives for `username`.
    pub(crate) async fn tokens(&self, demo: &Demo, username: &str, scope: &str) -> Value {
        let (code, _) = self.code(demo, username, scope).await;
        let (status, tokens) = self.exchange(&code, VERIFIER).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        tokens
    }
}

/// The one value of a parameter of a redirect.
pub(crate) fn parameter(url: &Url, name: &str) -> Option<String> {
    let values: Vec<_> =
        url.query_pairs().filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).collect();
    assert!(values.len() < 2, "`{name}` is repeated in {url}");
    values.into_iter().next()
}

/// A part of a JWT: 0 is the header, 1 the claims.
pub(crate) fn jwt_part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("a JWT has three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}
