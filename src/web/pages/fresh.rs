//! Access to the account pages: they need a session, and changes need a recent proof. Other visitors
//! are redirected to sign in or to a step-up, and back.

use axum::response::Response;

use super::target::Target;
use crate::auth::fresh::{FreshFactors, FreshSecondFactor};
use crate::auth::session::Session;
use crate::web::back::Back;
use crate::web::failure::Failure;
use crate::web::token::Finished;
use crate::web::view::Answer;
use crate::web::visit::Visit;

/// The session, or a redirect to get one.
pub(super) type SessionOrRedirect = Result<(Finished, Session), Box<Response>>;

/// Returns the session, or a redirect to the sign-in that returns to `target`.
pub(super) async fn session(visit: &Visit, target: &Target) -> Result<SessionOrRedirect, Failure> {
    Ok(visit.session().await?.ok_or_else(|| Box::new(to_login_for(target))))
}

/// Redirects to the sign-in, which returns to `target`.
pub(super) fn to_login_for(target: &Target) -> Response {
    Answer::see_other(&Back::parse(target.path()).on("/_auth/login")).done()
}

/// Returns a session with a fresh second factor, or a redirect to a step-up that returns to `target`.
pub(super) async fn with_second_factor(
    visit: &Visit,
    target: &Target,
) -> Result<SessionOrRedirect, Failure> {
    let found = session(visit, target).await?;
    Ok(if_fresh(found, target, |s| FreshSecondFactor::of(s, visit.services.now()).is_some()))
}

/// Returns a session with both factors fresh, or a redirect to a step-up that returns to `target`. An
/// account that has a key needs that, or a recovery code, as the second one.
pub(super) async fn with_both(
    visit: &Visit,
    target: &Target,
) -> Result<SessionOrRedirect, Failure> {
    let found = session(visit, target).await?;
    let found = if_fresh(found, target, |s| FreshFactors::of(s, visit.services.now()).is_some());
    match &found {
        Ok((_, session)) if owes_key(visit, target, session).await? => {
            Ok(Err(Box::new(to_step_up_by_key(target))))
        }
        Ok(_) | Err(_) => Ok(found),
    }
}

/// Returns true if a change needs a proof by key first. The use cases check it again.
pub(super) async fn owes_key(
    visit: &Visit,
    target: &Target,
    session: &Session,
) -> Result<bool, Failure> {
    let services = &visit.services;
    if matches!(target, Target::RecoveryCodes | Target::FirstCodes) {
        return Ok(services.codes.owes_key(session).await?);
    }
    Ok(target.needs_key() && services.keys.owes_key(session).await?)
}

fn if_fresh(
    found: SessionOrRedirect,
    target: &Target,
    fresh: impl FnOnce(&Session) -> bool,
) -> SessionOrRedirect {
    match found {
        Ok((_, session)) if !fresh(&session) => Err(Box::new(to_step_up(target))),
        found => found,
    }
}

/// Redirects to the step-up, which returns to `target`.
pub(super) fn to_step_up(target: &Target) -> Response {
    Answer::see_other(&target.step_up_path()).done()
}

/// Redirects to the step-up by key, which returns to `target`.
pub(super) fn to_step_up_by_key(target: &Target) -> Response {
    Answer::see_other(&format!("{}&with=key", target.step_up_path())).done()
}
