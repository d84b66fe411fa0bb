//! Changes that a user makes to the password and to the sessions of the account.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::deps::LoginDeps;
use super::events::Journal;
use super::new_sessions::{Branches, NewSessions};
use super::step_up::{ProofResult, StepUps};
use super::{Changed, LoginError, Profile};
use crate::auth::app_sign_in::Typed;
use crate::auth::audit::{Caller, Context, Ended, Event, TicketPurpose};
use crate::auth::authenticator::keys_of;
use crate::auth::fresh::FreshSecondFactor;
use crate::auth::password::{NewPasswordError, PasswordRefused};
use crate::auth::ports::AuditQuery;
use crate::auth::session::Session;
use crate::auth::token::{PlainToken, SessionToken};
use crate::base::id::{AccountId, SessionId, TokenId};
use crate::base::secret::Secret;

/// A request to change the password.
#[derive(Debug)]
pub struct PasswordChange {
    /// Current password.
    pub current: Secret,
    /// New password.
    pub new: Secret,
    /// Client of the request.
    pub caller: Caller,
}

/// The result of a change of the password.
#[derive(Debug)]
#[must_use]
pub enum PasswordChanged {
    /// The password was changed. This session continues, every other session has ended.
    Done(Changed),
    /// The current password is wrong.
    WrongCurrent,
    /// The new password does not meet the policy.
    Refused(PasswordRefused),
    /// Too many attempts: the remaining wait.
    Wait(Duration),
    /// The session has ended.
    Ended,
}

/// Selects the audit rows that the owner of an account can see.
fn recent(account: AccountId, limit: u32) -> AuditQuery {
    AuditQuery { account: Some(account), ..AuditQuery::newest(limit) }
}

/// The account as its user sees and changes it.
pub struct OwnAccount {
    pub(super) deps: Arc<LoginDeps>,
    pub(super) journal: Arc<Journal>,
    pub(super) new_sessions: Arc<NewSessions>,
    pub(super) step_ups: Arc<StepUps>,
}

impl fmt::Debug for OwnAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnAccount(…)")
    }
}

impl OwnAccount {
    /// Changes the password. Requires the current password and a fresh second factor. Ends every
    /// other session and every pending login.
    pub async fn change_password(
        &self,
        token: &PlainToken<SessionToken>,
        fresh: FreshSecondFactor<'_>,
        change: PasswordChange,
    ) -> Result<PasswordChanged, LoginError> {
        let session = fresh.session();
        let name = session.identity.name.to_string();
        let typed = Typed { name, password: change.current, code: None };
        match self.step_ups.prove_password(token, session, typed, &change.caller).await? {
            ProofResult::Yes(_) => {}
            ProofResult::Wrong
            | ProofResult::AppCodeWanted
            | ProofResult::UsedUp
            | ProofResult::Typo
            | ProofResult::Suspended => return Ok(PasswordChanged::WrongCurrent),
            ProofResult::Wait(wait) => return Ok(PasswordChanged::Wait(wait)),
            ProofResult::Ended => return Ok(PasswordChanged::Ended),
        }
        let record = match self.deps.passwords.hash_new(&change.new, &session.identity).await {
            Ok(record) => record,
            Err(NewPasswordError::Refused(refused)) => {
                return Ok(PasswordChanged::Refused(refused));
            }
            Err(NewPasswordError::Hash(error)) => return Err(error.into()),
        };
        self.journal.may_record().await?;
        let (account, since) = (session.identity.account, session.started_at);
        let now = self.deps.now().max(since);
        let changed = self.deps.accounts.change_password(account, &record, since, now).await?;
        let Some(link) = changed else { return Ok(PasswordChanged::Ended) };
        let context = Context::person(&change.caller, &session.identity);
        let keys = self.deps.remaining_keys(account).await;
        self.journal.record_done(Event::PasswordChanged { by: "password", keys }, &context).await;
        self.journal.record_ended_link(link, TicketPurpose::Password, &context).await;
        let next = Session { password_at: now, ..session.clone() };
        let Some(renewed) = self.new_sessions.renew(token, &next, None, Branches::End, now).await?
        else {
            return Ok(PasswordChanged::Ended);
        };
        self.deps.sessions.end_others(account, renewed.token.hashed()).await?;
        let browser = self.new_sessions.make_known(&session.identity, &change.caller, now)?;
        Ok(PasswordChanged::Done(Changed { token: renewed.token, browser }))
    }

    /// Returns the names of the keys that sign in to the account, oldest first.
    pub async fn key_names(&self, session: &Session) -> Result<Vec<String>, LoginError> {
        let all = self.deps.authenticators.authenticators(session.identity.account).await?;
        Ok(keys_of(&all, &self.deps.key_settings).map(|key| key.name.clone()).collect())
    }

    /// Ends another session of the same account. Returns true if there was one.
    pub async fn end_session(
        &self,
        fresh: FreshSecondFactor<'_>,
        id: SessionId,
        caller: &Caller,
    ) -> Result<bool, LoginError> {
        let identity = &fresh.session().identity;
        // The stores compare the account, so that no list has to be readable for it.
        if !self.deps.sessions.end_by_id(id, Some(identity.account)).await? {
            return Ok(false);
        }
        let event = Event::SessionEnded { session: id, why: Ended::ByPerson };
        self.journal.record_done(event, &Context::person(caller, identity)).await;
        Ok(true)
    }

    /// Ends every other session and every pending login of the account. Returns the number of
    /// sessions ended.
    pub async fn end_other_sessions(
        &self,
        token: &PlainToken<SessionToken>,
        fresh: FreshSecondFactor<'_>,
        caller: &Caller,
    ) -> Result<u64, LoginError> {
        let identity = &fresh.session().identity;
        let ended = self.deps.sessions.end_others(identity.account, token.hashed()).await?;
        let event = Event::SessionsEnded { sessions: ended, why: Ended::ByPerson };
        self.journal.record_done(event, &Context::person(caller, identity)).await;
        Ok(ended)
    }

    /// Revokes an access token of the same account. Returns true if there was one.
    pub async fn revoke_own_token(
        &self,
        fresh: FreshSecondFactor<'_>,
        id: TokenId,
        caller: &Caller,
    ) -> Result<bool, LoginError> {
        let who = &fresh.session().identity;
        let revoked = self.deps.access_tokens.revoke_token(id, Some(who.account)).await?;
        let Some(record) = revoked else { return Ok(false) };
        let event = Event::TokenRevoked { token: id, app: record.app };
        self.journal.record_done(event, &Context::person(caller, who)).await;
        Ok(true)
    }

    /// Returns the state of the account for its owner, with the newest `events`.
    pub async fn profile(&self, session: &Session, events: u32) -> Result<Profile, LoginError> {
        let id = session.identity.account;
        let account = self.deps.accounts.by_id(id).await?;
        let account = account.ok_or_else(|| {
            LoginError::Broken("account removed while its session was in use".to_owned())
        })?;
        Ok(Profile {
            account,
            authenticators: self.deps.authenticators.authenticators(id).await?,
            recovery: self.deps.recovery.recovery_set(id).await?,
            sessions: self.deps.sessions.list(Some(id), self.deps.now()).await?,
            tokens: self.deps.access_tokens.tokens(Some(id)).await?,
            events: self.deps.trail.find(&recent(id, events)).await?,
        })
    }
}
