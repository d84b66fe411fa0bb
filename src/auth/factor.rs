//! Kinds of first and second factors.

use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::authenticator::AuthenticatorKind;

/// A kind of first factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstFactorKind {
    /// A password that Vestibule stores.
    Password,
    /// The sign-in of the app itself.
    App,
}

impl FirstFactorKind {
    /// Returns true if Vestibule stores the password. Then its pages set, change and recover it, and
    /// its users have the same name at every check.
    pub fn is_kept_here(self) -> bool {
        match self {
            Self::Password => true,
            Self::App => false,
        }
    }
}

/// A kind of second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// An authenticator of this kind.
    Authenticator(AuthenticatorKind),
    /// A recovery code in place of an authenticator.
    RecoveryCode,
    /// The second factor of the app itself, if the configuration accepts it.
    App,
}

impl Factor {
    /// A code from an authenticator app.
    pub const TOTP: Self = Self::Authenticator(AuthenticatorKind::Totp);
    /// A passkey or security key.
    pub const KEY: Self = Self::Authenticator(AuthenticatorKind::Webauthn);

    /// Returns the name in the stores, in logs, metrics and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authenticator(kind) => kind.as_str(),
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
        if let Ok(kind) = name.parse() {
            return Ok(Self::Authenticator(kind));
        }
        let others = [Self::RecoveryCode, Self::App];
        others.into_iter().find(|factor| factor.as_str() == name).ok_or(NotAFactor)
    }
}

impl Serialize for Factor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Factor;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a second factor")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Factor, E> {
                name.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_is_stored_under_the_name_it_has_in_logs() {
        for (factor, name) in
            [(Factor::TOTP, "totp"), (Factor::RecoveryCode, "recovery_code"), (Factor::App, "app")]
        {
            let json = serde_json::to_string(&factor).unwrap();
            assert_eq!(json, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<Factor>(&json).unwrap(), factor);
            assert_eq!(name.parse::<Factor>().unwrap(), factor);
        }
        assert!(serde_json::from_str::<Factor>("\"password\"").is_err());
    }
}
