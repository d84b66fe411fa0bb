//! What a person is told right after signing in: computed once, kept in the session, shown on a page
//! of its own before the way leads on.

use serde::{Deserialize, Serialize};

use super::throttle::WrongCodes;
use crate::base::address::ClientIp;
use crate::base::clock::Timestamp;

/// Something to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "notice")]
pub enum Notice {
    /// The right password with wrong codes, since the last sign-in: somebody may know the password.
    WrongCodes {
        /// How many codes.
        tries: u32,
        /// When the last one was typed.
        last_at: Timestamp,
        /// From where.
        address: ClientIp,
    },
    /// A recovery code was used since the last sign-in.
    RecoveryCodeUsed {
        /// When.
        at: Timestamp,
        /// From where, where that is known.
        address: Option<ClientIp>,
    },
    /// Few recovery codes are left.
    FewRecoveryCodes {
        /// How many.
        left: u32,
    },
    /// The authenticator is suspended: it has to be set up anew.
    AuthenticatorSuspended,
    /// A recovery code stood in for the authenticator: a new phone may have to be set up.
    SignedInWithRecoveryCode,
}

impl Notice {
    /// Of what was noted in other logins than `own`; nothing when there is nothing.
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
