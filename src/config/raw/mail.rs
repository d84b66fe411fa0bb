//! The mail server as it is written in the configuration.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::secret_ref::SecretRef;

/// The mail server through which people are told what happens to their accounts.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawMail {
    /// Its name. Without it no mail is sent.
    pub(in crate::config) host: Option<String>,
    /// Its port. Default: 587 for starttls, 465 for tls, 25 for none.
    pub(in crate::config) port: Option<u16>,
    /// starttls: TLS after a greeting, or nothing is sent. tls: from the first byte. none: no TLS.
    #[schemars(extend("default" = "starttls", "enum" = ["starttls", "tls", "none"]))]
    pub(in crate::config) tls: Option<String>,
    /// PEM file with the CA that signed its certificate, in place of those that browsers trust.
    pub(in crate::config) ca: Option<PathBuf>,
    /// The name it asks for, if it does.
    pub(in crate::config) user: Option<String>,
    /// The password that goes with it.
    pub(in crate::config) password: Option<SecretRef>,
    /// Whom mail is from: "gate@example.com", or "Our gate <gate@example.com>".
    pub(in crate::config) from: Option<String>,
    /// Time zone of the times in mail, by its IANA name, such as "Europe/Zurich".
    #[schemars(extend("default" = "UTC"))]
    pub(in crate::config) time_zone: Option<String>,
}
