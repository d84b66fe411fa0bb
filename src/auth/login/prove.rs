//! Proof of a second factor: one check of a response for every kind, shared by sign-in and step-up.
//!
//! The callers count an attempt before the check and settle it afterwards: a sign-in in its pending
//! login, a step-up in its session. Only this check turns a response into a proof.

use std::sync::Arc;

use super::deps::LoginDeps;
use super::events::Journal;
use super::key::{KeyAnswer, Keys};
use super::{ClockOff, LoginError};
use crate::auth::account::Account;
use crate::auth::audit::Caller;
use crate::auth::authenticator::AuthenticatorKind;
use crate::auth::recovery::RecoveryCode;
use crate::auth::stage::{Factor, SecondCheck, SecondFactorProof};
use crate::auth::totp::Code;

/// A response of a second factor, as sent by the user.
#[derive(Debug)]
pub enum FactorResponse {
    /// A code from an authenticator app.
    Code(Code),
    /// A recovery code in place of an authenticator.
    RecoveryCode(RecoveryCode),
    /// The answer of a passkey or security key.
    Key(Box<KeyAnswer>),
}

impl FactorResponse {
    /// Recognises a typed code. Returns `None` for a typo, which does not count as an attempt.
    pub fn parse(typed: &str) -> Option<Self> {
        match (Code::parse(typed), RecoveryCode::parse(typed)) {
            (Ok(code), _) => Some(Self::Code(code)),
            (Err(_), Ok(code)) => Some(Self::RecoveryCode(code)),
            (Err(_), Err(_)) => None,
        }
    }

    /// Returns the kind of second factor.
    pub fn factor(&self) -> Factor {
        match self {
            Self::Code(_) => Factor::Authenticator(AuthenticatorKind::Totp),
            Self::RecoveryCode(_) => Factor::RecoveryCode,
            Self::Key(_) => Factor::KEY,
        }
    }
}

/// The result of checking a response.
pub(super) enum Checked {
    /// The response proves the second factor, for exactly one request.
    Right(SecondFactorProof),
    /// The response is correct, but an earlier or concurrent request has used it.
    UsedUp,
    /// The response is wrong.
    Wrong,
}

/// The verdict of the check of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The response is correct and is now used up.
    Accepted,
    /// The response is correct, but an earlier or concurrent request has used it.
    UsedUp,
    /// The response is wrong.
    Wrong,
}

/// Checks the responses of second factors.
pub(super) struct FactorCheck {
    pub(super) deps: Arc<LoginDeps>,
    pub(super) journal: Arc<Journal>,
    pub(super) keys: Arc<Keys>,
}

impl FactorCheck {
    /// Checks a response of any kind and uses it up. `first_proved` is true if the first factor was
    /// verified in the same login or step-up.
    pub(super) async fn check_response(
        &self,
        account: &Account,
        response: &FactorResponse,
        first_proved: bool,
        caller: &Caller,
    ) -> Result<Checked, LoginError> {
        let mut check = SecondCheck::Response(response.factor());
        let verdict = match response {
            FactorResponse::Code(code) => self.check_code(account.id(), code).await?,
            FactorResponse::RecoveryCode(code) => {
                self.check_recovery(&account.identity, code, caller).await?
            }
            FactorResponse::Key(answer) => {
                let (verdict, evidence) =
                    self.keys.check_key(account, answer, first_proved, caller).await?;
                check = evidence.map_or(check, SecondCheck::Key);
                verdict
            }
        };
        Ok(match verdict {
            Verdict::Accepted => Checked::Right(SecondFactorProof::assertion(account.id(), check)),
            Verdict::UsedUp => Checked::UsedUp,
            Verdict::Wrong => Checked::Wrong,
        })
    }

    /// Returns the clock error of the device that made a wrong response, if that is the cause.
    pub(super) async fn clock_of(
        &self,
        account: &Account,
        response: &FactorResponse,
    ) -> Result<Option<ClockOff>, LoginError> {
        match response {
            FactorResponse::Code(code) => self.clock_of_app(account.id(), code).await,
            FactorResponse::RecoveryCode(_) | FactorResponse::Key(_) => Ok(None),
        }
    }
}
