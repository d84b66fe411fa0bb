//! The raw configuration: every key with its type, before validation. The doc comments are the
//! descriptions in the JSON Schema, `docs/configuration.md` and `config/vestibule.example.toml`.

mod app;
mod audit;
mod dialect;
mod limits;
mod mail;
mod portal;
mod session_store;
mod webauthn;

use std::path::PathBuf;

pub(super) use self::app::{
    RawApiErrors, RawApp, RawHealth, RawIdentityHeaders, RawRule, RawUpstream,
};
pub(super) use self::audit::RawAudit;
pub(super) use self::dialect::{RawAppToken, RawBody, RawDialect, RawDialectFile, RawDialectRef};
pub(super) use self::limits::{RawPasswords, RawSessions, RawThrottle};
pub(super) use self::mail::RawMail;
pub(super) use self::portal::RawPortal;
pub(super) use self::session_store::{RawRedis, RawSentinel};
pub(super) use self::webauthn::RawWebauthn;
use super::secret_ref::SecretRef;
use super::table::table;

table! {
    /// The configuration of Vestibule. Durations are written like "30m", sizes like "16KiB".
    /// Relative paths are relative to this file.
    #[schemars(title = "Vestibule configuration", rename = "Vestibule")]
    pub(super) RawConfig {
        /// Directory for embedded stores and the key file. Created at start with mode 0700. Not
        /// needed if `sessions.store` is `redis`, `accounts.database` is PostgreSQL and `keys.file`
        /// is set.
        data_dir: Option<PathBuf>, is "path", implied "required if anything is embedded",
            shown "/var/lib/vestibule";
        /// Start of links: scheme, host and port only. Set it if users reach the gateway at another
        /// port than the listener's, such as a forwarded port. `check` warns about plain http, and
        /// about a host that belongs to no app.
        ///
        /// Links to other hosts (`login_url`, redirects to https) use its scheme and port. If it is
        /// not set, they use what a trusted proxy says, or else `Host` and the first `https`
        /// listener.
        public_url: Option<String>, is "URL",
            implied "`https://`, the first exact host of the first app, and the port of the first `https` listener",
            example "https://cellengine.example.com:8443";
        /// Threads and shutdown.
        server: Option<RawServer>, table RawServer;
        /// Addresses that Vestibule listens on. At least one must serve apps (https or http).
        #[serde(default)]
        listeners: Vec<RawListener>, list RawListener;
        /// Certificates of the https listeners, selected by server name (SNI).
        #[serde(default)]
        certificates: Vec<RawCertificate>, list RawCertificate;
        /// Trusted proxies, connection limits and body timeouts.
        network: Option<RawNetwork>, table RawNetwork;
        /// The listener for health and metrics.
        admin: Option<RawAdmin>, table RawAdmin;
        /// The key file.
        keys: Option<RawKeys>, table RawKeys;
        /// Session storage and lifetimes.
        sessions: Option<RawSessions>, table RawSessions;
        /// Redis, if sessions.store is "redis": one server, sentinels, or a cluster.
        redis: Option<RawRedis>, optional RawRedis;
        /// Storage of accounts and second factors.
        accounts: Option<RawAccounts>, table RawAccounts;
        /// The second factor.
        second_factor: Option<RawSecondFactor>, table RawSecondFactor;
        /// One-time links that set a password or enrol a second factor.
        tickets: Option<RawTickets>, table RawTickets;
        /// Password requirements and the cost of password hashes.
        passwords: Option<RawPasswords>, table RawPasswords;
        /// Failed attempts allowed before backoff. A known browser is one in which both factors of the
        /// account were proved before.
        throttle: Option<RawThrottle>, table RawThrottle;
        /// The audit log and its retention.
        audit: Option<RawAudit>, table RawAudit;
        /// The mail server for notices to users about their accounts. Default: none.
        mail: Option<RawMail>, optional RawMail;
        /// The log.
        log: Option<RawLog>, table RawLog;
        /// A host that signs users in for several apps. Default: none, each app signs in at its own
        /// host.
        portal: Option<RawPortal>, optional RawPortal;
        /// Apps to protect. At least one.
        #[serde(default)]
        apps: Vec<RawApp>, list RawApp;
    }
}

table! {
    /// Threads and shutdown.
    pub(super) RawServer {
        /// Worker threads.
        workers: Option<usize>, is "1 to 1024", implied "one for each core", example 2;
        /// Time after SIGTERM in which the node still takes new requests, while `/nodez` and `/readyz`
        /// are 503 already, so that balancers notice.
        ///
        /// See [deployment.md](deployment.md#health-checks-of-a-balancer).
        drain_notice: Option<String>, is "duration", default "0s";
        /// Maximum time for requests in flight to finish after that.
        drain: Option<String>, is "duration", default "30s";
    }
}

table! {
    /// One listener.
    pub(super) RawListener {
        /// Address to listen on.
        address: Option<String>, is "address", shown "0.0.0.0:8443";
        /// `https`: TLS with HTTP/1.1 and HTTP/2. `http`: plain, behind a load balancer that
        /// terminates TLS, or on loopback. `check` warns if the address is not loopback and
        /// `network.trusted_proxies` is not set.
        ///
        /// `redirect`: 308 to https for GET and HEAD, 403 for other methods.
        kind: Option<String>, one_of ["https", "http", "redirect"], shown "https";
    }
}

table! {
    /// A certificate and its key. Both files are watched and reloaded.
    pub(super) RawCertificate {
        /// PEM file with the certificate chain, the server's own certificate first.
        cert: Option<PathBuf>, is "path", shown "certs/cellengine.pem";
        /// PEM file with the private key, without a passphrase: ECDSA (P-256 or P-384), RSA (2048 to
        /// 4096 bits) or Ed25519, which most browsers do not accept in a certificate.
        key: Option<PathBuf>, is "path", shown "certs/cellengine.key";
    }
}

table! {
    /// Trusted proxies, connection limits and body timeouts.
    pub(super) RawNetwork {
        /// Proxies whose `X-Forwarded-For`, `-Proto`, `-Host`, `-Port` and `Forwarded` are trusted.
        /// `check` rejects networks that together cover all public addresses, such as `/0`, and a
        /// network with host bits set (`10.0.0.1/8`). It warns about a network wider than `/8`
        /// (IPv6: `/7`).
        ///
        /// See [below](#what-trusted-proxies-say).
        trusted_proxies: Option<Vec<String>>, is "list of networks or IP addresses", default [],
            example ["10.0.0.0/8"];
        /// True if trusted proxies send a PROXY protocol header, version 1 or 2, before anything else. A
        /// connection of a trusted proxy without one is closed.
        ///
        /// Other peers send none: [deployment.md](deployment.md#proxy-protocol).
        proxy_protocol: Option<bool>, is "true or false", default false;
        /// Maximum open connections over all listeners. When it is reached, idle connections are
        /// closed to let new ones in.
        max_connections: Option<usize>, is "10 to 1000000",
            implied "what the descriptor limit allows, at most 10000", example 10000;
        /// Maximum open connections from one address, except trusted proxies. When it is reached,
        /// idle connections are closed to let new ones in.
        connections_per_address: Option<usize>, is "1 to 1000000", default 100;
        /// Maximum requests in progress from one client address, also behind trusted proxies; half
        /// as many without a session. Further requests get 503.
        requests_per_address: Option<usize>, is "2 to 1000000", default 500;
        /// Maximum pause of a client while it sends a body to an app on a public path. There is no
        /// limit on the total time.
        ///
        /// If the client speaks HTTP/2 and the app HTTP/1.1, it also limits the silence of the app
        /// in such a request.
        body_idle: Option<String>, is "duration", default "60s";
        /// The same for requests with a session or an accepted token. It also limits the silence of
        /// their WebSockets. If the client speaks HTTP/2, the app's `read_timeout` limits a pause
        /// instead.
        body_idle_signed_in: Option<String>, is "duration", default "10m";
    }
}

table! {
    /// The listener for health and metrics.
    pub(super) RawAdmin {
        /// Listener for `/livez`, `/nodez`, `/readyz` and `/metrics`, without authentication. `check`
        /// warns if the address is not loopback.
        address: Option<String>, is "address", implied "none: not served", example "127.0.0.1:9180";
    }
}

table! {
    /// The key file.
    pub(super) RawKeys {
        /// The key file: a regular file that only its owner can read (`chmod 600`). Created at the
        /// first start if both sessions and accounts are embedded.
        ///
        /// Otherwise create it with `vestibule keys init FILE` and give every node the same file. A
        /// file of root may be readable for the group of the gateway's user, as in Kubernetes.
        file: Option<PathBuf>, is "path", implied "`keys.toml` in `data_dir`",
            example "/var/lib/vestibule/keys.toml";
    }
}

table! {
    /// Storage of accounts and second factors.
    pub(super) RawAccounts {
        /// Store for accounts and second factors: `embedded` (SQLite in `data_dir`) or
        /// `postgres://user:password@host/db`. `check` warns if the server is not on loopback and
        /// `?sslmode=verify-full` (or `verify-ca`) is missing.
        ///
        /// Several hosts are separated by commas (`db1,db2:5433`), and the one that accepts writes is
        /// used; `target_session_attrs=read-write` asks the same of a single one.
        database: Option<SecretRef>, is "secret", default "embedded";
        /// Maximum connections of a node to PostgreSQL. Commands open a few of their own.
        pool: Option<u32>, is "1 to 1000", default 10;
    }
}

table! {
    /// The second factor.
    pub(super) RawSecondFactor {
        /// When a new account enrols its second factor: at its first login, or with a one-time link
        /// and the password. An account that was ever enrolled always needs a link or a recovery
        /// code.
        enrolment: Option<String>, one_of ["first_login", "ticket"], default "first_login";
        /// Codes from an authenticator app: `[second_factor.totp]`.
        totp: Option<RawTotp>, table RawTotp;
        /// Passkeys and security keys: `[second_factor.webauthn]`.
        webauthn: Option<RawWebauthn>, table RawWebauthn;
    }
}

table! {
    /// Codes from an authenticator app.
    pub(super) RawTotp {
        /// Name of the service in the authenticator app.
        issuer: Option<String>, is "text without a colon", implied "the title of the app",
            example "CellEngine";
    }
}

table! {
    /// One-time links that set a password or enrol a second factor.
    pub(super) RawTickets {
        /// Lifetime of a link without `--expires`.
        lifetime: Option<String>, is "duration, at most 7days", default "24h";
    }
}

table! {
    /// The log.
    pub(super) RawLog {
        /// `text` is for people, `json` for programs.
        format: Option<String>, one_of ["text", "json"], default "text";
        /// Lowest level that is logged.
        level: Option<String>, one_of ["error", "warn", "info", "debug", "trace"], default "info";
    }
}
