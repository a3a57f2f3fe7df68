//! Status lists: which access tokens are revoked, for whoever accepts them.

use mcp_auth::verifier::status_list::StatusList;
use reqwest::StatusCode;
use serde_json::Value;

use crate::harness::{Answer, Form, START, Server, Setup, claims, part, refresh};

/// Where a token's status is: the path of its list, and its place there.
fn reference(server: &Server, token: &Value) -> (String, u64) {
    let status = claims(token.as_str().unwrap())["status"]["status_list"].clone();
    let uri = status["uri"].as_str().unwrap().to_owned();
    let path = uri.strip_prefix(&server.issuer).unwrap_or_else(|| panic!("elsewhere: {uri}"));
    (path.to_owned(), status["idx"].as_u64().unwrap())
}

/// What the list says about a token: 1 for one that is revoked.
async fn status(server: &Server, token: &Value) -> u8 {
    let (path, place) = reference(server, token);
    let answer = server.get(&path).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let list = claims(&answer.body)["status_list"].to_string();
    StatusList::decode(list.as_bytes()).unwrap().get(place).unwrap()
}

async fn revoke(server: &Server, token: &Value) -> Answer {
    server
        .post("/oauth2/revoke", &Form::of(&[("client_id", "pub1"), ("token", token.as_str().unwrap())]))
        .await
}

#[tokio::test]
async fn there_are_no_lists_but_those_that_tokens_name() {
    let server = Server::start().await;
    server.tokens().await;
    for list in ["-1", "2", "1000000", "x", "00", "+0", "0x0", "9223372036854775807", "99999999999999999999"]
    {
        let path = format!("/oauth2/status/{list}");
        server.get(&path).await.assert_json_error(404, "not_found", list);
    }
}

#[tokio::test]
async fn a_list_is_signed_names_itself_and_lives_for_seconds() {
    let server = Server::start().await;
    let tokens = server.tokens().await;
    let (path, _) = reference(&server, &tokens["access_token"]);
    let answer = server.get(&path).await;
    assert_eq!(answer.header("content-type"), Some("application/statuslist+jwt"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let (header, said) = (part(&answer.body, 0), claims(&answer.body));
    assert_eq!(header["typ"], "statuslist+jwt");
    let keys: jsonwebtoken::jwk::JwkSet =
        serde_json::from_value(server.get("/oauth2/jwks").await.json()).unwrap();
    assert!(keys.find(header["kid"].as_str().unwrap()).is_some());
    assert_eq!(said["sub"], format!("{}{path}", server.issuer));
    assert_eq!(said["iss"], server.issuer.as_str());
    assert_eq!(said["iat"], START);
    assert!((1..=5).contains(&said["ttl"].as_i64().unwrap()));
    assert!(said["exp"].as_i64().unwrap() > START);
    assert_eq!(said["status_list"]["bits"], 1);
}

#[tokio::test]
async fn what_is_revoked_is_in_the_list_and_nothing_else() {
    let server = Server::start().await;
    let (one, other) = (server.tokens().await, server.tokens().await);
    let next = server.token(&refresh(other["refresh_token"].as_str().unwrap())).await.json();
    let all = [&one["access_token"], &other["access_token"], &next["access_token"]];
    let places: std::collections::HashSet<_> = all.iter().map(|token| reference(&server, token)).collect();
    assert_eq!(places.len(), 3, "each has a place of its own");
    let statuses = async || {
        // lists are made once a second
        server.clock.advance_seconds(1);
        let mut said = Vec::new();
        for token in all {
            said.push(status(&server, token).await);
        }
        said
    };
    assert_eq!(statuses().await, [0, 0, 0]);
    revoke(&server, &one["access_token"]).await;
    assert_eq!(statuses().await, [1, 0, 0]);
    // the grant with every token of it
    revoke(&server, &next["refresh_token"]).await;
    assert_eq!(statuses().await, [1, 1, 1]);
}

/// The list outlives the token by as much as whoever takes it may be late.
#[tokio::test]
async fn a_revoked_token_stays_in_the_list_until_nobody_takes_it_any_more() {
    let server = Server::start().await;
    let tokens = server.tokens().await;
    revoke(&server, &tokens["access_token"]).await;
    server.clock.advance_seconds(900 + 200);
    assert_eq!(status(&server, &tokens["access_token"]).await, 1);
    server.clock.advance_seconds(200);
    assert_eq!(status(&server, &tokens["access_token"]).await, 0);
}

#[tokio::test]
async fn tokens_name_no_list_where_lists_are_turned_off() {
    let server =
        Setup { more: "[tokens]\nstatus_lists = false\n".to_owned(), ..Setup::default() }.start().await;
    let tokens = server.tokens().await;
    assert!(claims(tokens["access_token"].as_str().unwrap()).get("status").is_none());
}
