//! Pending logins in a file.

use async_trait::async_trait;
use sqlx::any::AnyRow;
use sqlx::query;

use crate::auth::ports::{PendingLogins, Stored};
use crate::auth::session::{PendingLogin, ProvisionalSecret};
use crate::auth::token::{HashedToken, PendingToken};
use crate::base::clock::Timestamp;

use super::super::values::{json, moment, number, optional_text};
use super::EmbeddedStore;

const RECORD: &str = "the record of a pending login";
/// Added to the number of failures when the last attempt is used.
const SPENT: u32 = 1_000_000;

fn login(row: &AnyRow) -> sqlx::Result<PendingLogin> {
    let mut login: PendingLogin = json(row, "record")?;
    login.enrolment = optional_text(row, "enrolment")?
        .map(|_some| json::<ProvisionalSecret>(row, "enrolment"))
        .transpose()?;
    login.spent = number::<u32>(row, "guesses")? >= SPENT;
    Ok(login)
}

#[async_trait]
impl PendingLogins for EmbeddedStore {
    async fn begin(
        &self,
        id: &HashedToken<PendingToken>,
        login: &PendingLogin,
        now: Timestamp,
    ) -> Stored<()> {
        self.sweep(now).await?;
        let enrolment = login.enrolment.as_ref().map(|e| serde_json::json!(e).to_string());
        let statement = query(
            "INSERT INTO pending_logins (id, account_id, record, enrolment, guesses, expires_at) \
             VALUES ($1, $2, $3, $4, 0, $5)",
        )
        .bind(id.to_hex())
        .bind(login.account.to_string())
        .bind(serde_json::json!(login).to_string())
        .bind(enrolment)
        .bind(moment(login.expires_at));
        self.db.change(statement).await?;
        Ok(())
    }

    async fn load(
        &self,
        id: &HashedToken<PendingToken>,
        now: Timestamp,
    ) -> Stored<Option<PendingLogin>> {
        let statement =
            query("SELECT record, enrolment, guesses FROM pending_logins WHERE id = $1 AND expires_at > $2")
                .bind(id.to_hex())
                .bind(moment(now));
        let found = self.db.fetch_one(statement).await?.map(|row| login(&row)).transpose();
        found.map_err(|_values| self.db.damaged(RECORD))
    }

    async fn count_guess(
        &self,
        id: &HashedToken<PendingToken>,
        limit: u32,
        now: Timestamp,
    ) -> Stored<Option<u32>> {
        let statement = query(
            "UPDATE pending_logins SET guesses = guesses + 1 + \
             CASE WHEN guesses + 1 >= $3 THEN $4 ELSE 0 END \
             WHERE id = $1 AND expires_at > $2 AND guesses < $3 RETURNING guesses",
        )
        .bind(id.to_hex())
        .bind(moment(now))
        .bind(i64::from(limit))
        .bind(i64::from(SPENT));
        let Some(row) = self.db.change_returning(statement).await? else { return Ok(None) };
        let guesses = number::<u32>(&row, "guesses").map(|guesses| Some(guesses % SPENT));
        guesses.map_err(|_values| self.db.damaged(RECORD))
    }

    async fn offer_enrolment(
        &self,
        id: &HashedToken<PendingToken>,
        new: &ProvisionalSecret,
        now: Timestamp,
    ) -> Stored<Option<ProvisionalSecret>> {
        let statement = query(
            "UPDATE pending_logins SET enrolment = COALESCE(enrolment, $3) \
             WHERE id = $1 AND expires_at > $2 RETURNING enrolment",
        )
        .bind(id.to_hex())
        .bind(moment(now))
        .bind(serde_json::json!(new).to_string());
        let row = self.db.change_returning(statement).await?;
        let held = row.map(|row| json(&row, "enrolment")).transpose();
        held.map_err(|_values| self.db.damaged(RECORD))
    }

    async fn end(&self, id: &HashedToken<PendingToken>) -> Stored<()> {
        let statement = query("DELETE FROM pending_logins WHERE id = $1").bind(id.to_hex());
        self.db.change(statement).await?;
        Ok(())
    }
}
