//! The whole way in a real browser, with and without JavaScript: the picture is read off the
//! screen, codes come from `oathtool`, and everything is done by typing and clicking.

use super::support::program::run_to_end;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::json;
use tempfile::TempDir;

use super::support::codes::Codes;
use super::support::gateway::{Gateway, PASSWORD, Plan, make_keys};
use super::support::html;
use super::support::log::Log;
use super::support::servers::RedisServer;
use super::support::upstream::{Recorder, Seen};
use super::support::within;

/// How long a page may take on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
/// Seconds that a code is shown.
const PERIOD: u64 = 30;

/// Chromium under a chromedriver of our own.
pub(super) struct Screen {
    pub(super) client: Client,
    driver: Child,
    dir: TempDir,
    /// Pages may run JavaScript.
    scripts: bool,
}

impl Drop for Screen {
    fn drop(&mut self) {
        drop(self.driver.kill());
        drop(self.driver.wait());
        // Chromium does not end with its driver.
        let profile = format!("--user-data-dir={}", self.dir.path().join("profile").display());
        drop(Command::new("pkill").args(["-KILL", "-f", "--", &profile]).status());
    }
}

/// How a browser is set up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Pages may run JavaScript.
    pub(super) scripts: bool,
    /// The person prefers dark pages.
    pub(super) dark: bool,
    /// What the pages are given to fit.
    pub(super) window: Window,
    /// Sites may keep cookies.
    pub(super) cookies: bool,
}

/// A window on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    /// 1000 pixels wide.
    Desk,
    /// 320 pixels wide, as on a small phone.
    Phone,
    /// 1280 by 800 pixels at a zoom of 200 %: half as many CSS pixels, each twice as large.
    Zoomed,
}

impl Look {
    pub(super) fn plain(scripts: bool) -> Self {
        Self { scripts, dark: false, window: Window::Desk, cookies: true }
    }
}

/// Ends when the page that the element is on has given way to another.
pub(super) async fn gone(element: &Element) {
    let is_gone =
        |error: CmdError| error.is_stale_element_reference() || error.is_no_such_element();
    while !element.tag_name().await.is_err_and(is_gone) {
        tokio::task::yield_now().await;
    }
}

impl Screen {
    pub(super) async fn open(look: Look) -> Self {
        Self::resolving(look, "MAP *.test 127.0.0.1").await
    }

    /// The same, with names that resolve by these rules.
    pub(super) async fn resolving(look: Look, rules: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (driver, port) = start_driver(dir.path()).await;
        let profile = dir.path().join("profile");
        let javascript = if look.scripts { 1 } else { 2 };
        let colours = i32::from(!look.dark);
        let cookies = if look.cookies { 1 } else { 2 };
        let mut options = json!({
                "args": [
                    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic",
                    "--no-first-run", "--disable-background-networking",
                    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
                    "--ignore-certificate-errors", "--window-size=1000,1600",
                    format!("--host-resolver-rules={rules}"),
                    format!("--user-data-dir={}", profile.display()),
                    format!("--blink-settings=preferredColorScheme={colours}"),
                ],
                "prefs": {
                    "profile.managed_default_content_settings.javascript": javascript,
                    "profile.managed_default_content_settings.cookies": cookies,
                },
        });
        let metrics = match look.window {
            Window::Desk => None,
            Window::Phone => Some(json!({ "width": 320, "height": 800, "pixelRatio": 1 })),
            Window::Zoomed => Some(json!({
                "width": 640, "height": 400, "pixelRatio": 2, "mobile": false, "touch": false,
            })),
        };
        if let Some(metrics) = metrics {
            options["mobileEmulation"] = json!({ "deviceMetrics": metrics });
        }
        let capabilities = json!({ "acceptInsecureCerts": true, "goog:chromeOptions": options });
        let capabilities = capabilities.as_object().unwrap().clone();
        let connecting = async {
            let mut builder =
                ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
            builder.capabilities(capabilities);
            builder.connect(&format!("http://127.0.0.1:{port}")).await.unwrap()
        };
        let client = within(PATIENCE, "the browser", connecting).await;
        Self { client, driver, dir, scripts: look.scripts }
    }

    pub(super) async fn wait_for(&self, css: &str) -> Element {
        let waiting = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(css));
        match waiting.await {
            Ok(element) => element,
            Err(error) => {
                let at = self.client.current_url().await;
                panic!("no {css} at {at:?} ({error}): {}", self.source().await)
            }
        }
    }

    pub(super) async fn source(&self) -> String {
        self.client.source().await.unwrap_or_default()
    }

    pub(super) async fn type_in(&self, name: &str, text: &str) {
        self.type_and_keep(name, text).await;
    }

    /// Types into a field; the field.
    async fn type_and_keep(&self, name: &str, text: &str) -> Element {
        loop {
            match self.try_type(name, text).await {
                Ok(field) => return field,
                // A page that gives way to the next takes its fields along: then the next one's is
                // meant.
                Err(error) => assert!(error.is_stale_element_reference(), "{error}"),
            }
        }
    }

    async fn try_type(&self, name: &str, text: &str) -> Result<Element, CmdError> {
        let field = self.wait_for(&format!("input[name={name}]")).await;
        field.clear().await?;
        field.send_keys(text).await?;
        Ok(field)
    }

    /// Fills in a form and presses its button, unless a code that is typed last is sent by itself:
    /// then the page has given way to the answer.
    pub(super) async fn type_and_send(&self, fields: &[(&str, &str)]) {
        let own = Locator::Css("input[data-send]");
        let mut sent = None;
        for (name, text) in fields {
            self.wait_for(&format!("input[name={name}]")).await;
            let sends = self.scripts && *name == "code" && text.len() == 6;
            let sends = sends && !self.client.find_all(own).await.unwrap().is_empty();
            let field = self.type_and_keep(name, text).await;
            sent = sends.then_some(field);
        }
        match sent {
            Some(field) => within(PATIENCE, "the code to be sent", gone(&field)).await,
            None => self.press().await,
        }
    }

    pub(super) async fn press(&self) {
        self.wait_for("main button[type=submit], form button.primary").await.click().await.unwrap();
    }

    pub(super) async fn wait_for_path(&self, path: &str) {
        let there = async {
            while self.client.current_url().await.unwrap().path() != path {
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(PATIENCE, there).await.is_err() {
            let at = self.client.current_url().await.unwrap();
            panic!("not led to {path} but to {at}: {}", self.source().await);
        }
    }

    pub(super) async fn prove_password(&self, name: &str) {
        self.type_in("username", name).await;
        self.type_in("password", PASSWORD).await;
        self.press().await;
    }

    /// The secret in the picture on the screen.
    pub(super) async fn scan(&self) -> String {
        let picture = self.dir.path().join("screen.png");
        let qr = self.wait_for("svg.qr, svg[role=img]").await;
        std::fs::write(&picture, qr.screenshot().await.unwrap()).unwrap();
        let text = read_picture(&picture);
        assert!(text.starts_with("otpauth://totp/"), "in the picture: {text:?}");
        let (_, rest) = text.split_once("secret=").unwrap();
        rest.split('&').next().unwrap().to_owned()
    }

    pub(super) async fn sign_out(&self, origin: &str) {
        self.client.goto(&format!("{origin}/_auth/logout")).await.unwrap();
        self.press().await;
        self.wait_for("a[href^=\"/_auth/login\"]").await;
    }
}

/// Starts chromedriver: it and its port. It takes a port of one IP version and then wants the same one
/// of the other; where another program has that, it says so and exits, and a new one chooses anew.
async fn start_driver(dir: &Path) -> (Child, u16) {
    let mut said = String::new();
    for _attempt in 0..8 {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("TMPDIR", dir)
            .env("HOME", dir)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::follow(driver.stdout.take().unwrap());
        if let Some(port) = log.find("chromedriver's port", |line| port_in(line.text())).await {
            return (driver, port);
        }
        drop(driver.kill());
        drop(driver.wait());
        said = log.so_far();
        assert!(said.contains("port not available"), "chromedriver ended: {said}");
    }
    panic!("chromedriver found no port: {said}")
}

fn port_in(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once("started successfully on port ")?;
    rest.trim_end_matches('.').parse().ok()
}

fn output(command: &mut Command) -> String {
    let output = run_to_end(command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn read_picture(file: &Path) -> String {
    output(
        Command::new("zbarimg")
            .args(["--quiet", "--raw", "-Sdisable", "-Sqrcode.enable"])
            .arg(file),
    )
}

/// The code that `oathtool` shows for a step.
fn oathtool(secret: &str, step: u64) -> String {
    let now = format!("--now=@{}", step * PERIOD);
    output(Command::new("oathtool").args(["--totp", "--base32", &now, secret]))
}

/// A code later than `used` that is good now, and its step.
pub(super) async fn fresh_code(secret: &str, used: u64) -> (String, u64) {
    let step = Codes::earliest(20).max(used + 1);
    Codes::reached(step - 1).await;
    (oathtool(secret, step), step)
}

/// A browser, the gateway it asks, and where that is.
pub(super) struct Walk {
    pub(super) app: Recorder,
    pub(super) origin: String,
    pub(super) screen: Screen,
    pub(super) gateway: Gateway,
}

impl Walk {
    pub(super) async fn begin(look: Look) -> Self {
        Self::with(look, "").await
    }

    /// The same, with further tables in the configuration of the gateway.
    pub(super) async fn with(look: Look, extra: &str) -> Self {
        Self::ruled(look, "", extra).await
    }

    /// The same, with rules of the app as well.
    pub(super) async fn ruled(look: Look, rules: &str, extra: &str) -> Self {
        let app = Recorder::start().await;
        let plan = Plan::new(&app).app("local", "localhost", &app.url(), rules).extra(extra);
        let gateway = Gateway::start(&plan).await;
        gateway.add_user("alice");
        let origin = format!("https://localhost:{}", gateway.https.port());
        Self { app, origin, screen: Screen::open(look).await, gateway }
    }

    /// The same, where sessions are in a Redis of their own. The directory holds the keys.
    pub(super) async fn on_redis(look: Look) -> (Self, RedisServer, TempDir) {
        let redis = RedisServer::start();
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys.toml");
        make_keys(&keys);
        let tables = format!(
            "[sessions]\nstore = \"redis\"\n[redis]\nurl = \"{}\"\n[keys]\nfile = \"{}\"\n",
            redis.url(),
            keys.display()
        );
        (Self::with(look, &tables).await, redis, dir)
    }

    /// Opens a page of the app and proves the password on the way.
    pub(super) async fn open(&self, target: &str) {
        self.screen.client.goto(&format!("{}{target}", self.origin)).await.unwrap();
        self.screen.wait_for_path("/_auth/login").await;
        self.screen.prove_password("alice").await;
    }

    /// Types a code; the button is pressed where the page does not send it by itself.
    pub(super) async fn send_code(&self, code: &str) {
        self.screen.type_and_send(&[("code", code)]).await;
    }

    /// The first time: enrolment by the picture, then the recovery codes. The secret, the step of
    /// the code used, and the recovery codes.
    pub(super) async fn enrol(&self) -> (String, u64, Vec<String>) {
        let screen = &self.screen;
        self.open("/start?x=1").await;
        screen.wait_for_path("/_auth/enroll").await;
        let secret = screen.scan().await;
        let (code, used) = fresh_code(&secret, 0).await;
        self.send_code(&code).await;
        screen.wait_for_path("/_auth/recovery-codes").await;
        screen.wait_for("li code").await;
        let recovery = html::recovery_codes(&screen.source().await);
        assert_eq!(recovery.len(), 10, "{}", screen.source().await);
        screen.type_in("confirm", &recovery[9]).await;
        screen.press().await;
        screen.wait_for_path("/start").await;
        let target = |seen: &Seen| seen.head.target == "/start?x=1";
        let reached = self.app.wait_for(self.app.mark_of_all(), target).await;
        assert_eq!(reached.head.all("remote-user"), ["alice"]);
        (secret, used, recovery)
    }

    async fn come_back_with_a_code(&self, secret: &str, used: u64) {
        self.screen.sign_out(&self.origin).await;
        self.open("/again").await;
        self.screen.wait_for_path("/_auth/otp").await;
        let (code, _step) = fresh_code(secret, used).await;
        self.send_code(&code).await;
        self.screen.wait_for_path("/again").await;
    }

    async fn come_back_with_a_recovery_code(&self, code: &str) {
        let screen = &self.screen;
        screen.sign_out(&self.origin).await;
        self.open("/lost").await;
        screen.wait_for_path("/_auth/otp").await;
        screen.wait_for("a[href^=\"/_auth/recovery\"]").await.click().await.unwrap();
        screen.wait_for_path("/_auth/recovery").await;
        self.send_code(code).await;
        screen.wait_for_path("/_auth/notice").await;
        screen.wait_for("a[href=\"/_auth/account/authenticator\"]").await;
        screen.wait_for("a.primary[href=\"/lost\"]").await.click().await.unwrap();
        screen.wait_for_path("/lost").await;
    }
}

async fn the_whole_way(scripts: bool) {
    let walk = Walk::begin(Look::plain(scripts)).await;
    let (secret, used, recovery) = walk.enrol().await;
    walk.come_back_with_a_code(&secret, used).await;
    walk.come_back_with_a_recovery_code(&recovery[0]).await;

    let client = walk.screen.client.clone();
    let page = "data:text/html,<title>off</title><script>document.title='on'</script>";
    client.goto(page).await.unwrap();
    let expected = if scripts { "on" } else { "off" };
    assert_eq!(client.title().await.unwrap(), expected, "JavaScript was as it should be");
    client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_gets_in_with_a_browser() {
    the_whole_way(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_gets_in_with_a_browser_without_javascript() {
    the_whole_way(false).await;
}
