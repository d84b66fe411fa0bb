//! Service workers of the app. One whose scope covers our pages would see what is typed into them,
//! and answer in our place; so none gets such a scope, unless the configuration says otherwise.
//!
//! The widest scope a worker may have is the directory of its script, or what the response with the
//! script says in `Service-Worker-Allowed`.

use http::{HeaderMap, HeaderName};

/// What a response with the script of a worker says of its scope.
pub(super) const ALLOWED: HeaderName = HeaderName::from_static("service-worker-allowed");

/// Whether this asks for the script of a worker whose scope may cover our pages.
pub(super) fn covers_our_pages(headers: &HeaderMap, path: &str) -> bool {
    let asks = headers.contains_key("service-worker")
        || headers.get("sec-fetch-dest").is_some_and(|dest| dest == "serviceworker");
    asks && path.rfind('/').is_none_or(|at| at == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &'static str, value: &'static str, path: &str) -> bool {
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static(name),
            http::HeaderValue::from_static(value),
        )]);
        covers_our_pages(&headers, path)
    }

    #[test]
    fn a_worker_at_the_root_is_refused_and_one_below_is_not() {
        for path in ["/sw.js", "/", "/_auth", "/sw%2ejs", "*"] {
            assert!(refused("service-worker", "script", path), "{path}");
            assert!(refused("sec-fetch-dest", "serviceworker", path), "{path}");
            assert!(!refused("sec-fetch-dest", "script", path), "{path} as a plain script");
        }
        for path in ["/app/sw.js", "/_authors/sw.js", "/static/", "//sw.js"] {
            assert!(!refused("service-worker", "script", path), "{path}");
        }
    }
}
