//! The raw configuration of mail.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::secret_ref::SecretRef;

/// The mail server for notices to users about their accounts.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawMail {
    /// Host name. Without it no mail is sent.
    pub(in crate::config) host: Option<String>,
    /// Port. Default: 587 for starttls, 465 for tls, 25 for none.
    pub(in crate::config) port: Option<u16>,
    /// starttls: STARTTLS, required. tls: TLS from the first byte. none: no TLS.
    #[schemars(extend("default" = "starttls", "enum" = ["starttls", "tls", "none"]))]
    pub(in crate::config) tls: Option<String>,
    /// PEM file with the CA of the server's certificate, in place of the public CAs.
    pub(in crate::config) ca: Option<PathBuf>,
    /// User name, if the server requires one.
    pub(in crate::config) user: Option<String>,
    /// Password for the user name.
    pub(in crate::config) password: Option<SecretRef>,
    /// Sender: "gate@example.com", or "Our gate <gate@example.com>".
    pub(in crate::config) from: Option<String>,
    /// Time zone of the times in mail, by its IANA name, such as "Europe/Zurich".
    #[schemars(extend("default" = "UTC"))]
    pub(in crate::config) time_zone: Option<String>,
}
