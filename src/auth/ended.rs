//! Sessions whose ends are durable.
//!
//! The store of sessions may lose its latest writes: after a failover to a replica that lags
//! behind, or when an older snapshot is restored. Lost sessions sign users out, which is safe. A
//! lost end would bring a session back, so each end is recorded with the accounts as well, and the
//! lookup of an account's state finds it there. The end of a session beyond the maximum of its account is
//! not: it is one write with the session that begins, so both are lost or neither.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::database_clock::reach;
use super::ports::{
    EndedSessions, ReadSession, SessionEnds, SessionLookup, SessionManagement, SessionOffers,
    SessionOverview, SessionStarts, Sessions, StoreHealth, Stored,
};
use super::session::{EndOf, Offer, Offers, Session, SessionLimits};
use super::token::{HashedToken, PendingToken, SessionToken};
use crate::base::clock::{Clock, Timestamp};
use crate::base::id::{AccountId, SessionId};

/// Minimum time for which an end is kept. Longer than sessions live by default, because a session
/// keeps the lifetime that was configured when it started.
const KEPT: Duration = Duration::from_hours(30 * 24);
/// Time for which an end is kept after the session has expired, because the clocks of the nodes and
/// of the durable store differ.
const SKEW: Duration = Duration::from_hours(1);
/// Maximum ends that wait for the durable store.
const LATE: usize = 1000;
/// Pause before such an end is recorded again.
const AGAIN: Duration = Duration::from_secs(1);

/// A session store that records each end in a durable store.
pub struct RecordedEnds {
    store: Arc<dyn Sessions>,
    recorder: Recorder,
    /// Number of ends that are recorded later.
    late: Arc<AtomicUsize>,
}

/// Records ends.
#[derive(Clone)]
struct Recorder {
    ended: Arc<dyn EndedSessions>,
    clock: Arc<dyn Clock>,
    kept: Duration,
}

impl fmt::Debug for RecordedEnds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedEnds").finish_non_exhaustive()
    }
}

impl RecordedEnds {
    /// Records the ends of sessions in `store` in `ended`.
    pub fn new(
        store: Arc<dyn Sessions>,
        ended: Arc<dyn EndedSessions>,
        clock: Arc<dyn Clock>,
        limits: SessionLimits,
    ) -> Self {
        let recorder = Recorder { ended, clock, kept: Self::kept(limits) };
        Self { store, recorder, late: Arc::default() }
    }

    /// Returns the time for which an end is kept if it is not known when its sessions expire.
    pub fn kept(limits: SessionLimits) -> Duration {
        limits.absolute.max(KEPT)
    }

    async fn record(&self, end: EndOf, expiry: Option<Timestamp>) -> Stored<()> {
        self.recorder.record(end, expiry).await
    }

    /// Records the end of a token that was replaced. If the durable store does not answer, it is
    /// recorded later: the session goes on under its new token, which the browser must get.
    async fn record_replaced(&self, end: EndOf, expiry: Option<Timestamp>) -> Stored<()> {
        let Err(error) = self.record(end, expiry).await else { return Ok(()) };
        if self.late.fetch_add(1, Ordering::Relaxed) >= LATE {
            self.late.fetch_sub(1, Ordering::Relaxed);
            return Err(error);
        }
        tracing::warn!(%error, "the end of a replaced session token will be recorded later");
        let (recorder, late) = (self.recorder.clone(), Arc::clone(&self.late));
        tokio::spawn(async move {
            let until = expiry.unwrap_or_else(|| recorder.clock.now().plus(recorder.kept));
            while recorder.clock.now() < until {
                tokio::time::sleep(AGAIN).await;
                if recorder.record(end, expiry).await.is_ok() {
                    break;
                }
            }
            late.fetch_sub(1, Ordering::Relaxed);
        });
        Ok(())
    }

    /// Ends sessions and records it. Neither waits for the success of the other: an attacker may be
    /// signed in. Fails unless both succeed, because the caller would otherwise take the end for
    /// certain.
    async fn both<T>(
        &self,
        end: EndOf,
        expiry: Option<Timestamp>,
        ending: impl Future<Output = Stored<T>> + Send,
    ) -> Stored<T> {
        let (ended, recorded) = tokio::join!(ending, self.record(end, expiry));
        recorded.and(ended)
    }

    /// Returns the session if it can be read. An end is recorded without it as well.
    async fn readable(&self, token: &HashedToken<SessionToken>) -> Option<Session> {
        self.store.load(token).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "failed to read a session that ends");
            None
        })
    }
}

impl Recorder {
    /// Records an end at the time of the durable store: a command on a host whose clock is fast
    /// must not lock out users who sign in after it. Sessions start at the time of this clock, so it
    /// counts where the two differ by much. `expiry` is the latest time at which a session can be
    /// alive, if known.
    async fn record(&self, end: EndOf, expiry: Option<Timestamp>) -> Stored<()> {
        let now = reach(self.ended.now().await?, self.clock.now());
        let until = expiry.map_or_else(|| now.plus(self.kept), |expiry| expiry.plus(SKEW));
        self.ended.record_end(&end, now, until).await
    }
}

#[async_trait]
impl SessionLookup for RecordedEnds {
    /// Does not look for a recorded end: the lookup of the account's state does.
    async fn load(&self, id: &HashedToken<SessionToken>) -> Stored<Option<Session>> {
        self.store.load(id).await
    }

    async fn load_all(&self, ids: &[HashedToken<SessionToken>]) -> Stored<Vec<ReadSession>> {
        self.store.load_all(ids).await
    }

    async fn touch(
        &self,
        id: &HashedToken<SessionToken>,
        now: Timestamp,
        ttl: Duration,
    ) -> Stored<()> {
        self.store.touch(id, now, ttl).await
    }
}

#[async_trait]
impl SessionStarts for RecordedEnds {
    /// Does not record the ends of sessions beyond the maximum. They are part of the step that stores
    /// the new session: a store that loses them loses that session, too.
    async fn promote(
        &self,
        login: &HashedToken<PendingToken>,
        id: &HashedToken<SessionToken>,
        session: &Session,
        ttl: Duration,
    ) -> Stored<bool> {
        self.store.promote(login, id, session, ttl).await
    }

    async fn renew(
        &self,
        old: &HashedToken<SessionToken>,
        new: &HashedToken<SessionToken>,
        session: &Session,
        offers: Option<&Offers>,
        ttl: Duration,
    ) -> Stored<bool> {
        let known = self.store.load(old).await?;
        let renewed = self.store.renew(old, new, session, offers, ttl).await?;
        // Recorded afterwards: if the store failed, the old session goes on.
        if renewed && old != new {
            let end = EndOf::Session { token: Some(*old), id: known.as_ref().map(|s| s.id) };
            self.record_replaced(end, known.map(|s| s.expires_at)).await?;
        }
        Ok(renewed)
    }
}

#[async_trait]
impl SessionOffers for RecordedEnds {
    async fn offer(
        &self,
        id: &HashedToken<SessionToken>,
        offer: Offer,
        sealed: &str,
    ) -> Stored<Option<String>> {
        self.store.offer(id, offer, sealed).await
    }

    async fn withdraw(&self, id: &HashedToken<SessionToken>, offer: Offer) -> Stored<bool> {
        self.store.withdraw(id, offer).await
    }

    async fn recovery_codes_done(&self, id: &HashedToken<SessionToken>) -> Stored<()> {
        self.store.recovery_codes_done(id).await
    }
}

#[async_trait]
impl SessionEnds for RecordedEnds {
    async fn end(&self, id: &HashedToken<SessionToken>) -> Stored<bool> {
        // The token is recorded even if the session is gone or the store fails: its end may not
        // have been recorded.
        let known = self.readable(id).await;
        let end = EndOf::Session { token: Some(*id), id: known.as_ref().map(|s| s.id) };
        self.both(end, known.map(|s| s.expires_at), self.store.end(id)).await
    }

    async fn end_others(
        &self,
        account: AccountId,
        keep: &HashedToken<SessionToken>,
    ) -> Stored<u64> {
        // A session that cannot be read is not kept: the others must end.
        let keep_id = self.readable(keep).await.map(|session| session.id);
        let end = EndOf::Account { id: account, keep: keep_id };
        self.both(end, None, self.store.end_others(account, keep)).await
    }
}

#[async_trait]
impl SessionOverview for RecordedEnds {
    async fn list(&self, account: Option<AccountId>, now: Timestamp) -> Stored<Vec<Session>> {
        let mut sessions = self.store.list(account, now).await?;
        if !sessions.is_empty() {
            let ended = self.recorder.ended.ended_among(&sessions).await?;
            sessions.retain(|session| !ended.contains(&session.id));
        }
        Ok(sessions)
    }

    async fn end_by_id(&self, id: SessionId, of: Option<AccountId>) -> Stored<bool> {
        let Some(account) = of else {
            let end = EndOf::Session { token: None, id: Some(id) };
            return self.both(end, None, self.store.end_by_id(id, of)).await;
        };
        let ended = self.store.end_by_id(id, of).await;
        // An id that the store does not know is not recorded: users may name any number of them.
        if !matches!(ended, Ok(false)) {
            self.record(EndOf::Own { account, id }, None).await?;
        }
        ended
    }
}

#[async_trait]
impl SessionManagement for RecordedEnds {
    async fn identity_changed(&self, account: AccountId) -> Stored<()> {
        self.store.identity_changed(account).await
    }

    async fn end_account(&self, account: AccountId) -> Stored<u64> {
        let end = EndOf::Account { id: account, keep: None };
        self.both(end, None, self.store.end_account(account)).await
    }

    async fn end_all(&self) -> Stored<u64> {
        self.both(EndOf::All, None, self.store.end_all()).await
    }
}

#[async_trait]
impl StoreHealth for RecordedEnds {
    async fn ping(&self) -> Stored<()> {
        self.store.ping().await
    }
}
