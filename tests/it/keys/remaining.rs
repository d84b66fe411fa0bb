//! Keys that are left after a clean-up: an intruder's key must not go unseen.

use super::{prove, register};
use crate::support::authenticator::Authenticator;
use crate::support::client::Browser;
use crate::support::codes::Codes;
use crate::support::gateway::{Gateway, PASSWORD, Plan};
use crate::support::html;
use crate::support::mail::MailServer;
use crate::support::upstream::Recorder;
use crate::support::visitor;
use crate::support::wire::Answer;
use crate::tickets;

const NEW_PASSWORD: &str = "nine-herons-mend-the-clock";
const NEWER_PASSWORD: &str = "ten-otters-count-the-stairs";

/// Follows redirects to the first page.
async fn led(browser: &mut Browser, mut answer: Answer) -> String {
    while answer.status == 303 {
        let path = answer.location().to_owned();
        answer = browser.get(&path).await;
    }
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_clean_up_the_page_and_the_mail_name_the_keys_that_still_sign_in() {
    let post = MailServer::start(0).await;
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app).extra(&post.config("mail-password"))).await;
    let (mut browser, mut person) = visitor::signed_in(&gateway, "alice").await;
    assert!(
        !post.wait_for_number("Authenticator app set up", 1).await.text.contains("still sign in")
    );
    let mut key = Authenticator::default();
    let added =
        register(&mut browser, &mut key, "/_auth/account/keys/new", "Evil <one>.test").await;
    assert_eq!(added.status, 303, "{}", added.text());
    let page = browser.get("/_auth/account").await.text();
    assert!(!page.contains("still sign in"), "nothing was cleaned up yet: {page}");

    // A new password.
    let form = [("current", PASSWORD), ("password", NEW_PASSWORD)];
    let changed = browser.submit("/_auth/account/password", &form).await;
    let page = led(&mut browser, changed).await;
    let shown = "Evil &#60;one&#62;.test";
    assert!(page.contains("still sign in to your account:") && page.contains(shown), "{page}");
    let told = post.wait_for_number("Password changed", 1).await.text;
    assert!(told.contains("still sign in") && told.contains("Evil one test"), "{told}");
    assert!(!told.contains("one>.test"), "nothing that becomes a link: {told}");

    // A new authenticator app, which takes a proof by the key.
    let step_up = browser.get("/_auth/account/authenticator").await.location().to_owned();
    let done = prove(&mut browser, &mut key, &step_up).await;
    assert_eq!(done.status, 303, "{}", done.text());
    let page = browser.get("/_auth/account/authenticator").await;
    person.codes = Codes::new(&html::by_id(&page.text(), "totp-secret").unwrap());
    let code = person.codes.next().await;
    let form = [("code", code.as_str())];
    let done = browser.submit_from(&page, "/_auth/account/authenticator", &form).await;
    let page = led(&mut browser, done).await;
    assert!(page.contains("still sign in to your account:") && page.contains(shown), "{page}");
    let told = post.wait_for_number("Authenticator app set up", 2).await.text;
    assert!(told.contains("Evil one test"), "{told}");
    let recovery = html::recovery_codes(&page);

    // A forgotten password.
    let mut owner = Browser::new(&gateway);
    let form = [("username", "alice"), ("code", recovery[0].as_str())];
    assert_eq!(owner.submit("/_auth/forgot", &form).await.status, 303);
    let second = owner.submit("/_auth/recovery", &[("code", &recovery[1])]).await;
    assert_eq!(second.location(), "/_auth/forgot/password", "{}", second.text());
    let set = owner.submit("/_auth/forgot/password", &[("password", NEWER_PASSWORD)]).await;
    let page = led(&mut owner, set).await;
    assert!(page.contains("This key still signs in to your account:"), "{page}");
    assert!(page.contains(shown) && page.contains("/_auth/account/keys"), "{page}");
    let told = post.wait_for_number("Password changed", 2).await.text;
    assert!(told.contains("Evil one test"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_set_by_a_link_is_followed_by_the_names_of_the_keys_that_still_sign_in() {
    let post = MailServer::start(0).await;
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app).extra(&post.config("mail-password"))).await;
    let (mut browser, person) = visitor::signed_in(&gateway, "alice").await;
    let mut key = Authenticator::default();
    let added = register(&mut browser, &mut key, "/_auth/account/keys/new", "Evil").await;
    assert_eq!(added.status, 303, "{}", added.text());

    let made = tickets::made(&gateway, &["user", "ticket", "alice", "--password-only"]);
    let mut owner = Browser::new(&gateway);
    assert_eq!(owner.get(&tickets::link(&made)).await.location(), "/_auth/setup");
    let set = owner.submit("/_auth/setup", &[("password", NEW_PASSWORD)]).await;
    assert_eq!(set.status, 303, "{}", set.text());
    let told = post.wait_for_number("Password changed", 1).await.text;
    assert!(told.contains("still sign in") && told.contains("Evil"), "{told}");
    let proved = owner.submit("/_auth/recovery", &[("code", &person.recovery[0])]).await;
    let page = led(&mut owner, proved).await;
    assert!(page.contains("This key still signs in to your account: “Evil”"), "{page}");
    assert!(page.contains("/_auth/account/keys"), "{page}");
}
