//! The raw configuration of the audit log.

use schemars::JsonSchema;
use serde::Deserialize;

/// The audit log.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawAudit {
    /// Time after which audit events are deleted, at least 1d.
    #[schemars(extend("default" = "400d"))]
    pub(in crate::config) retention: Option<String>,
    /// Destination for audit events as JSON lines, in addition to the database: "stdout" or a file.
    /// Default: none.
    pub(in crate::config) file: Option<String>,
    /// Name of this machine in audit events. Default: its host name.
    pub(in crate::config) node: Option<String>,
}
