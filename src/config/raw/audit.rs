//! The audit trail as it is written in the configuration.

use schemars::JsonSchema;
use serde::Deserialize;

/// The audit trail.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawAudit {
    /// How long rows are kept, at least 1d.
    #[schemars(extend("default" = "400d"))]
    pub(in crate::config) retention: Option<String>,
    /// Where every row is also written as a line of JSON: "stdout", or a file. Default: nowhere.
    pub(in crate::config) file: Option<String>,
    /// What this machine is called in rows. Default: its host name.
    pub(in crate::config) node: Option<String>,
}
