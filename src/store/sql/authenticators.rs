//! Authenticators in SQL.
//!
//! Every decision is one conditional `UPDATE`, so the database lets exactly one caller change the
//! row.

use async_trait::async_trait;
use sqlx::any::AnyRow;
use sqlx::{Row as _, query};

use crate::auth::authenticator::{
    Authenticator, AuthenticatorKind, AuthenticatorUse, NewAuthenticator,
};
use crate::auth::ports::{
    AuthenticatorAdded, AuthenticatorRemoved, Authenticators, LinkEnded, RemovedBy, Stored,
};
use crate::auth::recovery::NewRecoverySet;
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, FactorId};

use super::accounts::{accepts_login, accepts_session};
use super::loan::Transaction;
use super::recovery::replace_codes;
use super::values::{at, moment, number, optional_at, optional_text, parsed, text};
use super::{SqlStore, ticket_rights};

const RECORD: &str = "the record of an authenticator";

fn authenticator(row: &AnyRow) -> sqlx::Result<Authenticator> {
    Ok(Authenticator {
        id: parsed(row, "id")?,
        account: parsed(row, "account_id")?,
        kind: parsed(row, "kind")?,
        name: text(row, "name")?,
        sealed: text(row, "sealed")?,
        rp_id: optional_text(row, "rp_id")?,
        counter: number(row, "counter")?,
        created_at: at(row, "created_at")?,
        last_used_at: optional_at(row, "last_used_at")?,
        failures: number(row, "failures")?,
        suspended_at: optional_at(row, "suspended_at")?,
    })
}

fn stored_counter(counter: u64) -> i64 {
    i64::try_from(counter).unwrap_or(i64::MAX)
}

/// Inserts an authenticator. Returns false if another has its lookup key, or if the account already
/// has one of a kind that it can have only one of.
pub(super) async fn insert_authenticator(
    t: &mut Transaction,
    new: &NewAuthenticator,
) -> sqlx::Result<bool> {
    let done = query(
        "INSERT INTO authenticators (id, account_id, kind, name, sealed, lookup, rp_id, counter, \
         created_at, last_used_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) \
         ON CONFLICT DO NOTHING",
    )
    .bind(new.id.to_string())
    .bind(new.account.to_string())
    .bind(new.kind.as_str())
    .bind(new.name.as_str())
    .bind(new.sealed.as_str())
    .bind(new.lookup.as_deref())
    .bind(new.rp_id.as_deref())
    .bind(stored_counter(new.counter))
    .bind(moment(new.created_at))
    .execute(&mut **t)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Locks the account, marks it as enrolled, and returns true if it accepts a session that started at
/// `since`.
async fn accepts_session(
    t: &mut Transaction,
    account: AccountId,
    since: Timestamp,
) -> sqlx::Result<bool> {
    let claim = query(concat!(
        "UPDATE accounts SET ever_enrolled = 1 WHERE id = $1 AND ",
        accepts_session!("$1", "$2")
    ))
    .bind(account.to_string())
    .bind(moment(since))
    .execute(&mut **t)
    .await?;
    Ok(claim.rows_affected() == 1)
}

/// Returns the number of authenticators of an account, of one kind.
async fn count(
    t: &mut Transaction,
    account: AccountId,
    kind: AuthenticatorKind,
) -> sqlx::Result<i64> {
    let row =
        query("SELECT COUNT(*) AS held FROM authenticators WHERE account_id = $1 AND kind = $2")
            .bind(account.to_string())
            .bind(kind.as_str())
            .fetch_one(&mut **t)
            .await?;
    row.try_get("held")
}

/// Returns the number of authenticators of an account that work.
async fn count_working(
    t: &mut Transaction,
    account: AccountId,
    by: RemovedBy<'_>,
) -> sqlx::Result<i64> {
    let row = query(
        "SELECT COUNT(*) AS held FROM authenticators WHERE account_id = $1 \
         AND suspended_at IS NULL AND (kind <> 'webauthn' OR ($2 = 1 \
         AND rp_id = COALESCE($3, rp_id)))",
    )
    .bind(account.to_string())
    .bind(i64::from(by.keys))
    .bind(by.rp_id)
    .fetch_one(&mut **t)
    .await?;
    row.try_get("held")
}

#[async_trait]
impl Authenticators for SqlStore {
    async fn authenticators(&self, account: AccountId) -> Stored<Vec<Authenticator>> {
        let statement = query(
            "SELECT id, account_id, kind, name, sealed, rp_id, counter, created_at, last_used_at, \
             failures, suspended_at FROM authenticators WHERE account_id = $1 \
             ORDER BY created_at, id",
        )
        .bind(account.to_string());
        let rows = self.db.fetch(statement).await?;
        let found = rows.iter().map(authenticator).collect::<sqlx::Result<Vec<_>>>();
        found.map_err(|_values| self.db.damaged(RECORD))
    }

    async fn enrol_first(&self, new: &NewAuthenticator, since: Timestamp) -> Stored<bool> {
        let account = new.account.to_string();
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                let marked = query(concat!(
                    "UPDATE accounts SET ever_enrolled = 1 WHERE id = $1 AND ever_enrolled = 0 AND ",
                    accepts_login!("$1", "$2")
                ))
                .bind(account.as_str())
                .bind(moment(since))
                .execute(&mut *t)
                .await?;
                if marked.rows_affected() != 1 || !insert_authenticator(&mut t, new).await? {
                    return t.rolled_back(false).await;
                }
                t.commit().await?;
                Ok(true)
            })
            .await
    }

    async fn replace_authenticator(
        &self,
        new: &NewAuthenticator,
        codes: &NewRecoverySet,
        since: Timestamp,
    ) -> Stored<Option<LinkEnded>> {
        let account = new.account.to_string();
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                let link =
                    ticket_rights::end_enrolment_right(&mut t, new.account, new.created_at).await?;
                let claim = query(concat!(
                    "UPDATE accounts SET sessions_valid_from = $2, ever_enrolled = 1 WHERE id = $1 AND ",
                    accepts_session!("$1", "$3")
                ))
                .bind(account.as_str())
                .bind(moment(new.created_at.max(since)))
                .bind(moment(since))
                .execute(&mut *t)
                .await?;
                if claim.rows_affected() != 1 {
                    return t.rolled_back(None).await;
                }
                query("DELETE FROM authenticators WHERE account_id = $1 AND kind = $2")
                    .bind(account.as_str())
                    .bind(new.kind.as_str())
                    .execute(&mut *t)
                    .await?;
                if !insert_authenticator(&mut t, new).await? {
                    return t.rolled_back(None).await;
                }
                replace_codes(&mut t, codes).await?;
                t.commit().await?;
                Ok(Some(link))
            })
            .await
    }

    async fn authenticator_by(&self, lookup: &str) -> Stored<Option<Authenticator>> {
        let statement = query(
            "SELECT id, account_id, kind, name, sealed, rp_id, counter, created_at, last_used_at, \
             failures, suspended_at FROM authenticators WHERE lookup = $1",
        )
        .bind(lookup);
        let found = self.db.fetch_one(statement).await?.map(|row| authenticator(&row)).transpose();
        found.map_err(|_values| self.db.damaged(RECORD))
    }

    async fn add_authenticator(
        &self,
        new: &NewAuthenticator,
        most: u32,
        since: Timestamp,
    ) -> Stored<AuthenticatorAdded> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                if !accepts_session(&mut t, new.account, since).await? {
                    return t.rolled_back(AuthenticatorAdded::Ended).await;
                }
                let held = count(&mut t, new.account, new.kind).await?;
                if held >= i64::from(most) {
                    return t.rolled_back(AuthenticatorAdded::TooMany).await;
                }
                if !insert_authenticator(&mut t, new).await? {
                    return t.rolled_back(AuthenticatorAdded::Registered).await;
                }
                t.commit().await?;
                Ok(AuthenticatorAdded::Yes)
            })
            .await
    }

    async fn rename_authenticator(
        &self,
        account: AccountId,
        (kind, id): (AuthenticatorKind, FactorId),
        name: &str,
    ) -> Stored<bool> {
        let statement = query(
            "UPDATE authenticators SET name = $4 WHERE account_id = $1 AND kind = $2 AND id = $3",
        )
        .bind(account.to_string())
        .bind(kind.as_str())
        .bind(id.to_string())
        .bind(name);
        Ok(self.db.change(statement).await? == 1)
    }

    async fn remove_authenticator(
        &self,
        account: AccountId,
        (kind, id): (AuthenticatorKind, FactorId),
        by: Option<RemovedBy<'_>>,
        now: Timestamp,
    ) -> Stored<AuthenticatorRemoved> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                // Locks the account, so that of two concurrent removals one sees the other.
                if let Some(by) = by
                    && !accepts_session(&mut t, account, by.since).await?
                {
                    return t.rolled_back(AuthenticatorRemoved::Ended).await;
                }
                query(
                    "UPDATE accounts SET sessions_valid_from = \
                     CASE WHEN sessions_valid_from > $2 THEN sessions_valid_from ELSE $2 END \
                     WHERE id = $1",
                )
                .bind(account.to_string())
                .bind(moment(now))
                .execute(&mut *t)
                .await?;
                let removed = query(
                    "DELETE FROM authenticators WHERE account_id = $1 AND kind = $2 AND id = $3 \
                     RETURNING name",
                )
                .bind(account.to_string())
                .bind(kind.as_str())
                .bind(id.to_string())
                .fetch_optional(&mut *t)
                .await?;
                let Some(row) = removed else {
                    return t.rolled_back(AuthenticatorRemoved::Unknown).await;
                };
                let name = text(&row, "name")?;
                if let Some(by) = by
                    && count_working(&mut t, account, by).await? == 0
                {
                    return t.rolled_back(AuthenticatorRemoved::Last).await;
                }
                t.commit().await?;
                Ok(AuthenticatorRemoved::Yes { name })
            })
            .await
    }

    async fn use_authenticator(&self, used: &AuthenticatorUse) -> Stored<bool> {
        let statement = query(
            "UPDATE authenticators SET counter = $3, last_used_at = $4, \
             sealed = COALESCE($5, sealed) WHERE account_id = $1 AND id = $2 \
             AND (counter < $3 OR (counter = 0 AND $3 = 0))",
        )
        .bind(used.account.to_string())
        .bind(used.id.to_string())
        .bind(stored_counter(used.counter))
        .bind(moment(used.at))
        .bind(used.sealed.as_deref());
        Ok(self.db.change(statement).await? == 1)
    }
}
