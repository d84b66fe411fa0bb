//! The address and the scheme of a client.

use crate::base::address::ClientIp;

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) struct Origin {
    pub(in crate::proxy) client: ClientIp,
    pub(in crate::proxy) https: bool,
}

impl Origin {
    /// The scheme the browser used.
    pub(in crate::proxy) fn scheme(self) -> &'static str {
        if self.https { "https" } else { "http" }
    }
}
