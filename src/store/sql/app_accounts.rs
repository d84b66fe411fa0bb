//! Links between accounts and user ids of apps, in SQL.

use async_trait::async_trait;
use sqlx::any::AnyRow;
use sqlx::query;

use crate::auth::account::{Account, NewAccount};
use crate::auth::app_sign_in::{Linked, Subject};
use crate::auth::ports::{AppAccounts, Stored};
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

use super::SqlStore;
use super::accounts::{insert, select_accounts};
use super::loan::Transaction;
use super::values::{moment, parsed, text};

const RECORD: &str = "the link of an account to an app";

type Change = query::Query<'static, sqlx::Any, sqlx::any::AnyArguments>;

fn find(app: &str, subject: &Subject) -> Change {
    query(select_accounts!(
        " JOIN app_accounts ON accounts.id = account_id WHERE app = $1 AND subject = $2"
    ))
    .bind(app.to_owned())
    .bind(subject.as_str().to_owned())
}

/// Inserts a link. Returns true if the account exists and neither it nor the app's user is linked
/// yet.
async fn insert_link(
    t: &mut Transaction,
    account: AccountId,
    app: &str,
    subject: &Subject,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = query(
        "INSERT INTO app_accounts (app, subject, account_id, linked_at) \
         SELECT $1, $2, id, $4 FROM accounts WHERE id = $3 ON CONFLICT DO NOTHING",
    )
    .bind(app.to_owned())
    .bind(subject.as_str().to_owned())
    .bind(account.to_string())
    .bind(moment(now))
    .execute(&mut **t)
    .await?;
    Ok(done.rows_affected() == 1)
}

fn link_of(row: &AnyRow) -> sqlx::Result<(String, Subject)> {
    Ok((text(row, "app")?, parsed(row, "subject")?))
}

#[async_trait]
impl AppAccounts for SqlStore {
    async fn by_subject(&self, app: &str, subject: &Subject) -> Stored<Option<Account>> {
        self.db.fetch_one(find(app, subject)).await?.map(|row| self.account(&row)).transpose()
    }

    async fn link(
        &self,
        account: AccountId,
        app: &str,
        subject: &Subject,
        now: Timestamp,
    ) -> Stored<Linked> {
        let linked = self.db.timed(async {
            let mut t = self.db.begin().await?;
            if insert_link(&mut t, account, app, subject, now).await? {
                t.commit().await?;
                return Ok(Linked::Yes);
            }
            let there = query("SELECT id FROM accounts WHERE id = $1").bind(account.to_string());
            if there.fetch_optional(&mut *t).await?.is_none() {
                return t.rolled_back(Linked::NoAccount).await;
            }
            let held = query("SELECT account_id FROM app_accounts WHERE app = $1 AND subject = $2");
            let held = held.bind(app.to_owned()).bind(subject.as_str().to_owned());
            let verdict = match held.fetch_optional(&mut *t).await? {
                None => Linked::AccountTaken,
                Some(row) if parsed::<AccountId>(&row, "account_id")? == account => Linked::Yes,
                Some(_other) => Linked::SubjectTaken,
            };
            t.rolled_back(verdict).await
        });
        linked.await
    }

    async fn link_or_add(
        &self,
        app: &str,
        subject: &Subject,
        new: &NewAccount,
    ) -> Stored<Option<Account>> {
        let found = self.by_subject(app, subject).await?;
        if found.is_some() {
            return Ok(found);
        }
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                let id = new.identity.account;
                if insert(new).execute(&mut *t).await?.rows_affected() == 1
                    && insert_link(&mut t, id, app, subject, new.created_at).await?
                {
                    return t.commit().await;
                }
                t.rolled_back(()).await
            })
            .await?;
        // Another request may have inserted one first: use the stored link.
        self.by_subject(app, subject).await
    }

    async fn unlink(&self, account: AccountId, app: &str, now: Timestamp) -> Stored<bool> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                let gone = query("DELETE FROM app_accounts WHERE account_id = $1 AND app = $2");
                let gone = gone.bind(account.to_string()).bind(app.to_owned());
                if gone.execute(&mut *t).await?.rows_affected() != 1 {
                    return t.rolled_back(false).await;
                }
                query(
                    "UPDATE accounts SET sessions_valid_from = CASE WHEN sessions_valid_from < $2 \
                     THEN $2 ELSE sessions_valid_from END WHERE id = $1",
                )
                .bind(account.to_string())
                .bind(moment(now))
                .execute(&mut *t)
                .await?;
                t.commit().await?;
                Ok(true)
            })
            .await
    }

    async fn links_of(&self, account: AccountId) -> Stored<Vec<(String, Subject)>> {
        let statement = query("SELECT app, subject FROM app_accounts WHERE account_id = $1");
        let rows = self.db.fetch(statement.bind(account.to_string())).await?;
        let links: sqlx::Result<Vec<_>> = rows.iter().map(link_of).collect();
        let mut links = links.map_err(|_values| self.db.damaged(RECORD))?;
        links.sort();
        Ok(links)
    }
}
