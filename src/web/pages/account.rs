//! The profile: how the account is protected and where it is signed in.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::second_factor::to_login;
use crate::auth::login::Profile;
use crate::auth::session::Session;
use crate::web::failure::Failure;
use crate::web::view::{Answer, Frame};
use crate::web::visit::Visit;
use crate::web::words::{self, Moment};

/// From how few recovery codes on the person is warned.
const FEW_CODES: u32 = 3;

#[derive(Template)]
#[template(path = "account.html")]
struct Page<'a> {
    frame: Frame,
    csrf: String,
    name: &'a str,
    display_name: &'a str,
    email: Option<&'a str>,
    groups: String,
    password: bool,
    totp: Option<(Moment, Moment)>,
    codes: Option<Codes>,
    codes_due: bool,
    sessions: Vec<Row>,
}

struct Codes {
    left: u32,
    few: bool,
    made: Moment,
}

struct Row {
    device: String,
    address: String,
    started: Moment,
    seen: Moment,
    this: bool,
}

/// `/_auth/` leads to the account.
pub(in crate::web) fn home() -> Response {
    Answer::see_other("/_auth/account").done()
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    let Some((_, session)) = visit.session().await? else { return Ok(to_login()) };
    let profile = visit.service.profile(&session).await?;
    let (csrf, cookie) = visit.csrf()?;
    let page = page(visit.frame(), csrf, &profile, &session);
    Ok(Answer::page(StatusCode::OK, &page)?.cookie(cookie).done())
}

fn page<'a>(frame: Frame, csrf: String, profile: &'a Profile, current: &Session) -> Page<'a> {
    let identity = &profile.account.identity;
    let totp = profile.totp.as_ref();
    Page {
        frame,
        csrf,
        name: identity.name.as_str(),
        display_name: &identity.display_name,
        email: identity.email.as_deref(),
        groups: identity.groups.join(", "),
        password: profile.account.password.is_some(),
        totp: totp.map(|t| (Moment::new(t.confirmed_at), Moment::new(t.last_used_at))),
        codes: profile.recovery.as_ref().map(|set| Codes {
            left: set.left,
            few: set.left <= FEW_CODES,
            made: Moment::new(set.created_at),
        }),
        codes_due: current.recovery_codes_due.is_some(),
        sessions: profile.sessions.iter().map(|session| row(session, current)).collect(),
    }
}

fn row(session: &Session, current: &Session) -> Row {
    Row {
        device: words::device(&session.device.user_agent),
        address: session.device.address.to_string(),
        started: Moment::new(session.started_at),
        seen: Moment::new(session.last_seen_at),
        this: session.id == current.id,
    }
}
