//! The commands of an operator, beside a server that runs.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use reqwest::StatusCode;
use serde_json::Value;

use crate::harness::{PASSWORD, R1, Server, Setup, az, redeem, refresh};

/// What a command said, where it succeeded.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn run(config: &Path, arguments: &[&str], stdin: &str) -> Said {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mcp-auth-server"))
        .args(arguments)
        .arg("--config")
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

impl Server {
    /// What a command answers.
    #[track_caller]
    pub(crate) fn command(&self, arguments: &[&str]) -> String {
        self.command_with(arguments, "")
    }

    #[track_caller]
    fn command_with(&self, arguments: &[&str], stdin: &str) -> String {
        let said = run(&self.dir.path().join("auth-server.toml"), arguments, stdin);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{arguments:?}");
        said.out
    }

    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let all: Vec<_> = arguments.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.command(&all)).unwrap()
    }

    /// What a command says is wrong.
    #[track_caller]
    fn refusal(&self, arguments: &[&str]) -> String {
        let said = run(&self.dir.path().join("auth-server.toml"), arguments, "");
        assert_eq!((said.code, said.out.as_str()), (1, ""), "{arguments:?}");
        said.err
    }

    /// The events of a kind.
    #[track_caller]
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        let out = self.command(&["audit", "tail", "--count", "10000", "--json"]);
        let events = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.filter(|event| event["kind"] == kind).collect()
    }
}

async fn refreshes(server: &Server, tokens: &Value) -> bool {
    server.token(&refresh(tokens["refresh_token"].as_str().unwrap())).await.status == StatusCode::OK
}

#[tokio::test]
async fn a_disabled_user_is_out_at_once_and_back_when_enabled() {
    let server = Server::start().await;
    let tokens = server.tokens().await;
    let mut browser = server.browser().signed_in().await;
    server.command(&["user", "disable", "Alice"]);
    assert!(!refreshes(&server, &tokens).await);
    let page = browser.page(&az()).await;
    assert!(page.is_login_page(), "the session is over");
    let refused = browser.submit_login(&page, "alice", PASSWORD).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(server.command(&["user", "list"]).contains("disabled since 20"));
    server.command(&["user", "enable", "alice"]);
    let again = browser.submit_login(&page, "alice", PASSWORD).await;
    assert_eq!(again.status, StatusCode::SEE_OTHER);
    assert!(!refreshes(&server, &tokens).await, "what was ended stays ended");
    let id = server.json(&["user", "show", "alice"])["id"].clone();
    for kind in ["user.disabled", "user.enabled"] {
        assert_eq!(server.events(kind)[0]["user_id"], id, "{kind}");
    }
}

/// G11, T7
#[tokio::test]
async fn a_new_password_ends_what_the_old_one_began() {
    let server = Server::start().await;
    let tokens = server.tokens().await;
    let mut browser = server.browser().signed_in().await;
    server.command_with(&["user", "passwd", "alice"], "another horse battery\n");
    assert!(!refreshes(&server, &tokens).await);
    let page = browser.page(&az()).await;
    assert!(page.is_login_page());
    let old = browser.submit_login(&page, "alice", PASSWORD).await;
    assert_eq!(old.status, StatusCode::UNAUTHORIZED);
    let new = browser.submit_login(&page, "alice", "another horse battery").await;
    assert_eq!(new.status, StatusCode::SEE_OTHER);
    assert_eq!(server.events("password.changed").len(), 1);
    let config = server.dir.path().join("auth-server.toml");
    for bad in ["short\n", ""] {
        let refused = run(&config, &["user", "passwd", "alice"], bad);
        assert!(refused.code == 1 && refused.err.contains("8 to 128 characters"), "{refused:?}");
    }
}

/// G11
#[tokio::test]
async fn a_deleted_user_is_gone_at_once_and_the_audit_stays() {
    let server = Server::start().await;
    let tokens = server.tokens().await;
    let id = server.json(&["user", "show", "alice"])["id"].as_str().unwrap().to_owned();
    assert!(server.refusal(&["user", "delete", "alice"]).contains("expected `--yes`"));
    assert!(!server.command(&["user", "show", "alice"]).is_empty(), "it was not meant");
    server.command(&["user", "delete", "alice", "--yes"]);
    assert!(!refreshes(&server, &tokens).await);
    let mut browser = server.browser();
    let page = browser.page(&az()).await;
    let refused = browser.submit_login(&page, "alice", PASSWORD).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert!(server.refusal(&["user", "show", "alice"]).contains("expected a user of this server"));
    assert_eq!(server.json(&["user", "list"]).as_array().unwrap().len(), 1, "bob");
    assert_eq!(server.events("user.deleted")[0]["user_id"], *id);
    assert_eq!(server.events("consent.given")[0]["user_id"], *id);
    // a name that is free again is another user
    server.command_with(&["user", "add", "alice"], "correct horse battery\n");
    assert_ne!(server.json(&["user", "show", "alice"])["id"], *id);
    assert!(!refreshes(&server, &tokens).await);
}

#[tokio::test]
async fn what_is_said_about_a_user_can_be_changed() {
    let server = Server::start().await;
    let change = ["user", "set", "alice", "--email", "a@b.test", "--verified", "true"];
    server.command(&[&change[..], &["--attribute", "tier=gold", "--attribute", "org=x y"]].concat());
    let shown = server.json(&["user", "show", "alice"]);
    assert_eq!((&shown["email"], &shown["email_verified"]), (&"a@b.test".into(), &true.into()));
    assert_eq!(shown["attributes"], serde_json::json!({"org": "x y", "tier": "gold"}));
    server.command(&["user", "set", "alice", "--no-attribute", "tier", "--email", "c@d.test"]);
    let text = server.command(&["user", "show", "alice"]);
    assert!(text.lines().any(|line| line == "attribute: org=x y"), "{text}");
    assert!(!text.contains("tier") && text.contains("c@d.test") && !text.contains("verified"), "{text}");
    assert!(server.refusal(&["user", "set", "alice", "--no-attribute", "tier"]).contains("`tier`"));
    assert!(server.refusal(&["user", "set", "alice", "--email", "nothing"]).contains("mail address"));
    let events = server.events("user.changed");
    assert_eq!(events[0]["detail"]["changed"], "email verified tier org");
    assert!(
        !events.iter().any(|event| event.to_string().contains("gold")),
        "which, and not what: {events:?}"
    );
}

/// G11: by id, by user, by client, and by both.
#[tokio::test]
async fn grants_are_listed_and_ended_at_once() {
    let server = Server::start().await;
    let of_alice = [server.tokens().await, server.tokens().await];
    server.clock.advance_seconds(1);
    let two = az().with("client_id", "pub2").with("redirect_uri", "https://two.test/cb");
    let code = server.code(&two).await;
    let redeemed = redeem(&code).with("client_id", "pub2").with("redirect_uri", "https://two.test/cb");
    let of_two = server.token(&redeemed).await.json();
    let refresh_two = refresh(of_two["refresh_token"].as_str().unwrap()).with("client_id", "pub2");
    let mut bob = server.browser();
    let page = bob.consent_page_of(&az(), "bob").await;
    let code = bob.decide(&page, "allow").await.callback()["code"].clone();
    let of_bob = server.token(&redeem(&code)).await.json();

    let listed = server.json(&["grant", "list", "--user", "alice"]);
    assert_eq!(listed.as_array().unwrap().len(), 3);
    assert_eq!((&listed[0]["client_id"], &listed[0]["resources"][0]), (&"pub2".into(), &R1.into()));
    assert_eq!(listed[0]["scopes"], serde_json::json!(["mcp:read"]));
    let text = server.command(&["grant", "list", "--user", "alice"]);
    assert!(text.starts_with("ID ") && text.contains("Public One") && text.contains("127.0.0.1"), "{text}");

    let id = listed.as_array().unwrap().iter().find(|grant| grant["client_id"] == "pub1").unwrap();
    let revoked = server.json(&["grant", "revoke", "--id", id["id"].as_str().unwrap()]);
    assert_eq!(revoked["revoked"], serde_json::json!([id["id"]]));
    let left = [refreshes(&server, &of_alice[0]).await, refreshes(&server, &of_alice[1]).await];
    assert_eq!(left.iter().filter(|good| **good).count(), 1, "one, and only one: {left:?}");
    let both = server.command(&["grant", "revoke", "--user", "alice", "--client", "pub1"]);
    assert_eq!(both, "1 grant revoked\n");
    assert!(!refreshes(&server, &of_alice[0]).await && !refreshes(&server, &of_alice[1]).await);
    assert_eq!(server.token(&refresh_two).await.status, StatusCode::OK, "the other client's");
    assert_eq!(server.command(&["grant", "revoke", "--user", "alice"]), "1 grant revoked\n");
    assert_eq!(server.token(&refresh_two).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(server.command(&["grant", "revoke", "--user", "alice"]), "there was nothing to revoke\n");
    assert!(refreshes(&server, &of_bob).await, "another user's");
    server.command(&["grant", "revoke", "--client", "pub1"]);
    assert!(!refreshes(&server, &of_bob).await);

    let by = server.events("grant.revoked");
    assert_eq!(by.len(), 4);
    assert!(by.iter().all(|event| event["detail"]["by"] == "operator"), "{by:?}");
    assert!(by.iter().all(|event| event["user_id"].is_string() && event["client_id"].is_string()), "{by:?}");
    assert_eq!(server.json(&["grant", "list", "--user", "alice"]), serde_json::json!([]));
}

#[tokio::test]
async fn clients_are_listed_shown_and_deleted() {
    let server = Server::start().await;
    let id = server.registered("https://self.test/cb").await;
    let unused = server.registered("https://unused.test/cb").await;
    let flow = az().with("client_id", &id).with("redirect_uri", "https://self.test/cb");
    let code = server.code(&flow).await;
    let redeemed = redeem(&code).with("client_id", &id).with("redirect_uri", "https://self.test/cb");
    let tokens = server.token(&redeemed).await.json();
    server.tokens().await;

    let listed = server.json(&["client", "list"]);
    let find =
        |id: &str| listed.as_array().unwrap().iter().find(|client| client["id"] == id).unwrap().clone();
    assert_eq!((&find("pub1")["origin"], &find("pub1")["grants"]), (&"administrator".into(), &1.into()));
    assert!(find("pub1")["last_used_at"].is_i64() && find("conf1")["last_used_at"].is_null());
    assert_eq!((&find(&id)["origin"], &find(&id)["grants"]), (&"registration".into(), &1.into()));
    assert_eq!(find(&unused)["grants"], 0);
    assert_eq!(find("conf1")["authentication"], "client_secret_basic");
    let text = server.command(&["client", "list"]);
    assert!(text.contains("registered itself") && text.contains("configured"), "{text}");
    assert!(!server.command(&["client", "list", "--waiting"]).contains(&id));
    let shown = server.command(&["client", "show", &id]);
    assert!(shown.contains("https://self.test/cb") && shown.contains("Self Made"), "{shown}");

    for refusal in
        [&["client", "show", "nobody"][..], &["client", "delete", "nobody"], &["client", "approve", "nobody"]]
    {
        assert!(server.refusal(refusal).contains("`nobody`"), "{refusal:?}");
    }
    assert!(server.refusal(&["client", "delete", "pub1"]).contains("in the configuration"));
    server.command(&["client", "delete", &id]);
    let again = refresh(tokens["refresh_token"].as_str().unwrap()).with("client_id", &id);
    assert_eq!(server.token(&again).await.json()["error"], "invalid_client");
    server.browser().authorize(&flow).await.assert_page400("it is gone");
    let event = &server.events("client.deleted")[0];
    assert_eq!((&event["client_id"], &event["detail"]["name"]), (&id.into(), &"Self Made".into()));
    server.command(&["client", "approve", &unused]);
    assert_eq!(server.events("client.approved")[0]["client_id"], *unused);
}

#[tokio::test]
async fn a_registration_token_is_shown_once() {
    let server = Server::start().await;
    let made = server.json(&["client", "token", "--note", "for the workshop", "--uses", "3", "--days", "2"]);
    let token = made["token"].as_str().unwrap();
    assert_eq!((token.len(), &made["uses"]), (43, &3.into()));
    let plain = server.command(&["client", "token", "--note", "x"]);
    let bytes = server.database_bytes().await;
    for secret in [token, plain.trim()] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
    let events = server.events("registration-token.created");
    assert_eq!(events[0]["detail"]["note"], "for the workshop");
    assert_eq!((&events[0]["detail"]["uses"], &events[0]["detail"]["days"]), (&"3".into(), &"2".into()));
    assert!(!events[0].to_string().contains(token));
    for bad in [["--uses", "0"], ["--uses", "-1"], ["--days", "0"], ["--days", "367"]] {
        let config = server.dir.path().join("auth-server.toml");
        let refused = run(&config, &["client", "token", "--note", "x", bad[0], bad[1]], "");
        assert_eq!(refused.code, 2, "{bad:?}");
    }
}

#[tokio::test]
async fn registration_tokens_are_listed_and_ended() {
    let server = Server::start().await;
    let made = |note: &str| server.json(&["client", "token", "--note", note, "--uses", "3"]);
    let (workshop, lost) = (made("for the workshop"), made("lost in a mail"));
    let listed = || {
        let tokens = server.json(&["client", "tokens"]);
        tokens
            .as_array()
            .unwrap()
            .iter()
            .map(|token| token["note"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed().len(), 2);
    let text = server.command(&["client", "tokens"]);
    let id = workshop["id"].as_str().unwrap();
    assert!(text.contains(&format!("{id}  for the workshop  3")), "{text}");
    for token in [&workshop, &lost] {
        assert!(!text.contains(token["token"].as_str().unwrap()));
    }
    let config = server.dir.path().join("auth-server.toml");
    let secret = lost["token"].as_str().unwrap();
    for wrong in ["", "nothing", &secret[1..], &id[1..], "-"] {
        let refused = run(&config, &["client", "revoke-token", wrong], "");
        assert_eq!(refused.code, 1, "{wrong}");
        assert!(wrong.len() < 2 || !refused.err.contains(wrong), "it may be a token: {}", refused.err);
    }
    assert_eq!(listed().len(), 2);
    let said = server.command(&["client", "revoke-token", secret]);
    assert!(said.contains("lost in a mail") && !said.contains(secret), "{said}");
    assert_eq!(listed(), ["for the workshop"]);
    server.command(&["client", "revoke-token", id]);
    assert!(listed().is_empty());
    let events = server.events("registration-token.revoked");
    assert_eq!((events.len(), &events[0]["detail"]["token"]), (2, &lost["id"]));
    assert!(!events[0].to_string().contains(secret));
}

#[tokio::test]
async fn resources_are_listed_with_their_scopes() {
    let terms = "provenance = [\"document\"]\nrefresh_token_max_seconds = 100\n\
                 [resources.scopes.a]\ndescription = \"Do a\"\nimplies = [\"b\"]\n[resources.scopes.b]";
    let server = Setup::sole_resource(terms).start().await;
    let listed = server.json(&["resource", "list"]);
    assert_eq!((&listed[0]["url"], &listed[0]["name"]), (&R1.into(), &"Notes".into()));
    let scope = serde_json::json!({"name": "a", "description": "Do a", "implies": ["b"]});
    assert_eq!(listed[0]["scopes"][0], scope);
    assert_eq!((&listed[0]["provenance"][0], &listed[0]["default"]), (&"document".into(), &false.into()));
    let lifetimes = ["access_token_ttl_seconds", "refresh_token_idle_seconds", "refresh_token_max_seconds"];
    assert_eq!(lifetimes.map(|key| listed[0][key].as_i64().unwrap()), [900, 30 * 86_400, 100]);
    assert!(server.command(&["resource", "list"]).contains(&format!("{R1}  Notes  a b")));
}

#[tokio::test]
async fn people_get_what_is_kept_about_them_and_no_secrets() {
    let server = Server::start().await;
    let tokens = server.tokens().await;
    let data: Value = serde_json::from_str(&server.command(&["data", "export", "--user", "alice"])).unwrap();
    assert_eq!((&data["name"], &data["grants"][0]["client_id"]), (&"alice".into(), &"pub1".into()));
    assert_eq!(data["sessions"].as_array().unwrap().len(), 1);
    let kinds: Vec<_> =
        data["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    for kind in ["user.created", "login.succeeded", "consent.given", "user.exported"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    let text = data.to_string();
    for secret in
        ["argon2", tokens["refresh_token"].as_str().unwrap(), tokens["access_token"].as_str().unwrap()]
    {
        assert!(!text.contains(secret), "{secret}");
    }
    assert!(!text.contains("bob"));
    assert!(server.refusal(&["data", "export", "--user", "nobody"]).contains("`nobody`"));
}

#[tokio::test]
async fn the_audit_is_told_and_followed() {
    let server = Server::start().await;
    server.tokens().await;
    let last = server.command(&["audit", "tail", "--count", "2"]);
    let lines: Vec<_> = last.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].starts_with("2027-01-15T08:00:00Z login.succeeded user=alice address=127.0.0.1"),
        "{last}"
    );
    assert!(lines[1].contains(" consent.given user=alice client=pub1 grant="), "{last}");
    assert!(lines[1].contains(" resources=https://gw.test/mcp scopes=mcp:read"), "{last}");

    let mut following = Command::new(env!("CARGO_BIN_EXE_mcp-auth-server"))
        .args(["audit", "tail", "--follow", "--json", "--count", "1", "--config"])
        .arg(server.dir.path().join("auth-server.toml"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&told.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["kind"], "consent.given");
    server.command(&["user", "disable", "bob"]);
    assert_eq!(next()["kind"], "user.disabled");
    let interrupted = Command::new("kill").args(["-INT", &following.id().to_string()]).status().unwrap();
    assert!(interrupted.success() && following.wait().unwrap().success(), "an interruption is its good end");
}

#[tokio::test]
async fn command_lines_without_sense_are_refused() {
    let server = Server::start().await;
    let config = server.dir.path().join("auth-server.toml");
    for arguments in [
        &["user"][..],
        &["user", "show"],
        &["user", "set", "alice"],
        &["user", "set", "alice", "--email", "a@b", "--no-email"],
        &["user", "set", "alice", "--attribute", "x"],
        &["client", "list", "--limit", "0"],
        &["grant", "revoke"],
        &["grant", "revoke", "--id", "x", "--user", "alice"],
        &["grant", "list"],
        &["audit", "tail", "--count", "-1"],
        &["data", "export"],
    ] {
        let refused = run(&config, arguments, "");
        assert!(refused.code == 2 && refused.out.is_empty(), "{arguments:?}: {refused:?}");
    }
    for arguments in [
        &["user", "show", "nobody"][..],
        &["user", "disable", "nobody"],
        &["user", "enable", "a b"],
        &["user", "delete", "nobody", "--yes"],
        &["grant", "list", "--user", "nobody"],
        &["grant", "revoke", "--user", "nobody"],
    ] {
        assert!(server.refusal(arguments).contains("user"), "{arguments:?}");
    }
    for (arguments, said) in [
        (&["grant", "revoke", "--id", "nothing"][..], "expected a grant of this server, but found `nothing`"),
        (&["grant", "revoke", "--client", "nobody"], "expected a client of this server, but found `nobody`"),
        (&["grant", "revoke", "--client", "nobody", "--user", "alice"], "but found `nobody`"),
        (&["client", "approve", "nobody"], "expected a client of this server, but found `nobody`"),
        (&["client", "approve", "pub1"], "client `pub1` is in the configuration"),
    ] {
        let refused = server.refusal(arguments);
        assert!(refused.contains(said), "{arguments:?}: {refused}");
    }
    for kind in ["user.disabled", "user.deleted", "grant.revoked"] {
        assert!(server.events(kind).is_empty(), "{kind}: nothing happened");
    }
}

#[test]
fn it_says_what_it_was_built_from() {
    let said = Command::new(env!("CARGO_BIN_EXE_mcp-auth-server")).arg("--version").output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    let names: Vec<_> = text.lines().skip(1).map(|line| line.split_once(": ").unwrap().0).collect();
    assert_eq!(text.lines().next(), Some(concat!("mcp-auth-server ", env!("CARGO_PKG_VERSION"))));
    assert_eq!(names, ["commit", "date", "rustc", "target", "profile"]);
}

/// What is done to an empty database at a mistaken path is done to nobody.
#[tokio::test]
async fn a_command_makes_no_database_where_there_is_none() {
    let server = Server::start().await;
    let elsewhere = server.dir.path().join("mistyped.db");
    let at_elsewhere = |arguments: &[&str], more: &[(&str, &str)]| {
        let output = Command::new(env!("CARGO_BIN_EXE_mcp-auth-server"))
            .args(arguments)
            .arg("--config")
            .arg(server.dir.path().join("auth-server.toml"))
            .env("MCP_AUTH_SERVER__DATABASE__URL", format!("sqlite://{}", elsewhere.display()))
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for arguments in [
        &["user", "list"][..],
        &["user", "show", "alice"],
        &["client", "list"],
        &["client", "token", "--note", "x"],
        &["grant", "revoke", "--user", "alice"],
        &["key", "list"],
        &["key", "rotate", "--at-once"],
        &["audit", "tail"],
        &["data", "export", "--user", "alice"],
    ] {
        let (code, said) = at_elsewhere(arguments, &[]);
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        assert!(said.contains("there is no database `") && said.contains("mistyped.db`"), "{said}");
    }
    let (code, said) = at_elsewhere(&["run"], &[("MCP_AUTH_SERVER__DATABASE__MIGRATE", "false")]);
    assert!(code == Some(1) && said.contains("there is no database"), "{said}");
    assert!(!elsewhere.exists());
    assert_eq!(at_elsewhere(&["migrate"], &[]).0, Some(0));
    assert_eq!(at_elsewhere(&["user", "list"], &[]).0, Some(0));
}
