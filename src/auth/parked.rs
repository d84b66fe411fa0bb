//! Requests that met an expired session: kept, sealed, until the same user has signed in again in the
//! same browser.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::session::{Session, SessionMark};
use super::token::{HashedToken, ParkedToken, SessionToken};
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, SessionId};

/// Time for which a request is kept.
pub const LIVES: Duration = Duration::from_mins(10);
/// Maximum size of a kept body, in bytes.
pub const MOST_BYTES: usize = 64 * 1024;
/// Limits of what is kept.
pub const LIMITS: ParkedLimits = ParkedLimits { of_account: 4, all: 1_000 };

/// The number of requests that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParkedLimits {
    /// Maximum of one account. The oldest goes first.
    pub of_account: u32,
    /// Maximum of all accounts. Above it, nothing is kept.
    pub all: u32,
}

/// A session as remembered beyond its expiry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerSession {
    /// Id of the session in lists.
    pub id: SessionId,
    /// Its account.
    pub account: AccountId,
    /// Its app.
    pub app: String,
    /// Its start.
    pub started_at: Timestamp,
    /// Hash of the token of the session at the portal that it was a branch of.
    #[serde(default)]
    pub root: Option<String>,
    /// Hash of the token under which it goes on after a step-up.
    #[serde(default)]
    pub next: Option<String>,
}

impl FormerSession {
    /// Returns what is remembered of `session`.
    pub fn of(session: &Session) -> Self {
        Self {
            id: session.id,
            account: session.identity.account,
            app: session.app.clone(),
            started_at: session.started_at,
            root: session.branch.map(|tokens| tokens.root.to_hex()),
            next: None,
        }
    }

    /// Returns the hash of the token under which it goes on, if it does.
    pub fn next(&self) -> Option<HashedToken<SessionToken>> {
        HashedToken::from_hex(self.next.as_deref()?)
    }

    /// Returns the names of the session under `token` in the durable store, or `None` if the record
    /// is not readable.
    pub fn mark(&self, token: &HashedToken<SessionToken>) -> Option<SessionMark> {
        let (id, started_at) = (self.id, self.started_at);
        Some(match &self.root {
            None => SessionMark { id, token: *token, branch: None, started_at },
            Some(root) => {
                let root = HashedToken::from_hex(root)?;
                SessionMark { id, token: root, branch: Some(*token), started_at }
            }
        })
    }
}

/// A kept request, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedRecord {
    /// The account that was sending it.
    pub account: AccountId,
    /// The request, sealed.
    pub sealed: String,
    /// Time until which it is kept.
    pub expires_at: Timestamp,
}

/// The place of a kept request: nowhere else can it be opened.
#[derive(Clone, Copy, Debug)]
pub struct ParkedAt<'a> {
    /// The app.
    pub app: &'a str,
    /// Scheme and host as the browser used them.
    pub origin: &'a str,
}

impl ParkedAt<'_> {
    /// Returns the context that a request is sealed in. No two lists of parts have the same text.
    pub(super) fn context(&self, account: AccountId, id: &HashedToken<ParkedToken>) -> Vec<u8> {
        let parts = [account.to_string(), id.to_hex(), self.app.to_owned(), self.origin.to_owned()];
        parts.iter().fold(b"parked".to_vec(), |mut context, part| {
            context.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.extend_from_slice(part.as_bytes());
            context
        })
    }
}

/// A kept request: everything but its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedHead {
    /// The method.
    pub method: String,
    /// Path and query, as the browser sent them.
    pub target: String,
    /// Headers that go with the body.
    pub headers: Vec<(String, String)>,
    /// Path of the page that sent it.
    pub page: String,
    /// True if a form was sent, rather than a script's data.
    pub form: bool,
}

/// A kept request.
#[derive(Clone, PartialEq, Eq)]
pub struct ParkedRequest {
    /// Everything but the body.
    pub head: ParkedHead,
    /// The body, byte for byte.
    pub body: Vec<u8>,
}

impl fmt::Debug for ParkedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ParkedRequest(…)")
    }
}

impl ParkedRequest {
    /// Returns the text to seal: the length of the head, the head as JSON, the body.
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let head = serde_json::json!(self.head).to_string();
        let length = u32::try_from(head.len()).unwrap_or(u32::MAX);
        let mut text = Zeroizing::new(Vec::with_capacity(4 + head.len() + self.body.len()));
        text.extend_from_slice(&length.to_be_bytes());
        text.extend_from_slice(head.as_bytes());
        text.extend_from_slice(&self.body);
        text
    }

    /// Reads the text of [`Self::encode`].
    pub(super) fn decode(text: &[u8]) -> Option<Self> {
        let (length, rest) = text.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (head, body) = rest.split_at_checked(length)?;
        Some(Self { head: serde_json::from_slice(head).ok()?, body: body.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_request_comes_back_byte_for_byte() {
        let head = ParkedHead {
            method: "POST".to_owned(),
            target: "/a?b=c".to_owned(),
            headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
            page: "/form".to_owned(),
            form: true,
        };
        for body in [vec![], vec![0, 255, b'\r', b'\n'], vec![7; MOST_BYTES]] {
            let kept = ParkedRequest { head: head.clone(), body };
            assert!(ParkedRequest::decode(&kept.encode()).unwrap() == kept);
        }
        assert!(ParkedRequest::decode(b"\0\0\0\x09{}").is_none());
        assert!(ParkedRequest::decode(b"").is_none());
    }
}
