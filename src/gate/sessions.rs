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

mod as_store;
mod standing;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use quick_cache::sync::Cache;
use siphasher::sip128::SipHasher24;

pub use self::standing::{BATCH, Standing};
use super::identity::IdentityHeaders;
pub use super::known::KnownSession;
use super::recent::is_fresh;
use super::shared_loads::SharedLoads;
use crate::auth::account::AccountStatus;
use crate::auth::ports::{AccountStatuses, Sessions, Stored};
use crate::auth::session::{Session, SessionLimits};
use crate::auth::token::{HashedToken, PlainToken, SessionToken};
use crate::base::clock::{Clock, Timestamp, millis};
use crate::base::random::{Random, RandomError, bytes};

/// Age from which an entry in use is reloaded off the request path, so that no request waits for
/// it.
const RENEW_AFTER: Duration = Duration::from_millis(700);
/// Maximum time between two loads of a session that is in use.
const IN_USE: Duration = Duration::from_millis(1800);
/// Time for which an account's state is trusted for a session in use. Every change of the state also
/// ends the account's sessions. This check catches a session that could not be ended, or whose end
/// the session store has lost.
const STATUS_FRESH: Duration = Duration::from_secs(5);
/// Time for which one answer of the account store shows that it is up, so that the states of other
/// sessions stay trusted. While it does not answer, sessions in use end within a second or two.
const ACCOUNTS_UP: Duration = Duration::from_millis(900);
/// Time after which no request is under way whose token was read with former keys.
const FORMER_KEYS: Duration = Duration::from_secs(5);
/// Maximum cached sessions.
const CAPACITY: usize = 50_000;
/// Maximum step-ups during one request after which its bytes still count.
const STEP_UPS: usize = 100;
/// Maximum sessions with requests under way whose successors are known.
const RENEWED: usize = 10_000;

/// The effect of a request on the idle time of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// The session was used.
    Counts,
    /// The request runs by itself, and does not keep the session alive.
    Passive,
}

/// The cache in front of the session store. It implements the session store itself, so that ending
/// a session on this node also removes it from the cache.
pub struct CachedSessions {
    store: Arc<dyn Sessions>,
    accounts: Arc<dyn AccountStatuses>,
    clock: Arc<dyn Clock>,
    limits: SessionLimits,
    known: Cache<HashedToken<SessionToken>, Arc<KnownSession>>,
    loads: SharedLoads<HashedToken<SessionToken>, KnownSession>,
    seen: Cache<u128, Arc<KnownSession>>,
    /// The tokens under which sessions with requests under way go on after a step-up, by their former ones.
    renewed: Cache<HashedToken<SessionToken>, HashedToken<SessionToken>>,
    fingerprints: SipHasher24,
    /// True once a session at an app below a portal was cached. Ends of trees need a look at the
    /// whole cache only then.
    has_branches: AtomicBool,
    /// Number of sessions ended on this node. A load that was overtaken by an end is not cached.
    ends: AtomicU64,
    /// Monotonic time, in milliseconds, after the last failure of the session store, which may have
    /// lost ends of sessions.
    failed_at: AtomicU64,
    /// Monotonic time, in milliseconds, of the latest question that the account store answered.
    accounts_up_at: AtomicU64,
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
        accounts: Arc<dyn AccountStatuses>,
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
            loads: SharedLoads::default(),
            seen: Cache::new(CAPACITY),
            renewed: Cache::new(RENEWED),
            fingerprints: SipHasher24::new_with_key(&bytes(random)?),
            has_branches: AtomicBool::new(false),
            ends: AtomicU64::new(0),
            failed_at: AtomicU64::new(0),
            accounts_up_at: AtomicU64::new(0),
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
        (at, by): (Duration, Use),
    ) -> Option<Arc<KnownSession>> {
        let fingerprint = self.fingerprint(text);
        let ends = self.ends.load(Ordering::Acquire);
        let known = self.seen.get(&fingerprint)?;
        if !self.accepts(app, &known, (at, by)) {
            return None;
        }
        let old = at.saturating_sub(known.read_at) >= RENEW_AFTER;
        if old && !known.renewing.swap(true, Ordering::Relaxed) {
            self.renew_seen(fingerprint, known.token, (at, ends));
        }
        Some(known)
    }

    /// Reloads a session off the request path. If that fails, the entry expires. `ends` is the number
    /// of ends before the entry was read: one that an end has removed since does not come back.
    fn renew_seen(
        self: &Arc<Self>,
        fingerprint: u128,
        token: HashedToken<SessionToken>,
        (at, ends): (Duration, u64),
    ) {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            match this.fetch(&token, (at, ends)).await {
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

    /// Returns the live session under `token` at `app`, from the cache or from the store, with the
    /// monotonic time and the use. Returns an error if a store does not answer.
    pub async fn find(
        self: &Arc<Self>,
        app: &str,
        token: &PlainToken<SessionToken>,
        (at, by): (Duration, Use),
    ) -> Stored<Option<Arc<KnownSession>>> {
        let Some(known) = self.find_hashed(app, token.hashed(), (at, by)).await? else {
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
        (at, by): (Duration, Use),
    ) -> Stored<Option<Arc<KnownSession>>> {
        if let Some(known) = self.known.get(token)
            && self.accepts(app, &known, (at, by))
        {
            return Ok(Some(known));
        }
        let (this, token) = (Arc::clone(self), *token);
        let ends = self.ends.load(Ordering::Acquire);
        let lookup = || async move { this.fetch(&token, (at, ends)).await };
        let known = self.loads.load(token, (at, ends), lookup).await?;
        Ok(known.filter(|known| self.accepts(app, known, (at, by))))
    }

    /// Returns true if a session is fresh, alive and of this app at the monotonic time `at`, and
    /// records its use.
    fn accepts(
        self: &Arc<Self>,
        app: &str,
        known: &Arc<KnownSession>,
        (at, by): (Duration, Use),
    ) -> bool {
        let good = is_fresh(known.read_at, at)
            && at < known.alive_until
            && !known.ended.load(Ordering::Acquire)
            && known.session.app == app;
        if good && by == Use::Counts {
            self.note_use(known, at);
        }
        good
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

    /// Records that the session under `former` goes on under `new`, so that the bytes of a request that began
    /// before count as its use.
    pub fn goes_on(&self, former: HashedToken<SessionToken>, new: HashedToken<SessionToken>) {
        self.renewed.insert(former, new);
    }

    /// Returns the latest token of a session.
    fn latest(&self, token: HashedToken<SessionToken>) -> HashedToken<SessionToken> {
        let renewals = std::iter::successors(Some(token), |token| self.renewed.get(token));
        renewals.take(STEP_UPS).last().unwrap_or(token)
    }

    async fn fetch(
        &self,
        token: &HashedToken<SessionToken>,
        (asked_at, ends): (Duration, u64),
    ) -> Stored<Option<Arc<KnownSession>>> {
        let loaded = self.store.load(token).await;
        let Some(session) = self.unless_failed(loaded)? else {
            self.known.remove(token);
            return Ok(None);
        };
        self.know(token, session, (asked_at, ends)).await
    }

    /// Records a failure of the session store.
    fn unless_failed<T>(&self, loaded: Stored<T>) -> Stored<T> {
        if loaded.is_err() {
            let next = millis(self.clock.monotonic()).saturating_add(1);
            self.failed_at.fetch_max(next, Ordering::AcqRel);
        }
        loaded
    }

    /// Adds a loaded session to the cache, unless its account no longer accepts it. `ends` is the
    /// number of ends before the load.
    async fn know(
        &self,
        token: &HashedToken<SessionToken>,
        mut session: Session,
        (asked_at, ends): (Duration, u64),
    ) -> Stored<Option<Arc<KnownSession>>> {
        let status = self.account_status(token, &session, asked_at).await?;
        let Some(status) = status.filter(|(status, _)| status.honours(session.started_at)) else {
            self.known.remove(token);
            return Ok(None);
        };
        // The record of the session holds the identity of its beginning.
        if session.identity != *status.0.identity {
            session.identity.clone_from(&status.0.identity);
        }
        let now = self.clock.now();
        let unused = now.since(session.last_seen_at);
        let left = session.expires_at.since(now).min(self.limits.idle.saturating_sub(unused));
        let touch_in = self.limits.touch_interval().saturating_sub(unused);
        let before = self.known.get(token).filter(|before| before.session.signs_as(&session));
        let before = before.as_ref().map(|before| &before.headers);
        let known = Arc::new(KnownSession {
            headers: IdentityHeaders::new(&session.identity).after(before),
            session,
            token: *token,
            read_at: asked_at,
            alive_until: asked_at.saturating_add(left),
            status,
            touch_due: AtomicU64::new(millis(asked_at.saturating_add(touch_in))),
            ended: AtomicBool::new(false),
            renewing: AtomicBool::new(false),
        });
        if known.session.branch.is_some() {
            self.has_branches.store(true, Ordering::Release);
        }
        self.known.insert(*token, Arc::clone(&known));
        if self.ends.load(Ordering::Acquire) != ends {
            self.known.remove(token);
            self.seen.clear();
        }
        Ok(Some(known))
    }

    /// Returns the state of the session's account and the time at which it was read. A fresh look is
    /// needed if the session started since, was not in use, or its identity changed, or if the store
    /// failed.
    async fn account_status(
        &self,
        token: &HashedToken<SessionToken>,
        session: &Session,
        asked_at: Duration,
    ) -> Stored<Option<(AccountStatus, Duration)>> {
        let trusted = |known: &Arc<KnownSession>| {
            known.session.identity_changes == session.identity_changes
                && asked_at.saturating_sub(known.read_at) < IN_USE
                && asked_at.saturating_sub(known.status.1) < STATUS_FRESH
                && millis(known.status.1) >= self.failed_at.load(Ordering::Acquire)
                && millis(asked_at).saturating_sub(self.accounts_up_at.load(Ordering::Acquire))
                    < millis(ACCOUNTS_UP)
        };
        if let Some(known) = self.known.get(token).filter(trusted) {
            return Ok(Some(known.status.clone()));
        }
        let mark = session.mark(token);
        let status = self.accounts.status(session.identity.account, &mark).await?;
        self.accounts_up_at.fetch_max(millis(asked_at), Ordering::AcqRel);
        Ok(status.map(|status| (status, asked_at)))
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
            let token = this.latest(known.token);
            if let Err(error) = this.store.touch(&token, now, ttl).await {
                tracing::debug!(%error, "failed to record session use");
            }
        });
    }

    /// Forgets a session that has ended, with all of its tree.
    fn forget_tree(&self, id: &HashedToken<SessionToken>) {
        let branch = self.known.get(id).and_then(|known| known.session.branch);
        let root = branch.map_or(*id, |branch| branch.root);
        self.forget(id);
        if !self.has_branches.load(Ordering::Acquire) {
            return;
        }
        self.known.retain(|_, known| {
            let ended = known.session.branch.is_some_and(|branch| branch.root == root);
            if ended {
                known.ended.store(true, Ordering::Release);
            }
            !ended
        });
        self.seen.clear();
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

    /// Forgets all sessions after the keys were replaced. Each is found again by its token, if a key
    /// still reads it.
    pub fn keys_replaced(self: &Arc<Self>) {
        self.forget_all();
        let this = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(FORMER_KEYS).await;
            this.forget_all();
        });
    }

    fn forget_all(&self) {
        self.ends.fetch_add(1, Ordering::AcqRel);
        self.known.clear();
        self.seen.clear();
        // An entry that was read before it was removed is not reloaded.
        self.ends.fetch_add(1, Ordering::AcqRel);
    }
}
