//! The addresses of an app: resolves, checks and selects them.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use pingora_core::protocols::TcpKeepalive;
use pingora_core::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora_core::upstreams::peer::{ALPN, H1UpgradePolicy, HttpPeer};
use pingora_core::utils::tls::{CertKey, WrappedX509};
use pingora_error::{Error, ErrorType, OrErr};
use pingora_load_balancing::discovery::ServiceDiscovery;
use pingora_load_balancing::health_check::TcpHealthCheck;
use pingora_load_balancing::selection::RoundRobin;
use pingora_load_balancing::{Backend, Backends, LoadBalancer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::proxy::settings::{AppSettings, UpstreamAddress, UpstreamSettings};

/// Interval between two health checks of an address.
const HEALTH_EVERY: Duration = Duration::from_secs(5);
/// Number of health checks between two name resolutions.
const RESOLVE_EVERY: u32 = 6;
/// Keepalive that detects a dead connection to the app while it is in use.
const KEEP_ALIVE: TcpKeepalive = TcpKeepalive {
    idle: Duration::from_secs(30),
    interval: Duration::from_secs(10),
    count: 3,
    // The system's default: `read_timeout` limits writes.
    user_timeout: Duration::ZERO,
};

/// An upstream that cannot be used as configured.
#[derive(Debug, thiserror::Error)]
#[error("the upstream of app {app} cannot be used: {reason}")]
pub struct BadUpstream {
    app: String,
    reason: String,
}

impl BadUpstream {
    pub(in crate::proxy) fn new(app: &str, reason: String) -> Self {
        Self { app: app.to_owned(), reason }
    }
}

/// Resolves the configured names.
struct Names(Vec<UpstreamAddress>);

#[async_trait]
impl ServiceDiscovery for Names {
    async fn discover(&self) -> pingora_error::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let mut found = BTreeSet::new();
        for address in &self.0 {
            match tokio::net::lookup_host((address.host.as_str(), address.port)).await {
                Ok(resolved) => {
                    for socket in resolved {
                        let mut backend = Backend::new(&socket.to_string())?;
                        backend.ext.insert(Arc::new(address.clone()));
                        found.insert(backend);
                    }
                }
                Err(error) => {
                    tracing::warn!(host = %address.host, %error, "upstream name does not resolve");
                }
            }
        }
        if found.is_empty() {
            return Error::e_explain(ErrorType::ConnectNoRoute, "no upstream name resolves");
        }
        Ok((found, HashMap::new()))
    }
}

/// The addresses of an app, with the settings for connecting to it.
pub(in crate::proxy) struct Upstream {
    balancer: LoadBalancer<RoundRobin>,
    /// The address, if there is only one: selection is skipped.
    only: ArcSwapOption<Backend>,
    settings: UpstreamSettings,
    websocket: bool,
    ca: Option<Arc<[WrappedX509]>>,
    client: Option<Arc<CertKey>>,
    /// Separates the connection pools of two apps: Pingora's pool ignores the CA.
    group: u64,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn pem_chain(path: &std::path::Path) -> Result<Vec<Vec<u8>>, String> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map(|chain| chain.iter().map(|c| c.as_ref().to_vec()).collect())
        .map_err(|e| format!("{}: {e}", path.display()))
}

fn read_ca(path: &std::path::Path) -> Result<Arc<[WrappedX509]>, String> {
    let parsed: Vec<WrappedX509> = pem_chain(path)?
        .into_iter()
        .map(|der| {
            x509_parser::parse_x509_certificate(&der)
                .map_err(|e| format!("{}: {e}", path.display()))?;
            Ok(WrappedX509::new(der, parse_certificate))
        })
        .collect::<Result<_, String>>()?;
    if parsed.is_empty() {
        return Err(format!("{} contains no certificate", path.display()));
    }
    Ok(parsed.into())
}

#[expect(clippy::ptr_arg, reason = "Pingora takes a function of this very type")]
fn parse_certificate(der: &Vec<u8>) -> x509_parser::certificate::X509Certificate<'_> {
    #[expect(clippy::expect_used, reason = "the only caller has parsed the same bytes just before")]
    x509_parser::parse_x509_certificate(der).map(|(_, c)| c).expect("parsed before")
}

impl Upstream {
    /// Loads the certificates; [`Self::update`] resolves the names.
    pub(in crate::proxy) fn new(app: &AppSettings) -> Result<Self, BadUpstream> {
        let bad = |reason| BadUpstream { app: app.name.clone(), reason };
        let settings = app.upstream.clone();
        let ca = settings.ca.as_deref().map(read_ca).transpose().map_err(bad)?;
        let client = settings
            .client_certificate
            .as_ref()
            .map(|files| -> Result<_, String> {
                let key = PrivateKeyDer::from_pem_file(&files.key)
                    .map_err(|e| format!("{}: {e}", files.key.display()))?;
                let readable = fs::metadata(&files.cert).map_err(|e| e.to_string())?;
                debug_assert!(readable.is_file());
                let key = key.secret_der().to_vec();
                Ok(Arc::new(CertKey::new(pem_chain(&files.cert)?, key)))
            })
            .transpose()
            .map_err(bad)?;
        let mut backends = Backends::new(Box::new(Names(settings.addresses.clone())));
        backends.set_health_check(TcpHealthCheck::new());
        let mut hasher = DefaultHasher::new();
        app.name.hash(&mut hasher);
        Ok(Self {
            balancer: LoadBalancer::from_backends(backends),
            only: ArcSwapOption::const_empty(),
            settings,
            websocket: app.websocket,
            ca,
            client,
            group: hasher.finish(),
        })
    }

    /// Resolves the names.
    pub(in crate::proxy) async fn update(&self) {
        if let Err(error) = self.balancer.update().await {
            tracing::warn!(%error, "failed to resolve upstreams");
        }
        let known = self.balancer.backends().get_backend();
        let only = known.first().filter(|_| known.len() == 1);
        self.only.store(only.cloned().map(Arc::new));
    }

    /// Checks the addresses forever.
    pub(in crate::proxy) async fn watch(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(HEALTH_EVERY);
        let mut round = 0_u32;
        loop {
            ticks.tick().await;
            if round.is_multiple_of(RESOLVE_EVERY) {
                self.update().await;
            }
            round = round.wrapping_add(1);
            // A single address needs no check: there is nothing to select.
            if self.balancer.backends().get_backend().len() > 1 {
                self.balancer.backends().run_health_check(true).await;
            }
        }
    }

    /// Returns the maximum silence of the app.
    pub(in crate::proxy) fn read_timeout(&self) -> Duration {
        self.settings.read_timeout
    }

    /// Returns true if any unanswered request may be retried, whatever its method.
    pub(in crate::proxy) fn retries_unanswered(&self) -> bool {
        self.settings.retry_unanswered
    }

    /// Sets the read and write timeouts. A client connection that `watches` over the app takes over
    /// once its body has been sent; the app has nothing to say before that. Over HTTP/2 Pingora
    /// would count from the first byte of a body to the response, however steadily the body flows.
    /// Otherwise client and app together may be silent for `silence`.
    pub(in crate::proxy) fn set_timeouts(
        &self,
        peer: &mut HttpPeer,
        watches: bool,
        has_body: bool,
        silence: Duration,
    ) {
        let steady = (watches || self.settings.http2) && has_body;
        peer.options.read_timeout = (!steady).then_some(silence);
        peer.options.write_timeout = Some(self.settings.read_timeout);
    }

    /// Returns the next healthy address that is not in `failed`.
    pub(in crate::proxy) fn choose(&self, failed: &[PeerAddr]) -> Option<Box<HttpPeer>> {
        if let Some(only) = &*self.only.load() {
            return if failed.contains(&only.addr) { None } else { self.peer(only) };
        }
        let backend = self
            .balancer
            .select_with(b"", 64, |b, healthy| healthy && !failed.contains(&b.addr))?;
        self.peer(&backend)
    }

    fn peer(&self, backend: &Backend) -> Option<Box<HttpPeer>> {
        let address = backend.ext.get::<Arc<UpstreamAddress>>()?;
        let socket = *backend.addr.as_inet()?;
        // With TLS, an empty SNI would disable certificate checks: the host is never empty.
        let sni =
            if address.tls { self.settings.certified(address).to_owned() } else { String::new() };
        let mut peer = HttpPeer::new(socket, address.tls, sni);
        peer.group_key = self.group;
        peer.client_cert_key.clone_from(&self.client);
        peer.options.ca.clone_from(&self.ca);
        peer.options.connection_timeout = Some(self.settings.connect_timeout);
        peer.options.total_connection_timeout = Some(self.settings.connect_timeout);
        peer.options.idle_timeout = Some(self.settings.idle);
        // The kernel detects a dead peer of a kept connection.
        peer.options.tcp_keepalive = Some(KEEP_ALIVE);
        peer.options.http_upstream_request_policy.h1_upgrade =
            if self.websocket { H1UpgradePolicy::WebSocketOnly } else { H1UpgradePolicy::Deny };
        if self.settings.http2 {
            peer.options.alpn = ALPN::H2;
        }
        Some(Box::new(peer))
    }
}

/// Converts an error into an internal error of Pingora.
pub(in crate::proxy) fn or_internal<T, E: std::error::Error + Send + Sync + 'static>(
    result: Result<T, E>,
    context: &'static str,
) -> pingora_error::Result<T> {
    result.or_err(ErrorType::InternalError, context)
}
