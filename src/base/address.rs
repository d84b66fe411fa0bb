//! Client addresses and client networks.

use std::fmt;
use std::net::{AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The text of an unknown address (RFC 7239 §6.2).
const UNKNOWN: &str = "unknown";

/// The address of the client that sent a request, after trusted proxies. It is unknown if a trusted
/// proxy sent none that can be parsed.
///
/// An unknown address belongs to no network, so it gains nothing that is granted to a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientIp(Place);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Place {
    Known(IpAddr),
    UnknownBehind(IpAddr),
}

/// Clients that share counters and limits: a network usually held by one customer, or all clients
/// of unknown address behind one proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientNetwork(Place);

impl ClientIp {
    /// Wraps the address of a socket or of a trusted header. An IPv4-mapped IPv6 address becomes
    /// IPv4.
    pub fn new(address: IpAddr) -> Self {
        Self(Place::Known(address.to_canonical()))
    }

    /// Returns an unknown address of a client behind the trusted `proxy`.
    pub fn unknown_behind(proxy: IpAddr) -> Self {
        Self(Place::UnknownBehind(proxy.to_canonical()))
    }

    /// Returns true unless the address is unknown.
    pub fn is_known(self) -> bool {
        matches!(self.0, Place::Known(_))
    }

    /// Returns the network usually held by one customer: /32 for IPv4, /64 for IPv6. Clients of
    /// unknown address share one network per proxy, distinct from the network of any address.
    pub fn network(self) -> ClientNetwork {
        ClientNetwork(match self.0 {
            Place::Known(IpAddr::V6(v6)) => {
                let prefix = u128::from(v6) & (u128::MAX << 64);
                Place::Known(IpAddr::V6(Ipv6Addr::from(prefix)))
            }
            other @ (Place::Known(IpAddr::V4(_)) | Place::UnknownBehind(_)) => other,
        })
    }

    /// Returns true if one of `networks` contains this address. An unknown address is in none.
    pub fn is_in(self, networks: &[IpNet]) -> bool {
        match self.0 {
            Place::Known(address) => networks.iter().any(|n| n.contains(&address)),
            Place::UnknownBehind(_) => false,
        }
    }
}

impl fmt::Display for ClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Place::Known(address) => fmt::Display::fmt(&address, f),
            Place::UnknownBehind(_) => f.write_str(UNKNOWN),
        }
    }
}

impl fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Place::Known(address) => fmt::Display::fmt(&address, f),
            Place::UnknownBehind(proxy) => write!(f, "{UNKNOWN}:{proxy}"),
        }
    }
}

impl FromStr for ClientIp {
    type Err = AddrParseError;

    /// Parses the output of [`Display`](fmt::Display). The proxy of an unknown address is not
    /// preserved.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == UNKNOWN {
            return Ok(Self::unknown_behind(Ipv4Addr::UNSPECIFIED.into()));
        }
        text.parse().map(Self::new)
    }
}

impl Serialize for ClientIp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClientIp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_clients_are_grouped_by_their_slash_64() {
        let ip = ClientIp::new("2001:db8:1:2:3:4:5:6".parse().unwrap());
        assert_eq!(ip.network().to_string(), "2001:db8:1:2::");
    }

    #[test]
    fn a_mapped_ipv4_address_is_ipv4() {
        let ip = ClientIp::new("::ffff:192.0.2.7".parse().unwrap());
        assert_eq!(ip.to_string(), "192.0.2.7");
    }

    #[test]
    fn an_unknown_address_is_in_no_network_not_even_its_proxys() {
        let proxy = "10.0.0.1".parse().unwrap();
        let unknown = ClientIp::unknown_behind(proxy);
        let networks = ["10.0.0.0/8", "0.0.0.0/0", "::/0"].map(|n| n.parse().unwrap());
        assert!(!unknown.is_in(&networks));
        assert_ne!(unknown.network(), ClientIp::new(proxy).network());
        assert_eq!(unknown.network().to_string(), "unknown:10.0.0.1");
        let other = ClientIp::unknown_behind("10.0.0.2".parse().unwrap());
        assert_ne!(unknown.network(), other.network(), "each proxy has its own");
    }

    #[test]
    fn an_unknown_address_is_written_and_read_as_unknown() {
        let unknown = ClientIp::unknown_behind("10.0.0.1".parse().unwrap());
        let json = serde_json::to_string(&unknown).unwrap();
        assert_eq!(json, "\"unknown\"");
        let read: ClientIp = serde_json::from_str(&json).unwrap();
        assert!(!read.is_known());
        let known = ClientIp::new([192, 0, 2, 7].into());
        let json = serde_json::to_string(&known).unwrap();
        assert_eq!(
            (json.as_str(), serde_json::from_str(&json).ok()),
            ("\"192.0.2.7\"", Some(known))
        );
        assert!("".parse::<ClientIp>().is_err());
    }
}
