//! What the app is sent, and what it may send back.

use std::mem::ManuallyDrop;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};

use super::request::RequestState;
use super::{hygiene, workers};
use crate::gate::identity::IdentityHeaders;
use crate::web::cookies::{self, Stripped};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REMOTE_USER: HeaderName = HeaderName::from_static("remote-user");
const REMOTE_NAME: HeaderName = HeaderName::from_static("remote-name");
const REMOTE_EMAIL: HeaderName = HeaderName::from_static("remote-email");
const REMOTE_GROUPS: HeaderName = HeaderName::from_static("remote-groups");
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");
/// Headers that are set here, without those that tell of the person.
const OURS: usize = 6;

const A_YEAR: &str = "max-age=31536000";

/// A bug, not a client's fault: answered by 500 before any connection is made.
#[cold]
pub(super) fn no_admission() -> Box<Error> {
    tracing::error!("a request without an admission reached the forwarding phase: this is a bug");
    Error::explain(ErrorType::HTTPStatus(500), "no admission")
}

/// Makes the client's request the one the app gets: nothing of ours in it that the client sent,
/// and everything of ours once.
pub(super) fn request(upstream: &mut RequestHeader, state: &RequestState) -> Result<()> {
    let admission = state.admission.as_ref().ok_or_else(no_admission)?;
    let site = state.site.as_ref().ok_or_else(no_admission)?;
    if let Some(target) = &state.rewritten {
        upstream.set_raw_path(target.as_bytes())?;
    }
    with_headers(upstream, |headers| {
        if state.marks.managed {
            hygiene::clean(headers);
        }
        if state.marks.expects {
            // We are who lets the client send.
            headers.remove(header::EXPECT);
        }
        if state.marks.session_alone {
            headers.remove(header::COOKIE);
        } else if state.marks.cookies {
            own_cookies_out(headers);
        }
        if let Some(dialect) = &site.app.dialect {
            state.left_out.take_out(dialect, headers);
        }
        headers.reserve(OURS + admission.headers().map_or(0, how_many));
        if let Some(own) = &site.app.own_name {
            own.request(headers, site);
        } else if !state.marks.host {
            headers.insert(header::HOST, site.host_value.clone());
        }
        let proto = HeaderValue::from_static(site.origin.scheme());
        headers.insert(FORWARDED_FOR, site.forwarded_for.clone());
        headers.insert(FORWARDED_PROTO, proto);
        headers.insert(FORWARDED_HOST, site.host_value.clone());
        headers.insert(header::FORWARDED, site.forwarded.clone());
        headers.insert(REQUEST_ID, state.id_value());
        if let Some(person) = admission.headers() {
            identity(headers, person);
        }
    });
    Ok(())
}

/// Gives up the spelling of the header names, which Pingora keeps in a second map beside the first
/// and copies with it: from here on they are in lower case, as they always are in HTTP/2.
pub(super) fn drop_spelling(request: &mut RequestHeader) {
    if request.has_case() {
        with_headers(request, |_| {});
    }
}

/// Lets `change` work on the header map itself: Pingora's own methods parse and copy a name at
/// every call. The spelling of names is given up.
fn with_headers(request: &mut RequestHeader, change: impl FnOnce(&mut HeaderMap)) {
    let ends = request.send_end_stream();
    let empty = RequestHeader::from(http::Request::new(()).into_parts().0);
    let mut parts = http::request::Parts::from(std::mem::replace(request, empty));
    change(&mut parts.headers);
    put(request, RequestHeader::from(parts));
    if let Some(ends) = ends {
        request.set_send_end_stream(ends);
    }
}

/// Puts a header back where an empty one was left, which owns no memory: to look for what there is to
/// free in it would take longer than all else here.
fn put<T>(place: &mut T, header: T) {
    let _empty = ManuallyDrop::new(std::mem::replace(place, header));
}

/// How many headers [`identity`] sets.
fn how_many(person: &IdentityHeaders) -> usize {
    2 + usize::from(person.email.is_some()) + usize::from(person.groups.is_some())
}

fn identity(headers: &mut HeaderMap, person: &IdentityHeaders) {
    headers.insert(REMOTE_USER, person.user.clone());
    headers.insert(REMOTE_NAME, person.name.clone());
    if let Some(email) = &person.email {
        headers.insert(REMOTE_EMAIL, email.clone());
    }
    if let Some(groups) = &person.groups {
        headers.insert(REMOTE_GROUPS, groups.clone());
    }
}

/// Takes our cookies out of all `Cookie` lines and joins what is left.
fn own_cookies_out(headers: &mut HeaderMap) {
    match cookies::strip_own_cookies(headers) {
        Stripped::Untouched => {}
        Stripped::Nothing => {
            headers.remove(header::COOKIE);
        }
        Stripped::Line(line) => {
            headers.insert(header::COOKIE, line);
        }
    }
}

/// What the answer to a client depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    /// The HTTP it speaks.
    pub(super) version: Version,
    /// Its browser used https.
    pub(super) https: bool,
    /// The app's service workers may cover our pages.
    pub(super) workers: bool,
}

/// What there is to do about an answer, told by its header names in one pass.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing about the headers")]
struct Found {
    cookies: bool,
    site_data: bool,
    transport_security: bool,
    connection: bool,
    worker: bool,
    alternatives: bool,
}

impl Found {
    fn read(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for name in headers.keys() {
            match *name {
                header::CONTENT_LENGTH
                | header::CONTENT_TYPE
                | header::CACHE_CONTROL
                | header::DATE
                | header::ETAG
                | header::SERVER
                | header::VARY => {}
                header::SET_COOKIE => found.cookies = true,
                header::CONNECTION => found.connection = true,
                header::ALT_SVC => found.alternatives = true,
                header::STRICT_TRANSPORT_SECURITY => found.transport_security = true,
                _ => {
                    found.site_data |= *name == CLEAR_SITE_DATA;
                    found.worker |= *name == workers::ALLOWED;
                }
            }
        }
        found
    }
}

/// The app can neither set nor clear our cookies, by name or wholesale.
pub(super) fn response(from_app: &mut ResponseHeader, client: Client) -> Result<()> {
    let found = Found::read(&from_app.headers);
    if found.cookies {
        app_cookies_only(from_app)?;
    }
    if found.site_data {
        clear_site_data(from_app)?;
    }
    if found.worker && !client.workers {
        from_app.remove_header(&workers::ALLOWED);
    }
    if found.alternatives {
        // They would be ways around the gateway.
        from_app.remove_header(&header::ALT_SVC);
    }
    // Pingora would relay a chunked body to a client that cannot read one.
    if client.version == Version::HTTP_10 {
        from_app.remove_header(&header::TRANSFER_ENCODING);
    }
    let switching = from_app.status == StatusCode::SWITCHING_PROTOCOLS;
    let secure = client.https && !switching && !found.transport_security;
    if client.version == Version::HTTP_2 {
        // It has no spelling of names, and no such header: Pingora would carry both along.
        with_answer_headers(from_app, |headers| {
            if found.connection {
                headers.remove(header::CONNECTION);
            }
            if secure {
                let year = HeaderValue::from_static(A_YEAR);
                headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
            }
        });
    } else if secure {
        from_app.insert_header("Strict-Transport-Security", HeaderValue::from_static(A_YEAR))?;
    }
    Ok(())
}

/// As [`with_headers`], for an answer.
fn with_answer_headers(answer: &mut ResponseHeader, change: impl FnOnce(&mut HeaderMap)) {
    let empty = ResponseHeader::from(http::Response::new(()).into_parts().0);
    let mut parts = http::response::Parts::from(std::mem::replace(answer, empty));
    change(&mut parts.headers);
    put(answer, ResponseHeader::from(parts));
}

fn app_cookies_only(from_app: &mut ResponseHeader) -> Result<()> {
    let ours = |v: &HeaderValue| cookies::sets_own_cookie(v.as_bytes());
    let set = from_app.headers.get_all(header::SET_COOKIE);
    if !set.iter().any(ours) {
        return Ok(());
    }
    let kept: Vec<HeaderValue> = set.iter().filter(|v| !ours(v)).cloned().collect();
    from_app.remove_header(&header::SET_COOKIE);
    for value in kept {
        from_app.append_header(header::SET_COOKIE, value)?;
    }
    Ok(())
}

/// `Clear-Site-Data: "cookies"` from the app would sign people out of the gateway too.
fn clear_site_data(from_app: &mut ResponseHeader) -> Result<()> {
    let kept = kept_site_data(&from_app.headers);
    from_app.remove_header(&CLEAR_SITE_DATA);
    if !kept.is_empty() {
        from_app.insert_header(CLEAR_SITE_DATA, kept)?;
    }
    Ok(())
}

fn kept_site_data(headers: &HeaderMap) -> String {
    let directives: Vec<String> = headers
        .get_all(CLEAR_SITE_DATA)
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
