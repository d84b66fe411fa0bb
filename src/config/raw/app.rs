//! The raw configuration of an app and its rules.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{RawAppToken, RawDialectRef};
use crate::config::table::table;

table! {
    /// An app to protect.
    pub(in crate::config) RawApp {
        /// Unique name in logs, metrics and sessions.
        name: Option<String>, is "1 to 64 lower-case letters, digits, `-` and `_`",
            shown "cellengine";
        /// Name on Vestibule's pages and in authenticator apps.
        title: Option<String>, is "text", implied "the name", shown "CellEngine";
        /// Icon on the portal's start page, of an app that signs in there: a PNG, JPEG, WebP, GIF or SVG
        /// file of at most 64 KiB. Anyone can load the picture, at an address that names no app.
        icon: Option<PathBuf>, is "path", implied "the first letter of the title",
            example "icons/cellengine.svg";
        /// Hosts of the app: exact names or IP addresses without a port, or `*.example.com` for any
        /// one label. A host belongs to one app. An unknown host gets 421.
        hosts: Option<Vec<String>>, is "list", shown ["cellengine.example.com"];
        /// Upstreams: scheme (http or https), host and port, without path and password. `check`
        /// rejects a listener of this gateway, and warns about plain http to an address that is not
        /// loopback.
        /// `{ url = "http://10.0.0.12:8080", weight = 3 }` gets three times the requests of one
        /// without a weight.
        ///
        /// See [upstreams.md](upstreams.md) for how addresses are chosen, taken out
        /// of service and returned.
        upstreams: Option<Vec<RawUpstream>>, is "list of URLs, or of tables with `url` and `weight`",
            shown ["http://127.0.0.1:8080"];
        /// Checks of the upstreams: `[apps.health]`.
        health: Option<RawHealth>, table RawHealth;
        /// Send all requests of a session to the same upstream while it is in service, for apps that
        /// keep state in their memory. Needs no cookie.
        sticky: Option<bool>, is "true or false", default false;
        /// Another proxy forwards to the app and asks Vestibule about each request. Such an app needs
        /// no `upstreams`. Only `network.trusted_proxies` may ask.
        ///
        /// See [forward-auth.md](forward-auth.md).
        forward_auth: Option<bool>, is "true or false", default false, example true;
        /// The app's own host name, if it accepts no other: the value of `Host`, and the name that the
        /// certificates of https upstreams must have.
        ///
        /// See `apps.upstream_host` below.
        upstream_host: Option<String>, is "a host, with or without a port",
            implied "the host that the browser requested", example "app.example.net";
        /// PEM file with the CA that signed the certificates of https upstreams.
        upstream_ca: Option<PathBuf>, is "path", implied "the system's CAs",
            example "certs/internal-ca.pem";
        /// PEM file with Vestibule's client certificate for the upstream; needs
        /// `upstream_client_key`.
        upstream_client_cert: Option<PathBuf>, is "path", implied "none",
            example "certs/client.pem";
        /// PEM file with its key.
        upstream_client_key: Option<PathBuf>, is "path", implied "none", example "certs/client.key";
        /// Use HTTP/2 to the app (required for gRPC). WebSockets use HTTP/1.1.
        upstream_http2: Option<bool>, is "true or false", default false;
        /// Maximum time to connect to an upstream.
        connect_timeout: Option<String>, is "duration", default "5s";
        /// Maximum silence between two reads of a response, exceeded by at most half. There is no
        /// limit on the total time. For a request with a body it counts from the end of the body.
        ///
        /// If client and app both speak HTTP/2, it does not apply to such a request.
        read_timeout: Option<String>, is "duration", default "60s";
        /// Maximum idle time of a connection to the app. Keep it below the app's own limit (5 s in
        /// Node.js), so that no request meets a closing connection.
        upstream_idle: Option<String>, is "duration", default "4s";
        /// Send a request of any method again, once and on a new connection, if a kept connection
        /// closed before the first byte of a response. The app may then act twice.
        ///
        /// Without this setting, only idempotent methods and requests whose header was not sent
        /// completely are sent again. A body over 64 KiB is never sent twice.
        retry_unanswered: Option<bool>, is "true or false", default false;
        /// Maximum concurrent requests to the app, including WebSockets; half as many without a
        /// session, and at most 500 where this is not set. Further requests get 503.
        max_requests: Option<usize>, is "2 to 1000000",
            implied "what the descriptor limit allows, at most 4000", example 4000;
        /// Forward WebSocket handshakes from pages of the same host.
        websocket: Option<bool>, is "true or false", default true;
        /// Allow service workers that cover the whole host. Such a worker sees what is typed into
        /// the sign-in pages and can answer in their place.
        ///
        /// By default the script of a worker at the root gets 403, and `Service-Worker-Allowed` is
        /// removed from the app's answers. Workers below a directory always work.
        service_workers: Option<bool>, is "true or false", default false;
        /// Headers that clients may not send, in addition to the [built-in
        /// list](security.md#what-the-app-is-told): headers that a proxy sets and the app trusts
        /// (`X-Trino-User`, `X-Scope-OrgID`).
        ///
        /// Letter case, `-`, `_` and `.` are folded as frameworks do.
        strip_headers: Option<Vec<String>>, is "list of header names", implied "none",
            example ["X-My-Proxy-User"];
        /// Names of the identity headers: `[apps.identity_headers]`.
        identity_headers: Option<RawIdentityHeaders>, table RawIdentityHeaders;
        /// Send the app a signed assertion of the user's identity in `Vestibule-Assertion`.
        ///
        /// See [assertion.md](assertion.md).
        assertion: Option<bool>, is "true or false", default false, example true;
        /// The signature algorithm of assertions.
        assertion_algorithm: Option<String>, one_of ["ES256", "EdDSA"], default "ES256",
            example "EdDSA";
        /// Methods beyond GET HEAD POST PUT PATCH DELETE OPTIONS, in capitals. CONNECT, TRACE and
        /// TRACK are never forwarded.
        methods: Option<Vec<String>>, is "list", default [], example ["PROPFIND"];
        /// Paths that only scripts request, written as the `path` of a rule. Vestibule's answers
        /// there are never redirects and never pages, whatever the request accepts.
        ///
        /// The setting does not change what is forwarded.
        api_paths: Option<Vec<String>>, is "list of globs", default [], example ["/api/**"];
        /// Paths that pages request by themselves, such as polls, written as the `path` of a rule and
        /// matched on the path alone. Their requests do not keep a session alive, nor do the bytes
        /// of their streams.
        passive: Option<Vec<String>>, is "list of globs", default [], example ["/api/poll"];
        /// Other origins whose scripts may read Vestibule's answers, with credentials, such as
        /// `"https://spa.example.com"`.
        cors_origins: Option<Vec<String>>, is "list of origins", default [],
            example ["https://spa.example.com"];
        /// Handling of CORS preflights, which have no session. `answer`: Vestibule answers those
        /// from `cors_origins` with 204. `pass`: forwards them to the app without identity; only
        /// those from `cors_origins` if any are set; never where a rule denies.
        ///
        /// `pass` is a weakening, which `check` reports.
        cors_preflight: Option<String>, one_of ["answer", "pass"], default "answer";
        /// Description of the sign-in for the app's own pages and scripts: a built-in one, or
        /// `{ file = "my-app.toml" }`.
        ///
        /// With a dialect, the app's session tokens are accepted only within a session of
        /// Vestibule, in the cookie, `Authorization` and the query alike, and the app's sign-out
        /// ends that session. See [cellengine.md](cellengine.md). Your own description is a TOML
        /// file like `src/config/dialects/cellengine.toml`.
        dialect: Option<RawDialectRef>, is "`\"cellengine\"`, or a table with a `file`",
            implied "none", example "cellengine";
        /// The checker of names and passwords: Vestibule, or the app itself (needs a `dialect`). With
        /// `app`, passwords kept by Vestibule open nothing at this app.
        first_factor: Option<String>, one_of ["password", "app"], default "password", example "app";
        /// With `first_factor = "app"`: creates an account at the first sign-in of a user whom only
        /// the app knows. Otherwise an operator links accounts: `vestibule user link`.
        provision: Option<bool>, is "true or false", default false, example true;
        /// With `first_factor = "app"` and `counts`: a code that the app requested and accepted
        /// counts as the second factor of users who were never enrolled here (a weakening).
        app_second_factor: Option<String>, one_of ["ignored", "counts"], default "ignored",
            example "counts";
        /// Users sign in at the portal. Otherwise the app signs in at its own host.
        ///
        /// Needs `[portal]` and hosts without a wildcard; not possible with `first_factor = "app"`
        /// or a rule with `access = "password"`.
        portal: Option<bool>, is "true or false",
            implied "true if there is a `[portal]`, except with `first_factor = \"app\"`",
            example true;
        /// App tokens that are accepted: `[[apps.tokens]]`.
        #[serde(default)]
        tokens: Vec<RawAppToken>, list RawAppToken;
        /// Field names of Vestibule's JSON answers: `[apps.api_errors]`.
        api_errors: Option<RawApiErrors>, table RawApiErrors;
        /// Forms that meet an expired session: `[apps.parked]`.
        parked: Option<RawParked>, table RawParked;
        /// Access rules: `[[apps.rules]]`.
        #[serde(default)]
        rules: Vec<RawRule>, list RawRule;
    }
}

/// An upstream.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum RawUpstream {
    /// Its URL.
    Url(String),
    /// Its URL and its weight.
    Weighted(RawWeighted),
}

/// An upstream with a weight.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawWeighted {
    /// URL.
    pub(in crate::config) url: String,
    /// Share of the requests, relative to the others: 1 to 100.
    pub(in crate::config) weight: Option<u32>,
}

table! {
    /// Checks of the upstreams.
    pub(in crate::config) RawHealth {
        /// Path, with or without a query, that a check requests by `GET`. Without it, a check opens a
        /// connection, and an app with one upstream is only checked while that is down.
        path: Option<String>, is "path of a URL", implied "none", example "/healthz";
        /// Time between two checks of an upstream. While it is out of service, it is checked every
        /// second.
        interval: Option<String>, is "duration", default "5s";
        /// Maximum time of a check.
        timeout: Option<String>, is "duration", default "2s";
        /// Consecutive failures, of checks or of requests, that take an upstream out of service. A
        /// refused connection does so at once.
        unhealthy: Option<u32>, is "1 to 100", default 3;
        /// Consecutive successful checks by `path` that return it to service.
        healthy: Option<u32>, is "1 to 100", default 2;
        /// Statuses that a check by `path` accepts.
        status: Option<Vec<u16>>, is "list of statuses", implied "200 to 399", example [200];
    }
}

table! {
    /// Field names in Vestibule's JSON errors. "" omits a field.
    pub(in crate::config) RawApiErrors {
        /// One or two sentences. Cannot be left out.
        error: Option<String>, is "text", default "error";
        /// `login_required`, `step_up_required`, `forbidden`, `unavailable` and others.
        code: Option<String>, is "text", default "code";
        /// URL of the sign-in page.
        login_url: Option<String>, is "text", default "login_url";
        /// URL of the step-up page.
        step_up_url: Option<String>, is "text", default "step_up_url";
        /// Reference of the rejection in the log.
        reference: Option<String>, is "text", default "reference";
        /// Seconds until the next attempt is allowed, as in `Retry-After`; the sentence says it
        /// too.
        retry_after: Option<String>, is "text", default "retry_after";
    }
}

table! {
    /// Names of the headers that tell the app who asks. "" leaves one out. Clients can send none of
    /// them, in any spelling, on no path.
    pub(in crate::config) RawIdentityHeaders {
        /// The login name.
        user: Option<String>, is "a header name", default "Remote-User", example "X-WEBAUTH-USER";
        /// The email address.
        email: Option<String>, is "a header name", default "Remote-Email",
            example "X-WEBAUTH-EMAIL";
        /// The display name.
        name: Option<String>, is "a header name", default "Remote-Name", example "";
        /// The groups, separated by commas.
        groups: Option<String>, is "a header name", default "Remote-Groups",
            example "X-WEBAUTH-GROUPS";
    }
}

table! {
    /// Forms and data that are sent after a session has expired.
    pub(in crate::config) RawParked {
        /// Keep a form, or a script's data, of up to 64 KiB for 10 minutes, sealed, and ask to send it
        /// once the same user has signed in again in the same browser.
        enabled: Option<bool>, is "true or false", default true;
    }
}

table! {
    /// A rule.
    pub(in crate::config) RawRule {
        /// Name in logs, metrics and explanations, unique within the app.
        name: Option<String>, is "text", implied "`rule 1`, …", example "signing";
        /// Paths, segment by segment on the canonical path: `*` is one segment, `**` any number of
        /// segments, including none. Written decoded, in ASCII; a space or a bracket matches its
        /// encoded form.
        path: Option<String>, is "glob", implied "all", shown "/public/**";
        /// Methods: the common ones and those of the app.
        methods: Option<Vec<String>>, is "list", implied "all", shown ["GET", "HEAD"];
        /// Hosts of the app.
        hosts: Option<Vec<String>>, is "list", implied "all", example ["cellengine.example.com"];
        /// Client addresses: networks such as `10.0.0.0/8`, or single addresses.
        networks: Option<Vec<String>>, is "list", implied "all", example ["10.0.0.0/8"];
        /// Users, by login name.
        users: Option<Vec<String>>, is "list", implied "all", example ["alice", "bob"];
        /// Groups of users.
        groups: Option<Vec<String>>, is "list", implied "all", example ["staff"];
        /// `public`: forwards without a session; needs `hosts`, `networks`, or a `path` that does
        /// not match everything, and excludes `users` and `groups`. `password`: admits users who
        /// proved the password; a weakening, which `check` reports. `two_factor`: admits users who
        /// proved both factors. `deny`: rejects every request.
        access: Option<String>, one_of ["public", "password", "two_factor", "deny"], shown "public";
        /// With `two_factor`: maximum age of the second factor before a step-up.
        max_age: Option<String>, is "duration", implied "none", example "5m";
        /// With `two_factor`: requires a passkey or security key as second factor.
        phishing_resistant: Option<bool>, is "true or false", default false;
        /// Log and count the result of the rule, and let the rules after it decide.
        report_only: Option<bool>, is "true or false", default false;
    }
}
