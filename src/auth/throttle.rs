//! Attempt limits and backoff. Attempts are counted before the check and taken back on success, so
//! parallel attempts cannot exceed a limit. All nodes share the counters.

use std::time::Duration;

use super::keys::KeyRing;
use super::token::{HashedToken, TicketToken};
use super::totp::TimeStep;
use crate::base::address::ClientIp;
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, BrowserId, FactorId, RequestId, SessionId, TokenId};

/// A number of attempts within a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Allowed attempts.
    pub tries: u32,
    /// Length of the window, from the first attempt.
    pub window: Duration,
}

/// Sets of recovery codes that one account may generate before it must wait.
pub const RECOVERY_SETS: Budget = Budget { tries: 10, window: Duration::from_mins(10) };

/// Audit rows about failed attempts without a correct password, per event type over all names and
/// addresses. Further ones are only counted, so that a flood cannot fill the disk.
pub const GUESS_ROWS: Budget = Budget { tries: 300, window: Duration::from_mins(10) };

/// Daily limit for the same rows: the window above restarts 144 times a day.
pub const GUESS_ROWS_A_DAY: Budget = Budget { tries: 3000, window: Duration::from_hours(24) };

/// Audit rows about one account, per event type that no attempt limit bounds. Each costs a client with
/// the password no more than a hash.
pub const ACCOUNT_ROWS: Budget = Budget { tries: 20, window: Duration::from_mins(10) };

/// Daily limit for the same rows.
pub const ACCOUNT_ROWS_A_DAY: Budget = Budget { tries: 200, window: Duration::from_hours(24) };

/// Time for which a network stays known to an account that verified both factors from it.
pub const NETWORK_LIVES: Duration = Duration::from_hours(30 * 24);

/// Maximum number of known networks per name. The oldest are deleted first.
pub const NETWORKS_MOST: u32 = 16;

/// Attempts at the secret of an enrolment in progress. The browser has seen the secret, so these
/// reveal nothing, but they are bounded all the same.
pub const ENROLMENT_GUESSES: Budget = Budget { tries: 10, window: Duration::from_mins(5) };

/// Hints to one account that the clock of its phone is wrong.
pub const CLOCK_ANSWERS: Budget = Budget { tries: 5, window: Duration::from_hours(1) };

/// Consecutive wrong recovery codes after which no more are accepted (NIST SP 800-63B-4 §3.2.2).
pub const RECOVERY_MOST: u32 = 100;

/// Free attempts followed by exponential backoff: the wait doubles with each attempt, up to a
/// maximum. The counter resets after a period without attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Attempts before backoff.
    pub free: u32,
    /// First wait.
    pub first: Duration,
    /// Longest wait.
    pub longest: Duration,
    /// Period without attempts after which the counter resets.
    pub forget: Duration,
}

impl Pace {
    /// Returns the wait after the attempt with this number, counted from one.
    pub fn wait_after(&self, tries: u32) -> Duration {
        let Some(beyond) = tries.checked_sub(self.free) else { return Duration::ZERO };
        let doubled = 2_u32.checked_pow(beyond).and_then(|n| self.first.checked_mul(n));
        doubled.map_or(self.longest, |wait| wait.min(self.longest))
    }
}

/// Backoff after every N consecutive failures at a second factor, and a limit at which the factor
/// is suspended. Only a correct code resets the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// Number of failures N between waits.
    pub every: u32,
    /// Wait before `long_after` is reached.
    pub short: Duration,
    /// Number of failures from which the long wait applies.
    pub long_after: u32,
    /// Long wait.
    pub long: Duration,
    /// Number of failures at which the factor is suspended.
    pub most: u32,
}

impl Ladder {
    /// Returns the same ladder with another limit.
    #[must_use]
    pub fn up_to(self, most: u32) -> Self {
        Self { most, ..self }
    }
}

/// The result of counting an attempt at a second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Counted {
    /// The code may be compared. The attempt counts as failed until it proves correct.
    Go {
        /// Consecutive failures, including this one.
        failures: u32,
    },
    /// The factor is in backoff for this time; the attempt was not counted.
    Wait(Duration),
    /// The factor is suspended.
    Suspended {
        /// Consecutive failures.
        failures: u32,
    },
    /// The account has no such factor.
    NoFactor,
}

/// Wrong codes after a correct password, in one login or in all older ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongCodes {
    /// Hash of the login's token. Empty in the sum of older logins.
    pub login: String,
    /// Number of wrong codes.
    pub tries: u32,
    /// Time of the last one.
    pub last_at: Timestamp,
    /// Client address of the last one.
    pub address: ClientIp,
}

/// The attempt budgets in effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Passwords from unknown browsers, per network (/32 or /64).
    pub address: Pace,
    /// Passwords from unknown browsers, per name, whether or not an account has it.
    pub name: Pace,
    /// Wrong passwords from one known browser, per account.
    pub device: Budget,
    /// Lifetime of a known browser.
    pub device_lives: Duration,
    /// Wrong passwords from unknown browsers, over all names. Alert only; no throttling.
    pub spray: Budget,
    /// Consecutive wrong second factors, per account.
    pub second_factor: Ladder,
    /// Wrong second factors in one login before the password is required again.
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

/// Digests of a name and a network.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NetworkDigest {
    /// Digest of the name.
    pub name: String,
    /// Digest of the network.
    pub network: String,
}

impl NetworkDigest {
    /// Computes the digests of a folded name and of the network of `ip`.
    pub fn new(keys: &KeyRing, folded: &str, ip: ClientIp) -> Self {
        let network = keys.name_digest(&format!("network {}", ip.network()));
        Self { name: keys.name_digest(folded), network }
    }
}

/// An account that verified both factors from a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenNetwork {
    /// The account.
    pub account: AccountId,
    /// Time of the last verification.
    pub at: Timestamp,
}

/// The key of an attempt counter.
///
/// Keys of strangers' attempts are grouped: each stands for one of about a million groups of names
/// or networks, so new names and addresses in a flood cannot fill a store. The groups are keyed, so
/// two names or networks share a counter only by chance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttemptKey {
    text: String,
    /// True if anyone can have it counted, as often as they like.
    of_strangers: bool,
    /// Request that makes the attempt, if the backoff that it causes may have to be taken back.
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

    /// Wrong passwords for a folded name ([`super::account::TypedName`]), whether or not an account
    /// has it.
    pub fn name(keys: &KeyRing, folded: &str) -> Self {
        Self::group("name", keys, folded)
    }

    /// Wrong passwords for `account` from a network where it has signed in.
    pub fn from_network(account: AccountId, network: &NetworkDigest) -> Self {
        Self::new(format!("from_network:{account}:{}", network.network))
    }

    /// Wrong passwords for `account` from one of its known browsers.
    pub fn device(account: AccountId, browser: BrowserId) -> Self {
        Self::new(format!("device:{account}:{browser}"))
    }

    /// Wrong passwords for `account` within its sessions. Strangers cannot use these up.
    pub fn in_sessions(account: AccountId) -> Self {
        Self::new(format!("sessions:{account}"))
    }

    /// Wrong passwords from unknown browsers, over all names.
    pub fn spray() -> Self {
        Self::of_strangers("spray".to_owned())
    }

    /// Second factors typed for `account` that it does not have.
    pub fn second_factor(account: AccountId) -> Self {
        Self::new(format!("second_factor:{account}"))
    }

    /// Enrolment attempts for `account` in logins that need no one-time link for it.
    pub fn first_enrolment(account: AccountId) -> Self {
        Self::new(format!("first_enrolment:{account}"))
    }

    /// Enrolment attempts with one one-time link, by the hash of its token.
    pub fn enrolment_by_link(ticket: &str) -> Self {
        Self::new(format!("enrolment_by_link:{ticket}"))
    }

    /// Hints about the clock of the phone of `account`.
    pub fn clock(account: AccountId) -> Self {
        Self::new(format!("clock:{account}"))
    }

    /// The hint about the code of one time step. Giving it rules out any other.
    pub fn answered_step(factor: FactorId, step: TimeStep) -> Self {
        Self::new(format!("answered:{factor}:{}", step.number()))
    }

    /// Invalid one-time links opened from the network of `ip`.
    pub fn ticket(keys: &KeyRing, ip: ClientIp) -> Self {
        Self::network("ticket", keys, ip)
    }

    /// Wrong passwords typed with one one-time link.
    pub fn behind_ticket(ticket: &HashedToken<TicketToken>) -> Self {
        Self::new(format!("behind_ticket:{}", ticket.to_hex()))
    }

    /// Wrong passwords and codes typed within one session.
    pub fn within_session(session: SessionId) -> Self {
        Self::new(format!("session:{session}"))
    }

    /// Sets of recovery codes generated for `account`. Each costs ten hashes.
    pub fn recovery_set(account: AccountId) -> Self {
        Self::new(format!("recovery_set:{account}"))
    }

    /// Audit rows about the use of an app token from the network of `ip`.
    pub fn app_token(app: &str, token: &str, ip: ClientIp) -> Self {
        Self::new(format!("app_token:{app}:{token}:{}", ip.network()))
    }

    /// Audit rows about the use of an access token.
    pub fn own_token(id: TokenId) -> Self {
        Self::new(format!("token:{id}"))
    }

    /// Rejected long-lived tokens from the network of `ip`.
    pub fn wrong_app_tokens(keys: &KeyRing, ip: ClientIp) -> Self {
        Self::network("app_tokens", keys, ip)
    }

    /// Audit rows of one event type.
    pub fn rows(event: &'static str) -> Self {
        Self::of_strangers(format!("audit_rows:{event}"))
    }

    /// Audit rows of one event type per day.
    pub fn rows_a_day(event: &'static str) -> Self {
        Self::of_strangers(format!("audit_rows_a_day:{event}"))
    }

    /// Audit rows of one event type about `account`.
    pub fn rows_about(event: &'static str, account: AccountId) -> Self {
        Self::new(format!("audit_rows:{event}:{account}"))
    }

    /// Audit rows of one event type about `account` per day.
    pub fn rows_about_a_day(event: &'static str, account: AccountId) -> Self {
        Self::new(format!("audit_rows_a_day:{event}:{account}"))
    }

    /// Returns the key that marks this key's refusals as recorded in the audit log.
    #[must_use]
    pub fn refused(&self) -> Self {
        Self { text: format!("refused:{}", self.text), of_strangers: self.of_strangers, by: None }
    }

    /// Returns the key for the attempt of one request, so that the backoff it causes can be taken
    /// back with it.
    #[must_use]
    pub fn by(self, request: RequestId) -> Self {
        Self { by: Some(request), ..self }
    }

    /// Returns the key without a request.
    #[must_use]
    pub fn by_any(&self) -> Self {
        Self { by: None, ..self.clone() }
    }

    /// Returns the request that makes the attempt.
    pub fn request(&self) -> Option<RequestId> {
        self.by
    }

    /// Returns true if anyone can have it counted, as often as they like. Such counters never delay
    /// users who have shown a proof.
    pub fn is_of_strangers(&self) -> bool {
        self.of_strangers
    }

    /// Returns the text of the key.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// The decision on an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// The attempt is allowed and was counted.
    Go,
    /// The attempt is refused for this time and was not counted.
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
