//! What an operator does with accounts and sessions. It does not know who asks: whoever can open
//! the stores may do all of this.
//!
//! Where an account loses its sessions, the durable record is changed first: from then on the
//! sessions are refused, even if the session store cannot be reached to forget them.
//!
//! An act that opens something is not begun while the audit trail takes no rows, and undone where
//! its own row cannot be written. An act that takes something away is done all the same, and says
//! that its row is missing. `docs/audit.md` lists them all; a test walks that list.

mod access_tokens;
mod error;
mod identity;
mod links;
mod tickets;

use std::sync::Arc;

pub use self::access_tokens::AccessWish;
pub use self::error::AdminError;
pub use self::tickets::SecondFactorReset;
use super::account::{Account, Identity, LoginName, NewAccount};
use super::app_sign_in::Subject;
use super::audit::{Context, Ended, Event, Trail};
use super::password::PasswordPool;
use super::ports::{
    AccessTokens, Accounts, Added, AppAccounts, Factors, Guesses, Sessions, StoreError, Tickets,
};
use super::recovery::RecoverySet;
use super::session::Session;
use super::ticket::{FirstEnrolment, Link, Ticket, TicketPrinter};
use super::totp::TotpFactor;
use crate::base::clock::Clock;
use crate::base::id::{AccountId, SessionId};
use crate::base::random::Random;
use crate::base::secret::Secret;

/// Most characters in a display name, an address or a group.
const FIELD_MAX: usize = 256;

/// An account to be added.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// What the person signs in with.
    pub name: LoginName,
    /// What the person is called; the login name where it is not set.
    pub display_name: Option<String>,
    /// Where the person gets mail.
    pub email: Option<String>,
    /// The groups the person belongs to.
    pub groups: Vec<String>,
    /// The first password; without one, the person sets it by a link.
    pub password: Option<Secret>,
}

/// An account with what belongs to it.
#[derive(Clone, Debug)]
pub struct UserDetails {
    /// The account.
    pub account: Account,
    /// The confirmed authenticator, if there is one.
    pub totp: Option<TotpFactor>,
    /// The recovery codes, if there are any.
    pub recovery: Option<RecoverySet>,
    /// The link that is still good for something, if there is one.
    pub ticket: Option<Ticket>,
    /// Who this is at apps that check passwords themselves.
    pub links: Vec<(String, Subject)>,
    /// The sessions, newest first.
    pub sessions: Vec<Session>,
}

/// An account that was added.
#[derive(Debug)]
pub struct AddedUser {
    /// Who was added.
    pub identity: Identity,
    /// What the person needs to get in, where a password alone does not do.
    pub link: Option<Link>,
}

/// What the use cases work with.
pub struct AdminDeps {
    /// Accounts.
    pub accounts: Arc<dyn Accounts>,
    /// Who at an app is which account.
    pub app_accounts: Arc<dyn AppAccounts>,
    /// Second factors and recovery codes.
    pub factors: Arc<dyn Factors>,
    /// Wrong guesses at second factors.
    pub guesses: Arc<dyn Guesses>,
    /// One-time links.
    pub tickets: Arc<dyn Tickets>,
    /// Our own tokens for programs.
    pub access_tokens: Arc<dyn AccessTokens>,
    /// Finished sessions.
    pub sessions: Arc<dyn Sessions>,
    /// The hashing pool.
    pub passwords: Arc<PasswordPool>,
    /// Makes one-time links.
    pub printer: TicketPrinter,
    /// What first enrolment takes.
    pub enrolment: FirstEnrolment,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub random: Arc<dyn Random>,
    /// The audit trail.
    pub trail: Arc<Trail>,
    /// Who does all this, by the name that the system knows.
    pub operator: String,
}

impl std::fmt::Debug for AdminDeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminDeps(…)")
    }
}

/// The use cases.
pub struct AccountAdmin {
    deps: AdminDeps,
}

impl std::fmt::Debug for AccountAdmin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccountAdmin(…)")
    }
}

impl AccountAdmin {
    /// Writes what was done to the audit trail.
    pub async fn record(&self, event: Event, who: Option<&Identity>) -> Result<(), AdminError> {
        let context = Context::operator(&self.deps.operator, who);
        self.deps.trail.record(event, &context).await.map_err(AdminError::NotRecorded)
    }

    /// Seen to before something is opened to somebody: the audit trail takes rows.
    async fn may_open(&self) -> Result<(), AdminError> {
        Ok(self.deps.accounts.ping().await?)
    }

    /// Writes what was opened to the audit trail. Where that fails, `close` takes it back.
    async fn record_opened(
        &self,
        event: Event,
        who: &Identity,
        close: impl Future<Output = Result<bool, StoreError>> + Send,
    ) -> Result<(), AdminError> {
        let context = Context::operator(&self.deps.operator, Some(who));
        let Err(unwritten) = self.deps.trail.record(event, &context).await else { return Ok(()) };
        match close.await {
            Ok(_closed) => Err(AdminError::Undone(unwritten)),
            Err(_open) => Err(AdminError::NotRecorded(unwritten)),
        }
    }

    /// The use cases over these stores.
    pub fn new(deps: AdminDeps) -> Self {
        Self { deps }
    }

    /// Adds an account. Its second factor is set up at the first login or by a link; see
    /// [`FirstEnrolment`].
    pub async fn add(&self, user: NewUser) -> Result<AddedUser, AdminError> {
        check_fields(user.display_name.as_deref(), user.email.as_deref(), &user.groups)?;
        let identity = Identity {
            account: AccountId::random(&*self.deps.random)?,
            display_name: user.display_name.unwrap_or_else(|| user.name.to_string()),
            name: user.name,
            email: user.email,
            groups: user.groups,
        };
        let password = match &user.password {
            Some(password) => Some(self.deps.passwords.hash_new(password, &identity).await?),
            None => None,
        };
        let account =
            NewAccount { identity: identity.clone(), password, created_at: self.deps.clock.now() };
        self.may_open().await?;
        if self.deps.accounts.add(&account).await? == Added::NameTaken {
            return Err(AdminError::NameTaken(identity.name));
        }
        let close = self.deps.accounts.remove(identity.account);
        self.record_opened(Event::AccountAdded, &identity, close).await?;
        let link = self.first_link(&identity, account.password.is_some()).await?;
        Ok(AddedUser { identity, link })
    }

    /// All accounts, by name.
    pub async fn list(&self) -> Result<Vec<Account>, AdminError> {
        Ok(self.deps.accounts.list().await?)
    }

    /// One account with its factors and sessions.
    pub async fn show(&self, name: &LoginName) -> Result<UserDetails, AdminError> {
        let account = self.find(name).await?;
        let id = account.id();
        Ok(UserDetails {
            totp: self.deps.factors.totp(id).await?,
            recovery: self.deps.factors.recovery_set(id).await?,
            ticket: self.deps.tickets.of_account(id, self.deps.clock.now()).await?,
            links: self.deps.app_accounts.links_of(id).await?,
            sessions: self.deps.sessions.list(Some(id), self.deps.clock.now()).await?,
            account,
        })
    }

    /// Keeps the account from signing in and ends its sessions. How many were ended.
    pub async fn disable(&self, name: &LoginName) -> Result<u64, AdminError> {
        let who = self.find(name).await?.identity;
        let changed =
            self.deps.accounts.set_disabled(who.account, true, self.deps.clock.now()).await?;
        let event = |sessions| Event::AccountDisabled { sessions };
        self.end_after(changed, &who, "disabled", event).await
    }

    /// Lets the account sign in again.
    pub async fn enable(&self, name: &LoginName) -> Result<(), AdminError> {
        let who = self.find(name).await?.identity;
        self.may_open().await?;
        let now = self.deps.clock.now();
        if !self.deps.accounts.set_disabled(who.account, false, now).await? {
            return Err(AdminError::NoSuchUser(name.clone()));
        }
        let close = self.deps.accounts.set_disabled(who.account, true, now);
        self.record_opened(Event::AccountEnabled, &who, close).await
    }

    /// Removes the account with its factors and recovery codes, and ends its sessions. How many
    /// were ended.
    pub async fn remove(&self, name: &LoginName) -> Result<u64, AdminError> {
        let who = self.find(name).await?.identity;
        let changed = self.deps.accounts.remove(who.account).await?;
        let event = |sessions| Event::AccountRemoved { sessions };
        self.end_after(changed, &who, "removed", event).await
    }

    /// Sets a new password and ends every session. How many were ended.
    pub async fn set_password(
        &self,
        name: &LoginName,
        password: &Secret,
    ) -> Result<u64, AdminError> {
        let who = self.find(name).await?.identity;
        let record = self.deps.passwords.hash_new(password, &who).await?;
        self.may_open().await?;
        let now = self.deps.clock.now();
        let changed = self.deps.accounts.set_password(who.account, &record, Some(now)).await?;
        let event = |sessions| Event::PasswordSet { sessions };
        self.end_after(changed, &who, "given a new password", event).await
    }

    /// The sessions of one account or of all, newest first.
    pub async fn list_sessions(
        &self,
        name: Option<&LoginName>,
    ) -> Result<Vec<Session>, AdminError> {
        let account = match name {
            Some(name) => Some(self.find(name).await?.id()),
            None => None,
        };
        Ok(self.deps.sessions.list(account, self.deps.clock.now()).await?)
    }

    /// Ends the session with this id.
    pub async fn end_session(&self, id: SessionId) -> Result<(), AdminError> {
        let all = self.deps.sessions.list(None, self.deps.clock.now()).await?;
        if !self.deps.sessions.end_by_id(id).await? {
            return Err(AdminError::NoSuchSession(id));
        }
        let whose = all.iter().find(|s| s.id == id).map(|s| &s.identity);
        let event = Event::SessionEnded { session: id, why: Ended::ByOperator };
        self.record(event, whose).await
    }

    /// Forgets the wrong guesses at the account's factors; none is suspended any more. Whether there
    /// was anything to forget.
    pub async fn lift_suspension(&self, name: &LoginName) -> Result<bool, AdminError> {
        let who = self.find(name).await?.identity;
        self.may_open().await?;
        let lifted = self.deps.guesses.lift_suspension(who.account).await?;
        if lifted {
            self.record(Event::SuspensionLifted, Some(&who)).await?;
        }
        Ok(lifted)
    }

    /// Ends the sessions and logins of one account, and makes strangers of the browsers it knows.
    /// How many sessions.
    pub async fn end_sessions_of(&self, name: &LoginName) -> Result<u64, AdminError> {
        let who = self.find(name).await?.identity;
        // Neither waits for the other, nor for the trail: a thief may be signed in.
        let strangers = self.deps.accounts.forget_devices(who.account, self.deps.clock.now()).await;
        let ended = self.deps.sessions.end_account(who.account).await;
        let mut rows = match strangers {
            Ok(_) => self.record(Event::DevicesRevoked, Some(&who)).await,
            Err(_) => Ok(()),
        };
        if let Ok(sessions) = ended {
            let event = Event::SessionsEnded { sessions, why: Ended::ByOperator };
            rows = rows.and(self.record(event, Some(&who)).await);
        }
        match (ended, strangers) {
            (Ok(sessions), Ok(_)) => rows.map(|()| sessions),
            (Ok(_), Err(source)) => Err(AdminError::Partly {
                done: "the sessions were ended",
                left: "the browsers that the account knows are known still",
                source,
            }),
            (Err(source), Ok(_)) => Err(AdminError::Partly {
                done: "the browsers that the account knew are strangers again",
                left: "its sessions could not be ended",
                source,
            }),
            (Err(source), Err(_)) => Err(AdminError::Store(source)),
        }
    }

    /// Ends all sessions and logins there are. How many sessions.
    pub async fn end_all_sessions(&self) -> Result<u64, AdminError> {
        let sessions = self.deps.sessions.end_all().await?;
        self.record(Event::SessionsEnded { sessions, why: Ended::ByOperator }, None).await?;
        Ok(sessions)
    }

    async fn find(&self, name: &LoginName) -> Result<Account, AdminError> {
        let account = self.deps.accounts.by_name(name).await?;
        account.ok_or_else(|| AdminError::NoSuchUser(name.clone()))
    }

    /// Forgets the sessions of an account that was just `done`; `changed` is whether it was.
    async fn end_after(
        &self,
        changed: bool,
        who: &Identity,
        done: &'static str,
        event: impl FnOnce(u64) -> Event,
    ) -> Result<u64, AdminError> {
        if !changed {
            return Err(AdminError::NoSuchUser(who.name.clone()));
        }
        let ended = self.deps.sessions.end_account(who.account).await;
        let row = self.record(event(*ended.as_ref().unwrap_or(&0)), Some(who)).await;
        match ended {
            Ok(ended) => row.map(|()| ended),
            Err(source) => {
                let (name, recorded) = (who.name.clone(), row.is_ok());
                Err(AdminError::SessionsLeft { name, done, recorded, source })
            }
        }
    }
}

/// What stands in an identity header must not break out of it, nor one group be two.
fn check_fields(
    display_name: Option<&str>,
    email: Option<&str>,
    groups: &[String],
) -> Result<(), AdminError> {
    let plain = |text: &str| {
        !text.trim().is_empty()
            && text.chars().count() <= FIELD_MAX
            && !text.chars().any(char::is_control)
    };
    let refuse = |field, rule| Err(AdminError::BadField { field, rule });
    if display_name.is_some_and(|name| !plain(name)) {
        return refuse("display name", "1 to 256 characters, no control characters");
    }
    let is_address = |a: &str| {
        plain(a)
            && !a.contains(|c: char| c.is_whitespace() || c == ',')
            && a.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
    };
    if email.is_some_and(|email| !is_address(email)) {
        return refuse("email address", "write it like alice@example.com");
    }
    if groups.iter().any(|g| !plain(g) || g.contains(',') || g.trim() != g) {
        return refuse("group", "1 to 256 characters, no commas or control characters");
    }
    Ok(())
}

#[cfg(test)]
#[path = "admin_tests.rs"]
mod tests;
