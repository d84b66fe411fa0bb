//! Signing in and out.

use std::time::Duration;

use http::{Method, StatusCode};
use vestibule::auth::audit::Kind;
use vestibule::auth::throttle::{Budgets, Pace};
use vestibule::web::{ROUTES, cookies};

use super::browser::ORIGIN;
use super::{Browser, CHEAP, Codes, IPHONE, Pages, html, password_form};

const NAVIGATE: &[(&str, &str)] =
    &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("sec-fetch-site", "none")];
const TYPO: &str = "There&#39;s a typo in that recovery code.";

async fn with_password(browser: &mut Browser) {
    let got = browser.fill("/_auth/login?return_to=/app", &password_form()).await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_first_sign_in_leads_through_enrolment_and_recovery_codes_to_the_return_address() {
    let mut pages = Pages::new().await;
    let mut browser = pages.browser();
    let got = browser.fill("/_auth/login?return_to=/app?q=1", &password_form()).await;
    assert_eq!(
        (got.status, got.location()),
        (StatusCode::SEE_OTHER, "/_auth/enroll?return_to=%2Fapp%3Fq%3D1")
    );

    let page = browser.get("/_auth/enroll").await;
    let secret = html::by_id(&page.body, "totp-secret").unwrap();
    pages.phone = Some(Codes::new(&secret));
    assert!(page.body.contains("href=\"otpauth://totp/") && page.body.contains("<svg"));
    assert!(page.body.len() < 20_000, "{}", page.body.len());

    let wrong = browser.fill("/_auth/enroll", &format!("code={}", pages.wrong_code())).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.body.contains(&secret) && wrong.body.contains("aria-invalid"));
    assert!(pages.totp().await.is_none() && !pages.account().await.ever_enrolled);

    let got = browser.fill("/_auth/enroll", &format!("code={}", pages.code())).await;
    assert_eq!(got.location(), "/_auth/recovery-codes?return_to=%2Fapp%3Fq%3D1");
    assert!(browser.jar.contains_key(cookies::SESSION));
    assert!(!browser.jar.contains_key(cookies::PENDING));
    assert!(pages.totp().await.is_some() && pages.account().await.ever_enrolled);

    let page = browser.get("/_auth/recovery-codes").await;
    let codes = html::recovery_codes(&page.body);
    assert_eq!(codes.len(), 10);
    assert!(page.body.contains("href=\"data:text/plain;charset=utf-8,Recovery%20codes"));
    let csrf = page.csrf();
    for typed in ["", "yes", "0000-0000-0000-00001"] {
        let form = format!("csrf={csrf}&confirm={typed}");
        let got = browser.post("/_auth/recovery-codes", form).await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED, "{typed}");
        assert!(got.body.contains(TYPO), "{}", got.body);
    }
    assert!(pages.recovery_set().await.unwrap().confirmed_at.is_none());
    let form = format!("csrf={csrf}&confirm={}", codes[0]);
    let got = browser.post("/_auth/recovery-codes", form).await;
    assert_eq!((got.status, got.location()), (StatusCode::SEE_OTHER, "/app?q=1"));

    let csrf = browser.get("/_auth/logout").await.csrf();
    let form = format!("csrf={csrf}&confirm={}", codes[1]);
    let again = browser.post("/_auth/recovery-codes", form).await;
    assert_eq!((again.status, again.location()), (StatusCode::SEE_OTHER, "/_auth/account"));
    let set = pages.recovery_set().await.unwrap();
    assert!(set.confirmed_at.is_some() && set.left == 10);
    assert_eq!(pages.rows(Kind::RecoveryCodesKept).await, 1, "confirmed once");
}

#[tokio::test]
async fn recovery_codes_are_created_for_a_navigation_only() {
    let mut pages = Pages::new().await;
    let mut browser = pages.browser();
    with_password(&mut browser).await;
    let page = browser.get("/_auth/enroll").await;
    pages.phone = Some(Codes::new(&html::by_id(&page.body, "totp-secret").unwrap()));
    browser.fill("/_auth/enroll", &format!("code={}", pages.code())).await;
    let path = "/_auth/recovery-codes";
    for headers in [
        &[("sec-fetch-mode", "cors"), ("sec-fetch-site", "same-origin")][..],
        &[("sec-fetch-mode", "same-origin"), ("sec-fetch-dest", "empty")],
        &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
        &[("sec-fetch-mode", "navigate"), ("sec-purpose", "prefetch")],
    ] {
        let got = browser.ask(Method::GET, path, headers).await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    assert_eq!(browser.ask(Method::HEAD, path, &[]).await.status, StatusCode::OK);
    let led_here = [("sec-fetch-mode", "navigate"), ("sec-fetch-site", "cross-site")];
    let got = browser.ask(Method::GET, path, &led_here).await;
    assert!(got.status == StatusCode::OK && !got.body.contains("<li><code>"));
    assert!(pages.recovery_set().await.is_none());
    assert!(pages.sessions().await[0].offers.recovery_codes.is_none());
    browser.ask(Method::GET, path, NAVIGATE).await;
    assert_eq!(pages.recovery_set().await.unwrap().left, 10);
    assert_eq!(pages.rows(Kind::RecoveryCodesMade).await, 1);
}

#[tokio::test]
async fn a_wrong_password_gets_the_same_message_for_every_user_name() {
    let pages = Pages::enrolled().await;
    let mut browser = pages.browser();
    let mut answers = Vec::new();
    for name in ["alice", "nobody"] {
        let got = browser.fill("/_auth/login", &format!("username={name}&password=no")).await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED);
        assert!(got.body.contains("role=\"alert\"") && got.body.contains("aria-describedby"));
        assert!(!got.body.contains("value=\"no\""));
        // Every page has a challenge of its own.
        answers.push(html::without_challenge(&got.body.replace(name, "NAME")));
    }
    assert_eq!(answers.first(), answers.last());
    assert!(!browser.jar.contains_key(cookies::PENDING));
    assert_eq!(pages.rows(Kind::PasswordWrong).await, 2);
}

#[tokio::test]
async fn too_many_attempts_show_the_time_to_wait() {
    let wait = Duration::from_mins(5);
    let name = Pace { free: 1, first: wait, longest: wait, ..Budgets::default().name };
    let pages = Pages::enrolled_with(CHEAP, Budgets { name, ..Budgets::default() }).await;
    let mut browser = pages.browser();
    let got = browser.fill("/_auth/login", "username=x&password=y").await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED);
    pages.clock.advance(Duration::from_millis(59_500));
    let got = browser.fill("/_auth/login", "username=x&password=y").await;
    assert_eq!(got.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(got.headers["retry-after"], "241");
    assert!(got.body.contains("Wait 5 minutes"));
    assert_eq!(pages.rows(Kind::PasswordWrong).await, 1, "the second was not compared");
}

#[tokio::test]
async fn a_form_without_token_or_from_another_site_is_rejected() {
    let pages = Pages::enrolled().await;
    let mut browser = pages.browser();
    let rows = pages.rows(Kind::PasswordRight).await;
    let csrf = browser.get("/_auth/login").await.csrf();
    for form in ["", "csrf=", "csrf=AAAA"] {
        let got = browser.post("/_auth/login", format!("{form}&{}", password_form())).await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{form}");
    }
    let good = format!("csrf={csrf}&{}", password_form());
    for (name, value) in [("sec-fetch-site", "same-site"), ("origin", "null")] {
        let request = http::Request::post("/_auth/login")
            .header("content-type", "application/x-www-form-urlencoded")
            .header(name, value);
        let got = browser.send(request.body(good.clone().into()).unwrap()).await;
        assert_eq!(got.status, StatusCode::FORBIDDEN);
    }
    let twice = browser.post("/_auth/login", format!("{good}&password=other")).await;
    assert_eq!(twice.status, StatusCode::BAD_REQUEST);
    assert!(!browser.jar.contains_key(cookies::PENDING));
    browser.jar.remove(cookies::CSRF);
    assert_eq!(browser.post("/_auth/login", good).await.status, StatusCode::FORBIDDEN);
    assert_eq!(pages.rows(Kind::PasswordRight).await, rows, "no password was compared");
    assert_eq!(pages.rows(Kind::PasswordWrong).await, 0);
}

#[tokio::test]
async fn a_wrong_code_shows_a_message_and_the_last_attempts() {
    let mut pages = Pages::enrolled().await;
    let mut browser = pages.browser();
    with_password(&mut browser).await;
    let wrong = pages.wrong_code();
    for code in [&*wrong, "12345", "abc", ""] {
        let got = browser.fill("/_auth/otp", &format!("code={code}")).await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED, "{code}");
        assert!(got.body.contains("aria-invalid=\"true\""));
    }
    assert_eq!(pages.totp().await.unwrap().failures, 1, "a typo is not counted");
    for left in ["", "You have 2 attempts left.", "You have one attempt left."] {
        let got = browser.fill("/_auth/otp", &format!("code={wrong}")).await;
        assert!(got.body.contains(left), "{left}: {}", got.body);
    }
    let got = browser.fill("/_auth/otp", &format!("code={}", pages.code())).await;
    assert_eq!((got.status, got.location()), (StatusCode::SEE_OTHER, "/app"));
    assert_eq!(pages.totp().await.unwrap().failures, 0);
    assert_eq!(pages.sessions().await.len(), 1);
}

#[tokio::test]
async fn a_recovery_code_replaces_the_second_factor() {
    let mut pages = Pages::enrolled().await;
    let mut browser = pages.browser();
    with_password(&mut browser).await;
    let got = browser.fill("/_auth/recovery", "code=not-a-code").await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED);
    assert_eq!(pages.recovery_set().await.unwrap().left, 10);
    let code = pages.recovery.pop().unwrap();
    let got = browser.fill("/_auth/recovery", &format!("code={code}")).await;
    assert_eq!((got.status, got.location()), (StatusCode::SEE_OTHER, NOTICE));
    assert_eq!(pages.recovery_set().await.unwrap().left, 9);
    assert_eq!(pages.sessions().await[0].method.as_str(), "recovery_code");
}

/// The notice about the recovery code, which leads on to the return address.
const NOTICE: &str = "/_auth/notice?return_to=%2Fapp";

#[tokio::test]
async fn an_expired_login_starts_again_and_says_why() {
    let mut pages = Pages::enrolled().await;
    let mut browser = pages.browser();
    with_password(&mut browser).await;
    pages.clock.advance(Duration::from_mins(11));
    let got = browser.get("/_auth/otp").await;
    assert_eq!((got.status, got.location()), (StatusCode::SEE_OTHER, "/_auth/login"));
    let got = browser.get("/_auth/login").await;
    assert!(got.body.contains("start again") && !browser.jar.contains_key(cookies::PENDING));
    let form = format!("csrf={}&{}", got.csrf(), password_form());
    let got = browser.post("/_auth/login", form).await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
    let got = browser.fill("/_auth/otp", &format!("code={}", pages.code())).await;
    assert_eq!(got.location(), "/");
}

#[tokio::test]
async fn a_pending_login_sees_only_its_next_page() {
    let pages = Pages::new().await;
    let mut browser = pages.browser();
    for path in ["/_auth/otp", "/_auth/recovery", "/_auth/enroll", "/_auth/recovery-codes"] {
        assert_eq!(browser.get(path).await.location(), "/_auth/login", "{path}");
    }
    let back = "/_auth/login?return_to=%2F_auth%2Faccount";
    assert_eq!(browser.get("/_auth/account").await.location(), back);
    with_password(&mut browser).await;
    assert_eq!(browser.get("/_auth/otp").await.location(), "/_auth/enroll");
    assert_eq!(browser.get("/_auth/account").await.location(), back);
    assert_eq!(browser.get("/_auth/login").await.status, StatusCode::OK);

    let pages = Pages::enrolled().await;
    let mut browser = pages.browser();
    with_password(&mut browser).await;
    assert_eq!(browser.get("/_auth/enroll").await.location(), "/_auth/otp");
    let admin = &pages.services.admin;
    admin.recovery.reset_second_factor(&super::name(), "lost phone", None).await.unwrap();
    let mut browser = pages.browser();
    with_password(&mut browser).await;
    let got = browser.get("/_auth/otp").await;
    assert_eq!(got.status, StatusCode::FORBIDDEN);
    assert!(got.body.contains("administrator"));
    assert_eq!(browser.get("/_auth/enroll").await.location(), "/_auth/otp");
    assert!(pages.totp().await.is_none());
}

#[tokio::test]
async fn the_login_page_redirects_a_signed_in_user() {
    let mut pages = Pages::enrolled().await;
    let mut browser = pages.signed_in().await;
    assert_eq!(browser.get("/_auth/login").await.location(), "/_auth/account");
    assert_eq!(browser.get("/_auth/login?return_to=/app").await.location(), "/app");
    assert_eq!(browser.get("/_auth/login?return_to=//evil.example").await.location(), "/");
    assert_eq!(browser.get("/_auth/").await.location(), "/_auth/account");

    let mut pages = Pages::new().await;
    let mut browser = pages.browser();
    with_password(&mut browser).await;
    let page = browser.get("/_auth/enroll").await;
    pages.phone = Some(Codes::new(&html::by_id(&page.body, "totp-secret").unwrap()));
    browser.fill("/_auth/enroll", &format!("code={}", pages.code())).await;
    let codes = "/_auth/recovery-codes";
    assert_eq!(browser.get("/_auth/login").await.location(), codes);
}

#[tokio::test]
async fn the_account_page_shows_credentials() {
    let mut pages = Pages::enrolled().await;
    let mut phone = Browser { user_agent: IPHONE, ..pages.browser() };
    while pages.recovery.len() > 3 {
        let code = pages.recovery.pop().unwrap();
        phone.jar.clear();
        phone.fill("/_auth/login", &password_form()).await;
        phone.fill("/_auth/recovery", &format!("code={code}")).await;
        assert!(phone.jar.contains_key(cookies::SESSION), "{code}");
    }
    let mut browser = pages.signed_in_with_notices().await;
    let got = browser.get("/_auth/account").await;
    assert_eq!(got.status, StatusCode::OK);
    for part in ["Alice &#60;Liddell&#62;", "3 left", "This browser", "Safari on iPhone"] {
        assert!(got.body.contains(part), "{part} in {}", got.body);
    }
    assert_eq!(got.body.matches("This browser").count(), 1);
}

#[tokio::test]
async fn signing_out_ends_the_session_and_clears_both_cookies() {
    let mut pages = Pages::enrolled().await;
    let mut browser = pages.signed_in().await;
    let stolen = browser.clone();
    let got = browser.fill("/_auth/logout", "").await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
    assert!(!browser.jar.contains_key(cookies::SESSION));
    assert_eq!(pages.sessions().await, []);
    assert_eq!(got.headers.get_all("set-cookie").iter().count(), 2);
    assert!(browser.get("/_auth/logout").await.body.contains("You've signed out of CellEngine"));
    let got = stolen.clone().get("/_auth/session").await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED, "the cookie is of no use");
}

#[tokio::test]
async fn scripts_of_this_origin_may_read_the_session() {
    let mut pages = Pages::enrolled().await;
    let mut browser = pages.browser();
    let got = browser.get("/_auth/session").await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED);
    assert!(got.body.contains("\"login_url\":\"https://gw.test/_auth/login\""));
    pages.sign_in(&mut browser).await;
    let fetch = [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")];
    let got = browser.ask(Method::GET, "/_auth/session", &fetch).await;
    let json: serde_json::Value = serde_json::from_str(&got.body).unwrap();
    assert_eq!(json["user"], "alice");
    assert_eq!(json["method"], "totp");
    assert_eq!(json["groups"][1], "lab");
    assert_eq!(json["idle_expires_at"], "2026-01-01T00:30:00Z");
    let foreign = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")];
    let got = browser.ask(Method::GET, "/_auth/session", &foreign).await;
    assert_eq!(
        (got.status, got.headers["content-type"].as_bytes()),
        (StatusCode::FORBIDDEN, &b"application/json"[..])
    );
}

#[tokio::test]
async fn duplicate_session_cookies_are_rejected() {
    let mut pages = Pages::enrolled().await;
    let mut browser = pages.signed_in().await;
    let again = [("cookie", "__Host-vestibule=x")];
    let got = browser.ask(Method::GET, "/_auth/account", &again).await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
    let got = browser.ask(Method::GET, "/_auth/account", &[]).await;
    assert_eq!(got.status, StatusCode::OK, "the session goes on");
}

#[tokio::test]
async fn every_route_sends_security_headers() {
    let pages = Pages::new().await;
    let mut browser = pages.browser();
    let unknown = [(Method::GET, "/_auth/nothing"), (Method::DELETE, "/_auth/login")];
    for (method, path) in ROUTES.iter().chain(&unknown) {
        let got = browser.ask(method.clone(), path, &[]).await;
        assert!(got.status != StatusCode::INTERNAL_SERVER_ERROR, "{method} {path}");
        let header = |name: &str| got.headers.get(name).map(|v| v.to_str().unwrap().to_owned());
        let policy = header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        // Public keys are the same for everyone.
        let keys = *path == "/_auth/jwks.json";
        let cached = if keys { "public, max-age=300" } else { "no-store" };
        assert_eq!(header("cache-control").as_deref(), Some(cached), "{method} {path}");
        // The address of a ticket goes nowhere.
        let referrer = if *path == "/_auth/continue" { "no-referrer" } else { "same-origin" };
        assert_eq!(header("referrer-policy").as_deref(), Some(referrer), "{method} {path}");
        assert!(header("strict-transport-security").is_some());
        assert!(ORIGIN.starts_with("https"));
    }
}

#[tokio::test]
async fn unknown_paths_are_404_and_wrong_methods_405() {
    let pages = Pages::new().await;
    let mut browser = pages.browser();
    for path in ["/_auth/nothing", "/_auth/login/", "/_auth/assets/app.css", "/_authx"] {
        assert_eq!(browser.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let got = browser.ask(Method::DELETE, "/_auth/login", &[]).await;
    assert_eq!(got.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(got.headers["allow"], "GET, HEAD, POST");
    let got = browser.ask(Method::POST, "/_auth/account", &[]).await;
    assert_eq!(got.headers["allow"], "GET, HEAD");
}

#[tokio::test]
async fn files_are_cached_for_ever_under_hashed_names() {
    let pages = Pages::new().await;
    let mut browser = pages.browser();
    let page = browser.get("/_auth/login").await.body;
    let quoted = page.split('"').filter(|text| text.starts_with("/_auth/assets/"));
    let files: Vec<&str> = quoted.collect();
    assert_eq!(files.len(), 4, "style sheet, scripts and icon: {files:?}");
    for (path, name) in files.iter().filter_map(|path| Some((path, path.split('.').nth(1)?))) {
        assert!(name.len() == 16 && name.bytes().all(|b| b.is_ascii_hexdigit()), "{path}");
        let got = browser.ask(Method::GET, path, &[("sec-fetch-mode", "no-cors")]).await;
        assert_eq!(got.status, StatusCode::OK);
        assert!(got.headers["cache-control"].to_str().unwrap().contains("immutable"));
    }
    assert!(!page.contains("<style") && !page.contains(" style=") && !page.contains(" onclick"));
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let pages = Pages::new().await;
    let got = pages.browser().ask(Method::HEAD, "/_auth/login", &[]).await;
    assert_eq!((got.status, got.body.len()), (StatusCode::OK, 0));
}
