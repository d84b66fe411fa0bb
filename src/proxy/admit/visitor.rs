//! Who asks: what is known of it at once, and what only a store can tell.

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

/// What a visitor holds that only a store can tell the worth of.
pub(in crate::proxy) enum Held {
    Session(PlainToken<SessionToken>, Option<PlainToken<PendingToken>>),
    Login(PlainToken<PendingToken>),
    /// A token of ours, in its header.
    Token,
    /// Who it is, is known; what the app's credentials are worth is not.
    Known(Visitor),
}

impl Gateway {
    /// Who asks, or what a store has to be asked about.
    pub(in crate::proxy) fn visitor(
        &self,
        site: &Site,
        request: &RequestHeader,
        only_cookie: Option<&HeaderValue>,
        state: &mut RequestState,
    ) -> Result<Result<Visitor, Held>, DuplicateCookie> {
        if state.marks.token {
            return Ok(Err(Held::Token));
        }
        if !state.marks.cookies {
            return Ok(Ok(Visitor::Anonymous));
        }
        let session = cookies::session(&request.headers, only_cookie)?;
        state.marks.session_alone = session.is_some_and(|cookie| cookie.alone);
        let session = session.map(|SessionCookie { value, .. }| value);
        // Most requests are of a session just seen.
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
            (Some(session), login) => Err(Held::Session(session, login)),
            (None, Some(login)) => Err(Held::Login(login)),
            (None, None) => Ok(Visitor::Anonymous),
        })
    }

    /// Who it is that holds this.
    pub(in crate::proxy) async fn find(
        &self,
        app: &str,
        held: Held,
        at: Duration,
    ) -> Stored<Visitor> {
        let login = match held {
            Held::Known(visitor) => return Ok(visitor),
            Held::Token => return Ok(Visitor::Anonymous),
            Held::Login(login) => Some(login),
            Held::Session(session, login) => {
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

/// The token in a cookie, if it is one of ours.
pub(in crate::proxy) fn token<K: token::Kind>(
    cookie: Option<&[u8]>,
    keys: &KeyRing,
) -> Option<PlainToken<K>> {
    PlainToken::parse(std::str::from_utf8(cookie?).ok()?, keys)
}
