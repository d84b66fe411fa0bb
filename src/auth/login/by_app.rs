//! The first factor where the app itself checks it: what it says is believed for its own people, and
//! whose account it is goes by the id the app has for them, never by what was typed.

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

/// Tokens of an app that are kept for one session; of more the oldest are let go, but never the one
/// that the sign-in gave out.
pub const APP_TOKENS: u32 = 64;

/// What somebody typed who signs in to an app that checks the password itself.
#[derive(Debug)]
pub struct AppAttempt {
    /// What was typed.
    pub typed: Typed,
    /// Where.
    pub caller: Caller,
    /// Where to go once signed in: a path and query on the same host.
    pub return_to: String,
    /// A client of the app's own sends it, which shows nobody our pages.
    pub by_client: bool,
}

/// What comes of it.
#[derive(Debug)]
#[must_use]
pub enum ByApp {
    /// The app took it. The second factor is owed, or enrolment when `enrol`.
    Begun {
        /// The token of the login in progress.
        token: PlainToken<PendingToken>,
        /// The account was never enrolled: lead into enrolment.
        enrol: bool,
        /// The app asked for a code of its own and took it, and that does not count here.
        code_spent: bool,
        /// What the app said.
        answer: Relayed,
    },
    /// The app took it together with a code of its own, and that counts, for an account that was
    /// never enrolled here: a session has begun.
    SignedIn(Box<SignedIn>, Relayed),
    /// The app wants a code of its own, and none was typed.
    CodeWanted(Relayed),
    /// Wrong, says the app.
    Refused(Relayed),
    /// The app cannot say at this moment.
    Undecided(Relayed),
    /// The app knows this person, and we do not, or not any more.
    Stranger,
    /// The app knows this person, whose account here is disabled.
    Disabled,
    /// Too many tries.
    Wait(std::time::Duration),
}

/// What an app accepted.
struct Accepted {
    /// The request, where its client will send it again with a code.
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
    /// How the app checks passwords itself; nothing where that is for us.
    pub fn app_policy(&self, app: &str) -> Option<AppPolicy> {
        self.deps.apps.policy(app)
    }

    /// Has the app check name and password and begins a login. Every name costs the same: one
    /// question to the app, within the same budgets as at our own sign-in.
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
        // Before the app is asked: what ends sessions meanwhile ends this login too.
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

    /// Takes back a counted try that was no wrong guess: where the password is right, with the wait
    /// that it brought, as toolkits send theirs again with the code at once.
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

    /// Asks the app without the code first, and with it only where the app asks for one: a code that
    /// it did not ask for proves nothing. Whether it asked for the code and took it.
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
                // Asked for again, it was wrong: a guess like any other, and counted as one.
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
        // The app's password is enough to switch on the app's code: that must not lead past an
        // authenticator that was ever enrolled here, be it suspended or taken away since.
        if !(code_taken && policy.code_counts && !account.ever_enrolled) {
            let enrol = self.may_enrol(&account, &login);
            return Ok(ByApp::Begun { token, enrol, code_spent: code_taken, answer });
        }
        let proof = SecondFactorProof::verified(account.id(), Factor::App);
        let finished = Login::<PasswordVerified>::resume(&login)
            .and_then(|waits| waits.complete(proof).ok())
            .ok_or_else(|| LoginError::Broken("a login was not begun by the app".to_owned()))?;
        match self.promote(&finished, account, login, &token, caller, false).await? {
            SecondFactor::SignedIn(done) => Ok(ByApp::SignedIn(Box::new(done), answer)),
            SecondFactor::NewPasswordOwed
            | SecondFactor::Wrong { .. }
            | SecondFactor::Suspended
            | SecondFactor::Wait(_)
            | SecondFactor::StartAgain => {
                Err(LoginError::Broken("a login was gone as soon as it was begun".to_owned()))
            }
        }
    }

    /// The account of a person of the app, who gets one where that is configured. An account of the
    /// same name that is not linked is somebody else's as far as anybody knows, and so is a name that
    /// the configuration means somebody by.
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
        Err(LoginError::Broken(format!("no name is free for a new person of {}", app.name)))
    }

    /// The same from our own sign-in page.
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
                return Err(LoginError::AppSilent(format!("it answered {}", answer.status)));
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

    /// What an app gave out at the sign-in that a login began with.
    pub(super) fn held_in(
        &self,
        login: &PendingLogin,
        id: &HashedToken<PendingToken>,
    ) -> Result<Held, LoginError> {
        Ok(self.sealed_in(login, id)?.held)
    }

    /// The answer kept for the second request of a client.
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
            .map_err(|_json| LoginError::Broken("a held answer does not read".to_owned()))
    }

    /// Ends a login in progress. What the app gave out at its beginning is given back: nobody will
    /// use it.
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

    /// Binds what an app gave out to the session that comes of it.
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
                let reason = "the app gave out a token that is another person's".to_owned();
                return Err(LoginError::Broken(reason));
            }
        }
        Ok(())
    }
}
