//! The use cases for one-time links and forgotten passwords.

use async_trait::async_trait;

use super::outcome::{Outcome, Pending, TicketText};
use crate::auth::app_sign_in::Typed;
use crate::auth::audit::Caller;
use crate::auth::login::{
    AppRef, FirstFactor, ForgotAttempt, LoginService, NewPasswordSet, Redeemed, TicketView,
};
use crate::base::secret::Secret;

#[async_trait]
pub(super) trait Recover: Send + Sync {
    async fn ticket(
        &self,
        app: AppRef<'_>,
        token: Option<&TicketText>,
        caller: &Caller,
    ) -> Outcome<TicketView>;
    async fn redeem(
        &self,
        app: AppRef<'_>,
        token: Option<&TicketText>,
        typed: Typed,
        caller: &Caller,
    ) -> Outcome<Redeemed>;
    async fn forgot(&self, app: AppRef<'_>, attempt: ForgotAttempt) -> Outcome<FirstFactor>;
    async fn set_forgotten_password(
        &self,
        app: AppRef<'_>,
        token: &Pending,
        password: &Secret,
        caller: &Caller,
    ) -> Outcome<NewPasswordSet>;
}

#[async_trait]
impl Recover for LoginService {
    async fn ticket(
        &self,
        app: AppRef<'_>,
        token: Option<&TicketText>,
        caller: &Caller,
    ) -> Outcome<TicketView> {
        Self::ticket(self, app, token, caller).await
    }
    async fn redeem(
        &self,
        app: AppRef<'_>,
        token: Option<&TicketText>,
        typed: Typed,
        caller: &Caller,
    ) -> Outcome<Redeemed> {
        Self::redeem(self, app, token, typed, caller).await
    }
    async fn forgot(&self, app: AppRef<'_>, attempt: ForgotAttempt) -> Outcome<FirstFactor> {
        Self::forgot(self, app, attempt).await
    }
    async fn set_forgotten_password(
        &self,
        app: AppRef<'_>,
        token: &Pending,
        password: &Secret,
        caller: &Caller,
    ) -> Outcome<NewPasswordSet> {
        Self::set_forgotten_password(self, app, token, password, caller).await
    }
}
