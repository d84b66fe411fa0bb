//! How an app is signed in to, as it is written: within the configuration a name or a file, and the
//! file itself.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// How an app is signed in to by its own clients.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum RawDialectRef {
    /// One that is shipped: "cellengine".
    Shipped(String),
    /// One of your own.
    File(RawDialectFile),
}

/// A description of your own.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawDialectFile {
    /// The TOML file it is in.
    pub(in crate::config) file: PathBuf,
}

/// A long-lived token of the app's that is let through.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawAppToken {
    /// What it is called in logs and in the audit trail. Default: "token" and its number from 1.
    pub(in crate::config) name: Option<String>,
    /// The SHA-256 of the token, as `vestibule token hash --stdin` prints it.
    pub(in crate::config) sha256: Option<String>,
    /// Whose it is, by login name: the app is told of that person, who must not be disabled.
    /// Default: nobody's.
    pub(in crate::config) user: Option<String>,
    /// The networks it may come from, such as "10.0.0.0/8". Default: all.
    pub(in crate::config) networks: Option<Vec<String>>,
    /// The methods it may be used with. Default: all.
    pub(in crate::config) methods: Option<Vec<String>>,
    /// Whether it may open WebSockets although `methods` limits it. Default: false.
    pub(in crate::config) websocket: Option<bool>,
    /// Until when, such as "2027-01-31". Default: as long as the app says.
    pub(in crate::config) expires: Option<String>,
}

/// The file.
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
