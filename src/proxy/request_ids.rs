//! Request ids.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::id::RequestId;
use crate::base::random::{Random, RandomError, bytes};

/// Generates request ids, unique across nodes and restarts. An id costs one increment.
#[derive(Debug)]
pub(super) struct RequestIds {
    node: [u8; 4],
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new(random: &dyn Random) -> Result<Self, RandomError> {
        let start: [u8; 4] = bytes(random)?;
        Ok(Self {
            node: bytes(random)?,
            next: AtomicU64::new(u64::from(u32::from_be_bytes(start)) << 24),
        })
    }

    pub(super) fn next(&self) -> RequestId {
        RequestId::from_parts(self.node, self.next.fetch_add(1, Ordering::Relaxed))
    }
}
