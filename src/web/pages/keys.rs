//! Passkeys and security keys of the account: list, add, rename, remove.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::enroll_key::{REFUSED, REGISTERED};
use super::fresh;
use super::target::Target;
use crate::auth::fresh::{FreshFactors, FreshSecondFactor};
use crate::auth::login::{AddKey, KEY_NAME_MOST, KeyAdded, KeyAnswer, KeyRemoved, KeyView};
use crate::auth::session::Session;
use crate::auth::webauthn::challenge::Purpose;
use crate::auth::webauthn::relying_party::RelyingParty;
use crate::base::id::FactorId;
use crate::web::back::Back;
use crate::web::cookies;
use crate::web::failure::Failure;
use crate::web::form::{Fields, KeyChangeForm, KeyForm};
use crate::web::frame::Frame;
use crate::web::guard::is_own_navigation;
use crate::web::view::{Answer, Complaint};
use crate::web::visit::{KeyForms, Visit, with_renewed_session};
use crate::web::words::Moment;

const TOO_MANY: &str = "You have as many keys as you may have. Remove one that you no longer use.";
const LAST: &str = "This key is your only second factor, so it can't be removed. Add another key or \
                    an authenticator app first.";
const NO_NAME: &str = "Give the key a name.";
/// Message for a name that is too long, also at enrolment.
pub(super) const LONG_NAME: &str = "Give the key a shorter name: at most 64 characters.";

/// Messages about changes, by their name in the query.
const MESSAGES: [(&str, &str); 3] = [
    ("added", "The key was added. You can sign in with it from now on."),
    ("renamed", "The key was renamed."),
    ("removed", "The key was removed, and every other browser has been signed out."),
];

#[derive(Template)]
#[template(path = "keys.html")]
struct Page<'a> {
    frame: Frame,
    csrf: String,
    keys: Vec<Row>,
    /// True if keys can be added on this host.
    here: bool,
    message: Option<&'static str>,
    /// Page of the app that wanted a key.
    wanted: Option<&'a str>,
    problem: Option<&'a str>,
}

struct Row {
    id: String,
    name: String,
    made: Moment,
    used: Option<Moment>,
    synced: bool,
    /// Domain where the key works, if not here.
    elsewhere: Option<String>,
}

#[derive(Template)]
#[template(path = "new_key.html")]
struct NewPage<'a> {
    frame: Frame,
    csrf: String,
    key_name: &'a str,
    options: String,
    complaint: &'a Complaint,
}

fn row(key: KeyView, rp_id: Option<&str>) -> Row {
    Row {
        id: key.id.to_string(),
        name: key.name,
        made: Moment::new(key.created_at),
        used: key.last_used_at.map(Moment::new),
        synced: key.synced,
        elsewhere: Some(key.rp_id).filter(|id| rp_id != Some(id)),
    }
}

fn back(done: &str) -> String {
    format!("/_auth/account/keys?done={done}")
}

/// Returns true if a name is longer than the field for it takes.
pub(super) fn is_too_long(name: &str) -> bool {
    name.trim().chars().count() > KEY_NAME_MOST
}

/// Returns the page of the app that wanted a key, if one did.
fn wanted(visit: &Visit) -> Option<&Back> {
    visit.asked_back().filter(|back| !back.is_own())
}

/// Redirects to the list after a key was added. It leads on to the page that wanted one.
fn added_key(visit: &Visit) -> Response {
    let list = back("added");
    Answer::see_other(&wanted(visit).map_or_else(|| list.clone(), |page| page.on(&list))).done()
}

/// The page that adds a key, and returns to the page that wanted one.
fn new_key(visit: &Visit) -> Target {
    visit.asked_back().map_or(Target::NewKey, Target::new_key_for)
}

/// Redirects to the list. A reload of an answer to a form leads here.
pub(in crate::web) fn home() -> Response {
    Answer::see_other(Target::Keys.path()).done()
}

pub(in crate::web) async fn show(visit: Visit) -> Result<Response, Failure> {
    let session = match fresh::with_second_factor(&visit, &Target::Keys).await? {
        Ok((_, session)) => session,
        Err(redirect) => return Ok(*redirect),
    };
    let done = Fields::of_query(&visit.uri)?.take("done");
    let known = MESSAGES.iter().find(|(name, _)| *name == done).map(|(_, text)| *text);
    let message = known.filter(|_| is_own_navigation(&visit.method, &visit.headers));
    list(&visit, &session, message, None).await
}

async fn list(
    visit: &Visit,
    session: &Session,
    message: Option<&'static str>,
    problem: Option<&str>,
) -> Result<Response, Failure> {
    let rp_id = visit.party().map(RelyingParty::id);
    let keys = visit.services.own_keys.keys_of(session.identity.account).await?;
    let (csrf, cookie) = visit.csrf()?;
    let page = Page {
        frame: visit.frame(),
        csrf,
        keys: keys.into_iter().map(|key| row(key, rp_id)).collect(),
        here: rp_id.is_some(),
        message,
        wanted: wanted(visit).map(Back::as_str),
        problem,
    };
    let status = if problem.is_some() { StatusCode::CONFLICT } else { StatusCode::OK };
    Ok(Answer::page(status, &page)?.cookie(cookie).done())
}

pub(in crate::web) async fn show_new(visit: Visit) -> Result<Response, Failure> {
    match fresh::with_both(&visit, &new_key(&visit)).await? {
        Ok((_, session)) => new(&visit, &session, "", &Complaint::none()).await,
        Err(redirect) => Ok(*redirect),
    }
}

async fn new(
    visit: &Visit,
    session: &Session,
    key_name: &str,
    complaint: &Complaint,
) -> Result<Response, Failure> {
    let Some(proof) = FreshFactors::of(session, visit.services.now()) else {
        return Ok(fresh::to_step_up(&new_key(visit)));
    };
    let Some(KeyForms { page: key_page, csrf, cookie }) = visit.key_page()? else {
        return Ok(Answer::see_other(Target::Keys.path()).done());
    };
    let options =
        match visit.services.own_keys.add_key_options(visit.app(), proof, &key_page).await? {
            AddKey::Options(options) => options,
            AddKey::NeedsKey => return Ok(fresh::to_step_up_by_key(&new_key(visit))),
            AddKey::TooMany => return list(visit, session, None, Some(TOO_MANY)).await,
            AddKey::Ended => return Ok(fresh::to_login_for(&new_key(visit))),
        };
    let page = NewPage { frame: visit.frame(), csrf, key_name, options, complaint };
    Ok(Answer::page(complaint.status(), &page)?.with_summary(complaint).cookie(cookie).done())
}

pub(in crate::web) async fn send_new(mut visit: Visit) -> Result<Response, Failure> {
    let sent = visit.sent::<KeyForm>()?;
    let (token, session) = match fresh::with_both(&visit, &new_key(&visit)).await? {
        Ok(found) => found,
        Err(redirect) => return Ok(*redirect),
    };
    let form = match sent {
        Ok(form) => form,
        Err(old) => {
            return new(&visit, &session, "", &Complaint::stale(&old, visit.host())).await;
        }
    };
    let Some(proof) = FreshFactors::of(&session, visit.services.now()) else {
        return Ok(fresh::to_step_up(&new_key(&visit)));
    };
    let Some(KeyForms { page: key_page, .. }) = visit.key_page()? else {
        return Ok(Answer::see_other(Target::Keys.path()).done());
    };
    if is_too_long(&form.name) {
        return new(&visit, &session, "", &Complaint::wrong(LONG_NAME)).await;
    }
    let answer = KeyAnswer { text: form.credential, page: key_page, purpose: Purpose::AddKey };
    let caller = visit.caller();
    let added =
        visit.services.own_keys.add_key(&token, proof, (&answer, &form.name), &caller).await?;
    let complaint = match added {
        KeyAdded::Done => return Ok(added_key(&visit)),
        KeyAdded::NeedsKey => return Ok(fresh::to_step_up_by_key(&new_key(&visit))),
        KeyAdded::First(token) => {
            let cookie = cookies::set(cookies::SESSION, token.reveal());
            return Ok(Answer::see_other(Target::FirstCodes.path()).cookie(cookie).done());
        }
        KeyAdded::Ended => return Ok(fresh::to_login_for(&new_key(&visit))),
        KeyAdded::TooMany => return list(&visit, &session, None, Some(TOO_MANY)).await,
        KeyAdded::Refused => Complaint::wrong(REFUSED),
        KeyAdded::Registered => Complaint::wrong(REGISTERED),
    };
    new(&visit, &session, &form.name, &complaint).await
}

/// Renames or removes a key.
pub(in crate::web) async fn change(mut visit: Visit) -> Result<Response, Failure> {
    let sent = visit.sent::<KeyChangeForm>()?;
    let id = visit.uri.path().rsplit('/').next().and_then(|id| id.parse::<FactorId>().ok());
    let removing = matches!(&sent, Ok(form) if form.remove);
    let found = if removing {
        fresh::with_both(&visit, &Target::Keys).await?
    } else {
        fresh::with_second_factor(&visit, &Target::Keys).await?
    };
    let (token, session) = match found {
        Ok(found) => found,
        Err(redirect) => return Ok(*redirect),
    };
    let (Ok(form), Some(id)) = (sent, id) else {
        return Ok(Answer::see_other(Target::Keys.path()).done());
    };
    let now = visit.services.now();
    if !removing && is_too_long(&form.name) {
        return list(&visit, &session, None, Some(LONG_NAME)).await;
    }
    if !removing {
        let Some(proof) = FreshSecondFactor::of(&session, now) else {
            return Ok(fresh::to_step_up(&Target::Keys));
        };
        let renamed =
            visit.services.own_keys.rename_key(proof, id, &form.name, &visit.caller()).await?;
        return if renamed {
            Ok(Answer::see_other(&back("renamed")).done())
        } else if form.name.chars().all(|c| c.is_control() || c.is_whitespace()) {
            list(&visit, &session, None, Some(NO_NAME)).await
        } else {
            // Removed meanwhile.
            Ok(Answer::see_other(Target::Keys.path()).done())
        };
    }
    let Some(proof) = FreshFactors::of(&session, now) else {
        return Ok(fresh::to_step_up(&Target::Keys));
    };
    match visit.services.own_keys.remove_key(&token, proof, id, &visit.caller()).await? {
        KeyRemoved::Done(changed) => {
            Ok(with_renewed_session(Answer::see_other(&back("removed")), &changed).done())
        }
        KeyRemoved::Unknown => Ok(Answer::see_other(Target::Keys.path()).done()),
        KeyRemoved::Last => list(&visit, &session, None, Some(LAST)).await,
        KeyRemoved::NeedsKey => Ok(fresh::to_step_up_by_key(&Target::Keys)),
        KeyRemoved::Ended => Ok(fresh::to_login_for(&Target::Keys)),
    }
}
