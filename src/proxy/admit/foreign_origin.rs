//! WebSocket handshakes from foreign origins.

use http::{StatusCode, header};
use pingora_proxy::Session;

use super::way::{Way, refuse};
use crate::gate::admission::{Admission, Visitor};
use crate::proxy::request::RequestState;
use crate::web::origin::Source;

/// Rejects a WebSocket handshake from another origin (RFC 6455 §10.2). Browsers always send
/// `Origin`, so only a program with a token may omit it.
pub(in crate::proxy) fn foreign_websocket(
    session: &Session,
    state: &RequestState,
    admission: &Admission,
) -> Option<Way> {
    let site = state.site.as_ref()?;
    if !site.app.websocket || !state.facts.websocket {
        return None;
    }
    let request = session.req_header();
    let same = if request.headers.contains_key(header::ORIGIN) {
        Source::of(&request.headers, &site.page) == Source::Here
    } else {
        matches!(admission.visitor(), Visitor::Machine(_))
    };
    (!same).then(|| {
        refuse(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            "A WebSocket may only be opened from a page of this host.",
        )
    })
}
