//! What a request has to get past before anything but its head is read.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response};
use mcp_auth::Refusal;
use mcp_auth::request::UnverifiedToken;
use mcp_auth::verifier::TokenVerifier;

use super::address::AddressRates;
use super::limited::Limited;
use crate::server::{CameFrom, ClientAddr};

/// The limits of addresses, at the door of one route.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    rates: Arc<AddressRates>,
    verifier: Arc<dyn TokenVerifier>,
}

/// A request that got past.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Entered(Option<ClientAddr>);

impl Gate {
    pub(crate) fn new(rates: Arc<AddressRates>, verifier: Arc<dyn TokenVerifier>) -> Self {
        Self { rates, verifier }
    }

    /// Lets a request in, or says why not.
    ///
    /// Whoever has sent very many invalid tokens may go on only with one that was good before: to tell a good signature
    /// from a bad one costs as much as ten calls, and an issuer that is asked about tokens has limits of its own.
    ///
    /// # Errors
    ///
    /// Too many requests, or too many invalid tokens, came from the same address.
    pub(crate) fn enter<B>(&self, request: &Request<B>) -> Result<Entered, Limited> {
        let Some(from) = request.extensions().get::<CameFrom>() else { return Ok(Entered(None)) };
        let address = from.client;
        self.rates.admit(address)?;
        if let Some(credentials) = request.headers().get(AUTHORIZATION)
            && let Err(limited) = self.rates.admit_new_token(address)
            && !token(credentials).is_some_and(|token| self.verifier.remembers(&token))
        {
            return Err(limited);
        }
        Ok(Entered(Some(address)))
    }

    /// Notes what came of it.
    pub(crate) fn leave<B>(&self, entered: Entered, response: &Response<B>) {
        if let Entered(Some(address)) = entered
            && let Some(Refusal::InvalidToken { .. }) = response.extensions().get::<Refusal>()
        {
            self.rates.note_failed_token(address);
        }
    }
}

/// What the layer will take for the token, if it takes anything: what follows the scheme.
fn token(credentials: &HeaderValue) -> Option<UnverifiedToken> {
    let (_, token) = credentials.to_str().ok()?.split_once(' ')?;
    Some(UnverifiedToken::new(token.trim()))
}
