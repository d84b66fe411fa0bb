//! A disk that fills up under the embedded stores, and is freed.

use std::time::Duration;

use serde_json::Value;

use super::support::client::{self, Browser};
use super::support::gateway::{Gateway, PASSWORD, Plan};
use super::support::upstream::Recorder;
use super::support::visitor;
use super::support::within;

const PATIENCE: Duration = Duration::from_mins(2);

async fn readiness(gateway: &Gateway, status: u16) -> Value {
    let asking = async {
        loop {
            let answer = client::admin(gateway, "/readyz?verbose").await;
            if answer.status == status {
                break serde_json::from_str(&answer.text()).unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    within(PATIENCE, &format!("/readyz to be {status}"), asking).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_of_and_once_it_is_freed_people_sign_in_again() {
    let app = Recorder::start().await;
    let mut plan = Plan::new(&app);
    plan.disk = Some("6m");
    let gateway = Gateway::start(&plan).await;
    let disk = gateway.disk.as_ref().unwrap();
    let (mut browser, mut person) = visitor::signed_in(&gateway, "alice").await;
    assert_eq!(readiness(&gateway, 200).await["ready"], true);

    disk.fill();
    // What was reserved before is used up first.
    let refused = async {
        loop {
            let mut other = Browser::new(&gateway);
            let form = [("username", "alice"), ("password", PASSWORD)];
            // The page itself is refused as soon as the gateway has noticed.
            let page = other.get("/_auth/login").await;
            if page.status == 503 {
                break;
            }
            let answer = other.submit_from(&page, "/_auth/login", &form).await;
            if answer.status == 503 {
                break;
            }
            assert!([303, 401, 429].contains(&answer.status), "{}", answer.text());
        }
    };
    within(PATIENCE, "the disk to be full", refused).await;
    let said = readiness(&gateway, 503).await;
    let reasons: Vec<&str> =
        said["checks"].as_array().unwrap().iter().filter_map(|c| c["reason"].as_str()).collect();
    assert!(!reasons.is_empty(), "{said}");
    for reason in reasons {
        assert!(reason.contains("its disk is full"), "{said}");
    }
    gateway.log.wait_for_words("its disk is full").await;

    disk.free();
    assert_eq!(readiness(&gateway, 200).await["ready"], true);
    browser.submit("/_auth/logout", &[]).await;
    let answer = visitor::sign_in(&mut browser, &mut person).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert!(browser.jar.contains_key(visitor::SESSION));
    gateway.signal("TERM");
    assert!(gateway.ended().await.success(), "{}", gateway.log.so_far());
    let log = gateway.log.whole();
    assert!(!log.contains("transaction"), "nothing of what went on inside: {log}");
}
