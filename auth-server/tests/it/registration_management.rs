//! What a client does with its registration afterwards (RFC 7592).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    harness::{Answer, CONF1_SECRET, Form, R1, START, Server, Setup, az, redeem, refresh},
    signer::with,
};

const CALLBACK: &str = "https://self.test/cb";
const METHODS: [Method; 3] = [Method::GET, Method::PUT, Method::DELETE];

/// A client that registered itself, with all that it was told.
struct Managed {
    id: String,
    path: String,
    token: String,
    told: Value,
}

fn metadata() -> Value {
    json!({
        "client_name": "Self Made",
        "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    })
}

impl Managed {
    async fn register(server: &Server, metadata: &Value) -> Self {
        let answer = server.register(&metadata.to_string()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        let told = answer.json();
        let uri = told["registration_client_uri"].as_str().unwrap();
        Self {
            id: told["client_id"].as_str().unwrap().to_owned(),
            path: uri.strip_prefix(&server.at).unwrap_or_else(|| panic!("{uri}")).to_owned(),
            token: told["registration_access_token"].as_str().unwrap().to_owned(),
            told,
        }
    }

    async fn new(server: &Server) -> Self {
        Self::register(server, &metadata()).await
    }

    async fn get(&self, server: &Server) -> Answer {
        send(server, Method::GET, &self.path, Some(&self.token), None).await
    }

    /// Puts metadata, with the client's id, in the place of the registration.
    async fn put(&self, server: &Server, metadata: &Value) -> Answer {
        let body = with(json!({"client_id": self.id}), metadata);
        send(server, Method::PUT, &self.path, Some(&self.token), Some(&body)).await
    }

    async fn delete(&self, server: &Server) -> Answer {
        send(server, Method::DELETE, &self.path, Some(&self.token), None).await
    }

    fn az(&self) -> Form {
        az().with("client_id", &self.id).with("redirect_uri", CALLBACK)
    }

    async fn tokens(&self, server: &Server) -> Value {
        let code = server.code(&self.az()).await;
        let form = redeem(&code).with("client_id", &self.id).with("redirect_uri", CALLBACK);
        server.token(&form).await.json()
    }
}

async fn send(
    server: &Server,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    let body = body.map(Value::to_string).unwrap_or_default();
    server.request(method, path, &headers, body.into_bytes()).await
}

#[track_caller]
fn assert_refused(answer: &Answer, tried: bool, case: &str) {
    answer.assert_json_error(401, "invalid_token", case);
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer "), "{case}: {challenge}");
    assert_eq!(challenge.contains("invalid_token"), tried, "{case}: {challenge}");
}

/// J16
#[tokio::test]
async fn a_registration_is_managed_with_its_own_token_alone() {
    let server = Server::start().await;
    let own = Managed::new(&server).await;
    let other = Managed::new(&server).await;
    let confidential = Managed::register(&server, &json!({"redirect_uris": [CALLBACK]})).await;
    let access = own.tokens(&server).await["access_token"].as_str().unwrap().to_owned();
    let secret = confidential.told["client_secret"].as_str().unwrap();
    let change =
        with(json!({"client_id": own.id, "client_name": "Stolen"}), &json!({"redirect_uris": [CALLBACK]}));
    for method in METHODS {
        let path = own.path.as_str();
        assert_refused(&send(&server, method.clone(), path, None, Some(&change)).await, false, "none");
        let altered = format!("{}x", own.token);
        for (case, token) in [
            ("wrong", "AAAA"),
            ("empty", ""),
            ("altered", &altered),
            ("another client's", &other.token),
            ("an access token", &access),
            ("a client secret", secret),
            ("two words", &format!("{0} {0}", own.token)),
            ("not ASCII", "é"),
        ] {
            let answer = send(&server, method.clone(), path, Some(token), Some(&change)).await;
            assert_refused(&answer, true, &format!("{method} {case}"));
        }
        for (case, authorization) in [
            ("another scheme", format!("DPoP {}", own.token)),
            ("Basic", format!("Basic {}", STANDARD.encode(format!("{}:{}", own.id, own.token)))),
            ("no scheme", own.token.clone()),
        ] {
            let headers = [("content-type", "application/json"), ("authorization", authorization.as_str())];
            let answer = server.request(method.clone(), path, &headers, change.to_string().into()).await;
            assert_refused(&answer, true, &format!("{method} {case}"));
        }
        let bearer = format!("Bearer {}", own.token);
        let twice = [("authorization", bearer.as_str()), ("authorization", bearer.as_str())];
        let answer = server.request(method.clone(), path, &twice, change.to_string().into()).await;
        assert_refused(&answer, true, "two headers");
        let query = format!("{path}?access_token={}", own.token);
        assert_refused(
            &send(&server, method.clone(), &query, None, Some(&change)).await,
            false,
            "in the query",
        );
        for path in ["/oauth2/register/nobody", "/oauth2/register/%ff", "/oauth2/register/%00"] {
            let answer = send(&server, method.clone(), path, Some(&own.token), Some(&change)).await;
            assert_refused(&answer, true, path);
        }
    }
    // nothing happened
    for client in [&own, &other, &confidential] {
        let told = client.get(&server).await;
        assert_eq!(told.status, StatusCode::OK, "{}", told.body);
        assert_eq!(told.json()["client_name"], client.told["client_name"]);
    }
}

/// J16: what is wrong with a body is nobody's business who may change nothing.
#[tokio::test]
async fn a_token_is_asked_for_before_the_body_is_read() {
    let server = Server::start().await;
    let own = Managed::new(&server).await;
    let large = json!({"x": "x".repeat(1 << 20)});
    for body in [json!(null), json!({}), large] {
        let answer = send(&server, Method::PUT, &own.path, Some("AAAA"), Some(&body)).await;
        assert_refused(&answer, true, "body");
    }
}

/// J17
#[tokio::test]
async fn a_change_is_for_the_client_itself_and_takes_nothing_upon_itself() {
    let server = Server::start().await;
    let own = Managed::register(&server, &json!({"redirect_uris": [CALLBACK]})).await;
    let other = Managed::new(&server).await;
    for (case, more) in [
        ("another client's id", json!({"client_id": other.id})),
        ("an id that is none", json!({"client_id": 7})),
        ("a token", json!({"registration_access_token": own.token})),
        ("another token", json!({"registration_access_token": "mine"})),
        ("a URI", json!({"registration_client_uri": format!("{}{}", server.at, own.path)})),
        ("when the secret expires", json!({"client_secret_expires_at": 0})),
        ("when the id was issued", json!({"client_id_issued_at": START})),
        ("a secret of its choice", json!({"client_secret": "of-its-own-choice-0123456789-0123456789"})),
        ("no secret at all", json!({"client_secret": ""})),
    ] {
        let answer = own.put(&server, &with(json!({"redirect_uris": [CALLBACK]}), &more)).await;
        answer.assert_json_error(400, "invalid_client_metadata", case);
    }
    let public = other.put(&server, &with(metadata(), &json!({"client_secret": "mine"}))).await;
    public.assert_json_error(400, "invalid_client_metadata", "a secret for a client without one");
    let id = &own.id;
    let twice = format!(r#"{{"client_id":"{id}","client_id":"{id}","redirect_uris":["{CALLBACK}"]}}"#);
    let named_twice = format!(
        r#"{{"client_id":"{id}","client_name":"a","client_name":"b","redirect_uris":["{CALLBACK}"]}}"#
    );
    for body in [
        "",
        "null",
        "[]",
        r#"{"redirect_uris":["https://self.test/cb"]}"#,
        r#"{"client_id":null,"redirect_uris":["https://self.test/cb"]}"#,
        &twice,
        &named_twice,
    ] {
        let bearer = format!("Bearer {}", own.token);
        let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
        let answer = server.request(Method::PUT, &own.path, &headers, body.into()).await;
        answer.assert_json_error(400, "invalid_client_metadata", body);
    }
    for (member, error) in [
        (json!({"redirect_uris": ["http://evil.test/cb"]}), "invalid_redirect_uri"),
        (json!({"redirect_uris": []}), "invalid_redirect_uri"),
        (json!({"redirect_uris": [CALLBACK], "client_name": 7}), "invalid_client_metadata"),
        (json!({"redirect_uris": [CALLBACK], "grant_types": ["password"]}), "invalid_client_metadata"),
        (json!({"redirect_uris": [CALLBACK], "logo_uri": "https://10.0.0.1/x"}), "invalid_client_metadata"),
    ] {
        own.put(&server, &member).await.assert_json_error(400, error, &member.to_string());
    }
    // nothing happened, and the token is the same
    let told = own.get(&server).await.json();
    assert_eq!(
        (&told["redirect_uris"], &told["client_name"]),
        (&json!([CALLBACK]), &own.told["client_name"])
    );
}

/// J18
#[tokio::test(flavor = "multi_thread")]
async fn a_change_replaces_everything_and_comes_with_another_token() {
    let server = Server::start().await;
    let own = Managed::new(&server).await;
    assert_eq!(own.get(&server).await.json(), own.told, "looking changes nothing, the token neither");
    let to = "https://moved.test/cb";
    let answer =
        own.put(&server, &with(metadata(), &json!({"redirect_uris": [to], "client_name": "Moved"}))).await;
    assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::OK, Some("no-store")));
    let told = answer.json();
    let token = told["registration_access_token"].as_str().unwrap();
    assert_ne!(token, own.token);
    assert_eq!(told["registration_client_uri"], own.told["registration_client_uri"]);
    assert_eq!((&told["client_id"], &told["client_name"]), (&json!(own.id), &json!("Moved")));
    assert_eq!(told["client_id_issued_at"], START);
    for method in METHODS {
        let answer = send(&server, method, &own.path, Some(&own.token), Some(&metadata())).await;
        assert_refused(&answer, true, "the old token");
    }
    let changed = Managed { token: token.to_owned(), ..own };
    assert_eq!(changed.get(&server).await.json(), told);
    server.browser().authorize(&changed.az()).await.assert_page400("the old redirect URI");
    server.code(&changed.az().with("redirect_uri", to)).await;
    // what is left out is gone (RFC 7592 §2.2)
    let answer =
        changed.put(&server, &json!({"redirect_uris": [to], "token_endpoint_auth_method": "none"})).await;
    let told = answer.json();
    assert_eq!(
        (&told["client_name"], &told["grant_types"]),
        (&json!("Unnamed app"), &json!(["authorization_code"]))
    );
    let event = &server.events("client.changed")[0];
    assert_eq!((&event["client_id"], &event["detail"]["name"]), (&json!(changed.id), &json!("Moved")));
}

/// J18: also where the user is already looking at the page that asks.
#[tokio::test]
async fn a_sign_in_that_began_before_a_change_gives_no_code() {
    let server = Server::start().await;
    let own = Managed::new(&server).await;
    let mut browser = server.browser();
    let page = browser.consent_page(&own.az()).await;
    let changed = with(metadata(), &json!({"redirect_uris": ["https://moved.test/cb"]}));
    assert_eq!(own.put(&server, &changed).await.status, StatusCode::OK);
    browser.decide(&page, "allow").await.assert_page400("the page is of another registration");
}

/// J18
#[tokio::test]
async fn a_secret_stays_and_is_told_once() {
    let server = Server::start().await;
    let body = json!({"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "client_secret_post"});
    let own = Managed::register(&server, &body).await;
    let secret = own.told["client_secret"].as_str().unwrap();
    assert!(own.get(&server).await.json().get("client_secret").is_none());
    let same = own.put(&server, &with(body.clone(), &json!({"client_secret": secret}))).await.json();
    assert!(same.get("client_secret").is_none(), "{same}");
    let form = |code: &str, secret: &str| {
        let form = redeem(code).with("client_id", &own.id).with("redirect_uri", CALLBACK);
        form.with("client_secret", secret)
    };
    let code = server.code(&own.az()).await;
    server.token(&form(&code, "another")).await.assert_json_error(401, "invalid_client", "another secret");
    assert_eq!(server.token(&form(&code, secret)).await.status, StatusCode::OK);
    // a client that had none gets one
    let public = Managed::new(&server).await;
    let told = public.put(&server, &body).await.json();
    assert_eq!(told["client_secret"].as_str().unwrap().len(), 43);
    assert_eq!(told["client_secret_expires_at"], 0);
    let stored = server.database_bytes().await;
    for secret in [secret, &own.token, &public.token, told["registration_access_token"].as_str().unwrap()] {
        assert!(!stored.windows(secret.len()).any(|window| window == secret.as_bytes()), "stored in clear");
    }
}

/// J18: a token is good for one change, whoever else comes with it.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_at_once_one_is_made() {
    let one = Server::start().await;
    let two = one.replica().await;
    let own = Managed::new(&one).await;
    let body = |number: usize| with(metadata(), &json!({"client_name": format!("Name {number}")}));
    let bodies: Vec<_> = (0..10).map(body).collect();
    let changes = bodies.iter().zip([&one, &two].into_iter().cycle());
    let answers = join_all(changes.map(|(body, server)| own.put(server, body))).await;
    let (made, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == StatusCode::OK);
    assert_eq!(made.len(), 1);
    for answer in refused {
        assert_refused(&answer, true, "too late");
    }
    let told = made[0].json();
    let winner = Managed { token: told["registration_access_token"].as_str().unwrap().to_owned(), ..own };
    assert_eq!(winner.get(&two).await.json(), told);
}

/// J18: each change is a write, like a registration.
#[tokio::test]
async fn changes_are_limited_like_registrations() {
    let server =
        Setup { clients: "registrations_per_minute = 3".to_owned(), ..Setup::default() }.start().await;
    let own = Managed::new(&server).await;
    for _ in 0..2 {
        let answer = send(&server, Method::PUT, &own.path, Some("AAAA"), Some(&metadata())).await;
        assert_refused(&answer, true, "within the limit");
    }
    let answer = own.put(&server, &metadata()).await;
    answer.assert_json_error(429, "temporarily_unavailable", "the fourth");
    assert_eq!(answer.header("retry-after"), Some("60"));
    assert_eq!(own.get(&server).await.status, StatusCode::OK, "looking is free");
}

/// J19
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_registration_takes_everything_along() {
    let more = format!(
        "[[clients.registered]]\nid = \"rs1\"\nsecret_file = \"conf1.secret\"\n\
         grant_types = []\nserves = [\"{R1}\"]\n"
    );
    let server = Setup { more, ..Setup::default() }.start().await;
    let basic = format!("Basic {}", STANDARD.encode(format!("rs1:{CONF1_SECRET}")));
    let introspect = async |token: &Value| {
        let form = Form::of(&[("token", token.as_str().unwrap())]);
        server.post_with("/oauth2/introspect", &[("authorization", &basic)], &form).await.json()
    };
    let (own, other) = (Managed::new(&server).await, Managed::new(&server).await);
    let (tokens, others) = (own.tokens(&server).await, other.tokens(&server).await);
    assert_eq!(introspect(&tokens["access_token"]).await["active"], true);
    let mut browser = server.browser();
    let page = browser.consent_page(&own.az().with("prompt", "consent")).await;

    let answer = own.delete(&server).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(introspect(&tokens["access_token"]).await, json!({"active": false}));
    let form = refresh(tokens["refresh_token"].as_str().unwrap()).with("client_id", &own.id);
    server.token(&form).await.assert_json_error(401, "invalid_client", "its refresh token");
    for method in METHODS {
        let answer = send(&server, method, &own.path, Some(&own.token), Some(&metadata())).await;
        assert_refused(&answer, true, "its token");
    }
    server.browser().authorize(&own.az()).await.assert_page400("it is gone");
    browser.decide(&page, "allow").await.assert_page400("a sign-in that had begun");
    let event = &server.events("client.deleted")[0];
    assert_eq!((&event["client_id"], &event["detail"]["by"]), (&json!(own.id), &json!("client")));
    // and nobody else's
    assert_eq!(introspect(&others["access_token"]).await["active"], true);
    assert_eq!(other.get(&server).await.status, StatusCode::OK);
}

/// J20
#[tokio::test]
async fn clients_of_the_administrator_are_not_managed_from_outside() {
    let server = Server::start().await;
    let own = Managed::new(&server).await;
    for id in ["pub1", "conf1"] {
        for method in METHODS {
            let body = with(metadata(), &json!({"client_id": id}));
            let path = format!("/oauth2/register/{id}");
            let answer = send(&server, method, &path, Some(&own.token), Some(&body)).await;
            assert_refused(&answer, true, id);
        }
    }
    server.tokens().await;
    // once the administrator vouches for the id, its old token manages nothing
    let file = server.dir.path().join("auth-server.toml");
    let more = format!("[[clients.registered]]\nid = \"{}\"\nredirect_uris = [\"{CALLBACK}\"]\n", own.id);
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + &more).unwrap();
    let server = server.restart().await;
    for method in METHODS {
        let body = with(metadata(), &json!({"client_id": own.id}));
        assert_refused(
            &send(&server, method, &own.path, Some(&own.token), Some(&body)).await,
            true,
            "taken over",
        );
    }
    own.tokens(&server).await;
}

/// J21
#[tokio::test]
async fn management_can_be_turned_off() {
    let setup = || Setup { clients: "registration_management = false".to_owned(), ..Setup::default() };
    let server = setup().start().await;
    let told = server.register(&metadata().to_string()).await.json();
    for member in ["registration_client_uri", "registration_access_token"] {
        assert!(told.get(member).is_none(), "{told}");
    }
    let path = format!("/oauth2/register/{}", told["client_id"].as_str().unwrap());
    for method in METHODS {
        let answer = send(&server, method, &path, Some("AAAA"), Some(&metadata())).await;
        answer.assert_json_error(404, "not_found", "off");
    }
}

/// J22: as the MCP Inspector calls it, from a page of another origin.
#[tokio::test]
async fn browser_apps_may_register_and_manage() {
    let server = Server::start().await;
    let own = Managed::new(&server).await;
    for (method, path) in [
        ("POST", "/oauth2/register"),
        ("GET", own.path.as_str()),
        ("PUT", own.path.as_str()),
        ("DELETE", own.path.as_str()),
    ] {
        let headers = [
            ("origin", "http://localhost:6274"),
            ("access-control-request-method", method),
            ("access-control-request-headers", "authorization,content-type"),
        ];
        let answer = server.request(Method::OPTIONS, path, &headers, Vec::new()).await;
        assert_eq!(answer.status, StatusCode::OK, "{method} {path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{method} {path}");
        assert_eq!(answer.header("access-control-allow-credentials"), None, "{method} {path}");
        let methods = answer.header("access-control-allow-methods").unwrap();
        assert!(methods.split(',').any(|allowed| allowed == method), "{method} {path}: {methods}");
        let allowed = answer.header("access-control-allow-headers").unwrap();
        assert!(allowed.contains("authorization") && allowed.contains("content-type"), "{allowed}");
    }
    let headers = [("origin", "http://localhost:6274"), ("content-type", "application/json")];
    let answer =
        server.request(Method::POST, "/oauth2/register", &headers, metadata().to_string().into()).await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (StatusCode::CREATED, Some("*"))
    );
    let answer = server.request(Method::GET, &own.path, &headers, Vec::new()).await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (StatusCode::UNAUTHORIZED, Some("*"))
    );
    assert!(answer.header("access-control-expose-headers").unwrap().contains("www-authenticate"));
}

/// J23
#[tokio::test]
async fn a_software_statement_elevates_nobody() {
    let server = Server::start().await;
    let claims = json!({
        "iss": server.issuer, "software_id": "x", "client_name": "Vouched For", "trusted": true,
        "redirect_uris": ["https://vouched.test/cb"], "scope": "admin",
    });
    let key = crate::signer::Signer::es256("k");
    for statement in [json!(key.sign(&json!({}), &claims)), json!("not a JWT"), json!(7), json!({})] {
        let body = with(metadata(), &json!({"software_statement": statement}));
        let own = Managed::register(&server, &body).await;
        assert_eq!(own.told["client_name"], "Self Made");
        assert_eq!(own.told["redirect_uris"], json!([CALLBACK]));
        assert!(own.told.get("software_statement").is_none());
        let vouched = own.az().with("redirect_uri", "https://vouched.test/cb");
        server.browser().authorize(&vouched).await.assert_page400("its redirect URI");
        let mut browser = server.browser();
        assert!(browser.consent_page(&own.az()).await.is_consent_page(), "asked like any other");
        let told = own.put(&server, &body).await.json();
        assert_eq!((&told["client_name"], told.get("software_statement")), (&json!("Self Made"), None));
    }
}
