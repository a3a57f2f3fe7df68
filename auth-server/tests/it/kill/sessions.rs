//! What a client knows of its sessions: what it was given in full, and what it asked for last.

use std::collections::HashMap;

use reqwest::StatusCode;

use super::client::{Caller, Lost};
use crate::{
    devices::GRANT as DEVICE_GRANT,
    harness::{Answer, Form, redeem},
};

/// How far something came that happens once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    NotYet,
    /// It was asked for, and the answer never came.
    Perhaps,
    Done,
}

/// A session: a family of refresh tokens.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) client_id: &'static str,
    /// The code that it was bought with.
    pub(super) code: Option<String>,
    /// The last access token and refresh token that were delivered in full.
    pub(super) access: String,
    pub(super) refresh: String,
    /// What was given for it.
    pub(super) before: Option<String>,
    /// Whether a refresh was asked for whose answer never came.
    pub(super) refreshing: bool,
    pub(super) ended: Step,
}

/// Something that is exchanged for tokens once.
#[derive(Clone, Debug)]
pub(super) struct Voucher {
    pub(super) client_id: &'static str,
    pub(super) secret: String,
    pub(super) redeemed: Step,
}

impl Voucher {
    pub(super) fn code(secret: String) -> Self {
        Self { client_id: "pub1", secret, redeemed: Step::NotYet }
    }

    pub(super) fn device(secret: String) -> Self {
        Self { client_id: "tv", secret, redeemed: Step::NotYet }
    }

    pub(super) fn is_of_device(&self) -> bool {
        self.client_id == "tv"
    }

    /// Asks for what it buys.
    pub(super) async fn redeem(&mut self, caller: &Caller) -> Result<Answer, Lost> {
        self.redeemed = Step::Perhaps;
        let form = if self.is_of_device() {
            let device = ("device_code", self.secret.as_str());
            Form::of(&[("grant_type", DEVICE_GRANT), ("client_id", self.client_id), device])
        } else {
            redeem(&self.secret)
        };
        let answer = caller.token(&form).await?;
        self.redeemed = Step::Done;
        Ok(answer)
    }
}

fn text(answer: &Answer, member: &str) -> String {
    answer.json()[member].as_str().unwrap_or_else(|| panic!("no {member}: {}", answer.body)).to_owned()
}

impl Session {
    /// What a code or a device was given.
    pub(super) fn begun(voucher: &Voucher, answer: &Answer) -> Self {
        assert_eq!(answer.status, StatusCode::OK, "{voucher:?} {}", answer.body);
        Self {
            client_id: voucher.client_id,
            code: (!voucher.is_of_device()).then(|| voucher.secret.clone()),
            access: text(answer, "access_token"),
            refresh: text(answer, "refresh_token"),
            before: None,
            refreshing: false,
            ended: Step::NotYet,
        }
    }

    fn form(&self, refresh_token: &str) -> Form {
        let token = ("refresh_token", refresh_token);
        Form::of(&[("grant_type", "refresh_token"), ("client_id", self.client_id), token])
    }

    /// Asks for a refresh with a token of this session.
    pub(super) async fn ask(&self, caller: &Caller, refresh_token: &str) -> Result<Answer, Lost> {
        caller.token(&self.form(refresh_token)).await
    }

    /// Refreshes. It must succeed.
    pub(super) async fn refresh(&mut self, caller: &Caller, book: &mut Book) -> Result<(), Lost> {
        let given = self.refresh.clone();
        self.refreshing = true;
        let answer = self.ask(caller, &given).await?;
        self.took(&given, &answer, book);
        Ok(())
    }

    /// Refreshes twice at once, as two windows of one app do. Both must get the same successor.
    pub(super) async fn refresh_twice(&mut self, caller: &Caller, book: &mut Book) -> Result<(), Lost> {
        let given = self.refresh.clone();
        self.refreshing = true;
        let answers = futures_util::join!(self.ask(caller, &given), self.ask(caller, &given));
        let answers = [answers.0, answers.1];
        for answer in answers.iter().flatten() {
            self.took(&given, answer, book);
        }
        answers.into_iter().collect::<Result<Vec<_>, _>>().map(drop)
    }

    /// Takes over what a refresh gave.
    pub(super) fn took(&mut self, given: &str, answer: &Answer, book: &mut Book) {
        assert_eq!(answer.status, StatusCode::OK, "a session is lost: {self:?} {}", answer.body);
        self.access = text(answer, "access_token");
        self.refresh = text(answer, "refresh_token");
        self.before = Some(given.to_owned());
        self.refreshing = false;
        book.enter(given, &self.refresh);
    }

    /// Revokes it.
    pub(super) async fn end(&mut self, caller: &Caller) -> Result<(), Lost> {
        self.ended = Step::Perhaps;
        let form = Form::of(&[("client_id", self.client_id), ("token", &self.refresh)]);
        let answer = caller.post("/oauth2/revoke", &form).await?;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        self.ended = Step::Done;
        Ok(())
    }

    /// Whether the server takes its access token for good.
    pub(super) async fn is_active(&self, caller: &Caller) -> Result<bool, Lost> {
        let form = Form::of(&[
            ("client_id", "gw"),
            ("client_secret", crate::harness::CONF1_SECRET),
            ("token", &self.access),
        ]);
        let answer = caller.post("/oauth2/introspect", &form).await?;
        Ok(answer.json()["active"].as_bool().unwrap_or_else(|| panic!("{}", answer.body)))
    }
}

/// Every refresh token that was ever used, with what was given for it: never two, which would be two live branches.
#[derive(Debug, Default)]
pub(super) struct Book(HashMap<String, String>);

impl Book {
    fn enter(&mut self, given: &str, successor: &str) {
        let known = self.0.entry(given.to_owned()).or_insert_with(|| successor.to_owned());
        assert_eq!(known, successor, "two branches begin at {given}");
    }
}
