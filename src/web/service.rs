//! The use cases that pages call, as a trait, so that tests can substitute their results.
//! [`LoginService`] is the one real implementation.

use async_trait::async_trait;

use super::outcome::{Finished, Outcome, Pending};
use super::own_account::OwnAccount;
use super::recover::Recover;
use crate::auth::audit::{Caller, Ended};
use crate::auth::keys::KeyRing;
use crate::auth::login::{
    AppRef, Enrolment, FirstFactor, FirstFactorAttempt, LoginService, Owed, Profile, SecondFactor,
};
use crate::auth::recovery::RecoveryCode;
use crate::auth::session::{Session, SessionLimits};
use crate::auth::totp::Code;
use crate::base::random::Random;

#[async_trait]
pub(super) trait SignIn: OwnAccount + Recover + Send + Sync {
    async fn first_factor(
        &self,
        app: AppRef<'_>,
        attempt: FirstFactorAttempt,
    ) -> Outcome<FirstFactor>;
    async fn is_open(&self) -> Outcome<()>;
    async fn owed(&self, app: AppRef<'_>, token: &Pending) -> Outcome<Option<Owed>>;
    async fn totp(
        &self,
        app: AppRef<'_>,
        token: &Pending,
        code: &Code,
        caller: &Caller,
    ) -> Outcome<SecondFactor>;
    async fn recovery_code(
        &self,
        app: AppRef<'_>,
        token: &Pending,
        code: &RecoveryCode,
        caller: &Caller,
    ) -> Outcome<SecondFactor>;
    async fn enrolment(&self, app: AppRef<'_>, token: &Pending) -> Outcome<Option<Enrolment>>;
    async fn confirm_enrolment(
        &self,
        app: AppRef<'_>,
        token: &Pending,
        code: &Code,
        caller: &Caller,
    ) -> Outcome<SecondFactor>;
    async fn session(&self, app: &str, token: &Finished) -> Outcome<Option<Session>>;
    async fn profile(&self, session: &Session, events: u32) -> Outcome<Profile>;
    async fn sign_out(&self, token: &Finished, caller: &Caller, why: Ended) -> Outcome<()>;
    async fn abandon(&self, token: &Pending) -> Outcome<()>;
    fn keys(&self) -> &KeyRing;
    fn random(&self) -> &dyn Random;
    fn limits(&self) -> SessionLimits;
}

#[async_trait]
impl SignIn for LoginService {
    async fn first_factor(
        &self,
        app: AppRef<'_>,
        attempt: FirstFactorAttempt,
    ) -> Outcome<FirstFactor> {
        Self::first_factor(self, app, attempt).await
    }
    async fn is_open(&self) -> Outcome<()> {
        Self::is_open(self).await
    }
    async fn owed(&self, app: AppRef<'_>, token: &Pending) -> Outcome<Option<Owed>> {
        Self::owed(self, app, token).await
    }
    async fn totp(
        &self,
        app: AppRef<'_>,
        token: &Pending,
        code: &Code,
        caller: &Caller,
    ) -> Outcome<SecondFactor> {
        Self::totp(self, app, token, code, caller).await
    }
    async fn recovery_code(
        &self,
        app: AppRef<'_>,
        token: &Pending,
        code: &RecoveryCode,
        caller: &Caller,
    ) -> Outcome<SecondFactor> {
        Self::recovery_code(self, app, token, code, caller).await
    }
    async fn enrolment(&self, app: AppRef<'_>, token: &Pending) -> Outcome<Option<Enrolment>> {
        Self::enrolment(self, app, token).await
    }
    async fn confirm_enrolment(
        &self,
        app: AppRef<'_>,
        token: &Pending,
        code: &Code,
        caller: &Caller,
    ) -> Outcome<SecondFactor> {
        Self::confirm_enrolment(self, app, token, code, caller).await
    }
    async fn session(&self, app: &str, token: &Finished) -> Outcome<Option<Session>> {
        Self::session(self, app, token).await
    }
    async fn profile(&self, session: &Session, events: u32) -> Outcome<Profile> {
        Self::profile(self, session, events).await
    }
    async fn sign_out(&self, token: &Finished, caller: &Caller, why: Ended) -> Outcome<()> {
        Self::sign_out(self, token, caller, why).await
    }
    async fn abandon(&self, token: &Pending) -> Outcome<()> {
        Self::abandon(self, token).await
    }
    fn keys(&self) -> &KeyRing {
        Self::keys(self)
    }
    fn random(&self) -> &dyn Random {
        Self::random(self)
    }
    fn limits(&self) -> SessionLimits {
        Self::limits(self)
    }
}
