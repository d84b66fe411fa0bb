//! What is kept of a request that was refused, for whoever is asked why. It holds nothing that opens
//! a door: of most headers no more than that they were there.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::account::LoginName;
use crate::base::address::ClientIp;
use crate::base::clock::Timestamp;
use crate::base::id::RequestId;

/// How long it is kept.
pub const KEPT_FOR: Duration = Duration::from_hours(24);
/// How many are kept at most; the oldest go first.
pub const KEPT_MOST: u32 = 50_000;
/// Most bytes of one text that a client chose: a record takes some 1.5 KiB at most.
pub const TEXT_MAX: usize = 160;

/// Who asked, as far as it was known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum RefusedVisitor {
    /// It was refused before anybody looked.
    NotLookedAt,
    /// Nobody who is signed in.
    Nobody,
    /// A person whose password is proved and whose second factor is not.
    PasswordProved {
        /// Who.
        user: LoginName,
    },
    /// A program with a long-lived token of the app's, in the name of a person.
    Machine {
        /// Whose.
        user: LoginName,
    },
    /// A token, of ours or of the app's, or what was given for one, that was not let through.
    Token {
        /// What it did not allow, as in the audit trail.
        why: String,
    },
    /// A person with both factors.
    SignedIn {
        /// Who.
        user: LoginName,
        /// When the second factor was last proved.
        second_factor_at: Timestamp,
    },
}

/// A request that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalRecord {
    /// The request.
    pub request: RequestId,
    /// When.
    pub at: Timestamp,
    /// The app, where the host is one of ours.
    pub app: Option<String>,
    /// The method.
    pub method: String,
    /// The path without its query: in its canonical form, if it has one.
    pub path: Option<String>,
    /// The status answered.
    pub status: u16,
    /// The code answered.
    pub code: String,
    /// The sentence answered.
    pub sentence: String,
    /// The rule that decided, where rules did.
    pub rule: Option<String>,
    /// Who asked.
    pub visitor: RefusedVisitor,
    /// Where from.
    pub address: Option<ClientIp>,
    /// Which headers were there of those that are looked at.
    pub headers: Vec<String>,
    /// What those said that hold no secret.
    pub values: Vec<(String, String)>,
    /// Which cookies of ours were there.
    pub cookies: Vec<String>,
}

/// The reference in what somebody read out or copied: `K7QX-3FZA`, also without its dash and in
/// small letters, or a whole request id.
pub fn parse_reference(text: &str) -> Option<String> {
    let text = text.trim();
    if let Ok(id) = text.parse::<RequestId>() {
        return Some(id.reference());
    }
    let plain: String = text.chars().filter(|c| *c != '-').collect();
    let plain = plain.to_ascii_uppercase();
    let known = |c: char| matches!(c, 'A'..='Z' | '2'..='7');
    let (first, last) = plain.split_at_checked(4)?;
    (plain.len() == 8 && plain.chars().all(known)).then(|| format!("{first}-{last}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_understood_however_it_is_read_out() {
        let id = RequestId::from_parts([1, 2, 3, 4], 0x0102_0304_0506_0708);
        let reference = id.reference();
        let spoken = reference.replace('-', "").to_ascii_lowercase();
        for text in [reference.as_str(), &spoken, &format!(" {reference}\n"), &id.to_string()] {
            assert_eq!(parse_reference(text).as_deref(), Some(reference.as_str()), "{text}");
        }
        for bad in ["", "K7QX", "K7QX-3FZ1", "K7QX-3FZAA", "ünïcödé"] {
            assert_eq!(parse_reference(bad), None, "{bad}");
        }
    }
}
