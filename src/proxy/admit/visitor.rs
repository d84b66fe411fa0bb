//! Identifies the visitor of a request, from the session cache or from the stores.

use std::time::Duration;

use http::HeaderValue;
use pingora_http::RequestHeader;

use super::site::Site;
use crate::auth::keys::KeyRing;
use crate::auth::ports::Stored;
use crate::auth::token::{self, PendingToken, PlainToken, SessionToken};
use crate::gate::admission::Visitor;
use crate::proxy::gateway::Gateway;
use crate::proxy::request::RequestState;
use crate::web::cookies::{self, DuplicateCookie, SessionCookie};

/// A presented credential that has not been verified yet.
pub(in crate::proxy) enum Presented {
    Session(PlainToken<SessionToken>, Option<PlainToken<PendingToken>>),
    Login(PlainToken<PendingToken>),
    /// An access token in its header.
    Token,
    /// The visitor is known; the app credentials next to it are not verified yet.
    Known(Visitor),
}

impl Gateway {
    /// Returns the visitor, or the credential that a store has to verify.
    pub(in crate::proxy) fn visitor(
        &self,
        site: &Site,
        request: &RequestHeader,
        only_cookie: Option<&HeaderValue>,
        state: &mut RequestState,
    ) -> Result<Result<Visitor, Presented>, DuplicateCookie> {
        if state.facts.access_token {
            return Ok(Err(Presented::Token));
        }
        if !state.facts.cookies {
            return Ok(Ok(Visitor::Anonymous));
        }
        let session = cookies::session(&request.headers, only_cookie)?;
        state.facts.only_session_cookie = session.is_some_and(|cookie| cookie.alone);
        let session = session.map(|SessionCookie { value, .. }| value);
        // Most requests use a session that the cache knows.
        if let Some(text) = session
            && let Some(known) = self.sessions.find_seen(site.app.name(), text, state.started)
        {
            return Ok(Ok(Visitor::Full(known)));
        }
        let login = if site.app.policy.has_password_only_rule() {
            token(cookies::pending(&request.headers)?, &self.keys)
        } else {
            None
        };
        Ok(match (token(session, &self.keys), login) {
            (Some(session), login) => Err(Presented::Session(session, login)),
            (None, Some(login)) => Err(Presented::Login(login)),
            (None, None) => Ok(Visitor::Anonymous),
        })
    }

    /// Looks up the visitor that presents this credential.
    pub(in crate::proxy) async fn find(
        &self,
        app: &str,
        presented: Presented,
        at: Duration,
    ) -> Stored<Visitor> {
        let login = match presented {
            Presented::Known(visitor) => return Ok(visitor),
            Presented::Token => return Ok(Visitor::Anonymous),
            Presented::Login(login) => Some(login),
            Presented::Session(session, login) => {
                if let Some(known) = self.sessions.find(app, &session, at).await? {
                    return Ok(Visitor::Full(known));
                }
                login
            }
        };
        Ok(match login {
            Some(login) => self
                .logins
                .find(app, &login, at)
                .await?
                .map_or(Visitor::Anonymous, Visitor::Password),
            None => Visitor::Anonymous,
        })
    }
}

/// Parses the token in a cookie, or returns `None` if the gateway did not issue it.
pub(in crate::proxy) fn token<K: token::Kind>(
    cookie: Option<&[u8]>,
    keys: &KeyRing,
) -> Option<PlainToken<K>> {
    PlainToken::parse(std::str::from_utf8(cookie?).ok()?, keys)
}
