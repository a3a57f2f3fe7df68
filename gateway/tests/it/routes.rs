//! Routes by host and path, and plain HTTP beside MCP.

use bytes::Bytes;
use http::Method;
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::{Value, json};

use crate::harness::{Gateway, POLICY, body};
use crate::upstream::{Upstream, respond};

/// A gateway with more lines of configuration behind the first route.
async fn with_routes(upstream: &Upstream, more: &str) -> Gateway {
    Gateway::with(&upstream.url(), POLICY, "", &format!("{more}\n")).await
}

async fn send(
    gateway: &Gateway,
    method: Method,
    host: &str,
    path: &str,
    token: Option<&str>,
) -> reqwest::Response {
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"closed"}}"#;
    let mut request = gateway.client.request(method.clone(), gateway.url(path)).header("host", host);
    if method == Method::POST {
        request = request
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .body(call);
    }
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.unwrap()
}

/// Rows 8, 9, 10 and 16: each route is found under its own host and path alone, and a token for one is none for another.
#[tokio::test]
async fn each_route_is_at_its_own_host_and_path_and_nowhere_else() {
    let upstream = Upstream::plain().await;
    let more = format!(
        "[[routes]]\npath = \"/mcp\"\npublic_url = \"https://tools.example\"\nupstream = \"{0}\"\npolicy = \"policy.toml\"\n\
         [[routes]]\npath = \"/a/mcp\"\nhost = \"inner.example:8443\"\nresource = \"https://outer.example/b\"\nupstream = \"{0}\"\npolicy = \"policy.toml\"\n",
        upstream.url()
    );
    let gateway = with_routes(&upstream, &more).await;
    let token = |resource: &str| gateway.files.token(resource, "alex", "read", &json!({}));
    let own = gateway.addr.to_string();
    let resources = [
        format!("{}/mcp", gateway.public_url),
        "https://tools.example/mcp".to_owned(),
        "https://outer.example/b".to_owned(),
    ];
    let places = [(own.as_str(), "/mcp"), ("tools.example", "/mcp"), ("inner.example:8443", "/a/mcp")];
    for (index, (host, path)) in places.iter().enumerate() {
        assert_eq!(send(&gateway, Method::POST, host, path, None).await.status(), 401, "{host}{path}");
        for (other, resource) in resources.iter().enumerate() {
            let status = send(&gateway, Method::POST, host, path, Some(&token(resource))).await.status();
            assert_eq!(status, if index == other { 200 } else { 401 }, "{resource} at {host}{path}");
        }
        let both = gateway.files.token(&resources[index], "alex", "read", &json!({ "aud": resources }));
        assert_eq!(
            send(&gateway, Method::POST, host, path, Some(&both)).await.status(),
            200,
            "several audiences"
        );
    }
    let served = upstream.got().len();
    assert_eq!(served, 6);
    for (host, path, status) in [
        ("TOOLS.example:443", "/mcp", 401),
        ("outer.example", "/a/mcp", 401),
        ("tools.example", "/a/mcp", 404),
        ("inner.example:8443", "/mcp", 404),
        (own.as_str(), "/a/mcp", 404),
        ("tools.example:80", "/mcp", 403),
        ("tools.example.", "/mcp", 403),
        ("inner.example", "/a/mcp", 403),
        ("x.tools.example", "/mcp", 403),
        ("evil.example", "/mcp", 403),
        ("evil.example", "/.well-known/oauth-protected-resource/mcp", 403),
    ] {
        for method in [Method::POST, Method::GET, Method::DELETE] {
            // a stream is open to all where a tool is, and is no question of the route
            if (status == 401 || path.starts_with("/.well-known")) && method != Method::POST {
                continue;
            }
            let answer = send(&gateway, method.clone(), host, path, None).await;
            assert_eq!(answer.status(), status, "{method} {host}{path}");
            assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("application/json"));
        }
    }
    assert_eq!(upstream.got().len(), served);
    // what is published, and what the upstream is told, derives from the configuration
    let challenge = send(&gateway, Method::POST, "TOOLS.example:443", "/mcp", None).await;
    let challenge = challenge.headers()["www-authenticate"].to_str().unwrap().to_owned();
    assert!(
        challenge.contains("\"https://tools.example/.well-known/oauth-protected-resource/mcp\""),
        "{challenge}"
    );
    let got = upstream.got();
    assert_eq!(got[2].header("x-forwarded-host"), Some("tools.example"));
    assert_eq!(got[2].header("x-forwarded-proto"), Some("https"));
}

/// Row 41, and the well-known forms.
#[tokio::test]
async fn metadata_is_of_the_host_and_the_path_that_are_asked_for() {
    let upstream = Upstream::plain().await;
    let more = format!(
        "[[routes]]\npath = \"/mcp\"\npublic_url = \"https://tools.example\"\nupstream = \"{0}\"\npolicy = \"policy.toml\"\n\
         [[routes]]\npath = \"/assets/**\"\npublic_url = \"https://tools.example\"\nkind = \"http\"\nauth = \"public\"\nupstream = \"{0}/assets\"\n\
         [[routes]]\npath = \"/reports/**\"\nkind = \"http\"\nauth = \"oauth2\"\nscopes = [\"reports:read\"]\nupstream = \"{0}/reports\"\n\
         [openai]\napps_challenge = \"own-token\"\napps_challenges = {{ \"tools.example\" = \"other-token\" }}\n",
        upstream.url()
    );
    let gateway = with_routes(&upstream, &more).await;
    let own = gateway.addr.to_string();
    let prefix = "/.well-known/oauth-protected-resource";
    for (host, path, resource) in [
        (own.as_str(), "/mcp", Some(format!("{}/mcp", gateway.public_url))),
        (own.as_str(), "/reports", Some(format!("{}/reports", gateway.public_url))),
        // two resources, none of which is the host
        (own.as_str(), "", None),
        ("tools.example", "/mcp", Some("https://tools.example/mcp".to_owned())),
        // what is public needs no sign-in, so that there is one to be found
        ("tools.example", "", Some("https://tools.example/mcp".to_owned())),
        ("tools.example", "/reports", None),
    ] {
        let path = format!("{prefix}{path}");
        let answer = send(&gateway, Method::GET, host, &path, None).await;
        match resource {
            Some(resource) => assert_eq!(body(answer).await["resource"], resource, "{host}{path}"),
            None => assert_eq!(answer.status(), 404, "{host}{path}"),
        }
        let preflight = send(&gateway, Method::OPTIONS, host, &path, None).await;
        assert_eq!(preflight.status(), 204);
        assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    }
    for (host, text) in [(own.as_str(), "own-token"), ("tools.example", "other-token")] {
        let path = "/.well-known/openai-apps-challenge";
        let answer = send(&gateway, Method::GET, host, path, None).await;
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
        assert_eq!(answer.text().await.unwrap(), text);
        assert_eq!(send(&gateway, Method::HEAD, host, path, None).await.status(), 200);
        assert_eq!(send(&gateway, Method::DELETE, host, path, None).await.status(), 405);
    }
    assert!(upstream.got().is_empty());
}

/// Rows 9 and 40 for a whole tree: what could be read in two ways is nobody's.
#[tokio::test]
async fn below_a_path_only_what_everyone_reads_alike_is_forwarded() {
    let upstream = Upstream::plain().await;
    let more = format!(
        "[[routes]]\npath = \"/assets/**\"\nkind = \"http\"\nauth = \"public\"\nupstream = \"http://{0}/static/\"\n\
         [[routes]]\npath = \"/assets/private/**\"\nkind = \"http\"\nauth = \"oauth2\"\nupstream = \"http://{0}/private\"\n",
        upstream.addr
    );
    let gateway = with_routes(&upstream, &more).await;
    for target in [
        "/assets/../mcp",
        "/assets/./a",
        "/assets//a",
        "//assets/a",
        "/assets/a%2fb",
        "/assets/%2e%2e/mcp",
        "/assets/..%2fmcp",
        "/assets/..;/mcp",
        "/assets/a;b",
        "/assets/a\\b",
        "/assets/%5c..%5cmcp",
        "/assets/a%00",
        "/assets/a%252f..",
        "/assets/private%2fx",
        "/assets/%zz",
        "/assets",
        "/ASSETS/a",
        "/assetsx/a",
        "/.well-known/../assets/a",
    ] {
        let (status, answer) = crate::paths::raw(&gateway, "GET", target, &gateway.addr.to_string()).await;
        assert!(matches!(status, 404 | 400), "{target}: {answer}");
    }
    assert!(upstream.got().is_empty(), "{:?}", upstream.got());
    // the nearest route counts
    for target in ["/assets/private/x", "/assets/private/"] {
        assert_eq!(gateway.client.get(gateway.url(target)).send().await.unwrap().status(), 401);
    }
    for (target, expected) in [
        ("/assets/a/b.js?v=1&w", "/static/a/b.js?v=1&w"),
        ("/assets/", "/static/"),
        ("/assets/a%20b", "/static/a%20b"),
        ("/assets/privat", "/static/privat"),
    ] {
        assert_eq!(gateway.client.get(gateway.url(target)).send().await.unwrap().status(), 200, "{target}");
        assert_eq!(upstream.got().last().unwrap().uri.to_string(), expected);
    }
}

/// A public tree around routes that are not, with the same server behind all of them: however that server reads paths, what
/// is theirs is reached through them alone.
#[tokio::test]
async fn a_tree_never_serves_what_a_nearer_route_guards() {
    let upstream = Upstream::plain().await;
    let more = format!(
        "[[routes]]\npath = \"/**\"\nkind = \"http\"\nauth = \"public\"\nupstream = \"http://{0}/\"\n\
         [[routes]]\npath = \"/admin/**\"\nkind = \"http\"\nauth = \"oauth2\"\nupstream = \"http://{0}/admin\"\n\
         [[routes]]\npath = \"/mcp/assets/**\"\nkind = \"http\"\nauth = \"public\"\nupstream = \"http://{0}/assets\"\n\
         [[routes]]\npath = \"/page\"\nkind = \"http\"\nauth = \"oauth2\"\nupstream = \"http://{0}/page\"\n",
        upstream.addr
    );
    let gateway = with_routes(&upstream, &more).await;
    for target in [
        "/mcp/",
        "/%6dcp",
        "/%6Dc%70/",
        "/MCP",
        "/Mcp/",
        "/mcp/messages",
        "/m%63p/messages",
        "/admin",
        "/Admin/users",
        "/%61dmin/users",
        "/adm%69n",
        "/page/",
        "/p%61ge",
        "/PAGE",
        "/a%c0%afb",
    ] {
        for method in ["GET", "POST"] {
            let (status, answer) =
                crate::paths::raw(&gateway, method, target, &gateway.addr.to_string()).await;
            assert_eq!(status, 404, "{method} {target}: {answer}");
        }
    }
    assert!(upstream.got().is_empty(), "{:?}", upstream.got());
    for (target, expected) in [
        ("/", "/"),
        ("/mcpx", "/mcpx"),
        ("/page/more", "/page/more"),
        ("/administration", "/administration"),
        ("/mcp/assets/a", "/assets/a"),
        ("/a%20b%C3%A9", "/a%20b%C3%A9"),
    ] {
        assert_eq!(gateway.client.get(gateway.url(target)).send().await.unwrap().status(), 200, "{target}");
        assert_eq!(upstream.got().last().unwrap().uri.to_string(), expected);
    }
    assert_eq!(gateway.client.get(gateway.url("/admin/users")).send().await.unwrap().status(), 401);
}

/// The same where the server has other paths than the gateway, and at another host: what the policy guards is behind one way
/// in, and every other way around it ends.
#[tokio::test]
async fn a_tree_never_serves_what_another_route_guards_at_the_same_server() {
    let upstream = Upstream::plain().await;
    let port = upstream.addr.port();
    let more = format!(
        "[[routes]]\npath = \"/**\"\nkind = \"http\"\nauth = \"public\"\nupstream = \"http://localhost:{port}/\"\n\
         [[routes]]\npath = \"/up/**\"\nkind = \"http\"\nauth = \"public\"\nupstream = \"http://127.0.0.1:{port}/Upstream/\"\n\
         [[routes]]\npath = \"/all/**\"\nhost = \"other.example\"\nkind = \"http\"\nauth = \"public\"\nupstream = \"http://127.0.0.1:{port}/\"\n\
         [[routes]]\npath = \"/admin/**\"\nkind = \"http\"\nauth = \"oauth2\"\nupstream = \"http://127.0.0.1:{port}/internal/admin\"\n"
    );
    let gateway = with_routes(&upstream, &more).await;
    let own = gateway.addr.to_string();
    for (host, target) in [
        (own.as_str(), "/upstream/mcp"),
        (&own, "/upstream/mcp/"),
        (&own, "/upstream/mcp/messages"),
        (&own, "/Upstream/%6dcp"),
        (&own, "/internal/admin"),
        (&own, "/internal/ADMIN/users"),
        (&own, "/up/mcp"),
        (&own, "/up/MCP/"),
        ("other.example", "/all/upstream/mcp"),
        ("other.example", "/all/upstream/m%63p/x"),
        ("other.example", "/all/internal/admin/users"),
    ] {
        for method in [Method::GET, Method::POST] {
            let response = send(&gateway, method.clone(), host, target, None).await;
            assert_eq!(response.status(), 404, "{method} {host} {target}");
        }
    }
    assert!(upstream.got().is_empty(), "{:?}", upstream.got());
    for (target, expected) in
        [("/upstream/mcpx", "/upstream/mcpx"), ("/internal", "/internal"), ("/up/a", "/Upstream/a")]
    {
        assert_eq!(gateway.client.get(gateway.url(target)).send().await.unwrap().status(), 200, "{target}");
        assert_eq!(upstream.got().last().unwrap().uri.to_string(), expected);
    }
}

#[tokio::test]
async fn plain_http_is_guarded_by_the_same_tokens() {
    let upstream =
        Upstream::start(
            |got| async move { respond(200, &[("x-len", &got.body.len().to_string())], "served") },
        )
        .await;
    let more = format!(
        "[[routes]]\npath = \"/page\"\nkind = \"http\"\nauth = \"public\"\nupstream = \"{0}/page\"\n\
         [[routes]]\npath = \"/reports/**\"\nkind = \"http\"\nauth = \"oauth2\"\nscopes = [\"read\"]\nupstream = \"{0}/reports\"\nmax_body_bytes = 1000\n",
        upstream.url()
    );
    let gateway = with_routes(&upstream, &more).await;
    let token = |path: &str, scope: &str| {
        gateway.files.token(&format!("{}{path}", gateway.public_url), "alex", scope, &json!({}))
    };
    let send = async |method: Method, path: &str, token: Option<String>, body: Vec<u8>| {
        let mut request = gateway
            .client
            .request(method, gateway.url(path))
            .body(body)
            .header("x-auth-subject", "admin")
            .header("cookie", "a=b");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.unwrap()
    };
    for (path, token, status) in [
        ("/page", None, 200),
        ("/page", Some("bogus".to_owned()), 401),
        ("/page", Some(token("/mcp", "read")), 401),
        ("/page", Some(token("/page", "")), 200),
        ("/reports/x", None, 401),
        ("/reports/x", Some("bogus".to_owned()), 401),
        ("/reports/x", Some(token("/reports", "other")), 403),
        ("/reports/x", Some(token("/reports", "read")), 200),
    ] {
        for method in [Method::GET, Method::PUT, Method::PATCH] {
            let before = upstream.got().len();
            let answer = send(method.clone(), path, token.clone(), Vec::new()).await;
            assert_eq!(answer.status(), status, "{method} {path} {token:?}");
            assert_eq!(upstream.got().len() - before, usize::from(status == 200));
            if status == 200 {
                let got = upstream.got().pop().unwrap();
                assert_eq!(got.method, method);
                let expected = token.is_some().then_some("alex");
                assert_eq!(got.header("x-auth-subject"), expected);
                assert_eq!((got.header("authorization"), got.header("cookie")), (None, None));
            } else {
                let problem: Value = body(answer).await;
                assert!(problem["error"].is_string() && problem.get("jsonrpc").is_none(), "{problem}");
            }
        }
    }
    // bodies pass, up to the limit
    let good = || Some(token("/reports", "read"));
    let answer = send(Method::POST, "/reports/x", good(), vec![0; 1000]).await;
    assert_eq!(answer.headers()["x-len"], "1000");
    assert_eq!(send(Method::POST, "/reports/x", good(), vec![0; 1001]).await.status(), 413);
    let chunks = (0..20).map(|_| Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![0; 100]))));
    let chunks = StreamBody::new(futures_util::stream::iter(chunks));
    let before = upstream.got().len();
    let long = gateway.client.post(gateway.url("/reports/x")).bearer_auth(good().unwrap());
    let answer = long.body(reqwest::Body::wrap(chunks)).send().await.unwrap();
    assert_eq!(answer.status(), 413, "without a length as well");
    assert!(upstream.got()[before..].iter().all(|got| got.body.len() <= 1000));
}

#[tokio::test]
async fn a_route_believes_its_own_issuers_alone() {
    let upstream = Upstream::plain().await;
    let more = format!(
        "issuers = [\"https://as.example\"]\n[[issuers]]\nissuer = \"https://other.example\"\njwks_file = \"keys.json\"\n\
         [[routes]]\npath = \"/two\"\nupstream = \"{}\"\npolicy = \"policy.toml\"\nissuers = [\"https://other.example\"]\n",
        upstream.url()
    );
    let gateway = with_routes(&upstream, &more).await;
    let host = gateway.addr.to_string();
    for (path, issuer, status) in [
        ("/mcp", "https://as.example", 200),
        ("/mcp", "https://other.example", 401),
        ("/two", "https://as.example", 401),
        ("/two", "https://other.example", 200),
    ] {
        let resource = format!("{}{path}", gateway.public_url);
        let token = gateway.files.token(&resource, "alex", "read", &json!({ "iss": issuer }));
        assert_eq!(
            send(&gateway, Method::POST, &host, path, Some(&token)).await.status(),
            status,
            "{path} {issuer}"
        );
    }
    let metadata =
        send(&gateway, Method::GET, &host, "/.well-known/oauth-protected-resource/two", None).await;
    assert_eq!(body(metadata).await["authorization_servers"], json!(["https://other.example"]));
}

#[tokio::test]
async fn the_form_of_challenges_is_the_routes_to_say() {
    let upstream = Upstream::plain().await;
    let gateway = with_routes(&upstream, "challenge = \"tool-result\"").await;
    let answer = gateway.call("closed").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(body(answer).await["result"]["isError"], true);
}

/// Old clients look for the authorization server where the resource is.
#[tokio::test]
async fn a_copy_of_the_issuers_metadata_is_served_where_that_is_asked_for() {
    let issuer = Upstream::start(|got| async move {
        if got.uri.path() != "/.well-known/openid-configuration" {
            return respond(404, &[], "");
        }
        let host = got.header("host").unwrap().to_owned();
        respond(
            200,
            &[("content-type", "application/json")],
            format!("{{ \"issuer\":\"http://{host}\" , \"x\": 1}}"),
        )
    })
    .await;
    let upstream = Upstream::plain().await;
    let name = format!("http://{}", issuer.addr);
    let gateway = Gateway::with_issuer(
        &upstream.url(),
        POLICY,
        "",
        "authorization_server_metadata = \"copy\"\n",
        &format!("issuer = \"{name}\""),
    )
    .await;
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/mcp",
        "/mcp/.well-known/openid-configuration",
    ] {
        let answer = gateway
            .client
            .get(gateway.url(path))
            .header("origin", "https://any.example")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
        assert_eq!(
            answer.text().await.unwrap(),
            format!("{{ \"issuer\":\"{name}\" , \"x\": 1}}"),
            "byte for byte"
        );
    }
    assert_eq!(issuer.got().len(), 2, "one attempt, in the second place");
    assert!(upstream.got().is_empty());
}

/// An upstream that is the gateway itself, by whatever name, is an error and no endless walk.
#[tokio::test]
async fn an_upstream_that_leads_back_is_an_error() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::before(&upstream).await;
    let text = std::fs::read_to_string(gateway.files.config()).unwrap();
    let (addr, other) = (gateway.addr, format!("http://{}/mcp", gateway.addr));
    // listening and found elsewhere by its own account, so that only what comes back can tell
    let text = text
        .replace(&format!("listen = [\"{addr}\"]"), "listen = [\"127.0.0.1:1\"]")
        .replace(&upstream.url(), &other);
    std::fs::write(gateway.files.config(), text).unwrap();
    let started = std::time::Instant::now();
    loop {
        let answer = gateway.call("open").send().await.unwrap();
        if answer.status() == 508 {
            assert_eq!(
                body(answer).await["error"]["message"],
                "the upstream of this route leads back to the gateway"
            );
            break;
        }
        assert!(started.elapsed() < crate::harness::DEADLINE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
