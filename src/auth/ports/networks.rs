//! Networks from which accounts have signed in.

use std::time::Duration;

use async_trait::async_trait;

use super::Stored;
use crate::auth::throttle::{NetworkDigest, SeenNetwork};
use crate::base::clock::Timestamp;

/// Networks from which names have passed both factors, for a while.
#[async_trait]
pub trait SeenNetworks: Send + Sync {
    /// Files that `seen` passed both factors from a network, for `lives` from its moment on; of more
    /// than `most` networks of one name the oldest are let go.
    async fn note_network(
        &self,
        network: &NetworkDigest,
        seen: &SeenNetwork,
        most: u32,
        lives: Duration,
    ) -> Stored<()>;
    /// The account that passed both factors by this name from this network, unless that has lapsed
    /// by `now`.
    async fn seen_network(
        &self,
        network: &NetworkDigest,
        now: Timestamp,
    ) -> Stored<Option<SeenNetwork>>;
}
