//! Results of requests to an app: recorded at the address that a request was sent to.

use http::StatusCode;
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_proxy::Session;

use super::sent::is_failure;
use super::target::Fault;
use crate::base::clock::Clock;
use crate::gate::admission::Visitor;
use crate::proxy::request::{Again, Forwarding, RequestState};

/// The error of a request that goes to another address because of the status of a response.
pub(in crate::proxy) const ANSWERED_BADLY: ErrorType = ErrorType::Custom("AnsweredBadly");
/// The error of a request for which no address is in service.
pub(in crate::proxy) const ALL_OUT: ErrorType = ErrorType::Custom("AllUpstreamsOut");

/// Maximum of addresses that a request is sent to.
pub(in crate::proxy) const MOST_ADDRESSES: usize = 3;

/// Returns the key by which a visitor stays with one address: the same on every node, and for as
/// long as the sign-in lasts. A client without credentials has none.
pub(in crate::proxy) fn sticky_key(visitor: &Visitor) -> Option<u64> {
    let account = visitor.identity()?.account;
    let bytes = account.as_bytes().first_chunk().copied().unwrap_or_default();
    let account = u64::from_le_bytes(bytes);
    Some(match visitor {
        Visitor::Full(known) => account ^ known.session.signed_in_at().as_millis(),
        Visitor::Anonymous | Visitor::Password(_) | Visitor::Machine(_) => account,
    })
}

/// Returns true if sending the request again does no harm, and is possible.
pub(in crate::proxy) fn is_repeatable(session: &mut Session) -> bool {
    session.req_header().method.is_idempotent() && session.is_body_empty()
}

/// Records the status of a response. Fails if the request is sent to another address instead.
pub(in crate::proxy) fn answered(
    session: &mut Session,
    status: StatusCode,
    state: &mut RequestState,
    clock: &dyn Clock,
) -> Result<()> {
    if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    let Some((site, forwarding)) = state.admitted_mut() else { return Ok(()) };
    let Some(sent) = &mut forwarding.sent else { return Ok(()) };
    if !is_failure(status) {
        sent.answered();
        return Ok(());
    }
    let upstream = &site.app.upstream;
    sent.answered_badly(clock.monotonic(), upstream.health());
    let socket = sent.socket();
    let Forwarding { failed, sending, .. } = forwarding;
    if sending.again == Again::AfterStatus || !is_repeatable(session) {
        return Ok(());
    }
    failed.push(socket);
    if failed.len() >= MOST_ADDRESSES || !upstream.has_other(failed) {
        return Ok(());
    }
    sending.again = Again::AfterStatus;
    let mut error = Error::explain(ANSWERED_BADLY, status.as_str().to_owned());
    error.esource = ErrorSource::Upstream;
    Err(error)
}

/// Records an error of the connection to the app. A kept connection that was `closed_while_idle` says
/// nothing about the address.
pub(in crate::proxy) fn broke_off(
    error: &Error,
    state: &mut RequestState,
    closed_while_idle: bool,
    clock: &dyn Clock,
) {
    let Some((site, forwarding)) = state.admitted_mut() else { return };
    let Some(sent) = &mut forwarding.sent else { return };
    if *error.esource() != ErrorSource::Upstream || closed_while_idle {
        return;
    }
    let health = site.app.upstream.health();
    if matches!(error.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout) {
        // A client that pauses within its body looks like an app that is silent.
        let waited = !forwarding.sending.has_body || forwarding.sending.body_over;
        if waited {
            sent.was_silent(clock.monotonic(), health);
        }
    } else if *error.etype() != ANSWERED_BADLY {
        sent.fails(Fault::Reset, clock.monotonic(), health);
    }
}

/// Records the end of a request. Returns true if the app gave no whole response.
pub(in crate::proxy) fn over(
    state: &mut RequestState,
    error: Option<&Error>,
    clock: &dyn Clock,
) -> bool {
    let silent = state.connection.as_ref().is_some_and(|c| c.app_was_silent());
    let Some((site, forwarding)) = state.admitted_mut() else { return false };
    let failed = silent || error.is_some_and(|e| *e.esource() == ErrorSource::Upstream);
    if let Some(mut sent) = forwarding.sent.take() {
        if silent {
            sent.was_silent(clock.monotonic(), site.app.upstream.health());
        } else if error.is_none() {
            sent.worked();
        }
    }
    failed
}
