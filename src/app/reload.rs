//! Reload on SIGHUP. Applies the settings that can change without a restart and logs the sections
//! that cannot, so that operators do not believe them to be in effect.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::error::AppError;
use super::warnings::log_warnings;
use crate::auth::app_sign_in::ReservedNames;
use crate::base::secret::Secret;
use crate::config::Config;
use crate::config::settings::{Database, MailSettings, SessionStore, Settings};
use crate::proxy::ReloadHandle;
use crate::proxy::settings::ProxySettings;

/// Reloads apps and certificates on SIGHUP. If the new configuration has errors, logs them and
/// keeps the old one. `running` holds the settings that the process was started with.
pub(super) fn reload_on_hangup(
    running: Settings,
    handle: ReloadHandle,
    reserved: Arc<ReservedNames>,
) -> Result<impl Future<Output = ()>, AppError> {
    let mut hangup =
        signal(SignalKind::hangup()).map_err(AppError::io("failed to listen for signals"))?;
    Ok(async move {
        while hangup.recv().await.is_some() {
            match Config::load(&running.source) {
                Ok(settings) => apply(&running, &settings, &handle, &reserved).await,
                Err(errors) => {
                    for error in errors {
                        tracing::error!(%error, "reload failed, keeping the old configuration");
                    }
                }
            }
        }
    })
}

async fn apply(
    running: &Settings,
    settings: &Settings,
    handle: &ReloadHandle,
    reserved: &ReservedNames,
) {
    reserved.add(&settings.people_meant());
    if let Err(error) = handle.replace(&settings.proxy, settings.issuer.as_deref()).await {
        tracing::error!(%error, "reload failed, keeping the old configuration");
        return;
    }
    log_warnings(settings);
    for section in needing_restart(running, settings) {
        tracing::warn!(section, "changed settings need a restart");
    }
    tracing::info!("configuration reloaded");
}

/// Returns the changed sections that need a restart. Settings that only commands read are in effect
/// already.
fn needing_restart(running: &Settings, new: &Settings) -> Vec<&'static str> {
    let Settings {
        source: _,
        data_dir: _,
        public_url: _,
        proxy:
            ProxySettings { listeners, certificates: _, network, public: _, apps: _, workers, drain },
        admin,
        keys_file,
        keys_may_be_made: _,
        sessions,
        session_store,
        database,
        enrolment,
        ticket_lifetime: _,
        issuer: _,
        passwords,
        budgets,
        audit,
        mail,
        log,
        warnings: _,
        weakenings: _,
    } = running;
    let proxy = &new.proxy;
    let sections = [
        ("server", (*workers, *drain) == (proxy.workers, proxy.drain)),
        ("listeners", *listeners == proxy.listeners),
        ("network", *network == proxy.network),
        ("admin", *admin == new.admin),
        ("keys.file", *keys_file == new.keys_file),
        ("sessions", *sessions == new.sessions),
        ("sessions.store", same_store(session_store, &new.session_store)),
        ("accounts.database", same_database(database, &new.database)),
        ("second_factor.enrolment", *enrolment == new.enrolment),
        ("passwords", *passwords == new.passwords),
        ("throttle", *budgets == new.budgets),
        ("audit", *audit == new.audit),
        ("mail", same_mail(mail.as_ref(), new.mail.as_ref())),
        ("log", *log == new.log),
    ];
    sections.into_iter().filter(|(_, same)| !same).map(|(section, _)| section).collect()
}

fn same_store(one: &SessionStore, other: &SessionStore) -> bool {
    match (one, other) {
        (SessionStore::Embedded(one), SessionStore::Embedded(other)) => one == other,
        (
            SessionStore::Redis { url: one, ca, key_prefix: prefix },
            SessionStore::Redis { url: other, ca: other_ca, key_prefix: other_prefix },
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

fn same_mail(one: Option<&MailSettings>, other: Option<&MailSettings>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return one.is_none() && other.is_none() };
    let MailSettings { host, port, tls, ca, login, from, service, site, time_zone } = one;
    let same_login = match (login, &other.login) {
        (None, None) => true,
        (Some(one), Some(other)) => same_login(one, other),
        (None, Some(_)) | (Some(_), None) => false,
    };
    same_login
        && (host, port, tls, ca) == (&other.host, &other.port, &other.tls, &other.ca)
        && (from, service, site) == (&other.from, &other.service, &other.site)
        && *time_zone == other.time_zone
}

fn same_login(one: &(String, Secret), other: &(String, Secret)) -> bool {
    one.0 == other.0 && one.1.is_same(&other.1)
}
