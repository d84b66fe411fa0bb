//! Adding, disabling and removing accounts, and setting passwords.

use std::fmt;
use std::sync::Arc;

use super::error::AdminError;
use super::journal::OperatorJournal;
use super::recovery::RecoveryAdmin;
use crate::auth::account::{Identity, LoginName, NewAccount, NewName};
use crate::auth::audit::{Event, TicketPurpose};
use crate::auth::password::PasswordPool;
use crate::auth::ports::{AccountManagement, Added, LinkEnded, SessionManagement};
use crate::auth::ticket::Link;
use crate::base::clock::Clock;
use crate::base::id::AccountId;
use crate::base::random::Random;
use crate::base::secret::Secret;

/// Maximum length of a display name, an email address or a group, in characters.
const FIELD_MAX: usize = 256;

/// A new account.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Login name.
    pub name: NewName,
    /// Display name; the login name if not set.
    pub display_name: Option<String>,
    /// Email address.
    pub email: Option<String>,
    /// Groups of the user.
    pub groups: Vec<String>,
    /// First password. `None`: the user sets it with a one-time link.
    pub password: Option<Secret>,
}

/// A new account with its one-time link.
#[derive(Debug)]
pub struct AddedUser {
    /// Identity of the new user.
    pub identity: Identity,
    /// One-time link, if a password alone is not enough to sign in.
    pub link: Option<Link>,
}

/// The result of setting a password.
#[derive(Debug)]
pub struct PasswordSet {
    /// Number of sessions ended.
    pub sessions_ended: u64,
    /// True if the account's one-time link no longer sets a password.
    pub link: LinkEnded,
}

/// Changes to accounts.
pub struct AccountAdmin {
    pub(super) journal: Arc<OperatorJournal>,
    pub(super) accounts: Arc<dyn AccountManagement>,
    pub(super) sessions: Arc<dyn SessionManagement>,
    pub(super) passwords: Arc<PasswordPool>,
    pub(super) recovery: Arc<RecoveryAdmin>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
}

impl fmt::Debug for AccountAdmin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountAdmin(…)")
    }
}

impl AccountAdmin {
    /// Adds an account. Its second factor is enrolled at the first login or by a link; see
    /// [`FirstEnrolment`].
    pub async fn add(&self, user: NewUser) -> Result<AddedUser, AdminError> {
        check_fields(user.display_name.as_deref(), user.email.as_deref(), &user.groups)?;
        let name = user.name.into_login();
        let identity = Identity {
            account: AccountId::random(&*self.random)?,
            display_name: user.display_name.unwrap_or_else(|| name.to_string()),
            name,
            email: user.email,
            groups: user.groups,
        };
        let password = match &user.password {
            Some(password) => Some(self.passwords.hash_new(password, &identity).await?),
            None => None,
        };
        let account =
            NewAccount { identity: identity.clone(), password, created_at: self.clock.now() };
        self.journal.may_open().await?;
        if self.accounts.add(&account).await? == Added::NameTaken {
            return Err(AdminError::NameTaken(identity.name));
        }
        let close = self.accounts.remove(identity.account);
        self.journal.record_opened(Event::AccountAdded, &identity, close).await?;
        let link = self.recovery.first_link(&identity, account.password.is_some()).await?;
        Ok(AddedUser { identity, link })
    }

    /// Disables an account and ends its sessions. Returns the number of sessions ended.
    pub async fn disable(&self, name: &LoginName) -> Result<u64, AdminError> {
        let who = self.journal.find(name).await?.identity;
        let changed = self.accounts.set_disabled(who.account, true, self.clock.now()).await?;
        let event = |sessions| Event::AccountDisabled { sessions };
        self.journal.end_after(changed, &who, "account disabled", event).await
    }

    /// Enables an account.
    pub async fn enable(&self, name: &LoginName) -> Result<(), AdminError> {
        let who = self.journal.find(name).await?.identity;
        self.journal.may_open().await?;
        let now = self.clock.now();
        if !self.accounts.set_disabled(who.account, false, now).await? {
            return Err(AdminError::NoSuchUser(name.clone()));
        }
        let close = self.accounts.set_disabled(who.account, true, now);
        self.journal.record_opened(Event::AccountEnabled, &who, close).await
    }

    /// Removes an account with its factors and recovery codes, and ends its sessions. Returns the
    /// number of sessions ended.
    pub async fn remove(&self, name: &LoginName) -> Result<u64, AdminError> {
        let who = self.journal.find(name).await?.identity;
        let changed = self.accounts.remove(who.account).await?;
        let event = |sessions| Event::AccountRemoved { sessions };
        self.journal.end_after(changed, &who, "account removed", event).await
    }

    /// Sets a new password, ends every session, and removes the right to set a password from the
    /// account's one-time link, which someone else may hold.
    pub async fn set_password(
        &self,
        name: &LoginName,
        password: &Secret,
    ) -> Result<PasswordSet, AdminError> {
        let who = self.journal.find(name).await?.identity;
        let record = self.passwords.hash_new(password, &who).await?;
        self.journal.may_open().await?;
        let now = self.clock.now();
        let changed = self.accounts.set_password(who.account, &record, Some(now)).await?;
        let link = changed.unwrap_or(LinkEnded(false));
        let event = |sessions| Event::PasswordSet { sessions };
        let ended = self.journal.end_after(changed.is_some(), &who, "password set", event).await;
        let row = match link {
            LinkEnded(true) => {
                let event = Event::TicketEnded { asked: TicketPurpose::Password };
                self.journal.record(event, Some(&who)).await
            }
            LinkEnded(false) => Ok(()),
        };
        let sessions_ended = ended?;
        row.map(|()| PasswordSet { sessions_ended, link })
    }
}

/// Checks that no field breaks out of its identity header, and that no group can be read as two.
pub(super) fn check_fields(
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
