//! The related origins of the RP ID (Web Authentication Level 3, §5.11), for browsers on a page of
//! another domain.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};

use crate::web::failure::Failure;
use crate::web::visit::Visit;

/// Browsers ask without a cache. A proxy in between may keep the file for five minutes.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(in crate::web) fn show(visit: &Visit) -> Result<Response, Failure> {
    let host = visit.host_name();
    let file = host.and_then(|host| visit.services.key_settings().related_origins_file(&host));
    let Some(file) = file else {
        let sentence = "There's no page at this address.";
        return Err(Failure::refused(StatusCode::NOT_FOUND, "not_found", sentence));
    };
    let mut response = Response::new(Body::from(file));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, CACHE);
    Ok(response)
}
