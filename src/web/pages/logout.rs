//! Signing out.

use askama::Template;
use axum::response::Response;

use crate::auth::audit::Ended;
use crate::web::cookies;
use crate::web::failure::Failure;
use crate::web::form::Nothing;
use crate::web::frame::Frame;
use crate::web::view::{Answer, Complaint};
use crate::web::visit::Visit;

#[derive(Template)]
#[template(path = "logout.html")]
struct Page {
    frame: Frame,
    csrf: String,
    signed_in: bool,
    name: String,
    complaint: Complaint,
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    page(&visit, Complaint::none()).await
}

async fn page(visit: &Visit, complaint: Complaint) -> Result<Response, Failure> {
    let session = visit.session().await?;
    let name = session.map(|(_, session)| session.identity.name.to_string());
    let signed_in = name.is_some() || visit.pending().is_some();
    let (csrf, cookie) = visit.csrf()?;
    if !signed_in && complaint.text.is_some() {
        return Ok(Answer::see_other("/_auth/logout").done());
    }
    let name = name.unwrap_or_default();
    let page = Page { frame: visit.frame(), csrf, signed_in, name, complaint };
    let answer = Answer::page(page.complaint.status(), &page)?.with_summary(&page.complaint);
    Ok(answer.cookie(cookie).done())
}

/// Signs out. The cookies are cleared only after the store has ended the session, so that no user
/// wrongly believes to be signed out.
pub(in crate::web) async fn send(mut visit: Visit) -> Result<Response, Failure> {
    if let Err(old) = visit.sent::<Nothing>()? {
        return page(&visit, Complaint::stale(&old, visit.host())).await;
    }
    if let Some(token) = visit.session_token() {
        visit.services.sessions.sign_out(&token, &visit.caller(), Ended::SignedOut).await?;
    }
    if let Some(token) = visit.pending() {
        visit.services.logins.abandon(&token).await?;
    }
    let answer = Answer::see_other("/_auth/logout");
    let answer = answer.cookie(cookies::clear(cookies::SESSION));
    Ok(answer.cookie(cookies::clear(cookies::PENDING)).done())
}
