//! One-time links: setting a password, or the password there is, and then the authenticator app.
//!
//! Opening a link changes nothing, for mail scanners open links too: it moves the ticket from the
//! address into a cookie, and only the form uses it.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use crate::auth::login::{Redeemed, TicketView};
use crate::auth::token::PlainToken;
use crate::web::failure::Failure;
use crate::web::form::{Fields, PasswordForm};
use crate::web::recover::TicketText;
use crate::web::view::{Answer, Complaint, Frame};
use crate::web::visit::Visit;
use crate::web::{cookies, ticket_cookie};

const WRONG: &str = "The password is not right. Please try again.";

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
    let ticket = ticket(&visit)?;
    let none = Complaint::none();
    match visit.service.ticket(ticket.as_ref(), &visit.caller()).await? {
        TicketView::NewPassword { name } => {
            new_password(&visit, name.as_str(), &none, none.status())
        }
        TicketView::Password { name } => password(&visit, name.as_str(), &none),
        TicketView::Worthless => worthless(&visit, &none),
        TicketView::Wait(wait) => worthless(&visit, &Complaint::wait(wait)),
    }
}

pub(in crate::web) async fn send(mut visit: Visit) -> Result<Response, Failure> {
    let form: PasswordForm = visit.form()?;
    let ticket = ticket(&visit)?;
    let service = &visit.service;
    let caller = visit.caller();
    match service.redeem(visit.app(), ticket.as_ref(), &form.password, &caller).await? {
        Redeemed::Begun { token, enrol } => {
            let next = if enrol { "/_auth/enroll" } else { "/_auth/otp" };
            let cookie = cookies::set(cookies::PENDING, token.reveal());
            Ok(Answer::see_other(next).cookie(cookie).cookie(ticket_cookie::clear()).done())
        }
        Redeemed::Unfit { name, why } => {
            let complaint = Complaint::wrong(unfit(&why.to_string()));
            new_password(&visit, name.as_str(), &complaint, StatusCode::BAD_REQUEST)
        }
        Redeemed::Wrong { name } => password(&visit, name.as_str(), &Complaint::wrong(WRONG)),
        Redeemed::Wait { name: Some(name), wait } => {
            password(&visit, name.as_str(), &Complaint::wait(wait))
        }
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
    Ok(Answer::page(status, &page)?.cookie(cookie).done())
}

fn password(visit: &Visit, name: &str, complaint: &Complaint) -> Result<Response, Failure> {
    let (csrf, cookie) = visit.csrf()?;
    let page = Password { frame: visit.frame(), csrf, name, complaint };
    let answer = Answer::page(complaint.status(), &page)?;
    Ok(answer.cookie(cookie).retry_after(complaint.wait).done())
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
