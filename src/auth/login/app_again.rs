//! Repeated password checks, within a session or with a ticket, if the app checks the password. The
//! user types the name that the app knows, which may differ from the account's: the app's id of the
//! user decides.

use super::{LoginError, LoginService};
use crate::auth::app_sign_in::{AppAnswer, Typed};
use crate::auth::audit::Caller;
use crate::auth::stage::PasswordProof;
use crate::auth::turns::Asker;
use crate::base::id::AccountId;

/// The result of a password check by Vestibule or an app.
pub(super) enum Checked {
    /// The password is correct and belongs to the account.
    Right(PasswordProof),
    /// The password is wrong or belongs to another account.
    Wrong,
    /// The app also requires a code of its own.
    CodeWanted,
}

impl From<Option<PasswordProof>> for Checked {
    fn from(proof: Option<PasswordProof>) -> Self {
        proof.map_or(Self::Wrong, Self::Right)
    }
}

impl LoginService {
    /// Asks the app to check what was typed for `account`.
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
            AppAnswer::Undecided(answer) => Err(LoginError::AppSilent(format!(
                "unexpected answer with status {}",
                answer.status
            ))),
        }
    }
}
