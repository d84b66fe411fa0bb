//! Keeps a request that a browser sent with an expired session, or that needs a fresh proof.

use std::time::Duration;

use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, ORIGIN, RANGE, TRANSFER_ENCODING,
};
use http::uri::PathAndQuery;
use http::{Method, Uri};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use super::bridge::{Form, read_form};
use super::sent_form::{Parked, page_of_form};
use crate::auth::login::LoginError;
use crate::auth::parked::{LIVES, MOST_BYTES, ParkedAt, ParkedHead, ParkedRequest};
use crate::auth::token::PlainToken;
use crate::base::id::AccountId;
use crate::gate::admission::Visitor;
use crate::gate::sessions::Use;
use crate::proxy::admit::site::Site;
use crate::proxy::gateway::Gateway;
use crate::proxy::request::{Fate, RequestState};
use crate::web::cookies;
use crate::web::origin::Source;

/// Deadline for reading a body that is kept.
const TIME: Duration = Duration::from_secs(10);
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
/// Headers that go with a kept body. Frameworks look for their form tokens in the last four.
const CARRIED: [HeaderName; 6] = [
    CONTENT_TYPE,
    ACCEPT,
    HeaderName::from_static("x-requested-with"),
    HeaderName::from_static("x-csrf-token"),
    HeaderName::from_static("x-csrftoken"),
    HeaderName::from_static("x-xsrf-token"),
];

impl Gateway {
    /// Keeps the request if its browser may send it later. `code` is that of the rejection.
    pub(super) async fn park(
        &self,
        session: &mut Session,
        state: &RequestState,
        code: &str,
    ) -> Parked {
        if state.resends {
            return Parked::Stored(None);
        }
        let Some(site) = state.site().filter(|site| site.app.parks) else { return Parked::No };
        let Some(head) = parkable(session.req_header(), state, site) else { return Parked::No };
        let account = match self.sender(session.req_header(), state, site, code).await {
            Ok(Some(account)) => account,
            Ok(None) => return Parked::No,
            Err(error) => {
                tracing::warn!(id = %state.id, %error, "failed to keep what a browser sent");
                return Parked::No;
            }
        };
        let announced = session.req_header().headers.get(CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| usize::try_from(length).is_ok_and(|n| n > MOST_BYTES)) {
            return Parked::TooBig;
        }
        let body = match read_form(session, MOST_BYTES, TIME).await {
            Ok(Form::Read(body)) => body,
            Ok(Form::TooLarge) => return Parked::TooBig,
            Ok(Form::TooSlow) | Err(_) => return Parked::No,
        };
        let request = ParkedRequest { head, body };
        let former = cookies::parked(&session.req_header().headers);
        let former = former.and_then(|text| PlainToken::parse(text, &self.keys));
        let at = ParkedAt { app: site.app.name(), origin: &site.page_text };
        match self.login.parking.keep(account, at, former, &request).await {
            Ok(kept) => {
                let cookie =
                    kept.and_then(|t| cookies::set_for(cookies::PARKED, t.reveal(), LIVES));
                cookie.map_or(Parked::No, |cookie| Parked::Stored(Some(cookie)))
            }
            Err(error) => {
                tracing::warn!(id = %state.id, %error, "failed to keep what a browser sent");
                Parked::No
            }
        }
    }

    /// Returns the account of the expired session in the browser's cookie, or of the session that
    /// needs a fresh proof.
    async fn sender(
        &self,
        request: &RequestHeader,
        state: &RequestState,
        site: &Site,
        code: &str,
    ) -> Result<Option<AccountId>, LoginError> {
        match (code, &state.fate) {
            ("step_up_required", Fate::Denied(Visitor::Full(known))) => {
                Ok(Some(known.session.identity.account))
            }
            ("login_required", Fate::Denied(Visitor::Anonymous)) => {
                let Ok(Some(cookie)) = cookies::session(&request.headers, None) else {
                    return Ok(None);
                };
                let text = std::str::from_utf8(cookie.value).ok();
                match text.and_then(|text| PlainToken::parse(text, &self.keys)) {
                    Some(token) => self.login.parking.expired(site.app.name(), &token).await,
                    None => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }
}

/// Returns everything but the body of a request that may be kept: a form, or a script's data, sent by a
/// browser from a page of this origin. What is unclear is not kept.
fn parkable(request: &RequestHeader, state: &RequestState, site: &Site) -> Option<ParkedHead> {
    let headers = &request.headers;
    let changes = matches!(request.method, Method::POST | Method::PUT | Method::PATCH);
    let plain = [AUTHORIZATION, CONTENT_ENCODING, RANGE].iter().all(|n| !headers.contains_key(n));
    let own = Source::of(headers, &site.page) == Source::Here;
    let told = headers.contains_key(SITE) || headers.contains_key(ORIGIN);
    let facts = &state.facts;
    let program = facts.access_token || facts.websocket || state.counts == Use::Passive;
    if !changes || !plain || !own || !told || program {
        return None;
    }
    let form = of_form(headers)?;
    let target = std::str::from_utf8(request.raw_path()).ok()?.to_owned();
    target.parse::<PathAndQuery>().ok()?;
    let mut kept = Vec::new();
    for name in &CARRIED {
        let mut values = headers.get_all(name).iter();
        let Some(value) = values.next() else { continue };
        if values.next().is_some() {
            return None;
        }
        kept.push((name.as_str().to_owned(), value.to_str().ok()?.to_owned()));
    }
    let page = page_of_form(request, Some(&site.page)).as_str().to_owned();
    Some(ParkedHead { method: request.method.to_string(), target, headers: kept, page, form })
}

/// Returns true for the form of a page, false for a script's data, and `None` for anything else.
fn of_form(headers: &HeaderMap) -> Option<bool> {
    let mode = match headers.get(MODE).map(HeaderValue::as_bytes) {
        None => None,
        Some(b"navigate") => Some(true),
        Some(b"cors" | b"same-origin") => Some(false),
        Some(_) => return None,
    };
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    let kind = kinds.next().filter(|_| kinds.next().is_none())?.to_str().ok()?;
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "application/x-www-form-urlencoded" | "multipart/form-data" => Some(mode.unwrap_or(true)),
        "text/plain" if mode == Some(true) => Some(true),
        "application/json" if mode != Some(true) => Some(false),
        json if json.starts_with("application/")
            && json.ends_with("+json")
            && mode != Some(true) =>
        {
            Some(false)
        }
        _ => None,
    }
}

/// Makes the head of a request that was kept out of the one that asks to send it.
pub(in crate::proxy) fn restore(request: &mut RequestHeader, kept: &ParkedRequest) -> Option<()> {
    request.set_method(Method::from_bytes(kept.head.method.as_bytes()).ok()?);
    let mut address = request.uri.clone().into_parts();
    if address.authority.is_some() {
        // HTTP/2 names the host there.
        address.path_and_query = Some(kept.head.target.parse().ok()?);
        request.set_uri(Uri::from_parts(address).ok()?);
    } else {
        request.set_raw_path(kept.head.target.as_bytes()).ok()?;
    }
    for name in CARRIED.iter().chain(&[TRANSFER_ENCODING, http::header::EXPECT]) {
        request.remove_header(name);
    }
    for (name, value) in &kept.head.headers {
        request.insert_header(name.clone(), value).ok()?;
    }
    request.insert_header(CONTENT_LENGTH, kept.body.len()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(mode: Option<&'static str>, content: &'static str) -> Option<bool> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content));
        if let Some(mode) = mode {
            headers.insert(MODE, HeaderValue::from_static(mode));
        }
        of_form(&headers)
    }

    #[test]
    fn forms_and_data_are_kept_and_nothing_else() {
        let form = "application/x-www-form-urlencoded";
        for content in [form, "multipart/form-data; boundary=x", "text/plain"] {
            assert_eq!(kind(Some("navigate"), content), Some(true), "{content}");
        }
        for content in ["application/json", "application/json; charset=utf-8", "application/a+json"]
        {
            assert_eq!(kind(Some("cors"), content), Some(false), "{content}");
            assert_eq!(kind(None, content), Some(false), "{content}");
            assert_eq!(kind(Some("navigate"), content), None, "{content}");
        }
        assert_eq!(kind(None, form), Some(true));
        assert_eq!(kind(Some("no-cors"), form), None);
        assert_eq!(kind(Some("cors"), "text/plain"), None);
        assert_eq!(kind(Some("cors"), "application/octet-stream"), None);
    }
}
