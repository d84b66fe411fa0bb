//! What the owner, or a thief, does with passkeys and security keys.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};
use vestibule::auth::authenticator::AuthenticatorKind;
use vestibule::auth::fresh::FreshFactors;
use vestibule::auth::login::{
    AddKey, AppRef, ByPasskey, FactorResponse, KeyAdded, KeyAnswer, KeyEnrolled, KeyPage,
    KeyRemoved, PasskeyAttempt, SecondFactor,
};
use vestibule::auth::ports::Authenticators as _;
use vestibule::auth::ticket::Rights;
use vestibule::auth::token::{PendingToken, PlainToken, SessionToken};
use vestibule::auth::webauthn::challenge::{BrowserBinding, Purpose};
use vestibule::auth::webauthn::relying_party::{KeySettings, RelyingParty};
use vestibule::base::clock::Clock as _;
use vestibule::base::id::FactorId;

use super::super::support::authenticator::{Authenticator, PRESENT, VERIFIED};
use super::world::{APP, Life, name};

const ORIGIN: &str = "https://gw.test";
/// Keys that the owner has at most.
const MOST: usize = 3;

static PARTY: LazyLock<RelyingParty> =
    LazyLock::new(|| RelyingParty::of(&KeySettings::default(), "gw.test", ORIGIN).unwrap());

/// A key of the account.
pub(super) struct Key {
    id: FactorId,
    key: Authenticator,
}

fn app() -> AppRef<'static> {
    AppRef { party: Some(&PARTY), ..APP }
}

fn page() -> KeyPage {
    KeyPage { party: PARTY.clone(), browser: BrowserBinding::of("the browser of the owner") }
}

fn parsed(options: &str) -> Value {
    serde_json::from_str(options).unwrap()
}

fn answer(text: &Value, purpose: Purpose) -> KeyAnswer {
    KeyAnswer { text: text.to_string(), page: page(), purpose }
}

impl Life {
    /// The key was registered a moment ago.
    async fn keep_key(&mut self, key: Authenticator) {
        let all = self.durable.authenticators(self.account).await.unwrap();
        let known = |id| self.known.keys.iter().any(|key| key.id == id);
        let mut new = all
            .iter()
            .filter(|one| one.kind == AuthenticatorKind::Webauthn && !known(one.id))
            .map(|one| one.id);
        let id = new.next().expect("the new key");
        assert_eq!(new.next(), None, "one new key");
        self.known.keys.push(Key { id, key });
    }

    /// All keys of the account are gone.
    pub(super) fn keys_are_gone(&mut self) {
        let gone = std::mem::take(&mut self.known.keys);
        self.known.former_keys.extend(gone.into_iter().map(|key| key.key));
    }

    /// Sends what the key makes of the options on the page of the second factor. Keys that the options
    /// do not name answer all the same.
    async fn send_key(
        &self,
        token: &PlainToken<PendingToken>,
        key: &mut Authenticator,
    ) -> SecondFactor {
        let options = self.service().second.key_options(app(), token, &page()).await.unwrap();
        let Some(options) = options else { return SecondFactor::StartAgain };
        let mut options = parsed(&options);
        options["publicKey"]["allowCredentials"] = json!([]);
        let made = answer(&key.get(&options, ORIGIN), Purpose::SecondFactor);
        let response = FactorResponse::Key(Box::new(made));
        self.service().second.prove(app(), token, &response, &self.caller()).await.unwrap()
    }

    fn passkey_options(&self) -> Value {
        parsed(&self.service().passkeys.passkey_options(app(), &page()).unwrap().unwrap())
    }

    async fn send_passkey(&self, made: &Value) -> ByPasskey {
        let attempt = PasskeyAttempt {
            answer: answer(made, Purpose::PasskeySignIn),
            caller: self.caller(),
            return_to: "/".to_owned(),
        };
        self.service().passkeys.by_passkey(app(), attempt).await.unwrap()
    }

    /// Signs in by password and key.
    pub(super) async fn sign_in_by_key(&mut self) -> Option<PlainToken<SessionToken>> {
        let password = self.known.password.clone();
        for _ in 0..20 {
            let mut newest = self.known.keys.pop()?;
            let token = self.prove(&password).await.expect("the right password");
            let before = self.known.open.len();
            let outcome = self.send_key(&token, &mut newest.key).await;
            self.known.keys.push(newest);
            if self.got_in(outcome).await {
                return PlainToken::parse(self.known.open[before].reveal(), &self.keys);
            }
            if !self.on_time() {
                return None;
            }
        }
        panic!("the owner does not get in by key");
    }

    /// Signs in by passkey alone, and sends the answer again.
    pub(super) async fn sign_in_by_passkey(&mut self) {
        for _ in 0..20 {
            let options = self.passkey_options();
            let Some(newest) = self.known.keys.last_mut() else { return };
            let made = newest.key.get(&options, ORIGIN);
            match self.send_passkey(&made).await {
                ByPasskey::SignedIn(done) => {
                    assert!(self.got_in(SecondFactor::SignedIn(*done)).await);
                    let again = self.send_passkey(&made).await;
                    assert!(!matches!(again, ByPasskey::SignedIn(_)), "one answer signs in twice");
                    return;
                }
                ByPasskey::Wait(wait) => self.pass(wait + Duration::from_secs(1)),
                ByPasskey::Refused => {
                    assert!(!self.on_time(), "the passkey of the owner is refused");
                    return;
                }
            }
        }
        panic!("told to wait for ever");
    }

    /// A thief has a key: without its PIN, or one that the account no longer has, with the password and
    /// without.
    pub(super) async fn bad_key(&mut self) {
        if let Some(newest) = self.known.keys.last_mut() {
            newest.key.flags = PRESENT;
            let options = self.passkey_options();
            let made = self.known.keys.last_mut().unwrap().key.get(&options, ORIGIN);
            let outcome = self.send_passkey(&made).await;
            assert!(!matches!(outcome, ByPasskey::SignedIn(_)), "a key alone, without its PIN");
            self.known.keys.last_mut().unwrap().key.flags = PRESENT | VERIFIED;
        }
        let Some(mut former) = self.known.former_keys.pop() else { return };
        let options = self.passkey_options();
        let outcome = self.send_passkey(&former.get(&options, ORIGIN)).await;
        assert!(!matches!(outcome, ByPasskey::SignedIn(_)), "a former key");
        let password = self.known.password.clone();
        let token = self.prove(&password).await.expect("the right password");
        let outcome = self.send_key(&token, &mut former).await;
        self.is_refused(outcome, "a former key beside the password").await;
        self.known.former_keys.push(former);
    }

    /// The password alone registers no key.
    pub(super) async fn enrol_key_by_password(&mut self) {
        let password = self.known.password.clone();
        let token = self.prove(&password).await.expect("the right password");
        let offer = self.service().enrolments.enrol_key_options(app(), &token, &page()).await;
        assert!(offer.unwrap().is_none(), "enrolment of a key by the password alone");
        let second = self.service().second.key_options(app(), &token, &page()).await.unwrap();
        let challenge = second.map_or_else(
            || json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
            |options| parsed(&options)["publicKey"]["challenge"].clone(),
        );
        let options = json!({ "publicKey": {
            "challenge": challenge, "rp": { "id": "gw.test" }, "user": { "id": "AAAA" },
        }});
        let made = answer(&Authenticator::default().create(&options, ORIGIN), Purpose::Enrol);
        let enrolments = &self.service().enrolments;
        let done = enrolments.enrol_key(app(), &token, (&made, "x"), &self.caller()).await.unwrap();
        let KeyEnrolled::Checked(outcome) = done else { panic!("registered") };
        self.is_refused(outcome, "a key that was registered by the password alone").await;
    }

    /// Registers a key with a one-time link, in place of everything else.
    pub(super) async fn enrol_key(&mut self, token: &PlainToken<PendingToken>) -> bool {
        let enrolments = &self.service().enrolments;
        let offer = enrolments.enrol_key_options(app(), token, &page()).await.unwrap();
        let Some(offer) = offer else {
            assert!(!self.on_time(), "a ticket does not enrol");
            return false;
        };
        let mut key = Authenticator::default();
        let made = answer(&key.create(&parsed(&offer.options), ORIGIN), Purpose::Enrol);
        let enrolments = &self.service().enrolments;
        let done = enrolments.enrol_key(app(), token, (&made, "x"), &self.caller()).await.unwrap();
        let KeyEnrolled::Checked(outcome) = done else { panic!("registered before") };
        if matches!(outcome, SecondFactor::SignedIn(_)) {
            self.all_over();
            self.keys_are_gone();
            self.known.former_apps.extend(self.known.app.take());
            self.known.ever_enrolled = true;
            self.known.wrong.clear();
            self.known.suspended = false;
            self.keep_key(key).await;
            self.codes_are_now(Vec::new());
        }
        self.got_in(outcome).await
    }

    pub(super) async fn link_for_a_key(&mut self) {
        self.known.enrols_by_key = true;
        self.use_link(Rights::ENROL).await;
        self.known.enrols_by_key = false;
    }

    /// Adds a key: a code is enough for the first one only.
    pub(super) async fn add_key(&mut self) {
        let by_code = if self.known.app.is_some() { self.sign_in().await } else { None };
        if let Some(token) = &by_code
            && let Some(session) = self.session(token).await
            && let Some(fresh) = FreshFactors::of(&session, self.clock.now())
            && !self.known.keys.is_empty()
        {
            let options = self.service().own_keys.add_key_options(app(), fresh, &page()).await;
            let options = options.unwrap();
            assert!(matches!(options, AddKey::NeedsKey | AddKey::Ended), "a key by a code");
        }
        if self.known.keys.len() >= MOST {
            return;
        }
        let token = if self.known.keys.is_empty() { by_code } else { self.sign_in_by_key().await };
        let Some(token) = token else { return };
        let Some(session) = self.session(&token).await else { return };
        let Some(fresh) = FreshFactors::of(&session, self.clock.now()) else { return };
        let options = self.service().own_keys.add_key_options(app(), fresh, &page()).await.unwrap();
        let AddKey::Options(options) = options else {
            assert!(!self.on_time(), "no key can be added");
            return;
        };
        let mut key = Authenticator::default();
        let made = answer(&key.create(&parsed(&options), ORIGIN), Purpose::AddKey);
        let own_keys = &self.service().own_keys;
        let added = own_keys.add_key(&token, fresh, (&made, "x"), &self.caller()).await.unwrap();
        if matches!(added, KeyAdded::Done) {
            self.keep_key(key).await;
        }
    }

    /// The owner removes the newest key, unless it is the last second factor.
    pub(super) async fn remove_key(&mut self) {
        let Some(token) = self.sign_in_by_key().await else { return };
        let Some(session) = self.session(&token).await else { return };
        let Some(fresh) = FreshFactors::of(&session, self.clock.now()) else { return };
        let Some(id) = self.known.keys.last().map(|key| key.id) else { return };
        let own_keys = &self.service().own_keys;
        let others =
            self.known.keys.len() > 1 || (self.known.app.is_some() && !self.known.suspended);
        match own_keys.remove_key(&token, fresh, id, &self.caller()).await.unwrap() {
            KeyRemoved::Done(next) => {
                assert!(others, "the last second factor is removed");
                self.forget_key(id);
                self.known.open.push(next.token);
            }
            KeyRemoved::Last => assert!(!others, "it is not the last one"),
            refused @ (KeyRemoved::Unknown | KeyRemoved::NeedsKey | KeyRemoved::Ended) => {
                assert!(!self.on_time(), "{refused:?}");
            }
        }
    }

    /// An operator removes the newest key, even if it is the last second factor.
    pub(super) async fn lose_key(&mut self) {
        let Some(id) = self.known.keys.last().map(|key| key.id) else { return };
        self.admin().recovery.remove_key(&name(), id, "lost").await.unwrap();
        self.forget_key(id);
    }

    fn forget_key(&mut self, id: FactorId) {
        self.all_over();
        let at = self.known.keys.iter().position(|key| key.id == id).unwrap();
        let gone = self.known.keys.remove(at);
        self.known.former_keys.push(gone.key);
    }
}
