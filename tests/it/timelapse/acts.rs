//! What the owner does.

use std::time::Duration;

use vestibule::auth::app_sign_in::Typed;
use vestibule::auth::audit::Caller;
use vestibule::auth::factor::Factor;
use vestibule::auth::fresh::{FreshFactors, FreshSecondFactor};
use vestibule::auth::login::{
    FactorResponse, FirstFactor, FirstFactorAttempt, ForgotAttempt, NewPasswordSet, Offered,
    PasswordChange, PasswordChanged, Redeemed, Replaced, SecondFactor,
};
use vestibule::auth::recovery::RecoveryCode;
use vestibule::auth::ticket::{Link, Rights};
use vestibule::auth::token::{PendingToken, PlainToken, SessionToken, TicketToken};
use vestibule::auth::totp::Code;
use vestibule::base::clock::Clock as _;
use vestibule::base::secret::Secret;

use super::super::support::codes::Codes;
use super::world::{APP, Life, name};

impl Life {
    pub(super) async fn try_password(&self, password: &str) -> FirstFactor {
        self.try_password_as(password, self.caller()).await
    }

    pub(super) async fn try_password_as(&self, password: &str, caller: Caller) -> FirstFactor {
        let attempt = FirstFactorAttempt {
            name: "alice".to_owned(),
            password: Secret::new(password.to_owned()),
            app_code: None,
            caller,
            return_to: "/".to_owned(),
        };
        self.service().first.first_factor(APP, attempt).await.unwrap()
    }

    /// Proves a password, waiting as long as it is told to.
    pub(super) async fn prove(&mut self, password: &str) -> Option<PlainToken<PendingToken>> {
        for _ in 0..20 {
            match self.try_password(password).await {
                FirstFactor::Begun { token, enrol, .. } => {
                    assert!(!(enrol && self.known.ever_enrolled), "enrolment by password");
                    return Some(token);
                }
                FirstFactor::Wrong => return None,
                FirstFactor::Wait(wait) => self.pass(wait + Duration::from_secs(1)),
                FirstFactor::SignedIn(_)
                | FirstFactor::AppCodeWanted
                | FirstFactor::Stranger
                | FirstFactor::Disabled => {
                    panic!("no app checks passwords here")
                }
            }
        }
        panic!("told to wait for ever");
    }

    /// Sends a code of the app that is right; whether it was taken.
    pub(super) async fn send_right_code(
        &mut self,
        token: &PlainToken<PendingToken>,
    ) -> SecondFactor {
        let (code, step) = self.fresh_code();
        let outcome = self.send_code(token, &FactorResponse::Code(code)).await;
        if matches!(outcome, SecondFactor::SignedIn(_) | SecondFactor::NewPasswordOwed) {
            self.known.used_step = step;
        }
        outcome
    }

    /// Sends a recovery code in place of the second factor.
    pub(super) async fn send_recovery(
        &mut self,
        token: &PlainToken<PendingToken>,
        code: &str,
    ) -> SecondFactor {
        let code = FactorResponse::RecoveryCode(RecoveryCode::parse(code).unwrap());
        self.service().second.prove(APP, token, &code, &self.caller()).await.unwrap()
    }

    pub(super) fn take_recovery(&mut self) -> Option<String> {
        let code = self.known.recovery.pop()?;
        self.known.used_recovery.push(code.clone());
        Some(code)
    }

    pub(super) async fn sign_in(&mut self) -> Option<PlainToken<SessionToken>> {
        if self.known.app.is_none() {
            return self.sign_in_by_key().await;
        }
        let password = self.known.password.clone();
        if self.known.suspended {
            let token = self.prove(&password).await.expect("the right password");
            let outcome = self.send_right_code(&token).await;
            self.is_refused(outcome, "a code of a suspended authenticator").await;
            return None;
        }
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

    /// Names a recovery code in place of the password.
    pub(super) async fn name_code(&mut self, code: &str) -> Option<PlainToken<PendingToken>> {
        for _ in 0..20 {
            let attempt = ForgotAttempt {
                name: "alice".to_owned(),
                code: RecoveryCode::parse(code).unwrap(),
                caller: self.caller(),
                return_to: "/".to_owned(),
            };
            match self.service().forgotten.forgot(APP, attempt).await.unwrap() {
                FirstFactor::Begun { token, .. } => return Some(token),
                FirstFactor::Wrong => return None,
                FirstFactor::Wait(wait) => self.pass(wait + Duration::from_secs(1)),
                FirstFactor::SignedIn(_)
                | FirstFactor::AppCodeWanted
                | FirstFactor::Stranger
                | FirstFactor::Disabled => {
                    panic!("no app checks passwords here")
                }
            }
        }
        panic!("told to wait for ever");
    }

    pub(super) async fn forgot(&mut self, with_app: bool) {
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

    pub(super) async fn set_forgotten(
        &mut self,
        token: &PlainToken<PendingToken>,
        new: &str,
    ) -> bool {
        let secret = Secret::new(new.to_owned());
        let caller = self.caller();
        let done = self
            .service()
            .forgotten
            .set_forgotten_password(APP, token, &secret, &caller)
            .await
            .unwrap();
        let NewPasswordSet::Login(outcome) = done else { panic!("a good password is not taken") };
        if !matches!(outcome, SecondFactor::SignedIn(_)) {
            return false;
        }
        self.all_over();
        self.password_is_now(new.to_owned());
        self.got_in(outcome).await
    }

    /// Opens a one-time link and does all it asks for; whether it worked.
    pub(super) async fn open_link(&mut self, link: &Link) -> bool {
        let text = link.url.split('=').nth(1).unwrap().to_owned();
        let token = PlainToken::<TicketToken>::parse(&text, &self.keys).unwrap();
        let new = self.new_password();
        let password = if link.rights.password { &new } else { &self.known.password }.clone();
        let redeemed = loop {
            let password = Secret::new(password.clone());
            let typed = Typed { name: String::new(), password, code: None };
            let answer =
                self.service().links.redeem(APP, Some(&token), typed, &self.caller()).await;
            match answer.unwrap() {
                Redeemed::Wait { wait, .. } => self.pass(wait + Duration::from_secs(1)),
                answer @ (Redeemed::Begun { .. }
                | Redeemed::Unfit { .. }
                | Redeemed::Wrong { .. }
                | Redeemed::AppCodeWanted { .. }
                | Redeemed::Elsewhere { .. }
                | Redeemed::Worthless) => break answer,
            }
        };
        let Redeemed::Begun { token, .. } = redeemed else { return false };
        if link.rights.password {
            self.all_over();
            self.password_is_now(new);
        }
        self.known.used_links.push(text);
        match (link.rights.second_factor, self.known.enrols_by_key) {
            (true, true) => self.enrol_key(&token).await,
            (true, false) => self.enrol(&token).await,
            (false, _) => true,
        }
    }

    pub(super) async fn enrol(&mut self, token: &PlainToken<PendingToken>) -> bool {
        let Some(offer) = self.service().enrolments.enrolment(APP, token).await.unwrap() else {
            assert!(!self.on_time(), "a ticket does not enrol");
            return false;
        };
        let app = Codes::new(&offer.secret);
        let step = self.clock.now().as_secs() / 30;
        let code = Code::parse(&app.of_step(step)).unwrap();
        let caller = self.caller();
        let outcome =
            self.service().enrolments.confirm_enrolment(APP, token, &code, &caller).await.unwrap();
        if !matches!(outcome, SecondFactor::SignedIn(_)) {
            return self.got_in(outcome).await;
        }
        self.app_is_now(app, step);
        self.keys_are_gone();
        self.codes_are_now(Vec::new());
        self.got_in(outcome).await
    }

    pub(super) fn app_is_now(&mut self, app: Codes, step: u64) {
        self.all_over();
        self.known.former_apps.extend(self.known.app.replace(app));
        self.known.used_step = step;
        self.known.ever_enrolled = true;
        self.known.wrong.clear();
        self.known.suspended = false;
    }

    /// A code does not replace the authenticator app of an account that has a key.
    async fn expect_no_new_phone(&self, token: &PlainToken<SessionToken>) {
        let Some(session) = self.session(token).await else { return };
        let by_code = session.method == Factor::TOTP;
        let Some(fresh) = FreshFactors::of(&session, self.clock.now()) else { return };
        let offer = self.service().authenticators.offered_authenticator(APP, token, fresh).await;
        let refused = matches!(offer.unwrap(), Offered::NeedsKey | Offered::Ended);
        assert!(refused || !by_code, "a new phone by a code");
    }

    pub(super) async fn new_phone(&mut self) {
        let token = if self.known.suspended {
            self.sign_in_by_recovery_code().await
        } else {
            self.sign_in().await
        };
        let Some(token) = token else { return };
        let token = if self.known.keys.is_empty() || self.known.suspended {
            token
        } else {
            self.expect_no_new_phone(&token).await;
            let Some(token) = self.sign_in_by_key().await else { return };
            token
        };
        let Some(session) = self.session(&token).await else { return };
        let now = self.clock.now();
        let Some(fresh) = FreshFactors::of(&session, now) else { return };
        let offer =
            self.service().authenticators.offered_authenticator(APP, &token, fresh).await.unwrap();
        let Offered::Shown(offer) = offer else { panic!("not offered: {offer:?}") };
        let app = Codes::new(&offer.secret);
        let session = self.session(&token).await.unwrap();
        let fresh = FreshFactors::of(&session, now).unwrap();
        let step = now.as_secs() / 30;
        let code = Code::parse(&app.of_step(step)).unwrap();
        let caller = self.caller();
        let done = self
            .service()
            .authenticators
            .replace_authenticator(&token, fresh, &code, &caller)
            .await
            .unwrap();
        let Replaced::Done(next) = done else { return };
        let next = next.token;
        self.app_is_now(app, step);
        let session = self.session(&next).await.expect("the session goes on");
        let fresh = FreshFactors::of(&session, self.clock.now()).unwrap();
        let codes = self.service().codes.offered_codes(&next, fresh).await.unwrap();
        let Offered::Shown(codes) = codes else { panic!("not offered: {codes:?}") };
        self.codes_are_now(codes.codes.iter().map(|code| code.to_string()).collect());
        self.known.open.push(next);
    }

    pub(super) async fn change_password(&mut self) {
        let Some(token) = self.sign_in().await else { return };
        let Some(session) = self.session(&token).await else { return };
        let new = self.new_password();
        let change = PasswordChange {
            current: Secret::new(self.known.password.clone()),
            new: Secret::new(new.clone()),
            caller: self.caller(),
        };
        let Some(fresh) = FreshSecondFactor::of(&session, self.clock.now()) else { return };
        let done = self.service().account.change_password(&token, fresh, change).await.unwrap();
        let PasswordChanged::Done(next) = done else { return };
        self.all_over();
        self.password_is_now(new);
        self.known.open.push(next.token);
    }

    pub(super) async fn use_link(&mut self, rights: Rights) {
        let link = self.admin().recovery.ticket(&name(), rights, None).await.unwrap();
        self.open_link(&link).await;
    }

    /// Signs in with a recovery code in place of the second factor.
    pub(super) async fn sign_in_by_recovery_code(&mut self) -> Option<PlainToken<SessionToken>> {
        let code = self.take_recovery()?;
        let password = self.known.password.clone();
        let token = self.prove(&password).await.expect("the right password");
        let before = self.known.open.len();
        let outcome = self.send_recovery(&token, &code).await;
        if !self.got_in(outcome).await {
            return None;
        }
        PlainToken::parse(self.known.open[before].reveal(), &self.keys)
    }

    /// The second factor is taken away, and its owner sets up another by the link.
    pub(super) async fn reset(&mut self) {
        let done = self.admin().recovery.reset_second_factor(&name(), "lost", None).await.unwrap();
        self.all_over();
        self.known.former_apps.extend(self.known.app.take());
        self.keys_are_gone();
        self.known.wrong.clear();
        self.known.suspended = false;
        self.codes_are_now(Vec::new());
        self.open_link(&done.link).await;
    }
}
