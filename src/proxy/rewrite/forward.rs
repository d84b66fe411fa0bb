//! The request that the app receives, and the response that the client receives.

use std::mem::ManuallyDrop;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};

use super::app_headers::ASSERTION;
use super::{caching, hygiene, workers};
use crate::base::clock::Clock;
use crate::gate::identity::IdentityHeaders;
use crate::proxy::request::RequestState;
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
/// Number of headers that are always set, without the identity headers.
const OURS: usize = 6;

const A_YEAR: &str = "max-age=31536000";
const A_YEAR_SECONDS: u64 = 31_536_000;

/// Turns the client's request into the app's: removes everything reserved for the gateway, then
/// sets the gateway's headers once.
pub(in crate::proxy) fn request(
    upstream: &mut RequestHeader,
    state: &RequestState,
    clock: &dyn Clock,
) -> Result<()> {
    let (site, forwarding) = state.admitted()?;
    let person = forwarding.admission().headers();
    let of_app = site.app.headers.as_deref();
    let assertion = match of_app {
        None => None,
        Some(of_app) => of_app.assertion(forwarding.admission(), clock, state.started)?,
    };
    if let Some(target) = &forwarding.rewritten {
        upstream.set_raw_path(target.as_bytes())?;
    }
    with_headers(upstream, |headers| {
        if state.facts.managed {
            hygiene::clean(headers);
        }
        if state.facts.expects_continue {
            // The gateway sends the `100 Continue`.
            headers.remove(header::EXPECT);
        }
        if let Some(of_app) = of_app {
            of_app.strip(headers);
        }
        if state.facts.only_session_cookie {
            headers.remove(header::COOKIE);
        } else if state.facts.cookies {
            remove_own_cookies(headers);
        }
        if let Some(dialect) = &site.app.dialect {
            forwarding.omitted.strip(dialect, headers);
        }
        headers.reserve(OURS + person.map_or(0, identity_count));
        if let Some(own) = &site.app.own_name {
            own.request(headers, &site.page);
        } else if !state.facts.host {
            headers.insert(header::HOST, site.host_value.clone());
        }
        let proto = HeaderValue::from_static(site.origin.scheme());
        headers.insert(FORWARDED_FOR, site.forwarded_for.clone());
        headers.insert(FORWARDED_PROTO, proto);
        headers.insert(FORWARDED_HOST, site.host_value.clone());
        headers.insert(header::FORWARDED, site.forwarded.clone());
        headers.insert(REQUEST_ID, state.id_value());
        match (person, of_app) {
            (None, _) => {}
            (Some(person), None) => identity(headers, person),
            (Some(person), Some(of_app)) => of_app.identify(headers, person),
        }
        if let Some(assertion) = assertion {
            headers.insert(ASSERTION, assertion);
        }
    });
    Ok(())
}

/// Drops the original spelling of header names, which Pingora keeps and copies in a second map.
/// Names are in lower case from here on, as always in HTTP/2.
pub(in crate::proxy) fn drop_spelling(request: &mut RequestHeader) {
    if request.has_case() {
        with_headers(request, |_| {});
    }
}

/// Runs `change` on the header map itself, because Pingora's methods parse and copy a name on every
/// call. Drops the spelling of names.
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

/// Puts a header in the place of an empty one, which owns no memory. Dropping the empty one would
/// cost more than everything else here.
fn put<T>(place: &mut T, header: T) {
    let _empty = ManuallyDrop::new(std::mem::replace(place, header));
}

/// Returns the number of headers that [`identity`] sets.
fn identity_count(person: &IdentityHeaders) -> usize {
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

/// Removes gateway cookies from all `Cookie` lines and joins the rest.
fn remove_own_cookies(headers: &mut HeaderMap) {
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

/// Properties of the client that its response depends on.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Client {
    /// The HTTP version.
    pub(in crate::proxy) version: Version,
    /// True if its browser used HTTPS.
    pub(in crate::proxy) https: bool,
    /// True if the app's service workers may cover our own pages.
    pub(in crate::proxy) workers: bool,
    /// True if the response is for one user.
    pub(in crate::proxy) personal: bool,
}

/// Facts about the response headers, gathered in one pass.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing about the headers")]
struct ResponseFacts {
    cookies: bool,
    site_data: bool,
    transport_security: bool,
    connection: bool,
    worker: bool,
    /// A header acts on the whole host ([`acts_on_host`]).
    on_host: bool,
    /// A header instructs a cache in front.
    for_caches: bool,
}

/// Headers of an app that affect every page of the host, including our own: alternative routes
/// around the gateway (`Alt-Svc`), endpoints for reports that contain URLs of our own pages (`NEL`,
/// `Report-To`, `Expect-CT`), and key pins (`Public-Key-Pins`). `Reporting-Endpoints` affects one
/// page and stays.
const ACT_ON_HOST: [HeaderName; 6] = [
    header::ALT_SVC,
    HeaderName::from_static("nel"),
    HeaderName::from_static("report-to"),
    HeaderName::from_static("expect-ct"),
    header::PUBLIC_KEY_PINS,
    header::PUBLIC_KEY_PINS_REPORT_ONLY,
];

fn acts_on_host(name: &str) -> bool {
    matches!(
        name,
        "nel" | "report-to" | "expect-ct" | "public-key-pins" | "public-key-pins-report-only"
    )
}

impl ResponseFacts {
    fn read(headers: &HeaderMap) -> Self {
        let mut facts = Self::default();
        for name in headers.keys() {
            match *name {
                header::CONTENT_LENGTH
                | header::CONTENT_TYPE
                | header::CACHE_CONTROL
                | header::DATE
                | header::ETAG
                | header::SERVER
                | header::VARY => {}
                header::SET_COOKIE => facts.cookies = true,
                header::CONNECTION => facts.connection = true,
                header::ALT_SVC => facts.on_host = true,
                header::STRICT_TRANSPORT_SECURITY => facts.transport_security = true,
                _ => {
                    facts.site_data |= *name == CLEAR_SITE_DATA;
                    facts.worker |= *name == workers::ALLOWED;
                    facts.on_host |= acts_on_host(name.as_str());
                    facts.for_caches |= caching::instructs_cache_in_front(name.as_str());
                }
            }
        }
        facts
    }
}

/// Turns the app's response into the client's. The app can neither set nor clear gateway cookies.
pub(in crate::proxy) fn response(from_app: &mut ResponseHeader, client: Client) -> Result<()> {
    let facts = ResponseFacts::read(&from_app.headers);
    if facts.cookies {
        remove_own_set_cookies(from_app)?;
    }
    if facts.site_data {
        clear_site_data(from_app)?;
    }
    if facts.worker && !client.workers {
        from_app.remove_header(&workers::ALLOWED);
    }
    if facts.on_host {
        for name in &ACT_ON_HOST {
            from_app.remove_header(name);
        }
    }
    if facts.for_caches && client.personal {
        caching::remove_instructions(from_app);
    }
    // Pingora would relay a chunked body to a client that cannot read one.
    if client.version == Version::HTTP_10 {
        from_app.remove_header(&header::TRANSFER_ENCODING);
    }
    let switching = from_app.status == StatusCode::SWITCHING_PROTOCOLS;
    let strong = facts.transport_security && is_strong(&from_app.headers);
    let secure = client.https && !switching && !strong;
    let private = if client.personal && !switching {
        caching::private(from_app.status, &from_app.headers)
    } else {
        None
    };
    if client.version == Version::HTTP_2 {
        // HTTP/2 has neither spelling nor `Connection`, but Pingora would carry both along.
        with_answer_headers(from_app, |headers| {
            if facts.connection {
                headers.remove(header::CONNECTION);
            }
            if secure {
                let year = HeaderValue::from_static(A_YEAR);
                headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
            }
            if let Some(private) = private {
                headers.insert(header::CACHE_CONTROL, private);
            }
        });
        return Ok(());
    }
    if secure {
        from_app.insert_header("Strict-Transport-Security", HeaderValue::from_static(A_YEAR))?;
    }
    if let Some(private) = private {
        from_app.insert_header("Cache-Control", private)?;
    }
    Ok(())
}

/// Returns true if the app's own `Strict-Transport-Security` (RFC 6797 §6.1) is at least as strict
/// as ours. An app with `max-age=0` would allow plain HTTP to our sign-in page.
fn is_strong(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::STRICT_TRANSPORT_SECURITY).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let Ok(line) = line.to_str() else { return false };
    let mut ages = line.split(';').filter_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("max-age").then(|| value.parse::<u64>().ok())
    });
    let a_year = ages.next().flatten().is_some_and(|seconds| seconds >= A_YEAR_SECONDS);
    a_year && ages.next().is_none()
}

/// As [`with_headers`], for a response.
fn with_answer_headers(answer: &mut ResponseHeader, change: impl FnOnce(&mut HeaderMap)) {
    let empty = ResponseHeader::from(http::Response::new(()).into_parts().0);
    let mut parts = http::response::Parts::from(std::mem::replace(answer, empty));
    change(&mut parts.headers);
    put(answer, ResponseHeader::from(parts));
}

fn remove_own_set_cookies(from_app: &mut ResponseHeader) -> Result<()> {
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

/// The `Clear-Site-Data` directives that an app may use: all known ones except `"cookies"`.
const CLEARED: [&str; 6] = [
    "\"cache\"",
    "\"storage\"",
    "\"executionContexts\"",
    "\"clientHints\"",
    "\"prefetchCache\"",
    "\"prerenderCache\"",
];

/// Filters `Clear-Site-Data`. `"cookies"` from the app would sign users out of the gateway.
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
            // Everything except cookies.
            "\"*\"" => vec!["\"cache\"".to_owned(), "\"storage\"".to_owned()],
            other if CLEARED.contains(&other) => vec![d],
            _ => Vec::new(),
        })
        .collect();
    directives.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(lines: &[(&'static str, &'static str)], version: Version) -> ResponseHeader {
        let mut answer = ResponseHeader::build(200, None).unwrap();
        for (name, value) in lines {
            answer.append_header(*name, *value).unwrap();
        }
        let client = Client { version, https: true, workers: false, personal: false };
        response(&mut answer, client).unwrap();
        answer
    }

    #[test]
    fn an_app_may_ask_for_more_transport_security_and_never_for_less() {
        const NAME: &str = "strict-transport-security";
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let of = |values: &[&'static str]| {
                let lines: Vec<_> = values.iter().map(|value| (NAME, *value)).collect();
                let answer = answered(&lines, version);
                let all = answer.headers.get_all(NAME).iter();
                all.map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>()
            };
            for weak in [
                &[][..],
                &["max-age=0"],
                &["max-age=0; includeSubDomains"],
                &["max-age=31535999"],
                &["MAX-AGE=\"60\""],
                &["includeSubDomains"],
                &["max-age"],
                &["max-age=x"],
                &["max-age=-1"],
                &["max-age=63072000; max-age=0"],
                &["max-age=63072000", "max-age=0"],
                &[""],
            ] {
                assert_eq!(of(weak), [A_YEAR], "{weak:?}");
            }
            for strong in ["max-age=31536000", "max-age=63072000; includeSubDomains; preload"] {
                assert_eq!(of(&[strong]), [strong]);
            }
        }
    }

    #[test]
    fn what_acts_on_the_whole_host_stays_with_the_gateway() {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let answer = answered(
                &[
                    ("NEL", "{\"report_to\":\"a\",\"max_age\":1}"),
                    ("Report-To", "{}"),
                    ("Expect-CT", "max-age=1"),
                    ("Public-Key-Pins", "max-age=1"),
                    ("Public-Key-Pins-Report-Only", "max-age=1"),
                    ("Alt-Svc", "h3=\":443\""),
                    ("Reporting-Endpoints", "a=\"/r\""),
                    ("Content-Security-Policy", "default-src 'self'"),
                ],
                version,
            );
            for name in &ACT_ON_HOST {
                assert!(!answer.headers.contains_key(name), "{name}");
            }
            for kept in ["reporting-endpoints", "content-security-policy"] {
                assert!(answer.headers.contains_key(kept), "{kept}");
            }
        }
    }

    #[test]
    fn an_app_clears_everything_but_cookies() {
        let of = |values: &[&'static str]| {
            let lines: Vec<_> = values.iter().map(|value| ("Clear-Site-Data", *value)).collect();
            let answer = answered(&lines, Version::HTTP_11);
            let kept = answer.headers.get(CLEAR_SITE_DATA);
            kept.map(|v| v.to_str().unwrap().to_owned())
        };
        assert_eq!(of(&["\"cookies\""]), None);
        assert_eq!(of(&["\"*\""]).as_deref(), Some("\"cache\", \"storage\""));
        assert_eq!(
            of(&["\"cache\",\"cookies\"", "\"storage\""]).as_deref(),
            Some("\"cache\", \"storage\"")
        );
        assert_eq!(of(&["\"cookies\" , \"Cookies\", cookies, \"new\""]), None);
    }
}
