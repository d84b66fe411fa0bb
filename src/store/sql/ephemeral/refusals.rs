//! Records of rejected requests, in a file.

use async_trait::async_trait;
use sqlx::{Row as _, query};

use crate::auth::ports::{Refusals, StoreError, Stored};
use crate::auth::refusals::{KEPT_FOR, RefusalRecord};
use crate::base::clock::{Timestamp, millis};

use super::super::values::moment;
use super::{EmbeddedStore, STORE};

fn damaged() -> StoreError {
    let reason = "the record of a rejected request is invalid; was it written by another version?";
    StoreError { store: STORE, reason: reason.to_owned() }
}

/// Returns the time at or before which records are expired.
fn forgotten(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.as_millis().saturating_sub(millis(KEPT_FOR)))
}

#[async_trait]
impl Refusals for EmbeddedStore {
    async fn keep_refusal(&self, record: &RefusalRecord, most: u32) -> Stored<()> {
        let text = serde_json::to_string(record).map_err(|_never| damaged())?;
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                query(
                    "INSERT INTO refusals (reference, at, record) VALUES ($1, $2, $3) \
                     ON CONFLICT (reference) DO UPDATE SET at = $2, record = $3",
                )
                .bind(record.request.reference())
                .bind(moment(record.at))
                .bind(text)
                .execute(&mut *t)
                .await?;
                query("DELETE FROM refusals WHERE at <= $1")
                    .bind(moment(forgotten(record.at)))
                    .execute(&mut *t)
                    .await?;
                query(
                    "DELETE FROM refusals WHERE at <= \
                     (SELECT at FROM refusals ORDER BY at DESC LIMIT 1 OFFSET $1)",
                )
                .bind(i64::from(most))
                .execute(&mut *t)
                .await?;
                t.commit().await
            })
            .await
    }

    async fn refusal(&self, reference: &str, now: Timestamp) -> Stored<Option<RefusalRecord>> {
        let statement = query("SELECT record FROM refusals WHERE reference = $1 AND at > $2")
            .bind(reference)
            .bind(moment(forgotten(now)));
        let Some(row) = self.db.fetch_one(statement).await? else { return Ok(None) };
        let text: String = row.try_get("record").map_err(|_not_text| damaged())?;
        serde_json::from_str(&text).map(Some).map_err(|_not_json| damaged())
    }
}
