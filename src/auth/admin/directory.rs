//! Accounts as operators see them.

use std::fmt;
use std::sync::Arc;

use super::error::AdminError;
use super::journal::OperatorJournal;
use crate::auth::account::{Account, LoginName};
use crate::auth::app_sign_in::Subject;
use crate::auth::authenticator::Authenticator;
use crate::auth::ports::{
    AccountList, AppAccounts, Authenticators, RecoveryCodes, SessionOverview, Tickets,
};
use crate::auth::recovery::RecoverySet;
use crate::auth::session::Session;
use crate::auth::ticket::Ticket;
use crate::base::clock::Clock;

/// An account with its credentials and sessions.
#[derive(Clone, Debug)]
pub struct UserDetails {
    /// The account.
    pub account: Account,
    /// Authenticators, oldest first.
    pub authenticators: Vec<Authenticator>,
    /// Recovery codes, if any.
    pub recovery: Option<RecoverySet>,
    /// Valid one-time link, if any.
    pub ticket: Option<Ticket>,
    /// Identities of the user at apps that check passwords themselves.
    pub links: Vec<(String, Subject)>,
    /// Sessions, newest first.
    pub sessions: Vec<Session>,
}

/// Reads accounts.
pub struct AccountDirectory {
    pub(super) journal: Arc<OperatorJournal>,
    pub(super) accounts: Arc<dyn AccountList>,
    pub(super) app_accounts: Arc<dyn AppAccounts>,
    pub(super) authenticators: Arc<dyn Authenticators>,
    pub(super) codes: Arc<dyn RecoveryCodes>,
    pub(super) tickets: Arc<dyn Tickets>,
    pub(super) sessions: Arc<dyn SessionOverview>,
    pub(super) clock: Arc<dyn Clock>,
}

impl fmt::Debug for AccountDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountDirectory(…)")
    }
}

impl AccountDirectory {
    /// Returns all accounts, by name.
    pub async fn list(&self) -> Result<Vec<Account>, AdminError> {
        Ok(self.accounts.list().await?)
    }

    /// Returns one account with its factors and sessions.
    pub async fn show(&self, name: &LoginName) -> Result<UserDetails, AdminError> {
        let account = self.journal.find(name).await?;
        let id = account.id();
        Ok(UserDetails {
            authenticators: self.authenticators.authenticators(id).await?,
            recovery: self.codes.recovery_set(id).await?,
            ticket: self.tickets.of_account(id, self.clock.now()).await?,
            links: self.app_accounts.links_of(id).await?,
            sessions: self.sessions.list(Some(id), self.clock.now()).await?,
            account,
        })
    }
}
