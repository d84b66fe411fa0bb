//! Service workers of the app. A scope that covers our own pages would let a worker read their
//! input and answer in their place, so none is allowed unless the configuration says otherwise.
//!
//! The widest scope of a worker is the directory of its script, or the value of
//! `Service-Worker-Allowed` in the response with the script.

use http::{HeaderName, HeaderValue};

/// The response header that widens the scope of a worker.
pub(in crate::proxy) const ALLOWED: HeaderName = HeaderName::from_static("service-worker-allowed");

/// Returns true if this header marks a request for a service worker script.
pub(in crate::proxy) fn asks(name: &HeaderName, value: &HeaderValue) -> bool {
    name == "service-worker" || (name == "sec-fetch-dest" && value == "serviceworker")
}

/// Returns true if a worker with its script at `path` could cover our own pages.
pub(in crate::proxy) fn covers_our_pages(path: &str) -> bool {
    path.rfind('/').is_none_or(|at| at == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &'static str, value: &'static str, path: &str) -> bool {
        let asks = asks(&HeaderName::from_static(name), &HeaderValue::from_static(value));
        asks && covers_our_pages(path)
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
