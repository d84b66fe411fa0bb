//! New recovery codes, shown until the user enters one of them to confirm the set.

use askama::Template;
use axum::response::Response;

use super::account::{Done, done};
use super::fresh;
use super::recovery_codes::CodeSheet;
use super::target::Target;
use crate::auth::fresh::FreshFactors;
use crate::auth::login::{KeptCodes, Offered};
use crate::auth::recovery::RecoveryCode;
use crate::auth::session::Session;
use crate::web::failure::Failure;
use crate::web::form::ConfirmForm;
use crate::web::frame::Frame;
use crate::web::token::Finished;
use crate::web::view::{Answer, Complaint};
use crate::web::visit::Visit;
use crate::web::words;

#[derive(Template)]
#[template(path = "new_codes.html")]
struct Page<'a> {
    frame: Frame,
    csrf: String,
    sheet: CodeSheet<'a>,
    in_force: bool,
    /// Names of the keys that still sign in, after the authenticator app was set up anew.
    remaining_keys: Option<String>,
    complaint: &'a Complaint,
}

/// Redirects a user whose first recovery codes are still due.
fn first_codes(session: &Session) -> Option<Response> {
    session
        .recovery_codes_due
        .as_ref()
        .map(|_due| Answer::see_other("/_auth/recovery-codes").done())
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    match fresh::with_both(&visit, &Target::RecoveryCodes).await? {
        Ok((token, session)) => page(&visit, &token, &session, &Complaint::none()).await,
        Err(redirect) => Ok(*redirect),
    }
}

async fn page(
    visit: &Visit,
    token: &Finished,
    session: &Session,
    complaint: &Complaint,
) -> Result<Response, Failure> {
    if let Some(redirect) = first_codes(session) {
        return Ok(redirect);
    }
    let Some(proof) = FreshFactors::of(session, visit.services.now()) else {
        return Ok(fresh::to_step_up(&Target::RecoveryCodes));
    };
    let offer = match visit.services.codes.offered_codes(token, proof).await? {
        Offered::Shown(offer) => offer,
        Offered::NeedsKey => return Ok(fresh::to_step_up_by_key(&Target::RecoveryCodes)),
        Offered::Ended => return Ok(fresh::to_login_for(&Target::RecoveryCodes)),
    };
    let keys =
        if offer.in_force { visit.services.account.key_names(session).await? } else { Vec::new() };
    let name = session.identity.name.as_str();
    let (csrf, cookie) = visit.csrf()?;
    let page = Page {
        frame: visit.frame(),
        csrf,
        sheet: CodeSheet::of(visit, name, &offer),
        in_force: offer.in_force,
        remaining_keys: (!keys.is_empty()).then(|| words::listed(&keys)),
        complaint,
    };
    Ok(Answer::page(complaint.status(), &page)?.with_summary(complaint).cookie(cookie).done())
}

pub(in crate::web) async fn send(mut visit: Visit) -> Result<Response, Failure> {
    let sent = visit.sent::<ConfirmForm>()?;
    let (token, session) = match fresh::with_both(&visit, &Target::RecoveryCodes).await? {
        Ok(found) => found,
        Err(redirect) => return Ok(*redirect),
    };
    if let Some(redirect) = first_codes(&session) {
        return Ok(redirect);
    }
    let form = match sent {
        Ok(form) => form,
        Err(old) => {
            return page(&visit, &token, &session, &Complaint::stale(&old, visit.host())).await;
        }
    };
    let Some(proof) = FreshFactors::of(&session, visit.services.now()) else {
        return Ok(fresh::to_step_up(&Target::RecoveryCodes));
    };
    let outcome = match RecoveryCode::parse(form.code.reveal()) {
        Ok(code) => visit.services.codes.keep_codes(&token, proof, &code, &visit.caller()).await?,
        Err(_) => {
            return page(&visit, &token, &session, &Complaint::wrong(words::TYPO)).await;
        }
    };
    match outcome {
        KeptCodes::Done => Ok(done(Done::CodesKept)),
        KeptCodes::Wrong => {
            page(&visit, &token, &session, &Complaint::wrong(words::NONE_OF_THESE)).await
        }
        KeptCodes::Used => {
            page(&visit, &token, &session, &Complaint::wrong(words::USED_RECOVERY)).await
        }
        KeptCodes::NeedsKey => Ok(fresh::to_step_up_by_key(&Target::RecoveryCodes)),
        KeptCodes::NothingOffered => Ok(Answer::see_other(Target::RecoveryCodes.path()).done()),
    }
}
