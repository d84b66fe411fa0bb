//! Pending logins at the gate, for apps where a rule requires only the password, from a cache in
//! this process or from the stores. As with sessions, an entry lives less than a second, only
//! existing logins are cached, and the cache is bounded.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;

use super::identity::IdentityHeaders;
use crate::auth::account::{Account, Identity};
use crate::auth::ports::{Accounts, PendingLogins, Stored};
use crate::auth::session::{BegunWith, PendingLogin};
use crate::auth::token::{HashedToken, PendingToken, PlainToken};
use crate::base::clock::Clock;

/// Lifetime of an entry.
const FRESH: Duration = Duration::from_millis(900);
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

/// The cache in front of the stores.
pub struct CachedLogins {
    pending: Arc<dyn PendingLogins>,
    accounts: Arc<dyn Accounts>,
    clock: Arc<dyn Clock>,
    known: Cache<HashedToken<PendingToken>, Arc<KnownLogin>>,
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
        accounts: Arc<dyn Accounts>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { pending, accounts, clock, known: Cache::new(CAPACITY) }
    }

    /// Returns the live pending login under `token` at `app` that started with a password. `at` is
    /// the monotonic time. Returns an error if a store does not answer.
    pub async fn find(
        &self,
        app: &str,
        token: &PlainToken<PendingToken>,
        at: Duration,
    ) -> Stored<Option<Arc<KnownLogin>>> {
        let fresh = |known: &Arc<KnownLogin>| {
            at.saturating_sub(known.read_at) < FRESH && at < known.alive_until
        };
        let known = match self.known.get(token.hashed()).filter(fresh) {
            Some(known) => Some(known),
            None => self.fetch(token.hashed(), at).await?,
        };
        Ok(known.filter(|known| known.login.app == app))
    }

    /// Returns true if the pending login of a tunnel is still alive.
    pub async fn still_lives(&self, known: &KnownLogin) -> Stored<bool> {
        let at = self.clock.monotonic();
        Ok(self.fetch(&known.token, at).await?.is_some_and(|k| at < k.alive_until))
    }

    async fn fetch(
        &self,
        token: &HashedToken<PendingToken>,
        asked_at: Duration,
    ) -> Stored<Option<Arc<KnownLogin>>> {
        let now = self.clock.now();
        let login = self.pending.load(token, now).await?;
        let login = login.filter(|l| l.begun_with != BegunWith::RecoveryCode && !l.spent);
        let Some(login) = login else {
            self.known.remove(token);
            return Ok(None);
        };
        let account = self.accounts.by_id(login.account).await?;
        let honoured = |a: &Account| !a.disabled && login.started_at >= a.sessions_valid_from;
        let Some(account) = account.filter(honoured) else {
            self.known.remove(token);
            return Ok(None);
        };
        let known = Arc::new(KnownLogin {
            headers: IdentityHeaders::new(&account.identity),
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
