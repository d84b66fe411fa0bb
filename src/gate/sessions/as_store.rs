//! The cache as a session store: what ends a session on this node also removes it from the cache.

use std::time::Duration;

use async_trait::async_trait;

use super::CachedSessions;
use crate::auth::ports::{
    ReadSession, SessionEnds, SessionLookup, SessionManagement, SessionOffers, SessionOverview,
    SessionStarts, StoreHealth, Stored,
};
use crate::auth::session::{Offer, Offers, Session};
use crate::auth::token::{HashedToken, PendingToken, SessionToken};
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, SessionId};

#[async_trait]
impl SessionLookup for CachedSessions {
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
impl SessionStarts for CachedSessions {
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
}

#[async_trait]
impl SessionOffers for CachedSessions {
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
        self.store.recovery_codes_done(id).await?;
        self.forget(id);
        Ok(())
    }
}

#[async_trait]
impl SessionEnds for CachedSessions {
    async fn end(&self, id: &HashedToken<SessionToken>) -> Stored<bool> {
        let ended = self.store.end(id).await;
        self.forget_tree(id);
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
}

#[async_trait]
impl SessionOverview for CachedSessions {
    async fn list(&self, account: Option<AccountId>, now: Timestamp) -> Stored<Vec<Session>> {
        self.store.list(account, now).await
    }

    async fn end_by_id(&self, id: SessionId, of: Option<AccountId>) -> Stored<bool> {
        let ended = self.store.end_by_id(id, of).await;
        self.forget_all();
        ended
    }
}

#[async_trait]
impl SessionManagement for CachedSessions {
    async fn identity_changed(&self, account: AccountId) -> Stored<()> {
        self.store.identity_changed(account).await
    }

    async fn end_account(&self, account: AccountId) -> Stored<u64> {
        let ended = self.store.end_account(account).await;
        self.forget_all();
        ended
    }

    async fn end_all(&self) -> Stored<u64> {
        let ended = self.store.end_all().await;
        self.forget_all();
        ended
    }
}

#[async_trait]
impl StoreHealth for CachedSessions {
    async fn ping(&self) -> Stored<()> {
        self.store.ping().await
    }
}
