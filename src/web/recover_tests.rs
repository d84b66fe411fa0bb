//! The pages of one-time links as a browser meets them.

use http::{Method, StatusCode};

use super::testing::{Browser, RIGHT_CODE, Script};
use super::{cookies, ticket_cookie};
use crate::auth::keys::KeyRing;
use crate::auth::keys::testing::material;
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
async fn the_ticket_leaves_the_address_before_anything_is_shown() {
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
async fn a_form_may_also_be_sent_to_the_link_itself() {
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
async fn a_link_is_not_opened_by_scripts_frames_or_ahead_of_time() {
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
async fn a_password_that_does_not_do_is_told_why_and_the_ticket_stays() {
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
async fn a_worthless_ticket_is_forgotten() {
    let (mut browser, link) = with_ticket(false);
    browser.get(&link).await;
    browser.fake.script.lock().ticket = None;
    let got = browser.get("/_auth/setup").await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED);
    assert!(!browser.jar.contains_key(TICKET));
    assert!(ticket_cookie::clear().unwrap().to_str().unwrap().contains("Max-Age=0"));
}
