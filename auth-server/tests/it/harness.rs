//! A server to test, and a browser and a client to test it with.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use mcp_auth_server::{
    Config, Running, add_user,
    outside::{ManualClock, Outside, Resolver, SystemRng, Timestamp},
    start_with,
};
use reqwest::{Method, StatusCode, header, header::HeaderMap};
use tempfile::TempDir;
use tokio::net::TcpListener;
use url::{Url, form_urlencoded};

use crate::postgres;

pub(crate) const START: i64 = 1_800_000_000;
pub(crate) const R1: &str = "https://gw.test/mcp";
pub(crate) const R2: &str = "https://gw.test/other";
/// RFC 7636 appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub(crate) const CONF1_SECRET: &str = "conf1-secret-0123456789-0123456789";
/// How long what happens in the background may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const PASSWORD: &str = "correct horse battery";

/// What the tests change about the server.
pub(crate) struct Setup {
    pub(crate) server: String,
    pub(crate) issuer: Option<String>,
    pub(crate) resources: String,
    pub(crate) clients: String,
    pub(crate) more: String,
    pub(crate) resolver: Option<Arc<dyn Resolver>>,
    pub(crate) files: Vec<(&'static str, String)>,
    /// What the server's clock shows when it starts.
    pub(crate) start_at: i64,
    /// The port by which the server reaches PostgreSQL, where that is not PostgreSQL's own.
    pub(crate) through: Option<u16>,
}

impl Default for Setup {
    fn default() -> Self {
        let resources = format!(
            r#"
[[resources]]
url = "{R1}"
name = "Notes"
[resources.scopes."mcp:read"]
description = "Read your notes"
[resources.scopes."mcp:write"]
description = "Change your notes"

[[resources]]
url = "{R2}"
name = "Other"
[resources.scopes."other:read"]

[[resources]]
url = "https://gw2.test"
name = "Root"
[resources.scopes."root:read"]

[[resources]]
url = "https://gw3.test/"
name = "Slash"
[resources.scopes."slash:read"]
"#
        );
        Self {
            server: String::new(),
            issuer: None,
            resources,
            clients: String::new(),
            more: String::new(),
            resolver: None,
            files: Vec::new(),
            start_at: START,
            through: None,
        }
    }
}

impl Setup {
    /// A single resource, with what is given for its scopes.
    pub(crate) fn sole_resource(scopes: &str) -> Self {
        Self {
            resources: format!("[[resources]]\nurl = \"{R1}\"\nname = \"Notes\"\n{scopes}\n"),
            ..Self::default()
        }
    }

    pub(crate) async fn start(self) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = format!("http://{}", listener.local_addr().unwrap());
        let issuer = self.issuer.clone().unwrap_or_else(|| at.clone());
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("conf1.secret"), CONF1_SECRET).unwrap();
        for (name, content) in &self.files {
            std::fs::write(dir.path().join(name), content).unwrap();
        }
        let file = dir.path().join("auth-server.toml");
        let database = postgres::database_of_its_own().await;
        let toml = format!(
            r#"
[server]
issuer = "{issuer}"
{server}
{database}
{resources}
[clients]
{clients}

[[clients.registered]]
id = "pub1"
name = "Public One"
redirect_uris = ["https://app.test/cb", "http://127.0.0.1/cb", "http://localhost:3000/callback"]

[[clients.registered]]
id = "pub2"
redirect_uris = ["https://two.test/cb"]

[[clients.registered]]
id = "conf1"
redirect_uris = ["https://conf.test/cb"]
secret_file = "conf1.secret"
token_endpoint_auth_method = "client_secret_basic"
{more}
"#,
            server = self.server,
            database = database.as_ref().map_or_else(String::new, |url| {
                let mut url = Url::parse(url).unwrap();
                if self.through.is_some() {
                    url.set_port(self.through).unwrap();
                }
                format!("[database]\nurl = \"{url}\"")
            }),
            resources = self.resources,
            clients = self.clients,
            more = self.more,
        );
        std::fs::write(&file, toml).unwrap();
        let load = || Config::load(&file).unwrap_or_else(|error| panic!("{error}"));
        for name in ["alice", "bob"] {
            add_user(&load(), name, &PASSWORD.into()).await.unwrap();
        }
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(self.start_at)));
        let outside = Outside {
            clock: Arc::clone(&clock) as _,
            rng: Arc::new(SystemRng),
            resolver: self.resolver.unwrap_or_else(|| Outside::default().resolver),
        };
        let running = start_with(load(), vec![listener], outside).await.unwrap();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        let prefix = Url::parse(&issuer).unwrap().path().trim_end_matches('/').to_owned();
        let dir = Arc::new(dir);
        Server { at, issuer, prefix, dir, database, clock, running, http }
    }
}

pub(crate) struct Server {
    /// Where it is reached, which is not the issuer where the issuer is https.
    pub(crate) at: String,
    pub(crate) issuer: String,
    pub(crate) prefix: String,
    pub(crate) dir: Arc<TempDir>,
    /// The PostgreSQL database, where these tests run on one.
    pub(crate) database: Option<String>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) running: Running,
    pub(crate) http: reqwest::Client,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Setup::default().start().await
    }

    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        self.request_at(&self.at, method, path, headers, body).await
    }

    /// A request to another listener.
    pub(crate) async fn request_at(
        &self,
        at: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let mut request = self.http.request(method, format!("{at}{path}")).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::read(request.send().await.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &[], Vec::new()).await
    }

    /// POSTs a form.
    pub(crate) async fn post(&self, path: &str, form: &Form) -> Answer {
        self.post_with(path, &[], form).await
    }

    pub(crate) async fn post_with(&self, path: &str, headers: &[(&str, &str)], form: &Form) -> Answer {
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        all.extend_from_slice(headers);
        self.request(Method::POST, &format!("{}{path}", self.prefix), &all, form.encoded().into_bytes()).await
    }

    pub(crate) async fn token(&self, form: &Form) -> Answer {
        self.post("/oauth2/token", form).await
    }

    pub(crate) async fn register(&self, body: &str) -> Answer {
        let headers = [("content-type", "application/json")];
        self.request(Method::POST, &format!("{}/oauth2/register", self.prefix), &headers, body.into()).await
    }

    /// The id of a public client that registered itself.
    pub(crate) async fn registered(&self, redirect_uri: &str) -> String {
        let body = serde_json::json!({
            "client_name": "Self Made",
            "redirect_uris": [redirect_uri],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "none",
        });
        let answer = self.register(&body.to_string()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.json()["client_id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn browser(&self) -> Browser<'_> {
        Browser { server: self, cookies: BTreeMap::new() }
    }

    /// Signs alice in, allows, and returns the code.
    pub(crate) async fn code(&self, az: &Form) -> String {
        self.browser().code(az).await
    }

    /// A whole flow of `pub1`: the answer of the token endpoint.
    pub(crate) async fn tokens(&self) -> serde_json::Value {
        let code = self.code(&az()).await;
        let answer = self.token(&redeem(&code)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.json()
    }

    /// Another server on the same database, at a port of its own, that calls itself by the same name.
    pub(crate) async fn replica(&self) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = format!("http://{}", listener.local_addr().unwrap());
        let config = Config::load(&self.dir.path().join("auth-server.toml")).unwrap();
        let outside = Outside { clock: Arc::clone(&self.clock) as _, ..Outside::default() };
        let running = start_with(config, vec![listener], outside).await.unwrap();
        Self {
            at,
            issuer: self.issuer.clone(),
            prefix: self.prefix.clone(),
            dir: Arc::clone(&self.dir),
            database: self.database.clone(),
            clock: Arc::clone(&self.clock),
            running,
            http: self.http.clone(),
        }
    }

    /// Stops the server and starts it again, on the same port and database.
    pub(crate) async fn restart(self) -> Self {
        self.running.shutdown();
        self.running.stopped().await.unwrap();
        let listener = TcpListener::bind(self.at.trim_start_matches("http://")).await.unwrap();
        let config = Config::load(&self.dir.path().join("auth-server.toml")).unwrap();
        let outside = Outside { clock: Arc::clone(&self.clock) as _, ..Outside::default() };
        let running = start_with(config, vec![listener], outside).await.unwrap();
        Self { running, ..self }
    }

    /// The id of a user.
    pub(crate) async fn user(&self, name: &str) -> String {
        self.sql("UPDATE users SET name = name WHERE name = $1 RETURNING id", &[name]).await.unwrap()
    }

    /// What the administrator notes about a user.
    pub(crate) async fn set_email(&self, user_id: &str, email: &str, verified: bool) {
        let statement = if verified {
            "UPDATE users SET email = $2, email_verified = 1 WHERE id = $1 RETURNING id"
        } else {
            "UPDATE users SET email = $2, email_verified = 0 WHERE id = $1 RETURNING id"
        };
        self.sql(statement, &[user_id, email]).await.unwrap();
    }

    pub(crate) async fn disable(&self, user_id: &str) {
        let statement = "UPDATE users SET disabled_at = 1 WHERE id = $1 RETURNING id";
        self.sql(statement, &[user_id]).await.unwrap();
    }

    /// Runs a statement on the server's database; what it returns is text.
    pub(crate) async fn sql(&self, statement: &'static str, values: &[&str]) -> Option<String> {
        use sqlx::{Connection as _, Row as _};

        if let Some(url) = &self.database {
            let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
            let query = values.iter().fold(sqlx::query(statement), |query, value| query.bind(*value));
            return query.fetch_optional(&mut connection).await.unwrap().map(|row| row.get(0));
        }
        let url = format!("sqlite://{}", self.dir.path().join("auth-server.db").display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let query = values.iter().fold(sqlx::query(statement), |query, value| query.bind(*value));
        query.fetch_optional(&mut connection).await.unwrap().map(|row| row.get(0))
    }

    /// What the audit says, the oldest first.
    pub(crate) async fn audit(&self) -> Vec<serde_json::Value> {
        let statement = if self.database.is_some() {
            "SELECT COALESCE(json_agg(e ORDER BY sequence), '[]')::text FROM audit_events e"
        } else {
            "SELECT json_group_array(json_object('kind', kind, 'user_id', user_id, 'client_id', client_id, \
             'grant_id', grant_id, 'address', address, 'detail', detail)) \
             FROM (SELECT * FROM audit_events ORDER BY sequence)"
        };
        let text = self.sql(statement, &[]).await.unwrap();
        let mut events: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        for event in &mut events {
            let detail = serde_json::from_str(event["detail"].as_str().unwrap()).unwrap();
            event["detail"] = detail;
        }
        events
    }

    /// What is stored, in clear: for looking what must not be there.
    pub(crate) async fn database_bytes(&self) -> Vec<u8> {
        if let Some(url) = &self.database {
            return postgres::everything(url).await;
        }
        let mut bytes = Vec::new();
        for entry in std::fs::read_dir(self.dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with("auth-server.db") {
                bytes.extend(std::fs::read(path).unwrap());
            }
        }
        bytes
    }
}

/// Asks until there is an answer; `what` names it when there is none in time.
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = probe().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::task::yield_now().await;
    }
}

/// The claims of a JWT, not verified.
pub(crate) fn claims(token: &str) -> serde_json::Value {
    part(token, 1)
}

pub(crate) fn part(token: &str, index: usize) -> serde_json::Value {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, body: String::from_utf8(response.bytes().await.unwrap().to_vec()).unwrap() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {} {}", self.status, self.body))
    }

    pub(crate) fn location(&self) -> Url {
        let location =
            self.header("location").unwrap_or_else(|| panic!("no redirect: {} {}", self.status, self.body));
        Url::parse(location).unwrap_or_else(|_| panic!("not absolute: {location}"))
    }

    /// The parameters of a redirect to the client.
    pub(crate) fn callback(&self) -> BTreeMap<String, String> {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.body);
        let mut parameters = BTreeMap::new();
        for (name, value) in self.location().query_pairs() {
            assert!(
                parameters.insert(name.clone().into_owned(), value.into_owned()).is_none(),
                "{name} twice"
            );
        }
        parameters
    }

    /// `page400`: an HTML page that leads nowhere.
    #[track_caller]
    pub(crate) fn assert_page400(&self, case: &str) {
        assert_eq!(self.status, StatusCode::BAD_REQUEST, "{case}: {}", self.body);
        assert!(self.header("content-type").unwrap().starts_with("text/html"), "{case}");
        assert!(self.header("location").is_none(), "{case}");
        assert!(!self.body.contains("http-equiv") && !self.body.contains("<script"), "{case}");
        assert!(!self.body.contains("<a "), "{case}: {}", self.body);
    }

    /// `err(X)`: a redirect to the client with an error, this server's name, the state, and no code.
    #[track_caller]
    pub(crate) fn assert_error_redirect(&self, server: &Server, error: &str, case: &str) {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{case}: {}", self.body);
        let callback = self.callback();
        assert_eq!(callback.get("error").map(String::as_str), Some(error), "{case}");
        assert_eq!(callback.get("iss"), Some(&server.issuer), "{case}");
        assert_eq!(callback.get("state").map(String::as_str), Some("s1"), "{case}");
        assert!(!callback.contains_key("code"), "{case}");
    }

    /// `J400(x)` and its relatives.
    #[track_caller]
    pub(crate) fn assert_json_error(&self, status: u16, error: &str, case: &str) {
        assert_eq!(self.status.as_u16(), status, "{case}: {}", self.body);
        assert_eq!(self.json()["error"], error, "{case}: {}", self.body);
        assert_eq!(self.header("cache-control"), Some("no-store"), "{case}");
    }

    /// The page without the reference, which is another one each time.
    pub(crate) fn body_without_reference(&self) -> String {
        let mark = "Reference: <code>";
        let start =
            self.body.find(mark).unwrap_or_else(|| panic!("no reference: {}", self.body)) + mark.len();
        let end = start + self.body[start..].find('<').unwrap();
        assert_eq!(end - start, 9, "{}", self.body);
        format!("{}{}", &self.body[..start], &self.body[end..])
    }

    /// The value of a hidden input.
    pub(crate) fn input(&self, name: &str) -> String {
        let mark = format!("name=\"{name}\" value=\"");
        let start =
            self.body.find(&mark).unwrap_or_else(|| panic!("no input {name}: {} {}", self.status, self.body));
        let rest = &self.body[start + mark.len()..];
        rest[..rest.find('"').unwrap()].to_owned()
    }

    pub(crate) fn is_login_page(&self) -> bool {
        self.body.contains("name=\"password\"")
    }

    pub(crate) fn is_consent_page(&self) -> bool {
        self.body.contains("value=\"allow\"")
    }
}

/// Parameters of a query or a form, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Form(pub(crate) Vec<(String, String)>);

impl Form {
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// Replaces a parameter.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        match self.0.iter_mut().find(|(own, _)| own == name) {
            Some(pair) => value.clone_into(&mut pair.1),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    #[must_use]
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.retain(|(own, _)| own != name);
        self
    }

    /// Adds a parameter even where there is one of the name.
    #[must_use]
    pub(crate) fn and(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn encoded(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }
}

/// `AZ{}`: an authorization request of `pub1` that is right.
pub(crate) fn az() -> Form {
    Form::of(&[
        ("response_type", "code"),
        ("client_id", "pub1"),
        ("redirect_uri", "https://app.test/cb"),
        ("scope", "mcp:read"),
        ("state", "s1"),
        ("resource", R1),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ])
}

/// `TK{}`: the redemption of a code of `pub1`.
pub(crate) fn redeem(code: &str) -> Form {
    Form::of(&[
        ("grant_type", "authorization_code"),
        ("client_id", "pub1"),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", "https://app.test/cb"),
    ])
}

pub(crate) fn refresh(token: &str) -> Form {
    Form::of(&[("grant_type", "refresh_token"), ("client_id", "pub1"), ("refresh_token", token)])
}

/// A browser with cookies, that follows redirects within the server and stops at those that leave it.
pub(crate) struct Browser<'s> {
    pub(crate) server: &'s Server,
    pub(crate) cookies: BTreeMap<String, String>,
}

impl Browser<'_> {
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        form: Option<&Form>,
    ) -> Answer {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let mut all = vec![("cookie", cookies.as_str())];
        if form.is_some() {
            all.push(("content-type", "application/x-www-form-urlencoded"));
        }
        all.extend_from_slice(headers);
        let body = form.map(Form::encoded).unwrap_or_default().into_bytes();
        let answer = self.server.request(method, path, &all, body).await;
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            let (pair, attributes) = cookie.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], None).await
    }

    /// Follows redirects to pages of the server itself.
    pub(crate) async fn follow(&mut self, mut answer: Answer) -> Answer {
        for _ in 0..5 {
            match answer.header("location").map(str::to_owned) {
                Some(path) if path.starts_with('/') && !path.starts_with("//") => {
                    answer = self.get(&path).await;
                }
                _ => return answer,
            }
        }
        panic!("a circle of redirects");
    }

    /// `GET /oauth2/authorize`, one request, as a browser sends it that an app on the device opened.
    pub(crate) async fn authorize(&mut self, az: &Form) -> Answer {
        let opened =
            [("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        self.authorize_with(&opened, az).await
    }

    pub(crate) async fn authorize_with(&mut self, headers: &[(&str, &str)], az: &Form) -> Answer {
        let path = format!("{}/oauth2/authorize?{}", self.server.prefix, az.encoded());
        self.send(Method::GET, &path, headers, None).await
    }

    /// The page that an authorization request ends at.
    pub(crate) async fn page(&mut self, az: &Form) -> Answer {
        let answer = self.authorize(az).await;
        self.follow(answer).await
    }

    pub(crate) async fn submit_login(&mut self, page: &Answer, username: &str, password: &str) -> Answer {
        let form = Form::of(&[
            ("transaction", &page.input("transaction")),
            ("csrf", &page.input("csrf")),
            ("username", username),
            ("password", password),
        ]);
        let path = format!("{}/login", self.server.prefix);
        self.send(Method::POST, &path, &[("sec-fetch-site", "same-origin"), ("origin", "null")], Some(&form))
            .await
    }

    /// Signs in on `page`, and goes on to what comes then.
    pub(crate) async fn login(&mut self, page: &Answer, username: &str) -> Answer {
        let answer = self.submit_login(page, username, PASSWORD).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        self.follow(answer).await
    }

    /// The consent page, after signing in where that is needed.
    pub(crate) async fn consent_page(&mut self, az: &Form) -> Answer {
        self.consent_page_of(az, "alice").await
    }

    pub(crate) async fn consent_page_of(&mut self, az: &Form, username: &str) -> Answer {
        let page = self.page(az).await;
        let page = if page.is_login_page() { self.login(&page, username).await } else { page };
        assert!(page.is_consent_page(), "{} {}", page.status, page.body);
        page
    }

    pub(crate) fn decision(page: &Answer, decision: &str) -> Form {
        Form::of(&[
            ("transaction", &page.input("transaction")),
            ("csrf", &page.input("csrf")),
            ("decision", decision),
        ])
    }

    pub(crate) async fn decide(&mut self, page: &Answer, decision: &str) -> Answer {
        let path = format!("{}/consent", self.server.prefix);
        self.send(
            Method::POST,
            &path,
            &[("sec-fetch-site", "same-origin")],
            Some(&Self::decision(page, decision)),
        )
        .await
    }

    /// The code at the end of the flow; where an earlier consent stands, without a consent page.
    pub(crate) async fn code(&mut self, az: &Form) -> String {
        let page = self.page(az).await;
        let page = if page.is_login_page() { self.login(&page, "alice").await } else { page };
        let answer = if page.is_consent_page() { self.decide(&page, "allow").await } else { page };
        let callback = answer.callback();
        callback.get("code").unwrap_or_else(|| panic!("{callback:?}")).clone()
    }

    pub(crate) async fn signed_in(mut self) -> Self {
        let page = self.page(&az()).await;
        self.login(&page, "alice").await;
        self
    }
}
