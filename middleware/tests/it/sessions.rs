//! Sessions through the layer: an id is worth something to its owner only, whatever it is used for.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use mcp_auth::clock::ManualClock;
use mcp_auth::policy::{Policy, PolicyHandle};
use mcp_auth::session::SessionKeys;
use mcp_auth::verifier::keys::FixedKeys;
use mcp_auth::verifier::{Issuer, JwtVerifier};
use mcp_auth::{McpAuthLayer, McpAuthLayerBuilder};
use serde_json::{Value, json};
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt, service_fn};

use crate::harness::{ISSUER, NOW, POLICY, RESOURCE, jwks, mint};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":"i","method":"initialize"}"#;

/// What the server got: its session id, and the HTTP method.
type Got = Arc<Mutex<Vec<(String, String)>>>;

/// A server with sessions: it hands out `up-1`, `up-2`, … and says whose answer is whose by repeating what it got.
#[derive(Clone)]
struct World {
    service: BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, Infallible>,
    got: Got,
}

struct Answer {
    status: u16,
    session: Option<String>,
    body: Value,
}

impl World {
    fn new() -> Self {
        Self::with(RESOURCE, |builder| builder)
    }

    fn with(resource: &str, build: impl FnOnce(McpAuthLayerBuilder) -> McpAuthLayerBuilder) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let keys = FixedKeys::from_jwks(&jwks()).unwrap();
        let verifier = JwtVerifier::builder(RESOURCE.parse().unwrap(), clock.clone())
            .issuer(Issuer::new(ISSUER, Arc::new(keys)))
            .build()
            .unwrap();
        let policy = PolicyHandle::new(Policy::parse(POLICY).unwrap());
        let builder = McpAuthLayer::builder(resource.parse().unwrap(), policy, Arc::new(verifier))
            .authorization_server(ISSUER)
            .clock(clock);
        let got = Got::default();
        let seen = got.clone();
        let server = service_fn(move |request: Request<Full<Bytes>>| {
            let seen = seen.clone();
            async move {
                let session = request.headers().get("mcp-session-id");
                let session = session.map_or(String::new(), |id| id.to_str().unwrap().to_owned());
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let message: Value = serde_json::from_slice(&body).unwrap_or_default();
                let number = {
                    let mut seen = seen.lock().unwrap();
                    seen.push((session.clone(), head.method.to_string()));
                    seen.len()
                };
                // Others get their turn in the middle of each answer.
                tokio::task::yield_now().await;
                let session = if session.is_empty() { format!("up-{number}") } else { session };
                let result =
                    json!({"tools": [], "session": session, "arguments": message["params"]["arguments"]});
                let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
                let response = Response::builder().header("content-type", "application/json");
                let response = response.header("mcp-session-id", session);
                Ok::<_, Infallible>(response.body(Full::<Bytes>::from(answer.to_string())).unwrap())
            }
        });
        let service = build(builder).build().unwrap().layer(server);
        let service = service.and_then(|response: Response<mcp_auth::ResponseBody<Full<Bytes>>>| async {
            let (head, body) = response.into_parts();
            Ok(Response::from_parts(head, Full::from(body.collect().await.unwrap().to_bytes())))
        });
        Self { service: BoxCloneSyncService::new(service), got }
    }

    async fn send(&self, method: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri("/mcp").header("host", "gw.test");
        if method == "POST" {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.to_owned())).unwrap();
        let response = self.service.clone().oneshot(request).await.unwrap();
        let session = response.headers().get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, session, body: serde_json::from_slice(&body).unwrap_or_default() }
    }

    /// Opens a session and gives its id.
    async fn open(&self, headers: &[(&str, &str)]) -> String {
        let answer = self.send("POST", INITIALIZE, headers).await;
        assert_eq!(answer.status, 200);
        answer.session.unwrap()
    }

    fn reached(&self) -> usize {
        self.got.lock().unwrap().len()
    }
}

fn user(subject: &str) -> String {
    format!("Bearer {}", mint(&json!({ "sub": subject })))
}

/// A method, a body, and headers.
type Use = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Everything that can be done in a session, without the headers that name it.
const USES: [Use; 10] = [
    ("POST", r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"open"}}"#, &[]),
    ("POST", r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"teaser"}}"#, &[]),
    ("POST", r#"{"jsonrpc":"2.0","id":7,"method":"tools/list"}"#, &[]),
    ("POST", r#"{"jsonrpc":"2.0","id":7,"method":"initialize"}"#, &[]),
    ("POST", r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#, &[]),
    // The answers to `elicitation/create`, `sampling/createMessage` and `roots/list`.
    ("POST", r#"{"jsonrpc":"2.0","id":7,"result":{"action":"accept","content":{}}}"#, &[]),
    ("POST", r#"{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"declined"}}"#, &[]),
    ("GET", "", &[("accept", "text/event-stream")]),
    ("GET", "", &[("accept", "text/event-stream"), ("last-event-id", "7")]),
    ("DELETE", "", &[]),
];

/// Alex's session in the hands of others: nothing of it reaches the server, and nobody learns that there is one.
async fn assert_useless(world: &World, id: &str, others: &[Option<&str>]) {
    let before = world.reached();
    for (method, body, headers) in USES {
        for other in others {
            let mut headers = headers.to_vec();
            headers.push(("mcp-session-id", id));
            headers.extend(other.map(|other| ("authorization", other)));
            let answer = world.send(method, body, &headers).await;
            assert_eq!((answer.status, answer.session), (404, None), "{method} {body} as {other:?}");
            assert_eq!(answer.body["error"]["code"], 404, "{method} {body}");
            let echoed = body.contains("method\":\"t") || body.contains("initialize");
            assert_eq!(answer.body.get("id"), echoed.then_some(&json!(7)), "{method} {body}");
        }
    }
    assert_eq!(world.reached(), before);
}

/// Row 23 of the attacks: another user, or nobody, with a session id that is not theirs.
#[tokio::test]
async fn a_session_id_of_another_is_404_on_post_get_resume_and_delete() {
    let world = World::new();
    let (alex, blake) = (user("alex"), user("blake"));
    let id = world.open(&[("authorization", &alex)]).await;
    assert_useless(&world, &id, &[None, Some(&blake)]).await;
    // A subject is what a token says: an empty one is refused, and a header is none at all.
    let nobody = user("");
    for (header, value, status) in
        [("authorization", &*nobody, 401), ("x-auth-subject", "", 404), ("x-auth-subject", "alex", 404)]
    {
        let answer = world.send("POST", USES[0].1, &[("mcp-session-id", &id), (header, value)]).await;
        assert_eq!(answer.status, status, "{header}: {value}");
    }
    for (method, body, headers) in USES {
        let mut headers = headers.to_vec();
        headers.extend([("mcp-session-id", &*id), ("authorization", &*alex)]);
        let answer = world.send(method, body, &headers).await;
        assert_eq!((answer.status, answer.session.as_deref()), (200, Some(&*id)), "{method} {body}");
    }
    let got = world.got.lock().unwrap();
    assert!(got[1..].iter().all(|(session, _)| session == "up-1"), "the server gets its own id: {got:?}");
}

/// Row 24 of the attacks: both users are valid, both have sessions, and each has their own only.
#[tokio::test]
async fn two_valid_users_cannot_use_each_others_sessions() {
    let world = World::new();
    let users = [user("alex"), user("blake")];
    let ids = [
        world.open(&[("authorization", &users[0])]).await,
        world.open(&[("authorization", &users[1])]).await,
    ];
    assert_useless(&world, &ids[0], &[Some(&users[1])]).await;
    assert_useless(&world, &ids[1], &[Some(&users[0])]).await;
}

/// Row 23 of the attacks, the last part: what is no id of ours is no session, and is not passed on either.
#[tokio::test]
async fn an_id_that_was_never_handed_out_is_404_whatever_is_in_it() {
    let world = World::new();
    let alex = user("alex");
    let id = world.open(&[("authorization", &alex)]).await;
    let long = "A".repeat(60_000);
    let (short, last) = id.split_at(id.len() - 1);
    let flipped = format!("{short}{}", if last == "A" { "B" } else { "A" });
    for bad in ["", "up-1", "../up-1", "a b", "a,b", "\u{e9}", &long, short, &flipped] {
        assert_useless(&world, bad, &[None, Some(&alex)]).await;
    }
    let twice = [("mcp-session-id", &*id), ("mcp-session-id", &*id), ("authorization", &*alex)];
    assert_eq!(world.send("POST", USES[0].1, &twice).await.status, 400);
}

/// Row 25 of the attacks: ids are never the server's own, never alike, and none is never some.
#[tokio::test]
async fn a_request_without_a_session_id_is_in_no_session() {
    let world = World::new();
    let alex = user("alex");
    let id = world.open(&[("authorization", &alex)]).await;
    assert!(!id.contains("up-1") && id.len() > 64 && id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
    for headers in [&[][..], &[("authorization", alex.as_str())]] {
        assert_eq!(world.send("POST", USES[0].1, headers).await.status, 200);
        assert_eq!(world.got.lock().unwrap().last().unwrap().0, "", "no session was made up");
        let mut resume = headers.to_vec();
        resume.push(("last-event-id", "7"));
        let before = world.reached();
        assert_eq!(world.send("GET", "", &resume).await.status, 400);
        assert_eq!(world.reached(), before);
    }
}

#[tokio::test]
async fn an_anonymous_session_becomes_the_first_users_and_nobody_elses() {
    let world = World::new();
    let (alex, blake) = (user("alex"), user("blake"));
    let id = world.open(&[]).await;
    let call = |headers: Vec<(&'static str, String)>| {
        let (world, id) = (world.clone(), id.clone());
        async move {
            let mut all = vec![("mcp-session-id", id.as_str())];
            all.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
            world.send("POST", USES[0].1, &all).await.status
        }
    };
    assert_eq!(call(vec![]).await, 200);
    // The decision comes first: a bad token claims nothing.
    assert_eq!(call(vec![("authorization", "Bearer x".to_owned())]).await, 401);
    assert_eq!(call(vec![]).await, 200);
    assert_eq!(call(vec![("authorization", alex.clone())]).await, 200);
    assert_useless(&world, &id, &[None, Some(&blake)]).await;
    assert_eq!(call(vec![("authorization", alex)]).await, 200);
}

/// A token without the scope of an optional tool: served anonymously, and it is alex's session all the same.
#[tokio::test]
async fn whose_identity_is_withheld_still_claims_the_session() {
    let world = World::new();
    let id = world.open(&[]).await;
    let unscoped = format!("Bearer {}", mint(&json!({"scope": ""})));
    let headers = [("mcp-session-id", &*id), ("authorization", &*unscoped)];
    assert_eq!(world.send("POST", USES[1].1, &headers).await.status, 200);
    assert_useless(&world, &id, &[None, Some(&user("blake"))]).await;
}

/// 401 tells how to sign in, 404 to open a new session: what a client without a good token needs depends on the call.
#[tokio::test]
async fn without_a_good_token_a_session_is_401_where_one_is_needed_and_404_elsewhere() {
    let world = World::new();
    let id = world.open(&[("authorization", &user("alex"))]).await;
    let expired = format!("Bearer {}", mint(&json!({"exp": NOW - 600})));
    let closed = USES[0].1.replace("open", "closed");
    for (body, token, status) in [
        (&*closed, None, 401),
        (USES[0].1, None, 404),
        (&*closed, Some(&*expired), 401),
        (USES[0].1, Some(&*expired), 401),
    ] {
        let mut headers = vec![("mcp-session-id", &*id)];
        headers.extend(token.map(|token| ("authorization", token)));
        assert_eq!(world.send("POST", body, &headers).await.status, status, "{body} {token:?}");
    }
    assert_eq!(world.reached(), 1);
}

#[tokio::test]
async fn instances_with_the_same_keys_know_each_others_sessions_and_other_resources_do_not() {
    let shared = |builder: McpAuthLayerBuilder| {
        builder.session_keys(SessionKeys::from_secrets([[5; 32]]).unwrap()).allowed_host("gw.test")
    };
    let (here, there) = (World::with(RESOURCE, shared), World::with(RESOURCE, shared));
    let (elsewhere, random) = (World::with("https://gw.test/other", shared), World::new());
    let alex = user("alex");
    let id = here.open(&[("authorization", &alex)]).await;
    let headers = [("mcp-session-id", &*id), ("authorization", &*alex)];
    assert_eq!(there.send("POST", USES[0].1, &headers).await.status, 200);
    assert_useless(&there, &id, &[None, Some(&user("blake"))]).await;
    for world in [elsewhere, random] {
        assert_useless(&world, &id, &[Some(&alex)]).await;
    }
}

#[tokio::test]
async fn a_modern_answer_opens_no_session() {
    let world = World::new();
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "open"),
        ("mcp-session-id", "whatever"),
    ];
    let answer = world.send("POST", body, &headers).await;
    assert_eq!((answer.status, answer.session), (200, None));
}

#[tokio::test]
async fn an_answer_with_several_session_ids_or_an_unusable_one_is_withheld() {
    for ids in [&["a", "b"][..], &["a", "a"], &["a b"], &[""]] {
        let harness = crate::harness::Harness::new();
        let service = service_fn(move |_: Request<Full<Bytes>>| async move {
            let mut response = Response::new(Full::<Bytes>::from("{\"secret\":1}"));
            for id in ids {
                response.headers_mut().append("mcp-session-id", id.parse().unwrap());
            }
            Ok::<_, Infallible>(response)
        });
        let verifier = mcp_auth::verifier::InsecureSharedSecretVerifier::with_insecure_shared_secret(
            RESOURCE.parse().unwrap(),
            ISSUER,
            b"x",
            Arc::new(ManualClock::at(NOW)),
        );
        let layer =
            McpAuthLayer::builder(RESOURCE.parse().unwrap(), harness.policy.clone(), Arc::new(verifier))
                .authorization_server(ISSUER)
                .build()
                .unwrap();
        let request = Request::post("/mcp")
            .header("host", "gw.test")
            .header("content-type", "application/json")
            .body(Full::<Bytes>::from(INITIALIZE))
            .unwrap();
        let response = layer.layer(service).oneshot(request).await.unwrap();
        assert_eq!(response.status(), 502, "{ids:?}");
        assert!(!response.headers().contains_key("mcp-session-id"));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&body["id"], &body["error"]["code"]), (&json!("i"), &json!(502)));
    }
}

/// Row 26 of the attacks: everyone uses the same JSON-RPC ids at the same time, and everyone gets their own answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_users_at_once_with_the_same_request_ids_get_their_own_answers() {
    let world = World::new();
    let users = (0..1000).map(|number| {
        let world = world.clone();
        tokio::spawn(async move {
            let user = user(&format!("user-{number}"));
            let opened = world.send("POST", INITIALIZE, &[("authorization", &user)]).await;
            let (id, upstream) = (opened.session.unwrap(), opened.body["result"]["session"].clone());
            for round in 0..3 {
                let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call",
                    "params": {"name": "closed", "arguments": {"user": number, "round": round}}});
                let headers = [("authorization", &*user), ("mcp-session-id", &*id)];
                let answer = world.send("POST", &call.to_string(), &headers).await;
                assert_eq!((answer.status, &answer.body["id"]), (200, &json!(7)));
                assert_eq!(answer.body["result"]["session"], upstream);
                assert_eq!(answer.body["result"]["arguments"], json!({"user": number, "round": round}));
                assert_eq!(answer.session.as_deref(), Some(&*id));
            }
            (id, upstream.to_string())
        })
    });
    let sessions: Vec<_> = join_all(users).await.into_iter().map(Result::unwrap).collect();
    let ids: std::collections::HashSet<_> = sessions.iter().map(|(id, _)| id).collect();
    let upstream: std::collections::HashSet<_> = sessions.iter().map(|(_, upstream)| upstream).collect();
    assert_eq!((ids.len(), upstream.len()), (1000, 1000));
}

/// Row 8 of the attacks: with everything closed, no way of asking gets anything through without a token.
#[tokio::test]
async fn no_transport_and_no_method_gets_through_a_closed_policy_without_a_token() {
    let harness = crate::harness::Harness::new();
    let closed = "version = 1\n[tools.closed]\nauth = \"oauth2\"\n";
    harness.policy.replace(Policy::parse(closed).unwrap());
    let call = crate::harness::call("closed");
    let paths =
        ["/mcp", "/mcp/", "/message", "/messages?sessionId=1", "/sse", "/ws", "/", "/mcp/message", "*"];
    let kinds: [&[(&str, &str)]; 4] = [
        &[],
        &[("accept", "text/event-stream")],
        &[
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ],
        &[("x-http-method-override", "OPTIONS"), ("user-agent", "kube-probe/1.0")],
    ];
    for method in ["POST", "GET", "DELETE", "OPTIONS", "HEAD", "PUT", "PATCH", "CONNECT", "TRACE"] {
        for path in paths {
            for kind in kinds {
                for body in ["", &*call, r#"{"jsonrpc":"2.0","id":7,"method":"initialize"}"#] {
                    let mut request = Request::builder()
                        .method(method)
                        .uri(path)
                        .header("host", "gw.test")
                        .header("content-type", "application/json");
                    for (name, value) in kind {
                        request = request.header(*name, *value);
                    }
                    let answer = harness.send(request.body(body.to_owned().into()).unwrap()).await;
                    let expected = match (method, body) {
                        ("OPTIONS", _) => 204,
                        ("PUT" | "PATCH" | "CONNECT" | "TRACE", _) => 405,
                        ("POST", "") => 400,
                        ("POST", _) | (_, "") => 401,
                        _ => 400,
                    };
                    assert_eq!(answer.status, expected, "{method} {path} {kind:?} {body}");
                }
            }
        }
    }
    assert_eq!(harness.reached(), 0);
}
