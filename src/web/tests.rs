//! Tests of the pages through a browser.

use std::time::Duration;

use http::{Method, StatusCode};

use super::testing::{Browser, ORIGIN, RIGHT_CODE, SECRET, Script};
use super::testing_account::OFFERED;
use super::{ROUTES, cookies, words};
use crate::base::random::OsRandom;

const NAVIGATE: &[(&str, &str)] =
    &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("sec-fetch-site", "none")];

fn enrolled() -> Browser {
    Browser::new(Script { enrolled: true, tries_left: 4, ..Script::default() })
}

async fn with_password(browser: &mut Browser) {
    let got = browser.fill("/_auth/login?return_to=/app", "username=alice&password=right").await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_first_sign_in_leads_through_enrolment_and_recovery_codes_to_the_return_address() {
    let mut browser = Browser::new(Script { codes_due: true, ..Script::default() });
    let got =
        browser.fill("/_auth/login?return_to=/app?q=1", "username=alice&password=right").await;
    assert_eq!(
        (got.status, got.location()),
        (StatusCode::SEE_OTHER, "/_auth/enroll?return_to=%2Fapp%3Fq%3D1")
    );

    let page = browser.get("/_auth/enroll").await;
    assert!(page.body.contains(&format!("<code id=\"totp-secret\">{SECRET}</code>")));
    assert!(page.body.contains("href=\"otpauth://totp/") && page.body.contains("<svg"));
    assert!(page.body.len() < 20_000, "{}", page.body.len());

    let wrong = browser.fill("/_auth/enroll", "code=000000").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.body.contains(SECRET) && wrong.body.contains("aria-invalid"));

    let got = browser.fill("/_auth/enroll", &format!("code={RIGHT_CODE}")).await;
    assert_eq!(got.location(), "/_auth/recovery-codes?return_to=%2Fapp%3Fq%3D1");
    assert!(browser.jar.contains_key(cookies::SESSION));
    assert!(!browser.jar.contains_key(cookies::PENDING));

    let page = browser.get("/_auth/recovery-codes").await;
    assert_eq!(page.body.matches("<li><code>").count(), 10);
    assert!(page.body.contains("href=\"data:text/plain;charset=utf-8,Recovery%20codes"));
    let csrf = page.csrf();
    for typed in ["", "yes", "0000-0000-0000-00001"] {
        let form = format!("csrf={csrf}&confirm={typed}");
        let got = browser.post("/_auth/recovery-codes", form).await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED, "{typed}");
        assert!(got.body.contains(words::TYPO.replace('\'', "&#39;").as_str()), "{}", got.body);
    }
    let form = format!("csrf={csrf}&confirm={OFFERED}");
    let got = browser.post("/_auth/recovery-codes", form).await;
    assert_eq!((got.status, got.location()), (StatusCode::SEE_OTHER, "/app?q=1"));

    let csrf = browser.get("/_auth/logout").await.csrf();
    let form = format!("csrf={csrf}&confirm={OFFERED}");
    let again = browser.post("/_auth/recovery-codes", form).await;
    assert_eq!((again.status, again.location()), (StatusCode::SEE_OTHER, "/_auth/account"));
    assert_eq!(browser.fake.script.lock().codes_kept, 1, "kept once");
}

#[tokio::test]
async fn recovery_codes_are_created_for_a_navigation_only() {
    let mut browser = Browser::new(Script { enrolled: true, codes_due: true, ..Script::default() });
    browser.sign_in().await;
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
    assert_eq!(browser.fake.script.lock().code_sets, 0);
    browser.ask(Method::GET, path, NAVIGATE).await;
    assert_eq!(browser.fake.script.lock().code_sets, 1);
}

#[tokio::test]
async fn a_wrong_password_gets_the_same_message_for_every_user_name() {
    let mut browser = enrolled();
    let mut pages = Vec::new();
    for name in ["alice", "nobody"] {
        let got = browser.fill("/_auth/login", &format!("username={name}&password=no")).await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED);
        assert!(got.body.contains("role=\"alert\"") && got.body.contains("aria-describedby"));
        assert!(!got.body.contains("value=\"no\""));
        pages.push(got.body.replace(name, "NAME"));
    }
    assert_eq!(pages.first(), pages.last());
}

#[tokio::test]
async fn too_many_attempts_show_the_time_to_wait() {
    let mut browser = enrolled();
    browser.fake.script.lock().wait = Some(Duration::from_millis(240_500));
    let got = browser.fill("/_auth/login", "username=x&password=y").await;
    assert_eq!(got.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(got.headers["retry-after"], "241");
    assert!(got.body.contains("Wait 5 minutes"));
}

#[tokio::test]
async fn an_unavailable_store_is_neither_a_wrong_password_nor_a_sign_out() {
    let mut browser = enrolled();
    let csrf = browser.get("/_auth/login").await.csrf();
    browser.fake.script.lock().down = true;
    let form = format!("csrf={csrf}&username=alice&password=right");
    let got = browser.post("/_auth/login", form.clone()).await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(got.headers["retry-after"], "5");
    assert!(got.body.contains("not your fault") && !got.body.contains("connection refused"));
    browser.fake.script.lock().busy = true;
    let got = browser.post("/_auth/login", form).await;
    assert_eq!(got.headers["retry-after"], "2");
    *browser.fake.script.lock() = Script { enrolled: true, ..Script::default() };
    browser.sign_in().await;
    let csrf = browser.get("/_auth/logout").await.csrf();
    browser.fake.script.lock().down = true;
    for path in ["/_auth/account", "/_auth/session", "/_auth/recovery-codes", "/_auth/login"] {
        assert_eq!(browser.get(path).await.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
    let got = browser.post("/_auth/logout", format!("csrf={csrf}")).await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(browser.jar.contains_key(cookies::SESSION));
}

#[tokio::test]
async fn a_form_without_token_or_from_another_site_is_rejected() {
    let mut browser = enrolled();
    let csrf = browser.get("/_auth/login").await.csrf();
    for form in ["", "csrf=", "csrf=AAAA"] {
        let got =
            browser.post("/_auth/login", format!("{form}&username=alice&password=right")).await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{form}");
    }
    let good = format!("csrf={csrf}&username=alice&password=right");
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
}

#[tokio::test]
async fn a_wrong_code_shows_a_message_and_the_last_attempts() {
    let mut browser = enrolled();
    with_password(&mut browser).await;
    for code in ["000000", "12345", "abc", ""] {
        let got = browser.fill("/_auth/otp", &format!("code={code}")).await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED, "{code}");
        assert!(got.body.contains("aria-invalid=\"true\""));
    }
    browser.fake.script.lock().tries_left = 1;
    let got = browser.fill("/_auth/otp", "code=000000").await;
    assert!(got.body.contains("You have one attempt left."));
    let got = browser.fill("/_auth/otp", &format!("code={RIGHT_CODE}")).await;
    assert_eq!((got.status, got.location()), (StatusCode::SEE_OTHER, "/app"));
}

#[tokio::test]
async fn a_recovery_code_replaces_the_second_factor() {
    let mut browser = enrolled();
    with_password(&mut browser).await;
    let got = browser.fill("/_auth/recovery", "code=not-a-code").await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED);
    let code = crate::auth::recovery::RecoveryCode::generate(&OsRandom::new()).unwrap();
    let got = browser.fill("/_auth/recovery", &format!("code={}", *code.to_display())).await;
    assert_eq!((got.status, got.location()), (StatusCode::SEE_OTHER, "/app"));
}

#[tokio::test]
async fn an_expired_login_starts_again_and_says_why() {
    let mut browser = enrolled();
    with_password(&mut browser).await;
    browser.fake.script.lock().pending = None;
    let got = browser.get("/_auth/otp").await;
    assert_eq!((got.status, got.location()), (StatusCode::SEE_OTHER, "/_auth/login"));
    let got = browser.get("/_auth/login").await;
    assert!(got.body.contains("start again") && !browser.jar.contains_key(cookies::PENDING));
    let csrf = got.csrf();
    let got =
        browser.post("/_auth/login", format!("csrf={csrf}&username=alice&password=right")).await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_pending_login_sees_only_its_next_page() {
    let mut browser = Browser::new(Script::default());
    for path in ["/_auth/otp", "/_auth/recovery", "/_auth/enroll", "/_auth/recovery-codes"] {
        assert_eq!(browser.get(path).await.location(), "/_auth/login", "{path}");
    }
    let back = "/_auth/login?return_to=%2F_auth%2Faccount";
    assert_eq!(browser.get("/_auth/account").await.location(), back);
    with_password(&mut browser).await;
    assert_eq!(browser.get("/_auth/otp").await.location(), "/_auth/enroll");
    assert_eq!(browser.get("/_auth/account").await.location(), back);
    assert_eq!(browser.get("/_auth/login").await.status, StatusCode::OK);
    browser.fake.script.lock().enrolled = true;
    assert_eq!(browser.get("/_auth/enroll").await.location(), "/_auth/otp");
    browser.fake.script.lock().help = true;
    let got = browser.get("/_auth/otp").await;
    assert_eq!(got.status, StatusCode::FORBIDDEN);
    assert!(got.body.contains("administrator"));
}

#[tokio::test]
async fn the_login_page_redirects_a_signed_in_user() {
    let mut browser = enrolled();
    browser.sign_in().await;
    assert_eq!(browser.get("/_auth/login").await.location(), "/_auth/account");
    assert_eq!(browser.get("/_auth/login?return_to=/app").await.location(), "/app");
    assert_eq!(browser.get("/_auth/login?return_to=//evil.example").await.location(), "/");
    assert_eq!(browser.get("/_auth/").await.location(), "/_auth/account");
    browser.fake.script.lock().codes_due = true;
    assert_eq!(browser.get("/_auth/login").await.location(), "/_auth/recovery-codes");
}

#[tokio::test]
async fn the_account_page_shows_credentials() {
    let mut browser = enrolled();
    browser.sign_in().await;
    let got = browser.get("/_auth/account").await;
    assert_eq!(got.status, StatusCode::OK);
    for part in ["Alice &#60;Liddell&#62;", "3 left", "This browser", "Safari on iPhone"] {
        assert!(got.body.contains(part), "{part} in {}", got.body);
    }
    assert_eq!(got.body.matches("This browser").count(), 1);
}

#[tokio::test]
async fn signing_out_ends_the_session_and_clears_both_cookies() {
    let mut browser = enrolled();
    browser.sign_in().await;
    let got = browser.fill("/_auth/logout", "").await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
    assert!(!browser.jar.contains_key(cookies::SESSION));
    assert!(browser.fake.script.lock().session.is_none());
    assert_eq!(got.headers.get_all("set-cookie").iter().count(), 2);
    assert!(browser.get("/_auth/logout").await.body.contains("You've signed out of CellEngine"));
}

#[tokio::test]
async fn scripts_of_this_origin_may_read_the_session() {
    let mut browser = enrolled();
    let got = browser.get("/_auth/session").await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED);
    assert!(got.body.contains("\"login_url\":\"https://gw.test/_auth/login\""));
    browser.sign_in().await;
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
    let mut browser = enrolled();
    browser.sign_in().await;
    let again = [("cookie", "__Host-vestibule=x")];
    let got = browser.ask(Method::GET, "/_auth/account", &again).await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn every_route_sends_security_headers() {
    let mut browser = enrolled();
    let unknown = [(Method::GET, "/_auth/nothing"), (Method::DELETE, "/_auth/login")];
    for (method, path) in ROUTES.iter().chain(&unknown) {
        let got = browser.ask(method.clone(), path, &[]).await;
        assert!(got.status != StatusCode::INTERNAL_SERVER_ERROR, "{method} {path}");
        let header = |name: &str| got.headers.get(name).map(|v| v.to_str().unwrap().to_owned());
        let policy = header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert_eq!(header("cache-control").as_deref(), Some("no-store"), "{method} {path}");
        assert_eq!(header("referrer-policy").as_deref(), Some("same-origin"));
        assert!(header("strict-transport-security").is_some());
        assert!(ORIGIN.starts_with("https"));
    }
}

#[tokio::test]
async fn unknown_paths_are_404_and_wrong_methods_405() {
    let mut browser = enrolled();
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
    let mut browser = enrolled();
    let page = browser.get("/_auth/login").await.body;
    for path in [super::assets::css(), super::assets::js(), super::assets::icon()] {
        assert!(page.contains(path), "{path}");
        let got = browser.ask(Method::GET, path, &[("sec-fetch-mode", "no-cors")]).await;
        assert_eq!(got.status, StatusCode::OK);
        assert!(got.headers["cache-control"].to_str().unwrap().contains("immutable"));
    }
    assert!(!page.contains("<style") && !page.contains(" style=") && !page.contains(" onclick"));
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let mut browser = enrolled();
    let got = browser.ask(Method::HEAD, "/_auth/login", &[]).await;
    assert_eq!((got.status, got.body.len()), (StatusCode::OK, 0));
}
