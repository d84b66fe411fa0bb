//! New recovery codes: shown until one of them is typed back.

use askama::Template;
use axum::response::Response;
use zeroize::Zeroizing;

use super::account::{Done, done};
use super::fresh;
use super::recovery_codes::file;
use super::step_up::Target;
use crate::auth::fresh::FreshFactors;
use crate::auth::login::KeptCodes;
use crate::auth::recovery::RecoveryCode;
use crate::auth::session::Session;
use crate::web::failure::Failure;
use crate::web::form::CodeForm;
use crate::web::service::Finished;
use crate::web::view::{Answer, Complaint, Frame};
use crate::web::visit::Visit;

const WRONG: &str = "That is none of the codes above, or there is a typo in it. Type one of them as \
                     you kept it.";

#[derive(Template)]
#[template(path = "new_codes.html")]
struct Page<'a> {
    frame: Frame,
    csrf: String,
    name: &'a str,
    codes: &'a [Zeroizing<String>],
    file: Zeroizing<String>,
    in_force: bool,
    complaint: &'a Complaint,
}

/// Somebody whose first codes are still due gets those first.
fn first_codes(session: &Session) -> Option<Response> {
    session
        .recovery_codes_due
        .as_ref()
        .map(|_due| Answer::see_other("/_auth/recovery-codes").done())
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    match fresh::with_both(&visit, &Target::RecoveryCodes).await? {
        Ok((token, session)) => page(&visit, &token, &session, &Complaint::none()).await,
        Err(elsewhere) => Ok(*elsewhere),
    }
}

async fn page(
    visit: &Visit,
    token: &Finished,
    session: &Session,
    complaint: &Complaint,
) -> Result<Response, Failure> {
    if let Some(elsewhere) = first_codes(session) {
        return Ok(elsewhere);
    }
    let Some(proof) = FreshFactors::of(session, visit.service.now()) else {
        return Ok(fresh::to_step_up(&Target::RecoveryCodes));
    };
    let Some(offer) = visit.service.offered_codes(token, proof).await? else {
        return Ok(fresh::to_login_for(&Target::RecoveryCodes));
    };
    let name = session.identity.name.as_str();
    let (csrf, cookie) = visit.csrf()?;
    let page = Page {
        frame: visit.frame(),
        csrf,
        name,
        codes: &offer.codes,
        file: file(visit, name, &offer.codes),
        in_force: offer.in_force,
        complaint,
    };
    Ok(Answer::page(complaint.status(), &page)?.told(complaint).cookie(cookie).done())
}

pub(in crate::web) async fn send(mut visit: Visit) -> Result<Response, Failure> {
    let sent = visit.sent::<CodeForm>()?;
    let (token, session) = match fresh::with_both(&visit, &Target::RecoveryCodes).await? {
        Ok(asked) => asked,
        Err(elsewhere) => return Ok(*elsewhere),
    };
    if let Some(elsewhere) = first_codes(&session) {
        return Ok(elsewhere);
    }
    let form = match sent {
        Ok(form) => form,
        Err(old) => {
            return page(&visit, &token, &session, &Complaint::stale(&old, visit.host())).await;
        }
    };
    let Some(proof) = FreshFactors::of(&session, visit.service.now()) else {
        return Ok(fresh::to_step_up(&Target::RecoveryCodes));
    };
    let outcome = match RecoveryCode::parse(form.code.reveal()) {
        Ok(code) => visit.service.keep_codes(&token, proof, &code, &visit.caller()).await?,
        Err(_) => KeptCodes::Wrong,
    };
    match outcome {
        KeptCodes::Done => Ok(done(Done::CodesKept)),
        KeptCodes::Wrong => page(&visit, &token, &session, &Complaint::wrong(WRONG)).await,
        KeptCodes::NothingOffered => Ok(Answer::see_other(Target::RecoveryCodes.path()).done()),
    }
}
