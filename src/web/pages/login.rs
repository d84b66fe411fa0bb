//! Sign-in with user name and password.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::{hand_over, second_factor};
use crate::auth::login::{FirstFactor, FirstFactorAttempt};
use crate::auth::session::Session;
use crate::web::back::Back;
use crate::web::cookies;
use crate::web::csrf::Stale;
use crate::web::failure::Failure;
use crate::web::form::LoginForm;
use crate::web::frame::Frame;
use crate::web::view::{Answer, Complaint};
use crate::web::visit::{Visit, signed_in};

/// One message for every cause, so that it does not reveal which user names exist.
const WRONG: &str = "Incorrect user name or password.";
const APP_CODE: &str = "Your account also needs the app's own code here. Enter your password again, \
                        together with that code.";
const AGAIN: &str = "To continue, sign in again with a new code from the app.";
const TOO_LONG: &str = "The address you opened is too long to remember while you sign in. You'll land \
                        on the start page. Open the address again from there.";
const EXPIRED: &str =
    "You took too long to sign in, or made too many attempts. Please start again.";

#[derive(Template)]
#[template(path = "login.html")]
struct Page<'a> {
    frame: Frame,
    csrf: String,
    username: &'a str,
    notice: Option<&'static str>,
    complaint: &'a Complaint,
    app_code: bool,
    forgot: bool,
    /// Request options, where passkeys sign in.
    passkey: Option<String>,
}

pub(in crate::web) async fn show(mut visit: Visit) -> Result<Response, Failure> {
    if let Some(answer) = hand_over::hand_over(&visit).await? {
        return Ok(answer);
    }
    if let Some(answer) = visit.led_on().await? {
        return Ok(answer.done());
    }
    // Do not ask for a password that cannot be checked now.
    visit.services.first.is_open().await?;
    let back = visit.back();
    let mut notice = back.is_too_long().then_some(TOO_LONG);
    let mut cleared = None;
    if let Some(pending) = visit.pending()
        && visit.services.logins.owed(visit.app(), &pending).await?.is_none()
    {
        notice = Some(EXPIRED);
        cleared = visit.forget_pending();
    }
    let answer = page(&visit, &back, "", notice, &Complaint::none())?;
    Ok(answer.cookie(cleared).done())
}

/// Renders the sign-in page as a step-up, for a user who signed in with the app's own code and has no
/// authenticator here. The new session replaces the current one.
pub(super) fn once_more(
    visit: &Visit,
    session: &Session,
    back: &Back,
) -> Result<Response, Failure> {
    let name = session.identity.name.as_str();
    Ok(page(visit, back, name, Some(AGAIN), &Complaint::none())?.done())
}

/// Returns the failure for a user whom the app accepts but who has no account here.
fn no_account() -> Failure {
    Failure::refused(
        StatusCode::FORBIDDEN,
        "no_account",
        "Your user name and password are right, but you don't have an account here yet. Ask your \
         administrator for one.",
    )
}

/// Returns the failure for a user whom the app accepts but whose account here is disabled.
fn disabled() -> Failure {
    Failure::refused(
        StatusCode::FORBIDDEN,
        "account_disabled",
        "Your user name and password are right, but your account here is disabled. Ask your \
         administrator about it.",
    )
}

fn page(
    visit: &Visit,
    back: &Back,
    username: &str,
    notice: Option<&'static str>,
    complaint: &Complaint,
) -> Result<Answer, Failure> {
    // Both forms have one token, because the challenge is bound to it.
    let (csrf, cookie, passkey) = if let Some(forms) = visit.key_page()? {
        let options = visit.services.passkeys.passkey_options(visit.app(), &forms.page)?;
        (forms.csrf, forms.cookie, options)
    } else {
        let (csrf, cookie) = visit.csrf()?;
        (csrf, cookie, None)
    };
    let app_code = complaint.text.as_deref() == Some(APP_CODE);
    let forgot = visit.context.app.first_factor.is_kept_here();
    let frame = visit.frame().with_back(back);
    let page = Page { frame, csrf, username, notice, complaint, app_code, forgot, passkey };
    let answer = Answer::page(complaint.status(), &page)?.with_summary(complaint);
    Ok(answer.cookie(cookie).retry_after(complaint.wait))
}

/// Shows the page with a message about a passkey.
pub(super) fn with_complaint(visit: &Visit, complaint: &Complaint) -> Result<Response, Failure> {
    Ok(page(visit, &visit.back(), "", None, complaint)?.done())
}

/// Answers a stale form: redirects a signed-in browser, else shows the form with the same user name.
pub(super) async fn again(visit: &Visit, stale: &Stale) -> Result<Response, Failure> {
    if let Some(answer) = visit.led_on().await? {
        return Ok(answer.done());
    }
    let complaint = Complaint::stale(stale, visit.host());
    Ok(page(visit, &visit.back(), &stale.username, None, &complaint)?.done())
}

pub(in crate::web) async fn send(mut visit: Visit) -> Result<Response, Failure> {
    let form: LoginForm = match visit.sent()? {
        Ok(form) => form,
        Err(stale) => return again(&visit, &stale).await,
    };
    let back = visit.back();
    let attempt = FirstFactorAttempt {
        name: form.username.clone(),
        password: form.password,
        app_code: Some(form.app_code).filter(|code| !code.reveal().trim().is_empty()),
        caller: visit.caller(),
        return_to: back.as_str().to_owned(),
    };
    let complaint = match visit.services.first.first_factor(visit.app(), attempt).await? {
        FirstFactor::Begun { token, lives: _, enrol } => {
            let cookie = cookies::set(cookies::PENDING, token.reveal());
            let next = match &visit.context.openings {
                Some(openings) if !back.is_own() && openings.opens(&token, back.as_str()).await => {
                    back.as_str().to_owned()
                }
                _ if enrol => visit.on("/_auth/enroll"),
                _ => visit.on(second_factor::first_choice(&visit, &token).await?),
            };
            return Ok(Answer::see_other(&next).cookie(cookie).done());
        }
        FirstFactor::Wrong => Complaint::wrong(WRONG),
        FirstFactor::Wait(wait) => Complaint::wait(wait),
        FirstFactor::SignedIn(done) => {
            visit.end_session_before(&done).await;
            return Ok(signed_in(&visit, &done)?.done());
        }
        FirstFactor::AppCodeWanted => Complaint::wrong(APP_CODE),
        FirstFactor::Stranger => return Err(no_account()),
        FirstFactor::Disabled => return Err(disabled()),
    };
    Ok(page(&visit, &back, &form.username, None, &complaint)?.done())
}
