//! A lost key, and codes that somebody phished: what replaces a key, and what does not.

use serde_json::{Value, json};

use super::{by_passkey, prove, register, session};
use crate::support::authenticator::Authenticator;
use crate::support::client::Browser;
use crate::support::gateway::{Gateway, PASSWORD, Plan};
use crate::support::html;
use crate::support::upstream::Recorder;
use crate::support::visitor::{self, Person};

const KEYS: &str = "/_auth/account/keys";
/// Pages whose change could give another person lasting access.
const CHANGES: [&str; 3] =
    ["/_auth/account/keys/new", "/_auth/account/authenticator", "/_auth/account/recovery-codes"];

fn keys(gateway: &Gateway) -> Vec<Value> {
    let listed = gateway.command(&["user", "keys", "alice", "--json"], "");
    assert!(listed.status.success(), "{listed:?}");
    serde_json::from_slice(&listed.stdout).unwrap()
}

/// An account with an authenticator app, and a key that was added.
async fn with_both(gateway: &Gateway) -> (Person, Authenticator, String) {
    let (mut browser, person) = visitor::signed_in(gateway, "alice").await;
    let mut key = Authenticator::default();
    let added = register(&mut browser, &mut key, CHANGES[0], "Blue").await;
    assert_eq!(added.status, 303, "{}", added.text());
    let id = keys(gateway)[0]["id"].as_str().unwrap().to_owned();
    (person, key, id)
}

/// A new browser that proved the password and a code from the app.
async fn by_code(gateway: &Gateway, person: &mut Person) -> Browser {
    let mut browser = Browser::new(gateway);
    visitor::prove_password(&mut browser, "alice").await;
    let code = person.codes.next().await;
    let done = browser.submit("/_auth/otp", &[("code", &code)]).await;
    assert_eq!(done.status, 303, "{}", done.text());
    browser
}

/// Sends the form that removes the key. The address that it leads to.
async fn remove(browser: &mut Browser, id: &str) -> String {
    let page = browser.get(KEYS).await;
    assert_eq!(page.status, 200, "{}", page.location());
    let form = [("name", "Blue"), ("remove", "yes")];
    let answer = browser.submit_from(&page, &format!("{KEYS}/{id}"), &form).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.location().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phished_code_replaces_neither_the_key_nor_what_could_replace_it() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut person, mut key, id) = with_both(&gateway).await;
    let mut thief = by_code(&gateway, &mut person).await;
    for (number, change) in CHANGES.into_iter().enumerate() {
        let led = thief.get(change).await;
        assert_eq!(led.status, 303, "{change}: {}", led.text());
        assert!(led.location().starts_with("/_auth/step-up?"), "{change}: {}", led.location());
        let page = thief.get(led.location()).await;
        let text = page.text();
        assert!(!text.contains("name=\"code\""), "{change}: no code is asked for: {text}");
        assert!(text.contains("with=recovery"), "{change}: the way out is there: {text}");
        if number > 0 {
            continue;
        }
        // A code that is sent all the same leads no further.
        let code = person.codes.next().await;
        let form = [("password", PASSWORD), ("code", code.as_str())];
        let sent = thief.submit_from(&page, led.location(), &form).await;
        assert_eq!((sent.status, sent.location()), (303, change), "{}", sent.text());
        let again = thief.get(change).await;
        assert_eq!(again.status, 303, "{change}: {}", again.text());
    }
    assert!(remove(&mut thief, &id).await.starts_with("/_auth/step-up?"));
    assert_eq!(keys(&gateway).len(), 1);
    assert_eq!(by_passkey(&mut Browser::new(&gateway), &mut key).await.status, 303);

    // The owner, by key.
    let mut owner = thief;
    let led = owner.get(CHANGES[2]).await.location().to_owned();
    let done = prove(&mut owner, &mut key, &led).await;
    assert_eq!(done.location(), CHANGES[2], "{}", done.text());
    assert_eq!(session(&mut owner).await["amr"], json!(["pwd", "hwk", "user", "mfa"]));
    for change in CHANGES {
        assert_eq!(owner.get(change).await.status, 200, "{change}");
    }
}

/// A phished session has new recovery codes on offer from the time before the account had a key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_offered_before_there_was_a_key_replace_nothing_without_it() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut owner, mut person) = visitor::signed_in(&gateway, "alice").await;
    let mut thief = by_code(&gateway, &mut person).await;
    let form = thief.get(CHANGES[2]).await;
    let offered = html::recovery_codes(&form.text());
    assert_eq!(offered.len(), 10, "{}", form.text());
    assert_eq!(thief.get(CHANGES[1]).await.status, 200);

    let mut key = Authenticator::default();
    let added = register(&mut owner, &mut key, CHANGES[0], "Blue").await;
    assert_eq!(added.status, 303, "{}", added.text());
    let confirm = [("confirm", offered[0].as_str())];
    let sent = thief.submit_from(&form, CHANGES[2], &confirm).await;
    assert!(sent.location().starts_with("/_auth/step-up?"), "{} {}", sent.status, sent.location());
    // Another phished code changes nothing about it.
    let code = person.codes.next().await;
    let step_up = format!("/_auth/step-up?return_to={}", CHANGES[2].replace('/', "%2F"));
    thief.submit(&step_up, &[("password", PASSWORD), ("code", &code)]).await;
    for change in CHANGES {
        let led = thief.get(change).await;
        assert!(led.location().starts_with("/_auth/step-up?"), "{change}: {}", led.text());
    }
    let sent = thief.submit_from(&form, CHANGES[2], &confirm).await;
    assert!(sent.location().starts_with("/_auth/step-up?"), "{} {}", sent.status, sent.location());

    let mut back = Browser::new(&gateway);
    visitor::prove_password(&mut back, "alice").await;
    let taken = back.submit("/_auth/recovery", &[("code", &offered[1])]).await;
    assert_eq!(taken.status, 401, "the offered codes are not in force");
    let code = person.recovery.pop().unwrap();
    let done = back.submit("/_auth/recovery", &[("code", &code)]).await;
    assert_eq!(done.status, 303, "the former ones are: {}", done.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_code_replaces_a_lost_key() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut person, mut lost, id) = with_both(&gateway).await;
    let mut owner = by_code(&gateway, &mut person).await;
    assert!(owner.get(KEYS).await.text().contains("recovery codes"), "the page says how");
    let led = remove(&mut owner, &id).await;
    let path = format!("{led}&with=recovery").replace("&with=key", "");
    let page = owner.get(&path).await;
    let code = person.recovery.pop().unwrap();
    let form = [("password", PASSWORD), ("code", code.as_str())];
    let done = owner.submit_from(&page, &path, &form).await;
    assert_eq!((done.status, done.location()), (303, KEYS), "{}", done.text());
    assert_eq!(remove(&mut owner, &id).await, "/_auth/account/keys?done=removed");
    assert!(keys(&gateway).is_empty());
    assert_eq!(by_passkey(&mut Browser::new(&gateway), &mut lost).await.status, 401);
    let mut new = Authenticator::default();
    let added = register(&mut owner, &mut new, CHANGES[0], "New").await;
    assert_eq!(added.status, 303, "{}", added.text());
    assert_eq!(by_passkey(&mut Browser::new(&gateway), &mut new).await.status, 303);

    // Without recovery codes, an operator removes the key, and a code is enough again.
    let id = keys(&gateway)[0]["id"].as_str().unwrap().to_owned();
    let args = ["user", "remove-key", "alice", &id, "--reason", "lost on the train"];
    assert!(gateway.command(&args, "").status.success());
    let mut owner = by_code(&gateway, &mut person).await;
    assert_eq!(owner.get(CHANGES[0]).await.status, 200);
}

/// The list of keys leads on to the page that wanted one, also after a step-up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_that_wants_a_key_is_not_forgotten_while_one_is_added() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let page = browser.get("/_auth/step-up?with=key&return_to=%2Fvault%3Fa%3Db").await.text();
    let path = "/_auth/account/keys/new?return_to=%2Fvault%3Fa%3Db";
    assert!(page.contains(path), "{page}");
    let mut key = Authenticator::default();
    let added = register(&mut browser, &mut key, path, "x").await;
    let list = "/_auth/account/keys?done=added&return_to=%2Fvault%3Fa%3Db";
    assert_eq!((added.status, added.location()), (303, list), "{}", added.text());
    let page = browser.get(list).await.text();
    assert!(page.contains("href=\"/vault?a=b\""), "{page}");
    visitor::let_proofs_age(&gateway, &browser).await;
    let led = browser.get(path).await;
    let kept = "return_to=%2F_auth%2Faccount%2Fkeys%2Fnew%3Freturn_to%3D%252Fvault%253Fa%253Db";
    assert!(led.location().contains(kept), "{}", led.location());
    let done = prove(&mut browser, &mut key, led.location()).await;
    assert_eq!(done.location(), path, "{}", done.text());
}
