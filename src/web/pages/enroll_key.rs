//! Setting up a passkey or security key at the first sign-in.

use askama::Template;
use axum::response::Response;

use super::enroll::elsewhere;
use super::keys::{LONG_NAME, is_too_long};
use super::second_factor::{WrongWords, finished, no_login};
use crate::auth::login::{KeyAnswer, KeyEnrolled};
use crate::auth::webauthn::challenge::Purpose;
use crate::web::failure::Failure;
use crate::web::form::KeyForm;
use crate::web::frame::Frame;
use crate::web::token::Pending;
use crate::web::view::{Answer, Complaint};
use crate::web::visit::{KeyForms, Visit};

/// Message for an answer that was refused, also on the account page.
pub(super) const REFUSED: &str = "The key couldn't be registered. Try again.";
/// Message for a key that is registered already.
pub(super) const REGISTERED: &str = "That key is registered already. Use another one.";

const WORDS: WrongWords = WrongWords { wrong: REFUSED, used_up: REFUSED };

#[derive(Template)]
#[template(path = "enroll_key.html")]
struct Page<'a> {
    frame: Frame,
    csrf: String,
    name: &'a str,
    key_name: &'a str,
    options: String,
    complaint: &'a Complaint,
}

async fn page(
    visit: &Visit,
    pending: &Pending,
    key_name: &str,
    complaint: &Complaint,
) -> Result<Response, Failure> {
    let Some(KeyForms { page: key_page, csrf, cookie }) = visit.key_page()? else {
        return Ok(Answer::see_other(&visit.on("/_auth/enroll")).done());
    };
    let offer =
        visit.services.enrolments.enrol_key_options(visit.app(), pending, &key_page).await?;
    let Some(offer) = offer else { return elsewhere(visit, pending).await };
    let page = Page {
        frame: visit.frame(),
        csrf,
        name: offer.name.as_str(),
        key_name,
        options: offer.options,
        complaint,
    };
    let answer = Answer::page(complaint.status(), &page)?.with_summary(complaint).cookie(cookie);
    Ok(answer.retry_after(complaint.wait).done())
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    match visit.pending() {
        Some(pending) => page(&visit, &pending, "", &Complaint::none()).await,
        None => no_login(&visit).await,
    }
}

pub(in crate::web) async fn send(mut visit: Visit) -> Result<Response, Failure> {
    let sent = visit.sent::<KeyForm>()?;
    let Some(pending) = visit.pending() else { return no_login(&visit).await };
    let form = match sent {
        Ok(form) => form,
        Err(old) => {
            return page(&visit, &pending, "", &Complaint::stale(&old, visit.host())).await;
        }
    };
    let Some(KeyForms { page: key_page, .. }) = visit.key_page()? else {
        return Ok(Answer::see_other(&visit.on("/_auth/enroll")).done());
    };
    if is_too_long(&form.name) {
        return page(&visit, &pending, "", &Complaint::wrong(LONG_NAME)).await;
    }
    let answer = KeyAnswer { text: form.credential, page: key_page, purpose: Purpose::Enrol };
    let (app, caller) = (visit.app(), visit.caller());
    let enrolled =
        visit.services.enrolments.enrol_key(app, &pending, (&answer, &form.name), &caller).await?;
    let outcome = match enrolled {
        KeyEnrolled::Checked(outcome) => outcome,
        KeyEnrolled::Registered => {
            return page(&visit, &pending, &form.name, &Complaint::wrong(REGISTERED)).await;
        }
    };
    visit.end_former_session(&outcome).await;
    match finished(&visit, &outcome, WORDS)? {
        Ok(response) => Ok(response),
        Err(complaint) => page(&visit, &pending, &form.name, &complaint).await,
    }
}
