//! Authentication methods of a session, as RFC 8176 names them.

use serde::{Deserialize, Serialize};

use super::authenticator::AuthenticatorKind;
use super::factor::Factor;
use crate::base::id::FactorId;

/// Evidence that a passkey or security key gave of itself and its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyEvidence {
    /// Key that gave it.
    #[serde(default)]
    pub id: Option<FactorId>,
    /// True if the private key can be copied to other devices: a synced passkey.
    pub synced: bool,
    /// True if the authenticator verified its user.
    pub user_verified: bool,
}

/// Returns the methods of a session with this second factor. `alone` is true if a passkey was both
/// factors at sign-in, and no password was entered since.
pub fn methods(second: Factor, key: Option<KeyEvidence>, alone: bool) -> Vec<&'static str> {
    let mut all = Vec::with_capacity(4);
    let by_key = second == Factor::KEY;
    if !alone {
        all.push("pwd");
    }
    if alone || by_key {
        // Without evidence, the weaker statement.
        all.push(if key.is_some_and(|key| !key.synced) { "hwk" } else { "swk" });
        if key.is_some_and(|key| key.user_verified) {
            all.push("user");
        }
    }
    match second {
        Factor::Authenticator(AuthenticatorKind::Webauthn) => {}
        Factor::Authenticator(AuthenticatorKind::Totp) | Factor::App => all.push("otp"),
        Factor::RecoveryCode => all.push("recovery"),
    }
    all.push("mfa");
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_have_the_names_of_rfc_8176() {
        let webauthn = Factor::Authenticator(AuthenticatorKind::Webauthn);
        let key = |synced, user_verified| Some(KeyEvidence { id: None, synced, user_verified });
        for (methods, expected) in [
            (methods(Factor::TOTP, None, false), "pwd otp mfa"),
            (methods(Factor::RecoveryCode, None, false), "pwd recovery mfa"),
            (methods(webauthn, key(false, false), false), "pwd hwk mfa"),
            (methods(webauthn, key(false, true), false), "pwd hwk user mfa"),
            (methods(webauthn, key(true, true), false), "pwd swk user mfa"),
            (methods(webauthn, key(true, true), true), "swk user mfa"),
            (methods(webauthn, key(false, true), true), "hwk user mfa"),
            (methods(Factor::TOTP, key(false, true), true), "hwk user otp mfa"),
        ] {
            assert_eq!(methods.join(" "), expected);
        }
    }
}
