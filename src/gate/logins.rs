//! Pending logins at the gate, for apps where a rule requires only the password, from a cache in
//! this process or from the stores. As with sessions, an entry lives less than a second, only
//! existing logins are cached, and the cache is bounded.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;

use super::identity::IdentityHeaders;
use super::recent::is_fresh;
use super::shared_loads::SharedLoads;
use crate::auth::account::Identity;
use crate::auth::ports::{AccountLookup, PendingLogins, Stored};
use crate::auth::session::{BegunWith, PendingLogin};
use crate::auth::token::{HashedToken, PendingToken, PlainToken};
use crate::base::clock::Clock;

/// Maximum cached logins.
const CAPACITY: usize = 10_000;

/// A pending login of an account that may sign in.
#[derive(Debug)]
pub struct KnownLogin {
    /// Its record.
    pub login: PendingLogin,
    /// Its user.
    pub identity: Identity,
    /// Identity headers of its user.
    pub headers: IdentityHeaders,
    token: HashedToken<PendingToken>,
    read_at: Duration,
    alive_until: Duration,
}

impl KnownLogin {
    /// Returns the hash of its token.
    pub fn token(&self) -> &HashedToken<PendingToken> {
        &self.token
    }
}

#[cfg(test)]
impl KnownLogin {
    /// Returns `login` as if it was just loaded.
    pub(super) fn loaded(
        login: PendingLogin,
        identity: Identity,
        token: HashedToken<PendingToken>,
    ) -> Arc<Self> {
        let headers = IdentityHeaders::new(&identity);
        let (read_at, alive_until) = (Duration::ZERO, Duration::MAX);
        Arc::new(Self { login, identity, headers, token, read_at, alive_until })
    }
}

/// Caches pending logins and their accounts in front of the stores.
pub struct CachedLogins {
    pending: Arc<dyn PendingLogins>,
    accounts: Arc<dyn AccountLookup>,
    clock: Arc<dyn Clock>,
    known: Cache<HashedToken<PendingToken>, Arc<KnownLogin>>,
    loads: SharedLoads<HashedToken<PendingToken>, KnownLogin>,
}

impl fmt::Debug for CachedLogins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedLogins").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

impl CachedLogins {
    /// Creates a cache in front of these stores.
    pub fn new(
        pending: Arc<dyn PendingLogins>,
        accounts: Arc<dyn AccountLookup>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            pending,
            accounts,
            clock,
            known: Cache::new(CAPACITY),
            loads: SharedLoads::default(),
        }
    }

    /// Returns the live pending login under `token` at `app` that started with a password. `at` is
    /// the monotonic time. Returns an error if a store does not answer.
    pub async fn find(
        self: &Arc<Self>,
        app: &str,
        token: &PlainToken<PendingToken>,
        at: Duration,
    ) -> Stored<Option<Arc<KnownLogin>>> {
        let known = self.find_hashed(token.hashed(), at).await?;
        Ok(known.filter(|known| known.login.app == app))
    }

    /// Returns the pending login of a request under way as of the monotonic time `at`, or `None` if it
    /// has ended.
    pub async fn as_of_now(
        self: &Arc<Self>,
        known: &KnownLogin,
        at: Duration,
    ) -> Stored<Option<Arc<KnownLogin>>> {
        self.find_hashed(&known.token, at).await
    }

    /// Returns the live pending login under `token`.
    async fn find_hashed(
        self: &Arc<Self>,
        token: &HashedToken<PendingToken>,
        at: Duration,
    ) -> Stored<Option<Arc<KnownLogin>>> {
        let fresh = |known: &Arc<KnownLogin>| is_fresh(known.read_at, at);
        let known = if let Some(known) = self.known.get(token).filter(fresh) {
            Some(known)
        } else {
            let (this, token) = (Arc::clone(self), *token);
            let lookup = || async move { this.fetch(&token, at).await };
            self.loads.load(token, (at, 0), lookup).await?
        };
        Ok(known.filter(|known| at < known.alive_until))
    }

    async fn fetch(
        &self,
        token: &HashedToken<PendingToken>,
        asked_at: Duration,
    ) -> Stored<Option<Arc<KnownLogin>>> {
        let now = self.clock.now();
        let login = self.pending.load(token, now).await?;
        let login = login.filter(|l| {
            !matches!(l.begun_with, BegunWith::RecoveryCode | BegunWith::Passkey) && !l.spent
        });
        let Some(login) = login else {
            self.known.remove(token);
            return Ok(None);
        };
        let Some(account) = self.accounts.of_login(login.account, login.started_at).await? else {
            self.known.remove(token);
            return Ok(None);
        };
        let before = self.known.get(token).filter(|before| before.identity == account.identity);
        let before = before.as_ref().map(|before| &before.headers);
        let known = Arc::new(KnownLogin {
            headers: IdentityHeaders::new(&account.identity).after(before),
            identity: account.identity,
            alive_until: asked_at.saturating_add(login.expires_at.since(now)),
            login,
            token: *token,
            read_at: asked_at,
        });
        self.known.insert(*token, Arc::clone(&known));
        Ok(Some(known))
    }
}
