//! Content codings: what is judged was decoded, and goes on decoded.

use std::convert::Infallible;
use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use mcp_auth::McpAuthLayer;
use mcp_auth::clock::SystemClock;
use mcp_auth::policy::{Policy, PolicyHandle};
use mcp_auth::verifier::InsecureSharedSecretVerifier;
use tower::{Layer, ServiceExt, service_fn};

use crate::harness::{Harness, ISSUER, POLICY, RESOURCE, call};

fn gzip(clear: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(clear).unwrap();
    encoder.finish().unwrap()
}

fn deflate(clear: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(clear).unwrap();
    encoder.finish().unwrap()
}

fn request(coding: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
    Request::post("/mcp")
        .header("host", "gw.test")
        .header("content-type", "application/json")
        .header("content-encoding", coding)
        .header("content-length", body.len())
        .body(Bytes::from(body).into())
        .unwrap()
}

#[tokio::test]
async fn a_coded_body_is_judged_and_forwarded_in_clear() {
    for (coding, coded) in [
        ("gzip", gzip(call("open").as_bytes())),
        ("X-GZIP", gzip(call("open").as_bytes())),
        ("deflate", deflate(call("open").as_bytes())),
        ("identity", call("open").into_bytes()),
    ] {
        let harness = Harness::new();
        assert_eq!(harness.send(request(coding, coded)).await.status, 200, "{coding}");
        let seen = harness.seen.lock().unwrap();
        assert_eq!(seen[0].body, call("open"), "{coding}");
        let headers = &seen[0].head.headers;
        assert_eq!(headers["content-length"], call("open").len().to_string().as_str(), "{coding}");
        assert!(coding == "identity" || !headers.contains_key("content-encoding"), "{coding}");
    }
    let harness = Harness::new();
    let answer = harness.send(request("gzip", gzip(call("closed").as_bytes()))).await;
    assert_eq!((answer.status, answer.refusal), (401, Some("sign-in")));
    assert_eq!(harness.reached(), 0);
}

/// A server, or a proxy behind the layer, must not find two lengths, or digests of bytes that it does not get.
#[tokio::test]
async fn nothing_describes_the_coded_bytes_once_they_are_decoded() {
    let harness = Harness::new();
    let mut coded = request("gzip", gzip(call("open").as_bytes()));
    let gone =
        ["transfer-encoding", "content-encoding", "content-md5", "content-digest", "repr-digest", "digest"];
    for name in gone {
        if name != "content-encoding" {
            coded.headers_mut().insert(name, http::HeaderValue::from_static("chunked"));
        }
    }
    assert_eq!(harness.send(coded).await.status, 200);
    let seen = harness.seen.lock().unwrap();
    for name in gone {
        assert!(!seen[0].head.headers.contains_key(name), "{name}");
    }
    assert_eq!(seen[0].head.headers["content-length"], call("open").len().to_string().as_str());
}

/// Each member of a gzip file is decoded anew, and an empty one takes twenty bytes.
#[tokio::test]
async fn a_coded_body_is_one_member() {
    let harness = Harness::new();
    for body in [
        [gzip(b""), gzip(call("open").as_bytes())].concat(),
        [gzip(call("open").as_bytes()), gzip(b"")].concat(),
        [gzip(&call("open").as_bytes()[..9]), gzip(&call("open").as_bytes()[9..])].concat(),
    ] {
        let answer = harness.send(request("gzip", body)).await;
        assert_eq!((answer.status, answer.refusal), (400, Some("malformed")), "{}", answer.text);
    }
    assert_eq!(harness.reached(), 0);
}

#[tokio::test]
async fn a_coded_body_that_is_not_understood_reaches_nobody() {
    let harness =
        Harness::with(|builder| builder.max_body_bytes(10_000), ("application/json", "{}".to_owned()));
    let bomb = gzip(&vec![b' '; 10_001]);
    assert!(bomb.len() < 100);
    for (coding, body, status, code) in [
        ("gzip", bomb, 413, 413),
        ("gzip", call("open").into_bytes(), 400, -32700),
        ("gzip", gzip(call("open").as_bytes())[..20].to_vec(), 400, -32700),
        ("gzip", [&gzip(call("open").as_bytes())[..], b"{}"].concat(), 400, -32700),
        ("deflate", gzip(call("open").as_bytes()), 400, -32700),
        ("gzip", gzip(&gzip(call("open").as_bytes())), 400, -32700),
        ("gzip, gzip", gzip(&gzip(call("open").as_bytes())), 415, 415),
        ("zstd", call("open").into_bytes(), 415, 415),
        ("", call("open").into_bytes(), 415, 415),
    ] {
        let answer = harness.send(request(coding, body)).await;
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_i64()),
            (status, Some(code)),
            "{coding}: {}",
            answer.text
        );
        if status == 415 {
            assert_eq!(answer.header("accept-encoding"), "gzip, deflate, br");
        }
    }
    assert_eq!(harness.reached(), 0);
}

/// What the layer makes of a server's coded answer to `tools/list`.
async fn listed(content_type: &'static str, coding: &'static str, body: Vec<u8>) -> (u16, String) {
    let verifier = InsecureSharedSecretVerifier::with_insecure_shared_secret(
        RESOURCE.parse().unwrap(),
        ISSUER,
        b"x",
        Arc::new(SystemClock),
    );
    let policy = PolicyHandle::new(Policy::parse(POLICY).unwrap());
    let layer = McpAuthLayer::builder(RESOURCE.parse().unwrap(), policy, Arc::new(verifier))
        .authorization_server(ISSUER)
        .build()
        .unwrap();
    let body = Bytes::from(body);
    let service = layer.layer(service_fn(move |request: Request<Full<Bytes>>| {
        assert_eq!(request.headers()["accept-encoding"], "identity");
        let response = Response::builder()
            .header("content-type", content_type)
            .header("content-encoding", coding)
            .header("content-length", body.len())
            .header("repr-digest", "sha-256=:x:")
            .body(Full::new(body.clone()))
            .unwrap();
        std::future::ready(Ok::<_, Infallible>(response))
    }));
    let request = Request::post("/mcp")
        .header("host", "gw.test")
        .header("content-type", "application/json")
        .header("accept-encoding", "gzip")
        .body(Full::from(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#))
        .unwrap();
    let response = service.oneshot(request).await.unwrap();
    let described = ["content-encoding", "content-length", "repr-digest"];
    assert!(
        response.status() != 200 || !described.iter().any(|name| response.headers().contains_key(*name)),
        "{:?}",
        response.headers()
    );
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_compressed_list_is_rewritten_like_any_other() {
    const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"open"},{"name":"denied"}]}}"#;
    let events = format!(": hi\n\ndata: {LIST}\n\n");
    for (content_type, coding, coded) in [
        ("application/json", "gzip", gzip(LIST.as_bytes())),
        ("application/json", "deflate", deflate(LIST.as_bytes())),
        ("text/event-stream", "gzip", gzip(events.as_bytes())),
        ("text/event-stream", "deflate", deflate(events.as_bytes())),
    ] {
        let (status, text) = listed(content_type, coding, coded).await;
        assert_eq!(status, 200, "{text}");
        assert!(text.contains(r#""name":"open""#) && text.contains("noauth"), "{text}");
        assert!(!text.contains("denied"), "{text}");
    }
}

#[tokio::test]
async fn a_compressed_list_that_cannot_be_read_is_withheld() {
    const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"denied"}]}}"#;
    let events = format!("data: {LIST}\n\n");
    for (content_type, coding, coded) in [
        ("application/json", "zstd", LIST.as_bytes().to_vec()),
        ("application/json", "gzip", LIST.as_bytes().to_vec()),
        ("application/json", "gzip", gzip(LIST.as_bytes())[..30].to_vec()),
        ("application/json", "gzip", gzip(&vec![b' '; 17 << 20])),
        ("application/json", "gzip, identity", gzip(LIST.as_bytes())),
        ("text/event-stream", "zstd", events.clone().into_bytes()),
        ("text/event-stream", "gzip", events.clone().into_bytes()),
        ("text/event-stream", "gzip", gzip(events.as_bytes())[..30].to_vec()),
    ] {
        let (_, text) = listed(content_type, coding, coded).await;
        assert!(text.contains("\"code\":502") && !text.contains("denied"), "{content_type} {coding}: {text}");
    }
}
