//! Tests of one-time links and forgotten passwords through a browser.

use http::{Method, StatusCode};

use super::testing::{Browser, RIGHT_CODE, Script};
use super::{cookies, ticket_cookie};
use crate::auth::keys::KeyRing;
use crate::auth::keys::testing::material;
use crate::auth::recovery::RecoveryCode;
use crate::auth::token::{PlainToken, TicketToken};
use crate::base::random::OsRandom;

const TICKET: &str = "__Host-vestibule-ticket";

fn ticket() -> String {
    let keys = KeyRing::new(&material()).unwrap();
    PlainToken::<TicketToken>::generate(&keys, &OsRandom::new()).unwrap().reveal().to_owned()
}

fn with_ticket(enrolled: bool) -> (Browser, String) {
    let ticket = ticket();
    let script = Script { enrolled, ticket: Some(ticket.clone()), ..Script::default() };
    (Browser::new(script), format!("/_auth/setup?ticket={ticket}"))
}

#[tokio::test]
async fn the_ticket_moves_from_the_url_to_a_cookie_before_a_page_is_shown() {
    let (mut browser, link) = with_ticket(false);
    let got = browser.get(&link).await;
    assert_eq!((got.status, got.location()), (StatusCode::SEE_OTHER, "/_auth/setup"));
    assert_eq!(got.headers["referrer-policy"], "no-referrer");
    assert_eq!(got.headers["cache-control"], "no-store");
    assert!(browser.jar.contains_key(TICKET));
    let page = browser.get("/_auth/setup").await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.headers["referrer-policy"], "same-origin");
    assert!(page.body.contains("autocomplete=\"new-password\"") && page.body.contains("alice"));
    assert!(!page.body.contains(link.split('=').nth(1).unwrap()));
    assert!(page.headers.get("set-cookie").is_some(), "the token of the form");
}

#[tokio::test]
async fn the_form_may_also_be_posted_to_the_link() {
    let (mut browser, link) = with_ticket(true);
    let csrf = browser.get("/_auth/login").await.csrf();
    let got = browser.post(&link, format!("csrf={csrf}&password=wrong")).await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED);
    assert!(got.body.contains("aria-invalid") && !got.body.contains("value=\"wrong\""));
    let got = browser.post(&link, format!("csrf={csrf}&password=right")).await;
    assert_eq!((got.status, got.location()), (StatusCode::SEE_OTHER, "/_auth/enroll"));
    assert!(browser.jar.contains_key(cookies::PENDING) && !browser.jar.contains_key(TICKET));
}

#[tokio::test]
async fn scripts_frames_and_prefetch_cannot_open_a_link() {
    let (mut browser, link) = with_ticket(false);
    for headers in [
        &[("sec-fetch-mode", "cors"), ("sec-fetch-site", "same-origin")][..],
        &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
        &[("sec-fetch-mode", "navigate"), ("sec-purpose", "prefetch")],
    ] {
        let got = browser.ask(Method::GET, &link, headers).await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{headers:?}");
        assert!(!browser.jar.contains_key(TICKET));
    }
}

#[tokio::test]
async fn a_rejected_password_shows_the_reason_and_keeps_the_ticket() {
    let (mut browser, link) = with_ticket(false);
    browser.get(&link).await;
    let got = browser.fill("/_auth/setup", "password=short").await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
    assert!(got.body.contains("The password is too short: use at least 8 characters."));
    let got = browser.fill("/_auth/setup", "password=long-enough").await;
    assert_eq!(got.location(), "/_auth/enroll");
    let got = browser.fill("/_auth/enroll", &format!("code={RIGHT_CODE}")).await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
    assert!(browser.jar.contains_key(cookies::SESSION));
}

#[tokio::test]
async fn the_cookie_of_an_invalid_ticket_is_cleared() {
    let (mut browser, link) = with_ticket(false);
    browser.get(&link).await;
    browser.fake.script.lock().ticket = None;
    let got = browser.get("/_auth/setup").await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED);
    assert!(!browser.jar.contains_key(TICKET));
    assert!(ticket_cookie::clear().unwrap().to_str().unwrap().contains("Max-Age=0"));
}

fn code() -> String {
    RecoveryCode::generate(&OsRandom::new()).unwrap().to_display().to_string()
}

fn forgetful() -> Browser {
    Browser::new(Script { enrolled: true, tries_left: 4, ..Script::default() })
}

#[tokio::test]
async fn a_forgotten_password_ends_at_the_return_address() {
    let mut browser = forgetful();
    let page = browser.get("/_auth/login?return_to=/app?q=1").await;
    assert!(page.body.contains("href=\"/_auth/forgot?return_to=%2Fapp%3Fq%3D1\""));
    let form = format!("username=alice&code={}&return_to=/app?q=1", code());
    let got = browser.fill("/_auth/forgot?return_to=/app?q=1", &form).await;
    let otp = "/_auth/otp?return_to=%2Fapp%3Fq%3D1";
    assert_eq!((got.status, got.location()), (StatusCode::SEE_OTHER, otp));
    let early = browser.get("/_auth/forgot/password").await;
    assert_eq!(early.location(), "/_auth/otp", "the second factor comes first");
    let got = browser.fill("/_auth/otp", &format!("code={RIGHT_CODE}")).await;
    assert_eq!(got.location(), "/_auth/forgot/password");
    assert!(!browser.jar.contains_key(cookies::SESSION), "no session before the new password");
    assert_eq!(browser.get("/_auth/otp").await.location(), "/_auth/forgot/password");
    let got = browser.fill("/_auth/forgot/password", "password=short").await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
    assert!(got.body.contains("autocomplete=\"new-password\"") && got.body.contains("too short"));
    let got = browser.fill("/_auth/forgot/password", "password=long-enough").await;
    assert_eq!((got.status, got.location()), (StatusCode::SEE_OTHER, "/app?q=1"));
    assert!(browser.jar.contains_key(cookies::SESSION));
    assert!(!browser.jar.contains_key(cookies::PENDING));
}

#[tokio::test]
async fn a_typo_in_a_recovery_code_is_reported_without_calling_the_service() {
    let mut browser = forgetful();
    let csrf = browser.get("/_auth/forgot").await.csrf();
    browser.fake.script.lock().down = true;
    for name in ["alice", "nobody"] {
        let form = format!("csrf={csrf}&username={name}&code=0000-0000-0000-00001");
        let got = browser.post("/_auth/forgot", form).await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED);
        assert!(got.body.contains("typo") && !got.body.contains("0000-0000"));
    }
    let form = format!("csrf={csrf}&username=alice&code={}", code());
    let got = browser.post("/_auth/forgot", form).await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_new_password_needs_both_proofs() {
    let mut browser = forgetful();
    assert_eq!(browser.get("/_auth/forgot/password").await.location(), "/_auth/login");
    let csrf = browser.get("/_auth/forgot").await.csrf();
    let form = format!("csrf={csrf}&password=long-enough");
    let got = browser.post("/_auth/forgot/password", form).await;
    assert_eq!(got.location(), "/_auth/login");
    browser.fill("/_auth/login", "username=alice&password=right").await;
    assert_eq!(browser.get("/_auth/forgot/password").await.location(), "/_auth/otp");
    let got = browser.fill("/_auth/otp", &format!("code={RIGHT_CODE}")).await;
    assert_eq!(got.location(), "/");
}
