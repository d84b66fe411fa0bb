//! The proxy: binds, runs and drains.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use h2::server::Builder as H2Options;
use pingora_core::apps::{HttpServerApp, HttpServerOptions};
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::HttpProxy;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::admit::front::EntryPoints;
use super::app::{Apps, CurrentApps};
use super::client::capacity::Capacity;
use super::client::doubts::Doubts;
use super::client::linger::Lingering;
use super::client::listen::{Acceptor, bind};
use super::client::load::Loads;
use super::client::open::Open;
use super::client::tls::{BadCertificate, Certificates};
use super::dialect::app_call::AppCalls;
use super::gateway::Gateway;
use super::request_ids::RequestIds;
use super::settings::{ListenerKind, ListenerSettings, ProxySettings};
use super::upstream::pool::BadUpstream;
use super::upstream::spent::Spent;
use crate::auth::keys::KeyRing;
use crate::auth::login::LoginService;
use crate::base::clock::Clock;
use crate::base::random::{Random, RandomError};
use crate::gate::app_tokens::BoundTokens;
use crate::gate::keeper::RefusalKeeper;
use crate::gate::logins::CachedLogins;
use crate::gate::machine::Machines;
use crate::gate::sessions::CachedSessions;

/// Time for clients to see that a kept connection is about to close.
const GOODBYE: Duration = Duration::from_millis(500);
/// Maximum idle time of an HTTP/2 connection without streams.
const H2_IDLE: Duration = Duration::from_mins(2);

/// Bytes of a response that one stream buffers for a slow client.
const H2_SEND_BUFFER: usize = 64 * 1024;

/// The dependencies of the proxy.
pub struct ProxyDeps {
    /// Our own pages.
    pub pages: Router,
    /// Sessions.
    pub sessions: Arc<CachedSessions>,
    /// Pending logins.
    pub logins: Arc<CachedLogins>,
    /// Sign-in, for apps with sign-ins by their own clients.
    pub login: Arc<LoginService>,
    /// App tokens and the sessions they are bound to.
    pub bound: Arc<BoundTokens>,
    /// The users of long-lived tokens.
    pub machines: Arc<Machines>,
    /// The calls to apps.
    pub calls: Arc<AppCalls>,
    /// The recorder of rejections.
    pub refusals: RefusalKeeper,
    /// The key ring, for reading cookies.
    pub keys: Arc<KeyRing>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The random generator.
    pub random: Arc<dyn Random>,
    /// The issuer in authenticator apps, in place of the app's title.
    pub issuer: Option<String>,
    /// The descriptor limit of the process.
    pub descriptors: usize,
}

impl fmt::Debug for ProxyDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyDeps")
    }
}

/// The reason why the proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// A listener failed to bind.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
    /// A certificate is unusable.
    #[error(transparent)]
    Certificate(#[from] BadCertificate),
    /// An upstream is unusable.
    #[error(transparent)]
    Upstream(#[from] BadUpstream),
    /// TLS failed to initialize.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The random generator failed.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// The proxy, bound and ready to accept.
pub struct Proxy {
    acceptor: Acceptor,
    listeners: Vec<(TcpListener, ListenerKind)>,
    apps: Arc<CurrentApps>,
    capacity: Capacity,
    calls: Arc<AppCalls>,
    certificates: Option<Arc<Certificates>>,
    draining: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    drain: Duration,
    tasks: JoinSet<()>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

/// Replaces the apps, with their hosts, rules and upstreams, and the certificates.
#[derive(Clone)]
pub struct ReloadHandle {
    apps: Arc<CurrentApps>,
    capacity: Capacity,
    calls: Arc<AppCalls>,
    certificates: Option<Arc<Certificates>>,
    https_port: Option<u16>,
}

impl fmt::Debug for ReloadHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReloadHandle")
    }
}

impl ReloadHandle {
    /// Serves these apps from the next request on, and shows these certificates from the next
    /// connection on. On failure nothing changes.
    pub async fn replace(
        &self,
        settings: &ProxySettings,
        issuer: Option<&str>,
    ) -> Result<(), ProxyError> {
        let entry_points =
            EntryPoints { public: settings.public.clone(), https_port: self.https_port };
        let former = Arc::clone(&self.apps.load());
        let apps =
            Apps::open(&settings.apps, issuer, entry_points, self.capacity, Some(&former)).await?;
        self.capacity.compare(&settings.apps);
        let certificates = self.certificates.as_ref();
        let certificates =
            certificates.map(|shown| shown.replacement(&settings.certificates)).transpose()?;
        self.calls.replace(&settings.apps)?;
        self.apps.replace(apps);
        if let Some(put_in_force) = certificates {
            put_in_force();
        }
        Ok(())
    }
}

fn h2_options() -> H2Options {
    let mut options = H2Options::new();
    options
        .max_concurrent_streams(100)
        .max_header_list_size(32 * 1024)
        .max_frame_size(64 * 1024)
        .initial_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_send_buffer_size(H2_SEND_BUFFER);
    options
}

fn bind_all(settings: &[ListenerSettings]) -> Result<Vec<(TcpListener, ListenerKind)>, ProxyError> {
    let bound = settings.iter().map(|one| {
        let failed = |error| ProxyError::Listen { address: one.address, error };
        Ok((bind(*one).map_err(failed)?, one.kind))
    });
    bound.collect()
}

/// Returns the port of the first HTTPS listener.
fn https_port(listeners: &[(TcpListener, ListenerKind)]) -> Option<u16> {
    let mut https = listeners.iter().filter(|(_, kind)| *kind == ListenerKind::Https);
    https.find_map(|(listener, _)| Some(listener.local_addr().ok()?.port()))
}

/// Loads the certificates if an HTTPS listener needs them.
fn certificates(settings: &ProxySettings) -> Result<Option<Arc<Certificates>>, BadCertificate> {
    let wanted = settings.listeners.iter().any(|l| l.kind == ListenerKind::Https);
    wanted.then(|| Certificates::load(&settings.certificates)).transpose()
}

fn watch_all(certificates: Option<&Arc<Certificates>>, tasks: &mut JoinSet<()>) {
    if let Some(shown) = certificates {
        tasks.spawn(Arc::clone(shown).watch());
    }
}

impl Proxy {
    /// Loads certificates, resolves upstreams and binds all listeners.
    pub async fn bind(settings: ProxySettings, deps: ProxyDeps) -> Result<Self, ProxyError> {
        // Pingora's timers read the clock on every use and wake a thread every 10 ms. Tokio's
        // timers are cheaper if each request waits for one.
        pingora_timeout::fast_timeout::set_fast_timeout_to_tokio_threshold(Some(Duration::ZERO));
        let listeners = bind_all(&settings.listeners)?;
        let entry_points =
            EntryPoints { public: settings.public.clone(), https_port: https_port(&listeners) };
        let capacity = Capacity::of(deps.descriptors, &settings);
        let issuer = deps.issuer.as_deref();
        let apps = Apps::open(&settings.apps, issuer, entry_points, capacity, None).await?;
        let apps = Arc::new(CurrentApps::new(apps));
        let mut tasks = JoinSet::new();
        let certificates = certificates(&settings)?;
        let tls = certificates.as_ref().map(Certificates::server_config).transpose()?;
        watch_all(certificates.as_ref(), &mut tasks);
        let draining = Arc::default();
        let gateway = Gateway {
            apps: Arc::clone(&apps),
            pages: deps.pages,
            sessions: deps.sessions,
            logins: deps.logins,
            login: deps.login,
            bound: deps.bound,
            machines: deps.machines,
            calls: Arc::clone(&deps.calls),
            refusals: deps.refusals,
            keys: deps.keys,
            clock: deps.clock,
            ids: RequestIds::new(&*deps.random)?,
            loads: Loads::new(settings.network.requests_per_address),
            trusted: settings.network.trusted_proxies.clone(),
            doubts: Doubts::default(),
            draining: Arc::clone(&draining),
            lingering: Lingering::new(settings.network.trusted_proxies.clone()),
            body_idle: settings.network.body_idle,
            spent: Spent::default(),
        };
        let (stop, stopping) = watch::channel(false);
        let acceptor = Acceptor {
            lingering: Arc::clone(&gateway.lingering),
            clock: Arc::clone(&gateway.clock),
            loads: Arc::clone(&gateway.loads),
            open: Open::new(capacity, settings.network.connections_per_address),
            proxy: Arc::new(http_proxy(gateway, &settings, capacity)),
            tls: tls.map(TlsAcceptor::from),
            network: Arc::new(settings.network),
            stopping,
            draining: Arc::clone(&draining),
        };
        Ok(Self {
            acceptor,
            listeners,
            apps,
            capacity,
            calls: deps.calls,
            certificates,
            draining,
            stop,
            drain: settings.drain,
            tasks,
        })
    }

    /// Returns the addresses of the listeners, with their kinds.
    pub fn addresses(&self) -> Vec<(SocketAddr, ListenerKind)> {
        let address = |(l, kind): &(TcpListener, ListenerKind)| Some((l.local_addr().ok()?, *kind));
        self.listeners.iter().filter_map(address).collect()
    }

    /// Returns a handle that replaces apps and certificates while the proxy runs.
    pub fn reload_handle(&self) -> ReloadHandle {
        ReloadHandle {
            apps: Arc::clone(&self.apps),
            capacity: self.capacity,
            calls: Arc::clone(&self.calls),
            certificates: self.certificates.clone(),
            https_port: https_port(&self.listeners),
        }
    }

    /// Returns a flag that is true once draining has begun.
    pub fn draining(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.draining)
    }

    /// Serves until `shutdown` resolves, then drains: accepts no new connections, lets requests in
    /// flight finish, and asks clients to close kept connections.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { acceptor, listeners, draining, stop, drain, mut tasks, .. } = self;
        let stop_accepting = Arc::new(Notify::new());
        let mut accepting = JoinSet::new();
        for (listener, kind) in listeners {
            let (acceptor, stop) = (acceptor.clone(), Arc::clone(&stop_accepting));
            accepting.spawn(acceptor.accept_all(listener, kind, stop));
        }
        shutdown.await;
        draining.store(true, Ordering::Release);
        stop_accepting.notify_waiters();
        while accepting.join_next().await.is_some() {}
        let goodbye = async {
            let empty = acceptor.open.empty();
            if tokio::time::timeout(GOODBYE, empty).await.is_err() {
                if stop.send(true).is_err() {
                    tracing::debug!("no connection is left to close");
                }
                acceptor.proxy.http_cleanup().await;
                acceptor.open.empty().await;
            }
        };
        if tokio::time::timeout(drain, goodbye).await.is_err() {
            tracing::warn!("drain time is over with requests still in flight");
        }
        tasks.shutdown().await;
    }
}

fn http_proxy(
    gateway: Gateway,
    settings: &ProxySettings,
    capacity: Capacity,
) -> HttpProxy<Gateway> {
    let conf = ServerConf {
        threads: settings.workers,
        max_retries: 4,
        upstream_keepalive_pool_size: capacity.idle_upstream,
        ..ServerConf::default()
    };
    let mut proxy = HttpProxy::new(gateway, Arc::new(conf));
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(H2_IDLE);
    // The gateway rejects it with its own response.
    options.allow_connect_method_proxying = true;
    proxy.server_options = Some(options);
    proxy.h2_options = Some(h2_options());
    proxy.handle_init_modules();
    proxy
}
