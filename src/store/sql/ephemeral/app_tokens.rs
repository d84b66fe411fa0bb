//! App tokens in a file.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::query;

use crate::auth::ports::{AppTokens, Stored};
use crate::auth::token::{AppToken, HashedToken, SessionToken};

use super::super::values::text;
use super::EmbeddedStore;

#[async_trait]
impl AppTokens for EmbeddedStore {
    async fn bind(
        &self,
        session: &HashedToken<SessionToken>,
        token: &HashedToken<AppToken>,
        most: u32,
        _ttl: Duration,
    ) -> Stored<bool> {
        let (session, token) = (session.to_hex(), token.to_hex());
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                // A token bound to another account's session is not changed.
                let bound = query(
                    "INSERT INTO app_tokens (id, session_id, number) \
                     SELECT $1, id, (SELECT COALESCE(MAX(number), 0) + 1 FROM app_tokens) \
                     FROM token_holders WHERE id = $2 \
                     ON CONFLICT (id) DO UPDATE SET session_id = excluded.session_id, \
                     number = excluded.number \
                     WHERE NOT EXISTS (SELECT 1 FROM token_holders AS other \
                     JOIN token_holders AS ours \
                     ON other.account_id <> ours.account_id \
                     WHERE other.id = app_tokens.session_id AND ours.id = excluded.session_id)",
                )
                .bind(token)
                .bind(session.clone())
                .execute(&mut *t)
                .await?;
                if bound.rows_affected() != 1 {
                    return t.rolled_back(false).await;
                }
                // Keep the first token: the sign-in issued it, and its client sends no other.
                query(
                    "DELETE FROM app_tokens WHERE session_id = $1 AND number > \
                     (SELECT MIN(number) FROM app_tokens WHERE session_id = $1) AND id NOT IN \
                     (SELECT id FROM app_tokens WHERE session_id = $1 \
                     ORDER BY number DESC LIMIT $2)",
                )
                .bind(session)
                .bind(i64::from(most.saturating_sub(1)))
                .execute(&mut *t)
                .await?;
                t.commit().await?;
                Ok(true)
            })
            .await
    }

    async fn session_of(
        &self,
        token: &HashedToken<AppToken>,
    ) -> Stored<Option<HashedToken<SessionToken>>> {
        let statement = query(
            "SELECT app_tokens.session_id FROM app_tokens JOIN token_holders \
             ON token_holders.id = app_tokens.session_id WHERE app_tokens.id = $1",
        );
        let Some(row) = self.db.fetch_one(statement.bind(token.to_hex())).await? else {
            return Ok(None);
        };
        let id = text(&row, "session_id").ok();
        let damaged = || self.db.damaged("the record of an app's token");
        id.and_then(|id| HashedToken::from_hex(&id)).map(Some).ok_or_else(damaged)
    }
}
