//! Tasks: what a call goes on as is its maker's, for as long as they may call the tool.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use mcp_auth::McpAuthLayer;
use mcp_auth::clock::ManualClock;
use mcp_auth::policy::{Policy, PolicyHandle};
use mcp_auth::verifier::keys::FixedKeys;
use mcp_auth::verifier::{Issuer, JwtVerifier};
use serde_json::{Value, json};
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt, service_fn};

use crate::harness::{ISSUER, NOW, POLICY, RESOURCE, jwks, mint};

/// An answer of the server: its content type, and the pieces that it comes in.
type Scripted = (&'static str, Vec<String>);

#[derive(Clone)]
struct World {
    service: BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, Infallible>,
    script: Arc<Mutex<VecDeque<Scripted>>>,
    reached: Arc<Mutex<usize>>,
    policy: PolicyHandle,
    clock: Arc<ManualClock>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let keys = FixedKeys::from_jwks(&jwks()).unwrap();
        // The tokens do not expire while the tasks do.
        let verifier = JwtVerifier::builder(RESOURCE.parse().unwrap(), Arc::new(ManualClock::at(NOW)))
            .issuer(Issuer::new(ISSUER, Arc::new(keys)))
            .build()
            .unwrap();
        let policy = PolicyHandle::new(Policy::parse(POLICY).unwrap());
        let script = Arc::new(Mutex::new(VecDeque::<Scripted>::new()));
        let reached = Arc::new(Mutex::new(0));
        let (answers, count) = (script.clone(), reached.clone());
        let server = service_fn(move |request: Request<Full<Bytes>>| {
            let (answers, count) = (answers.clone(), count.clone());
            async move {
                let number = {
                    let mut count = count.lock().unwrap();
                    *count += 1;
                    *count
                };
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let message: Value = serde_json::from_slice(&body).unwrap_or_default();
                let mut response = Response::builder();
                if message["method"] == "initialize" {
                    response = response.header("mcp-session-id", format!("up-{number}"));
                }
                let plain = ("application/json", vec![r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned()]);
                let (content_type, pieces) = answers.lock().unwrap().pop_front().unwrap_or(plain);
                let pieces =
                    pieces.into_iter().map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece))));
                let body = StreamBody::new(futures_util::stream::iter(pieces));
                Ok::<_, Infallible>(response.header("content-type", content_type).body(body).unwrap())
            }
        });
        let layer = McpAuthLayer::builder(RESOURCE.parse().unwrap(), policy.clone(), Arc::new(verifier))
            .authorization_server(ISSUER)
            .clock(clock.clone())
            .build()
            .unwrap();
        let service = layer.layer(server).map_response(|response| response.map(BodyExt::boxed_unsync));
        let service = service.and_then(|response: Response<UnsyncBoxBody<Bytes, _>>| async {
            let (head, body) = response.into_parts();
            let whole: Result<_, Box<dyn std::error::Error + Send + Sync>> = body.collect().await;
            Ok(Response::from_parts(head, Full::from(whole.unwrap().to_bytes())))
        });
        Self { service: BoxCloneSyncService::new(service), script, reached, policy, clock }
    }

    async fn send(&self, body: &str, headers: &[(&str, &str)]) -> (u16, Option<String>, String) {
        let mut request =
            Request::post("/mcp").header("host", "gw.test").header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.service.clone().oneshot(request.body(Full::from(body.to_owned())).unwrap()).await;
        let response = response.unwrap();
        let session = response.headers().get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, session, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Calls a tool that answers with these pieces; they arrive as they are.
    async fn call(&self, tool: &str, answer: Scripted, headers: &[(&str, &str)]) {
        self.script.lock().unwrap().push_back(answer.clone());
        let (status, _, text) = self.send(&crate::harness::call(tool), headers).await;
        assert_eq!((status, text), (200, answer.1.concat()));
    }

    /// `method` on a task: `served`, or how it is refused.
    async fn ask(&self, method: &str, id: &str, headers: &[(&str, &str)]) -> String {
        let before = *self.reached.lock().unwrap();
        let params = json!({"taskId": id, "inputResponses": {}});
        let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        let (status, _, text) = self.send(&body.to_string(), headers).await;
        let reached = *self.reached.lock().unwrap() > before;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        match (status, reached) {
            (200, true) => "served".to_owned(),
            (200, false) => {
                assert_eq!(
                    answer,
                    json!({"jsonrpc": "2.0", "id": 7, "error": {"code": -32602, "message": "Unknown task"}})
                );
                "unknown".to_owned()
            }
            (status, false) => status.to_string(),
            (status, true) => panic!("{status} and served"),
        }
    }
}

fn user(subject: &str, scope: &str) -> String {
    format!("Bearer {}", mint(&json!({"sub": subject, "scope": scope, "exp": NOW + 3600})))
}

fn modern(id: &str) -> String {
    json!({"jsonrpc": "2.0", "id": 7, "result": {"resultType": "task", "taskId": id, "ttlMs": null}})
        .to_string()
}

fn legacy(id: &str, ttl: Option<u64>) -> String {
    json!({"jsonrpc": "2.0", "id": 7, "result": {"task": {"taskId": id, "ttl": ttl}}}).to_string()
}

fn pieces(text: &str, size: usize) -> Vec<String> {
    text.as_bytes().chunks(size).map(|piece| String::from_utf8(piece.to_vec()).unwrap()).collect()
}

const METHODS: [&str; 4] = ["tasks/get", "tasks/result", "tasks/cancel", "tasks/update"];

/// Row 27 of the attacks: another user, or nobody, with the id of a task that is not theirs, in every method and form.
#[tokio::test]
async fn a_task_is_its_makers_alone() {
    let (alex, blake) = (user("alex", "notes:read"), user("blake", "notes:read"));
    for content_type in ["application/json", "text/event-stream", "Text/Event-Stream; charset=utf-8"] {
        for answer in [modern("t1"), legacy("t1", None)] {
            for size in [1, 7, 1000] {
                let world = World::new();
                let text = match content_type {
                    "application/json" => answer.clone(),
                    _ => format!(
                        ": hi\n\nevent: message\ndata: {{\"method\":\"x\"}}\n\ndata: {answer}\r\n\r\n"
                    ),
                };
                world.call("closed", (content_type, pieces(&text, size)), &[("authorization", &alex)]).await;
                for method in METHODS {
                    for (headers, outcome) in [
                        (vec![("authorization", &*alex)], "served"),
                        (vec![("authorization", &*blake)], "unknown"),
                        (vec![], "401"),
                    ] {
                        assert_eq!(world.ask(method, "t1", &headers).await, outcome, "{method} {text}");
                        let unknown = outcome.replace("served", "unknown");
                        assert_eq!(world.ask(method, "t2", &headers).await, unknown, "{method} {text}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_task_needs_what_its_tool_needs() {
    let world = World::new();
    let (alex, unscoped) = (user("alex", "notes:read"), user("alex", ""));
    world.call("closed", ("application/json", vec![modern("t1")]), &[("authorization", &alex)]).await;
    assert_eq!(world.ask("tasks/get", "t1", &[("authorization", &unscoped)]).await, "403");
    assert_eq!(world.ask("tasks/get", "t1", &[("authorization", "Bearer x")]).await, "401");
    assert_eq!(world.ask("tasks/get", "t1", &[("authorization", &alex)]).await, "served");
    // What the policy says is what it says now.
    let denied = "version = 1\n[tools.other]\nauth = \"public\"\n";
    world.policy.replace(Policy::parse(denied).unwrap());
    assert_eq!(world.ask("tasks/get", "t1", &[("authorization", &alex)]).await, "unknown");
    let method = format!("{POLICY}\n[methods.\"tasks/cancel\"]\nauth = \"deny\"\n");
    world.policy.replace(Policy::parse(&method).unwrap());
    assert_eq!(world.ask("tasks/get", "t1", &[("authorization", &alex)]).await, "served");
    let cancel = r#"{"jsonrpc":"2.0","id":7,"method":"tasks/cancel","params":{"taskId":"t1"}}"#;
    assert!(world.send(cancel, &[("authorization", &alex)]).await.2.contains("-32601"));
}

#[tokio::test]
async fn a_task_keeps_its_first_maker_until_it_expires() {
    let world = World::new();
    let (alex, blake) = (user("alex", "notes:read"), user("blake", "notes:read"));
    for maker in [&alex, &blake] {
        let answer = ("application/json", vec![legacy("t1", Some(60_000))]);
        world.call("closed", answer, &[("authorization", maker)]).await;
    }
    assert_eq!(world.ask("tasks/get", "t1", &[("authorization", &blake)]).await, "unknown");
    assert_eq!(world.ask("tasks/get", "t1", &[("authorization", &alex)]).await, "served");
    world.clock.advance(Duration::from_mins(12));
    assert_eq!(world.ask("tasks/get", "t1", &[("authorization", &alex)]).await, "unknown");
}

/// A stranger's task is their session's; without one, the id is all that there is.
#[tokio::test]
async fn a_strangers_task_is_their_sessions() {
    let world = World::new();
    let open = async || {
        let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize"}"#;
        world.send(initialize, &[]).await.1.unwrap()
    };
    let session = open().await;
    let within = [("mcp-session-id", session.as_str())];
    world.call("open", ("application/json", vec![legacy("t1", None)]), &within).await;
    assert_eq!(world.ask("tasks/get", "t1", &within).await, "served");
    assert_eq!(world.ask("tasks/get", "t1", &[]).await, "401");
    let alex = user("alex", "");
    assert_eq!(world.ask("tasks/get", "t1", &[("authorization", &alex)]).await, "unknown");
    // The session is alex's from now on, with all that is in it.
    let claimed = [("mcp-session-id", session.as_str()), ("authorization", &alex)];
    assert_eq!(world.ask("tasks/get", "t1", &claimed).await, "served");
    assert_eq!(world.ask("tasks/get", "t1", &within).await, "404");

    world.call("open", ("application/json", vec![modern("t2")]), &[]).await;
    assert_eq!(world.ask("tasks/get", "t2", &[]).await, "served");
    assert_eq!(world.ask("tasks/get", "t3", &[]).await, "401");
}

/// What hides its id: an answer or an event above the limit, a stream that may be resumed.
#[tokio::test]
async fn an_id_that_was_not_seen_is_good_for_the_session_of_the_call_alone() {
    let (alex, blake) = (user("alex", "notes:read"), user("blake", "notes:read"));
    let long = "x".repeat(1024 * 1024);
    let big = modern("t1").replacen('{', &format!(r#"{{"pad":"{long}","#), 1);
    for (content_type, text) in [
        ("application/json", big.clone()),
        ("text/event-stream", format!("data: {big}\n\n")),
        ("text/event-stream", "id: 7\ndata:\n\n".to_owned()),
        ("text/event-stream", "data: {\"method\":\"x\"}\n\n".to_owned()),
    ] {
        let world = World::new();
        let initialize = r#"{"jsonrpc":"2.0","id":1,"method":"initialize"}"#;
        let session = world.send(initialize, &[("authorization", &alex)]).await.1.unwrap();
        let blakes = world.send(initialize, &[("authorization", &blake)]).await.1.unwrap();
        let within = [("authorization", &*alex), ("mcp-session-id", &*session)];
        let elsewhere = [("authorization", &*blake), ("mcp-session-id", &*blakes)];
        assert_eq!(world.ask("tasks/get", "t1", &within).await, "unknown");
        world.call("closed", (content_type, pieces(&text, 4096)), &within).await;
        for (headers, outcome) in [
            (&elsewhere[..], "unknown"),
            (&elsewhere[..1], "unknown"),
            (&within[..1], "unknown"),
            (&[][..], "401"),
            (&[elsewhere[0], within[1]], "404"),
            (&within, "served"),
            // Its first use made it alex's.
            (&within[..1], "served"),
            (&elsewhere, "unknown"),
        ] {
            let length = text.len();
            let asked = world.ask("tasks/get", "t1", headers).await;
            assert_eq!(asked, outcome, "{content_type} of {length} bytes, {headers:?}");
        }
        // The scopes of the tool are needed even so.
        let unscoped = user("alex", "");
        let within = [("authorization", &*unscoped), ("mcp-session-id", &*session)];
        assert_eq!(world.ask("tasks/get", "t9", &within).await, "403");
    }
}

#[tokio::test]
async fn a_list_of_tasks_has_the_callers_own_and_needs_a_token() {
    let (alex, blake) = (user("alex", "notes:read"), user("blake", "notes:read"));
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tasks/list"}"#;
    let world = World::new();
    for (maker, id) in [(&alex, "a1"), (&blake, "b1"), (&alex, "a2")] {
        world.call("closed", ("application/json", vec![modern(id)]), &[("authorization", maker)]).await;
    }
    let all = r#"{"id":1, "result":{"tasks":[{"taskId":"b1"}, {"taskId":"a1","x":1.0e5},{"taskId":"none"},{"taskId":"a2"}],"nextCursor":"c"}}"#;
    let own = r#"{"id":1, "result":{"tasks":[{"taskId":"a1","x":1.0e5},{"taskId":"a2"}],"nextCursor":"c"}}"#;
    let before = "data: {\"method\":\"x\"}\n\n";
    for (content_type, text, expected) in [
        ("application/json", all.to_owned(), own.to_owned()),
        ("text/event-stream", format!("{before}id: 1\ndata: {all}\n\n"), format!("{before}data: {own}\n\n")),
    ] {
        world.script.lock().unwrap().push_back((content_type, pieces(&text, 10)));
        let (status, _, text) = world.send(list, &[("authorization", &alex)]).await;
        assert_eq!((status, text), (200, expected));
    }
    for text in
        ["{}x", r#"{"result":{"tasks":[{"id":"a1"}]}}"#, r#"{"result":{}}"#, r#"{"result":{"tasks":{}}}"#]
    {
        world.script.lock().unwrap().push_back(("application/json", vec![text.to_owned()]));
        assert_eq!(world.send(list, &[("authorization", &alex)]).await.0, 502, "{text}");
    }
    let before = *world.reached.lock().unwrap();
    assert_eq!(world.send(list, &[]).await.0, 401);
    let opened = format!("{POLICY}\n[methods.\"tasks/list\"]\nauth = \"public\"\n");
    world.policy.replace(Policy::parse(&opened).unwrap());
    assert_eq!(world.send(list, &[]).await.0, 401);
    assert_eq!(world.send(&format!("[{list}]"), &[("authorization", &alex)]).await.0, 400);
    assert_eq!(*world.reached.lock().unwrap(), before);
}

#[tokio::test]
async fn a_subscription_names_the_callers_own_tasks_only() {
    let world = World::new();
    let (alex, blake) = (user("alex", "notes:read"), user("blake", "notes:read"));
    world.call("closed", ("application/json", vec![modern("a1")]), &[("authorization", &alex)]).await;
    world.call("closed", ("application/json", vec![modern("b1")]), &[("authorization", &blake)]).await;
    for (ids, served) in [(json!(["a1"]), true), (json!(["a1", "b1"]), false), (json!(["none"]), false)] {
        let params = json!({"notifications": {"taskIds": ids}});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params});
        let (status, _, text) = world.send(&body.to_string(), &[("authorization", &alex)]).await;
        assert_eq!((status, text.contains("Unknown task")), (200, !served), "{ids}");
    }
}
