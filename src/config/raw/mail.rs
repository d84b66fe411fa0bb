//! The raw configuration of mail.

use std::path::PathBuf;

use crate::config::secret_ref::SecretRef;
use crate::config::table::table;

table! {
    /// The mail server for notices to users about their accounts.
    pub(in crate::config) RawMail {
        /// Name of the mail server.
        host: Option<String>, is "text", example "smtp.example.com";
        /// Port of the mail server.
        port: Option<u16>, is "1 to 65535", implied "587, 465 or 25, depending on `tls`",
            example 587;
        /// `starttls`: TLS after the greeting; without it nothing is sent. `tls`: TLS from the
        /// first byte. `none`: plain text; `check` warns if the server is not on loopback.
        tls: Option<String>, one_of ["starttls", "tls", "none"], default "starttls";
        /// PEM file with the CA that signed the server's certificate.
        ca: Option<PathBuf>, is "path", implied "the CAs that browsers trust",
            example "certs/internal-ca.pem";
        /// User name for the mail server; needs `password`.
        user: Option<String>, is "text", implied "none", example "vestibule";
        /// Password for the mail server; needs `user`.
        password: Option<SecretRef>, is "secret", implied "none", example "write-this-into-a-file";
        /// Sender: `gate@example.com` or `Example Gateway <gate@example.com>`.
        from: Option<String>, is "address", example "CellEngine <gate@example.com>";
        /// IANA name of the time zone for times in mail, such as `Europe/Zurich`. The system's time
        /// zone data is used, or else the built-in data.
        time_zone: Option<String>, is "text", default "UTC";
    }
}
