//! The right of a pending login to set a new password, in SQL. The transaction that sets the
//! password uses it up.

use async_trait::async_trait;
use sqlx::any::AnyRow;
use sqlx::query;

use crate::auth::password::PasswordRecord;
use crate::auth::ports::{LinkEnded, PasswordResets, Stored};
use crate::auth::reset::PasswordReset;
use crate::auth::token::{HashedToken, PendingToken};
use crate::base::clock::Timestamp;

use super::accounts::accepts_login;
use super::values::{at, moment, parsed};
use super::{SqlStore, ticket_rights};

const RECORD: &str = "the record of a forgotten password";

fn reset(row: &AnyRow, login: HashedToken<PendingToken>) -> sqlx::Result<PasswordReset> {
    Ok(PasswordReset {
        login,
        account: parsed(row, "account_id")?,
        method: parsed(row, "method")?,
        started_at: at(row, "started_at")?,
        expires_at: at(row, "expires_at")?,
    })
}

#[async_trait]
impl PasswordResets for SqlStore {
    async fn grant_reset(&self, new: &PasswordReset, now: Timestamp) -> Stored<()> {
        let sweep = query("DELETE FROM password_resets WHERE expires_at <= $1").bind(moment(now));
        self.db.change(sweep).await?;
        let file = query(
            "INSERT INTO password_resets (login_hash, account_id, method, started_at, expires_at) \
             SELECT $2, id, $3, $4, $5 FROM accounts WHERE id = $1 \
             ON CONFLICT (login_hash) DO UPDATE SET method = excluded.method",
        )
        .bind(new.account.to_string())
        .bind(new.login.to_hex())
        .bind(new.method.as_str())
        .bind(moment(new.started_at))
        .bind(moment(new.expires_at));
        self.db.change(file).await?;
        Ok(())
    }

    async fn granted_reset(
        &self,
        login: &HashedToken<PendingToken>,
        now: Timestamp,
    ) -> Stored<Option<PasswordReset>> {
        let statement = query(
            "SELECT account_id, method, started_at, expires_at FROM password_resets \
                 WHERE login_hash = $1 AND expires_at > $2",
        )
        .bind(login.to_hex())
        .bind(moment(now));
        let found = self.db.fetch_one(statement).await?.map(|row| reset(&row, *login)).transpose();
        found.map_err(|_values| self.db.damaged(RECORD))
    }

    async fn reset_password(
        &self,
        login: &HashedToken<PendingToken>,
        password: &PasswordRecord,
        now: Timestamp,
    ) -> Stored<Option<(PasswordReset, LinkEnded)>> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                let used = query(
                    "DELETE FROM password_resets WHERE login_hash = $1 AND expires_at > $2 \
                     RETURNING account_id, method, started_at, expires_at",
                )
                .bind(login.to_hex())
                .bind(moment(now))
                .fetch_optional(&mut *t)
                .await?;
                let Some(row) = used else { return t.rolled_back(None).await };
                let reset = reset(&row, *login)?;
                let link = ticket_rights::end_password_right(&mut t, reset.account, now).await?;
                let set = query(concat!(
                    "UPDATE accounts SET password_phc = $2, password_pepper = $3, \
                     password_set_at = $4, sessions_valid_from = CASE WHEN sessions_valid_from < $4 THEN $4 \
                     ELSE sessions_valid_from END \
                     WHERE id = $1 AND password_phc IS NOT NULL AND ",
                    accepts_login!("$1", "$5")
                ))
                .bind(reset.account.to_string())
                .bind(password.phc.as_str())
                .bind(password.pepper_id.as_str())
                .bind(moment(now))
                .bind(moment(reset.started_at))
                .execute(&mut *t)
                .await?;
                // The caller rolls back, which also restores the right of the login, but that right
                // is useless: the account will not accept a reset older than it allows, and an
                // account without a password cannot get one this way.
                if set.rows_affected() != 1 {
                    return t.rolled_back(None).await;
                }
                t.commit().await?;
                Ok(Some((reset, link)))
            })
            .await
    }
}
