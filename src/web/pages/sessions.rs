//! Ending other sessions of the account.

use axum::response::Response;

use super::account::{Done, done};
use super::fresh;
use super::target::Target;
use crate::auth::fresh::FreshSecondFactor;
use crate::base::id::SessionId;
use crate::web::failure::Failure;
use crate::web::form::IdForm;
use crate::web::visit::Visit;

/// Form value, in place of an id, that ends all other sessions.
pub(super) const OTHERS: &str = "others";

pub(in crate::web) async fn send(mut visit: Visit) -> Result<Response, Failure> {
    let form: IdForm = visit.form()?;
    let (token, session) = match fresh::with_second_factor(&visit, &Target::Account).await? {
        Ok(found) => found,
        Err(redirect) => return Ok(*redirect),
    };
    let Some(proof) = FreshSecondFactor::of(&session, visit.services.now()) else {
        return Ok(fresh::to_step_up(&Target::Account));
    };
    if form.id == OTHERS {
        visit.services.account.end_other_sessions(&token, proof, &visit.caller()).await?;
        return Ok(done(Done::OthersEnded));
    }
    let ended = match form.id.parse::<SessionId>() {
        Ok(id) if id == session.id => return Ok(done(Done::Nothing)),
        Ok(id) => visit.services.account.end_session(proof, id, &visit.caller()).await?,
        Err(_) => false,
    };
    Ok(done(if ended { Done::SessionEnded } else { Done::SessionGone }))
}
