//! A notice shown once after sign-in, on its own page before the redirect to the app. Computed at
//! sign-in and stored in the session.

use serde::{Deserialize, Serialize};

use super::throttle::WrongCodes;
use crate::base::address::ClientIp;
use crate::base::clock::Timestamp;

/// A notice to the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "notice")]
pub enum Notice {
    /// The correct password was entered with wrong codes since the last sign-in, so the password
    /// may be known to someone else.
    WrongCodes {
        /// Number of codes.
        tries: u32,
        /// Time of the last one.
        last_at: Timestamp,
        /// Client address of the last one.
        address: ClientIp,
    },
    /// A recovery code was used since the last sign-in.
    RecoveryCodeUsed {
        /// Time of use.
        at: Timestamp,
        /// Client address, if known.
        address: Option<ClientIp>,
    },
    /// Few recovery codes are left.
    FewRecoveryCodes {
        /// Number of unused codes.
        left: u32,
    },
    /// The authenticator is suspended and must be enrolled again.
    AuthenticatorSuspended,
    /// The password or the authenticator app was set anew, and these keys still sign in. One of them may
    /// be an intruder's.
    KeysRemain {
        /// Names of the keys.
        names: Vec<String>,
    },
    /// A recovery code replaced the authenticator at this sign-in; the user may need to enrol a new
    /// phone.
    SignedInWithRecoveryCode,
}

impl Notice {
    /// Builds a notice from wrong codes recorded in logins other than `own`, or `None` if there
    /// were none.
    pub fn of_wrong_codes(noted: &[WrongCodes], own: &str) -> Option<Self> {
        let others = || noted.iter().filter(|w| w.login != own);
        let last = others().max_by_key(|w| w.last_at)?;
        Some(Self::WrongCodes {
            tries: others().map(|w| w.tries).fold(0, u32::saturating_add),
            last_at: last.last_at,
            address: last.address,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_typos_are_no_news_and_those_of_others_are_counted_together() {
        let noted = |login: &str, tries, at| WrongCodes {
            login: login.to_owned(),
            tries,
            last_at: Timestamp::from_millis(at),
            address: ClientIp::new([192, 0, 2, u8::try_from(at).unwrap()].into()),
        };
        let all = [noted("a", 3, 5), noted("mine", 2, 9), noted("b", 4, 7)];
        assert_eq!(
            Notice::of_wrong_codes(&all, "mine"),
            Some(Notice::WrongCodes {
                tries: 7,
                last_at: Timestamp::from_millis(7),
                address: ClientIp::new([192, 0, 2, 7].into()),
            })
        );
        assert_eq!(Notice::of_wrong_codes(&all[1..2], "mine"), None);
        assert_eq!(Notice::of_wrong_codes(&[], "mine"), None);
    }
}
