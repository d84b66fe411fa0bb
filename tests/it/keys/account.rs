//! Keys on the account page and in the command line.

use serde_json::Value;

use super::{by_passkey, enrolled, prove, register};
use crate::support::authenticator::Authenticator;
use crate::support::client::Browser;
use crate::support::gateway::{Gateway, Plan};
use crate::support::upstream::Recorder;
use crate::support::visitor::{self, SESSION};

fn keys(gateway: &Gateway, name: &str) -> Vec<Value> {
    let listed = gateway.command(&["user", "keys", name, "--json"], "");
    assert!(listed.status.success(), "{listed:?}");
    serde_json::from_slice::<Vec<Value>>(&listed.stdout).unwrap()
}

fn events(gateway: &Gateway) -> String {
    let listed = gateway.command(&["audit", "list", "--json"], "");
    String::from_utf8(listed.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_added_renamed_used_and_removed() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, mut person) = visitor::signed_in(&gateway, "alice").await;
    let mut key = Authenticator::default();
    let added = register(&mut browser, &mut key, "/_auth/account/keys/new", " Blue <key> ").await;
    assert_eq!(added.status, 303, "{}", added.text());
    let held = keys(&gateway, "alice");
    assert_eq!(held.len(), 1);
    assert_eq!(held[0]["name"], "Blue <key>");
    let id = held[0]["id"].as_str().unwrap().to_owned();
    let page = browser.get("/_auth/account/keys").await.text();
    assert!(page.contains("Blue &#60;key&#62;") && page.contains(&id), "{page}");
    assert!(events(&gateway).contains("key_added"));

    // Both factors are offered, the key first.
    let mut second = Browser::new(&gateway);
    let led = visitor::prove_password(&mut second, "alice").await;
    assert!(led.location().starts_with("/_auth/key"), "{}", led.location());
    let page = second.get("/_auth/key").await.text();
    assert!(page.contains("/_auth/otp") && page.contains("/_auth/recovery"), "{page}");
    let code = person.codes.next().await;
    let done = second.submit("/_auth/otp", &[("code", &code)]).await;
    assert_eq!(done.status, 303, "a code is the other way: {}", done.text());
    let mut third = Browser::new(&gateway);
    visitor::prove_password(&mut third, "alice").await;
    assert_eq!(prove(&mut third, &mut key, "/_auth/key").await.status, 303);

    let path = format!("/_auth/account/keys/{id}");
    let page = browser.get("/_auth/account/keys").await;
    let renamed = browser.submit_from(&page, &path, &[("name", "Green")]).await;
    assert_eq!(renamed.status, 303, "{}", renamed.text());
    assert_eq!(keys(&gateway, "alice")[0]["name"], "Green");
    // The code that began the session is not enough to remove it.
    let page = browser.get("/_auth/account/keys").await;
    let form = [("name", "Green"), ("remove", "yes")];
    let led = browser.submit_from(&page, &path, &form).await;
    assert_eq!(led.status, 303, "{}", led.text());
    assert!(led.location().starts_with("/_auth/step-up?"), "{}", led.location());
    assert_eq!(keys(&gateway, "alice").len(), 1);
    let proved = prove(&mut browser, &mut key, led.location()).await;
    assert_eq!(proved.location(), "/_auth/account/keys", "{}", proved.text());
    let page = browser.get("/_auth/account/keys").await;
    let removed = browser.submit_from(&page, &path, &form).await;
    assert_eq!(removed.location(), "/_auth/account/keys?done=removed", "{}", removed.text());
    assert!(keys(&gateway, "alice").is_empty());
    assert_eq!(browser.get("/_auth/account").await.status, 200, "this session continues");
    assert_eq!(third.fetch("/app").await.status, 401, "the session of the key has ended");
    let refused = by_passkey(&mut Browser::new(&gateway), &mut key).await;
    assert_eq!(refused.status, 401);
    let events = events(&gateway);
    assert!(events.contains("key_renamed") && events.contains("key_removed"), "{events}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_second_factor_cannot_be_removed() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, _key, _) = enrolled(&gateway, "bob").await;
    let id = keys(&gateway, "bob")[0]["id"].as_str().unwrap().to_owned();
    let page = browser.get("/_auth/account/keys").await;
    let path = format!("/_auth/account/keys/{id}");
    let form = [("name", "My phone"), ("remove", "yes")];
    let refused = browser.submit_from(&page, &path, &form).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert_eq!(keys(&gateway, "bob").len(), 1);
    assert_eq!(browser.get("/app").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_holds_only_so_many_keys_and_each_only_once() {
    let app = Recorder::start().await;
    let extra = "[second_factor.webauthn]\nmax_credentials = 2";
    let gateway = Gateway::start(&Plan::new(&app).extra(extra)).await;
    let (mut browser, mut key, _) = enrolled(&gateway, "carol").await;
    let page = browser.get("/_auth/account/keys/new").await;
    let options = super::options(&page.text());
    let known = options["publicKey"]["excludeCredentials"].as_array().unwrap();
    assert_eq!(known.len(), 1, "the options exclude the registered keys");
    let id = key.held[0].id.clone();
    let twice = key.create_with(&options, &super::origin(&browser), |parts| parts.id = id);
    let form = [("name", "Twice"), ("credential", &twice.to_string())];
    let refused = browser.submit_from(&page, "/_auth/account/keys/new", &form).await;
    assert_eq!(refused.status, 401, "{}", refused.text());
    gateway
        .log
        .wait_for("the reason", |l| {
            (l.get("reason") == Some("credential_registered")).then_some(())
        })
        .await;
    assert_eq!(keys(&gateway, "carol").len(), 1);

    let two = register(&mut browser, &mut key, "/_auth/account/keys/new", "Two").await;
    assert_eq!(two.status, 303, "{}", two.text());
    assert_eq!(browser.get("/_auth/account/keys/new").await.status, 409, "no room for a third");
    assert_eq!(keys(&gateway, "carol").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_removes_a_lost_key_and_its_sessions_end() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, mut key, _) = enrolled(&gateway, "dora").await;
    let id = keys(&gateway, "dora")[0]["id"].as_str().unwrap().to_owned();
    let without = gateway.command(&["user", "remove-key", "dora", &id], "");
    assert!(!without.status.success(), "a reason is required");
    let args = ["user", "remove-key", "dora", &id, "--reason", "lost on the train"];
    let removed = gateway.command(&args, "");
    assert!(removed.status.success(), "{removed:?}");
    assert!(keys(&gateway, "dora").is_empty());
    let over = async { while browser.fetch("/app").await.status != 401 {} };
    crate::support::within(std::time::Duration::from_secs(20), "the session to end", over).await;
    let mut again = Browser::new(&gateway);
    assert_eq!(by_passkey(&mut again, &mut key).await.status, 401);
    // The account was enrolled: its password alone enrols nothing.
    visitor::prove_password(&mut again, "dora").await;
    assert_ne!(again.get("/_auth/enroll/key").await.status, 200);
    assert_ne!(again.get("/_auth/enroll").await.status, 200);
    assert!(!again.jar.contains_key(SESSION));
    assert!(events(&gateway).contains("lost on the train"));
}
