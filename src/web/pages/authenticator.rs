//! Replacing the authenticator app.

use askama::Template;
use axum::response::Response;

use super::fresh;
use super::second_factor::clock_words;
use super::target::Target;
use crate::auth::fresh::FreshFactors;
use crate::auth::login::{Offered, Replaced};
use crate::auth::session::Session;
use crate::auth::totp::Code;
use crate::web::failure::Failure;
use crate::web::form::CodeForm;
use crate::web::frame::Frame;
use crate::web::qr::Scan;
use crate::web::token::Finished;
use crate::web::view::{Answer, Complaint};
use crate::web::visit::{Visit, with_renewed_session};
use crate::web::words;

const WRONG: &str = "That code didn't work. Check that it's from the entry you just scanned, not the \
                     old one, and that your phone's clock is right.";

#[derive(Template)]
#[template(path = "authenticator.html")]
struct Page<'a> {
    frame: Frame,
    csrf: String,
    name: &'a str,
    scan: Scan<'a>,
    complaint: &'a Complaint,
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    match fresh::with_both(&visit, &Target::Authenticator).await? {
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
    let Some(proof) = FreshFactors::of(session, visit.services.now()) else {
        return Ok(fresh::to_step_up(&Target::Authenticator));
    };
    let offer =
        visit.services.authenticators.offered_authenticator(visit.app(), token, proof).await?;
    let offer = match offer {
        Offered::Shown(offer) => offer,
        Offered::NeedsKey => return Ok(fresh::to_step_up_by_key(&Target::Authenticator)),
        Offered::Ended => return Ok(fresh::to_login_for(&Target::Authenticator)),
    };
    let (csrf, cookie) = visit.csrf()?;
    let page = Page {
        frame: visit.frame(),
        csrf,
        name: offer.name.as_str(),
        scan: Scan::of(&offer)?,
        complaint,
    };
    Ok(Answer::page(complaint.status(), &page)?.with_summary(complaint).cookie(cookie).done())
}

pub(in crate::web) async fn send(mut visit: Visit) -> Result<Response, Failure> {
    let sent = visit.sent::<CodeForm>()?;
    let (token, session) = match fresh::with_both(&visit, &Target::Authenticator).await? {
        Ok(found) => found,
        Err(redirect) => return Ok(*redirect),
    };
    let form = match sent {
        Ok(form) => form,
        Err(old) => {
            return page(&visit, &token, &session, &Complaint::stale(&old, visit.host())).await;
        }
    };
    let Some(proof) = FreshFactors::of(&session, visit.services.now()) else {
        return Ok(fresh::to_step_up(&Target::Authenticator));
    };
    let Ok(code) = Code::parse(form.code.reveal()) else {
        return page(&visit, &token, &session, &Complaint::wrong(words::NOT_A_CODE)).await;
    };
    let outcome = visit
        .services
        .authenticators
        .replace_authenticator(&token, proof, &code, &visit.caller())
        .await?;
    match outcome {
        Replaced::Done(changed) => {
            Ok(with_renewed_session(Answer::see_other(Target::RecoveryCodes.path()), &changed)
                .done())
        }
        Replaced::Wrong { clock } => {
            let text = clock.map_or_else(|| WRONG.to_owned(), clock_words);
            page(&visit, &token, &session, &Complaint::wrong(text)).await
        }
        Replaced::NeedsKey => Ok(fresh::to_step_up_by_key(&Target::Authenticator)),
        Replaced::NothingOffered => Ok(Answer::see_other(Target::Authenticator.path()).done()),
        Replaced::Ended => Ok(fresh::to_login_for(&Target::Authenticator)),
    }
}
