//! The first factor if the app itself checks it. The app is trusted for its own users. Its id of
//! the user selects the account; the typed name never does.

use serde::{Deserialize, Serialize};

use super::events::{rows, throttled};
use super::guesses::{MayTry, Tried};
use super::second_post::KeptAnswer;
use super::{
    AppRef, FirstFactor, FirstFactorAttempt, LoginError, LoginService, SecondFactor, SignedIn,
};
use crate::auth::account::{Account, Identity, LoginName, NewAccount, TypedName};
use crate::auth::app_sign_in::{AppAnswer, AppPolicy, Held, NoAnswer, Relayed, Subject, Typed};
use crate::auth::audit::{Caller, Context, Event, Guess};
use crate::auth::session::{BegunWith, PendingLogin, Session};
use crate::auth::stage::{Factor, Login, PasswordProof, PasswordVerified, SecondFactorProof};
use crate::auth::token::{HashedToken, PendingToken, PlainToken, SessionToken};
use crate::auth::turns::Asker;
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

/// Maximum number of app tokens kept for one session. The oldest are dropped first, except the one
/// issued at sign-in.
pub const APP_TOKENS: u32 = 64;

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

/// An attempt that an app accepted.
struct Accepted {
    /// The request, if the client will send it again with a code.
    typed: Option<Typed>,
    subject: Subject,
    code_taken: bool,
    held: Held,
    answer: Relayed,
}

/// The content of the sealed field of a pending login.
#[derive(Default, Serialize, Deserialize)]
struct Sealed {
    #[serde(flatten)]
    held: Held,
    #[serde(default)]
    kept: Option<KeptAnswer>,
}

fn held_context(login: &HashedToken<PendingToken>) -> Vec<u8> {
    format!("held answer {}", login.to_hex()).into_bytes()
}

impl LoginService {
    /// Returns the policy for an app that checks passwords itself, or `None` if Vestibule checks
    /// them.
    pub fn app_policy(&self, app: &str) -> Option<AppPolicy> {
        self.deps.apps.policy(app)
    }

    /// Asks the app to check name and password and begins a login. Every name costs the same: one
    /// request to the app, within the same attempt budgets as Vestibule's own sign-in.
    pub async fn first_factor_by_app(
        &self,
        app: AppRef<'_>,
        policy: AppPolicy,
        attempt: AppAttempt,
    ) -> Result<ByApp, LoginError> {
        let AppAttempt { typed, caller, return_to, by_client } = attempt;
        let name = TypedName::new(&typed.name);
        let digest = self.deps.keys.name_digest(name.folded());
        let tried = match self.may_try_at_app(&caller, &name).await? {
            MayTry::Yes(tried) => tried,
            MayTry::Wait { wait, keys } => {
                let event = throttled(Guess::Password, wait, Some(digest));
                self.record_throttled(&keys, event, wait, &Context::unknown(&caller)).await?;
                return Ok(ByApp::Wait(wait));
            }
        };
        // Read before the app is asked, so that an end of sessions meanwhile also ends this login.
        let asked_at = self.now();
        let again = by_client.then(|| Typed {
            name: typed.name.clone(),
            password: typed.password.clone(),
            code: None,
        });
        let (asked, code_taken) = self.ask_app(app.name, typed, &caller, tried.asker).await;
        self.take_back(&tried, &asked).await?;
        match asked {
            Err(none) => Err(none.into()),
            Ok(AppAnswer::CodeWanted(answer)) => Ok(ByApp::CodeWanted(answer)),
            Ok(AppAnswer::Undecided(answer)) => Ok(ByApp::Undecided(answer)),
            Ok(AppAnswer::Refused(answer)) => {
                self.record_wrong_password(&caller, None, digest).await?;
                self.watch_for_spray(&tried, &caller).await?;
                Ok(ByApp::Refused(answer))
            }
            Ok(AppAnswer::Accepted { subject, held, answer }) => {
                let accepted = Accepted { typed: again, subject, code_taken, held, answer };
                let Some(account) =
                    self.account_at(app, policy, &accepted.subject, name.login(), &caller).await?
                else {
                    self.give_up(app.name, accepted.held).await;
                    return Ok(ByApp::Stranger);
                };
                if account.disabled {
                    self.deps.apps.give_up(app.name, accepted.held);
                    return Ok(ByApp::Disabled);
                }
                self.record_right_password(&caller, &account.identity).await?;
                let login = PendingLogin {
                    account: Login::begin(&PasswordProof::checked_by_app(account.id())).account(),
                    app: app.name.to_owned(),
                    begun_with: if by_client { BegunWith::AppClient } else { BegunWith::App },
                    started_at: asked_at,
                    expires_at: self.now().plus(self.pending_lives()),
                    return_to,
                    enrolment: None,
                    typed_name: Some(digest),
                    held: None,
                    spent: false,
                };
                self.begin_by_app(policy, account, login, accepted, &caller).await
            }
        }
    }

    /// Takes back a counted attempt that was not a wrong guess. After a correct password, also
    /// removes the backoff that it caused, because toolkits send the same password again at once
    /// with the code.
    async fn take_back(
        &self,
        tried: &Tried,
        asked: &Result<AppAnswer, NoAnswer>,
    ) -> Result<(), LoginError> {
        let attempts = &self.deps.attempts;
        match asked {
            Ok(AppAnswer::Accepted { .. } | AppAnswer::CodeWanted(_)) => {
                attempts.forgive(&tried.keys).await?;
            }
            Ok(AppAnswer::Undecided(_)) | Err(_) => attempts.forgive(&tried.counters()).await?,
            Ok(AppAnswer::Refused(_)) => {}
        }
        Ok(())
    }

    /// Asks the app without the code first, and with it only if the app asks for one: a code that
    /// the app did not ask for proves nothing. Also returns true if the app asked for the code and
    /// accepted it.
    pub(super) async fn ask_app(
        &self,
        app: &str,
        mut typed: Typed,
        caller: &Caller,
        asker: Asker,
    ) -> (Result<AppAnswer, NoAnswer>, bool) {
        let code = typed.code.take();
        let first = self.deps.apps.ask(app, &typed, caller, asker).await;
        match (first, code) {
            (Ok(AppAnswer::CodeWanted(_)), Some(code)) => {
                typed.code = Some(code);
                let second = self.deps.apps.ask(app, &typed, caller, asker).await;
                let taken = matches!(second, Ok(AppAnswer::Accepted { .. }));
                // The app asked for the code and rejected it: a wrong guess, counted like any
                // other.
                let second = match second {
                    Ok(AppAnswer::CodeWanted(answer)) => Ok(AppAnswer::Refused(answer)),
                    second => second,
                };
                (second, taken)
            }
            (first, _) => (first, false),
        }
    }

    async fn begin_by_app(
        &self,
        policy: AppPolicy,
        account: Account,
        mut login: PendingLogin,
        accepted: Accepted,
        caller: &Caller,
    ) -> Result<ByApp, LoginError> {
        let Accepted { typed, subject: _, code_taken, held, answer } = accepted;
        let token = PlainToken::generate(&self.deps.keys, self.random())?;
        let kept = typed.and_then(|typed| KeptAnswer::new(&token, &typed, &answer));
        login.held = Some(self.seal_held(token.hashed(), &Sealed { held, kept })?);
        self.deps.pending.begin(token.hashed(), &login, self.now()).await?;
        // A user can switch on the app's code with the app's password alone. It must not bypass an
        // authenticator that was ever enrolled here, even one that is suspended or was removed.
        if !(code_taken && policy.code_counts && !account.ever_enrolled) {
            let enrol = self.may_enrol(&account, &login);
            return Ok(ByApp::Begun { token, enrol, code_spent: code_taken, answer });
        }
        let proof = SecondFactorProof::verified(account.id(), Factor::App);
        let finished = Login::<PasswordVerified>::resume(&login)
            .and_then(|waits| waits.complete(proof).ok())
            .ok_or_else(|| LoginError::Broken("login not begun by the app".to_owned()))?;
        match self.promote(&finished, account, login, &token, caller, false).await? {
            SecondFactor::SignedIn(done) => Ok(ByApp::SignedIn(Box::new(done), answer)),
            SecondFactor::NewPasswordOwed
            | SecondFactor::Wrong { .. }
            | SecondFactor::Suspended
            | SecondFactor::Wait(_)
            | SecondFactor::StartAgain => Err(LoginError::Broken("new login is gone".to_owned())),
        }
    }

    /// Returns the account of a user of the app. Adds one if `provision` is set. An unlinked
    /// account of the same name may belong to someone else, and so may a name in the configuration:
    /// neither is linked.
    async fn account_at(
        &self,
        app: AppRef<'_>,
        policy: AppPolicy,
        subject: &Subject,
        typed: Option<&LoginName>,
        caller: &Caller,
    ) -> Result<Option<Account>, LoginError> {
        let known = self.deps.app_accounts.by_subject(app.name, subject).await?;
        if let Some(account) = known {
            return Ok(Some(account));
        }
        if !policy.provision {
            let event =
                Event::AppUserUnknown { app: app.name.to_owned(), subject: subject.to_string() };
            let budgets = rows(event.name());
            self.record_within(&budgets, event, &Context::unknown(caller)).await?;
            return Ok(None);
        }
        let at_app = format!("{subject}@{}", app.name);
        let derived = [subject.as_str(), &at_app];
        let derived = derived.into_iter().filter_map(|name| LoginName::parse(name).ok());
        let free = |name: &LoginName| !self.deps.reserved.contains(name);
        for name in typed.cloned().into_iter().chain(derived).filter(free) {
            let identity = Identity {
                account: AccountId::random(self.random())?,
                display_name: name.to_string(),
                name,
                email: None,
                groups: Vec::new(),
            };
            let id = identity.account;
            let new = NewAccount { identity, password: None, created_at: self.now() };
            let there = self.deps.app_accounts.link_or_add(app.name, subject, &new).await?;
            let Some(account) = there else { continue };
            if account.id() == id {
                let event =
                    Event::AppUserAdded { app: app.name.to_owned(), subject: subject.to_string() };
                self.record(event, &Context::person(caller, &account.identity)).await?;
            }
            return Ok(Some(account));
        }
        Err(LoginError::Broken(format!("no free login name for a new user of {}", app.name)))
    }

    /// Checks the first factor with the app for Vestibule's own sign-in page.
    pub(super) async fn first_factor_of_page(
        &self,
        app: AppRef<'_>,
        policy: AppPolicy,
        attempt: FirstFactorAttempt,
    ) -> Result<FirstFactor, LoginError> {
        let FirstFactorAttempt { name, password, app_code, caller, return_to } = attempt;
        let typed = Typed { name, password, code: app_code };
        let attempt = AppAttempt { typed, caller, return_to, by_client: false };
        Ok(match self.first_factor_by_app(app, policy, attempt).await? {
            ByApp::Begun { token, enrol, .. } => {
                FirstFactor::Begun { token, lives: self.pending_lives(), enrol }
            }
            ByApp::SignedIn(done, _) => FirstFactor::SignedIn(done),
            ByApp::CodeWanted(_) => FirstFactor::AppCodeWanted,
            ByApp::Refused(_) => FirstFactor::Wrong,
            ByApp::Undecided(answer) => {
                return Err(LoginError::AppSilent(format!(
                    "unexpected answer with status {}",
                    answer.status
                )));
            }
            ByApp::Stranger => FirstFactor::Stranger,
            ByApp::Disabled => FirstFactor::Disabled,
            ByApp::Wait(wait) => FirstFactor::Wait(wait),
        })
    }

    fn seal_held(
        &self,
        login: &HashedToken<PendingToken>,
        sealed: &Sealed,
    ) -> Result<String, LoginError> {
        let text = zeroize::Zeroizing::new(serde_json::json!(sealed).to_string());
        Ok(self.deps.keys.seal(self.random(), &held_context(login), text.as_bytes())?)
    }

    /// Returns the credentials that the app issued at the beginning of a login.
    pub(super) fn held_in(
        &self,
        login: &PendingLogin,
        id: &HashedToken<PendingToken>,
    ) -> Result<Held, LoginError> {
        Ok(self.sealed_in(login, id)?.held)
    }

    /// Returns the answer stored for the second request of a client.
    pub(super) fn kept_in(
        &self,
        login: &PendingLogin,
        id: &HashedToken<PendingToken>,
    ) -> Result<Option<KeptAnswer>, LoginError> {
        Ok(self.sealed_in(login, id)?.kept)
    }

    fn sealed_in(
        &self,
        login: &PendingLogin,
        id: &HashedToken<PendingToken>,
    ) -> Result<Sealed, LoginError> {
        let Some(sealed) = &login.held else { return Ok(Sealed::default()) };
        let open = self.deps.keys.open(&held_context(id), sealed)?;
        serde_json::from_slice(&open)
            .map_err(|_json| LoginError::Broken("invalid stored answer of the app".to_owned()))
    }

    /// Ends a pending login and revokes the credentials that the app issued at its beginning.
    pub(super) async fn end_login(
        &self,
        login: &PendingLogin,
        id: &HashedToken<PendingToken>,
    ) -> Result<(), LoginError> {
        self.deps.pending.end(id).await?;
        if login.held.is_some() {
            self.give_up(&login.app, self.held_in(login, id)?).await;
        }
        Ok(())
    }

    /// Binds the credentials that an app issued to the new session.
    pub(super) async fn bind_held(
        &self,
        held: &Held,
        id: &HashedToken<SessionToken>,
        session: &Session,
        now: Timestamp,
    ) -> Result<(), LoginError> {
        for token in &held.tokens {
            let text = token.as_bytes();
            let Some(hashed) = HashedToken::of_app(&self.deps.keys, &session.app, text).next()
            else {
                continue;
            };
            let lives = session.expires_at.since(now);
            if !self.deps.app_tokens.bind(id, &hashed, APP_TOKENS, lives).await? {
                let reason = "the app issued a token that belongs to another user".to_owned();
                return Err(LoginError::Broken(reason));
            }
        }
        Ok(())
    }
}
