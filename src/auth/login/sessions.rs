//! Sessions that are open: lookup, sign-out, and the end of the others.

use std::fmt;
use std::sync::Arc;

use super::deps::LoginDeps;
use super::events::Journal;
use super::{LoginError, SecondFactor};
use crate::auth::account::AccountStatus;
use crate::auth::audit::{Caller, Context, Ended, Event};
use crate::auth::session::Session;
use crate::auth::token::{HashedToken, PlainToken, SessionToken};
use crate::base::id::AccountId;

/// Sessions that are open.
pub struct OpenSessions {
    pub(super) deps: Arc<LoginDeps>,
    pub(super) journal: Arc<Journal>,
}

impl fmt::Debug for OpenSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenSessions(…)")
    }
}

impl OpenSessions {
    /// Returns the session under `token`, if it belongs to this app, is alive, and its account
    /// still accepts it.
    pub async fn session(
        &self,
        app: &str,
        token: &PlainToken<SessionToken>,
    ) -> Result<Option<Session>, LoginError> {
        let Some(session) = self.deps.sessions.load(token.hashed()).await? else {
            return Ok(None);
        };
        if session.app != app || !self.deps.limits.is_alive(&session, self.deps.now()) {
            return Ok(None);
        }
        let mark = session.mark(token.hashed());
        let status = self.deps.accounts.status(session.identity.account, &mark).await?;
        let honoured = status.filter(|status| status.honours(session.started_at));
        let identity = |status: AccountStatus| (*status.identity).clone();
        Ok(honoured.map(|status| Session { identity: identity(status), ..session }))
    }

    /// Records a use of the session, and returns it as of now.
    pub async fn extend(
        &self,
        token: &PlainToken<SessionToken>,
        session: Session,
    ) -> Result<Session, LoginError> {
        let now = self.deps.now();
        let ttl = self.deps.limits.time_to_live(&session, now);
        self.deps.sessions.touch(token.hashed(), now, ttl).await?;
        Ok(Session { last_seen_at: now, ..session })
    }

    /// Ends the session, if there is one.
    pub async fn sign_out(
        &self,
        token: &PlainToken<SessionToken>,
        caller: &Caller,
        why: Ended,
    ) -> Result<(), LoginError> {
        // The record serves the audit row only. The session ends whether or not it can be read.
        let session = self.deps.sessions.load(token.hashed()).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "failed to read a session that ends: the audit log has no row");
            None
        });
        let ended = self.deps.sessions.end(token.hashed()).await?;
        // Only one of several concurrent requests ends the session.
        let Some(session) = session.filter(|_| ended) else { return Ok(()) };
        let event = Event::SessionEnded { session: session.id, why };
        self.journal.record_done(event, &Context::person(caller, &session.identity)).await;
        Ok(())
    }

    /// Ends a known session after the user has signed out.
    pub async fn end_known(
        &self,
        id: &HashedToken<SessionToken>,
        session: &Session,
        caller: &Caller,
        why: Ended,
    ) -> Result<(), LoginError> {
        self.deps.sessions.end(id).await?;
        let event = Event::SessionEnded { session: session.id, why };
        self.journal.record_done(event, &Context::person(caller, &session.identity)).await;
        Ok(())
    }

    /// Ends all other sessions and logins of the account. The account record rejects them already,
    /// so a failure of the session store does not affect the user.
    pub(super) async fn forget_others(&self, account: AccountId, begun: Option<&SecondFactor>) {
        let sessions = &self.deps.sessions;
        let forgotten = match begun {
            Some(SecondFactor::SignedIn(done)) => {
                sessions.end_others(account, done.token.hashed()).await
            }
            Some(_) => return,
            None => sessions.end_account(account).await,
        };
        if let Err(error) = forgotten {
            tracing::warn!(%error, account = %account, "failed to delete ended sessions");
        }
    }
}
