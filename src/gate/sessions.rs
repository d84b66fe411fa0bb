//! Sessions at the gate, from a cache in this process or from the store.
//!
//! An entry lives less than a second, counted from before the store lookup, so a session ended on
//! another node is rejected within a second, whatever messages are lost. A session ended on this
//! node is rejected at once. Only existing sessions are cached, never misses, and the cache is
//! bounded.
//!
//! A session seen recently is found by a keyed fingerprint of the cookie's text (SipHash-2-4, 128
//! bits, with a random key of this process), which is cheaper than the two HMACs of a token. A text
//! with the fingerprint of another cannot be made without the key. Neither the text nor the token
//! is stored.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use quick_cache::sync::Cache;
use siphasher::sip128::SipHasher24;

use super::identity::IdentityHeaders;
use crate::auth::account::AccountStatus;
use crate::auth::ports::{Accounts, Sessions, Stored};
use crate::auth::session::{Offer, Offers, Session, SessionLimits};
use crate::auth::token::{HashedToken, PendingToken, PlainToken, SessionToken};
use crate::base::clock::{Clock, Timestamp, millis};
use crate::base::id::{AccountId, SessionId};
use crate::base::random::{Random, RandomError, bytes};

/// Lifetime of an entry. Less than a second, to leave time for the round trip.
const FRESH: Duration = Duration::from_millis(900);
/// Age from which an entry in use is reloaded off the request path, so that no request waits for
/// it.
const RENEW_AFTER: Duration = Duration::from_millis(700);
/// Time for which an account's state is trusted for a known session. Every change of the state also
/// ends the account's sessions. This check catches a session that could not be ended.
const STATUS_FRESH: Duration = Duration::from_secs(5);
/// Maximum cached sessions.
const CAPACITY: usize = 50_000;

/// A live session with its identity headers.
#[derive(Debug)]
pub struct KnownSession {
    /// The session.
    pub session: Session,
    /// Its identity headers.
    pub headers: IdentityHeaders,
    token: HashedToken<SessionToken>,
    /// Monotonic time of the load. The request path uses monotonic times, so that one clock reading
    /// serves a whole request.
    read_at: Duration,
    alive_until: Duration,
    /// Time at which the next use is recorded, in monotonic milliseconds.
    touch_due: AtomicU64,
    /// True once the session was ended on this node.
    ended: AtomicBool,
    /// True while the session is being reloaded.
    renewing: AtomicBool,
}

impl KnownSession {
    /// Returns the hash of its token.
    pub fn token(&self) -> &HashedToken<SessionToken> {
        &self.token
    }

    /// Returns true if it is the session with this token.
    pub fn is(&self, token: &HashedToken<SessionToken>) -> bool {
        self.token == *token
    }
}

/// The cache in front of the session store. It implements the session store itself, so that ending
/// a session on this node also removes it from the cache.
pub struct CachedSessions {
    store: Arc<dyn Sessions>,
    accounts: Arc<dyn Accounts>,
    clock: Arc<dyn Clock>,
    limits: SessionLimits,
    known: Cache<HashedToken<SessionToken>, Arc<KnownSession>>,
    seen: Cache<u128, Arc<KnownSession>>,
    fingerprints: SipHasher24,
    status: Cache<AccountId, (AccountStatus, Duration)>,
    /// Number of sessions ended on this node. A load that was overtaken by an end is not cached.
    ends: AtomicU64,
}

impl fmt::Debug for CachedSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedSessions").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

impl CachedSessions {
    /// Creates a cache in front of `store`.
    pub fn new(
        store: Arc<dyn Sessions>,
        accounts: Arc<dyn Accounts>,
        clock: Arc<dyn Clock>,
        random: &dyn Random,
        limits: SessionLimits,
    ) -> Result<Self, RandomError> {
        Ok(Self {
            store,
            accounts,
            clock,
            limits,
            known: Cache::new(CAPACITY),
            seen: Cache::new(CAPACITY),
            fingerprints: SipHasher24::new_with_key(&bytes(random)?),
            status: Cache::new(CAPACITY),
            ends: AtomicU64::new(0),
        })
    }

    fn fingerprint(&self, text: &[u8]) -> u128 {
        self.fingerprints.hash(text).into()
    }

    /// Returns the live session at `app` whose cookie contains `text`, if it was seen shortly
    /// before the monotonic time `at`. Does not use the store.
    pub fn find_seen(
        self: &Arc<Self>,
        app: &str,
        text: &[u8],
        at: Duration,
    ) -> Option<Arc<KnownSession>> {
        let fingerprint = self.fingerprint(text);
        let known = self.seen.get(&fingerprint)?;
        if !self.accepts(app, &known, at) {
            return None;
        }
        let old = at.saturating_sub(known.read_at) >= RENEW_AFTER;
        if old && !known.renewing.swap(true, Ordering::Relaxed) {
            self.renew_seen(fingerprint, known.token, at);
        }
        Some(known)
    }

    /// Reloads a session off the request path. If that fails, the entry expires.
    fn renew_seen(
        self: &Arc<Self>,
        fingerprint: u128,
        token: HashedToken<SessionToken>,
        at: Duration,
    ) {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            match this.fetch(&token, at).await {
                Ok(Some(known)) => this.note_seen(fingerprint, &known),
                Ok(None) => {
                    this.seen.remove(&fingerprint);
                }
                Err(error) => tracing::debug!(%error, "failed to reload session"),
            }
        });
    }

    fn note_seen(&self, fingerprint: u128, known: &Arc<KnownSession>) {
        self.seen.insert(fingerprint, Arc::clone(known));
        // An entry that an end has removed from one cache must not stay in the other.
        if !self.known.get(&known.token).is_some_and(|kept| Arc::ptr_eq(&kept, known)) {
            self.seen.remove(&fingerprint);
        }
    }

    /// Returns the live session under `token` at `app`, from the cache or from the store. `at` is
    /// the monotonic time. Returns an error if a store does not answer.
    pub async fn find(
        self: &Arc<Self>,
        app: &str,
        token: &PlainToken<SessionToken>,
        at: Duration,
    ) -> Stored<Option<Arc<KnownSession>>> {
        let Some(known) = self.find_hashed(app, token.hashed(), at).await? else {
            return Ok(None);
        };
        self.note_seen(self.fingerprint(token.reveal().as_bytes()), &known);
        Ok(Some(known))
    }

    /// Like [`Self::find`], by the hash of the token.
    pub async fn find_hashed(
        self: &Arc<Self>,
        app: &str,
        token: &HashedToken<SessionToken>,
        at: Duration,
    ) -> Stored<Option<Arc<KnownSession>>> {
        if let Some(known) = self.known.get(token)
            && self.accepts(app, &known, at)
        {
            return Ok(Some(known));
        }
        let known = self.fetch(token, at).await?;
        Ok(known.filter(|known| self.accepts(app, known, at)))
    }

    /// Returns true if a session is fresh, alive and of this app at the monotonic time `at`, and
    /// records its use.
    fn accepts(self: &Arc<Self>, app: &str, known: &Arc<KnownSession>, at: Duration) -> bool {
        let good = at.saturating_sub(known.read_at) < FRESH
            && at < known.alive_until
            && !known.ended.load(Ordering::Acquire)
            && known.session.app == app;
        if good {
            self.note_use(known, at);
        }
        good
    }

    /// Returns true if the session of a tunnel is still alive. The check does not count as use.
    pub async fn still_lives(&self, known: &KnownSession) -> Stored<bool> {
        let at = self.clock.monotonic();
        let fresh = |k: &Arc<KnownSession>| {
            at.saturating_sub(k.read_at) < FRESH && !k.ended.load(Ordering::Acquire)
        };
        let found = match self.known.get(&known.token).filter(fresh) {
            Some(known) => Some(known),
            None => self.fetch(&known.token, at).await?,
        };
        Ok(found.is_some_and(|k| at < k.alive_until))
    }

    /// Records that bytes of a request of this session passed at the monotonic time `at`, which
    /// counts as use.
    pub fn bytes_passed(self: &Arc<Self>, known: &Arc<KnownSession>, at: Duration) {
        self.note_use(known, at);
    }

    /// Records the end of a request that began at `began` and whose last byte passed at `at`. The
    /// idle time restarts at `at` if the request was long enough for this to matter.
    pub fn request_over(
        self: &Arc<Self>,
        known: &Arc<KnownSession>,
        (began, at): (Duration, Duration),
    ) {
        if at.saturating_sub(began) >= self.limits.touch_interval() {
            self.touch_later(known, at);
        }
    }

    async fn fetch(
        &self,
        token: &HashedToken<SessionToken>,
        asked_at: Duration,
    ) -> Stored<Option<Arc<KnownSession>>> {
        let ends = self.ends.load(Ordering::Acquire);
        let Some(mut session) = self.store.load(token).await? else {
            self.known.remove(token);
            return Ok(None);
        };
        // A session that started since, or whose identity changed since, needs a fresh look at its
        // account.
        let known = self.known.get(token);
        let same = known.is_some_and(|k| k.session.identity_changes == session.identity_changes);
        let account = session.identity.account;
        let status = if same { self.known_status(account, asked_at) } else { None };
        let status = match status {
            Some(status) => Some(status),
            None => self.account_status(account, asked_at).await?,
        };
        let Some(status) = status.filter(|status| status.honours(session.started_at)) else {
            return Ok(None);
        };
        // The record of the session holds the identity of its beginning.
        if session.identity != *status.identity {
            session.identity.clone_from(&status.identity);
        }
        let now = self.clock.now();
        let unused = now.since(session.last_seen_at);
        let left = session.expires_at.since(now).min(self.limits.idle.saturating_sub(unused));
        let touch_in = self.limits.touch_interval().saturating_sub(unused);
        let known = Arc::new(KnownSession {
            headers: IdentityHeaders::new(&session.identity),
            session,
            token: *token,
            read_at: asked_at,
            alive_until: asked_at.saturating_add(left),
            touch_due: AtomicU64::new(millis(asked_at.saturating_add(touch_in))),
            ended: AtomicBool::new(false),
            renewing: AtomicBool::new(false),
        });
        self.known.insert(*token, Arc::clone(&known));
        if self.ends.load(Ordering::Acquire) != ends {
            self.known.remove(token);
            self.seen.clear();
        }
        Ok(Some(known))
    }

    fn known_status(&self, account: AccountId, asked_at: Duration) -> Option<AccountStatus> {
        let (status, read_at) = self.status.get(&account)?;
        (asked_at.saturating_sub(read_at) < STATUS_FRESH).then_some(status)
    }

    async fn account_status(
        &self,
        account: AccountId,
        asked_at: Duration,
    ) -> Stored<Option<AccountStatus>> {
        let status = self.accounts.status(account).await?;
        match &status {
            Some(status) => self.status.insert(account, (status.clone(), asked_at)),
            None => {
                self.status.remove(&account);
            }
        }
        Ok(status)
    }

    /// Records the use of a session off the request path, no more often than the limits require.
    fn note_use(self: &Arc<Self>, known: &Arc<KnownSession>, at: Duration) {
        let due = known.touch_due.load(Ordering::Relaxed);
        if millis(at) < due {
            return;
        }
        let next = millis(at.saturating_add(self.limits.touch_interval()));
        let ours = known
            .touch_due
            .compare_exchange(due, next, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        if ours {
            self.touch_later(known, at);
        }
    }

    /// Records off the request path that a session was used at the monotonic time `at`.
    fn touch_later(self: &Arc<Self>, known: &Arc<KnownSession>, at: Duration) {
        let (this, known) = (Arc::clone(self), Arc::clone(known));
        tokio::spawn(async move {
            let ago = this.clock.monotonic().saturating_sub(at);
            let now = this.clock.now().as_millis().saturating_sub(millis(ago));
            let now = Timestamp::from_millis(now);
            let ttl = this.limits.time_to_live(&known.session, now);
            if let Err(error) = this.store.touch(&known.token, now, ttl).await {
                tracing::warn!(%error, "failed to record session use");
            }
        });
    }

    fn forget(&self, id: &HashedToken<SessionToken>) {
        self.ends.fetch_add(1, Ordering::AcqRel);
        if let Some((_, known)) = self.known.remove(id) {
            known.ended.store(true, Ordering::Release);
        }
        // The cache may hold an older version. Sessions that remain are found again by their
        // tokens.
        self.seen.clear();
    }

    fn forget_all(&self) {
        self.ends.fetch_add(1, Ordering::AcqRel);
        self.known.clear();
        self.seen.clear();
        self.status.clear();
    }
}

#[async_trait]
impl Sessions for CachedSessions {
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
        let renewed = self.store.renew(old, new, session, offers, ttl).await;
        self.forget(old);
        renewed
    }

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

    async fn load(&self, id: &HashedToken<SessionToken>) -> Stored<Option<Session>> {
        self.store.load(id).await
    }

    async fn touch(
        &self,
        id: &HashedToken<SessionToken>,
        now: Timestamp,
        ttl: Duration,
    ) -> Stored<()> {
        self.store.touch(id, now, ttl).await
    }

    async fn identity_changed(&self, account: AccountId) -> Stored<()> {
        self.store.identity_changed(account).await
    }

    async fn recovery_codes_done(&self, id: &HashedToken<SessionToken>) -> Stored<()> {
        self.store.recovery_codes_done(id).await?;
        self.forget(id);
        Ok(())
    }

    async fn end(&self, id: &HashedToken<SessionToken>) -> Stored<bool> {
        let ended = self.store.end(id).await;
        self.forget(id);
        ended
    }

    async fn end_by_id(&self, id: SessionId) -> Stored<bool> {
        let ended = self.store.end_by_id(id).await;
        self.forget_all();
        ended
    }

    async fn end_account(&self, account: AccountId) -> Stored<u64> {
        let ended = self.store.end_account(account).await;
        self.forget_all();
        ended
    }

    async fn end_others(
        &self,
        account: AccountId,
        keep: &HashedToken<SessionToken>,
    ) -> Stored<u64> {
        let ended = self.store.end_others(account, keep).await;
        self.forget_all();
        ended
    }

    async fn end_all(&self) -> Stored<u64> {
        let ended = self.store.end_all().await;
        self.forget_all();
        ended
    }

    async fn list(&self, account: Option<AccountId>, now: Timestamp) -> Stored<Vec<Session>> {
        self.store.list(account, now).await
    }

    async fn ping(&self) -> Stored<()> {
        self.store.ping().await
    }
}
