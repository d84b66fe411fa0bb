//! Pages that people see seldom: behind a one-time link, what is told after signing in, refusals.

use super::super::browser::{Look, Walk, fresh_code};
use super::super::support::client::Browser;
use super::super::support::gateway::PASSWORD;
use super::super::support::html;
use super::super::support::visitor::{self, Person};
use super::super::tickets;
use super::LOOKS;
use super::sweep::Sweep;

const WAITS: &str = "[throttle]\nfirst_wait = \"10m\"\nlongest_wait = \"10m\"\nper_address = 8\n\
                     second_factor = 100\nsecond_factor_most = 4\n";

impl Sweep {
    fn link(&self, args: &[&str]) -> String {
        tickets::link(&tickets::made(&self.walk.gateway, args))
    }

    /// A browser without a screen, at an address of its own.
    fn elsewhere(&self, last: u8) -> Browser {
        let mut browser = Browser::new(&self.walk.gateway);
        "localhost".clone_into(&mut browser.host);
        browser.from = [127, 0, 0, last].into();
        browser
    }

    async fn pages_of_a_link(&mut self) {
        self.goto("/_auth/setup").await;
        self.look_at("setup-without", "h1").await;
        let link = self.link(&["user", "add", "newcomer"]);
        self.goto(&link).await;
        self.look_at("setup", "input[name=password]").await;
        self.send(&[("password", "password1")]).await;
        self.look_at("setup-refused", "[role=alert]:not([hidden])").await;
        self.send(&[("password", PASSWORD)]).await;
        self.look_at("setup-enroll", "#totp-secret").await;
        let secret = html::by_id(&self.walk.screen.source().await, "totp-secret").unwrap();
        self.send(&[("code", "000000")]).await;
        self.look_at("setup-enroll-wrong", "[role=alert]:not([hidden])").await;
        let (code, _used) = fresh_code(&secret, 0).await;
        self.send(&[("code", &code)]).await;
        self.look_at("setup-codes", "li code").await;
        self.goto(&link).await;
        self.look_at("setup-used", "h1").await;

        let link = self.link(&["user", "ticket", "newcomer"]);
        self.goto(&link).await;
        self.look_at("setup-password", "input[autocomplete=current-password]").await;
        self.send(&[("password", "wrong")]).await;
        self.look_at("setup-password-wrong", "[role=alert]:not([hidden])").await;
    }

    async fn page_of_what_is_told(&mut self, person: &mut Person) {
        self.walk.screen.sign_out(&self.walk.origin).await;
        let mut thief = self.elsewhere(2);
        visitor::prove_password(&mut thief, "alice").await;
        assert_eq!(thief.submit("/_auth/otp", &[("code", "000000")]).await.status, 401);
        for code in &person.recovery[..7] {
            let mut other = self.elsewhere(3);
            visitor::prove_password(&mut other, "alice").await;
            let done = other.submit("/_auth/recovery", &[("code", code)]).await;
            assert_eq!(done.status, 303, "{}", done.text());
        }
        self.goto("/_auth/login").await;
        self.walk.screen.prove_password("alice").await;
        self.walk.screen.wait_for_path("/_auth/otp").await;
        let code = person.codes.next().await;
        self.send(&[("code", &code)]).await;
        self.look_at("told", "ul.notices").await;
        self.goto("/_auth/account").await;
        self.look_at("account-few-codes", "h1").await;
    }

    async fn pages_of_no_way_on(&mut self, person: &mut Person) {
        self.walk.screen.sign_out(&self.walk.origin).await;
        self.goto("/_auth/login").await;
        self.walk.screen.prove_password("alice").await;
        for _ in 0..4 {
            self.walk.screen.wait_for("input[name=code]").await;
            self.send(&[("code", "000000")]).await;
        }
        self.look_at("suspended", "a[href^=\"/_auth/recovery\"]").await;
        self.goto("/_auth/recovery").await;
        self.send(&[("code", &person.recovery[8])]).await;
        self.look_at("told-of-suspension", "ul.notices").await;

        self.walk.gateway.command(&["user", "reset-2fa", "alice", "--reason", "lost"], "");
        self.goto("/_auth/login").await;
        self.walk.screen.prove_password("alice").await;
        self.walk.screen.wait_for_path("/_auth/otp").await;
        self.look_at("help", "h1").await;
    }

    /// Sends the form until it is put off.
    async fn put_off(&mut self, what: &str, path: &str, fields: &[(&str, &str)]) {
        for _ in 0..20 {
            self.goto(path).await;
            self.send(fields).await;
            let said =
                self.walk.screen.wait_for("[role=alert]:not([hidden])").await.text().await.unwrap();
            if said.contains("minutes") {
                self.look_at(what, "[role=alert]:not([hidden])").await;
                return;
            }
        }
        panic!("{path} was never put off: {}", self.walk.screen.source().await);
    }

    async fn pages_of_waiting(&mut self, code: &str) {
        let wrong = [("username", "nobody"), ("password", "wrong")];
        self.put_off("login-waits", "/_auth/login", &wrong).await;
        let wrong = [("username", "nobody"), ("code", code)];
        self.put_off("forgot-waits", "/_auth/forgot", &wrong).await;
        for _ in 0..9 {
            self.goto(&format!("/_auth/setup?ticket={}", "A".repeat(64))).await;
        }
        self.look_at("setup-waits", "[role=alert]:not([hidden])").await;
    }
}

async fn no_seldom_page_has_a_barrier(look: Look) {
    let mut sweep = Sweep::begin("seldom", look, Walk::with(look, WAITS).await);
    sweep.pages_of_a_link().await;
    let (_, mut person) = visitor::join(sweep.elsewhere(4), "alice").await;
    sweep.page_of_what_is_told(&mut person).await;
    sweep.pages_of_no_way_on(&mut person).await;
    sweep.pages_of_waiting(&person.recovery[0]).await;
    sweep.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_seldom_page_has_a_barrier_in_light() {
    no_seldom_page_has_a_barrier(LOOKS[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_seldom_page_has_a_barrier_in_the_dark() {
    no_seldom_page_has_a_barrier(LOOKS[1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_seldom_page_has_a_barrier_on_a_narrow_screen() {
    no_seldom_page_has_a_barrier(LOOKS[2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_seldom_page_has_a_barrier_at_twice_its_size() {
    no_seldom_page_has_a_barrier(LOOKS[3]).await;
}
