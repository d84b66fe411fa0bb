//! Accounts in SQL.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use sqlx::query;
use sqlx::query::Query;

use crate::auth::account::{
    Account, AccountStatus, Identity, IdentityChange, LoginName, NewAccount,
};
use crate::auth::password::PasswordRecord;
use crate::auth::ports::{
    AccountList, AccountLookup, AccountManagement, AccountStatuses, Added, LinkEnded, OwnPasswords,
    StoreHealth, Stored,
};
use crate::auth::session::SessionMark;
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

use super::audit::TAKE_HEAD;
use super::loan::Transaction;
use super::values::{at, flag, json, moment, optional_at, optional_text, parsed, text};
use super::{SqlStore, ticket_rights};

/// The columns of an identity.
macro_rules! of_identity {
    () => {
        "id, name, display_name, email, group_names"
    };
}

/// Selects whole accounts; the argument is the condition.
macro_rules! select_accounts {
    ($which:literal) => {
        concat!(
            "SELECT id, name, display_name, email, group_names, password_phc, password_pepper, \
             password_set_at, disabled, ever_enrolled, sessions_valid_from, devices_valid_from, \
             created_at FROM accounts",
            $which
        )
    };
}
pub(super) use select_accounts;

/// The condition that an account accepts a pending login: it is enabled, and the login was not ended.
/// The arguments are the parameters of the account and of the start of the login.
macro_rules! accepts_login {
    ($account:literal, $started_at:literal) => {
        concat!(
            "disabled = 0 AND sessions_valid_from <= ",
            $started_at,
            " AND NOT EXISTS (SELECT 1 FROM ended_sessions WHERE subject IN (",
            $account,
            ", ",
            $account,
            " || ':others', 'all') AND started_before > ",
            $started_at,
            ")"
        )
    };
}
pub(super) use accepts_login;

/// The condition that an account accepts a session: it is enabled, and all its sessions were not ended
/// since. The arguments are the parameters of the account and of the start of the session.
macro_rules! accepts_session {
    ($account:literal, $since:literal) => {
        concat!(
            "disabled = 0 AND sessions_valid_from <= ",
            $since,
            " AND NOT EXISTS (SELECT 1 FROM ended_sessions WHERE subject IN (",
            $account,
            ", 'all') AND started_before > ",
            $since,
            ")"
        )
    };
}
pub(super) use accepts_session;

fn identity(row: &AnyRow) -> sqlx::Result<Identity> {
    let name = LoginName::parse(&text(row, "name")?).map_err(|source| {
        sqlx::Error::ColumnDecode { index: "name".to_owned(), source: Box::new(source) }
    })?;
    Ok(Identity {
        account: parsed(row, "id")?,
        name,
        display_name: text(row, "display_name")?,
        email: optional_text(row, "email")?,
        groups: json(row, "group_names")?,
    })
}

fn account(row: &AnyRow) -> sqlx::Result<Account> {
    let phc = optional_text(row, "password_phc")?;
    let pepper = optional_text(row, "password_pepper")?;
    Ok(Account {
        identity: identity(row)?,
        password: phc.zip(pepper).map(|(phc, pepper_id)| PasswordRecord { phc, pepper_id }),
        password_set_at: optional_at(row, "password_set_at")?,
        disabled: flag(row, "disabled")?,
        ever_enrolled: flag(row, "ever_enrolled")?,
        sessions_valid_from: at(row, "sessions_valid_from")?,
        devices_valid_from: at(row, "devices_valid_from")?,
        created_at: at(row, "created_at")?,
    })
}

/// Sets a password through a ticket and ends every session that started before `now`. Returns false
/// if the account does not exist, is disabled, or has its password checked by an app.
pub(super) async fn renew_password(
    t: &mut Transaction,
    id: AccountId,
    password: &PasswordRecord,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = query(
        "UPDATE accounts SET password_phc = $2, password_pepper = $3, password_set_at = $4, \
         sessions_valid_from = \
         CASE WHEN sessions_valid_from < $4 THEN $4 ELSE sessions_valid_from END \
         WHERE id = $1 AND disabled = 0 AND (password_phc IS NOT NULL OR NOT EXISTS \
         (SELECT 1 FROM app_accounts WHERE account_id = accounts.id))",
    )
    .bind(id.to_string())
    .bind(password.phc.clone())
    .bind(password.pepper_id.clone())
    .bind(moment(now))
    .execute(&mut **t)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Returns the statement that inserts an account unless its name is taken.
pub(super) fn insert(account: &NewAccount) -> Insert {
    let password = account.password.as_ref();
    query(
        "INSERT INTO accounts (id, name, display_name, email, group_names, password_phc, \
         password_pepper, disabled, ever_enrolled, sessions_valid_from, created_at, \
         password_set_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, 0, $8, $9) ON CONFLICT (name) DO NOTHING",
    )
    .bind(account.identity.account.to_string())
    .bind(account.identity.name.as_str().to_owned())
    .bind(account.identity.display_name.clone())
    .bind(account.identity.email.clone())
    .bind(serde_json::json!(account.identity.groups).to_string())
    .bind(password.map(|p| p.phc.clone()))
    .bind(password.map(|p| p.pepper_id.clone()))
    .bind(moment(account.created_at))
    .bind(password.map(|_set| moment(account.created_at)))
}

/// Selects the state of an account and the number of recorded ends of one of its sessions, in one
/// round trip. The parameters are the account, the session, its token and its start.
const STATUS: &str = concat!(
    "SELECT ",
    of_identity!(),
    ", disabled, sessions_valid_from, (SELECT COUNT(*) FROM ended_sessions \
     WHERE subject IN ($1, $1 || ':others', $1 || ':' || $2, $2, $3, $5, 'all') AND started_before > $4 AND except_session <> $2) AS ends \
     FROM accounts WHERE id = $1"
);

type Insert = Query<'static, sqlx::Any, sqlx::any::AnyArguments>;

impl SqlStore {
    pub(super) fn account(&self, row: &AnyRow) -> Stored<Account> {
        account(row).map_err(|_values| self.db.damaged("the record of an account"))
    }
}

#[async_trait]
impl AccountStatuses for SqlStore {
    async fn status(&self, id: AccountId, session: &SessionMark) -> Stored<Option<AccountStatus>> {
        let statement = query(STATUS)
            .bind(id.to_string())
            .bind(session.id.to_string())
            .bind(session.token.to_hex())
            .bind(moment(session.started_at))
            .bind(session.branch.unwrap_or(session.token).to_hex());
        let Some(row) = self.db.fetch_one(statement).await? else { return Ok(None) };
        let status = |row: &AnyRow| {
            Ok::<_, sqlx::Error>(AccountStatus {
                identity: Arc::new(identity(row)?),
                disabled: flag(row, "disabled")?,
                sessions_valid_from: at(row, "sessions_valid_from")?,
                session_ended: row.try_get::<i64, _>("ends")? > 0,
            })
        };
        let status = status(&row);
        status.map(Some).map_err(|_values| self.db.damaged("the record of an account"))
    }
}

#[async_trait]
impl AccountLookup for SqlStore {
    async fn by_name(&self, name: &LoginName) -> Stored<Option<Account>> {
        let statement = query(select_accounts!(" WHERE name = $1")).bind(name.as_str());
        self.db.fetch_one(statement).await?.map(|row| self.account(&row)).transpose()
    }

    async fn by_id(&self, id: AccountId) -> Stored<Option<Account>> {
        let statement = query(select_accounts!(" WHERE id = $1")).bind(id.to_string());
        self.db.fetch_one(statement).await?.map(|row| self.account(&row)).transpose()
    }

    async fn of_login(&self, id: AccountId, started_at: Timestamp) -> Stored<Option<Account>> {
        let statement =
            query(concat!(select_accounts!(" WHERE id = $1 AND "), accepts_login!("$1", "$2")));
        let statement = statement.bind(id.to_string()).bind(moment(started_at));
        self.db.fetch_one(statement).await?.map(|row| self.account(&row)).transpose()
    }
}

#[async_trait]
impl OwnPasswords for SqlStore {
    async fn change_password(
        &self,
        id: AccountId,
        password: &PasswordRecord,
        since: Timestamp,
        now: Timestamp,
    ) -> Stored<Option<LinkEnded>> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                let link = ticket_rights::end_password_right(&mut t, id, now).await?;
                let done = query(concat!(
                    "UPDATE accounts SET password_phc = $2, password_pepper = $3, \
                     password_set_at = $5, sessions_valid_from = $5 WHERE id = $1 AND ",
                    accepts_session!("$1", "$4")
                ))
                .bind(id.to_string())
                .bind(password.phc.as_str())
                .bind(password.pepper_id.as_str())
                .bind(moment(since))
                .bind(moment(now.max(since)))
                .execute(&mut *t)
                .await?;
                if done.rows_affected() != 1 {
                    return t.rolled_back(None).await;
                }
                t.commit().await?;
                Ok(Some(link))
            })
            .await
    }

    async fn rehash_password(
        &self,
        id: AccountId,
        old: &PasswordRecord,
        new: &PasswordRecord,
    ) -> Stored<()> {
        let statement = query(
            "UPDATE accounts SET password_phc = $2, password_pepper = $3 \
             WHERE id = $1 AND password_phc = $4 AND password_pepper = $5",
        )
        .bind(id.to_string())
        .bind(new.phc.as_str())
        .bind(new.pepper_id.as_str())
        .bind(old.phc.as_str())
        .bind(old.pepper_id.as_str());
        self.db.change(statement).await?;
        Ok(())
    }
}

#[async_trait]
impl AccountList for SqlStore {
    async fn list(&self) -> Stored<Vec<Account>> {
        let rows = self.db.fetch(query(select_accounts!(""))).await?;
        let mut accounts =
            rows.iter().map(|row| self.account(row)).collect::<Stored<Vec<Account>>>()?;
        accounts.sort_by(|a, b| a.identity.name.cmp(&b.identity.name));
        Ok(accounts)
    }
}

#[async_trait]
impl AccountManagement for SqlStore {
    async fn add(&self, account: &NewAccount) -> Stored<Added> {
        Ok(if self.db.change(insert(account)).await? == 1 { Added::Yes } else { Added::NameTaken })
    }

    async fn set_password(
        &self,
        id: AccountId,
        password: &PasswordRecord,
        sessions_valid_from: Option<Timestamp>,
    ) -> Stored<Option<LinkEnded>> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                let link = match sessions_valid_from {
                    Some(now) => ticket_rights::end_password_right(&mut t, id, now).await?,
                    None => LinkEnded(false),
                };
                let done = query(
                    "UPDATE accounts SET password_phc = $2, password_pepper = $3, \
                     password_set_at = COALESCE($5, password_set_at), sessions_valid_from = CASE \
                     WHEN sessions_valid_from < $4 THEN $4 ELSE sessions_valid_from END \
                     WHERE id = $1",
                )
                .bind(id.to_string())
                .bind(password.phc.as_str())
                .bind(password.pepper_id.as_str())
                .bind(moment(sessions_valid_from.unwrap_or(Timestamp::EPOCH)))
                .bind(sessions_valid_from.map(moment))
                .execute(&mut *t)
                .await?;
                if done.rows_affected() != 1 {
                    return t.rolled_back(None).await;
                }
                t.commit().await?;
                Ok(Some(link))
            })
            .await
    }

    async fn set_disabled(&self, id: AccountId, disabled: bool, now: Timestamp) -> Stored<bool> {
        let valid_from = if disabled { now } else { Timestamp::EPOCH };
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                if disabled {
                    let revoke = query("DELETE FROM tickets WHERE account_id = $1");
                    revoke.bind(id.to_string()).execute(&mut *t).await?;
                }
                let done = query(
                    "UPDATE accounts SET disabled = $2, sessions_valid_from = CASE WHEN \
                     sessions_valid_from < $3 THEN $3 ELSE sessions_valid_from END WHERE id = $1",
                )
                .bind(id.to_string())
                .bind(i64::from(disabled))
                .bind(moment(valid_from))
                .execute(&mut *t)
                .await?;
                t.commit().await?;
                Ok(done.rows_affected() == 1)
            })
            .await
    }

    async fn forget_devices(&self, id: AccountId, now: Timestamp) -> Stored<bool> {
        let statement = query(
            "UPDATE accounts SET devices_valid_from = \
             CASE WHEN devices_valid_from < $2 THEN $2 ELSE devices_valid_from END WHERE id = $1",
        )
        .bind(id.to_string())
        .bind(moment(now));
        Ok(self.db.change(statement).await? == 1)
    }

    async fn change_identity(
        &self,
        id: AccountId,
        change: &IdentityChange,
    ) -> Stored<Option<(Identity, Identity)>> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                // Locks the row until the transaction ends.
                let lock = query(concat!(
                    "UPDATE accounts SET name = name WHERE id = $1 RETURNING ",
                    of_identity!()
                ));
                let found = lock.bind(id.to_string()).fetch_optional(&mut *t).await?;
                let Some(before) = found.as_ref().map(identity).transpose()? else {
                    return t.rolled_back(None).await;
                };
                let after = change.apply(&before);
                query(
                    "UPDATE accounts SET display_name = $2, email = $3, group_names = $4 \
                     WHERE id = $1",
                )
                .bind(id.to_string())
                .bind(after.display_name.as_str())
                .bind(after.email.as_deref())
                .bind(serde_json::json!(after.groups).to_string())
                .execute(&mut *t)
                .await?;
                t.commit().await?;
                Ok(Some((before, after)))
            })
            .await
    }

    async fn remove(&self, id: AccountId) -> Stored<bool> {
        let statement = query("DELETE FROM accounts WHERE id = $1").bind(id.to_string());
        Ok(self.db.change(statement).await? == 1)
    }
}

#[async_trait]
impl StoreHealth for SqlStore {
    async fn ping(&self) -> Stored<()> {
        // Every sign-in starts with this statement too, because it appends an audit event.
        self.db.ping(query(TAKE_HEAD)).await
    }
}
