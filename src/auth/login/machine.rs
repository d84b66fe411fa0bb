//! Long-lived tokens of apps: what is told of their use, and how many wrong ones are borne.

use std::time::Duration;

use super::events::{once, rows};
use super::service::count_failure;
use super::{LoginError, LoginService};
use crate::auth::access_token::AccessRecord;
use crate::auth::account::Identity;
use crate::auth::audit::{Caller, Context, Event, TokenEvent};
use crate::auth::fresh::FreshSecondFactor;
use crate::auth::throttle::{AttemptKey, Verdict};
use crate::base::id::TokenId;

/// One row an hour tells that a token is in use.
const TOLD_EVERY: Duration = Duration::from_hours(1);

impl LoginService {
    /// A token was let through: told once an hour, for each token and network.
    pub async fn app_token_used(
        &self,
        app: &str,
        token: &str,
        who: &Identity,
        caller: &Caller,
    ) -> Result<(), LoginError> {
        let key = AttemptKey::app_token(app, token, caller.device.address);
        let event = Event::AppTokenUsed { app: app.to_owned(), token: token.to_owned() };
        self.record_within(&[(key, once(TOLD_EVERY))], event, &Context::person(caller, who)).await
    }

    /// A token was not let through: how long to wait, where there were too many from there.
    pub async fn app_token_refused(
        &self,
        app: &str,
        why: &'static str,
        caller: &Caller,
    ) -> Result<Option<Duration>, LoginError> {
        let event = Event::AppTokenRefused { app: app.to_owned(), why };
        self.wrong_token(event, caller).await
    }

    /// A token of ours was let through: told once an hour.
    pub async fn token_used(
        &self,
        record: &AccessRecord,
        who: &Identity,
        caller: &Caller,
    ) -> Result<(), LoginError> {
        let key = AttemptKey::own_token(record.id);
        let event = TokenEvent::Used { token: record.id, app: record.app.clone() };
        let context = Context::person(caller, who);
        self.record_within(&[(key, once(TOLD_EVERY))], Event::Token(event), &context).await
    }

    /// Revokes a token of ours of the same account. Whether there was one.
    pub async fn revoke_own_token(
        &self,
        fresh: FreshSecondFactor<'_>,
        id: TokenId,
        caller: &Caller,
    ) -> Result<bool, LoginError> {
        let who = &fresh.session().identity;
        let revoked = self.deps.access_tokens.revoke_token(id, Some(who.account)).await?;
        let Some(record) = revoked else { return Ok(false) };
        let event = TokenEvent::Revoked { token: id, app: record.app };
        self.record_done(Event::Token(event), &Context::person(caller, who)).await;
        Ok(true)
    }

    /// A token of ours, or what was given for one, was not let through: how long to wait, where
    /// there were too many from there.
    pub async fn token_refused(
        &self,
        app: &str,
        why: &'static str,
        caller: &Caller,
    ) -> Result<Option<Duration>, LoginError> {
        let event = TokenEvent::Refused { app: app.to_owned(), why };
        self.wrong_token(Event::Token(event), caller).await
    }

    /// Tokens of either kind share one budget.
    async fn wrong_token(
        &self,
        event: Event,
        caller: &Caller,
    ) -> Result<Option<Duration>, LoginError> {
        count_failure("token");
        let key = AttemptKey::wrong_app_tokens(&self.deps.keys, caller.device.address);
        let pace = [(key.clone(), self.deps.budgets.address)];
        let verdict = self.deps.attempts.pace(&pace, self.now()).await?;
        let mut budgets = vec![(key.refused(), once(TOLD_EVERY))];
        budgets.extend(rows(event.name()));
        self.record_within(&budgets, event, &Context::unknown(caller)).await?;
        Ok(match verdict {
            Verdict::Go => None,
            Verdict::Wait(wait) => Some(wait),
        })
    }
}
