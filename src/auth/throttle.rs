//! How many wrong guesses are borne. Counted before the look-up and taken back on success, so
//! that parallel guesses cannot slip by; the counters are shared by all nodes.

use std::time::Duration;

use super::account::LoginName;
use super::keys::KeyRing;
use super::token::{HashedToken, TicketToken};
use super::totp::TimeStep;
use crate::base::address::ClientIp;
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, BrowserId, FactorId, RequestId, SessionId, TokenId};

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

/// Rows of the audit trail about right passwords of one account: each costs its sender a hash and
/// nothing else.
pub const RIGHT_ROWS: Budget = Budget { tries: 20, window: Duration::from_mins(10) };

/// Guesses at the secret of an enrolment in progress, which the browser has been shown: they give
/// nothing away, and are bounded all the same.
pub const ENROLMENT_GUESSES: Budget = Budget { tries: 10, window: Duration::from_mins(5) };

/// Times that the clock of a phone is told to be wrong, for one account.
pub const CLOCK_ANSWERS: Budget = Budget { tries: 5, window: Duration::from_hours(1) };

/// Wrong recovery codes in a row after which no more are taken (NIST SP 800-63B-4 §3.2.2).
pub const RECOVERY_MOST: u32 = 100;

/// Tries that are let through at once, and growing waits between those after: the first wait, then
/// twice as long each time, up to the longest. All is forgotten after a while without a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Tries without a wait.
    pub free: u32,
    /// The first wait.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// Without a try for this long, the next is the first again.
    pub forget: Duration,
}

impl Pace {
    /// How long to wait after the try with this number, counted from one.
    pub fn wait_after(&self, tries: u32) -> Duration {
        let Some(beyond) = tries.checked_sub(self.free) else { return Duration::ZERO };
        let doubled = 2_u32.checked_pow(beyond).and_then(|n| self.first.checked_mul(n));
        doubled.map_or(self.longest, |wait| wait.min(self.longest))
    }
}

/// Wrong second factors in a row: waits that come with every so many of them, and an end. Only a
/// right one starts afresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// A wait comes with every multiple of this.
    pub every: u32,
    /// The wait, at first.
    pub short: Duration,
    /// From so many on, the wait is the long one.
    pub long_after: u32,
    /// The long wait.
    pub long: Duration,
    /// With so many the factor is suspended.
    pub most: u32,
}

impl Ladder {
    /// The same for another number of guesses in all.
    #[must_use]
    pub fn up_to(self, most: u32) -> Self {
        Self { most, ..self }
    }
}

/// What comes of counting a guess at a second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Counted {
    /// It may be compared. It is counted as wrong until it turns out right.
    Go {
        /// Wrong guesses in a row, with this one.
        failures: u32,
    },
    /// Not yet; it was not counted.
    Wait(Duration),
    /// The factor is suspended.
    Suspended {
        /// Wrong guesses in a row.
        failures: u32,
    },
    /// The account has no such factor.
    NoFactor,
}

/// Wrong codes after a right password, in one login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongCodes {
    /// What the store knows the login by.
    pub login: String,
    /// How many.
    pub tries: u32,
    /// When the last one was.
    pub last_at: Timestamp,
    /// Where it came from.
    pub address: ClientIp,
}

/// The budgets in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Passwords from unknown browsers, from one network (/32 or /64).
    pub address: Pace,
    /// Passwords from unknown browsers, for one name, known or not.
    pub name: Pace,
    /// Wrong passwords from one known browser, for one account.
    pub device: Budget,
    /// How long a browser stays known.
    pub device_lives: Duration,
    /// Wrong passwords from unknown browsers, over all names, after which an alarm is given.
    pub spray: Budget,
    /// Wrong second factors of one account in a row.
    pub second_factor: Ladder,
    /// Wrong second factors in one login, after which the password is asked for again.
    pub login: u32,
}

impl Default for Budgets {
    fn default() -> Self {
        let pace = |free| Pace {
            free,
            first: Duration::from_secs(2),
            longest: Duration::from_mins(1),
            forget: Duration::from_hours(1),
        };
        Self {
            address: pace(20),
            name: pace(5),
            device: Budget { tries: 10, window: Duration::from_mins(15) },
            device_lives: Duration::from_hours(180 * 24),
            spray: Budget { tries: 300, window: Duration::from_mins(10) },
            second_factor: Ladder {
                every: 10,
                short: Duration::from_mins(5),
                long_after: 20,
                long: Duration::from_mins(30),
                most: 50,
            },
            login: 5,
        }
    }
}

/// What a counter is kept under.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttemptKey {
    text: String,
    /// The request whose try it is, where the wait that it brings may have to be taken back.
    by: Option<RequestId>,
}

impl AttemptKey {
    fn new(text: String) -> Self {
        Self { text, by: None }
    }

    /// Wrong passwords from the network of `ip`.
    pub fn address(ip: ClientIp) -> Self {
        Self::new(format!("address:{}", ip.network()))
    }

    /// Wrong passwords for `name`, known or not.
    pub fn name(keys: &KeyRing, name: &LoginName) -> Self {
        Self::new(format!("name:{}", keys.name_digest(name.as_str())))
    }

    /// Wrong passwords for `account` from a browser that it knows.
    pub fn device(account: AccountId, browser: BrowserId) -> Self {
        Self::new(format!("device:{account}:{browser}"))
    }

    /// Wrong passwords for `account` within its sessions: no stranger uses these up.
    pub fn in_sessions(account: AccountId) -> Self {
        Self::new(format!("sessions:{account}"))
    }

    /// Wrong passwords from unknown browsers, over all names.
    pub fn spray() -> Self {
        Self::new("spray".to_owned())
    }

    /// Wrong second factors of `account`, for which nothing durable counts.
    pub fn second_factor(account: AccountId) -> Self {
        Self::new(format!("second_factor:{account}"))
    }

    /// Answers about the clock of the phone of `account`.
    pub fn clock(account: AccountId) -> Self {
        Self::new(format!("clock:{account}"))
    }

    /// The answer to the code of a step: the one that it is of another time rules out any other.
    pub fn answered_step(factor: FactorId, step: TimeStep) -> Self {
        Self::new(format!("answered:{factor}:{}", step.number()))
    }

    /// Links that do not work, opened from the network of `ip`.
    pub fn ticket(ip: ClientIp) -> Self {
        Self::new(format!("ticket:{}", ip.network()))
    }

    /// Wrong passwords typed behind one ticket.
    pub fn behind_ticket(ticket: &HashedToken<TicketToken>) -> Self {
        Self::new(format!("behind_ticket:{}", ticket.to_hex()))
    }

    /// Wrong passwords and codes typed within one session.
    pub fn within_session(session: SessionId) -> Self {
        Self::new(format!("session:{session}"))
    }

    /// Sets of recovery codes made for `account`: each costs ten hashes.
    pub fn recovery_set(account: AccountId) -> Self {
        Self::new(format!("recovery_set:{account}"))
    }

    /// What is told of the use of a long-lived token from the network of `ip`.
    pub fn app_token(app: &str, token: &str, ip: ClientIp) -> Self {
        Self::new(format!("app_token:{app}:{token}:{}", ip.network()))
    }

    /// What is told of the use of a token of ours.
    pub fn own_token(id: TokenId) -> Self {
        Self::new(format!("token:{id}"))
    }

    /// Long-lived tokens from the network of `ip` that were not let through.
    pub fn wrong_app_tokens(ip: ClientIp) -> Self {
        Self::new(format!("app_tokens:{}", ip.network()))
    }

    /// Rows of one event in the audit trail.
    pub fn rows(event: &'static str) -> Self {
        Self::new(format!("audit_rows:{event}"))
    }

    /// Rows of one event about `account` in the audit trail.
    pub fn rows_about(event: &'static str, account: AccountId) -> Self {
        Self::new(format!("audit_rows:{event}:{account}"))
    }

    /// Whether the trail tells already that this key's tries are refused.
    #[must_use]
    pub fn refused(&self) -> Self {
        Self::new(format!("refused:{}", self.text))
    }

    /// The same for the try of one request: the wait that this very try brings can be taken back
    /// with it.
    #[must_use]
    pub fn by(self, request: RequestId) -> Self {
        Self { by: Some(request), ..self }
    }

    /// The same for no try in particular.
    #[must_use]
    pub fn by_any(&self) -> Self {
        Self { text: self.text.clone(), by: None }
    }

    /// Whose try it is.
    pub fn request(&self) -> Option<RequestId> {
        self.by
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.text
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let pace = Budgets::default().name;
        let waits: Vec<u64> = (1..13).map(|n| pace.wait_after(n).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    proptest! {
        #[test]
        fn a_later_try_never_waits_less(free in 0_u32..50, tries in 0_u32..10_000) {
            let pace = Pace { free, ..Budgets::default().name };
            prop_assert!(pace.wait_after(tries) <= pace.wait_after(tries + 1));
            prop_assert!(pace.wait_after(tries) <= pace.longest);
            prop_assert_eq!(pace.wait_after(tries).is_zero(), tries < free);
        }
    }
}
