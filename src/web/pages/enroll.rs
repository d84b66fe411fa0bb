//! Setting up an authenticator app at the first sign-in.

use askama::Template;
use axum::response::Response;

use super::second_factor::{WrongWords, finished, no_login};
use crate::auth::login::Owed;
use crate::auth::totp::Code;
use crate::web::failure::Failure;
use crate::web::form::CodeForm;
use crate::web::frame::Frame;
use crate::web::qr::Scan;
use crate::web::token::Pending;
use crate::web::view::{Answer, Complaint};
use crate::web::visit::Visit;
use crate::web::words;

/// A code of a new entry cannot have been used before, so both messages are the same.
const WRONG: WrongWords = WrongWords { wrong: WRONG_NEW, used_up: WRONG_NEW };
const WRONG_NEW: &str = "That code didn't work. Check that you scanned the QR code on this page and \
                         that your phone's clock is right, then enter the code it shows now.";

#[derive(Template)]
#[template(path = "enroll.html")]
struct Page<'a> {
    frame: Frame,
    csrf: String,
    name: &'a str,
    scan: Scan<'a>,
    /// True if a key can be set up instead.
    key: bool,
    complaint: &'a Complaint,
}

async fn page(
    visit: &Visit,
    pending: &Pending,
    complaint: &Complaint,
) -> Result<Response, Failure> {
    let Some(offer) = visit.services.enrolments.enrolment(visit.app(), pending).await? else {
        return elsewhere(visit, pending).await;
    };
    let (csrf, cookie) = visit.csrf()?;
    let page = Page {
        frame: visit.frame(),
        csrf,
        name: offer.name.as_str(),
        scan: Scan::of(&offer)?,
        key: visit.party().is_some(),
        complaint,
    };
    let answer = Answer::page(complaint.status(), &page)?;
    Ok(answer.with_summary(complaint).cookie(cookie).retry_after(complaint.wait).done())
}

/// Redirects a login that may not enrol.
pub(super) async fn elsewhere(visit: &Visit, pending: &Pending) -> Result<Response, Failure> {
    Ok(match visit.services.logins.owed(visit.app(), pending).await? {
        Some(
            Owed::SecondFactor { .. }
            | Owed::Suspended { .. }
            | Owed::NewPassword { .. }
            | Owed::Help { .. },
        ) => Answer::see_other(&visit.on("/_auth/otp")).done(),
        Some(Owed::Enrolment { .. }) | None => return no_login(visit).await,
    })
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    match visit.pending() {
        Some(pending) => page(&visit, &pending, &Complaint::none()).await,
        None => no_login(&visit).await,
    }
}

pub(in crate::web) async fn send(mut visit: Visit) -> Result<Response, Failure> {
    let sent = visit.sent::<CodeForm>()?;
    let Some(pending) = visit.pending() else { return no_login(&visit).await };
    let form = match sent {
        Ok(form) => form,
        Err(old) => return page(&visit, &pending, &Complaint::stale(&old, visit.host())).await,
    };
    let Ok(code) = Code::parse(form.code.reveal()) else {
        return page(&visit, &pending, &Complaint::wrong(words::NOT_A_CODE)).await;
    };
    let service = &visit.services;
    let outcome =
        service.enrolments.confirm_enrolment(visit.app(), &pending, &code, &visit.caller()).await?;
    visit.end_former_session(&outcome).await;
    match finished(&visit, &outcome, WRONG)? {
        Ok(response) => Ok(response),
        Err(complaint) => page(&visit, &pending, &complaint).await,
    }
}
