//! The state that a tunnel shares with the watch over its session.

use std::sync::atomic::AtomicBool;

/// A tunnel's side of the watch over its session.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Tunnel {
    pub(in crate::proxy) over: AtomicBool,
}
