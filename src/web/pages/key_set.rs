//! The public keys of assertions as a JSON Web Key Set (RFC 7517), for the apps that verify them.

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};

use crate::web::visit::Visit;

/// Verifiers may reuse the set for five minutes. A key is listed before it signs.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(in crate::web) fn show(visit: &Visit) -> Response {
    let mut response = Response::new(Body::from(visit.services.keys().key_set()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, CACHE);
    response
}
