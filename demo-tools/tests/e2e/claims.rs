//! What the authorization server tells a resource about users, at the server behind the gateway: claims of the tokens
//! become headers, and nothing else does.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use reqwest::StatusCode;
use rmcp::transport::streamable_http_server::StreamableHttpServerConfig;
use serde_json::{Value, json};

use crate::counter;
use crate::harness::browser::Browser;
use crate::harness::demo::User;
use crate::harness::http;
use crate::harness::mcp::{Answer, modern};
use crate::harness::oauth::{OauthClient, REDIRECT_URI, VERIFIER, parameter};
use crate::harness::stand::Stand;

const POLICY: &str = "\
version = 1
[scopes.math]
description = \"Calculate for you\"
[tools.say_hello]
auth = \"public\"
[tools.sum]
auth = \"oauth2\"
scopes = [\"math\"]
";

const FORWARDED: &str = "forward_claims = { \"X-Auth-Email\" = \"email\", \"X-Auth-Tier\" = \"tier\", \
                         \"X-Auth-Organisation\" = \"https://as.test/org\" }";

/// A claim by its own name, one that is called as an attribute, and one that is not.
const TOLD: &str = "[resources.claims.email]\n[resources.claims.tier]\n\
                    [resources.claims.\"https://as.test/org\"]\nfrom = \"attributes.organisation\"";

/// Spellings of the headers, as a client might try that wants to be somebody else.
const FORGED: [&str; 6] = [
    "X-Auth-Email",
    "x_auth_email",
    "X-Auth-Tier",
    "X-Auth_Tier",
    "X-Auth-Organisation",
    "X_AUTH_ORGANISATION",
];

/// The gateway's headers for claims, of every tool call that the server got.
type Seen = Arc<Mutex<Vec<Vec<(String, String)>>>>;

async fn note(State(seen): State<Seen>, request: Request, next: Next) -> Response {
    if request.headers().get("mcp-method").is_some_and(|method| method == "tools/call") {
        let told = request.headers().iter().filter_map(|(name, value)| {
            let name = name.as_str().replace('_', "-");
            let claim = name.strip_prefix("x-auth-")?;
            let is_claim = !["issuer", "subject", "client-id", "scopes"].contains(&claim);
            is_claim.then(|| (claim.to_owned(), value.to_str().unwrap().to_owned()))
        });
        let mut told: Vec<_> = told.collect();
        told.sort_unstable();
        seen.lock().unwrap().push(told);
    }
    next.run(request).await
}

struct House {
    stand: Stand,
    client: OauthClient,
    seen: Seen,
    _upstream: counter::Serving,
}

impl House {
    async fn start() -> Self {
        let seen = Seen::default();
        let front = |router: Router| router.layer(from_fn_with_state(Arc::clone(&seen), note));
        let stateless = StreamableHttpServerConfig::default().with_legacy_session_mode(false);
        let upstream = counter::start_behind(stateless, front).await;
        let stand = Stand::with(&format!("\"{}\"", upstream.url), POLICY, FORWARDED, TOLD).await;
        stand.until_modern().await;
        let client = OauthClient::register_at(&stand.mcp_url, json!([REDIRECT_URI])).await;
        Self { stand, client, seen, _upstream: upstream }
    }

    async fn sign_in(&self, user: &User) -> Value {
        let url = self.client.authorization_url("math");
        let (callback, _) = Browser::new(user.clone()).authorize(&url, "allow").await;
        let (status, tokens) =
            self.client.exchange(&parameter(&callback, "code").expect("a code"), VERIFIER).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        tokens
    }

    /// What the server is told when the tool is called with the token, and all that `forged` names besides.
    async fn told(&self, tool: &str, tokens: Option<&Value>, forged: &[&str]) -> Vec<(String, String)> {
        let arguments = if tool == "sum" { json!({"a": 2, "b": 3}) } else { json!({}) };
        let params = json!({"name": tool, "arguments": arguments});
        let mut request = modern(&http(), &self.stand.mcp_url, "tools/call", params);
        for name in forged {
            request = request.header(*name, "root@evil.test");
        }
        if let Some(tokens) = tokens {
            request = request.bearer_auth(tokens["access_token"].as_str().unwrap());
        }
        let answer = Answer::read(request.send().await.unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let result = answer.json();
        let said = if tool == "sum" { "5" } else { "hello" };
        assert_eq!(result["result"]["content"][0]["text"], said, "{result}");
        let mut seen = std::mem::take(&mut *self.seen.lock().unwrap());
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }
}

fn claims(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_told_of_its_user_what_is_configured() {
    let house = House::start().await;
    let set = ["user", "set", "alex", "--email", "alex@a.test", "--verified", "true"];
    let attributes = ["--attribute", "tier=gold", "--attribute", "organisation=Acme"];
    house.stand.command(&[&set[..], &attributes].concat()).await;
    let tokens = house.sign_in(&house.stand.user).await;
    let all = claims(&[("email", "alex@a.test"), ("organisation", "Acme"), ("tier", "gold")]);
    assert_eq!(house.told("sum", Some(&tokens), &[]).await, all);
    assert_eq!(house.told("sum", Some(&tokens), &FORGED).await, all, "in place of what the client says");

    // from the next token on, as the user is then
    let changed = ["user", "set", "alex", "--no-attribute", "organisation", "--attribute", "tier=silver"];
    house.stand.command(&changed).await;
    let (status, tokens) = house.client.refresh(tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    let now = claims(&[("email", "alex@a.test"), ("tier", "silver")]);
    assert_eq!(house.told("sum", Some(&tokens), &FORGED).await, now);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_told_that_the_user_does_not_have_whatever_the_client_says() {
    let house = House::start().await;
    let blake = house.stand.add_user("blake").await;
    // an address that nobody checked, and an attribute that is no claim
    let set = ["user", "set", "blake", "--email", "blake@a.test", "--attribute", "colour=blue"];
    house.stand.command(&set).await;
    let tokens = house.sign_in(&blake).await;
    for forged in [&[][..], &FORGED] {
        assert_eq!(house.told("sum", Some(&tokens), forged).await, claims(&[]), "{forged:?}");
        assert_eq!(house.told("say_hello", None, forged).await, claims(&[]), "nobody, {forged:?}");
    }
}
