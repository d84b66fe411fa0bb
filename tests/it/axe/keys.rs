//! The pages of keys: at rest, refused, and when a person cancels.

use super::super::browser::{Look, PATIENCE, Walk, gone};
use super::super::support::client::Browser;
use super::super::support::gateway::PASSWORD;
use super::super::support::html;
use super::super::support::virtual_key::VirtualKey;
use super::super::support::visitor::{self, Person};
use super::super::support::within;
use super::LOOKS;
use super::sweep::Sweep;

const TWO: &str = "[second_factor.webauthn]\nmax_credentials = 2\n";
const VAULT: &str = "[[apps.rules]]\npath = \"/vault/**\"\naccess = \"two_factor\"\n\
                     phishing_resistant = true\n";
const ASK: &str = "button[data-key-ask]:not([hidden])";
const CANCELLED: &str = "[data-key-problem]:not([hidden])";
const REFUSED: &str = "form [role=alert]:not([hidden])";
/// As long as a name may be, without a space.
const LONG: &str = "a-key-with-a-very-long-name-that-somebody-thought-was-a-good-one";

impl Sweep {
    /// Sends the form of a key with an answer that no key made.
    async fn send_rubbish(&self) {
        let form = self.walk.screen.wait_for(ASK).await;
        let send = "const form = document.querySelector('form[data-key]');
                    form.elements.credential.value = '{}';
                    if (form.elements.name) form.elements.name.value = 'x';
                    HTMLFormElement.prototype.submit.call(form);";
        self.walk.screen.client.execute(send, Vec::new()).await.unwrap();
        within(PATIENCE, "the page to give way", gone(&form)).await;
    }

    async fn ask(&self) {
        self.walk.screen.wait_for(ASK).await.click().await.unwrap();
    }

    /// Asks for a key that does not answer.
    async fn cancel(&self) {
        let idle = VirtualKey::refusing(&self.walk.screen.client).await;
        self.ask().await;
        self.walk.screen.wait_for(CANCELLED).await;
        idle.unplug().await;
    }

    async fn pages_of_enrolling_a_key(&mut self) -> VirtualKey {
        self.goto("/start").await;
        self.walk.screen.prove_password("alice").await;
        self.walk.screen.wait_for_path("/_auth/enroll").await;
        self.goto("/_auth/enroll/key").await;
        self.look_at("enroll-key", ASK).await;
        self.send_rubbish().await;
        self.look_at("enroll-key-refused", REFUSED).await;
        self.walk.screen.type_in("name", LONG).await;
        self.cancel().await;
        self.look_at("enroll-key-cancelled", CANCELLED).await;
        let key = VirtualKey::security_key(&self.walk.screen.client).await;
        self.ask().await;
        self.walk.screen.wait_for("li code").await;
        let recovery = html::recovery_codes(&self.walk.screen.source().await);
        self.send(&[("confirm", &recovery[0])]).await;
        self.walk.screen.wait_for_path("/start").await;
        key
    }

    /// The list, and what it says where something cannot be done.
    async fn pages_of_the_keys(&mut self, first: VirtualKey) -> VirtualKey {
        self.goto("/_auth/account").await;
        self.look_at("account", "a[href^='/_auth/account/keys']").await;
        self.goto("/_auth/account/keys").await;
        self.look_at("keys", "li form").await;
        self.walk.screen.wait_for("button[name=remove]").await.click().await.unwrap();
        self.look_at("keys-last", "[role=alert]:not([hidden])").await;
        self.goto("/_auth/account/keys/new").await;
        self.look_at("key-new", ASK).await;
        self.send_rubbish().await;
        self.look_at("key-new-refused", REFUSED).await;
        self.walk.screen.type_in("name", "Phone").await;
        self.ask().await;
        self.look_at("key-new-registered", CANCELLED).await;
        first.unplug().await;
        let second = VirtualKey::platform(&self.walk.screen.client).await;
        self.ask().await;
        self.look_at("keys-two", "[role=status]").await;
        self.goto("/_auth/account/keys/new").await;
        self.look_at("keys-full", "[role=alert]:not([hidden])").await;
        second
    }

    async fn pages_of_a_fresh_proof(&mut self, key: &VirtualKey) {
        self.walk.age().await;
        self.goto("/_auth/account/keys").await;
        self.look_at("step-up", ASK).await;
        self.send_rubbish().await;
        self.look_at("step-up-refused", "[role=alert]:not([hidden])").await;
        key.verifies(false).await;
        self.ask().await;
        self.look_at("step-up-cancelled", CANCELLED).await;
        key.verifies(true).await;
        self.ask().await;
        self.walk.screen.wait_for_path("/_auth/account/keys").await;
    }

    async fn pages_of_signing_in_with_a_key(&mut self, key: VirtualKey) {
        key.verifies(false).await;
        self.walk.screen.sign_out(&self.walk.origin).await;
        self.goto("/_auth/login").await;
        self.look_at("login", ASK).await;
        self.ask().await;
        self.look_at("login-cancelled", CANCELLED).await;
        self.send_rubbish().await;
        self.look_at("login-refused", "[role=alert]:not([hidden])").await;
        self.walk.screen.prove_password("alice").await;
        self.walk.screen.wait_for_path("/_auth/key").await;
        self.look_at("key", ASK).await;
        self.ask().await;
        self.look_at("key-cancelled", CANCELLED).await;
        self.send_rubbish().await;
        self.look_at("key-refused", REFUSED).await;
        key.unplug().await;
    }

    /// An account with an authenticator app, where a rule wants a key.
    async fn pages_of_a_rule(&mut self, person: &mut Person) {
        self.walk.screen.sign_out(&self.walk.origin).await;
        self.goto("/start").await;
        self.send(&[("username", "bob"), ("password", PASSWORD)]).await;
        self.walk.screen.wait_for_path("/_auth/otp").await;
        let code = person.codes.next().await;
        self.send(&[("code", &code)]).await;
        self.walk.screen.wait_for_path("/start").await;
        self.goto("/vault/1").await;
        self.look_at("rule-without-a-key", "h1").await;
        self.goto("/_auth/account/keys").await;
        self.look_at("keys-none", "a.primary").await;
        let key = VirtualKey::security_key(&self.walk.screen.client).await;
        self.goto("/_auth/account/keys/new").await;
        self.walk.screen.type_in("name", "Blue").await;
        self.ask().await;
        self.look_at("keys-one", "[role=status]").await;
        self.goto("/vault/1").await;
        self.look_at("rule-with-a-key", ASK).await;
        self.send_rubbish().await;
        self.look_at("rule-refused", "[role=alert]:not([hidden])").await;
        self.walk.age().await;
        self.goto("/_auth/account/keys").await;
        self.look_at("step-up-with-both", ASK).await;
        key.unplug().await;
    }
}

async fn no_page_of_a_key_has_a_barrier(look: Look) {
    let walk = Walk::ruled(look, VAULT, TWO).await;
    let mut bobs = Browser::new(&walk.gateway);
    "localhost".clone_into(&mut bobs.host);
    walk.gateway.add_user("bob");
    let (_, mut bob) = visitor::join(bobs, "bob").await;
    let mut sweep = Sweep::begin("keys", look, walk);
    let key = sweep.pages_of_enrolling_a_key().await;
    let key = sweep.pages_of_the_keys(key).await;
    sweep.pages_of_a_fresh_proof(&key).await;
    sweep.pages_of_signing_in_with_a_key(key).await;
    sweep.pages_of_a_rule(&mut bob).await;
    sweep.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_of_a_key_has_a_barrier_in_light() {
    no_page_of_a_key_has_a_barrier(LOOKS[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_of_a_key_has_a_barrier_in_the_dark() {
    no_page_of_a_key_has_a_barrier(LOOKS[1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_of_a_key_has_a_barrier_on_a_narrow_screen() {
    no_page_of_a_key_has_a_barrier(LOOKS[2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_of_a_key_has_a_barrier_at_twice_its_size() {
    no_page_of_a_key_has_a_barrier(LOOKS[3]).await;
}
