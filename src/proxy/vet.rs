//! Is this request well-formed and unambiguous? Asked before anything else; what fails is refused
//! and its connection closed, and the app never hears of it.

use http::{HeaderMap, Method, StatusCode, Version, header};
use pingora_core::protocols::http::ServerSession;

use crate::gate::target::BadTarget;

/// Most bytes in a header block.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Most header lines.
const MAX_HEADER_LINES: usize = 100;
/// Most tokens in `Connection`.
const MAX_CONNECTION_TOKENS: usize = 10;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) status: StatusCode,
    pub(super) sentence: &'static str,
}

const fn bad(sentence: &'static str) -> Malformed {
    Malformed { status: StatusCode::BAD_REQUEST, sentence }
}

impl From<BadTarget> for Malformed {
    fn from(error: BadTarget) -> Self {
        match error {
            BadTarget::TooLong => {
                Self { status: StatusCode::URI_TOO_LONG, sentence: "The address is too long." }
            }
            BadTarget::NotAPath => bad("The request target must be a path."),
            BadTarget::Character => bad("The address holds a character that may not be there."),
            BadTarget::Ambiguous => bad("The address can be read in more than one way."),
        }
    }
}

/// Checks everything but the target, the host and the method.
pub(super) fn vet(session: &ServerSession) -> Result<(), Malformed> {
    let request = session.req_header();
    let raw = session
        .as_http1()
        .map(pingora_core::protocols::http::v1::server::HttpSession::get_headers_raw_bytes);
    sizes(&request.headers, raw.as_deref().map(<[u8]>::len))?;
    if let Some(raw) = &raw {
        line_ends(raw)?;
        no_fragment(raw)?;
    }
    framing(&request.headers, request.version)?;
    connection(&request.headers)?;
    match request.headers.get(header::EXPECT) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            Err(bad("The Expect header is not understood."))
        }
        Some(_) | None => Ok(()),
    }
}

fn sizes(headers: &HeaderMap, raw: Option<usize>) -> Result<(), Malformed> {
    // HTTP/2 has no raw block: the size is counted as in RFC 9113 §10.5.1.
    let bytes =
        raw.unwrap_or_else(|| headers.iter().map(|(n, v)| n.as_str().len() + v.len() + 32).sum());
    if bytes > MAX_HEADER_BYTES || headers.len() > MAX_HEADER_LINES {
        return Err(Malformed {
            status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            sentence: "The request has too many headers, or they are too large.",
        });
    }
    Ok(())
}

/// A line feed without its carriage return ends a line for some servers only.
fn line_ends(raw: &[u8]) -> Result<(), Malformed> {
    let mut previous = 0;
    for byte in raw {
        if *byte == b'\n' && previous != b'\r' {
            return Err(bad("A header line does not end as it should."));
        }
        previous = *byte;
    }
    Ok(())
}

/// A fragment never belongs on the wire; parsers disagree on what is before it.
fn no_fragment(raw: &[u8]) -> Result<(), Malformed> {
    let line = raw.trim_ascii_start().split(|b| *b == b'\n').next().unwrap_or_default();
    if line.contains(&b'#') {
        return Err(bad("The address holds a character that may not be there."));
    }
    Ok(())
}

fn framing(headers: &HeaderMap, version: Version) -> Result<(), Malformed> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next();
    if let Some(value) = length {
        let digits = value.as_bytes();
        let plain = !digits.is_empty()
            && digits.len() <= 18
            && digits.iter().all(u8::is_ascii_digit)
            && (digits.len() == 1 || digits.first() != Some(&b'0'));
        if !plain || lengths.next().is_some() {
            return Err(bad("The Content-Length header is not one plain number."));
        }
    }
    let mut encodings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(value) = encodings.next() {
        let chunked = value.as_bytes().eq_ignore_ascii_case(b"chunked");
        if !chunked || encodings.next().is_some() || length.is_some() {
            return Err(bad("The request body is framed in an ambiguous way."));
        }
        if version != Version::HTTP_11 {
            return Err(bad("Transfer-Encoding belongs to HTTP/1.1 only."));
        }
    }
    Ok(())
}

fn connection(headers: &HeaderMap) -> Result<(), Malformed> {
    let tokens = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|v| v.as_bytes().split(|b| *b == b','))
        .count();
    if tokens > MAX_CONNECTION_TOKENS {
        return Err(bad("The Connection header nominates too much."));
    }
    Ok(())
}

/// Whether `method` is one that every app takes.
pub(super) fn is_common_method(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET
            | Method::HEAD
            | Method::POST
            | Method::PUT
            | Method::PATCH
            | Method::DELETE
            | Method::OPTIONS
    )
}

/// The host a request is for, as the client wrote it: from `Host` and, in HTTP/2, from
/// `:authority`, which must agree.
pub(super) fn host(headers: &HeaderMap, authority: Option<&str>) -> Result<String, Malformed> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match hosts.next() {
        Some(value) => {
            Some(value.to_str().map_err(|_bytes| bad("The Host header is not a name."))?)
        }
        None => None,
    };
    if hosts.next().is_some() {
        return Err(bad("There is more than one Host header."));
    }
    let chosen = match (host, authority) {
        (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority) => {
            return Err(bad("Host and :authority differ."));
        }
        (Some(host), _) => host,
        (None, Some(authority)) => authority,
        (None, None) => return Err(bad("The Host header is missing.")),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    if chosen.is_empty() || chosen.len() > 260 || !chosen.bytes().all(plain) {
        return Err(bad("The Host header is not a name."));
    }
    Ok(chosen.to_owned())
}

/// The name in `host`, without its port, in lower case.
pub(super) fn host_name(host: &str) -> Result<String, Malformed> {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        Some(_) | None => (host, None),
    };
    let port_is_number = port.is_none_or(|p| p.parse::<u16>().is_ok());
    if name.is_empty() || !port_is_number {
        return Err(bad("The Host header is not a name."));
    }
    Ok(name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(n, v)| (n.parse().unwrap(), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn a_body_is_framed_in_one_way_only() {
        let check = |lines: &[_]| framing(&headers(lines), Version::HTTP_11);
        assert!(check(&[("content-length", "5")]).is_ok());
        assert!(check(&[("content-length", "0")]).is_ok());
        assert!(check(&[("transfer-encoding", "Chunked")]).is_ok());
        for bad in [
            &[("content-length", "05")][..],
            &[("content-length", "+5")],
            &[("content-length", "5, 5")],
            &[("content-length", "")],
            &[("content-length", "5"), ("content-length", "5")],
            &[("content-length", "5"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "chunked, chunked")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        assert!(framing(&headers(&[("transfer-encoding", "chunked")]), Version::HTTP_10).is_err());
    }

    #[test]
    fn the_host_is_one_name() {
        assert_eq!(host_name("GW.test:8443").unwrap(), "gw.test");
        assert_eq!(host_name("[::1]:8443").unwrap(), "[::1]");
        assert_eq!(host_name("127.0.0.1").unwrap(), "127.0.0.1");
        assert!(host_name(":80").is_err());
        assert!(host_name("gw.test:x").is_err());
        assert!(host(&headers(&[("host", "a"), ("host", "a")]), None).is_err());
        assert!(host(&headers(&[("host", "a")]), Some("b")).is_err());
        assert!(host(&headers(&[("host", "a/b")]), None).is_err());
        assert!(host(&headers(&[]), None).is_err());
    }

    proptest! {
        #[test]
        fn any_host_is_read_without_panic(text in ".{0,40}") {
            prop_assert!(host_name(&text).map_or(true, |name| !name.is_empty()));
        }
    }
}
