//! Tests of the account pages with a fake service.

use http::{Method, StatusCode};

use super::cookies;
use super::testing::{Browser, RIGHT_CODE, Script};
use super::testing_account::OFFERED;

/// Every page that makes a change: path, form, and required proof.
const CHANGES: [(&str, &str); 5] = [
    ("/_auth/account/authenticator", "code=287082"),
    ("/_auth/account/recovery-codes", "confirm=0000-0000-0000-00000"),
    ("/_auth/account/password", "current=right&password=quilt-tree-9-owl"),
    ("/_auth/account/sessions", "id=others"),
    ("/_auth/account/tokens", "id=none"),
];

async fn signed_in(stale: bool) -> Browser {
    let mut browser = Browser::new(Script { enrolled: true, ..Script::default() });
    browser.sign_in().await;
    browser.fake.script.lock().stale = stale;
    browser
}

async fn csrf(browser: &mut Browser) -> String {
    browser.get("/_auth/account").await.csrf()
}

#[tokio::test]
async fn changes_need_a_fresh_proof() {
    let mut browser = signed_in(true).await;
    let before = browser.jar.clone();
    for (path, form) in CHANGES {
        if !["/_auth/account/sessions", "/_auth/account/tokens"].contains(&path) {
            let page = browser.get(path).await;
            assert_eq!(page.status, StatusCode::SEE_OTHER, "GET {path}");
            assert!(page.location().starts_with("/_auth/step-up?return_to=%2F_auth%2Faccount"));
        }
        let token = csrf(&mut browser).await;
        let sent = browser.post(path, format!("csrf={token}&{form}")).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER, "POST {path}");
        assert!(
            sent.location().starts_with("/_auth/step-up?return_to=%2F_auth%2Faccount"),
            "{path}"
        );
    }
    let script = browser.fake.script.lock();
    assert!(script.ended.is_empty() && !script.in_force);
    drop(script);
    assert_eq!(browser.jar, before);
}

#[tokio::test]
async fn a_signed_out_browser_is_redirected_and_a_foreign_form_changes_nothing() {
    let mut anonymous = Browser::new(Script::default());
    let mut user = signed_in(false).await;
    for (path, form) in CHANGES.into_iter().chain([("/_auth/step-up", "code=287082")]) {
        let token = anonymous.get("/_auth/login").await.csrf();
        let sent = anonymous.post(path, format!("csrf={token}&{form}")).await;
        let back = "/_auth/login?return_to=%2F_auth%2Faccount";
        assert!(sent.location().starts_with(back), "{path}: {}", sent.location());
        let sent = user.post(path, form.to_owned()).await;
        assert_eq!(sent.status, StatusCode::FORBIDDEN, "{path} without a token");
        let read = user.ask(Method::GET, path, &[("sec-fetch-mode", "cors")]).await;
        assert!(matches!(read.status.as_u16(), 403 | 405), "{path} read by a script");
        let dest = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
        let framed = user.ask(Method::GET, path, &dest).await;
        assert!(matches!(framed.status.as_u16(), 403 | 405), "{path} in a frame");
    }
    assert!(user.fake.script.lock().ended.is_empty());
}

#[tokio::test]
async fn a_step_up_renews_the_session_and_returns() {
    let mut browser = signed_in(true).await;
    let before = browser.jar[cookies::SESSION].clone();
    let path = "/_auth/step-up?return_to=%2F_auth%2Faccount%2Fauthenticator";
    let page = browser.get(path).await;
    assert!(page.body.contains("autocomplete=\"current-password\""));
    assert!(page.body.contains("autocomplete=\"one-time-code\""));
    let wrong = browser.fill(path, "password=wrong&code=287082").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.body.contains("id=\"password-problem\" role=\"alert\""), "{}", wrong.body);
    let wrong = browser.fill(path, "password=right&code=111111").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.body.contains("id=\"problem\" role=\"alert\""), "{}", wrong.body);
    assert_eq!(browser.jar[cookies::SESSION], before);
    let done = browser.fill(path, &format!("password=right&code={RIGHT_CODE}")).await;
    assert_eq!(done.location(), "/_auth/account/authenticator");
    assert_ne!(browser.jar[cookies::SESSION], before);
    assert_eq!(browser.get("/_auth/account/authenticator").await.status, StatusCode::OK);
    let again = browser.get(path).await;
    assert_eq!(again.location(), "/_auth/account/authenticator", "nothing is asked twice");
}

#[tokio::test]
async fn a_step_up_accepts_a_recovery_code_and_needs_the_password_for_sensitive_changes_only() {
    let mut browser = signed_in(true).await;
    let page = browser.get("/_auth/step-up?with=recovery&return_to=%2Freports%3Fy%3D1").await;
    assert!(!page.body.contains("name=\"password\"") && page.body.contains("Recovery code"));
    let form = format!("csrf={}&code={OFFERED}&return_to=%2Freports%3Fy%3D1", page.csrf());
    let done = browser.post("/_auth/step-up?with=recovery", form).await;
    assert_eq!(done.location(), "/reports?y=1");
}

#[tokio::test]
async fn the_password_page_marks_the_wrong_field_and_repeats_no_password() {
    let mut browser = signed_in(false).await;
    let path = "/_auth/account/password";
    let page = browser.get(path).await;
    for part in ["autocomplete=\"new-password\"", "autocomplete=\"username\"", "value=\"alice\""] {
        assert!(page.body.contains(part), "{part}");
    }
    let wrong = browser.fill(path, "current=wrong-9&password=quilt-tree-9-owl").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.body.contains("aria-describedby=\"current-problem\""));
    let refused = browser.fill(path, "current=right&password=alice").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.body.contains("aria-describedby=\"new-problem rules\""), "{}", refused.body);
    for body in [&wrong.body, &refused.body] {
        assert!(!body.contains("wrong-9") && !body.contains("quilt"), "{body}");
    }
    let before = browser.jar[cookies::SESSION].clone();
    let done = browser.fill(path, "current=right&password=quilt-tree-9-owl").await;
    assert_eq!(done.location(), "/_auth/account?done=password");
    assert_ne!(browser.jar[cookies::SESSION], before);
    let page = browser.get(done.location()).await;
    assert!(page.body.contains("Your password has been changed"));
    let elsewhere = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    let claimed = browser.ask(Method::GET, "/_auth/account?done=password", &elsewhere).await;
    assert!(
        !claimed.body.contains("Your password has been changed"),
        "another site claims nothing"
    );
}

#[tokio::test]
async fn other_sessions_can_be_ended_and_the_current_one_only_by_signing_out() {
    let mut browser = signed_in(false).await;
    let page = browser.get("/_auth/account").await;
    let ids: Vec<&str> = page
        .body
        .split("name=\"id\" value=\"")
        .skip(1)
        .filter_map(|p| p.split('"').next())
        .collect();
    assert_eq!(ids.len(), 3, "the other session, all others, and a token: {}", page.body);
    let form = format!("csrf={}&id={}", page.csrf(), ids[0]);
    let ended = browser.post("/_auth/account/sessions", form).await;
    assert_eq!(ended.location(), "/_auth/account?done=session");
    let form = format!("csrf={}&id=others", page.csrf());
    let ended = browser.post("/_auth/account/sessions", form).await;
    assert_eq!(ended.location(), "/_auth/account?done=others");
    let form = format!("csrf={}&id=nonsense", page.csrf());
    let ended = browser.post("/_auth/account/sessions", form).await;
    assert_eq!(ended.location(), "/_auth/account?done=gone");
    assert_eq!(browser.fake.script.lock().ended, [ids[0], "others"]);
}

#[tokio::test]
async fn an_access_token_is_listed_and_can_be_revoked() {
    let mut browser = signed_in(false).await;
    let page = browser.get("/_auth/account").await;
    for text in ["nightly export", "only GET", "never used"] {
        assert!(page.body.contains(text), "{text}");
    }
    let id = page.body.rsplit("name=\"id\" value=\"").next().unwrap().split('"').next().unwrap();
    for (id, done) in [(id, "revoked"), ("nonsense", "notoken")] {
        let form = format!("csrf={}&id={id}", page.csrf());
        let sent = browser.post("/_auth/account/tokens", form).await;
        assert_eq!(sent.location(), format!("/_auth/account?done={done}"));
    }
    assert_eq!(browser.fake.script.lock().ended, [id]);
}

#[tokio::test]
async fn a_new_authenticator_leads_to_recovery_codes_that_must_be_confirmed() {
    let mut browser = signed_in(false).await;
    let path = "/_auth/account/authenticator";
    let page = browser.get(path).await;
    for part in [
        "id=\"totp-secret\"",
        "<svg class=\"qr\"",
        "otpauth://",
        "SMS",
        "NIST",
        "Scan with each now",
    ] {
        assert!(page.body.contains(part), "{part}");
    }
    let wrong = browser.fill(path, "code=111111").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.body.contains("totp-secret"));
    let done = browser.fill(path, &format!("code={RIGHT_CODE}")).await;
    assert_eq!(done.location(), "/_auth/account/recovery-codes");
    let page = browser.get(done.location()).await;
    assert!(page.body.contains("Your new authenticator app is set up"));
    assert!(page.body.contains(&format!("<li><code>{OFFERED}</code>")));
    let wrong = browser.fill(done.location(), "confirm=1111-1111-1111-11111").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.body.contains("a typo in that recovery code") && wrong.body.contains(OFFERED));
    let kept = browser.fill(done.location(), &format!("confirm={OFFERED}")).await;
    assert_eq!(kept.location(), "/_auth/account?done=codes");
}
