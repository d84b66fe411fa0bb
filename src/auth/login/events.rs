//! Audit events of the use cases, and the limits that keep a flood of attempts from filling the
//! log.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::LoginError;
use super::deps::LoginDeps;
use super::omitted_rows::OmittedRows;
use crate::auth::account::Identity;
use crate::auth::audit::{Caller, Context, Event, Guess, TicketPurpose};
use crate::auth::ports::LinkEnded;
use crate::auth::throttle::{
    ACCOUNT_ROWS, ACCOUNT_ROWS_A_DAY, AttemptKey, Budget, GUESS_ROWS, GUESS_ROWS_A_DAY, Verdict,
};

/// Minimum time between rows about refused attempts for one name, network or account, even if the
/// waits are shorter.
const THROTTLED_ROWS_APART: Duration = Duration::from_mins(10);

/// Counts a refused attempt.
pub(super) fn count_failure(what: &'static str) {
    metrics::counter!("vestibule_sign_in_failures_total", "what" => what).increment(1);
}

/// Records the events of users in the audit log.
pub struct Journal {
    pub(super) deps: Arc<LoginDeps>,
    pub(super) omitted_rows: OmittedRows,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Journal(…)")
    }
}

impl Journal {
    /// Writes an event to the audit log. The action must not proceed if this fails.
    pub async fn record(&self, event: Event, context: &Context) -> Result<(), LoginError> {
        Ok(self.deps.trail.record(event, context).await?)
    }

    /// Checks that the audit log accepts rows, before an action that grants access or changes
    /// something.
    pub(super) async fn may_record(&self) -> Result<(), LoginError> {
        Ok(self.deps.accounts.ping().await?)
    }

    /// Writes the event of an action that is complete and stays complete. If the row cannot be
    /// written, logs and counts that it is missing.
    pub(super) async fn record_done(&self, event: Event, context: &Context) {
        let name = event.name();
        if let Err(error) = self.deps.trail.record(event, context).await {
            let account = context.account.map(|account| account.to_string());
            let reference = context.reference.map(|reference| reference.to_string());
            tracing::error!(
                event = name,
                account = account.as_deref().unwrap_or("-"),
                reference = reference.as_deref().unwrap_or("-"),
                %error,
                "security event is missing from the audit log"
            );
            metrics::counter!("vestibule_audit_rows_missing_total", "event" => name).increment(1);
        }
    }

    /// Records a wrong password. `known` is the account with the typed name. Known and unknown
    /// names cost one row each, up to a limit; further ones are only counted.
    pub(super) async fn record_wrong_password(
        &self,
        caller: &Caller,
        known: Option<&Identity>,
        name_digest: String,
    ) -> Result<(), LoginError> {
        count_failure("password");
        self.record_guess(caller, known, Event::PasswordWrong { name_digest }).await
    }

    /// Records a wrong recovery code in place of a password, in the same way.
    pub(super) async fn record_wrong_recovery(
        &self,
        caller: &Caller,
        known: Option<&Identity>,
        name_digest: String,
    ) -> Result<(), LoginError> {
        count_failure("recovery");
        self.record_guess(caller, known, Event::RecoveryWrong { name_digest }).await
    }

    /// Records an event that a client with the password or a session of the account can repeat
    /// without limit. Beyond a number of rows about the account, further ones are omitted and one
    /// row says so.
    pub(super) async fn record_about(
        &self,
        who: &Identity,
        event: Event,
        caller: &Caller,
    ) -> Result<(), LoginError> {
        let (name, account) = (event.name(), who.account);
        let budgets = [
            (AttemptKey::rows_about(name, account), ACCOUNT_ROWS),
            (AttemptKey::rows_about_a_day(name, account), ACCOUNT_ROWS_A_DAY),
        ];
        let context = Context::person(caller, who);
        self.record_capped(budgets, event, &context, &context).await
    }

    /// Records that a one-time link became invalid, because the user has since set the password or
    /// enrolled by other means.
    pub(super) async fn record_ended_link(
        &self,
        LinkEnded(ended): LinkEnded,
        asked: TicketPurpose,
        context: &Context,
    ) {
        if ended {
            self.record_done(Event::TicketEnded { asked }, context).await;
        }
    }

    async fn record_guess(
        &self,
        caller: &Caller,
        known: Option<&Identity>,
        event: Event,
    ) -> Result<(), LoginError> {
        let unknown = Context::unknown(caller);
        let context = known.map(|who| Context::person(caller, who));
        let context = context.as_ref().unwrap_or(&unknown);
        self.record_capped(rows(event.name()), event, context, &unknown).await
    }

    /// Writes `event` within `budgets`, and one row in the context `beyond` when they are
    /// exhausted.
    pub(super) async fn record_capped(
        &self,
        budgets: [(AttemptKey, Budget); 2],
        event: Event,
        context: &Context,
        beyond: &Context,
    ) -> Result<(), LoginError> {
        let [(key, _), _] = &budgets;
        let refused = key.refused();
        match self.deps.attempts.count(&budgets, self.deps.now()).await? {
            Verdict::Go => {
                self.record_omitted_rows(event.name()).await?;
                self.record(event, context).await
            }
            Verdict::Wait(wait) => {
                self.omitted_rows.add(event.name());
                let (name, seconds) = (event.name(), wait.as_secs());
                let left_out = Event::RowsLeftOut { event: name, seconds, rows: 0 };
                self.record_within(&[(refused, once(wait))], left_out, beyond).await
            }
        }
    }

    /// Writes the number of rows of this event type that this process has omitted since the last
    /// one, if any.
    async fn record_omitted_rows(&self, event: &'static str) -> Result<(), LoginError> {
        let rows = self.omitted_rows.take(event);
        if rows == 0 {
            return Ok(());
        }
        let event = Event::RowsLeftOut { event, seconds: 0, rows };
        self.record(event, &Context::system()).await
    }

    /// Records that attempts are refused: one row until they are allowed again; the others are
    /// counted. `counted` holds the keys whose budget is, or may be, exhausted.
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
        keys.extend(rows(event.name()));
        self.record_within(&keys, event, context).await
    }

    /// Writes `event` unless one of the budgets is exhausted.
    pub(super) async fn record_within(
        &self,
        budgets: &[(AttemptKey, Budget)],
        event: Event,
        context: &Context,
    ) -> Result<(), LoginError> {
        match self.deps.attempts.count(budgets, self.deps.now()).await? {
            Verdict::Go => self.record(event, context).await,
            Verdict::Wait(_) => Ok(()),
        }
    }
}

/// Returns the budgets of rows about attempts without a correct password.
pub(super) fn rows(event: &'static str) -> [(AttemptKey, Budget); 2] {
    [(AttemptKey::rows(event), GUESS_ROWS), (AttemptKey::rows_a_day(event), GUESS_ROWS_A_DAY)]
}

pub(super) fn once(window: Duration) -> Budget {
    Budget { tries: 1, window }
}

/// Returns the event of a refused attempt.
pub(super) fn throttled(guess: Guess, wait: Duration, name_digest: Option<String>) -> Event {
    Event::Throttled { guess, seconds: wait.as_secs(), name_digest }
}
