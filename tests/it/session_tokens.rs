//! Every authentication gives the browser a new token, and the one before is worth nothing from then
//! on.

use super::support::client::Browser;
use super::support::codes::Codes;
use super::support::gateway::{Gateway, PASSWORD, Plan};
use super::support::html;
use super::support::upstream::Recorder;
use super::support::visitor::{self, PENDING, Person, SESSION};

const NEW_PASSWORD: &str = "nine-herons-mend-the-clock";

/// A browser and all tokens it ever held.
struct Holder {
    browser: Browser,
    former: Vec<String>,
}

impl Holder {
    /// After an authentication: the token is a new one, and no former one opens anything.
    async fn holds_a_new_token(&mut self, after: &str) {
        let held = self.browser.jar.get(SESSION).unwrap_or_else(|| panic!("none after {after}"));
        assert!(!self.former.contains(held), "the token outlived {after}");
        let mut thief = self.browser.clone();
        for former in &self.former {
            thief.jar.insert(SESSION.to_owned(), former.clone());
            let page = thief.get("/_auth/account").await;
            assert_eq!(page.status, 303, "a token from before {after}: {}", page.text());
        }
        self.former.push(held.clone());
        assert_eq!(self.browser.fetch("/app").await.status, 200, "after {after}");
    }

    /// Begins a login as in a tab that was opened before the session began.
    async fn begin(&mut self, target: &str, form: &[(&str, &str)]) {
        let held = self.browser.jar.remove(SESSION).unwrap();
        self.submit(target, form).await;
        assert!(self.browser.jar.contains_key(PENDING) && !self.browser.jar.contains_key(SESSION));
        self.browser.jar.insert(SESSION.to_owned(), held);
    }

    async fn submit(&mut self, target: &str, form: &[(&str, &str)]) {
        let answer = self.browser.submit(target, form).await;
        assert_eq!(answer.status, 303, "{target}: {}", answer.text());
    }

    async fn step_up(&mut self, gateway: &Gateway, person: &mut Person) {
        visitor::let_proofs_age(gateway, &self.browser).await;
        let code = person.codes.next().await;
        let target = "/_auth/step-up?return_to=%2F_auth%2Faccount%2Fauthenticator";
        self.submit(target, &[("password", PASSWORD), ("code", &code)]).await;
        self.holds_a_new_token("a step-up with a code").await;
        visitor::let_proofs_age(gateway, &self.browser).await;
        let target = "/_auth/step-up?with=recovery&return_to=%2F_auth%2Faccount";
        self.submit(target, &[("code", &person.recovery[1])]).await;
        self.holds_a_new_token("a step-up with a recovery code").await;
    }

    async fn changes(&mut self, gateway: &Gateway, person: &mut Person) {
        let form = [("current", PASSWORD), ("password", NEW_PASSWORD)];
        self.submit("/_auth/account/password", &form).await;
        self.holds_a_new_token("a new password").await;
        visitor::let_proofs_age(gateway, &self.browser).await;
        let code = person.codes.next().await;
        let target = "/_auth/step-up?return_to=%2F_auth%2Faccount%2Fauthenticator";
        self.submit(target, &[("password", NEW_PASSWORD), ("code", &code)]).await;
        self.holds_a_new_token("another step-up").await;
        let page = self.browser.get("/_auth/account/authenticator").await;
        person.codes = Codes::new(&html::by_id(&page.text(), "totp-secret").unwrap());
        let code = person.codes.next().await;
        self.submit("/_auth/account/authenticator", &[("code", &code)]).await;
        self.holds_a_new_token("a new authenticator").await;
        let page = self.browser.get("/_auth/account/recovery-codes").await;
        person.recovery = html::recovery_codes(&page.text());
        let kept = person.recovery[9].clone();
        self.submit("/_auth/account/recovery-codes", &[("confirm", &kept)]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_authentication_makes_a_new_token_and_ends_the_one_before() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (browser, mut person) = visitor::signed_in(&gateway, "alice").await;
    let mut holder = Holder { browser, former: Vec::new() };
    holder.holds_a_new_token("enrolment").await;

    // Signing in anew in the same browser ends the session it held.
    let login = [("username", "alice"), ("password", PASSWORD)];
    holder.begin("/_auth/login", &login).await;
    let code = person.codes.next().await;
    holder.submit("/_auth/otp", &[("code", &code)]).await;
    holder.holds_a_new_token("a sign-in").await;
    holder.begin("/_auth/login", &login).await;
    let code = person.recovery[0].clone();
    holder.submit("/_auth/recovery", &[("code", &code)]).await;
    holder.holds_a_new_token("a sign-in with a recovery code").await;

    holder.step_up(&gateway, &mut person).await;
    holder.changes(&gateway, &mut person).await;

    let form = [("username", "alice"), ("code", person.recovery[0].as_str())];
    holder.begin("/_auth/forgot", &form).await;
    holder.submit("/_auth/recovery", &[("code", &person.recovery[1])]).await;
    holder.submit("/_auth/forgot/password", &[("password", "four-otters-mend-a-roof")]).await;
    holder.holds_a_new_token("a forgotten password").await;
    assert_eq!(holder.former.len(), 9);
}
