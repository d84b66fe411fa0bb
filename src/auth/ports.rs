//! The storage that the domain needs. Every operation is atomic and returns its result. No adapter
//! needs to read, compare and write in separate steps.
//!
//! Durable ports (`Accounts`, `Factors`, `Guesses`, `Tickets`, `PasswordResets`, `Audit`,
//! `AccessTokens`) are stored in SQL. Short-lived ports (`PendingLogins`, `Sessions`, `Attempts`,
//! `SeenNetworks`, `Refusals`) are stored in Redis, or in the embedded store on one machine. Losing
//! the short-lived store signs users out. It never removes a factor and never makes a used code
//! valid.

mod access_tokens;
mod audit;
mod guesses;
mod networks;

use std::time::Duration;

use async_trait::async_trait;

use super::account::{Account, AccountStatus, Identity, IdentityChange, LoginName, NewAccount};
use super::app_sign_in::{Linked, Subject};
use super::password::PasswordRecord;
use super::recovery::{NewRecoverySet, RecoveryHash, RecoverySet};
use super::refusals::RefusalRecord;
use super::reset::PasswordReset;
use super::session::{Offer, Offers, PendingLogin, ProvisionalTotp, Session};
use super::throttle::{AttemptKey, Budget, Pace, Verdict};
use super::ticket::{NewTicket, Ticket};
use super::token::{AppToken, HashedToken, PendingToken, SessionToken, TicketToken};
use super::totp::{NewTotpFactor, TimeStep, TotpFactor};
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, FactorId, SessionId};

pub use self::access_tokens::AccessTokens;
pub use self::audit::{Audit, AuditQuery, Pruned};
pub use self::guesses::Guesses;
pub use self::networks::SeenNetworks;

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

/// The result of adding an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Added {
    /// The account was added.
    Yes,
    /// The name is taken.
    NameTaken,
}

/// True if the change also invalidated the account's one-time link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkEnded(pub bool);

/// Accounts.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Adds an account unless its name is taken.
    async fn add(&self, account: &NewAccount) -> Stored<Added>;
    /// Returns the account with this login name.
    async fn by_name(&self, name: &LoginName) -> Stored<Option<Account>>;
    /// Returns the account with this id.
    async fn by_id(&self, id: AccountId) -> Stored<Option<Account>>;
    /// Returns the state of an account for the gate, or `None` if the account was removed.
    async fn status(&self, id: AccountId) -> Stored<Option<AccountStatus>>;
    /// Returns all accounts, by name.
    async fn list(&self) -> Stored<Vec<Account>>;
    /// Sets the password. If `sessions_valid_from` is given, ends every session that started before
    /// it. Returns true if the account exists.
    async fn set_password(
        &self,
        id: AccountId,
        password: &PasswordRecord,
        sessions_valid_from: Option<Timestamp>,
    ) -> Stored<bool>;
    /// Sets the password that its user chose, ends every session that started before `now`, and
    /// removes the right to set one from the account's ticket, in one atomic step. Returns `None`,
    /// without any change, if the account is disabled or no longer accepts sessions that started at
    /// `since`.
    async fn change_password(
        &self,
        id: AccountId,
        password: &PasswordRecord,
        since: Timestamp,
        now: Timestamp,
    ) -> Stored<Option<LinkEnded>>;
    /// Replaces the password hash after a change of parameters, if it is still `old`.
    async fn rehash_password(
        &self,
        id: AccountId,
        old: &PasswordRecord,
        new: &PasswordRecord,
    ) -> Stored<()>;
    /// Disables or enables an account. Disabling ends every session that started before `now` and
    /// removes the account's ticket. Returns true if the account exists.
    async fn set_disabled(&self, id: AccountId, disabled: bool, now: Timestamp) -> Stored<bool>;
    /// Makes browsers that became known to the account up to `now` unknown. Returns true if the
    /// account exists.
    async fn forget_devices(&self, id: AccountId, now: Timestamp) -> Stored<bool>;
    /// Changes email address, display name and groups in one step. Returns the identity before and
    /// after, or `None` if the account does not exist.
    async fn change_identity(
        &self,
        id: AccountId,
        change: &IdentityChange,
    ) -> Stored<Option<(Identity, Identity)>>;
    /// Removes the account with its factors, recovery codes and ticket. Returns true if it existed.
    async fn remove(&self, id: AccountId) -> Stored<bool>;
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

/// Second factors and recovery codes.
#[async_trait]
pub trait Factors: Send + Sync {
    /// Returns the confirmed authenticator of an account.
    async fn totp(&self, account: AccountId) -> Stored<Option<TotpFactor>>;
    /// Makes `factor` the first authenticator of an account that was never enrolled, with the
    /// confirming step already used, and marks the account as enrolled for good. Returns false,
    /// without any change, if the account was ever enrolled.
    async fn enrol_first(&self, factor: &NewTotpFactor) -> Stored<bool>;
    /// Replaces the authenticator with `factor` and the recovery codes with `codes`, ends every
    /// session that started before the factor was confirmed, and removes the right to enrol from
    /// the account's ticket, in one atomic step. Returns `None`, without any change, if the account
    /// is disabled or no longer accepts sessions that started at `since`.
    async fn replace_totp(
        &self,
        factor: &NewTotpFactor,
        codes: &NewRecoverySet,
        since: Timestamp,
    ) -> Stored<Option<LinkEnded>>;
    /// Uses up `step`. Returns true to exactly one caller, and only if `step` is later than every
    /// used step (RFC 6238 §5.2).
    async fn consume_step(
        &self,
        account: AccountId,
        factor: FactorId,
        step: TimeStep,
        now: Timestamp,
    ) -> Stored<bool>;
    /// Returns the recovery codes of an account, without their hashes.
    async fn recovery_set(&self, account: AccountId) -> Stored<Option<RecoverySet>>;
    /// Replaces all recovery codes of an account with `set`, for a session that started at `since`.
    /// Returns false, without any change, if the account no longer accepts that session.
    async fn replace_recovery(&self, set: &NewRecoverySet, since: Timestamp) -> Stored<bool>;
    /// Replaces the recovery codes as [`Self::replace_recovery`] does, but only if the current ones
    /// have the salt `instead_of`, or if there are none and it is `None`.
    async fn file_recovery(
        &self,
        set: &NewRecoverySet,
        instead_of: Option<&str>,
        since: Timestamp,
    ) -> Stored<bool>;
    /// Records that the user has saved the codes if `code` is an unused code of the account.
    /// Returns true if so. The code stays valid.
    async fn confirm_recovery_by(
        &self,
        account: AccountId,
        code: &RecoveryHash,
        now: Timestamp,
    ) -> Stored<bool>;
    /// Uses up a recovery code of this account. Returns the number of remaining codes to exactly
    /// one caller, and `None` to all others and for a code of another account.
    async fn consume_recovery(
        &self,
        account: AccountId,
        code: &RecoveryHash,
        now: Timestamp,
    ) -> Stored<Option<u32>>;
    /// Returns true if this is a used recovery code of this account.
    async fn recovery_was_used(&self, account: AccountId, code: &RecoveryHash) -> Stored<bool>;
    /// Returns the time before `before` at which a recovery code of the account was last used, if
    /// the user has not been notified of it. Later changes to the codes do not matter.
    async fn untold_recovery(
        &self,
        account: AccountId,
        before: Timestamp,
    ) -> Stored<Option<Timestamp>>;
    /// Records that the user was notified of the uses before `before`.
    async fn recovery_told(&self, account: AccountId, before: Timestamp) -> Stored<()>;
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
    /// Uses up the right to enrol and makes `factor` the only authenticator of the account, with
    /// the confirming step already used. Removes the recovery codes, ends every earlier session and
    /// marks the account as enrolled for good. One atomic step: returns true to exactly one caller,
    /// and false, without any change, to all others.
    async fn redeem_enrolment(
        &self,
        id: &HashedToken<TicketToken>,
        factor: &NewTotpFactor,
    ) -> Stored<bool>;
    /// Removes the authenticator and the recovery codes of the account, ends every session that
    /// started before the ticket was created, and stores the ticket, in one atomic step. The
    /// account stays marked as enrolled. Returns false, without any change, if the account does not
    /// exist. A disabled account is accepted; its ticket works once it is enabled.
    async fn reset_second_factor(&self, ticket: &NewTicket) -> Stored<bool>;
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
        new: &ProvisionalTotp,
        now: Timestamp,
    ) -> Stored<Option<ProvisionalTotp>>;
    /// Ends the login.
    async fn end(&self, id: &HashedToken<PendingToken>) -> Stored<()>;
}

/// Sessions.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Ends the pending login and stores the session in one atomic step. Returns true to exactly
    /// one caller, and false, without storing the session, if the login is gone.
    async fn promote(
        &self,
        login: &HashedToken<PendingToken>,
        id: &HashedToken<SessionToken>,
        session: &Session,
        ttl: Duration,
    ) -> Stored<bool>;
    /// Ends the session `old` and stores `session` under `new` in one atomic step. Returns true to
    /// exactly one caller, and false, without storing it, if the old one is gone. The new session
    /// has the offers in `offers`. If that is `None`, it has the offers of the old one at that
    /// moment, not those in `session`.
    async fn renew(
        &self,
        old: &HashedToken<SessionToken>,
        new: &HashedToken<SessionToken>,
        session: &Session,
        offers: Option<&Offers>,
        ttl: Duration,
    ) -> Stored<bool>;
    /// Stores an offer in the session unless it has one of that kind already. Returns the current
    /// offer, or `None` if the session is gone.
    async fn offer(
        &self,
        id: &HashedToken<SessionToken>,
        offer: Offer,
        sealed: &str,
    ) -> Stored<Option<String>>;
    /// Removes an offer. Returns true to exactly one caller.
    async fn withdraw(&self, id: &HashedToken<SessionToken>, offer: Offer) -> Stored<bool>;
    /// Returns the session under this token. It may have just expired: check
    /// [`super::session::SessionLimits::is_alive`].
    async fn load(&self, id: &HashedToken<SessionToken>) -> Stored<Option<Session>>;
    /// Records a use of the session and keeps it for another `ttl`. Never restores an ended
    /// session.
    async fn touch(
        &self,
        id: &HashedToken<SessionToken>,
        now: Timestamp,
        ttl: Duration,
    ) -> Stored<()>;
    /// Counts a change to the account's identity in each of its sessions, so that every node reads
    /// the identity again.
    async fn identity_changed(&self, account: AccountId) -> Stored<()>;
    /// Records that the due recovery codes were confirmed.
    async fn recovery_codes_done(&self, id: &HashedToken<SessionToken>) -> Stored<()>;
    /// Ends one session. Returns true to exactly one caller, and false if there is none.
    async fn end(&self, id: &HashedToken<SessionToken>) -> Stored<bool>;
    /// Ends the session with this public id. Returns true if there was one.
    async fn end_by_id(&self, id: SessionId) -> Stored<bool>;
    /// Ends all sessions and pending logins of an account. Returns the number of sessions ended.
    async fn end_account(&self, account: AccountId) -> Stored<u64>;
    /// Ends all sessions and pending logins of an account except the session `keep`. Returns the
    /// number of sessions ended.
    async fn end_others(&self, account: AccountId, keep: &HashedToken<SessionToken>)
    -> Stored<u64>;
    /// Ends all sessions and pending logins. Returns the number of sessions ended.
    async fn end_all(&self) -> Stored<u64>;
    /// Returns the sessions of one account or of all, newest first.
    async fn list(&self, account: Option<AccountId>, now: Timestamp) -> Stored<Vec<Session>>;
    /// Checks that the store answers and accepts writes. Checks at most once a second.
    async fn ping(&self) -> Stored<()>;
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
