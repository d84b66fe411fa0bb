//! The portal in a real browser: one sign-in, three apps on two domains, and the part of an address
//! behind "#".

use std::time::Duration;

use tokio::time::Instant;

use super::tour::{PLOTS, PORTAL, STOCK, WIKI, with_portal};
use crate::browser::{Look, PATIENCE, Screen, fresh_code};
use crate::support::gateway::{Gateway, Plan};
use crate::support::upstream::Recorder;
use crate::support::{html, within};

async fn wait_for_address(screen: &Screen, wanted: &str) {
    let there = async {
        loop {
            let url = screen.client.current_url().await.unwrap();
            if url.as_str() == wanted {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    within(PATIENCE, wanted, there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sign_in_opens_three_apps_and_one_sign_out_ends_them_in_a_real_browser() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&with_portal(Plan::new(&app), &app)).await;
    gateway.add_user("alice");
    let screen = Screen::open(Look::plain(true)).await;
    let client = &screen.client;
    let at = |host: &str, target: &str| format!("https://{host}:{}{target}", gateway.https.port());

    client.goto(&at(WIKI, "/deep/page?x=1#part-2")).await.unwrap();
    screen.wait_for_path("/_auth/login").await;
    assert_eq!(client.current_url().await.unwrap().host_str(), Some(PORTAL));
    screen.prove_password("alice").await;
    screen.wait_for_path("/_auth/enroll").await;
    let secret = html::by_id(&screen.source().await, "totp-secret").unwrap();
    let (code, _step) = fresh_code(&secret, 0).await;
    screen.type_and_send(&[("code", &code)]).await;
    screen.wait_for_path("/_auth/recovery-codes").await;
    let codes = html::recovery_codes(&screen.source().await);
    screen.type_in("confirm", &codes[0]).await;
    screen.press().await;
    wait_for_address(&screen, &at(WIKI, "/deep/page?x=1#part-2")).await;

    for (host, target) in [(PLOTS, "/a#b"), (STOCK, "/c?d=e#f")] {
        client.goto(&at(host, target)).await.unwrap();
        wait_for_address(&screen, &at(host, target)).await;
    }
    // The launch page leads to the apps.
    client.goto(&at(PORTAL, "/")).await.unwrap();
    let tile = format!("a[href=\"{}\"]", at(PLOTS, "/"));
    screen.wait_for(&tile).await.click().await.unwrap();
    wait_for_address(&screen, &at(PLOTS, "/")).await;

    client.goto(&at(STOCK, "/_auth/logout")).await.unwrap();
    screen.wait_for("button.primary").await.click().await.unwrap();
    screen.wait_for("a.primary[href=\"/_auth/login\"]").await;
    let since = Instant::now();
    for host in [PLOTS, WIKI] {
        loop {
            let asked = since.elapsed();
            client.goto(&at(host, "/again")).await.unwrap();
            let url = client.current_url().await.unwrap();
            if url.host_str() == Some(PORTAL) && url.path() == "/_auth/login" {
                break;
            }
            assert!(asked < Duration::from_secs(15), "{url}");
        }
    }
}
