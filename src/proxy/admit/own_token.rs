//! Our own tokens for programs: what the header `Vestibule-Token` is worth in a request.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use pingora_http::RequestHeader;

use super::caller::caller;
use super::credentials::unavailable;
use super::site::Site;
use super::vet::TOKEN_HEADER;
use super::visitor::Held;
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

/// Why, and what is answered.
type NotLetThrough = (&'static str, Refused);

fn refused() -> Refused {
    let sentence = "This token is not let through here. Ask your administrator.";
    Refused::new(StatusCode::UNAUTHORIZED, "token_refused", sentence)
}

/// A token stands for its person alone: beside a session it would be unclear who asks.
pub(in crate::proxy) fn beside_session(
    request: &RequestHeader,
    only_cookie: Option<&HeaderValue>,
) -> Option<Refused> {
    let session = cookies::session(&request.headers, only_cookie);
    let sentence = "A request carries a session cookie or a Vestibule-Token header, not both.";
    let refused = Refused::new(StatusCode::BAD_REQUEST, "bad_request", sentence);
    (!matches!(session, Ok(None))).then_some(refused)
}

impl Gateway {
    /// What a visitor holds, once a token of ours among it was weighed.
    pub(in crate::proxy) async fn with_token_weighed(
        &self,
        site: &Site,
        request: &RequestHeader,
        state: &mut RequestState,
        held: Held,
    ) -> Result<Result<Held, Refused>, StoreError> {
        match held {
            Held::Token => {
                let weighed = self.own_token(site, request, state).await.map_err(unavailable)?;
                Ok(weighed.map(Held::Known).map_err(|(why, refused)| {
                    state.token_refused = Some(why);
                    refused
                }))
            }
            held @ (Held::Session(..) | Held::Login(_) | Held::Known(_)) => Ok(Ok(held)),
        }
    }

    async fn own_token(
        &self,
        site: &Site,
        request: &RequestHeader,
        state: &RequestState,
    ) -> Result<Result<Visitor, NotLetThrough>, LoginError> {
        let Some(caller) = caller(self, &request.headers, state) else {
            return Ok(Err(("unknown", refused())));
        };
        let app = site.app.name();
        let text = request.headers.get(TOKEN_HEADER).and_then(|value| value.to_str().ok());
        let Some(token) = text.and_then(|text| access_token::parse(text, &self.keys)) else {
            return self.token_not_let(app, "unknown", &caller).await;
        };
        let Some(known) = self.machines.find_own(token.hashed(), state.started).await? else {
            return self.token_not_let(app, "unknown", &caller).await;
        };
        let now = self.clock.now();
        let asked = TokenUse {
            method: &request.method,
            raw: request.raw_path(),
            websocket: state.marks.websocket,
        };
        let machine = match known.admits(app, asked, site.origin.client, now) {
            Ok(machine) => machine,
            Err(why) => return self.token_not_let(app, why.as_str(), &caller).await,
        };
        if known.should_record_use(now) {
            self.login.token_used(known.record(), machine.identity(), &caller).await?;
            let (machines, known) = (Arc::clone(&self.machines), Arc::clone(&known));
            tokio::spawn(async move {
                if let Err(error) = machines.record_use(&known, now).await {
                    tracing::warn!(%error, "the use of a token was not noted");
                }
            });
        }
        Ok(Ok(Visitor::Machine(Arc::clone(machine))))
    }

    async fn token_not_let(
        &self,
        app: &str,
        why: &'static str,
        caller: &Caller,
    ) -> Result<Result<Visitor, NotLetThrough>, LoginError> {
        let refused = match self.login.token_refused(app, why, caller).await? {
            None => refused(),
            Some(wait) => Refused::too_many(wait),
        };
        Ok(Err((why, refused)))
    }
}
