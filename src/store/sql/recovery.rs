//! Recovery codes in SQL.
//!
//! Every decision is one conditional `UPDATE`, so the database lets exactly one caller change the
//! row.

use async_trait::async_trait;
use sqlx::any::AnyRow;
use sqlx::query;

use crate::auth::ports::{RecoveryCodes, Stored};
use crate::auth::recovery::{NewRecoverySet, RecoveryHash, RecoverySet};
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

use super::SqlStore;
use super::loan::Transaction;
use super::values::{at, moment, number, optional_at, text};

fn set(row: &AnyRow) -> sqlx::Result<RecoverySet> {
    Ok(RecoverySet {
        salt: text(row, "salt")?,
        pepper_id: text(row, "pepper_id")?,
        left: number(row, "remaining")?,
        created_at: at(row, "created_at")?,
        confirmed_at: optional_at(row, "confirmed_at")?,
    })
}

/// Locks the account's row until the transaction ends. Returns false if the account accepts no
/// session that counts as started at `since`.
async fn claim_account(
    t: &mut Transaction,
    account: AccountId,
    since: Timestamp,
) -> sqlx::Result<bool> {
    // A write, not a read: a transaction that ends the sessions either waits for this one or has
    // finished.
    let claim = query(
        "UPDATE accounts SET sessions_valid_from = sessions_valid_from \
         WHERE id = $1 AND disabled = 0 AND sessions_valid_from <= $2",
    );
    let claim = claim.bind(account.to_string()).bind(moment(since));
    Ok(claim.execute(&mut **t).await?.rows_affected() == 1)
}

/// Stores the codes in place of the account's former ones.
pub(super) async fn replace_codes(t: &mut Transaction, new: &NewRecoverySet) -> sqlx::Result<()> {
    let account = new.account.to_string();
    // The row of the recovery set is the lock: every change to an account's codes takes it first.
    query(
        "INSERT INTO recovery_sets (account_id, salt, pepper_id, created_at, confirmed_at) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (account_id) DO UPDATE SET salt = $2, \
         pepper_id = $3, created_at = $4, confirmed_at = $5, last_used_at = NULL, \
         failures = 0, wait_until = 0, suspended_at = NULL",
    )
    .bind(account.as_str())
    .bind(new.salt.as_str())
    .bind(new.pepper_id.as_str())
    .bind(moment(new.created_at))
    .bind(new.confirmed_at.map(moment))
    .execute(&mut **t)
    .await?;
    let forget = query("DELETE FROM recovery_codes WHERE account_id = $1");
    forget.bind(account.as_str()).execute(&mut **t).await?;
    for hash in &new.hashes {
        query("INSERT INTO recovery_codes (account_id, hash) VALUES ($1, $2)")
            .bind(account.as_str())
            .bind(hash.as_str())
            .execute(&mut **t)
            .await?;
    }
    Ok(())
}

#[async_trait]
impl RecoveryCodes for SqlStore {
    async fn recovery_set(&self, account: AccountId) -> Stored<Option<RecoverySet>> {
        let statement = query(
            "SELECT salt, pepper_id, created_at, confirmed_at, (SELECT COUNT(*) FROM \
             recovery_codes c WHERE c.account_id = s.account_id AND c.used_at IS NULL) \
             AS remaining FROM recovery_sets s WHERE account_id = $1",
        )
        .bind(account.to_string());
        let row = self.db.fetch_one(statement).await?;
        let found = row.map(|row| set(&row)).transpose();
        found.map_err(|_values| self.db.damaged("the record of a set of recovery codes"))
    }

    async fn replace_recovery(&self, new: &NewRecoverySet, since: Timestamp) -> Stored<bool> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                if !claim_account(&mut t, new.account, since).await? {
                    return t.rolled_back(false).await;
                }
                replace_codes(&mut t, new).await?;
                t.commit().await?;
                Ok(true)
            })
            .await
    }

    async fn file_recovery(
        &self,
        new: &NewRecoverySet,
        instead_of: Option<&str>,
        since: Timestamp,
    ) -> Stored<bool> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                if !claim_account(&mut t, new.account, since).await? {
                    return t.rolled_back(false).await;
                }
                let present = query("SELECT salt FROM recovery_sets WHERE account_id = $1");
                let present = present.bind(new.account.to_string());
                let row = present.fetch_optional(&mut *t).await?;
                let salt: Option<String> = row.map(|row| text(&row, "salt")).transpose()?;
                if salt.as_deref() != instead_of {
                    return t.rolled_back(false).await;
                }
                replace_codes(&mut t, new).await?;
                t.commit().await?;
                Ok(true)
            })
            .await
    }

    async fn confirm_recovery_by(
        &self,
        account: AccountId,
        code: &RecoveryHash,
        now: Timestamp,
    ) -> Stored<bool> {
        let statement = query(
            "UPDATE recovery_sets SET confirmed_at = COALESCE(confirmed_at, $3) \
             WHERE account_id = $1 AND EXISTS (SELECT 1 FROM recovery_codes c \
             WHERE c.account_id = $1 AND c.hash = $2 AND c.used_at IS NULL)",
        )
        .bind(account.to_string())
        .bind(code.as_str())
        .bind(moment(now));
        Ok(self.db.change(statement).await? == 1)
    }

    async fn consume_recovery(
        &self,
        account: AccountId,
        code: &RecoveryHash,
        now: Timestamp,
    ) -> Stored<Option<u32>> {
        let account = account.to_string();
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                // Takes the lock on the recovery set, so that the count below is exact.
                query("UPDATE recovery_sets SET last_used_at = $2 WHERE account_id = $1")
                    .bind(account.as_str())
                    .bind(moment(now))
                    .execute(&mut *t)
                    .await?;
                let used = query(
                    "UPDATE recovery_codes SET used_at = $3 \
                     WHERE account_id = $1 AND hash = $2 AND used_at IS NULL",
                )
                .bind(account.as_str())
                .bind(code.as_str())
                .bind(moment(now))
                .execute(&mut *t)
                .await?;
                if used.rows_affected() != 1 {
                    return t.rolled_back(None).await;
                }
                let row = query(
                    "SELECT COUNT(*) AS remaining FROM recovery_codes \
                     WHERE account_id = $1 AND used_at IS NULL",
                )
                .bind(account.as_str())
                .fetch_one(&mut *t)
                .await?;
                query(
                    "INSERT INTO recovery_uses (account_id, used_at) VALUES ($1, $2) \
                     ON CONFLICT (account_id, used_at) DO NOTHING",
                )
                .bind(account.as_str())
                .bind(moment(now))
                .execute(&mut *t)
                .await?;
                t.commit().await?;
                number(&row, "remaining").map(Some)
            })
            .await
    }

    async fn recovery_was_used(&self, account: AccountId, code: &RecoveryHash) -> Stored<bool> {
        let statement = query(
            "SELECT 1 FROM recovery_codes \
             WHERE account_id = $1 AND hash = $2 AND used_at IS NOT NULL",
        )
        .bind(account.to_string())
        .bind(code.as_str());
        Ok(self.db.fetch_one(statement).await?.is_some())
    }

    async fn untold_recovery(
        &self,
        account: AccountId,
        before: Timestamp,
    ) -> Stored<Option<Timestamp>> {
        let statement = query(
            "SELECT used_at FROM recovery_uses WHERE account_id = $1 AND used_at < $2 \
             ORDER BY used_at DESC LIMIT 1",
        )
        .bind(account.to_string())
        .bind(moment(before));
        let row = self.db.fetch_one(statement).await?;
        let used = row.map(|row| at(&row, "used_at")).transpose();
        used.map_err(|_values| self.db.damaged("the record of a used recovery code"))
    }

    async fn recovery_told(&self, account: AccountId, before: Timestamp) -> Stored<()> {
        let statement = query("DELETE FROM recovery_uses WHERE account_id = $1 AND used_at < $2")
            .bind(account.to_string())
            .bind(moment(before));
        self.db.change(statement).await?;
        Ok(())
    }
}
