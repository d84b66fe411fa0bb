//! The configuration once it is validated: no text left to parse, no default left to fill in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::auth::account::LoginName;
use crate::auth::password::PasswordSettings;
use crate::auth::session::SessionLimits;
use crate::auth::throttle::Budgets;
use crate::auth::ticket::FirstEnrolment;
use crate::base::secret::Secret;
pub use crate::notice::{MailSettings, MailTls};
use crate::proxy::settings::{AppSettings, HostPattern, ProxySettings};
pub use crate::telemetry::lines::LinesTarget;
pub use crate::telemetry::logs::{LogFormat, LogSettings};

/// Everything an operator can set, in effect.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file it was read from, to be read again on SIGHUP.
    pub source: PathBuf,
    /// Where embedded stores live. `Some` whenever one of them is in use.
    pub data_dir: Option<PathBuf>,
    /// What links to the gateway start with: scheme and host, no slash at the end.
    pub public_url: String,
    /// Listeners, certificates and apps.
    pub proxy: ProxySettings,
    /// Where health and metrics are served, if at all.
    pub admin: Option<SocketAddr>,
    /// The key file.
    pub keys_file: PathBuf,
    /// Whether the key file may be made at first start: only while all stores are embedded.
    pub keys_may_be_made: bool,
    /// How long sessions and logins live.
    pub sessions: SessionLimits,
    /// Where sessions, logins and counters are kept.
    pub session_store: SessionStore,
    /// Where accounts and second factors are kept.
    pub database: Database,
    /// What the first enrolment of an account takes.
    pub enrolment: FirstEnrolment,
    /// How long one-time links work.
    pub ticket_lifetime: Duration,
    /// What authenticator apps show; the app's title where it is not set.
    pub issuer: Option<String>,
    /// The hashing pool and what is asked of a password.
    pub passwords: PasswordSettings,
    /// How many wrong guesses are borne.
    pub budgets: Budgets,
    /// The audit trail.
    pub audit: AuditSettings,
    /// The mail server for notices, if there is one.
    pub mail: Option<MailSettings>,
    /// The log.
    pub log: LogSettings,
    /// What is allowed but may not be meant, each a sentence that starts with its key.
    pub warnings: Vec<String>,
    /// Where less than two factors opens more than it has to, as it was asked for; each a sentence
    /// that starts with its key.
    pub weakenings: Vec<String>,
}

impl Settings {
    /// What links to the apps that keep passwords start with, by their names: the first exact host of
    /// each, with the port of `public_url`.
    pub fn app_urls(&self) -> BTreeMap<String, String> {
        let keeping = self.proxy.apps.iter().filter(|app| app.first_factor.is_some());
        let url_of = |app: &AppSettings| links_to(&app.hosts, &self.public_url);
        keeping.filter_map(|app| Some((app.name.clone(), url_of(app)?))).collect()
    }

    /// Whom rules and tokens of apps mean by login name.
    pub fn people_meant(&self) -> BTreeSet<LoginName> {
        let apps = &self.proxy.apps;
        let rules = apps.iter().flat_map(|app| app.policy.rules());
        let tokens = apps.iter().flat_map(|app| &app.tokens);
        let of_tokens = tokens.map(|token| &token.user);
        rules.flat_map(|rule| &rule.users).chain(of_tokens).cloned().collect()
    }
}

/// What links to an app with these hosts start with: `public_url` where that is one of them.
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

/// How the audit trail is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// How long rows are kept.
    pub retention: Duration,
    /// Where rows are also written as JSON lines.
    pub lines: Option<LinesTarget>,
    /// What this machine is called in rows; its host name where it is not set.
    pub node: Option<String>,
}

/// Where sessions, logins and counters are kept.
#[derive(Clone, Debug)]
pub enum SessionStore {
    /// In this directory, for one machine.
    Embedded(PathBuf),
    /// In Redis.
    Redis {
        /// `redis://` or `rediss://`, with credentials.
        url: Secret,
        /// What the certificate of a `rediss://` server is checked against; the public authorities
        /// where there is none.
        ca: Option<PathBuf>,
        /// What every key starts with.
        key_prefix: String,
    },
}

/// Where accounts and second factors are kept.
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
