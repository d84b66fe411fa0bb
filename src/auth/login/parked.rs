//! Requests that wait for their sender to sign in again.

use std::fmt;
use std::sync::Arc;

use super::LoginError;
use super::deps::LoginDeps;
use crate::auth::audit::Caller;
use crate::auth::parked::{
    FormerSession, LIMITS, LIVES, MOST_BYTES, ParkedAt, ParkedRecord, ParkedRequest,
};
use crate::auth::session::Session;
use crate::auth::token::{HashedToken, ParkedToken, PlainToken, SessionToken};
use crate::base::id::AccountId;

/// Requests that wait for their sender.
pub struct Parking {
    pub(super) deps: Arc<LoginDeps>,
}

impl fmt::Debug for Parking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parking(…)")
    }
}

impl Parking {
    /// Remembers a session for the time after its expiry. A failure affects only what is sent then:
    /// it is not kept.
    pub(super) async fn remember(&self, token: &HashedToken<SessionToken>, session: &Session) {
        self.remember_as(token, session, None).await;
    }

    /// Remembers that a session goes on under another token. Called before it does, so that no one who sees the
    /// end of the former token misses the new one. A failure ends what is under way.
    pub(super) async fn goes_on(
        &self,
        token: &HashedToken<SessionToken>,
        session: &Session,
        new: &HashedToken<SessionToken>,
    ) {
        self.remember_as(token, session, Some(new.to_hex())).await;
    }

    async fn remember_as(
        &self,
        token: &HashedToken<SessionToken>,
        session: &Session,
        next: Option<String>,
    ) {
        let now = self.deps.now();
        let lives = session.expires_at.plus(LIVES).since(now);
        let former = FormerSession { next, ..FormerSession::of(session) };
        let remembered = self.deps.parked.remember_session(token, &former, lives, now).await;
        if let Err(error) = remembered {
            tracing::warn!(%error, "failed to remember a session for the time after its end");
        }
    }

    /// Returns the token under which the session of `token` goes on after a step-up, if it does.
    pub async fn next(
        &self,
        token: &HashedToken<SessionToken>,
    ) -> Result<Option<HashedToken<SessionToken>>, LoginError> {
        let former = self.deps.parked.former_session(token, self.deps.now()).await?;
        Ok(former.and_then(|former| former.next()))
    }

    /// Remembers a session that began in the browser of `caller`. Returns true if the browser holds a
    /// request of its account, and removes that of another.
    pub(super) async fn begun(
        &self,
        token: &HashedToken<SessionToken>,
        session: &Session,
        caller: &Caller,
    ) -> bool {
        self.remember(token, session).await;
        let Some(parked) = &caller.parked else { return false };
        self.settle(parked, session.identity.account).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "failed to look for a kept request");
            false
        })
    }

    /// Returns the account of a session at `app` that has expired. Returns `None` if the session is
    /// unknown or was ended, or if its account no longer accepts it: only its expiry qualifies, and the end of a session beyond the
    /// maximum of its account.
    pub async fn expired(
        &self,
        app: &str,
        token: &PlainToken<SessionToken>,
    ) -> Result<Option<AccountId>, LoginError> {
        let token = token.hashed();
        let former = self.deps.parked.former_session(token, self.deps.now()).await?;
        let Some(former) = former.filter(|former| former.app == app) else { return Ok(None) };
        let Some(mark) = former.mark(token) else { return Ok(None) };
        let status = self.deps.accounts.status(former.account, &mark).await?;
        let honoured = status.is_some_and(|status| status.honours(former.started_at));
        Ok(honoured.then_some(former.account))
    }

    /// Keeps a request of this account, in place of what the browser's cookie `former` names.
    /// Returns the cookie's new value, or `None` if the request is not kept.
    pub async fn keep(
        &self,
        account: AccountId,
        at: ParkedAt<'_>,
        former: Option<PlainToken<ParkedToken>>,
        request: &ParkedRequest,
    ) -> Result<Option<PlainToken<ParkedToken>>, LoginError> {
        if request.body.len() > MOST_BYTES {
            return Ok(None);
        }
        if let Some(former) = former {
            let kept = self.read(&former, account, at).await?;
            // What a script sends by itself does not replace a form.
            if kept.is_some_and(|kept| kept.head.form && !request.head.form) {
                return Ok(None);
            }
            self.discard(&former).await?;
        }
        let token = PlainToken::<ParkedToken>::generate(&self.deps.keys, self.deps.random())?;
        Ok(self.put_back(&token, account, at, request).await?.then_some(token))
    }

    /// Keeps a request under its former token, because the app could not be reached. Returns false
    /// if it is not kept.
    pub async fn put_back(
        &self,
        token: &PlainToken<ParkedToken>,
        account: AccountId,
        at: ParkedAt<'_>,
        request: &ParkedRequest,
    ) -> Result<bool, LoginError> {
        let now = self.deps.now();
        let context = at.context(account, token.hashed());
        let sealed = self.deps.keys.seal_parked(self.deps.random(), &context, &request.encode())?;
        let record = ParkedRecord { account, sealed, expires_at: now.plus(LIVES) };
        Ok(self.deps.parked.park(token.hashed(), &record, LIMITS, now).await?)
    }

    /// Returns what is kept for this account. What another account was sending is removed.
    pub async fn waiting(
        &self,
        token: &PlainToken<ParkedToken>,
        account: AccountId,
        at: ParkedAt<'_>,
    ) -> Result<Option<ParkedRequest>, LoginError> {
        let kept = self.read(token, account, at).await?;
        if kept.is_none() {
            self.discard(token).await?;
        }
        Ok(kept)
    }

    /// Removes what is kept for this account, and returns it to exactly one caller.
    pub async fn take(
        &self,
        token: &PlainToken<ParkedToken>,
        account: AccountId,
        at: ParkedAt<'_>,
    ) -> Result<Option<ParkedRequest>, LoginError> {
        let taken = self.deps.parked.take_parked(token.hashed(), self.deps.now()).await?;
        Ok(taken.and_then(|record| self.opened(&record, token, account, at)))
    }

    /// Removes what is kept.
    pub async fn discard(&self, token: &PlainToken<ParkedToken>) -> Result<(), LoginError> {
        self.deps.parked.take_parked(token.hashed(), self.deps.now()).await?;
        Ok(())
    }

    /// Removes what another account was sending, after a sign-in. Returns true if something waits
    /// for this account.
    async fn settle(
        &self,
        token: &HashedToken<ParkedToken>,
        account: AccountId,
    ) -> Result<bool, LoginError> {
        let now = self.deps.now();
        let Some(record) = self.deps.parked.parked(token, now).await? else { return Ok(false) };
        if record.account != account {
            self.deps.parked.take_parked(token, now).await?;
        }
        Ok(record.account == account)
    }

    async fn read(
        &self,
        token: &PlainToken<ParkedToken>,
        account: AccountId,
        at: ParkedAt<'_>,
    ) -> Result<Option<ParkedRequest>, LoginError> {
        let record = self.deps.parked.parked(token.hashed(), self.deps.now()).await?;
        Ok(record.and_then(|record| self.opened(&record, token, account, at)))
    }

    /// Opens a record where it belongs: nowhere else does the seal open.
    fn opened(
        &self,
        record: &ParkedRecord,
        token: &PlainToken<ParkedToken>,
        account: AccountId,
        at: ParkedAt<'_>,
    ) -> Option<ParkedRequest> {
        if record.account != account {
            return None;
        }
        let context = at.context(account, token.hashed());
        match self.deps.keys.open_parked(&context, &record.sealed) {
            Ok(text) => ParkedRequest::decode(&text),
            Err(error) => {
                tracing::warn!(%error, "failed to open a kept request");
                None
            }
        }
    }
}
