//! `vestibule serve`: starts, reloads and drains the gateway.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::base::Base;
use super::error::AppError;
use super::outlets::{Outlets, Process, prune_for_ever};
use super::reload::{Reloaded, record_reload, reload_on_hangup};
use super::signals::Signals;
use super::stores::Stores;
use super::systemd::{ServiceManager, Sockets};
use super::warnings::log_warnings;
use super::{dumps, here, limits, peers};
use crate::auth::app_sign_in::{AppSignIn, ReservedNames};
use crate::auth::audit::Trail;
use crate::auth::keys::KeyRing;
use crate::auth::login::{LoginDeps, Services};
use crate::auth::nodes::Roster;
use crate::auth::password::PasswordPool;
use crate::auth::ports::{Accounts, Sessions};
use crate::auth::throttle::Budgets;
use crate::config::settings::Settings;
use crate::gate::app_tokens::BoundTokens;
use crate::gate::keeper::RefusalKeeper;
use crate::gate::logins::CachedLogins;
use crate::gate::machine::Machines;
use crate::gate::sessions::CachedSessions;
use crate::proxy::settings::ListenerKind;
use crate::proxy::{AppCalls, Proxy, ProxyDeps, ProxyError};
use crate::telemetry::admin::Health;
use crate::telemetry::metrics::{PrometheusHandle, install_metrics};
use crate::telemetry::{admin, logs};

/// Serves until SIGTERM or SIGINT, then drains. SIGHUP reloads the configuration.
pub async fn serve(settings: Settings) -> Result<(), AppError> {
    // Held until the end, so that the last lines are written.
    let _log = logs::init(settings.log);
    Box::pin(Gateway::bind(settings, |_stores| ())).await?.run().await
}

/// A gateway whose listeners are bound.
pub(super) struct Gateway {
    proxy: Proxy,
    outlets: Outlets,
    settings: Settings,
    reserved: Arc<ReservedNames>,
    keys: Arc<KeyRing>,
    sessions: Arc<CachedSessions>,
    roster: Arc<Roster>,
    passwords: Arc<PasswordPool>,
    budgets: Arc<ArcSwap<Budgets>>,
    hangups: Signal,
}

impl Gateway {
    /// Creates all services and binds all listeners. `adapt` can wrap stores before their first
    /// use.
    pub(super) async fn bind(
        settings: Settings,
        adapt: impl FnOnce(&mut Stores),
    ) -> Result<Self, AppError> {
        begin(&settings);
        // From here on, SIGHUP does not end the process.
        let hangups =
            signal(SignalKind::hangup()).map_err(AppError::io("failed to listen for signals"))?;
        bind(settings, hangups, adapt).await
    }

    /// Returns the port of the first listener.
    pub(super) fn port(&self) -> Option<u16> {
        self.proxy.addresses().first().map(|(address, _kind)| address.port())
    }

    /// Serves until a shutdown signal.
    pub(super) async fn run(self) -> Result<(), AppError> {
        let Self { proxy, outlets, settings, hangups, .. } = self;
        let manager = ServiceManager::find();
        let parts = Reloaded {
            proxy: proxy.reload_handle(),
            reserved: self.reserved,
            keys: self.keys,
            sessions: self.sessions,
            roster: Arc::clone(&self.roster),
            passwords: self.passwords,
            budgets: self.budgets,
            notices: outlets.notices(),
            manager: manager.clone(),
        };
        tokio::spawn(reload_on_hangup(settings, parts, hangups));
        let signals = Signals::listen()?;
        let (first, told) = (signals.clone(), manager.clone());
        let shutdown = async move {
            first.at_least(1).await;
            told.stopping();
        };
        tokio::spawn(manager.clone().answer_watchdog());
        record_reload(true);
        manager.ready();
        tracing::info!("ready");
        proxy.run(shutdown, signals.clone().at_least(2)).await;
        if signals.has(2) {
            return Ok(());
        }
        self.roster.leave().await;
        let unsent = outlets.close().await;
        if unsent > 0 {
            tracing::error!(unsent, "some notices were not sent");
        }
        tracing::info!("stopped");
        Ok(())
    }
}

async fn bind(
    settings: Settings,
    hangups: Signal,
    adapt: impl FnOnce(&mut Stores),
) -> Result<Gateway, AppError> {
    let descriptors = limits::raise_descriptors();
    let metrics =
        install_metrics().map_err(|e| AppError::Other(format!("failed to set up metrics: {e}")))?;
    let base = Base::open(&settings)?;
    let mut stores = Stores::open_or_wait(&settings, &base).await?;
    peers::check_keys(&settings, &base, &stores).await?;
    adapt(&mut stores);
    let outlets = Outlets::open(&settings, &base, &stores, Process::Gateway)?;
    tokio::spawn(prune_for_ever(Arc::clone(&outlets.trail), settings.audit.retention));
    let sessions = Arc::new(cached_sessions(&settings, &base, &stores)?);
    let known: Arc<dyn Sessions> = Arc::<CachedSessions>::clone(&sessions);
    let cached = Arc::clone(&sessions);
    let calls = Arc::new(AppCalls::new(&settings.proxy.apps).map_err(ProxyError::from)?);
    let apps: Arc<dyn AppSignIn> = Arc::<AppCalls>::clone(&calls);
    let trail = Arc::clone(&outlets.trail);
    let reserved = Arc::new(ReservedNames::of(&settings.people_meant()));
    let given = (known, apps, Arc::clone(&reserved));
    let budgets = Arc::new(ArcSwap::from_pointee(settings.budgets));
    let service = login_service(&settings, &base, &stores, given, (trail, Arc::clone(&budgets)));
    let keys = Arc::clone(&base.keys);
    let roster = join_nodes(&settings, &base, &stores).await?;
    let deps = ProxyDeps {
        pages: crate::web::router(Arc::clone(&service)),
        login: service,
        bound: Arc::new(bound_tokens(&base, &stores)?),
        machines: Arc::new(machines(&stores)),
        calls,
        sessions,
        logins: Arc::new(cached_logins(&base, &stores)),
        refusals: RefusalKeeper::start(Arc::clone(&stores.refusals)),
        keys: base.keys,
        clock: base.clock,
        random: base.random,
        issuer: settings.issuer.clone(),
        descriptors,
    };
    let mut sockets = Sockets::handed_over();
    let proxy =
        Proxy::bind(settings.proxy.clone(), deps, &mut |address| sockets.take(address)).await?;
    log_listeners(&proxy);
    if let Some(address) = settings.admin {
        let health = health(stores, &proxy, Arc::clone(&roster), metrics);
        serve_admin(address, sockets.take(address), health).await?;
    }
    sockets.finish();
    let (sessions, passwords) = (cached, base.passwords);
    Ok(Gateway {
        proxy,
        outlets,
        settings,
        reserved,
        keys,
        sessions,
        roster,
        passwords,
        budgets,
        hangups,
    })
}

/// Reports this node to the others, now and at an interval.
async fn join_nodes(
    settings: &Settings,
    base: &Base,
    stores: &Stores,
) -> Result<Arc<Roster>, AppError> {
    let roster = peers::roster(settings, base, stores)?;
    roster.report().await;
    let clock = Arc::clone(&base.database_clock);
    tokio::spawn(peers::report_for_ever(Arc::clone(&roster), clock));
    Ok(roster)
}

fn health(stores: Stores, proxy: &Proxy, roster: Arc<Roster>, metrics: PrometheusHandle) -> Health {
    Health {
        accounts: stores.accounts,
        sessions: stores.sessions,
        leaving: proxy.leaving(),
        roster,
        metrics,
        proxy_metrics: Arc::new(proxy.metrics()),
    }
}

fn log_listeners(proxy: &Proxy) {
    for (address, kind) in proxy.addresses() {
        tracing::info!(kind = kind_name(kind), %address, "listening");
    }
}

async fn serve_admin(
    address: SocketAddr,
    handed_over: Option<std::net::TcpListener>,
    health: Health,
) -> Result<(), AppError> {
    let listener = match handed_over {
        Some(socket) => socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket)),
        None => TcpListener::bind(address).await,
    };
    let what = format!("failed to listen on {address} for the admin endpoints");
    let listener = listener.map_err(AppError::io(what))?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(kind = "admin", %address, "listening");
    }
    tokio::spawn(admin::serve(listener, health));
    Ok(())
}

/// Disables core dumps, before any secret is read.
fn begin(settings: &Settings) {
    dumps::forbid();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = %here::absolute(&settings.source).display(),
        public_url = settings.public_url,
        "starting"
    );
    log_warnings(settings);
}

fn cached_sessions(
    settings: &Settings,
    base: &Base,
    stores: &Stores,
) -> Result<CachedSessions, AppError> {
    let cached = CachedSessions::new(
        Arc::clone(&stores.sessions),
        Arc::<dyn Accounts>::clone(&stores.accounts),
        Arc::clone(&base.clock),
        &*base.random,
        settings.sessions,
    );
    cached.map_err(|e| AppError::Other(e.to_string()))
}

fn cached_logins(base: &Base, stores: &Stores) -> CachedLogins {
    let accounts = Arc::<dyn Accounts>::clone(&stores.accounts);
    CachedLogins::new(Arc::clone(&stores.pending), accounts, Arc::clone(&base.clock))
}

fn machines(stores: &Stores) -> Machines {
    let accounts = Arc::<dyn Accounts>::clone(&stores.accounts);
    Machines::new(accounts, Arc::clone(&stores.access_tokens))
}

fn bound_tokens(base: &Base, stores: &Stores) -> Result<BoundTokens, AppError> {
    let (store, keys) = (Arc::clone(&stores.app_tokens), Arc::clone(&base.keys));
    BoundTokens::new(store, keys, Arc::clone(&base.clock), &*base.random)
        .map_err(|e| AppError::Other(e.to_string()))
}

fn login_service(
    settings: &Settings,
    base: &Base,
    stores: &Stores,
    (sessions, apps, reserved): (Arc<dyn Sessions>, Arc<dyn AppSignIn>, Arc<ReservedNames>),
    (trail, budgets): (Arc<Trail>, Arc<ArcSwap<Budgets>>),
) -> Arc<Services> {
    Arc::new(Services::new(LoginDeps {
        accounts: Arc::clone(&stores.accounts),
        authenticators: Arc::clone(&stores.authenticators),
        recovery: Arc::clone(&stores.recovery),
        tickets: Arc::clone(&stores.tickets),
        resets: Arc::clone(&stores.resets),
        guesses: Arc::clone(&stores.guesses),
        pending: Arc::clone(&stores.pending),
        sessions,
        app_accounts: Arc::clone(&stores.app_accounts),
        app_tokens: Arc::clone(&stores.app_tokens),
        access_tokens: Arc::clone(&stores.access_tokens),
        apps,
        reserved,
        attempts: Arc::clone(&stores.attempts),
        networks: Arc::clone(&stores.networks),
        trail,
        passwords: Arc::clone(&base.passwords),
        keys: Arc::clone(&base.keys),
        clock: Arc::clone(&base.clock),
        database_clock: Arc::clone(&base.database_clock),
        nodes: Arc::clone(&stores.nodes),
        random: Arc::clone(&base.random),
        enrolment: settings.enrolment,
        limits: settings.sessions,
        budgets,
        hand_overs: Arc::clone(&stores.hand_overs),
        challenges: Arc::clone(&stores.challenges),
        parked: Arc::clone(&stores.parked),
        used_challenges: Arc::clone(&stores.used_challenges),
        key_settings: settings.webauthn.clone(),
    }))
}

fn kind_name(kind: ListenerKind) -> &'static str {
    match kind {
        ListenerKind::Https => "https",
        ListenerKind::Http => "http",
        ListenerKind::Redirect => "redirect",
    }
}
