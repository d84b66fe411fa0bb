//! Destinations of a step-up.

use crate::auth::fresh::{FreshFactors, FreshSecondFactor};
use crate::auth::session::Session;
use crate::web::return_to::ReturnTo;
use crate::web::visit::Visit;

/// Destination of a step-up: an account page or a page of the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) enum Target {
    Account,
    Authenticator,
    FirstCodes,
    RecoveryCodes,
    Password,
    App(ReturnTo),
}

impl Target {
    const OWN: [Self; 5] =
        [Self::Account, Self::Authenticator, Self::FirstCodes, Self::RecoveryCodes, Self::Password];

    /// Parses a destination. An address that is neither an account page nor a safe address of the app
    /// becomes the account page.
    pub(super) fn parse(text: &str) -> Self {
        let own = Self::OWN.into_iter().find(|page| page.path() == text);
        own.unwrap_or_else(|| match ReturnTo::parse(text) {
            app if app.is_root() && text != "/" => Self::Account,
            app => Self::App(app),
        })
    }

    pub(super) fn path(&self) -> &str {
        match self {
            Self::Account => "/_auth/account",
            Self::Authenticator => "/_auth/account/authenticator",
            Self::FirstCodes => "/_auth/recovery-codes",
            Self::RecoveryCodes => "/_auth/account/recovery-codes",
            Self::Password => "/_auth/account/password",
            Self::App(path) => path.as_str(),
        }
    }

    /// Returns true if the change needs both factors, because it could give another person lasting
    /// access. The password page asks for the current password itself.
    pub(super) fn needs_password(&self) -> bool {
        match self {
            Self::Authenticator | Self::RecoveryCodes => true,
            Self::Account | Self::FirstCodes | Self::Password | Self::App(_) => false,
        }
    }

    pub(super) fn step_up_path(&self) -> String {
        let path = form_urlencoded::byte_serialize(self.path().as_bytes());
        format!("/_auth/step-up?return_to={}", path.collect::<String>())
    }

    /// Returns true if no proof is needed. A page of the app always needs one, because its rules
    /// redirected here.
    pub(super) fn is_served(&self, session: &Session, visit: &Visit) -> bool {
        let now = visit.service.now();
        match self {
            Self::Authenticator | Self::RecoveryCodes => FreshFactors::of(session, now).is_some(),
            Self::Account | Self::FirstCodes | Self::Password => {
                FreshSecondFactor::of(session, now).is_some()
            }
            Self::App(_) => false,
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
