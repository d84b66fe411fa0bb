//! The raw configuration of an app and its rules.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{RawAppToken, RawDialectRef};

/// An app to protect.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawApp {
    /// Name in logs, metrics and sessions: 1 to 64 lower-case letters, digits, "-" and "_".
    pub(in crate::config) name: Option<String>,
    /// Name on Vestibule's pages and in authenticator apps. Default: the name.
    pub(in crate::config) title: Option<String>,
    /// Host names that the app is served on: exact names, or "*.example.com" for any single label.
    /// At least one.
    pub(in crate::config) hosts: Option<Vec<String>>,
    /// Upstream addresses, such as "http://10.0.0.11:8080": scheme, host and port, no path. At
    /// least one.
    pub(in crate::config) upstreams: Option<Vec<String>>,
    /// The host name that the app itself uses, such as "app.example.net" or "app.example.net:8443".
    /// Vestibule sends it as Host, checks the app's certificate against it, and rewrites it to the
    /// public host in responses. Default: the host that the browser requested.
    pub(in crate::config) upstream_host: Option<String>,
    /// PEM file with the CA of the upstream certificates. Default: the system's CAs.
    pub(in crate::config) upstream_ca: Option<PathBuf>,
    /// PEM file with the client certificate that Vestibule presents to upstreams. Needs
    /// upstream_client_key.
    pub(in crate::config) upstream_client_cert: Option<PathBuf>,
    /// PEM file with the key of upstream_client_cert.
    pub(in crate::config) upstream_client_key: Option<PathBuf>,
    /// True to use HTTP/2 to upstreams (needed for gRPC).
    #[schemars(extend("default" = false))]
    pub(in crate::config) upstream_http2: Option<bool>,
    /// Time limit for connecting to an upstream.
    #[schemars(extend("default" = "5s"))]
    pub(in crate::config) connect_timeout: Option<String>,
    /// Maximum pause between two reads of a response. The total time is not limited.
    #[schemars(extend("default" = "60s"))]
    pub(in crate::config) read_timeout: Option<String>,
    /// Idle time after which a kept connection to an upstream is closed. Keep it below the app's
    /// own limit, so that no request is sent on a connection that the app is closing.
    #[schemars(extend("default" = "4s"))]
    pub(in crate::config) upstream_idle: Option<String>,
    /// True to resend a request with any method, once, if a kept connection ended before the first
    /// byte of a response. If false, only requests with an idempotent method, or whose header was
    /// not fully sent, are resent.
    #[schemars(extend("default" = false))]
    pub(in crate::config) retry_unanswered: Option<bool>,
    /// Maximum simultaneous requests to the app, WebSockets included, 2 to 1000000. Requests
    /// without a session get half of it. Further requests get 503. Default: derived from the
    /// descriptor limit, at most 4000, of which 500 without a session.
    pub(in crate::config) max_requests: Option<usize>,
    /// True to forward WebSocket handshakes from pages of the same host.
    #[schemars(extend("default" = true))]
    pub(in crate::config) websocket: Option<bool>,
    /// True to let the app's service workers cover the whole host, including Vestibule's sign-in
    /// pages.
    #[schemars(extend("default" = false))]
    pub(in crate::config) service_workers: Option<bool>,
    /// Names of request headers to remove, in addition to the built-in list, for example headers
    /// that another proxy of yours sets. "-", "_" and "." are equivalent in names. Default: none.
    pub(in crate::config) strip_headers: Option<Vec<String>>,
    /// Methods allowed in addition to GET HEAD POST PUT PATCH DELETE OPTIONS. Default: none.
    pub(in crate::config) methods: Option<Vec<String>>,
    /// Globs of paths requested only by scripts. Vestibule never answers there with a redirect or a
    /// page. Default: none.
    pub(in crate::config) api_paths: Option<Vec<String>>,
    /// Other origins whose scripts may read Vestibule's responses, such as
    /// "https://spa.example.com". Default: none.
    pub(in crate::config) cors_origins: Option<Vec<String>>,
    /// Handling of CORS preflights without a session. answer: Vestibule answers those from
    /// cors_origins. pass: they are forwarded to the app without an identity.
    #[schemars(extend("default" = "answer", "enum" = ["answer", "pass"]))]
    pub(in crate::config) cors_preflight: Option<String>,
    /// Field names in Vestibule's JSON errors.
    pub(in crate::config) api_errors: Option<RawApiErrors>,
    /// Dialect by which the app's own clients sign in: a shipped one ("cellengine"), or { file =
    /// "…" }. With a dialect, the app's session tokens are valid only within a Vestibule session.
    /// Default: none.
    pub(in crate::config) dialect: Option<RawDialectRef>,
    /// The party that checks names and passwords: "password" for Vestibule, "app" for the app
    /// itself, which needs a dialect.
    #[schemars(extend("default" = "password", "enum" = ["password", "app"]))]
    pub(in crate::config) first_factor: Option<String>,
    /// With first_factor = "app": true to create an account at first sign-in for a user that only
    /// the app knows.
    #[schemars(extend("default" = false))]
    pub(in crate::config) provision: Option<bool>,
    /// With first_factor = "app": "counts" to accept a code that the app requested and verified as
    /// the second factor of users not enrolled in Vestibule. This is a weakening.
    #[schemars(extend("default" = "ignored", "enum" = ["ignored", "counts"]))]
    pub(in crate::config) app_second_factor: Option<String>,
    /// Long-lived tokens of the app that are accepted in place of both factors. Default: none.
    #[serde(default)]
    pub(in crate::config) tokens: Vec<RawAppToken>,
    /// Rules. The first match decides. Without a match, two factors are required.
    #[serde(default)]
    pub(in crate::config) rules: Vec<RawRule>,
}

/// Field names in Vestibule's JSON errors. "" omits a field.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawApiErrors {
    /// Name of the field with the message. Cannot be omitted.
    #[schemars(extend("default" = "error"))]
    pub(in crate::config) error: Option<String>,
    /// Name of the field with the error code.
    #[schemars(extend("default" = "code"))]
    pub(in crate::config) code: Option<String>,
    /// Name of the field with the URL for signing in.
    #[schemars(extend("default" = "login_url"))]
    pub(in crate::config) login_url: Option<String>,
    /// Name of the field with the URL for step-up.
    #[schemars(extend("default" = "step_up_url"))]
    pub(in crate::config) step_up_url: Option<String>,
    /// Name of the field with the reference.
    #[schemars(extend("default" = "reference"))]
    pub(in crate::config) reference: Option<String>,
    /// Name of the field with the seconds to wait, as in `Retry-After`.
    #[schemars(extend("default" = "retry_after"))]
    pub(in crate::config) retry_after: Option<String>,
}

/// A rule.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawRule {
    /// Name in logs, metrics and explanations. Default: "rule" and its number from 1.
    pub(in crate::config) name: Option<String>,
    /// Glob on the canonical path, by segment: * matches one segment, ** any number. Default: all
    /// paths.
    pub(in crate::config) path: Option<String>,
    /// Methods that the rule applies to. Default: all.
    pub(in crate::config) methods: Option<Vec<String>>,
    /// Hosts of the app that the rule applies to. Default: all.
    pub(in crate::config) hosts: Option<Vec<String>>,
    /// Client networks that the rule applies to, such as "10.0.0.0/8". Default: all.
    pub(in crate::config) networks: Option<Vec<String>>,
    /// Users that the rule applies to, by login name. Default: all.
    pub(in crate::config) users: Option<Vec<String>>,
    /// Groups whose members the rule applies to. Default: all.
    pub(in crate::config) groups: Option<Vec<String>>,
    /// public: forwarded without authentication. password: requires a verified password only, which
    /// is a weakening. two_factor: requires both factors. deny: rejected for everyone.
    #[schemars(extend("enum" = ["public", "password", "two_factor", "deny"]))]
    pub(in crate::config) access: Option<String>,
    /// With two_factor: maximum age of the second factor before a step-up. Default: the age of the
    /// session.
    pub(in crate::config) max_age: Option<String>,
    /// True to log and count what the rule would do without applying it. The rules after it decide.
    #[schemars(extend("default" = false))]
    pub(in crate::config) report_only: Option<bool>,
}
