//! The account page: credentials, sessions, access tokens and recent activity.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::events::{Day, by_day};
use super::fresh;
use super::target::Target;
use crate::auth::access_token::AccessRecord;
use crate::auth::authenticator::AuthenticatorKind;
use crate::auth::authenticator::{app_of, keys_of};
use crate::auth::login::Profile;
use crate::auth::recovery;
use crate::auth::session::Session;
use crate::base::browser;
use crate::web::AppPages;
use crate::web::failure::Failure;
use crate::web::form::Fields;
use crate::web::frame::Frame;
use crate::web::guard::is_own_navigation;
use crate::web::view::Answer;
use crate::web::visit::Visit;
use crate::web::words::{Moment, listed};

/// State of the password.
enum Password {
    Unset,
    Set,
    /// The app checks the password itself.
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
    message: Option<&'static str>,
    /// Names of the keys that still sign in, after a change of the password.
    remaining_keys: Option<String>,
    password: Password,
    password_set: Option<Moment>,
    others: bool,
    totp: Option<App>,
    /// Number of keys. `None` if there are none and none can be added on this host.
    keys: Option<usize>,
    codes: Option<Codes>,
    /// Path of the page that confirms recovery codes, while they are unconfirmed.
    unconfirmed: Option<&'static str>,
    sessions: Vec<Row>,
    tokens: Vec<Token>,
    days: Vec<Day>,
    /// True if there are more events than shown.
    more: bool,
}

/// An authenticator app.
struct App {
    since: Moment,
    used: Moment,
    suspended: Option<Moment>,
}

struct Codes {
    left: u32,
    few: bool,
    made: Moment,
}

struct Row {
    id: String,
    device: String,
    app: String,
    address: String,
    started: Moment,
    seen: Moment,
    this: bool,
}

struct Token {
    id: String,
    /// Description of the token, or the app if it has none.
    what: String,
    app: String,
    limits: Option<String>,
    made: Moment,
    used: Option<Moment>,
    expires: Moment,
}

/// A change just made, which the account page reports.
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

const PASSWORD_CHANGED: &str =
    "Your password has been changed, and every other browser has been signed out.";

/// Messages about changes, by their name in the query.
const MESSAGES: [(&str, &str); 7] = [
    ("password", PASSWORD_CHANGED),
    ("codes", "Your recovery codes are confirmed. Any you had before no longer work."),
    ("session", "That browser has been signed out."),
    ("gone", "That browser was already signed out."),
    ("others", "Every other browser has been signed out."),
    ("revoked", "The access token has been revoked. The program that uses it is locked out."),
    ("notoken", "That access token no longer exists."),
];

/// Redirects to the account page, which reports the change.
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

/// Number of events shown by default, and when all are requested.
const NEWEST: u32 = 10;
const ALL: u32 = 500;

/// Returns the message to show, unless another site linked here, and the number of events to show.
fn query(visit: &Visit) -> Result<(Option<&'static str>, u32), Failure> {
    let mut query = Fields::of_query(&visit.uri)?;
    let done = query.take("done");
    let known = MESSAGES.iter().find(|(name, _)| *name == done).map(|(_, text)| *text);
    let message = known.filter(|_| is_own_navigation(&visit.method, &visit.headers));
    Ok((message, if query.take("events") == "all" { ALL } else { NEWEST }))
}

/// Redirects `/_auth/` to the account page.
pub(in crate::web) fn home() -> Response {
    Answer::see_other("/_auth/account").done()
}

/// Redirects password managers to the page that changes the password, or to the account page if the
/// app checks the password.
pub(in crate::web) fn change_password(visit: &Visit) -> Response {
    let at_app = !visit.context.app.first_factor.is_kept_here();
    Answer::see_other(if at_app { "/_auth/account" } else { "/_auth/account/password" }).done()
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    let session = match fresh::session(&visit, &Target::Account).await? {
        Ok((_, session)) => session,
        Err(redirect) => return Ok(*redirect),
    };
    let (message, events) = query(&visit)?;
    // One more than shown reveals that there are more.
    let mut profile = visit.services.account.profile(&session, events + 1).await?;
    let shown = usize::try_from(events).unwrap_or(usize::MAX);
    let more = profile.events.len() > shown;
    profile.events.truncate(shown);
    let (csrf, cookie) = visit.csrf()?;
    let pages = &visit.context.app;
    let mut page = page(visit.frame(), csrf, pages, &profile, &session);
    page.message = message;
    if message == Some(PASSWORD_CHANGED) {
        let keys = keys_of(&profile.authenticators, visit.services.key_settings());
        let names: Vec<_> = keys.map(|key| key.name.clone()).collect();
        page.remaining_keys = (!names.is_empty()).then(|| listed(&names));
    }
    let keys = profile.authenticators.iter();
    let keys = keys.filter(|one| one.kind == AuthenticatorKind::Webauthn).count();
    page.keys = Some(keys).filter(|keys| *keys > 0 || visit.party().is_some());
    page.more = more && events < ALL;
    Ok(Answer::page(StatusCode::OK, &page)?.cookie(cookie).done())
}

fn page<'a>(
    frame: Frame,
    csrf: String,
    pages: &AppPages,
    profile: &'a Profile,
    current: &Session,
) -> Page<'a> {
    let identity = &profile.account.identity;
    let unconfirmed = profile.recovery.as_ref().is_some_and(|set| set.confirmed_at.is_none());
    let due = current.recovery_codes_due.is_some();
    Page {
        frame,
        csrf,
        name: identity.name.as_str(),
        display_name: &identity.display_name,
        email: identity.email.as_deref(),
        groups: identity.groups.join(", "),
        message: None,
        remaining_keys: None,
        password: match profile.account.password {
            _ if !pages.first_factor.is_kept_here() => Password::AtApp,
            Some(_) => Password::Set,
            None => Password::Unset,
        },
        password_set: profile.account.password_set_at.map(Moment::new),
        others: profile.sessions.iter().any(|s| s.id != current.id),
        totp: app_of(&profile.authenticators).map(|t| App {
            since: Moment::new(t.created_at),
            used: Moment::new(t.last_used_at.unwrap_or(t.created_at)),
            suspended: t.suspended_at.map(Moment::new),
        }),
        keys: None,
        codes: profile.recovery.as_ref().map(|set| Codes {
            left: set.left,
            few: set.left <= recovery::FEW_CODES,
            made: Moment::new(set.created_at),
        }),
        unconfirmed: match (due, unconfirmed) {
            (true, _) => Some("/_auth/recovery-codes"),
            (false, true) => Some("/_auth/account/recovery-codes"),
            (false, false) => None,
        },
        sessions: profile.sessions.iter().map(|session| row(session, current, pages)).collect(),
        tokens: profile.tokens.iter().map(|one| token(one, pages)).collect(),
        days: by_day(&profile.events),
        more: false,
    }
}

fn token(token: &AccessRecord, pages: &AppPages) -> Token {
    let app = pages.title_of(&token.app);
    let described = Some(token.description.clone()).filter(|text| !text.is_empty());
    Token {
        id: token.id.to_string(),
        what: described.unwrap_or_else(|| app.to_owned()),
        app: app.to_owned(),
        limits: token.limits.in_words(),
        made: Moment::new(token.made_at),
        used: token.last_used_at.map(Moment::new),
        expires: Moment::new(token.expires_at),
    }
}

/// Returns the title of the session's app, or of the portal with those of the apps below it.
fn apps_of(session: &Session, pages: &AppPages) -> String {
    let title = pages.title_of(&session.app);
    if session.apps.is_empty() {
        return title.to_owned();
    }
    let below: Vec<&str> = session.apps.iter().map(|app| pages.title_of(app)).collect();
    format!("{title}: {}", below.join(", "))
}

fn row(session: &Session, current: &Session, pages: &AppPages) -> Row {
    Row {
        id: session.id.to_string(),
        device: browser::in_words(&session.device.user_agent),
        app: apps_of(session, pages),
        address: session.device.address.to_string(),
        started: Moment::new(session.signed_in_at()),
        seen: Moment::new(session.last_seen_at),
        this: session.id == current.id,
    }
}
