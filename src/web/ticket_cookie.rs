//! The cookie that carries the ticket of a one-time link from the address into the form, so that
//! the address bar, the history and the next page's `Referer` do not show it. It does not know what
//! a ticket is worth.

use cookie::time::Duration;
use cookie::{Cookie, SameSite};
use http::header::{HeaderMap, HeaderValue};

use super::cookies;

/// Its name. Like all our cookies it is kept from the app.
const NAME: &str = "__Host-vestibule-ticket";
/// Long enough for choosing a password.
const LIVES: Duration = Duration::minutes(30);

/// The value; nothing when there is none, or more than one. What the app's own cookies hold, also
/// in the same line, is of no account.
pub(super) fn read(headers: &HeaderMap) -> Option<String> {
    let pairs = cookies::segments(headers).filter_map(cookies::split_pair);
    let mut found = pairs.filter(|(name, _)| *name == NAME.as_bytes());
    let (_, value) = found.next()?;
    let value = found.next().is_none().then_some(value)?;
    String::from_utf8(value.to_vec()).ok()
}

/// `Set-Cookie` with this value.
pub(super) fn set(value: &str) -> Option<HeaderValue> {
    let cookie = Cookie::build((NAME, value)).path("/").secure(true).http_only(true);
    let cookie = cookie.same_site(SameSite::Lax).max_age(LIVES).build();
    let mut header = HeaderValue::from_str(&cookie.to_string()).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// `Set-Cookie` that makes the browser forget it.
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
    fn one_ticket_is_read_and_of_two_none() {
        assert_eq!(of(&["a=1; __Host-vestibule-ticket=t", "b=2"]).as_deref(), Some("t"));
        assert_eq!(of(&["__Host-vestibule-ticket=t", "__Host-vestibule-ticket=t"]), None);
        assert_eq!(of(&["__host-vestibule-ticket=t; __Host-vestibule=x"]), None);
    }

    #[test]
    fn cookies_of_the_app_beside_it_may_hold_any_bytes() {
        let line = HeaderValue::from_bytes(b"name=J\xf6rg; __Host-vestibule-ticket=t; x=\xff");
        let headers = HeaderMap::from_iter([(COOKIE, line.unwrap())]);
        assert_eq!(read(&headers).as_deref(), Some("t"));
        let line = HeaderValue::from_bytes(b"__Host-vestibule-ticket=\xff").unwrap();
        assert_eq!(read(&HeaderMap::from_iter([(COOKIE, line)])), None, "no ticket has it");
    }

    #[test]
    fn it_is_out_of_reach_of_scripts_and_does_not_last() {
        let header = set("token").unwrap();
        let text = header.to_str().unwrap();
        for part in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/", "Max-Age=1800"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(header.is_sensitive() && cookies::is_own_cookie_name(NAME));
    }
}
