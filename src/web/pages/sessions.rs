//! Ending other sessions of the account.

use axum::response::Response;

use super::account::{Done, done};
use super::fresh;
use super::step_up::Target;
use crate::auth::fresh::FreshSecondFactor;
use crate::base::id::SessionId;
use crate::web::failure::Failure;
use crate::web::form::IdForm;
use crate::web::visit::Visit;

/// What the form sends in place of an id to end all others.
pub(super) const OTHERS: &str = "others";

pub(in crate::web) async fn send(mut visit: Visit) -> Result<Response, Failure> {
    let form: IdForm = visit.form()?;
    let (token, session) = match fresh::with_second_factor(&visit, &Target::Account).await? {
        Ok(asked) => asked,
        Err(elsewhere) => return Ok(*elsewhere),
    };
    let Some(proof) = FreshSecondFactor::of(&session, visit.service.now()) else {
        return Ok(fresh::to_step_up(&Target::Account));
    };
    if form.id == OTHERS {
        visit.service.end_other_sessions(&token, proof, &visit.caller()).await?;
        return Ok(done(Done::OthersEnded));
    }
    let ended = match form.id.parse::<SessionId>() {
        Ok(id) if id == session.id => return Ok(done(Done::Nothing)),
        Ok(id) => visit.service.end_session(proof, id, &visit.caller()).await?,
        Err(_) => false,
    };
    Ok(done(if ended { Done::SessionEnded } else { Done::SessionGone }))
}
