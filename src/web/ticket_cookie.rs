//! The cookie that carries the ticket of a one-time link from the URL to the form. It keeps the
//! ticket out of the address bar, the history and the next page's `Referer`. Tickets are not verified
//! here.

use cookie::time::Duration;
use cookie::{Cookie, SameSite};
use http::header::{HeaderMap, HeaderValue};

use super::cookies;

/// Cookie name, which is hidden from the app like all of the gateway's cookies.
const NAME: &str = "__Host-vestibule-ticket";
/// Cookie lifetime: long enough to choose a password.
const LIVES: Duration = Duration::minutes(30);

/// Returns the ticket, or `None` if the request contains none or several. Other cookies are ignored,
/// whatever bytes they contain.
pub(super) fn read(headers: &HeaderMap) -> Option<String> {
    let pairs = cookies::segments(headers).filter_map(cookies::split_pair);
    let mut found = pairs.filter(|(name, _)| *name == NAME.as_bytes());
    let (_, value) = found.next()?;
    let value = found.next().is_none().then_some(value)?;
    String::from_utf8(value.to_vec()).ok()
}

/// Returns a `Set-Cookie` value with the ticket.
pub(super) fn set(value: &str) -> Option<HeaderValue> {
    let cookie = Cookie::build((NAME, value)).path("/").secure(true).http_only(true);
    let cookie = cookie.same_site(SameSite::Lax).max_age(LIVES).build();
    let mut header = HeaderValue::from_str(&cookie.to_string()).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Returns a `Set-Cookie` value that makes the browser delete the cookie.
pub(super) fn clear() -> Option<HeaderValue> {
    cookies::clear(NAME)
}

#[cfg(test)]
mod tests {
    use http::header::COOKIE;

    use super::*;

    fn of(lines: &[&'static str]) -> Option<String> {
        let lines = lines.iter().map(|line| (COOKIE, HeaderValue::from_static(line)));
        read(&lines.collect::<HeaderMap>())
    }

    #[test]
    fn a_single_ticket_is_read_and_duplicates_are_ignored() {
        assert_eq!(of(&["a=1; __Host-vestibule-ticket=t", "b=2"]).as_deref(), Some("t"));
        assert_eq!(of(&["__Host-vestibule-ticket=t", "__Host-vestibule-ticket=t"]), None);
        assert_eq!(of(&["__host-vestibule-ticket=t; __Host-vestibule=x"]), None);
    }

    #[test]
    fn other_cookies_may_contain_any_bytes() {
        let line = HeaderValue::from_bytes(b"name=J\xf6rg; __Host-vestibule-ticket=t; x=\xff");
        let headers = HeaderMap::from_iter([(COOKIE, line.unwrap())]);
        assert_eq!(read(&headers).as_deref(), Some("t"));
        let line = HeaderValue::from_bytes(b"__Host-vestibule-ticket=\xff").unwrap();
        assert_eq!(read(&HeaderMap::from_iter([(COOKIE, line)])), None, "a ticket is ASCII");
    }

    #[test]
    fn the_cookie_is_hidden_from_scripts_and_short_lived() {
        let header = set("token").unwrap();
        let text = header.to_str().unwrap();
        for part in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/", "Max-Age=1800"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(header.is_sensitive() && cookies::is_own_cookie_name(NAME));
    }
}
