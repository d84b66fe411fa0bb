//! Reload on SIGHUP. Applies the settings that can change without a restart and logs the changed keys
//! that cannot, so that operators do not believe them to be in effect.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::signal::unix::Signal;

use super::base::service_names;
use super::systemd::ServiceManager;
use super::warnings::log_warnings;
use crate::auth::app_sign_in::ReservedNames;
use crate::auth::keys::{DerivedKeys, KeyRing};
use crate::auth::nodes::Roster;
use crate::auth::password::{PasswordPool, PasswordSettings};
use crate::auth::session::SessionLimits;
use crate::auth::throttle::Budgets;
use crate::base::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::config::keys;
use crate::config::settings::{AuditSettings, Database, SessionStore, Settings};
use crate::gate::sessions::CachedSessions;
use crate::notice::{Delivery, Notices};
use crate::proxy::ReloadHandle;
use crate::proxy::settings::{NetworkSettings, ProxySettings};
use crate::telemetry::logs::{self, LogSettings};

/// The parts of a gateway that a reload changes.
pub(super) struct Reloaded {
    pub(super) proxy: ReloadHandle,
    pub(super) reserved: Arc<ReservedNames>,
    pub(super) keys: Arc<KeyRing>,
    pub(super) sessions: Arc<CachedSessions>,
    pub(super) roster: Arc<Roster>,
    pub(super) passwords: Arc<PasswordPool>,
    pub(super) budgets: Arc<ArcSwap<Budgets>>,
    pub(super) notices: Arc<Notices>,
    pub(super) manager: ServiceManager,
}

/// Reloads keys, apps and certificates on SIGHUP. If the new configuration or the key file has
/// errors, logs them and keeps the old ones. `running` holds the settings that the process was
/// started with.
pub(super) async fn reload_on_hangup(running: Settings, parts: Reloaded, mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        parts.manager.reloading();
        let (source, keys_file) = (running.source.clone(), running.keys_file.clone());
        // A disk may be slow, or hang.
        let read = tokio::task::spawn_blocking(move || read(&source, &keys_file));
        let done = match read.await {
            Ok(Some(new)) => apply(&running, new, &parts).await,
            Ok(None) => false,
            Err(error) => {
                refuse(&error);
                false
            }
        };
        record_reload(done);
        parts.manager.reloaded(done);
    }
}

/// A new configuration, with what its files hold.
struct New {
    settings: Settings,
    keys: DerivedKeys,
    delivery: Option<Delivery>,
}

/// Reads the configuration, the key file and the CA of the mail server. Logs errors.
fn read(source: &Path, keys_file: &Path) -> Option<New> {
    let settings = Config::load(source).map_err(|errors| {
        for error in errors {
            refuse(&error);
        }
    });
    let material = keys::load(keys_file).map_err(|error| refuse(&error));
    let (settings, material) = settings.ok().zip(material.ok())?;
    let keys = KeyRing::derive(&material).map_err(|error| refuse(&error));
    let delivery = settings.mail.as_ref().map(Delivery::new).transpose();
    let delivery = delivery.map_err(|error| refuse(&error));
    Some(New { settings, keys: keys.ok()?, delivery: delivery.ok()? })
}

fn refuse(error: &impl fmt::Display) {
    tracing::error!(%error, "reload failed, keeping the current configuration");
}

/// Records the result of a start or a reload as metrics.
pub(super) fn record_reload(done: bool) {
    metrics::gauge!("vestibule_config_last_reload_successful").set(if done { 1.0 } else { 0.0 });
    if done {
        let now = u32::try_from(SystemClock::new().now().as_secs()).unwrap_or(u32::MAX);
        metrics::gauge!("vestibule_config_last_reload_success_timestamp_seconds").set(now);
    }
}

/// Applies new settings. Returns false if the old ones stay.
async fn apply(
    running: &Settings,
    New { settings, keys, delivery }: New,
    parts: &Reloaded,
) -> bool {
    parts.reserved.add(&settings.people_meant());
    let (issuer, signer) = (settings.issuer.as_deref(), keys.assertion_signer());
    let replacement = parts.proxy.replacement(&settings.proxy, issuer, &signer).await;
    let replace_apps = match replacement {
        Ok(replace_apps) => replace_apps,
        Err(error) => {
            refuse(&error);
            return false;
        }
    };
    parts.budgets.store(Arc::new(settings.budgets));
    parts.passwords.set_rules(settings.passwords, service_names(&settings));
    parts.notices.deliver_by(delivery);
    // The new apps have the new assertion keys, which are listed before they sign.
    parts.keys.replace(keys);
    replace_apps();
    parts.sessions.keys_replaced();
    log_warnings(&settings);
    logs::set_level(settings.log.level);
    let keys = needing_restart(running, &settings);
    if !keys.is_empty() {
        tracing::warn!(keys = keys.join(", "), "changed settings need a restart");
    }
    parts.roster.reloaded(in_effect(running, settings).hash());
    parts.roster.report().await;
    tracing::info!("configuration reloaded");
    true
}

/// Returns the settings in effect after a reload of `new`: those that need a restart are still the
/// running ones.
fn in_effect(running: &Settings, new: Settings) -> Settings {
    let proxy = ProxySettings {
        listeners: running.proxy.listeners.clone(),
        network: NetworkSettings {
            trusted_proxies: running.proxy.network.trusted_proxies.clone(),
            proxy_protocol: running.proxy.network.proxy_protocol,
            ..new.proxy.network
        },
        workers: running.proxy.workers,
        drain_notice: running.proxy.drain_notice,
        drain: running.proxy.drain,
        ..new.proxy
    };
    Settings {
        proxy,
        source: new.source,
        public_url: new.public_url,
        ticket_lifetime: new.ticket_lifetime,
        issuer: new.issuer,
        passwords: PasswordSettings {
            threads: running.passwords.threads,
            queue: running.passwords.queue,
            ..new.passwords
        },
        budgets: new.budgets,
        mail: new.mail,
        log: LogSettings { level: new.log.level, ..running.log },
        warnings: new.warnings,
        weakenings: new.weakenings,
        ..running.clone()
    }
}

/// Returns the changed keys that need a restart. Settings that only commands read are in effect
/// already.
fn needing_restart(running: &Settings, new: &Settings) -> Vec<&'static str> {
    let Settings {
        source: _,
        data_dir: _,
        public_url: _,
        proxy,
        admin,
        keys_file,
        keys_may_be_made: _,
        sessions: SessionLimits { idle, absolute, pending },
        session_store,
        database,
        pool,
        enrolment,
        ticket_lifetime: _,
        issuer: _,
        webauthn,
        passwords: PasswordSettings { cost: _, min_length: _, threads, queue },
        budgets: _,
        audit: AuditSettings { retention, lines, node },
        mail: _,
        log,
        effective: _,
        warnings: _,
        weakenings: _,
    } = running;
    let keys = [
        ("admin", *admin == new.admin),
        ("keys.file", *keys_file == new.keys_file),
        ("sessions.idle", *idle == new.sessions.idle),
        ("sessions.absolute", *absolute == new.sessions.absolute),
        ("sessions.pending", *pending == new.sessions.pending),
        ("sessions.store", same_store(session_store, &new.session_store)),
        ("accounts.database", same_database(database, &new.database)),
        ("accounts.pool", *pool == new.pool),
        ("second_factor.enrolment", *enrolment == new.enrolment),
        ("second_factor.webauthn", *webauthn == new.webauthn),
        ("passwords.hashing_threads", *threads == new.passwords.threads),
        ("passwords.queue", *queue == new.passwords.queue),
        ("audit.retention", *retention == new.audit.retention),
        ("audit.file", *lines == new.audit.lines),
        ("audit.node", *node == new.audit.node),
        ("log.format", log.format == new.log.format),
    ];
    of_proxy(proxy, &new.proxy).into_iter().chain(changed(keys)).collect()
}

/// Returns those of the listeners, the network and the server.
fn of_proxy(running: &ProxySettings, new: &ProxySettings) -> Vec<&'static str> {
    let ProxySettings {
        listeners,
        certificates: _,
        network:
            NetworkSettings {
                trusted_proxies,
                proxy_protocol,
                max_connections: _,
                connections_per_address: _,
                requests_per_address: _,
                body_idle: _,
            },
        public: _,
        portal: _,
        apps: _,
        workers,
        drain_notice,
        drain,
    } = running;
    let keys = [
        ("server.workers", *workers == new.workers),
        ("server.drain_notice", *drain_notice == new.drain_notice),
        ("server.drain", *drain == new.drain),
        ("listeners", *listeners == new.listeners),
        ("network.trusted_proxies", *trusted_proxies == new.network.trusted_proxies),
        ("network.proxy_protocol", *proxy_protocol == new.network.proxy_protocol),
    ];
    changed(keys).collect()
}

fn changed<const N: usize>(keys: [(&'static str, bool); N]) -> impl Iterator<Item = &'static str> {
    keys.into_iter().filter(|(_, same)| !same).map(|(key, _)| key)
}

fn same_store(one: &SessionStore, other: &SessionStore) -> bool {
    match (one, other) {
        (SessionStore::Embedded(one), SessionStore::Embedded(other)) => one == other,
        (
            SessionStore::Redis { servers: one, ca, key_prefix: prefix },
            SessionStore::Redis { servers: other, ca: other_ca, key_prefix: other_prefix },
        ) => one.is_same(other) && ca == other_ca && prefix == other_prefix,
        (SessionStore::Embedded(_), SessionStore::Redis { .. })
        | (SessionStore::Redis { .. }, SessionStore::Embedded(_)) => false,
    }
}

fn same_database(one: &Database, other: &Database) -> bool {
    match (one, other) {
        (Database::Embedded(one), Database::Embedded(other)) => one == other,
        (Database::Postgres(one), Database::Postgres(other)) => one.is_same(other),
        (Database::Embedded(_), Database::Postgres(_))
        | (Database::Postgres(_), Database::Embedded(_)) => false,
    }
}
