//! Identifies the visitor of a request, from the session cache or from the stores.

use http::HeaderValue;
use pingora_http::RequestHeader;

use super::site::Site;
use super::unidentified::Unidentified;
use crate::auth::keys::KeyRing;
use crate::auth::token::{self, PendingToken, PlainToken, SessionToken};
use crate::gate::admission::Visitor;
use crate::proxy::gateway::Gateway;
use crate::proxy::request::RequestState;
use crate::web::cookies::{self, DuplicateCookie, SessionCookie};

/// The visitor of a request, or the credential that a store has to verify.
pub(in crate::proxy) enum Presented {
    /// The visitor, without the app's credentials.
    Known(Visitor),
    Session(PlainToken<SessionToken>, Option<PlainToken<PendingToken>>),
    Login(PlainToken<PendingToken>),
    /// An access token in its header.
    Token,
}

impl Gateway {
    /// Returns the visitor, or the credential that a store has to verify.
    pub(in crate::proxy) fn visitor(
        &self,
        site: &Site,
        request: &RequestHeader,
        only_cookie: Option<&HeaderValue>,
        state: &mut RequestState,
    ) -> Result<Presented, DuplicateCookie> {
        if state.facts.access_token {
            return Ok(Presented::Token);
        }
        if !state.facts.cookies {
            return Ok(Presented::Known(Visitor::Anonymous));
        }
        let session = cookies::session(&request.headers, only_cookie)?;
        state.facts.only_session_cookie = session.is_some_and(|cookie| cookie.alone);
        let session = session.map(|SessionCookie { value, .. }| value);
        // Most requests use a session that the cache knows.
        if let Some(text) = session
            && let Some(known) = self.sessions.find_seen(site.app.name(), text, state.look_up())
        {
            return Ok(Presented::Known(Visitor::Full(known)));
        }
        let login = if site.app.policy.has_password_only_rule() {
            token(cookies::pending(&request.headers)?, &self.keys)
        } else {
            None
        };
        Ok(match (token(session, &self.keys), login) {
            (Some(session), login) => Presented::Session(session, login),
            (None, Some(login)) => Presented::Login(login),
            (None, None) => Presented::Known(Visitor::Anonymous),
        })
    }

    /// Looks up the visitor that presents this credential.
    pub(in crate::proxy) async fn identify(
        &self,
        site: &Site,
        request: &RequestHeader,
        state: &RequestState,
        presented: Presented,
    ) -> Result<Visitor, Unidentified> {
        let (app, at) = (site.app.name(), state.started);
        let login = match presented {
            Presented::Known(visitor) => return Ok(visitor),
            Presented::Token => return self.find_own_token(site, request, state).await,
            Presented::Login(login) => Some(login),
            Presented::Session(session, login) => {
                if let Some(known) = self.sessions.find(app, &session, state.look_up()).await? {
                    return Ok(Visitor::Full(known));
                }
                login
            }
        };
        let Some(login) = login else { return Ok(Visitor::Anonymous) };
        let known = self.logins.find(app, &login, at).await?;
        Ok(known.map_or(Visitor::Anonymous, Visitor::Password))
    }
}

/// Parses the token in a cookie, or returns `None` if the gateway did not issue it.
pub(in crate::proxy) fn token<K: token::Kind>(
    cookie: Option<&[u8]>,
    keys: &KeyRing,
) -> Option<PlainToken<K>> {
    PlainToken::parse(std::str::from_utf8(cookie?).ok()?, keys)
}
