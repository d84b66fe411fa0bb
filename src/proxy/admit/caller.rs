//! The client of a request as the audit log records it.

use http::header::{HeaderMap, USER_AGENT};

use crate::auth::audit::Caller;
use crate::auth::browser::KnownBrowser;
use crate::auth::session::Device;
use crate::proxy::gateway::Gateway;
use crate::proxy::request::RequestState;
use crate::web::cookies;

/// Maximum length of a recorded `User-Agent`, in characters.
const USER_AGENT_MAX: usize = 256;

/// Returns the caller of a request, or `None` before its origin is known.
pub(in crate::proxy) fn caller(
    gateway: &Gateway,
    headers: &HeaderMap,
    state: &RequestState,
) -> Option<Caller> {
    let agent = headers.get(USER_AGENT).map(|v| String::from_utf8_lossy(v.as_bytes()));
    Some(Caller {
        device: Device {
            address: state.origin?.client,
            user_agent: agent.unwrap_or_default().chars().take(USER_AGENT_MAX).collect(),
        },
        browser: cookies::device(headers).and_then(|t| KnownBrowser::parse(t, &gateway.keys)),
        reference: state.id,
        host: state.site.as_ref().map(|site| site.host().to_owned()),
    })
}
