//! A password that is proved again, within a session or behind a ticket, where the app keeps it. The
//! person types the name that the app knows, which need not be the one of the account: the id that the
//! app has for them decides.

use super::{LoginError, LoginService};
use crate::auth::app_sign_in::{AppAnswer, Typed};
use crate::auth::audit::Caller;
use crate::auth::stage::PasswordProof;
use crate::auth::turns::Asker;
use crate::base::id::AccountId;

/// What comes of a password, whoever checks it.
pub(super) enum Checked {
    /// It is right, and that account's.
    Right(PasswordProof),
    /// It is wrong, or another's.
    Wrong,
    /// The app wants a code of its own with it.
    CodeWanted,
}

impl From<Option<PasswordProof>> for Checked {
    fn from(proof: Option<PasswordProof>) -> Self {
        proof.map_or(Self::Wrong, Self::Right)
    }
}

impl LoginService {
    /// Has the app check what was typed for `account`.
    pub(super) async fn ask_app_again(
        &self,
        app: &str,
        account: AccountId,
        typed: Typed,
        caller: &Caller,
    ) -> Result<Checked, LoginError> {
        let (answer, _code_taken) = self.ask_app(app, typed, caller, Asker::Known).await;
        match answer? {
            AppAnswer::Accepted { subject, held, .. } => {
                self.give_up(app, held).await;
                let known = self.deps.app_accounts.by_subject(app, &subject).await?;
                let own = known.is_some_and(|a| a.id() == account && !a.disabled);
                Ok(own.then(|| PasswordProof::checked_by_app(account)).into())
            }
            AppAnswer::CodeWanted(_) => Ok(Checked::CodeWanted),
            AppAnswer::Refused(_) => Ok(Checked::Wrong),
            AppAnswer::Undecided(answer) => {
                Err(LoginError::AppSilent(format!("it answered {}", answer.status)))
            }
        }
    }
}
