//! The storage that the domain needs. Every operation is atomic and returns its result. No adapter
//! needs to read, compare and write in separate steps.
//!
//! Durable ports (`Accounts`, `Authenticators`, `RecoveryCodes`, `Guesses`, `Tickets`,
//! `PasswordResets`, `Audit`, `AccessTokens`, `EndedSessions`, `UsedChallenges`) are stored in SQL.
//! Short-lived ports (`PendingLogins`, `Sessions`, `ParkedRequests`, `Attempts`, `SeenNetworks`, `Refusals`,
//! `Challenges`, `HandOvers`) are stored in Redis, or in the embedded store on one machine. Losing the short-lived
//! store signs users out. It never removes a factor, and never makes a used code, a used challenge or an ended session valid.
//!
//! `Accounts` and `Sessions` are sums of smaller ports. A use case takes only those that it calls, so
//! the gate cannot change an account, and a test store implements what is under test.

mod access_tokens;
mod accounts;
mod audit;
mod authenticators;
mod challenges;
mod ended;
mod guesses;
mod hand_overs;
mod networks;
mod nodes;
mod parked;
mod recovery;
mod sessions;

use std::time::Duration;

use async_trait::async_trait;

use super::account::{Account, NewAccount};
use super::app_sign_in::{Linked, Subject};
use super::authenticator::NewAuthenticator;
use super::password::PasswordRecord;
use super::refusals::RefusalRecord;
use super::reset::PasswordReset;
use super::session::{PendingLogin, ProvisionalSecret};
use super::throttle::{AttemptKey, Budget, Pace, Verdict};
use super::ticket::{NewTicket, Ticket};
use super::token::{AppToken, HashedToken, PendingToken, SessionToken, TicketToken};
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

pub use self::access_tokens::AccessTokens;
pub use self::accounts::{
    AccountList, AccountLookup, AccountManagement, AccountStatuses, Accounts, Added, OwnPasswords,
};
pub use self::audit::{Audit, AuditQuery, Pruned};
pub use self::authenticators::{
    AuthenticatorAdded, AuthenticatorRemoved, Authenticators, RemovedBy,
};
pub use self::challenges::{ChallengeGroup, Challenges, UsedChallenges};
pub use self::ended::EndedSessions;
pub use self::guesses::Guesses;
pub use self::hand_overs::HandOvers;
pub use self::networks::SeenNetworks;
pub use self::nodes::{Nodes, Recorded};
pub use self::parked::ParkedRequests;
pub use self::recovery::RecoveryCodes;
pub use self::sessions::{
    ReadSession, SessionEnds, SessionLookup, SessionManagement, SessionOffers, SessionOverview,
    SessionStarts, Sessions, Unreadable,
};

/// A store operation failed. Callers must fail closed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{store} is not available: {reason}")]
pub struct StoreError {
    /// Name of the store for operators, such as "the session store (Redis)".
    pub store: &'static str,
    /// Reason, without secrets.
    pub reason: String,
}

/// The result of every store operation.
pub type Stored<T> = Result<T, StoreError>;

/// True if the change also invalidated the account's one-time link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkEnded(pub bool);

/// The health of a store, for readiness and before a password is asked for.
#[async_trait]
pub trait StoreHealth: Send + Sync {
    /// Checks that the store answers and accepts the writes of a sign-in. Checks at most once a
    /// second.
    async fn ping(&self) -> Stored<()>;
}

/// Links between accounts and users of apps. An account is linked to at most one user of an app,
/// and a user of an app to at most one account.
#[async_trait]
pub trait AppAccounts: Send + Sync {
    /// Returns the account of a user of `app`.
    async fn by_subject(&self, app: &str, subject: &Subject) -> Stored<Option<Account>>;
    /// Links an account to a user of `app`, unless either is linked to another.
    async fn link(
        &self,
        account: AccountId,
        app: &str,
        subject: &Subject,
        now: Timestamp,
    ) -> Stored<Linked>;
    /// Returns the account of a user of `app`. If there is none, adds `new` and links it, in one
    /// atomic step: concurrent calls create one account. Returns `None`, without any change, if the
    /// name of `new` is taken.
    async fn link_or_add(
        &self,
        app: &str,
        subject: &Subject,
        new: &NewAccount,
    ) -> Stored<Option<Account>>;
    /// Removes the link of an account to `app` and ends every session that started before `now`.
    /// Returns true if there was a link.
    async fn unlink(&self, account: AccountId, app: &str, now: Timestamp) -> Stored<bool>;
    /// Returns the apps that an account is linked to, with the app's id of the user.
    async fn links_of(&self, account: AccountId) -> Stored<Vec<(String, Subject)>>;
}

/// Tickets, durable like the credentials they set.
#[async_trait]
pub trait Tickets: Send + Sync {
    /// Stores a ticket, which replaces any other of the account. Returns false, without storing it,
    /// if the account does not exist or is disabled.
    async fn issue(&self, ticket: &NewTicket) -> Stored<bool>;
    /// Returns the ticket under this token, unless it has expired by `now` or is used up.
    async fn by_token(
        &self,
        id: &HashedToken<TicketToken>,
        now: Timestamp,
    ) -> Stored<Option<Ticket>>;
    /// Returns the ticket of an account, unless it has expired by `now` or is used up.
    async fn of_account(&self, account: AccountId, now: Timestamp) -> Stored<Option<Ticket>>;
    /// Uses up the right to set a password, sets it, and ends every session that started before
    /// `now`, in one atomic step. Returns the account to exactly one caller. Returns `None` to all
    /// others, and for an account without a password that is linked to an app.
    async fn redeem_password(
        &self,
        id: &HashedToken<TicketToken>,
        password: &PasswordRecord,
        now: Timestamp,
    ) -> Stored<Option<AccountId>>;
    /// Uses up the right to enrol and makes `new` the only authenticator of the account. Removes the
    /// recovery codes, ends every earlier session and marks the account as enrolled for good. One
    /// atomic step: returns true to exactly one caller, and false, without any change, to all
    /// others, or if the account is disabled or has ended the logins that started at `since`.
    async fn redeem_enrolment(
        &self,
        id: &HashedToken<TicketToken>,
        new: &NewAuthenticator,
        since: Timestamp,
    ) -> Stored<bool>;
    /// Removes all authenticators and the recovery codes of the account, ends every session that
    /// started before the ticket was created, and stores the ticket, in one atomic step. The
    /// account stays marked as enrolled. Returns false, without any change, if the account does not
    /// exist. A disabled account is accepted; its ticket works once it is enabled.
    async fn reset_second_factor(&self, ticket: &NewTicket) -> Stored<bool>;
    /// Removes every ticket and every right of a login to set a new password, used or not, of one
    /// account or of all, in one atomic step. Returns the number of tickets removed.
    async fn remove_links(&self, of: Option<AccountId>) -> Stored<u64>;
}

/// The rights of logins to replace a forgotten password. Durable, because setting a password is.
#[async_trait]
pub trait PasswordResets: Send + Sync {
    /// Stores the right of a login.
    async fn grant_reset(&self, reset: &PasswordReset, now: Timestamp) -> Stored<()>;
    /// Returns the right of this login, unless it has expired by `now` or was used.
    async fn granted_reset(
        &self,
        login: &HashedToken<PendingToken>,
        now: Timestamp,
    ) -> Stored<Option<PasswordReset>>;
    /// Uses up the right and sets the password. Ends every session and login that started before
    /// `now`, and removes the right to set a password from the account's ticket. One atomic step:
    /// returns the right to exactly one caller, and `None` to all others, or if the account is
    /// disabled or has ended sessions that started when this login did.
    async fn reset_password(
        &self,
        login: &HashedToken<PendingToken>,
        password: &PasswordRecord,
        now: Timestamp,
    ) -> Stored<Option<(PasswordReset, LinkEnded)>>;
}

/// Pending logins.
#[async_trait]
pub trait PendingLogins: Send + Sync {
    /// Stores a login until it expires.
    async fn begin(
        &self,
        id: &HashedToken<PendingToken>,
        login: &PendingLogin,
        now: Timestamp,
    ) -> Stored<()>;
    /// Returns the login under this token, unless it has expired by `now`.
    async fn load(
        &self,
        id: &HashedToken<PendingToken>,
        now: Timestamp,
    ) -> Stored<Option<PendingLogin>>;
    /// Counts an attempt. Returns the number of attempts including this one, or `None` if the login
    /// is gone or `limit` attempts were made. The last attempt makes the login spent: only a
    /// counted attempt can still finish it.
    async fn count_guess(
        &self,
        id: &HashedToken<PendingToken>,
        limit: u32,
        now: Timestamp,
    ) -> Stored<Option<u32>>;
    /// Offers `new` for enrolment unless this login has an offer already. Returns the current
    /// offer, or `None` if the login is gone.
    async fn offer_enrolment(
        &self,
        id: &HashedToken<PendingToken>,
        new: &ProvisionalSecret,
        now: Timestamp,
    ) -> Stored<Option<ProvisionalSecret>>;
    /// Ends the login.
    async fn end(&self, id: &HashedToken<PendingToken>) -> Stored<()>;
}

/// Tokens that apps issued within sessions. Each is valid as long as its session.
#[async_trait]
pub trait AppTokens: Send + Sync {
    /// Binds `token` to a session, for at most `ttl`. If more than `most` tokens are bound, removes
    /// the oldest except the first. Returns false, without binding it, if the session is gone or
    /// the token is bound to a session of another account.
    async fn bind(
        &self,
        session: &HashedToken<SessionToken>,
        token: &HashedToken<AppToken>,
        most: u32,
        ttl: Duration,
    ) -> Stored<bool>;
    /// Returns the session that `token` is bound to, also after the session was renewed under
    /// another id. Returns `None` once the session has ended.
    async fn session_of(
        &self,
        token: &HashedToken<AppToken>,
    ) -> Stored<Option<HashedToken<SessionToken>>>;
}

/// Records of rejected requests, from any node, for a day.
#[async_trait]
pub trait Refusals: Send + Sync {
    /// Stores a record under its reference for [`super::refusals::KEPT_FOR`]. Keeps about the
    /// `most` newest records.
    async fn keep_refusal(&self, record: &RefusalRecord, most: u32) -> Stored<()>;
    /// Returns the record under `reference`, unless it has expired by `now`.
    async fn refusal(&self, reference: &str, now: Timestamp) -> Stored<Option<RefusalRecord>>;
}

/// Attempt counters.
#[async_trait]
pub trait Attempts: Send + Sync {
    /// Counts one attempt under each key in one atomic step. If one of them is exhausted, counts
    /// none and returns the longest wait.
    async fn count(&self, keys: &[(AttemptKey, Budget)], now: Timestamp) -> Stored<Verdict>;
    /// Counts one attempt under each key in one atomic step. If one of them is in backoff, counts
    /// none and returns the longest wait.
    async fn pace(&self, keys: &[(AttemptKey, Pace)], now: Timestamp) -> Stored<Verdict>;
    /// Returns the remaining backoff of each paced key; zero if there is none. Counts nothing.
    async fn waits(&self, keys: &[AttemptKey], now: Timestamp) -> Stored<Vec<Duration>>;
    /// Takes back one counted attempt that was not a wrong guess. If the key names the request that
    /// made the attempt, also removes the backoff that this attempt caused, in one atomic step. Any
    /// other backoff stays.
    async fn forgive(&self, keys: &[AttemptKey]) -> Stored<()>;
    /// Resets the counter of a key.
    async fn clear(&self, key: &AttemptKey) -> Stored<()>;
}
