//! Is this request well-formed and unambiguous? Asked before anything else; what fails is refused
//! and its connection closed, and the app never hears of it.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use memchr::memchr;
use pingora_core::protocols::http::ServerSession;

use crate::gate::target::BadTarget;
use crate::proxy::rewrite::hygiene;
use crate::proxy::rewrite::workers;

/// The header for access tokens. `Authorization` is the app's.
pub(in crate::proxy) const TOKEN_HEADER: &str = "vestibule-token";
/// Most bytes in a header block.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Most header lines.
const MAX_HEADER_LINES: usize = 100;
/// Most tokens in `Connection`.
const MAX_CONNECTION_TOKENS: usize = 10;

/// Why a request is refused.
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
            BadTarget::Character => bad("The address holds a character that may not be there."),
            BadTarget::Ambiguous => bad("The address can be read in more than one way."),
        }
    }
}

/// What the gate wants to know of a header block, gathered in one pass over it.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Heads<'a> {
    host: Option<&'a HeaderValue>,
    length: Option<&'a HeaderValue>,
    encoding: Option<&'a HeaderValue>,
    connection_tokens: usize,
    bytes: usize,
    /// The last `Cookie` line, and whether there were others.
    cookie: Option<&'a HeaderValue>,
    cookies: bool,
    pub(in crate::proxy) marks: Marks,
}

/// What is to be known of a request later on, without another look at its headers.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each says one thing about the headers")]
pub(in crate::proxy) struct Marks {
    /// An upgrade to WebSocket is asked for.
    pub(in crate::proxy) websocket: bool,
    /// There is a name that the app may not hear from a client.
    pub(in crate::proxy) managed: bool,
    /// The script of a service worker is asked for.
    pub(in crate::proxy) worker: bool,
    /// There are cookies.
    pub(in crate::proxy) cookies: bool,
    /// The session's is the only cookie.
    pub(in crate::proxy) session_alone: bool,
    /// The host was named by a `Host` header.
    pub(in crate::proxy) host: bool,
    /// HTTP/1.1 frames a body, or the connection is to become another.
    pub(in crate::proxy) more: bool,
    /// There is a token of ours.
    pub(in crate::proxy) token: bool,
    /// There is a header that is about this connection only (RFC 9110 §7.6.1).
    pub(in crate::proxy) hop_by_hop: bool,
    /// The client waits for leave to send its body (RFC 9110 §10.1.1).
    pub(in crate::proxy) expects: bool,
}

/// Checks everything but the target, the host and the method. `bad_line`: the request line was not one
/// before Pingora mended it.
pub(in crate::proxy) fn vet(
    session: &ServerSession,
    bad_line: bool,
) -> Result<Heads<'_>, Malformed> {
    if bad_line {
        return Err(bad("The request line is malformed."));
    }
    let request = session.req_header();
    let heads = Heads::read(&request.headers)?;
    let raw = session
        .as_http1()
        .map(pingora_core::protocols::http::v1::server::HttpSession::get_headers_raw_bytes);
    // HTTP/2 has no raw block: the size is counted as in RFC 9113 §10.5.1.
    sizes(request.headers.len(), raw.as_deref().map_or(heads.bytes, <[u8]>::len))?;
    if let Some(raw) = &raw {
        line_ends(raw)?;
        no_fragment(raw)?;
        // Pingora has left out the length beside it.
        if heads.encoding.is_some() && names_length(raw) {
            return Err(bad("The request body is framed in an ambiguous way."));
        }
    }
    heads.framing(request.version)?;
    Ok(heads)
}

impl<'a> Heads<'a> {
    fn read(headers: &'a HeaderMap) -> Result<Self, Malformed> {
        let mut heads = Self::default();
        for (name, value) in headers {
            heads.bytes += name.as_str().len() + value.len() + 32;
            heads.take(name, value)?;
        }
        if heads.connection_tokens > MAX_CONNECTION_TOKENS {
            return Err(bad("The Connection header nominates too much."));
        }
        Ok(heads)
    }

    fn take(&mut self, name: &HeaderName, value: &'a HeaderValue) -> Result<(), Malformed> {
        match *name {
            // What nearly every request carries and nobody has to look at.
            header::ACCEPT
            | header::ACCEPT_ENCODING
            | header::ACCEPT_LANGUAGE
            | header::AUTHORIZATION
            | header::CACHE_CONTROL
            | header::CONTENT_TYPE
            | header::IF_NONE_MATCH
            | header::ORIGIN
            | header::REFERER
            | header::USER_AGENT => {}
            header::COOKIE => {
                self.marks.cookies = true;
                self.cookies |= self.cookie.replace(value).is_some();
            }
            header::HOST => {
                if self.host.replace(value).is_some() {
                    return Err(bad("There is more than one Host header."));
                }
                self.marks.host = true;
            }
            header::CONTENT_LENGTH => {
                self.marks.more = true;
                if self.length.replace(value).is_some() {
                    return Err(bad("The Content-Length header is not one plain number."));
                }
            }
            header::TE
            | header::TRAILER
            | header::PROXY_AUTHENTICATE
            | header::PROXY_AUTHORIZATION => self.marks.hop_by_hop = true,
            header::TRANSFER_ENCODING => {
                self.marks.hop_by_hop = true;
                self.marks.more = true;
                if self.encoding.replace(value).is_some() {
                    return Err(bad("The request body is framed in an ambiguous way."));
                }
            }
            header::CONNECTION => {
                self.marks.hop_by_hop = true;
                self.connection_tokens += value.as_bytes().split(|b| *b == b',').count();
            }
            header::UPGRADE => {
                self.marks.hop_by_hop = true;
                self.marks.more = true;
                self.marks.websocket |= value.as_bytes().eq_ignore_ascii_case(b"websocket");
            }
            header::EXPECT => {
                if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") {
                    return Err(bad("The Expect header is not understood."));
                }
                self.marks.expects = true;
            }
            _ => {
                self.marks.hop_by_hop |= is_about_connection(name.as_str());
                self.managed(name.as_str())?;
                self.marks.worker |= workers::asks(name, value);
            }
        }
        Ok(())
    }

    /// A name that the app may not hear from a client; one such is that of our own tokens.
    fn managed(&mut self, name: &str) -> Result<(), Malformed> {
        if !hygiene::is_managed(name) {
            return Ok(());
        }
        self.marks.managed = true;
        let token = name == TOKEN_HEADER;
        if token && self.marks.token {
            return Err(bad("There is more than one Vestibule-Token header."));
        }
        self.marks.token |= token;
        Ok(())
    }

    /// A body is framed in one way only.
    fn framing(&self, version: Version) -> Result<(), Malformed> {
        if let Some(value) = self.length {
            let digits = value.as_bytes();
            let plain = !digits.is_empty()
                && digits.len() <= 18
                && digits.iter().all(u8::is_ascii_digit)
                && (digits.len() == 1 || digits.first() != Some(&b'0'));
            if !plain {
                return Err(bad("The Content-Length header is not one plain number."));
            }
        }
        if let Some(value) = self.encoding {
            if !value.as_bytes().eq_ignore_ascii_case(b"chunked") || self.length.is_some() {
                return Err(bad("The request body is framed in an ambiguous way."));
            }
            if version != Version::HTTP_11 {
                return Err(bad("Transfer-Encoding belongs to HTTP/1.1 only."));
            }
        }
        if self.marks.websocket {
            // Its bytes would be the first of the tunnel for whoever reads past the header.
            let length = self.length.is_some_and(|length| length.as_bytes() != b"0");
            if length || self.encoding.is_some() {
                return Err(bad("A WebSocket handshake has no body."));
            }
        }
        Ok(())
    }

    /// The only `Cookie` line.
    pub(in crate::proxy) fn only_cookie(&self) -> Option<&'a HeaderValue> {
        self.cookie.filter(|_| !self.cookies)
    }

    /// The host a request is for as it came, where only one header names it. It is not checked.
    pub(in crate::proxy) fn only_host(&self, authority: Option<&'a str>) -> Option<&'a [u8]> {
        match (self.host, authority) {
            (Some(value), None) => Some(value.as_bytes()),
            (None, Some(authority)) => Some(authority.as_bytes()),
            (Some(_), Some(_)) | (None, None) => None,
        }
    }

    /// The host a request is for, as the client wrote it: from `Host` and, in HTTP/2, from
    /// `:authority`, which must agree. Whether it is a name is for [`host_name`] to say.
    pub(in crate::proxy) fn host(&self, authority: Option<&'a str>) -> Result<&'a str, Malformed> {
        let host = match self.host {
            Some(value) => {
                Some(value.to_str().map_err(|_bytes| bad("The Host header is not a name."))?)
            }
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

/// Whether a name that HTTP itself does not define is about a connection only.
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

/// A line feed without its carriage return ends a line for some servers only.
fn line_ends(raw: &[u8]) -> Result<(), Malformed> {
    let first = raw.first() == Some(&b'\n');
    let pairs = raw.iter().zip(raw.get(1..).unwrap_or_default());
    // Without a way out before the end, and in bytes, many are looked at at once.
    let bare = |before: u8, end: u8| u8::from(end == b'\n' && before != b'\r');
    if first || pairs.fold(0, |any, (before, end)| any | bare(*before, *end)) > 0 {
        return Err(bad("A header line does not end as it should."));
    }
    Ok(())
}

/// Returns true if a line of the header block as it came is a `Content-Length`.
fn names_length(raw: &[u8]) -> bool {
    raw.split(|byte| *byte == b'\n').skip(1).any(|line| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(header::CONTENT_LENGTH.as_str().as_bytes())
    })
}

/// A fragment never belongs on the wire; parsers disagree on what is before it.
fn no_fragment(raw: &[u8]) -> Result<(), Malformed> {
    if memchr(b'#', raw).is_none() {
        return Ok(());
    }
    let raw = raw.trim_ascii_start();
    let line = memchr(b'\n', raw).and_then(|end| raw.get(..end)).unwrap_or(raw);
    if memchr(b'#', line).is_some() {
        return Err(bad("The address holds a character that may not be there."));
    }
    Ok(())
}

/// The name in `host`, without its port, in lower case.
pub(in crate::proxy) fn host_name(host: &str) -> Result<String, Malformed> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    if host.len() > 260 || !host.bytes().all(plain) {
        return Err(bad("The Host header is not a name."));
    }
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        Some(_) | None => (host, None),
    };
    let port_is_number = port.is_none_or(|p| p.parse::<u16>().is_ok());
    let has_empty_label = name.starts_with('.') || name.contains("..");
    if name.is_empty() || has_empty_label || !port_is_number {
        return Err(bad("The Host header is not a name."));
    }
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
        let check = |lines: &[_], version| Heads::read(&headers(lines))?.framing(version);
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
        assert!(Heads::read(&chunked).unwrap().framing(Version::HTTP_10).is_err());
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
            assert!(Heads::read(&headers).unwrap().marks.hop_by_hop, "{name}");
        }
        let chunked = headers(&[("transfer-encoding", "chunked")]);
        assert!(Heads::read(&chunked).unwrap().marks.hop_by_hop);
        let end_to_end = headers(&[("accept", "*/*"), ("cookie", "a=1"), ("x-connection", "te")]);
        assert!(!Heads::read(&end_to_end).unwrap().marks.hop_by_hop);
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
            Heads::read(&headers)
                .and_then(|h| h.host(authority).and_then(host_name).map(drop))
                .is_err()
        };
        assert!(refused(&[("host", "a"), ("host", "a")], None));
        assert!(refused(&[("host", "a")], Some("b")));
        assert!(refused(&[("host", "a/b")], None));
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
