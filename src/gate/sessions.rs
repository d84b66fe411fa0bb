//! Sessions as the gate sees them: from a cache in this process while they are fresh, else from
//! the store.
//!
//! An entry lives less than a second, counted from before the store was asked, so an end on another
//! node is honoured within a second whatever is lost between them. An end on this node is honoured
//! at once. Only present sessions are kept, never misses, and the cache is bounded.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderValue;
use quick_cache::sync::Cache;

use crate::auth::account::{AccountStatus, Identity};
use crate::auth::ports::{Accounts, Sessions, Stored};
use crate::auth::session::{Offer, Session, SessionLimits};
use crate::auth::token::{HashedToken, PendingToken, SessionToken};
use crate::base::clock::{Clock, Timestamp};
use crate::base::id::{AccountId, SessionId};

/// How long an entry is believed. Under a second, with room for the way there and back.
const FRESH: Duration = Duration::from_millis(900);
/// How long the state of an account is believed.
const STATUS_FRESH: Duration = FRESH;
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
    read_at: Duration,
    touched: AtomicU64,
}

/// What an app is told of a person, as header values.
#[derive(Clone, Debug)]
pub struct IdentityHeaders {
    /// `Remote-User`: the login name.
    pub user: HeaderValue,
    /// `Remote-Name`: the display name.
    pub name: HeaderValue,
    /// `Remote-Email`, where one is set.
    pub email: Option<HeaderValue>,
    /// `Remote-Groups`: comma-separated, where there are any.
    pub groups: Option<HeaderValue>,
}

/// Header values are bytes; text beyond ASCII goes as UTF-8 and control characters are dropped.
fn header_value(text: &str) -> HeaderValue {
    let clean: String = text.chars().filter(|c| !c.is_control()).collect();
    HeaderValue::from_bytes(clean.as_bytes()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

impl IdentityHeaders {
    fn new(identity: &Identity) -> Self {
        let groups = identity.groups.join(",");
        Self {
            user: header_value(identity.name.as_str()),
            name: header_value(&identity.display_name),
            email: identity.email.as_deref().map(header_value),
            groups: (!groups.is_empty()).then(|| header_value(&groups)),
        }
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
        limits: SessionLimits,
    ) -> Self {
        Self {
            store,
            accounts,
            clock,
            limits,
            known: Cache::new(CAPACITY),
            status: Cache::new(CAPACITY),
            ends: AtomicU64::new(0),
        }
    }

    /// The live session under `token` at `app`, if it is in the cache and fresh. Nobody is asked.
    pub fn find_fresh(
        self: &Arc<Self>,
        app: &str,
        token: &HashedToken<SessionToken>,
    ) -> Option<Arc<KnownSession>> {
        let known = self.known.get(token)?;
        let fresh = self.clock.monotonic().saturating_sub(known.read_at) < FRESH;
        (fresh && self.honours(app, &known)).then_some(known)
    }

    /// The live session under `token` at `app`, from the cache or else from the store. Fails when a
    /// store does not answer.
    pub async fn find(
        self: &Arc<Self>,
        app: &str,
        token: &HashedToken<SessionToken>,
    ) -> Stored<Option<Arc<KnownSession>>> {
        if let Some(known) = self.find_fresh(app, token) {
            return Ok(Some(known));
        }
        let known = self.fetch(token, self.clock.monotonic()).await?;
        Ok(known.filter(|known| self.honours(app, known)))
    }

    /// Whether a session just found is alive and of this app; noted as used if so.
    fn honours(self: &Arc<Self>, app: &str, known: &Arc<KnownSession>) -> bool {
        let now = self.clock.now();
        let good = known.session.app == app && self.limits.is_alive(&known.session, now);
        if good {
            self.note_use(known, now);
        }
        good
    }

    /// Whether the session behind a tunnel is still alive; `used` when something went through it
    /// since the last time, which counts as use of the session.
    pub async fn still_lives(
        self: &Arc<Self>,
        app: &str,
        known: &KnownSession,
        used: bool,
    ) -> Stored<bool> {
        if used {
            return Ok(self.find(app, &known.token).await?.is_some());
        }
        let asked_at = self.clock.monotonic();
        let now = self.clock.now();
        let found = self.fetch(&known.token, asked_at).await?;
        Ok(found.is_some_and(|k| self.limits.is_alive(&k.session, now)))
    }

    async fn fetch(
        &self,
        token: &HashedToken<SessionToken>,
        asked_at: Duration,
    ) -> Stored<Option<Arc<KnownSession>>> {
        let ends = self.ends.load(Ordering::Acquire);
        let Some(session) = self.store.load(token).await? else {
            self.known.remove(token);
            return Ok(None);
        };
        let status = self.account_status(session.identity.account, asked_at).await?;
        if !status.is_some_and(|s| s.honours(session.started_at)) {
            return Ok(None);
        }
        let known = Arc::new(KnownSession {
            headers: IdentityHeaders::new(&session.identity),
            touched: AtomicU64::new(session.last_seen_at.as_millis()),
            session,
            token: *token,
            read_at: asked_at,
        });
        self.known.insert(*token, Arc::clone(&known));
        if self.ends.load(Ordering::Acquire) != ends {
            self.known.remove(token);
        }
        Ok(Some(known))
    }

    async fn account_status(
        &self,
        account: AccountId,
        asked_at: Duration,
    ) -> Stored<Option<AccountStatus>> {
        if let Some((status, read_at)) = self.status.get(&account)
            && asked_at.saturating_sub(read_at) < STATUS_FRESH
        {
            return Ok(Some(status));
        }
        let status = self.accounts.status(account).await?;
        match status {
            Some(status) => self.status.insert(account, (status, asked_at)),
            None => {
                self.status.remove(&account);
            }
        }
        Ok(status)
    }

    /// Writes the use of a session down, off the path, and not more often than the limits ask for.
    fn note_use(self: &Arc<Self>, known: &Arc<KnownSession>, now: Timestamp) {
        let last = known.touched.load(Ordering::Relaxed);
        if now.since(Timestamp::from_millis(last)) < self.limits.touch_interval() {
            return;
        }
        let ours = known
            .touched
            .compare_exchange(last, now.as_millis(), Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        if ours {
            let (this, known) = (Arc::clone(self), Arc::clone(known));
            tokio::spawn(async move {
                let ttl = this.limits.time_to_live(&known.session, now);
                if let Err(error) = this.store.touch(&known.token, now, ttl).await {
                    tracing::warn!(%error, "the use of a session was not noted");
                }
            });
        }
    }

    fn forget(&self, id: &HashedToken<SessionToken>) {
        self.ends.fetch_add(1, Ordering::AcqRel);
        self.known.remove(id);
    }

    fn forget_all(&self) {
        self.ends.fetch_add(1, Ordering::AcqRel);
        self.known.clear();
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
        ttl: Duration,
    ) -> Stored<bool> {
        let renewed = self.store.renew(old, new, session, ttl).await;
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

    async fn recovery_codes_done(&self, id: &HashedToken<SessionToken>) -> Stored<()> {
        self.store.recovery_codes_done(id).await?;
        self.forget(id);
        Ok(())
    }

    async fn end(&self, id: &HashedToken<SessionToken>) -> Stored<()> {
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
