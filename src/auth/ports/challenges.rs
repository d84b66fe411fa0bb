//! Challenges of passkeys and security keys, and durable records of their use.

use async_trait::async_trait;

use super::Stored;
use crate::auth::webauthn::challenge::{ChallengeId, IssuedChallenge};
use crate::base::clock::Timestamp;

/// Challenges of which only the newest are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChallengeGroup<'a> {
    /// Name.
    pub name: &'a str,
    /// Maximum number of challenges that wait for an answer.
    pub most: u32,
}

/// Issued challenges, short-lived.
#[async_trait]
pub trait Challenges: Send + Sync {
    /// Stores a challenge until it expires. If more of the group wait for an answer than it may have,
    /// removes the oldest.
    async fn issue_challenge(
        &self,
        id: &ChallengeId,
        challenge: &IssuedChallenge,
        group: ChallengeGroup<'_>,
        now: Timestamp,
    ) -> Stored<()>;
    /// Uses up a challenge. Returns it to exactly one caller, and `None` to all others, or if it has
    /// expired by `now`.
    async fn use_challenge(
        &self,
        id: &ChallengeId,
        now: Timestamp,
    ) -> Stored<Option<IssuedChallenge>>;
}

/// Used challenges of the sign-in page, which are not stored when they are issued, and those that a key
/// without a signature counter answered. Durable, so that no loss of the short-lived store makes a used
/// one valid.
#[async_trait]
pub trait UsedChallenges: Send + Sync {
    /// Uses up a challenge, and keeps a record of it until `until`. Returns true to exactly one caller.
    async fn use_up(&self, id: &ChallengeId, until: Timestamp, now: Timestamp) -> Stored<bool>;
    /// Returns true if a record of its use is kept.
    async fn is_used(&self, id: &ChallengeId) -> Stored<bool>;
}
