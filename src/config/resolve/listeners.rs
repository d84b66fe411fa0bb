//! Resolution of listeners, the admin listener and network settings.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::{IpNet, Ipv6Net};

use super::addresses;
use crate::config::key_path::KeyPath;
use crate::config::raw::{RawAdmin, RawListener, RawNetwork};
use crate::config::reader::Reader;
use crate::proxy::settings::{BodyIdle, ListenerKind, ListenerSettings, NetworkSettings};

const CONNECTIONS_PER_ADDRESS: usize = 100;
/// Default limit of requests per client address: several people behind one address, each with a
/// browser that sends many requests at once.
const REQUESTS_PER_ADDRESS: usize = 500;

/// Resolves the listeners.
pub(super) fn listeners(raw: &[RawListener], r: &mut Reader<'_>) -> Vec<ListenerSettings> {
    let at = KeyPath::of("listeners");
    let kinds = [
        ("https", ListenerKind::Https),
        ("http", ListenerKind::Http),
        ("redirect", ListenerKind::Redirect),
    ];
    let mut listeners: Vec<ListenerSettings> = Vec::new();
    for (i, raw) in raw.iter().enumerate() {
        let at = at.index(i);
        let kind = r.choice(&at.key("kind"), raw.kind.as_deref(), &kinds);
        let key = at.key("address");
        let Some(text) = raw.address.as_deref() else {
            r.fail(&key, "is missing: write address = \"0.0.0.0:8443\"");
            continue;
        };
        let Some(address) = r.address(&key, text) else { continue };
        if listeners.iter().any(|l| collide(l.address, address)) {
            r.fail(
                &key,
                format!("{address} is taken by another listener: use a different port for each"),
            );
        }
        if let Some(kind) = kind {
            listeners.push(ListenerSettings { address, kind });
        }
    }
    if raw.is_empty() {
        r.fail(&at, "there is no listener: add [[listeners]] with an address and a kind");
    } else if raw.iter().all(|l| l.kind.as_deref() == Some("redirect")) {
        r.fail(&at, "none of them serves the apps: add one of kind \"https\" or \"http\"");
    }
    listeners
}

/// Returns true if both addresses cannot be bound at the same time.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let any = |x: SocketAddr, y: SocketAddr| {
        x.ip().is_unspecified() && (x.is_ipv4() == y.is_ipv4() || x.is_ipv6())
    };
    a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || any(a, b) || any(b, a))
}

/// Resolves the admin listener.
pub(super) fn admin(
    raw: Option<&RawAdmin>,
    listeners: &[ListenerSettings],
    r: &mut Reader<'_>,
) -> Option<SocketAddr> {
    let key = KeyPath::of("admin.address");
    let address = r.address(&key, raw?.address.as_deref()?)?;
    if listeners.iter().any(|l| collide(l.address, address)) {
        r.fail(&key, "is also a listener: health and metrics need a port of their own");
    } else if !address.ip().is_loopback() {
        r.warn(
            &key,
            "health and metrics are served off loopback without authentication: restrict access",
        );
    }
    Some(address)
}

/// Resolves trusted proxies and limits.
pub(super) fn network(
    raw: &RawNetwork,
    listeners: &[ListenerSettings],
    r: &mut Reader<'_>,
) -> NetworkSettings {
    let at = KeyPath::of("network");
    let key = at.key("trusted_proxies");
    let written = raw.trusted_proxies.as_deref().unwrap_or_default();
    let trusted_proxies: Vec<IpNet> = written
        .iter()
        .enumerate()
        .filter_map(|(i, text)| trusted(text).map_err(|why| r.fail(&key.index(i), why)).ok())
        .collect();
    trusts_too_much(&trusted_proxies, &key, r);
    let proxy_protocol = raw.proxy_protocol.unwrap_or(false);
    if proxy_protocol && written.is_empty() {
        let why = "is read from trusted proxies only: name them in network.trusted_proxies";
        r.fail(&at.key("proxy_protocol"), why);
    }
    for (i, listener) in listeners.iter().enumerate() {
        let plain = listener.kind == ListenerKind::Http && !listener.address.ip().is_loopback();
        if plain && written.is_empty() {
            let key = KeyPath::of("listeners").index(i).key("kind");
            r.warn(
                &key,
                "plain http off loopback without network.trusted_proxies: every client shares the \
                 balancer's address, and https is not detected",
            );
        }
    }
    let connections_per_address = r.number(
        &at.key("connections_per_address"),
        raw.connections_per_address,
        CONNECTIONS_PER_ADDRESS,
        &(1..=1_000_000),
    );
    let strangers = raw.body_idle.as_deref();
    let signed_in = raw.body_idle_signed_in.as_deref();
    let body_idle = BodyIdle {
        strangers: r.positive_duration(&at.key("body_idle"), strangers, Duration::from_mins(1)),
        signed_in: r.positive_duration(
            &at.key("body_idle_signed_in"),
            signed_in,
            Duration::from_mins(10),
        ),
    };
    let requests_per_address = r.number(
        &at.key("requests_per_address"),
        raw.requests_per_address,
        REQUESTS_PER_ADDRESS,
        &(2..=1_000_000),
    );
    let max_connections = raw
        .max_connections
        .map(|most| r.number(&at.key("max_connections"), Some(most), 1_000_000, &(10..=1_000_000)));
    NetworkSettings {
        trusted_proxies,
        proxy_protocol,
        max_connections,
        connections_per_address,
        requests_per_address,
        body_idle,
    }
}

/// Checks what the trusted networks cover together.
fn trusts_too_much(trusted: &Vec<IpNet>, key: &KeyPath, r: &mut Reader<'_>) {
    let together = IpNet::aggregate(trusted);
    if together.iter().any(is_everything) {
        let why = "would together trust every address: name the networks of your own proxies";
        r.fail(key, why);
    } else if let Some(wide) = together.iter().find(|network| is_wide(network)) {
        let why = format!(
            "{wide} is wider than the networks of proxies are: every client in it can name any \
             address as its own"
        );
        r.warn(key, &why);
    }
}

/// Returns true if a network covers every public address of its family.
fn is_everything(network: &IpNet) -> bool {
    const GLOBAL_UNICAST: Ipv6Net =
        Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
    network.prefix_len() == 0 || network.contains(&IpNet::V6(GLOBAL_UNICAST))
}

/// Returns true if a network is wider than any that is assigned or private.
fn is_wide(network: &IpNet) -> bool {
    network.prefix_len() < if matches!(network, IpNet::V4(_)) { 8 } else { 7 }
}

fn trusted(text: &str) -> Result<IpNet, String> {
    let network = addresses::network(text)?;
    if is_everything(&network) {
        return Err("would trust every address: name the networks of your own proxies".to_owned());
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_all_addresses_is_never_trusted() {
        assert!(trusted("0.0.0.0/0").is_err());
        assert!(trusted("::/0").is_err());
        assert!(trusted("2000::/3").is_err());
        assert!(trusted("10.0.0.1/8").unwrap_err().contains("10.0.0.0/8"));
        assert_eq!(trusted("10.0.0.1").unwrap().prefix_len(), 32);
    }

    #[test]
    fn an_address_collides_with_every_address_of_its_port() {
        let collide = |a: &str, b: &str| collide(a.parse().unwrap(), b.parse().unwrap());
        assert!(collide("127.0.0.1:80", "0.0.0.0:80"));
        assert!(collide("127.0.0.1:80", "[::]:80"));
        assert!(!collide("127.0.0.1:80", "127.0.0.2:80"));
        assert!(!collide("127.0.0.1:0", "127.0.0.1:0"));
        assert!(!collide("0.0.0.0:80", "[::1]:80"));
    }
}
