//! The way back: where a person goes on once our pages are done with. It travels in the address and
//! in the form of every page on the way, so that it outlives all state.

use std::borrow::Cow;

use super::return_to::{self, ReturnTo};

/// Pages of ours that a person may be led back to. Each asks for a session by itself.
const OWN: [&str; 4] = [
    "/_auth/account",
    "/_auth/account/authenticator",
    "/_auth/account/recovery-codes",
    "/_auth/account/password",
];
/// The query field of an address that was too long to be kept.
pub(super) const TOO_LONG: &str = "too_long";

/// A page of the app on this host, or one of the few of ours that lead nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Back {
    path: Cow<'static, str>,
    /// The address that was asked for was too long to be kept, and the start page stands for it.
    too_long: bool,
}

impl Back {
    /// The start page of the app.
    pub fn root() -> Self {
        Self { path: Cow::Borrowed("/"), too_long: false }
    }

    /// Reads what came in a query or a form: whatever is not certainly harmless becomes `/`.
    pub(super) fn parse(text: &str) -> Self {
        match OWN.into_iter().find(|own| *own == text) {
            Some(own) => Self { path: Cow::Borrowed(own), too_long: false },
            None => Self::of_target(text),
        }
    }

    /// The way back to a page of the app, by its request target.
    pub fn of_target(target: &str) -> Self {
        let path = ReturnTo::parse(target);
        let too_long = path.is_root() && return_to::is_too_long(target);
        Self { path: Cow::Owned(path.into_string()), too_long }
    }

    /// The same, for an address that was found too long before.
    pub(super) fn with_too_long(self, too_long: bool) -> Self {
        Self { too_long: self.too_long || too_long, ..self }
    }

    /// Its path and query, safe to write into `Location`.
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// True for one of our own pages.
    pub(super) fn is_own(&self) -> bool {
        OWN.contains(&&*self.path)
    }

    /// True if the start page stands for an address that was too long.
    pub(super) fn is_too_long(&self) -> bool {
        self.too_long
    }

    /// The address of a page of ours that leads back here.
    pub fn on(&self, page: &str) -> String {
        let start = page.len() + 1;
        let mut query = form_urlencoded::Serializer::for_suffix(format!("{page}?"), start);
        query.append_pair("return_to", &self.path);
        if self.too_long {
            query.append_pair(TOO_LONG, "1");
        }
        query.finish()
    }

    /// The query that carries it from page to page: empty for the start page, which needs none.
    pub(super) fn query(&self) -> String {
        if self.path == "/" && !self.too_long { String::new() } else { self.on("") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_leads_into_the_app_or_to_the_account() {
        for kept in ["/", "/a?b=c", "/_auth/account", "/_auth/account/password"] {
            assert_eq!(Back::parse(kept).as_str(), kept);
        }
        for bad in ["", "/_auth/logout", "/_auth/account/", "/_auth/account?x", "//evil.example"] {
            assert_eq!(Back::parse(bad), Back::root(), "{bad}");
        }
        assert_eq!(Back::of_target("/_auth/account"), Back::root(), "no page of the app");
    }

    #[test]
    fn it_is_written_into_an_address_and_read_again() {
        assert_eq!(
            Back::parse("/a?b=c&d").on("/_auth/otp"),
            "/_auth/otp?return_to=%2Fa%3Fb%3Dc%26d"
        );
        assert_eq!(Back::root().query(), "");
        assert_eq!(Back::parse("/a").query(), "?return_to=%2Fa");
    }

    #[test]
    fn an_address_beyond_two_kilobytes_is_kept_and_one_beyond_the_limit_is_told() {
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
