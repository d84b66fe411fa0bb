//! The settings of the proxy: validated values.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};
use ipnet::IpNet;

pub use super::respond::answers::{AnswerSettings, Preflight};
pub use super::rewrite::app_headers::{IdentityNames, identity_name};
pub use super::rewrite::hygiene::stripped;
use crate::auth::app_sign_in::AppPolicy;
use crate::auth::session::PORTAL;
use crate::gate::admission::{Admission, Visitor};
pub use crate::gate::assertion::AssertionSettings;
use crate::gate::dialect::Dialect;
use crate::gate::evaluate::AppRules;
use crate::gate::glob::PathGlob;
pub use crate::gate::host::HostPattern;
use crate::gate::machine::TokenRule;
use crate::gate::policy::Policy;
use crate::gate::rule::{Access, Rule};
pub use crate::web::icon::Icon;
pub use crate::web::origin::WebOrigin;

/// The protocol of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// TLS with HTTP/1.1 and HTTP/2 by ALPN.
    Https,
    /// Plain HTTP/1.1, behind a TLS terminator or on loopback.
    Http,
    /// 308 to HTTPS for GET and HEAD; anything else is rejected.
    Redirect,
}

/// One listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Its address; port 0 selects a free one.
    pub address: SocketAddr,
    /// Its protocol.
    pub kind: ListenerKind,
}

/// A certificate chain and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Trusted proxies and limits for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSettings {
    /// Networks whose forwarding headers are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// True if trusted proxies send a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Maximum of open connections over all listeners; by default from the descriptor limit.
    pub max_connections: Option<usize>,
    /// Maximum of open connections per address, except for trusted proxies.
    pub connections_per_address: usize,
    /// Maximum of concurrent requests per address; half of it without a session.
    pub requests_per_address: usize,
    /// Maximum pause of a client within a request body.
    pub body_idle: BodyIdle,
}

/// The longest pause between two reads of a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyIdle {
    /// For anonymous requests.
    pub strangers: Duration,
    /// For signed-in users and tokens.
    pub signed_in: Duration,
}

impl BodyIdle {
    /// Returns the limit for this `admission`.
    pub(super) fn of(self, admission: &Admission) -> Duration {
        match admission.visitor() {
            Visitor::Anonymous => self.strangers,
            Visitor::Password(_) | Visitor::Full(_) | Visitor::Machine(_) => self.signed_in,
        }
    }

    /// Returns the maximum silence of client and app together, where their pauses cannot be
    /// distinguished. Strangers get no more than their own limit; for others only the app's applies.
    pub(super) fn silence(self, admission: &Admission) -> Duration {
        match admission.visitor() {
            Visitor::Anonymous => self.strangers,
            Visitor::Password(_) | Visitor::Full(_) | Visitor::Machine(_) => Duration::MAX,
        }
    }
}

/// One address of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamAddress {
    /// True if the address uses TLS.
    pub tls: bool,
    /// Host name or IP address, never empty. Also the name in its certificate, unless the app has
    /// its own name.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Its share of the requests, relative to the other addresses; at least 1.
    pub weight: u32,
}

impl UpstreamAddress {
    /// Returns true if both name the same server, whatever their weights.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.tls, &self.host, self.port) == (other.tls, &other.host, other.port)
    }
}

/// The checks of an app's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    /// Target of a check by HTTP. Without one, a check opens a connection.
    pub path: Option<String>,
    /// Interval between two checks of an address in service.
    pub interval: Duration,
    /// Deadline of a check.
    pub timeout: Duration,
    /// Consecutive failures, of checks or of requests, that take an address out of service.
    pub unhealthy: u32,
    /// Consecutive successful checks that return it to service.
    pub healthy: u32,
    /// Statuses that a check by HTTP accepts; 200 to 399 if empty.
    pub statuses: Vec<u16>,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            path: None,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            unhealthy: 3,
            healthy: 2,
            statuses: Vec::new(),
        }
    }
}

/// The own host name of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamName {
    /// Host name or IP address as in a URL, in lower case. Also the name in its certificate.
    pub name: String,
    /// The port, unless it is the default one.
    pub port: Option<u16>,
    /// True if the addresses of the app use TLS.
    pub tls: bool,
}

impl UpstreamName {
    /// Returns the name as in a certificate: an IPv6 address without its brackets.
    pub(super) fn certified(&self) -> &str {
        self.name.trim_start_matches('[').trim_end_matches(']')
    }
}

impl fmt::Display for UpstreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The connection to an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// The addresses. Requests are distributed over the healthy ones.
    pub addresses: Vec<UpstreamAddress>,
    /// The name in requests to the app, in place of the public host.
    pub name: Option<UpstreamName>,
    /// The CA of its certificates, in place of the system's (PEM file).
    pub ca: Option<PathBuf>,
    /// The client certificate for the app.
    pub client_certificate: Option<CertificateFiles>,
    /// True if the app is reached over HTTP/2 (required for gRPC).
    pub http2: bool,
    /// Deadline for connecting.
    pub connect_timeout: Duration,
    /// Maximum time between two reads of a response. The total has no limit.
    pub read_timeout: Duration,
    /// Maximum time that an idle connection to the app stays in the pool.
    pub idle: Duration,
    /// True if any unanswered request may be retried, not only an idempotent one.
    pub retry_unanswered: bool,
    /// The checks of the addresses.
    pub health: HealthSettings,
    /// True if the requests of a session go to the same address while it is in service.
    pub sticky: bool,
}

impl UpstreamSettings {
    /// Returns the name that the certificate at `address` must have.
    pub(super) fn certified<'a>(&'a self, address: &'a UpstreamAddress) -> &'a str {
        self.name.as_ref().map_or(&address.host, UpstreamName::certified)
    }
}

/// The proxies that forward requests to an app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedBy {
    /// Vestibule alone.
    #[default]
    Vestibule,
    /// Vestibule, and other proxies that ask about each request (forward-auth).
    Both,
    /// Only other proxies. The app has no upstreams.
    Others,
}

impl ForwardedBy {
    /// Returns true if other proxies may ask about requests.
    pub fn includes_others(self) -> bool {
        self != Self::Vestibule
    }
}

/// A protected app.
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSettings {
    /// The name in logs, metrics and sessions.
    pub name: String,
    /// The name on our own pages and in authenticator apps.
    pub title: String,
    /// The icon on the portal's start page.
    pub icon: Option<Arc<Icon>>,
    /// The hosts of the app.
    pub hosts: Vec<HostPattern>,
    /// The proxies that forward requests to the app.
    pub forwarded_by: ForwardedBy,
    /// The connection to the app.
    pub upstream: UpstreamSettings,
    /// Maximum of concurrent requests to the app; by default from the descriptor limit.
    pub max_requests: Option<usize>,
    /// True if WebSocket handshakes are forwarded.
    pub websocket: bool,
    /// True if the app's service workers may cover our own pages.
    pub service_workers: bool,
    /// Names of the identity headers.
    pub identity_headers: IdentityNames,
    /// Assertions to the app, if it gets them.
    pub assertion: Option<AssertionSettings>,
    /// Headers that clients may not send to the app, in addition to the built-in list.
    pub strip_headers: Vec<HeaderName>,
    /// True if what is sent after a session has expired is kept.
    pub parks: bool,
    /// Paths whose requests do not keep a session alive.
    pub passive: Vec<PathGlob>,
    /// Methods beyond GET HEAD POST PUT PATCH DELETE OPTIONS.
    pub extra_methods: Vec<Method>,
    /// The sign-in by the app's own clients.
    pub dialect: Option<Arc<Dialect>>,
    /// The account policy, if the app checks passwords itself.
    pub first_factor: Option<AppPolicy>,
    /// Its accepted long-lived tokens.
    pub tokens: Vec<TokenRule>,
    /// The rules.
    pub policy: Policy,
    /// The format of responses to its clients.
    pub answers: AnswerSettings,
    /// True if its users sign in at the portal.
    pub portal: bool,
    /// Host of the RP ID of all keys, if it is one of the app's and there are related origins.
    pub related_origins_at: Option<String>,
}

/// The portal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortalSettings {
    /// Its host, in lower case.
    pub host: String,
    /// Its name on its pages and in authenticator apps.
    pub title: String,
}

impl PortalSettings {
    /// Returns the portal in the form of an app that has no upstream and whose rules deny everything.
    pub fn as_app(&self) -> AppSettings {
        let upstream = UpstreamSettings {
            addresses: Vec::new(),
            name: None,
            ca: None,
            client_certificate: None,
            http2: false,
            connect_timeout: Duration::ZERO,
            read_timeout: Duration::ZERO,
            idle: Duration::ZERO,
            retry_unanswered: false,
            health: HealthSettings::default(),
            sticky: false,
        };
        AppSettings {
            name: PORTAL.to_owned(),
            title: self.title.clone(),
            icon: None,
            hosts: vec![HostPattern::Exact(self.host.clone())],
            forwarded_by: ForwardedBy::Vestibule,
            upstream,
            max_requests: None,
            websocket: false,
            service_workers: false,
            identity_headers: IdentityNames::default(),
            assertion: None,
            strip_headers: Vec::new(),
            extra_methods: Vec::new(),
            dialect: None,
            first_factor: None,
            tokens: Vec::new(),
            policy: Policy::new(vec![Rule::new("portal", Access::Deny)]),
            answers: AnswerSettings::default(),
            passive: Vec::new(),
            parks: false,
            portal: false,
            related_origins_at: None,
        }
    }
}

impl AppSettings {
    /// Returns the settings that the gate decides by.
    pub fn rules(&self) -> AppRules<'_> {
        AppRules {
            policy: &self.policy,
            extra_methods: &self.extra_methods,
            service_workers: self.service_workers,
            dialect: self.dialect.as_deref(),
            first_factor: self.first_factor,
            related_origins_at: self.related_origins_at.as_deref(),
        }
    }
}

impl ProxySettings {
    /// Returns everything that has a host.
    pub(super) fn hosts(&self) -> (&[AppSettings], Option<&PortalSettings>) {
        (&self.apps, self.portal.as_ref())
    }

    /// Returns the app at `host`, which is in lower case and without a port. Exact names take
    /// precedence over wildcards.
    pub fn app_of(&self, host: &str) -> Option<&AppSettings> {
        let named = |app: &&AppSettings| {
            app.hosts.iter().any(|h| matches!(h, HostPattern::Exact(name) if name == host))
        };
        let matching = |app: &&AppSettings| app.hosts.iter().any(|h| h.matches(host));
        self.apps.iter().find(named).or_else(|| self.apps.iter().find(matching))
    }
}

/// The settings of the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySettings {
    /// The listeners.
    pub listeners: Vec<ListenerSettings>,
    /// The certificates, selected by SNI.
    pub certificates: Vec<CertificateFiles>,
    /// Trusted proxies and limits for clients.
    pub network: NetworkSettings,
    /// The public URL of the gateway, if configured.
    pub public: Option<WebOrigin>,
    /// The portal, if there is one.
    pub portal: Option<PortalSettings>,
    /// The apps.
    pub apps: Vec<AppSettings>,
    /// Worker threads.
    pub workers: usize,
    /// Time between SIGTERM and the beginning of the drain, in which the node still takes new work.
    pub drain_notice: Duration,
    /// Maximum time for requests in flight to finish after that.
    pub drain: Duration,
}
