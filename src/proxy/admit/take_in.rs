//! Takes a slot for a request before anything is awaited, and sheds the request if there is none.

use std::sync::Arc;

use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::visitor::token;
use super::way::{Answer, Decided};
use crate::auth::browser::KnownBrowser;
use crate::auth::token::{PendingToken, SessionToken};
use crate::proxy::client::load::{ClientClass, ClientLoad, Limit};
use crate::proxy::client::slot::RequestSlot;
use crate::proxy::gateway::Gateway;
use crate::proxy::request::{Fate, RequestState};
use crate::proxy::respond::refused::Refused;
use crate::web::cookies;

fn class(state: &RequestState) -> ClientClass {
    let person = state.admission().and_then(|admission| admission.person());
    if person.is_some() { ClientClass::Known } else { ClientClass::Stranger }
}

impl Gateway {
    /// Takes a slot for the way that a request goes.
    pub(in crate::proxy) fn take_in(
        &self,
        request: &RequestHeader,
        state: &mut RequestState,
        decided: &std::result::Result<Decided, Answer>,
    ) -> std::result::Result<(), Limit> {
        match decided {
            Ok(Decided::Forward) => {
                take_app_slot(state)?;
                state.go_live(request);
                Ok(())
            }
            Ok(Decided::Ask(question)) if question.is_vouched_for() => {
                take_own_slot(state, ClientClass::Known)
            }
            Ok(Decided::Ask(_)) | Err(Answer::Own | Answer::SignIn(_) | Answer::Refuse(_)) => {
                take_own_slot(state, ClientClass::Stranger).or_else(|full| {
                    if self.is_vouched_for(request) {
                        take_own_slot(state, ClientClass::Known)
                    } else {
                        Err(full)
                    }
                })
            }
        }
    }

    /// Sheds a request without a slot: rejects it, or closes the connection of a client that does not
    /// read its responses.
    pub(in crate::proxy) async fn shed(
        &self,
        session: &mut Session,
        state: &mut RequestState,
        limit: Limit,
    ) -> Result<bool> {
        state.fate = Fate::Undecided;
        if let Some(load) = load(state).cloned() {
            if !load.turn_away(limit) {
                return Err(hang_up(state));
            }
            state.slot = Some(RequestSlot::TurnedAway(load));
        }
        Refused::overloaded().answer(self, session, state).await?;
        Ok(true)
    }

    /// Returns true if the browser holds a credential that needed a password. It grants nothing: it
    /// only reserves slots for known clients next to strangers of the same network.
    fn is_vouched_for(&self, request: &RequestHeader) -> bool {
        let (headers, keys) = (&request.headers, &self.keys);
        let session = || cookies::session(headers, None).ok().flatten().map(|cookie| cookie.value);
        let pending = || cookies::pending(headers).ok().flatten();
        token::<SessionToken>(session(), keys).is_some()
            || token::<PendingToken>(pending(), keys).is_some()
            || cookies::device(headers).is_some_and(|t| KnownBrowser::parse(t, keys).is_some())
    }
}

/// Takes a slot at the app for an admitted request.
fn take_app_slot(state: &mut RequestState) -> std::result::Result<(), Limit> {
    let class = class(state);
    // The slot of the store lookup is released first.
    state.slot = None;
    let Some(site) = state.site() else { return Ok(()) };
    site.load.take_app(&site.app.places, class)?;
    if class == ClientClass::Known
        && let Some(connection) = &state.connection
    {
        connection.usage.mark_known();
    }
    state.slot = Some(RequestSlot::Forwarded(Arc::clone(site), class));
    Ok(())
}

fn take_own_slot(state: &mut RequestState, class: ClientClass) -> std::result::Result<(), Limit> {
    let Some(load) = load(state) else { return Ok(()) };
    load.take_here(class)?;
    let load = Arc::clone(load);
    state.slot = Some(RequestSlot::Here(load, class));
    Ok(())
}

/// Returns the load counters of the client, or of the socket's peer while the client is unknown.
fn load(state: &RequestState) -> Option<&Arc<ClientLoad>> {
    let site = state.site().map(|site| &site.load);
    site.or_else(|| Some(&state.connection.as_ref()?.load))
}

/// Closes the connection of a client that does not read its responses.
fn hang_up(state: &RequestState) -> Box<Error> {
    if let Some(connection) = &state.connection {
        connection.close();
    }
    let mut error =
        Error::explain(ErrorType::ConnectionClosed, "the client does not read its responses");
    error.esource = ErrorSource::Downstream;
    error
}
