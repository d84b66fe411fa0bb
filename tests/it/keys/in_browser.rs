//! Chromium with virtual authenticators: the pages and their script with a real browser's WebAuthn.

use serde_json::{Value, json};

use super::related;
use crate::browser::{Look, PATIENCE, Screen, Walk, Window};
use crate::support::html;
use crate::support::upstream::Recorder;
use crate::support::virtual_key::VirtualKey;
use crate::support::within;

/// Presses the button that asks for a key.
pub(crate) async fn ask(walk: &Walk) {
    let button = walk.screen.wait_for("button[data-key-ask]:not([hidden])").await;
    button.click().await.unwrap();
}

/// Enrols by a key, and keeps the recovery codes.
pub(crate) async fn enrol_key(walk: &Walk) -> Vec<String> {
    let screen = &walk.screen;
    walk.open("/start?x=1").await;
    screen.wait_for_path("/_auth/enroll").await;
    screen.wait_for("a[href^=\"/_auth/enroll/key\"]").await.click().await.unwrap();
    screen.wait_for_path("/_auth/enroll/key").await;
    screen.type_in("name", "My laptop").await;
    ask(walk).await;
    screen.wait_for_path("/_auth/recovery-codes").await;
    screen.wait_for("li code").await;
    let codes = html::recovery_codes(&screen.source().await);
    screen.type_in("confirm", &codes[9]).await;
    screen.press().await;
    screen.wait_for_path("/start").await;
    codes
}

/// The session as the gateway tells it to the page.
pub(crate) async fn session(walk: &Walk) -> Value {
    let fetch = "const done = arguments[0];
                 fetch('/_auth/session').then(answer => answer.json()).then(done)";
    walk.screen.client.execute_async(fetch, Vec::new()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passkey_enrols_signs_in_second_and_alone_and_by_autofill() {
    let walk = Walk::begin(Look::plain(true)).await;
    let (screen, client) = (&walk.screen, &walk.screen.client);
    let key = VirtualKey::platform(&walk.screen.client).await;
    enrol_key(&walk).await;
    assert_eq!(key.held().await, 1);
    let amr = session(&walk).await["amr"].clone();
    assert!(amr.as_array().unwrap().contains(&json!("user")), "{amr}");

    // Autofill: the virtual authenticator answers as soon as the page asks.
    screen.sign_out(&walk.origin).await;
    client.goto(&format!("{}/by-autofill", walk.origin)).await.unwrap();
    screen.wait_for_path("/by-autofill").await;
    let amr = session(&walk).await["amr"].clone();
    assert!(!amr.as_array().unwrap().contains(&json!("pwd")), "{amr}");

    // Password and key. The passkey verifies nobody on the sign-in page, so autofill stays silent.
    screen.sign_out(&walk.origin).await;
    key.verifies(false).await;
    walk.open("/by-password").await;
    screen.wait_for_path("/_auth/key").await;
    key.verifies(true).await;
    ask(&walk).await;
    screen.wait_for_path("/by-password").await;
    let amr = session(&walk).await["amr"].clone();
    assert!(amr.as_array().unwrap().contains(&json!("pwd")), "{amr}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_security_key_without_a_pin_works_as_second_factor() {
    for protocol in ["ctap2", "ctap1/u2f"] {
        let walk = Walk::begin(Look::plain(true)).await;
        let key = VirtualKey::plug_in(&walk.screen.client, protocol, "usb", false).await;
        enrol_key(&walk).await;
        assert_eq!(key.held().await, 1, "{protocol}");
        walk.screen.sign_out(&walk.origin).await;
        walk.open("/again").await;
        walk.screen.wait_for_path("/_auth/key").await;
        ask(&walk).await;
        walk.screen.wait_for_path("/again").await;
        assert_eq!(session(&walk).await["amr"], json!(["pwd", "hwk", "mfa"]), "{protocol}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_key_a_cancelled_one_and_no_verification_lead_to_other_ways() {
    let walk = Walk::begin(Look::plain(true)).await;
    let screen = &walk.screen;
    let key = VirtualKey::platform(&walk.screen.client).await;
    let codes = enrol_key(&walk).await;
    screen.sign_out(&walk.origin).await;

    // It cannot verify its user: the button of the sign-in page says so, and a password still works.
    key.verifies(false).await;
    screen.client.goto(&format!("{}/_auth/login", walk.origin)).await.unwrap();
    ask(&walk).await;
    let problem = screen.wait_for("[data-key-problem]:not([hidden])").await;
    assert!(problem.text().await.unwrap().contains("Nothing was sent"));
    key.unplug().await;
    walk.open("/lost").await;
    screen.wait_for_path("/_auth/key").await;
    screen.wait_for("a[href^=\"/_auth/recovery\"]").await.click().await.unwrap();
    screen.wait_for_path("/_auth/recovery").await;
    screen.type_in("code", &codes[0]).await;
    screen.press().await;
    // A notice comes first and links to the app.
    screen.wait_for_path("/_auth/notice").await;
    screen.wait_for("a.primary[href=\"/lost\"]").await.click().await.unwrap();
    screen.wait_for_path("/lost").await;
    assert_eq!(session(&walk).await["amr"], json!(["pwd", "recovery", "mfa"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_added_renamed_and_removed_on_a_phone_in_the_dark() {
    let look = Look { dark: true, window: Window::Phone, ..Look::plain(true) };
    let walk = Walk::begin(look).await;
    let (screen, client) = (&walk.screen, &walk.screen.client);
    walk.enrol().await;
    let _key = VirtualKey::plug_in(&walk.screen.client, "ctap2", "usb", true).await;
    client.goto(&format!("{}/_auth/account/keys/new", walk.origin)).await.unwrap();
    screen.type_in("name", "Blue key").await;
    ask(&walk).await;
    screen.wait_for("p.notice").await;
    assert!(screen.source().await.contains("Blue key"));
    // Adding another key requires a proof by key. The browser reports that this authenticator is already registered.
    client.goto(&format!("{}/_auth/account/keys/new", walk.origin)).await.unwrap();
    screen.wait_for_path("/_auth/step-up").await;
    ask(&walk).await;
    screen.wait_for_path("/_auth/account/keys/new").await;
    screen.type_in("name", "Again").await;
    ask(&walk).await;
    let problem = screen.wait_for("[data-key-problem]:not([hidden])").await;
    assert!(problem.text().await.unwrap().contains("registered"));

    client.goto(&format!("{}/_auth/account/keys", walk.origin)).await.unwrap();
    let name = screen.wait_for("input[name=name]").await;
    name.clear().await.unwrap();
    name.send_keys("Green key").await.unwrap();
    screen.wait_for("li button:not([name])").await.click().await.unwrap();
    let renamed = async {
        while !screen.source().await.contains("The key was renamed") {
            tokio::task::yield_now().await;
        }
    };
    within(PATIENCE, "the new name", renamed).await;
    assert!(screen.source().await.contains("Green key"));
    screen.wait_for("li button[name=remove]").await.click().await.unwrap();
    let removed = async {
        while !screen.source().await.contains("The key was removed") {
            tokio::task::yield_now().await;
        }
    };
    within(PATIENCE, "the removal", removed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_scripts_the_page_of_keys_leads_to_codes() {
    let walk = Walk::begin(Look::plain(false)).await;
    let screen = &walk.screen;
    walk.open("/start?x=1").await;
    screen.wait_for_path("/_auth/enroll").await;
    screen.wait_for("a[href^=\"/_auth/enroll/key\"]").await.click().await.unwrap();
    screen.wait_for_path("/_auth/enroll/key").await;
    let said = screen.wait_for("main").await.text().await.unwrap();
    assert!(said.contains("need JavaScript"), "{said}");
    screen.wait_for(".links a[href^=\"/_auth/enroll\"]").await.click().await.unwrap();
    screen.wait_for_path("/_auth/enroll").await;
}

/// Browsers fetch the list from the usual port, so that is where the gateway appears to be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_browser_finds_the_list_and_uses_the_key_at_the_related_origin() {
    let app = Recorder::start().await;
    let webauthn = "rp_id = \"lab.test\"\nrelated_origins = [\"https://app.other.test\"]";
    let gateway = related::gateway(&app, webauthn).await;
    gateway.add_user("alice");
    let rules = format!("MAP *.test 127.0.0.1:{}", gateway.https.port());
    let screen = Screen::resolving(Look::plain(true), &rules).await;
    let key = VirtualKey::platform(&screen.client).await;
    screen.client.goto("https://lab.test/start").await.unwrap();
    screen.prove_password("alice").await;
    screen.wait_for_path("/_auth/enroll").await;
    screen.wait_for("a[href^=\"/_auth/enroll/key\"]").await.click().await.unwrap();
    screen.type_in("name", "My laptop").await;
    screen.wait_for("button[data-key-ask]:not([hidden])").await.click().await.unwrap();
    screen.wait_for_path("/_auth/recovery-codes").await;
    let codes = html::recovery_codes(&screen.source().await);
    screen.type_in("confirm", &codes[0]).await;
    screen.press().await;
    screen.wait_for_path("/start").await;
    assert_eq!(key.held().await, 1);

    // Autofill: the virtual authenticator answers as soon as the page asks.
    screen.client.goto("https://app.other.test/there").await.unwrap();
    screen.wait_for_path("/there").await;
    let at = screen.client.current_url().await.unwrap();
    assert_eq!(at.as_str(), "https://app.other.test/there");
    let seen = app.wait_for(app.mark_of_all(), |seen| seen.head.path() == "/there").await;
    assert_eq!(seen.head.all("remote-user"), ["alice"]);
    let listed = gateway.command(&["session", "list", "--user", "alice", "--json"], "");
    assert!(String::from_utf8_lossy(&listed.stdout).contains("webauthn"), "{listed:?}");
}
