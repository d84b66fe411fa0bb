//! Keys over several nodes and hosts.

use super::{by_passkey, enrolled, options, origin, prove, session};
use crate::support::authenticator::{Authenticator, PrivateKey};
use crate::support::client::Browser;
use crate::support::cluster::Cluster;
use crate::support::gateway::{Gateway, Plan};
use crate::support::upstream::Recorder;
use crate::support::visitor::{self, SESSION};

const RSA: &[u8] = include_bytes!("../../corpus/authenticator_rsa.der");

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_copies_of_an_answer_over_two_nodes_one_signs_in() {
    let cluster = Cluster::start().await;
    // Without a counter, nothing but the challenge tells copies apart.
    let mut key = Authenticator { counter: 0, ..Authenticator::default() };
    cluster.one.add_user("bob");
    let mut browser = Browser::new(&cluster.one);
    visitor::prove_password(&mut browser, "bob").await;
    let done = super::register(&mut browser, &mut key, "/_auth/enroll/key", "x").await;
    visitor::keep_recovery_codes(&mut browser, &done).await;

    let mut browser = Browser::new(&cluster.one);
    let page = browser.get("/_auth/login").await;
    let credential = key.get(&options(&page.text()), &origin(&browser)).to_string();
    let copies = (0..50).map(|number| {
        let gateway = if number % 2 == 0 { &cluster.one } else { &cluster.two };
        let (mut copy, page, credential) = (browser.at(gateway), page.clone(), credential.clone());
        tokio::spawn(async move {
            let form = [("credential", credential.as_str())];
            let answer = copy.submit_from(&page, "/_auth/passkey", &form).await;
            (answer.status, copy.jar.contains_key(SESSION))
        })
    });
    let copies: Vec<_> = copies.collect();
    let mut signed_in = 0;
    for copy in copies {
        let (status, has_session) = copy.await.unwrap();
        assert_eq!(status == 303, has_session);
        signed_in += u32::from(has_session);
    }
    assert_eq!(signed_in, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_one_node_works_at_the_other() {
    let cluster = Cluster::start().await;
    let (_, mut key, _) = enrolled(&cluster.one, "carol").await;
    let mut browser = Browser::new(&cluster.one);
    let page = browser.get("/_auth/login").await;
    let credential = key.get(&options(&page.text()), &origin(&browser)).to_string();
    let mut other = browser.at(&cluster.two);
    let form = [("credential", credential.as_str())];
    let done = other.submit_from(&page, "/_auth/passkey", &form).await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert_eq!(other.get("/app").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_with_an_rp_id_works_on_every_host_below_it() {
    let app = Recorder::start().await;
    let mut plan = Plan::new(&app).extra("[second_factor.webauthn]\nrp_id = \"lab.test\"");
    plan.apps.clear();
    plan.names = vec!["one.lab.test", "two.lab.test"];
    let plan =
        plan.app("one", "one.lab.test", &app.url(), "").app("two", "two.lab.test", &app.url(), "");
    let gateway = Gateway::start(&plan).await;
    gateway.add_user("dora");
    let mut key = Authenticator::default();
    let mut one = Browser::new(&gateway);
    "one.lab.test".clone_into(&mut one.host);
    visitor::prove_password(&mut one, "dora").await;
    let done = super::register(&mut one, &mut key, "/_auth/enroll/key", "x").await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert_eq!(key.held[0].rp_id, "lab.test");
    let mut two = Browser::new(&gateway);
    "two.lab.test".clone_into(&mut two.host);
    let done = by_passkey(&mut two, &mut key).await;
    assert_eq!(done.status, 303, "{}", done.text());

    // An answer made on the other host is refused, although the RP ID is the same.
    let mut again = Browser::new(&gateway);
    "two.lab.test".clone_into(&mut again.host);
    let page = again.get("/_auth/login").await;
    let credential = key.get(&options(&page.text()), "https://one.lab.test").to_string();
    let form = [("credential", credential.as_str())];
    let refused = again.submit_from(&page, "/_auth/passkey", &form).await;
    assert_eq!(refused.status, 401);
    assert!(!again.jar.contains_key(SESSION));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_one_host_is_not_asked_for_on_another() {
    let app = Recorder::start().await;
    let plan = Plan::new(&app).app("other", "other.test", &app.url(), "");
    let gateway = Gateway::start(&plan).await;
    let (_, _key, codes) = enrolled(&gateway, "emil").await;
    let mut browser = Browser::new(&gateway);
    "other.test".clone_into(&mut browser.host);
    let led = visitor::prove_password(&mut browser, "emil").await;
    assert!(led.location().starts_with("/_auth/otp"), "{}", led.location());
    let led = browser.get("/_auth/otp").await;
    assert!(led.location().starts_with("/_auth/recovery"), "{}", led.location());
    let done = browser.submit("/_auth/recovery", &[("code", &codes[1])]).await;
    assert_eq!(done.status, 303, "{}", done.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_each_algorithm_signs_in() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let kinds = [
        ("gina", PrivateKey::es256()),
        ("hans", PrivateKey::eddsa()),
        ("ida", PrivateKey::rs256(RSA)),
    ];
    for (name, kind) in kinds {
        gateway.add_user(name);
        let mut key = Authenticator { keys: vec![kind], ..Authenticator::default() };
        let mut browser = Browser::new(&gateway);
        visitor::prove_password(&mut browser, name).await;
        let done = super::register(&mut browser, &mut key, "/_auth/enroll/key", "x").await;
        assert_eq!(done.status, 303, "{name}: {}", done.text());
        visitor::keep_recovery_codes(&mut browser, &done).await;
        let mut again = Browser::new(&gateway);
        visitor::prove_password(&mut again, name).await;
        let done = prove(&mut again, &mut key, "/_auth/key").await;
        assert_eq!(done.status, 303, "{name}: {}", done.text());
        assert_eq!(session(&mut again).await["user"], name);
    }
}
