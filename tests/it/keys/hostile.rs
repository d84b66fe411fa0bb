//! Hostile answers, each refused with a reason of its own in the log, and nothing changed.

use serde_json::{Value, json};

use super::{by_passkey, enrolled, options, origin, register};
use crate::support::authenticator::{Authenticator, BACKED_UP, EXTENSIONS, PRESENT, Parts, cbor};
use crate::support::client::Browser;
use crate::support::gateway::{Gateway, Plan};
use crate::support::upstream::Recorder;
use crate::support::visitor::{self, SESSION};

/// A change of what is signed.
type Signed = Box<dyn FnOnce(&mut Parts)>;
/// A change of a registration.
type Made = fn(&mut Parts);

async fn reason(gateway: &Gateway, reason: &str) {
    let found =
        |line: &crate::support::log::Line| (line.get("reason") == Some(reason)).then_some(());
    gateway.log.wait_for(reason, found).await;
}

/// Sends the answer as the second factor of a login that the password began. It has to be refused.
async fn refused_as_second_factor(
    gateway: &Gateway,
    name: &str,
    key: &mut Authenticator,
    change: impl FnOnce(&mut Parts),
) {
    let mut browser = Browser::new(gateway);
    visitor::prove_password(&mut browser, name).await;
    let page = browser.get("/_auth/key").await;
    let credential = key.get_with(&options(&page.text()), &origin(&browser), change);
    let form = [("credential", credential.to_string())];
    let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = browser.submit_from(&page, "/_auth/key", &form).await;
    assert_eq!(answer.status, 401, "{}", answer.text());
    assert!(!browser.jar.contains_key(SESSION));
    assert_eq!(browser.get("/app").await.status, 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_proofs_are_refused_each_with_its_reason() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (_, mut key, _) = enrolled(&gateway, "alice").await;
    let here = origin(&Browser::new(&gateway));
    let elsewhere = |origin: String| -> Signed {
        Box::new(move |parts| parts.client["origin"] = json!(origin))
    };
    let rows: Vec<(&str, Signed)> = vec![
        ("origin", elsewhere(format!("{here}.evil.example"))),
        ("origin", elsewhere(here.replace("https", "http"))),
        ("origin", elsewhere(format!("{here}:8443"))),
        ("origin", elsewhere(here.replace("gw.test", "xn--gw-fka.test"))),
        ("rp_id_hash", Box::new(|parts| parts.rp_id = "evil.example".to_owned())),
        ("cross_origin", Box::new(|parts| parts.client["crossOrigin"] = json!(true))),
        ("client_data_type", Box::new(|parts| parts.client["type"] = json!("webauthn.create"))),
        ("user_not_present", Box::new(|parts| parts.flags &= !PRESENT)),
        ("backup_flags", Box::new(|parts| parts.flags |= BACKED_UP)),
        ("user_handle", Box::new(|parts| parts.user_handle = Some(vec![1; 16]))),
        ("authenticator_data_malformed", Box::new(|parts| parts.tail = vec![0])),
        ("cbor", Box::new(|parts| parts.flags |= EXTENSIONS)),
        ("credential_unknown", Box::new(|parts| parts.id = vec![1; 32])),
    ];
    for (expected, change) in rows {
        refused_as_second_factor(&gateway, "alice", &mut key, change).await;
        reason(&gateway, expected).await;
    }
    let done = by_passkey(&mut Browser::new(&gateway), &mut key).await;
    assert_eq!(done.status, 303, "the honest key still works: {}", done.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_registrations_are_refused_and_enrol_nothing() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let rows: [(&str, Made); 8] = [
        ("cbor", |parts| parts.cose.truncate(30)),
        ("cbor", |parts| parts.cose = [&[0xbb][..], &[0xff; 8]].concat()),
        ("algorithm", |parts| parts.cose[4] = 0x28),
        ("public_key", |parts| parts.cose[4] = 0x27),
        ("attestation_format", |parts| parts.format = cbor::text("packed")),
        ("credential_id", |parts| parts.id = vec![7; 1024]),
        ("user_not_present", |parts| parts.flags &= !PRESENT),
        ("rp_id_hash", |parts| parts.rp_id = "test".to_owned()),
    ];
    for (number, (expected, change)) in rows.into_iter().enumerate() {
        let name = format!("user{number}");
        gateway.add_user(&name);
        let (mut browser, mut key) = (Browser::new(&gateway), Authenticator::default());
        visitor::prove_password(&mut browser, &name).await;
        let page = browser.get("/_auth/enroll/key").await;
        let here = origin(&browser);
        let made = key.create_with(&options(&page.text()), &here, change).to_string();
        let form = [("name", "x"), ("credential", made.as_str())];
        let refused = browser.submit_from(&page, "/_auth/enroll/key", &form).await;
        assert_eq!(refused.status, 401, "{expected}: {}", refused.text());
        reason(&gateway, expected).await;
        assert!(!browser.jar.contains_key(SESSION));
        let honest = register(&mut browser, &mut key, "/_auth/enroll/key", "x").await;
        assert_eq!(honest.status, 303, "nothing was enrolled: {}", honest.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenge_is_good_once_and_for_its_own_login_and_purpose_only() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (_, mut alices, _) = enrolled(&gateway, "alice").await;
    let (_, mut bobs, _) = enrolled(&gateway, "bob").await;

    // Replayed, also in another browser.
    let mut browser = Browser::new(&gateway);
    let page = browser.get("/_auth/login").await;
    let credential = alices.get(&options(&page.text()), &origin(&browser)).to_string();
    let form = [("credential", credential.as_str())];
    let done = browser.submit_from(&page, "/_auth/passkey", &form).await;
    assert_eq!(done.status, 303, "{}", done.text());
    let mut thief = Browser::new(&gateway);
    let login = thief.get("/_auth/login").await;
    let again = thief.submit_from(&login, "/_auth/passkey", &form).await;
    assert_eq!(again.status, 401);
    reason(&gateway, "challenge_unknown_or_used").await;

    // Of another browser: fixation of a sign-in.
    let (mut one, mut two) = (Browser::new(&gateway), Browser::new(&gateway));
    let (first, second) = (one.get("/_auth/login").await, two.get("/_auth/login").await);
    let credential = alices.get(&options(&first.text()), &origin(&one)).to_string();
    let refused = two.submit_from(&second, "/_auth/passkey", &[("credential", &credential)]).await;
    assert_eq!(refused.status, 401);
    reason(&gateway, "challenge_of_other_browser").await;

    // Of another account, and of another purpose.
    let (mut one, mut two) = (Browser::new(&gateway), Browser::new(&gateway));
    visitor::prove_password(&mut one, "alice").await;
    visitor::prove_password(&mut two, "bob").await;
    let (first, second) = (one.get("/_auth/key").await, two.get("/_auth/key").await);
    let credential = alices.get(&options(&first.text()), &origin(&one)).to_string();
    let refused = two.submit_from(&second, "/_auth/key", &[("credential", &credential)]).await;
    assert_eq!(refused.status, 401);
    reason(&gateway, "challenge_of_other_account").await;
    let login = two.get("/_auth/login").await;
    let credential = bobs.get(&options(&login.text()), &origin(&two)).to_string();
    let second = two.get("/_auth/key").await;
    let refused = two.submit_from(&second, "/_auth/key", &[("credential", &credential)]).await;
    assert_eq!(refused.status, 401);
    reason(&gateway, "challenge_of_other_purpose").await;

    // A credential of another account.
    let second = two.get("/_auth/key").await;
    let mut wanted = options(&second.text());
    wanted["publicKey"]["allowCredentials"] = Value::Array(Vec::new());
    let credential = alices.get(&wanted, &origin(&two)).to_string();
    let refused = two.submit_from(&second, "/_auth/key", &[("credential", &credential)]).await;
    assert_eq!(refused.status, 401);
    reason(&gateway, "credential_of_other_account").await;
    assert!(!two.jar.contains_key(SESSION));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_that_goes_back_is_refused_and_told() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (_, mut key, _) = enrolled(&gateway, "carol").await;
    key.counter = 10;
    assert_eq!(by_passkey(&mut Browser::new(&gateway), &mut key).await.status, 303);
    for counter in [10, 3, 0] {
        key.counter = counter;
        let mut browser = Browser::new(&gateway);
        assert_eq!(by_passkey(&mut browser, &mut key).await.status, 401, "counter {counter}");
        assert!(!browser.jar.contains_key(SESSION));
    }
    reason(&gateway, "counter_regressed").await;
    let listed = gateway.command(&["audit", "list", "--json"], "");
    let events = String::from_utf8(listed.stdout).unwrap();
    assert!(events.contains("key_counter_regressed"), "{events}");
    key.counter = 12;
    assert_eq!(by_passkey(&mut Browser::new(&gateway), &mut key).await.status, 303);
}
