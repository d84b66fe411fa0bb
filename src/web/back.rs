//! The return address: where a user continues after signing in. It travels in the URL and the form of
//! every page in between, so it needs no stored state.

use std::borrow::Cow;

use super::onward::{LOGIN, Onward, TOO_LONG};
use super::return_to::{self, ReturnTo};

/// The gateway's own pages that may be returned to. Each requires a session itself.
const OWN: [&str; 7] = [
    "/_auth/account",
    "/_auth/account/keys",
    "/_auth/account/keys/new",
    "/_auth/account/authenticator",
    "/_auth/account/recovery-codes",
    "/_auth/account/password",
    "/_auth/resend",
];

/// A page of the app on this host, one of the gateway's account pages or, at the portal, a page of
/// another app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Back {
    path: Cow<'static, str>,
    /// True if the requested address was too long and was replaced by the start page.
    too_long: bool,
}

impl Back {
    /// Returns the start page of the app.
    pub fn root() -> Self {
        Self { path: Cow::Borrowed("/"), too_long: false }
    }

    /// Returns the page that asks to send what was kept.
    pub fn resend() -> Self {
        Self { path: Cow::Borrowed("/_auth/resend"), too_long: false }
    }

    /// Parses an address from a query or form. An address that is not known to be safe becomes `/`.
    pub(super) fn parse(text: &str) -> Self {
        if let Some(own) = OWN.into_iter().find(|own| *own == text) {
            return Self { path: Cow::Borrowed(own), too_long: false };
        }
        match Onward::parse(text) {
            Some(onward) => Self::to_app(&onward),
            None => Self::of_target(text),
        }
    }

    /// Returns the address of the portal's page that hands over to an app.
    pub(super) fn to_app(onward: &Onward) -> Self {
        let path = onward.on(LOGIN);
        if !return_to::is_too_long(&path) {
            return Self { path: Cow::Owned(path), too_long: onward.too_long };
        }
        let start = Onward { return_to: ReturnTo::root(), too_long: true, ..onward.clone() };
        Self { path: Cow::Owned(start.on(LOGIN)), too_long: true }
    }

    /// Returns the app that it leads to from the portal, if any.
    pub(super) fn onward(&self) -> Option<Onward> {
        Onward::parse(&self.path)
    }

    /// Returns the address of a page of the app, from its request target.
    pub fn of_target(target: &str) -> Self {
        let path = ReturnTo::parse(target);
        let too_long = path.is_root() && return_to::is_too_long(target);
        Self { path: Cow::Owned(path.into_string()), too_long }
    }

    /// Marks the address as too long if an earlier page found it so.
    pub(super) fn with_too_long(self, too_long: bool) -> Self {
        Self { too_long: self.too_long || too_long, ..self }
    }

    /// Returns path and query, safe to write into `Location`.
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// Returns true for one of the gateway's own pages.
    pub(super) fn is_own(&self) -> bool {
        OWN.contains(&&*self.path) || self.onward().is_some()
    }

    /// Returns true if the requested address was too long and was replaced by the start page.
    pub(super) fn is_too_long(&self) -> bool {
        self.too_long
    }

    /// Returns the URL of one of the gateway's pages that returns here.
    pub fn on(&self, page: &str) -> String {
        let (page, start) = match page.find('?') {
            Some(at) => (page.to_owned(), at + 1),
            None => (format!("{page}?"), page.len() + 1),
        };
        let mut query = form_urlencoded::Serializer::for_suffix(page, start);
        query.append_pair("return_to", &self.path);
        if self.too_long {
            query.append_pair(TOO_LONG, "1");
        }
        query.finish()
    }

    /// Returns the query that carries the address to the next page; empty for the start page.
    pub(super) fn query(&self) -> String {
        if self.path == "/" && !self.too_long { String::new() } else { self.on("") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_address_is_a_page_of_the_app_or_of_the_account() {
        for kept in ["/", "/a?b=c", "/_auth/account", "/_auth/account/password"] {
            assert_eq!(Back::parse(kept).as_str(), kept);
        }
        for bad in ["", "/_auth/logout", "/_auth/account/", "/_auth/account?x", "//evil.example"] {
            assert_eq!(Back::parse(bad), Back::root(), "{bad}");
        }
        assert_eq!(Back::of_target("/_auth/account"), Back::root(), "not a page of the app");
    }

    #[test]
    fn a_return_address_is_encoded_into_a_query() {
        assert_eq!(
            Back::parse("/a").on("/_auth/step-up?with=key"),
            "/_auth/step-up?with=key&return_to=%2Fa"
        );
        assert_eq!(
            Back::parse("/a?b=c&d").on("/_auth/otp"),
            "/_auth/otp?return_to=%2Fa%3Fb%3Dc%26d"
        );
        assert_eq!(Back::root().query(), "");
        assert_eq!(Back::parse("/a").query(), "?return_to=%2Fa");
    }

    #[test]
    fn a_long_address_is_kept_and_one_above_the_limit_is_marked() {
        let long = |bytes: usize| format!("/search?q={}", "x".repeat(bytes));
        let kept = Back::of_target(&long(3000));
        assert!(!kept.is_too_long() && kept.as_str().len() == 3010);
        let lost = Back::of_target(&long(9000));
        assert!(lost.is_too_long() && lost.as_str() == "/");
        assert_eq!(lost.query(), "?return_to=%2F&too_long=1");
        // Escapes take three bytes in an address.
        let escapes = format!("/{}", "%20".repeat(1000));
        assert!(Back::of_target(&escapes).is_too_long());
    }
}
