//! The whole of the proxy: made ready, run, and drained.

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

use super::admit::front::Doors;
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

/// Given to clients with a kept connection to see that it will be closed, before it is.
const GOODBYE: Duration = Duration::from_millis(500);
/// An HTTP/2 connection without streams is closed after this long.
const H2_IDLE: Duration = Duration::from_mins(2);

/// What one stream holds of an answer that its client does not take yet.
const H2_SEND_BUFFER: usize = 64 * 1024;

/// What the proxy works with.
pub struct ProxyDeps {
    /// Our own pages.
    pub pages: Router,
    /// Sessions.
    pub sessions: Arc<CachedSessions>,
    /// Logins in progress.
    pub logins: Arc<CachedLogins>,
    /// Signing in, for apps that are signed in to by their own clients.
    pub login: Arc<LoginService>,
    /// The tokens of apps.
    pub bound: Arc<BoundTokens>,
    /// The people of long-lived tokens.
    pub machines: Arc<Machines>,
    /// The apps that are called.
    pub calls: Arc<AppCalls>,
    /// Where what there is to say of refusals goes.
    pub refusals: RefusalKeeper,
    /// The key ring, for reading cookies.
    pub keys: Arc<KeyRing>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub random: Arc<dyn Random>,
    /// What authenticator apps show as issuer, in place of the app's title.
    pub issuer: Option<String>,
    /// Descriptors that the process may have open.
    pub descriptors: usize,
}

impl fmt::Debug for ProxyDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyDeps")
    }
}

/// Why the proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// An address is taken or not ours.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// A certificate.
    #[error(transparent)]
    Certificate(#[from] BadCertificate),
    /// An upstream.
    #[error(transparent)]
    Upstream(#[from] BadUpstream),
    /// TLS.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// No random bytes.
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
    /// From the next request on, these apps are served, and from the next connection on these
    /// certificates are shown. When one of them cannot be used, nothing changes.
    pub async fn replace(
        &self,
        settings: &ProxySettings,
        issuer: Option<&str>,
    ) -> Result<(), ProxyError> {
        let doors = Doors { public: settings.public.clone(), https_port: self.https_port };
        let former = Arc::clone(&self.apps.load());
        let apps = Apps::open(&settings.apps, issuer, doors, self.capacity, Some(&former)).await?;
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

/// The port of the first listener that speaks https.
fn https_port(listeners: &[(TcpListener, ListenerKind)]) -> Option<u16> {
    let mut https = listeners.iter().filter(|(_, kind)| *kind == ListenerKind::Https);
    https.find_map(|(listener, _)| Some(listener.local_addr().ok()?.port()))
}

/// Loads the certificates, if a listener shows any.
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
    /// Reads certificates, resolves upstreams and binds all listeners.
    pub async fn bind(settings: ProxySettings, deps: ProxyDeps) -> Result<Self, ProxyError> {
        // Pingora's own timers read the clock at every use and wake a thread every 10 ms; Tokio's
        // cost less where each request waits for one.
        pingora_timeout::fast_timeout::set_fast_timeout_to_tokio_threshold(Some(Duration::ZERO));
        let listeners = bind_all(&settings.listeners)?;
        let doors = Doors { public: settings.public.clone(), https_port: https_port(&listeners) };
        let capacity = Capacity::of(deps.descriptors, &settings);
        let issuer = deps.issuer.as_deref();
        let apps = Apps::open(&settings.apps, issuer, doors, capacity, None).await?;
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

    /// The addresses that are listened on, with their kinds.
    pub fn addresses(&self) -> Vec<(SocketAddr, ListenerKind)> {
        let address = |(l, kind): &(TcpListener, ListenerKind)| Some((l.local_addr().ok()?, *kind));
        self.listeners.iter().filter_map(address).collect()
    }

    /// By which apps and certificates are replaced while requests go on.
    pub fn reload_handle(&self) -> ReloadHandle {
        ReloadHandle {
            apps: Arc::clone(&self.apps),
            capacity: self.capacity,
            calls: Arc::clone(&self.calls),
            certificates: self.certificates.clone(),
            https_port: https_port(&self.listeners),
        }
    }

    /// Set once draining has begun.
    pub fn draining(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.draining)
    }

    /// Serves until `shutdown` resolves, then drains: no new connections, requests in flight
    /// finish, kept connections are told to close.
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
                    tracing::debug!("nobody is left to be told");
                }
                acceptor.proxy.http_cleanup().await;
                acceptor.open.empty().await;
            }
        };
        if tokio::time::timeout(drain, goodbye).await.is_err() {
            tracing::warn!("requests were still in flight at the end of the drain time");
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
    // Refused by us, in our words.
    options.allow_connect_method_proxying = true;
    proxy.server_options = Some(options);
    proxy.h2_options = Some(h2_options());
    proxy.handle_init_modules();
    proxy
}
