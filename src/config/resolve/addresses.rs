//! Parsing of networks.

use std::net::IpAddr;

use ipnet::IpNet;

/// Parses a network or a single address. The error says how to fix it.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let network = text
        .parse::<IpNet>()
        .or_else(|_not_a_network| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_neither| {
            format!("{text:?} is not a network: write \"10.0.0.0/8\" or a single address")
        })?;
    if network.trunc() != network {
        return Err(format!("{text:?} has host bits set: write \"{}\"", network.trunc()));
    }
    let mapped = match network {
        IpNet::V6(v6) => v6.network().to_ipv4_mapped().is_some(),
        IpNet::V4(_) => false,
    };
    if mapped {
        return Err(format!(
            "{text:?} matches no client: IPv4-mapped clients count as IPv4, write it as IPv4"
        ));
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_must_have_no_host_bits_set() {
        assert!(network("10.0.0.1/8").unwrap_err().contains("10.0.0.0/8"));
        assert!(network("::ffff:10.0.0.0/104").unwrap_err().contains("IPv4"));
        assert!(network("ten").is_err());
        assert_eq!(network("10.0.0.1").unwrap().prefix_len(), 32);
        assert_eq!(network("2001:db8::/32").unwrap().prefix_len(), 32);
    }
}
