//! What the app is sent, and what it may send back.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};

use super::hygiene;
use super::request::RequestState;
use crate::gate::sessions::IdentityHeaders;
use crate::web::cookies;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REMOTE_USER: HeaderName = HeaderName::from_static("remote-user");
const REMOTE_NAME: HeaderName = HeaderName::from_static("remote-name");
const REMOTE_EMAIL: HeaderName = HeaderName::from_static("remote-email");
const REMOTE_GROUPS: HeaderName = HeaderName::from_static("remote-groups");

/// A bug, not a client's fault: answered by 500 before any connection is made.
pub(super) fn no_admission() -> Box<Error> {
    tracing::error!("a request without an admission reached the forwarding phase: this is a bug");
    Error::explain(ErrorType::HTTPStatus(500), "no admission")
}

/// Makes the client's request the one the app gets: nothing of ours in it that the client sent,
/// and everything of ours once.
pub(super) fn request(upstream: &mut RequestHeader, state: &RequestState) -> Result<()> {
    let admission = state.admission.as_ref().ok_or_else(no_admission)?;
    let origin = state.origin.ok_or_else(no_admission)?;
    for name in hygiene::managed(&upstream.headers) {
        upstream.remove_header(&name);
    }
    own_cookies_out(upstream)?;
    if let Some(target) = &state.rewritten {
        upstream.set_raw_path(target.as_bytes())?;
    }
    upstream.insert_header(header::HOST, state.host.as_str())?;
    let client = origin.client.to_string();
    let proto = if origin.https { "https" } else { "http" };
    let quoted = if client.contains(':') { format!("\"[{client}]\"") } else { client.clone() };
    let forwarded = format!("for={quoted};host=\"{}\";proto={proto}", state.host);
    upstream.insert_header(FORWARDED_FOR, client)?;
    upstream.insert_header(FORWARDED_PROTO, proto)?;
    upstream.insert_header(FORWARDED_HOST, state.host.as_str())?;
    upstream.insert_header(header::FORWARDED, forwarded)?;
    upstream.insert_header(REQUEST_ID, state.id_value())?;
    if let Some(person) = admission.person() {
        identity(upstream, &person.headers)?;
    }
    Ok(())
}

fn identity(upstream: &mut RequestHeader, person: &IdentityHeaders) -> Result<()> {
    upstream.insert_header(REMOTE_USER, person.user.clone())?;
    upstream.insert_header(REMOTE_NAME, person.name.clone())?;
    if let Some(email) = &person.email {
        upstream.insert_header(REMOTE_EMAIL, email.clone())?;
    }
    if let Some(groups) = &person.groups {
        upstream.insert_header(REMOTE_GROUPS, groups.clone())?;
    }
    Ok(())
}

/// Takes our cookies out of all `Cookie` lines and joins what is left (RFC 9113 §8.2.3).
fn own_cookies_out(upstream: &mut RequestHeader) -> Result<()> {
    if !upstream.headers.contains_key(header::COOKIE) {
        return Ok(());
    }
    match cookies::strip_own_cookies(&upstream.headers) {
        Some(rest) => upstream.insert_header(header::COOKIE, rest)?,
        None => {
            upstream.remove_header(&header::COOKIE);
        }
    }
    Ok(())
}

/// The app can neither set nor clear our cookies, by name or wholesale.
pub(super) fn response(from_app: &mut ResponseHeader, client: Version, https: bool) -> Result<()> {
    if from_app.headers.contains_key(header::SET_COOKIE) {
        let ours = |v: &HeaderValue| cookies::sets_own_cookie(v.as_bytes());
        if from_app.headers.get_all(header::SET_COOKIE).iter().any(ours) {
            let kept: Vec<HeaderValue> = from_app
                .headers
                .get_all(header::SET_COOKIE)
                .iter()
                .filter(|v| !ours(v))
                .cloned()
                .collect();
            from_app.remove_header(&header::SET_COOKIE);
            for value in kept {
                from_app.append_header(header::SET_COOKIE, value)?;
            }
        }
    }
    clear_site_data(from_app)?;
    // Pingora would relay a chunked body to a client that cannot read one.
    if client == Version::HTTP_10 {
        from_app.remove_header(&header::TRANSFER_ENCODING);
    }
    let switching = from_app.status == StatusCode::SWITCHING_PROTOCOLS;
    if https && !switching && !from_app.headers.contains_key(header::STRICT_TRANSPORT_SECURITY) {
        from_app.insert_header(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000")?;
    }
    Ok(())
}

/// `Clear-Site-Data: "cookies"` from the app would sign people out of the gateway too.
fn clear_site_data(from_app: &mut ResponseHeader) -> Result<()> {
    const NAME: HeaderName = HeaderName::from_static("clear-site-data");
    if !from_app.headers.contains_key(NAME) {
        return Ok(());
    }
    let kept = kept_site_data(&from_app.headers, &NAME);
    from_app.remove_header(&NAME);
    if !kept.is_empty() {
        from_app.insert_header(NAME, kept)?;
    }
    Ok(())
}

fn kept_site_data(headers: &HeaderMap, name: &HeaderName) -> String {
    let directives: Vec<String> = headers
        .get_all(name)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(|d| d.trim().to_owned())
        .flat_map(|d| match d.as_str() {
            "\"cookies\"" => Vec::new(),
            // All, without the cookies.
            "\"*\"" => vec!["\"cache\"".to_owned(), "\"storage\"".to_owned()],
            _ => vec![d],
        })
        .collect();
    directives.join(", ")
}
