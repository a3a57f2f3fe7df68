//! A person with a browser, over plain HTTP: follows redirects, fills the forms that the pages show.

use std::collections::BTreeMap;

use html5gum::{Token, Tokenizer};
use reqwest::{Response, StatusCode};
use url::Url;

use super::demo::User;

const MAX_HOPS: usize = 12;

pub(crate) struct Browser {
    http: reqwest::Client,
    user: User,
}

/// A form as a page shows it.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) method: String,
    pub(crate) action: Option<String>,
    pub(crate) hidden: Vec<(String, String)>,
    /// Names of the inputs that a person fills.
    pub(crate) inputs: Vec<String>,
    /// Values of the buttons called `decision`.
    pub(crate) decisions: Vec<String>,
}

/// What a page shows.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) text: String,
    pub(crate) forms: Vec<Form>,
    /// Where its links lead.
    pub(crate) links: Vec<Url>,
}

impl Browser {
    pub(crate) fn new(user: User) -> Self {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .cookie_store(true)
            .no_proxy()
            .timeout(super::PATIENCE)
            .build()
            .unwrap();
        Self { http, user }
    }

    pub(crate) async fn get(&self, url: &Url) -> Response {
        self.http.get(url.clone()).send().await.unwrap()
    }

    /// Signs in and decides; gives the redirect that goes back to the client, not followed, and the pages seen.
    pub(crate) async fn authorize(&self, authorization: &Url, decision: &str) -> (Url, Vec<Page>) {
        let query: BTreeMap<_, _> = authorization.query_pairs().into_owned().collect();
        let redirect_uri = Url::parse(&query["redirect_uri"]).unwrap();
        let mut seen = Vec::new();
        let mut response = self.get(authorization).await;
        for _ in 0..MAX_HOPS {
            if response.status().is_redirection() {
                let next = response.url().join(response.headers()["location"].to_str().unwrap()).unwrap();
                if next.origin() == redirect_uri.origin() && next.path() == redirect_uri.path() {
                    return (next, seen);
                }
                response = self.get(&next).await;
                continue;
            }
            let page = Page::read(response).await;
            response = self.submit(&page, decision).await;
            seen.push(page);
        }
        panic!("no redirect to {redirect_uri} after {MAX_HOPS} hops");
    }

    /// Submits the sign-in form, which must be shown again: its status and its text.
    pub(crate) async fn fail_to_sign_in(&self, authorization: &Url) -> (StatusCode, String) {
        let mut response = self.get(authorization).await;
        while response.status().is_redirection() {
            let next = response.url().join(response.headers()["location"].to_str().unwrap()).unwrap();
            response = self.get(&next).await;
        }
        let answer = self.submit(&Page::read(response).await, "allow").await;
        let (url, status) = (answer.url().clone(), answer.status());
        assert!(!status.is_redirection(), "signed in");
        let page = Page::parse(url, &answer.text().await.unwrap());
        assert!(page.forms.iter().any(|form| form.inputs.iter().any(|name| name == "password")), "{page:?}");
        (status, page.text)
    }

    async fn submit(&self, page: &Page, decision: &str) -> Response {
        let form = page
            .forms
            .iter()
            .find(|form| {
                form.inputs.iter().any(|name| name == "password")
                    || form.decisions.iter().any(|value| value == decision)
            })
            .unwrap_or_else(|| panic!("neither a sign-in nor a consent form: {page:?}"));
        assert_eq!(form.method, "post");
        let mut fields = form.hidden.clone();
        if form.inputs.iter().any(|name| name == "password") {
            assert!(form.inputs.iter().any(|name| name == "username"), "{form:?}");
            fields.push(("username".into(), self.user.username.clone()));
            fields.push(("password".into(), self.user.password.clone()));
        } else {
            fields.push(("decision".into(), decision.into()));
        }
        let action = page.url.join(form.action.as_deref().unwrap_or_default()).unwrap();
        self.http
            .post(action)
            .header("origin", page.url.origin().ascii_serialization())
            .header("sec-fetch-site", "same-origin")
            .form(&fields)
            .send()
            .await
            .unwrap()
    }
}

impl Page {
    pub(crate) async fn read(response: Response) -> Self {
        let url = response.url().clone();
        let status = response.status();
        let html = response.text().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{url}: {html}");
        Self::parse(url, &html)
    }

    pub(crate) fn parse(url: Url, html: &str) -> Self {
        let mut page = Self { url, text: String::new(), forms: Vec::new(), links: Vec::new() };
        let mut open = false;
        for Ok(token) in Tokenizer::new(html) {
            match token {
                Token::String(text) => page.text.push_str(&String::from_utf8_lossy(&text)),
                Token::EndTag(tag) if *tag.name == b"form" => open = false,
                Token::StartTag(tag) => {
                    let attribute = |name: &str| {
                        let value = tag.attributes.get(name.as_bytes())?;
                        Some(String::from_utf8_lossy(value).into_owned())
                    };
                    match tag.name.as_slice() {
                        b"a" => {
                            let href = attribute("href").and_then(|href| page.url.join(&href).ok());
                            page.links.extend(href);
                        }
                        b"form" => {
                            open = true;
                            page.forms.push(Form {
                                method: attribute("method").unwrap_or_else(|| "get".into()).to_lowercase(),
                                action: attribute("action"),
                                hidden: Vec::new(),
                                inputs: Vec::new(),
                                decisions: Vec::new(),
                            });
                        }
                        b"input" | b"button" if open => {
                            let name = attribute("name").unwrap_or_default();
                            let value = attribute("value").unwrap_or_default();
                            let form = page.forms.last_mut().unwrap();
                            match (name.as_str(), attribute("type").as_deref()) {
                                ("decision", _) => form.decisions.push(value),
                                (_, Some("hidden")) => form.hidden.push((name, value)),
                                _ => form.inputs.push(name),
                            }
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        page.text = page.text.split_whitespace().collect::<Vec<_>>().join(" ");
        page
    }
}
