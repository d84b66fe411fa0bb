//! Challenges that are answered twice, late, elsewhere, by others and for something else.

use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use super::corpus::{put, twin};
use super::{Door, Open, Signed, Stage};
use crate::keys::{enrolled, options, origin};
use crate::support::authenticator::Authenticator;
use crate::support::client::Browser;
use crate::support::cluster::Cluster;
use crate::support::gateway::{Gateway, Plan};
use crate::support::upstream::Recorder;
use crate::support::visitor::{self, SESSION};

/// The cookie that a browser is known by.
const CSRF: &str = "__Host-vestibule-csrf";

/// The page that the browser of `here` shows, with the challenge of a page of another.
fn with_challenge_of(other: &Open, here: Open) -> Open {
    let mut open = here;
    let challenge = other.options["publicKey"]["challenge"].clone();
    open.options["publicKey"]["challenge"] = challenge;
    open
}

/// For each pair of pages, the challenge of one is rejected on the other. That attempt uses it up if both
/// pages store their challenges. The sign-in page stores none, looks none up, and leaves no record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenge_of_one_page_is_worth_nothing_on_another() {
    let mut stage = Stage::start("").await;
    let (held, used) = (stage.held().await, stage.rows().await[1]);
    for of in [Door::SecondFactor, Door::Passkey, Door::StepUp, Door::Add] {
        for on in Door::PROOFS {
            if of == on {
                continue;
            }
            let other = Stage::open(of, &mut stage.browser(of)).await;
            let mut browser = stage.browser(on);
            let open = Stage::open(on, &mut browser).await;
            let open = with_challenge_of(&other, open);
            let answer = stage.answer(on, &open, &Signed(|_, _| ())).to_string();
            let (reason, _) = stage.refused_text(on, &mut browser, &open, &answer).await;
            assert_eq!(reason, "challenge_of_other_purpose", "of {of:?} on {on:?}");
            let again = Stage::open(on, &mut browser).await;
            let again = with_challenge_of(&other, again);
            let answer = stage.answer(on, &again, &Signed(|_, _| ())).to_string();
            let (reason, _) = stage.refused_text(on, &mut browser, &again, &answer).await;
            let stored = ![of, on].contains(&Door::Passkey);
            let expected =
                if stored { "challenge_unknown_or_used" } else { "challenge_of_other_purpose" };
            assert_eq!(reason, expected, "of {of:?} on {on:?}, again");
        }
    }
    assert_eq!(stage.rows().await[1], used, "a record of a use that was none");
    stage.end(held).await;
}

/// Whoever makes up challenges asks nothing of the session store, and soon has to wait. A passkey has not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_challenge_is_left_alone_by_the_sign_in_page_and_counts_for_the_network() {
    let app = Recorder::start().await;
    let waits = "[throttle]\nper_address = 3\nfirst_wait = \"10m\"\nlongest_wait = \"10m\"\n";
    let gateway = Gateway::start(&Plan::new(&app).extra(waits)).await;
    let (_owner, mut key, _) = enrolled(&gateway, "alice").await;
    let mut browser = Browser::new(&gateway);
    visitor::prove_password(&mut browser, "alice").await;
    let page = browser.get("/_auth/key").await;
    let answer = key.get(&options(&page.text()), &origin(&browser)).to_string();
    let form = [("credential", answer.as_str())];
    let mut thief = Browser::new(&gateway);
    for status in [401, 401, 401, 429] {
        let login = thief.get("/_auth/login").await;
        let refused = thief.submit_from(&login, "/_auth/passkey", &form).await;
        assert_eq!(refused.status, status, "{}", refused.text());
        assert!(!thief.jar.contains_key(SESSION));
    }
    let found = gateway.log.wait_for("a refused key", super::reason).await;
    assert_eq!(found, "challenge_of_other_purpose");
    let done = browser.submit_from(&page, "/_auth/key", &form).await;
    assert_eq!(done.status, 303, "the challenge was not used up: {}", done.text());
    let done = crate::keys::by_passkey(&mut thief, &mut key).await;
    assert_eq!(done.status, 303, "a right passkey does not wait: {}", done.text());
}

/// The same page in another browser: of a stranger, of another login, of another session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenge_of_another_browser_is_worth_nothing() {
    let mut stage = Stage::start("").await;
    let mut others = stage.gateway_browsers().await;
    let held = stage.held().await;
    for (door, theirs) in Door::PROOFS.into_iter().zip(&mut others) {
        let other = Stage::open(door, theirs).await;
        let mut browser = stage.browser(door);
        let open = with_challenge_of(&other, Stage::open(door, &mut browser).await);
        let answer = stage.answer(door, &open, &Signed(|_, _| ())).to_string();
        let (reason, _) = stage.refused_text(door, &mut browser, &open, &answer).await;
        assert_eq!(reason, "challenge_of_other_browser", "{door:?}");
    }
    stage.end(held).await;
}

/// An attacker with the password opens the page repeatedly. The owner's page stays valid.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_of_one_login_do_not_use_up_the_challenge_of_another() {
    let mut stage = Stage::start("").await;
    let mut owner = stage.halfway.clone();
    let open = Stage::open(Door::SecondFactor, &mut owner).await;
    let mut thief = Browser::new(&stage.gateway);
    visitor::prove_password(&mut thief, "alice").await;
    let oldest = Stage::open(Door::SecondFactor, &mut thief).await;
    for _ in 0..20 {
        Stage::open(Door::SecondFactor, &mut thief).await;
    }
    let answer = stage.answer(Door::SecondFactor, &open, &Signed(|_, _| ())).to_string();
    let form = [("credential", answer.as_str())];
    let done = owner.submit_from(&open.page, "/_auth/key", &form).await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert!(owner.jar.contains_key(SESSION));
    // Of one login only the newest are kept.
    let answer = stage.answer(Door::SecondFactor, &oldest, &Signed(|_, _| ())).to_string();
    let (reason, _) = stage.refused_text(Door::SecondFactor, &mut thief, &oldest, &answer).await;
    assert_eq!(reason, "challenge_unknown_or_used");
}

/// A client chooses the cookie that its browser is known by, or sends none. What it asks for then is
/// bound to a browser of its own, and takes the place of what it asked for before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_or_session_holds_eight_challenges_in_whatever_browser() {
    let mut stage = Stage::start("").await;
    stage.gateway.add_user("bob");
    let mut bob = Browser::new(&stage.gateway);
    visitor::prove_password(&mut bob, "bob").await;
    for door in [Door::SecondFactor, Door::StepUp, Door::Add, Door::Enrol] {
        let mut browser = if door == Door::Enrol { bob.clone() } else { stage.browser(door) };
        let before = stage.rows().await[0];
        for _ in 0..20 {
            browser.jar.remove(CSRF);
            Stage::open(door, &mut browser).await;
        }
        assert_eq!(stage.rows().await[0], before + 8, "{door:?}");
    }
    // The challenges of one login are still bound to the browser.
    let door = Door::SecondFactor;
    let other = Stage::open(door, &mut stage.browser(door)).await;
    let mut browser = stage.browser(door);
    browser.jar.remove(CSRF);
    let open = with_challenge_of(&other, Stage::open(door, &mut browser).await);
    let answer = stage.answer(door, &open, &Signed(|_, _| ())).to_string();
    let (reason, _) = stage.refused_text(door, &mut browser, &open, &answer).await;
    assert_eq!(reason, "challenge_of_other_browser");
}

impl Stage {
    /// Another browser of the same person for each page that takes a proof.
    async fn gateway_browsers(&mut self) -> [Browser; 3] {
        let mut halfway = Browser::new(&self.gateway);
        visitor::prove_password(&mut halfway, "alice").await;
        let mut session = Browser::new(&self.gateway);
        let done = crate::keys::by_passkey(&mut session, &mut self.key).await;
        assert_eq!(done.status, 303, "{}", done.text());
        [halfway, Browser::new(&self.gateway), session]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn challenges_and_credentials_of_other_accounts_are_refused() {
    let mut stage = Stage::start("").await;
    let (bobs_session, mut bobs_key, _) = enrolled(&stage.gateway, "bob").await;
    let mut bobs_login = Browser::new(&stage.gateway);
    visitor::prove_password(&mut bobs_login, "bob").await;
    let held = stage.held().await;
    for (door, theirs) in [(Door::SecondFactor, &bobs_login), (Door::StepUp, &bobs_session)] {
        // Bob's page, and a challenge that alice was shown.
        let alices = Stage::open(door, &mut stage.browser(door)).await;
        let mut browser = theirs.clone();
        let open = Stage::open(door, &mut browser).await;
        let open = with_challenge_of(&alices, open);
        let answer = bobs_key.get(&open.options, &open.origin).to_string();
        let (reason, _) = stage.refused_text(door, &mut browser, &open, &answer).await;
        assert_eq!(reason, "challenge_of_other_account", "{door:?}");
        // Bob's page and challenge, and alice's key.
        let mut open = Stage::open(door, &mut browser).await;
        open.options["publicKey"]["allowCredentials"] = serde_json::json!([]);
        let answer = stage.key.get(&open.options, &open.origin).to_string();
        let (reason, _) = stage.refused_text(door, &mut browser, &open, &answer).await;
        assert_eq!(reason, "credential_of_other_account", "{door:?}");
    }
    // Bob's key, which says that it is alice's.
    let alice = stage.key.held[0].user_handle.clone();
    let mut browser = Browser::new(&stage.gateway);
    let open = Stage::open(Door::Passkey, &mut browser).await;
    let claim = |parts: &mut super::Parts| parts.user_handle = Some(alice);
    let answer = bobs_key.get_with(&open.options, &open.origin, claim).to_string();
    let (reason, _) = stage.refused_text(Door::Passkey, &mut browser, &open, &answer).await;
    assert_eq!(reason, "user_handle");
    stage.end(held).await;
}

/// Another signature of the same message verifies as well, so only the challenge tells it from the
/// first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_twin_of_a_signature_is_a_copy_of_it() {
    let mut stage = Stage::start("").await;
    // Without a counter nothing else stands in the way.
    let mut key = Authenticator { counter: 0, ..Authenticator::default() };
    let mut owner = stage.owner.clone();
    let added =
        crate::keys::register(&mut owner, &mut key, "/_auth/account/keys/new", "No counter").await;
    assert_eq!(added.status, 303, "{}", added.text());
    let mut browser = Browser::new(&stage.gateway);
    let open = Stage::open(Door::Passkey, &mut browser).await;
    let answer = key.get(&open.options, &open.origin);
    let mut other = answer.clone();
    put(&mut other, "signature", &twin(&super::corpus::part(&answer, "signature")));
    assert_ne!(answer, other);

    // The twin is one, and is taken where it comes first.
    let mut first = browser.clone();
    let text = other.to_string();
    let form = [("credential", text.as_str())];
    let done = first.submit_from(&open.page, "/_auth/passkey", &form).await;
    assert_eq!(done.status, 303, "{}", done.text());
    let held = stage.held().await;
    let answer = answer.to_string();
    let (reason, _) = stage.refused_text(Door::Passkey, &mut browser, &open, &answer).await;
    assert_eq!(reason, "challenge_unknown_or_used");
    stage.end(held).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenge_of_another_host_is_refused_under_one_rp_id() {
    let app = Recorder::start().await;
    let mut plan = Plan::new(&app).extra("[second_factor.webauthn]\nrp_id = \"lab.test\"");
    plan.apps.clear();
    plan.names = vec!["one.lab.test", "two.lab.test"];
    let plan = plan.app("one", "one.lab.test", &app.url(), "");
    let gateway = Gateway::start(&plan.app("two", "two.lab.test", &app.url(), "")).await;
    gateway.add_user("alice");
    let mut one = at(&gateway, "one.lab.test");
    visitor::prove_password(&mut one, "alice").await;
    let mut key = Authenticator::default();
    let done = crate::keys::register(&mut one, &mut key, "/_auth/enroll/key", "x").await;
    assert_eq!(done.status, 303, "{}", done.text());

    let (mut one, mut two) = (at(&gateway, "one.lab.test"), at(&gateway, "two.lab.test"));
    let first = one.get("/_auth/login").await;
    let second = two.get("/_auth/login").await;
    let mut asked = options(&second.text());
    asked["publicKey"]["challenge"] = options(&first.text())["publicKey"]["challenge"].clone();
    let answer = key.get(&asked, &origin(&two)).to_string();
    let form = [("credential", answer.as_str())];
    let refused = two.submit_from(&second, "/_auth/passkey", &form).await;
    assert_eq!(refused.status, 401, "{}", refused.text());
    assert!(!two.jar.contains_key(SESSION));
    let found = gateway.log.wait_for("a refused key", super::reason).await;
    assert_eq!(found, "challenge_of_other_host");
}

fn at(gateway: &Gateway, host: &str) -> Browser {
    let mut browser = Browser::new(gateway);
    host.clone_into(&mut browser.host);
    browser
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenge_is_good_for_five_minutes() {
    let cluster = Cluster::start().await;
    let (_browser, mut key, _) = enrolled(&cluster.one, "alice").await;
    for (minutes, status) in [(4, 303), (5, 401)] {
        let mut browser = Browser::new(&cluster.one);
        visitor::prove_password(&mut browser, "alice").await;
        let page = browser.get("/_auth/key").await;
        let answer = key.get(&options(&page.text()), &origin(&browser)).to_string();
        cluster.redis.pass(Duration::from_mins(minutes)).await;
        let form = [("credential", answer.as_str())];
        let sent = browser.submit_from(&page, "/_auth/key", &form).await;
        assert_eq!(sent.status, status, "after {minutes} minutes: {}", sent.text());
        assert_eq!(browser.jar.contains_key(SESSION), status == 303);
    }
    let found = cluster.one.log.wait_for("a refused key", super::reason).await;
    assert_eq!(found, "challenge_unknown_or_used");
}

/// Whoever opens the sign-in page, or sends what no key signed, leaves nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sign_in_page_stores_nothing_until_a_key_has_signed() {
    let mut stage = Stage::start("").await;
    let (before, mut last) = (stage.rows().await, None);
    for number in 0..20 {
        let mut browser = Browser::new(&stage.gateway);
        let open = Stage::open(Door::Passkey, &mut browser).await;
        if number % 5 == 0 {
            let mut answer = stage.answer(Door::Passkey, &open, &Signed(|_, _| ()));
            put(&mut answer, "signature", &[0x30, 6, 2, 1, 1, 2, 1, 1]);
            let answer = answer.to_string();
            let (reason, _) = stage.refused_text(Door::Passkey, &mut browser, &open, &answer).await;
            assert_eq!(reason, "signature");
        }
        last = Some((browser, open));
    }
    assert_eq!(stage.rows().await, before);
    let (mut browser, open) = last.unwrap();
    let answer = stage.answer(Door::Passkey, &open, &Signed(|_, _| ())).to_string();
    let form = [("credential", answer.as_str())];
    let done = browser.submit_from(&open.page, "/_auth/passkey", &form).await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert_eq!(stage.rows().await, [before[0], before[1] + 1], "one record of one use");
}

impl Stage {
    /// The number of stored challenges, and of records of used ones.
    async fn rows(&self) -> [i64; 2] {
        let mut counts = [0; 2];
        let tables = [("sessions.db", "challenges"), ("accounts.db", "used_challenges")];
        for (count, (file, table)) in counts.iter_mut().zip(tables) {
            let file = self.gateway.dir().join("data").join(file);
            let options = SqliteConnectOptions::new().filename(file).read_only(true);
            let mut database = SqliteConnection::connect_with(&options).await.unwrap();
            let rows = AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
            *count = sqlx::query_scalar(rows).fetch_one(&mut database).await.unwrap();
        }
        counts
    }
}
