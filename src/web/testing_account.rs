//! The account pages of the fake service.

use std::time::Duration;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::outcome::{Finished, Outcome};
use super::own_account::OwnAccount;
use super::testing::{Fake, SECRET, is_right};
use crate::auth::app_sign_in::Typed;
use crate::auth::audit::Caller;
use crate::auth::fresh::{FreshFactors, FreshSecondFactor};
use crate::auth::login::{
    AppRef, DueCodes, Enrolment, KeptCodes, OfferedCodes, PasswordChange, PasswordChanged,
    Replaced, StepUp, TypedCode,
};
use crate::auth::password::PasswordRefused;
use crate::auth::recovery::RecoveryCode;
use crate::auth::session::Session;
use crate::auth::totp::Code;
use crate::base::clock::Timestamp;
use crate::base::id::{SessionId, TokenId};

/// The recovery code that the fake offers and accepts.
pub(super) const OFFERED: &str = "0000-0000-0000-00000";

#[async_trait]
impl OwnAccount for Fake {
    async fn step_up(
        &self,
        _token: &Finished,
        _session: &Session,
        typed: Option<Typed>,
        code: &TypedCode,
        _caller: &Caller,
    ) -> Outcome<StepUp> {
        self.up()?;
        if let Some(wait) = self.script.lock().wait {
            return Ok(StepUp::Wait(wait));
        }
        if typed.is_some_and(|t| t.password.reveal() != "right") {
            return Ok(StepUp::WrongPassword);
        }
        let right = match code {
            TypedCode::App(code) => is_right(code),
            TypedCode::Recovery(_) => true,
            TypedCode::Neither => false,
        };
        if matches!(code, TypedCode::Neither) {
            return Ok(StepUp::Typo);
        }
        if !right {
            return Ok(StepUp::WrongCode);
        }
        self.script.lock().stale = false;
        Ok(StepUp::Done(self.new_session()?))
    }
    async fn change_password(
        &self,
        _token: &Finished,
        _fresh: FreshSecondFactor<'_>,
        change: PasswordChange,
    ) -> Outcome<PasswordChanged> {
        self.up()?;
        if let Some(wait) = self.script.lock().wait {
            return Ok(PasswordChanged::Wait(wait));
        }
        Ok(match (change.current.reveal(), change.new.reveal()) {
            ("right", "") => PasswordChanged::Refused(PasswordRefused::TooShort(8)),
            ("right", "alice") => PasswordChanged::Refused(PasswordRefused::NamesThePerson),
            ("right", _) => PasswordChanged::Done(self.changed()?),
            _ => PasswordChanged::WrongCurrent,
        })
    }
    async fn end_session(
        &self,
        _fresh: FreshSecondFactor<'_>,
        id: SessionId,
        _caller: &Caller,
    ) -> Outcome<bool> {
        self.up()?;
        self.script.lock().ended.push(id.to_string());
        Ok(true)
    }
    async fn end_other_sessions(
        &self,
        _token: &Finished,
        _fresh: FreshSecondFactor<'_>,
        _caller: &Caller,
    ) -> Outcome<u64> {
        self.up()?;
        self.script.lock().ended.push("others".to_owned());
        Ok(1)
    }
    async fn revoke_token(
        &self,
        _fresh: FreshSecondFactor<'_>,
        id: TokenId,
        _caller: &Caller,
    ) -> Outcome<bool> {
        self.up()?;
        self.script.lock().ended.push(id.to_string());
        Ok(true)
    }
    async fn offered_authenticator(
        &self,
        _app: AppRef<'_>,
        _token: &Finished,
        _fresh: FreshFactors<'_>,
    ) -> Outcome<Option<Enrolment>> {
        self.up()?;
        let uri = format!("otpauth://totp/App:alice?secret={SECRET}&issuer=App");
        Ok(Some(Enrolment {
            secret: Zeroizing::new(SECRET.to_owned()),
            uri: Zeroizing::new(uri),
            name: Self::name(),
        }))
    }
    async fn replace_authenticator(
        &self,
        _token: &Finished,
        _fresh: FreshFactors<'_>,
        code: &Code,
        _caller: &Caller,
    ) -> Outcome<Replaced> {
        self.up()?;
        if !is_right(code) {
            return Ok(Replaced::Wrong { clock: self.script.lock().clock });
        }
        self.script.lock().in_force = true;
        Ok(Replaced::Done(self.changed()?))
    }
    async fn offered_codes(
        &self,
        _token: &Finished,
        _fresh: FreshFactors<'_>,
    ) -> Outcome<Option<OfferedCodes>> {
        self.up()?;
        let codes = vec![Zeroizing::new(OFFERED.to_owned())];
        let in_force = self.script.lock().in_force;
        Ok(Some(OfferedCodes { codes, in_force, made_at: Self::at() }))
    }
    async fn keep_codes(
        &self,
        _token: &Finished,
        _fresh: FreshFactors<'_>,
        typed: &RecoveryCode,
        _caller: &Caller,
    ) -> Outcome<KeptCodes> {
        self.up()?;
        let right = *typed.to_display() == OFFERED;
        Ok(if right { KeptCodes::Done } else { KeptCodes::Wrong })
    }
    async fn due_codes(
        &self,
        _token: &Finished,
        _fresh: FreshSecondFactor<'_>,
        _anew: bool,
        _caller: &Caller,
    ) -> Outcome<DueCodes> {
        self.up()?;
        self.script.lock().code_sets += 1;
        let codes = (0..10).map(|_| Zeroizing::new(OFFERED.to_owned())).collect();
        Ok(DueCodes::Shown(OfferedCodes { codes, in_force: true, made_at: Self::at() }))
    }
    async fn confirm_due_codes(
        &self,
        _token: &Finished,
        _session: &Session,
        typed: &RecoveryCode,
        _caller: &Caller,
    ) -> Outcome<KeptCodes> {
        self.up()?;
        if *typed.to_display() != OFFERED {
            return Ok(KeptCodes::Wrong);
        }
        let mut script = self.script.lock();
        script.codes_due = false;
        script.codes_kept += 1;
        Ok(KeptCodes::Done)
    }
    fn password_length(&self) -> usize {
        8
    }
    fn now(&self) -> Timestamp {
        let later = if self.script.lock().stale { Duration::from_mins(6) } else { Duration::ZERO };
        Self::at().plus(later)
    }
}
