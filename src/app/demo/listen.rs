//! The address that the demo listens on, by name or number.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// A host and a port, such as `localhost:8443` or `[::1]:8443`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenOn {
    host: String,
    port: u16,
}

/// The text is not a host and a port.
#[derive(Debug, thiserror::Error)]
#[error("not a host and a port: write it like localhost:8443")]
pub struct NotAHostAndPort;

impl Default for ListenOn {
    fn default() -> Self {
        Self { host: "localhost".to_owned(), port: 8443 }
    }
}

impl FromStr for ListenOn {
    type Err = NotAHostAndPort;

    fn from_str(text: &str) -> Result<Self, NotAHostAndPort> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self { host: address.ip().to_string(), port: address.port() });
        }
        let (host, port) = text.rsplit_once(':').ok_or(NotAHostAndPort)?;
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if host.is_empty() || !host.chars().all(name) {
            return Err(NotAHostAndPort);
        }
        let port = port.parse().map_err(|_number| NotAHostAndPort)?;
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for ListenOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", in_url(&self.host), self.port)
    }
}

impl ListenOn {
    /// Resolves the socket address. The first IPv4 address takes precedence: every client can reach
    /// it.
    pub(super) async fn resolve(&self) -> std::io::Result<SocketAddr> {
        let found: Vec<_> =
            tokio::net::lookup_host((self.host.as_str(), self.port)).await?.collect();
        let first = found.iter().find(|a| a.is_ipv4()).or_else(|| found.first()).copied();
        first.ok_or_else(|| std::io::Error::other("the name has no address"))
    }

    /// Returns the host of the demo's URL: the requested host, or `localhost`.
    pub(super) fn host(&self) -> String {
        match self.host.parse::<IpAddr>() {
            Ok(ip) if ip.is_unspecified() || ip.is_loopback() => "localhost".to_owned(),
            _ => self.host.clone(),
        }
    }
}

/// Formats a host for a URL: IPv6 addresses in brackets.
pub(super) fn in_url(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_taken_with_their_port() {
        for (text, host) in [
            ("localhost:8443", "localhost"),
            ("127.0.0.1:0", "localhost"),
            ("[::1]:8443", "localhost"),
            ("0.0.0.0:443", "localhost"),
            ("Lab-7.example.com:8443", "lab-7.example.com"),
            ("192.0.2.7:8443", "192.0.2.7"),
            ("[2001:db8::7]:8443", "2001:db8::7"),
        ] {
            assert_eq!(text.parse::<ListenOn>().unwrap().host(), host, "{text}");
        }
        for bad in ["", "here", ":8443", "localhost:", "localhost:x", "localhost:70000", "a b:1"] {
            assert!(bad.parse::<ListenOn>().is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_name_that_resolves_is_an_address() {
        let address = "localhost:8443".parse::<ListenOn>().unwrap().resolve().await.unwrap();
        assert_eq!(address, SocketAddr::from(([127, 0, 0, 1], 8443)));
    }
}
