//! One-time links and forgotten passwords.

use http::{Method, StatusCode};
use vestibule::auth::audit::Kind;
use vestibule::auth::ticket::Rights;
use vestibule::web::cookies;

use super::{Codes, PASSWORD, Pages, html, password_form};

const TICKET: &str = "__Host-vestibule-ticket";
const NEW_PASSWORD: &str = "long-enough-otter-5";

#[tokio::test]
async fn the_ticket_moves_from_the_url_to_a_cookie_before_a_page_is_shown() {
    let (pages, link) = Pages::with_link().await;
    let mut browser = pages.browser();
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
    assert!(pages.has_ticket().await, "opening it uses nothing up");
}

#[tokio::test]
async fn the_form_may_also_be_posted_to_the_link() {
    let pages = Pages::enrolled().await;
    let link = pages.link(Rights::ENROL).await;
    let mut browser = pages.browser();
    let csrf = browser.get("/_auth/login").await.csrf();
    let got = browser.post(&link, format!("csrf={csrf}&password=wrong")).await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED);
    assert!(got.body.contains("aria-invalid") && !got.body.contains("value=\"wrong\""));
    let got = browser.post(&link, format!("csrf={csrf}&password={PASSWORD}")).await;
    assert_eq!((got.status, got.location()), (StatusCode::SEE_OTHER, "/_auth/enroll"));
    assert!(browser.jar.contains_key(cookies::PENDING) && !browser.jar.contains_key(TICKET));
    assert!(pages.has_ticket().await, "the enrolment uses it up");
}

#[tokio::test]
async fn scripts_frames_and_prefetch_cannot_open_a_link() {
    let (pages, link) = Pages::with_link().await;
    let mut browser = pages.browser();
    for headers in [
        &[("sec-fetch-mode", "cors"), ("sec-fetch-site", "same-origin")][..],
        &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
        &[("sec-fetch-mode", "navigate"), ("sec-purpose", "prefetch")],
    ] {
        let got = browser.ask(Method::GET, &link, headers).await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{headers:?}");
        assert!(!browser.jar.contains_key(TICKET));
    }
    assert!(pages.has_ticket().await);
}

#[tokio::test]
async fn a_rejected_password_shows_the_reason_and_keeps_the_ticket() {
    let (mut pages, link) = Pages::with_link().await;
    let mut browser = pages.browser();
    browser.get(&link).await;
    let got = browser.fill("/_auth/setup", "password=short").await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
    assert!(got.body.contains("The password is too short: use at least 8 characters."));
    assert!(pages.has_ticket().await && pages.account().await.password.is_none());
    let got = browser.fill("/_auth/setup", &format!("password={NEW_PASSWORD}")).await;
    assert_eq!(got.location(), "/_auth/enroll");
    assert!(pages.account().await.password.is_some());
    let page = browser.get("/_auth/enroll").await;
    pages.phone = Some(Codes::new(&html::by_id(&page.body, "totp-secret").unwrap()));
    let got = browser.fill("/_auth/enroll", &format!("code={}", pages.code())).await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
    assert!(browser.jar.contains_key(cookies::SESSION));
    assert!(pages.totp().await.is_some() && !pages.has_ticket().await);
}

#[tokio::test]
async fn the_cookie_of_an_invalid_ticket_is_cleared() {
    let (pages, link) = Pages::with_link().await;
    let mut browser = pages.browser();
    browser.get(&link).await;
    pages.link(Rights::SET_UP).await;
    let got = browser.get("/_auth/setup").await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED, "another link replaced it");
    assert!(!browser.jar.contains_key(TICKET));
    let mut set = got.headers.get_all("set-cookie").iter().map(|v| v.to_str().unwrap());
    assert!(set.any(|v| v.starts_with(TICKET) && v.contains("Max-Age=0")));
}

#[tokio::test]
async fn a_forgotten_password_ends_at_the_return_address() {
    let mut pages = Pages::enrolled().await;
    let mut browser = pages.browser();
    let before = pages.account().await.password;
    let page = browser.get("/_auth/login?return_to=/app?q=1").await;
    assert!(page.body.contains("href=\"/_auth/forgot?return_to=%2Fapp%3Fq%3D1\""));
    let code = pages.recovery.pop().unwrap();
    let form = format!("username=alice&code={code}&return_to=/app?q=1");
    let got = browser.fill("/_auth/forgot?return_to=/app?q=1", &form).await;
    let otp = "/_auth/otp?return_to=%2Fapp%3Fq%3D1";
    assert_eq!((got.status, got.location()), (StatusCode::SEE_OTHER, otp));
    let early = browser.get("/_auth/forgot/password").await;
    assert_eq!(early.location(), "/_auth/otp", "the second factor comes first");
    let got = browser.fill("/_auth/otp", &format!("code={}", pages.code())).await;
    assert_eq!(got.location(), "/_auth/forgot/password");
    assert!(!browser.jar.contains_key(cookies::SESSION), "no session before the new password");
    assert_eq!(pages.sessions().await, []);
    assert_eq!(browser.get("/_auth/otp").await.location(), "/_auth/forgot/password");
    let got = browser.fill("/_auth/forgot/password", "password=short").await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
    assert!(got.body.contains("autocomplete=\"new-password\"") && got.body.contains("too short"));
    assert_eq!(pages.account().await.password, before);
    let form = format!("password={NEW_PASSWORD}");
    let got = browser.fill("/_auth/forgot/password", &form).await;
    assert_eq!((got.status, got.location()), (StatusCode::SEE_OTHER, "/app?q=1"));
    assert!(browser.jar.contains_key(cookies::SESSION));
    assert!(!browser.jar.contains_key(cookies::PENDING));
    assert_ne!(pages.account().await.password, before);
    assert_eq!(pages.recovery_set().await.unwrap().left, 9);
    let mut other = pages.browser();
    let got = other.fill("/_auth/login", &password_form()).await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED, "the forgotten one");
    let form = format!("username=alice&password={NEW_PASSWORD}");
    assert_eq!(other.fill("/_auth/login", &form).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_typo_in_a_recovery_code_is_reported_without_calling_the_service() {
    let mut pages = Pages::enrolled().await;
    let mut browser = pages.browser();
    let csrf = browser.get("/_auth/forgot").await.csrf();
    pages.services.short.close().await;
    pages.services.durable.close().await;
    for name in ["alice", "nobody"] {
        let form = format!("csrf={csrf}&username={name}&code=0000-0000-0000-00001");
        let got = browser.post("/_auth/forgot", form).await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED);
        assert!(got.body.contains("typo") && !got.body.contains("0000-0000"));
    }
    let form = format!("csrf={csrf}&username=alice&code={}", pages.recovery.pop().unwrap());
    let got = browser.post("/_auth/forgot", form).await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_new_password_needs_both_proofs() {
    let mut pages = Pages::enrolled().await;
    let mut browser = pages.browser();
    let before = pages.account().await.password;
    assert_eq!(browser.get("/_auth/forgot/password").await.location(), "/_auth/login");
    let csrf = browser.get("/_auth/forgot").await.csrf();
    let form = format!("csrf={csrf}&password={NEW_PASSWORD}");
    let got = browser.post("/_auth/forgot/password", form).await;
    assert_eq!(got.location(), "/_auth/login");
    browser.fill("/_auth/login", &password_form()).await;
    assert_eq!(browser.get("/_auth/forgot/password").await.location(), "/_auth/otp");
    let csrf = browser.get("/_auth/otp").await.csrf();
    let form = format!("csrf={csrf}&password={NEW_PASSWORD}");
    let got = browser.post("/_auth/forgot/password", form).await;
    assert_eq!(got.status, StatusCode::SEE_OTHER, "{}", got.body);
    assert_eq!(pages.account().await.password, before, "not with the password alone");
    assert_eq!(pages.rows(Kind::PasswordChanged).await, 0);
    let got = browser.fill("/_auth/otp", &format!("code={}", pages.code())).await;
    assert_eq!(got.location(), "/");
}
