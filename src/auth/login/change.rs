//! Changes that a user makes to the password and to the sessions of the account.

use std::time::Duration;

use super::step_up::ProofResult;
use super::{Changed, LoginError, LoginService};
use crate::auth::app_sign_in::Typed;
use crate::auth::audit::{Caller, Context, Ended, Event, TicketPurpose};
use crate::auth::fresh::FreshSecondFactor;
use crate::auth::password::{NewPasswordError, PasswordRefused};
use crate::auth::session::Session;
use crate::auth::token::{PlainToken, SessionToken};
use crate::base::id::SessionId;
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

impl LoginService {
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
        match self.prove_password(token, session, typed, &change.caller).await? {
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
        self.may_record().await?;
        let (account, since) = (session.identity.account, session.started_at);
        let now = self.now().max(since);
        let changed = self.deps.accounts.change_password(account, &record, since, now).await?;
        let Some(link) = changed else { return Ok(PasswordChanged::Ended) };
        let context = Context::person(&change.caller, &session.identity);
        self.record_done(Event::PasswordChanged { by: "password" }, &context).await;
        self.record_ended_link(link, TicketPurpose::Password, &context).await;
        let next = Session { password_at: now, ..session.clone() };
        let Some(renewed) = self.renew(token, &next, None, now).await? else {
            return Ok(PasswordChanged::Ended);
        };
        self.deps.sessions.end_others(account, renewed.token.hashed()).await?;
        let browser = self.make_known(&session.identity, &change.caller, now)?;
        Ok(PasswordChanged::Done(Changed { token: renewed.token, browser }))
    }

    /// Ends another session of the same account. Returns true if there was one.
    pub async fn end_session(
        &self,
        fresh: FreshSecondFactor<'_>,
        id: SessionId,
        caller: &Caller,
    ) -> Result<bool, LoginError> {
        let identity = &fresh.session().identity;
        let own = self.deps.sessions.list(Some(identity.account), self.now()).await?;
        // A session never moves to another account, so the list cannot become wrong meanwhile.
        if !own.iter().any(|s| s.id == id) || !self.deps.sessions.end_by_id(id).await? {
            return Ok(false);
        }
        let event = Event::SessionEnded { session: id, why: Ended::ByPerson };
        self.record_done(event, &Context::person(caller, identity)).await;
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
        self.record_done(event, &Context::person(caller, identity)).await;
        Ok(ended)
    }
}
