//! Credentials of an app that a request leaves behind.

use http::header::{AUTHORIZATION, HeaderMap};

use crate::gate::dialect::Dialect;

/// What is left out of a request on its way to the app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) struct LeftOut {
    pub(in crate::proxy) cookie: bool,
    pub(in crate::proxy) authorization: bool,
}

impl LeftOut {
    pub(in crate::proxy) fn take_out(self, dialect: &Dialect, headers: &mut HeaderMap) {
        if self.cookie {
            dialect.strip_cookies(headers);
        }
        if self.authorization {
            headers.remove(AUTHORIZATION);
        }
    }
}
