//! Changing the password.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::account::{Done, done_with};
use super::fresh;
use super::target::Target;
use crate::auth::fresh::FreshSecondFactor;
use crate::auth::login::{PasswordChange, PasswordChanged};
use crate::auth::password::{MAX_LENGTH, PasswordRefused};
use crate::auth::session::Session;
use crate::web::failure::Failure;
use crate::web::form::PasswordChangeForm;
use crate::web::frame::Frame;
use crate::web::view::{Answer, Complaint};
use crate::web::visit::{Visit, with_renewed_session};

const WRONG: &str = "Incorrect current password.";

#[derive(Template)]
#[template(path = "password.html")]
struct Page<'a> {
    frame: Frame,
    csrf: String,
    name: &'a str,
    min_length: usize,
    current: &'a Complaint,
    new: &'a Complaint,
}

/// Explains why a new password is rejected.
pub(in crate::web) fn refused(why: &PasswordRefused) -> String {
    match why {
        PasswordRefused::TooShort(least) => {
            format!("That password is too short. Use at least {least} characters.")
        }
        PasswordRefused::TooLong => {
            format!("That password is too long. Use at most {MAX_LENGTH} characters.")
        }
        PasswordRefused::NamesThePerson => {
            "That password contains your name or email address, which attackers try first. Choose \
             one without them."
                .to_owned()
        }
        PasswordRefused::NamesTheService => {
            "That password contains the name of this service, which attackers try first. Choose \
             one without it."
                .to_owned()
        }
        PasswordRefused::TooEasy(why) => format!("That password is easy to guess. {why}"),
    }
}

/// Rejects the request if the app checks passwords itself, because there is none here to change.
fn kept_here(visit: &Visit) -> Result<(), Failure> {
    let app = &visit.context.app;
    if app.first_factor.is_kept_here() {
        return Ok(());
    }
    let sentence = format!("{} keeps your password. Change it there.", app.title);
    Err(Failure::refused(StatusCode::NOT_FOUND, "password_elsewhere", sentence))
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    kept_here(&visit)?;
    match fresh::with_second_factor(&visit, &Target::Password).await? {
        Ok((_, session)) => {
            page(&visit, &session, StatusCode::OK, &Complaint::none(), &Complaint::none())
        }
        Err(redirect) => Ok(*redirect),
    }
}

fn page(
    visit: &Visit,
    session: &Session,
    status: StatusCode,
    current: &Complaint,
    new: &Complaint,
) -> Result<Response, Failure> {
    let (csrf, cookie) = visit.csrf()?;
    let name = session.identity.name.as_str();
    let min_length = visit.services.password_length();
    let page = Page { frame: visit.frame(), csrf, name, min_length, current, new };
    let answer = Answer::page(status, &page)?.with_summary(current);
    Ok(answer.cookie(cookie).retry_after(current.wait).done())
}

pub(in crate::web) async fn send(mut visit: Visit) -> Result<Response, Failure> {
    let sent = visit.sent::<PasswordChangeForm>()?;
    kept_here(&visit)?;
    let (token, session) = match fresh::with_second_factor(&visit, &Target::Password).await? {
        Ok(found) => found,
        Err(redirect) => return Ok(*redirect),
    };
    let form = match sent {
        Ok(form) => form,
        Err(old) => {
            let complaint = Complaint::stale(&old, visit.host());
            return page(&visit, &session, complaint.status(), &complaint, &Complaint::none());
        }
    };
    let Some(proof) = FreshSecondFactor::of(&session, visit.services.now()) else {
        return Ok(fresh::to_step_up(&Target::Password));
    };
    let change =
        PasswordChange { current: form.current, new: form.password, caller: visit.caller() };
    let (current, new) = match visit.services.account.change_password(&token, proof, change).await?
    {
        PasswordChanged::Done(changed) => {
            return Ok(with_renewed_session(done_with(Done::PasswordChanged), &changed).done());
        }
        PasswordChanged::Ended => return Ok(fresh::to_login_for(&Target::Password)),
        PasswordChanged::WrongCurrent => (Complaint::wrong(WRONG), Complaint::none()),
        PasswordChanged::Wait(wait) => (Complaint::wait(wait), Complaint::none()),
        PasswordChanged::Refused(why) => (Complaint::none(), Complaint::wrong(refused(&why))),
    };
    let status =
        if new.text.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { current.status() };
    page(&visit, &session, status, &current, &new)
}
