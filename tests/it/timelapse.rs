//! Three years of one account on a clock that is moved by hand, over real stores: whatever happens
//! in whatever order, what must not happen never does. What is known of the account is kept here as
//! well, apart from the product, and compared after every event.

use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tempfile::TempDir;
use vestibule::auth::account::LoginName;
use vestibule::auth::admin::{AccountAdmin, AdminDeps, NewUser};
use vestibule::auth::app_sign_in::NoAppSignIn;
use vestibule::auth::audit::{Caller, Trail};
use vestibule::auth::fresh::{FreshFactors, FreshSecondFactor};
use vestibule::auth::keys::{KEY_LEN, Key, KeyMaterial, KeyRing};
use vestibule::auth::login::{
    AppRef, FirstFactor, FirstFactorAttempt, ForgotAttempt, LoginDeps, LoginService,
    NewPasswordSet, PasswordChange, PasswordChanged, Redeemed, Replaced, SecondFactor,
};
use vestibule::auth::password::{Cost, PasswordPool, PasswordSettings};
use vestibule::auth::ports::{Accounts, Factors};
use vestibule::auth::recovery::RecoveryCode;
use vestibule::auth::session::{Device, Session, SessionLimits};
use vestibule::auth::throttle::Budgets;
use vestibule::auth::ticket::{FirstEnrolment, Link, Rights, TicketPrinter};
use vestibule::auth::token::{PendingToken, PlainToken, SessionToken, TicketToken};
use vestibule::auth::totp::Code;
use vestibule::base::address::ClientIp;
use vestibule::base::clock::{Clock, ManualClock, Timestamp};
use vestibule::base::id::{AccountId, RequestId};
use vestibule::base::random::{OsRandom, Random};
use vestibule::base::secret::Secret;
use vestibule::store::sql::ephemeral::EmbeddedStore;
use vestibule::store::sql::{SqlStore, SqlTarget};
use zeroize::Zeroizing;

use super::support::codes::Codes;

const APP: AppRef<'static> = AppRef { name: "app", issuer: "App" };
const START: u64 = 1_800_000_000_000;
const DAY: Duration = Duration::from_hours(24);
/// Events in a life, and the longest time between two of them: about three years in all.
const EVENTS: usize = 48;
const LONGEST_GAP_DAYS: u64 = 90;

#[derive(Clone, Copy, Debug)]
enum Event {
    SignIn,
    WrongPassword,
    WrongCode,
    UsedCode,
    FormerAuthenticator,
    FormerPassword,
    SignInByRecoveryCode,
    UsedRecoveryCode,
    EnrolByPassword,
    ForgotWithTheApp,
    ForgotWithTwoCodes,
    ForgotWithOneCodeTwice,
    LinkForANewPhone,
    LinkForEverything,
    UsedLink,
    Reset,
    NewPhone,
    ChangePassword,
    EndSessions,
    DisableAndEnable,
    ClockSetBack,
}

fn event() -> impl Strategy<Value = Event> {
    use Event as E;
    prop_oneof![
        6 => Just(E::SignIn),
        1 => Just(E::WrongPassword),
        2 => Just(E::WrongCode),
        1 => Just(E::UsedCode),
        1 => Just(E::FormerAuthenticator),
        1 => Just(E::FormerPassword),
        3 => Just(E::SignInByRecoveryCode),
        1 => Just(E::UsedRecoveryCode),
        1 => Just(E::EnrolByPassword),
        2 => Just(E::ForgotWithTheApp),
        2 => Just(E::ForgotWithTwoCodes),
        1 => Just(E::ForgotWithOneCodeTwice),
        2 => Just(E::LinkForANewPhone),
        1 => Just(E::LinkForEverything),
        1 => Just(E::UsedLink),
        1 => Just(E::Reset),
        2 => Just(E::NewPhone),
        2 => Just(E::ChangePassword),
        1 => Just(E::EndSessions),
        1 => Just(E::DisableAndEnable),
        1 => Just(E::ClockSetBack),
    ]
}

/// What its owner, or a thief, holds of the account.
#[derive(Default)]
struct Known {
    password: String,
    former_passwords: Vec<String>,
    app: Option<Codes>,
    used_step: u64,
    former_apps: Vec<Codes>,
    recovery: Vec<String>,
    used_recovery: Vec<String>,
    open: Vec<PlainToken<SessionToken>>,
    over: Vec<PlainToken<SessionToken>>,
    used_links: Vec<String>,
    ever_enrolled: bool,
    passwords_made: u32,
}

struct Life {
    known: Known,
    clock: Arc<ManualClock>,
    latest: Timestamp,
    service: LoginService,
    admin: AccountAdmin,
    trail: Arc<Trail>,
    durable: SqlStore,
    keys: Arc<KeyRing>,
    random: OsRandom,
    account: AccountId,
    _dir: TempDir,
}

fn keys() -> KeyRing {
    let key = |n: u8| Key { id: format!("k{n}"), bytes: Zeroizing::new([n; KEY_LEN]) };
    KeyRing::new(&KeyMaterial { token: vec![key(1)], data: vec![key(2)], pepper: vec![key(3)] })
        .unwrap()
}

fn name() -> LoginName {
    LoginName::parse("alice").unwrap()
}

impl Life {
    #[expect(clippy::too_many_lines, reason = "the parts of a whole product, each once")]
    async fn begin() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let durable =
            SqlStore::open(SqlTarget::Embedded(dir.path().join("accounts.db"))).await.unwrap();
        let short = Arc::new(EmbeddedStore::open(&dir.path().join("sessions.db")).await.unwrap());
        let sql = Arc::new(durable.clone());
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(START)));
        let keys = Arc::new(keys());
        let random: Arc<dyn Random> = Arc::new(OsRandom::new());
        let cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
        let settings = PasswordSettings { cost, min_length: 8, threads: 2, queue: 8 };
        let passwords =
            Arc::new(PasswordPool::new(settings, Arc::clone(&keys), Arc::clone(&random)));
        let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let trail = Arc::new(Trail::new(
            Arc::<SqlStore>::clone(&sql),
            Arc::clone(&keys),
            Arc::clone(&time),
            "node".to_owned(),
            Vec::new(),
        ));
        let service = LoginService::new(LoginDeps {
            accounts: Arc::<SqlStore>::clone(&sql),
            app_accounts: Arc::<SqlStore>::clone(&sql),
            factors: Arc::<SqlStore>::clone(&sql),
            guesses: Arc::<SqlStore>::clone(&sql),
            tickets: Arc::<SqlStore>::clone(&sql),
            resets: Arc::<SqlStore>::clone(&sql),
            pending: Arc::<EmbeddedStore>::clone(&short),
            sessions: Arc::<EmbeddedStore>::clone(&short),
            attempts: Arc::<EmbeddedStore>::clone(&short),
            app_tokens: Arc::<EmbeddedStore>::clone(&short),
            apps: Arc::new(NoAppSignIn),
            trail: Arc::clone(&trail),
            passwords: Arc::clone(&passwords),
            keys: Arc::clone(&keys),
            clock: Arc::clone(&time),
            random: Arc::clone(&random),
            enrolment: FirstEnrolment::FirstLogin,
            limits: SessionLimits::default(),
            budgets: Budgets::default(),
        });
        let admin = AccountAdmin::new(AdminDeps {
            accounts: Arc::<SqlStore>::clone(&sql),
            app_accounts: Arc::<SqlStore>::clone(&sql),
            factors: Arc::<SqlStore>::clone(&sql),
            guesses: Arc::<SqlStore>::clone(&sql),
            tickets: sql,
            sessions: short,
            passwords,
            printer: TicketPrinter {
                keys: Arc::clone(&keys),
                public_url: "https://gw.test".to_owned(),
                lifetime: DAY,
            },
            enrolment: FirstEnrolment::FirstLogin,
            clock: time,
            random,
            trail: Arc::clone(&trail),
            operator: "ops".to_owned(),
        });
        let added = admin
            .add(NewUser {
                name: name(),
                display_name: None,
                email: None,
                groups: Vec::new(),
                password: None,
            })
            .await
            .unwrap();
        let mut life = Self {
            known: Known::default(),
            latest: clock.now(),
            clock,
            service,
            admin,
            trail,
            durable,
            keys,
            random: OsRandom::new(),
            account: added.identity.account,
            _dir: dir,
        };
        assert!(life.open_link(&added.link.unwrap()).await, "the first enrolment");
        life
    }

    fn caller(&self) -> Caller {
        Caller {
            browser: None,
            device: Device {
                address: ClientIp::new([192, 0, 2, 7].into()),
                user_agent: "test".to_owned(),
            },
            reference: RequestId::random(&self.random).unwrap(),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.clock.advance(time);
        self.latest = self.latest.max(self.clock.now());
    }

    /// Whether the clock shows no time that was already.
    fn on_time(&self) -> bool {
        self.clock.now() >= self.latest
    }

    fn new_password(&mut self) -> String {
        self.known.passwords_made += 1;
        format!("owl {} paints a quiet fence", self.known.passwords_made)
    }

    fn password_is_now(&mut self, new: String) {
        let former = std::mem::replace(&mut self.known.password, new);
        self.known.former_passwords.push(former);
    }

    fn all_over(&mut self) {
        let open = std::mem::take(&mut self.known.open);
        self.known.over.extend(open);
    }

    /// A code of the app that was not used yet.
    fn fresh_code(&mut self) -> (Code, u64) {
        let step = |life: &Self| life.clock.now().as_secs() / 30;
        while step(self) <= self.known.used_step {
            self.pass(Duration::from_secs(30));
        }
        let step = step(self);
        let text = self.known.app.as_ref().unwrap().of_step(step);
        (Code::parse(&text).unwrap(), step)
    }

    /// Proves a password, waiting as long as it is told to.
    async fn prove(&mut self, password: &str) -> Option<PlainToken<PendingToken>> {
        for _ in 0..20 {
            let attempt = FirstFactorAttempt {
                name: "alice".to_owned(),
                password: Secret::new(password.to_owned()),
                app_code: None,
                caller: self.caller(),
                return_to: "/".to_owned(),
            };
            match self.service.first_factor(APP, attempt).await.unwrap() {
                FirstFactor::Begun { token, enrol, .. } => {
                    assert!(!(enrol && self.known.ever_enrolled), "enrolment by password");
                    return Some(token);
                }
                FirstFactor::Wrong => return None,
                FirstFactor::Wait(wait) => self.pass(wait + Duration::from_secs(1)),
                FirstFactor::SignedIn(_) | FirstFactor::AppCodeWanted | FirstFactor::Stranger => {
                    panic!("no app checks passwords here")
                }
            }
        }
        panic!("told to wait for ever");
    }

    async fn session(&self, token: &PlainToken<SessionToken>) -> Option<Session> {
        self.service.session(APP.name, token).await.unwrap()
    }

    /// Whether a second factor let somebody in; keeps the session, and the codes that are due.
    async fn got_in(&mut self, outcome: SecondFactor) -> bool {
        match outcome {
            SecondFactor::SignedIn(done) => {
                if let Some(session) = self.session(&done.token).await {
                    assert_eq!(session.identity.account, self.account);
                    if done.recovery_codes_due {
                        self.keep_codes(&done.token, &session).await;
                    }
                } else {
                    assert!(!self.on_time(), "a session was over before it began");
                }
                self.known.open.push(done.token);
                true
            }
            SecondFactor::Wait(wait) => {
                self.pass(wait + Duration::from_secs(1));
                false
            }
            SecondFactor::Wrong { .. }
            | SecondFactor::StartAgain
            | SecondFactor::Suspended
            | SecondFactor::NewPasswordOwed => false,
        }
    }

    async fn keep_codes(&mut self, token: &PlainToken<SessionToken>, session: &Session) {
        let caller = self.caller();
        let codes = self.service.new_recovery_codes(session, &caller).await.unwrap().unwrap();
        self.codes_are_now(codes.iter().map(|code| code.to_display().to_string()).collect());
        let kept = self.service.confirm_recovery_codes(token, session, &caller).await.unwrap();
        assert!(kept.is_some());
        let session = self.session(token).await.unwrap();
        let again = self.service.confirm_recovery_codes(token, &session, &caller).await.unwrap();
        assert_eq!(again, None, "kept once");
    }

    fn codes_are_now(&mut self, codes: Vec<String>) {
        let former = std::mem::replace(&mut self.known.recovery, codes);
        self.known.used_recovery.extend(former);
    }

    /// Sends a code of the app that is right; whether it was taken.
    async fn send_right_code(&mut self, token: &PlainToken<PendingToken>) -> SecondFactor {
        let (code, step) = self.fresh_code();
        let outcome = self.service.totp(APP, token, &code, &self.caller()).await.unwrap();
        if matches!(outcome, SecondFactor::SignedIn(_) | SecondFactor::NewPasswordOwed) {
            self.known.used_step = step;
        }
        outcome
    }

    /// Sends a recovery code in place of the second factor.
    async fn send_recovery(
        &mut self,
        token: &PlainToken<PendingToken>,
        code: &str,
    ) -> SecondFactor {
        let code = RecoveryCode::parse(code).unwrap();
        self.service.recovery_code(APP, token, &code, &self.caller()).await.unwrap()
    }

    fn take_recovery(&mut self) -> Option<String> {
        let code = self.known.recovery.pop()?;
        self.known.used_recovery.push(code.clone());
        Some(code)
    }

    async fn sign_in(&mut self) -> Option<PlainToken<SessionToken>> {
        self.known.app.as_ref()?;
        let password = self.known.password.clone();
        for _ in 0..20 {
            let token = self.prove(&password).await.expect("the right password");
            let before = self.known.open.len();
            let outcome = self.send_right_code(&token).await;
            if self.got_in(outcome).await {
                let token = PlainToken::parse(self.known.open[before].reveal(), &self.keys);
                return token;
            }
            if !self.on_time() {
                return None;
            }
        }
        panic!("the owner does not get in");
    }

    async fn is_refused(&mut self, outcome: SecondFactor, what: &str) {
        assert!(!self.got_in(outcome).await, "{what} let somebody in");
    }

    /// Names a recovery code in place of the password.
    async fn name_code(&mut self, code: &str) -> Option<PlainToken<PendingToken>> {
        for _ in 0..20 {
            let attempt = ForgotAttempt {
                name: "alice".to_owned(),
                code: RecoveryCode::parse(code).unwrap(),
                caller: self.caller(),
                return_to: "/".to_owned(),
            };
            match self.service.forgot(APP, attempt).await.unwrap() {
                FirstFactor::Begun { token, .. } => return Some(token),
                FirstFactor::Wrong => return None,
                FirstFactor::Wait(wait) => self.pass(wait + Duration::from_secs(1)),
                FirstFactor::SignedIn(_) | FirstFactor::AppCodeWanted | FirstFactor::Stranger => {
                    panic!("no app checks passwords here")
                }
            }
        }
        panic!("told to wait for ever");
    }

    async fn forgot(&mut self, with_app: bool) {
        let Some(first) = self.take_recovery() else { return };
        let token = self.name_code(&first).await.expect("a recovery code that was not used");
        let new = self.new_password();
        let early = self.set_forgotten(&token, &new).await;
        assert!(!early, "a new password by one proof");
        let outcome = if with_app && self.known.app.is_some() {
            self.send_right_code(&token).await
        } else {
            let Some(second) = self.take_recovery() else { return };
            self.send_recovery(&token, &second).await
        };
        if !matches!(outcome, SecondFactor::NewPasswordOwed) {
            assert!(!self.got_in(outcome).await, "a session before the new password");
            return;
        }
        if self.set_forgotten(&token, &new).await {
            assert!(!self.set_forgotten(&token, "a password set a second time").await);
        }
    }

    async fn set_forgotten(&mut self, token: &PlainToken<PendingToken>, new: &str) -> bool {
        let secret = Secret::new(new.to_owned());
        let caller = self.caller();
        let done = self.service.set_forgotten_password(APP, token, &secret, &caller).await.unwrap();
        let NewPasswordSet::Login(outcome) = done else { panic!("a good password is not taken") };
        if !matches!(outcome, SecondFactor::SignedIn(_)) {
            return false;
        }
        self.all_over();
        self.password_is_now(new.to_owned());
        self.got_in(outcome).await
    }

    /// Opens a one-time link and does all it asks for; whether it worked.
    async fn open_link(&mut self, link: &Link) -> bool {
        let text = link.url.split('=').nth(1).unwrap().to_owned();
        let token = PlainToken::<TicketToken>::parse(&text, &self.keys).unwrap();
        let new = self.new_password();
        let typed = if link.rights.password { new.clone() } else { self.known.password.clone() };
        let redeemed = loop {
            let secret = Secret::new(typed.clone());
            let answer = self.service.redeem(APP, Some(&token), &secret, &self.caller()).await;
            match answer.unwrap() {
                Redeemed::Wait { wait, .. } => self.pass(wait + Duration::from_secs(1)),
                answer @ (Redeemed::Begun { .. }
                | Redeemed::Unfit { .. }
                | Redeemed::Wrong { .. }
                | Redeemed::Worthless) => break answer,
            }
        };
        let Redeemed::Begun { token, .. } = redeemed else { return false };
        if link.rights.password {
            self.all_over();
            self.password_is_now(new);
        }
        self.known.used_links.push(text);
        if link.rights.second_factor { self.enrol(&token).await } else { true }
    }

    async fn enrol(&mut self, token: &PlainToken<PendingToken>) -> bool {
        let Some(offer) = self.service.enrolment(APP, token).await.unwrap() else {
            assert!(!self.on_time(), "a ticket does not enrol");
            return false;
        };
        let app = Codes::new(&offer.secret);
        let step = self.clock.now().as_secs() / 30;
        let code = Code::parse(&app.of_step(step)).unwrap();
        let caller = self.caller();
        let outcome = self.service.confirm_enrolment(APP, token, &code, &caller).await.unwrap();
        if !matches!(outcome, SecondFactor::SignedIn(_)) {
            return self.got_in(outcome).await;
        }
        self.app_is_now(app, step);
        self.codes_are_now(Vec::new());
        self.got_in(outcome).await
    }

    fn app_is_now(&mut self, app: Codes, step: u64) {
        self.all_over();
        self.known.former_apps.extend(self.known.app.replace(app));
        self.known.used_step = step;
        self.known.ever_enrolled = true;
    }

    async fn new_phone(&mut self) {
        let Some(token) = self.sign_in().await else { return };
        let Some(session) = self.session(&token).await else { return };
        let now = self.clock.now();
        let Some(fresh) = FreshFactors::of(&session, now) else { return };
        let offer = self.service.offered_authenticator(APP, &token, fresh).await.unwrap().unwrap();
        let app = Codes::new(&offer.secret);
        let session = self.session(&token).await.unwrap();
        let fresh = FreshFactors::of(&session, now).unwrap();
        let step = now.as_secs() / 30;
        let code = Code::parse(&app.of_step(step)).unwrap();
        let caller = self.caller();
        let done = self.service.replace_authenticator(&token, fresh, &code, &caller).await.unwrap();
        let Replaced::Done(next) = done else { return };
        let next = next.token;
        self.app_is_now(app, step);
        let session = self.session(&next).await.expect("the session goes on");
        let fresh = FreshFactors::of(&session, self.clock.now()).unwrap();
        let codes = self.service.offered_codes(&next, fresh).await.unwrap().unwrap();
        self.codes_are_now(codes.codes.iter().map(|code| code.to_string()).collect());
        self.known.open.push(next);
    }

    async fn change_password(&mut self) {
        let Some(token) = self.sign_in().await else { return };
        let Some(session) = self.session(&token).await else { return };
        let new = self.new_password();
        let change = PasswordChange {
            current: Secret::new(self.known.password.clone()),
            new: Secret::new(new.clone()),
            caller: self.caller(),
        };
        let Some(fresh) = FreshSecondFactor::of(&session, self.clock.now()) else { return };
        let done = self.service.change_password(&token, fresh, change).await.unwrap();
        let PasswordChanged::Done(next) = done else { return };
        self.all_over();
        self.password_is_now(new);
        self.known.open.push(next.token);
    }

    #[expect(clippy::too_many_lines, reason = "a list of all that may happen")]
    async fn happen(&mut self, event: Event) {
        let password = self.known.password.clone();
        match event {
            Event::SignIn => drop(self.sign_in().await),
            Event::WrongPassword => {
                assert!(self.prove("nobody chose this one").await.is_none());
            }
            Event::FormerPassword => {
                for former in self.known.former_passwords.clone().into_iter().rev().take(2) {
                    assert!(self.prove(&former).await.is_none(), "a former password");
                }
            }
            Event::WrongCode | Event::UsedCode | Event::FormerAuthenticator => {
                self.bad_code(event, &password).await;
            }
            Event::SignInByRecoveryCode => {
                let Some(code) = self.take_recovery() else { return };
                let token = self.prove(&password).await.expect("the right password");
                let outcome = self.send_recovery(&token, &code).await;
                self.got_in(outcome).await;
            }
            Event::UsedRecoveryCode => {
                let Some(code) = self.known.used_recovery.last().cloned() else { return };
                let token = self.prove(&password).await.expect("the right password");
                let outcome = self.send_recovery(&token, &code).await;
                self.is_refused(outcome, "a used or replaced recovery code").await;
                assert!(self.name_code(&code).await.is_none(), "nor is it a password");
            }
            Event::EnrolByPassword => {
                let token = self.prove(&password).await.expect("the right password");
                let offer = self.service.enrolment(APP, &token).await.unwrap();
                assert!(offer.is_none(), "enrolment by the password alone");
            }
            Event::ForgotWithTheApp => self.forgot(true).await,
            Event::ForgotWithTwoCodes => self.forgot(false).await,
            Event::ForgotWithOneCodeTwice => {
                let Some(code) = self.take_recovery() else { return };
                let token = self.name_code(&code).await.expect("a code that was not used");
                let outcome = self.send_recovery(&token, &code).await;
                let both = matches!(outcome, SecondFactor::NewPasswordOwed);
                assert!(!both, "one code in place of both factors");
                self.is_refused(outcome, "one code for both").await;
            }
            Event::LinkForANewPhone => self.use_link(Rights::ENROL).await,
            Event::LinkForEverything => self.use_link(Rights::SET_UP).await,
            Event::UsedLink => {
                let Some(text) = self.known.used_links.last().cloned() else { return };
                let token = PlainToken::<TicketToken>::parse(&text, &self.keys).unwrap();
                let secret = Secret::new(password);
                let answer = self.service.redeem(APP, Some(&token), &secret, &self.caller()).await;
                let begun = matches!(answer.unwrap(), Redeemed::Begun { .. });
                assert!(!begun || !self.on_time(), "a used link");
            }
            Event::Reset => {
                let done = self.admin.reset_second_factor(&name(), "lost", None).await.unwrap();
                self.all_over();
                self.known.former_apps.extend(self.known.app.take());
                self.codes_are_now(Vec::new());
                self.open_link(&done.link).await;
            }
            Event::NewPhone => self.new_phone().await,
            Event::ChangePassword => self.change_password().await,
            Event::EndSessions => {
                self.admin.end_sessions_of(&name()).await.unwrap();
                self.all_over();
            }
            Event::DisableAndEnable => {
                self.admin.disable(&name()).await.unwrap();
                self.all_over();
                assert!(self.prove(&password).await.is_none(), "a disabled account");
                self.admin.enable(&name()).await.unwrap();
            }
            Event::ClockSetBack => self.clock.set_back(Duration::from_mins(3)),
        }
    }

    async fn use_link(&mut self, rights: Rights) {
        let link = self.admin.ticket(&name(), rights, None).await.unwrap();
        self.open_link(&link).await;
    }

    async fn bad_code(&mut self, event: Event, password: &str) {
        let Some(app) = &self.known.app else { return };
        let step = self.clock.now().as_secs() / 30;
        let text = if matches!(event, Event::UsedCode) {
            app.of_step(self.known.used_step)
        } else if matches!(event, Event::FormerAuthenticator) {
            let Some(former) = self.known.former_apps.last() else { return };
            former.of_step(step)
        } else {
            "000000".to_owned()
        };
        let right =
            (step - 1..=step + 1).any(|s| s > self.known.used_step && app.of_step(s) == text);
        if right {
            return; // Once in 300 000 times two codes are the same.
        }
        let token = self.prove(password).await.expect("the right password");
        let code = Code::parse(&text).unwrap();
        let outcome = self.service.totp(APP, &token, &code, &self.caller()).await.unwrap();
        self.is_refused(outcome, "a wrong, used or former code").await;
    }

    /// What holds whatever happened.
    async fn check(&self, event: Event) {
        for token in &self.known.over {
            assert!(self.session(token).await.is_none(), "after {event:?} a session lives on");
        }
        let account = self.durable.by_id(self.account).await.unwrap().unwrap();
        assert!(account.ever_enrolled, "after {event:?} it was never enrolled");
        let totp = self.durable.totp(self.account).await.unwrap();
        assert_eq!(totp.is_some(), self.known.app.is_some(), "after {event:?}");
        let left = self.durable.recovery_set(self.account).await.unwrap().map_or(0, |set| set.left);
        assert_eq!(left as usize, self.known.recovery.len(), "after {event:?}: codes left");
        let report = self.trail.verify(None).await.unwrap();
        assert!(report.findings.is_empty(), "after {event:?}: {:?}", report.findings);
    }
}

async fn live(events: Vec<(Event, u64)>) {
    let mut life = Life::begin().await;
    for (event, gap) in events {
        // Every other time soon after, every other time long after.
        let soon = gap % 2 == 0;
        let gap = gap / 2;
        life.pass(if soon {
            Duration::from_secs(gap % 400)
        } else {
            DAY * u32::try_from(gap % LONGEST_GAP_DAYS).unwrap()
        });
        life.happen(event).await;
        life.check(event).await;
    }
}

#[test]
fn in_three_years_of_anything_nobody_gets_in_without_two_proofs() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config =
        Config { cases: 4, max_shrink_iters: 12, failure_persistence: None, ..Config::default() };
    let lives = vec((event(), any::<u64>()), EVENTS);
    TestRunner::new(config)
        .run(&lives, |events| {
            runtime.block_on(live(events));
            Ok(())
        })
        .unwrap();
}
