//! Shared caches: a cache in front of the gateway must not hand one user's response to another client.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Headers that instruct a cache in front in place of `Cache-Control` (RFC 9213 and earlier ones).
pub(super) const FOR_CACHES_IN_FRONT: [HeaderName; 4] = [
    HeaderName::from_static("cdn-cache-control"),
    HeaderName::from_static("cloudflare-cdn-cache-control"),
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("x-accel-expires"),
];

/// Returns true if a header with this name instructs a cache in front.
pub(super) fn instructs_cache_in_front(name: &str) -> bool {
    matches!(
        name,
        "cdn-cache-control"
            | "cloudflare-cdn-cache-control"
            | "surrogate-control"
            | "x-accel-expires"
    )
}

/// Returns the `Cache-Control` of a response for one user, which no shared cache may store (RFC 9111
/// §5.2.2.7), or `None` if the app's own forbids it already. Directives for browsers stay.
pub(super) fn private(headers: &HeaderMap) -> Option<HeaderValue> {
    if !headers.contains_key(header::CACHE_CONTROL) {
        return Some(HeaderValue::from_static("private"));
    }
    let mut private = String::from("private");
    for line in headers.get_all(header::CACHE_CONTROL) {
        let Ok(line) = line.to_str() else { continue };
        for directive in line.split(',').map(str::trim) {
            let name = directive.split('=').next().unwrap_or_default().trim_end();
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            // With field names, `private` is about these fields only.
            if directive.len() == name.len() && (is("private") || is("no-store")) {
                return None;
            }
            if !(directive.is_empty() || is("public") || is("s-maxage") || is("private")) {
                private.push_str(", ");
                private.push_str(directive);
            }
        }
    }
    HeaderValue::try_from(private).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_caches_are_kept_out_and_browsers_keep_their_directives() {
        for (app, expected) in [
            (&[][..], Some("private")),
            (&["max-age=60"], Some("private, max-age=60")),
            (&["public, max-age=60, immutable"], Some("private, max-age=60, immutable")),
            (&["Public,S-MaxAge=9 , stale-if-error=5"], Some("private, stale-if-error=5")),
            (&["no-cache=\"a, b\"", "max-age=0"], Some("private, no-cache=\"a, b\", max-age=0")),
            (&["private=\"set-cookie\""], Some("private")),
            (&["publicly"], Some("private, publicly")),
            (&["no-cache", "Private"], None),
            (&["no-store"], None),
            (&["max-age=60, private , public"], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in app {
                headers.append(header::CACHE_CONTROL, line.parse().unwrap());
            }
            let value = private(&headers);
            assert_eq!(value.as_ref().map(|v| v.to_str().unwrap()), expected, "{app:?}");
        }
        let mut unreadable = HeaderMap::new();
        unreadable.insert(header::CACHE_CONTROL, HeaderValue::from_bytes(b"publ\xefc").unwrap());
        assert_eq!(private(&unreadable).unwrap(), "private");
        assert!(FOR_CACHES_IN_FRONT.iter().all(|name| instructs_cache_in_front(name.as_str())));
    }
}
