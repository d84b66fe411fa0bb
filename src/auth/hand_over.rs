//! The hand-over of a sign-in from the portal to an app, by a ticket that works once.
//!
//! A ticket alone is useless: the app accepts it only from the browser that holds the flow cookie of
//! the app's host. The portal learns the hash of that cookie, never its value.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::session::HandedProofs;
use super::token::{HashedToken, SessionToken};
use crate::base::clock::Timestamp;
use crate::base::id::TreeId;

/// Lifetime of a ticket.
pub const LIFETIME: Duration = Duration::from_mins(1);
/// Maximum number of unused tickets of one session. A browser that restores its tabs asks for many
/// at once.
pub const MOST_TICKETS: u32 = 64;
/// Maximum number of sessions at apps below one session at the portal.
pub const MOST_BRANCHES: BranchLimits = BranchLimits { all: 64, of_app: 4 };
/// Separates the hash of a flow from other hashes.
const PURPOSE: &[u8] = b"vestibule flow\0";
/// Length of a hash in base64url.
const HASH_LEN: usize = 43;

/// Limits on the branches of a session at the portal. The oldest are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BranchLimits {
    /// Maximum in all.
    pub all: u32,
    /// Maximum at one app: each hand-over makes one.
    pub of_app: u32,
}

/// The hash of a flow cookie.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FlowHash(String);

impl PartialEq for FlowHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for FlowHash {}

impl FlowHash {
    /// Returns the hash of the value of a flow cookie.
    pub fn of(cookie: &str) -> Self {
        let hash = digest(&SHA256, &[PURPOSE, cookie.as_bytes()].concat());
        Self(BASE64URL_NOPAD.encode(hash.as_ref()))
    }

    /// Parses a hash as the portal receives it.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hash = text.len() == HASH_LEN && BASE64URL_NOPAD.decode(text.as_bytes()).is_ok();
        is_hash.then(|| Self(text.to_owned()))
    }

    /// Returns the text of the hash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A ticket as stored, under the hash of its token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOver {
    /// Hash of the token of the session at the portal, as hexadecimal digits.
    pub root: String,
    /// Tree of that session when the ticket was issued.
    pub tree: TreeId,
    /// Proofs of that session when the ticket was issued.
    pub proofs: HandedProofs,
    /// Name of the app.
    pub app: String,
    /// Host of the app, in lower case and without a port.
    pub host: String,
    /// Path and query at the app to redirect to.
    pub return_to: String,
    /// Hash of the flow cookie of the browser.
    pub flow: FlowHash,
    /// Time of expiry of the ticket.
    pub expires_at: Timestamp,
    /// Time at which the session at the portal ends, whether used or not.
    pub session_ends_at: Timestamp,
}

impl HandOver {
    /// Returns the hash of the token of the session at the portal.
    pub fn root(&self) -> Option<HashedToken<SessionToken>> {
        HashedToken::from_hex(&self.root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_flow_is_told_from_its_cookie_and_from_other_text() {
        let cookie = "A".repeat(HASH_LEN);
        let hash = FlowHash::of(&cookie);
        assert_ne!(hash.as_str(), cookie);
        assert_eq!(FlowHash::parse(hash.as_str()), Some(hash.clone()));
        assert_ne!(FlowHash::of(hash.as_str()), hash);
        for bad in ["", "A", &"A".repeat(44), &"?".repeat(43), &"é".repeat(43)] {
            assert_eq!(FlowHash::parse(bad), None, "{bad}");
        }
    }
}
