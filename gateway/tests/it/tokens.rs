//! Tokens that the authorization server is asked about, over a real socket.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::response::Response;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::harness::{DEADLINE, Gateway, POLICY, body};
use crate::upstream::{Got, Upstream};

/// What an authorization server answers, to be changed while it runs.
type Answer = Arc<Mutex<(u16, &'static str, String)>>;

async fn server(answer: &Answer) -> Upstream {
    let answer = Arc::clone(answer);
    Upstream::start(move |_: Got| {
        let (status, content_type, body) = answer.lock().unwrap().clone();
        async move {
            Response::builder().status(status).header("content-type", content_type).body(body.into()).unwrap()
        }
    })
    .await
}

#[tokio::test]
async fn an_opaque_token_is_what_its_issuer_says_it_is() {
    let upstream = Upstream::plain().await;
    let answer = Answer::default();
    let issuer = server(&answer).await;
    let lines = format!(
        "issuer = \"http://{0}\"\nintrospection = {{ endpoint = \"http://{0}/introspect\", client_id = \"gateway\", \
         client_secret_env = \"CARGO_PKG_NAME\" }}",
        issuer.addr
    );
    let gateway = Gateway::with_issuer(&upstream.url(), POLICY, "", "", &lines).await;
    let says =
        |status: u16, says: &Value| *answer.lock().unwrap() = (status, "application/json", says.to_string());
    let call = |token: &str| gateway.call("closed").bearer_auth(token).send();
    let resource = format!("{}/mcp", gateway.public_url);

    says(200, &json!({"active": true, "sub": "alex", "aud": resource, "scope": "read", "client_id": "c"}));
    for _ in 0..2 {
        assert_eq!(call("opaque").await.unwrap().status(), 200);
    }
    let asked = issuer.got();
    assert_eq!(asked.len(), 1, "the answer is remembered");
    assert_eq!((asked[0].method.as_str(), asked[0].uri.path()), ("POST", "/introspect"));
    assert_eq!(asked[0].body, b"token=opaque&token_type_hint=access_token");
    // `gateway:mcp-auth-gateway`
    assert_eq!(asked[0].header("authorization"), Some("Basic Z2F0ZXdheTptY3AtYXV0aC1nYXRld2F5"));
    for got in upstream.got() {
        assert_eq!(got.header("x-auth-subject"), Some("alex"));
        assert_eq!(got.header("x-auth-issuer"), Some(format!("http://{}", issuer.addr).as_str()));
        assert_eq!(got.header("authorization"), None);
    }

    says(200, &json!({"active": false}));
    let refused = call("unknown").await.unwrap();
    assert_eq!(refused.status(), 401);
    assert!(refused.headers()["www-authenticate"].to_str().unwrap().contains("error=\"invalid_token\""));
    says(200, &json!({"active": true, "sub": "alex", "aud": "http://other/mcp", "scope": "read"}));
    assert_eq!(call("for another").await.unwrap().status(), 401);
    for status in [401, 500] {
        says(status, &json!({"active": true, "sub": "alex", "aud": resource, "scope": "read"}));
        let unavailable = call(&format!("asked-{status}")).await.unwrap();
        assert_eq!(unavailable.status(), 503);
        assert!(!unavailable.headers().contains_key("www-authenticate"));
        assert_eq!(body(unavailable).await["error"]["code"], 503);
    }
    assert_eq!(upstream.got().len(), 2, "nothing else got through");

    // A JWT of the same issuer is verified with its keys, though the issuer would call it good.
    let questions = issuer.got().len();
    let iss = json!({"iss": format!("http://{}", issuer.addr)});
    assert_eq!(call(&gateway.token_with("alex", "read", &iss)).await.unwrap().status(), 200);
    says(200, &json!({"active": true, "sub": "alex", "aud": resource, "scope": "read"}));
    let forged = gateway.token_with("alex", "read", &iss) + "A";
    assert_eq!(call(&forged).await.unwrap().status(), 401);
    assert_eq!(issuer.got().len(), questions);
}

/// A list of eight tokens, the first of which is revoked or not.
fn list(uri: &str, revoked: bool, key: &EncodingKey) -> String {
    // ZLIB of the byte 1, and of the byte 0
    let lst = if revoked { "eNpjBAAAAgAC" } else { "eNpjAAAAAQAB" };
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let claims = json!({"sub": uri, "iat": now, "status_list": {"bits": 1, "lst": lst}});
    let mut header = Header::new(Algorithm::ES256);
    header.typ = Some("statuslist+jwt".to_owned());
    header.kid = Some("test".to_owned());
    jsonwebtoken::encode(&header, &claims, key).unwrap()
}

#[tokio::test]
async fn a_token_that_its_issuer_withdraws_is_refused_within_seconds() {
    let upstream = Upstream::plain().await;
    let answer = Answer::default();
    let issuer = server(&answer).await;
    let lines =
        format!("issuer = \"http://{}\"\nstatus_list = {{ poll_seconds = 1, required = true }}", issuer.addr);
    let gateway = Gateway::with_issuer(&upstream.url(), POLICY, "", "", &lines).await;
    let uri = format!("http://{}/status/1", issuer.addr);
    let publish = |revoked: bool| {
        *answer.lock().unwrap() =
            (200, "application/statuslist+jwt", list(&uri, revoked, &gateway.files.key));
    };
    let token = |more: &Value| {
        let mut claims = json!({"iss": format!("http://{}", issuer.addr)});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        gateway.token_with("alex", "read", &claims)
    };
    let call = |token: &str| gateway.call("closed").bearer_auth(token).send();

    publish(false);
    assert_eq!(call(&token(&json!({}))).await.unwrap().status(), 401, "a status is required");
    let listed = token(&json!({"status": {"status_list": {"idx": 0, "uri": uri}}}));
    assert_eq!(call(&listed).await.unwrap().status(), 200);
    let elsewhere = token(&json!({"status": {"status_list": {"idx": 0, "uri": upstream.url()}}}));
    assert_eq!(call(&elsewhere).await.unwrap().status(), 401);

    publish(true);
    let published = Instant::now();
    while call(&listed).await.unwrap().status() == 200 {
        assert!(published.elapsed() < DEADLINE);
    }
    assert_eq!(call(&listed).await.unwrap().status(), 401);
    assert!(published.elapsed().as_secs() < 5, "{:?}", published.elapsed());
}
