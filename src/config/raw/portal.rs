//! The raw `[portal]`.

use crate::config::table::table;

table! {
    /// A host that signs users in for several apps.
    pub(in crate::config) RawPortal {
        /// Host of the portal: a name of its own on the same listeners, not the host of an app.
        ///
        /// See [portal.md](portal.md).
        host: Option<String>, is "host name", example "sign-in.example.com";
        /// Name of the portal on its pages and in authenticator apps.
        title: Option<String>, is "text", implied "the host", example "Example Lab";
    }
}
