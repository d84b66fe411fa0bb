//! Challenges of passkeys and security keys, in Redis.

use async_trait::async_trait;

use crate::auth::ports::{ChallengeGroup, Challenges, Stored};
use crate::auth::webauthn::challenge::{ChallengeId, IssuedChallenge};
use crate::base::clock::Timestamp;

use super::RedisStore;
use super::issued::{Kind, Place};

const CHALLENGE: Kind = Kind { key: "h", group_key: "hg", field: "group", name: "challenge" };

#[async_trait]
impl Challenges for RedisStore {
    async fn issue_challenge(
        &self,
        id: &ChallengeId,
        challenge: &IssuedChallenge,
        group: ChallengeGroup<'_>,
        now: Timestamp,
    ) -> Stored<()> {
        let expires_at = challenge.expires_at;
        let place = Place { group: group.name, most: group.most, expires_at };
        self.issue(&CHALLENGE, id.as_str(), challenge, place, now).await
    }

    async fn use_challenge(
        &self,
        id: &ChallengeId,
        now: Timestamp,
    ) -> Stored<Option<IssuedChallenge>> {
        self.take_issued(&CHALLENGE, id.as_str(), now).await
    }
}
