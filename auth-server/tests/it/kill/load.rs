//! A client with several sessions: what it does while the server runs, and what must be true when it runs again.

use std::sync::Arc;

use reqwest::StatusCode;

use super::{
    client::{Caller, Life, Lost, Person},
    sessions::{Book, Session, Step, Voucher},
};
use crate::harness::{Form, R1};

/// Sessions of one client beyond which it ends one before it begins another.
const SESSIONS: usize = 8;

/// What was found after the restarts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// Sessions that went on, and those that had been ended and stayed so.
    pub(super) alive: u64,
    pub(super) ended: u64,
    /// Codes and devices that were redeemed after the kill, and those whose redemption had been committed unanswered.
    pub(super) redeemed: u64,
    pub(super) redeemed_unanswered: u64,
    /// Used codes that were presented once more.
    pub(super) replayed: u64,
}

/// One client.
pub(super) struct Worker {
    random: fastrand::Rng,
    http: reqwest::Client,
    address: String,
    person: Person,
    pub(super) sessions: Vec<Session>,
    /// Those that ended in this life of the server, and those before.
    ending: Vec<Session>,
    ended: Vec<Session>,
    vouchers: Vec<Voucher>,
    book: Book,
    pub(super) found: Found,
}

impl Worker {
    pub(super) fn new(number: usize, random: fastrand::Rng) -> Self {
        Self {
            random,
            http: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .build()
                .unwrap(),
            address: format!("198.51.100.{number}"),
            person: Person::default(),
            sessions: Vec::new(),
            ending: Vec::new(),
            ended: Vec::new(),
            vouchers: Vec::new(),
            book: Book::default(),
            found: Found::default(),
        }
    }

    fn caller(&self, at: &Arc<str>, life: &Arc<Life>) -> Caller {
        Caller {
            at: Arc::clone(at),
            http: self.http.clone(),
            life: Arc::clone(life),
            address: self.address.clone(),
        }
    }

    /// Goes on until the server is killed.
    pub(super) async fn work(&mut self, at: &Arc<str>, life: &Arc<Life>) {
        let caller = self.caller(at, life);
        while self.step(&caller).await.is_ok() {}
    }

    async fn step(&mut self, caller: &Caller) -> Result<(), Lost> {
        let picked = (!self.sessions.is_empty()).then(|| self.random.usize(..self.sessions.len()));
        let Some(picked) = picked else { return self.begin(caller).await };
        match self.random.u8(..20) {
            0..3 if self.sessions.len() < SESSIONS => self.begin(caller).await,
            3 if self.sessions.len() < SESSIONS => self.connect_device(caller).await,
            4..6 => {
                let mut session = self.sessions.swap_remove(picked);
                let result = session.end(caller).await;
                self.ending.push(session);
                result
            }
            6..9 => self.sessions[picked].refresh_twice(caller, &mut self.book).await,
            9 => {
                let active = self.sessions[picked].is_active(caller).await?;
                assert!(active, "{:?}", self.sessions[picked]);
                Ok(())
            }
            _ => self.sessions[picked].refresh(caller, &mut self.book).await,
        }
    }

    /// A flow through the pages. Every fourth code is left for later.
    async fn begin(&mut self, caller: &Caller) -> Result<(), Lost> {
        let code = self.person.code(caller).await?;
        self.vouchers.push(Voucher::code(code));
        if self.random.u8(..4) == 0 { Ok(()) } else { self.redeem_last(caller).await }
    }

    async fn connect_device(&mut self, caller: &Caller) -> Result<(), Lost> {
        let form = Form::of(&[("client_id", "tv"), ("scope", "mcp:read"), ("resource", R1)]);
        let asked = caller.post("/oauth2/device", &form).await?.json();
        if !self.person.allow_device(caller, asked["user_code"].as_str().unwrap()).await? {
            return Ok(());
        }
        self.vouchers.push(Voucher::device(asked["device_code"].as_str().unwrap().to_owned()));
        if self.random.bool() { Ok(()) } else { self.redeem_last(caller).await }
    }

    async fn redeem_last(&mut self, caller: &Caller) -> Result<(), Lost> {
        let voucher = self.vouchers.last_mut().unwrap();
        let answer = voucher.redeem(caller).await?;
        self.sessions.push(Session::begun(voucher, &answer));
        self.vouchers.pop();
        Ok(())
    }

    /// Holds the server, which was killed and runs again, to everything that was answered before.
    pub(super) async fn settle(&mut self, at: &Arc<str>, life: &Arc<Life>) {
        let caller = self.caller(at, life);
        self.check(&caller).await.unwrap();
    }

    async fn check(&mut self, caller: &Caller) -> Result<(), Lost> {
        for session in &mut self.sessions {
            assert!(session.is_active(caller).await?, "an access token is lost: {session:?}");
            if let Some(before) = session.before.clone().filter(|_| !session.refreshing) {
                // the answer to a retry of what was done before the kill
                let answer = session.ask(caller, &before).await?;
                session.took(&before, &answer, &mut self.book);
            }
            session.refresh(caller, &mut self.book).await?;
            self.found.alive += 1;
        }
        for mut session in std::mem::take(&mut self.ending) {
            self.check_ending(caller, &mut session).await?;
            let list = if session.ended == Step::Done { &mut self.ended } else { &mut self.sessions };
            list.push(session);
        }
        for mut voucher in std::mem::take(&mut self.vouchers) {
            let before = voucher.redeemed;
            let answer = voucher.redeem(caller).await?;
            if before == Step::Perhaps && answer.status != StatusCode::OK {
                // redeemed, and its answer lost; or a device that asks again too soon
                let wanted: &[&str] =
                    if voucher.is_of_device() { &["invalid_grant", "slow_down"] } else { &["invalid_grant"] };
                let error = answer.json()["error"].as_str().unwrap().to_owned();
                assert!(wanted.contains(&error.as_str()), "{voucher:?}: {}", answer.body);
                self.found.redeemed_unanswered += u64::from(error == "invalid_grant");
                continue;
            }
            self.sessions.push(Session::begun(&voucher, &answer));
            self.found.redeemed += 1;
        }
        // not all of them, which would leave few sessions
        if self.random.u8(..4) == 0 { self.replay(caller).await } else { Ok(()) }
    }

    /// What was revoked stays so; where the answer was lost, it is revoked or whole.
    async fn check_ending(&mut self, caller: &Caller, session: &mut Session) -> Result<(), Lost> {
        let active = session.is_active(caller).await?;
        let refresh = session.refresh.clone();
        let answer = session.ask(caller, &refresh).await?;
        if session.ended == Step::Perhaps && answer.status == StatusCode::OK {
            assert!(active, "half of it is revoked: {session:?}");
            session.ended = Step::NotYet;
            session.took(&refresh, &answer, &mut self.book);
            return Ok(());
        }
        session.ended = Step::Done;
        answer.assert_json_error(400, "invalid_grant", "a session that was ended");
        assert!(!active, "an access token of what was ended: {session:?}");
        self.found.ended += 1;
        Ok(())
    }

    /// A code that bought a session before the kill is not redeemed again, and ends what it bought.
    async fn replay(&mut self, caller: &Caller) -> Result<(), Lost> {
        let Some(index) = self.sessions.iter().position(|session| session.code.is_some()) else {
            return Ok(());
        };
        let session = self.sessions.swap_remove(index);
        let mut voucher = Voucher::code(session.code.clone().unwrap());
        let answer = voucher.redeem(caller).await?;
        answer.assert_json_error(400, "invalid_grant", "a code that was used");
        let answer = session.ask(caller, &session.refresh).await?;
        answer.assert_json_error(400, "invalid_grant", "what a code bought that came twice");
        self.ended.push(session);
        self.found.replayed += 1;
        Ok(())
    }

    /// Whatever was ever ended is so still.
    pub(super) async fn check_all_ended(&self, at: &Arc<str>, life: &Arc<Life>) -> u64 {
        let caller = self.caller(at, life);
        for session in &self.ended {
            assert!(!session.is_active(&caller).await.unwrap(), "{session:?}");
            let answer = session.ask(&caller, &session.refresh).await.unwrap();
            answer.assert_json_error(400, "invalid_grant", "a session that was ended");
        }
        self.ended.len() as u64
    }
}
