//! Sessions in a file.

use std::cmp::Reverse;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::any::AnyRow;
use sqlx::query;

use crate::auth::ports::{Sessions, Stored};
use crate::auth::session::{Offer, Offers, Session};
use crate::auth::token::{HashedToken, PendingToken, SessionToken};
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, SessionId};

use super::super::loan::Transaction;
use super::super::values::{at, json, moment, number, optional_text, text};
use super::EmbeddedStore;

const RECORD: &str = "the record of a session";

fn session(row: &AnyRow) -> sqlx::Result<Session> {
    let mut session: Session = json(row, "record")?;
    session.last_seen_at = at(row, "last_seen_at")?;
    session.recovery_codes_due = optional_text(row, "recovery_codes_due")?;
    session.offers = offered(row)?;
    session.identity_changes = number(row, "identity_changes")?;
    Ok(session)
}

fn offered(row: &AnyRow) -> sqlx::Result<Offers> {
    Ok(Offers {
        authenticator: optional_text(row, "offered_authenticator")?,
        recovery_codes: optional_text(row, "offered_recovery_codes")?,
    })
}

async fn file(
    t: &mut Transaction,
    id: &HashedToken<SessionToken>,
    session: &Session,
    offers: &Offers,
    ttl: Duration,
) -> sqlx::Result<()> {
    query(
        "INSERT INTO sessions (id, public_id, account_id, record, last_seen_at, \
         recovery_codes_due, keep_until, offered_authenticator, offered_recovery_codes) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(id.to_hex())
    .bind(session.id.to_string())
    .bind(session.identity.account.to_string())
    .bind(serde_json::json!(session).to_string())
    .bind(moment(session.last_seen_at))
    .bind(session.recovery_codes_due.as_deref())
    .bind(moment(session.last_seen_at.plus(ttl)))
    .bind(offers.authenticator.as_deref())
    .bind(offers.recovery_codes.as_deref())
    .execute(&mut **t)
    .await?;
    Ok(())
}

impl EmbeddedStore {
    fn session(&self, row: &AnyRow) -> Stored<Session> {
        session(row).map_err(|_values| self.db.damaged(RECORD))
    }

    /// Ends all sessions and pending logins of an account, except the session under the hash
    /// `keep`.
    async fn end_all_of(&self, account: AccountId, keep: &str) -> Stored<u64> {
        let account = account.to_string();
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                let logins = query("DELETE FROM pending_logins WHERE account_id = $1");
                logins.bind(account.as_str()).execute(&mut *t).await?;
                let sessions = query("DELETE FROM sessions WHERE account_id = $1 AND id <> $2");
                let ended = sessions.bind(account.as_str()).bind(keep).execute(&mut *t).await?;
                t.commit().await?;
                Ok(ended.rows_affected())
            })
            .await
    }
}

#[async_trait]
impl Sessions for EmbeddedStore {
    async fn promote(
        &self,
        login: &HashedToken<PendingToken>,
        id: &HashedToken<SessionToken>,
        session: &Session,
        ttl: Duration,
    ) -> Stored<bool> {
        self.sweep(session.started_at).await?;
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                let end = query("DELETE FROM pending_logins WHERE id = $1 AND expires_at > $2");
                let ended = end
                    .bind(login.to_hex())
                    .bind(moment(session.started_at))
                    .execute(&mut *t)
                    .await?;
                if ended.rows_affected() != 1 {
                    return t.rolled_back(false).await;
                }
                file(&mut t, id, session, &session.offers, ttl).await?;
                t.commit().await?;
                Ok(true)
            })
            .await
    }

    async fn renew(
        &self,
        old: &HashedToken<SessionToken>,
        new: &HashedToken<SessionToken>,
        session: &Session,
        offers: Option<&Offers>,
        ttl: Duration,
    ) -> Stored<bool> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                let end = query(
                    "DELETE FROM sessions WHERE id = $1 AND keep_until > $2 \
                     RETURNING offered_authenticator, offered_recovery_codes",
                );
                let end = end.bind(old.to_hex()).bind(moment(session.last_seen_at));
                let Some(ended) = end.fetch_optional(&mut *t).await? else {
                    return t.rolled_back(false).await;
                };
                let offers = match offers {
                    Some(offers) => offers.clone(),
                    None => offered(&ended)?,
                };
                file(&mut t, new, session, &offers, ttl).await?;
                let tokens = query("UPDATE app_tokens SET session_id = $2 WHERE session_id = $1");
                tokens.bind(old.to_hex()).bind(new.to_hex()).execute(&mut *t).await?;
                t.commit().await?;
                Ok(true)
            })
            .await
    }

    async fn offer(
        &self,
        id: &HashedToken<SessionToken>,
        offer: Offer,
        sealed: &str,
    ) -> Stored<Option<String>> {
        let statement = query(match offer {
            Offer::Authenticator => {
                "UPDATE sessions SET offered_authenticator = COALESCE(offered_authenticator, $2) \
                 WHERE id = $1 RETURNING offered_authenticator AS held"
            }
            Offer::RecoveryCodes => {
                "UPDATE sessions SET offered_recovery_codes = \
                 COALESCE(offered_recovery_codes, $2) WHERE id = $1 \
                 RETURNING offered_recovery_codes AS held"
            }
        });
        let row = self.db.change_returning(statement.bind(id.to_hex()).bind(sealed)).await?;
        let held = row.map(|row| text(&row, "held")).transpose();
        held.map_err(|_values| self.db.damaged(RECORD))
    }

    async fn withdraw(&self, id: &HashedToken<SessionToken>, offer: Offer) -> Stored<bool> {
        let statement = query(match offer {
            Offer::Authenticator => {
                "UPDATE sessions SET offered_authenticator = NULL \
                 WHERE id = $1 AND offered_authenticator IS NOT NULL"
            }
            Offer::RecoveryCodes => {
                "UPDATE sessions SET offered_recovery_codes = NULL \
                 WHERE id = $1 AND offered_recovery_codes IS NOT NULL"
            }
        });
        Ok(self.db.change(statement.bind(id.to_hex())).await? == 1)
    }

    async fn load(&self, id: &HashedToken<SessionToken>) -> Stored<Option<Session>> {
        let statement = query("SELECT * FROM sessions WHERE id = $1").bind(id.to_hex());
        self.db.fetch_one(statement).await?.map(|row| self.session(&row)).transpose()
    }

    async fn touch(
        &self,
        id: &HashedToken<SessionToken>,
        now: Timestamp,
        ttl: Duration,
    ) -> Stored<()> {
        // A session that had expired by `now` stays ended, even if its row still exists.
        let statement = query(
            "UPDATE sessions SET last_seen_at = $2, keep_until = $3 \
             WHERE id = $1 AND last_seen_at <= $2 AND keep_until > $2",
        )
        .bind(id.to_hex())
        .bind(moment(now))
        .bind(moment(now.plus(ttl)));
        self.db.change(statement).await?;
        self.sweep(now).await
    }

    async fn identity_changed(&self, account: AccountId) -> Stored<()> {
        let statement = query(
            "UPDATE sessions SET identity_changes = identity_changes + 1 WHERE account_id = $1",
        );
        self.db.change(statement.bind(account.to_string())).await?;
        Ok(())
    }

    async fn recovery_codes_done(&self, id: &HashedToken<SessionToken>) -> Stored<()> {
        let statement =
            query("UPDATE sessions SET recovery_codes_due = NULL WHERE id = $1").bind(id.to_hex());
        self.db.change(statement).await?;
        Ok(())
    }

    async fn end(&self, id: &HashedToken<SessionToken>) -> Stored<bool> {
        let statement = query("DELETE FROM sessions WHERE id = $1").bind(id.to_hex());
        Ok(self.db.change(statement).await? == 1)
    }

    async fn end_by_id(&self, id: SessionId) -> Stored<bool> {
        let statement = query("DELETE FROM sessions WHERE public_id = $1").bind(id.to_string());
        Ok(self.db.change(statement).await? == 1)
    }

    async fn end_account(&self, account: AccountId) -> Stored<u64> {
        self.end_all_of(account, "").await
    }

    async fn end_others(
        &self,
        account: AccountId,
        keep: &HashedToken<SessionToken>,
    ) -> Stored<u64> {
        self.end_all_of(account, &keep.to_hex()).await
    }

    async fn end_all(&self) -> Stored<u64> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                query("DELETE FROM pending_logins").execute(&mut *t).await?;
                let ended = query("DELETE FROM sessions").execute(&mut *t).await?;
                t.commit().await?;
                Ok(ended.rows_affected())
            })
            .await
    }

    async fn list(&self, account: Option<AccountId>, now: Timestamp) -> Stored<Vec<Session>> {
        let statement =
            query("SELECT * FROM sessions WHERE keep_until > $1 AND ($2 = '' OR account_id = $2)")
                .bind(moment(now))
                .bind(account.map(|a| a.to_string()).unwrap_or_default());
        let rows = self.db.fetch(statement).await?;
        let mut sessions =
            rows.iter().map(|row| self.session(row)).collect::<Stored<Vec<Session>>>()?;
        sessions.retain(|s| s.expires_at > now);
        sessions.sort_by_key(|s| (Reverse(s.started_at), s.id));
        Ok(sessions)
    }

    async fn ping(&self) -> Stored<()> {
        // A row that is written each time, under a key that no counter has.
        let write = query(
            "INSERT INTO attempts (key, tries, expires_at) VALUES ('', 1, 0) \
             ON CONFLICT (key) DO UPDATE SET expires_at = 0",
        );
        self.db.ping(write).await
    }
}
