//! The validated configuration: all text is parsed and all defaults are filled in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use super::effective::EffectiveKey;
use crate::auth::account::LoginName;
use crate::auth::password::PasswordSettings;
use crate::auth::session::SessionLimits;
use crate::auth::throttle::Budgets;
use crate::auth::ticket::FirstEnrolment;
use crate::auth::webauthn::relying_party::KeySettings;
use crate::base::secret::Secret;
pub use crate::notice::{MailSettings, MailTls};
use crate::proxy::settings::{AppSettings, HostPattern, ProxySettings};
use crate::store::redis::Servers;
pub use crate::telemetry::lines::LinesTarget;
pub use crate::telemetry::logs::{LogFormat, LogSettings};

/// All settings in effect.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file that the settings were read from. SIGHUP reloads it.
    pub source: PathBuf,
    /// Directory of the embedded stores. `Some` if any of them is in use.
    pub data_dir: Option<PathBuf>,
    /// Base URL of links to the gateway: scheme and host, without a trailing slash.
    pub public_url: String,
    /// Listeners, certificates and apps.
    pub proxy: ProxySettings,
    /// Address of the admin listener, if enabled.
    pub admin: Option<SocketAddr>,
    /// The key file.
    pub keys_file: PathBuf,
    /// True if the key file may be created at first start, which requires that all stores are
    /// embedded.
    pub keys_may_be_made: bool,
    /// Lifetimes of sessions and pending logins.
    pub sessions: SessionLimits,
    /// Storage of sessions, pending logins and counters.
    pub session_store: SessionStore,
    /// Storage of accounts and second factors.
    pub database: Database,
    /// Maximum connections of a node to PostgreSQL.
    pub pool: u32,
    /// Requirements for the first enrolment of an account.
    pub enrolment: FirstEnrolment,
    /// Lifetime of one-time links.
    pub ticket_lifetime: Duration,
    /// Issuer shown in authenticator apps. `None` for the app's title.
    pub issuer: Option<String>,
    /// Settings of passkeys and security keys.
    pub webauthn: KeySettings,
    /// Password requirements and the hashing pool.
    pub passwords: PasswordSettings,
    /// Attempt limits.
    pub budgets: Budgets,
    /// Settings of the audit log.
    pub audit: AuditSettings,
    /// Mail settings for notices, if configured.
    pub mail: Option<MailSettings>,
    /// The log.
    pub log: LogSettings,
    /// The value in effect of each key, in the order of the documentation.
    pub effective: Vec<EffectiveKey>,
    /// Warnings about settings that are allowed but may be mistakes. Each starts with its key.
    pub warnings: Vec<String>,
    /// Weakenings: settings that require less than two factors. Each starts with its key.
    pub weakenings: Vec<String>,
}

impl Settings {
    /// Returns the base URLs of links to apps that use Vestibule's passwords, by app name: the
    /// first exact host of each with the port of `public_url`.
    pub fn app_urls(&self) -> BTreeMap<String, String> {
        let keeping = self.proxy.apps.iter().filter(|app| app.first_factor.is_some());
        let url_of = |app: &AppSettings| links_to(&app.hosts, &self.public_url);
        keeping.filter_map(|app| Some((app.name.clone(), url_of(app)?))).collect()
    }

    /// Returns the login names that rules and app tokens refer to.
    pub fn people_meant(&self) -> BTreeSet<LoginName> {
        let apps = &self.proxy.apps;
        let rules = apps.iter().flat_map(|app| app.policy.rules());
        let tokens = apps.iter().flat_map(|app| &app.tokens);
        let of_tokens = tokens.map(|token| &token.user);
        rules.flat_map(|rule| &rule.users).chain(of_tokens).cloned().collect()
    }
}

/// Returns the base URL of links to an app with these hosts, or `public_url` if it is one of them.
fn links_to(hosts: &[HostPattern], public_url: &str) -> Option<String> {
    let at = public_url.split_once("://").map_or("", |(_, authority)| authority);
    let port = at.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let (host, port) = port.map_or((at, String::new()), |(host, port)| (host, format!(":{port}")));
    if hosts.iter().any(|pattern| pattern.matches(host)) {
        return Some(public_url.to_owned());
    }
    hosts.iter().find_map(|pattern| match pattern {
        HostPattern::Exact(name) => Some(format!("https://{name}{port}")),
        HostPattern::Wildcard(_) => None,
    })
}

/// Settings of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// Time after which audit events are deleted.
    pub retention: Duration,
    /// Destination of audit events as JSON lines, if configured.
    pub lines: Option<LinesTarget>,
    /// Name of this machine in audit events. `None` for its host name.
    pub node: Option<String>,
}

/// Storage of sessions, pending logins and counters.
#[derive(Clone, Debug)]
pub enum SessionStore {
    /// In this directory, for one machine.
    Embedded(PathBuf),
    /// In Redis.
    Redis {
        /// The servers, with credentials.
        servers: Servers,
        /// PEM file with the CA certificates for servers with TLS. `None` for the public CAs.
        ca: Option<PathBuf>,
        /// Prefix of every key.
        key_prefix: String,
    },
}

/// Storage of accounts and second factors.
#[derive(Clone, Debug)]
pub enum Database {
    /// In this directory, for one machine.
    Embedded(PathBuf),
    /// In PostgreSQL: a `postgres://` URL with credentials.
    Postgres(Secret),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_an_app_lead_to_its_own_host_at_the_port_of_the_public_address() {
        let wildcard = HostPattern::Wildcard(".lab.test".to_owned());
        let hosts = [wildcard.clone(), HostPattern::Exact("app.test".to_owned())];
        for (public, link) in [
            ("https://wiki.test", "https://app.test"),
            ("https://wiki.test:8443", "https://app.test:8443"),
            ("https://[::1]", "https://app.test"),
            ("https://[::1]:8443", "https://app.test:8443"),
            ("https://x.lab.test:8443", "https://x.lab.test:8443"),
            ("https://app.test:8443", "https://app.test:8443"),
        ] {
            assert_eq!(links_to(&hosts, public).as_deref(), Some(link), "{public}");
        }
        assert_eq!(links_to(&[wildcard], "https://wiki.test"), None);
    }
}
