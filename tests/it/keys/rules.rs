//! Rules with `phishing_resistant`.

use super::{enrolled, prove, register};
use crate::support::authenticator::Authenticator;
use crate::support::gateway::{Gateway, Plan};
use crate::support::upstream::Recorder;
use crate::support::visitor;

const RULE: &str = "[[apps.rules]]\nname = \"vault\"\npath = \"/vault/**\"\n\
                    access = \"two_factor\"\nphishing_resistant = true\n";

async fn start() -> (Recorder, Gateway) {
    let app = Recorder::start().await;
    let mut plan = Plan::new(&app);
    plan.apps = plan.apps.replacen("[[apps.rules]]", &format!("{RULE}[[apps.rules]]"), 1);
    let gateway = Gateway::start(&plan).await;
    (app, gateway)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_by_code_is_led_to_add_a_key_and_to_use_it() {
    let (_app, gateway) = start().await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    assert_eq!(browser.get("/other").await.status, 200);
    let refused = browser.fetch("/vault/1").await;
    assert_eq!(refused.status, 401);
    assert!(refused.text().contains("step_up_required"), "{}", refused.text());
    let led = browser.get("/vault/1").await;
    assert_eq!(led.status, 303);
    assert!(led.location().starts_with("/_auth/step-up?with=key"), "{}", led.location());
    let page = browser.get(led.location()).await.text();
    assert!(page.contains("can be phished") && page.contains("/_auth/account/keys/new"), "{page}");

    let mut key = Authenticator::default();
    let added = register(&mut browser, &mut key, "/_auth/account/keys/new", "x").await;
    assert_eq!(added.status, 303, "{}", added.text());
    assert_eq!(browser.get("/vault/1").await.status, 303, "adding a key is no proof");
    let done = prove(&mut browser, &mut key, led.location()).await;
    assert_eq!((done.status, done.location()), (303, "/vault/1"), "{}", done.text());
    assert_eq!(browser.get("/vault/1").await.status, 200);
    assert_eq!(browser.fetch("/vault/1").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_by_key_is_let_in() {
    let (_app, gateway) = start().await;
    let (mut browser, _key, codes) = enrolled(&gateway, "bob").await;
    assert_eq!(browser.get("/vault/1").await.status, 200);
    let mut lost = crate::support::client::Browser::new(&gateway);
    visitor::prove_password(&mut lost, "bob").await;
    let done = lost.submit("/_auth/recovery", &[("code", &codes[1])]).await;
    assert_eq!(done.status, 303);
    assert_eq!(lost.fetch("/vault/1").await.status, 401, "a recovery code is no key");
}
