//! The bundle of stores that all use cases share.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::LoginError;
use crate::auth::app_sign_in::{AppSignIn, ReservedNames};
use crate::auth::audit::Trail;
use crate::auth::authenticator::keys_of;
use crate::auth::database_clock::DatabaseClock;
use crate::auth::keys::KeyRing;
use crate::auth::password::PasswordPool;
use crate::auth::ports::{
    AccessTokens, Accounts, AppAccounts, AppTokens, Attempts, Authenticators, Challenges, Guesses,
    HandOvers, Nodes, ParkedRequests, PasswordResets, PendingLogins, RecoveryCodes, SeenNetworks,
    Sessions, Tickets, UsedChallenges,
};
use crate::auth::session::SessionLimits;
use crate::auth::throttle::Budgets;
use crate::auth::ticket::FirstEnrolment;
use crate::auth::webauthn::relying_party::KeySettings;
use crate::base::clock::{Clock, Timestamp};
use crate::base::id::AccountId;
use crate::base::random::Random;

/// The stores, and what else the use cases need.
#[derive(Clone)]
pub struct LoginDeps {
    /// Accounts.
    pub accounts: Arc<dyn Accounts>,
    /// Authenticators.
    pub authenticators: Arc<dyn Authenticators>,
    /// Recovery codes.
    pub recovery: Arc<dyn RecoveryCodes>,
    /// One-time links.
    pub tickets: Arc<dyn Tickets>,
    /// Rights to set a new password in place of a forgotten one.
    pub resets: Arc<dyn PasswordResets>,
    /// Pending logins.
    pub pending: Arc<dyn PendingLogins>,
    /// Sessions.
    pub sessions: Arc<dyn Sessions>,
    /// Failed attempts at second factors.
    pub guesses: Arc<dyn Guesses>,
    /// Links between accounts and users of apps.
    pub app_accounts: Arc<dyn AppAccounts>,
    /// Tokens that apps issued.
    pub app_tokens: Arc<dyn AppTokens>,
    /// Access tokens.
    pub access_tokens: Arc<dyn AccessTokens>,
    /// Apps that check the first factor themselves.
    pub apps: Arc<dyn AppSignIn>,
    /// Login names that provisioning never assigns.
    pub reserved: Arc<ReservedNames>,
    /// Attempt counters.
    pub attempts: Arc<dyn Attempts>,
    /// Networks from which accounts have signed in.
    pub networks: Arc<dyn SeenNetworks>,
    /// Tickets of hand-overs, and the sessions at apps.
    pub hand_overs: Arc<dyn HandOvers>,
    /// Challenges of keys.
    pub challenges: Arc<dyn Challenges>,
    /// Durable records of used challenges.
    pub used_challenges: Arc<dyn UsedChallenges>,
    /// Requests that wait for their sender.
    pub parked: Arc<dyn ParkedRequests>,
    /// Audit log.
    pub trail: Arc<Trail>,
    /// Password hashing pool.
    pub passwords: Arc<PasswordPool>,
    /// Key ring.
    pub keys: Arc<KeyRing>,
    /// Clock.
    pub clock: Arc<dyn Clock>,
    /// The same clock, which knows whether that of this node is wrong.
    pub database_clock: Arc<DatabaseClock>,
    /// The database with that clock.
    pub nodes: Arc<dyn Nodes>,
    /// Random bytes.
    pub random: Arc<dyn Random>,
    /// Requirement for the first enrolment of an account.
    pub enrolment: FirstEnrolment,
    /// Lifetimes of sessions and pending logins.
    pub limits: SessionLimits,
    /// Attempt budgets. A reload replaces them.
    pub budgets: Arc<ArcSwap<Budgets>>,
    /// Settings of passkeys and security keys.
    pub key_settings: KeySettings,
}

impl fmt::Debug for LoginDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginDeps")
    }
}

impl LoginDeps {
    /// Returns the source of random bytes.
    pub(super) fn random(&self) -> &dyn Random {
        &*self.random
    }

    /// Fails if the clock of this node, or that of the database, is too wrong for second factors.
    pub(super) async fn check_clock(&self) -> Result<(), LoginError> {
        let right = self.database_clock.is_right(&*self.nodes).await?;
        if right { Ok(()) } else { Err(LoginError::WrongClock) }
    }

    /// Returns the names of the keys that sign in to an account after a change of something else,
    /// oldest first. The change is done: if they cannot be read, it is recorded without them.
    pub(super) async fn remaining_keys(&self, account: AccountId) -> Vec<String> {
        match self.authenticators.authenticators(account).await {
            Ok(all) => keys_of(&all, &self.key_settings).map(|key| key.name.clone()).collect(),
            Err(error) => {
                tracing::warn!(%account, %error, "failed to read the keys that remain after a change");
                Vec::new()
            }
        }
    }

    /// Returns the attempt budgets in effect.
    pub(super) fn budgets(&self) -> Budgets {
        **self.budgets.load()
    }

    /// Returns the current time.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
