//! Sessions of app tokens, from a cache in this process or from the store.
//!
//! The cache only records that a token belongs to a session, which stays true while the session
//! lives under that id. The session itself is checked on every request, as any session is, so
//! entries need no expiry. After a session gets a new id, its tokens are looked up again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use siphasher::sip128::SipHasher24;

use super::sessions::KnownSession;
use crate::auth::keys::KeyRing;
use crate::auth::login::APP_TOKENS;
use crate::auth::ports::{AppTokens, Stored};
use crate::auth::token::{HashedToken, SessionToken};
use crate::base::clock::Clock;
use crate::base::random::{Random, RandomError, bytes};

/// Maximum cached tokens.
const CAPACITY: usize = 50_000;

/// The cache in front of the store.
pub struct BoundTokens {
    store: Arc<dyn AppTokens>,
    keys: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    seen: Cache<u128, HashedToken<SessionToken>>,
    fingerprints: SipHasher24,
}

impl fmt::Debug for BoundTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundTokens").field("seen", &self.seen.len()).finish_non_exhaustive()
    }
}

impl BoundTokens {
    /// Creates a cache in front of `store`.
    pub fn new(
        store: Arc<dyn AppTokens>,
        keys: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        random: &dyn Random,
    ) -> Result<Self, RandomError> {
        let fingerprints = SipHasher24::new_with_key(&bytes(random)?);
        Ok(Self { store, keys, clock, seen: Cache::new(CAPACITY), fingerprints })
    }

    fn fingerprint(&self, app: &str, token: &[u8]) -> u128 {
        let app: u128 = self.fingerprints.hash(app.as_bytes()).into();
        let token: u128 = self.fingerprints.hash(token).into();
        // An app's name is not chosen by clients, so no token can be made to collide with that of
        // another app.
        app ^ token.rotate_left(64)
    }

    /// Returns the session that `token` belonged to when last looked up. Does not use the store.
    pub fn seen(&self, app: &str, token: &[u8]) -> Option<HashedToken<SessionToken>> {
        self.seen.get(&self.fingerprint(app, token))
    }

    /// Returns the session that `token` belongs to now.
    pub async fn session_of(
        &self,
        app: &str,
        token: &[u8],
    ) -> Stored<Option<HashedToken<SessionToken>>> {
        let fingerprint = self.fingerprint(app, token);
        let candidates: Vec<_> = HashedToken::of_app(&self.keys, app, token).collect();
        for hashed in candidates {
            if let Some(session) = self.store.session_of(&hashed).await? {
                self.seen.insert(fingerprint, session);
                return Ok(Some(session));
            }
        }
        self.seen.remove(&fingerprint);
        Ok(None)
    }

    /// Binds a token that the app issued within a session. Returns false if the token belongs to
    /// another user or the session has ended.
    pub async fn bind(&self, known: &KnownSession, token: &[u8]) -> Stored<bool> {
        let app = known.session.app.as_str();
        if self.seen(app, token).is_some_and(|session| known.is(&session)) {
            return Ok(true);
        }
        let Some(hashed) = HashedToken::of_app(&self.keys, app, token).next() else {
            return Ok(false);
        };
        let lives: Duration = known.session.expires_at.since(self.clock.now());
        let bound = self.store.bind(known.token(), &hashed, APP_TOKENS, lives).await?;
        if bound {
            self.seen.insert(self.fingerprint(app, token), *known.token());
        }
        Ok(bound)
    }
}
