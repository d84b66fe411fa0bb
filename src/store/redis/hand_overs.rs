//! Hand-overs from the portal to apps, in Redis.

use std::time::Duration;

use async_trait::async_trait;

use crate::auth::hand_over::{BranchLimits, HandOver};
use crate::auth::ports::{HandOvers, Stored};
use crate::auth::session::Branch;
use crate::auth::token::{HandOverToken, HashedToken, SessionToken};
use crate::base::clock::Timestamp;

use super::issued::{Kind, Place};
use super::{RedisStore, lifetime};

const HAND_OVER: Kind = Kind { key: "x", group_key: "xg", field: "root", name: "hand-over" };

#[async_trait]
impl HandOvers for RedisStore {
    async fn issue_hand_over(
        &self,
        id: &HashedToken<HandOverToken>,
        hand_over: &HandOver,
        most: u32,
        now: Timestamp,
    ) -> Stored<()> {
        let expires_at = hand_over.expires_at;
        let place = Place { group: hand_over.root.as_str(), most, expires_at };
        self.issue(&HAND_OVER, &id.to_hex(), hand_over, place, now).await
    }

    async fn take_hand_over(
        &self,
        id: &HashedToken<HandOverToken>,
        now: Timestamp,
    ) -> Stored<Option<HandOver>> {
        self.take_issued(&HAND_OVER, &id.to_hex(), now).await
    }

    async fn branch(
        &self,
        id: &HashedToken<SessionToken>,
        branch: &Branch,
        most: BranchLimits,
        _now: Timestamp,
        ttl: Duration,
    ) -> Stored<bool> {
        let root = branch.root.to_hex();
        let keys = [self.key("s", &root), self.key("s", &id.to_hex()), self.key("k", &root)];
        let mut call = self.call_on(|s| &s.branch, keys);
        call.arg(root)
            .arg(id.to_hex())
            .arg(branch.tree.to_string())
            .arg(branch.app.as_str())
            .arg(serde_json::json!(branch.proofs).to_string())
            .arg(lifetime(ttl))
            .arg(most.all)
            .arg(most.of_app);
        self.run(&call).await
    }

    async fn follow_branch(
        &self,
        former: &HashedToken<SessionToken>,
        new: &HashedToken<SessionToken>,
    ) -> Stored<()> {
        let (former, new) = (former.to_hex(), new.to_hex());
        let keys =
            [("s", &former), ("s", &new), ("b", &former), ("b", &new)].map(|(k, n)| self.key(k, n));
        let mut call = self.call_on(|s| &s.follow_branch, keys);
        call.arg(former).arg(new);
        self.run::<u64>(&call).await?;
        Ok(())
    }
}
