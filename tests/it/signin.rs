//! The life of an account as its owner meets it: enrol, sign out, come back with a code, come back
//! with a recovery code; and what does not work a second time.

use super::support::client::Browser;
use super::support::codes::Codes;
use super::support::gateway::{Gateway, Plan};
use super::support::upstream::Recorder;
use super::support::visitor::{self, PENDING, SESSION};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_enrols_signs_out_and_comes_back() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    gateway.add_user("alice");
    let mut browser = Browser::new(&gateway);

    // The app was asked for first, and is what the way leads back to.
    let turned = browser.get("/app/start?x=1%202").await;
    assert_eq!(turned.status, 303);
    assert!(turned.location().starts_with("/_auth/login?return_to="), "{}", turned.location());
    let login = turned.location().to_owned();
    let form = [("username", "alice"), ("password", super::support::gateway::PASSWORD)];
    let first = browser.submit(&login, &form).await;
    assert_eq!(first.status, 303, "{}", first.text());
    assert!(first.location().starts_with("/_auth/enroll"), "{}", first.location());
    assert!(browser.jar.contains_key(PENDING) && !browser.jar.contains_key(SESSION));

    let (codes, enrolled) = visitor::enrol(&mut browser).await;
    assert!(!browser.jar.contains_key(PENDING), "the login cookie is taken back");
    let (recovery, kept) = visitor::keep_recovery_codes(&mut browser, &enrolled).await;
    assert_eq!(kept.location(), "/app/start?x=1%202", "return_to survives the whole way");
    let mut person = visitor::Person { name: "alice".to_owned(), codes, recovery };
    assert_eq!(browser.get("/app/start?x=1%202").await.status, 200);
    let seen = app.wait_for(app.mark_of_all(), |r| r.head.path() == "/app/start").await;
    assert_eq!(seen.head.all("remote-user"), ["alice"]);

    let session = browser.jar[SESSION].clone();
    let out = browser.submit("/_auth/logout", &[]).await;
    assert_eq!(out.status, 303, "{}", out.text());
    assert!(!browser.jar.contains_key(SESSION), "the session cookie is taken back");
    let mut thief = browser.clone();
    thief.jar.insert(SESSION.to_owned(), session);
    assert_eq!(thief.fetch("/app").await.status, 401, "an ended session is worth nothing");

    let back = visitor::sign_in(&mut browser, &mut person).await;
    assert_eq!(back.status, 303, "{}", back.text());
    assert_eq!(browser.get("/app").await.status, 200);
    assert_ne!(browser.get("/_auth/enroll").await.status, 200, "no second enrolment");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_code_stands_in_for_the_authenticator_once() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (_browser, person) = visitor::signed_in(&gateway, "bob").await;
    let code = person.recovery.first().unwrap();

    let mut second = Browser::new(&gateway);
    visitor::prove_password(&mut second, "bob").await;
    let answer = second.submit("/_auth/recovery", &[("code", code)]).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(second.get("/app").await.status, 200);

    let mut third = Browser::new(&gateway);
    visitor::prove_password(&mut third, "bob").await;
    let again = third.submit("/_auth/recovery", &[("code", code)]).await;
    assert_eq!(again.status, 401, "a used recovery code");
    assert!(!third.jar.contains_key(SESSION));
    let typo = third.submit("/_auth/recovery", &[("code", "0000-0000-0000-00001")]).await;
    assert_eq!(typo.status, 401, "no recovery code at all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_is_refused_the_second_time() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (_browser, mut person) = visitor::signed_in(&gateway, "carol").await;
    let enrolled_with = person.codes.of_step(person.codes.used_step());

    let mut browser = Browser::new(&gateway);
    visitor::prove_password(&mut browser, "carol").await;
    let replayed = browser.submit("/_auth/otp", &[("code", &enrolled_with)]).await;
    assert_eq!(replayed.status, 401, "the code of the enrolment is used");
    let code = person.codes.next().await;
    let fresh = browser.submit("/_auth/otp", &[("code", &code)]).await;
    assert_eq!(fresh.status, 303, "{}", fresh.text());

    let mut other = Browser::new(&gateway);
    visitor::prove_password(&mut other, "carol").await;
    let replayed = other.submit("/_auth/otp", &[("code", &code)]).await;
    assert_eq!(replayed.status, 401, "the code of the last sign-in is used");
    assert!(!other.jar.contains_key(SESSION));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_two_steps_away_are_refused_and_of_the_neighbours_each_works_once() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    gateway.add_user("dave");
    let mut first = Browser::new(&gateway);
    visitor::prove_password(&mut first, "dave").await;
    let page = first.get("/_auth/enroll").await;
    let secret = super::support::html::by_id(&page.text(), "totp-secret").unwrap();
    let codes = Codes::new(&secret);

    let now = Codes::settled_step(20).await;
    for far in [now - 2, now + 2] {
        let answer = first.submit("/_auth/enroll", &[("code", &codes.of_step(far))]).await;
        assert_eq!(answer.status, 401, "enrolment with the code of step {far}, now {now}");
    }
    let past = first.submit("/_auth/enroll", &[("code", &codes.of_step(now - 1))]).await;
    assert_eq!(past.status, 303, "one step behind: {}", past.text());
    visitor::keep_recovery_codes(&mut first, &past).await;

    let mut browser = Browser::new(&gateway);
    visitor::prove_password(&mut browser, "dave").await;
    let used = now - 1;
    let now = Codes::settled_step(20).await;
    for bad in [now - 2, now + 2, used] {
        let answer = browser.submit("/_auth/otp", &[("code", &codes.of_step(bad))]).await;
        assert_eq!(answer.status, 401, "the code of step {bad}, now {now}");
    }
    let ahead = browser.submit("/_auth/otp", &[("code", &codes.of_step(now + 1))]).await;
    assert_eq!(ahead.status, 303, "one step ahead: {}", ahead.text());

    let mut last = Browser::new(&gateway);
    visitor::prove_password(&mut last, "dave").await;
    let behind = last.submit("/_auth/otp", &[("code", &codes.of_step(now))]).await;
    assert_eq!(behind.status, 401, "a code before the one last used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_and_an_unknown_name_look_alike() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    gateway.add_user("erin");
    let mut pages = Vec::new();
    for name in ["erin", "nobody"] {
        let mut browser = Browser::new(&gateway);
        let form = [("username", name), ("password", "not-the-right-password")];
        let answer = browser.submit("/_auth/login", &form).await;
        assert_eq!(answer.status, 401);
        assert!(!browser.jar.contains_key(PENDING));
        let text = answer.text();
        let csrf = super::support::html::field(&text, "csrf").unwrap_or_default();
        let page = text.replace(name, "NAME").replace(&csrf, "CSRF");
        let page = super::support::html::without_challenge(&page);
        pages.push(without_references(&page));
    }
    assert_eq!(pages[0], pages[1]);
}

/// Nonces and short ids differ between any two answers.
fn without_references(page: &str) -> String {
    page.lines().filter(|l| !l.contains("reference") && !l.contains("nonce=")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_without_its_token_is_refused() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "frank").await;
    for (path, form) in [
        ("/_auth/login", [("username", "frank"), ("password", "x")]),
        ("/_auth/logout", [("csrf", ""), ("x", "y")]),
        ("/_auth/logout", [("csrf", "0123456789abcdef0123456789abcdef"), ("x", "y")]),
    ] {
        let answer = browser.post(path, &form).await;
        assert_eq!(answer.status, 403, "{path} {form:?}");
    }
    assert_eq!(browser.get("/app").await.status, 200, "still signed in");
}
