//! The proxy: binds, runs and drains.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use h2::server::Builder as H2Options;
use pingora_core::apps::HttpServerOptions;
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::HttpProxy;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::admit::front::EntryPoints;
use super::app::{Apps, CurrentApps};
use super::client::capacity::Capacity;
use super::client::linger::Lingering;
use super::client::listen::{Acceptor, bind};
use super::client::load::Loads;
use super::client::open::Open;
use super::client::tls::{BadCertificate, Certificates};
use super::dialect::app_call::AppCalls;
use super::drain::drain;
use super::gateway::Gateway;
use super::live::pulse::Pulse;
use super::live::served::Served;
use super::live::sweep::Sweep;
use super::request_ids::RequestIds;
use super::settings::{BodyIdle, ListenerKind, ListenerSettings, ProxySettings};
use super::upstream::pool::BadUpstream;
use super::upstream::spent::Spent;
use crate::auth::keys::{AssertionSigner, KeyRing};
use crate::auth::login::Services;
use crate::base::clock::Clock;
use crate::base::random::{Random, RandomError};
use crate::gate::app_tokens::BoundTokens;
use crate::gate::keeper::RefusalKeeper;
use crate::gate::logins::CachedLogins;
use crate::gate::machine::Machines;
use crate::gate::sessions::CachedSessions;

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
    pub login: Arc<Services>,
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

/// Takes the socket that was handed over for an address, if any.
pub type TakeSocket<'a> = dyn FnMut(SocketAddr) -> Option<std::net::TcpListener> + Send + 'a;

/// The proxy, bound and ready to accept.
pub struct Proxy {
    acceptor: Acceptor,
    listeners: Vec<(TcpListener, ListenerKind)>,
    apps: Arc<CurrentApps>,
    descriptors: usize,
    body_idle: Arc<ArcSwap<BodyIdle>>,
    calls: Arc<AppCalls>,
    certificates: Option<Arc<Certificates>>,
    leaving: Arc<AtomicBool>,
    draining: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    notice: Duration,
    drain: Duration,
    tasks: JoinSet<()>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

/// Replaces the apps, with their hosts, rules and upstreams, the certificates, and the limits for
/// clients.
#[derive(Clone)]
pub struct ReloadHandle {
    apps: Arc<CurrentApps>,
    descriptors: usize,
    open: Arc<Open>,
    loads: Arc<Loads>,
    body_idle: Arc<ArcSwap<BodyIdle>>,
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
    /// Prepares to serve these apps from the next request on, and to show these certificates from the
    /// next connection on, within these limits. `signer` signs the assertions of these apps. The result
    /// does it, at once.
    pub async fn replacement(
        &self,
        settings: &ProxySettings,
        issuer: Option<&str>,
        signer: &AssertionSigner,
    ) -> Result<impl FnOnce() + Send + use<>, ProxyError> {
        let entry_points =
            EntryPoints { public: settings.public.clone(), https_port: self.https_port };
        let former = Arc::clone(&self.apps.load());
        let capacity = Capacity::of(self.descriptors, settings);
        let (hosts, of_all) = (settings.hosts(), (issuer, signer));
        let apps = Apps::open(hosts, of_all, entry_points, capacity, Some(&former)).await?;
        let certificates = self.certificates.as_ref();
        let certificates =
            certificates.map(|shown| shown.replacement(&settings.certificates)).transpose()?;
        let calls = self.calls.replacement(&settings.apps)?;
        let (this, network) = (self.clone(), settings.network.clone());
        Ok(move || {
            this.open.set_limits(capacity, network.connections_per_address);
            this.loads.set_per_address(network.requests_per_address);
            this.body_idle.store(Arc::new(network.body_idle));
            calls();
            this.apps.replace(apps);
            if let Some(put_in_force) = certificates {
                put_in_force();
            }
        })
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

fn bind_all(
    settings: &[ListenerSettings],
    handed_over: &mut TakeSocket<'_>,
) -> Result<Vec<(TcpListener, ListenerKind)>, ProxyError> {
    let bound = settings.iter().map(|one| {
        let failed = |error| ProxyError::Listen { address: one.address, error };
        Ok((bind(*one, handed_over(one.address)).map_err(failed)?, one.kind))
    });
    bound.collect()
}

/// Returns the port of the first HTTPS listener.
fn https_port(listeners: &[(TcpListener, ListenerKind)]) -> Option<u16> {
    let mut https = listeners.iter().filter(|(_, kind)| *kind == ListenerKind::Https);
    https.find_map(|(listener, _)| Some(listener.local_addr().ok()?.port()))
}

/// The certificates, if any listener shows them, and the task that watches their files.
type Shown = (Option<Arc<Certificates>>, Option<TlsAcceptor>, JoinSet<()>);

/// Loads the certificates if an HTTPS listener needs them, and watches their files.
fn certificates(settings: &ProxySettings) -> Result<Shown, ProxyError> {
    let mut tasks = JoinSet::new();
    if !settings.listeners.iter().any(|l| l.kind == ListenerKind::Https) {
        return Ok((None, None, tasks));
    }
    let certificates = Certificates::load(&settings.certificates)?;
    let tls = TlsAcceptor::from(certificates.server_config()?);
    tasks.spawn(Arc::clone(&certificates).watch());
    Ok((Some(certificates), Some(tls), tasks))
}

impl Proxy {
    /// Loads certificates, resolves upstreams and binds all listeners, except for those whose sockets
    /// were handed over.
    pub async fn bind(
        settings: ProxySettings,
        deps: ProxyDeps,
        handed_over: &mut TakeSocket<'_>,
    ) -> Result<Self, ProxyError> {
        // Pingora's timers read the clock on every use and wake a thread every 10 ms. Tokio's
        // timers are cheaper if each request waits for one.
        pingora_timeout::fast_timeout::set_fast_timeout_to_tokio_threshold(Some(Duration::ZERO));
        let listeners = bind_all(&settings.listeners, handed_over)?;
        let entry_points =
            EntryPoints { public: settings.public.clone(), https_port: https_port(&listeners) };
        let capacity = Capacity::of(deps.descriptors, &settings);
        let (hosts, signer) = (settings.hosts(), deps.keys.assertion_signer());
        let of_all = (deps.issuer.as_deref(), &signer);
        let apps = Apps::open(hosts, of_all, entry_points, capacity, None).await?;
        let apps = Arc::new(CurrentApps::new(apps));
        let (certificates, tls, mut tasks) = certificates(&settings)?;
        let draining = Arc::<AtomicBool>::default();
        let open = Open::new(capacity, settings.network.connections_per_address);
        let pulse = watch_over(&open, &apps, &deps, &mut tasks);
        let body_idle = Arc::new(ArcSwap::from_pointee(settings.network.body_idle));
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
            doubts: Arc::default(),
            draining: Arc::clone(&draining),
            lingering: Lingering::new(settings.network.trusted_proxies.clone()),
            body_idle: Arc::clone(&body_idle),
            spent: Spent::default(),
            pulse,
        };
        let (stop, stopping) = watch::channel(false);
        let (notice, drain) = (settings.drain_notice, settings.drain);
        let acceptor = acceptor(gateway, settings, capacity, (open, tls, stopping));
        Ok(Self {
            acceptor,
            listeners,
            apps,
            descriptors: deps.descriptors,
            body_idle,
            calls: deps.calls,
            certificates,
            leaving: Arc::default(),
            draining,
            stop,
            notice,
            drain,
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
            descriptors: self.descriptors,
            open: Arc::clone(&self.acceptor.open),
            loads: Arc::clone(&self.acceptor.loads),
            body_idle: Arc::clone(&self.body_idle),
            calls: Arc::clone(&self.calls),
            certificates: self.certificates.clone(),
            https_port: https_port(&self.listeners),
        }
    }

    /// Returns a function that renders metrics of the proxy in the text format of Prometheus.
    pub fn metrics(&self) -> impl Fn() -> String + Send + Sync + use<> {
        let (apps, certificates) = (Arc::clone(&self.apps), self.certificates.clone());
        move || {
            let certificates = certificates.as_ref().map(|shown| shown.metrics());
            apps.metrics() + &certificates.unwrap_or_default()
        }
    }

    /// Returns a flag that is true once the node should get no more new work.
    pub fn leaving(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.leaving)
    }

    /// Serves until `shutdown` resolves. Then goes on for the time of the notice, and drains: accepts
    /// no new connections, lets requests in flight finish, and closes the others. Returns early when
    /// `at_once` resolves.
    pub async fn run(self, shutdown: impl Future<Output = ()>, at_once: impl Future<Output = ()>) {
        let Self {
            acceptor,
            listeners,
            leaving,
            draining,
            stop,
            notice,
            drain: limit,
            mut tasks,
            ..
        } = self;
        let stop_accepting = Arc::new(Notify::new());
        let mut accepting = JoinSet::new();
        for (listener, kind) in listeners {
            let (acceptor, stop) = (acceptor.clone(), Arc::clone(&stop_accepting));
            accepting.spawn(acceptor.accept_all(listener, kind, stop));
        }
        shutdown.await;
        leaving.store(true, Ordering::Release);
        let end = async {
            if !notice.is_zero() {
                tracing::info!(?notice, "drain notice: no longer ready, still accepting requests");
                tokio::time::sleep(notice).await;
            }
            tracing::info!("draining: accepting no new connections, finishing requests in flight");
            draining.store(true, Ordering::Release);
            stop_accepting.notify_waiters();
            while accepting.join_next().await.is_some() {}
            drain(&acceptor, &stop, limit).await;
        };
        tokio::select! {
            () = end => {}
            () = at_once => tracing::warn!("second signal: exiting now, dropping requests in flight"),
        }
        tasks.shutdown().await;
    }
}

/// Starts the sweep over requests under way, and the pulse.
fn watch_over(
    open: &Arc<Open>,
    apps: &Arc<CurrentApps>,
    deps: &ProxyDeps,
    tasks: &mut JoinSet<()>,
) -> Arc<Pulse> {
    let sweep = Sweep {
        open: Arc::clone(open),
        apps: Arc::clone(apps),
        sessions: Arc::clone(&deps.sessions),
        logins: Arc::clone(&deps.logins),
        machines: Arc::clone(&deps.machines),
        parking: Arc::clone(&deps.login.parking),
        clock: Arc::clone(&deps.clock),
    };
    tasks.spawn(sweep.run());
    let pulse = Pulse::new(&*deps.clock);
    tasks.spawn(Arc::clone(&pulse).run(Arc::clone(&deps.clock)));
    pulse
}

fn acceptor(
    gateway: Gateway,
    settings: ProxySettings,
    capacity: Capacity,
    (open, tls, stopping): (Arc<Open>, Option<TlsAcceptor>, watch::Receiver<bool>),
) -> Acceptor {
    Acceptor {
        lingering: Arc::clone(&gateway.lingering),
        clock: Arc::clone(&gateway.clock),
        loads: Arc::clone(&gateway.loads),
        draining: Arc::clone(&gateway.draining),
        doubts: Arc::clone(&gateway.doubts),
        open,
        proxy: Arc::new(Served(Arc::new(http_proxy(gateway, &settings, capacity)))),
        tls,
        network: Arc::new(settings.network),
        stopping,
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
    // The gateway rejects it with its own response.
    options.allow_connect_method_proxying = true;
    proxy.server_options = Some(options);
    proxy.h2_options = Some(h2_options());
    proxy.handle_init_modules();
    proxy
}
