//! The audit trail in SQL. The row of `audit_head` is the lock: appending takes it first, so that
//! numbers have no gaps and rows are in the order of their numbers, over all nodes.

use async_trait::async_trait;
use sqlx::any::AnyRow;
use sqlx::query;

use crate::auth::account::LoginName;
use crate::auth::audit::{NewRecord, Record};
use crate::auth::ports::{Audit, AuditQuery, Stored};

use super::SqlStore;
use super::values::{at, moment, number, optional_text, text};

fn record(row: &AnyRow) -> sqlx::Result<Record> {
    Ok(Record {
        seq: number(row, "seq")?,
        content: NewRecord {
            at: at(row, "at")?,
            event: text(row, "event")?,
            outcome: text(row, "outcome")?,
            factor: optional_text(row, "factor")?,
            account: optional_text(row, "account_id")?,
            name: optional_text(row, "name")?,
            actor: text(row, "actor")?,
            operator: optional_text(row, "operator")?,
            address: optional_text(row, "address")?,
            user_agent: optional_text(row, "user_agent")?,
            reference: optional_text(row, "reference")?,
            node: text(row, "node")?,
            detail: text(row, "detail")?,
        },
    })
}

#[async_trait]
impl Audit for SqlStore {
    async fn append(&self, new: &NewRecord) -> Stored<u64> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                let head = query("UPDATE audit_head SET seq = seq + 1 WHERE id = 1 RETURNING seq")
                    .fetch_one(&mut *t)
                    .await?;
                let seq: u64 = number(&head, "seq")?;
                query(
                    "INSERT INTO audit (seq, at, event, outcome, factor, account_id, name, actor, \
                     operator, address, user_agent, reference, node, detail) VALUES \
                     ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
                )
                .bind(i64::try_from(seq).unwrap_or(i64::MAX))
                .bind(moment(new.at))
                .bind(new.event.as_str())
                .bind(new.outcome.as_str())
                .bind(new.factor.as_deref())
                .bind(new.account.as_deref())
                .bind(new.name.as_deref())
                .bind(new.actor.as_str())
                .bind(new.operator.as_deref())
                .bind(new.address.as_deref())
                .bind(new.user_agent.as_deref())
                .bind(new.reference.as_deref())
                .bind(new.node.as_str())
                .bind(new.detail.as_str())
                .execute(&mut *t)
                .await?;
                t.commit().await?;
                Ok(seq)
            })
            .await
    }

    async fn find(&self, asked: &AuditQuery) -> Stored<Vec<Record>> {
        let statement = query(
            "SELECT * FROM audit WHERE seq > $1 AND at >= $2 AND (name = $3 OR $3 IS NULL) \
             AND (account_id = $4 OR $4 IS NULL) AND (event = $5 OR $5 IS NULL) \
             ORDER BY seq DESC LIMIT $6",
        )
        .bind(i64::try_from(asked.after).unwrap_or(i64::MAX))
        .bind(moment(asked.since))
        .bind(asked.name.as_ref().map(LoginName::as_str))
        .bind(asked.account.map(|a| a.to_string()))
        .bind(asked.event.as_deref())
        .bind(i64::from(asked.limit));
        let rows = self.db.fetch(statement).await?;
        let found = rows.iter().map(record).collect::<sqlx::Result<Vec<_>>>();
        found.map_err(|_values| self.db.damaged("the audit trail"))
    }
}
