//! Where requests and answers pass: from what a session is to what the client is told.

use http::{HeaderMap, Response, StatusCode};

use super::binding::{NoId, NoSession, Session, Sessions};
use crate::challenge::ReplyTo;
use crate::policy::Refusal;
use crate::possession::Caller;
use crate::request::{Era, Malformed, RequestId, headers};
use crate::rewrite::ResponseBody;
use crate::shared::Shared;

impl Shared {
    fn sessions(&self) -> Sessions<'_> {
        Sessions {
            keys: &self.session_keys,
            resource: &self.resource,
            state: &*self.state,
            now: self.clock.unix_seconds(),
        }
    }

    /// A name for the session whose id a request carries, whosesoever it is.
    pub(crate) fn session_tag(&self, headers: &HeaderMap, era: Era) -> Option<[u8; 32]> {
        self.sessions().named(headers, era)
    }

    /// Holds a permitted request to its session, and puts the server's own id into its headers.
    pub(crate) async fn enter_session(
        &self,
        headers: &mut HeaderMap,
        era: Era,
        id: Option<&RequestId>,
        caller: Option<&Caller>,
    ) -> Result<Session, Refusal> {
        if era == Era::Modern || !Sessions::are_named(headers) {
            return Ok(Session::none(era, caller));
        }
        let malformed = |message| {
            let malformed = Malformed::bad_request(Malformed::INVALID_REQUEST, message);
            Refusal::Malformed(malformed.with_id(id))
        };
        // Boxed, so that the future of a request without a session is small.
        Box::pin(self.sessions().enter(headers, era, caller)).await.map_err(|why| match why {
            NoSession::NothingToResume => malformed(
                "expected an Mcp-Session-Id header, because without a session there is nothing to resume",
            ),
            NoSession::Several => malformed("expected one Mcp-Session-Id header, but found several"),
            NoSession::Unknown => Refusal::UnknownSession,
            NoSession::Unavailable => Refusal::StateUnavailable,
        })
    }

    /// Seals the id of the session in an answer, or withholds the answer.
    pub(crate) async fn leave_session<B>(
        &self,
        session: &Session,
        reply_to: &ReplyTo,
        response: &mut Response<ResponseBody<B>>,
    ) {
        if !response.headers().contains_key(headers::SESSION_ID) {
            return;
        }
        let left = Box::pin(self.sessions().leave(session, response.headers_mut())).await;
        let withheld = match left {
            Ok(()) => return,
            Err(NoId::Unusable) => {
                tracing::error!("an answer with an unusable Mcp-Session-Id, or with several, is withheld");
                reply_to.error(StatusCode::BAD_GATEWAY, "the server sent a session id that cannot be used")
            }
            Err(NoId::Unavailable) => reply_to
                .error(StatusCode::SERVICE_UNAVAILABLE, "the session cannot be remembered now; try again"),
        };
        *response = withheld.map(ResponseBody::whole);
    }
}
