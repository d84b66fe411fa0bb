//! The sign-in of an app itself. The app is trusted for its own users, and names each by its own id.

use std::sync::Arc;

use async_trait::async_trait;

use super::method::{Accepted, FirstAnswer, FirstFactorMethod, NotChecked, ProvedUser};
use crate::auth::app_sign_in::{AppAnswer, AppSignIn, Typed};
use crate::auth::audit::Caller;
use crate::auth::factor::FirstFactorKind;
use crate::auth::turns::Asker;

/// Asks the app.
pub(super) struct AppMethod {
    apps: Arc<dyn AppSignIn>,
}

impl AppMethod {
    pub(super) fn new(apps: Arc<dyn AppSignIn>) -> Self {
        Self { apps }
    }
}

#[async_trait]
impl FirstFactorMethod for AppMethod {
    fn kind(&self) -> FirstFactorKind {
        FirstFactorKind::App
    }

    fn sheds_strangers(&self) -> bool {
        false
    }

    /// Asks without the code first, and with it only if the app asks for one: a code that the app did
    /// not ask for proves nothing.
    async fn check(
        &self,
        app: &str,
        mut typed: Typed,
        caller: &Caller,
        asker: Asker,
    ) -> Result<FirstAnswer, NotChecked> {
        let code = typed.code.take();
        let first = self.apps.ask(app, &typed, caller, asker).await?;
        match (first, code) {
            (AppAnswer::CodeWanted(_), Some(code)) => {
                typed.code = Some(code);
                let second = self.apps.ask(app, &typed, caller, asker).await?;
                Ok(match answered(second, true) {
                    // The app asked for the code and rejected it: a wrong guess like any other.
                    FirstAnswer::CodeWanted(answer) => FirstAnswer::Refused { known: None, answer },
                    second @ (FirstAnswer::Accepted(_)
                    | FirstAnswer::Refused { .. }
                    | FirstAnswer::Undecided(_)) => second,
                })
            }
            (first, _) => Ok(answered(first, false)),
        }
    }
}

fn answered(answer: AppAnswer, code_taken: bool) -> FirstAnswer {
    match answer {
        AppAnswer::Accepted { subject, held, answer } => {
            FirstAnswer::Accepted(Box::new(Accepted {
                user: ProvedUser::Subject(subject),
                code_taken,
                held,
                answer,
            }))
        }
        AppAnswer::CodeWanted(answer) => FirstAnswer::CodeWanted(answer),
        AppAnswer::Refused(answer) => FirstAnswer::Refused { known: None, answer },
        AppAnswer::Undecided(answer) => FirstAnswer::Undecided(answer),
    }
}
