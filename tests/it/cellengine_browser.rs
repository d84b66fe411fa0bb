//! An app that checks passwords itself, in a real browser: one sign-in on our page, and its own page
//! works.

use fantoccini::Locator;

use super::browser::{Look, PATIENCE, Screen, fresh_code};
use super::support::cellengine::{Lab, base};
use super::support::html;
use super::support::within;

/// Asks the app as its page would: the status and what a script can read of the answer.
const FETCH: &str = "const done = arguments[0]; \
    fetch('/api/v1/experiments', {credentials: 'same-origin'}) \
    .then(r => r.text().then(t => done([r.status, r.redirected, t])), e => done([0, false, '' + e]))";

async fn fetch(screen: &Screen) -> (u64, bool, String) {
    let said = screen.client.execute_async(FETCH, Vec::new()).await.unwrap();
    let part = |i: usize| said[i].clone();
    (
        part(0).as_u64().unwrap(),
        part(1).as_bool().unwrap(),
        part(2).as_str().unwrap_or_default().to_owned(),
    )
}

async fn prove_password(screen: &Screen) {
    screen.type_in("username", "alice").await;
    screen.type_in("password", "pw-alice").await;
    screen.press().await;
}

/// The first sign-in, from a page of the app and back to it: the secret and the last step used.
async fn first_time(screen: &Screen, origin: &str) -> (String, u64) {
    screen.client.goto(&format!("{origin}/experiments/1")).await.unwrap();
    screen.wait_for_path("/_auth/login").await;
    prove_password(screen).await;
    screen.wait_for_path("/_auth/enroll").await;
    let secret = screen.scan().await;
    let (code, used) = fresh_code(&secret, 0).await;
    screen.type_and_send(&[("code", &code)]).await;
    screen.wait_for_path("/_auth/recovery-codes").await;
    screen.wait_for("li code").await;
    let recovery = html::recovery_codes(&screen.source().await);
    screen.type_and_send(&[("confirm", &recovery[0])]).await;
    screen.wait_for_path("/experiments/1").await;
    (secret, used)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sign_in_lands_in_the_app_and_what_follows_is_readable() {
    let lab = Lab::start("provision = true\napi_paths = [\"/api/**\"]").await;
    let screen = Screen::open(Look::plain(true)).await;
    let origin = base(&lab.one);
    let (secret, used) = first_time(&screen, &origin).await;
    // The page's own script has asked the app, and was answered.
    screen.wait_for("#app[data-status=\"200\"]").await;

    // The session ends while the page is open: its scripts are told so, in JSON.
    assert!(lab.two.command(&["session", "end", "--all"], "").status.success());
    let refused = async {
        loop {
            let (status, redirected, text) = fetch(&screen).await;
            assert!(!redirected, "{text}");
            if status == 401 {
                break text;
            }
        }
    };
    let text = within(PATIENCE, "the session to be over", refused).await;
    let said: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(said["error"].is_string(), "{text}");

    // Reloaded, the page leads to the sign-in and back, in two tabs at once.
    let first = screen.client.window().await.unwrap();
    screen.client.goto(&format!("{origin}/experiments/2")).await.unwrap();
    screen.wait_for_path("/_auth/login").await;
    let second = screen.client.new_window(true).await.unwrap().handle;
    screen.client.switch_to_window(second.clone()).await.unwrap();
    screen.client.goto(&format!("{origin}/experiments/3")).await.unwrap();
    screen.wait_for_path("/_auth/login").await;
    prove_password(&screen).await;
    screen.wait_for_path("/_auth/otp").await;
    screen.client.switch_to_window(first).await.unwrap();
    prove_password(&screen).await;
    screen.wait_for_path("/_auth/otp").await;
    let (code, _) = fresh_code(&secret, used).await;
    screen.type_and_send(&[("code", &code)]).await;
    screen.wait_for_path("/experiments/2").await;
    screen.wait_for("#app[data-status=\"200\"]").await;
    screen.client.switch_to_window(second).await.unwrap();
    screen.client.goto(&format!("{origin}/experiments/3")).await.unwrap();
    screen.wait_for_path("/experiments/3").await;
    screen.wait_for("#app[data-status=\"200\"]").await;
    let at = screen.client.find(Locator::Css("#app")).await.unwrap().text().await.unwrap();
    assert!(at.starts_with("experiments: 200"), "{at}");

    // Signed out here, the app's own cookie is worth nothing: the page is not shown.
    screen.sign_out(&origin).await;
    screen.client.goto(&format!("{origin}/experiments/2")).await.unwrap();
    screen.wait_for_path("/_auth/login").await;
    screen.client.clone().close().await.unwrap();
}
