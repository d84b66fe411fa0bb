//! Access tokens of programs, in the `Vestibule-Token` header.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use pingora_http::RequestHeader;

use super::caller::caller;
use super::credentials::unavailable;
use super::site::Site;
use super::vet::TOKEN_HEADER;
use super::visitor::Presented;
use crate::auth::access_token;
use crate::auth::audit::Caller;
use crate::auth::login::LoginError;
use crate::auth::ports::StoreError;
use crate::gate::admission::Visitor;
use crate::gate::machine::TokenUse;
use crate::proxy::gateway::Gateway;
use crate::proxy::request::RequestState;
use crate::proxy::respond::refused::Refused;
use crate::web::cookies;

/// The reason of a rejection and its response.
type Rejection = (&'static str, Refused);

fn refused() -> Refused {
    let sentence = "This token is not accepted here. Ask your administrator.";
    Refused::new(StatusCode::UNAUTHORIZED, "token_refused", sentence)
}

/// Rejects an access token next to a session cookie: the user would be ambiguous.
pub(in crate::proxy) fn beside_session(
    request: &RequestHeader,
    only_cookie: Option<&HeaderValue>,
) -> Option<Refused> {
    let session = cookies::session(&request.headers, only_cookie);
    let sentence = "Send a session cookie or a Vestibule-Token header, not both.";
    let refused = Refused::new(StatusCode::BAD_REQUEST, "bad_request", sentence);
    (!matches!(session, Ok(None))).then_some(refused)
}

impl Gateway {
    /// Verifies an access token. Other credentials pass unchanged.
    pub(in crate::proxy) async fn with_token_verified(
        &self,
        site: &Site,
        request: &RequestHeader,
        state: &mut RequestState,
        presented: Presented,
    ) -> Result<Result<Presented, Refused>, StoreError> {
        match presented {
            Presented::Token => {
                let verdict = self.own_token(site, request, state).await.map_err(unavailable)?;
                Ok(verdict.map(Presented::Known).map_err(|(why, refused)| {
                    state.token_refused = Some(why);
                    refused
                }))
            }
            presented @ (Presented::Session(..) | Presented::Login(_) | Presented::Known(_)) => {
                Ok(Ok(presented))
            }
        }
    }

    async fn own_token(
        &self,
        site: &Site,
        request: &RequestHeader,
        state: &RequestState,
    ) -> Result<Result<Visitor, Rejection>, LoginError> {
        let Some(caller) = caller(self, &request.headers, state) else {
            return Ok(Err(("unknown", refused())));
        };
        let app = site.app.name();
        let text = request.headers.get(TOKEN_HEADER).and_then(|value| value.to_str().ok());
        let Some(token) = text.and_then(|text| access_token::parse(text, &self.keys)) else {
            return self.reject_token(app, "unknown", &caller).await;
        };
        let Some(known) = self.machines.find_own(token.hashed(), state.started).await? else {
            return self.reject_token(app, "unknown", &caller).await;
        };
        let now = self.clock.now();
        let asked = TokenUse {
            method: &request.method,
            raw: request.raw_path(),
            websocket: state.facts.websocket,
        };
        let machine = match known.admits(app, asked, site.origin.client, now) {
            Ok(machine) => machine,
            Err(why) => return self.reject_token(app, why.as_str(), &caller).await,
        };
        if known.should_record_use(now) {
            self.login.token_used(known.record(), machine.identity(), &caller).await?;
            let (machines, known) = (Arc::clone(&self.machines), Arc::clone(&known));
            tokio::spawn(async move {
                if let Err(error) = machines.record_use(&known, now).await {
                    tracing::warn!(%error, "failed to record the use of a token");
                }
            });
        }
        Ok(Ok(Visitor::Machine(Arc::clone(machine))))
    }

    async fn reject_token(
        &self,
        app: &str,
        why: &'static str,
        caller: &Caller,
    ) -> Result<Result<Visitor, Rejection>, LoginError> {
        let refused = match self.login.token_refused(app, why, caller).await? {
            None => refused(),
            Some(wait) => Refused::too_many(wait),
        };
        Ok(Err((why, refused)))
    }
}
