//! Destinations of a step-up.

use crate::auth::fresh::{FreshFactors, FreshSecondFactor};
use crate::auth::session::Session;
use crate::web::back::Back;
use crate::web::return_to::ReturnTo;
use crate::web::visit::Visit;

/// Destination of a step-up: an account page or a page of the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) enum Target {
    Account,
    Keys,
    NewKey,
    /// The page that adds a key, with the page of the app that wanted one in its query.
    NewKeyFor(String),
    Authenticator,
    FirstCodes,
    RecoveryCodes,
    Password,
    Resend,
    App(ReturnTo),
    /// From the portal to an app.
    Onward(Back),
}

impl Target {
    const OWN: [Self; 8] = [
        Self::Account,
        Self::Keys,
        Self::NewKey,
        Self::Authenticator,
        Self::FirstCodes,
        Self::RecoveryCodes,
        Self::Password,
        Self::Resend,
    ];

    /// Parses a destination. An address that is neither an account page nor a safe address of the app
    /// becomes the account page.
    pub(super) fn parse(text: &str) -> Self {
        let own = Self::OWN.into_iter().find(|page| page.path() == text);
        let own = own.or_else(|| {
            let query = text.strip_prefix(Self::NewKey.path())?.strip_prefix('?')?;
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            let (_, back) = pairs.find(|(name, _)| name == "return_to")?;
            Some(Self::new_key_for(&Back::parse(&back)))
        });
        own.unwrap_or_else(|| match (ReturnTo::parse(text), Back::parse(text)) {
            (_, back) if back.onward().is_some() => Self::Onward(back),
            (app, _) if app.is_root() && text != "/" => Self::Account,
            (app, _) => Self::App(app),
        })
    }

    /// Returns true if the change needs a key as second factor, or a recovery code, of an account that
    /// has a key: one phished code must not be enough to replace the key or the recovery codes.
    pub(super) fn needs_key(&self) -> bool {
        *self == Self::FirstCodes || self.needs_password()
    }

    /// Returns the page that adds a key, for a page that wants one.
    pub(super) fn new_key(&self) -> Self {
        if let Self::App(path) = self {
            Self::new_key_for(&Back::parse(path.as_str()))
        } else {
            Self::NewKey
        }
    }

    /// Returns the page that adds a key and then returns to a page of the app.
    pub(super) fn new_key_for(back: &Back) -> Self {
        if back.is_own() || back.onward().is_some() || *back == Back::root() {
            Self::NewKey
        } else {
            Self::NewKeyFor(back.on(Self::NewKey.path()))
        }
    }

    pub(super) fn path(&self) -> &str {
        match self {
            Self::Account => "/_auth/account",
            Self::Keys => "/_auth/account/keys",
            Self::NewKey => "/_auth/account/keys/new",
            Self::NewKeyFor(path) => path,
            Self::Authenticator => "/_auth/account/authenticator",
            Self::FirstCodes => "/_auth/recovery-codes",
            Self::RecoveryCodes => "/_auth/account/recovery-codes",
            Self::Password => "/_auth/account/password",
            Self::Resend => "/_auth/resend",
            Self::App(path) => path.as_str(),
            Self::Onward(back) => back.as_str(),
        }
    }

    /// Returns true if the change needs both factors, because it could give another person lasting
    /// access. The password page asks for the current password itself.
    pub(super) fn needs_password(&self) -> bool {
        match self {
            Self::Keys
            | Self::NewKey
            | Self::NewKeyFor(_)
            | Self::Authenticator
            | Self::RecoveryCodes => true,
            Self::Account
            | Self::FirstCodes
            | Self::Password
            | Self::Resend
            | Self::App(_)
            | Self::Onward(_) => false,
        }
    }

    pub(super) fn step_up_path(&self) -> String {
        let path = form_urlencoded::byte_serialize(self.path().as_bytes());
        format!("/_auth/step-up?return_to={}", path.collect::<String>())
    }

    /// Returns true if no proof is needed. A page of the app always needs one, because its rules
    /// redirected here, and so does what is kept for it.
    pub(super) fn is_served(&self, session: &Session, visit: &Visit) -> bool {
        let now = visit.services.now();
        match self {
            Self::Keys
            | Self::NewKey
            | Self::NewKeyFor(_)
            | Self::Authenticator
            | Self::RecoveryCodes => FreshFactors::of(session, now).is_some(),
            Self::Account | Self::FirstCodes | Self::Password => {
                FreshSecondFactor::of(session, now).is_some()
            }
            Self::Resend | Self::App(_) | Self::Onward(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_up_leads_to_account_pages_or_into_the_app_only() {
        for own in Target::OWN {
            assert_eq!(Target::parse(own.path()), own);
            assert!(own.step_up_path().starts_with("/_auth/step-up?return_to=%2F_auth%2F"));
        }
        assert_eq!(Target::parse("/a?b=c").path(), "/a?b=c");
        let new_key = "/_auth/account/keys/new?return_to=%2Fvault%3Fa%3Db";
        assert_eq!(Target::parse(new_key), Target::NewKeyFor(new_key.to_owned()));
        for own in ["", "/", "//evil.example", "/_auth/logout", "/_auth/account"] {
            let escaped: String = form_urlencoded::byte_serialize(own.as_bytes()).collect();
            let path = format!("/_auth/account/keys/new?return_to={escaped}");
            assert_eq!(Target::parse(&path), Target::NewKey, "{own}");
        }
        assert_eq!(Target::parse("/").path(), "/");
        for bad in [
            "",
            "/_auth/logout",
            "/_auth/account/",
            "/_auth/account/password?x",
            "/_auth/account/../logout",
            "//evil.example",
            "https://evil.example/",
        ] {
            assert_eq!(Target::parse(bad), Target::Account, "{bad}");
        }
    }
}
