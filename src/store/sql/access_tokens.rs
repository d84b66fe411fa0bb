//! Access tokens in SQL.

use async_trait::async_trait;
use sqlx::any::AnyRow;
use sqlx::query;

use crate::auth::access_token::{AccessRecord, NewAccess};
use crate::auth::ports::{AccessTokens, Stored};
use crate::auth::token::{AccessToken, HashedToken};
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, TokenId};

use super::SqlStore;
use super::values::{at, json, moment, optional_at, parsed, text};

const RECORD: &str = "the record of a token";

/// The columns of a record.
macro_rules! columns {
    () => {
        "id, account_id, app, description, limits, made_at, expires_at, last_used_at"
    };
}

fn record(row: &AnyRow) -> sqlx::Result<AccessRecord> {
    Ok(AccessRecord {
        id: parsed(row, "id")?,
        account: parsed(row, "account_id")?,
        app: text(row, "app")?,
        description: text(row, "description")?,
        limits: json(row, "limits")?,
        made_at: at(row, "made_at")?,
        expires_at: at(row, "expires_at")?,
        last_used_at: optional_at(row, "last_used_at")?,
    })
}

impl SqlStore {
    fn token_record(&self, row: &AnyRow) -> Stored<AccessRecord> {
        record(row).map_err(|_values| self.db.damaged(RECORD))
    }
}

#[async_trait]
impl AccessTokens for SqlStore {
    async fn file_token(&self, new: &NewAccess) -> Stored<bool> {
        let it = &new.record;
        let limits = serde_json::to_string(&it.limits);
        let statement = query(
            "INSERT INTO access_tokens \
             (id, hash, account_id, app, description, limits, made_at, expires_at) \
             SELECT $1, $2, id, $4, $5, $6, $7, $8 FROM accounts WHERE id = $3 AND disabled = 0",
        )
        .bind(it.id.to_string())
        .bind(new.hash.to_hex())
        .bind(it.account.to_string())
        .bind(it.app.clone())
        .bind(it.description.clone())
        .bind(limits.map_err(|_values| self.db.damaged(RECORD))?)
        .bind(moment(it.made_at))
        .bind(moment(it.expires_at));
        Ok(self.db.change(statement).await? == 1)
    }

    async fn token(&self, hash: &HashedToken<AccessToken>) -> Stored<Option<AccessRecord>> {
        let statement =
            query(concat!("SELECT ", columns!(), " FROM access_tokens WHERE hash = $1"))
                .bind(hash.to_hex());
        self.db.fetch_one(statement).await?.map(|row| self.token_record(&row)).transpose()
    }

    async fn tokens(&self, account: Option<AccountId>) -> Stored<Vec<AccessRecord>> {
        let statement = match account {
            Some(account) => {
                query(concat!("SELECT ", columns!(), " FROM access_tokens WHERE account_id = $1"))
                    .bind(account.to_string())
            }
            None => query(concat!("SELECT ", columns!(), " FROM access_tokens")),
        };
        let rows = self.db.fetch(statement).await?;
        let mut tokens: Vec<AccessRecord> =
            rows.iter().map(|row| self.token_record(row)).collect::<Stored<_>>()?;
        tokens.sort_by_key(|token| (std::cmp::Reverse(token.made_at), token.id));
        Ok(tokens)
    }

    async fn revoke_token(
        &self,
        id: TokenId,
        account: Option<AccountId>,
    ) -> Stored<Option<AccessRecord>> {
        let statement = match account {
            Some(account) => query(concat!(
                "DELETE FROM access_tokens WHERE id = $1 AND account_id = $2 RETURNING ",
                columns!()
            ))
            .bind(id.to_string())
            .bind(account.to_string()),
            None => {
                query(concat!("DELETE FROM access_tokens WHERE id = $1 RETURNING ", columns!()))
                    .bind(id.to_string())
            }
        };
        let row = self.db.change_returning(statement).await?;
        row.map(|row| self.token_record(&row)).transpose()
    }

    async fn note_token_use(&self, id: TokenId, at: Timestamp, before: Timestamp) -> Stored<bool> {
        let statement = query(
            "UPDATE access_tokens SET last_used_at = $2 \
             WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $3)",
        )
        .bind(id.to_string())
        .bind(moment(at))
        .bind(moment(before));
        Ok(self.db.change(statement).await? == 1)
    }
}
