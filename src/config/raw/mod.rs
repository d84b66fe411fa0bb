//! The configuration file as it is written: every key with its type, nothing checked yet. The doc
//! comments are the descriptions in the JSON Schema.
#![expect(
    clippy::doc_markdown,
    reason = "the comments are the descriptions in the schema, which editors show as plain text"
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
    /// Where the embedded stores and the key file live; made at start with mode 0700. Needed unless
    /// sessions are in Redis, accounts in PostgreSQL and keys.file is set.
    pub(super) data_dir: Option<PathBuf>,
    /// What links printed by the command line start with, such as
    /// "https://cellengine.example.com". Default: https and the first exact host of the first app.
    pub(super) public_url: Option<String>,
    /// Threads and shutdown.
    pub(super) server: Option<RawServer>,
    /// Where Vestibule listens. At least one that serves apps (https or http).
    #[serde(default)]
    pub(super) listeners: Vec<RawListener>,
    /// Certificates of the https listeners, chosen by server name (SNI).
    #[serde(default)]
    pub(super) certificates: Vec<RawCertificate>,
    /// Who is believed and how much is borne.
    pub(super) network: Option<RawNetwork>,
    /// The listener for health and metrics.
    pub(super) admin: Option<RawAdmin>,
    /// The key file.
    pub(super) keys: Option<RawKeys>,
    /// Sessions: where they are kept and how long they live.
    pub(super) sessions: Option<RawSessions>,
    /// Redis; needed when sessions.store is "redis".
    pub(super) redis: Option<RawRedis>,
    /// Where accounts and second factors are kept.
    pub(super) accounts: Option<RawAccounts>,
    /// The second factor.
    pub(super) second_factor: Option<RawSecondFactor>,
    /// One-time links that set a password or enrol a second factor.
    pub(super) tickets: Option<RawTickets>,
    /// Passwords: what is asked of them and what their hashes cost.
    pub(super) passwords: Option<RawPasswords>,
    /// How many wrong guesses are borne before somebody has to wait.
    pub(super) throttle: Option<RawThrottle>,
    /// The audit trail: what happened to accounts, and for how long that is kept.
    pub(super) audit: Option<RawAudit>,
    /// The mail server through which people are told what happens to their accounts. Default: none.
    pub(super) mail: Option<RawMail>,
    /// The log.
    pub(super) log: Option<RawLog>,
    /// The apps to be protected. At least one.
    #[serde(default)]
    pub(super) apps: Vec<RawApp>,
}

/// Threads and shutdown.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServer {
    /// Worker threads, 1 to 1024. Default: one for each core.
    pub(super) workers: Option<usize>,
    /// How long requests in flight may take to finish on SIGTERM.
    #[schemars(extend("default" = "30s"))]
    pub(super) drain: Option<String>,
}

/// One listener.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawListener {
    /// IP address and port, such as "0.0.0.0:8443" or "[::]:8443"; port 0 takes a free one.
    pub(super) address: Option<String>,
    /// https: TLS with HTTP/1.1 and HTTP/2. http: plain, behind a TLS-ending balancer or on
    /// loopback. redirect: 308 to https for GET and HEAD, 403 for anything else.
    #[schemars(extend("enum" = ["https", "http", "redirect"]))]
    pub(super) kind: Option<String>,
}

/// A certificate and its key. The files are watched and reloaded.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCertificate {
    /// PEM file with the certificate chain, the server's own first.
    pub(super) cert: Option<PathBuf>,
    /// PEM file with the private key.
    pub(super) key: Option<PathBuf>,
}

/// Who is believed and how much is borne.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNetwork {
    /// Networks or addresses whose X-Forwarded-For and X-Forwarded-Proto are believed. Default:
    /// none. A network of prefix length 0 is refused.
    pub(super) trusted_proxies: Option<Vec<String>>,
    /// Whether trusted proxies speak the PROXY protocol. Not available yet: only false.
    #[schemars(extend("default" = false))]
    pub(super) proxy_protocol: Option<bool>,
    /// Open connections over all listeners, 10 to 1000000. When they are full, idle ones are closed
    /// to let others in. Default: what the descriptor limit allows, at most 10000.
    pub(super) max_connections: Option<usize>,
    /// Open connections from one address; trusted proxies are not counted. When they are full, idle
    /// ones are closed to let others in.
    #[schemars(extend("default" = 100))]
    pub(super) connections_per_address: Option<usize>,
    /// How long a client may pause while it sends a body to an app on a public path.
    #[schemars(extend("default" = "60s"))]
    pub(super) body_idle: Option<String>,
    /// The same for people who are signed in and for tokens that are let through.
    #[schemars(extend("default" = "10m"))]
    pub(super) body_idle_signed_in: Option<String>,
    /// Requests in hand from one client address, also behind trusted proxies; without a session half
    /// as many. More are answered with 503.
    #[schemars(extend("default" = 500))]
    pub(super) requests_per_address: Option<usize>,
}

/// The listener for health and metrics.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAdmin {
    /// Address of /livez, /readyz and /metrics, such as "127.0.0.1:9180"; never a public one.
    /// Default: none.
    pub(super) address: Option<String>,
}

/// The key file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKeys {
    /// The key file (mode 0600). Default: keys.toml in data_dir. Made at first start when sessions
    /// and accounts are embedded; otherwise by `vestibule keys init`.
    pub(super) file: Option<PathBuf>,
}

/// Redis.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRedis {
    /// redis://[user:password@]host[:port][/db], or rediss:// for TLS.
    pub(super) url: Option<SecretRef>,
    /// The certificates (PEM) that a rediss:// server is checked against.
    pub(super) ca: Option<PathBuf>,
    /// What every key in Redis starts with.
    #[schemars(extend("default" = "vestibule"))]
    pub(super) key_prefix: Option<String>,
}

/// Where accounts and second factors are kept.
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
    /// When an account that was never enrolled sets up its second factor: at its first login, or
    /// with a one-time link ("ticket") and the password.
    #[schemars(extend("default" = "first_login", "enum" = ["first_login", "ticket"]))]
    pub(super) enrolment: Option<String>,
    /// Codes from an authenticator app.
    pub(super) totp: Option<RawTotp>,
}

/// One-time links that set a password or enrol a second factor.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTickets {
    /// How long a link works unless the command that makes it says otherwise; at most 7days.
    #[schemars(extend("default" = "24h"))]
    pub(super) lifetime: Option<String>,
}

/// Codes from an authenticator app.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTotp {
    /// What the authenticator app shows. Default: the title of the app that is signed in to.
    pub(super) issuer: Option<String>,
}

/// The log.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    /// For people (text) or for machines (json).
    #[schemars(extend("default" = "text", "enum" = ["text", "json"]))]
    pub(super) format: Option<String>,
    /// The least level that is logged.
    #[schemars(extend("default" = "info", "enum" = ["error", "warn", "info", "debug", "trace"]))]
    pub(super) level: Option<String>,
}
