//! The raw configuration of dialects: a reference in the configuration, and the dialect file.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::table::table;

/// A dialect by which the app's own clients sign in.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum RawDialectRef {
    /// A shipped dialect: "cellengine".
    Shipped(String),
    /// Your own dialect.
    File(RawDialectFile),
}

/// A dialect of your own.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawDialectFile {
    /// TOML file that describes the sign-in API of the app's own clients.
    pub(in crate::config) file: PathBuf,
}

table! {
    /// A long-lived token of the app that is accepted.
    pub(in crate::config) RawAppToken {
        /// Name in the audit log.
        name: Option<String>, is "text", implied "`token 1`, …", example "nightly export";
        /// Output of `vestibule token hash --stdin` for the token.
        sha256: Option<String>, is "64 hexadecimal digits",
            example "0000000000000000000000000000000000000000000000000000000000000000";
        /// User of the token. The account must exist and be enabled.
        user: Option<String>, is "login name", example "alice";
        /// Networks that may use it.
        networks: Option<Vec<String>>, is "list", implied "all", example ["10.1.0.0/16"];
        /// Methods that it may use.
        methods: Option<Vec<String>>, is "list", implied "all", example ["GET", "HEAD"];
        /// Allow WebSockets even if `methods` limits the token.
        websocket: Option<bool>, is "true or false", default false;
        /// Last day (UTC) on which it is valid, such as `"2027-01-31"`.
        expires: Option<String>, is "date", implied "none", example "2027-01-31";
    }
}

/// The dialect file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawDialect {
    pub(in crate::config) sign_in: RawSignIn,
    pub(in crate::config) success: RawSuccess,
    pub(in crate::config) code_wanted: RawCodeWanted,
    pub(in crate::config) sign_out: Option<RawSignOut>,
    pub(in crate::config) credentials: RawCredentials,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawSignIn {
    pub(in crate::config) path: String,
    pub(in crate::config) bodies: Vec<RawBody>,
    pub(in crate::config) username: String,
    pub(in crate::config) password: String,
    pub(in crate::config) code: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum RawBody {
    Json,
    Form,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawSuccess {
    pub(in crate::config) status: u16,
    pub(in crate::config) subject: String,
    pub(in crate::config) token: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawCodeWanted {
    pub(in crate::config) status: u16,
    pub(in crate::config) content_type: String,
    pub(in crate::config) body: String,
    pub(in crate::config) error: String,
    pub(in crate::config) says: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawSignOut {
    pub(in crate::config) path: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawCredentials {
    pub(in crate::config) cookie: Option<String>,
    #[serde(default)]
    pub(in crate::config) authorization: bool,
    pub(in crate::config) query: Option<String>,
    pub(in crate::config) long_lived_prefix: Option<String>,
}
