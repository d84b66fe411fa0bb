//! The gateway's own cookies: reading, setting, clearing and removing them from what the app sees.
//! Tokens in them are not verified here.
//!
//! All have the `__Host-` prefix. Browsers accept such a cookie only with `Secure`, `Path=/` and
//! without `Domain`, so neither another host nor plain HTTP can plant one.

use std::time::Duration;

use bytes::Bytes;
use cookie::{Cookie, SameSite};
use http::header::{COOKIE, HeaderMap, HeaderValue};
use memchr::memchr;

/// The cookie of a finished session.
pub const SESSION: &str = "__Host-vestibule";
/// The cookie of a login in progress.
pub const PENDING: &str = "__Host-vestibule-login";
/// The cookie of a known browser: a hint for throttling only.
pub const DEVICE: &str = "__Host-vestibule-device";
/// The token of a request that is kept until its sender has signed in again.
pub const PARKED: &str = "__Host-vestibule-parked";
/// The random cookie that form tokens are bound to before sign-in.
pub const CSRF: &str = "__Host-vestibule-csrf";

/// The random cookie that a ticket of the portal is bound to.
pub const FLOW: &str = "__Host-vestibule-flow";

const OURS: [&str; 3] = [SESSION, PENDING, CSRF];

/// The request contains one of the gateway's cookies more than once, so its value is ambiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request contains the cookie {0} more than once; clear this site's cookies and retry")]
pub struct DuplicateCookie(pub &'static str);

/// Values of the gateway's cookies, exactly as received.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct OwnCookies {
    /// Value of [`SESSION`].
    pub session: Option<String>,
    /// Value of [`PENDING`].
    pub pending: Option<String>,
    /// Value of [`CSRF`].
    pub csrf: Option<String>,
}

impl std::fmt::Debug for OwnCookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OwnCookies(***)")
    }
}

impl OwnCookies {
    /// Reads the cookies from all `Cookie` lines (HTTP/2 splits them). Names must match exactly;
    /// values are neither trimmed nor unquoted.
    pub fn read(headers: &HeaderMap) -> Result<Self, DuplicateCookie> {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let [session, pending, csrf] = values(headers)?.map(|value| value.map(text));
        Ok(Self { session, pending, csrf })
    }
}

/// The session cookie of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionCookie<'a> {
    /// Its value, exactly as received, borrowed from the request.
    pub value: &'a [u8],
    /// True if the request contains no other cookie.
    pub alone: bool,
}

impl std::fmt::Debug for SessionCookie<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionCookie").field("alone", &self.alone).finish_non_exhaustive()
    }
}

/// Returns the session cookie. `only` is the request's single `Cookie` line, if the caller knows that
/// there is just one.
pub fn session<'a>(
    headers: &'a HeaderMap,
    only: Option<&'a HeaderValue>,
) -> Result<Option<SessionCookie<'a>>, DuplicateCookie> {
    if let Some(line) = only
        && let Some(rest) = line.as_bytes().strip_prefix(SESSION.as_bytes())
        && let Some(value) = rest.strip_prefix(b"=")
        && memchr(b';', value).is_none()
    {
        return Ok(Some(SessionCookie { value, alone: true }));
    }
    let [session, ..] = values(headers)?;
    Ok(session.map(|value| SessionCookie { value, alone: false }))
}

/// Returns the cookie of a login in progress, exactly as received.
pub fn pending(headers: &HeaderMap) -> Result<Option<&[u8]>, DuplicateCookie> {
    values(headers).map(|[_, pending, ..]| pending)
}

/// Returns the values of the gateway's cookies, in the order of [`OURS`].
fn values(headers: &HeaderMap) -> Result<[Option<&[u8]>; OURS.len()], DuplicateCookie> {
    let mut values = [None; OURS.len()];
    for segment in segments(headers) {
        let Some((name, value)) = split_pair(segment) else { continue };
        // One comparison rules out nearly all cookies of the app.
        if !name.starts_with(SESSION.as_bytes()) {
            continue;
        }
        let known = OURS.iter().zip(&mut values).find(|(ours, _)| ours.as_bytes() == name);
        if let Some((ours, slot)) = known
            && slot.replace(value).is_some()
        {
            return Err(DuplicateCookie(ours));
        }
    }
    Ok(values)
}

/// Returns the value of [`DEVICE`], or `None` if the request contains it more than once: it is only a
/// hint.
pub fn device(headers: &HeaderMap) -> Option<&str> {
    only(headers, DEVICE)
}

/// Returns the value of [`PARKED`], or `None` if the request contains it more than once.
pub fn parked(headers: &HeaderMap) -> Option<&str> {
    only(headers, PARKED)
}

/// Returns the value of [`FLOW`], or `None` if the request contains it more than once.
pub(super) fn flow(headers: &HeaderMap) -> Option<&str> {
    only(headers, FLOW)
}

/// Returns the value of a cookie that the request contains once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let pairs = segments(headers).filter_map(split_pair);
    let mut values = pairs.filter(|(known, _)| *known == name.as_bytes()).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(only), None) => std::str::from_utf8(only).ok(),
        _ => None,
    }
}

/// Returns a `Set-Cookie` value for a cookie that the browser keeps for `lives`.
pub fn set_for(name: &'static str, value: &str, lives: Duration) -> Option<HeaderValue> {
    let mut cookie = own(name, value);
    let seconds = i64::try_from(lives.as_secs()).unwrap_or(i64::MAX);
    cookie.set_max_age(time::Duration::seconds(seconds));
    let mut header = HeaderValue::from_str(&cookie.to_string()).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Returns a `Set-Cookie` value for a cookie that lasts until the browser is closed.
pub fn set(name: &'static str, value: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(&own(name, value).to_string()).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Returns a `Set-Cookie` value that makes the browser delete a cookie.
pub fn clear(name: &'static str) -> Option<HeaderValue> {
    let mut cookie = own(name, "");
    cookie.make_removal();
    HeaderValue::from_str(&cookie.to_string()).ok()
}

fn own<'a>(name: &'static str, value: &'a str) -> Cookie<'a> {
    Cookie::build((name, value))
        .path("/")
        .secure(true)
        .http_only(true)
        .same_site(SameSite::Lax)
        .build()
}

/// Returns true if the gateway owns cookies of this name, in any letter case. The app neither sees
/// nor sets them.
pub fn is_own_cookie_name(name: &str) -> bool {
    is_own(name.as_bytes())
}

/// The `Cookie` lines to forward to the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stripped {
    /// Unchanged: there is at most one line and it contains none of the gateway's cookies.
    Untouched,
    /// No line: nothing is left.
    Nothing,
    /// This single line.
    Line(HeaderValue),
}

/// Removes the gateway's cookies from all `Cookie` lines and joins the rest into one line, otherwise
/// byte for byte (RFC 9113 §8.2.3).
pub fn strip_own_cookies(headers: &HeaderMap) -> Stripped {
    let lines = headers.get_all(COOKIE);
    let ours = segments(headers).any(|s| is_own(name_of(s)));
    let one = lines.iter().nth(1).is_none();
    if !ours && one {
        return Stripped::Untouched;
    }
    let mut left: Vec<u8> = Vec::new();
    for value in lines {
        let before = left.len();
        let mut kept = split(value.as_bytes()).filter(|s| !is_own(name_of(s)));
        let Some(first) = kept.next() else { continue };
        if before > 0 {
            left.extend_from_slice(b"; ");
        }
        let start = left.len();
        left.extend_from_slice(if ours { first.trim_ascii_start() } else { first });
        for segment in kept {
            left.push(b';');
            left.extend_from_slice(segment);
        }
        if left.get(start..).is_none_or(|line| line.trim_ascii().is_empty()) {
            left.truncate(before);
        }
    }
    if left.is_empty() {
        return Stripped::Nothing;
    }
    HeaderValue::from_maybe_shared(Bytes::from(left)).map_or(Stripped::Nothing, Stripped::Line)
}

/// Returns the gateway's cookies from all `Cookie` lines as one line, otherwise byte for byte.
pub fn only_own(headers: &HeaderMap) -> Vec<u8> {
    let mut ours = Vec::new();
    for segment in segments(headers).filter(|segment| is_own(name_of(segment))) {
        let start = segment.trim_ascii_start();
        if !ours.is_empty() {
            ours.push(b';');
        }
        ours.extend_from_slice(start);
    }
    ours
}

/// Returns true if a `Set-Cookie` value of the app would set or clear one of the gateway's cookies,
/// even in a browser that reads a nameless cookie as a named one.
pub fn sets_own_cookie(set_cookie: &[u8]) -> bool {
    is_own(name_of(set_cookie.split(|b| *b == b';').next().unwrap_or_default()))
}

fn is_own(name: &[u8]) -> bool {
    name.get(..SESSION.len()).is_some_and(|n| n.eq_ignore_ascii_case(SESSION.as_bytes()))
}

/// Returns the segments of all `Cookie` lines, as raw bytes.
pub(super) fn segments(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(COOKIE).into_iter().flat_map(|v| split(v.as_bytes()))
}

/// Splits one line into segments.
fn split(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let end = memchr(b';', line);
        rest = end.and_then(|end| line.get(end + 1..));
        end.map_or(Some(line), |end| line.get(..end))
    })
}

/// Splits a segment into name and value, or returns `None` if it has no `=`.
pub(super) fn split_pair(segment: &[u8]) -> Option<(&[u8], &[u8])> {
    let segment = segment.trim_ascii_start();
    let at = memchr(b'=', segment)?;
    Some((segment.get(..at)?, segment.get(at + 1..)?))
}

/// Returns the cookie name in a segment, read as leniently as a careless app might.
fn name_of(segment: &[u8]) -> &[u8] {
    let text = segment.trim_ascii();
    let text = text.strip_prefix(b"=").unwrap_or(text);
    memchr(b'=', text).and_then(|at| text.get(..at)).unwrap_or(text).trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    fn stripped(of: &[&str]) -> Option<String> {
        match strip_own_cookies(&lines(of)) {
            Stripped::Untouched => of.first().map(|line| (*line).to_owned()),
            Stripped::Nothing => None,
            Stripped::Line(line) => Some(line.to_str().unwrap().to_owned()),
        }
    }

    #[test]
    fn own_cookies_are_found_in_all_lines_by_exact_name() {
        let own = OwnCookies::read(&lines(&["a=1; __Host-vestibule=s", "__Host-vestibule-csrf=c"]));
        let own = own.unwrap();
        assert_eq!(own.session.as_deref(), Some("s"));
        assert_eq!(own.csrf.as_deref(), Some("c"));
        assert_eq!(own.pending, None);
        let other = OwnCookies::read(&lines(&["__host-vestibule=s; __Host-vestibule =t; x"]));
        assert_eq!(other.unwrap(), OwnCookies::default());
    }

    #[test]
    fn values_are_neither_trimmed_nor_unquoted() {
        let own = OwnCookies::read(&lines(&["__Host-vestibule=\"s\" ; b=2"])).unwrap();
        assert_eq!(own.session.as_deref(), Some("\"s\" "));
    }

    #[test]
    fn duplicate_session_cookies_are_rejected_in_any_position() {
        for twice in [
            &["__Host-vestibule=a; __Host-vestibule=a"][..],
            &["__Host-vestibule=a", "x=1; __Host-vestibule=b"][..],
        ] {
            assert_eq!(OwnCookies::read(&lines(twice)), Err(DuplicateCookie(SESSION)));
        }
    }

    #[test]
    fn own_cookies_are_host_only_and_hidden_from_scripts() {
        let set = set(SESSION, "token").unwrap();
        let text = set.to_str().unwrap();
        assert_eq!(text, "__Host-vestibule=token; HttpOnly; SameSite=Lax; Secure; Path=/");
        assert!(set.is_sensitive());
        let cleared = clear(PENDING).unwrap();
        let text = cleared.to_str().unwrap();
        for part in ["__Host-vestibule-login=;", "Max-Age=0", "Path=/", "Secure", "HttpOnly"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("Domain"));
    }

    #[test]
    fn the_known_browser_cookie_persists_and_is_ignored_when_duplicated() {
        let set = set_for(DEVICE, "v", Duration::from_hours(24)).unwrap();
        let text = set.to_str().unwrap();
        for part in ["__Host-vestibule-device=v;", "Max-Age=86400", "Path=/", "Secure", "HttpOnly"]
        {
            assert!(text.contains(part), "{text}");
        }
        assert!(text.contains("SameSite=Lax") && !text.contains("Domain"), "{text}");
        assert_eq!(device(&lines(&["a=1; __Host-vestibule-device=v"])), Some("v"));
        let twice = lines(&["__Host-vestibule-device=v", "__Host-vestibule-device=w"]);
        assert_eq!(device(&twice), None);
        assert_eq!(stripped(&["__Host-vestibule-device=v; a=1"]).as_deref(), Some("a=1"));
    }

    #[test]
    fn the_app_sees_its_cookies_byte_for_byte_and_none_of_the_gateways() {
        assert_eq!(stripped(&["a=1;  b=\"2\" ;c"]).as_deref(), Some("a=1;  b=\"2\" ;c"));
        assert_eq!(stripped(&["__Host-vestibule=x; a=1"]).as_deref(), Some("a=1"));
        assert_eq!(stripped(&["a=1; __Host-vestibule-login=x; b=2"]).as_deref(), Some("a=1; b=2"));
        assert_eq!(stripped(&["a=1", "__HOST-Vestibule=x", "b=2"]).as_deref(), Some("a=1; b=2"));
        assert_eq!(
            stripped(&["__Host-vestibule=x", "=__Host-vestibule=y; __Host-vestibule"]),
            None
        );
        assert_eq!(stripped(&[]), None);
    }

    #[test]
    fn every_name_with_the_prefix_is_an_own_cookie() {
        for ours in [SESSION, PENDING, CSRF, "__Host-vestibule-device", "__hOsT-VESTIBULE2"] {
            assert!(is_own_cookie_name(ours));
        }
        for theirs in ["vestibule", "__Host-app", "__Host-vestibul", "__Secure-vestibule"] {
            assert!(!is_own_cookie_name(theirs));
        }
    }
}
