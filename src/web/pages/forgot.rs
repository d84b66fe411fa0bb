//! Forgotten passwords: user name and recovery code, then the second factor, then a new password.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::second_factor::{RECOVERY_WORDS, finished, first_choice, no_login, to_login};
use super::setup::unfit;
use crate::auth::login::{FirstFactor, ForgotAttempt, NewPasswordSet, Owed};
use crate::auth::recovery::RecoveryCode;
use crate::web::cookies;
use crate::web::failure::Failure;
use crate::web::form::{ForgotForm, PasswordForm};
use crate::web::frame::Frame;
use crate::web::view::{Answer, Complaint};
use crate::web::visit::Visit;
use crate::web::words;

/// One message for every cause, so that it does not reveal which user names exist.
const WRONG: &str = "Incorrect user name or recovery code, or the code has already been used.";

#[derive(Template)]
#[template(path = "forgot.html")]
struct Page<'a> {
    frame: Frame,
    csrf: String,
    username: &'a str,
    complaint: &'a Complaint,
}

#[derive(Template)]
#[template(path = "forgot_password.html")]
struct NewPassword<'a> {
    frame: Frame,
    csrf: String,
    name: &'a str,
    complaint: &'a Complaint,
}

fn page(visit: &Visit, username: &str, complaint: &Complaint) -> Result<Response, Failure> {
    if !visit.context.app.first_factor.is_kept_here() {
        // The sign-in page says where to reset the password.
        return Ok(to_login(visit));
    }
    let (csrf, cookie) = visit.csrf()?;
    let page = Page { frame: visit.frame(), csrf, username, complaint };
    let answer = Answer::page(complaint.status(), &page)?.with_summary(complaint);
    Ok(answer.cookie(cookie).retry_after(complaint.wait).done())
}

pub(in crate::web) fn show(visit: &Visit) -> Result<Response, Failure> {
    page(visit, "", &Complaint::none())
}

pub(in crate::web) async fn send(mut visit: Visit) -> Result<Response, Failure> {
    let form: ForgotForm = match visit.sent()? {
        Ok(form) => form,
        Err(old) => {
            if let Some(answer) = visit.led_on().await? {
                return Ok(answer.done());
            }
            return page(&visit, &old.username, &Complaint::stale(&old, visit.host()));
        }
    };
    let Ok(code) = RecoveryCode::parse(form.code.reveal()) else {
        return page(&visit, &form.username, &Complaint::wrong(words::TYPO));
    };
    let attempt = ForgotAttempt {
        name: form.username.clone(),
        code,
        caller: visit.caller(),
        return_to: visit.back().as_str().to_owned(),
    };
    let complaint = match visit.services.forgotten.forgot(visit.app(), attempt).await? {
        FirstFactor::Begun { token, .. } => {
            let cookie = cookies::set(cookies::PENDING, token.reveal());
            let next = first_choice(&visit, &token).await?;
            return Ok(Answer::see_other(&visit.on(next)).cookie(cookie).done());
        }
        FirstFactor::Wrong
        | FirstFactor::SignedIn(_)
        | FirstFactor::AppCodeWanted
        | FirstFactor::Stranger
        | FirstFactor::Disabled => Complaint::wrong(WRONG),
        FirstFactor::Wait(wait) => Complaint::wait(wait),
    };
    page(&visit, &form.username, &complaint)
}

/// Renders the page for the new password, or redirects to the page that the login is at.
async fn password(
    visit: &Visit,
    complaint: &Complaint,
    status: StatusCode,
) -> Result<Response, Failure> {
    let Some(pending) = visit.pending() else { return no_login(visit).await };
    let name = match visit.services.logins.owed(visit.app(), &pending).await? {
        Some(Owed::NewPassword { name }) => name,
        Some(Owed::SecondFactor { .. } | Owed::Suspended { .. } | Owed::Help { .. }) => {
            return Ok(Answer::see_other(&visit.on("/_auth/otp")).done());
        }
        Some(Owed::Enrolment { .. }) => {
            return Ok(Answer::see_other(&visit.on("/_auth/enroll")).done());
        }
        None => return no_login(visit).await,
    };
    let (csrf, cookie) = visit.csrf()?;
    let page = NewPassword { frame: visit.frame(), csrf, name: name.as_str(), complaint };
    Ok(Answer::page(status, &page)?.with_summary(complaint).cookie(cookie).done())
}

pub(in crate::web) async fn show_password(visit: Visit) -> Result<Response, Failure> {
    password(&visit, &Complaint::none(), StatusCode::OK).await
}

pub(in crate::web) async fn send_password(mut visit: Visit) -> Result<Response, Failure> {
    let form: PasswordForm = match visit.sent()? {
        Ok(form) => form,
        Err(old) => {
            let complaint = Complaint::stale(&old, visit.host());
            return password(&visit, &complaint, complaint.status()).await;
        }
    };
    let Some(pending) = visit.pending() else { return no_login(&visit).await };
    if !matches!(
        visit.services.logins.owed(visit.app(), &pending).await?,
        Some(Owed::NewPassword { .. })
    ) {
        return password(&visit, &Complaint::none(), StatusCode::OK).await;
    }
    let service = &visit.services;
    let caller = visit.caller();
    match service
        .forgotten
        .set_forgotten_password(visit.app(), &pending, &form.password, &caller)
        .await?
    {
        NewPasswordSet::Unfit(why) => {
            let complaint = Complaint::wrong(unfit(&why.to_string()));
            password(&visit, &complaint, StatusCode::BAD_REQUEST).await
        }
        NewPasswordSet::Login(outcome) => {
            visit.end_former_session(&outcome).await;
            finished(&visit, &outcome, RECOVERY_WORDS)?.or_else(|_complaint| Ok(to_login(&visit)))
        }
    }
}
