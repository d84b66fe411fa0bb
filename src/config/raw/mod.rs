//! The raw configuration: every key with its type, before validation. The doc comments are the
//! descriptions in the JSON Schema.
#![expect(
    clippy::doc_markdown,
    reason = "the comments are schema descriptions, which editors show as plain text"
)]

mod app;
mod audit;
mod dialect;
mod limits;
mod mail;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use self::app::{RawApiErrors, RawApp, RawRule};
pub(super) use self::audit::RawAudit;
pub(super) use self::dialect::{RawAppToken, RawBody, RawDialect, RawDialectFile, RawDialectRef};
pub(super) use self::limits::{RawPasswords, RawSessions, RawThrottle};
pub(super) use self::mail::RawMail;
use super::secret_ref::SecretRef;

/// The configuration of Vestibule. Durations are written like "30m", sizes like "16KiB". Relative
/// paths are relative to this file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Vestibule configuration", rename = "Vestibule")]
pub(super) struct RawConfig {
    /// Directory for the embedded stores and the key file, created at start with mode 0700.
    /// Required unless sessions are in Redis, accounts in PostgreSQL and keys.file is set.
    pub(super) data_dir: Option<PathBuf>,
    /// Base URL of links printed by the command line, such as "https://cellengine.example.com".
    /// Default: https and the first exact host of the first app.
    pub(super) public_url: Option<String>,
    /// Threads and shutdown.
    pub(super) server: Option<RawServer>,
    /// Addresses that Vestibule listens on. At least one must serve apps (https or http).
    #[serde(default)]
    pub(super) listeners: Vec<RawListener>,
    /// Certificates of the https listeners, selected by server name (SNI).
    #[serde(default)]
    pub(super) certificates: Vec<RawCertificate>,
    /// Trusted proxies, connection limits and body timeouts.
    pub(super) network: Option<RawNetwork>,
    /// The listener for health and metrics.
    pub(super) admin: Option<RawAdmin>,
    /// The key file.
    pub(super) keys: Option<RawKeys>,
    /// Session storage and lifetimes.
    pub(super) sessions: Option<RawSessions>,
    /// Redis. Required if sessions.store is "redis".
    pub(super) redis: Option<RawRedis>,
    /// Storage of accounts and second factors.
    pub(super) accounts: Option<RawAccounts>,
    /// The second factor.
    pub(super) second_factor: Option<RawSecondFactor>,
    /// One-time links that set a password or enrol a second factor.
    pub(super) tickets: Option<RawTickets>,
    /// Password requirements and the cost of password hashes.
    pub(super) passwords: Option<RawPasswords>,
    /// Failed attempts allowed before backoff.
    pub(super) throttle: Option<RawThrottle>,
    /// The audit log and its retention.
    pub(super) audit: Option<RawAudit>,
    /// The mail server for notices to users about their accounts. Default: none.
    pub(super) mail: Option<RawMail>,
    /// The log.
    pub(super) log: Option<RawLog>,
    /// Apps to protect. At least one.
    #[serde(default)]
    pub(super) apps: Vec<RawApp>,
}

/// Threads and shutdown.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServer {
    /// Worker threads, 1 to 1024. Default: one per core.
    pub(super) workers: Option<usize>,
    /// Time limit for requests in flight to finish after SIGTERM.
    #[schemars(extend("default" = "30s"))]
    pub(super) drain: Option<String>,
}

/// One listener.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawListener {
    /// IP address and port, such as "0.0.0.0:8443" or "[::]:8443". Port 0 selects a free port.
    pub(super) address: Option<String>,
    /// https: TLS with HTTP/1.1 and HTTP/2. http: plain text, behind a TLS-terminating balancer or
    /// on loopback. redirect: 308 to https for GET and HEAD, 403 for anything else.
    #[schemars(extend("enum" = ["https", "http", "redirect"]))]
    pub(super) kind: Option<String>,
}

/// A certificate and its key. Both files are watched and reloaded.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCertificate {
    /// PEM file with the certificate chain, the server's own certificate first.
    pub(super) cert: Option<PathBuf>,
    /// PEM file with the private key.
    pub(super) key: Option<PathBuf>,
}

/// Trusted proxies, connection limits and body timeouts.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNetwork {
    /// Networks or addresses of proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted.
    /// Default: none. A network of prefix length 0 is an error.
    pub(super) trusted_proxies: Option<Vec<String>>,
    /// True if trusted proxies use the PROXY protocol. Only false is available yet.
    #[schemars(extend("default" = false))]
    pub(super) proxy_protocol: Option<bool>,
    /// Maximum open connections of all listeners, 10 to 1000000. At the limit, idle connections are
    /// closed to admit others. Default: derived from the descriptor limit, at most 10000.
    pub(super) max_connections: Option<usize>,
    /// Maximum open connections from one address, trusted proxies excluded. At the limit, idle
    /// connections are closed to admit others.
    #[schemars(extend("default" = 100))]
    pub(super) connections_per_address: Option<usize>,
    /// Maximum pause while a client sends a body to an app on a public path.
    #[schemars(extend("default" = "60s"))]
    pub(super) body_idle: Option<String>,
    /// Maximum pause for signed-in users and accepted tokens.
    #[schemars(extend("default" = "10m"))]
    pub(super) body_idle_signed_in: Option<String>,
    /// Maximum simultaneous requests from one client address, also behind trusted proxies. Requests
    /// without a session get half of it. Further requests get 503.
    #[schemars(extend("default" = 500))]
    pub(super) requests_per_address: Option<usize>,
}

/// The listener for health and metrics.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAdmin {
    /// Address of /livez, /readyz and /metrics, such as "127.0.0.1:9180". Never use a public one.
    /// Default: none.
    pub(super) address: Option<String>,
}

/// The key file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKeys {
    /// Path of the key file (mode 0600). Default: keys.toml in data_dir. Created at first start if
    /// sessions and accounts are embedded, otherwise by `vestibule keys init`.
    pub(super) file: Option<PathBuf>,
}

/// Redis.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRedis {
    /// redis://[user:password@]host[:port][/db], or rediss:// for TLS.
    pub(super) url: Option<SecretRef>,
    /// PEM file with the CA certificates for a rediss:// server.
    pub(super) ca: Option<PathBuf>,
    /// Prefix of every key in Redis.
    #[schemars(extend("default" = "vestibule"))]
    pub(super) key_prefix: Option<String>,
}

/// Storage of accounts and second factors.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAccounts {
    /// "embedded" (SQLite in data_dir) or `postgres://user:password@host/db`.
    #[schemars(extend("default" = "embedded"))]
    pub(super) database: Option<SecretRef>,
}

/// The second factor.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSecondFactor {
    /// Enrolment of the second factor of a new account: "first_login", or "ticket" for a one-time
    /// link and the password.
    #[schemars(extend("default" = "first_login", "enum" = ["first_login", "ticket"]))]
    pub(super) enrolment: Option<String>,
    /// Codes from an authenticator app.
    pub(super) totp: Option<RawTotp>,
}

/// One-time links that set a password or enrol a second factor.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTickets {
    /// Lifetime of a link unless the command sets one, at most 7days.
    #[schemars(extend("default" = "24h"))]
    pub(super) lifetime: Option<String>,
}

/// Codes from an authenticator app.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTotp {
    /// Issuer shown in the authenticator app. Default: the title of the app that the user signs in
    /// to.
    pub(super) issuer: Option<String>,
}

/// The log.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    /// Format of log lines: text for people, json for machines.
    #[schemars(extend("default" = "text", "enum" = ["text", "json"]))]
    pub(super) format: Option<String>,
    /// Minimum level of log lines.
    #[schemars(extend("default" = "info", "enum" = ["error", "warn", "info", "debug", "trace"]))]
    pub(super) level: Option<String>,
}
