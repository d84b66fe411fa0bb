//! Name and password.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use crate::auth::login::{FirstFactor, FirstFactorAttempt};
use crate::auth::session::Session;
use crate::web::cookies;
use crate::web::failure::Failure;
use crate::web::form::LoginForm;
use crate::web::return_to::ReturnTo;
use crate::web::view::{Answer, Complaint, Frame};
use crate::web::visit::{Visit, signed_in};

/// One sentence for every cause, so that it tells nobody which names exist.
const WRONG: &str = "The name or the password is not right. Please try again.";
const APP_CODE: &str = "Your account asks for a code of its own here. Type your password again, and that \
                        code with it.";
const AGAIN: &str = "Before you go on, please sign in again: your account asks for a code of its own here, \
                     and a new one is needed.";
const EXPIRED: &str = "Your sign-in was not finished in time or had too many tries. Please start \
                       again.";

#[derive(Template)]
#[template(path = "login.html")]
struct Page<'a> {
    frame: Frame,
    csrf: String,
    return_to: &'a str,
    username: &'a str,
    notice: Option<&'static str>,
    complaint: &'a Complaint,
    app_code: bool,
    forgot: bool,
}

pub(in crate::web) async fn show(mut visit: Visit) -> Result<Response, Failure> {
    let return_to = visit.return_to()?;
    if let Some((_, session)) = visit.session().await? {
        let asked = return_to.as_ref().map_or("/_auth/account", ReturnTo::as_str);
        let next =
            if session.recovery_codes_due.is_some() { "/_auth/recovery-codes" } else { asked };
        return Ok(Answer::see_other(next).done());
    }
    // Nobody is asked for a password that cannot be taken now.
    visit.service.is_open().await?;
    let mut notice = None;
    let mut cleared = None;
    if let Some(pending) = visit.pending()
        && visit.service.owed(visit.app(), &pending).await?.is_none()
    {
        notice = Some(EXPIRED);
        cleared = visit.forget_pending();
    }
    let return_to = return_to.unwrap_or_else(ReturnTo::root);
    let answer = page(&visit, &return_to, "", notice, &Complaint::none())?;
    Ok(answer.cookie(cleared).done())
}

/// For somebody signed in by a code of the app's own, who has no authenticator here to prove it is
/// them: the way in once more, which takes the place of the session.
pub(super) fn once_more(
    visit: &Visit,
    session: &Session,
    return_to: &ReturnTo,
) -> Result<Response, Failure> {
    let name = session.identity.name.as_str();
    Ok(page(visit, return_to, name, Some(AGAIN), &Complaint::none())?.done())
}

/// The app took name and password, and there is no account for that person.
fn stranger() -> Failure {
    Failure::refused(
        StatusCode::FORBIDDEN,
        "no_account",
        "Your name and password are right, but you have no account here yet. Ask your \
         administrator for one.",
    )
}

fn page(
    visit: &Visit,
    return_to: &ReturnTo,
    username: &str,
    notice: Option<&'static str>,
    complaint: &Complaint,
) -> Result<Answer, Failure> {
    let (csrf, cookie) = visit.csrf()?;
    let return_to = return_to.as_str();
    let app_code = complaint.text.as_deref() == Some(APP_CODE);
    let forgot = !visit.context.app.keeps_passwords;
    let frame = visit.frame();
    let page = Page { frame, csrf, return_to, username, notice, complaint, app_code, forgot };
    let answer = Answer::page(complaint.status(), &page)?;
    Ok(answer.cookie(cookie).retry_after(complaint.wait))
}

pub(in crate::web) async fn send(mut visit: Visit) -> Result<Response, Failure> {
    let form: LoginForm = visit.form()?;
    let asked = visit.return_to()?;
    let return_to = if form.return_to.is_empty() {
        asked.unwrap_or_else(ReturnTo::root)
    } else {
        ReturnTo::parse(&form.return_to)
    };
    let attempt = FirstFactorAttempt {
        name: form.username.clone(),
        password: form.password,
        app_code: Some(form.app_code).filter(|code| !code.reveal().trim().is_empty()),
        caller: visit.caller(),
        return_to: return_to.as_str().to_owned(),
    };
    let complaint = match visit.service.first_factor(visit.app(), attempt).await? {
        FirstFactor::Begun { token, lives: _, enrol } => {
            let cookie = cookies::set(cookies::PENDING, token.reveal());
            let next = match &visit.context.openings {
                Some(openings) if openings.opens(&token, return_to.as_str()).await => {
                    return_to.as_str()
                }
                _ if enrol => "/_auth/enroll",
                _ => "/_auth/otp",
            };
            return Ok(Answer::see_other(next).cookie(cookie).done());
        }
        FirstFactor::Wrong => Complaint::wrong(WRONG),
        FirstFactor::Wait(wait) => Complaint::wait(wait),
        FirstFactor::SignedIn(done) => {
            visit.end_session_before(&done).await;
            return Ok(signed_in(&done)?.done());
        }
        FirstFactor::AppCodeWanted => Complaint::wrong(APP_CODE),
        FirstFactor::Stranger => return Err(stranger()),
    };
    Ok(page(&visit, &return_to, &form.username, None, &complaint)?.done())
}
