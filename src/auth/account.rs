//! Accounts and what they are called.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

use super::password::PasswordRecord;

/// Most characters in a login name.
const NAME_MAX: usize = 128;

/// A login name: NFKC-normalised, lower case, 1 to 128 characters, no white space or control
/// characters, none of the characters that have a meaning in identity headers (`,` `;` `"`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LoginName(String);

/// Not a login name.
#[derive(Debug, thiserror::Error)]
#[error(
    "not a login name: 1 to 128 characters without spaces, control characters, commas, \
     semicolons, colons or quotes"
)]
pub struct NotAName;

impl LoginName {
    /// Parses what somebody typed; surrounding white space is dropped.
    pub fn parse(typed: &str) -> Result<Self, NotAName> {
        let name: String = typed.trim().nfkc().collect::<String>().to_lowercase().nfkc().collect();
        let forbidden =
            |c: char| c.is_whitespace() || c.is_control() || matches!(c, ',' | ';' | '"' | ':');
        if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(forbidden) {
            return Err(NotAName);
        }
        Ok(Self(name))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LoginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an app may be told of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The account.
    pub account: AccountId,
    /// What the person signs in with.
    pub name: LoginName,
    /// What the person is called; the login name where nothing else is set.
    pub display_name: String,
    /// Where the person gets mail.
    pub email: Option<String>,
    /// The groups the person belongs to.
    pub groups: Vec<String>,
}

/// An account as it is stored.
#[derive(Clone, Debug)]
pub struct Account {
    /// Who this is.
    pub identity: Identity,
    /// The password, if one is set.
    pub password: Option<PasswordRecord>,
    /// When the password was set, if one is set and that is known.
    pub password_set_at: Option<Timestamp>,
    /// A disabled account cannot sign in and has no sessions.
    pub disabled: bool,
    /// Whether a second factor was ever confirmed. Never goes back to false.
    pub ever_enrolled: bool,
    /// Sessions that started before this moment are over.
    pub sessions_valid_from: Timestamp,
    /// Browsers that became known up to this moment are strangers.
    pub devices_valid_from: Timestamp,
    /// When the account was added.
    pub created_at: Timestamp,
}

impl Account {
    /// Its id.
    pub fn id(&self) -> AccountId {
        self.identity.account
    }

    /// Whether a browser that became known at `since` is still known. A new password makes
    /// strangers of all.
    pub fn knows_browsers_since(&self, since: Timestamp) -> bool {
        since >= self.sessions_valid_from && since > self.devices_valid_from
    }
}

/// An account to be added.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Who this is.
    pub identity: Identity,
    /// The password, if one is set.
    pub password: Option<PasswordRecord>,
    /// When.
    pub created_at: Timestamp,
}

/// What the gate asks about an account whose session it honours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountStatus {
    /// A disabled account has no sessions.
    pub disabled: bool,
    /// Sessions that started before this moment are over.
    pub sessions_valid_from: Timestamp,
}

impl AccountStatus {
    /// Whether a session that started at `started` is still honoured.
    pub fn honours(&self, started: Timestamp) -> bool {
        !self.disabled && started >= self.sessions_valid_from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_are_one_name() {
        let plain = LoginName::parse("alice").unwrap();
        assert_eq!(LoginName::parse("  Alice ").unwrap(), plain);
        assert_eq!(LoginName::parse("ａｌｉｃｅ").unwrap(), plain);
    }

    #[test]
    fn a_name_read_again_is_the_same_name() {
        for typed in ["J\u{30C}an", "\u{1E96}", "H\u{331}", "Straße", "İ"] {
            let once = LoginName::parse(typed).unwrap();
            assert_eq!(LoginName::parse(once.as_str()).unwrap(), once, "{typed}");
        }
    }

    #[test]
    fn a_name_cannot_break_out_of_a_header() {
        for bad in ["", "a b", "a\r\nb", "a,b", "a\0", "a;b", "a\"b", "a:b", &"x".repeat(129)] {
            assert!(LoginName::parse(bad).is_err(), "{bad:?}");
        }
    }
}
