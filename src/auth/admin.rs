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
mod accounts;
mod directory;
mod error;
mod identity;
mod journal;
mod keys;
mod links;
mod recovery;
mod sessions;

use std::fmt;
use std::sync::Arc;

pub use self::access_tokens::{AccessWish, TokenAdmin};
pub use self::accounts::{AccountAdmin, AddedUser, NewUser, PasswordSet};
pub use self::directory::{AccountDirectory, UserDetails};
pub use self::error::AdminError;
use self::journal::OperatorJournal;
pub use self::links::LinkAdmin;
pub use self::recovery::{RecoveryAdmin, SecondFactorReset};
pub use self::sessions::SessionAdmin;
use super::audit::Trail;
use super::password::PasswordPool;
use super::ports::{
    AccessTokens, AccountList, AccountLookup, AccountManagement, AppAccounts, Authenticators,
    Guesses, RecoveryCodes, SessionManagement, SessionOverview, StoreHealth, Tickets,
};
use super::ticket::{FirstEnrolment, TicketPrinter};
use crate::base::clock::Clock;
use crate::base::random::Random;

/// The stores, and what else the administration needs.
pub struct AdminDeps {
    /// Lookup of accounts.
    pub accounts: Arc<dyn AccountLookup>,
    /// The list of accounts.
    pub list: Arc<dyn AccountList>,
    /// Changes to accounts.
    pub management: Arc<dyn AccountManagement>,
    /// Health of the account store, which also holds the audit log.
    pub health: Arc<dyn StoreHealth>,
    /// Links between accounts and users of apps.
    pub app_accounts: Arc<dyn AppAccounts>,
    /// Authenticators.
    pub authenticators: Arc<dyn Authenticators>,
    /// Recovery codes.
    pub recovery: Arc<dyn RecoveryCodes>,
    /// Failed attempts at second factors.
    pub guesses: Arc<dyn Guesses>,
    /// One-time links.
    pub tickets: Arc<dyn Tickets>,
    /// Access tokens.
    pub access_tokens: Arc<dyn AccessTokens>,
    /// Lists of sessions.
    pub overview: Arc<dyn SessionOverview>,
    /// Changes to sessions.
    pub sessions: Arc<dyn SessionManagement>,
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

impl fmt::Debug for AdminDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminDeps(…)")
    }
}

/// The administration of accounts and sessions, one service per use case.
pub struct Admin {
    /// Reads accounts.
    pub directory: AccountDirectory,
    /// Adds, changes and removes accounts.
    pub accounts: AccountAdmin,
    /// Helps users who cannot sign in.
    pub recovery: Arc<RecoveryAdmin>,
    /// Lists and ends sessions.
    pub sessions: SessionAdmin,
    /// Links accounts to users of apps.
    pub links: LinkAdmin,
    /// Creates, lists and revokes access tokens.
    pub tokens: TokenAdmin,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admin(…)")
    }
}

impl Admin {
    /// Creates the services over these stores.
    #[expect(clippy::too_many_lines, reason = "one line for each part of each service")]
    pub fn new(deps: AdminDeps) -> Self {
        let journal = Arc::new(OperatorJournal {
            accounts: deps.accounts,
            health: deps.health,
            sessions: Arc::clone(&deps.sessions),
            trail: deps.trail,
            operator: deps.operator,
        });
        let keys = Arc::clone(&deps.printer.keys);
        let recovery = Arc::new(RecoveryAdmin {
            journal: Arc::clone(&journal),
            authenticators: Arc::clone(&deps.authenticators),
            app_accounts: Arc::clone(&deps.app_accounts),
            tickets: Arc::clone(&deps.tickets),
            guesses: deps.guesses,
            printer: deps.printer,
            enrolment: deps.enrolment,
            clock: Arc::clone(&deps.clock),
            random: Arc::clone(&deps.random),
        });
        Self {
            directory: AccountDirectory {
                journal: Arc::clone(&journal),
                accounts: Arc::clone(&deps.list),
                app_accounts: Arc::clone(&deps.app_accounts),
                authenticators: deps.authenticators,
                codes: deps.recovery,
                tickets: Arc::clone(&deps.tickets),
                sessions: Arc::clone(&deps.overview),
                clock: Arc::clone(&deps.clock),
            },
            accounts: AccountAdmin {
                journal: Arc::clone(&journal),
                accounts: Arc::clone(&deps.management),
                sessions: Arc::clone(&deps.sessions),
                passwords: deps.passwords,
                recovery: Arc::clone(&recovery),
                clock: Arc::clone(&deps.clock),
                random: Arc::clone(&deps.random),
            },
            sessions: SessionAdmin {
                journal: Arc::clone(&journal),
                accounts: deps.management,
                overview: deps.overview,
                sessions: deps.sessions,
                tickets: deps.tickets,
                clock: Arc::clone(&deps.clock),
            },
            links: LinkAdmin {
                journal: Arc::clone(&journal),
                app_accounts: deps.app_accounts,
                clock: Arc::clone(&deps.clock),
            },
            tokens: TokenAdmin {
                journal,
                accounts: deps.list,
                access_tokens: deps.access_tokens,
                keys,
                clock: deps.clock,
                random: deps.random,
            },
            recovery,
        }
    }
}

#[cfg(test)]
#[path = "admin_tests.rs"]
mod tests;
