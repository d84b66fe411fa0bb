//! Who is at the other end, and by which scheme: from the socket, and from what trusted proxies
//! say.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

use super::settings::ListenerKind;
use crate::base::address::ClientIp;

/// The client's address. `X-Forwarded-For` is read from the right, over trusted hops only; what
/// does not parse ends the walk at the last hop that was believed.
pub(super) fn address(peer: SocketAddr, headers: &HeaderMap, trusted: &[IpNet]) -> ClientIp {
    let mut client = ClientIp::new(peer.ip());
    if trusted.is_empty() || !client.is_in(trusted) {
        return client;
    }
    let lines: Vec<&[u8]> =
        headers.get_all("x-forwarded-for").iter().map(http::HeaderValue::as_bytes).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(|b| *b == b',')) {
        let hop = std::str::from_utf8(hop).ok().and_then(|h| h.trim().parse::<IpAddr>().ok());
        let Some(address) = hop else { break };
        client = ClientIp::new(address);
        if !client.is_in(trusted) {
            break;
        }
    }
    client
}

/// Whether the browser spoke https.
pub(super) fn is_https(
    peer: SocketAddr,
    kind: ListenerKind,
    headers: &HeaderMap,
    trusted: &[IpNet],
) -> bool {
    if !trusted.is_empty() && ClientIp::new(peer.ip()).is_in(trusted) {
        let mut said = headers.get_all("x-forwarded-proto").iter();
        match (said.next().map(http::HeaderValue::as_bytes), said.next()) {
            (Some(b"https"), None) => return true,
            (Some(b"http"), None) => return false,
            _ => {}
        }
    }
    kind == ListenerKind::Https
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(peer: &str, forwarded: &[&'static str]) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let headers = forwarded
            .iter()
            .map(|v| {
                ("x-forwarded-for".parse().unwrap(), HeaderValue::from_bytes(v.as_bytes()).unwrap())
            })
            .collect();
        address(SocketAddr::new(peer.parse().unwrap(), 1), &headers, &trusted).to_string()
    }

    #[test]
    fn a_stranger_is_not_believed() {
        assert_eq!(client("192.0.2.1", &["127.0.0.1"]), "192.0.2.1");
    }

    #[test]
    fn trusted_hops_are_walked_from_the_right() {
        assert_eq!(client("10.0.0.1", &["1.1.1.1, 192.0.2.9, 10.0.0.2"]), "192.0.2.9");
        assert_eq!(client("10.0.0.1", &["1.1.1.1", "192.0.2.9"]), "192.0.2.9");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["192.0.2.9, rubbish"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["127.0.0.1", "\u{e9}, 192.0.2.9"]), "192.0.2.9");
        assert_eq!(client("10.0.0.1", &["127.0.0.1", "192.0.2.9, \u{e9}"]), "10.0.0.1");
    }
}
