//! A session that the gate knows, as found in the store.

#[cfg(test)]
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::identity::IdentityHeaders;
use crate::auth::account::AccountStatus;
use crate::auth::session::Session;
use crate::auth::token::{HashedToken, SessionToken};
#[cfg(test)]
use crate::base::clock::Timestamp;

/// A live session with its identity headers.
#[derive(Debug)]
pub struct KnownSession {
    /// The session.
    pub session: Session,
    /// Its identity headers.
    pub headers: IdentityHeaders,
    pub(super) token: HashedToken<SessionToken>,
    /// Monotonic time of the load. The request path uses monotonic times, so that one clock reading
    /// serves a whole request.
    pub(super) read_at: Duration,
    pub(super) alive_until: Duration,
    /// State of its account, and the monotonic time at which it was read.
    pub(super) status: (AccountStatus, Duration),
    /// Time at which the next use is recorded, in monotonic milliseconds.
    pub(super) touch_due: AtomicU64,
    /// True once the session was ended on this node.
    pub(super) ended: AtomicBool,
    /// True while the session is being reloaded.
    pub(super) renewing: AtomicBool,
}

impl KnownSession {
    /// Returns true if it is known to have ended by the monotonic time `at`, without a store call.
    pub fn is_over(&self, at: Duration) -> bool {
        at >= self.alive_until || self.ended.load(Ordering::Acquire)
    }

    /// Returns the hash of its token.
    pub fn token(&self) -> &HashedToken<SessionToken> {
        &self.token
    }

    /// Returns true if it is the session with this token.
    pub fn is(&self, token: &HashedToken<SessionToken>) -> bool {
        self.token == *token
    }
}

#[cfg(test)]
impl KnownSession {
    /// Returns `session` as if it was just loaded.
    pub(super) fn loaded(session: Session, token: HashedToken<SessionToken>) -> Arc<Self> {
        let status = AccountStatus {
            identity: Arc::new(session.identity.clone()),
            disabled: false,
            sessions_valid_from: Timestamp::EPOCH,
            session_ended: false,
        };
        Arc::new(Self {
            headers: IdentityHeaders::new(&session.identity),
            session,
            token,
            status: (status, Duration::ZERO),
            read_at: Duration::ZERO,
            alive_until: Duration::MAX,
            touch_due: AtomicU64::new(u64::MAX),
            ended: AtomicBool::new(false),
            renewing: AtomicBool::new(false),
        })
    }
}
