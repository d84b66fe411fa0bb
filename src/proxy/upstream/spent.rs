//! Spent connections: the app responded before it had the whole request, so its handling of the
//! rest is unknown. Pingora would reuse them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pingora_core::protocols::{Digest, SocketDigest};
use pingora_error::{Error, ErrorType};

/// The error of a request that got a spent connection, before anything was sent.
pub(in crate::proxy) const SPENT: ErrorType = ErrorType::Custom("SpentConnection");

/// The spent connections that are still open, identified by their digest.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Spent {
    any: AtomicBool,
    sockets: Mutex<Vec<Weak<SocketDigest>>>,
}

impl Spent {
    /// Marks a connection as spent.
    #[cold]
    pub(in crate::proxy) fn add(&self, socket: &Arc<SocketDigest>) {
        let mut sockets = self.sockets.lock();
        sockets.retain(|known| known.strong_count() > 0);
        sockets.push(Arc::downgrade(socket));
        self.any.store(true, Ordering::Release);
    }

    /// Fails for a spent connection.
    pub(in crate::proxy) fn check(&self, digest: Option<&Digest>) -> Result<(), Box<Error>> {
        if self.any.load(Ordering::Acquire) && self.holds(digest) {
            return Error::e_explain(SPENT, "the app responded before the last body ended");
        }
        Ok(())
    }

    #[cold]
    fn holds(&self, digest: Option<&Digest>) -> bool {
        let Some(socket) = digest.and_then(|digest| digest.socket_digest.as_ref()) else {
            return false;
        };
        let mut sockets = self.sockets.lock();
        sockets.retain(|known| known.strong_count() > 0);
        self.any.store(!sockets.is_empty(), Ordering::Release);
        sockets.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(socket)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(fd: i32) -> Digest {
        let socket_digest = Some(Arc::new(SocketDigest::from_raw_fd(fd)));
        Digest { socket_digest, ..Digest::default() }
    }

    #[test]
    fn a_spent_connection_is_known_for_as_long_as_it_is_open() {
        let spent = Spent::default();
        let (one, other) = (digest(1), digest(1));
        assert!(spent.check(Some(&one)).is_ok());
        spent.add(one.socket_digest.as_ref().unwrap());
        assert!(spent.check(Some(&one)).is_err());
        assert!(spent.check(Some(&other)).is_ok() && spent.check(None).is_ok());
        drop(one);
        assert!(spent.check(Some(&other)).is_ok());
        assert!(!spent.any.load(Ordering::Acquire));
    }
}
