//! Copies of one answer, and of one key, at once and over two nodes.

use futures_util::future::join_all;
use serde_json::Value;

use crate::keys::{enrolled, options, origin, register};
use crate::support::authenticator::Authenticator;
use crate::support::client::Browser;
use crate::support::cluster::Cluster;
use crate::support::gateway::Gateway;
use crate::support::visitor::{self, SESSION};
use crate::support::wire::Answer;

const COPIES: usize = 50;

/// Posts a form so often at once, to both nodes in turn: the answers, with the browsers that got them.
async fn copies(
    cluster: &Cluster,
    browser: &Browser,
    page: &Answer,
    path: &str,
    form: &[(&str, &str)],
) -> Vec<(Answer, Browser)> {
    let nodes = [&cluster.one, &cluster.two];
    join_all((0..COPIES).map(|number| {
        let mut browser = browser.at(nodes[number % 2]);
        async move { (browser.submit_from(page, path, form).await, browser) }
    }))
    .await
}

fn keys(gateway: &Gateway, name: &str) -> Vec<Value> {
    let listed = gateway.command(&["user", "keys", name, "--json"], "");
    assert!(listed.status.success(), "{listed:?}");
    serde_json::from_slice(&listed.stdout).unwrap()
}

fn sessions(gateway: &Gateway, name: &str) -> usize {
    let listed = gateway.command(&["session", "list", "--user", name, "--json"], "");
    assert!(listed.status.success(), "{listed:?}");
    serde_json::from_slice::<Vec<Value>>(&listed.stdout).unwrap().len()
}

/// A key without a counter, so that only the challenge tells copies apart.
async fn enrolled_without_counter(cluster: &Cluster, name: &str) -> (Browser, Authenticator) {
    cluster.one.add_user(name);
    let mut key = Authenticator { counter: 0, ..Authenticator::default() };
    let mut browser = Browser::new(&cluster.one);
    visitor::prove_password(&mut browser, name).await;
    let done = register(&mut browser, &mut key, "/_auth/enroll/key", "x").await;
    assert_eq!(done.status, 303, "{}", done.text());
    visitor::keep_recovery_codes(&mut browser, &done).await;
    (browser, key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_copies_of_a_second_factor_one_signs_in() {
    let cluster = Cluster::start().await;
    let (_owner, mut key) = enrolled_without_counter(&cluster, "alice").await;
    let before = sessions(&cluster.one, "alice");
    let mut browser = Browser::new(&cluster.one);
    visitor::prove_password(&mut browser, "alice").await;
    let page = browser.get("/_auth/key").await;
    let answer = key.get(&options(&page.text()), &origin(&browser)).to_string();
    let form = [("credential", answer.as_str())];
    let all = copies(&cluster, &browser, &page, "/_auth/key", &form).await;
    let signed_in: Vec<_> =
        all.iter().filter(|(_, browser)| browser.jar.contains_key(SESSION)).collect();
    assert_eq!(signed_in.len(), 1, "{:?}", all.iter().map(|(a, _)| a.status).collect::<Vec<_>>());
    assert_eq!(sessions(&cluster.two, "alice"), before + 1);
    // Copies of the form that signs in do not spoil the login that it opens.
    let mut browser = signed_in[0].1.clone();
    assert_eq!(browser.fetch("/app").await.status, 200);
}

/// A failover can lose the last writes of Redis: the login and the challenge are there again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_answer_stays_used_after_redis_has_lost_its_use() {
    let cluster = Cluster::start().await;
    let (_owner, mut key) = enrolled_without_counter(&cluster, "alice").await;
    let before = sessions(&cluster.one, "alice");
    let mut browser = Browser::new(&cluster.one);
    visitor::prove_password(&mut browser, "alice").await;
    let page = browser.get("/_auth/key").await;
    let answer = key.get(&options(&page.text()), &origin(&browser)).to_string();
    let form = [("credential", answer.as_str())];
    let copied = cluster.redis.copied().await;
    let mut first = browser.clone();
    let done = first.submit_from(&page, "/_auth/key", &form).await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert!(first.jar.contains_key(SESSION));

    cluster.redis.put_back(&copied).await;
    let mut again = browser.at(&cluster.two);
    let refused = again.submit_from(&page, "/_auth/key", &form).await;
    assert_eq!(refused.status, 401, "{}", refused.text());
    assert!(!again.jar.contains_key(SESSION));
    assert_eq!(sessions(&cluster.two, "alice"), before);
    let found = cluster.two.log.wait_for("a refused key", super::reason).await;
    assert_eq!(found, "challenge_unknown_or_used");
    // The login is there again, so nothing but the challenge stood in the way.
    let done = crate::keys::prove(&mut again, &mut key, "/_auth/key").await;
    assert_eq!(done.status, 303, "{}", done.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_copies_of_a_proof_in_a_session_one_is_taken() {
    // A session ends after so many tries, whatever was tried.
    let cluster = Cluster::with("[throttle]\nper_login = 100\n").await;
    let (mut owner, mut key) = enrolled_without_counter(&cluster, "alice").await;
    let path = "/_auth/step-up?return_to=%2Fapp";
    let page = owner.get(path).await;
    let answer = key.get(&options(&page.text()), &origin(&owner)).to_string();
    let form = [("credential", answer.as_str())];
    let before = owner.jar[SESSION].clone();
    let all = copies(&cluster, &owner, &page, path, &form).await;
    let renewed: Vec<_> = all
        .iter()
        .filter(|(_, browser)| browser.jar.get(SESSION).is_some_and(|held| *held != before))
        .collect();
    assert_eq!(renewed.len(), 1, "{:?}", all.iter().map(|(a, _)| a.status).collect::<Vec<_>>());
    assert_eq!(sessions(&cluster.one, "alice"), 1);
    let mut browser = renewed[0].1.clone();
    assert_eq!(browser.fetch("/app").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_copies_of_a_registration_one_key_is_made() {
    let cluster = Cluster::start().await;
    // As the first second factor.
    cluster.one.add_user("bob");
    let mut browser = Browser::new(&cluster.one);
    visitor::prove_password(&mut browser, "bob").await;
    let page = browser.get("/_auth/enroll/key").await;
    let mut key = Authenticator::default();
    let answer = key.create(&options(&page.text()), &origin(&browser)).to_string();
    let form = [("name", "x"), ("credential", answer.as_str())];
    let all = copies(&cluster, &browser, &page, "/_auth/enroll/key", &form).await;
    let signed_in: Vec<_> =
        all.iter().filter(|(_, browser)| browser.jar.contains_key(SESSION)).collect();
    assert_eq!(signed_in.len(), 1, "{:?}", all.iter().map(|(a, _)| a.status).collect::<Vec<_>>());
    assert_eq!(keys(&cluster.one, "bob").len(), 1);

    // As a further key.
    let (enrolled, mut owner) = signed_in[0].clone();
    visitor::keep_recovery_codes(&mut owner, &enrolled).await;
    let page = owner.get("/_auth/account/keys/new").await;
    let answer = key.create(&options(&page.text()), &origin(&owner)).to_string();
    let form = [("name", "y"), ("credential", answer.as_str())];
    let all = copies(&cluster, &owner, &page, "/_auth/account/keys/new", &form).await;
    let added = all.iter().filter(|(answer, _)| answer.status == 303).count();
    assert_eq!(added, 1, "{:?}", all.iter().map(|(a, _)| a.status).collect::<Vec<_>>());
    assert_eq!(keys(&cluster.two, "bob").len(), 2);
}

/// Two enrolments of one account at once, by key and by key: the account has one second factor, and the
/// other browser is not signed in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_first_keys_of_one_account_one_is_enrolled() {
    let cluster = Cluster::start().await;
    cluster.one.add_user("carol");
    let nodes = [&cluster.one, &cluster.two];
    let mut ready = Vec::new();
    for number in 0..6 {
        let mut browser = Browser::new(nodes[number % 2]);
        visitor::prove_password(&mut browser, "carol").await;
        let page = browser.get("/_auth/enroll/key").await;
        let asked = options(&page.text());
        let answer = Authenticator::default().create(&asked, &origin(&browser)).to_string();
        ready.push((browser, page, answer));
    }
    let all = join_all(ready.into_iter().map(|(mut browser, page, answer)| async move {
        let form = [("name", "x"), ("credential", answer.as_str())];
        let answer = browser.submit_from(&page, "/_auth/enroll/key", &form).await;
        (answer.status, answer.location().to_owned(), browser.jar.contains_key(SESSION))
    }))
    .await;
    assert_eq!(all.iter().filter(|(.., session)| *session).count(), 1, "{all:?}");
    assert_eq!(keys(&cluster.one, "carol").len(), 1);
    assert_eq!(sessions(&cluster.two, "carol"), 1);
}

/// Copies of a key count from the same number. Each has a challenge of its own, and one gets in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_copies_of_a_key_with_one_counter_one_signs_in() {
    let cluster = Cluster::start().await;
    let (_owner, mut key, _) = enrolled(&cluster.one, "dora").await;
    let nodes = [&cluster.one, &cluster.two];
    let mut ready = Vec::new();
    key.counter += 10;
    let counter = key.counter;
    for number in 0..20 {
        let mut browser = Browser::new(nodes[number % 2]);
        let page = browser.get("/_auth/login").await;
        key.counter = counter;
        let answer = key.get(&options(&page.text()), &origin(&browser)).to_string();
        ready.push((browser, page, answer));
    }
    let all = join_all(ready.into_iter().map(|(mut browser, page, answer)| async move {
        let form = [("credential", answer.as_str())];
        let answer = browser.submit_from(&page, "/_auth/passkey", &form).await;
        (answer.status, browser.jar.contains_key(SESSION))
    }))
    .await;
    assert_eq!(all.iter().filter(|(_, session)| *session).count(), 1, "{all:?}");
    let listed = cluster.two.command(&["audit", "list", "--json"], "");
    let events = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(events.matches("key_counter_regressed").count(), 19, "{events}");
}
