use std::net::SocketAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Version};
use mcp_auth::policy::ScopeSet;
use mcp_auth::verifier::VerifiedToken;
use serde_json::{Map, Value, json};

use super::{PublicPlace, clean, say_via, say_where_from, say_who};
use crate::config::PublicUrl;
use crate::server::{ClientAddr, ForwardedFor};

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers
}

fn user(issuer: &str, subject: &str, client: Option<&str>, claims: &Value) -> VerifiedToken {
    let scopes: ScopeSet = ["notes:write", "notes:read"].into_iter().collect();
    let claims: Map<String, Value> = claims.as_object().cloned().unwrap_or_default();
    VerifiedToken::assert_verified(issuer, subject, client.map(Into::into), scopes, 0, claims)
}

#[test]
fn what_a_client_must_not_say_is_removed() {
    let removed = [
        "authorization",
        "proxy-authenticate",
        "proxy-authorization",
        "cookie",
        "dpop",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-anything",
        "x_forwarded_for",
        "x-real-ip",
        "proxy",
        "x-forwarded",
        "x-client-ip",
        "true-client-ip",
        "x-host",
        "x-original-host",
        "x-auth-subject",
        "x_auth_subject",
        "x-auth_subject",
        "x_auth-subject",
        "x.auth.subject",
        "x-auth-",
        "x_auth_anything",
        "x-original-url",
        "x_original_url",
        "x-rewrite-url",
        "x-original-method",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "origin",
        "sec-fetch-site",
        "sec-fetch-mode",
        "host",
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "expect",
        "accept-encoding",
        "mcp_session_id",
        "mcp_method",
        "mcp.name",
        "content_type",
        // one of each beginning by which others are believed
        "remote-user",
        "ssl-client-verify",
        "tailscale-user-login",
        "cf-access-jwt-assertion",
        "cf-connecting-ip",
        "oidc-sub",
        "client-cert-chain",
        "impersonate-user",
    ];
    for name in removed {
        let mut headers = headers(&[(name, "one"), (name, "two"), ("accept", "*/*")]);
        clean(&mut headers);
        assert_eq!(headers.len(), 1, "{name}: {headers:?}");
    }
}

#[test]
fn what_connection_names_is_removed() {
    let mut headers = headers(&[
        ("connection", "close, X-Secret ,, te"),
        ("connection", "X-Other"),
        ("x-secret", "1"),
        ("x-other", "1"),
        ("x-kept", "1"),
    ]);
    clean(&mut headers);
    assert_eq!(headers.keys().collect::<Vec<_>>(), ["x-kept"]);
}

#[test]
fn what_mcp_needs_is_kept() {
    let kept = [
        ("accept", "application/json, text/event-stream"),
        ("content-type", "application/json"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "echo"),
        ("mcp-param-x", "1"),
        ("mcp-session-id", "s"),
        ("last-event-id", "7"),
        ("traceparent", "00-1-1-01"),
        ("x-authority", "no identity header"),
        ("x-author", "neither"),
    ];
    let mut headers = headers(&kept);
    clean(&mut headers);
    assert_eq!(headers.len(), kept.len());
}

#[test]
fn via_goes_behind_what_is_there() {
    let mut said = headers(&[("via", "1.0 first")]);
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
        say_via(&mut said, version);
    }
    let said: Vec<_> = said.get_all("via").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(said, ["1.0 first", "1.0 mcp-auth-gateway", "1.1 mcp-auth-gateway", "2.0 mcp-auth-gateway"]);
}

#[test]
fn where_from_is_the_gateways_own_knowledge() {
    let public_url = PublicUrl {
        origin: "https://gw.example:8443".to_owned(),
        scheme: "https".to_owned(),
        authority: "gw.example:8443".to_owned(),
    };
    let cases = [
        ("192.0.2.7:1", None, "192.0.2.7"),
        ("[2001:db8::1]:1", None, "2001:db8::1"),
        ("[::ffff:192.0.2.7]:1", None, "192.0.2.7"),
        ("192.0.2.7:1", Some("192.0.2.7"), "192.0.2.7"),
        // a listed proxy has spoken for its client
        ("192.0.2.7:1", Some("2001:db8::9"), "2001:db8::9, 192.0.2.7"),
    ];
    for (peer, client, expected) in cases {
        let peer: SocketAddr = peer.parse().unwrap();
        let forged = "1.1.1.1";
        let request = Request::builder().header("host", "evil").header("x-forwarded-for", forged);
        let client = client.map_or(peer.ip().to_canonical(), |client| client.parse().unwrap());
        let forwarded_for = ForwardedFor::of(ClientAddr(client), peer).unwrap();
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        clean(&mut parts.headers);
        say_where_from(&mut parts.headers, Some(forwarded_for), &PublicPlace::of(&public_url));
        assert_eq!(
            parts.headers,
            headers(&[("x-forwarded-host", "gw.example:8443"), ("x-forwarded-proto", "https")])
                .into_iter()
                .chain([(
                    Some(HeaderName::from_static("x-forwarded-for")),
                    HeaderValue::from_str(expected).unwrap()
                )])
                .fold(HeaderMap::new(), |mut all, (name, value)| {
                    all.insert(name.unwrap(), value);
                    all
                })
        );
    }
}

#[test]
fn a_user_is_named_in_full() {
    let claims = json!({
        "email": "alex@example.com", "age": 41, "admin": true, "groups": ["a", "b"], "nothing": null
    });
    let forward = ["email", "age", "admin", "groups", "nothing", "absent"].map(|claim| {
        (HeaderName::from_bytes(format!("x-auth-{claim}").as_bytes()).unwrap(), claim.to_owned())
    });
    let mut named = HeaderMap::new();
    say_who(&mut named, &user("https://as.example", "alex", Some("client"), &claims), &forward).unwrap();
    let expected = headers(&[
        ("x-auth-issuer", "https://as.example"),
        ("x-auth-subject", "alex"),
        ("x-auth-client-id", "client"),
        ("x-auth-scopes", "notes:read notes:write"),
        ("x-auth-email", "alex@example.com"),
        ("x-auth-age", "41"),
        ("x-auth-admin", "true"),
        ("x-auth-groups", r#"["a","b"]"#),
    ]);
    assert_eq!(named, expected);

    let mut named = HeaderMap::new();
    say_who(&mut named, &user("https://as.example", "alex", None, &claims), &[]).unwrap();
    assert!(!named.contains_key("x-auth-client-id"));
}

#[test]
fn an_identity_is_the_same_each_time_that_its_token_comes() {
    let other_route = [(HeaderName::from_static("x-auth-email"), "email".to_owned())];
    let alex = user("https://as.example", "alex", Some("client"), &json!({ "email": "alex@example.com" }));
    let said = |user: &VerifiedToken, claims: &[_]| {
        let mut headers = HeaderMap::new();
        say_who(&mut headers, user, claims).map(|()| headers).map_err(|unfit| unfit.reason)
    };
    let first = said(&alex, &[]).unwrap();
    assert_eq!(said(&alex, &[]).unwrap(), first);
    // what another route wants beside it is not kept from this one
    assert_eq!(said(&alex, &other_route).unwrap().len(), first.len() + 1);
    assert_eq!(said(&alex, &[]).unwrap(), first);

    let nobody = user("https://as.example", "", None, &json!({}));
    for _ in 0..2 {
        assert_eq!(said(&nobody, &[]), Err("an empty value"));
    }
}

#[test]
fn an_identity_that_no_header_carries_unchanged_is_refused() {
    let email = [(HeaderName::from_static("x-auth-email"), "email".to_owned())];
    let bad = ["a\r\nX-Auth-Subject: root", "a\nb", "a\0b", "größe", "\u{7f}", " alex", "alex\t", ""];
    for text in bad {
        let fine = "fine";
        let cases = [
            user(text, fine, None, &json!({})),
            user(fine, text, None, &json!({})),
            user(fine, fine, Some(text), &json!({})),
            user(fine, fine, None, &json!({ "email": text })),
            user(fine, fine, None, &json!({ "email": [text] })),
        ];
        let refused: Vec<_> =
            cases.iter().map(|user| say_who(&mut HeaderMap::new(), user, &email).is_err()).collect();
        // JSON quotes what it holds: control characters, and white space, come out as visible ASCII
        let quoted = matches!(text, "größe" | "\u{7f}");
        let expected = [true, true, !text.is_empty(), !text.is_empty(), quoted];
        assert_eq!(refused, expected, "{text:?}");
    }
}
