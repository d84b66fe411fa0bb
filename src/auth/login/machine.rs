//! Use of access tokens and app tokens: audit rows, and limits on rejected tokens.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::LoginError;
use super::deps::LoginDeps;
use super::events::{Journal, count_failure, once, rows};
use crate::auth::access_token::AccessRecord;
use crate::auth::account::Identity;
use crate::auth::audit::{Caller, Context, Event};
use crate::auth::throttle::{AttemptKey, Verdict};

/// Minimum time between two rows about the use of a token.
const TOLD_EVERY: Duration = Duration::from_hours(1);

/// The use of long-lived tokens.
pub struct TokenUses {
    pub(super) deps: Arc<LoginDeps>,
    pub(super) journal: Arc<Journal>,
}

impl fmt::Debug for TokenUses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenUses(…)")
    }
}

impl TokenUses {
    /// Records that an app token was accepted: once an hour for each token and network.
    pub async fn app_token_used(
        &self,
        app: &str,
        token: &str,
        who: &Identity,
        caller: &Caller,
    ) -> Result<(), LoginError> {
        let key = AttemptKey::app_token(app, token, caller.device.address);
        let event = Event::AppTokenUsed { app: app.to_owned(), token: token.to_owned() };
        self.journal
            .record_within(&[(key, once(TOLD_EVERY))], event, &Context::person(caller, who))
            .await
    }

    /// Records that an app token was rejected. Returns the wait if there were too many from this
    /// network.
    pub async fn app_token_refused(
        &self,
        app: &str,
        why: &'static str,
        caller: &Caller,
    ) -> Result<Option<Duration>, LoginError> {
        let event = Event::AppTokenRefused { app: app.to_owned(), why };
        self.wrong_token(event, caller).await
    }

    /// Records that an access token was accepted: once an hour.
    pub async fn token_used(
        &self,
        record: &AccessRecord,
        who: &Identity,
        caller: &Caller,
    ) -> Result<(), LoginError> {
        let key = AttemptKey::own_token(record.id);
        let event = Event::TokenUsed { token: record.id, app: record.app.clone() };
        let context = Context::person(caller, who);
        self.journal.record_within(&[(key, once(TOLD_EVERY))], event, &context).await
    }

    /// Records that an access token, or text given as one, was rejected. Returns the wait if there
    /// were too many from this network.
    pub async fn token_refused(
        &self,
        app: &str,
        why: &'static str,
        caller: &Caller,
    ) -> Result<Option<Duration>, LoginError> {
        let event = Event::TokenRefused { app: app.to_owned(), why };
        self.wrong_token(event, caller).await
    }

    /// Counts a rejected token. Both kinds of token share one budget.
    async fn wrong_token(
        &self,
        event: Event,
        caller: &Caller,
    ) -> Result<Option<Duration>, LoginError> {
        count_failure("token");
        let key = AttemptKey::wrong_app_tokens(&self.deps.keys, caller.device.address);
        let pace = [(key.clone(), self.deps.budgets().address)];
        let verdict = self.deps.attempts.pace(&pace, self.deps.now()).await?;
        let mut budgets = vec![(key.refused(), once(TOLD_EVERY))];
        budgets.extend(rows(event.name()));
        self.journal.record_within(&budgets, event, &Context::unknown(caller)).await?;
        Ok(match verdict {
            Verdict::Go => None,
            Verdict::Wait(wait) => Some(wait),
        })
    }
}
