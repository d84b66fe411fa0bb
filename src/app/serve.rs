//! `vestibule serve`: starts, reloads and drains the gateway.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::base::Base;
use super::error::AppError;
use super::outlets::{Outlets, Process, prune_for_ever};
use super::reload::reload_on_hangup;
use super::stores::Stores;
use super::warnings::log_warnings;
use super::{dumps, here, limits};
use crate::auth::app_sign_in::{AppSignIn, ReservedNames};
use crate::auth::audit::Trail;
use crate::auth::login::{LoginDeps, LoginService};
use crate::auth::ports::Sessions;
use crate::config::settings::Settings;
use crate::gate::app_tokens::BoundTokens;
use crate::gate::keeper::RefusalKeeper;
use crate::gate::logins::CachedLogins;
use crate::gate::machine::Machines;
use crate::gate::sessions::CachedSessions;
use crate::proxy::settings::ListenerKind;
use crate::proxy::{AppCalls, Proxy, ProxyDeps, ProxyError};
use crate::telemetry::admin::{Health, install_metrics};
use crate::telemetry::{admin, logs};

/// Serves until SIGTERM or SIGINT, then drains. SIGHUP reloads the configuration.
pub async fn serve(settings: Settings) -> Result<(), AppError> {
    Box::pin(Gateway::bind(settings, |_stores| ())).await?.run().await
}

/// A gateway whose listeners are bound.
pub(super) struct Gateway {
    proxy: Proxy,
    outlets: Outlets,
    settings: Settings,
    reserved: Arc<ReservedNames>,
}

impl Gateway {
    /// Creates all services and binds all listeners. `adapt` can wrap stores before their first
    /// use.
    pub(super) async fn bind(
        settings: Settings,
        adapt: impl FnOnce(&mut Stores),
    ) -> Result<Self, AppError> {
        begin(&settings);
        bind(settings, adapt).await
    }

    /// Returns the port of the first listener.
    pub(super) fn port(&self) -> Option<u16> {
        self.proxy.addresses().first().map(|(address, _kind)| address.port())
    }

    /// Serves until a shutdown signal.
    pub(super) async fn run(self) -> Result<(), AppError> {
        let Self { proxy, outlets, settings, reserved } = self;
        tokio::spawn(reload_on_hangup(settings, proxy.reload_handle(), reserved)?);
        let shutdown = shutdown_signal()?;
        tracing::info!("ready");
        proxy.run(shutdown).await;
        let unsent = outlets.close().await;
        if unsent > 0 {
            tracing::error!(unsent, "some notices were not sent");
        }
        tracing::info!("stopped");
        Ok(())
    }
}

async fn bind(settings: Settings, adapt: impl FnOnce(&mut Stores)) -> Result<Gateway, AppError> {
    let descriptors = limits::raise_descriptors();
    let metrics =
        install_metrics().map_err(|e| AppError::Other(format!("failed to set up metrics: {e}")))?;
    let base = Base::open(&settings)?;
    let mut stores = Stores::open(&settings).await?;
    adapt(&mut stores);
    let outlets = Outlets::open(&settings, &base, &stores, Process::Gateway)?;
    tokio::spawn(prune_for_ever(Arc::clone(&outlets.trail), settings.audit.retention));
    let sessions = Arc::new(cached_sessions(&settings, &base, &stores)?);
    let known = Arc::<CachedSessions>::clone(&sessions);
    let calls = AppCalls::new(&settings.proxy.apps).map_err(ProxyError::from)?;
    let calls = Arc::new(calls);
    let apps = Arc::<AppCalls>::clone(&calls);
    let trail = Arc::clone(&outlets.trail);
    let reserved = Arc::new(ReservedNames::of(&settings.people_meant()));
    let service =
        login_service(&settings, &base, &stores, (known, apps, Arc::clone(&reserved)), trail);
    let deps = ProxyDeps {
        pages: crate::web::router(Arc::clone(&service)),
        login: service,
        bound: Arc::new(bound_tokens(&base, &stores)?),
        machines: Arc::new(machines(&stores)),
        calls,
        sessions,
        logins: Arc::new(cached_logins(&base, &stores)),
        refusals: RefusalKeeper::start(stores.refusals),
        keys: base.keys,
        clock: base.clock,
        random: base.random,
        issuer: settings.issuer.clone(),
        descriptors,
    };
    let proxy = Proxy::bind(settings.proxy.clone(), deps).await?;
    for (address, kind) in proxy.addresses() {
        tracing::info!(kind = kind_name(kind), %address, "listening");
    }
    if let Some(address) = settings.admin {
        let health = Health {
            accounts: stores.accounts,
            sessions: stores.sessions,
            draining: proxy.draining(),
            metrics,
        };
        serve_admin(address, health).await?;
    }
    Ok(Gateway { proxy, outlets, settings, reserved })
}

async fn serve_admin(address: SocketAddr, health: Health) -> Result<(), AppError> {
    let what = format!("failed to listen on {address} for the admin endpoints");
    let listener = TcpListener::bind(address).await.map_err(AppError::io(what))?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(kind = "admin", %address, "listening");
    }
    tokio::spawn(admin::serve(listener, health));
    Ok(())
}

/// Sets up logging and disables core dumps, before any secret is read.
fn begin(settings: &Settings) {
    logs::init(settings.log);
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
        Arc::clone(&stores.accounts),
        Arc::clone(&base.clock),
        &*base.random,
        settings.sessions,
    );
    cached.map_err(|e| AppError::Other(e.to_string()))
}

fn cached_logins(base: &Base, stores: &Stores) -> CachedLogins {
    let (pending, accounts) = (Arc::clone(&stores.pending), Arc::clone(&stores.accounts));
    CachedLogins::new(pending, accounts, Arc::clone(&base.clock))
}

fn machines(stores: &Stores) -> Machines {
    Machines::new(Arc::clone(&stores.accounts), Arc::clone(&stores.access_tokens))
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
    trail: Arc<Trail>,
) -> Arc<LoginService> {
    Arc::new(LoginService::new(LoginDeps {
        accounts: Arc::clone(&stores.accounts),
        factors: Arc::clone(&stores.factors),
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
        random: Arc::clone(&base.random),
        enrolment: settings.enrolment,
        limits: settings.sessions,
        budgets: settings.budgets,
    }))
}

fn kind_name(kind: ListenerKind) -> &'static str {
    match kind {
        ListenerKind::Https => "https",
        ListenerKind::Http => "http",
        ListenerKind::Redirect => "redirect",
    }
}

/// Returns a future that resolves on the first SIGTERM or SIGINT.
fn shutdown_signal() -> Result<impl Future<Output = ()>, AppError> {
    let listen = |kind| signal(kind).map_err(AppError::io("failed to listen for signals"));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("draining: accepting no new connections, finishing requests in flight");
    })
}
