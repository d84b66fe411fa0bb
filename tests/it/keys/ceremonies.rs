//! Enrolment, second factor, sign-in by passkey and step-up.

use serde_json::json;

use super::{by_passkey, enrolled, prove, register, session};
use crate::support::authenticator::{Authenticator, ELIGIBLE, PRESENT, VERIFIED};
use crate::support::client::Browser;
use crate::support::gateway::{Gateway, PASSWORD, Plan};
use crate::support::upstream::Recorder;
use crate::support::visitor::{self, SESSION};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_enrols_a_key_and_signs_in_with_password_and_key() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, mut key, codes) = enrolled(&gateway, "alice").await;
    assert_eq!(session(&mut browser).await["amr"], json!(["pwd", "hwk", "user", "mfa"]));
    assert_eq!(codes.len(), 10);

    let mut again = Browser::new(&gateway);
    let led = visitor::prove_password(&mut again, "alice").await;
    assert!(led.location().starts_with("/_auth/key"), "{}", led.location());
    assert_eq!(again.get("/app").await.status, 303, "the password alone opens nothing");
    let done = prove(&mut again, &mut key, "/_auth/key").await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert_eq!(again.get("/app").await.status, 200);
    let seen = app.wait_for(app.mark_of_all(), |r| r.head.path() == "/app").await;
    assert_eq!(seen.head.all("remote-user"), ["alice"]);
    assert_ne!(again.get("/_auth/enroll").await.status, 200, "no second enrolment");
    assert_ne!(again.get("/_auth/enroll/key").await.status, 200, "no second enrolment");

    let mut lost = Browser::new(&gateway);
    visitor::prove_password(&mut lost, "alice").await;
    let done = lost.submit("/_auth/recovery", &[("code", &codes[1])]).await;
    assert_eq!(done.status, 303, "a recovery code stands in for a lost key: {}", done.text());
    assert_eq!(session(&mut lost).await["amr"], json!(["pwd", "recovery", "mfa"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passkey_signs_in_alone_in_two_requests() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (_browser, mut key, _) = enrolled(&gateway, "bob").await;
    let mut browser = Browser::new(&gateway);
    let done = by_passkey(&mut browser, &mut key).await;
    assert_eq!((done.status, done.location()), (303, "/app"), "{}", done.text());
    assert_eq!(browser.get("/app").await.status, 200);
    assert_eq!(session(&mut browser).await["amr"], json!(["hwk", "user", "mfa"]));
    let listed = gateway.command(&["session", "list", "--user", "bob", "--json"], "");
    assert!(String::from_utf8_lossy(&listed.stdout).contains("webauthn"), "{listed:?}");

    key.flags = PRESENT;
    let mut unverified = Browser::new(&gateway);
    let refused = by_passkey(&mut unverified, &mut key).await;
    assert_eq!(refused.status, 401, "without user verification it is one factor");
    assert!(!unverified.jar.contains_key(SESSION));
    visitor::prove_password(&mut unverified, "bob").await;
    let done = prove(&mut unverified, &mut key, "/_auth/key").await;
    assert_eq!(done.status, 303, "as second factor it is enough: {}", done.text());
    assert_eq!(session(&mut unverified).await["amr"], json!(["pwd", "hwk", "mfa"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_synced_passkey_says_so_and_works_without_a_counter() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    gateway.add_user("carol");
    let flags = PRESENT | VERIFIED | ELIGIBLE;
    let mut key = Authenticator { flags, counter: 0, ..Authenticator::default() };
    let mut browser = Browser::new(&gateway);
    visitor::prove_password(&mut browser, "carol").await;
    let done = register(&mut browser, &mut key, "/_auth/enroll/key", "").await;
    visitor::keep_recovery_codes(&mut browser, &done).await;
    for _ in 0..2 {
        let mut browser = Browser::new(&gateway);
        let done = by_passkey(&mut browser, &mut key).await;
        assert_eq!(done.status, 303, "{}", done.text());
        assert_eq!(session(&mut browser).await["amr"], json!(["swk", "user", "mfa"]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_passkey_sign_in_the_page_offers_none_and_takes_none() {
    let app = Recorder::start().await;
    let extra = "[second_factor.webauthn]\npasskey_sign_in = false";
    let gateway = Gateway::start(&Plan::new(&app).extra(extra)).await;
    let (_browser, mut key, _) = enrolled(&gateway, "dora").await;
    let mut browser = Browser::new(&gateway);
    let page = browser.get("/_auth/login").await;
    assert!(!page.text().contains("webauthn"), "{}", page.text());
    let other = Browser::new(&gateway).get("/_auth/login").await;
    assert_eq!(other.status, 200);
    visitor::prove_password(&mut browser, "dora").await;
    let page = browser.get("/_auth/key").await;
    let options = super::options(&page.text());
    let credential = key.get(&options, &super::origin(&browser)).to_string();
    let login = browser.get("/_auth/login").await;
    let refused =
        browser.submit_from(&login, "/_auth/passkey", &[("credential", &credential)]).await;
    assert_eq!(refused.status, 401);
    assert!(!browser.jar.contains_key(SESSION));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_disabled_are_neither_offered_nor_accepted() {
    let app = Recorder::start().await;
    let gateway =
        Gateway::start(&Plan::new(&app).extra("[second_factor.webauthn]\nenabled = false")).await;
    gateway.add_user("emil");
    let mut browser = Browser::new(&gateway);
    let page = browser.get("/_auth/login").await;
    assert!(!page.text().contains("webauthn"), "{}", page.text());
    visitor::prove_password(&mut browser, "emil").await;
    let page = browser.get("/_auth/enroll").await;
    assert!(!page.text().contains("/_auth/enroll/key"), "{}", page.text());
    assert_eq!(browser.get("/_auth/enroll/key").await.status, 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_a_fresh_proof_within_a_session() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, mut key, _) = enrolled(&gateway, "frida").await;
    visitor::let_proofs_age(&gateway, &browser).await;
    let led = browser.get("/_auth/account/keys/new").await;
    assert_eq!(led.status, 303);
    let before = browser.jar[SESSION].clone();
    let done = prove(&mut browser, &mut key, led.location()).await;
    assert_eq!((done.status, done.location()), (303, "/_auth/account/keys/new"), "{}", done.text());
    assert_ne!(browser.jar[SESSION], before, "the session has a new id");
    assert_eq!(browser.get("/_auth/account/keys/new").await.status, 200, "both factors are fresh");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_security_key_without_a_pin_is_one_fresh_factor_only() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, mut key, _) = enrolled(&gateway, "gina").await;
    key.flags = PRESENT;
    visitor::let_proofs_age(&gateway, &browser).await;
    let led = browser.get("/_auth/account/keys/new").await.location().to_owned();
    let done = prove(&mut browser, &mut key, &led).await;
    assert_eq!(done.status, 303);
    assert_eq!(browser.get("/_auth/account/keys/new").await.status, 303, "no password was proved");
    let page = browser.get(&led).await;
    let text = page.text();
    assert!(text.contains("Your key was accepted, but it isn't enough"), "{text}");
    assert!(!text.contains("<details>"), "the password field is in sight: {text}");
    let credential = key.get(&super::options(&page.text()), &super::origin(&browser)).to_string();
    let form = [("credential", credential.as_str()), ("password", PASSWORD)];
    let done = browser.submit_from(&page, &led, &form).await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert_eq!(browser.get("/_auth/account/keys/new").await.status, 200);
}

/// Whoever finds a key without a PIN can set one. It counts once it was entered beside the password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_that_is_set_later_counts_only_once_it_was_entered_beside_the_password() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    gateway.add_user("hugo");
    let mut key = Authenticator { flags: PRESENT, ..Authenticator::default() };
    let mut browser = Browser::new(&gateway);
    visitor::prove_password(&mut browser, "hugo").await;
    let done = register(&mut browser, &mut key, "/_auth/enroll/key", "Found").await;
    visitor::keep_recovery_codes(&mut browser, &done).await;

    key.flags = PRESENT | VERIFIED;
    let mut finder = Browser::new(&gateway);
    assert_eq!(by_passkey(&mut finder, &mut key).await.status, 401);
    assert!(!finder.jar.contains_key(SESSION));
    let mut owner = Browser::new(&gateway);
    visitor::prove_password(&mut owner, "hugo").await;
    assert_eq!(prove(&mut owner, &mut key, "/_auth/key").await.status, 303);
    assert_eq!(by_passkey(&mut Browser::new(&gateway), &mut key).await.status, 303);
}
