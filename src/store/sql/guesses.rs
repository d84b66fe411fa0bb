//! Second-factor failures in SQL. They outlast the ephemeral store, so deleting it grants no
//! further attempts.

use async_trait::async_trait;
use sqlx::any::AnyRow;
use sqlx::{Row as _, query};

use crate::auth::ports::{Guesses, Stored};
use crate::auth::stage::Factor;
use crate::auth::throttle::{Counted, Ladder, WrongCodes};
use crate::base::address::ClientIp;
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

use super::SqlStore;
use super::database::Statement;
use super::loan::Transaction;
use super::values::{at, moment, number, optional_at, parsed, text};

/// The statements for the factors in one table. The first parameter is the account, the second the
/// name of the factor.
struct Statements {
    count: &'static str,
    state: &'static str,
    right: &'static str,
    take_back: &'static str,
    suspend: &'static str,
}

macro_rules! statements {
    ($table:literal, $of_factor:literal) => {
        Statements {
            count: concat!(
                "UPDATE ",
                $table,
                " SET failures = failures + 1, wait_until = CASE \
                 WHEN (failures + 1) % $4 <> 0 THEN wait_until \
                 WHEN failures + 1 >= $5 THEN $6 ELSE $7 END WHERE ",
                $of_factor,
                " AND failures < $8 AND suspended_at IS NULL AND wait_until <= $3 \
                 RETURNING failures"
            ),
            state: concat!(
                "SELECT failures, wait_until, suspended_at FROM ",
                $table,
                " WHERE ",
                $of_factor
            ),
            right: concat!(
                "UPDATE ",
                $table,
                " SET failures = 0, wait_until = 0 WHERE ",
                $of_factor,
                " AND suspended_at IS NULL"
            ),
            take_back: concat!(
                "UPDATE ",
                $table,
                " SET failures = failures - 1, \
                 wait_until = CASE WHEN failures % $3 = 0 THEN 0 ELSE wait_until END WHERE ",
                $of_factor,
                " AND failures > 0 AND failures >= $4 AND suspended_at IS NULL"
            ),
            suspend: concat!(
                "UPDATE ",
                $table,
                " SET suspended_at = $3 WHERE ",
                $of_factor,
                " AND failures >= $4 AND suspended_at IS NULL"
            ),
        }
    };
}

const AUTHENTICATORS: Statements = statements!("authenticators", "account_id = $1 AND kind = $2");
/// The table has codes of one kind, so the name decides nothing.
const RECOVERY: Statements =
    statements!("recovery_sets", "account_id = $1 AND 'recovery_code' = $2");

/// Resets the failures of all factors of an account.
const LIFT: [&str; 2] = [
    "UPDATE authenticators SET failures = 0, wait_until = 0, suspended_at = NULL \
     WHERE account_id = $1 AND (failures > 0 OR suspended_at IS NOT NULL)",
    "UPDATE recovery_sets SET failures = 0, wait_until = 0, suspended_at = NULL \
     WHERE account_id = $1 AND (failures > 0 OR suspended_at IS NOT NULL)",
];

/// Returns the statements for a factor of Vestibule. Attempts at an app's own factor are counted by
/// the app.
fn of(factor: Factor) -> Option<&'static Statements> {
    match factor {
        Factor::Authenticator(_) => Some(&AUTHENTICATORS),
        Factor::RecoveryCode => Some(&RECOVERY),
        Factor::App => None,
    }
}

fn bound(statement: &'static str, account: AccountId, factor: Factor) -> Statement<'static> {
    query(statement).bind(account.to_string()).bind(factor.as_str())
}

const RECORD: &str = "the count of wrong codes";

/// Maximum number of logins of one account whose wrong codes have a row each: the newest.
const LOGINS: i64 = 100;
/// Maximum number of rows that one attempt adds to the sum, so that a backlog delays none.
const ADDED: i64 = 1000;
/// The login of the row with the sum of older logins. A login has a hash in its place.
const OLDER: &str = "";

fn wrong_codes_in(row: &AnyRow) -> sqlx::Result<WrongCodes> {
    Ok(WrongCodes {
        login: text(row, "login")?,
        tries: number(row, "tries")?,
        last_at: at(row, "last_at")?,
        address: parsed::<ClientIp>(row, "address")?,
    })
}

/// Locks the sum of older logins of an account, so that of two concurrent attempts one waits here for
/// the other. Returns it, or the one to begin with.
async fn lock_sum(
    t: &mut Transaction,
    account: &str,
    address: ClientIp,
) -> sqlx::Result<WrongCodes> {
    let lock = query(
        "INSERT INTO wrong_codes (account_id, login, tries, last_at, address) \
         VALUES ($1, $2, 0, 0, $3) ON CONFLICT (account_id, login) DO UPDATE SET \
         tries = wrong_codes.tries RETURNING login, tries, last_at, address",
    );
    let row = lock.bind(account).bind(OLDER).bind(address.to_string()).fetch_one(&mut **t).await?;
    wrong_codes_in(&row)
}

/// Deletes rows of all but the newest logins of an account and returns them.
async fn take_older(t: &mut Transaction, account: &str) -> sqlx::Result<Vec<WrongCodes>> {
    let take = query(
        "DELETE FROM wrong_codes WHERE account_id = $1 AND login IN (SELECT login \
         FROM wrong_codes WHERE account_id = $1 AND login <> $2 \
         ORDER BY last_at DESC, login LIMIT $3 OFFSET $4) \
         RETURNING login, tries, last_at, address",
    );
    let take = take.bind(account).bind(OLDER).bind(ADDED).bind(LOGINS);
    take.fetch_all(&mut **t).await?.iter().map(wrong_codes_in).collect()
}

impl SqlStore {
    /// Replaces the rows of all but the newest logins by their sum. Anyone with the password of an
    /// account can begin any number of logins.
    async fn sum_up_wrong_codes(&self, account: &str, address: ClientIp) -> Stored<()> {
        let count = query("SELECT COUNT(*) AS held FROM wrong_codes WHERE account_id = $1");
        let held = self.db.fetch_one(count.bind(account)).await?;
        // One row may be the sum.
        if held.and_then(|row| row.try_get::<i64, _>("held").ok()).is_none_or(|n| n <= LOGINS + 1) {
            return Ok(());
        }
        let work = async {
            let mut t = self.db.begin().await?;
            let mut sum = lock_sum(&mut t, account, address).await?;
            for one in take_older(&mut t, account).await? {
                sum.tries = sum.tries.saturating_add(one.tries);
                if one.last_at >= sum.last_at {
                    (sum.last_at, sum.address) = (one.last_at, one.address);
                }
            }
            if sum.tries == 0 {
                return t.rolled_back(()).await;
            }
            let update = query(
                "UPDATE wrong_codes SET tries = $3, last_at = $4, address = $5 \
                 WHERE account_id = $1 AND login = $2",
            );
            update
                .bind(account)
                .bind(OLDER)
                .bind(i64::from(sum.tries))
                .bind(moment(sum.last_at))
                .bind(sum.address.to_string())
                .execute(&mut *t)
                .await?;
            t.commit().await
        };
        self.db.timed(work).await
    }
}

#[async_trait]
impl Guesses for SqlStore {
    async fn count_factor_guess(
        &self,
        account: AccountId,
        factor: Factor,
        ladder: &Ladder,
        now: Timestamp,
    ) -> Stored<Counted> {
        let Some(of) = of(factor) else { return Ok(Counted::NoFactor) };
        let statement = bound(of.count, account, factor)
            .bind(moment(now))
            .bind(i64::from(ladder.every))
            .bind(i64::from(ladder.long_after))
            .bind(moment(now.plus(ladder.long)))
            .bind(moment(now.plus(ladder.short)))
            .bind(i64::from(ladder.most));
        let damaged = |_values| self.db.damaged(RECORD);
        if let Some(row) = self.db.change_returning(statement).await? {
            return number(&row, "failures")
                .map(|failures| Counted::Go { failures })
                .map_err(damaged);
        }
        // Rejected. This only finds the reason.
        let state = bound(of.state, account, factor);
        let Some(row) = self.db.fetch_one(state).await? else { return Ok(Counted::NoFactor) };
        let failures: u32 = number(&row, "failures").map_err(damaged)?;
        let suspended = optional_at(&row, "suspended_at").map_err(damaged)?.is_some();
        if suspended || failures >= ladder.most {
            return Ok(Counted::Suspended { failures });
        }
        Ok(Counted::Wait(at(&row, "wait_until").map_err(damaged)?.since(now)))
    }

    async fn factor_guess_was_right(&self, account: AccountId, factor: Factor) -> Stored<()> {
        let Some(of) = of(factor) else { return Ok(()) };
        self.db.change(bound(of.right, account, factor)).await?;
        Ok(())
    }

    async fn take_back_factor_guess(
        &self,
        account: AccountId,
        factor: Factor,
        ladder: &Ladder,
        counted: u32,
    ) -> Stored<()> {
        let Some(of) = of(factor) else { return Ok(()) };
        let statement = bound(of.take_back, account, factor)
            .bind(i64::from(ladder.every))
            .bind(i64::from(counted));
        self.db.change(statement).await?;
        Ok(())
    }

    async fn suspend_factor(
        &self,
        account: AccountId,
        factor: Factor,
        most: u32,
        now: Timestamp,
    ) -> Stored<bool> {
        let Some(of) = of(factor) else { return Ok(false) };
        let statement = bound(of.suspend, account, factor).bind(moment(now)).bind(i64::from(most));
        Ok(self.db.change(statement).await? == 1)
    }

    async fn lift_suspension(&self, account: AccountId) -> Stored<bool> {
        let mut lifted = 0;
        for statement in LIFT {
            lifted += self.db.change(query(statement).bind(account.to_string())).await?;
        }
        Ok(lifted > 0)
    }

    async fn note_wrong_code(&self, account: AccountId, wrong: &WrongCodes) -> Stored<()> {
        let account = account.to_string();
        let statement = query(
            "INSERT INTO wrong_codes (account_id, login, tries, last_at, address) \
             VALUES ($1, $2, 1, $3, $4) ON CONFLICT (account_id, login) DO UPDATE SET \
             tries = wrong_codes.tries + 1, last_at = $3, address = $4",
        )
        .bind(account.as_str())
        .bind(wrong.login.as_str())
        .bind(moment(wrong.last_at))
        .bind(wrong.address.to_string());
        self.db.change(statement).await?;
        if let Err(error) = self.sum_up_wrong_codes(&account, wrong.address).await {
            tracing::debug!(%error, "failed to sum up the wrong codes of older logins");
        }
        Ok(())
    }

    async fn wrong_codes(&self, account: AccountId) -> Stored<Vec<WrongCodes>> {
        // The sum first. There can be more rows for as long as it takes to sum them up.
        let statement = query(
            "SELECT login, tries, last_at, address FROM wrong_codes WHERE account_id = $1 \
             ORDER BY CASE WHEN login = $2 THEN 0 ELSE 1 END, last_at DESC LIMIT $3",
        )
        .bind(account.to_string())
        .bind(OLDER)
        .bind(LOGINS + 1);
        let rows = self.db.fetch(statement).await?;
        let found = rows.iter().map(wrong_codes_in).collect::<sqlx::Result<Vec<_>>>();
        found.map_err(|_values| self.db.damaged(RECORD))
    }

    async fn forget_wrong_codes(&self, account: AccountId, until: Timestamp) -> Stored<()> {
        let statement = query("DELETE FROM wrong_codes WHERE account_id = $1 AND last_at <= $2")
            .bind(account.to_string())
            .bind(moment(until));
        self.db.change(statement).await?;
        Ok(())
    }
}
