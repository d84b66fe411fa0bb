//! Keys at an app that keeps the passwords and has scripts of its own.

use serde_json::json;

use super::cellengine::{LIST, post_sign_in, script, typed, with_code};
use super::keys::{by_passkey, options, origin, prove, register, session};
use super::support::authenticator::Authenticator;
use super::support::cellengine::{CellEngine, Lab};
use super::support::client::Browser;
use super::support::codes::Codes;
use super::support::gateway::{Gateway, Plan};
use super::support::html;
use super::support::upstream::Recorder;
use super::support::visitor::{self, SESSION};

async fn prove_password(browser: &mut Browser) -> String {
    let form = [("username", "alice"), ("password", "pw-alice")];
    let answer = browser.submit("/_auth/login", &form).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.location().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_with_keys_alone_signs_in_on_our_page_and_a_script_is_told_what_to_do() {
    let lab = Lab::start("provision = true").await;
    let (mut browser, mut key) = (Lab::browser(&lab.one), Authenticator::default());
    assert_eq!(prove_password(&mut browser).await, "/_auth/enroll");
    let done = register(&mut browser, &mut key, "/_auth/enroll/key", "x").await;
    assert_eq!(done.status, 303, "{}", done.text());
    let recovery = visitor::keep_recovery_codes(&mut browser, &done).await.0;
    assert_eq!(browser.fetch(LIST).await.status, 200);

    // On our page at the other node.
    let mut again = Lab::browser(&lab.two);
    assert!(prove_password(&mut again).await.starts_with("/_auth/key"));
    assert_eq!(again.fetch(LIST).await.status, 401, "the password opens nothing");
    let done = prove(&mut again, &mut key, "/_auth/key").await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert_eq!(again.fetch(LIST).await.status, 200);
    assert_eq!(session(&mut again).await["amr"], json!(["pwd", "hwk", "user", "mfa"]));

    // A script gets the reason, with any code and without Vestibule's cookies.
    for body in [typed("alice"), with_code("alice", "000000")] {
        let mut toolkit = Lab::browser(&lab.two);
        let refused = post_sign_in(&mut toolkit, &body).await;
        assert_eq!(refused.status, 403, "{}", refused.text());
        let sentence = refused.json()["error"].as_str().unwrap().to_owned();
        for part in ["authenticator app", "access token", "/_auth/login"] {
            assert!(sentence.contains(part), "{part}: {sentence}");
        }
        assert!(!toolkit.jar.contains_key(SESSION));
        assert_eq!(toolkit.fetch(LIST).await.status, 401);
    }
    let wrong = json!({"username": "alice", "password": "nonsense"});
    let refused = post_sign_in(&mut Lab::browser(&lab.one), &wrong).await;
    assert_eq!(refused.status, 401, "nobody learns it without the password: {}", refused.text());

    // An authenticator app beside the key, as the sentence says. Then the script gets in.
    let page = browser.get("/_auth/account/authenticator").await;
    assert_eq!(page.status, 200, "{}", page.location());
    let mut codes = Codes::new(&html::by_id(&page.text(), "totp-secret").unwrap());
    let code = codes.next().await;
    let path = "/_auth/account/authenticator";
    let done = browser.submit_from(&page, path, &[("code", &code)]).await;
    assert_eq!(done.status, 303, "{}", done.text());
    script(&mut Lab::browser(&lab.two), "alice", &codes.next().await).await;
    let mut by_key = Lab::browser(&lab.one);
    assert!(prove_password(&mut by_key).await.starts_with("/_auth/key"), "the key still works");
    assert_eq!(prove(&mut by_key, &mut key, "/_auth/key").await.status, 303);
    drop(recovery);
}

/// The app has to be asked for the password, so a passkey alone is neither offered nor taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passkey_alone_signs_nobody_in_at_an_app_that_keeps_the_passwords() {
    let lab = Lab::start("provision = true").await;
    let (mut browser, mut key) = (Lab::browser(&lab.one), Authenticator::default());
    prove_password(&mut browser).await;
    let done = register(&mut browser, &mut key, "/_auth/enroll/key", "x").await;
    assert_eq!(done.status, 303, "{}", done.text());
    visitor::keep_recovery_codes(&mut browser, &done).await;

    let mut alone = Lab::browser(&lab.one);
    let login = alone.get("/_auth/login").await;
    assert!(!login.text().contains("webauthn"), "{}", login.text());
    let mut halfway = Lab::browser(&lab.one);
    prove_password(&mut halfway).await;
    let page = halfway.get("/_auth/key").await;
    let answer = key.get(&options(&page.text()), &origin(&alone)).to_string();
    let form = [("credential", answer.as_str())];
    let refused = alone.submit_from(&login, "/_auth/passkey", &form).await;
    assert_eq!(refused.status, 401, "{}", refused.text());
    assert!(!alone.jar.contains_key(SESSION));
    assert_eq!(alone.fetch(LIST).await.status, 401);
}

/// One RP ID makes the key of such a person known to every app below it. The key alone opens none of
/// them, because the app that keeps the password was not asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_a_person_whose_password_an_app_keeps_signs_in_alone_at_no_other_app() {
    let (lab, docs) = (CellEngine::start(&[]).await, Recorder::start().await);
    let mut plan = Plan::new(&docs).extra("[second_factor.webauthn]\nrp_id = \"lab.test\"");
    plan.apps.clear();
    plan.names = vec!["cell.lab.test", "docs.lab.test"];
    let described = "dialect = \"cellengine\"\nfirst_factor = \"app\"\nprovision = true\n";
    let plan = plan.app("cellengine", "cell.lab.test", &lab.url(), described);
    let gateway = Gateway::start(&plan.app("docs", "docs.lab.test", &docs.url(), "")).await;
    let at = |host: &str| {
        let mut browser = Browser::new(&gateway);
        host.clone_into(&mut browser.host);
        browser
    };
    let (mut browser, mut key) = (at("cell.lab.test"), Authenticator::default());
    assert_eq!(prove_password(&mut browser).await, "/_auth/enroll");
    let done = register(&mut browser, &mut key, "/_auth/enroll/key", "x").await;
    visitor::keep_recovery_codes(&mut browser, &done).await;
    assert_eq!(key.held[0].rp_id, "lab.test");

    let mut other = at("docs.lab.test");
    let refused = by_passkey(&mut other, &mut key).await;
    assert_eq!(refused.status, 401, "{}", refused.text());
    assert!(!other.jar.contains_key(SESSION));
    assert_eq!(other.fetch("/app").await.status, 401);

    // A person with a password here does sign in there by passkey.
    gateway.add_user("bob");
    let (mut own, mut key) = (at("docs.lab.test"), Authenticator::default());
    visitor::prove_password(&mut own, "bob").await;
    let done = register(&mut own, &mut key, "/_auth/enroll/key", "x").await;
    visitor::keep_recovery_codes(&mut own, &done).await;
    let mut again = at("docs.lab.test");
    assert_eq!(by_passkey(&mut again, &mut key).await.status, 303);
    assert_eq!(again.fetch("/app").await.status, 200);
    docs.wait_for(docs.mark_of_all(), |seen| seen.head.path() == "/app").await;
    assert_eq!(docs.requests(docs.mark_of_all()).len(), 1, "nothing came with the other key");
}
