//! Kinds of second factor.

use serde::{Deserialize, Serialize};

/// A kind of second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Factor {
    /// A code from an authenticator app (RFC 6238).
    Totp,
    /// A recovery code in place of the second factor.
    RecoveryCode,
    /// The second factor of the app itself, if the configuration accepts it.
    App,
}

impl Factor {
    /// Returns the name in logs, metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::RecoveryCode => "recovery_code",
            Self::App => "app",
        }
    }
}

/// The text is not the name of a second factor.
#[derive(Debug, thiserror::Error)]
#[error("not the name of a second factor")]
pub struct NotAFactor;

impl std::str::FromStr for Factor {
    type Err = NotAFactor;

    fn from_str(name: &str) -> Result<Self, NotAFactor> {
        let all = [Self::Totp, Self::RecoveryCode, Self::App];
        all.into_iter().find(|factor| factor.as_str() == name).ok_or(NotAFactor)
    }
}
