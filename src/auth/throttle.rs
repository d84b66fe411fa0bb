//! How many wrong guesses are borne. Counted before the look-up and taken back on success, so
//! that parallel guesses cannot slip by; the counters are shared by all nodes.

use std::time::Duration;

use super::account::LoginName;
use super::keys::KeyRing;
use crate::base::address::ClientIp;
use crate::base::id::{AccountId, SessionId};

/// How many tries in which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Tries that are let through.
    pub tries: u32,
    /// Counted from the first of them.
    pub window: Duration,
}

/// Sets of recovery codes that one account may have made, before it must wait.
pub const RECOVERY_SETS: Budget = Budget { tries: 10, window: Duration::from_mins(10) };

/// Rows of the audit trail about guesses without a right password, of each kind and over all names
/// and addresses, before the rest is only counted: a flood of guesses must not fill the disk.
pub const GUESS_ROWS: Budget = Budget { tries: 300, window: Duration::from_mins(10) };

/// The budgets in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Wrong passwords from one address (/32 or /64).
    pub address: Budget,
    /// Wrong passwords for one name, known or not.
    pub name: Budget,
    /// Wrong second factors of one account, over all its logins.
    pub second_factor: Budget,
    /// Wrong second factors in one login, after which the password is asked for again.
    pub login: u32,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            address: Budget { tries: 20, window: Duration::from_mins(10) },
            name: Budget { tries: 10, window: Duration::from_mins(5) },
            second_factor: Budget { tries: 10, window: Duration::from_mins(5) },
            login: 5,
        }
    }
}

/// What a counter is kept under.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttemptKey(String);

impl AttemptKey {
    /// Wrong passwords from the network of `ip`.
    pub fn address(ip: ClientIp) -> Self {
        Self(format!("address:{}", ip.network()))
    }

    /// Wrong passwords for `name`, known or not.
    pub fn name(keys: &KeyRing, name: &LoginName) -> Self {
        Self(format!("name:{}", keys.name_digest(name.as_str())))
    }

    /// Wrong second factors of `account`.
    pub fn second_factor(account: AccountId) -> Self {
        Self(format!("second_factor:{account}"))
    }

    /// Links that do not work, opened from the network of `ip`.
    pub fn ticket(ip: ClientIp) -> Self {
        Self(format!("ticket:{}", ip.network()))
    }

    /// Wrong passwords and codes typed within one session.
    pub fn within_session(session: SessionId) -> Self {
        Self(format!("session:{session}"))
    }

    /// Sets of recovery codes made for `account`: each costs ten hashes.
    pub fn recovery_set(account: AccountId) -> Self {
        Self(format!("recovery_set:{account}"))
    }

    /// Rows of one event in the audit trail.
    pub fn rows(event: &'static str) -> Self {
        Self(format!("audit_rows:{event}"))
    }

    /// Whether the trail tells already that this key's tries are refused.
    #[must_use]
    pub fn refused(&self) -> Self {
        Self(format!("refused:{}", self.0))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether one more try is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It is, and it has been counted.
    Go,
    /// It is not, until this much time has passed. It has not been counted.
    Wait(Duration),
}
