//! Forgotten passwords and recovery codes: each code is good for one use, for its own account, in
//! place of one factor.

use super::support::client::Browser;
use super::support::cluster::Cluster;
use super::support::gateway::{Gateway, PASSWORD, Plan};
use super::support::html;
use super::support::upstream::Recorder;
use super::support::visitor::{self, PENDING, SESSION};
use super::support::wire::Answer;

const NEW_PASSWORD: &str = "nine-herons-mend-the-clock";

async fn forgot(browser: &mut Browser, name: &str, code: &str) -> Answer {
    browser.submit("/_auth/forgot", &[("username", name), ("code", code)]).await
}

async fn left(browser: &mut Browser) -> String {
    let page = browser.get("/_auth/account").await.text();
    let (before, _) = page.split_once(" left").unwrap_or_else(|| panic!("no number: {page}"));
    before.chars().rev().take_while(char::is_ascii_digit).collect::<Vec<_>>().iter().rev().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_codes_set_a_new_password_and_end_every_other_session() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut elsewhere, mut person) = visitor::signed_in(&gateway, "alice").await;
    let mut halfway = Browser::new(&gateway);
    visitor::prove_password(&mut halfway, "alice").await;

    let mut owner = Browser::new(&gateway);
    let page = owner.get("/_auth/forgot?return_to=%2Fapp%2Fback").await;
    let form = [("username", "Alice"), ("code", &*person.recovery[0].to_lowercase())];
    let first = owner.submit_from(&page, "/_auth/forgot", &form).await;
    assert_eq!(
        (first.status, first.location()),
        (303, "/_auth/otp?return_to=%2Fapp%2Fback"),
        "{}",
        first.text()
    );
    assert!(owner.jar.contains_key(PENDING) && !owner.jar.contains_key(SESSION));
    let early = owner.get("/_auth/forgot/password").await;
    assert_eq!((early.status, early.location()), (303, "/_auth/otp"), "one code is not enough");
    let again = owner.submit("/_auth/recovery", &[("code", &person.recovery[0])]).await;
    assert_eq!(again.status, 401, "the same code does not stand in for both");

    let second = owner.submit("/_auth/recovery", &[("code", &person.recovery[1])]).await;
    assert_eq!((second.status, second.location()), (303, "/_auth/forgot/password"));
    assert!(!owner.jar.contains_key(SESSION), "no session before the new password");
    assert_eq!(owner.fetch("/app").await.status, 401);
    assert_eq!(elsewhere.fetch("/app").await.status, 200, "nothing has ended yet");
    let easy = owner.submit("/_auth/forgot/password", &[("password", "password1")]).await;
    assert_eq!(easy.status, 400, "{}", easy.text());
    let set = owner.submit("/_auth/forgot/password", &[("password", NEW_PASSWORD)]).await;
    assert_eq!(
        (set.status, set.location()),
        (303, "/_auth/notice?return_to=%2Fapp%2Fback"),
        "{}",
        set.text()
    );
    assert_eq!(owner.fetch("/app").await.status, 200);
    assert_eq!(left(&mut owner).await, "8");

    assert_eq!(elsewhere.get("/_auth/account").await.status, 303, "the other session is over");
    let late =
        halfway.submit("/_auth/login", &[("username", "alice"), ("password", PASSWORD)]).await;
    assert_eq!(late.status, 401, "the old password");
    let code = person.codes.next().await;
    let csrf = html::field(&halfway.get("/_auth/login").await.text(), "csrf").unwrap();
    let answer = halfway.post("/_auth/otp", &[("csrf", &csrf), ("code", &code)]).await;
    assert!(!halfway.jar.contains_key(SESSION), "begun with the old password: {}", answer.status);
    let mut back = Browser::new(&gateway);
    let form = [("username", "alice"), ("password", NEW_PASSWORD)];
    assert_eq!(back.submit("/_auth/login", &form).await.location(), "/_auth/otp");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_and_the_authenticator_set_a_new_password() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (_, mut person) = visitor::signed_in(&gateway, "bob").await;
    let mut owner = Browser::new(&gateway);
    forgot(&mut owner, "bob", &person.recovery[0]).await;
    let code = owner.submit("/_auth/otp", &[("code", &person.codes.next().await)]).await;
    assert_eq!(code.location(), "/_auth/forgot/password", "{}", code.text());
    assert!(!owner.jar.contains_key(SESSION));

    // Two posts at once of one right: one of them signs in.
    let page = owner.get("/_auth/forgot/password").await;
    let (mut one, mut two) = (owner.clone(), owner.clone());
    let form = [("password", NEW_PASSWORD)];
    let (first, second) = tokio::join!(
        one.submit_from(&page, "/_auth/forgot/password", &form),
        two.submit_from(&page, "/_auth/forgot/password", &form),
    );
    let signed_in = [&one, &two].iter().filter(|browser| browser.jar.contains_key(SESSION)).count();
    assert_eq!(signed_in, 1, "{} {}", first.status, second.status);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_used_and_foreign_codes_and_unknown_names_look_alike() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut carol, person) = visitor::signed_in(&gateway, "carol").await;
    let (_, other) = visitor::signed_in(&gateway, "dave").await;
    gateway.add_user("never");
    gateway.add_user("erin");
    assert!(gateway.command(&["user", "disable", "erin"], "").status.success());
    let mut used = Browser::new(&gateway);
    assert_eq!(forgot(&mut used, "carol", &person.recovery[0]).await.status, 303);
    let mut pages = Vec::new();
    for (name, code) in [
        ("carol", &other.recovery[0]),
        ("carol", &person.recovery[0]),
        ("dave", &person.recovery[1]),
        ("nobody", &person.recovery[1]),
        ("never", &person.recovery[1]),
        ("erin", &person.recovery[1]),
    ] {
        let mut browser = Browser::new(&gateway);
        let answer = forgot(&mut browser, name, code).await;
        assert_eq!(answer.status, 401, "{name}");
        assert!(!browser.jar.contains_key(PENDING));
        let csrf = html::field(&answer.text(), "csrf").unwrap();
        assert!(!answer.text().contains(code.as_str()));
        pages.push(answer.text().replace(name, "NAME").replace(&csrf, "CSRF"));
    }
    assert!(pages.iter().all(|page| *page == pages[0]));
    assert_eq!(left(&mut carol).await, "9", "nobody else's try used one up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_typo_costs_no_try_and_wrong_codes_slow_their_network_and_not_the_owner() {
    let app = Recorder::start().await;
    let plan = Plan::new(&app)
        .extra("[throttle]\nper_name = 3\nper_address = 3\nper_login = 2\nfirst_wait = \"30s\"");
    let gateway = Gateway::start(&plan).await;
    let (mut frank, person) = visitor::signed_in(&gateway, "frank").await;
    let (_, other) = visitor::signed_in(&gateway, "grace").await;
    let typo = |code: &str| {
        let last = if code.ends_with('0') { '1' } else { '0' };
        format!("{}{last}", &code[..code.len() - 1])
    };
    let mut browser = Browser::new(&gateway);
    for _ in 0..6 {
        let answer = forgot(&mut browser, "frank", &typo(&person.recovery[0])).await;
        assert_eq!(answer.status, 401);
        assert!(answer.text().contains("typo"), "{}", answer.text());
    }
    let mut second = Browser::new(&gateway);
    visitor::prove_password(&mut second, "frank").await;
    for _ in 0..4 {
        let form = [("code", typo(&person.recovery[0]))];
        let answer = second.submit("/_auth/recovery", &[(form[0].0, &form[0].1)]).await;
        assert_eq!(answer.status, 401, "the login goes on");
    }
    browser.from = "127.0.0.2".parse().unwrap();
    for _ in 0..3 {
        assert_eq!(forgot(&mut browser, "frank", &other.recovery[0]).await.status, 401);
    }
    let slowed = forgot(&mut browser, "frank", &person.recovery[0]).await;
    assert_eq!(slowed.status, 429, "the right one too: {}", slowed.text());
    assert!(slowed.get("retry-after").is_some());
    browser.from = "127.0.0.3".parse().unwrap();
    for _ in 0..3 {
        assert_eq!(forgot(&mut browser, "stranger", &other.recovery[0]).await.status, 401);
    }
    let unknown = forgot(&mut browser, "stranger", &other.recovery[0]).await;
    assert_eq!(unknown.status, 429, "unknown names as well");
    assert_eq!(left(&mut frank).await, "10");
    let done = second.submit("/_auth/recovery", &[("code", &person.recovery[0])]).await;
    assert_eq!(done.status, 303, "{}", done.text());
    let begun = forgot(&mut Browser::new(&gateway), "frank", &person.recovery[1]).await;
    assert_eq!(begun.status, 303, "the owner is not slowed: {}", begun.text());
}

/// Posts `code` fifty times at once, over both nodes, from browsers that stand before `path`.
async fn at_once(cluster: &Cluster, ready: &[Browser], path: &str, form: &[(&str, &str)]) -> usize {
    let mut tasks = tokio::task::JoinSet::new();
    let gate = std::sync::Arc::new(tokio::sync::Barrier::new(50));
    for i in 0..50 {
        let node = if i % 2 == 0 { &cluster.one } else { &cluster.two };
        let mut browser = ready[i % ready.len()].at(node);
        let csrf = html::field(&browser.get(path).await.text(), "csrf").unwrap();
        let (path, gate) = (path.to_owned(), std::sync::Arc::clone(&gate));
        let form: Vec<(String, String)> =
            form.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        tasks.spawn(async move {
            gate.wait().await;
            let mut all: Vec<(&str, &str)> = form.iter().map(|(n, v)| (&**n, &**v)).collect();
            all.push(("csrf", &csrf));
            let answer = browser.post(&path, &all).await;
            let got_in = answer.status == 303
                && (answer.location() == "/_auth/otp" || browser.jar.contains_key(SESSION));
            usize::from(got_in)
        });
    }
    tasks.join_all().await.into_iter().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_posted_fifty_times_at_once_over_two_nodes_works_once() {
    let cluster = Cluster::with(
        "[throttle]\nper_name = 100\nper_address = 1000\nper_login = 100\nsecond_factor = 100",
    )
    .await;
    let (_, person) = visitor::signed_in(&cluster.one, "heidi").await;
    let fresh = [Browser::new(&cluster.one)];
    let form = [("username", "heidi"), ("code", &*person.recovery[0])];
    assert_eq!(at_once(&cluster, &fresh, "/_auth/forgot", &form).await, 1);

    let mut ready = Vec::new();
    for _ in 0..5 {
        let mut browser = Browser::new(&cluster.one);
        visitor::prove_password(&mut browser, "heidi").await;
        ready.push(browser);
    }
    let form = [("code", &*person.recovery[1])];
    assert_eq!(at_once(&cluster, &ready, "/_auth/recovery", &form).await, 1);
    let shown = cluster.one.command(&["user", "show", "heidi", "--json"], "");
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["recovery_codes"]["left"], 8, "and no other was used up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_code_is_told_at_the_next_sign_in_and_few_codes_at_every_one() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (_, mut person) = visitor::signed_in(&gateway, "ivan").await;
    for (used, code) in person.recovery.clone().iter().take(7).enumerate() {
        let mut browser = Browser::new(&gateway);
        visitor::prove_password(&mut browser, "ivan").await;
        let done = browser.submit("/_auth/recovery", &[("code", code)]).await;
        let told = browser.get("/_auth/notice").await.text();
        assert!(done.location().starts_with("/_auth/notice"), "{}", done.location());
        assert!(told.contains("You signed in with a recovery code"), "{told}");
        assert_eq!(
            told.contains("One of your recovery codes was used"),
            used > 0,
            "the one before"
        );
        assert_eq!(told.contains("3 recovery codes left"), used == 6, "{used}: {told}");
    }
    for used in [true, false] {
        let mut browser = Browser::new(&gateway);
        visitor::sign_in(&mut browser, &mut person).await;
        let told = browser.get("/_auth/notice").await.text();
        assert_eq!(told.contains("One of your recovery codes was used"), used, "told once: {told}");
        assert!(told.contains("3 recovery codes left"), "told every time: {told}");
    }
}
