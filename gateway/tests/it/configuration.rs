//! The configuration, edited while clients call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::harness::{Files, Gateway, POLICY, body, until};
use crate::logs;
use crate::upstream::Upstream;

/// Longer than an edit takes, for those that must not count.
const UNMOVED: Duration = Duration::from_millis(1500);

fn read(gateway: &Gateway) -> String {
    std::fs::read_to_string(gateway.files.config()).unwrap()
}

fn edit(gateway: &Gateway, text: &str) {
    let aside = gateway.files.config().with_extension("new");
    std::fs::write(&aside, text).unwrap();
    std::fs::rename(aside, gateway.files.config()).unwrap();
}

fn events(gateway: &Gateway, words: &str) -> Vec<serde_json::Value> {
    let file = gateway.files.config().display().to_string();
    logs::with(words).into_iter().filter(|event| event.to_string().contains(&file)).collect()
}

async fn loaded(gateway: &Gateway, times: usize) {
    until("the configuration is loaded", || events(gateway, "configuration loaded").len() >= times).await;
}

#[tokio::test]
async fn an_edit_counts_and_what_it_does_not_touch_lives_on() {
    let (upstream, other) = (Upstream::plain().await, Upstream::plain().await);
    let gateway = Gateway::with(&upstream.url(), POLICY, "workers = 1", "").await;
    assert_eq!(gateway.call("open").send().await.unwrap().status(), 200);
    let token = gateway.token("alex", "read");
    assert_eq!(gateway.call("closed").bearer_auth(&token).send().await.unwrap().status(), 200);

    let more =
        format!("[[routes]]\npath = \"/two\"\nupstream = \"{}\"\npolicy = \"policy.toml\"\n", other.url());
    edit(&gateway, &format!("{}{more}", read(&gateway)));
    loaded(&gateway, 1).await;
    let mut call = gateway.call("open").build().unwrap();
    call.url_mut().set_path("/two");
    assert_eq!(gateway.client.execute(call).await.unwrap().status(), 200);
    assert_eq!(other.got().len(), 1);
    assert_eq!(gateway.call("closed").bearer_auth(&token).send().await.unwrap().status(), 200);
    let peers: Vec<_> = upstream.got().iter().map(|got| got.peer).collect();
    assert_eq!(peers.len(), 3);
    assert!(
        peers.iter().all(|peer| *peer == peers[0]),
        "the connection of the other route is kept: {peers:?}"
    );

    // and back
    edit(&gateway, &read(&gateway).replace(&more, ""));
    loaded(&gateway, 2).await;
    let mut call = gateway.call("open").build().unwrap();
    call.url_mut().set_path("/two");
    assert_eq!(gateway.client.execute(call).await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_policy_that_is_edited_with_the_route_still_counts() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::with(&upstream.url(), POLICY, "workers = 1", "").await;
    edit(&gateway, &read(&gateway).replace("path = \"/mcp\"", "path = \"/mcp\"\nresource_name = \"Notes\""));
    loaded(&gateway, 1).await;
    let closed = "version = 1\n[tools.open]\nauth = \"oauth2\"\n";
    std::fs::write(gateway.files.policy(), closed).unwrap();
    let started = std::time::Instant::now();
    while gateway.call("open").send().await.unwrap().status() != 401 {
        assert!(started.elapsed() < Duration::from_secs(2), "the kept handle is the one that is followed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_does_not_load_changes_nothing_and_every_fault_is_an_event() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::with(&upstream.url(), POLICY, "", "").await;
    let sound = read(&gateway);
    edit(&gateway, &format!("{sound}max_body_byte = 1\n[[routes]]\npath = \"two\"\n"));
    let last = "the last good one stays in force";
    until("the refusal is logged", || !events(&gateway, last).is_empty()).await;
    let lines: Vec<_> = events(&gateway, "routes[").iter().map(|event| event["line"].clone()).collect();
    assert!(lines.len() >= 3 && lines.iter().all(serde_json::Value::is_u64), "{lines:?}");
    assert_eq!(gateway.call("open").send().await.unwrap().status(), 200);

    // a file that it names, and a policy with a fault
    std::fs::write(gateway.files.dir.path().join("bad.toml"), "version = 1\n[tools.x]\nauth = \"pubic\"\n")
        .unwrap();
    let seen = events(&gateway, last).len();
    edit(&gateway, &sound.replace("policy = \"policy.toml\"", "policy = \"bad.toml\""));
    until("the refusal is logged", || events(&gateway, last).len() > seen).await;
    assert_eq!(gateway.call("open").send().await.unwrap().status(), 200);
    edit(&gateway, &sound);
    loaded(&gateway, 1).await;
}

#[tokio::test]
async fn what_needs_a_restart_says_so_and_stays() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::with(&upstream.url(), POLICY, "", "").await;
    let text = read(&gateway).replace("[server]\n", "[server]\nshutdown_grace_seconds = 77\n");
    edit(&gateway, &text);
    loaded(&gateway, 1).await;
    let warned = || {
        logs::with("needs a restart")
            .iter()
            .filter(|event| event["key"] == "server.shutdown_grace_seconds")
            .count()
    };
    assert_eq!(warned(), 1);
    // it is still not in force, and is said again with the next edit
    edit(&gateway, &format!("{text}resource_name = \"Notes\"\n"));
    loaded(&gateway, 2).await;
    assert_eq!(warned(), 2);
}

#[tokio::test]
async fn keys_of_a_file_follow_it() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::before(&upstream).await;
    let (old, others) = (gateway.token("alex", "read"), Files::new(POLICY));
    let new = others.token(&format!("{}/mcp", gateway.public_url), "alex", "read", &json!({}));
    let status =
        async |token: &str| gateway.call("closed").bearer_auth(token).send().await.unwrap().status().as_u16();
    assert_eq!((status(&old).await, status(&new).await), (200, 401));
    let keys = gateway.files.dir.path().join("keys.json");
    // one without a key that could verify anything is no edit
    std::fs::write(&keys, r#"{"keys":[]}"#).unwrap();
    until("the refusal is logged", || !events(&gateway, "the last good one stays in force").is_empty()).await;
    assert_eq!(status(&old).await, 200);
    std::fs::copy(others.dir.path().join("keys.json"), &keys).unwrap();
    loaded(&gateway, 1).await;
    assert_eq!((status(&old).await, status(&new).await), (401, 200), "what was remembered is forgotten");
}

#[tokio::test]
async fn a_reload_can_be_asked_for() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::before(&upstream).await;
    gateway.running.reload();
    loaded(&gateway, 1).await;
    assert_eq!(gateway.call("open").send().await.unwrap().status(), 200);
}

/// A stream that runs goes on by the configuration that it began with, though its route is gone.
#[tokio::test]
async fn what_runs_ends_by_the_configuration_that_it_began_with() {
    let release = Arc::new(tokio::sync::Notify::new());
    let waiting = Arc::clone(&release);
    let upstream = Upstream::start(move |_| {
        let waiting = Arc::clone(&waiting);
        async move {
            waiting.notified().await;
            crate::upstream::json(r#"{"jsonrpc":"2.0","id":1,"result":{"late":true}}"#)
        }
    })
    .await;
    let gateway = Gateway::before(&upstream).await;
    let call = tokio::spawn(gateway.call("open").send());
    until("the call is with the upstream", || !upstream.got().is_empty()).await;
    edit(&gateway, &read(&gateway).replace("path = \"/mcp\"", "path = \"/elsewhere\""));
    loaded(&gateway, 1).await;
    assert_eq!(gateway.call("open").send().await.unwrap().status(), 404);
    release.notify_one();
    let answer = call.await.unwrap().unwrap();
    assert_eq!(body(answer).await["result"]["late"], true);
}

/// In `./test` a hundred times; each edit is one of the two policies, and no call is ever anything but one of theirs.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_reloaded_over_and_over_under_load_loses_no_call() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::before(&upstream).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (served, challenged) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let call = gateway.call("open").build().unwrap();
        let client = reqwest::Client::new();
        let (stop, served, challenged) = (Arc::clone(&stop), Arc::clone(&served), Arc::clone(&challenged));
        callers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let response = client.execute(call.try_clone().unwrap()).await.expect("no call may fail");
                match response.status().as_u16() {
                    200 => served.fetch_add(1, Ordering::Relaxed),
                    401 => challenged.fetch_add(1, Ordering::Relaxed),
                    other => panic!("unexpected status {other}"),
                };
                response.bytes().await.expect("no answer may break off");
            }
        });
    }
    let closed = POLICY.replace("[tools.open]\nauth = \"public\"", "[tools.open]\nauth = \"oauth2\"");
    assert_ne!(closed, POLICY);
    let aside = gateway.files.policy().with_extension("new");
    let file = gateway.files.policy().display().to_string();
    let (mut place, mut loaded) = (0, 0);
    for round in 0..rounds() {
        let text = if round % 2 == 0 { &closed } else { POLICY };
        std::fs::write(&aside, text).unwrap();
        std::fs::rename(&aside, gateway.files.policy()).unwrap();
        // each is taken over before the next one comes
        let started = std::time::Instant::now();
        loop {
            let new = logs::since(&mut place, "policy loaded");
            loaded += new.iter().filter(|event| event["file"] == file.as_str()).count();
            if loaded > round {
                break;
            }
            assert!(started.elapsed() < Duration::from_secs(5), "edit {round}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(outcome) = callers.join_next().await {
        outcome.unwrap();
    }
    assert!(served.load(Ordering::Relaxed) > 0 && challenged.load(Ordering::Relaxed) > 0);
    let reached = u64::try_from(upstream.got().len()).unwrap();
    assert_eq!(reached, served.load(Ordering::Relaxed), "a challenged call never gets to the upstream");
}

#[expect(clippy::disallowed_methods, reason = "how long a test is to run")]
fn rounds() -> usize {
    std::env::var("POLICY_RELOADS").ok().and_then(|text| text.parse().ok()).unwrap_or(100)
}

#[tokio::test]
async fn an_edit_that_changes_nothing_is_none() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::before(&upstream).await;
    edit(&gateway, &read(&gateway));
    tokio::time::sleep(UNMOVED).await;
    assert!(events(&gateway, "configuration loaded").is_empty());
}
