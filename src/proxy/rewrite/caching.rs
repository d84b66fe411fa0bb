//! Shared caches: a cache in front of the gateway must not hand one user's response to another client.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use pingora_http::ResponseHeader;

/// Returns true if a header with this name instructs a cache in front in place of `Cache-Control`: the
/// fields of RFC 9213 §2.1, and earlier ones.
pub(super) fn instructs_cache_in_front(name: &str) -> bool {
    name.ends_with("-cache-control")
        || matches!(name, "edge-control" | "surrogate-control" | "x-accel-expires")
}

/// Removes all headers that instruct a cache in front.
pub(super) fn remove_instructions(response: &mut ResponseHeader) {
    let names = response.headers.keys().filter(|name| instructs_cache_in_front(name.as_str()));
    let names: Vec<HeaderName> = names.cloned().collect();
    for name in names {
        response.remove_header(&name);
    }
}

/// Returns the `Cache-Control` of a response for one user, which no shared cache may store (RFC 9111
/// §5.2.2.7). Directives for browsers stay. `None` for a 304 without the header: it would replace the
/// one that the browser has stored.
pub(super) fn private(status: StatusCode, headers: &HeaderMap) -> Option<HeaderValue> {
    if !headers.contains_key(header::CACHE_CONTROL) {
        let bare = status == StatusCode::NOT_MODIFIED;
        return (!bare).then_some(HeaderValue::from_static("private"));
    }
    let mut private = String::from("private");
    for line in headers.get_all(header::CACHE_CONTROL) {
        let Ok(line) = line.to_str() else { continue };
        for directive in directives(line) {
            let name = directive.split('=').next().unwrap_or_default().trim_end();
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            if !(directive.is_empty() || is("public") || is("s-maxage") || is("private")) {
                private.push_str(", ");
                private.push_str(directive);
            }
        }
    }
    HeaderValue::try_from(private).ok()
}

/// Splits a line at the commas outside quoted strings (RFC 9110 §5.6.4).
fn directives(line: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |c| {
        let plain = !escaped;
        escaped = quoted && plain && c == '\\';
        quoted ^= plain && c == '"';
        c == ',' && !quoted
    })
    .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_caches_are_kept_out_and_browsers_keep_their_directives() {
        for (app, expected) in [
            (&[][..], "private"),
            (&["max-age=60"], "private, max-age=60"),
            (&["public, max-age=60, immutable"], "private, max-age=60, immutable"),
            (&["Public,S-MaxAge=9 , stale-if-error=5"], "private, stale-if-error=5"),
            (&["no-cache=\"a, b\"", "max-age=0"], "private, no-cache=\"a, b\", max-age=0"),
            (&["private=\"a, no-store, b\", public, s-maxage=6"], "private"),
            (&["private=\"a, b\", max-age=60"], "private, max-age=60"),
            (&["a=\"\\\", public\", public"], "private, a=\"\\\", public\""),
            (&["publicly"], "private, publicly"),
            (&["no-cache", "Private"], "private, no-cache"),
            (&["must-understand, no-store, public"], "private, must-understand, no-store"),
        ] {
            let mut headers = HeaderMap::new();
            for line in app {
                headers.append(header::CACHE_CONTROL, line.parse().unwrap());
            }
            let value = private(StatusCode::OK, &headers);
            assert_eq!(value.as_ref().unwrap(), expected, "{app:?}");
            let unmodified = private(StatusCode::NOT_MODIFIED, &headers);
            assert_eq!(unmodified.is_none(), app.is_empty(), "{app:?}");
        }
        let mut unreadable = HeaderMap::new();
        unreadable.insert(header::CACHE_CONTROL, HeaderValue::from_bytes(b"publ\xefc").unwrap());
        assert_eq!(private(StatusCode::OK, &unreadable).unwrap(), "private");
    }

    #[test]
    fn instructions_for_caches_in_front_are_removed() {
        let mut response = ResponseHeader::build(200, None).unwrap();
        for name in [
            "CDN-Cache-Control",
            "Vercel-CDN-Cache-Control",
            "X-LiteSpeed-Cache-Control",
            "Surrogate-Control",
            "Edge-Control",
            "X-Accel-Expires",
            "Cache-Control",
            "ETag",
        ] {
            response.append_header(name, "60").unwrap();
        }
        remove_instructions(&mut response);
        let mut left: Vec<_> = response.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["cache-control", "etag"]);
    }
}
