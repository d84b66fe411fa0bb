//! Entry points of the fuzz targets in `fuzz/`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use futures_util::FutureExt as _;
use http::{HeaderMap, Method, Version};
use ipnet::IpNet;
use pingora_http::ResponseHeader;

use super::admit::vet;
use super::client::proxy_header;
use super::client::request_line::RequestLine;
use super::client::sender::sender;
use super::forward_auth::original::{OriginalRequest, is_auth_request};
use super::rewrite::own_name::OwnName;
use super::settings::{ListenerKind, UpstreamName};
use crate::base::address::ClientIp;

/// Reads a request line in pieces of `size` bytes. Returns true if it is malformed, and `None` if its
/// end is missing.
pub fn is_bad_request_line(bytes: &[u8], size: usize) -> Option<bool> {
    let mut line = RequestLine::default();
    bytes.chunks(size.max(1)).find_map(|piece| line.read(piece))
}

/// Returns true if an HTTP/1.1 header block is accepted.
pub fn is_accepted_header_block(headers: &HeaderMap, raw: &[u8]) -> bool {
    vet::header_block(headers, Version::HTTP_11, Some(raw)).is_ok()
}

/// Returns the name in a host header, or `None` if it is not a valid host.
pub fn host_name(host: &str) -> Option<String> {
    vet::host_name(host).ok()
}

/// Reads a PROXY header. Returns the address in it and the number of bytes read, or `None` if it is
/// invalid.
pub fn proxy_header(bytes: &[u8]) -> Option<(Option<SocketAddr>, usize)> {
    let mut rest = bytes;
    let address = proxy_header::read(&mut rest).now_or_never()?.ok()?;
    Some((address, bytes.len() - rest.len()))
}

/// Returns the client address according to the headers of a trusted proxy.
pub fn client_address(proxy: Ipv4Addr, headers: &HeaderMap) -> ClientIp {
    let proxy = IpAddr::from(proxy);
    let trusted = [IpNet::from(proxy)];
    sender(SocketAddr::from((proxy, 1)), ListenerKind::Https, headers, &trusted).client
}

/// Reads an auth request. Returns method, target and host of the original request, or `None` if it is none or
/// is rejected.
pub fn original_request(
    method: &Method,
    target: &[u8],
    headers: &HeaderMap,
) -> Option<(Method, Vec<u8>, Option<String>)> {
    let asked = is_auth_request(target).then(|| OriginalRequest::of(method, target, headers));
    asked?.ok().map(|asked| (asked.method, asked.target, asked.host))
}

/// Rewrites a response of the app `app.internal` to `https://gw.test`. Returns `None` if a header of it is invalid.
pub fn rewritten_response(headers: &HeaderMap) -> Option<HeaderMap> {
    let settings = UpstreamName { name: "app.internal".to_owned(), port: None, tls: true };
    let mut response = ResponseHeader::build(200, Some(headers.len())).ok()?;
    for (name, value) in headers {
        response.append_header(name.clone(), value.clone()).ok()?;
    }
    OwnName::new(&settings)?.answer(&mut response, "https://gw.test").ok()?;
    Some(response.headers.clone())
}
