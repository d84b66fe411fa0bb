//! The first recovery codes: one set, shown until the user enters one of them. The codes are shown
//! only to a navigation from this origin: not to HEAD, scripts, prefetch or links from other sites.

use askama::Template;
use axum::response::Response;
use zeroize::Zeroizing;

use super::fresh;
use super::second_factor::to_login;
use super::target::Target;
use crate::auth::fresh::FreshSecondFactor;
use crate::auth::login::{DueCodes, KeptCodes, OfferedCodes};
use crate::auth::recovery::RecoveryCode;
use crate::auth::session::Session;
use crate::base::clock::Timestamp;
use crate::web::back::Back;
use crate::web::failure::Failure;
use crate::web::form::ConfirmForm;
use crate::web::frame::Frame;
use crate::web::guard::is_own_navigation;
use crate::web::token::Finished;
use crate::web::view::{Answer, Complaint};
use crate::web::visit::{Visit, notice_path};
use crate::web::words::{self, day};

/// A set of recovery codes, for the screen, for print and for download.
pub(super) struct CodeSheet<'a> {
    pub(super) name: &'a str,
    pub(super) codes: &'a [Zeroizing<String>],
    pub(super) made: String,
    /// True if a code can also replace a forgotten password.
    pub(super) forgot: bool,
    pub(super) file: Zeroizing<String>,
}

#[derive(Template)]
#[template(path = "recovery_codes.html")]
struct Page<'a> {
    frame: Frame,
    csrf: String,
    sheet: CodeSheet<'a>,
    later: &'a str,
    complaint: &'a Complaint,
}

#[derive(Template)]
#[template(path = "recovery_codes_ready.html")]
struct Ready<'a> {
    frame: Frame,
    csrf: String,
    /// Date on which another session showed the set, if one did.
    made: Option<String>,
    later: &'a str,
    complaint: &'a Complaint,
}

impl<'a> CodeSheet<'a> {
    pub(super) fn of(visit: &Visit, name: &'a str, offer: &'a OfferedCodes) -> Self {
        let forgot = visit.context.app.first_factor.is_kept_here();
        let made_at =
            if offer.made_at == Timestamp::EPOCH { visit.services.now() } else { offer.made_at };
        let made = day(made_at);
        let file = file(visit, name, &offer.codes, &made, forgot);
        Self { name, codes: &offer.codes, made, forgot, file }
    }
}

/// Returns the codes as a text file for download.
fn file(
    visit: &Visit,
    name: &str,
    codes: &[Zeroizing<String>],
    made: &str,
    forgot: bool,
) -> Zeroizing<String> {
    let Frame { title, host, .. } = visit.frame();
    let purpose = if forgot {
        "Use one to sign in without your phone, or to replace a forgotten password."
    } else {
        "Use one to sign in without your phone."
    };
    let mut text = Zeroizing::new(format!(
        "Recovery codes for {name} at {title} ({host})\r\nCreated on {made}. They replace all \
         earlier codes.\r\n\r\n{purpose} Each code works once.\r\nAnyone who has these codes can \
         get into your account. Keep them somewhere safe,\r\naway from your phone and your \
         password.\r\n\r\n",
    ));
    for code in codes {
        text.push_str(code);
        text.push_str("\r\n");
    }
    text
}

/// Returns the address to continue to without confirming the codes.
fn later(visit: &Visit, session: &Session) -> String {
    let due = session.recovery_codes_due.as_deref().unwrap_or("/");
    let next = visit.asked_back().cloned().unwrap_or_else(|| Back::parse(due));
    if session.notices.is_empty() { next.as_str().to_owned() } else { notice_path(&next) }
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    let Some((token, session)) = visit.session().await? else { return Ok(to_login(&visit)) };
    if session.recovery_codes_due.is_none() {
        return Ok(confirmed_before(&visit));
    }
    if !is_own_navigation(&visit.method, &visit.headers) {
        return ready(&visit, &session, None, &Complaint::none());
    }
    page(&visit, &token, &session, &Complaint::none()).await
}

/// Renders the page with the codes, or the page or redirect that replaces it.
async fn page(
    visit: &Visit,
    token: &Finished,
    session: &Session,
    complaint: &Complaint,
) -> Result<Response, Failure> {
    let Some(proof) = FreshSecondFactor::of(session, visit.services.now()) else {
        return Ok(fresh::to_step_up(&Target::FirstCodes));
    };
    match visit.services.codes.due_codes(token, proof, false, &visit.caller()).await? {
        DueCodes::NotDue => Ok(confirmed_before(visit)),
        DueCodes::NeedsKey => Ok(fresh::to_step_up_by_key(&Target::FirstCodes)),
        DueCodes::ShownBefore { made_at } => ready(visit, session, Some(made_at), complaint),
        DueCodes::Shown(offer) => {
            let (csrf, cookie) = visit.csrf()?;
            let sheet = CodeSheet::of(visit, session.identity.name.as_str(), &offer);
            let later = later(visit, session);
            let page = Page { frame: visit.frame(), csrf, sheet, later: &later, complaint };
            Ok(Answer::page(complaint.status(), &page)?
                .with_summary(complaint)
                .cookie(cookie)
                .done())
        }
    }
}

/// Redirects when no codes are due: to the return address, or to the account if there is none.
fn confirmed_before(visit: &Visit) -> Response {
    Answer::see_other(visit.asked_back().map_or("/_auth/account", Back::as_str)).done()
}

/// Renders the page without codes.
fn ready(
    visit: &Visit,
    session: &Session,
    made_at: Option<Timestamp>,
    complaint: &Complaint,
) -> Result<Response, Failure> {
    let (csrf, cookie) = visit.csrf()?;
    let (frame, later, made) = (visit.frame(), later(visit, session), made_at.map(day));
    let page = Ready { frame, csrf, made, later: &later, complaint };
    Ok(Answer::page(complaint.status(), &page)?.with_summary(complaint).cookie(cookie).done())
}

pub(in crate::web) async fn send(mut visit: Visit) -> Result<Response, Failure> {
    let sent = visit.sent::<ConfirmForm>()?;
    let Some((token, session)) = visit.session().await? else { return Ok(to_login(&visit)) };
    if session.recovery_codes_due.is_none() {
        return Ok(confirmed_before(&visit));
    }
    let form = match sent {
        Ok(form) => form,
        Err(old) => {
            let complaint = Complaint::stale(&old, visit.host());
            return again(&visit, &token, &session, &complaint).await;
        }
    };
    let fresh = FreshSecondFactor::of(&session, visit.services.now());
    if form.anew {
        let Some(proof) = fresh else { return Ok(fresh::to_step_up(&Target::FirstCodes)) };
        return Ok(
            match visit.services.codes.due_codes(&token, proof, true, &visit.caller()).await? {
                DueCodes::NotDue => confirmed_before(&visit),
                DueCodes::NeedsKey => fresh::to_step_up_by_key(&Target::FirstCodes),
                DueCodes::Shown(_) | DueCodes::ShownBefore { .. } => {
                    Answer::see_other(&visit.on(Target::FirstCodes.path())).done()
                }
            },
        );
    }
    let kept = match RecoveryCode::parse(form.code.reveal()) {
        Ok(code) => {
            let service = &visit.services;
            service.codes.confirm_due_codes(&token, &session, &code, &visit.caller()).await?
        }
        Err(_) => {
            return again(&visit, &token, &session, &Complaint::wrong(words::TYPO)).await;
        }
    };
    match kept {
        KeptCodes::Done => Ok(Answer::see_other(&later(&visit, &session)).done()),
        KeptCodes::Wrong => {
            again(&visit, &token, &session, &Complaint::wrong(words::NONE_OF_THESE)).await
        }
        KeptCodes::Used => {
            again(&visit, &token, &session, &Complaint::wrong(words::USED_RECOVERY)).await
        }
        KeptCodes::NeedsKey => Ok(fresh::to_step_up_by_key(&Target::FirstCodes)),
        KeptCodes::NothingOffered => {
            Ok(Answer::see_other(&visit.on(Target::FirstCodes.path())).done())
        }
    }
}

/// Renders the page again with a message.
async fn again(
    visit: &Visit,
    token: &Finished,
    session: &Session,
    complaint: &Complaint,
) -> Result<Response, Failure> {
    if FreshSecondFactor::of(session, visit.services.now()).is_some() {
        page(visit, token, session, complaint).await
    } else {
        ready(visit, session, None, complaint)
    }
}
