//! What two gateways share in a real Redis, and what clients see while it is down.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::clock::Set;
use crate::logs;
use crate::replicas::{DpopClient, PASSWORD, Redis, Replicas, now, status, until_async, with_sessions};
use crate::upstream::{Upstream, respond};

const LIMITED: &str = "rates = { per_subject = { requests = 2, seconds = 3600 } }";

#[tokio::test]
async fn replicas_count_together_and_each_by_itself_while_redis_is_down() {
    let (upstream, mut redis) = (Upstream::plain().await, Redis::start());
    let replicas = Replicas::start(&upstream, &redis, LIMITED, "").await;
    let (alex, blake) = (replicas.token("alex", &json!({})), replicas.token("blake", &json!({})));
    let call = |replica, token: &str| replicas.passes(replicas.call(replica, "closed").bearer_auth(token));
    assert!(call(0, &alex).await);
    assert!(call(1, &alex).await);
    assert!(!call(0, &alex).await);
    assert!(!call(1, &alex).await);
    let anonymous =
        |replica, address| replicas.passes(replicas.call(replica, "open").header("x-forwarded-for", address));
    assert!(anonymous(0, "192.0.2.1").await);
    assert!(anonymous(1, "192.0.2.1").await);
    assert!(!anonymous(0, "192.0.2.1").await);
    assert!(anonymous(0, "192.0.2.2").await);

    redis.kill();
    for replica in [0, 1] {
        assert!(call(replica, &blake).await);
        assert!(call(replica, &blake).await);
        assert!(!call(replica, &blake).await, "no limit at all would be one that can be switched off");
    }
    redis.run();
    until_async("the replicas count together again", async || {
        let user = replicas.token(&URL_SAFE_NO_PAD.encode(rand()), &json!({}));
        assert!(call(0, &user).await && call(1, &user).await);
        // one that counts by itself would let it pass
        !call(0, &user).await
    })
    .await;
}

#[tokio::test]
async fn a_batch_is_taken_from_all_buckets_or_none_in_redis_as_well() {
    let upstream =
        Upstream::start(|_| async { respond(200, &[("content-type", "application/json")], "[]") }).await;
    let redis = Redis::start();
    let rates = "rates = { per_subject = { requests = 5, seconds = 3600 }, tools = { open = { requests = 2, seconds = 3600 } } }";
    let replicas = Replicas::start(&upstream, &redis, rates, "").await;
    let alex = replicas.token("alex", &json!({}));
    let send = async |replica, calls: usize, tool: &str| {
        let call = |id| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool}});
        let batch = Value::from((0..calls).map(call).collect::<Vec<_>>());
        let answer = replicas.post(replica, &batch).bearer_auth(&alex).send().await.unwrap();
        (answer.status().as_u16(), answer.headers().contains_key("retry-after"))
    };
    assert_eq!(send(0, 2, "open").await, (200, false));
    assert_eq!(send(1, 1, "open").await, (429, true));
    assert_eq!(send(1, 3, "open").await, (429, false), "more than there ever may be");
    assert_eq!(send(1, 3, "closed").await, (200, false), "what was refused took nothing");
    assert_eq!(send(0, 1, "closed").await, (429, true));
    assert_eq!(upstream.got().len(), 2);
    // nothing stays for ever but since when the store knows
    let redis::Value::Array(keys) = redis.command(redis::cmd("KEYS").arg("*")).unwrap() else { panic!() };
    for key in keys {
        let key: String = redis::from_redis_value(key).unwrap();
        let ttl = redis.command(redis::cmd("TTL").arg(&key)).unwrap();
        assert!(ttl != redis::Value::Int(-1) || key == "mcp-auth:replay:since", "{key}");
        assert!(!key.contains("alex"), "{key}");
    }
}

#[tokio::test]
async fn a_proof_is_used_once_at_all_replicas_and_not_at_all_while_redis_is_down() {
    let (upstream, mut redis) = (Upstream::plain().await, Redis::start());
    // it has known for a while what was used
    redis.command(redis::cmd("SET").arg("mcp-auth:replay:since").arg(now() - 100)).unwrap();
    let replicas = Replicas::start(&upstream, &redis, "", "dpop = {}").await;
    let client = DpopClient::new();
    let token = client.token(&replicas, "alex");
    let used = client.proof(&token, "used", now());
    assert_eq!(status(&replicas, 0, &token, &used).await.0, 200);
    for replica in [0, 1] {
        let (code, challenge) = status(&replicas, replica, &token, &used).await;
        assert_eq!(code, 401);
        assert!(challenge.contains("invalid_dpop_proof"), "{challenge}");
    }
    assert_eq!(status(&replicas, 1, &token, &client.proof(&token, "another", now())).await.0, 200);

    redis.kill();
    let before = upstream.got().len();
    for replica in [0, 1] {
        for (number, proof) in [&used, &client.proof(&token, "new", now())].into_iter().enumerate() {
            assert_eq!(status(&replicas, replica, &token, proof).await.0, 503, "{replica} {number}");
        }
        let bearer = replicas.call(replica, "closed").bearer_auth(replicas.token("blake", &json!({})));
        assert_eq!(bearer.send().await.unwrap().status(), 200, "whoever needs no store needs none");
    }
    assert_eq!(upstream.got().len(), before + 2);

    // it comes back and knows nothing: what was made before then may have been used before then
    redis.run();
    for replica in [0, 1] {
        until_async("Redis is found again", async || {
            let code = status(&replicas, replica, &token, &used).await.0;
            assert!(matches!(code, 401 | 503), "{code}");
            code == 401
        })
        .await;
    }
    let fresh = client.proof(&token, "fresh", now() + 2);
    assert_eq!(status(&replicas, 1, &token, &fresh).await.0, 200);
    assert_eq!(status(&replicas, 0, &token, &fresh).await.0, 401);
}

/// What Redis has forgotten was used may be in force again by a clock that was set back; Redis has the clock of all.
#[tokio::test]
async fn a_gateway_whose_clock_was_set_back_takes_no_proof_that_redis_may_have_forgotten() {
    let (upstream, redis) = (Upstream::plain().await, Redis::start());
    redis.command(redis::cmd("SET").arg("mcp-auth:replay:since").arg(now() - 9000)).unwrap();
    let clock = Arc::new(Set::default());
    let replicas = Replicas::start_by(clock.clone(), &upstream, &redis.url(), None, "", "dpop = {}").await;
    let client = DpopClient::new();
    let token = client.token(&replicas, "alex");
    let used = client.proof(&token, "used", now() - 290);
    assert_eq!(status(&replicas, 0, &token, &used).await.0, 200);
    let key = redis.command(redis::cmd("KEYS").arg("mcp-auth:replay:*")).unwrap();
    let keys: Vec<String> = redis::from_redis_value(key).unwrap();
    let key = keys.iter().find(|key| *key != "mcp-auth:replay:since").unwrap();
    let left: i64 = redis::from_redis_value(redis.command(redis::cmd("TTL").arg(key)).unwrap()).unwrap();
    assert!((60..=71).contains(&left), "it is remembered for longer than it is good: {left}");

    clock.ahead(-600);
    let before = upstream.got().len();
    for made_at in [now() - 600, now() - 400] {
        let proof = client.proof(&token, &format!("new-{made_at}"), made_at);
        assert_eq!(status(&replicas, 1, &token, &proof).await.0, 401, "{made_at}");
    }
    assert_eq!(upstream.got().len(), before);
}

#[tokio::test]
async fn a_redis_that_hangs_holds_nobody_up_for_longer_than_its_timeout() {
    let (upstream, redis) = (Upstream::plain().await, Redis::start());
    let replicas = Replicas::start(&upstream, &redis, LIMITED, "").await;
    let client = DpopClient::new();
    let token = client.token(&replicas, "alex");
    assert_eq!(status(&replicas, 0, &token, &client.proof(&token, "one", now() + 2)).await.0, 200);
    redis.signal("-STOP");
    let started = Instant::now();
    for number in 0..20 {
        let proof = client.proof(&token, &number.to_string(), now() + 2);
        assert_eq!(status(&replicas, 0, &token, &proof).await.0, 503);
    }
    // the first one waits, and all others are told at once
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(
        replicas.passes(replicas.call(0, "closed").bearer_auth(replicas.token("blake", &json!({})))).await
    );
    redis.signal("-CONT");
    until_async("Redis is found again", async || {
        let proof = client.proof(&token, &URL_SAFE_NO_PAD.encode(rand()), now() + 2);
        status(&replicas, 0, &token, &proof).await.0 == 200
    })
    .await;
}

fn rand() -> [u8; 16] {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn nonces_of_one_replica_are_good_at_the_other() {
    let (upstream, redis) = (Upstream::plain().await, Redis::start());
    let replicas = Replicas::start(&upstream, &redis, "", "dpop = { nonces = true, required = true }").await;
    let client = DpopClient::new();
    let token = client.token(&replicas, "alex");
    let nonce = |replica| {
        let request = replicas.call(replica, "closed").header("authorization", format!("DPoP {token}"));
        let request = request.header("dpop", client.proof(&token, &replica.to_string(), now() + 2));
        async move {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 401);
            response.headers()["dpop-nonce"].to_str().unwrap().to_owned()
        }
    };
    assert_eq!(nonce(0).await, nonce(1).await);
    let bearer = replicas.call(0, "closed").bearer_auth(replicas.token("alex", &json!({})));
    assert_eq!(bearer.send().await.unwrap().status(), 401);
    assert_eq!(upstream.got().len(), 0);
}

#[tokio::test]
async fn a_session_that_is_claimed_at_one_replica_is_its_owners_at_the_other() {
    let (upstream, mut redis) = (with_sessions().await, Redis::start());
    let replicas = Replicas::start(&upstream, &redis, "", "").await;
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}});
    let open = async |replica, token: Option<&str>| {
        let mut request = replicas.post(replica, &initialize);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.unwrap();
        let id = response.headers().get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
        (response.status().as_u16(), id)
    };
    let uses = async |replica, id: &str, token: Option<&str>| {
        let mut request = replicas.call(replica, "open").header("mcp-session-id", id);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.unwrap().status().as_u16()
    };
    let (alex, blake) = (replicas.token("alex", &json!({})), replicas.token("blake", &json!({})));
    let anonymous = open(0, None).await.1.unwrap();
    assert_eq!(uses(1, &anonymous, None).await, 200);
    assert_eq!(uses(0, &anonymous, Some(&alex)).await, 200, "claimed");
    assert_eq!(uses(1, &anonymous, Some(&alex)).await, 200);
    assert_eq!(uses(1, &anonymous, Some(&blake)).await, 404);
    assert_eq!(uses(1, &anonymous, None).await, 404);
    assert_eq!(uses(0, &anonymous, None).await, 404);
    let sealed = open(1, Some(&blake)).await.1.unwrap();
    assert_eq!(uses(0, &sealed, Some(&blake)).await, 200);

    for round in 0..20 {
        let id = open(round % 2, None).await.1.unwrap();
        let (one, other) = tokio::join!(uses(0, &id, Some(&alex)), uses(1, &id, Some(&blake)));
        assert!(matches!((one, other), (200, 404) | (404, 200)), "of two claims one wins: {one} {other}");
    }

    redis.kill();
    let before = upstream.got().len();
    for replica in [0, 1] {
        for token in [None, Some(&*alex), Some(&*blake)] {
            assert_eq!(uses(replica, &anonymous, token).await, 503);
        }
    }
    assert_eq!(upstream.got().len(), before);
    assert_eq!(open(0, None).await, (503, None), "a session that nobody can remember is none");
    assert_eq!(uses(0, &sealed, Some(&blake)).await, 200, "its owner is in the id");
    assert_eq!(uses(0, &sealed, Some(&alex)).await, 404);

    redis.run();
    until_async("Redis is found again", async || uses(0, &anonymous, None).await != 503).await;
    // it knows the session no more, and its client opens another
    assert_eq!(uses(0, &anonymous, Some(&alex)).await, 404);
    assert_eq!(open(0, None).await.0, 200);
}

#[tokio::test]
async fn a_gateway_starts_without_redis_and_finds_it_later() {
    let (upstream, mut redis) = (with_sessions().await, Redis::start());
    redis.kill();
    let replicas = Replicas::start(&upstream, &redis, LIMITED, "").await;
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}}});
    let open = async || {
        let request =
            replicas.post(0, &initialize).header("x-forwarded-for", format!("2001:db8:{:x}::", rand()[0]));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(open().await, 503);
    redis.run();
    until_async("Redis is found", async || open().await == 200).await;
    assert_eq!(logs::with(PASSWORD), [] as [Value; 0]);
    assert!(!logs::with("the shared state cannot be reached").is_empty());
}
