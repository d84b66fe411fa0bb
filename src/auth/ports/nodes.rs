//! The store of what nodes tell each other.

use async_trait::async_trait;

use super::Stored;
use crate::auth::nodes::{KeyUse, Node};
use crate::base::clock::Timestamp;

/// Everything that the nodes of a cluster have recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Keys that were written with.
    pub key_uses: Vec<KeyUse>,
    /// Nodes, running or stopped without notice.
    pub nodes: Vec<Node>,
}

/// The nodes of a cluster.
#[async_trait]
pub trait Nodes: Send + Sync {
    /// Records a node and the keys that it writes with. Removes nodes not seen since `expired`.
    async fn report(&self, node: &Node, expired: Timestamp) -> Stored<()>;
    /// Returns what all nodes have recorded. Tokens that expire until `now` do not count.
    async fn recorded(&self, now: Timestamp) -> Stored<Recorded>;
    /// Returns the time by the clock of the store.
    async fn time(&self) -> Stored<Timestamp>;
    /// Removes a node that stops.
    async fn leave(&self, instance: &str) -> Stored<()>;
    /// Removes a node, unless it has reported again since `seen_at`.
    async fn forget(&self, instance: &str, seen_at: Timestamp) -> Stored<()>;
}
