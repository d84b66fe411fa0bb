//! One-time links: set or enter a password, then set up the authenticator app.
//!
//! Opening a link only moves the ticket from the URL into a cookie, because mail scanners open links
//! too. The form redeems it.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::second_factor::first_choice;
use crate::auth::login::{Elsewhere, Redeemed, TicketView};
use crate::auth::token::PlainToken;
use crate::web::failure::Failure;
use crate::web::form::{Fields, SetupForm};
use crate::web::frame::Frame;
use crate::web::token::TicketText;
use crate::web::view::{Answer, Complaint};
use crate::web::visit::Visit;
use crate::web::{cookies, ticket_cookie};

const WRONG: &str = "Incorrect password.";
/// Message for a wrong user name or password at an app that checks passwords itself.
pub(super) const WRONG_AT_APP: &str =
    "Incorrect user name or password, or they belong to another account.";
/// Message for an account whose app also requires its own code.
pub(super) const APP_CODE: &str = "Your account also needs the app's own code here. Enter your password \
                                   again, together with that code.";

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
    /// True if the app checks the password itself.
    at_app: bool,
    /// User name at the app, as entered.
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

/// Returns the ticket in the URL, or an empty string.
fn in_address(visit: &Visit) -> Result<String, Failure> {
    Ok(Fields::of_query(&visit.uri)?.take("ticket"))
}

fn ticket(visit: &Visit) -> Result<Option<TicketText>, Failure> {
    let text = in_address(visit)?;
    let text = if text.is_empty() { ticket_cookie::read(&visit.headers) } else { Some(text) };
    Ok(text.and_then(|text| PlainToken::parse(&text, visit.services.keys())))
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    let text = in_address(&visit)?;
    if !text.is_empty() {
        // A malformed ticket is not stored in a cookie.
        let known = PlainToken::parse(&text, visit.services.keys());
        let cookie = known
            .as_ref()
            .and_then(|t: &TicketText| ticket_cookie::set(t.reveal()))
            .or_else(ticket_cookie::clear);
        return Ok(Answer::see_other("/_auth/setup").cookie(cookie).unreferred().done());
    }
    page(&visit, &Complaint::none()).await
}

/// Renders the page for the ticket's purpose.
async fn page(visit: &Visit, complaint: &Complaint) -> Result<Response, Failure> {
    let ticket = ticket(visit)?;
    match visit.services.links.ticket(visit.app(), ticket.as_ref(), &visit.caller()).await? {
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
    let service = &visit.services;
    let caller = visit.caller();
    match service.links.redeem(visit.app(), ticket.as_ref(), typed, &caller).await? {
        Redeemed::Begun { token, enrol } => {
            let next = if enrol { "/_auth/enroll" } else { first_choice(&visit, &token).await? };
            let cookie = cookies::set(cookies::PENDING, token.reveal());
            Ok(Answer::see_other(next).cookie(cookie).cookie(ticket_cookie::clear()).done())
        }
        Redeemed::Unfit { name, why } => {
            let complaint = Complaint::wrong(unfit(&why.to_string()));
            new_password(&visit, name.as_str(), &complaint, StatusCode::BAD_REQUEST)
        }
        Redeemed::Wrong { name } => {
            let kept_here = visit.context.app.first_factor.is_kept_here();
            let wrong = if kept_here { WRONG } else { WRONG_AT_APP };
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

/// Formats the reason for rejecting a new password as a sentence.
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
    Ok(Answer::page(status, &page)?.with_summary(complaint).cookie(cookie).done())
}

fn password(
    visit: &Visit,
    name: &str,
    username: &str,
    complaint: &Complaint,
) -> Result<Response, Failure> {
    let (csrf, cookie) = visit.csrf()?;
    let at_app = !visit.context.app.first_factor.is_kept_here();
    let app_code = complaint.text.as_deref() == Some(APP_CODE);
    let frame = visit.frame();
    let page = Password { frame, csrf, name, complaint, at_app, username, app_code };
    let answer = Answer::page(complaint.status(), &page)?.with_summary(complaint);
    Ok(answer.cookie(cookie).retry_after(complaint.wait).done())
}

/// Renders the page for a valid ticket that cannot be used at this app. The cookie is kept, because the
/// account may be linked to the app later.
fn elsewhere(visit: &Visit, name: &str, why: &Elsewhere) -> Result<Response, Failure> {
    let page = GoElsewhere { frame: visit.frame(), name, why };
    Ok(Answer::page(StatusCode::FORBIDDEN, &page)?.done())
}

/// Renders one page for every invalid ticket.
fn worthless(visit: &Visit, complaint: &Complaint) -> Result<Response, Failure> {
    let status = match complaint.wait {
        Some(_) => StatusCode::TOO_MANY_REQUESTS,
        None => StatusCode::UNAUTHORIZED,
    };
    let page = Worthless { frame: visit.frame(), complaint };
    let answer = Answer::page(status, &page)?.retry_after(complaint.wait);
    Ok(answer.cookie(ticket_cookie::clear()).done())
}
