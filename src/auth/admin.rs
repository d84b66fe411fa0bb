//! Administration of accounts and sessions. Callers are not authenticated: anyone who can open the
//! stores may do all of this.
//!
//! To end an account's sessions, the account record is changed first. From then on the gate rejects
//! the sessions, even if the session store cannot be reached to delete them.
//!
//! An action that grants access does not begin while the audit log rejects rows, and is undone if
//! its own row cannot be written. An action that removes access is completed in any case, and
//! reports that its row is missing. `docs/audit.md` lists all actions, and a test walks that list.

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

/// Maximum length of a display name, an email address or a group, in characters.
const FIELD_MAX: usize = 256;

/// A new account.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Login name.
    pub name: LoginName,
    /// Display name; the login name if not set.
    pub display_name: Option<String>,
    /// Email address.
    pub email: Option<String>,
    /// Groups of the user.
    pub groups: Vec<String>,
    /// First password. `None`: the user sets it with a one-time link.
    pub password: Option<Secret>,
}

/// An account with its credentials and sessions.
#[derive(Clone, Debug)]
pub struct UserDetails {
    /// The account.
    pub account: Account,
    /// Confirmed authenticator, if any.
    pub totp: Option<TotpFactor>,
    /// Recovery codes, if any.
    pub recovery: Option<RecoverySet>,
    /// Valid one-time link, if any.
    pub ticket: Option<Ticket>,
    /// Identities of the user at apps that check passwords themselves.
    pub links: Vec<(String, Subject)>,
    /// Sessions, newest first.
    pub sessions: Vec<Session>,
}

/// A new account with its one-time link.
#[derive(Debug)]
pub struct AddedUser {
    /// Identity of the new user.
    pub identity: Identity,
    /// One-time link, if a password alone is not enough to sign in.
    pub link: Option<Link>,
}

/// Dependencies of the administration.
pub struct AdminDeps {
    /// Accounts.
    pub accounts: Arc<dyn Accounts>,
    /// Links between accounts and users of apps.
    pub app_accounts: Arc<dyn AppAccounts>,
    /// Second factors and recovery codes.
    pub factors: Arc<dyn Factors>,
    /// Failed attempts at second factors.
    pub guesses: Arc<dyn Guesses>,
    /// One-time links.
    pub tickets: Arc<dyn Tickets>,
    /// Access tokens.
    pub access_tokens: Arc<dyn AccessTokens>,
    /// Sessions.
    pub sessions: Arc<dyn Sessions>,
    /// Password hashing pool.
    pub passwords: Arc<PasswordPool>,
    /// Creates one-time links.
    pub printer: TicketPrinter,
    /// Requirement for first enrolment.
    pub enrolment: FirstEnrolment,
    /// Clock.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub random: Arc<dyn Random>,
    /// Audit log.
    pub trail: Arc<Trail>,
    /// Name of the operator on this system.
    pub operator: String,
}

impl std::fmt::Debug for AdminDeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminDeps(…)")
    }
}

/// The administration of accounts and sessions.
pub struct AccountAdmin {
    deps: AdminDeps,
}

impl std::fmt::Debug for AccountAdmin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccountAdmin(…)")
    }
}

impl AccountAdmin {
    /// Writes an event to the audit log.
    pub async fn record(&self, event: Event, who: Option<&Identity>) -> Result<(), AdminError> {
        let context = Context::operator(&self.deps.operator, who);
        self.deps.trail.record(event, &context).await.map_err(AdminError::NotRecorded)
    }

    /// Checks that the audit log accepts rows, before an action that grants access.
    async fn may_open(&self) -> Result<(), AdminError> {
        Ok(self.deps.accounts.ping().await?)
    }

    /// Writes the event of an action that grants access. If that fails, `close` undoes the action.
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

    /// Creates the administration over these stores.
    pub fn new(deps: AdminDeps) -> Self {
        Self { deps }
    }

    /// Adds an account. Its second factor is enrolled at the first login or by a link; see
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

    /// Returns all accounts, by name.
    pub async fn list(&self) -> Result<Vec<Account>, AdminError> {
        Ok(self.deps.accounts.list().await?)
    }

    /// Returns one account with its factors and sessions.
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

    /// Disables an account and ends its sessions. Returns the number of sessions ended.
    pub async fn disable(&self, name: &LoginName) -> Result<u64, AdminError> {
        let who = self.find(name).await?.identity;
        let changed =
            self.deps.accounts.set_disabled(who.account, true, self.deps.clock.now()).await?;
        let event = |sessions| Event::AccountDisabled { sessions };
        self.end_after(changed, &who, "account disabled", event).await
    }

    /// Enables an account.
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

    /// Removes an account with its factors and recovery codes, and ends its sessions. Returns the
    /// number of sessions ended.
    pub async fn remove(&self, name: &LoginName) -> Result<u64, AdminError> {
        let who = self.find(name).await?.identity;
        let changed = self.deps.accounts.remove(who.account).await?;
        let event = |sessions| Event::AccountRemoved { sessions };
        self.end_after(changed, &who, "account removed", event).await
    }

    /// Sets a new password and ends every session. Returns the number of sessions ended.
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
        self.end_after(changed, &who, "password set", event).await
    }

    /// Returns the sessions of one account or of all, newest first.
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

    /// Resets the failure counters of the account's factors and lifts their suspension. Returns
    /// true if there were failures.
    pub async fn lift_suspension(&self, name: &LoginName) -> Result<bool, AdminError> {
        let who = self.find(name).await?.identity;
        self.may_open().await?;
        let lifted = self.deps.guesses.lift_suspension(who.account).await?;
        if lifted {
            self.record(Event::SuspensionLifted, Some(&who)).await?;
        }
        Ok(lifted)
    }

    /// Ends the sessions and pending logins of one account and makes its known browsers unknown.
    /// Returns the number of sessions ended.
    pub async fn end_sessions_of(&self, name: &LoginName) -> Result<u64, AdminError> {
        let who = self.find(name).await?.identity;
        // Neither waits for the success of the other or of the audit row: an attacker may be signed
        // in.
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
                left: "the account's known browsers could not be reset",
                source,
            }),
            (Err(source), Ok(_)) => Err(AdminError::Partly {
                done: "the account's known browsers were reset",
                left: "its sessions could not be ended",
                source,
            }),
            (Err(source), Err(_)) => Err(AdminError::Store(source)),
        }
    }

    /// Ends all sessions and pending logins. Returns the number of sessions ended.
    pub async fn end_all_sessions(&self) -> Result<u64, AdminError> {
        let sessions = self.deps.sessions.end_all().await?;
        self.record(Event::SessionsEnded { sessions, why: Ended::ByOperator }, None).await?;
        Ok(sessions)
    }

    async fn find(&self, name: &LoginName) -> Result<Account, AdminError> {
        let account = self.deps.accounts.by_name(name).await?;
        account.ok_or_else(|| AdminError::NoSuchUser(name.clone()))
    }

    /// Ends the sessions of an account after the action `done`. `changed` is true if the action
    /// took effect.
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

/// Checks that no field breaks out of its identity header, and that no group can be read as two.
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
