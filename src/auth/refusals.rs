//! Records of rejected requests, for `vestibule why`. They hold no credentials. Of most headers,
//! only the presence is recorded.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::account::LoginName;
use crate::base::address::ClientIp;
use crate::base::clock::Timestamp;
use crate::base::id::RequestId;

/// Retention of a record.
pub const KEPT_FOR: Duration = Duration::from_hours(24);
/// Maximum number of records. The oldest are deleted first.
pub const KEPT_MOST: u32 = 50_000;
/// Maximum length of a text that a client chose, in bytes. A record takes at most about 1.5 KiB.
pub const TEXT_MAX: usize = 160;

/// The client of a rejected request, as far as known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum RefusedVisitor {
    /// The request was rejected before its credentials were checked.
    NotLookedAt,
    /// The client was not signed in.
    Nobody,
    /// The password was verified, but the second factor was not.
    PasswordProved {
        /// Login name.
        user: LoginName,
    },
    /// A program acted as a user, with an access token or an app token.
    Machine {
        /// Login name.
        user: LoginName,
    },
    /// An access token or app token was rejected.
    Token {
        /// Reason, as in the audit log.
        why: String,
    },
    /// The user was signed in with both factors.
    SignedIn {
        /// Login name.
        user: LoginName,
        /// Time of the last verification of the second factor.
        second_factor_at: Timestamp,
    },
}

/// A record of a rejected request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalRecord {
    /// Request id.
    pub request: RequestId,
    /// Time of the rejection.
    pub at: Timestamp,
    /// App, if the host belongs to one.
    pub app: Option<String>,
    /// Method.
    pub method: String,
    /// Path without its query, in canonical form if it has one.
    pub path: Option<String>,
    /// Status code of the answer.
    pub status: u16,
    /// Error code of the answer.
    pub code: String,
    /// Message of the answer.
    pub sentence: String,
    /// Deciding rule, if rules were evaluated.
    pub rule: Option<String>,
    /// Client of the request.
    pub visitor: RefusedVisitor,
    /// Client address.
    pub address: Option<ClientIp>,
    /// Inspected headers that were present.
    pub headers: Vec<String>,
    /// Values of those headers that hold no secret.
    pub values: Vec<(String, String)>,
    /// Vestibule's cookies that were present.
    pub cookies: Vec<String>,
}

/// Parses a reference as read out or copied: `K7QX-3FZA`, also without its dash and in lower case,
/// or a whole request id.
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
