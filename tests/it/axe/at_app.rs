//! Pages for people whose password an app keeps.

use super::super::browser::{Look, Screen, Walk, fresh_code};
use super::super::support::cellengine::CellEngine;
use super::super::support::client::Browser;
use super::super::support::gateway::{Gateway, Plan};
use super::super::support::html;
use super::super::support::upstream::Recorder;
use super::super::support::visitor::{self, SESSION};
use super::super::tickets;
use super::LOOKS;
use super::sweep::Sweep;

const DESCRIBED: &str = "dialect = \"cellengine\"\nfirst_factor = \"app\"\nprovision = true\n";
/// Whom the app asks for a code of its own.
const BOB: [&str; 7] =
    ["user", "link", "ada", "--app", "cellengine", "--subject", "5d38a6f79fae870000000002"];
const RESET: [&str; 5] = ["user", "reset-2fa", "ada", "--reason", "lost phone, came in person"];

/// A wiki with our passwords at one host, and the app at the other.
async fn walk(look: Look, app: &CellEngine, wiki_at: &str, app_at: &str) -> Walk {
    let wiki = Recorder::start().await;
    let plan = Plan { apps: String::new(), ..Plan::new(&wiki) };
    let plan = plan.app("wiki", wiki_at, &wiki.url(), "");
    let plan = plan.app("cellengine", app_at, &app.url(), DESCRIBED);
    let gateway = Gateway::start(&plan).await;
    let origin = format!("https://localhost:{}", gateway.https.port());
    Walk { app: wiki, origin, screen: Screen::open(look).await, gateway }
}

impl Sweep {
    /// Goes to a new link of Ada's, wherever it was made for.
    async fn open_link(&self, args: &[&str]) {
        let made = tickets::made(&self.walk.gateway, args);
        let link = made["link"].as_str().unwrap();
        self.goto(&link[link.find("/_auth/").unwrap()..]).await;
    }

    async fn pages_of_a_link_at_an_app(&mut self, app: &CellEngine) {
        self.open_link(&["user", "add", "ada"]).await;
        self.look_at("setup-unlinked", "h1").await;
        assert!(self.walk.gateway.command(&BOB, "").status.success());
        self.open_link(&RESET).await;
        self.look_at("setup", "input[name=username]:not([hidden])").await;
        self.send(&[("username", "bob"), ("password", "wrong")]).await;
        self.look_at("setup-wrong", "[role=alert]:not([hidden])").await;
        self.send(&[("password", "pw-bob")]).await;
        self.look_at("setup-code", "input[name=app_code]").await;
        let code = app.code("bob").await;
        self.send(&[("password", "pw-bob"), ("app_code", &code)]).await;
        self.look_at("setup-enroll", "#totp-secret").await;
    }

    /// Enrols, and comes back when the proofs are old.
    async fn pages_of_a_step_up_at_an_app(&mut self) {
        let secret = html::by_id(&self.walk.screen.source().await, "totp-secret").unwrap();
        let (code, used) = fresh_code(&secret, 0).await;
        self.send(&[("code", &code)]).await;
        self.walk.screen.wait_for("li code").await;
        let recovery = html::recovery_codes(&self.walk.screen.source().await);
        self.send(&[("confirm", &recovery[0])]).await;
        self.walk.screen.wait_for("#app").await;
        self.goto("/_auth/account").await;
        self.look_at("account", "h1").await;

        let held = self.walk.screen.client.get_named_cookie(SESSION).await.unwrap();
        let mut same = Browser::new(&self.walk.gateway);
        same.jar.insert(SESSION.to_owned(), held.value().to_owned());
        visitor::let_proofs_age(&self.walk.gateway, &same).await;
        self.goto("/_auth/step-up?return_to=%2F_auth%2Faccount%2Fauthenticator").await;
        self.look_at("step-up", "input[name=username]:not([hidden])").await;
        let (code, _) = fresh_code(&secret, used).await;
        self.send(&[("username", "bob"), ("password", "pw-bob"), ("code", &code)]).await;
        self.look_at("step-up-code", "input[name=app_code]").await;
    }
}

async fn no_page_at_an_app_has_a_barrier(look: Look) {
    let app = CellEngine::start(&[]).await;
    let mut sweep = Sweep::begin("app", look, walk(look, &app, "other.test", "localhost").await);
    sweep.pages_of_a_link_at_an_app(&app).await;
    sweep.pages_of_a_step_up_at_an_app().await;
    sweep.end().await;

    let mut sweep = Sweep::begin("wiki", look, walk(look, &app, "localhost", "other.test").await);
    tickets::made(&sweep.walk.gateway, &["user", "add", "ada"]);
    assert!(sweep.walk.gateway.command(&BOB, "").status.success());
    sweep.open_link(&RESET).await;
    sweep.look_at("setup-elsewhere", "h1").await;
    sweep.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_at_an_app_has_a_barrier_in_light() {
    no_page_at_an_app_has_a_barrier(LOOKS[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_at_an_app_has_a_barrier_on_a_narrow_screen() {
    no_page_at_an_app_has_a_barrier(LOOKS[2]).await;
}
