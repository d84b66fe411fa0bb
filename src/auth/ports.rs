//! What the domain needs stored. Every operation is atomic and returns the verdict: no adapter is
//! ever asked to read, compare and write in three steps.
//!
//! Durable (`Accounts`, `Factors`, `Guesses`, `Tickets`, `PasswordResets`, `Audit`,
//! `AccessTokens`) lives in SQL.
//! Short-lived (`PendingLogins`, `Sessions`, `Attempts`, `SeenNetworks`, `Refusals`)
//! lives in Redis, or in the embedded store on
//! one machine. Losing the short-lived store signs people out; it never loses a factor and never
//! reopens a used code.

mod access_tokens;
mod guesses;
mod networks;

use std::time::Duration;

use async_trait::async_trait;

use super::account::{Account, AccountStatus, Identity, IdentityChange, LoginName, NewAccount};
use super::app_sign_in::{Linked, Subject};
use super::audit::{Checkpoint, Head, NewRecord, Record};
use super::keys::KeyRing;
use super::password::PasswordRecord;
use super::recovery::{NewRecoverySet, RecoveryHash, RecoverySet};
use super::refusals::RefusalRecord;
use super::reset::PasswordReset;
use super::session::{Offer, Offers, PendingLogin, ProvisionalTotp, Session};
use super::throttle::{AttemptKey, Budget, Pace, Verdict};
use super::ticket::{NewTicket, Ticket};
use super::token::{AppToken, HashedToken, PendingToken, SessionToken, TicketToken};
use super::totp::{NewTotpFactor, TimeStep, TotpFactor};
use crate::base::address::ClientIp;
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, FactorId, SessionId};

pub use self::access_tokens::AccessTokens;
pub use self::guesses::Guesses;
pub use self::networks::SeenNetworks;

/// A store did not do what it was asked to. Whoever meets this denies.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{store} is not available: {reason}")]
pub struct StoreError {
    /// Which store, in words for the operator: "the session store (Redis)".
    pub store: &'static str,
    /// What it said, without secrets.
    pub reason: String,
}

/// The result of every operation of a store.
pub type Stored<T> = Result<T, StoreError>;

/// Whether a new account was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Added {
    /// It was.
    Yes,
    /// The name is taken.
    NameTaken,
}

/// Whether a change that a one-time link of the account was good for, too, left that link worthless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkEnded(pub bool);

/// Accounts.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Adds an account unless its name is taken.
    async fn add(&self, account: &NewAccount) -> Stored<Added>;
    /// The account with this login name.
    async fn by_name(&self, name: &LoginName) -> Stored<Option<Account>>;
    /// The account with this id.
    async fn by_id(&self, id: AccountId) -> Stored<Option<Account>>;
    /// What the gate asks of an account; `None` when it is gone.
    async fn status(&self, id: AccountId) -> Stored<Option<AccountStatus>>;
    /// All accounts, by name.
    async fn list(&self) -> Stored<Vec<Account>>;
    /// Sets the password and, when `sessions_valid_from` is given, ends every session that
    /// started before it. Whether the account exists.
    async fn set_password(
        &self,
        id: AccountId,
        password: &PasswordRecord,
        sessions_valid_from: Option<Timestamp>,
    ) -> Stored<bool>;
    /// Sets the password its owner chose, ends every session that started before `now`, and takes
    /// the right to set one from the account's ticket, all in one step; only while the account is
    /// enabled and honours sessions that started at `since`. `None` when it was not done.
    async fn change_password(
        &self,
        id: AccountId,
        password: &PasswordRecord,
        since: Timestamp,
        now: Timestamp,
    ) -> Stored<Option<LinkEnded>>;
    /// Replaces the password hash after a change of parameters, only if it is still `old`.
    async fn rehash_password(
        &self,
        id: AccountId,
        old: &PasswordRecord,
        new: &PasswordRecord,
    ) -> Stored<()>;
    /// Disables or enables; disabling ends every session that started before `now` and takes the
    /// account's ticket. Whether the account exists.
    async fn set_disabled(&self, id: AccountId, disabled: bool, now: Timestamp) -> Stored<bool>;
    /// Browsers that became known to the account up to `now` are strangers again. Whether the
    /// account exists.
    async fn forget_devices(&self, id: AccountId, now: Timestamp) -> Stored<bool>;
    /// Changes email address, display name and groups in one step. Returns the identity before and
    /// after; `None` when there is no such account.
    async fn change_identity(
        &self,
        id: AccountId,
        change: &IdentityChange,
    ) -> Stored<Option<(Identity, Identity)>>;
    /// Removes the account with its factors, recovery codes and ticket. Whether it existed.
    async fn remove(&self, id: AccountId) -> Stored<bool>;
    /// Tries whether the store answers and takes what signing in writes; not more than once a second,
    /// however often it is asked.
    async fn ping(&self) -> Stored<()>;
}

/// Who at an app is which account: an account is at most one person of an app, and a person of an
/// app at most one account.
#[async_trait]
pub trait AppAccounts: Send + Sync {
    /// The account of a person of `app`.
    async fn by_subject(&self, app: &str, subject: &Subject) -> Stored<Option<Account>>;
    /// Links an account and a person of `app`, unless either is linked to another.
    async fn link(
        &self,
        account: AccountId,
        app: &str,
        subject: &Subject,
        now: Timestamp,
    ) -> Stored<Linked>;
    /// The account of a person of `app`; where there is none, `new` is added and linked. In one
    /// step: however many ask at once, one account comes of it. `None`, and nothing changed, when
    /// there is none and the name of `new` is taken.
    async fn link_or_add(
        &self,
        app: &str,
        subject: &Subject,
        new: &NewAccount,
    ) -> Stored<Option<Account>>;
    /// Takes back the link of an account to `app`, and ends every session that started before `now`.
    /// Whether there was one.
    async fn unlink(&self, account: AccountId, app: &str, now: Timestamp) -> Stored<bool>;
    /// The apps an account is linked to, with the person of each.
    async fn links_of(&self, account: AccountId) -> Stored<Vec<(String, Subject)>>;
}

/// Second factors and recovery codes.
#[async_trait]
pub trait Factors: Send + Sync {
    /// The confirmed authenticator of an account.
    async fn totp(&self, account: AccountId) -> Stored<Option<TotpFactor>>;
    /// Makes `factor` the first authenticator of an account that was never enrolled, with the
    /// confirming step already used, and marks the account as enrolled for ever. False, and
    /// nothing changed, when it was ever enrolled before.
    async fn enrol_first(&self, factor: &NewTotpFactor) -> Stored<bool>;
    /// Puts `factor` in place of the authenticator and `codes` in place of the recovery codes, ends
    /// every session that started before the factor was confirmed, and takes the right to enrol from
    /// the account's ticket, all in one step; only while the account is enabled and honours sessions
    /// that started at `since`. `None` when it was not done.
    async fn replace_totp(
        &self,
        factor: &NewTotpFactor,
        codes: &NewRecoverySet,
        since: Timestamp,
    ) -> Stored<Option<LinkEnded>>;
    /// Uses up `step`: true for exactly one caller, and only when `step` lies after every step
    /// used before (RFC 6238 §5.2).
    async fn consume_step(
        &self,
        account: AccountId,
        factor: FactorId,
        step: TimeStep,
        now: Timestamp,
    ) -> Stored<bool>;
    /// The recovery codes of an account, as far as they may be told.
    async fn recovery_set(&self, account: AccountId) -> Stored<Option<RecoverySet>>;
    /// Replaces all recovery codes of an account by `set`, for a session that counts as begun at
    /// `since`. False, and nothing changed, when the account honours no such session any more.
    async fn replace_recovery(&self, set: &NewRecoverySet, since: Timestamp) -> Stored<bool>;
    /// The same, only while the codes to be replaced are those under the salt `instead_of`, or while
    /// there are none where that is `None`.
    async fn file_recovery(
        &self,
        set: &NewRecoverySet,
        instead_of: Option<&str>,
        since: Timestamp,
    ) -> Stored<bool>;
    /// Notes that the person has kept the codes, as `code` shows: whether it is one of the
    /// account's that is not used yet. It stays good.
    async fn confirm_recovery_by(
        &self,
        account: AccountId,
        code: &RecoveryHash,
        now: Timestamp,
    ) -> Stored<bool>;
    /// Uses up a recovery code of this account: how many are left for exactly one caller, `None`
    /// for everybody else and for a code that is not this account's.
    async fn consume_recovery(
        &self,
        account: AccountId,
        code: &RecoveryHash,
        now: Timestamp,
    ) -> Stored<Option<u32>>;
    /// Whether this is a recovery code of this account that was used before.
    async fn recovery_was_used(&self, account: AccountId, code: &RecoveryHash) -> Stored<bool>;
    /// When a recovery code of the account was last used before `before`, if its person was not told
    /// of it yet, whatever became of the codes since.
    async fn untold_recovery(
        &self,
        account: AccountId,
        before: Timestamp,
    ) -> Stored<Option<Timestamp>>;
    /// Notes that the person was told of the uses before `before`.
    async fn recovery_told(&self, account: AccountId, before: Timestamp) -> Stored<()>;
}

/// Which rows of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditQuery {
    /// Only rows with a greater number.
    pub after: u64,
    /// Only rows from this moment on.
    pub since: Timestamp,
    /// Only rows from before this moment.
    pub before: Option<Timestamp>,
    /// Only rows of this login name.
    pub name: Option<LoginName>,
    /// Only rows of this account.
    pub account: Option<AccountId>,
    /// Only rows of this event.
    pub event: Option<String>,
    /// Only rows of requests whose id ends so, in hexadecimal digits.
    pub reference_end: Option<String>,
    /// Only rows of this client address.
    pub address: Option<ClientIp>,
    /// No more rows than this.
    pub limit: u32,
}

impl AuditQuery {
    /// The newest rows, whatever they say.
    pub fn newest(limit: u32) -> Self {
        Self {
            after: 0,
            since: Timestamp::EPOCH,
            before: None,
            name: None,
            account: None,
            event: None,
            reference_end: None,
            address: None,
            limit,
        }
    }
}

/// What was removed from the audit trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// How many rows.
    pub rows: u64,
    /// The newest of them.
    pub through: u64,
}

/// The audit trail.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Adds a row after the head, as [`super::audit::chain::append`] makes it, and a checkpoint
    /// where one is due.
    async fn append(&self, record: &NewRecord, keys: &KeyRing) -> Stored<Record>;
    /// The rows asked for, newest first.
    async fn find(&self, asked: &AuditQuery) -> Stored<Vec<Record>>;
    /// The rows with greater numbers than `seq`, oldest first, at most `limit`.
    async fn rows_after(&self, seq: u64, limit: u32) -> Stored<Vec<Record>>;
    /// The end of the trail.
    async fn head(&self) -> Stored<Head>;
    /// All checkpoints, oldest first.
    async fn checkpoints(&self) -> Stored<Vec<Checkpoint>>;
    /// Removes rows up to a checkpoint from before `before`, some thousand at most, and signs that
    /// it did. `None` when there is nothing left to remove.
    async fn prune(&self, before: Timestamp, keys: &KeyRing) -> Stored<Option<Pruned>>;
}

/// Tickets, durable as what they are for.
#[async_trait]
pub trait Tickets: Send + Sync {
    /// Files a ticket; any other of the account is worth nothing from then on. False, and nothing
    /// filed, when there is no such account or it is disabled.
    async fn issue(&self, ticket: &NewTicket) -> Stored<bool>;
    /// The ticket under this token, unless it has lapsed by `now` or is used up.
    async fn by_token(
        &self,
        id: &HashedToken<TicketToken>,
        now: Timestamp,
    ) -> Stored<Option<Ticket>>;
    /// The ticket of an account, unless it has lapsed by `now` or is used up.
    async fn of_account(&self, account: AccountId, now: Timestamp) -> Stored<Option<Ticket>>;
    /// Uses up the right to set a password and sets it; every session that started before `now`
    /// ends. In one step: whose account it was for exactly one caller, `None` for everybody else,
    /// and for an account without a password that is linked to an app.
    async fn redeem_password(
        &self,
        id: &HashedToken<TicketToken>,
        password: &PasswordRecord,
        now: Timestamp,
    ) -> Stored<Option<AccountId>>;
    /// Uses up the right to enrol and makes `factor` the only authenticator of the account, with
    /// the confirming step already used. The recovery codes and every session that started before
    /// go with the former one; the account is marked as enrolled for ever. In one step: true for
    /// exactly one caller, and false, with nothing changed, for everybody else.
    async fn redeem_enrolment(
        &self,
        id: &HashedToken<TicketToken>,
        factor: &NewTotpFactor,
    ) -> Stored<bool>;
    /// Removes authenticator and recovery codes of the account, ends every session that started
    /// before the ticket was made, and files the ticket, in one step. It stays marked as enrolled.
    /// False, and nothing changed, when there is no such account; a disabled one is no exception,
    /// and its ticket works once it is enabled.
    async fn reset_second_factor(&self, ticket: &NewTicket) -> Stored<bool>;
}

/// The rights of logins to set a new password in place of a forgotten one; durable, because setting
/// it is.
#[async_trait]
pub trait PasswordResets: Send + Sync {
    /// Files the right of a login.
    async fn grant_reset(&self, reset: &PasswordReset, now: Timestamp) -> Stored<()>;
    /// The right of this login, unless it has lapsed by `now` or was used.
    async fn granted_reset(
        &self,
        login: &HashedToken<PendingToken>,
        now: Timestamp,
    ) -> Stored<Option<PasswordReset>>;
    /// Uses up the right and sets the password; every session and login that started before `now`
    /// ends, and the account's ticket sets none any more. In one step: the right for exactly one
    /// caller, `None` for everybody else, and where
    /// the account is disabled or has ended what started when this login did.
    async fn reset_password(
        &self,
        login: &HashedToken<PendingToken>,
        password: &PasswordRecord,
        now: Timestamp,
    ) -> Stored<Option<(PasswordReset, LinkEnded)>>;
}

/// Logins that wait for their second factor.
#[async_trait]
pub trait PendingLogins: Send + Sync {
    /// Files a login until it expires.
    async fn begin(
        &self,
        id: &HashedToken<PendingToken>,
        login: &PendingLogin,
        now: Timestamp,
    ) -> Stored<()>;
    /// The login under this token, unless it has expired by `now`.
    async fn load(
        &self,
        id: &HashedToken<PendingToken>,
        now: Timestamp,
    ) -> Stored<Option<PendingLogin>>;
    /// Counts one guess: how many were made with this one, or `None` when the login is gone or
    /// `limit` guesses were made. The last one makes the login a spent one, which whoever was
    /// counted may still finish.
    async fn count_guess(
        &self,
        id: &HashedToken<PendingToken>,
        limit: u32,
        now: Timestamp,
    ) -> Stored<Option<u32>>;
    /// Offers `new` for enrolment unless one is already offered in this login; the one that holds.
    /// `None` when the login is gone.
    async fn offer_enrolment(
        &self,
        id: &HashedToken<PendingToken>,
        new: &ProvisionalTotp,
        now: Timestamp,
    ) -> Stored<Option<ProvisionalTotp>>;
    /// Ends the login.
    async fn end(&self, id: &HashedToken<PendingToken>) -> Stored<()>;
}

/// Finished sessions.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Ends the pending login and files the session in one step: true for exactly one caller, and
    /// false, with nothing filed, when the login is gone.
    async fn promote(
        &self,
        login: &HashedToken<PendingToken>,
        id: &HashedToken<SessionToken>,
        session: &Session,
        ttl: Duration,
    ) -> Stored<bool>;
    /// Ends the session `old` and files `session` under `new` in one step: true for exactly one
    /// caller, and false, with nothing filed, when the old one is gone. The new one offers what
    /// `offers` says; without it, what the old one offers at that moment, whatever `session` says.
    async fn renew(
        &self,
        old: &HashedToken<SessionToken>,
        new: &HashedToken<SessionToken>,
        session: &Session,
        offers: Option<&Offers>,
        ttl: Duration,
    ) -> Stored<bool>;
    /// Keeps what is offered in the session, unless something of that kind is offered already: what
    /// is offered now. `None` when the session is gone.
    async fn offer(
        &self,
        id: &HashedToken<SessionToken>,
        offer: Offer,
        sealed: &str,
    ) -> Stored<Option<String>>;
    /// Takes back what is offered: true for exactly one caller.
    async fn withdraw(&self, id: &HashedToken<SessionToken>, offer: Offer) -> Stored<bool>;
    /// The session under this token. May return one that has just expired: ask
    /// [`super::session::SessionLimits::is_alive`].
    async fn load(&self, id: &HashedToken<SessionToken>) -> Stored<Option<Session>>;
    /// Notes that the session was used and keeps it for `ttl` more. Never brings back an ended one.
    async fn touch(
        &self,
        id: &HashedToken<SessionToken>,
        now: Timestamp,
        ttl: Duration,
    ) -> Stored<()>;
    /// Counts a change to the account's identity in each of its sessions, so that every node reads
    /// the identity again.
    async fn identity_changed(&self, account: AccountId) -> Stored<()>;
    /// Notes that the due recovery codes were confirmed.
    async fn recovery_codes_done(&self, id: &HashedToken<SessionToken>) -> Stored<()>;
    /// Ends one session: true for exactly one caller, and false when there is none.
    async fn end(&self, id: &HashedToken<SessionToken>) -> Stored<bool>;
    /// Ends the session with this public id. Whether there was one.
    async fn end_by_id(&self, id: SessionId) -> Stored<bool>;
    /// Ends all sessions and pending logins of an account. How many sessions.
    async fn end_account(&self, account: AccountId) -> Stored<u64>;
    /// Ends all sessions and pending logins of an account but the session `keep`. How many sessions.
    async fn end_others(&self, account: AccountId, keep: &HashedToken<SessionToken>)
    -> Stored<u64>;
    /// Ends all sessions and pending logins there are. How many sessions.
    async fn end_all(&self) -> Stored<u64>;
    /// The sessions of one account or of all, newest first.
    async fn list(&self, account: Option<AccountId>, now: Timestamp) -> Stored<Vec<Session>>;
    /// Tries whether the store answers and can be written to; not more than once a second, however
    /// often it is asked.
    async fn ping(&self) -> Stored<()>;
}

/// The tokens that apps gave out within sessions of ours: each is worth as much as its session.
#[async_trait]
pub trait AppTokens: Send + Sync {
    /// Binds `token` to a session, for as long as `ttl` at most; of more than `most` the oldest but
    /// the first are let go. False, and nothing bound, when the session is gone, or the token is bound to a
    /// session of another account.
    async fn bind(
        &self,
        session: &HashedToken<SessionToken>,
        token: &HashedToken<AppToken>,
        most: u32,
        ttl: Duration,
    ) -> Stored<bool>;
    /// The session that `token` is bound to, also under the id it has after a renewal. `None` once
    /// the session has ended.
    async fn session_of(
        &self,
        token: &HashedToken<AppToken>,
    ) -> Stored<Option<HashedToken<SessionToken>>>;
}

/// What there is to say of refused requests, from any node, for a day.
#[async_trait]
pub trait Refusals: Send + Sync {
    /// Keeps a record under its reference, for [`super::refusals::KEPT_FOR`] from its moment on, and
    /// about `most` of the newest in all.
    async fn keep_refusal(&self, record: &RefusalRecord, most: u32) -> Stored<()>;
    /// The record under `reference`, unless it has lapsed by `now`.
    async fn refusal(&self, reference: &str, now: Timestamp) -> Stored<Option<RefusalRecord>>;
}

/// Counters of guesses.
#[async_trait]
pub trait Attempts: Send + Sync {
    /// Counts one try under each key in one step, unless one of them is exhausted: then none is
    /// counted, and the longest wait is returned.
    async fn count(&self, keys: &[(AttemptKey, Budget)], now: Timestamp) -> Stored<Verdict>;
    /// Counts one try under each key in one step, unless one of them still has to wait: then none
    /// is counted, and the longest wait is returned.
    async fn pace(&self, keys: &[(AttemptKey, Pace)], now: Timestamp) -> Stored<Verdict>;
    /// Time that each paced key still has to wait, zero where it need not. Counts nothing.
    async fn waits(&self, keys: &[AttemptKey], now: Timestamp) -> Stored<Vec<Duration>>;
    /// Takes back one counted try: it was no wrong guess. Where the key names the request whose try
    /// it is, the wait which that very try brought goes with it, in one step; any other wait stays.
    async fn forgive(&self, keys: &[AttemptKey]) -> Stored<()>;
    /// Forgets the tries under a key.
    async fn clear(&self, key: &AttemptKey) -> Stored<()>;
}
