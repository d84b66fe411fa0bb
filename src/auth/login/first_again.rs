//! Repeated checks of the first factor, within a session or with a ticket.
//!
//! For an app that checks passwords, the user types the name that the app knows. It may differ from
//! the account's name, so the app's id of the user decides.

use std::sync::Arc;

use super::LoginError;
use super::app_passwords::AppPasswords;
use super::deps::LoginDeps;
use crate::auth::account::Identity;
use crate::auth::app_sign_in::Typed;
use crate::auth::audit::Caller;
use crate::auth::first_factor::{FirstAnswer, FirstFactors, ProvedUser};
use crate::auth::stage::{FirstCheck, PasswordProof};
use crate::auth::turns::Asker;

/// The result of a repeated check.
pub(super) enum Checked {
    /// The credentials are correct and belong to the account.
    Right(PasswordProof),
    /// The credentials are wrong or belong to another account.
    Wrong,
    /// The app also requires a code of its own.
    CodeWanted,
}

/// Checks the first factor again, within a session or with a ticket.
pub(super) struct FirstAgain {
    pub(super) deps: Arc<LoginDeps>,
    pub(super) first_factors: Arc<FirstFactors>,
    pub(super) apps: Arc<AppPasswords>,
}

impl FirstAgain {
    /// Returns true if Vestibule keeps the first factor of this app's users.
    pub(super) fn is_kept_here(&self, app: &str) -> bool {
        self.first_factors.of(app).kind().is_kept_here()
    }

    /// Checks what was typed at `app` for the account `who`, with the first factor of the app.
    pub(super) async fn check_again(
        &self,
        app: &str,
        who: &Identity,
        typed: Typed,
        caller: &Caller,
    ) -> Result<Checked, LoginError> {
        let method = self.first_factors.of(app);
        let kind = method.kind();
        let typed =
            if kind.is_kept_here() { Typed { name: who.name.to_string(), ..typed } } else { typed };
        match method.check(app, typed, caller, Asker::Known).await? {
            FirstAnswer::Accepted(accepted) => {
                let known = match accepted.user {
                    ProvedUser::Account(account) => Some(*account),
                    ProvedUser::Subject(subject) => {
                        self.apps.give_up(app, accepted.held).await;
                        self.deps.app_accounts.by_subject(app, &subject).await?
                    }
                };
                // A name may belong to another account by now, whose password proves nothing here.
                let own = known.is_some_and(|a| a.id() == who.account && !a.disabled);
                let proof = || PasswordProof::assertion(who.account, FirstCheck::Method(kind));
                Ok(if own { Checked::Right(proof()) } else { Checked::Wrong })
            }
            FirstAnswer::CodeWanted(_) => Ok(Checked::CodeWanted),
            FirstAnswer::Refused { .. } => Ok(Checked::Wrong),
            FirstAnswer::Undecided(answer) => Err(LoginError::undecided(&answer)),
        }
    }
}
