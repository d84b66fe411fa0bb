//! Sessions as the gate sees them: from a cache in this process while they are fresh, else from
//! the store.
//!
//! An entry lives less than a second, counted from before the store was asked, so an end on another
//! node is honoured within a second whatever is lost between them. An end on this node is honoured
//! at once. Only present sessions are kept, never misses, and the cache is bounded.
//!
//! A session just seen is found by a keyed fingerprint of the cookie's text (SipHash-2-4, 128 bits,
//! under a random key of this process), which is cheaper than the two HMACs of a token: a text with
//! the fingerprint of another cannot be made without the key, and neither text nor token is kept.

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

/// How long an entry is believed. Under a second, with room for the way there and back.
const FRESH: Duration = Duration::from_millis(900);
/// From this age on, an entry in use is read again off the path, so that nobody waits for it.
const RENEW_AFTER: Duration = Duration::from_millis(700);
/// How long the state of an account is believed for a session that is known. Whatever changes it
/// ends the account's sessions too; this catches one that could not be ended.
const STATUS_FRESH: Duration = Duration::from_secs(5);
/// Sessions kept at most.
const CAPACITY: usize = 50_000;

/// A live session, with the identity headers it gives rise to made once.
#[derive(Debug)]
pub struct KnownSession {
    /// The session.
    pub session: Session,
    /// Its identity headers.
    pub headers: IdentityHeaders,
    token: HashedToken<SessionToken>,
    /// The times of the hot path are monotonic: one reading of the clock serves a whole request.
    read_at: Duration,
    alive_until: Duration,
    /// When the use is to be noted next, in monotonic milliseconds.
    touch_due: AtomicU64,
    /// Set when it is ended on this node.
    ended: AtomicBool,
    /// Set when it is being read again.
    renewing: AtomicBool,
}

impl KnownSession {
    /// What the store knows its token by.
    pub fn token(&self) -> &HashedToken<SessionToken> {
        &self.token
    }

    /// Whether it is the session under this token.
    pub fn is(&self, token: &HashedToken<SessionToken>) -> bool {
        self.token == *token
    }
}

/// The cache in front of the session store. It is itself a session store, so that whatever ends a
/// session on this node also leaves the cache.
pub struct CachedSessions {
    store: Arc<dyn Sessions>,
    accounts: Arc<dyn Accounts>,
    clock: Arc<dyn Clock>,
    limits: SessionLimits,
    known: Cache<HashedToken<SessionToken>, Arc<KnownSession>>,
    seen: Cache<u128, Arc<KnownSession>>,
    fingerprints: SipHasher24,
    status: Cache<AccountId, (AccountStatus, Duration)>,
    /// Counts ends on this node: a load that an end overtook is not kept.
    ends: AtomicU64,
}

impl fmt::Debug for CachedSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedSessions").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

impl CachedSessions {
    /// A cache in front of `store`.
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

    /// The live session at `app` whose cookie holds `text`, if it was seen just before the
    /// monotonic time `at`. Nobody is asked.
    pub fn find_seen(
        self: &Arc<Self>,
        app: &str,
        text: &[u8],
        at: Duration,
    ) -> Option<Arc<KnownSession>> {
        let fingerprint = self.fingerprint(text);
        let known = self.seen.get(&fingerprint)?;
        if !self.honours(app, &known, at) {
            return None;
        }
        let old = at.saturating_sub(known.read_at) >= RENEW_AFTER;
        if old && !known.renewing.swap(true, Ordering::Relaxed) {
            self.renew_seen(fingerprint, known.token, at);
        }
        Some(known)
    }

    /// Reads a session again, off the path. When that fails, the entry simply gets too old.
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
                Err(error) => tracing::debug!(%error, "a session was not read again"),
            }
        });
    }

    fn note_seen(&self, fingerprint: u128, known: &Arc<KnownSession>) {
        self.seen.insert(fingerprint, Arc::clone(known));
        // What an end has taken out of the one cache meanwhile does not stay in the other.
        if !self.known.get(&known.token).is_some_and(|kept| Arc::ptr_eq(&kept, known)) {
            self.seen.remove(&fingerprint);
        }
    }

    /// The live session under `token` at `app`, from the cache or else from the store; `at` is the
    /// monotonic time. Fails when a store does not answer.
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

    /// The same by what the store knows a token by.
    pub async fn find_hashed(
        self: &Arc<Self>,
        app: &str,
        token: &HashedToken<SessionToken>,
        at: Duration,
    ) -> Stored<Option<Arc<KnownSession>>> {
        if let Some(known) = self.known.get(token)
            && self.honours(app, &known, at)
        {
            return Ok(Some(known));
        }
        let known = self.fetch(token, at).await?;
        Ok(known.filter(|known| self.honours(app, known, at)))
    }

    /// Whether a session is fresh, alive and of this app at the monotonic time `at`; noted as used
    /// if so.
    fn honours(self: &Arc<Self>, app: &str, known: &Arc<KnownSession>, at: Duration) -> bool {
        let good = at.saturating_sub(known.read_at) < FRESH
            && at < known.alive_until
            && !known.ended.load(Ordering::Acquire)
            && known.session.app == app;
        if good {
            self.note_use(known, at);
        }
        good
    }

    /// Returns true if the session behind a tunnel is still alive. Asking is no use of it.
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

    /// Bytes of a request of this session passed at the monotonic time `at`, which is use of it.
    pub fn bytes_passed(self: &Arc<Self>, known: &Arc<KnownSession>, at: Duration) {
        self.note_use(known, at);
    }

    /// A request is over that began at `began` and whose last byte passed at `at`. The idle clock
    /// starts there where the request took long enough for it to matter.
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
        // What was believed of the account says nothing of a session that began since, nor of an
        // identity that was changed since.
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

    /// Writes the use of a session down, off the path, and not more often than the limits ask for.
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

    /// Writes down, off the path, that a session was used at the monotonic time `at`.
    fn touch_later(self: &Arc<Self>, known: &Arc<KnownSession>, at: Duration) {
        let (this, known) = (Arc::clone(self), Arc::clone(known));
        tokio::spawn(async move {
            let ago = this.clock.monotonic().saturating_sub(at);
            let now = this.clock.now().as_millis().saturating_sub(millis(ago));
            let now = Timestamp::from_millis(now);
            let ttl = this.limits.time_to_live(&known.session, now);
            if let Err(error) = this.store.touch(&known.token, now, ttl).await {
                tracing::warn!(%error, "the use of a session was not noted");
            }
        });
    }

    fn forget(&self, id: &HashedToken<SessionToken>) {
        self.ends.fetch_add(1, Ordering::AcqRel);
        if let Some((_, known)) = self.known.remove(id) {
            known.ended.store(true, Ordering::Release);
        }
        // An older reading of it may be here: who is still signed in is found again by the token.
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
