//! The address and the scheme of a client.

use crate::base::address::ClientIp;

/// The address of a client and the scheme of its browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) struct Origin {
    pub(in crate::proxy) client: ClientIp,
    pub(in crate::proxy) https: bool,
}

impl Origin {
    /// Returns the scheme that the browser used.
    pub(in crate::proxy) fn scheme(self) -> &'static str {
        if self.https { "https" } else { "http" }
    }
}
