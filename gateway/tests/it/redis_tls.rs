//! Redis over TLS: two gateways share it where they trust who vouches for it, and none of them says a word to any other.

use std::sync::Arc;

use mcp_auth::clock::SystemClock;
use serde_json::{Value, json};

use crate::logs;
use crate::replicas::{
    DpopClient, PASSWORD, Redis, Replicas, authority, now, status, until_async, with_sessions,
};
use crate::upstream::Upstream;

const LIMITED: &str = "rates = { per_subject = { requests = 2, seconds = 3600 } }";

fn initialize() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}})
}

#[tokio::test]
async fn replicas_share_a_redis_that_speaks_tls_and_find_it_again() {
    let (upstream, mut redis) = (Upstream::plain().await, Redis::start_with_tls());
    redis.command(redis::cmd("SET").arg("mcp-auth:replay:since").arg(now() - 100)).unwrap();
    let replicas = Replicas::start(&upstream, &redis, LIMITED, "dpop = {}").await;
    let alex = replicas.token("alex", &json!({}));
    let call = |replica, token: &str| replicas.passes(replicas.call(replica, "closed").bearer_auth(token));
    assert!(call(0, &alex).await);
    assert!(call(1, &alex).await);
    assert!(!call(0, &alex).await, "they count together");

    let client = DpopClient::new();
    let token = client.token(&replicas, "blake");
    let proof = client.proof(&token, "used", now());
    assert_eq!(status(&replicas, 0, &token, &proof).await.0, 200);
    assert_eq!(status(&replicas, 1, &token, &proof).await.0, 401, "used at the other one");
    let before = upstream.got().len();
    redis.kill();
    for replica in [0, 1] {
        let unused = client.proof(&token, "new", now());
        assert_eq!(status(&replicas, replica, &token, &unused).await.0, 503);
    }
    assert_eq!(upstream.got().len(), before);
    redis.run();
    until_async("Redis is found again", async || {
        let fresh = client.proof(&token, &format!("fresh-{:?}", std::time::Instant::now()), now() + 2);
        status(&replicas, 1, &token, &fresh).await.0 == 200
    })
    .await;
}

/// Somebody who sits between them, with a certificate of their own, learns no password and answers no question.
#[tokio::test]
async fn a_redis_that_nobody_who_is_trusted_vouches_for_is_none() {
    let redis = Redis::start_with_tls();
    let (ours, other) = (redis.authority_pem().unwrap(), authority().pem());
    for (host, trusted, why) in [
        ("localhost", Some(&other), "another authority"),
        ("localhost", None, "those of Mozilla, who know it not"),
        ("127.0.0.1", Some(&ours), "a name that it does not have"),
    ] {
        let upstream = with_sessions().await;
        let trusted = trusted.map(String::as_str);
        let (url, clock) = (redis.url_as(host), Arc::new(SystemClock));
        let replicas = Replicas::start_by(clock, &upstream, &url, trusted, "", "dpop = {}").await;
        let client = DpopClient::new();
        let token = client.token(&replicas, "alex");
        for replica in [0, 1] {
            let proof = client.proof(&token, &replica.to_string(), now() + 2);
            assert_eq!(status(&replicas, replica, &token, &proof).await.0, 503, "{why}");
            // a session that nobody can remember is none
            let opened = replicas.post(replica, &initialize()).send().await.unwrap();
            assert_eq!(opened.status(), 503, "{why}");
            assert!(!opened.headers().contains_key("mcp-session-id"), "{why}");
            let bearer = replicas.call(replica, "closed").bearer_auth(replicas.token("alex", &json!({})));
            assert_eq!(bearer.send().await.unwrap().status(), 200, "who needs no store is served: {why}");
        }
        let reached: Vec<_> = upstream.got().iter().map(|got| got.body.clone()).collect();
        let calls = reached.iter().filter(|body| !body.windows(10).any(|window| window == b"initialize"));
        assert_eq!(calls.count(), 2, "{why}");
    }
    let said = redis.command(redis::cmd("INFO").arg("commandstats")).unwrap();
    let said: String = redis::from_redis_value(said).unwrap();
    for verb in ["cmdstat_evalsha", "cmdstat_eval", "cmdstat_set"] {
        assert!(!said.contains(verb), "it was asked something: {said}");
    }
    assert_eq!(logs::with(PASSWORD), [] as [Value; 0]);
    assert!(!logs::with("the shared state cannot be reached").is_empty());
}
