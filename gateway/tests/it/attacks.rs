//! What was done to other gateways, done to this one: by the numbers of `docs/COVERAGE.md`.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Gateway, POLICY, body};
use crate::paths::raw;
use crate::upstream::{Upstream, respond};

const METADATA: &str = "/.well-known/oauth-protected-resource/mcp";

/// Rows 10 and 16: deployments under a prefix, each with tokens of its own.
#[tokio::test]
async fn row_10_a_token_for_one_server_is_none_for_its_neighbour_or_for_the_host() {
    let upstream = Upstream::plain().await;
    let more = format!(
        "resource = \"https://tools.example/a/mcp\"\n[[routes]]\npath = \"/b/mcp\"\nupstream = \"{}\"\npolicy = \"policy.toml\"\nresource = \"https://tools.example/b/mcp\"\n",
        upstream.url()
    );
    let gateway = Gateway::with(&upstream.url(), POLICY, "", &more).await;
    let call = async |path: &str, audience: &Value| {
        let token = gateway.files.token("", "alex", "read", &json!({ "aud": audience }));
        let mut request = gateway.call("closed").bearer_auth(token).build().unwrap();
        request.url_mut().set_path(path);
        gateway.client.execute(request).await.unwrap().status().as_u16()
    };
    let (a, b) = ("https://tools.example/a/mcp", "https://tools.example/b/mcp");
    for (path, other) in [("/mcp", b), ("/b/mcp", a)] {
        for audience in [
            json!(other),
            json!([other]),
            json!("https://tools.example"),
            json!("https://tools.example/"),
            json!("https://tools.example/a"),
            json!("https://tools.example/a/mcp/"),
            json!("https://tools.example/a/mcp/x"),
            json!("https://TOOLS.example/a/mc"),
            json!("http://tools.example/a/mcp"),
            json!(gateway.public_url),
            json!(""),
            json!([]),
            json!([[a, b]]),
            json!({ "aud": a }),
            Value::Null,
        ] {
            assert_eq!(call(path, &audience).await, 401, "{audience} at {path}");
        }
    }
    assert!(upstream.got().is_empty());
    assert_eq!((call("/mcp", &json!(a)).await, call("/b/mcp", &json!([a, b])).await), (200, 200));
}

/// Rows 11 and 12: headers by which insiders, probes and other proxies were believed.
#[tokio::test]
async fn row_12_no_header_changes_the_decision_or_the_request() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::before(&upstream).await;
    let forged = [
        ("mcp-init-host", "upstream.internal"),
        ("router-key", "secret"),
        ("x-internal-request", "true"),
        ("x-forwarded-uri", "/health"),
        ("x-forwarded-path", "/.well-known/oauth-protected-resource"),
        ("x-forwarded-prefix", "/public"),
        ("x-forwarded-method", "OPTIONS"),
        ("x-forwarded-host", "localhost"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-user", "root"),
        ("x-forwarded-access-token", "root"),
        ("forwarded", "for=127.0.0.1;host=localhost"),
        ("x-real-ip", "127.0.0.1"),
        ("x-original-url", "/livez"),
        ("x-original-method", "OPTIONS"),
        ("x-rewrite-url", "/livez"),
        ("x-http-method-override", "OPTIONS"),
        ("x-http-method", "OPTIONS"),
        ("x-method-override", "OPTIONS"),
        ("x-auth-request-user", "root"),
        ("x-auth-subject", "root"),
        ("x-remote-user", "root"),
        ("remote-user", "root"),
        ("x-user", "root"),
        ("cookie", "_oauth2_proxy=root"),
        ("proxy-authorization", "Bearer root"),
        ("x-api-key", "root"),
        ("user-agent", "GoogleHC/1.0"),
        ("user-agent", "kube-probe/1.30"),
        ("user-agent", "ELB-HealthChecker/2.0"),
        ("mcp-method", "ping"),
        ("mcp-name", "open"),
        ("upgrade", "websocket"),
    ];
    for (name, value) in forged {
        let answer = gateway.call("closed").header(name, value).send().await.unwrap();
        let status = answer.status().as_u16();
        // an upgrade is refused as what it is
        assert!(status == 401 || status == 400, "{name}: {status}");
    }
    assert!(upstream.got().is_empty());
    for (name, value) in forged {
        let before = upstream.got().len();
        let token = gateway.token("alex", "read");
        let answer = gateway.call("closed").bearer_auth(token).header(name, value).send().await.unwrap();
        let served = upstream.got().split_off(before);
        assert_eq!(answer.status() == 200, served.len() == 1, "{name}");
        for got in served {
            assert_eq!((got.method.as_str(), got.uri.path()), ("POST", "/upstream/mcp"), "{name}");
            assert_eq!(got.header("x-auth-subject"), Some("alex"), "{name}");
            assert_eq!(got.header("host"), Some(upstream.addr.to_string().as_str()), "{name}");
            // a key of an API is the client's own to send
            let says_root = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
                name != "x-api-key" && value.as_bytes().ends_with(b"root")
            };
            assert!(!got.headers.iter().any(says_root), "{name}: {:?}", got.headers);
        }
    }
    // a fragment is no part of a path: what is before it is judged, and by itself
    let before = upstream.got().len();
    let closed = POLICY.replace("auth = \"public\"", "auth = \"oauth2\"");
    let gateway = Gateway::with(&upstream.url(), &closed, "", "").await;
    let host = gateway.addr.to_string();
    for (target, statuses) in [
        ("/mcp#/.well-known/oauth-protected-resource", [401, 400]),
        ("/mcp#/livez", [401, 400]),
        ("/.well-known/oauth-protected-resource#/../mcp", [405, 400]),
        ("#/mcp", [404, 400]),
        ("/mcp%23", [404, 400]),
    ] {
        let (status, _) = raw(&gateway, "POST", target, &host).await;
        assert!(statuses.contains(&status), "{target}: {status}");
    }
    assert_eq!(upstream.got().len(), before);
}

/// Row 22: where a request goes is in the configuration alone.
#[tokio::test]
async fn row_22_no_part_of_a_request_chooses_the_upstream() {
    let (upstream, canary) = (Upstream::plain().await, Upstream::plain().await);
    let gateway = Gateway::before(&upstream).await;
    let host = gateway.addr.to_string();
    for target in [
        format!("http://{}/mcp", canary.addr),
        format!("http://{host}@{}/mcp", canary.addr),
        format!("@{}/mcp", canary.addr),
        format!("//{}/mcp", canary.addr),
        format!("/mcp/../../{}/mcp", canary.addr),
        format!("/mcp\\@{}", canary.addr),
        "/mcp/..%2f..%2fadmin".to_owned(),
    ] {
        let (status, _) = raw(&gateway, "POST", &target, &host).await;
        assert!(matches!(status, 400 | 403 | 404), "{target}: {status}");
    }
    assert!(upstream.got().is_empty());
    let token = gateway.token("alex", "base read");
    let inside = format!("http://{}/secret", canary.addr);
    for uri in [
        inside.as_str(),
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "notes://../../admin",
        "notes://x@evil.example/\\..\\admin",
        "../../../admin",
        "/admin?a=b#c",
        "%2e%2e%2fadmin",
    ] {
        let read = json!({ "jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": { "uri": uri } });
        let answer = gateway.post(&read.to_string()).bearer_auth(&token).send().await.unwrap();
        // whatever the policy says of it
        assert!(matches!(answer.status().as_u16(), 200 | 403 | 404), "{uri}: {}", answer.status());
        let tool = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": { "name": "closed", "arguments": { "url": uri } } });
        let answer = gateway.post(&tool.to_string()).bearer_auth(&token).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{uri}");
    }
    let url = gateway.url(&format!("/mcp?url=http://{}/&host={}", canary.addr, canary.addr));
    let mut call = gateway.call("closed").bearer_auth(&token).build().unwrap();
    *call.url_mut() = url.parse().unwrap();
    assert_eq!(gateway.client.execute(call).await.unwrap().status(), 200);
    assert!(canary.got().is_empty());
    for got in upstream.got() {
        assert_eq!(got.uri.path(), "/upstream/mcp");
        assert_eq!(got.header("host"), Some(upstream.addr.to_string().as_str()));
    }
}

/// A gateway with everything that a public listener can have.
async fn with_everything(upstream: &Upstream) -> Gateway {
    let more = format!(
        "authorization_server_metadata = \"copy\"\ncredentials = {{ kind = \"assertion\" }}\n\
         [[routes]]\npath = \"/page\"\nkind = \"http\"\nauth = \"public\"\nupstream = \"{0}/page\"\n\
         [[routes]]\npath = \"/reports/**\"\nkind = \"http\"\nauth = \"oauth2\"\nscopes = [\"read\"]\nupstream = \"{0}/reports\"\n\
         [openai]\napps_challenge = \"token\"\n[admin]\nlisten = [\"127.0.0.1:0\"]\n",
        upstream.url()
    );
    Gateway::with(&upstream.url(), POLICY, "", &more).await
}

/// Row 28: DNS rebinding, at everything that listens.
#[tokio::test]
async fn row_28_foreign_hosts_and_origins_get_nothing_from_any_listener() {
    let upstream = Upstream::plain().await;
    let gateway = with_everything(&upstream).await;
    let send = async |url: String, method: Method, host: &str, origin: Option<&str>| {
        let mut request = gateway.client.request(method, url).header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        request.send().await.unwrap().status().as_u16()
    };
    let published = [
        METADATA,
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration/mcp",
        "/.well-known/openai-apps-challenge",
        "/.well-known/jwks.json",
        "/nothing",
    ];
    let served = ["/mcp", "/page", "/reports/x"];
    for method in [Method::GET, Method::POST, Method::DELETE, Method::HEAD, Method::OPTIONS] {
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.1", "0.0.0.0"] {
            for path in published.iter().chain(&served) {
                let status = send(gateway.url(path), method.clone(), host, None).await;
                assert_eq!(status, 403, "{method} {host}{path}");
            }
            for path in ["/metrics", "/livez", "/readyz", "/mcp"] {
                let status = send(gateway.admin_url(path), method.clone(), host, None).await;
                // an address is no name that could be made to lead here
                let address = host.parse::<std::net::IpAddr>().is_ok();
                assert!(status == 403 || address, "admin: {method} {host}{path}: {status}");
            }
        }
        for origin in ["https://evil.example", "null", "http://localhost.evil.example"] {
            let own = gateway.addr.to_string();
            for path in served {
                let status = send(gateway.url(path), method.clone(), &own, Some(origin)).await;
                assert_eq!(status, 403, "{method} {path} from {origin}");
            }
            for path in ["/metrics", "/livez", "/readyz"] {
                let status = send(gateway.admin_url(path), method.clone(), "localhost", Some(origin)).await;
                assert_eq!(status, 403, "admin: {method} {path} from {origin}");
            }
        }
    }
    assert!(upstream.got().is_empty());
}

/// Row 32: what operators look at takes no orders.
#[tokio::test]
async fn row_32_the_admin_listener_shows_and_does_nothing() {
    let upstream = Upstream::plain().await;
    let gateway = with_everything(&upstream).await;
    let command = json!({ "command": ["touch", "x"], "upstream": { "command": ["touch", "x"] } }).to_string();
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
        for path in [
            "/",
            "/metrics",
            "/livez",
            "/readyz",
            "/reload",
            "/-/reload",
            "/config",
            "/shutdown",
            "/quitquitquit",
            "/upstreams",
            "/test",
            "/mcp",
            "/debug/pprof",
        ] {
            for host in [gateway.admin_url(path), gateway.url(&format!("/admin{path}"))] {
                let request = gateway.client.request(method.clone(), &host).body(command.clone());
                let status = request.send().await.unwrap().status().as_u16();
                assert!(matches!(status, 404 | 405), "{method} {host}: {status}");
            }
        }
    }
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(gateway.client.get(gateway.url(path)).send().await.unwrap().status(), 404, "{path}");
    }
    assert!(upstream.got().is_empty());
}

/// Row 34: a list is what can be called, for each who asks; and what is no MCP is nobody's.
#[tokio::test]
async fn row_34_lists_agree_with_calls_and_nothing_else_passes() {
    const TOOLS: [&str; 4] = ["open", "teaser", "closed", "gone"];
    let upstream = Upstream::start(|got| async move {
        let tools = TOOLS.map(|name| {
            let lists = r#""x-empty":[],"x-object":{},"x-order":[3,1,2]"#;
            format!(r#"{{"name":"{name}","inputSchema":{{"type":"object","required":[]}},{lists}}}"#)
        });
        let list = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{}]}}}}"#, tools.join(","));
        let is_list = got.body.windows(10).any(|window| window == b"tools/list");
        let answer = if is_list { list } else { r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned() };
        respond(200, &[("content-type", "application/json")], answer)
    })
    .await;
    let policy =
        POLICY.replace("baseline", "list = \"callable\"\nbaseline") + "[tools.gone]\nauth = \"deny\"\n";
    let gateway = Gateway::with(&upstream.url(), &policy, "", "").await;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    for scopes in [None, Some(""), Some("read"), Some("other"), Some("base read"), None] {
        let token = scopes.map(|scopes| gateway.token("alex", scopes));
        let signed = |request: reqwest::RequestBuilder| match &token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = body(signed(gateway.post(list)).send().await.unwrap()).await;
        let tools = answer["result"]["tools"].as_array().unwrap();
        for name in TOOLS {
            let before = upstream.got().len();
            signed(gateway.call(name)).send().await.unwrap();
            let called = upstream.got().len() > before;
            let shown = tools.iter().any(|tool| tool["name"] == name);
            assert_eq!(shown, called, "{name} for {scopes:?}");
        }
        for tool in tools {
            assert_eq!((&tool["x-empty"], &tool["x-object"]), (&json!([]), &json!({})));
            assert_eq!((&tool["x-order"], &tool["inputSchema"]["required"]), (&json!([3, 1, 2]), &json!([])));
        }
    }
    let before = upstream.got().len();
    for text in ["", "hello", "<xml/>", "{}", "[]", "null", "1", r#"{"name":"open"}"#, "tool=open"] {
        for kind in ["application/json", "text/plain", "application/x-www-form-urlencoded"] {
            for method in [Method::POST, Method::PUT, Method::PATCH] {
                let request = gateway.client.request(method.clone(), gateway.url("/mcp"));
                let request = request.header("accept", "application/json, text/event-stream");
                let request = request.header("content-type", kind).bearer_auth(gateway.token("alex", "read"));
                let status = request.body(text).send().await.unwrap().status();
                assert!(status.is_client_error(), "{method} {kind} {text}: {status}");
            }
        }
    }
    assert_eq!(upstream.got().len(), before);
}

/// Row 41: nothing that a client says gets into what others may read from a cache.
#[tokio::test]
async fn row_41_forged_headers_never_appear_in_what_is_published() {
    let upstream = Upstream::plain().await;
    let gateway = with_everything(&upstream).await;
    for (path, status) in
        [(METADATA, 200), ("/mcp", 401), ("/reports/x", 401), ("/.well-known/jwks.json", 200)]
    {
        let request =
            if path == "/mcp" { gateway.call("closed") } else { gateway.client.get(gateway.url(path)) };
        let answer = request
            .header("x-forwarded-host", "evil.example")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-port", "666")
            .header("x-forwarded-prefix", "/evil.example")
            .header("x-forwarded-server", "evil.example")
            .header("x-original-host", "evil.example")
            .header("x-host", "evil.example")
            .header("forwarded", "host=evil.example;proto=https")
            .header("referer", "https://evil.example/")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{path}");
        let said = format!("{:?}", answer.headers());
        if status == 401 {
            let metadata = format!("resource_metadata=\\\"{}/.well-known/", gateway.public_url);
            assert!(said.contains(&metadata), "{said}");
        }
        let said = said + &answer.text().await.unwrap();
        assert!(!said.contains("evil") && !said.contains("666"), "{path}: {said}");
    }
}

/// Traps 9 and 10: what the gateway does not know is the server's to answer, to the byte.
#[tokio::test]
async fn unknown_methods_and_members_pass_for_whoever_has_a_token() {
    const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"x-new":{},"result":{"x-other":[1.0,1e2],"a":null}}"#;
    let upstream =
        Upstream::start(|_| async { respond(200, &[("content-type", "application/json")], ANSWER) }).await;
    let gateway = Gateway::before(&upstream).await;
    let unknown =
        r#"{ "jsonrpc":"2.0","id":1, "method":"x/new", "params":{"x":[1.0,{}],"_meta":{"y":1}},"z":0 }"#;
    assert_eq!(gateway.post(unknown).send().await.unwrap().status(), 401);
    assert!(upstream.got().is_empty());
    let token = gateway.token("alex", "base read");
    let answer = gateway.post(unknown).bearer_auth(token).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, ANSWER));
    assert_eq!(upstream.got_one().body, unknown.as_bytes());
}
