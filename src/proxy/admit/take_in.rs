//! A request's place among those in hand: taken before anything is waited for, given back when the
//! request is over. Where there is none, the request is turned away.

use std::sync::Arc;

use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::RequestHeader;

use super::visitor::token;
use super::way::Way;
use crate::auth::browser::KnownBrowser;
use crate::auth::token::{PendingToken, SessionToken};
use crate::proxy::client::in_hand::InHand;
use crate::proxy::client::load::{ClientLoad, Limit, Whose};
use crate::proxy::gateway::Gateway;
use crate::proxy::request::RequestState;
use crate::proxy::respond::refused::Refused;
use crate::web::cookies;

fn whose(state: &RequestState) -> Whose {
    let person = state.admission.as_ref().and_then(|admission| admission.person());
    if person.is_some() { Whose::Known } else { Whose::Stranger }
}

impl Gateway {
    /// Gives the request a place for the way it goes; another way where there is none.
    pub(in crate::proxy) fn take_in(
        &self,
        request: &RequestHeader,
        state: &mut RequestState,
        way: Way,
    ) -> Way {
        let taken = match &way {
            Way::Forward => at_app(state),
            Way::Ask(question) if question.is_vouched_for() => here(state, Whose::Known),
            Way::HangUp => Ok(()),
            Way::Own | Way::SignIn(_) | Way::Refuse(_) | Way::Ask(_) => {
                here(state, Whose::Stranger).or_else(|full| {
                    if self.is_vouched_for(request) { here(state, Whose::Known) } else { Err(full) }
                })
            }
        };
        match taken {
            Ok(()) => way,
            Err(limit) => turned_away(state, limit),
        }
    }

    /// Whether the browser holds something that only who has proved a password gets. It opens
    /// nothing; it only keeps strangers of the same network from taking its place.
    fn is_vouched_for(&self, request: &RequestHeader) -> bool {
        let (headers, keys) = (&request.headers, &self.keys);
        let session = || cookies::session(headers, None).ok().flatten().map(|cookie| cookie.value);
        let pending = || cookies::pending(headers).ok().flatten();
        token::<SessionToken>(session(), keys).is_some()
            || token::<PendingToken>(pending(), keys).is_some()
            || cookies::device(headers).is_some_and(|t| KnownBrowser::parse(t, keys).is_some())
    }
}

/// A place at the app for a request that was admitted.
fn at_app(state: &mut RequestState) -> std::result::Result<(), Limit> {
    let whose = whose(state);
    // Given back first: who asked a store before has one here.
    state.in_hand = None;
    let Some(site) = &state.site else { return Ok(()) };
    site.load.take_at(&site.app.places, whose)?;
    if whose == Whose::Known
        && let Some(connection) = &state.connection
    {
        connection.usage.by_somebody_known();
    }
    state.in_hand = Some(InHand::Forwarded(Arc::clone(site), whose));
    Ok(())
}

fn here(state: &mut RequestState, whose: Whose) -> std::result::Result<(), Limit> {
    let Some(load) = load(state) else { return Ok(()) };
    load.take_here(whose)?;
    let load = Arc::clone(load);
    state.in_hand = Some(InHand::Here(load, whose));
    Ok(())
}

/// That of the client; of the socket's peer where nothing is known of the client yet.
fn load(state: &RequestState) -> Option<&Arc<ClientLoad>> {
    let site = state.site.as_ref().map(|site| &site.load);
    site.or_else(|| Some(&state.connection.as_ref()?.load))
}

#[cold]
fn turned_away(state: &mut RequestState, limit: Limit) -> Way {
    state.admission = None;
    let Some(load) = load(state).cloned() else { return Refused::too_much().into() };
    if load.turn_away(limit) {
        state.in_hand = Some(InHand::TurnedAway(load));
        return Refused::too_much().into();
    }
    Way::HangUp
}

/// Ends the connection of a client that takes none of its answers.
pub(in crate::proxy) fn hang_up<T>(state: &RequestState) -> Result<T> {
    if let Some(connection) = &state.connection {
        connection.close();
    }
    let mut error = Error::explain(ErrorType::ConnectionClosed, "the client takes no answers");
    error.esource = ErrorSource::Downstream;
    Err(error)
}
