//! The settings of the proxy: validated values.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};
use ipnet::IpNet;

pub use super::respond::answers::{AnswerSettings, Preflight};
pub use super::rewrite::hygiene::stripped;
use crate::auth::app_sign_in::AppPolicy;
use crate::gate::admission::{Admission, Visitor};
use crate::gate::dialect::Dialect;
pub use crate::gate::host::HostPattern;
use crate::gate::machine::TokenRule;
use crate::gate::policy::Policy;
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
    pub(super) fn of(self, admission: Option<&Admission>) -> Duration {
        match admission.map(Admission::visitor) {
            None | Some(Visitor::Anonymous) => self.strangers,
            Some(_) => self.signed_in,
        }
    }

    /// Returns the maximum silence of client and app together, if their pauses cannot be told
    /// apart. Strangers get no more than their own limit; for others only the app's applies.
    pub(super) fn silence(self, admission: Option<&Admission>) -> Duration {
        match admission.map(Admission::visitor) {
            None | Some(Visitor::Anonymous) => self.strangers,
            Some(_) => Duration::MAX,
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
    /// Maximum idle time of a kept connection.
    pub idle: Duration,
    /// True if any unanswered request may be retried, not only an idempotent one.
    pub retry_unanswered: bool,
}

impl UpstreamSettings {
    /// Returns the name that the certificate at `address` must have.
    pub(super) fn certified<'a>(&'a self, address: &'a UpstreamAddress) -> &'a str {
        self.name.as_ref().map_or(&address.host, UpstreamName::certified)
    }
}

/// A protected app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSettings {
    /// The name in logs, metrics and sessions.
    pub name: String,
    /// The name on our own pages and in authenticator apps.
    pub title: String,
    /// The hosts of the app.
    pub hosts: Vec<HostPattern>,
    /// The connection to the app.
    pub upstream: UpstreamSettings,
    /// Maximum of concurrent requests to the app; by default from the descriptor limit.
    pub max_requests: Option<usize>,
    /// True if WebSocket handshakes are forwarded.
    pub websocket: bool,
    /// True if the app's service workers may cover our own pages.
    pub service_workers: bool,
    /// Headers that clients may not send to the app, in addition to the built-in list.
    pub strip_headers: Vec<HeaderName>,
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
}

impl AppSettings {
    /// Returns true if the app accepts `method`.
    pub fn takes(&self, method: &Method) -> bool {
        takes(&self.extra_methods, method)
    }
}

/// Returns true if an app with these `extra` methods accepts `method`.
pub(super) fn takes(extra: &[Method], method: &Method) -> bool {
    let common = matches!(
        *method,
        Method::GET
            | Method::HEAD
            | Method::POST
            | Method::PUT
            | Method::PATCH
            | Method::DELETE
            | Method::OPTIONS
    );
    common || extra.contains(method)
}

impl ProxySettings {
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
    /// The apps.
    pub apps: Vec<AppSettings>,
    /// Worker threads.
    pub workers: usize,
    /// Maximum time for requests in flight to finish on SIGTERM.
    pub drain: Duration,
}
