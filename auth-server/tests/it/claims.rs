//! What a resource is told about users, by claims of its access tokens.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    devices,
    harness::{Answer, CONF1_SECRET, Form, R1, R2, START, Server, Setup, az, claims, redeem, refresh},
    signer::Signer,
};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_JAG: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const TOLD: [&str; 5] = ["email", "https://as.test/org", "tier", "preferred_username", "organisation"];

/// `R1` is told much, `R2` the tier alone.
fn setup() -> Setup {
    let resources = format!(
        "[[resources]]\nurl = \"{R1}\"\nname = \"Notes\"\n\
         [resources.claims.email]\n[resources.claims.tier]\ndescription = \"your plan\"\n\
         [resources.claims.\"https://as.test/org\"]\nfrom = \"attributes.organisation\"\n\
         [resources.claims.preferred_username]\n\
         [resources.scopes.\"mcp:read\"]\n\
         [[resources]]\nurl = \"{R2}\"\nname = \"Other\"\n[resources.claims.tier]\n[resources.scopes.\"mcp:read\"]\n"
    );
    let more = format!(
        "\n[[clients.registered]]\nid = \"gateway\"\nsecret_file = \"conf1.secret\"\n\
         grant_types = [\"{EXCHANGE}\", \"client_credentials\", \"{ID_JAG}\"]\nserves = [\"{R1}\"]\n\
         exchanges_for = [\"{R2}\"]\nservice_scopes = [\"mcp:read\"]\n\
         [[clients.registered]]\nid = \"tv\"\ngrant_types = [\"{}\"]\n\
         [[assertion_issuers]]\nissuer = \"https://idp.test\"\njwks_file = \"idp.json\"\nemail_domains = [\"b.test\"]\n",
        devices::GRANT,
    );
    Setup { resources, more, ..Setup::default() }
}

async fn start() -> (Server, Signer) {
    let idp = Signer::es256("idp");
    let setup =
        Setup { files: vec![("idp.json", json!({"keys": [idp.jwk.clone()]}).to_string())], ..setup() };
    (setup.start().await, idp)
}

async fn as_gateway(server: &Server, path: &str, form: &Form) -> Answer {
    let basic = format!("Basic {}", STANDARD.encode(format!("gateway:{CONF1_SECRET}")));
    server.post_with(path, &[("authorization", &basic)], form).await
}

fn access(tokens: &Value) -> String {
    tokens["access_token"].as_str().unwrap_or_else(|| panic!("{tokens}")).to_owned()
}

/// What a token, or an answer about it, says of the user besides who it is.
fn told(claims: &Value) -> Value {
    TOLD.iter()
        .filter_map(|name| Some(((*name).to_owned(), claims.get(name)?.clone())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn exchange(token: &str) -> Form {
    Form::of(&[
        ("grant_type", EXCHANGE),
        ("subject_token", token),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("resource", R2),
    ])
}

#[tokio::test]
async fn every_grant_with_a_user_tells_the_resource_what_it_is_to_know() {
    let (server, idp) = start().await;
    let set = ["user", "set", "alice", "--email", "a@b.test", "--verified", "true"];
    server.command(&[&set[..], &["--attribute", "tier=gold", "--attribute", "organisation=Acme"]].concat());
    let all = json!({
        "email": "a@b.test", "tier": "gold", "https://as.test/org": "Acme", "preferred_username": "alice",
    });

    let tokens = server.tokens().await;
    let by_code = access(&tokens);
    assert_eq!(told(&claims(&by_code)), all);
    let asked = as_gateway(&server, "/oauth2/introspect", &Form::of(&[("token", &by_code)])).await;
    assert_eq!(told(&asked.json()), all);

    let exchanged = as_gateway(&server, "/oauth2/token", &exchange(&by_code)).await.json();
    assert_eq!(
        told(&claims(&access(&exchanged))),
        json!({"tier": "gold"}),
        "what the other resource is told"
    );

    let codes = devices::ask(&server).await.json();
    let mut browser = server.browser().signed_in().await;
    let page = browser.get(&format!("/device?user_code={}", codes["user_code"].as_str().unwrap())).await;
    assert!(page.body.contains("It is told about you: your e-mail address;"), "{}", page.body);
    let form = Form::of(&[
        ("csrf", &page.input("csrf")),
        ("user_code", &page.input("user_code")),
        ("decision", "allow"),
        ("with_me", "1"),
    ]);
    browser.send(reqwest::Method::POST, "/device", &[("sec-fetch-site", "same-origin")], Some(&form)).await;
    let device = devices::poll(&server, "tv", codes["device_code"].as_str().unwrap()).await.json();
    assert_eq!(told(&claims(&access(&device))), all);

    let assertion = idp.sign(
        &json!({"typ": "oauth-id-jag+jwt"}),
        &json!({
            "iss": "https://idp.test", "sub": "1", "aud": server.issuer, "client_id": "gateway", "jti": "1",
            "iat": START, "exp": START + 300, "resource": R1, "scope": "mcp:read", "email": "a@b.test",
        }),
    );
    let form = Form::of(&[("grant_type", ID_JAG), ("assertion", &assertion)]);
    let asserted = as_gateway(&server, "/oauth2/token", &form).await.json();
    assert_eq!(told(&claims(&access(&asserted))), all);

    // nobody is there to tell anything of
    let itself = Form::of(&[("grant_type", "client_credentials"), ("resource", R1)]);
    let itself = as_gateway(&server, "/oauth2/token", &itself).await.json();
    assert_eq!(told(&claims(&access(&itself))), json!({}));

    // refreshed: as it is now, also for who lost the first answer
    let changed = [
        "user",
        "set",
        "alice",
        "--no-attribute",
        "organisation",
        "--attribute",
        "tier=silver",
        "--no-email",
    ];
    server.command(&changed);
    let now = json!({"tier": "silver", "preferred_username": "alice"});
    let again = refresh(tokens["refresh_token"].as_str().unwrap());
    for case in ["first", "repeated"] {
        let refreshed = server.token(&again).await.json();
        assert_eq!(told(&claims(&access(&refreshed))), now, "{case}");
    }
    let asked = as_gateway(&server, "/oauth2/introspect", &Form::of(&[("token", &by_code)])).await;
    assert_eq!(told(&asked.json()), now);
}

/// M1: nothing about a user that nobody asked for.
#[tokio::test]
async fn what_a_user_does_not_have_and_what_is_not_configured_is_not_told() {
    let (server, _) = start().await;
    assert_eq!(told(&claims(&access(&server.tokens().await))), json!({"preferred_username": "alice"}));
    // an address that nobody checked is nobody's
    server.command(&["user", "set", "alice", "--email", "a@b.test"]);
    assert_eq!(told(&claims(&access(&server.tokens().await))), json!({"preferred_username": "alice"}));

    let server = Server::start().await;
    server.command(&[
        "user",
        "set",
        "alice",
        "--email",
        "a@b.test",
        "--verified",
        "true",
        "--attribute",
        "tier=gold",
    ]);
    let code = server.code(&az().with("scope", "mcp:read openid profile email")).await;
    let tokens = server.token(&redeem(&code)).await.json();
    assert_eq!(told(&claims(&access(&tokens))), json!({}));
}

#[tokio::test]
async fn the_page_says_what_the_resource_is_told() {
    let (server, _) = start().await;
    let page = server.browser().consent_page(&az()).await;
    let words = "It is told about you: your e-mail address; your organisation; your user name; your plan.";
    assert!(page.body.contains(words), "{}", page.body);
    let page = server.browser().consent_page(&az().with("resource", R2)).await;
    assert!(page.body.contains("It is told about you: your tier."), "{}", page.body);
    let page = Server::start().await.browser().consent_page(&az()).await;
    assert!(!page.body.contains("told about you"), "{}", page.body);
}
