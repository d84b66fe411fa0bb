//! Upstreams that lead back to the gateway.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::upstream::is_loopback;
use crate::config::key_path::KeyPath;
use crate::config::raw::RawApp;
use crate::config::reader::Reader;
use crate::proxy::settings::{
    AppSettings, HostPattern, ListenerSettings, PortalSettings, UpstreamAddress,
};

/// The addresses and names that lead to the gateway.
pub(super) struct Gateway<'a> {
    pub(super) listeners: &'a [ListenerSettings],
    pub(super) admin: Option<SocketAddr>,
    pub(super) apps: &'a [AppSettings],
    pub(super) portal: Option<&'a PortalSettings>,
}

impl Gateway<'_> {
    /// Rejects upstreams that are listeners. Warns about those that are on some machines, those with a
    /// host of the gateway, and its admin listener.
    pub(super) fn check_upstreams(&self, raw: &[RawApp], r: &mut Reader<'_>) {
        let dual_stack = is_dual_stack();
        for (i, (app, raw)) in self.apps.iter().zip(raw).enumerate() {
            let upstreams = &app.upstream.addresses;
            // With errors among them, their positions are unknown.
            if raw.upstreams.as_ref().map_or(0, Vec::len) != upstreams.len() {
                continue;
            }
            for (j, upstream) in upstreams.iter().enumerate() {
                let key = KeyPath::of("apps").index(i).key("upstreams").index(j);
                self.check(upstream, dual_stack, &key, r);
            }
        }
    }

    fn check(
        &self,
        upstream: &UpstreamAddress,
        dual_stack: bool,
        key: &KeyPath,
        r: &mut Reader<'_>,
    ) {
        let bound = |address: SocketAddr| Bound { address, dual_stack };
        let listener = |ips: &[IpAddr]| {
            let mut listeners = self.listeners.iter().map(|listener| bound(listener.address));
            listeners.position(|listener| listener.is_reached_at(ips, upstream.port))
        };
        let Ends { always, perhaps } = Ends::of(&upstream.host);
        if let Some(n) = listener(&always) {
            let why = format!(
                "is the gateway itself (listeners[{n}]), so requests would loop: write \
                 the address of the app"
            );
            r.fail(key, why);
        } else if let Some(n) = listener(&perhaps) {
            let why = format!(
                "is the gateway itself (listeners[{n}]) as well, where the name resolves to an IPv6 \
                 address too: write 127.0.0.1 if the app is there"
            );
            r.warn(key, &why);
        } else if self.admin.is_some_and(|admin| {
            bound(admin).is_reached_at(&[always, perhaps].concat(), upstream.port)
        }) {
            r.warn(
                key,
                "is the admin listener of the gateway: users that the rules let in see its metrics",
            );
        } else if self.is_published(upstream) {
            r.warn(
                key,
                "has a name of the gateway: if the name leads here on this machine as well, \
                 requests loop. Write the name or address of the app's own server",
            );
        }
    }

    /// Returns true if browsers may reach the gateway at the name and port of an upstream.
    fn is_published(&self, upstream: &UpstreamAddress) -> bool {
        let port = matches!(upstream.port, 80 | 443)
            || self.listeners.iter().any(|listener| listener.address.port() == upstream.port);
        let is_name = |host: &HostPattern| *host == HostPattern::Exact(upstream.host.clone());
        let of_app = self.apps.iter().any(|app| app.hosts.iter().any(is_name));
        port && (of_app || self.portal.is_some_and(|portal| portal.host == upstream.host))
    }
}

/// Returns true if the kernel lets a listener on all IPv6 addresses accept connections over IPv4. The
/// gateway does not ask for the one or the other.
fn is_dual_stack() -> bool {
    let only_v6 = std::fs::read_to_string("/proc/sys/net/ipv6/bindv6only");
    only_v6.map_or(true, |value| value.trim() != "1")
}

/// The addresses at which connections to a host end, as far as its text says.
struct Ends {
    always: Vec<IpAddr>,
    /// Those that depend on the machine.
    perhaps: Vec<IpAddr>,
}

impl Ends {
    fn of(host: &str) -> Self {
        let (v4, v6) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into());
        let (always, perhaps) = match host.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
            // A connection to an unspecified address is one to loopback.
            Ok(IpAddr::V4(ip)) if ip.is_unspecified() => (vec![v4], vec![]),
            Ok(IpAddr::V6(ip)) if ip.is_unspecified() => (vec![v6], vec![]),
            Ok(ip) => (vec![ip], vec![]),
            Err(_) if is_loopback(host) => (vec![v4], vec![v6]),
            Err(_) => (vec![], vec![]),
        };
        Self { always, perhaps }
    }
}

/// A listening socket.
#[derive(Clone, Copy)]
struct Bound {
    address: SocketAddr,
    /// True if a listener on all IPv6 addresses also accepts connections over IPv4.
    dual_stack: bool,
}

impl Bound {
    /// Returns true if it accepts connections to one of these addresses at `port`.
    fn is_reached_at(self, ips: &[IpAddr], port: u16) -> bool {
        let bound = self.address.ip().to_canonical();
        let accepts = |ip: &IpAddr| {
            let family = bound.is_ipv4() == ip.is_ipv4() || bound.is_ipv6() && self.dual_stack;
            *ip == bound || bound.is_unspecified() && family && ip.is_loopback()
        };
        self.address.port() == port && ips.iter().any(accepts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns true if connections to a host end at a listener: always, and on some machines.
    fn ends(host: &str, address: &str, dual_stack: bool) -> (bool, bool) {
        let bound = Bound { address: address.parse().unwrap(), dual_stack };
        let Ends { always, perhaps } = Ends::of(host);
        (bound.is_reached_at(&always, 8443), bound.is_reached_at(&perhaps, 8443))
    }

    #[test]
    fn an_address_leads_to_the_sockets_that_are_bound_to_it() {
        for (host, address) in [
            ("127.0.0.1", "127.0.0.1:8443"),
            ("127.0.0.1", "0.0.0.0:8443"),
            ("127.0.0.1", "[::]:8443"),
            ("127.0.0.1", "[::ffff:127.0.0.1]:8443"),
            ("::ffff:127.0.0.1", "0.0.0.0:8443"),
            ("::1", "[::]:8443"),
            ("::1", "[::1]:8443"),
            ("10.0.0.1", "10.0.0.1:8443"),
            ("localhost", "127.0.0.1:8443"),
            ("localhost", "0.0.0.0:8443"),
            ("localhost", "[::]:8443"),
            ("0.0.0.0", "127.0.0.1:8443"),
            ("::", "[::1]:8443"),
        ] {
            assert!(ends(host, address, true).0, "{host} {address}");
        }
        for (host, address) in [
            ("127.0.0.1", "127.0.0.1:8444"),
            ("127.0.0.2", "127.0.0.1:8443"),
            ("127.0.0.1", "[::1]:8443"),
            ("10.0.0.2", "10.0.0.1:8443"),
            ("10.0.0.2", "0.0.0.0:8443"),
            ("::1", "0.0.0.0:8443"),
            ("::1", "127.0.0.1:8443"),
            ("app", "0.0.0.0:8443"),
        ] {
            assert_eq!(ends(host, address, true), (false, false), "{host} {address}");
        }
    }

    #[test]
    fn localhost_may_lead_to_a_listener_of_ipv6() {
        assert_eq!(ends("localhost", "[::1]:8443", true), (false, true));
        assert_eq!(ends("localhost", "[::]:8443", false), (false, true));
    }

    #[test]
    fn a_listener_of_ipv6_only_is_not_reached_over_ipv4() {
        assert!(!ends("127.0.0.1", "[::]:8443", false).0);
        assert!(ends("::1", "[::]:8443", false).0);
        assert!(ends("127.0.0.1", "0.0.0.0:8443", false).0);
    }
}
