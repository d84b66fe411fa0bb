//! Retries: a request that hits a closing connection is sent again, once, on a fresh one. A request
//! that a faulty address did not answer is sent to another address.

use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_error::{Error, ErrorSource, ErrorType, RetryType};
use pingora_proxy::Session;

use super::outcome::{self, ANSWERED_BADLY, MOST_ADDRESSES};
use super::spent::SPENT;
use crate::base::clock::Clock;
use crate::proxy::answered::is_final;
use crate::proxy::request::{Again, Forwarding, RequestState};

/// Decides whether to retry a request that failed at the app, on a connection that was `reused` or
/// not, and records the failure.
///
/// A retry needs an app that sent no byte of a response, and a body that is still buffered. In
/// addition, the method is idempotent, or the app allows it, or the header block was not fully
/// sent, so the app cannot have acted on it. A request that failed on a new connection goes to
/// another address only.
pub(in crate::proxy) fn set_retry(
    mut error: Box<Error>,
    peer: &HttpPeer,
    session: &mut Session,
    state: &mut RequestState,
    (reused, clock): (bool, &dyn Clock),
) -> Box<Error> {
    let Some(site) = state.site().cloned() else { return error };
    let upstream = &site.app.upstream;
    if *error.etype() == ANSWERED_BADLY {
        error.set_retry(true);
        return error;
    }
    let Some(Forwarding { sending, .. }) = state.forwarding_mut() else { return error };
    if *error.etype() == SPENT {
        // Nothing was sent. The retry uses a fresh connection.
        sending.again = Again::Afresh;
        error.set_retry(true);
        return error;
    }
    let unsent = matches!(error.etype(), ErrorType::WriteError) && !sending.body_begun;
    let unanswered = unsent || is_unanswered(&error);
    let allowed =
        unsent || session.req_header().method.is_idempotent() || upstream.retries_unanswered();
    // HTTP/2 itself signals that a request was not processed.
    let at_hand = reused || matches!(error.retry, RetryType::Decided(true));
    outcome::broke_off(&error, state, at_hand && unanswered, clock);
    let Some(Forwarding { sending, failed, .. }) = state.forwarding_mut() else { return error };
    let may = unanswered
        && allowed
        && !matches!(error.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout)
        && session.response_written().is_none_or(|answer| !is_final(answer.status))
        && !session.as_downstream().retry_buffer_truncated();
    let afresh = may && at_hand && sending.again != Again::Afresh;
    let elsewhere = may && !at_hand && *error.esource() == ErrorSource::Upstream && {
        failed.extend(peer.address().as_inet());
        failed.len() < MOST_ADDRESSES && upstream.has_other(failed)
    };
    if afresh {
        sending.again = Again::Afresh;
    }
    error.set_retry(afresh || elsewhere);
    error.more_context(format!("Peer: {peer}"))
}

/// Returns true if the app closed the connection without a byte of a response. Pingora reports it
/// as text for HTTP/1.1, and by its retry advice for HTTP/2.
fn is_unanswered(error: &Error) -> bool {
    let said = error.context.as_ref().map_or("", |context| context.as_str());
    match said.split_once("bytes already read: ") {
        Some((_, read)) => read == "0",
        None => !matches!(error.retry, RetryType::Decided(false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_of_an_answer_is_an_answer() {
        let read = |n| {
            let said = format!("while reading response headers, bytes already read: {n}");
            let mut error = Error::explain(ErrorType::ConnectionClosed, said);
            error.retry = RetryType::ReusedOnly;
            is_unanswered(&error)
        };
        assert!(read(0));
        assert!(!read(1) && !read(10));
    }

    #[test]
    fn a_stream_that_was_refused_is_unanswered_and_a_timeout_is_not() {
        let mut refused = Error::explain(ErrorType::H2Error, "while reading h2 header");
        refused.retry = true.into();
        assert!(is_unanswered(&refused));
        let late = Error::explain(ErrorType::ReadTimedout, "while reading response headers");
        assert!(!is_unanswered(&late));
    }
}
