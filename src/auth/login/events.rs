//! What the use cases write to the audit trail, and what keeps a flood of guesses from filling it.

use std::time::Duration;

use super::service::count_failure;
use super::{LoginError, LoginService};
use crate::auth::account::Identity;
use crate::auth::audit::{Asked, Caller, Context, Event, Guess};
use crate::auth::ports::LinkEnded;
use crate::auth::throttle::{AttemptKey, Budget, GUESS_ROWS, RIGHT_ROWS, Verdict};

/// Rows about guesses refused for one name, network or account are no nearer to each other than this,
/// however short the waits.
const THROTTLED_ROWS_APART: Duration = Duration::from_mins(10);

impl LoginService {
    /// Writes an event to the audit trail. What cannot be written down must not happen.
    pub async fn record(&self, event: Event, context: &Context) -> Result<(), LoginError> {
        Ok(self.deps.trail.record(event, context).await?)
    }

    /// Seen to before something is opened or changed: the audit trail takes rows. Otherwise it is
    /// not begun.
    pub(super) async fn may_record(&self) -> Result<(), LoginError> {
        Ok(self.deps.accounts.ping().await?)
    }

    /// Writes what is done already and stays done: where the row cannot be written, the log and the
    /// counter tell that it is missing.
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
                "security event is missing from the audit trail"
            );
            metrics::counter!("vestibule_audit_rows_missing_total", "event" => name).increment(1);
        }
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
        self.record_guess(caller, known, Event::PasswordWrong { name_digest }).await
    }

    /// A wrong recovery code in place of a password; as for passwords.
    pub(super) async fn record_wrong_recovery(
        &self,
        caller: &Caller,
        known: Option<&Identity>,
        name_digest: String,
    ) -> Result<(), LoginError> {
        count_failure("recovery");
        self.record_guess(caller, known, Event::RecoveryWrong { name_digest }).await
    }

    /// A right password, with the second factor still owed. Whoever knows one can type it without
    /// end: after some rows about the account the rest is left out, and one row says so.
    pub(super) async fn record_right_password(
        &self,
        caller: &Caller,
        who: &Identity,
    ) -> Result<(), LoginError> {
        let event = Event::PasswordRight;
        let key = AttemptKey::rows_about(event.name(), who.account);
        let context = Context::person(caller, who);
        self.record_capped(key, RIGHT_ROWS, event, &context, &context).await
    }

    /// What a person did without the one-time link that was for it ended that link.
    pub(super) async fn record_ended_link(
        &self,
        LinkEnded(ended): LinkEnded,
        asked: Asked,
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
        let key = AttemptKey::rows(event.name());
        self.record_capped(key, GUESS_ROWS, event, context, &unknown).await
    }

    /// Writes `event` within `budget`, and beyond it one row in the context `beyond`.
    async fn record_capped(
        &self,
        key: AttemptKey,
        budget: Budget,
        event: Event,
        context: &Context,
        beyond: &Context,
    ) -> Result<(), LoginError> {
        let refused = key.refused();
        match self.deps.attempts.count(&[(key, budget)], self.now()).await? {
            Verdict::Go => self.record(event, context).await,
            Verdict::Wait(wait) => {
                let left_out = Event::RowsLeftOut { event: event.name(), seconds: wait.as_secs() };
                self.record_within(&[(refused, once(wait))], left_out, beyond).await
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
