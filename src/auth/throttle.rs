//! How many wrong guesses are borne. Counted before the look-up and taken back on success, so
//! that parallel guesses cannot slip by; the counters are shared by all nodes.

use std::time::Duration;

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

/// The same within a day: the window above begins anew 144 times.
pub const GUESS_ROWS_A_DAY: Budget = Budget { tries: 3000, window: Duration::from_hours(24) };

/// Rows of the audit trail about right passwords of one account: each costs its sender a hash and
/// nothing else.
pub const RIGHT_ROWS: Budget = Budget { tries: 20, window: Duration::from_mins(10) };

/// The same within a day.
pub const RIGHT_ROWS_A_DAY: Budget = Budget { tries: 200, window: Duration::from_hours(24) };

/// Time for which a network stays known to an account that passed both factors from there.
pub const NETWORK_LIVES: Duration = Duration::from_hours(30 * 24);

/// Networks known to one name; the oldest go first.
pub const NETWORKS_MOST: u32 = 16;

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

/// A name and a network, as far as a store knows them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NetworkDigest {
    /// Stands for the name.
    pub name: String,
    /// Stands for the network.
    pub network: String,
}

impl NetworkDigest {
    /// Of a folded name and the network of `ip`.
    pub fn new(keys: &KeyRing, folded: &str, ip: ClientIp) -> Self {
        let network = keys.name_digest(&format!("network {}", ip.network()));
        Self { name: keys.name_digest(folded), network }
    }
}

/// An account that passed both factors from a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenNetwork {
    /// The account.
    pub account: AccountId,
    /// When it last did.
    pub at: Timestamp,
}

/// What a counter is kept under.
///
/// Keys of strangers' tries stand for one of about a million groups of names or networks: a flood of
/// new names and addresses fills no store. Two of them share a counter by chance only, as the groups
/// are made with a key of ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttemptKey {
    text: String,
    /// Anyone can have it counted, as often as they like.
    of_strangers: bool,
    /// The request whose try it is, where the wait that it brings may have to be taken back.
    by: Option<RequestId>,
}

impl AttemptKey {
    fn new(text: String) -> Self {
        Self { text, of_strangers: false, by: None }
    }

    fn of_strangers(text: String) -> Self {
        Self { text, of_strangers: true, by: None }
    }

    fn group(kind: &str, keys: &KeyRing, of: &str) -> Self {
        let digest = keys.name_digest(of);
        Self::of_strangers(format!("{kind}:{}", digest.get(..5).unwrap_or_default()))
    }

    fn network(kind: &str, keys: &KeyRing, ip: ClientIp) -> Self {
        Self::group(kind, keys, &ip.network().to_string())
    }

    /// Wrong passwords from the network of `ip`.
    pub fn address(keys: &KeyRing, ip: ClientIp) -> Self {
        Self::network("address", keys, ip)
    }

    /// Wrong passwords for a folded name ([`super::account::TypedName`]), known or not.
    pub fn name(keys: &KeyRing, folded: &str) -> Self {
        Self::group("name", keys, folded)
    }

    /// Wrong passwords for `account` from a network where it has signed in.
    pub fn from_network(account: AccountId, network: &NetworkDigest) -> Self {
        Self::new(format!("from_network:{account}:{}", network.network))
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
        Self::of_strangers("spray".to_owned())
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
    pub fn ticket(keys: &KeyRing, ip: ClientIp) -> Self {
        Self::network("ticket", keys, ip)
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
    pub fn wrong_app_tokens(keys: &KeyRing, ip: ClientIp) -> Self {
        Self::network("app_tokens", keys, ip)
    }

    /// Rows of one event in the audit trail.
    pub fn rows(event: &'static str) -> Self {
        Self::of_strangers(format!("audit_rows:{event}"))
    }

    /// The same within a day.
    pub fn rows_a_day(event: &'static str) -> Self {
        Self::of_strangers(format!("audit_rows_a_day:{event}"))
    }

    /// Rows of one event about `account` in the audit trail.
    pub fn rows_about(event: &'static str, account: AccountId) -> Self {
        Self::new(format!("audit_rows:{event}:{account}"))
    }

    /// The same within a day.
    pub fn rows_about_a_day(event: &'static str, account: AccountId) -> Self {
        Self::new(format!("audit_rows_a_day:{event}:{account}"))
    }

    /// Whether the trail tells already that this key's tries are refused.
    #[must_use]
    pub fn refused(&self) -> Self {
        Self { text: format!("refused:{}", self.text), of_strangers: self.of_strangers, by: None }
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
        Self { by: None, ..self.clone() }
    }

    /// Whose try it is.
    pub fn request(&self) -> Option<RequestId> {
        self.by
    }

    /// Returns true if anyone can have it counted, as often as they like: such counters never delay
    /// what people with a proof wait for.
    pub fn is_of_strangers(&self) -> bool {
        self.of_strangers
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
