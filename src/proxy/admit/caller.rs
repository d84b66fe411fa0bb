//! The client of a request as the audit log records it.

use http::header::{HeaderMap, HeaderValue, USER_AGENT};

use crate::auth::audit::Caller;
use crate::auth::browser::KnownBrowser;
use crate::auth::session::Device;
use crate::auth::token::PlainToken;
use crate::proxy::gateway::Gateway;
use crate::proxy::request::RequestState;
use crate::web::cookies;

/// Returns the caller of a request, or `None` before its origin is known.
pub(in crate::proxy) fn caller(
    gateway: &Gateway,
    headers: &HeaderMap,
    state: &RequestState,
) -> Option<Caller> {
    let agent = headers.get(USER_AGENT).map(HeaderValue::as_bytes);
    Some(Caller {
        device: Device::new(state.origin()?.client, agent.unwrap_or_default()),
        browser: cookies::device(headers).and_then(|t| KnownBrowser::parse(t, &gateway.keys)),
        reference: state.id,
        host: state.site().map(|site| site.host().to_owned()),
        parked: cookies::parked(headers)
            .and_then(|text| PlainToken::parse(text, &gateway.keys))
            .map(|token| *token.hashed()),
    })
}
