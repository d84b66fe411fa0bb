//! Refused answers: throttling, audit events and mail.

use serde_json::Value;

use super::{Door, Signed, Stage};
use crate::keys::{by_passkey, enrolled, prove};
use crate::support::client::{Browser, PATIENCE, admin};
use crate::support::gateway::{Gateway, Plan};
use crate::support::mail::MailServer;
use crate::support::upstream::Recorder;
use crate::support::visitor::{self, SESSION};
use crate::support::within;

fn events(gateway: &Gateway, name: &str) -> Vec<Value> {
    let listed = gateway.command(&["audit", "list", "--json"], "");
    let events: Vec<Value> = serde_json::from_slice(&listed.stdout)
        .or_else(|_| {
            let text = String::from_utf8_lossy(&listed.stdout);
            text.lines().map(serde_json::from_str).collect()
        })
        .unwrap();
    events.into_iter().filter(|event| event.to_string().contains(name)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_that_goes_back_is_refused_recorded_and_mailed() {
    let mail = MailServer::start(0).await;
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app).extra(&mail.config("mail-password"))).await;
    let (_owner, mut key, _) = enrolled(&gateway, "alice").await;
    assert_eq!(mail.wait_for("Passkey or security key added").await.to, "alice@example.com");
    key.counter = 100;
    assert_eq!(by_passkey(&mut Browser::new(&gateway), &mut key).await.status, 303);
    let listed = gateway.command(&["user", "keys", "alice", "--json"], "").stdout;

    // By the passkey alone, after the password, and within a session.
    let mut halfway = Browser::new(&gateway);
    visitor::prove_password(&mut halfway, "alice").await;
    for (counter, page) in [(100, "/_auth/key"), (99, "/_auth/key"), (0, "/_auth/key")] {
        key.counter = counter;
        assert_eq!(prove(&mut halfway, &mut key, page).await.status, 401, "{counter}");
    }
    key.counter = 1;
    let mut thief = Browser::new(&gateway);
    assert_eq!(by_passkey(&mut thief, &mut key).await.status, 401);
    assert!(!halfway.jar.contains_key(SESSION) && !thief.jar.contains_key(SESSION));
    assert_eq!(gateway.command(&["user", "keys", "alice", "--json"], "").stdout, listed);
    assert_eq!(events(&gateway, "key_counter_regressed").len(), 4);
    let told = mail.wait_for("A security key may have been copied").await;
    assert_eq!(told.to, "alice@example.com");
    let metrics = admin(&gateway, "/metrics").await.text();
    let counted = "vestibule_keys_refused_total{reason=\"counter_regressed\"} 4";
    assert!(metrics.contains(counted), "{metrics}");
    key.counter = 101;
    let done = prove(&mut halfway, &mut key, "/_auth/key").await;
    assert_eq!(done.status, 303, "the next honest answer: {}", done.text());
}

/// Refused keys count in their login. They suspend neither the authenticator app nor the recovery codes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_keys_end_their_login_and_suspend_nothing() {
    let app = Recorder::start().await;
    let throttle = "[throttle]\nper_login = 3\nsecond_factor = 2\nsecond_factor_most = 4\n";
    let gateway = Gateway::start(&Plan::new(&app).extra(throttle)).await;
    let (mut owner, mut person) = visitor::signed_in(&gateway, "alice").await;
    let mut key = crate::support::authenticator::Authenticator::default();
    let added =
        crate::keys::register(&mut owner, &mut key, "/_auth/account/keys/new", "Blue").await;
    assert_eq!(added.status, 303, "{}", added.text());
    let forged = |parts: &mut super::Parts| parts.flags = 0;
    for _login in 0..4 {
        let mut browser = Browser::new(&gateway);
        visitor::prove_password(&mut browser, "alice").await;
        for attempt in 1..=3 {
            let page = browser.get("/_auth/key").await;
            assert_eq!(page.status, 200, "{attempt}: {}", page.location());
            let asked = crate::keys::options(&page.text());
            let answer = key.get_with(&asked, &crate::keys::origin(&browser), forged).to_string();
            let form = [("credential", answer.as_str())];
            let refused = browser.submit_from(&page, "/_auth/key", &form).await;
            // The last one has no page to go back to.
            assert!(refused.status == 401 || (attempt, refused.status) == (3, 303));
            assert!(!browser.jar.contains_key(SESSION));
        }
        let over = browser.get("/_auth/key").await;
        assert_eq!(over.status, 303, "the login is over: {}", over.text());
        assert!(over.location().starts_with("/_auth/login"), "{}", over.location());
    }
    let mut browser = Browser::new(&gateway);
    visitor::prove_password(&mut browser, "alice").await;
    let code = person.codes.next().await;
    let done = browser.submit("/_auth/otp", &[("code", &code)]).await;
    assert_eq!(done.status, 303, "the authenticator app works: {}", done.text());
    let mut browser = Browser::new(&gateway);
    visitor::prove_password(&mut browser, "alice").await;
    let done = browser.submit("/_auth/recovery", &[("code", &person.recovery[1])]).await;
    assert_eq!(done.status, 303, "recovery codes work: {}", done.text());
    let mut browser = Browser::new(&gateway);
    assert_eq!(by_passkey(&mut browser, &mut key).await.status, 303, "the key works");
}

/// A stranger who posts rubbish waits, and only they.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_passkeys_slow_the_network_that_sends_them() {
    let app = Recorder::start().await;
    let throttle = "[throttle]\nper_address = 4\nfirst_wait = \"10m\"\nlongest_wait = \"10m\"\n";
    let gateway = Gateway::start(&Plan::new(&app).extra(throttle)).await;
    let (_owner, mut key, _) = enrolled(&gateway, "alice").await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let mut stranger = Browser::new(&gateway);
        stranger.from = [127, 0, 0, 9].into();
        let page = stranger.get("/_auth/login").await;
        let form = [("credential", "{}")];
        let answer = stranger.submit_from(&page, "/_auth/passkey", &form).await;
        statuses.push((answer.status, answer.get("retry-after").is_some()));
    }
    let waits = statuses.iter().filter(|status| **status == (429, true)).count();
    assert!(
        waits >= 1 && statuses[..4].iter().all(|status| *status == (401, false)),
        "{statuses:?}"
    );
    let mut elsewhere = Browser::new(&gateway);
    assert_eq!(by_passkey(&mut elsewhere, &mut key).await.status, 303);
    // The wait holds back guesses. A right answer is none.
    let mut near = Browser::new(&gateway);
    near.from = [127, 0, 0, 9].into();
    assert_eq!(by_passkey(&mut near, &mut key).await.status, 303);
}

/// An account that is disabled between the page and the answer, and one that never was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_a_disabled_account_is_an_unknown_key() {
    let mut stage = Stage::start("").await;
    let mut browsers = Vec::new();
    for door in [Door::Passkey, Door::SecondFactor, Door::StepUp] {
        let mut browser = stage.browser(door);
        let open = Stage::open(door, &mut browser).await;
        let answer = stage.answer(door, &open, &Signed(|_, _| ())).to_string();
        browsers.push((door, browser, open, answer));
    }
    let disabled = stage.gateway.command(&["user", "disable", "alice"], "");
    assert!(disabled.status.success(), "{disabled:?}");
    let mut said = Vec::new();
    for (door, mut browser, open, answer) in browsers {
        let held = browser.jar.get(SESSION).cloned();
        let form = [("credential", answer.as_str())];
        let sent = browser.submit_from(&open.page, door.addresses().1, &form).await;
        assert!(matches!(sent.status, 401 | 303), "{door:?}: {} {}", sent.status, sent.text());
        assert!(!sent.location().starts_with("/app"), "{door:?}: {}", sent.location());
        assert!(browser.jar.get(SESSION).is_none_or(|now| Some(now) == held.as_ref()), "{door:?}");
        // A session that was just seen passes for up to a second.
        let over = async { while browser.fetch("/app").await.status != 401 {} };
        within(PATIENCE, "the session to end", over).await;
        if door == Door::Passkey {
            said.push((sent.status, super::complaint(&sent.text())));
        }
    }
    // The same answer as for a key that nobody registered.
    let unknown = Signed(|parts, _| parts.id = vec![9; 32]);
    let (reason, page) = {
        stage.refused = 1;
        stage.refused(Door::Passkey, &unknown).await
    };
    assert_eq!(reason, "credential_unknown");
    assert_eq!(said, [(401, page)]);
}
