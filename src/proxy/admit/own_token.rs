//! Access tokens of programs, in the `Vestibule-Token` header.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use pingora_http::RequestHeader;

use super::caller::caller;
use super::site::Site;
use super::unidentified::Unidentified;
use super::vet::TOKEN_HEADER;
use crate::auth::access_token;
use crate::auth::audit::Caller;
use crate::gate::admission::Visitor;
use crate::gate::machine::TokenUse;
use crate::proxy::gateway::Gateway;
use crate::proxy::request::RequestState;
use crate::proxy::respond::refused::Refused;
use crate::web::cookies;

fn refused() -> Refused {
    let sentence = "This token is not accepted here. Ask your administrator.";
    Refused::new(StatusCode::UNAUTHORIZED, "token_refused", sentence)
}

/// Rejects an access token next to a session cookie: the user would be ambiguous.
pub(in crate::proxy) fn not_beside_session(
    request: &RequestHeader,
    only_cookie: Option<&HeaderValue>,
) -> Result<(), Refused> {
    if matches!(cookies::session(&request.headers, only_cookie), Ok(None)) {
        return Ok(());
    }
    let sentence = "Send a session cookie or a Vestibule-Token header, not both.";
    Err(Refused::new(StatusCode::BAD_REQUEST, "bad_request", sentence))
}

impl Gateway {
    /// Verifies the access token of a request.
    pub(in crate::proxy) async fn find_own_token(
        &self,
        site: &Site,
        request: &RequestHeader,
        state: &RequestState,
    ) -> Result<Visitor, Unidentified> {
        let Some(caller) = caller(self, &request.headers, state) else {
            return Err(Unidentified::refused("unknown", refused()));
        };
        let app = site.app.name();
        let text = request.headers.get(TOKEN_HEADER).and_then(|value| value.to_str().ok());
        let Some(token) = text.and_then(|text| access_token::parse(text, &self.keys)) else {
            return Err(self.reject_token(app, "unknown", &caller).await);
        };
        let Some(known) = self.machines.find_own(token.hashed(), state.started).await? else {
            return Err(self.reject_token(app, "unknown", &caller).await);
        };
        let now = self.clock.now();
        let asked = TokenUse {
            method: &request.method,
            raw: request.raw_path(),
            websocket: state.facts.websocket,
        };
        let machine = match known.admits(app, asked, site.origin.client, now) {
            Ok(machine) => machine,
            Err(why) => return Err(self.reject_token(app, why.as_str(), &caller).await),
        };
        if known.should_record_use(now) {
            self.login.tokens.token_used(known.record(), machine.identity(), &caller).await?;
            let (machines, known) = (Arc::clone(&self.machines), Arc::clone(&known));
            tokio::spawn(async move {
                if let Err(error) = machines.record_use(&known, now).await {
                    tracing::warn!(%error, "failed to record the use of a token");
                }
            });
        }
        Ok(Visitor::Machine(Arc::clone(machine)))
    }

    async fn reject_token(&self, app: &str, why: &'static str, caller: &Caller) -> Unidentified {
        match self.login.tokens.token_refused(app, why, caller).await {
            Ok(None) => Unidentified::refused(why, refused()),
            Ok(Some(wait)) => Unidentified::refused(why, Refused::too_many(wait)),
            Err(error) => error.into(),
        }
    }
}
