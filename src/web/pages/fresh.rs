//! Who may use the pages of the account: somebody signed in, who for every change proved it a
//! moment ago. Whoever did not is led to do so, and back.

use axum::response::Response;

use super::step_up::Target;
use crate::auth::fresh::{FreshFactors, FreshSecondFactor};
use crate::auth::session::Session;
use crate::web::back::Back;
use crate::web::failure::Failure;
use crate::web::service::Finished;
use crate::web::view::Answer;
use crate::web::visit::Visit;

/// What came of asking for the session: it, or where to go first.
pub(super) type Asked = Result<(Finished, Session), Box<Response>>;

/// The session of somebody signed in; whoever is not signs in first, and comes back to `target`.
pub(super) async fn session(visit: &Visit, target: &Target) -> Result<Asked, Failure> {
    Ok(visit.session().await?.ok_or_else(|| Box::new(to_login_for(target))))
}

/// To the sign-in, and from there to `target`.
pub(super) fn to_login_for(target: &Target) -> Response {
    Answer::see_other(&Back::parse(target.path()).on("/_auth/login")).done()
}

/// The session, whose second factor is fresh; after the step-up `target` goes on.
pub(super) async fn with_second_factor(visit: &Visit, target: &Target) -> Result<Asked, Failure> {
    let asked = session(visit, target).await?;
    Ok(if_fresh(asked, target, |s| FreshSecondFactor::of(s, visit.service.now()).is_some()))
}

/// The session, both of whose factors are fresh.
pub(super) async fn with_both(visit: &Visit, target: &Target) -> Result<Asked, Failure> {
    let asked = session(visit, target).await?;
    Ok(if_fresh(asked, target, |s| FreshFactors::of(s, visit.service.now()).is_some()))
}

fn if_fresh(asked: Asked, target: &Target, fresh: impl FnOnce(&Session) -> bool) -> Asked {
    match asked {
        Ok((_, session)) if !fresh(&session) => Err(Box::new(to_step_up(target))),
        asked => asked,
    }
}

/// To the step-up, and from there to `target`.
pub(super) fn to_step_up(target: &Target) -> Response {
    Answer::see_other(&target.step_up_path()).done()
}
