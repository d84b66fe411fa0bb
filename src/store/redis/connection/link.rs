//! One connection, to a server or to the primary of a slot.

use redis::aio::{ConnectionLike, ConnectionManager};
use redis::{Cmd, Pipeline, RedisFuture, Value};

use super::cluster::SlotLink;

/// A connection to the server that holds the keys.
#[derive(Clone)]
pub(crate) enum Link {
    /// To a server at a known address.
    Node(ConnectionManager),
    /// To the primary of a slot in a cluster.
    Slot(SlotLink),
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Node(manager) => manager.req_packed_command(cmd),
            Self::Slot(link) => Box::pin(link.command(cmd)),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Node(manager) => manager.req_packed_commands(cmd, offset, count),
            Self::Slot(link) => Box::pin(link.pipeline(cmd, offset, count)),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Node(manager) => manager.get_db(),
            Self::Slot(_) => 0,
        }
    }
}
