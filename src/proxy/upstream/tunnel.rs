//! The state that a tunnel shares with the watcher of its session.

use std::sync::atomic::AtomicBool;

/// A tunnel, as the watcher of its session sees it.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Tunnel {
    pub(in crate::proxy) over: AtomicBool,
}
