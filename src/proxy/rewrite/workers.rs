//! Service workers of the app. One whose scope covers our pages would see what is typed into them,
//! and answer in our place; so none gets such a scope, unless the configuration says otherwise.
//!
//! The widest scope a worker may have is the directory of its script, or what the response with the
//! script says in `Service-Worker-Allowed`.

use http::{HeaderName, HeaderValue};

/// What a response with the script of a worker says of its scope.
pub(in crate::proxy) const ALLOWED: HeaderName = HeaderName::from_static("service-worker-allowed");

/// Whether a request with this header asks for the script of a worker.
pub(in crate::proxy) fn asks(name: &HeaderName, value: &HeaderValue) -> bool {
    name == "service-worker" || (name == "sec-fetch-dest" && value == "serviceworker")
}

/// Whether a worker whose script is at `path` may get a scope that covers our pages.
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
