//! The use cases of a signed-in user's account pages.

use async_trait::async_trait;

use super::outcome::{Finished, Outcome};
use crate::auth::app_sign_in::Typed;
use crate::auth::audit::Caller;
use crate::auth::fresh::{FreshFactors, FreshSecondFactor};
use crate::auth::login::{
    AppRef, DueCodes, Enrolment, KeptCodes, LoginService, OfferedCodes, PasswordChange,
    PasswordChanged, Replaced, StepUp, TypedCode,
};
use crate::auth::recovery::RecoveryCode;
use crate::auth::session::Session;
use crate::auth::totp::Code;
use crate::base::clock::Timestamp;
use crate::base::id::{SessionId, TokenId};

#[async_trait]
pub(super) trait OwnAccount: Send + Sync {
    async fn step_up(
        &self,
        token: &Finished,
        session: &Session,
        typed: Option<Typed>,
        code: &TypedCode,
        caller: &Caller,
    ) -> Outcome<StepUp>;
    async fn change_password(
        &self,
        token: &Finished,
        fresh: FreshSecondFactor<'_>,
        change: PasswordChange,
    ) -> Outcome<PasswordChanged>;
    async fn end_session(
        &self,
        fresh: FreshSecondFactor<'_>,
        id: SessionId,
        caller: &Caller,
    ) -> Outcome<bool>;
    async fn end_other_sessions(
        &self,
        token: &Finished,
        fresh: FreshSecondFactor<'_>,
        caller: &Caller,
    ) -> Outcome<u64>;
    async fn revoke_token(
        &self,
        fresh: FreshSecondFactor<'_>,
        id: TokenId,
        caller: &Caller,
    ) -> Outcome<bool>;
    async fn offered_authenticator(
        &self,
        app: AppRef<'_>,
        token: &Finished,
        fresh: FreshFactors<'_>,
    ) -> Outcome<Option<Enrolment>>;
    async fn replace_authenticator(
        &self,
        token: &Finished,
        fresh: FreshFactors<'_>,
        code: &Code,
        caller: &Caller,
    ) -> Outcome<Replaced>;
    async fn offered_codes(
        &self,
        token: &Finished,
        fresh: FreshFactors<'_>,
    ) -> Outcome<Option<OfferedCodes>>;
    async fn keep_codes(
        &self,
        token: &Finished,
        fresh: FreshFactors<'_>,
        typed: &RecoveryCode,
        caller: &Caller,
    ) -> Outcome<KeptCodes>;
    async fn due_codes(
        &self,
        token: &Finished,
        fresh: FreshSecondFactor<'_>,
        anew: bool,
        caller: &Caller,
    ) -> Outcome<DueCodes>;
    async fn confirm_due_codes(
        &self,
        token: &Finished,
        session: &Session,
        typed: &RecoveryCode,
        caller: &Caller,
    ) -> Outcome<KeptCodes>;
    /// Minimum length of a new password, in characters.
    fn password_length(&self) -> usize;
    fn now(&self) -> Timestamp;
}

#[async_trait]
impl OwnAccount for LoginService {
    async fn step_up(
        &self,
        token: &Finished,
        session: &Session,
        typed: Option<Typed>,
        code: &TypedCode,
        caller: &Caller,
    ) -> Outcome<StepUp> {
        Self::step_up(self, token, session, typed, code, caller).await
    }
    async fn change_password(
        &self,
        token: &Finished,
        fresh: FreshSecondFactor<'_>,
        change: PasswordChange,
    ) -> Outcome<PasswordChanged> {
        Self::change_password(self, token, fresh, change).await
    }
    async fn end_session(
        &self,
        fresh: FreshSecondFactor<'_>,
        id: SessionId,
        caller: &Caller,
    ) -> Outcome<bool> {
        Self::end_session(self, fresh, id, caller).await
    }
    async fn end_other_sessions(
        &self,
        token: &Finished,
        fresh: FreshSecondFactor<'_>,
        caller: &Caller,
    ) -> Outcome<u64> {
        Self::end_other_sessions(self, token, fresh, caller).await
    }
    async fn revoke_token(
        &self,
        fresh: FreshSecondFactor<'_>,
        id: TokenId,
        caller: &Caller,
    ) -> Outcome<bool> {
        self.revoke_own_token(fresh, id, caller).await
    }
    async fn offered_authenticator(
        &self,
        app: AppRef<'_>,
        token: &Finished,
        fresh: FreshFactors<'_>,
    ) -> Outcome<Option<Enrolment>> {
        Self::offered_authenticator(self, app, token, fresh).await
    }
    async fn replace_authenticator(
        &self,
        token: &Finished,
        fresh: FreshFactors<'_>,
        code: &Code,
        caller: &Caller,
    ) -> Outcome<Replaced> {
        Self::replace_authenticator(self, token, fresh, code, caller).await
    }
    async fn offered_codes(
        &self,
        token: &Finished,
        fresh: FreshFactors<'_>,
    ) -> Outcome<Option<OfferedCodes>> {
        Self::offered_codes(self, token, fresh).await
    }
    async fn keep_codes(
        &self,
        token: &Finished,
        fresh: FreshFactors<'_>,
        typed: &RecoveryCode,
        caller: &Caller,
    ) -> Outcome<KeptCodes> {
        Self::keep_codes(self, token, fresh, typed, caller).await
    }
    async fn due_codes(
        &self,
        token: &Finished,
        fresh: FreshSecondFactor<'_>,
        anew: bool,
        caller: &Caller,
    ) -> Outcome<DueCodes> {
        Self::due_codes(self, token, fresh, anew, caller).await
    }
    async fn confirm_due_codes(
        &self,
        token: &Finished,
        session: &Session,
        typed: &RecoveryCode,
        caller: &Caller,
    ) -> Outcome<KeptCodes> {
        Self::confirm_due_codes(self, token, session, typed, caller).await
    }
    fn password_length(&self) -> usize {
        Self::password_length(self)
    }
    fn now(&self) -> Timestamp {
        Self::now(self)
    }
}
