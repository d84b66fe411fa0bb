//! The store of networks from which accounts have signed in.

use std::time::Duration;

use async_trait::async_trait;

use super::Stored;
use crate::auth::throttle::{NetworkDigest, SeenNetwork};
use crate::base::clock::Timestamp;

/// Networks from which accounts have verified both factors, for a limited time.
#[async_trait]
pub trait SeenNetworks: Send + Sync {
    /// Records that `seen` verified both factors from a network. The record expires `lives` after
    /// the time in `seen`. Of more than `most` networks of one name, the oldest are deleted.
    async fn note_network(
        &self,
        network: &NetworkDigest,
        seen: &SeenNetwork,
        most: u32,
        lives: Duration,
    ) -> Stored<()>;
    /// Returns the account that verified both factors under this name from this network, unless the
    /// record has expired by `now`.
    async fn seen_network(
        &self,
        network: &NetworkDigest,
        now: Timestamp,
    ) -> Stored<Option<SeenNetwork>>;
}
