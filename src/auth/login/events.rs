//! What the use cases write to the audit trail, and what keeps a flood of guesses from filling it.

use super::service::count_failure;
use super::{LoginError, LoginService};
use crate::auth::account::Identity;
use crate::auth::audit::{Caller, Context, Event, Guess};
use crate::auth::throttle::{AttemptKey, Budget, Verdict, WRONG_PASSWORD_ROWS};

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
        let context =
            known.map_or_else(|| Context::unknown(caller), |who| Context::person(caller, who));
        let rows = [(AttemptKey::rows("password_wrong"), WRONG_PASSWORD_ROWS)];
        match self.deps.attempts.count(&rows, self.now()).await? {
            Verdict::Go => self.record(Event::PasswordWrong { name_digest }, &context).await,
            Verdict::Wait(wait) => {
                let key = [AttemptKey::rows("rows_left_out")];
                let left_out =
                    Event::RowsLeftOut { event: "password_wrong", seconds: wait.as_secs() };
                self.record_first(&key, wait, left_out, &Context::unknown(caller)).await
            }
        }
    }

    /// Guesses that are refused unseen: one row until they may go on, the rest is counted.
    /// `counted` are the keys whose budget is exhausted or may be.
    pub(super) async fn record_throttled(
        &self,
        counted: &[AttemptKey],
        event: Event,
        wait: std::time::Duration,
        context: &Context,
    ) -> Result<(), LoginError> {
        count_failure("throttled");
        let keys: Vec<_> = counted.iter().map(AttemptKey::refused).collect();
        self.record_first(&keys, wait, event, context).await
    }

    /// Writes `event` unless one was written under one of `keys` within `window`.
    async fn record_first(
        &self,
        keys: &[AttemptKey],
        window: std::time::Duration,
        event: Event,
        context: &Context,
    ) -> Result<(), LoginError> {
        let once = Budget { tries: 1, window };
        let keys: Vec<_> = keys.iter().map(|key| (key.clone(), once)).collect();
        match self.deps.attempts.count(&keys, self.now()).await? {
            Verdict::Go => self.record(event, context).await,
            Verdict::Wait(_) => Ok(()),
        }
    }
}

/// The event of a refusal.
pub(super) fn throttled(
    guess: Guess,
    wait: std::time::Duration,
    name_digest: Option<String>,
) -> Event {
    Event::Throttled { guess, seconds: wait.as_secs(), name_digest }
}
