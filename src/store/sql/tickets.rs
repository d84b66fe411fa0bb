//! Tickets in SQL.
//!
//! Every transaction on a ticket and its account takes the ticket's row first, so that no two
//! transactions wait for each other.

use async_trait::async_trait;
use sqlx::any::AnyRow;
use sqlx::query;

use crate::auth::authenticator::NewAuthenticator;
use crate::auth::password::PasswordRecord;
use crate::auth::ports::{Stored, Tickets};
use crate::auth::ticket::{NewTicket, Rights, Ticket};
use crate::auth::token::{HashedToken, TicketToken};
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

use super::SqlStore;
use super::accounts::accepts_login;
use super::authenticators::insert_authenticator;
use super::loan::Transaction;
use super::values::{at, flag, moment, parsed};

const RECORD: &str = "the record of a ticket";

fn ticket(row: &AnyRow) -> sqlx::Result<Ticket> {
    Ok(Ticket {
        account: parsed(row, "account_id")?,
        rights: Rights {
            password: flag(row, "sets_password")?,
            second_factor: flag(row, "enrols")?,
        },
        created_at: at(row, "created_at")?,
        expires_at: at(row, "expires_at")?,
    })
}

type Change = query::Query<'static, sqlx::Any, sqlx::any::AnyArguments>;

/// Inserts a ticket in place of any earlier one of the account, if the account exists and is
/// enabled or `also_disabled` is set.
fn file(new: &NewTicket, also_disabled: bool) -> Change {
    let Ticket { account, rights, created_at, expires_at } = new.ticket;
    query(
        "INSERT INTO tickets (account_id, hash, sets_password, enrols, created_at, expires_at) \
         SELECT id, $2, $3, $4, $5, $6 FROM accounts \
         WHERE id = $1 AND (disabled = 0 OR $7 = 1) \
         ON CONFLICT (account_id) DO UPDATE SET hash = excluded.hash, \
         sets_password = excluded.sets_password, enrols = excluded.enrols, \
         created_at = excluded.created_at, expires_at = excluded.expires_at",
    )
    .bind(account.to_string())
    .bind(new.id.to_hex())
    .bind(i64::from(rights.password))
    .bind(i64::from(rights.second_factor))
    .bind(moment(created_at))
    .bind(moment(expires_at))
    .bind(i64::from(also_disabled))
}

/// Deletes all authenticators and the recovery codes.
pub(super) async fn forget_factors(t: &mut Transaction, account: &str) -> sqlx::Result<()> {
    for forget in [
        "DELETE FROM authenticators WHERE account_id = $1",
        "DELETE FROM recovery_sets WHERE account_id = $1",
    ] {
        query(forget).bind(account.to_owned()).execute(&mut **t).await?;
    }
    Ok(())
}

impl SqlStore {
    async fn find_ticket(&self, statement: Change) -> Stored<Option<Ticket>> {
        let found = self.db.fetch_one(statement).await?.map(|row| ticket(&row)).transpose();
        found.map_err(|_values| self.db.damaged(RECORD))
    }
}

#[async_trait]
impl Tickets for SqlStore {
    async fn issue(&self, new: &NewTicket) -> Stored<bool> {
        Ok(self.db.change(file(new, false)).await? == 1)
    }

    async fn by_token(
        &self,
        id: &HashedToken<TicketToken>,
        now: Timestamp,
    ) -> Stored<Option<Ticket>> {
        let statement = query(
            "SELECT account_id, sets_password, enrols, created_at, expires_at FROM tickets \
             WHERE hash = $1 AND expires_at > $2 AND sets_password + enrols > 0",
        );
        self.find_ticket(statement.bind(id.to_hex()).bind(moment(now))).await
    }

    async fn of_account(&self, account: AccountId, now: Timestamp) -> Stored<Option<Ticket>> {
        let statement = query(
            "SELECT account_id, sets_password, enrols, created_at, expires_at FROM tickets \
             WHERE account_id = $1 AND expires_at > $2 AND sets_password + enrols > 0",
        );
        self.find_ticket(statement.bind(account.to_string()).bind(moment(now))).await
    }

    async fn redeem_password(
        &self,
        id: &HashedToken<TicketToken>,
        password: &PasswordRecord,
        now: Timestamp,
    ) -> Stored<Option<AccountId>> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                let used = query(
                    "UPDATE tickets SET sets_password = 0 \
                     WHERE hash = $1 AND expires_at > $2 AND sets_password = 1 \
                     RETURNING account_id",
                )
                .bind(id.to_hex())
                .bind(moment(now))
                .fetch_optional(&mut *t)
                .await?;
                let Some(row) = used else { return t.rolled_back(None).await };
                let account: AccountId = parsed(&row, "account_id")?;
                if !super::accounts::renew_password(&mut t, account, password, now).await? {
                    return t.rolled_back(None).await;
                }
                t.commit().await?;
                Ok(Some(account))
            })
            .await
    }

    async fn redeem_enrolment(
        &self,
        id: &HashedToken<TicketToken>,
        new: &NewAuthenticator,
        since: Timestamp,
    ) -> Stored<bool> {
        let account = new.account.to_string();
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                let used = query(
                    "UPDATE tickets SET sets_password = 0, enrols = 0 WHERE hash = $1 \
                     AND account_id = $2 AND expires_at > $3 AND enrols = 1",
                )
                .bind(id.to_hex())
                .bind(account.as_str())
                .bind(moment(new.created_at))
                .execute(&mut *t)
                .await?;
                if used.rows_affected() != 1 {
                    return t.rolled_back(false).await;
                }
                let marked = query(concat!(
                    "UPDATE accounts SET ever_enrolled = 1, sessions_valid_from = CASE WHEN \
                     sessions_valid_from < $2 THEN $2 ELSE sessions_valid_from END \
                     WHERE id = $1 AND ",
                    accepts_login!("$1", "$3")
                ))
                .bind(account.as_str())
                .bind(moment(new.created_at))
                .bind(moment(since))
                .execute(&mut *t)
                .await?;
                if marked.rows_affected() != 1 {
                    return t.rolled_back(false).await;
                }
                forget_factors(&mut t, &account).await?;
                if !insert_authenticator(&mut t, new).await? {
                    return t.rolled_back(false).await;
                }
                t.commit().await?;
                Ok(true)
            })
            .await
    }

    async fn reset_second_factor(&self, new: &NewTicket) -> Stored<bool> {
        let account = new.ticket.account.to_string();
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                if file(new, true).execute(&mut *t).await?.rows_affected() != 1 {
                    return t.rolled_back(false).await;
                }
                query(
                    "UPDATE accounts SET sessions_valid_from = CASE WHEN sessions_valid_from < $2 \
                     THEN $2 ELSE sessions_valid_from END WHERE id = $1",
                )
                .bind(account.as_str())
                .bind(moment(new.ticket.created_at))
                .execute(&mut *t)
                .await?;
                forget_factors(&mut t, &account).await?;
                query("DELETE FROM access_tokens WHERE account_id = $1")
                    .bind(account.as_str())
                    .execute(&mut *t)
                    .await?;
                t.commit().await?;
                Ok(true)
            })
            .await
    }

    async fn remove_links(&self, of: Option<AccountId>) -> Stored<u64> {
        let of = of.map(|account| account.to_string()).unwrap_or_default();
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                // In the order of the transaction that sets a forgotten password anew.
                query("DELETE FROM password_resets WHERE $1 = '' OR account_id = $1")
                    .bind(of.as_str())
                    .execute(&mut *t)
                    .await?;
                let links = query("DELETE FROM tickets WHERE $1 = '' OR account_id = $1")
                    .bind(of.as_str())
                    .execute(&mut *t)
                    .await?;
                t.commit().await?;
                Ok(links.rows_affected())
            })
            .await
    }
}
