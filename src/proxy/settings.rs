//! What the proxy needs to be told: validated values, no text left to parse.

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

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// TLS with HTTP/1.1 and HTTP/2 by ALPN.
    Https,
    /// Plain HTTP/1.1, behind a TLS-ending balancer or on loopback.
    Http,
    /// 308 to https for GET and HEAD; anything else is refused.
    Redirect,
}

/// One listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// What is spoken there.
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

/// Who is believed and how much is borne.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSettings {
    /// Whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Open connections over all listeners; by default what the descriptor limit allows.
    pub max_connections: Option<usize>,
    /// Open connections from one address; trusted proxies are not counted.
    pub connections_per_address: usize,
    /// Requests in hand from one address; of those without a session, half as many.
    pub requests_per_address: usize,
    /// How long a client may pause while it sends a body.
    pub body_idle: BodyIdle,
}

/// The longest pause between two reads of a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyIdle {
    /// On public paths.
    pub strangers: Duration,
    /// Of people who are signed in, and of tokens.
    pub signed_in: Duration,
}

impl BodyIdle {
    /// The pause that is allowed where this `admission` was given.
    pub(super) fn of(self, admission: Option<&Admission>) -> Duration {
        match admission.map(Admission::visitor) {
            None | Some(Visitor::Anonymous) => self.strangers,
            Some(_) => self.signed_in,
        }
    }

    /// How long nothing may come from client and app, where a pause of the one cannot be told from
    /// one of the other: strangers get no more time for it, and who is signed in what the app has.
    pub(super) fn silence(self, admission: Option<&Admission>) -> Duration {
        match admission.map(Admission::visitor) {
            None | Some(Visitor::Anonymous) => self.strangers,
            Some(_) => Duration::MAX,
        }
    }
}

/// One address of the app behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamAddress {
    /// Whether TLS is spoken to it.
    pub tls: bool,
    /// Host name or IP address; never empty, also what its certificate must name where the app has
    /// no name of its own.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// The name that an app has for itself, where it is addressed by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamName {
    /// Host name or IP address as it stands in a URL, in lower case; what its certificate must name.
    pub name: String,
    /// The port, where it is not the scheme's own.
    pub port: Option<u16>,
    /// Whether its addresses speak TLS.
    pub tls: bool,
}

impl UpstreamName {
    /// The name as a certificate has it: an IPv6 address without its brackets.
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

/// How the app behind is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// Its addresses; requests are spread over those that are healthy.
    pub addresses: Vec<UpstreamAddress>,
    /// The name that it is addressed by, in place of the one that the browser asked for.
    pub name: Option<UpstreamName>,
    /// The CA that signed its certificates, in place of the system's (PEM file).
    pub ca: Option<PathBuf>,
    /// What we show it as client certificate.
    pub client_certificate: Option<CertificateFiles>,
    /// Whether HTTP/2 is spoken to it (needed for gRPC).
    pub http2: bool,
    /// For a connection to be made.
    pub connect_timeout: Duration,
    /// Between two reads of a response. There is no limit in all.
    pub read_timeout: Duration,
    /// How long a connection without a request is kept.
    pub idle: Duration,
    /// Whether a request that was not answered may be sent again, whatever its method.
    pub retry_unanswered: bool,
}

impl UpstreamSettings {
    /// The name that the certificate at `address` must have.
    pub(super) fn certified<'a>(&'a self, address: &'a UpstreamAddress) -> &'a str {
        self.name.as_ref().map_or(&address.host, UpstreamName::certified)
    }
}

/// An app to be protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppSettings {
    /// Its name in logs, metrics and sessions.
    pub name: String,
    /// Its name on our pages and in authenticator apps.
    pub title: String,
    /// The hosts it answers to.
    pub hosts: Vec<HostPattern>,
    /// How it is reached.
    pub upstream: UpstreamSettings,
    /// Requests that it is sent at once; by default what the descriptor limit allows.
    pub max_requests: Option<usize>,
    /// Whether WebSocket handshakes are passed on.
    pub websocket: bool,
    /// Whether its service workers may have a scope that covers our pages.
    pub service_workers: bool,
    /// Headers that are never taken from its clients, beside the built-in list.
    pub strip_headers: Vec<HeaderName>,
    /// Methods beyond GET HEAD POST PUT PATCH DELETE OPTIONS.
    pub extra_methods: Vec<Method>,
    /// How it is signed in to by its own clients.
    pub dialect: Option<Arc<Dialect>>,
    /// How its people are taken up, where it checks the first factor itself.
    pub first_factor: Option<AppPolicy>,
    /// Its long-lived tokens that are let through.
    pub tokens: Vec<TokenRule>,
    /// Its rules.
    pub policy: Policy,
    /// How its clients are answered.
    pub answers: AnswerSettings,
}

impl AppSettings {
    /// Whether the app takes `method`.
    pub fn takes(&self, method: &Method) -> bool {
        takes(&self.extra_methods, method)
    }
}

/// Whether an app with these methods beside the common ones takes `method`.
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
    /// The app that answers to `host`, which is in lower case and without port: one that names it
    /// before one that any label will do for.
    pub fn app_of(&self, host: &str) -> Option<&AppSettings> {
        let named = |app: &&AppSettings| {
            app.hosts.iter().any(|h| matches!(h, HostPattern::Exact(name) if name == host))
        };
        let matching = |app: &&AppSettings| app.hosts.iter().any(|h| h.matches(host));
        self.apps.iter().find(named).or_else(|| self.apps.iter().find(matching))
    }
}

/// All the proxy needs to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxySettings {
    /// Where it listens.
    pub listeners: Vec<ListenerSettings>,
    /// Its certificates, chosen by SNI.
    pub certificates: Vec<CertificateFiles>,
    /// Who is believed and how much is borne.
    pub network: NetworkSettings,
    /// Where people find the gateway, where that is set.
    pub public: Option<WebOrigin>,
    /// The apps behind.
    pub apps: Vec<AppSettings>,
    /// Worker threads.
    pub workers: usize,
    /// How long requests in flight may take to finish on SIGTERM.
    pub drain: Duration,
}
