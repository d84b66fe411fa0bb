//! The recovery codes, shown once. Every showing makes a new set, so only the person opening the
//! page here may cause one: no HEAD, no script, no prefetch, no other site.

use askama::Template;
use axum::response::Response;
use http::StatusCode;
use zeroize::Zeroizing;

use super::second_factor::to_login;
use crate::auth::recovery::RecoveryCode;
use crate::web::back::Back;
use crate::web::failure::Failure;
use crate::web::form::ConfirmForm;
use crate::web::guard::is_own_navigation;
use crate::web::view::{Answer, Frame};
use crate::web::visit::{Visit, notice_path};

#[derive(Template)]
#[template(path = "recovery_codes.html")]
struct Page<'a> {
    frame: Frame,
    csrf: String,
    name: &'a str,
    codes: &'a [Zeroizing<String>],
    file: Zeroizing<String>,
}

#[derive(Template)]
#[template(path = "recovery_codes_ready.html")]
struct Ready {
    frame: Frame,
    csrf: String,
    unticked: bool,
}

/// The codes as a text file, for the download.
pub(super) fn file(visit: &Visit, name: &str, codes: &[Zeroizing<String>]) -> Zeroizing<String> {
    let frame = visit.frame();
    let mut text = Zeroizing::new(format!(
        "Recovery codes for {} at {} ({})\r\nEach code works once.\r\n\r\n",
        name, frame.title, frame.host
    ));
    for code in codes {
        text.push_str(code);
        text.push_str("\r\n");
    }
    text
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    let Some((_, session)) = visit.session().await? else { return Ok(to_login(&visit)) };
    if session.recovery_codes_due.is_none() {
        return Ok(confirmed_before(&visit));
    }
    if !is_own_navigation(&visit.method, &visit.headers) {
        return ready(&visit, StatusCode::OK);
    }
    let Some(codes) = visit.service.new_recovery_codes(&session, &visit.caller()).await? else {
        return Ok(confirmed_before(&visit));
    };
    let codes: Vec<_> = codes.iter().map(RecoveryCode::to_display).collect();
    let name = session.identity.name.as_str();
    let (csrf, cookie) = visit.csrf()?;
    let file = file(&visit, name, &codes);
    let page = Page { frame: visit.frame(), csrf, name, codes: &codes, file };
    Ok(Answer::page(StatusCode::OK, &page)?.cookie(cookie).done())
}

/// Nothing is due: on, or to the account where nobody said where to.
fn confirmed_before(visit: &Visit) -> Response {
    Answer::see_other(visit.asked_back().map_or("/_auth/account", Back::as_str)).done()
}

/// The page without codes.
fn ready(visit: &Visit, status: StatusCode) -> Result<Response, Failure> {
    let (csrf, cookie) = visit.csrf()?;
    let page = Ready { frame: visit.frame(), csrf, unticked: status != StatusCode::OK };
    Ok(Answer::page(status, &page)?.cookie(cookie).done())
}

pub(in crate::web) async fn send(mut visit: Visit) -> Result<Response, Failure> {
    let form: ConfirmForm = visit.form()?;
    let Some((token, session)) = visit.session().await? else { return Ok(to_login(&visit)) };
    if session.recovery_codes_due.is_none() {
        return Ok(confirmed_before(&visit));
    }
    if !form.confirmed {
        return ready(&visit, StatusCode::BAD_REQUEST);
    }
    let kept = visit.service.confirm_recovery_codes(&token, &session, &visit.caller()).await?;
    let Some(next) = kept else { return Ok(confirmed_before(&visit)) };
    let next = visit.asked_back().cloned().unwrap_or_else(|| Back::parse(&next));
    if !session.notices.is_empty() {
        return Ok(Answer::see_other(&notice_path(&next)).done());
    }
    Ok(Answer::see_other(next.as_str()).done())
}
