//! What people do with their account over the years, in a real browser by keyboard alone, with and
//! without JavaScript: a new phone, a lost phone, new recovery codes, a new password, a forgotten
//! one, another browser to be signed out.

use fantoccini::actions::{InputSource, KeyAction, KeyActions};

use super::browser::{Look, PATIENCE, Walk, fresh_code};
use super::support::client::Browser;
use super::support::gateway::PASSWORD;
use super::support::html;
use super::support::visitor::{self, SESSION};
use super::support::within;

pub(super) const ENTER: char = '\u{E007}';
const TAB: char = '\u{E004}';
const NEW_PASSWORD: &str = "nine-badgers-row-to-sea";

impl Walk {
    pub(super) async fn keys(&self, keys: impl IntoIterator<Item = char>) {
        let mut actions = KeyActions::new("keys".to_owned());
        for value in keys {
            actions = actions.then(KeyAction::Down { value }).then(KeyAction::Up { value });
        }
        self.screen.client.perform_actions(actions).await.unwrap();
    }

    /// Presses Tab until what has this attribute has the focus.
    pub(super) async fn tab_to(&self, attribute: &str, value: &str) {
        for _ in 0..80 {
            let at = self.screen.client.active_element().await.unwrap();
            let found = at.attr(attribute).await.unwrap().unwrap_or_default();
            // A link may carry the way back in its query.
            let path = found.split('?').next().unwrap_or_default();
            if found == value || (attribute == "href" && path == value) {
                return;
            }
            self.keys([TAB]).await;
        }
        panic!("no {attribute}={value} by keyboard: {}", self.screen.source().await);
    }

    pub(super) async fn fill(&self, name: &str, text: &str) {
        self.tab_to("name", name).await;
        self.keys(text.chars()).await;
    }

    pub(super) async fn follow(&self, path: &str) {
        self.tab_to("href", path).await;
        self.keys([ENTER]).await;
    }

    async fn account(&self) {
        self.screen.client.goto(&format!("{}/_auth/account", self.origin)).await.unwrap();
        self.screen.wait_for_path("/_auth/account").await;
    }

    /// Lets six minutes pass for the proofs of the session in the browser.
    pub(super) async fn age(&self) {
        let held = self.screen.client.get_named_cookie(SESSION).await.unwrap();
        let mut browser = self.other();
        browser.jar.insert(SESSION.to_owned(), held.value().to_owned());
        visitor::let_proofs_age(&self.gateway, &browser).await;
    }

    /// Another browser, without a screen.
    fn other(&self) -> Browser {
        let mut browser = Browser::new(&self.gateway);
        "localhost".clone_into(&mut browser.host);
        browser
    }

    /// Signs in with another browser by a second factor at `path`: it, and whether it got in.
    async fn elsewhere(&self, password: &str, path: &str, code: &str) -> (Browser, bool) {
        let mut browser = self.other();
        let form = [("username", "alice"), ("password", password)];
        assert_eq!(browser.submit("/_auth/login", &form).await.status, 303);
        let answer = browser.submit(path, &[("code", code)]).await;
        let inside = browser.jar.contains_key(SESSION);
        assert_eq!(answer.status, if inside { 303 } else { 401 }, "{}", answer.text());
        (browser, inside)
    }

    async fn gets_in_by_recovery_code(&self, code: &str) -> bool {
        self.elsewhere(PASSWORD, "/_auth/recovery", code).await.1
    }

    async fn told(&self, words: &str) {
        let notice = self.screen.wait_for("[role=status]").await.text().await.unwrap();
        assert!(notice.contains(words), "{notice}");
    }

    /// The codes on the page, one of which is typed back.
    async fn keep_codes(&self) -> Vec<String> {
        self.screen.wait_for("li code").await;
        let codes = html::recovery_codes(&self.screen.source().await);
        assert_eq!(codes.len(), 10);
        self.fill("confirm", &codes[9].to_lowercase()).await;
        self.keys([ENTER]).await;
        self.screen.wait_for_path("/_auth/account").await;
        self.told("Your recovery codes are confirmed").await;
        codes
    }

    /// Sets up the authenticator on the page: its secret and the step that confirmed it.
    async fn scan_and_confirm(&self) -> (String, u64) {
        let secret = self.screen.scan().await;
        let (code, used) = fresh_code(&secret, 0).await;
        self.fill("code", &code).await;
        self.keys([ENTER]).await;
        self.screen.wait_for_path("/_auth/account/recovery-codes").await;
        (secret, used)
    }

    async fn new_phone(&self, secret: &str, used: u64, recovery: &[String]) -> Vec<String> {
        self.age().await;
        self.account().await;
        self.follow("/_auth/account/authenticator").await;
        self.screen.wait_for_path("/_auth/step-up").await;
        let (code, used) = fresh_code(secret, used).await;
        self.fill("password", PASSWORD).await;
        self.fill("code", &code).await;
        self.keys([ENTER]).await;
        self.screen.wait_for_path("/_auth/account/authenticator").await;

        // The old one works until the new one is confirmed, and not a moment longer.
        let (code, used) = fresh_code(secret, used).await;
        let (mut other, inside) = self.elsewhere(PASSWORD, "/_auth/otp", &code).await;
        assert!(inside, "the old authenticator, before");
        assert_eq!(other.fetch("/app").await.status, 200);
        self.scan_and_confirm().await;
        assert_eq!(other.fetch("/app").await.status, 401, "every other session is over");
        let (code, _used) = fresh_code(secret, used).await;
        let (_, inside) = self.elsewhere(PASSWORD, "/_auth/otp", &code).await;
        assert!(!inside, "the old authenticator, after");
        assert!(!self.gets_in_by_recovery_code(&recovery[1]).await, "an old recovery code");
        self.keep_codes().await
    }

    async fn lost_phone(&self, recovery: &[String]) -> Vec<String> {
        self.screen.sign_out(&self.origin).await;
        self.screen.client.goto(&format!("{}/lost", self.origin)).await.unwrap();
        self.screen.wait_for_path("/_auth/login").await;
        self.fill("username", "alice").await;
        self.fill("password", PASSWORD).await;
        self.keys([ENTER]).await;
        self.screen.wait_for_path("/_auth/otp").await;
        self.follow("/_auth/recovery").await;
        self.screen.wait_for_path("/_auth/recovery").await;
        self.fill("code", &recovery[0]).await;
        self.keys([ENTER]).await;
        // The old phone was tried with the right password: that is told first.
        self.screen.wait_for_path("/_auth/notice").await;
        assert!(self.screen.source().await.contains("after your correct password"));
        self.follow("/lost").await;
        self.screen.wait_for_path("/lost").await;
        self.account().await;
        self.follow("/_auth/account/authenticator").await;
        self.screen.wait_for_path("/_auth/account/authenticator").await;
        self.scan_and_confirm().await;
        self.keep_codes().await
    }

    async fn new_codes(&self, former: &[String]) -> Vec<String> {
        self.account().await;
        self.follow("/_auth/account/recovery-codes").await;
        self.screen.wait_for_path("/_auth/account/recovery-codes").await;
        assert!(self.gets_in_by_recovery_code(&former[1]).await, "the old set, before");
        let new = self.keep_codes().await;
        assert!(!self.gets_in_by_recovery_code(&former[2]).await, "the old set, after");
        assert!(self.gets_in_by_recovery_code(&new[9]).await, "typing one back used it up");
        new
    }

    async fn new_password(&self, codes: &[String]) {
        let (mut other, inside) = self.elsewhere(PASSWORD, "/_auth/recovery", &codes[1]).await;
        assert!(inside);
        self.account().await;
        self.follow("/_auth/account/password").await;
        self.screen.wait_for_path("/_auth/account/password").await;
        self.fill("current", PASSWORD).await;
        self.fill("password", "password1").await;
        self.keys([ENTER]).await;
        let said = self.screen.wait_for("#new-problem").await.text().await.unwrap();
        assert!(said.contains("easy to guess"), "{said}");
        assert_eq!(other.fetch("/app").await.status, 200, "nothing was changed");
        self.fill("current", PASSWORD).await;
        self.fill("password", NEW_PASSWORD).await;
        self.keys([ENTER]).await;
        self.screen.wait_for_path("/_auth/account").await;
        self.told("Your password has been changed").await;
        assert_eq!(other.fetch("/app").await.status, 401, "every other session is over");
        let form = [("username", "alice"), ("password", PASSWORD)];
        assert_eq!(self.other().submit("/_auth/login", &form).await.status, 401);
    }

    async fn end_another_browser(&self, codes: &[String]) {
        let (mut other, inside) = self.elsewhere(NEW_PASSWORD, "/_auth/recovery", &codes[2]).await;
        assert!(inside);
        assert_eq!(other.fetch("/app").await.status, 200);
        self.account().await;
        self.tab_to("class", "quiet").await;
        self.keys([ENTER]).await;
        let over = async { while other.fetch("/app").await.status != 401 {} };
        within(PATIENCE, "the other browser to be signed out", over).await;
        self.screen.wait_for_path("/_auth/account").await;
        self.told("That browser has been signed out").await;
    }
}

impl Walk {
    /// Two recovery codes: one for the password, one for the second factor.
    async fn forgotten_password(&self, codes: &[String]) {
        self.screen.sign_out(&self.origin).await;
        self.screen.client.goto(&format!("{}/_auth/forgot", self.origin)).await.unwrap();
        self.fill("username", "alice").await;
        self.fill("code", &codes[3]).await;
        self.keys([ENTER]).await;
        self.screen.wait_for_path("/_auth/otp").await;
        self.follow("/_auth/recovery").await;
        self.screen.wait_for_path("/_auth/recovery").await;
        self.fill("code", &codes[4]).await;
        self.keys([ENTER]).await;
        self.screen.wait_for_path("/_auth/forgot/password").await;
        self.fill("password", "four-otters-mend-a-roof").await;
        self.keys([ENTER]).await;
        // Codes were used elsewhere since the last sign-in: that is told first.
        self.screen.wait_for_path("/_auth/notice").await;
        assert!(self.screen.source().await.contains("One of your recovery codes was used"));
        self.follow("/").await;
        self.screen.wait_for_path("/").await;
        let form = [("username", "alice"), ("password", NEW_PASSWORD)];
        assert_eq!(self.other().submit("/_auth/login", &form).await.status, 401);
    }
}

async fn the_life_of_an_account(scripts: bool) {
    let walk = Walk::begin(Look::plain(scripts)).await;
    let (secret, used, recovery) = walk.enrol().await;
    let recovery = walk.new_phone(&secret, used, &recovery).await;
    let recovery = walk.lost_phone(&recovery).await;
    let recovery = walk.new_codes(&recovery).await;
    walk.new_password(&recovery).await;
    walk.end_another_browser(&recovery).await;
    walk.forgotten_password(&recovery).await;
    walk.screen.client.clone().close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_runs_the_account_by_keyboard() {
    the_life_of_an_account(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_runs_the_account_by_keyboard_without_javascript() {
    the_life_of_an_account(false).await;
}

/// Tries everything by which a script could get hold of our pages; what came of each.
const INTRUDER: &str = r"
    const done = arguments[arguments.length - 1];
    const said = (promise) => promise.then((ok) => String(ok), (error) => error.name);
    const page = window.open('/_auth/account');
    const hold = async () => {
        for (const until = Date.now() + 20000; Date.now() < until;) {
            await new Promise((next) => setTimeout(next, 50));
            if (page.closed) return 'lost';
            try {
                if (page.document.querySelector('h1')) return page.document.body.innerText;
            } catch {
                // Between two pages it is neither ours to read nor lost yet.
            }
        }
        return 'never loaded';
    };
    (async () => done([
        await said(fetch('/_auth/account').then((answer) => answer.status)),
        await said(fetch('/_auth/account/password', { mode: 'same-origin' }).then((a) => a.status)),
        await said(navigator.serviceWorker.register('/worker.js').then(() => 'registered')),
        await said(navigator.serviceWorker.register('/app/worker.js', { scope: '/' })
            .then(() => 'registered')),
        await said(navigator.serviceWorker.register('/app/worker.js').then(() => 'registered')),
        await hold(),
    ]))();
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_of_the_app_gets_no_hold_of_our_pages() {
    let walk = Walk::begin(Look::plain(true)).await;
    walk.enrol().await;
    let client = &walk.screen.client;
    for page in ["/app/page", "/app/isolated"] {
        client.goto(&format!("{}{page}", walk.origin)).await.unwrap();
        let got = client.execute_async(INTRUDER, vec![]).await.unwrap();
        let expected = ["403", "403", "TypeError", "SecurityError", "registered", "lost"];
        assert_eq!(got, serde_json::json!(expected), "from {page}");
    }
    client.clone().close().await.unwrap();
}
