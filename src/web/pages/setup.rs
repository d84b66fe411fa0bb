//! One-time links: setting a password, or the password there is, and then the authenticator app.
//!
//! Opening a link changes nothing, for mail scanners open links too: it moves the ticket from the
//! address into a cookie, and only the form uses it.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use crate::auth::login::{Elsewhere, Redeemed, TicketView};
use crate::auth::token::PlainToken;
use crate::web::failure::Failure;
use crate::web::form::{Fields, SetupForm};
use crate::web::recover::TicketText;
use crate::web::view::{Answer, Complaint, Frame};
use crate::web::visit::Visit;
use crate::web::{cookies, ticket_cookie};

const WRONG: &str = "The password is not right. Please try again.";
/// The same where an app keeps it.
pub(super) const WRONG_AT_APP: &str = "The name or the password is not right, or they are somebody else's. Please try \
                            again.";
/// The app that keeps the password wants a code of its own with it.
pub(super) const APP_CODE: &str = "Your account asks for a code of its own here. Type your password again, \
                                   and that code with it.";

#[derive(Template)]
#[template(path = "setup_new_password.html")]
struct NewPassword<'a> {
    frame: Frame,
    csrf: String,
    name: &'a str,
    complaint: &'a Complaint,
}

#[derive(Template)]
#[template(path = "setup_password.html")]
struct Password<'a> {
    frame: Frame,
    csrf: String,
    name: &'a str,
    complaint: &'a Complaint,
    /// The app keeps the password.
    at_app: bool,
    /// What was typed as the name at the app.
    username: &'a str,
    app_code: bool,
}

#[derive(Template)]
#[template(path = "setup_elsewhere.html")]
struct GoElsewhere<'a> {
    frame: Frame,
    name: &'a str,
    why: &'a Elsewhere,
}

#[derive(Template)]
#[template(path = "setup_worthless.html")]
struct Worthless<'a> {
    frame: Frame,
    complaint: &'a Complaint,
}

/// The ticket as it stands in the address, and whether there is one.
fn in_address(visit: &Visit) -> Result<String, Failure> {
    Ok(Fields::of_query(&visit.uri)?.take("ticket"))
}

fn ticket(visit: &Visit) -> Result<Option<TicketText>, Failure> {
    let asked = in_address(visit)?;
    let text = if asked.is_empty() { ticket_cookie::read(&visit.headers) } else { Some(asked) };
    Ok(text.and_then(|text| PlainToken::parse(&text, visit.service.keys())))
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    let asked = in_address(&visit)?;
    if !asked.is_empty() {
        // What is no token of ours is not even put into a cookie.
        let known = PlainToken::parse(&asked, visit.service.keys());
        let cookie = known
            .as_ref()
            .and_then(|t: &TicketText| ticket_cookie::set(t.reveal()))
            .or_else(ticket_cookie::clear);
        return Ok(Answer::see_other("/_auth/setup").cookie(cookie).unreferred().done());
    }
    page(&visit, &Complaint::none()).await
}

/// The page for what the ticket is good for.
async fn page(visit: &Visit, complaint: &Complaint) -> Result<Response, Failure> {
    let ticket = ticket(visit)?;
    match visit.service.ticket(visit.app(), ticket.as_ref(), &visit.caller()).await? {
        TicketView::NewPassword { name } => {
            new_password(visit, name.as_str(), complaint, complaint.status())
        }
        TicketView::Password { name } | TicketView::AppPassword { name } => {
            password(visit, name.as_str(), "", complaint)
        }
        TicketView::Elsewhere { name, why } => elsewhere(visit, name.as_str(), &why),
        TicketView::Worthless => worthless(visit, &Complaint::none()),
        TicketView::Wait(wait) => worthless(visit, &Complaint::wait(wait)),
    }
}

pub(in crate::web) async fn send(mut visit: Visit) -> Result<Response, Failure> {
    let SetupForm { typed } = match visit.sent()? {
        Ok(form) => form,
        Err(old) => return page(&visit, &Complaint::stale(&old, visit.host())).await,
    };
    let username = typed.name.clone();
    let ticket = ticket(&visit)?;
    let service = &visit.service;
    let caller = visit.caller();
    match service.redeem(visit.app(), ticket.as_ref(), typed, &caller).await? {
        Redeemed::Begun { token, enrol } => {
            let next = if enrol { "/_auth/enroll" } else { "/_auth/otp" };
            let cookie = cookies::set(cookies::PENDING, token.reveal());
            Ok(Answer::see_other(next).cookie(cookie).cookie(ticket_cookie::clear()).done())
        }
        Redeemed::Unfit { name, why } => {
            let complaint = Complaint::wrong(unfit(&why.to_string()));
            new_password(&visit, name.as_str(), &complaint, StatusCode::BAD_REQUEST)
        }
        Redeemed::Wrong { name } => {
            let wrong = if visit.context.app.keeps_passwords { WRONG_AT_APP } else { WRONG };
            password(&visit, name.as_str(), &username, &Complaint::wrong(wrong))
        }
        Redeemed::AppCodeWanted { name } => {
            password(&visit, name.as_str(), &username, &Complaint::wrong(APP_CODE))
        }
        Redeemed::Wait { name: Some(name), wait } => {
            password(&visit, name.as_str(), &username, &Complaint::wait(wait))
        }
        Redeemed::Elsewhere { name, why } => elsewhere(&visit, name.as_str(), &why),
        Redeemed::Wait { name: None, wait } => worthless(&visit, &Complaint::wait(wait)),
        Redeemed::Worthless => worthless(&visit, &Complaint::none()),
    }
}

/// Why a new password is not taken, as a sentence.
pub(in crate::web) fn unfit(why: &str) -> String {
    let mut letters = why.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}

fn new_password(
    visit: &Visit,
    name: &str,
    complaint: &Complaint,
    status: StatusCode,
) -> Result<Response, Failure> {
    let (csrf, cookie) = visit.csrf()?;
    let page = NewPassword { frame: visit.frame(), csrf, name, complaint };
    Ok(Answer::page(status, &page)?.told(complaint).cookie(cookie).done())
}

fn password(
    visit: &Visit,
    name: &str,
    username: &str,
    complaint: &Complaint,
) -> Result<Response, Failure> {
    let (csrf, cookie) = visit.csrf()?;
    let at_app = visit.context.app.keeps_passwords;
    let app_code = complaint.text.as_deref() == Some(APP_CODE);
    let frame = visit.frame();
    let page = Password { frame, csrf, name, complaint, at_app, username, app_code };
    let answer = Answer::page(complaint.status(), &page)?.told(complaint);
    Ok(answer.cookie(cookie).retry_after(complaint.wait).done())
}

/// What to do with a ticket that is good, and not at this app. It is kept: an account that gets linked
/// meanwhile can go on here.
fn elsewhere(visit: &Visit, name: &str, why: &Elsewhere) -> Result<Response, Failure> {
    let page = GoElsewhere { frame: visit.frame(), name, why };
    Ok(Answer::page(StatusCode::FORBIDDEN, &page)?.done())
}

/// One page for every ticket that does not work.
fn worthless(visit: &Visit, complaint: &Complaint) -> Result<Response, Failure> {
    let status = match complaint.wait {
        Some(_) => StatusCode::TOO_MANY_REQUESTS,
        None => StatusCode::UNAUTHORIZED,
    };
    let page = Worthless { frame: visit.frame(), complaint };
    let answer = Answer::page(status, &page)?.retry_after(complaint.wait);
    Ok(answer.cookie(ticket_cookie::clear()).done())
}
