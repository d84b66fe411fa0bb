//! An app and its rules as they are written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{RawAppToken, RawDialectRef};

/// An app to be protected.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawApp {
    /// Its name in logs, metrics and sessions: 1 to 64 small letters, digits, "-" and "_".
    pub(in crate::config) name: Option<String>,
    /// Its name on our pages and in authenticator apps. Default: the name.
    pub(in crate::config) title: Option<String>,
    /// The hosts it answers to: exact names, or "*.example.com" for any one label. At least one.
    pub(in crate::config) hosts: Option<Vec<String>>,
    /// Its addresses, such as "http://10.0.0.11:8080": scheme, host and port, no path. At least one.
    pub(in crate::config) upstreams: Option<Vec<String>>,
    /// The name that the app has for itself, such as "app.example.net" or "app.example.net:8443": it
    /// is addressed by it, its certificate must name it, and what it says of it is turned into what
    /// the browser asked for. Default: the host that the browser asked for.
    pub(in crate::config) upstream_host: Option<String>,
    /// PEM file with the CA that signed its certificates. Default: the system's CAs.
    pub(in crate::config) upstream_ca: Option<PathBuf>,
    /// PEM file with the certificate we show it. Needs upstream_client_key.
    pub(in crate::config) upstream_client_cert: Option<PathBuf>,
    /// PEM file with the key of upstream_client_cert.
    pub(in crate::config) upstream_client_key: Option<PathBuf>,
    /// Whether HTTP/2 is spoken to it (needed for gRPC).
    #[schemars(extend("default" = false))]
    pub(in crate::config) upstream_http2: Option<bool>,
    /// How long a connection to it may take to be made.
    #[schemars(extend("default" = "5s"))]
    pub(in crate::config) connect_timeout: Option<String>,
    /// How long it may be silent between two reads of a response. There is no limit in all.
    #[schemars(extend("default" = "60s"))]
    pub(in crate::config) read_timeout: Option<String>,
    /// How long a connection to it without a request is kept. Stay below the app's own limit, so
    /// that no request meets a connection that the app is closing.
    #[schemars(extend("default" = "4s"))]
    pub(in crate::config) upstream_idle: Option<String>,
    /// Whether a request with any method is sent again, once, when a kept connection ended without
    /// a byte of an answer. Without it only idempotent methods are, and requests whose header did
    /// not go out whole.
    #[schemars(extend("default" = false))]
    pub(in crate::config) retry_unanswered: Option<bool>,
    /// Requests that it is sent at once, WebSockets included, 2 to 1000000; without a session half as
    /// many. More are answered with 503. Default: what the descriptor limit allows, at most 4000, of
    /// which 500 without a session.
    pub(in crate::config) max_requests: Option<usize>,
    /// Whether WebSocket handshakes are passed on, from pages of the same host.
    #[schemars(extend("default" = true))]
    pub(in crate::config) websocket: Option<bool>,
    /// Whether its service workers may cover the whole host, our sign-in pages with it.
    #[schemars(extend("default" = false))]
    pub(in crate::config) service_workers: Option<bool>,
    /// Names of headers that its clients may not send it, beside the built-in list: what a proxy of
    /// yours tells it, say. "-", "_" and "." are the same in them. Default: none.
    pub(in crate::config) strip_headers: Option<Vec<String>>,
    /// Methods it may be sent beyond GET HEAD POST PUT PATCH DELETE OPTIONS. Default: none.
    pub(in crate::config) methods: Option<Vec<String>>,
    /// Paths that only scripts ask for, as globs like those of rules: answers of ours there are
    /// never redirects and never pages. Default: none.
    pub(in crate::config) api_paths: Option<Vec<String>>,
    /// Other origins whose scripts may read our answers, such as "https://spa.example.com".
    /// Default: none.
    pub(in crate::config) cors_origins: Option<Vec<String>>,
    /// What becomes of CORS preflights that nobody is signed in for. answer: those of cors_origins
    /// are answered by Vestibule. pass: they are forwarded to the app, which is told of nobody.
    #[schemars(extend("default" = "answer", "enum" = ["answer", "pass"]))]
    pub(in crate::config) cors_preflight: Option<String>,
    /// What the fields of our JSON answers are called.
    pub(in crate::config) api_errors: Option<RawApiErrors>,
    /// How it is signed in to by its own clients: a description that is shipped ("cellengine"), or
    /// { file = "…" }. With one, its session tokens count only within a session of ours. Default:
    /// none.
    pub(in crate::config) dialect: Option<RawDialectRef>,
    /// Who checks names and passwords: "password" for Vestibule, "app" for the app itself, which
    /// needs a dialect.
    #[schemars(extend("default" = "password", "enum" = ["password", "app"]))]
    pub(in crate::config) first_factor: Option<String>,
    /// With first_factor = "app": whether somebody whom the app knows and Vestibule does not gets an
    /// account at the first sign-in.
    #[schemars(extend("default" = false))]
    pub(in crate::config) provision: Option<bool>,
    /// With first_factor = "app": whether a code that the app itself asked for and took counts as
    /// the second factor of people who were never enrolled here, which weakens it.
    #[schemars(extend("default" = "ignored", "enum" = ["ignored", "counts"]))]
    pub(in crate::config) app_second_factor: Option<String>,
    /// Its long-lived tokens that are let through in place of both factors. Default: none.
    #[serde(default)]
    pub(in crate::config) tokens: Vec<RawAppToken>,
    /// Its rules. The first that matches decides; where none matches, two factors are asked for.
    #[serde(default)]
    pub(in crate::config) rules: Vec<RawRule>,
}

/// What the fields of our JSON answers are called; "" leaves a field out.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawApiErrors {
    /// The sentence. It cannot be left out.
    #[schemars(extend("default" = "error"))]
    pub(in crate::config) error: Option<String>,
    /// The code.
    #[schemars(extend("default" = "code"))]
    pub(in crate::config) code: Option<String>,
    /// Where to sign in.
    #[schemars(extend("default" = "login_url"))]
    pub(in crate::config) login_url: Option<String>,
    /// Where to prove the second factor again.
    #[schemars(extend("default" = "step_up_url"))]
    pub(in crate::config) step_up_url: Option<String>,
    /// The reference.
    #[schemars(extend("default" = "reference"))]
    pub(in crate::config) reference: Option<String>,
    /// The seconds to wait before the next try, as in `Retry-After`.
    #[schemars(extend("default" = "retry_after"))]
    pub(in crate::config) retry_after: Option<String>,
}

/// One rule.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawRule {
    /// What it is called in logs, metrics and explanations. Default: "rule" and its number from 1.
    pub(in crate::config) name: Option<String>,
    /// Glob on the canonical path, segment by segment: * is one segment, ** any number of them.
    /// Default: all paths.
    pub(in crate::config) path: Option<String>,
    /// The methods it is about. Default: all.
    pub(in crate::config) methods: Option<Vec<String>>,
    /// The hosts of the app that it is about. Default: all.
    pub(in crate::config) hosts: Option<Vec<String>>,
    /// The networks of clients that it is about, such as "10.0.0.0/8". Default: all.
    pub(in crate::config) networks: Option<Vec<String>>,
    /// The people it is about, by login name. Default: all.
    pub(in crate::config) users: Option<Vec<String>>,
    /// The groups whose members it is about. Default: all.
    pub(in crate::config) groups: Option<Vec<String>>,
    /// public: forwarded without asking who it is. password: for a person whose password is proved,
    /// which weakens what is behind it. two_factor: for a person with both factors. deny: refused
    /// for everybody.
    #[schemars(extend("enum" = ["public", "password", "two_factor", "deny"]))]
    pub(in crate::config) access: Option<String>,
    /// With two_factor: how old the second factor may be before it is asked for again. Default: as
    /// old as the session.
    pub(in crate::config) max_age: Option<String>,
    /// What it would do is logged and counted, and the rules behind it decide.
    #[schemars(extend("default" = false))]
    pub(in crate::config) report_only: Option<bool>,
}
