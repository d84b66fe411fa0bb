//! No page has a barrier that axe-core can find, in light and dark, at rest and in error; and every
//! page fits 320 pixels and a zoom of 200 %.

mod at_app;
mod keys;
mod outage;
mod seldom;
mod sweep;

use self::sweep::Sweep;
use super::browser::{Look, Walk, Window, fresh_code};
use super::support::gateway::PASSWORD;
use super::support::html;

/// Light, dark, narrow, zoomed.
const LOOKS: [Look; 4] = [
    Look { scripts: true, dark: false, window: Window::Desk, cookies: true },
    Look { scripts: true, dark: true, window: Window::Desk, cookies: true },
    Look { scripts: true, dark: false, window: Window::Phone, cookies: true },
    Look { scripts: true, dark: false, window: Window::Zoomed, cookies: true },
];

impl Sweep {
    async fn signing_in(&mut self) {
        self.goto("/start").await;
        self.look_at("login", "input[name=username]").await;
        self.send(&[("username", "alice"), ("password", "wrong")]).await;
        self.look_at("login-wrong", "[role=alert]:not([hidden])").await;
        self.send(&[("username", "alice"), ("password", PASSWORD)]).await;
    }

    async fn pages_of_the_first_sign_in(&mut self) -> (String, u64) {
        self.signing_in().await;
        self.look_at("enroll", "#totp-secret").await;
        let secret = html::by_id(&self.walk.screen.source().await, "totp-secret").unwrap();
        self.send(&[("code", "000000")]).await;
        self.look_at("enroll-wrong", "[role=alert]:not([hidden])").await;
        let (code, used) = fresh_code(&secret, 0).await;
        self.send(&[("code", &code)]).await;
        self.look_at("codes", "li code").await;
        let recovery = html::recovery_codes(&self.walk.screen.source().await);
        self.send(&[("confirm", "0000")]).await;
        self.look_at("codes-typo", "[role=alert]:not([hidden])").await;
        self.send(&[("confirm", &recovery[0])]).await;
        self.walk.screen.wait_for_path("/start").await;
        (secret, used)
    }

    async fn tokens_for_programs(&mut self) {
        let long = format!("/data/{}/**", "a-directory-with-a-long-name-".repeat(4));
        for more in
            [&["--description", "Nightly export", "--path", &long, "--method", "GET"][..], &[]]
        {
            let asked = ["token", "create", "--user", "alice", "--app", "local"];
            let done = self.walk.gateway.command(&[&asked, more].concat(), "");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
        self.goto("/_auth/account").await;
        self.look_at("account-tokens", "form[action='/_auth/account/tokens']").await;
    }

    async fn pages_of_the_account(&mut self, secret: &str, used: u64) -> Vec<String> {
        self.goto("/_auth/account").await;
        self.look_at("account", "h1").await;
        self.tokens_for_programs().await;
        self.goto("/_auth/account/password").await;
        self.look_at("password", "input[name=current]").await;
        self.send(&[("current", "wrong"), ("password", "nine-badgers-row-to-sea")]).await;
        self.look_at("password-wrong", "#current-problem").await;
        self.send(&[("current", PASSWORD), ("password", "password1")]).await;
        self.look_at("password-refused", "#new-problem").await;
        self.goto("/_auth/account/authenticator").await;
        self.look_at("authenticator", "#totp-secret").await;
        self.send(&[("code", "000000")]).await;
        self.look_at("authenticator-wrong", "[role=alert]:not([hidden])").await;
        self.goto("/_auth/account/recovery-codes").await;
        self.look_at("new-codes", "li code").await;
        self.send(&[("confirm", "0000")]).await;
        self.look_at("new-codes-wrong", "[role=alert]:not([hidden])").await;
        let codes = html::recovery_codes(&self.walk.screen.source().await);
        self.send(&[("confirm", &codes[0])]).await;
        self.look_at("account-told", "[role=status]").await;

        self.walk.age().await;
        self.goto("/_auth/account/authenticator").await;
        self.look_at("step-up", "input[name=password]").await;
        self.send(&[("password", "wrong"), ("code", "000000")]).await;
        self.look_at("step-up-wrong-password", "#password-problem").await;
        self.send(&[("password", PASSWORD), ("code", "000000")]).await;
        self.look_at("step-up-wrong-code", "#problem").await;
        self.goto("/_auth/step-up?with=recovery&return_to=%2F_auth%2Faccount").await;
        self.look_at("step-up-recovery", "input[name=code]").await;
        self.send(&[("code", "0000")]).await;
        self.look_at("step-up-recovery-wrong", "#problem").await;
        self.goto("/_auth/step-up?return_to=%2F_auth%2Faccount%2Fauthenticator").await;
        let (code, _) = fresh_code(secret, used).await;
        self.send(&[("password", PASSWORD), ("code", &code)]).await;
        self.look_at("authenticator-again", "#totp-secret").await;
        let secret = html::by_id(&self.walk.screen.source().await, "totp-secret").unwrap();
        let (code, _) = fresh_code(&secret, 0).await;
        self.send(&[("code", &code)]).await;
        self.look_at("new-codes-in-force", "[role=status]").await;
        html::recovery_codes(&self.walk.screen.source().await)
    }

    async fn pages_of_leaving_and_coming_back(&mut self, recovery: &[String]) {
        self.goto("/_auth/nothing").await;
        self.look_at("not-found", "h1").await;
        self.goto("/_auth/logout").await;
        self.look_at("sign-out", "button.primary").await;
        self.walk.screen.press().await;
        self.look_at("signed-out", "a[href^=\"/_auth/login\"]").await;
        self.signing_in().await;
        self.look_at("otp", "input[name=code]").await;
        self.send(&[("code", "000000")]).await;
        self.look_at("otp-wrong", "[role=alert]:not([hidden])").await;
        self.goto("/_auth/recovery").await;
        self.look_at("recovery", "input[name=code]").await;
        self.send(&[("code", "0000")]).await;
        self.look_at("recovery-wrong", "[role=alert]:not([hidden])").await;
        self.walk.screen.sign_out(&self.walk.origin).await;
        self.goto("/_auth/forgot").await;
        self.look_at("forgot", "input[name=code]").await;
        self.send(&[("username", "alice"), ("code", "0000")]).await;
        self.look_at("forgot-wrong", "[role=alert]:not([hidden])").await;
        self.send(&[("username", "alice"), ("code", &recovery[0])]).await;
        self.walk.screen.wait_for_path("/_auth/otp").await;
        self.goto("/_auth/recovery").await;
        self.send(&[("code", &recovery[1])]).await;
        self.walk.screen.wait_for_path("/_auth/forgot/password").await;
        self.look_at("forgot-password", "input[name=password]").await;
        self.send(&[("password", "password1")]).await;
        self.look_at("forgot-password-refused", "[role=alert]:not([hidden])").await;
    }
}

async fn no_page_has_a_barrier(look: Look) {
    let mut sweep = Sweep::begin("pages", look, Walk::begin(look).await);
    let (secret, used) = sweep.pages_of_the_first_sign_in().await;
    let recovery = sweep.pages_of_the_account(&secret, used).await;
    sweep.pages_of_leaving_and_coming_back(&recovery).await;
    sweep.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_has_a_barrier_in_light() {
    no_page_has_a_barrier(LOOKS[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_has_a_barrier_in_the_dark() {
    no_page_has_a_barrier(LOOKS[1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_has_a_barrier_on_a_narrow_screen() {
    no_page_has_a_barrier(LOOKS[2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_has_a_barrier_at_twice_its_size() {
    no_page_has_a_barrier(LOOKS[3]).await;
}
