//! A forgotten password: name and recovery code, and, once the second factor is proved as well, a
//! new password.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::second_factor::{finished, to_login};
use super::setup::unfit;
use crate::auth::login::{FirstFactor, ForgotAttempt, NewPasswordSet, Owed};
use crate::auth::recovery::RecoveryCode;
use crate::web::cookies;
use crate::web::failure::Failure;
use crate::web::form::{ForgotForm, PasswordForm};
use crate::web::return_to::ReturnTo;
use crate::web::view::{Answer, Complaint, Frame};
use crate::web::visit::Visit;

/// One sentence for every cause, so that it tells nobody which names exist.
const WRONG: &str = "The name or the recovery code is not right, or the code was used before. \
                     Please try again.";
/// Found by the check character alone, whatever the name: it costs no try.
const TYPO: &str = "There is a typo in the recovery code. Please compare it with the one you kept.";

#[derive(Template)]
#[template(path = "forgot.html")]
struct Page<'a> {
    frame: Frame,
    csrf: String,
    return_to: &'a str,
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

fn page(
    visit: &Visit,
    return_to: &ReturnTo,
    username: &str,
    complaint: &Complaint,
) -> Result<Response, Failure> {
    let return_to = return_to.as_str();
    if visit.context.app.keeps_passwords {
        // The sign-in page says who keeps the password.
        return Ok(Answer::see_other("/_auth/login").done());
    }
    let (csrf, cookie) = visit.csrf()?;
    let page = Page { frame: visit.frame(), csrf, return_to, username, complaint };
    let answer = Answer::page(complaint.status(), &page)?;
    Ok(answer.cookie(cookie).retry_after(complaint.wait).done())
}

pub(in crate::web) fn show(visit: &Visit) -> Result<Response, Failure> {
    let return_to = visit.return_to()?.unwrap_or_else(ReturnTo::root);
    page(visit, &return_to, "", &Complaint::none())
}

pub(in crate::web) async fn send(mut visit: Visit) -> Result<Response, Failure> {
    let form: ForgotForm = visit.form()?;
    let asked = visit.return_to()?;
    let return_to = if form.return_to.is_empty() {
        asked.unwrap_or_else(ReturnTo::root)
    } else {
        ReturnTo::parse(&form.return_to)
    };
    let Ok(code) = RecoveryCode::parse(form.code.reveal()) else {
        return page(&visit, &return_to, &form.username, &Complaint::wrong(TYPO));
    };
    let attempt = ForgotAttempt {
        name: form.username.clone(),
        code,
        caller: visit.caller(),
        return_to: return_to.as_str().to_owned(),
    };
    let complaint = match visit.service.forgot(visit.app(), attempt).await? {
        FirstFactor::Begun { token, .. } => {
            let cookie = cookies::set(cookies::PENDING, token.reveal());
            return Ok(Answer::see_other("/_auth/otp").cookie(cookie).done());
        }
        FirstFactor::Wrong
        | FirstFactor::SignedIn(_)
        | FirstFactor::AppCodeWanted
        | FirstFactor::Stranger => Complaint::wrong(WRONG),
        FirstFactor::Wait(wait) => Complaint::wait(wait),
    };
    page(&visit, &return_to, &form.username, &complaint)
}

/// The page for the new password, or where the login stands instead.
async fn password(
    visit: &Visit,
    complaint: &Complaint,
    status: StatusCode,
) -> Result<Response, Failure> {
    let Some(pending) = visit.pending() else { return Ok(to_login()) };
    let name = match visit.service.owed(visit.app(), &pending).await? {
        Some(Owed::NewPassword { name }) => name,
        Some(Owed::SecondFactor { .. } | Owed::Suspended { .. } | Owed::Help { .. }) => {
            return Ok(Answer::see_other("/_auth/otp").done());
        }
        Some(Owed::Enrolment { .. }) => return Ok(Answer::see_other("/_auth/enroll").done()),
        None => return Ok(to_login()),
    };
    let (csrf, cookie) = visit.csrf()?;
    let page = NewPassword { frame: visit.frame(), csrf, name: name.as_str(), complaint };
    Ok(Answer::page(status, &page)?.cookie(cookie).done())
}

pub(in crate::web) async fn show_password(visit: Visit) -> Result<Response, Failure> {
    password(&visit, &Complaint::none(), StatusCode::OK).await
}

pub(in crate::web) async fn send_password(mut visit: Visit) -> Result<Response, Failure> {
    let form: PasswordForm = visit.form()?;
    let Some(pending) = visit.pending() else { return Ok(to_login()) };
    if !matches!(visit.service.owed(visit.app(), &pending).await?, Some(Owed::NewPassword { .. })) {
        return password(&visit, &Complaint::none(), StatusCode::OK).await;
    }
    let service = &visit.service;
    let caller = visit.caller();
    match service.set_forgotten_password(visit.app(), &pending, &form.password, &caller).await? {
        NewPasswordSet::Unfit(why) => {
            let complaint = Complaint::wrong(unfit(&why.to_string()));
            password(&visit, &complaint, StatusCode::BAD_REQUEST).await
        }
        NewPasswordSet::Login(outcome) => {
            visit.end_former_session(&outcome).await;
            finished(&outcome, WRONG)?.or_else(|_complaint| Ok(to_login()))
        }
    }
}
