//! Revoking access tokens of the account.

use axum::response::Response;

use super::account::{Done, done};
use super::fresh;
use super::target::Target;
use crate::auth::fresh::FreshSecondFactor;
use crate::base::id::TokenId;
use crate::web::failure::Failure;
use crate::web::form::IdForm;
use crate::web::visit::Visit;

pub(in crate::web) async fn send(mut visit: Visit) -> Result<Response, Failure> {
    let form: IdForm = visit.form()?;
    let (_, session) = match fresh::with_second_factor(&visit, &Target::Account).await? {
        Ok(found) => found,
        Err(redirect) => return Ok(*redirect),
    };
    let Some(proof) = FreshSecondFactor::of(&session, visit.services.now()) else {
        return Ok(fresh::to_step_up(&Target::Account));
    };
    let revoked = match form.id.parse::<TokenId>() {
        Ok(id) => visit.services.account.revoke_own_token(proof, id, &visit.caller()).await?,
        Err(_) => false,
    };
    Ok(done(if revoked { Done::TokenRevoked } else { Done::TokenGone }))
}
