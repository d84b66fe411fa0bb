//! Public addresses of an app: the origin that the browser requested, and the base of links to our
//! own pages.

use super::vet;
use crate::proxy::client::sender::Front;
use crate::web::origin::WebOrigin;

/// The configured addresses of the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) struct EntryPoints {
    /// `public_url`, if configured.
    pub(in crate::proxy) public: Option<WebOrigin>,
    /// The port of the first HTTPS listener.
    pub(in crate::proxy) https_port: Option<u16>,
}

/// Scheme and port of other hosts of the gateway, as a browser at one of them reaches them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct OtherHosts {
    https: bool,
    port: Option<u16>,
}

impl OtherHosts {
    /// Returns the origin of a host.
    pub(in crate::proxy) fn origin(self, name: &str) -> WebOrigin {
        WebOrigin::new(self.https, name, self.port)
    }
}

/// The forwarding headers of a trusted proxy, kept for comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct KnownFront {
    scheme: bool,
    host: Option<String>,
    port: Option<u16>,
}

impl KnownFront {
    pub(in crate::proxy) fn of(front: &Front<'_>) -> Self {
        let host = front.host.as_deref().map(str::to_owned);
        Self { scheme: front.scheme, host, port: front.port }
    }

    pub(in crate::proxy) fn is(&self, front: &Front<'_>) -> bool {
        (self.scheme, self.host.as_deref(), self.port)
            == (front.scheme, front.host.as_deref(), front.port)
    }
}

/// A host name with its port, if written.
#[derive(Clone, Debug)]
struct HostPort {
    name: String,
    port: Option<u16>,
}

impl HostPort {
    /// Parses a host header; `None` if it is not a valid host.
    fn of(host: &str) -> Option<Self> {
        let name = vet::host_name(host).ok()?;
        let port = host.get(name.len()..)?.strip_prefix(':').and_then(|port| port.parse().ok());
        Some(Self { name, port })
    }
}

/// The address that a request names.
pub(in crate::proxy) struct RequestedAddress<'a> {
    /// `Host`, already validated.
    pub(in crate::proxy) host: &'a str,
    /// True if the browser used HTTPS.
    pub(in crate::proxy) https: bool,
    /// The forwarding headers, if a trusted proxy sent the request.
    pub(in crate::proxy) front: Option<&'a Front<'a>>,
}

impl RequestedAddress<'_> {
    /// Returns the host in `X-Forwarded-Host` if it belongs to this app.
    fn fronted(&self, is_of_app: impl Fn(&str) -> bool) -> Option<HostPort> {
        let written = HostPort::of(self.front?.host.as_deref()?)?;
        is_of_app(&written.name).then_some(written)
    }

    /// Returns scheme and port of other hosts of the gateway, for redirects from this host to them.
    pub(in crate::proxy) fn elsewhere(
        &self,
        entry_points: &EntryPoints,
        is_of_app: impl Fn(&str) -> bool,
    ) -> OtherHosts {
        if let Some(public) = &entry_points.public {
            return OtherHosts { https: public.is_https(), port: public.port() };
        }
        let host = HostPort::of(self.host);
        if self.front.is_some_and(|front| front.scheme) {
            let said = self.fronted(is_of_app).and_then(|fronted| fronted.port);
            let own = host.and_then(|host| host.port);
            let port = said.or(self.front.and_then(|front| front.port)).or(own);
            return OtherHosts { https: true, port: port.filter(|_| self.https) };
        }
        if let Some(host) = host.filter(|_| !self.https && entry_points.https_port.is_none()) {
            let page = WebOrigin::new(false, &host.name, host.port);
            if page.is_loopback() {
                return OtherHosts { https: false, port: page.port() };
            }
        }
        OtherHosts { https: true, port: entry_points.https_port }
    }

    /// Returns the origin that the browser requested, and the base of links.
    pub(in crate::proxy) fn origins(
        &self,
        entry_points: &EntryPoints,
        is_of_app: impl Fn(&str) -> bool,
    ) -> (WebOrigin, WebOrigin) {
        let host = HostPort::of(self.host);
        let fronted = self.fronted(is_of_app);
        let named = fronted.as_ref().or(host.as_ref());
        let name = named.map_or_else(String::new, |named| named.name.clone());
        // A front that rewrites `Host` changes its port as well.
        let own_port = host.filter(|host| host.name == name).and_then(|host| host.port);
        let said = fronted.and_then(|fronted| fronted.port);
        let front_port = self.front.and_then(|front| front.port);
        let page = WebOrigin::new(self.https, &name, said.or(own_port).or(front_port));
        let https_at = |port| WebOrigin::new(true, &name, port);
        let behind_front = self.front.is_some_and(|front| front.scheme);
        let links = if let Some(public) = &entry_points.public {
            WebOrigin::new(public.is_https(), &name, public.port())
        } else if behind_front {
            let port = said.or(front_port).or(own_port).filter(|_| self.https);
            https_at(port)
        } else if self.https {
            https_at(own_port.or(entry_points.https_port))
        } else if entry_points.https_port.is_none() && page.is_loopback() {
            page.clone()
        } else {
            https_at(entry_points.https_port)
        };
        (page, links)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(
        host: &str,
        https: bool,
        front: Option<&Front<'_>>,
        entry_points: &EntryPoints,
    ) -> [String; 2] {
        let of_app = |name: &str| name == "gw.test" || name == "other.test";
        let (page, links) = RequestedAddress { host, https, front }.origins(entry_points, of_app);
        [page.to_string(), links.to_string()]
    }

    fn front(host: Option<&str>, port: Option<u16>) -> Front<'_> {
        Front { scheme: true, host: host.map(Into::into), port }
    }

    #[test]
    fn links_carry_the_port_of_the_first_https_listener() {
        let entry_points = |port| EntryPoints { public: None, https_port: Some(port) };
        let links = |host, https, port| origins(host, https, None, &entry_points(port))[1].clone();
        assert_eq!(links("gw.test", true, 443), "https://gw.test");
        assert_eq!(links("gw.test", true, 8443), "https://gw.test:8443");
        assert_eq!(links("gw.test:9443", true, 8443), "https://gw.test:9443");
        assert_eq!(links("gw.test:8080", false, 8443), "https://gw.test:8443");
        assert_eq!(links("GW.test:80", false, 443), "https://gw.test");
        assert_eq!(links("[::1]:8080", false, 8443), "https://[::1]:8443");
    }

    #[test]
    fn without_an_https_listener_this_very_machine_is_asked_as_it_was() {
        let none = EntryPoints::default();
        assert_eq!(origins("localhost:8080", false, None, &none)[1], "http://localhost:8080");
        assert_eq!(origins("gw.test:8080", false, None, &none)[1], "https://gw.test");
    }

    #[test]
    fn the_public_url_goes_before_all() {
        let public = WebOrigin::parse("https://gw.test:444");
        let entry_points = EntryPoints { public, https_port: Some(8443) };
        let said = front(Some("gw.test:9"), Some(10));
        assert_eq!(origins("gw.test", true, Some(&said), &entry_points)[1], "https://gw.test:444");
        assert_eq!(
            origins("other.test:1", false, None, &entry_points)[1],
            "https://other.test:444"
        );
    }

    #[test]
    fn redirects_to_other_hosts_carry_the_public_port_or_that_of_the_first_https_listener() {
        let to = |host, https, front: Option<&Front<'_>>, entry_points: &EntryPoints| {
            let asked = RequestedAddress { host, https, front };
            asked
                .elsewhere(entry_points, |name| name == "gw.test")
                .origin("portal.test")
                .to_string()
        };
        let listener = |https_port| EntryPoints { public: None, https_port };
        let public =
            EntryPoints { public: WebOrigin::parse("https://x.test:444"), https_port: None };
        assert_eq!(to("gw.test:1", true, None, &public), "https://portal.test:444");
        let https = listener(Some(8443));
        // The port in `Host` is the client's word.
        assert_eq!(to("gw.test:9", true, None, &https), "https://portal.test:8443");
        assert_eq!(to("gw.test:8080", false, None, &https), "https://portal.test:8443");
        assert_eq!(to("gw.test", true, None, &listener(Some(443))), "https://portal.test");
        let said = front(Some("gw.test:444"), None);
        assert_eq!(to("gw.test", true, Some(&said), &https), "https://portal.test:444");
        assert_eq!(to("gw.test", true, Some(&front(None, None)), &https), "https://portal.test");
        assert_eq!(to("localhost:8080", false, None, &listener(None)), "http://portal.test:8080");
        assert_eq!(to("gw.test:8080", false, None, &listener(None)), "https://portal.test");
    }

    #[test]
    fn behind_a_front_its_words_count() {
        let entry_points = EntryPoints { public: None, https_port: Some(8443) };
        let of = |host, said: &Front<'_>| origins(host, true, Some(said), &entry_points);
        let both = |origin: &str| [origin.to_owned(), origin.to_owned()];
        assert_eq!(of("gw.test", &front(None, None)), both("https://gw.test"));
        assert_eq!(of("gw.test", &front(None, Some(444))), both("https://gw.test:444"));
        assert_eq!(of("gw.test:444", &front(None, None)), both("https://gw.test:444"));
        assert_eq!(
            of("gw.test:8443", &front(Some("other.test"), None)),
            both("https://other.test")
        );
        assert_eq!(
            of("gw.test", &front(Some("gw.test:444"), Some(9))),
            both("https://gw.test:444")
        );
        assert_eq!(of("gw.test", &front(Some("evil.example"), None)), both("https://gw.test"));
        assert_eq!(of("gw.test", &front(Some("a/b"), Some(443))), both("https://gw.test"));
        // By `Host` the browser tells its own port; links go by the front.
        let mapped = of("gw.test:8080", &front(None, Some(443)));
        assert_eq!(mapped, ["https://gw.test:8080", "https://gw.test"]);
        let plain = Front { scheme: true, host: None, port: Some(80) };
        assert_eq!(
            origins("gw.test", false, Some(&plain), &entry_points),
            ["http://gw.test", "https://gw.test"]
        );
    }
}
