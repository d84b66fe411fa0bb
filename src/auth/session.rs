//! The two records of the short-lived store: a pending login and a session. They are two types in
//! two key spaces under two kinds of token. Neither has a field for the progress of the login.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::account::Identity;
use super::amr::{self, KeyEvidence};
use super::factor::Factor;
use super::notice::Notice;
use super::token::{HashedToken, SessionToken};
use crate::base::address::ClientIp;
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, FactorId, SessionId, TreeId};

/// The name that sessions of the portal have in place of the name of an app. No app has it where
/// there is a portal.
pub const PORTAL: &str = "portal";

/// Maximum number of sessions of an account. A new one ends those that would expire first.
pub const SESSIONS_MOST: u32 = 100;

/// The client of a sign-in, as shown to the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Client address, after trusted proxies.
    pub address: ClientIp,
    /// First 256 characters of `User-Agent`.
    pub user_agent: String,
}

impl Device {
    /// Maximum length of a recorded `User-Agent`, in characters.
    const USER_AGENT_MAX: usize = 256;

    /// Creates the client at `address` that sent this `User-Agent`.
    pub fn new(address: ClientIp, user_agent: &[u8]) -> Self {
        let text = String::from_utf8_lossy(user_agent);
        Self { address, user_agent: text.chars().take(Self::USER_AGENT_MAX).collect() }
    }
}

/// The proof that began a pending login. It never changes, so it does not reflect progress.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BegunWith {
    /// The password.
    #[default]
    Password,
    /// The password and a ticket with the right to enrol: the hash of the ticket's token, as
    /// hexadecimal digits.
    PasswordAndTicket(String),
    /// A recovery code in place of a forgotten password. There is no session before a new password
    /// is set.
    RecoveryCode,
    /// A password that the app itself checked.
    App,
    /// A password that the app itself checked, sent by the app's own client. Notices wait for a
    /// sign-in on Vestibule's pages, where a user can read them.
    AppClient,
    /// A passkey that is both factors. The login is finished in the same request; no browser holds
    /// its token.
    Passkey,
}

/// A pending login: the first factor was verified, the second is required.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingLogin {
    /// Account of the login.
    pub account: AccountId,
    /// Name of the app of the login. Other apps reject it.
    pub app: String,
    /// Proof of the first factor.
    #[serde(default)]
    pub begun_with: BegunWith,
    /// Time at which the first factor was verified.
    pub started_at: Timestamp,
    /// Time of expiry.
    pub expires_at: Timestamp,
    /// Path and query on the same host to redirect to after sign-in.
    pub return_to: String,
    /// Authenticator offered for enrolment, if the account has none.
    pub enrolment: Option<ProvisionalSecret>,
    /// Digest of the typed name, if the app checked the password. It may differ from the account's
    /// name.
    #[serde(default)]
    pub typed_name: Option<String>,
    /// Credentials that the app issued when it checked the password, sealed to this login.
    #[serde(default)]
    pub held: Option<String>,
    /// True if all attempts are used: only an attempt that was counted in time can still finish the
    /// login. Set by the store.
    #[serde(skip)]
    pub spent: bool,
}

impl PendingLogin {
    /// Returns the time at which the first factor was verified. A recovery code is none.
    pub fn first_factor_at(&self) -> Timestamp {
        match self.begun_with {
            BegunWith::Password
            | BegunWith::PasswordAndTicket(_)
            | BegunWith::App
            | BegunWith::AppClient
            | BegunWith::Passkey => self.started_at,
            BegunWith::RecoveryCode => Timestamp::EPOCH,
        }
    }
}

/// The secret of an authenticator that is offered but not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvisionalSecret {
    /// Id of the future authenticator.
    pub factor: FactorId,
    /// Secret, sealed to the account and this authenticator.
    pub sealed: String,
}

/// A session as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Id of the session in lists.
    pub id: SessionId,
    /// Identity of the user at the start of the session.
    pub identity: Identity,
    /// Name of the app of the session. Other apps reject it.
    pub app: String,
    /// Second factor that finished the login.
    pub method: Factor,
    /// Evidence of the key that finished the login or was proved since, if any.
    #[serde(default)]
    pub key: Option<KeyEvidence>,
    /// True if a passkey was both factors.
    #[serde(default)]
    pub alone: bool,
    /// Start of the session under its current id.
    pub started_at: Timestamp,
    /// Time of sign-in, if the session has had another id since.
    #[serde(default)]
    pub renewed_since: Option<Timestamp>,
    /// Time at which the second factor was last verified.
    #[serde(default = "never")]
    pub second_factor_at: Timestamp,
    /// Time at which the first factor was last verified: the password, or a passkey that verified its
    /// user and is both factors.
    #[serde(default = "never")]
    pub password_at: Timestamp,
    /// Time of the last use, accurate to the touch interval.
    pub last_seen_at: Timestamp,
    /// Time at which the session ends, whether used or not.
    pub expires_at: Timestamp,
    /// Client that signed in.
    pub device: Device,
    /// Path to redirect to after new recovery codes are confirmed; set while they are due.
    pub recovery_codes_due: Option<String>,
    /// Authenticator or recovery codes offered and not confirmed.
    #[serde(default)]
    pub offers: Offers,
    /// Notices for the user, as of the start of the session.
    #[serde(default)]
    pub notices: Vec<Notice>,
    /// Number of changes to the account's identity since the session was stored. Counted by the
    /// store.
    #[serde(skip)]
    pub identity_changes: u64,
    /// Id of the tree that the session is the root of. Branches of another tree are invalid.
    #[serde(default)]
    pub tree: Option<TreeId>,
    /// Token of the root and of the branch, if the session was looked up as a branch.
    #[serde(skip)]
    pub branch: Option<BranchTokens>,
    /// Names of the apps of its branches. Only lists have them.
    #[serde(skip)]
    pub apps: Vec<String>,
}

/// The tokens of a session at an app, below a session at the portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BranchTokens {
    /// Hash of the token of the session at the portal.
    pub root: HashedToken<SessionToken>,
    /// Hash of the token at the app.
    pub own: HashedToken<SessionToken>,
}

/// A session at an app as stored: a reference to a session at the portal, with the proofs that were
/// handed over. Everything else is the portal's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Hash of the token of the session at the portal.
    pub root: HashedToken<SessionToken>,
    /// Tree that the branch belongs to.
    pub tree: TreeId,
    /// Name of the app. Other apps and the portal reject the branch.
    pub app: String,
    /// Proofs as of the hand-over. A later step-up counts at the app only after another hand-over,
    /// which gives it a new token: one that was stolen before never gets fresher proofs.
    pub proofs: HandedProofs,
}

/// The proofs of a session when it was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedProofs {
    /// Second factor.
    pub method: Factor,
    /// Evidence of the key, if any.
    pub key: Option<KeyEvidence>,
    /// True if a passkey was both factors.
    pub alone: bool,
    /// Time at which the second factor was last verified.
    pub second_factor_at: Timestamp,
    /// Time at which the first factor was last verified.
    pub password_at: Timestamp,
}

impl HandedProofs {
    /// Returns the proofs that `session` has now.
    pub fn of(session: &Session) -> Self {
        Self {
            method: session.method,
            key: session.key,
            alone: session.alone,
            second_factor_at: session.second_factor_at,
            password_at: session.password_at,
        }
    }
}

/// A session, as the durable store names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionMark {
    /// Id of the session in lists.
    pub id: SessionId,
    /// Hash of its token.
    pub token: HashedToken<SessionToken>,
    /// Hash of its token at an app, if it is a branch. It ends with either.
    pub branch: Option<HashedToken<SessionToken>>,
    /// Start of the session under this id.
    pub started_at: Timestamp,
}

/// Sessions that end together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndOf {
    /// One session, by its token, by its id, or by both.
    Session {
        /// Hash of its token.
        token: Option<HashedToken<SessionToken>>,
        /// Its id.
        id: Option<SessionId>,
    },
    /// One session, if it is of this account.
    Own {
        /// The account.
        account: AccountId,
        /// Id of the session.
        id: SessionId,
    },
    /// The sessions of an account that started before the end.
    Account {
        /// The account.
        id: AccountId,
        /// A session that goes on.
        keep: Option<SessionId>,
    },
    /// All sessions that started before the end.
    All,
}

/// Returns the time of a proof in sessions that were stored before proofs were recorded.
fn never() -> Timestamp {
    Timestamp::EPOCH
}

impl Session {
    /// Returns the authentication methods, as RFC 8176 names them.
    pub fn methods(&self) -> Vec<&'static str> {
        amr::methods(self.method, self.key, self.alone)
    }

    /// Returns true if `other` states the same about the user and the sign-in.
    pub fn signs_as(&self, other: &Self) -> bool {
        self.id == other.id
            && self.app == other.app
            && self.identity == other.identity
            && self.methods() == other.methods()
            && self.signed_in_at() == other.signed_in_at()
    }

    /// Returns the names of the session under `token` in the durable store. A branch has those of
    /// its root, so the end of the root ends it.
    pub fn mark(&self, token: &HashedToken<SessionToken>) -> SessionMark {
        SessionMark {
            id: self.id,
            token: self.branch.map_or(*token, |branch| branch.root),
            branch: self.branch.map(|branch| branch.own),
            started_at: self.started_at,
        }
    }

    /// Returns this session as a branch of it under `token` sees it, or `None` if the branch
    /// belongs to another tree.
    pub fn seen_from(self, branch: Branch, token: &HashedToken<SessionToken>) -> Option<Self> {
        if self.tree != Some(branch.tree) {
            return None;
        }
        let tokens = BranchTokens { root: branch.root, own: *token };
        let HandedProofs { method, key, alone, second_factor_at, password_at } = branch.proofs;
        Some(Self {
            app: branch.app,
            branch: Some(tokens),
            method,
            key,
            alone,
            second_factor_at,
            password_at,
            ..self
        })
    }

    /// Returns the time of sign-in.
    pub fn signed_in_at(&self) -> Timestamp {
        self.renewed_since.unwrap_or(self.started_at)
    }
}

/// Authenticator and recovery codes offered in a session until they are confirmed, each sealed.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offers {
    /// New authenticator.
    pub authenticator: Option<String>,
    /// New recovery codes.
    pub recovery_codes: Option<String>,
}

impl std::fmt::Debug for Offers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Offers(…)")
    }
}

/// A pending change that a session holds until its user confirms it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// A new authenticator.
    Authenticator,
    /// New recovery codes.
    RecoveryCodes,
}

/// Lifetimes of sessions and pending logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Inactivity timeout of a session (NIST SP 800-63B-4 §2.2.3).
    pub idle: Duration,
    /// Maximum lifetime of a session.
    pub absolute: Duration,
    /// Lifetime of a pending login.
    pub pending: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            idle: Duration::from_mins(30),
            absolute: Duration::from_hours(12),
            pending: Duration::from_mins(10),
        }
    }
}

impl SessionLimits {
    /// Returns the interval at which `last_seen_at` is written: a minute, or a quarter of a short
    /// inactivity timeout.
    pub fn touch_interval(&self) -> Duration {
        Duration::from_mins(1).min(self.idle / 4)
    }

    /// Returns true if `session` is alive at `now`.
    pub fn is_alive(&self, session: &Session, now: Timestamp) -> bool {
        now < session.expires_at && now.since(session.last_seen_at) < self.idle
    }

    /// Returns the time for which a store keeps a session last seen at `now`.
    pub fn time_to_live(&self, session: &Session, now: Timestamp) -> Duration {
        self.idle.min(session.expires_at.since(now))
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::auth::account::LoginName;
    use crate::base::random::OsRandom;

    /// Returns a session of alice that began at the epoch.
    pub(crate) fn session() -> Session {
        let random = OsRandom::new();
        Session {
            id: SessionId::random(&random).unwrap(),
            identity: Identity {
                account: AccountId::random(&random).unwrap(),
                name: LoginName::parse("alice").unwrap(),
                display_name: "Alice".to_owned(),
                email: None,
                groups: Vec::new(),
            },
            app: "app".to_owned(),
            method: Factor::TOTP,
            key: None,
            alone: false,
            started_at: Timestamp::EPOCH,
            renewed_since: None,
            second_factor_at: Timestamp::EPOCH,
            password_at: Timestamp::EPOCH,
            last_seen_at: Timestamp::EPOCH,
            expires_at: Timestamp::EPOCH.plus(Duration::from_hours(12)),
            device: Device {
                address: ClientIp::new([192, 0, 2, 7].into()),
                user_agent: String::new(),
            },
            recovery_codes_due: None,
            offers: Offers::default(),
            notices: Vec::new(),
            identity_changes: 0,
            tree: None,
            branch: None,
            apps: Vec::new(),
        }
    }

    #[test]
    fn a_session_filed_without_times_of_proofs_has_no_fresh_ones() {
        let mut filed = serde_json::to_value(session()).unwrap();
        let fields = filed.as_object_mut().unwrap();
        for new in ["renewed_since", "second_factor_at", "password_at", "offers", "notices"] {
            fields.remove(new).unwrap();
        }
        let read: Session = serde_json::from_value(filed).unwrap();
        assert_eq!((read.second_factor_at, read.password_at), (Timestamp::EPOCH, Timestamp::EPOCH));
        assert_eq!(read.signed_in_at(), read.started_at);
    }
}
