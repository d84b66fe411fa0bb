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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_for_the_script_of_a_worker_are_recognized() {
        let asks =
            |name, value| asks(&HeaderName::from_static(name), &HeaderValue::from_static(value));
        assert!(asks("service-worker", "script"));
        assert!(asks("sec-fetch-dest", "serviceworker"));
        assert!(!asks("sec-fetch-dest", "script"));
    }
}
