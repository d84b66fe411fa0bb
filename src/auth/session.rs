//! The two records that the short-lived store holds: a login in progress and a finished session.
//! They are two types in two key spaces under two kinds of token; neither has a field that says
//! how far the login got.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::account::Identity;
use super::factor::Factor;
use super::notice::Notice;
use crate::base::address::ClientIp;
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, FactorId, SessionId};

/// Where somebody signs in from, as told to that somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The address, after trusted proxies.
    pub address: ClientIp,
    /// The first 256 characters of `User-Agent`.
    pub user_agent: String,
}

/// What a login in progress was begun with. It is not how far it got: it does not change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BegunWith {
    /// The password.
    #[default]
    Password,
    /// The password, and a ticket that gives the right to enrol: what a store knows it by, as
    /// hexadecimal digits.
    PasswordAndTicket(String),
    /// A recovery code in place of a forgotten password: no session before a new one is set.
    RecoveryCode,
    /// A password that the app itself checked.
    App,
    /// The same, sent by a client of the app's own: what is to be told waits for a sign-in on our
    /// pages, where somebody reads it.
    AppClient,
}

/// A login in progress: the first factor was right, the second is owed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingLogin {
    /// Whose login it is.
    pub account: AccountId,
    /// The name of the app it is for; it is worth nothing at another.
    pub app: String,
    /// What proved the first factor.
    #[serde(default)]
    pub begun_with: BegunWith,
    /// When the first factor was verified.
    pub started_at: Timestamp,
    /// When it lapses.
    pub expires_at: Timestamp,
    /// A path and query on the same host, to go to once signed in.
    pub return_to: String,
    /// The authenticator offered for enrolment, where the account has none yet.
    pub enrolment: Option<ProvisionalTotp>,
    /// Stands for the name that was typed, where the app checked the password: it need not be that of
    /// the account.
    #[serde(default)]
    pub typed_name: Option<String>,
    /// What the app gave out where it checked the password, sealed to this login.
    #[serde(default)]
    pub held: Option<String>,
    /// All its guesses are made: it is over for everybody but whose guess was counted in time. Told
    /// by the store.
    #[serde(skip)]
    pub spent: bool,
}

/// An authenticator offered but not yet confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvisionalTotp {
    /// The id the factor will have.
    pub factor: FactorId,
    /// The secret, sealed to the account and this factor.
    pub sealed: String,
}

/// A finished session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// What names it in lists.
    pub id: SessionId,
    /// Whose it is, as known when it started.
    pub identity: Identity,
    /// The name of the app it is for; it is worth nothing at another.
    pub app: String,
    /// The second factor that finished the login.
    pub method: Factor,
    /// When it began under its present id.
    pub started_at: Timestamp,
    /// When the person signed in, where the session has had another id since.
    #[serde(default)]
    pub renewed_since: Option<Timestamp>,
    /// When the second factor was last proved.
    #[serde(default = "never")]
    pub second_factor_at: Timestamp,
    /// When the password was last proved.
    #[serde(default = "never")]
    pub password_at: Timestamp,
    /// When it was last used, to within the touch interval.
    pub last_seen_at: Timestamp,
    /// When it ends, used or not.
    pub expires_at: Timestamp,
    /// Where it was started.
    pub device: Device,
    /// Set while new recovery codes wait to be shown and confirmed: where to go after that.
    pub recovery_codes_due: Option<String>,
    /// What is offered in it and not yet confirmed.
    #[serde(default)]
    pub offers: Offers,
    /// What the person was to be told when it began.
    #[serde(default)]
    pub notices: Vec<Notice>,
    /// Changes to the account's identity since it was filed, counted by the store.
    #[serde(skip)]
    pub identity_changes: u64,
}

/// What a session that was filed before there were such proofs is worth.
fn never() -> Timestamp {
    Timestamp::EPOCH
}

impl Session {
    /// When the person signed in.
    pub fn signed_in_at(&self) -> Timestamp {
        self.renewed_since.unwrap_or(self.started_at)
    }
}

/// What a session offers its person until it is confirmed; each sealed.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offers {
    /// A new authenticator.
    pub authenticator: Option<String>,
    /// New recovery codes.
    pub recovery_codes: Option<String>,
}

impl std::fmt::Debug for Offers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Offers(…)")
    }
}

/// One of the things a session may offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// A new authenticator.
    Authenticator,
    /// New recovery codes.
    RecoveryCodes,
}

/// How long sessions and logins live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Unused for this long, a session is over (NIST SP 800-63B-4 §2.2.3).
    pub idle: Duration,
    /// This long after it started, a session is over.
    pub absolute: Duration,
    /// How long a login may wait for its second factor.
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
    /// How stale `last_seen_at` may get before it is written again: a minute, or a quarter of a
    /// short idle limit.
    pub fn touch_interval(&self) -> Duration {
        Duration::from_mins(1).min(self.idle / 4)
    }

    /// Whether `session` is alive at `now`.
    pub fn is_alive(&self, session: &Session, now: Timestamp) -> bool {
        now < session.expires_at && now.since(session.last_seen_at) < self.idle
    }

    /// How long a store may keep a session last seen at `now`.
    pub fn time_to_live(&self, session: &Session, now: Timestamp) -> Duration {
        self.idle.min(session.expires_at.since(now))
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::auth::account::LoginName;
    use crate::base::random::OsRandom;

    /// A session of somebody called alice, which began at the epoch.
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
            method: Factor::Totp,
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
