//! No page has a barrier that axe-core can find, in light and dark, at rest and in error; and every
//! page fits 320 pixels, which is also what 200 % zoom leaves of a small window.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::browser::{Look, Walk, fresh_code};
use super::support::gateway::PASSWORD;
use super::support::html;

/// What axe-core found, one line each; its rules for WCAG 2.2 A and AA and its best practices.
const RUN: &str = r"
    const done = arguments[arguments.length - 1];
    axe.run(document, { resultTypes: ['violations'] }).then(
        (found) => done(found.violations.flatMap((v) =>
            v.nodes.map((n) => `${v.id}: ${n.html} ${n.failureSummary}`))),
        (error) => done([String(error)]));
";
/// What sticks out beyond the window.
const WIDE: &str = r"
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return [];
    return [...document.querySelectorAll('body *')]
        .filter((e) => e.getBoundingClientRect().right > width + 1)
        .map((e) => `too wide for ${width}: ${e.outerHTML.slice(0, 120)}`);
";

fn axe() -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let installed = Command::new(root.join("scripts/axe.sh")).status().unwrap();
    assert!(installed.success(), "scripts/axe.sh");
    std::fs::read_to_string(root.join("target/axe/node_modules/axe-core/axe.min.js")).unwrap()
}

/// A walk over all pages, what was found, and where the pictures of it are kept.
struct Sweep {
    walk: Walk,
    axe: String,
    look: Look,
    found: Vec<String>,
    seen: usize,
    pictures: PathBuf,
}

impl Sweep {
    async fn begin(look: Look) -> Self {
        let colours = if look.dark { "dark" } else { "light" };
        let width = look.narrow.unwrap_or(1000);
        let pictures = format!("target/screenshots/{colours}-{width}");
        let pictures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(pictures);
        std::fs::create_dir_all(&pictures).unwrap();
        let walk = Walk::begin(look).await;
        Self { walk, axe: axe(), look, found: Vec::new(), seen: 0, pictures }
    }

    /// Looks at the page on the screen, which must hold this.
    async fn look_at(&mut self, what: &str, css: &str) {
        let (screen, client) = (&self.walk.screen, &self.walk.screen.client);
        screen.wait_for(css).await;
        let dark = "return matchMedia('(prefers-color-scheme: dark)').matches";
        assert_eq!(client.execute(dark, vec![]).await.unwrap(), Value::Bool(self.look.dark));
        client.execute(&self.axe, vec![]).await.unwrap();
        let barriers = client.execute_async(RUN, vec![]).await.unwrap();
        let wide = client.execute(WIDE, vec![]).await.unwrap();
        for found in [barriers, wide] {
            for one in found.as_array().unwrap() {
                self.found.push(format!("{what}: {}", one.as_str().unwrap()));
            }
        }
        self.seen += 1;
        let picture = self.pictures.join(format!("{:02}-{what}.png", self.seen));
        std::fs::write(picture, client.screenshot().await.unwrap()).unwrap();
    }

    async fn goto(&self, path: &str) {
        let address = format!("{}{path}", self.walk.origin);
        self.walk.screen.client.goto(&address).await.unwrap();
    }

    async fn send(&self, fields: &[(&str, &str)]) {
        for (name, text) in fields {
            self.walk.screen.type_in(name, text).await;
        }
        self.walk.screen.press().await;
    }

    async fn signing_in(&mut self) {
        self.goto("/start").await;
        self.look_at("login", "input[name=username]").await;
        self.send(&[("username", "alice"), ("password", "wrong")]).await;
        self.look_at("login-wrong", "[role=alert]").await;
        self.send(&[("username", "alice"), ("password", PASSWORD)]).await;
    }

    async fn pages_of_the_first_sign_in(&mut self) -> (String, u64) {
        self.signing_in().await;
        self.look_at("enroll", "#totp-secret").await;
        let secret = html::by_id(&self.walk.screen.source().await, "totp-secret").unwrap();
        self.send(&[("code", "000000")]).await;
        self.look_at("enroll-wrong", "[role=alert]").await;
        let (code, used) = fresh_code(&secret, 0).await;
        self.send(&[("code", &code)]).await;
        self.look_at("codes", "li code").await;
        let free = "document.querySelector('[name=confirm]').required = false";
        self.walk.screen.client.execute(free, vec![]).await.unwrap();
        self.walk.screen.press().await;
        self.look_at("codes-unticked", "[role=alert]").await;
        self.walk.screen.wait_for("input[name=confirm]").await.click().await.unwrap();
        self.walk.screen.press().await;
        self.walk.screen.wait_for_path("/start").await;
        (secret, used)
    }

    async fn pages_of_the_account(&mut self, secret: &str, used: u64) -> Vec<String> {
        self.goto("/_auth/account").await;
        self.look_at("account", "h1").await;
        self.goto("/_auth/account/password").await;
        self.look_at("password", "input[name=current]").await;
        self.send(&[("current", "wrong"), ("password", "nine-badgers-row-to-sea")]).await;
        self.look_at("password-wrong", "#current-problem").await;
        self.send(&[("current", PASSWORD), ("password", "password1")]).await;
        self.look_at("password-refused", "#new-problem").await;
        self.goto("/_auth/account/authenticator").await;
        self.look_at("authenticator", "#totp-secret").await;
        self.send(&[("code", "000000")]).await;
        self.look_at("authenticator-wrong", "[role=alert]").await;
        self.goto("/_auth/account/recovery-codes").await;
        self.look_at("new-codes", "li code").await;
        self.send(&[("code", "0000")]).await;
        self.look_at("new-codes-wrong", "[role=alert]").await;
        let codes = html::recovery_codes(&self.walk.screen.source().await);
        self.send(&[("code", &codes[0])]).await;
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
        self.look_at("otp-wrong", "[role=alert]").await;
        self.goto("/_auth/recovery").await;
        self.look_at("recovery", "input[name=code]").await;
        self.send(&[("code", "0000")]).await;
        self.look_at("recovery-wrong", "[role=alert]").await;
        self.walk.screen.sign_out(&self.walk.origin).await;
        self.goto("/_auth/forgot").await;
        self.look_at("forgot", "input[name=code]").await;
        self.send(&[("username", "alice"), ("code", "0000")]).await;
        self.look_at("forgot-wrong", "[role=alert]").await;
        self.send(&[("username", "alice"), ("code", &recovery[0])]).await;
        self.walk.screen.wait_for_path("/_auth/otp").await;
        self.goto("/_auth/recovery").await;
        self.send(&[("code", &recovery[1])]).await;
        self.walk.screen.wait_for_path("/_auth/forgot/password").await;
        self.look_at("forgot-password", "input[name=password]").await;
        self.send(&[("password", "password1")]).await;
        self.look_at("forgot-password-refused", "[role=alert]").await;
        self.goto("/_auth/setup").await;
        self.look_at("setup-worthless", "h1").await;
        let made = self.walk.gateway.command(&["user", "add", "newcomer"], "");
        let said = String::from_utf8(made.stdout).unwrap();
        let ticket = said.split("ticket=").nth(1).and_then(|t| t.split_whitespace().next());
        self.goto(&format!("/_auth/setup?ticket={}", ticket.unwrap())).await;
        self.look_at("setup", "input[name=password]").await;
        self.send(&[("password", "password1")]).await;
        self.look_at("setup-refused", "[role=alert]").await;
    }
}

async fn no_page_has_a_barrier(look: Look) {
    let mut sweep = Sweep::begin(look).await;
    let (secret, used) = sweep.pages_of_the_first_sign_in().await;
    let recovery = sweep.pages_of_the_account(&secret, used).await;
    sweep.pages_of_leaving_and_coming_back(&recovery).await;
    assert!(sweep.found.is_empty(), "{}:\n{}", sweep.found.len(), sweep.found.join("\n"));
    sweep.walk.screen.client.clone().close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_has_a_barrier_in_light() {
    no_page_has_a_barrier(Look { scripts: true, dark: false, narrow: None }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_has_a_barrier_in_the_dark() {
    no_page_has_a_barrier(Look { scripts: true, dark: true, narrow: None }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_has_a_barrier_on_a_narrow_screen() {
    no_page_has_a_barrier(Look { scripts: true, dark: false, narrow: Some(320) }).await;
}
