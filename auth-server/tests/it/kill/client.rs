//! Requests to a server that may be killed while it answers, and who sends them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use reqwest::{Method, StatusCode, header};
use tokio::sync::watch;

use crate::harness::{Answer, Browser, Form, PASSWORD, az};

/// One life of the server: from its start until it is killed.
#[derive(Debug, Default)]
pub(super) struct Life {
    answered: watch::Sender<u64>,
    under_way: AtomicU64,
    over: AtomicBool,
    /// Requests that the end left without any answer, and those whose answer it cut.
    pub(super) unanswered: AtomicU64,
    pub(super) cut: AtomicU64,
}

impl Life {
    /// Waits until so many requests were answered.
    pub(super) async fn answered(&self, count: u64) {
        self.answered.subscribe().wait_for(|answered| *answered >= count).await.unwrap();
    }

    pub(super) fn answers(&self) -> u64 {
        *self.answered.borrow()
    }

    /// From now on, requests may fail. Returns how many there are under way.
    pub(super) fn end(&self) -> u64 {
        self.over.store(true, Ordering::SeqCst);
        self.under_way.load(Ordering::SeqCst)
    }
}

/// The server was killed before the whole answer was here.
#[derive(Debug)]
pub(super) struct Lost;

/// Sends requests to the server in one of its lives.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) at: Arc<str>,
    pub(super) http: reqwest::Client,
    pub(super) life: Arc<Life>,
    /// An address of its own, as of a client behind a proxy: limits per address are no matter of this test.
    pub(super) address: String,
}

impl Caller {
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        form: Option<&Form>,
    ) -> Result<Answer, Lost> {
        let mut request = self.http.request(method, format!("{}{path}", self.at));
        request = request.header("x-forwarded-for", &self.address);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(form) = form {
            request = request
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.encoded());
        }
        self.life.under_way.fetch_add(1, Ordering::SeqCst);
        let answer = self.answer(request).await;
        self.life.under_way.fetch_sub(1, Ordering::SeqCst);
        let answer = answer?;
        // overload and failures inside are no part of what this test does
        assert!(answer.status.as_u16() < 429, "{path}: {} {}", answer.status, answer.body);
        self.life.answered.send_modify(|answered| *answered += 1);
        Ok(answer)
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Answer, Lost> {
        let lost = |count: &AtomicU64, error: reqwest::Error| {
            assert!(self.life.over.load(Ordering::SeqCst), "before the server was killed: {error:?}");
            // what never reached it was not under way
            count.fetch_add(u64::from(!error.is_connect()), Ordering::SeqCst);
            Lost
        };
        let response = request.send().await.map_err(|error| lost(&self.life.unanswered, error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.text().await.map_err(|error| lost(&self.life.cut, error))?;
        Ok(Answer { status, headers, body })
    }

    pub(super) async fn post(&self, path: &str, form: &Form) -> Result<Answer, Lost> {
        self.send(Method::POST, path, &[], Some(form)).await
    }

    pub(super) async fn token(&self, form: &Form) -> Result<Answer, Lost> {
        self.post("/oauth2/token", form).await
    }
}

/// A browser, which outlives the server.
#[derive(Debug, Default)]
pub(super) struct Person {
    cookies: BTreeMap<String, String>,
    /// Whether the answer to a sign-in was read in full.
    signed_in: bool,
}

impl Person {
    async fn send(
        &mut self,
        caller: &Caller,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        form: Option<&Form>,
    ) -> Result<Answer, Lost> {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let mut all = vec![("cookie", cookies.as_str())];
        all.extend_from_slice(headers);
        let answer = caller.send(method, path, &all, form).await?;
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            let (pair, attributes) = cookie.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(answer)
    }

    async fn submit(&mut self, caller: &Caller, path: &str, form: &Form) -> Result<Answer, Lost> {
        self.send(caller, Method::POST, path, &[("sec-fetch-site", "same-origin")], Some(form)).await
    }

    /// Goes through the pages of a flow, and returns the code at its end.
    pub(super) async fn code(&mut self, caller: &Caller) -> Result<String, Lost> {
        let opened =
            [("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        let path = format!("/oauth2/authorize?{}", az().encoded());
        let mut answer = self.send(caller, Method::GET, &path, &opened, None).await?;
        for _ in 0..8 {
            answer = match answer.header("location").map(str::to_owned) {
                Some(page) if page.starts_with('/') => {
                    self.send(caller, Method::GET, &page, &[("sec-fetch-site", "same-origin")], None).await?
                }
                Some(_) => return Ok(answer.callback()["code"].clone()),
                None if answer.is_login_page() => self.sign_in(caller, &answer).await?,
                None => self.submit(caller, "/consent", &Browser::decision(&answer, "allow")).await?,
            };
        }
        panic!("no end: {} {}", answer.status, answer.body);
    }

    async fn sign_in(&mut self, caller: &Caller, page: &Answer) -> Result<Answer, Lost> {
        assert!(!self.signed_in, "a session of a browser is lost");
        let form = Form::of(&[
            ("transaction", &page.input("transaction")),
            ("csrf", &page.input("csrf")),
            ("username", "alice"),
            ("password", PASSWORD),
        ]);
        let answer = self.submit(caller, "/login", &form).await?;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        self.signed_in = true;
        Ok(answer)
    }

    /// Lets a device in. False if this browser is not signed in yet.
    pub(super) async fn allow_device(&mut self, caller: &Caller, user_code: &str) -> Result<bool, Lost> {
        if !self.signed_in {
            return Ok(false);
        }
        let path = format!("/device?user_code={user_code}");
        let page = self.send(caller, Method::GET, &path, &[], None).await?;
        let form = Form::of(&[
            ("csrf", &page.input("csrf")),
            ("user_code", &page.input("user_code")),
            ("decision", "allow"),
            ("with_me", "1"),
        ]);
        let answer = self.submit(caller, "/device", &form).await?;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        Ok(true)
    }
}
