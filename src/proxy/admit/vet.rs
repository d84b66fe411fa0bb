//! Rejects malformed and ambiguous requests before anything else. Their connection is closed, and
//! the app never sees them.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use memchr::{memchr, memchr_iter};
use pingora_core::protocols::http::ServerSession;

use crate::base::authority;
use crate::gate::target::BadTarget;
use crate::proxy::rewrite::hygiene;
use crate::proxy::rewrite::workers;

/// The header for access tokens. `Authorization` is the app's.
pub(in crate::proxy) const TOKEN_HEADER: &str = "vestibule-token";
/// Maximum size of a header block, in bytes.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Maximum number of header lines.
const MAX_HEADER_LINES: usize = 100;
/// Maximum number of tokens in `Connection`.
const MAX_CONNECTION_TOKENS: usize = 10;

/// The reason for rejecting a malformed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Malformed {
    pub(in crate::proxy) status: StatusCode,
    pub(in crate::proxy) sentence: &'static str,
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
            BadTarget::Character => bad("The address contains a forbidden character."),
            BadTarget::Ambiguous => {
                bad("The address is ambiguous: it can be read in more than one way.")
            }
        }
    }
}

/// Facts about a header block, gathered in one pass.
#[derive(Debug, Default)]
pub(in crate::proxy) struct HeaderScan<'a> {
    host: Option<&'a HeaderValue>,
    length: Option<&'a HeaderValue>,
    encoding: Option<&'a HeaderValue>,
    connection_tokens: usize,
    bytes: usize,
    /// The last `Cookie` line. `cookies` is true if there are several.
    cookie: Option<&'a HeaderValue>,
    cookies: bool,
    pub(in crate::proxy) facts: HeaderFacts,
}

/// Facts about the request headers that later phases need.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing about the headers")]
pub(in crate::proxy) struct HeaderFacts {
    /// The request is a WebSocket upgrade.
    pub(in crate::proxy) websocket: bool,
    /// A header is one that clients may not send to the app.
    pub(in crate::proxy) managed: bool,
    /// The request is for a service worker script.
    pub(in crate::proxy) service_worker: bool,
    /// The request has cookies.
    pub(in crate::proxy) cookies: bool,
    /// The session cookie is the only cookie.
    pub(in crate::proxy) only_session_cookie: bool,
    /// The host came in a `Host` header.
    pub(in crate::proxy) host: bool,
    /// An HTTP/1.1 body or an upgrade follows the header block.
    pub(in crate::proxy) has_body_or_upgrade: bool,
    /// The request is a CORS preflight that the app should answer.
    pub(in crate::proxy) preflight: bool,
    /// The request has a `Vestibule-Token` header.
    pub(in crate::proxy) access_token: bool,
    /// A header is hop-by-hop (RFC 9110 §7.6.1).
    pub(in crate::proxy) hop_by_hop: bool,
    /// The client expects `100 Continue` (RFC 9110 §10.1.1).
    pub(in crate::proxy) expects_continue: bool,
    /// The client authenticates to the app by a scheme that covers the whole connection.
    pub(in crate::proxy) connection_auth: bool,
}

/// Returns true if an `Authorization` header has a scheme after which an app may treat all requests of
/// the connection as those of one user: `NTLM`, `Negotiate` (RFC 4559 §6).
fn is_connection_auth(value: &HeaderValue) -> bool {
    let scheme = value.as_bytes().split(|b| *b == b' ').next().unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"negotiate") || scheme.eq_ignore_ascii_case(b"ntlm")
}

/// Validates everything except the target, the host and the method. `bad_line` is true if Pingora
/// repaired the request line.
pub(in crate::proxy) fn vet(
    session: &ServerSession,
    bad_line: bool,
) -> Result<HeaderScan<'_>, Malformed> {
    if bad_line {
        return Err(bad("The request line is malformed."));
    }
    let request = session.req_header();
    let raw = session
        .as_http1()
        .map(pingora_core::protocols::http::v1::server::HttpSession::get_headers_raw_bytes);
    header_block(&request.headers, request.version, raw.as_deref())
}

/// Validates a header block. `raw` is the block as received in HTTP/1.1.
pub(in crate::proxy) fn header_block<'a>(
    headers: &'a HeaderMap,
    version: Version,
    raw: Option<&[u8]>,
) -> Result<HeaderScan<'a>, Malformed> {
    let scan = HeaderScan::read(headers)?;
    // HTTP/2 has no raw block: RFC 9113 §10.5.1 defines the size.
    sizes(headers.len(), raw.map_or(scan.bytes, <[u8]>::len))?;
    if let Some(raw) = raw {
        line_ends(raw)?;
        no_fragment(raw)?;
        // Pingora has removed a `Content-Length` next to it.
        if scan.encoding.is_some() && names_length(raw) {
            return Err(bad("The framing of the request body is ambiguous."));
        }
    }
    scan.framing(version)?;
    Ok(scan)
}

impl<'a> HeaderScan<'a> {
    fn read(headers: &'a HeaderMap) -> Result<Self, Malformed> {
        let mut scan = Self::default();
        for (name, value) in headers {
            scan.bytes += name.as_str().len() + value.len() + 32;
            scan.take(name, value)?;
        }
        if scan.connection_tokens > MAX_CONNECTION_TOKENS {
            return Err(bad("The Connection header names too many headers."));
        }
        Ok(scan)
    }

    fn take(&mut self, name: &HeaderName, value: &'a HeaderValue) -> Result<(), Malformed> {
        match *name {
            // Common headers without a check.
            header::ACCEPT
            | header::ACCEPT_ENCODING
            | header::ACCEPT_LANGUAGE
            | header::CACHE_CONTROL
            | header::CONTENT_TYPE
            | header::IF_NONE_MATCH
            | header::ORIGIN
            | header::REFERER
            | header::USER_AGENT => {}
            header::AUTHORIZATION => self.facts.connection_auth |= is_connection_auth(value),
            header::COOKIE => {
                self.facts.cookies = true;
                self.cookies |= self.cookie.replace(value).is_some();
            }
            header::HOST => {
                if self.host.replace(value).is_some() {
                    return Err(bad("There is more than one Host header."));
                }
                self.facts.host = true;
            }
            header::CONTENT_LENGTH => {
                self.facts.has_body_or_upgrade = true;
                if self.length.replace(value).is_some() {
                    return Err(bad("The Content-Length header is not a single decimal number."));
                }
            }
            header::TE
            | header::TRAILER
            | header::PROXY_AUTHENTICATE
            | header::PROXY_AUTHORIZATION => self.facts.hop_by_hop = true,
            header::TRANSFER_ENCODING => {
                self.facts.hop_by_hop = true;
                self.facts.has_body_or_upgrade = true;
                if self.encoding.replace(value).is_some() {
                    return Err(bad("The framing of the request body is ambiguous."));
                }
            }
            header::CONNECTION => {
                self.facts.hop_by_hop = true;
                self.nominations(value)?;
            }
            header::UPGRADE => {
                self.facts.hop_by_hop = true;
                self.facts.has_body_or_upgrade = true;
                self.facts.websocket |= value.as_bytes().eq_ignore_ascii_case(b"websocket");
            }
            header::EXPECT => {
                if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") {
                    return Err(bad("The Expect header is not supported."));
                }
                self.facts.expects_continue = true;
            }
            _ => {
                self.facts.hop_by_hop |= is_about_connection(name.as_str());
                self.managed(name.as_str())?;
                self.facts.service_worker |= workers::asks(name, value);
            }
        }
        Ok(())
    }

    /// Counts the tokens of `Connection`. None may be `Host`, which every request needs.
    fn nominations(&mut self, value: &HeaderValue) -> Result<(), Malformed> {
        for token in value.as_bytes().split(|b| *b == b',') {
            self.connection_tokens += 1;
            if token.trim_ascii().eq_ignore_ascii_case(b"host") {
                return Err(bad("The Connection header names the Host header."));
            }
        }
        Ok(())
    }

    /// Records a header that clients may not send to the app, `Vestibule-Token` among them.
    fn managed(&mut self, name: &str) -> Result<(), Malformed> {
        if !hygiene::is_managed(name) {
            return Ok(());
        }
        self.facts.managed = true;
        let token = name == TOKEN_HEADER;
        if token && self.facts.access_token {
            return Err(bad("There is more than one Vestibule-Token header."));
        }
        self.facts.access_token |= token;
        Ok(())
    }

    /// Rejects ambiguous body framing.
    fn framing(&self, version: Version) -> Result<(), Malformed> {
        if let Some(value) = self.length {
            let digits = value.as_bytes();
            let plain = !digits.is_empty()
                && digits.len() <= 18
                && digits.iter().all(u8::is_ascii_digit)
                && (digits.len() == 1 || digits.first() != Some(&b'0'));
            if !plain {
                return Err(bad("The Content-Length header is not a single decimal number."));
            }
        }
        if let Some(value) = self.encoding {
            if !value.as_bytes().eq_ignore_ascii_case(b"chunked") || self.length.is_some() {
                return Err(bad("The framing of the request body is ambiguous."));
            }
            if version != Version::HTTP_11 {
                return Err(bad("Transfer-Encoding is valid in HTTP/1.1 only."));
            }
        }
        if self.facts.websocket {
            // A reader past the header block would take the body for the first bytes of the tunnel.
            let length = self.length.is_some_and(|length| length.as_bytes() != b"0");
            if length || self.encoding.is_some() {
                return Err(bad("A WebSocket handshake can't have a body."));
            }
        }
        Ok(())
    }

    /// Returns the `Cookie` line if there is only one.
    pub(in crate::proxy) fn only_cookie(&self) -> Option<&'a HeaderValue> {
        self.cookie.filter(|_| !self.cookies)
    }

    /// Returns the unvalidated host if a single header names it.
    pub(in crate::proxy) fn only_host(&self, authority: Option<&'a str>) -> Option<&'a [u8]> {
        match (self.host, authority) {
            (Some(value), None) => Some(value.as_bytes()),
            (None, Some(authority)) => Some(authority.as_bytes()),
            (Some(_), Some(_)) | (None, None) => None,
        }
    }

    /// Returns the host as the client wrote it, from `Host` or, in HTTP/2, `:authority`. Both must
    /// agree. [`host_name`] validates it.
    pub(in crate::proxy) fn host(&self, authority: Option<&'a str>) -> Result<&'a str, Malformed> {
        let host = match self.host {
            Some(value) => Some(
                value
                    .to_str()
                    .map_err(|_bytes| bad("The Host header is not a valid host name."))?,
            ),
            None => None,
        };
        let chosen = match (host, authority) {
            (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority) => {
                return Err(bad("Host and :authority differ."));
            }
            (Some(host), _) => host,
            (None, Some(authority)) => authority,
            (None, None) => return Err(bad("The Host header is missing.")),
        };
        Ok(chosen)
    }
}

/// Returns true if a header that HTTP itself does not define is hop-by-hop.
fn is_about_connection(name: &str) -> bool {
    matches!(name, "keep-alive" | "proxy-connection" | "http2-settings")
}

fn sizes(lines: usize, bytes: usize) -> Result<(), Malformed> {
    if bytes > MAX_HEADER_BYTES || lines > MAX_HEADER_LINES {
        return Err(Malformed {
            status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            sentence: "The request has too many headers, or they are too large.",
        });
    }
    Ok(())
}

/// Rejects a line feed without a carriage return: servers disagree on whether it ends a line.
fn line_ends(raw: &[u8]) -> Result<(), Malformed> {
    let is_bare = |end: usize| {
        let before = end.checked_sub(1).and_then(|before| raw.get(before));
        before != Some(&b'\r')
    };
    if memchr_iter(b'\n', raw).any(is_bare) {
        return Err(bad("A header line has an invalid line ending."));
    }
    Ok(())
}

/// Returns true if the raw header block has a `Content-Length` line.
fn names_length(raw: &[u8]) -> bool {
    raw.split(|byte| *byte == b'\n').skip(1).any(|line| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(header::CONTENT_LENGTH.as_str().as_bytes())
    })
}

/// Rejects a fragment: it never belongs in a request, and parsers disagree on the target before it.
fn no_fragment(raw: &[u8]) -> Result<(), Malformed> {
    if memchr(b'#', raw).is_none() {
        return Ok(());
    }
    let raw = raw.trim_ascii_start();
    let line = memchr(b'\n', raw).and_then(|end| raw.get(..end)).unwrap_or(raw);
    if memchr(b'#', line).is_some() {
        return Err(bad("The address contains a forbidden character."));
    }
    Ok(())
}

/// Returns the name in `host` in lower case, without its port.
pub(in crate::proxy) fn host_name(host: &str) -> Result<String, Malformed> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    if host.len() > 260 || !host.bytes().all(plain) {
        return Err(bad("The Host header is not a valid host name."));
    }
    let is_valid = |(name, port): &(&str, Option<&str>)| {
        let has_empty_label = name.starts_with('.') || name.contains("..");
        !has_empty_label && port.is_none_or(|port| port.parse::<u16>().is_ok())
    };
    let split = authority::split(host).filter(is_valid);
    let (name, _port) = split.ok_or(bad("The Host header is not a valid host name."))?;
    Ok(name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(n, v)| (n.parse().unwrap(), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn a_body_is_framed_in_one_way_only() {
        let check = |lines: &[_], version| HeaderScan::read(&headers(lines))?.framing(version);
        let check = |lines: &[_]| check(lines, Version::HTTP_11);
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
        let chunked = headers(&[("transfer-encoding", "chunked")]);
        assert!(HeaderScan::read(&chunked).unwrap().framing(Version::HTTP_10).is_err());
    }

    #[test]
    fn a_length_is_found_in_the_block_as_it_came() {
        let with = |line: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
        for line in
            ["Content-Length: 5", "CONTENT-LENGTH:5", "content-length:", "Content-Length : 5"]
        {
            assert!(names_length(with(line).as_bytes()), "{line}");
        }
        for line in ["X-Content-Length: 5", "X: content-length: 5", "Content-Lengths: 5"] {
            assert!(!names_length(with(line).as_bytes()), "{line}");
        }
    }

    #[test]
    fn schemes_that_cover_the_connection_are_noticed() {
        for (value, expected) in [
            ("NTLM TlRMTVNTUAAB", true),
            ("negotiate YII", true),
            ("Negotiate", true),
            ("Bearer negotiate", false),
            ("Basic bnRsbQ==", false),
        ] {
            let headers = headers(&[("authorization", value)]);
            let facts = HeaderScan::read(&headers).unwrap().facts;
            assert_eq!(facts.connection_auth, expected, "{value}");
        }
    }

    #[test]
    fn what_is_about_the_connection_only_is_noticed() {
        for name in [
            "connection",
            "http2-settings",
            "keep-alive",
            "proxy-authenticate",
            "proxy-authorization",
            "proxy-connection",
            "te",
            "trailer",
            "upgrade",
        ] {
            let headers = headers(&[("accept", "*/*"), (name, "x")]);
            assert!(HeaderScan::read(&headers).unwrap().facts.hop_by_hop, "{name}");
        }
        let chunked = headers(&[("transfer-encoding", "chunked")]);
        assert!(HeaderScan::read(&chunked).unwrap().facts.hop_by_hop);
        let end_to_end = headers(&[("accept", "*/*"), ("cookie", "a=1"), ("x-connection", "te")]);
        assert!(!HeaderScan::read(&end_to_end).unwrap().facts.hop_by_hop);
    }

    #[test]
    fn the_host_is_one_name() {
        assert_eq!(host_name("GW.test:8443").unwrap(), "gw.test");
        assert_eq!(host_name("[::1]:8443").unwrap(), "[::1]");
        assert_eq!(host_name("127.0.0.1").unwrap(), "127.0.0.1");
        assert!(host_name(":80").is_err());
        assert!(host_name(".gw.test").is_err() && host_name("a..test").is_err());
        assert!(host_name("gw.test:x").is_err());
        assert!(host_name("1572395042/.gw.test").is_err());
        assert!(host_name("x\";proto=http;a=\".gw.test").is_err());
        let refused = |lines: &[_], authority: Option<&'static str>| {
            let headers = headers(lines);
            HeaderScan::read(&headers)
                .and_then(|h| h.host(authority).and_then(host_name).map(drop))
                .is_err()
        };
        assert!(refused(&[("host", "a"), ("host", "a")], None));
        assert!(refused(&[("host", "a")], Some("b")));
        assert!(refused(&[("host", "a/b")], None));
        assert!(refused(&[("host", "[2001:7]:443")], None), "not an IPv6 address");
        assert!(refused(&[("host", "::1")], None), "without brackets");
        assert!(refused(&[], None));
        assert!(!refused(&[("host", "a")], Some("A")));
    }

    proptest! {
        #[test]
        fn any_host_is_read_without_panic(text in ".{0,40}") {
            prop_assert!(host_name(&text).map_or(true, |name| !name.is_empty()));
        }
    }
}
