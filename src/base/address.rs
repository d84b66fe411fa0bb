//! The address of a client, as far as it can be believed.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The address a request came from, after trusted proxies were taken into account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientIp(IpAddr);

impl ClientIp {
    /// From a socket or a trusted header; an IPv4 address written as IPv6 is taken as IPv4.
    pub fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    /// The address itself.
    pub fn get(self) -> IpAddr {
        self.0
    }

    /// The network that one customer usually holds: /32 for IPv4, /64 for IPv6.
    pub fn network(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(v4) => IpAddr::V4(v4),
            IpAddr::V6(v6) => {
                let prefix = u128::from(v6) & (u128::MAX << 64);
                IpAddr::V6(Ipv6Addr::from(prefix))
            }
        }
    }

    /// Whether one of `networks` holds this address.
    pub fn is_in(self, networks: &[IpNet]) -> bool {
        networks.iter().any(|n| n.contains(&self.0))
    }
}

impl fmt::Display for ClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
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
}
