//! App credentials that are omitted from a forwarded request.

use http::header::{AUTHORIZATION, HeaderMap};

use crate::gate::dialect::Dialect;

/// The app credentials that are omitted from a forwarded request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) struct Omitted {
    pub(in crate::proxy) cookie: bool,
    pub(in crate::proxy) authorization: bool,
}

impl Omitted {
    pub(in crate::proxy) fn strip(self, dialect: &Dialect, headers: &mut HeaderMap) {
        if self.cookie {
            dialect.strip_cookies(headers);
        }
        if self.authorization {
            headers.remove(AUTHORIZATION);
        }
    }
}
