//! Occasions to send a user mail.

use crate::auth::authenticator::AuthenticatorKind;

/// The reason for mail about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Occasion {
    /// A sign-in from a new browser.
    NewBrowser,
    /// A second factor was set up.
    SecondFactorConfigured,
    /// A passkey or security key was added.
    KeyAdded,
    /// A passkey or security key was removed.
    KeyRemoved,
    /// A key may have been copied.
    KeyCopied,
    /// An operator removed the second factor.
    SecondFactorRemoved,
    /// The second factor was suspended.
    SecondFactorSuspended,
    /// A recovery code was used.
    RecoveryCodeUsed,
    /// The password was changed.
    PasswordChanged,
    /// An operator ended sessions.
    SessionsEnded,
    /// An operator created an access token.
    TokenMade,
    /// An operator changed the email address.
    EmailChanged,
    /// Several wrong codes in a row after the correct password.
    WrongCodes,
}

impl Occasion {
    /// Returns the occasion for a new authenticator of this kind.
    pub(super) fn of_set_up(kind: AuthenticatorKind) -> Self {
        match kind {
            AuthenticatorKind::Totp => Self::SecondFactorConfigured,
            AuthenticatorKind::Webauthn => Self::KeyAdded,
        }
    }
}
