//! The page that offers to send a kept request, after its user has signed in again.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::second_factor::to_login;
use crate::auth::parked::{ParkedAt, ParkedRequest};
use crate::auth::session::Session;
use crate::auth::token::{ParkedToken, PlainToken};
use crate::base::id::AccountId;
use crate::web::back::Back;
use crate::web::cookies;
use crate::web::failure::Failure;
use crate::web::form::ResendForm;
use crate::web::frame::Frame;
use crate::web::view::{Answer, Complaint};
use crate::web::visit::Visit;
use crate::web::words;

/// The order to send a kept request, as an extension of the response.
#[derive(Clone, Debug)]
pub struct Resend {
    /// The browser's token of what is kept.
    pub token: std::sync::Arc<PlainToken<ParkedToken>>,
    /// The account that was sending it.
    pub account: AccountId,
    /// The request.
    pub request: ParkedRequest,
}

#[derive(Template)]
#[template(path = "resend.html")]
struct Page {
    frame: Frame,
    csrf: String,
    shown: Shown,
    complaint: Complaint,
}

/// A kept request as the page shows it.
struct Shown {
    method: String,
    path: String,
    size: String,
    host: String,
}

impl Shown {
    fn of(request: &ParkedRequest, host: &str) -> Self {
        let target = &request.head.target;
        Self {
            method: request.head.method.clone(),
            path: target.split_once('?').map_or(&**target, |(path, _)| path).to_owned(),
            size: words::bytes(request.body.len()),
            host: host.to_owned(),
        }
    }
}

#[derive(Template)]
#[template(path = "resend_nothing.html")]
struct Nothing {
    frame: Frame,
}

type Waiting = (PlainToken<ParkedToken>, Session, ParkedRequest);

/// Returns what is kept for the user of this browser, or the answer if there is nothing.
async fn waiting(visit: &Visit) -> Result<Result<Waiting, Response>, Failure> {
    let Some((_, session)) = visit.session().await? else { return Ok(Err(to_login(visit))) };
    let at = ParkedAt { app: &visit.context.app.name, origin: &visit.context.origin };
    let token = visit.parked();
    let request = match &token {
        Some(token) => visit.services.parking.waiting(token, session.identity.account, at).await?,
        None => None,
    };
    Ok(match token.zip(request) {
        Some((token, request)) => Ok((token, session, request)),
        None => Err(nothing(visit, StatusCode::OK)?),
    })
}

fn nothing(visit: &Visit, status: StatusCode) -> Result<Response, Failure> {
    let page = Nothing { frame: visit.frame() };
    Ok(Answer::page(status, &page)?.cookie(cookies::clear(cookies::PARKED)).done())
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    match waiting(&visit).await? {
        Ok((_, _, request)) => page(&visit, &request, Complaint::none()),
        Err(answer) => Ok(answer),
    }
}

fn page(visit: &Visit, request: &ParkedRequest, complaint: Complaint) -> Result<Response, Failure> {
    let (csrf, cookie) = visit.csrf()?;
    let shown = Shown::of(request, visit.host());
    let page = Page { frame: visit.frame(), csrf, shown, complaint };
    let answer = Answer::page(page.complaint.status(), &page)?.with_summary(&page.complaint);
    Ok(answer.cookie(cookie).done())
}

/// Discards what is kept, or orders the gateway to send it.
pub(in crate::web) async fn send(mut visit: Visit) -> Result<Response, Failure> {
    let sent = visit.sent::<ResendForm>()?;
    let (token, session, request) = match waiting(&visit).await? {
        Ok(kept) => kept,
        Err(answer) if answer.status() == StatusCode::OK => {
            return nothing(&visit, StatusCode::CONFLICT);
        }
        Err(answer) => return Ok(answer),
    };
    let choice = match sent {
        Ok(choice) => choice,
        Err(old) => return page(&visit, &request, Complaint::stale(&old, visit.host())),
    };
    if choice.discard {
        visit.services.parking.discard(&token).await?;
        let back = Back::of_target(&request.head.page);
        let answer = Answer::see_other(back.as_str());
        return Ok(answer.cookie(cookies::clear(cookies::PARKED)).done());
    }
    if !choice.send {
        return page(&visit, &request, Complaint::wrong("Choose to send it or to discard it."));
    }
    let account = session.identity.account;
    let order = Resend { token: token.into(), account, request };
    let mut response = Answer::see_other("/").done();
    response.extensions_mut().insert(order);
    Ok(response)
}
