//! The client of a request: its address, and the public address it used, from the socket and from
//! trusted proxies.
//!
//! An unreadable header of a trusted proxy never falls back to the proxy's own address, which is
//! trusted: the client address is then unknown, and the scheme is plain HTTP. One rule applies to
//! all lists, over several lines in order. Addresses are read from the right, over trusted hops
//! only. For schemes, hosts and ports the leftmost entry counts, which is the browser's; a client
//! that forges it deceives only itself. `X-Forwarded-…` and `Forwarded` may both be present if they
//! agree.

use std::net::SocketAddr;

use http::HeaderMap;
use http::header::FORWARDED;
use ipnet::IpNet;

use super::forwarded::{self, Hop, Unreadable};
use crate::base::address::ClientIp;
use crate::proxy::settings::ListenerKind;

const FOR: &str = "x-forwarded-for";
const PROTO: &str = "x-forwarded-proto";
const HOST: &str = "x-forwarded-host";
const PORT: &str = "x-forwarded-port";

/// The reason for ignoring a header of a trusted proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Doubt {
    /// No header names an address.
    NoAddress,
    /// The address is unreadable.
    Address,
    /// `X-Forwarded-For` and `Forwarded` name different addresses.
    Addresses,
    /// The scheme is unreadable, or the headers disagree on it.
    Scheme,
}

impl Doubt {
    /// Number of variants.
    pub(in crate::proxy) const COUNT: usize = 4;

    /// Returns the index of the variant.
    pub(in crate::proxy) fn number(self) -> usize {
        match self {
            Self::NoAddress => 0,
            Self::Address => 1,
            Self::Addresses => 2,
            Self::Scheme => 3,
        }
    }

    /// Returns the text for the log.
    pub(in crate::proxy) fn as_str(self) -> &'static str {
        match self {
            Self::NoAddress => "neither X-Forwarded-For nor Forwarded names an address",
            Self::Address => "the address in X-Forwarded-For or Forwarded cannot be read",
            Self::Addresses => "X-Forwarded-For and Forwarded name different addresses",
            Self::Scheme => {
                "the scheme in X-Forwarded-Proto or Forwarded cannot be read, or they differ"
            }
        }
    }
}

/// The client of a request and the address it used, as far as it is trustworthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Sender<'h> {
    pub(in crate::proxy) client: ClientIp,
    /// True if the browser used HTTPS.
    pub(in crate::proxy) https: bool,
    /// The forwarding headers, if a trusted proxy sent the request.
    pub(in crate::proxy) front: Option<Front<'h>>,
    pub(in crate::proxy) doubt: Option<Doubt>,
}

/// The address that the browser used, according to a trusted proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) struct Front<'h> {
    /// True if `X-Forwarded-Proto` or `Forwarded` states the scheme.
    pub(in crate::proxy) scheme: bool,
    /// The host, with its port if written.
    pub(in crate::proxy) host: Option<std::borrow::Cow<'h, str>>,
    pub(in crate::proxy) port: Option<u16>,
}

/// Returns the client of a request.
pub(in crate::proxy) fn sender<'h>(
    peer: SocketAddr,
    kind: ListenerKind,
    headers: &'h HeaderMap,
    trusted: &[IpNet],
) -> Sender<'h> {
    let client = ClientIp::new(peer.ip());
    let https = kind == ListenerKind::Https;
    if trusted.is_empty() || !client.is_in(trusted) {
        return Sender { client, https, front: None, doubt: None };
    }
    let hops = headers.contains_key(FORWARDED).then(|| forwarded::hops(headers));
    let (client, no_address) = match address(headers, hops.as_ref(), trusted) {
        Ok(client) => (client, None),
        Err(why) => (ClientIp::unknown_behind(peer.ip()), Some(why)),
    };
    let said = scheme(headers, hops.as_ref());
    let no_scheme = (said == Some(Err(Unreadable))).then_some(Doubt::Scheme);
    let front = Front {
        scheme: said.is_some(),
        host: host(headers, hops.as_ref()),
        port: leftmost(headers, PORT, forwarded::port).and_then(Result::ok),
    };
    Sender {
        client,
        https: said.map_or(https, |said| said.unwrap_or(false)),
        front: Some(front),
        doubt: no_address.or(no_scheme),
    }
}

type Hops = Result<Vec<Hop>, Unreadable>;

/// Combines two headers for the same value: both may be present if they agree.
fn agreed<T: PartialEq>(
    one: Option<Result<T, Unreadable>>,
    other: Option<Result<T, Unreadable>>,
) -> Option<Result<T, Unreadable>> {
    match (one, other) {
        (Some(Ok(one)), Some(Ok(other))) if one == other => Some(Ok(one)),
        (Some(_), Some(_)) => Some(Err(Unreadable)),
        (said, None) | (None, said) => said,
    }
}

fn address(headers: &HeaderMap, hops: Option<&Hops>, trusted: &[IpNet]) -> Result<ClientIp, Doubt> {
    let node = |text: &[u8]| forwarded::node(text).map(ClientIp::new);
    let listed = walk(forwarded::entries(headers, FOR).rev().map(node), trusted);
    let forwarded = hops.and_then(|hops| match hops {
        Err(unreadable) => Some(Err(*unreadable)),
        // Without any `for`, `Forwarded` only describes other things.
        Ok(hops) if hops.iter().all(|hop| hop.client.is_none()) => None,
        Ok(hops) => {
            let client = |hop: &Hop| node(hop.client.as_deref().unwrap_or_default().as_bytes());
            walk(hops.iter().rev().map(client), trusted)
        }
    });
    let differ = matches!((listed, forwarded), (Some(Ok(_)), Some(Ok(_))));
    match agreed(listed, forwarded) {
        Some(Ok(client)) => Ok(client),
        Some(Err(Unreadable)) if differ => Err(Doubt::Addresses),
        Some(Err(Unreadable)) => Err(Doubt::Address),
        None => Err(Doubt::NoAddress),
    }
}

/// Returns the last untrusted hop, or the first hop if all are trusted. `None` for an empty list.
fn walk(
    from_right: impl Iterator<Item = Result<ClientIp, Unreadable>>,
    trusted: &[IpNet],
) -> Option<Result<ClientIp, Unreadable>> {
    let mut last = None;
    for hop in from_right {
        last = Some(hop);
        if !hop.is_ok_and(|client| client.is_in(trusted)) {
            break;
        }
    }
    last
}

/// Returns true if the browser used HTTPS, or `None` if no header names the scheme.
fn scheme(headers: &HeaderMap, hops: Option<&Hops>) -> Option<Result<bool, Unreadable>> {
    let listed = leftmost(headers, PROTO, forwarded::is_secure);
    let forwarded = hops.and_then(|hops| match hops {
        Err(unreadable) => Some(Err(*unreadable)),
        Ok(hops) => first(
            hops.iter()
                .filter_map(|hop| Some(forwarded::is_secure(hop.proto.as_ref()?.as_bytes()))),
        ),
    });
    agreed(listed, forwarded)
}

/// Returns the host that the browser used. Falls back to `Host` on an unreadable header.
fn host<'h>(headers: &'h HeaderMap, hops: Option<&Hops>) -> Option<std::borrow::Cow<'h, str>> {
    let listed = leftmost(headers, HOST, forwarded::word);
    let forwarded =
        hops.and_then(|hops| hops.as_ref().ok()?.iter().find_map(|h| h.host.as_deref()));
    match (listed, forwarded) {
        (None, None) | (Some(Err(Unreadable)), _) => None,
        (Some(Ok(host)), None) => Some(host.into()),
        (Some(Ok(host)), Some(other)) => host.eq_ignore_ascii_case(other).then_some(host.into()),
        (None, Some(host)) => Some(host.to_owned().into()),
    }
}

/// Returns the leftmost entry of a list in which every entry is readable.
fn leftmost<'h, T>(
    headers: &'h HeaderMap,
    name: &str,
    read: impl Fn(&'h [u8]) -> Result<T, Unreadable>,
) -> Option<Result<T, Unreadable>> {
    first(forwarded::entries(headers, name).map(read))
}

fn first<T>(mut all: impl Iterator<Item = Result<T, Unreadable>>) -> Option<Result<T, Unreadable>> {
    let first = all.next()?;
    Some(if all.all(|other| other.is_ok()) { first } else { Err(Unreadable) })
}

#[cfg(test)]
#[path = "sender_tests.rs"]
mod tests;
