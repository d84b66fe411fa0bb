//! Releases headers before a body is awaited. A header block takes up to 16 KiB, and as many wait
//! as there are streams.

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_LANGUAGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
    CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST, ORIGIN, REFERER, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use pingora_proxy::Session;

use crate::proxy::admit::vet::TOKEN_HEADER;
use crate::web::cookies;

/// Headers that our own pages and an app's sign-in use.
const KEPT: [HeaderName; 21] = [
    ACCEPT,
    ACCEPT_LANGUAGE,
    ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    COOKIE,
    EXPECT,
    HOST,
    ORIGIN,
    REFERER,
    USER_AGENT,
    HeaderName::from_static("purpose"),
    HeaderName::from_static("sec-fetch-dest"),
    HeaderName::from_static("sec-fetch-mode"),
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("sec-fetch-user"),
    HeaderName::from_static("sec-purpose"),
    HeaderName::from_static("service-worker"),
    HeaderName::from_static("x-moz"),
    HeaderName::from_static(TOKEN_HEADER),
];
/// Maximum size of a kept value. A truncated one matches nothing.
const MOST_BYTES: usize = 512;
/// Maximum number of values of one name. Two are as invalid as a hundred.
const MOST_VALUES: usize = 2;

/// Reduces the headers of a request with a body to those that the response depends on. HTTP/1.1
/// gains nothing: Pingora keeps the block until the request ends.
pub(in crate::proxy) fn down(session: &mut Session) {
    if session.req_header().version != Version::HTTP_2 || session.is_body_empty() {
        return;
    }
    let request = session.req_header_mut();
    let left = slim(&request.headers);
    let all: Vec<HeaderName> = request.headers.keys().cloned().collect();
    for name in all {
        request.remove_header(&name);
    }
    for (name, value) in &left {
        if let Err(error) = request.append_header(name.clone(), value.clone()) {
            tracing::debug!(%error, "failed to keep a request header");
        }
    }
}

/// Copies the kept headers. The copy shares no memory with the original.
fn slim(headers: &HeaderMap) -> HeaderMap {
    let mut slim = HeaderMap::new();
    for name in KEPT {
        let values = headers.get_all(&name).iter();
        if name == COOKIE {
            let ours = cookies::only_own(headers);
            if let Some(line) = HeaderValue::from_maybe_shared(Bytes::from(ours)).ok()
                && !line.is_empty()
            {
                slim.append(name, line);
            }
            continue;
        }
        for value in values.take(MOST_VALUES) {
            let start = value.as_bytes().get(..MOST_BYTES).unwrap_or(value.as_bytes());
            if let Ok(copy) = HeaderValue::from_bytes(start) {
                slim.append(name.clone(), copy);
            }
        }
    }
    slim
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_stays_and_the_rest_goes() {
        let long = "x".repeat(14_000);
        let cookie = format!("app={long}; __Host-vestibule=s; b=2");
        let lines = [
            ("host", "gw.test"),
            ("origin", "https://gw.test"),
            ("origin", "https://other.test"),
            ("origin", "https://third.test"),
            ("user-agent", &long),
            ("x-anything", &long),
            ("cookie", &cookie),
            ("cookie", "__Host-vestibule-csrf=c"),
        ];
        let headers: HeaderMap = lines
            .map(|(n, v)| (n.parse().unwrap(), HeaderValue::from_str(v).unwrap()))
            .into_iter()
            .collect();
        let slim = slim(&headers);
        let values =
            |name| slim.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(values("host"), ["gw.test"]);
        assert_eq!(values("origin"), ["https://gw.test", "https://other.test"]);
        assert_eq!(values("cookie"), ["__Host-vestibule=s;__Host-vestibule-csrf=c"]);
        assert_eq!(values("user-agent"), ["x".repeat(MOST_BYTES)]);
        assert!(!slim.contains_key("x-anything"));
    }

    #[test]
    fn one_cookie_twice_stays_twice() {
        let line = HeaderValue::from_static("__Host-vestibule=a; __Host-vestibule=b");
        let headers: HeaderMap = [(COOKIE, line)].into_iter().collect();
        assert!(cookies::session(&slim(&headers), None).is_err());
    }
}
