//! Pages that are not at an app whose users sign in at the portal, but at the portal.

use axum::response::Response;
use http::Method;

use super::failure::Failure;
use super::form::Fields;
use super::portal::{Detour, LOGIN, STEP_UP, flow};
use super::view::Answer;
use super::visit::Visit;

/// Pages of the account.
const ACCOUNT: &[&str] = &[
    "/_auth/account",
    "/_auth/account/authenticator",
    "/_auth/account/keys",
    "/_auth/account/keys/new",
    "/_auth/account/keys/{id}",
    "/_auth/account/password",
    "/_auth/account/recovery-codes",
    "/_auth/account/sessions",
    "/_auth/account/tokens",
];
/// Pages of a login.
const OF_LOGIN: &[&str] = &[
    "/_auth/enroll",
    "/_auth/enroll/key",
    "/_auth/forgot",
    "/_auth/forgot/password",
    "/_auth/key",
    "/_auth/login",
    "/_auth/notice",
    "/_auth/otp",
    "/_auth/passkey",
    "/_auth/recovery",
    "/_auth/recovery-codes",
];
const SETUP: &str = "/_auth/setup";

/// Returns true if the portal has this page in place of the app.
pub(super) fn moves(path: &str) -> bool {
    ACCOUNT.contains(&path) || OF_LOGIN.contains(&path) || path == STEP_UP || path == SETUP
}

/// Redirects to the page at the portal. A sign-in there leads back to the app; a form sent here is not
/// read.
pub(super) fn to_portal(visit: &Visit, detour: &Detour, path: &str) -> Result<Response, Failure> {
    if ACCOUNT.contains(&path) {
        let page = if path.contains('{') { "/_auth/account/keys" } else { path };
        let page = if visit.method == Method::POST { "/_auth/account" } else { page };
        return Ok(Answer::see_other(&detour.page(page)).done());
    }
    let mut query = Fields::of_query(&visit.uri)?;
    if path == SETUP {
        let ticket = query.take("ticket");
        let ticket = form_urlencoded::byte_serialize(ticket.as_bytes()).collect::<String>();
        let url = detour.page(&format!("{SETUP}?ticket={ticket}"));
        return Ok(Answer::see_other(&url).unreferred().done());
    }
    let random = visit.services.random();
    let (hash, cookie) =
        flow(&visit.headers, random).map_err(|error| Failure::Broken(error.to_string()))?;
    let page = if path == STEP_UP { STEP_UP } else { LOGIN };
    let mut url = detour.to(page, &visit.back(), Some(&hash));
    if path == STEP_UP && query.get("with") == "key" {
        url.push_str("&with=key");
    }
    Ok(Answer::see_other(&url).cookie(cookie).unreferred().done())
}
