//! Servers whose database is down: cut off, silent, gone or locked by somebody else.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use sqlx::{Connection as _, Executor as _};

use crate::{
    devices,
    harness::{
        Answer, Browser, CONF1_SECRET, Form, PASSWORD, R1, Server, Setup, az, claims, eventually, redeem,
        refresh,
    },
    postgres,
    relay::{Relay, Way},
};

/// Everything that an answer takes when the database does not give one: to connect, and to work.
const SOON: Duration = Duration::from_secs(6);

/// One request, ready to be sent.
struct Ask {
    what: &'static str,
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
    is_page: bool,
    /// Whether it reads only, so that a lock against writing is no matter of its own.
    reads: bool,
}

impl Ask {
    async fn send(&self, server: &Server) -> Answer {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        server.request(self.method.clone(), &self.path, &headers, self.body.clone().into_bytes()).await
    }
}

fn basic(id: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{CONF1_SECRET}")))
}

fn cookies(browser: &Browser<'_>) -> String {
    let pairs: Vec<_> = browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("; ")
}

/// What is under way when the database goes.
struct UnderWay {
    asks: Vec<Ask>,
    code: String,
    refresh_token: String,
    consent: (String, Form),
    login: (String, Form),
}

#[expect(clippy::too_many_lines, reason = "a list of all endpoints")]
async fn under_way(server: &Server) -> UnderWay {
    let tokens = server.tokens().await;
    let token = |name: &str| tokens[name].as_str().unwrap().to_owned();
    let (access, refresh_token) = (token("access_token"), token("refresh_token"));
    let userinfo = {
        let code = server.code(&az().with("scope", "openid mcp:read")).await;
        let answer = server.token(&redeem(&code)).await.json();
        answer["access_token"].as_str().unwrap().to_owned()
    };
    let code = server.code(&az()).await;
    let status = claims(&access)["status"]["status_list"]["uri"].as_str().unwrap().to_owned();
    let status = status.strip_prefix(&server.issuer).unwrap().to_owned();
    let asked = devices::ask(server).await.json();
    let text = |name: &str| asked[name].as_str().unwrap().to_owned();

    let mut stranger = server.browser();
    let login_page = stranger.page(&az()).await;
    let login = Form::of(&[
        ("transaction", &login_page.input("transaction")),
        ("csrf", &login_page.input("csrf")),
        ("username", "bob"),
        ("password", PASSWORD),
    ]);
    let mut user = server.browser().signed_in().await;
    let consent_page = user.consent_page(&az().with("prompt", "consent")).await;
    let consent = Browser::decision(&consent_page, "allow");
    let account = user.get("/account").await;
    let sign_out = Form::of(&[("csrf", &account.input("csrf")), ("action", "end-sessions")]);
    let password_page = user.get("/account/password").await;
    let password = Form::of(&[
        ("csrf", &password_page.input("csrf")),
        ("current", PASSWORD),
        ("new", "another horse battery"),
        ("again", "another horse battery"),
    ]);
    let device_page = user.get(&format!("/device?user_code={}", text("user_code"))).await;
    let device = Form::of(&[
        ("csrf", &device_page.input("csrf")),
        ("user_code", &device_page.input("user_code")),
        ("decision", "allow"),
        ("with_me", "1"),
    ]);
    let (strangers, users) = (cookies(&stranger), cookies(&user));

    let get = |what, path: String, headers: Vec<(&'static str, String)>, is_page| Ask {
        what,
        method: Method::GET,
        path,
        headers,
        body: String::new(),
        is_page,
        reads: true,
    };
    let page = |what, path: &str, cookie: &str| {
        get(what, path.to_owned(), vec![("cookie", cookie.to_owned())], true)
    };
    let form = |what, path: &str, headers: &[(&'static str, &str)], form: &Form, is_page| Ask {
        what,
        method: Method::POST,
        path: path.to_owned(),
        headers: [("content-type", "application/x-www-form-urlencoded")]
            .iter()
            .chain(headers)
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        body: form.encoded(),
        is_page,
        reads: false,
    };
    let posted = |what, path: &str, cookie: &str, sent: &Form| {
        form(what, path, &[("cookie", cookie), ("sec-fetch-site", "same-origin")], sent, true)
    };
    let reading = |ask: Ask| Ask { reads: true, ..ask };
    let in_transaction =
        |path: &str, page: &Answer| format!("{path}?transaction={}", page.input("transaction"));
    let to_token = |what, sent: &Form| form(what, "/oauth2/token", &[], sent, false);
    let authorize = format!("/oauth2/authorize?{}", az().encoded());
    let json = r#"{"redirect_uris":["https://new.test/cb"],"token_endpoint_auth_method":"none"}"#;
    let introspection = Form::of(&[("token", &access)]);
    let revocation = Form::of(&[("client_id", "pub1"), ("token", &userinfo)]);
    let poll = Form::of(&[
        ("grant_type", devices::GRANT),
        ("client_id", "tv"),
        ("device_code", &text("device_code")),
    ]);
    let asks = vec![
        Ask { reads: false, ..page("authorize", &authorize, &strangers) },
        page("login", &in_transaction("/login", &login_page), &strangers),
        posted("sign in", "/login", &strangers, &login),
        page("consent", &in_transaction("/consent", &consent_page), &users),
        posted("allow", "/consent", &users, &consent),
        page("account", "/account", &users),
        posted("sign out", "/account", &users, &sign_out),
        page("password", "/account/password", &users),
        posted("new password", "/account/password", &users, &password),
        page("device", &format!("/device?user_code={}", text("user_code")), &users),
        posted("let the device in", "/device", &users, &device),
        to_token("redeem", &redeem(&code)),
        to_token("refresh", &refresh(&refresh_token)),
        to_token("poll", &poll),
        reading(form(
            "introspect",
            "/oauth2/introspect",
            &[("authorization", &basic("rs1"))],
            &introspection,
            false,
        )),
        form("revoke", "/oauth2/revoke", &[], &revocation, false),
        form("push", "/oauth2/par", &[], &az(), false),
        form(
            "ask for a device",
            "/oauth2/device",
            &[],
            &Form::of(&[("client_id", "tv"), ("scope", "mcp:read"), ("resource", R1)]),
            false,
        ),
        get(
            "userinfo",
            "/oauth2/userinfo".to_owned(),
            vec![("authorization", format!("Bearer {userinfo}"))],
            false,
        ),
        Ask {
            what: "register",
            method: Method::POST,
            path: "/oauth2/register".to_owned(),
            headers: vec![("content-type", "application/json".to_owned())],
            body: json.to_owned(),
            is_page: false,
            reads: false,
        },
        get("status", status, Vec::new(), false),
    ];
    UnderWay { asks, code, refresh_token, consent: (users, consent), login: (strangers, login) }
}

fn assert_unavailable(ask: &Ask, answer: &Answer, case: &str) {
    let case = format!("{}, {case}", ask.what);
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{case}: {}", answer.body);
    let wait: u32 = answer.header("retry-after").unwrap_or_else(|| panic!("{case}")).parse().unwrap();
    assert!((1..=60).contains(&wait), "{case}: {wait}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{case}");
    if ask.is_page {
        assert!(answer.header("content-type").unwrap().starts_with("text/html"), "{case}");
    } else {
        assert_eq!(answer.json()["error"], "temporarily_unavailable", "{case}");
    }
    let said = answer.body.to_ascii_lowercase();
    for inner in ["sql", ".db", "select ", "insert ", "postgres", "/tmp", "pool", "connection", "panicked"] {
        assert!(!said.contains(inner), "{case}: {inner} in {said}");
    }
}

/// What nobody may have changed.
async fn rows(server: &Server) -> Vec<i64> {
    let mut counts = Vec::new();
    for statement in [
        "SELECT CAST(COUNT(*) AS TEXT) FROM grants",
        "SELECT CAST(COUNT(*) AS TEXT) FROM grants WHERE revoked_at IS NOT NULL",
        "SELECT CAST(COUNT(*) AS TEXT) FROM access_tokens",
        "SELECT CAST(COUNT(*) AS TEXT) FROM refresh_tokens",
        "SELECT CAST(COUNT(*) AS TEXT) FROM codes WHERE redeemed_at IS NULL",
        "SELECT CAST(COUNT(*) AS TEXT) FROM sessions",
        "SELECT CAST(COUNT(*) AS TEXT) FROM transactions",
        "SELECT CAST(COUNT(*) AS TEXT) FROM pushed_requests",
        "SELECT CAST(COUNT(*) AS TEXT) FROM clients",
        "SELECT CAST(COUNT(*) AS TEXT) FROM consents",
        "SELECT CAST(COUNT(*) AS TEXT) FROM devices",
        "SELECT CAST(COUNT(*) AS TEXT) FROM devices WHERE state = 'waiting'",
    ] {
        counts.push(server.sql(statement, &[]).await.unwrap().parse().unwrap());
    }
    counts
}

/// Asks everything while the database is away; only `those` need it.
async fn assert_says_so(server: &Server, under_way: &UnderWay, those: impl Fn(&Ask) -> bool, case: &str) {
    let asked = under_way.asks.iter().filter(|ask| those(ask));
    let answers = asked.map(async |ask| {
        let started = Instant::now();
        let answer = ask.send(server).await;
        assert_unavailable(ask, &answer, case);
        let took = started.elapsed();
        assert!(took < SOON, "{}, {case}: {took:?}", ask.what);
    });
    join_all(answers).await;
    for path in ["/oauth2/jwks", "/.well-known/oauth-authorization-server"] {
        assert_eq!(server.get(path).await.status, StatusCode::OK, "{path}, {case}: needs no database");
    }
}

/// Goes on with what was under way.
async fn assert_goes_on(server: &Server, under_way: UnderWay, case: &str) {
    eventually("the database to be back", async || {
        let answer = under_way.asks.iter().find(|ask| ask.what == "login").unwrap().send(server).await;
        (answer.status == StatusCode::OK).then_some(())
    })
    .await;
    let post = async |path: &str, (cookies, form): &(String, Form)| {
        let headers = [("cookie", cookies.as_str()), ("sec-fetch-site", "same-origin")];
        server.post_with(path, &headers, form).await
    };
    assert_eq!(server.token(&redeem(&under_way.code)).await.status, StatusCode::OK, "{case}: the code");
    let renewed = server.token(&refresh(&under_way.refresh_token)).await;
    assert_eq!(renewed.status, StatusCode::OK, "{case}: {}", renewed.body);
    assert!(post("/consent", &under_way.consent).await.callback().contains_key("code"), "{case}");
    assert_eq!(post("/login", &under_way.login).await.status, StatusCode::SEE_OTHER, "{case}");
}

fn setup() -> Setup {
    let mut setup = devices::with_devices();
    let more = format!(
        "[[clients.registered]]\nid = \"rs1\"\nsecret_file = \"conf1.secret\"\n\
         grant_types = []\nserves = [\"{R1}\"]\n"
    );
    setup.more.push_str(&more);
    setup
}

/// E16
#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_a_server_says_so_soon_and_goes_on_when_it_is_back() {
    match postgres::database_of_its_own().await {
        Some(database) => on_postgres(database).await,
        None => on_sqlite().await,
    }
}

async fn on_postgres(database: String) {
    let url = url::Url::parse(&database).unwrap();
    let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
    let target = tokio::net::lookup_host(target).await.unwrap().next().unwrap();
    for way in [Way::Closed, Way::Silent] {
        let relay = Relay::to(target).await;
        let server = Setup { through: Some(relay.port), ..setup() }.start().await;
        let under_way = under_way(&server).await;
        let before = rows(&server).await;
        relay.set(way);
        assert_says_so(&server, &under_way, |_| true, &format!("{way:?}")).await;
        relay.set(Way::Open);
        assert_eq!(rows(&server).await, before, "{way:?}: nothing was begun");
        assert_goes_on(&server, under_way, &format!("{way:?}")).await;
    }
}

async fn on_sqlite() {
    let server = setup().start().await;
    let files = ["auth-server.db", "auth-server.db-wal", "auth-server.db-shm"];
    let away = server.dir.path().join("away");
    std::fs::create_dir(&away).unwrap();

    let gone = under_way(&server).await;
    let before = rows(&server).await;
    for file in files {
        std::fs::rename(server.dir.path().join(file), away.join(file)).unwrap();
    }
    assert_says_so(&server, &gone, |_| true, "gone").await;
    assert!(!server.dir.path().join(files[0]).exists(), "no empty one was made in its place");
    // another one is not taken for it
    std::fs::write(server.dir.path().join(files[0]), "").unwrap();
    assert_says_so(&server, &gone, |_| true, "replaced").await;
    for file in files {
        std::fs::rename(away.join(file), server.dir.path().join(file)).unwrap();
    }
    assert_eq!(rows(&server).await, before, "nothing was begun");
    assert_goes_on(&server, gone, "gone").await;

    let locked = under_way(&server).await;
    let before = rows(&server).await;
    let url = format!("sqlite://{}", server.dir.path().join(files[0]).display());
    let mut other = sqlx::SqliteConnection::connect(&url).await.unwrap();
    other.execute("BEGIN EXCLUSIVE").await.unwrap();
    assert_says_so(&server, &locked, |ask| !ask.reads, "locked").await;
    other.execute("ROLLBACK").await.unwrap();
    assert_eq!(rows(&server).await, before, "nothing was begun");
    assert_goes_on(&server, locked, "locked").await;
}
