//! The raw configuration of dialects: a reference in the configuration, and the dialect file.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

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
    /// TOML file with the dialect.
    pub(in crate::config) file: PathBuf,
}

/// A long-lived token of the app that is accepted.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawAppToken {
    /// Name in logs and in the audit log. Default: "token" and its number from 1.
    pub(in crate::config) name: Option<String>,
    /// SHA-256 of the token, as printed by `vestibule token hash --stdin`.
    pub(in crate::config) sha256: Option<String>,
    /// Login name of the user whose identity is sent to the app. The user must not be disabled.
    /// Default: no user.
    pub(in crate::config) user: Option<String>,
    /// Networks that the token may be used from, such as "10.0.0.0/8". Default: all.
    pub(in crate::config) networks: Option<Vec<String>>,
    /// Methods that the token may be used with. Default: all.
    pub(in crate::config) methods: Option<Vec<String>>,
    /// True to allow WebSockets even if `methods` is limited. Default: false.
    pub(in crate::config) websocket: Option<bool>,
    /// Last day of validity, such as "2027-01-31". Default: the app decides.
    pub(in crate::config) expires: Option<String>,
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
