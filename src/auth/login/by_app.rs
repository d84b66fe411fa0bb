//! The first factor of a login, and what follows if an app checks it. The app is trusted for its own
//! users. Its id of the user selects the account; the typed name never does.

use super::app_passwords::Sealed;
use super::events::throttled;
use super::first::SignIn;
use super::guesses::{MayTry, Tried};
use super::second_post::{GoneOn, KeptAnswer};
use super::{AppRef, LoginError, SecondFactor, SignedIn};
use crate::auth::account::{Account, TypedName};
use crate::auth::app_sign_in::{AppPolicy, Held, Relayed, Typed};
use crate::auth::audit::{Caller, Context, Event, Guess};
use crate::auth::first_factor::{Accepted, FirstAnswer, NotChecked, ProvedUser};
use crate::auth::session::{BegunWith, PendingLogin};
use crate::auth::stage::{
    FirstCheck, Login, PasswordProof, PasswordVerified, SecondCheck, SecondFactorProof,
};
use crate::auth::token::{PendingToken, PlainToken};

/// An attempt to sign in to an app that checks the password itself.
#[derive(Debug)]
pub struct AppAttempt {
    /// Typed credentials.
    pub typed: Typed,
    /// Client of the request.
    pub caller: Caller,
    /// Path and query on the same host to redirect to after sign-in.
    pub return_to: String,
    /// True if the app's own client sends the attempt. It cannot show Vestibule's pages.
    pub by_client: bool,
}

/// The result of the attempt.
#[derive(Debug)]
#[must_use]
pub enum ByApp {
    /// The app accepted it. The second factor is required, or enrolment if `enrol`.
    Begun {
        /// Token of the pending login.
        token: PlainToken<PendingToken>,
        /// True if the account was never enrolled: continue with enrolment.
        enrol: bool,
        /// True if the app accepted a code of its own that does not count here.
        code_spent: bool,
        /// The app's answer.
        answer: Relayed,
    },
    /// The app accepted it with a code of its own that counts, for an account that never enrolled
    /// here. A session has begun.
    SignedIn(Box<SignedIn>, Relayed),
    /// The app requires a code of its own, and none was typed.
    CodeWanted(Relayed),
    /// The app rejected it.
    Refused(Relayed),
    /// The app cannot decide at the moment.
    Undecided(Relayed),
    /// The app knows this user, but there is no account or it is no longer linked.
    Stranger,
    /// The app knows this user, but the account is disabled.
    Disabled,
    /// Too many attempts: the remaining wait.
    Wait(std::time::Duration),
}

/// The beginning of a login.
struct Begun {
    /// The request, if the client will send it again with a code.
    typed: Option<Typed>,
    code_taken: bool,
    held: Held,
    answer: Relayed,
}

impl SignIn {
    /// Checks name and password with the first factor of the app, and begins a login. Every name costs
    /// the same, within the same attempt budgets.
    pub async fn check_first_factor(
        &self,
        app: AppRef<'_>,
        policy: AppPolicy,
        attempt: AppAttempt,
    ) -> Result<ByApp, LoginError> {
        let AppAttempt { typed, caller, return_to, by_client } = attempt;
        let method = self.first_factors.of(app.name);
        let name = TypedName::new(&typed.name);
        let digest = self.deps.keys.name_digest(name.folded());
        let sheds = method.sheds_strangers();
        let tried = match self.limits.may_try_first(&caller, &name, sheds).await? {
            MayTry::Yes(tried) => tried,
            MayTry::Wait { wait, keys } => {
                let event = throttled(Guess::Password, wait, Some(digest));
                let context = Context::unknown(&caller);
                self.journal.record_throttled(&keys, event, wait, &context).await?;
                return Ok(ByApp::Wait(wait));
            }
        };
        // Read before the check, so that an end of sessions meanwhile also ends this login.
        let asked_at = self.deps.now();
        let again = by_client.then(|| Typed {
            name: typed.name.clone(),
            password: typed.password.clone(),
            code: None,
        });
        let asked = method.check(app.name, typed, &caller, tried.asker).await;
        self.take_back(&tried, &asked).await?;
        match asked? {
            FirstAnswer::CodeWanted(answer) => Ok(ByApp::CodeWanted(answer)),
            FirstAnswer::Undecided(answer) => Ok(ByApp::Undecided(answer)),
            FirstAnswer::Refused { known, answer } => {
                self.journal.record_wrong_password(&caller, known.as_deref(), digest).await?;
                self.limits.watch_for_spray(&tried, &caller).await?;
                Ok(ByApp::Refused(answer))
            }
            FirstAnswer::Accepted(accepted) => {
                let Accepted { user, code_taken, held, answer } = *accepted;
                let account = match user {
                    ProvedUser::Account(account) => Some(*account),
                    ProvedUser::Subject(subject) => {
                        self.apps.account_at(app, policy, &subject, name.login(), &caller).await?
                    }
                };
                let Some(account) = account else {
                    self.apps.give_up(app.name, held).await;
                    return Ok(ByApp::Stranger);
                };
                if account.disabled {
                    self.deps.apps.give_up(app.name, held);
                    return Ok(ByApp::Disabled);
                }
                self.journal.record_about(&account.identity, Event::PasswordRight, &caller).await?;
                let kind = method.kind();
                let proof = PasswordProof::assertion(account.id(), FirstCheck::Method(kind));
                let mut login = self.logins.begin(app, &proof, return_to, asked_at);
                if by_client {
                    login.begun_with = BegunWith::AppClient;
                }
                // The name at the account's own password is that of the account.
                login.typed_name = (!kind.is_kept_here()).then_some(digest);
                let accepted = Begun { typed: again, code_taken, held, answer };
                self.file_first(policy, account, login, accepted, &caller).await
            }
        }
    }

    /// Takes back a counted attempt that was not a wrong guess. After a correct password, also
    /// removes the backoff that it caused, because toolkits send the same password again at once
    /// with the code.
    async fn take_back(
        &self,
        tried: &Tried,
        asked: &Result<FirstAnswer, NotChecked>,
    ) -> Result<(), LoginError> {
        let attempts = &self.deps.attempts;
        match asked {
            Ok(FirstAnswer::Accepted(_) | FirstAnswer::CodeWanted(_)) => {
                attempts.forgive(&tried.keys).await?;
            }
            Ok(FirstAnswer::Undecided(_)) | Err(_) => attempts.forgive(&tried.counters()).await?,
            Ok(FirstAnswer::Refused { .. }) => {}
        }
        Ok(())
    }

    async fn file_first(
        &self,
        policy: AppPolicy,
        account: Account,
        mut login: PendingLogin,
        begun: Begun,
        caller: &Caller,
    ) -> Result<ByApp, LoginError> {
        let Begun { typed, code_taken, held, answer } = begun;
        let token = PlainToken::generate(&self.deps.keys, self.deps.random())?;
        let kept = typed.and_then(|typed| KeptAnswer::new(&token, &typed, &answer));
        let sealed = Sealed { held, kept };
        if sealed != Sealed::default() {
            login.held = Some(self.apps.seal_held(token.hashed(), &sealed)?);
        }
        self.deps.pending.begin(token.hashed(), &login, self.deps.now()).await?;
        // A user can switch on the app's code with the app's password alone. It must not bypass an
        // authenticator that was ever enrolled here, even one that is suspended or was removed.
        if !(code_taken && policy.code_counts && !account.ever_enrolled) {
            let enrol = self.logins.may_enrol(&account, &login);
            return Ok(ByApp::Begun { token, enrol, code_spent: code_taken, answer });
        }
        let proof = SecondFactorProof::assertion(account.id(), SecondCheck::App);
        let finished = Login::<PasswordVerified>::resume(&login)
            .and_then(|waits| waits.complete(proof).ok())
            .ok_or_else(|| LoginError::Broken("login not begun by the app".to_owned()))?;
        match self.new_sessions.promote(&finished, account, login, &token, caller, false).await? {
            SecondFactor::SignedIn(done) => Ok(ByApp::SignedIn(Box::new(done), answer)),
            SecondFactor::NewPasswordOwed
            | SecondFactor::Wrong { .. }
            | SecondFactor::Suspended
            | SecondFactor::Wait(_)
            | SecondFactor::StartAgain => Err(LoginError::Broken("new login is gone".to_owned())),
        }
    }

    /// Finds the pending login that the first request of this client began. Returns `None` if there
    /// is none, or if the client sends another name or password: then the app must be asked.
    pub async fn gone_on(
        &self,
        app: AppRef<'_>,
        token: &PlainToken<PendingToken>,
        typed: &Typed,
    ) -> Result<Option<GoneOn>, LoginError> {
        let Some(login) = self.logins.pending(app, token).await? else { return Ok(None) };
        if login.begun_with != BegunWith::AppClient || login.spent {
            return Ok(None);
        }
        let Some(account) = self.logins.account_of(&login).await? else { return Ok(None) };
        let kept = self.apps.kept_in(&login, token.hashed())?;
        let kept = kept.filter(|kept| kept.is_of(token, typed));
        let enrol = self.logins.may_enrol(&account, &login);
        Ok(kept.map(|kept| GoneOn { enrol, answer: kept.relayed() }))
    }
}
