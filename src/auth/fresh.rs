//! Proofs of a recent authentication within a session, which sensitive changes to an account
//! require. Only the check of the session's own times makes one.
//!
//! ```compile_fail
//! use vestibule::auth::fresh::FreshFactors;
//! let forged = FreshFactors { session: todo!() }; // the field is private
//! ```

use std::time::Duration;

use super::session::Session;
use crate::base::clock::Timestamp;

/// Time for which a proof is fresh.
pub const FRESH: Duration = Duration::from_mins(5);

/// A proof that the second factor was verified in this session within [`FRESH`].
#[derive(Clone, Copy, Debug)]
pub struct FreshSecondFactor<'a> {
    session: &'a Session,
}

/// A proof that both factors were verified in this session within [`FRESH`].
#[derive(Clone, Copy, Debug)]
pub struct FreshFactors<'a> {
    session: &'a Session,
}

fn is_fresh(proved: Timestamp, now: Timestamp) -> bool {
    proved.is_within(FRESH, now)
}

impl<'a> FreshSecondFactor<'a> {
    /// Returns the proof if the session's second factor is fresh.
    pub fn of(session: &'a Session, now: Timestamp) -> Option<Self> {
        is_fresh(session.second_factor_at, now).then_some(Self { session })
    }

    /// Returns the session.
    pub fn session(&self) -> &'a Session {
        self.session
    }
}

impl<'a> FreshFactors<'a> {
    /// Returns the proof if both factors of the session are fresh.
    pub fn of(session: &'a Session, now: Timestamp) -> Option<Self> {
        let second = FreshSecondFactor::of(session, now)?;
        is_fresh(session.password_at, now).then_some(Self { session: second.session })
    }

    /// Returns the session.
    pub fn session(&self) -> &'a Session {
        self.session
    }
}

impl<'a> From<FreshFactors<'a>> for FreshSecondFactor<'a> {
    fn from(both: FreshFactors<'a>) -> Self {
        Self { session: both.session }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::session::testing::session;

    #[test]
    fn a_proof_is_fresh_for_five_minutes_and_not_before_it_was_made() {
        let at = |secs: u64| Timestamp::from_millis(secs * 1000);
        let mut session = session();
        session.second_factor_at = at(1000);
        session.password_at = at(900);
        let second = |now| FreshSecondFactor::of(&session, at(now)).is_some();
        let both = |now| FreshFactors::of(&session, at(now)).is_some();
        assert!(second(1000) && second(1300) && !second(1301) && !second(999));
        assert!(both(1000) && both(1200) && !both(1201) && !both(999));
    }
}
