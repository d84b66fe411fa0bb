//! What the use cases write to the audit trail, and what keeps a flood of guesses from filling it.

use std::time::Duration;

use super::service::count_failure;
use super::{LoginError, LoginService};
use crate::auth::account::Identity;
use crate::auth::audit::{Caller, Context, Event, Guess};
use crate::auth::throttle::{AttemptKey, Budget, GUESS_ROWS, Verdict};

/// Rows about guesses refused for one name, network or account are no nearer to each other than this,
/// however short the waits.
const THROTTLED_ROWS_APART: Duration = Duration::from_mins(10);

impl LoginService {
    /// Writes an event to the audit trail. What cannot be written down must not happen.
    pub async fn record(&self, event: Event, context: &Context) -> Result<(), LoginError> {
        Ok(self.deps.trail.record(event, context).await?)
    }

    /// A wrong password; `known` is the account whose name was typed. Known and unknown names cost
    /// one row each, until so many were written that the rest is only counted.
    pub(super) async fn record_wrong_password(
        &self,
        caller: &Caller,
        known: Option<&Identity>,
        name_digest: String,
    ) -> Result<(), LoginError> {
        count_failure("password");
        self.record_capped(caller, known, Event::PasswordWrong { name_digest }).await
    }

    /// A wrong recovery code in place of a password; as for passwords.
    pub(super) async fn record_wrong_recovery(
        &self,
        caller: &Caller,
        known: Option<&Identity>,
        name_digest: String,
    ) -> Result<(), LoginError> {
        count_failure("recovery");
        self.record_capped(caller, known, Event::RecoveryWrong { name_digest }).await
    }

    async fn record_capped(
        &self,
        caller: &Caller,
        known: Option<&Identity>,
        event: Event,
    ) -> Result<(), LoginError> {
        let name = event.name();
        let context =
            known.map_or_else(|| Context::unknown(caller), |who| Context::person(caller, who));
        let rows = [(AttemptKey::rows(name), GUESS_ROWS)];
        match self.deps.attempts.count(&rows, self.now()).await? {
            Verdict::Go => self.record(event, &context).await,
            Verdict::Wait(wait) => {
                let key = AttemptKey::rows("rows_left_out");
                let left_out = Event::RowsLeftOut { event: name, seconds: wait.as_secs() };
                let context = Context::unknown(caller);
                self.record_within(&[(key, once(wait))], left_out, &context).await
            }
        }
    }

    /// Guesses that are refused unseen: one row until they may go on, the rest is counted.
    /// `counted` are the keys whose budget is exhausted or may be.
    pub(super) async fn record_throttled(
        &self,
        counted: &[AttemptKey],
        event: Event,
        wait: Duration,
        context: &Context,
    ) -> Result<(), LoginError> {
        count_failure("throttled");
        let apart = wait.max(THROTTLED_ROWS_APART);
        let mut keys: Vec<_> = counted.iter().map(|key| (key.refused(), once(apart))).collect();
        keys.push((AttemptKey::rows(event.name()), GUESS_ROWS));
        self.record_within(&keys, event, context).await
    }

    /// Writes `event` unless one of the budgets is used up.
    pub(super) async fn record_within(
        &self,
        budgets: &[(AttemptKey, Budget)],
        event: Event,
        context: &Context,
    ) -> Result<(), LoginError> {
        match self.deps.attempts.count(budgets, self.now()).await? {
            Verdict::Go => self.record(event, context).await,
            Verdict::Wait(_) => Ok(()),
        }
    }
}

pub(super) fn once(window: Duration) -> Budget {
    Budget { tries: 1, window }
}

/// The event of a refusal.
pub(super) fn throttled(guess: Guess, wait: Duration, name_digest: Option<String>) -> Event {
    Event::Throttled { guess, seconds: wait.as_secs(), name_digest }
}
