//! The profile: how the account is protected and where it is signed in.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::events::{self, Told};
use super::fresh;
use super::step_up::Target;
use crate::auth::access_token::AccessRecord;
use crate::auth::login::Profile;
use crate::auth::recovery;
use crate::auth::session::Session;
use crate::base::browser;
use crate::web::failure::Failure;
use crate::web::form::Fields;
use crate::web::guard::is_own_navigation;
use crate::web::view::{Answer, Frame};
use crate::web::visit::Visit;
use crate::web::words::Moment;

/// Where the password is.
enum Password {
    Unset,
    Set,
    /// The app keeps it in our place.
    AtApp,
}

#[derive(Template)]
#[template(path = "account.html")]
struct Page<'a> {
    frame: Frame,
    csrf: String,
    name: &'a str,
    display_name: &'a str,
    email: Option<&'a str>,
    groups: String,
    told: Option<&'static str>,
    password: Password,
    password_set: Option<Moment>,
    others: bool,
    totp: Option<(Moment, Moment)>,
    codes: Option<Codes>,
    codes_due: bool,
    sessions: Vec<Row>,
    tokens: Vec<Token>,
    events: Vec<Told>,
}

struct Codes {
    left: u32,
    few: bool,
    made: Moment,
}

struct Row {
    id: String,
    device: String,
    address: String,
    started: Moment,
    seen: Moment,
    this: bool,
}

struct Token {
    id: String,
    /// What it is for, or the app where nobody said.
    what: String,
    app: String,
    limits: Option<String>,
    made: Moment,
    used: Option<Moment>,
    expires: Moment,
}

/// What was just done, told on the account page.
#[derive(Clone, Copy)]
pub(super) enum Done {
    PasswordChanged,
    CodesKept,
    SessionEnded,
    SessionGone,
    OthersEnded,
    TokenRevoked,
    TokenGone,
    Nothing,
}

/// Each by its name in the address, and what is told.
const TOLD: [(&str, &str); 7] = [
    ("password", "Your password was changed, and every other browser was signed out."),
    ("codes", "Your new recovery codes are in force. The ones you had before no longer work."),
    ("session", "That browser was signed out."),
    ("gone", "That browser was signed out already."),
    ("others", "Every other browser was signed out."),
    ("revoked", "The token was revoked. The program that has it no longer gets in."),
    ("notoken", "There is no such token any more."),
];

/// Back to the account, which says what was done.
pub(super) fn done_with(what: Done) -> Answer {
    Answer::see_other(match what {
        Done::PasswordChanged => "/_auth/account?done=password",
        Done::CodesKept => "/_auth/account?done=codes",
        Done::SessionEnded => "/_auth/account?done=session",
        Done::SessionGone => "/_auth/account?done=gone",
        Done::OthersEnded => "/_auth/account?done=others",
        Done::TokenRevoked => "/_auth/account?done=revoked",
        Done::TokenGone => "/_auth/account?done=notoken",
        Done::Nothing => "/_auth/account",
    })
}

pub(super) fn done(what: Done) -> Response {
    done_with(what).done()
}

/// What to tell; nothing when another site wrote the address.
fn told(visit: &Visit) -> Result<Option<&'static str>, Failure> {
    let done = Fields::of_query(&visit.uri)?.take("done");
    let known = TOLD.iter().find(|(name, _)| *name == done).map(|(_, text)| *text);
    Ok(known.filter(|_| is_own_navigation(&visit.method, &visit.headers)))
}

/// `/_auth/` leads to the account.
pub(in crate::web) fn home() -> Response {
    Answer::see_other("/_auth/account").done()
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    let session = match fresh::session(&visit, &Target::Account).await? {
        Ok((_, session)) => session,
        Err(elsewhere) => return Ok(*elsewhere),
    };
    let profile = visit.service.profile(&session).await?;
    let (csrf, cookie) = visit.csrf()?;
    let mut page = page(visit.frame(), csrf, told(&visit)?, &profile, &session);
    if visit.context.app.keeps_passwords {
        page.password = Password::AtApp;
    }
    Ok(Answer::page(StatusCode::OK, &page)?.cookie(cookie).done())
}

fn page<'a>(
    frame: Frame,
    csrf: String,
    told: Option<&'static str>,
    profile: &'a Profile,
    current: &Session,
) -> Page<'a> {
    let identity = &profile.account.identity;
    let totp = profile.totp.as_ref();
    Page {
        frame,
        csrf,
        name: identity.name.as_str(),
        display_name: &identity.display_name,
        email: identity.email.as_deref(),
        groups: identity.groups.join(", "),
        told,
        password: if profile.account.password.is_some() { Password::Set } else { Password::Unset },
        password_set: profile.account.password_set_at.map(Moment::new),
        others: profile.sessions.iter().any(|s| s.id != current.id),
        totp: totp.map(|t| (Moment::new(t.confirmed_at), Moment::new(t.last_used_at))),
        codes: profile.recovery.as_ref().map(|set| Codes {
            left: set.left,
            few: set.left <= recovery::FEW_CODES,
            made: Moment::new(set.created_at),
        }),
        codes_due: current.recovery_codes_due.is_some(),
        sessions: profile.sessions.iter().map(|session| row(session, current)).collect(),
        tokens: profile.tokens.iter().map(token).collect(),
        events: profile.events.iter().map(events::told).collect(),
    }
}

fn token(token: &AccessRecord) -> Token {
    let described = Some(token.description.clone()).filter(|text| !text.is_empty());
    Token {
        id: token.id.to_string(),
        what: described.unwrap_or_else(|| token.app.clone()),
        app: token.app.clone(),
        limits: token.limits.in_words(),
        made: Moment::new(token.made_at),
        used: token.last_used_at.map(Moment::new),
        expires: Moment::new(token.expires_at),
    }
}

fn row(session: &Session, current: &Session) -> Row {
    Row {
        id: session.id.to_string(),
        device: browser::in_words(&session.device.user_agent),
        address: session.device.address.to_string(),
        started: Moment::new(session.signed_in_at()),
        seen: Moment::new(session.last_seen_at),
        this: session.id == current.id,
    }
}
