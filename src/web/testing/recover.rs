//! One-time links and forgotten passwords of the fake service.

use std::time::Duration;

use async_trait::async_trait;

use super::Fake;
use crate::auth::app_sign_in::Typed;
use crate::auth::audit::Caller;
use crate::auth::login::{
    AppRef, FirstFactor, ForgotAttempt, NewPasswordSet, Redeemed, SecondFactor, TicketView,
};
use crate::auth::password::PasswordRefused;
use crate::auth::token::{PendingToken, PlainToken};
use crate::base::secret::Secret;
use crate::web::outcome::{Outcome, Pending, TicketText};
use crate::web::recover::Recover;

#[async_trait]
impl Recover for Fake {
    async fn ticket(
        &self,
        _app: AppRef<'_>,
        token: Option<&TicketText>,
        _: &Caller,
    ) -> Outcome<TicketView> {
        self.up()?;
        let script = self.script.lock();
        let name = Self::name();
        Ok(match (token, script.wait) {
            (_, Some(wait)) => TicketView::Wait(wait),
            (Some(t), None) if script.ticket.as_deref() == Some(t.reveal()) => {
                if script.enrolled {
                    TicketView::Password { name }
                } else {
                    TicketView::NewPassword { name }
                }
            }
            _ => TicketView::Worthless,
        })
    }
    async fn redeem(
        &self,
        app: AppRef<'_>,
        token: Option<&TicketText>,
        typed: Typed,
        caller: &Caller,
    ) -> Outcome<Redeemed> {
        let name = Self::name();
        let password = typed.password;
        Ok(match self.ticket(app, token, caller).await? {
            TicketView::Worthless => Redeemed::Worthless,
            TicketView::Wait(wait) => Redeemed::Wait { name: None, wait },
            TicketView::NewPassword { .. } if password.reveal().len() < 8 => {
                Redeemed::Unfit { name, why: PasswordRefused::TooShort(8) }
            }
            TicketView::Password { .. } if password.reveal() != "right" => Redeemed::Wrong { name },
            TicketView::Elsewhere { name, why } => Redeemed::Elsewhere { name, why },
            TicketView::NewPassword { .. }
            | TicketView::Password { .. }
            | TicketView::AppPassword { .. } => {
                let token = PlainToken::<PendingToken>::generate(&self.keys, &self.random).unwrap();
                self.script.lock().pending = Some(token.reveal().to_owned());
                Redeemed::Begun { token, enrol: true }
            }
        })
    }
    async fn forgot(&self, _app: AppRef<'_>, attempt: ForgotAttempt) -> Outcome<FirstFactor> {
        self.up()?;
        let mut script = self.script.lock();
        if let Some(wait) = script.wait {
            return Ok(FirstFactor::Wait(wait));
        }
        if attempt.name != "alice" {
            return Ok(FirstFactor::Wrong);
        }
        let token = PlainToken::<PendingToken>::generate(&self.keys, &self.random).unwrap();
        script.pending = Some(token.reveal().to_owned());
        script.return_to = attempt.return_to;
        script.forgotten = true;
        Ok(FirstFactor::Begun { token, lives: Duration::from_mins(10), enrol: false })
    }
    async fn set_forgotten_password(
        &self,
        _app: AppRef<'_>,
        _token: &Pending,
        password: &Secret,
        _caller: &Caller,
    ) -> Outcome<NewPasswordSet> {
        if password.reveal().len() < 8 {
            return Ok(NewPasswordSet::Unfit(PasswordRefused::TooShort(8)));
        }
        if !self.script.lock().reset {
            return Ok(NewPasswordSet::Login(SecondFactor::StartAgain));
        }
        Ok(NewPasswordSet::Login(self.second(true)?))
    }
}
