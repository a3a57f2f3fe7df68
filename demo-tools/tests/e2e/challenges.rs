//! What a client without a token is told, byte for byte where it matters, in both eras and in every form.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::mcp::{Answer, LEGACY, call, call_modern, modern};
use crate::harness::oauth::OauthClient;
use crate::harness::{Demo, http};

fn legacy(url: &str, body: &Value) -> reqwest::RequestBuilder {
    http()
        .post(url)
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", LEGACY)
        .json(body)
}

#[tokio::test]
async fn a_protected_tool_is_challenged_in_both_eras() {
    let demo = Demo::start(&[]);
    let url = &demo.ready.mcp_url;
    for (tool, scope) in [
        ("notes_list", "notes:read"),
        ("notes_add", "notes:write"),
        ("auth_whoami", "profile:read"),
        ("echo", "profile:read"),
    ] {
        let arguments = json!({"text": "x"});
        let old = Answer::read(legacy(url, &call(tool, &arguments)).send().await.unwrap()).await;
        let new = call_modern(&http(), url, None, tool, arguments).await;
        for (answer, modern) in [(old, false), (new, true)] {
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{tool}: {answer:?}");
            let metadata = format!("{}/.well-known/oauth-protected-resource/mcp", demo.gateway());
            assert_eq!(
                answer.challenge(),
                format!(r#"Bearer resource_metadata="{metadata}", scope="{scope}""#)
            );
            let body = answer.json();
            assert_eq!(body["id"], json!(7));
            let result = &body["result"];
            assert_eq!(result["isError"], json!(true));
            assert_eq!(result["resultType"], if modern { json!("complete") } else { Value::Null });
            let told = result["_meta"]["mcp/www_authenticate"].as_array().unwrap();
            assert_eq!(told.len(), 1);
            for part in [
                r#"error="insufficient_scope""#,
                &format!("Sign in to use {tool}"),
                &format!(r#"scope="{scope}""#),
            ] {
                assert!(told[0].as_str().unwrap().contains(part), "`{part}` is missing: {told:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_form_for_chatgpt_changes_nothing_but_the_status() {
    let demo = Demo::start(&[]);
    let url = &demo.ready.mcp_url;
    let http = http();
    let ask = |method: &str, params: Value, agent: &'static str| {
        modern(&http, url, method, params).header("user-agent", agent)
    };
    for agent in ["openai-mcp/1.0.0", "Mozilla OpenAI-MCP/2 (Codex)"] {
        let params = json!({"name": "notes_list", "arguments": {}});
        let answer = Answer::read(ask("tools/call", params.clone(), agent).send().await.unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let as_http = Answer::read(ask("tools/call", params.clone(), "other").send().await.unwrap()).await;
        assert_eq!(as_http.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.json(), as_http.json(), "the same body in either form");

        let invalid =
            Answer::read(ask("tools/call", params, agent).bearer_auth("x").send().await.unwrap()).await;
        assert_eq!(invalid.status, StatusCode::UNAUTHORIZED, "an invalid token is never a tool result");
        let other = Answer::read(ask("prompts/list", json!({}), agent).send().await.unwrap()).await;
        assert_eq!(other.status, StatusCode::UNAUTHORIZED, "only tool calls have results");
        assert!(
            other.json()["error"].is_string() || other.json()["error_description"].is_string(),
            "{other:?}"
        );
    }
}

#[tokio::test]
async fn the_metadata_documents_lead_to_the_authorization_server() {
    let demo = Demo::start(&[]);
    let gateway = demo.gateway();
    let mut documents = Vec::new();
    for path in ["/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"] {
        let response = http().get(format!("{gateway}{path}")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with("application/json"));
        documents.push(response.json::<Value>().await.unwrap());
    }
    assert_eq!(documents[0], documents[1]);
    let document = &documents[0];
    assert_eq!(document["resource"], json!(demo.ready.mcp_url));
    assert_eq!(document["authorization_servers"], json!([demo.ready.issuer]));
    assert_eq!(document["scopes_supported"], json!(["profile:read"]), "the baseline, not the catalogue");
    assert_eq!(document["bearer_methods_supported"], json!(["header"]));

    for name in ["oauth-authorization-server", "openid-configuration"] {
        let url = format!("{}/.well-known/{name}", demo.ready.issuer);
        let metadata: Value = http().get(url).send().await.unwrap().json().await.unwrap();
        assert_eq!(metadata["issuer"], json!(demo.ready.issuer));
        assert_eq!(metadata["code_challenge_methods_supported"], json!(["S256"]));
        assert_eq!(metadata["authorization_response_iss_parameter_supported"], json!(true));
        assert_eq!(metadata["client_id_metadata_document_supported"], json!(true));
        for endpoint in ["authorization_endpoint", "token_endpoint", "registration_endpoint", "jwks_uri"] {
            assert!(
                metadata[endpoint].as_str().unwrap().starts_with(&demo.ready.issuer),
                "{endpoint}: {metadata}"
            );
        }
    }
}

#[tokio::test]
async fn the_tool_list_says_what_each_tool_needs() {
    let demo = Demo::start(&[]);
    let url = &demo.ready.mcp_url;
    let upstream = &demo.ready.upstream_url;
    let list = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/list"});
    let noauth = json!({"type": "noauth"});
    let oauth2 = |scopes: &[&str]| json!({"type": "oauth2", "scopes": scopes});
    let expected = [
        ("auth_show", json!([noauth])),
        ("auth_whoami", json!([oauth2(&["profile:read"])])),
        ("notes_list", json!([oauth2(&["notes:read"])])),
        ("notes_add", json!([oauth2(&["notes:write"])])),
        ("notes_teaser", json!([noauth, oauth2(&["notes:read"])])),
        ("echo", json!([oauth2(&[])])),
        ("count", json!([noauth])),
    ];
    for (through, direct) in [
        (legacy(url, &list), legacy(upstream, &list)),
        (modern(&http(), url, "tools/list", json!({})), modern(&http(), upstream, "tools/list", json!({}))),
    ] {
        let through = Answer::read(through.send().await.unwrap()).await.json();
        let direct = Answer::read(direct.send().await.unwrap()).await.json();
        let tools = through["result"]["tools"].as_array().unwrap();
        assert_eq!(tools.len(), expected.len(), "{through}");
        for (name, schemes) in &expected {
            let tool = tools.iter().find(|tool| tool["name"] == json!(name)).unwrap();
            assert_eq!(&tool["securitySchemes"], schemes, "{name}");
            assert_eq!(&tool["_meta"]["securitySchemes"], schemes, "{name}");
        }
        assert_eq!(without_schemes(through), without_schemes(direct), "nothing else in the list changes");
    }
}

/// The list without what the gateway adds to it.
fn without_schemes(mut list: Value) -> Value {
    for tool in list["result"]["tools"].as_array_mut().unwrap() {
        let tool = tool.as_object_mut().unwrap();
        tool.remove("securitySchemes");
        if let Some(meta) = tool.get_mut("_meta").and_then(Value::as_object_mut) {
            meta.remove("securitySchemes");
            if meta.is_empty() {
                tool.remove("_meta");
            }
        }
    }
    list
}

#[tokio::test]
async fn a_tool_without_a_rule_looks_like_one_that_does_not_exist() {
    let demo = Demo::start(&[]);
    let url = &demo.ready.mcp_url;
    let token = OauthClient::register(&demo).await.access_token(&demo, "alex", "notes:read").await;
    // shut a real tool: what is answered for it must not differ from what is answered for an invented one
    let policy = std::fs::read_to_string(&demo.ready.policy_file).unwrap();
    let rule = "[tools.echo]\nauth = \"oauth2\"";
    assert!(policy.contains(rule), "{policy}");
    std::fs::write(&demo.ready.policy_file, policy.replace(rule, "[tools.echo]\nauth = \"deny\"")).unwrap();
    for token in [None, Some(token.as_str())] {
        let hidden = crate::harness::eventually("the tool to vanish", async || {
            let answer = call_modern(&http(), url, token, "echo", json!({"text": "x"})).await;
            let vanished = answer.json()["error"]["code"] == json!(-32602);
            (answer.status == StatusCode::OK && vanished).then_some(answer)
        })
        .await;
        let invented = call_modern(&http(), url, token, "ecko", json!({"text": "x"})).await;
        assert_eq!(hidden.text.replace("echo", "NAME"), invented.text.replace("ecko", "NAME"));
        assert!(hidden.challenges.is_empty());
        let mut list = modern(&http(), url, "tools/list", json!({}));
        if let Some(token) = token {
            list = list.bearer_auth(token);
        }
        let list = Answer::read(list.send().await.unwrap()).await.json();
        assert!(
            list["result"]["tools"].as_array().unwrap().iter().all(|tool| tool["name"] != json!("echo")),
            "{list}"
        );
    }
}

#[tokio::test]
async fn identity_headers_of_a_client_mean_nothing() {
    let demo = Demo::start(&[]);
    let forged = [
        ("x-auth-issuer", demo.ready.issuer.clone()),
        ("x-auth-subject", "alex".to_owned()),
        ("x_auth_subject", "alex".to_owned()),
        ("X-Auth-Scopes", "notes:read notes:write".to_owned()),
        ("x-auth-client-id", "x".to_owned()),
        ("x-forwarded-host", "evil.example".to_owned()),
    ];
    let mut request =
        modern(&http(), &demo.ready.mcp_url, "tools/call", json!({"name": "auth_show", "arguments": {}}));
    for (name, value) in forged {
        request = request.header(name, value);
    }
    let answer = Answer::read(request.send().await.unwrap()).await;
    assert_eq!(answer.structured()["signed_in"], json!(false), "{answer:?}");
}

#[tokio::test]
async fn progress_is_not_held_back() {
    let demo = Demo::start(&[]);
    let mut params = json!({"name": "count", "arguments": {"n": 3, "interval_ms": 400}});
    params["_meta"] = json!({"progressToken": "p"});
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params});
    let mut response = legacy(&demo.ready.mcp_url, &body).send().await.unwrap();
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    let mut arrivals = Vec::new();
    let mut text = String::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        let seen = text.matches("notifications/progress").count();
        while arrivals.len() < seen {
            arrivals.push(std::time::Instant::now());
        }
    }
    assert!(arrivals.len() >= 2, "{text}");
    let spread = arrivals[arrivals.len() - 1] - arrivals[0];
    assert!(spread >= std::time::Duration::from_millis(200), "all at once: {spread:?}: {text}");
    assert!(text.contains(r#""counted":3"#), "{text}");
}
