//! The account pages of a signed-in user.

use http::{Method, StatusCode};
use vestibule::auth::audit::Kind;
use vestibule::base::id::SessionId;
use vestibule::web::cookies;

use super::{Browser, Codes, IPHONE, PASSWORD, Pages, html};

const AUTHENTICATOR: &str = "/_auth/account/authenticator";
const CODES: &str = "/_auth/account/recovery-codes";
const CHANGE: &str = "/_auth/account/password";
const SESSIONS: &str = "/_auth/account/sessions";
const TOKENS: &str = "/_auth/account/tokens";
const NEW_PASSWORD: &str = "quilt-tree-9-owl";

/// Every page that makes a change, with a form that would make it: its offers were opened while the
/// proofs were fresh.
async fn changes(pages: &mut Pages, browser: &mut Browser) -> [(&'static str, String); 5] {
    let token = pages.access_token("nightly export").await;
    let page = browser.get(AUTHENTICATOR).await;
    let phone = Codes::new(&html::by_id(&page.body, "totp-secret").unwrap());
    // The code of the step that comes while the proofs get too old.
    let later = (pages.now().as_secs() + 360) / 30;
    let codes = html::recovery_codes(&browser.get(CODES).await.body);
    [
        (AUTHENTICATOR, format!("code={}", phone.of_step(later))),
        (CODES, format!("confirm={}", codes[0])),
        (CHANGE, format!("current={PASSWORD}&password={NEW_PASSWORD}")),
        (SESSIONS, "id=others".to_owned()),
        (TOKENS, format!("id={}", token.id)),
    ]
}

#[tokio::test]
async fn changes_need_a_fresh_proof() {
    let mut pages = Pages::enrolled().await;
    let _other = pages.signed_in().await;
    let mut browser = pages.signed_in().await;
    let changes = changes(&mut pages, &mut browser).await;
    pages.make_stale();
    let (cookies, before) = (browser.jar.clone(), pages.changeable().await);
    for (path, form) in &changes {
        if ![SESSIONS, TOKENS].contains(path) {
            let page = browser.get(path).await;
            assert_eq!(page.status, StatusCode::SEE_OTHER, "GET {path}");
            assert!(page.location().starts_with("/_auth/step-up?return_to=%2F_auth%2Faccount"));
        }
        let csrf = browser.get("/_auth/account").await.csrf();
        let sent = browser.post(path, format!("csrf={csrf}&{form}")).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER, "POST {path}");
        assert!(
            sent.location().starts_with("/_auth/step-up?return_to=%2F_auth%2Faccount"),
            "{path}"
        );
    }
    assert_eq!(pages.changeable().await, before);
    assert_eq!(browser.jar, cookies);

    // After a step-up the same forms make each change.
    let form = format!("password={PASSWORD}&code={}", pages.code());
    browser.fill(&format!("/_auth/step-up?return_to={AUTHENTICATOR}"), &form).await;
    for (path, form) in changes.iter().rev() {
        let csrf = browser.get("/_auth/account").await.csrf();
        let sent = browser.post(path, format!("csrf={csrf}&{form}")).await;
        assert!(!sent.location().starts_with("/_auth/step-up"), "POST {path}");
        assert_eq!(sent.status, StatusCode::SEE_OTHER, "POST {path}: {}", sent.body);
    }
    let after = pages.changeable().await;
    assert!(before.differs_in_all_from(&after), "{before:?} {after:?}");
}

#[tokio::test]
async fn a_signed_out_browser_is_redirected_and_a_foreign_form_changes_nothing() {
    let mut pages = Pages::enrolled().await;
    let _other = pages.signed_in().await;
    let mut user = pages.signed_in().await;
    let mut anonymous = pages.browser();
    let changes = changes(&mut pages, &mut user).await;
    let before = pages.changeable().await;
    let step_up = ("/_auth/step-up", format!("code={}", pages.code()));
    for (path, form) in changes.into_iter().chain([step_up]) {
        let token = anonymous.get("/_auth/login").await.csrf();
        let sent = anonymous.post(path, format!("csrf={token}&{form}")).await;
        let back = "/_auth/login?return_to=%2F_auth%2Faccount";
        assert!(sent.location().starts_with(back), "{path}: {}", sent.location());
        let sent = user.post(path, form).await;
        assert_eq!(sent.status, StatusCode::FORBIDDEN, "{path} without a token");
        let read = user.ask(Method::GET, path, &[("sec-fetch-mode", "cors")]).await;
        assert!(matches!(read.status.as_u16(), 403 | 405), "{path} read by a script");
        let dest = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
        let framed = user.ask(Method::GET, path, &dest).await;
        assert!(matches!(framed.status.as_u16(), 403 | 405), "{path} in a frame");
    }
    assert_eq!(pages.changeable().await, before);
    assert_eq!(pages.rows(Kind::SteppedUp).await, 0);
}

#[tokio::test]
async fn a_step_up_renews_the_session_and_returns() {
    let mut pages = Pages::enrolled().await;
    let mut browser = pages.signed_in().await;
    pages.make_stale();
    let before = browser.jar[cookies::SESSION].clone();
    let path = "/_auth/step-up?return_to=%2F_auth%2Faccount%2Fauthenticator";
    let page = browser.get(path).await;
    assert!(page.body.contains("autocomplete=\"current-password\""));
    assert!(page.body.contains("autocomplete=\"one-time-code\""));
    let code = pages.code();
    let wrong = browser.fill(path, &format!("password=wrong&code={code}")).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.body.contains("id=\"password-problem\" role=\"alert\""), "{}", wrong.body);
    let form = format!("password={PASSWORD}&code={}", pages.wrong_code());
    let wrong = browser.fill(path, &form).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.body.contains("id=\"problem\" role=\"alert\""), "{}", wrong.body);
    assert_eq!(browser.jar[cookies::SESSION], before);
    let stolen = browser.clone();
    let done = browser.fill(path, &format!("password={PASSWORD}&code={code}")).await;
    assert_eq!(done.location(), AUTHENTICATOR);
    assert_ne!(browser.jar[cookies::SESSION], before);
    let sessions = pages.sessions().await;
    assert_eq!(sessions.len(), 1, "renewed, not doubled");
    assert_eq!(sessions[0].second_factor_at, pages.now());
    assert_eq!(stolen.clone().get("/_auth/session").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(browser.get(AUTHENTICATOR).await.status, StatusCode::OK);
    let again = browser.get(path).await;
    assert_eq!(again.location(), AUTHENTICATOR, "nothing is asked twice");
}

#[tokio::test]
async fn a_step_up_accepts_a_recovery_code_and_needs_the_password_for_sensitive_changes_only() {
    let mut pages = Pages::enrolled().await;
    let mut browser = pages.signed_in().await;
    pages.make_stale();
    let page = browser.get("/_auth/step-up?with=recovery&return_to=%2Freports%3Fy%3D1").await;
    assert!(!page.body.contains("name=\"password\"") && page.body.contains("Recovery code"));
    let code = pages.recovery.pop().unwrap();
    let form = format!("csrf={}&code={code}&return_to=%2Freports%3Fy%3D1", page.csrf());
    let done = browser.post("/_auth/step-up?with=recovery", form).await;
    assert_eq!(done.location(), "/reports?y=1");
    assert_eq!(pages.recovery_set().await.unwrap().left, 9);
    assert_eq!(pages.sessions().await[0].second_factor_at, pages.now());
}

#[tokio::test]
async fn the_password_page_marks_the_wrong_field_and_repeats_no_password() {
    let mut pages = Pages::enrolled().await;
    let mut browser = pages.signed_in().await;
    let hash = pages.account().await.password;
    let page = browser.get(CHANGE).await;
    for part in ["autocomplete=\"new-password\"", "autocomplete=\"username\"", "value=\"alice\""] {
        assert!(page.body.contains(part), "{part}");
    }
    let form = format!("current=wrong-9&password={NEW_PASSWORD}");
    let wrong = browser.fill(CHANGE, &form).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.body.contains("aria-describedby=\"current-problem\""));
    let form = format!("current={PASSWORD}&password=alice-in-the-garden-9");
    let refused = browser.fill(CHANGE, &form).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.body.contains("aria-describedby=\"new-problem rules\""), "{}", refused.body);
    for body in [&wrong.body, &refused.body] {
        for typed in ["wrong-9", "quilt", "garden-9", PASSWORD] {
            assert!(!body.contains(typed), "{body}");
        }
    }
    assert_eq!(pages.account().await.password, hash);
    let before = browser.jar[cookies::SESSION].clone();
    let form = format!("current={PASSWORD}&password={NEW_PASSWORD}");
    let done = browser.fill(CHANGE, &form).await;
    assert_eq!(done.location(), "/_auth/account?done=password");
    assert_ne!(browser.jar[cookies::SESSION], before);
    assert_ne!(pages.account().await.password, hash);
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
    let mut pages = Pages::enrolled().await;
    let mut phone = Browser { user_agent: IPHONE, ..pages.browser() };
    pages.sign_in(&mut phone).await;
    let _third = pages.signed_in().await;
    let mut browser = pages.signed_in().await;
    let all: Vec<SessionId> = pages.sessions().await.iter().map(|s| s.id).collect();
    let page = browser.get("/_auth/account").await;
    let ids = page.ids();
    assert_eq!(ids.len(), 3, "the two other sessions, and all others: {}", page.body);
    let own = *all.iter().find(|id| !ids.contains(&id.to_string())).unwrap();
    let of_phone = pages.sessions().await.into_iter().find(|s| s.device.user_agent == IPHONE);
    let of_phone = of_phone.unwrap().id;
    let mut send = async |id: &str| {
        let form = format!("csrf={}&id={id}", page.csrf());
        let ended = browser.post(SESSIONS, form).await;
        ended.location().to_owned()
    };
    assert_eq!(send(&own.to_string()).await, "/_auth/account");
    assert_eq!(pages.sessions().await.len(), 3, "its own is not ended here");
    assert_eq!(send(&of_phone.to_string()).await, "/_auth/account?done=session");
    let left: Vec<SessionId> = pages.sessions().await.iter().map(|s| s.id).collect();
    assert!(left.len() == 2 && !left.contains(&of_phone));
    assert_eq!(send(&of_phone.to_string()).await, "/_auth/account?done=gone");
    assert_eq!(send("others").await, "/_auth/account?done=others");
    let left: Vec<SessionId> = pages.sessions().await.iter().map(|s| s.id).collect();
    assert_eq!(left, [own]);
    assert_eq!(send("nonsense").await, "/_auth/account?done=gone");
    assert_eq!(phone.get("/_auth/session").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_access_token_is_listed_and_can_be_revoked() {
    let mut pages = Pages::enrolled().await;
    let kept = pages.access_token("hourly import").await;
    let token = pages.access_token("nightly export").await;
    let mut browser = pages.signed_in().await;
    let page = browser.get("/_auth/account").await;
    for text in ["nightly export", "hourly import", "only GET", "never used"] {
        assert!(page.body.contains(text), "{text}");
    }
    assert!(page.ids().contains(&token.id.to_string()), "{}", page.body);
    for (id, done) in [(token.id.to_string(), "revoked"), ("nonsense".to_owned(), "notoken")] {
        let form = format!("csrf={}&id={id}", page.csrf());
        let sent = browser.post(TOKENS, form).await;
        assert_eq!(sent.location(), format!("/_auth/account?done={done}"));
    }
    let left: Vec<_> = pages.tokens().await.iter().map(|t| t.id).collect();
    assert_eq!(left, [kept.id]);
}

#[tokio::test]
async fn a_new_authenticator_leads_to_recovery_codes_that_must_be_confirmed() {
    let mut pages = Pages::enrolled().await;
    let mut browser = pages.signed_in().await;
    let former = pages.totp().await.unwrap().id;
    let page = browser.get(AUTHENTICATOR).await;
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
    let secret = html::by_id(&page.body, "totp-secret").unwrap();
    let wrong = browser.fill(AUTHENTICATOR, &format!("code={}", pages.wrong_code())).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.body.contains(&secret));
    assert_eq!(pages.totp().await.unwrap().id, former);
    let step = pages.now().as_secs() / 30;
    let form = format!("code={}", Codes::new(&secret).of_step(step));
    let done = browser.fill(AUTHENTICATOR, &form).await;
    assert_eq!(done.location(), CODES);
    assert_ne!(pages.totp().await.unwrap().id, former);
    let page = browser.get(done.location()).await;
    assert!(page.body.contains("Your new authenticator app is set up"));
    let codes = html::recovery_codes(&page.body);
    assert_eq!(codes.len(), 10);
    let wrong = browser.fill(done.location(), "confirm=1111-1111-1111-11111").await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.body.contains("a typo in that recovery code") && wrong.body.contains(&codes[0]));
    assert!(pages.recovery_set().await.unwrap().confirmed_at.is_none());
    let kept = browser.fill(done.location(), &format!("confirm={}", codes[0])).await;
    assert_eq!(kept.location(), "/_auth/account?done=codes");
    let set = pages.recovery_set().await.unwrap();
    assert!(set.confirmed_at.is_some() && set.left == 10);
}
