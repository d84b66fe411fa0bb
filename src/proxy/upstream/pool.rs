//! The addresses of an app: resolves, checks and selects them.

use std::fmt;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use parking_lot::Mutex;
use pingora_core::protocols::TcpKeepalive;
use pingora_core::upstreams::peer::{ALPN, H1UpgradePolicy, HttpPeer};
use pingora_core::utils::tls::{CertKey, WrappedX509};
use pingora_error::{ErrorType, OrErr};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::balance::{Ask, Targets};
use super::checks;
use super::names::{self, Unresolved};
use super::sent::Sent;
use super::target::{Checked, Target};
use crate::proxy::settings::{AppSettings, HealthSettings, HostPattern, UpstreamSettings};

/// Longest interval of the watch over the addresses. Those out of service are checked each time.
const TICK: Duration = Duration::from_secs(1);
/// Time between two name resolutions, while all names resolve and while one does not.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);
const RESOLVE_AGAIN: Duration = Duration::from_secs(3);
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

/// The addresses of an app, with the settings for connecting to it.
pub(in crate::proxy) struct Upstream {
    app: String,
    targets: ArcSwap<Targets>,
    turn: AtomicUsize,
    unresolved: Mutex<Unresolved>,
    /// The value of `Host` in checks.
    host: String,
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
    /// Loads the certificates; [`Self::update`] resolves the names. The addresses of the `former`
    /// upstream of the app stay until then, and the states of those that remain are kept.
    pub(in crate::proxy) fn new(
        app: &AppSettings,
        former: Option<&Self>,
    ) -> Result<Self, BadUpstream> {
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
        let targets = former.map_or_else(Arc::default, |former| former.targets.load_full());
        let exact = app.hosts.iter().find_map(|host| match host {
            HostPattern::Exact(name) => Some(name.clone()),
            HostPattern::Wildcard(_) => None,
        });
        let own = settings.name.as_ref().map(ToString::to_string);
        let first = settings.addresses.first().map(|address| address.host.clone());
        let mut hasher = DefaultHasher::new();
        app.name.hash(&mut hasher);
        Ok(Self {
            app: app.name.clone(),
            targets: ArcSwap::new(targets),
            turn: AtomicUsize::new(0),
            unresolved: Mutex::default(),
            host: own.or(exact).or(first).unwrap_or_default(),
            settings,
            websocket: app.websocket,
            ca,
            client,
            group: hasher.finish(),
        })
    }

    /// Resolves the names. A name that does not resolve keeps its former addresses. If no configured
    /// name ever resolved, all former addresses stay.
    pub(in crate::proxy) async fn update(&self) {
        let mut unresolved = std::mem::take(&mut *self.unresolved.lock());
        let resolved = names::resolve(&self.app, &self.settings.addresses, &mut unresolved).await;
        *self.unresolved.lock() = unresolved;
        let former = self.targets.load_full();
        let mut targets: Vec<Arc<Target>> = Vec::new();
        let mut weights = Vec::new();
        for (address, sockets) in resolved {
            let known = former.iter().filter(|one| one.address.is_same(&address));
            let known: Vec<Arc<Target>> = known.cloned().collect();
            let found = match sockets {
                None => known,
                Some(sockets) => {
                    let target = |socket| {
                        let same = known.iter().find(|one| one.socket == socket).cloned();
                        same.unwrap_or_else(|| {
                            Arc::new(Target::new(&self.app, address.clone(), socket))
                        })
                    };
                    sockets.into_iter().map(target).collect()
                }
            };
            for target in found {
                if !targets.iter().any(|other| other.socket == target.socket) {
                    targets.push(target);
                    weights.push(address.weight);
                }
            }
        }
        if targets.is_empty() {
            if former.len() > 0 {
                tracing::error!(app = self.app, "no upstream name resolves, keeping all addresses");
            }
            return;
        }
        self.targets.store(Arc::new(Targets::new(targets, &weights)));
    }

    /// Checks the addresses forever. Those out of service are checked at each tick.
    pub(in crate::proxy) async fn watch(self: Arc<Self>) {
        let every = self.settings.health.interval;
        let mut ticks = tokio::time::interval(TICK.min(every));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut resolved = tokio::time::Instant::now();
        let mut due = resolved;
        loop {
            let now = ticks.tick().await;
            let wait = if self.unresolved.lock().any() { RESOLVE_AGAIN } else { RESOLVE_EVERY };
            if now.saturating_duration_since(resolved) >= wait {
                self.update().await;
                resolved = now;
            }
            let all = now >= due;
            if all {
                due = now + every;
            }
            let targets = self.targets.load_full();
            // Without a path, a single address in service needs no check: there is no alternative.
            let quiet = self.settings.health.path.is_none() && targets.len() == 1;
            let checked = targets.iter().filter(|one| !one.is_up() || all && !quiet);
            join_all(checked.map(|target| self.check(target))).await;
        }
    }

    async fn check(&self, target: &Target) {
        let result = self.probe(target).await;
        target.was_checked(result, &self.settings.health);
    }

    async fn probe(&self, target: &Target) -> Checked {
        let health = &self.settings.health;
        match &health.path {
            None => checks::connect(target, health).await,
            Some(path) => checks::request(&self.peer(target), (&self.host, path), health).await,
        }
    }

    /// Checks each address once by the path of the checks, if there is one. Returns a sentence for
    /// each failure.
    pub(super) async fn try_checks(&self) -> Vec<String> {
        let Some(path) = &self.settings.health.path else { return Vec::new() };
        self.update().await;
        let mut problems = Vec::new();
        for target in self.targets.load_full().iter() {
            if let Checked::Fails(_, reason) = self.probe(target).await {
                let (app, socket) = (&self.app, target.socket);
                problems.push(format!("app {app}: upstream {socket}: GET {path}: {reason}"));
            }
        }
        problems
    }

    /// Returns the addresses in use.
    pub(in crate::proxy) fn targets(&self) -> Vec<Arc<Target>> {
        self.targets.load().iter().cloned().collect()
    }

    /// Returns the settings of the checks.
    pub(in crate::proxy) fn health(&self) -> &HealthSettings {
        &self.settings.health
    }

    /// Returns true if the requests of a session stay with one address.
    pub(in crate::proxy) fn is_sticky(&self) -> bool {
        self.settings.sticky
    }

    /// Returns true if several addresses are known and none answers.
    pub(in crate::proxy) fn all_out(&self) -> bool {
        self.targets.load().all_out()
    }

    /// Returns true if an address in service is not among the `failed` ones.
    pub(in crate::proxy) fn has_other(&self, failed: &[SocketAddr]) -> bool {
        self.targets.load().has_other(failed)
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

    /// Selects an address for a request.
    pub(in crate::proxy) fn choose(&self, ask: &Ask<'_>) -> Option<(Box<HttpPeer>, Sent)> {
        let selected = self.targets.load().select(ask, &self.turn)?;
        let peer = self.peer(&selected.target);
        Some((peer, Sent::new(selected)))
    }

    fn peer(&self, target: &Target) -> Box<HttpPeer> {
        let (address, socket) = (&target.address, target.socket);
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
        Box::new(peer)
    }
}

/// Converts an error into an internal error of Pingora.
pub(in crate::proxy) fn or_internal<T, E: std::error::Error + Send + Sync + 'static>(
    result: Result<T, E>,
    context: &'static str,
) -> pingora_error::Result<T> {
    result.or_err(ErrorType::InternalError, context)
}
