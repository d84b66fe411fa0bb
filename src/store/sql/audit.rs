//! The audit log in SQL. The row in `audit_head` is the lock: appending takes it first, so that
//! sequence numbers have no gaps and events are stored in order, across all nodes.

use async_trait::async_trait;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, query};

use crate::auth::account::LoginName;
use crate::auth::audit::{Checkpoint, Head, Link, NewRecord, Record, chain};
use crate::auth::keys::KeyRing;
use crate::auth::ports::{Audit, AuditQuery, Pruned, Stored};
use crate::base::clock::Timestamp;

use super::SqlStore;
use super::loan::Loan;
use super::values::{at, moment, number, optional_text, text};

/// Checkpoints up to which events are removed per transaction.
const PRUNE_STEPS: i64 = 16;

/// The columns of the head.
macro_rules! of_head {
    () => {
        "seq, hash, signature, pruned, pruned_signature"
    };
}

/// The columns of an event.
macro_rules! of_event {
    () => {
        "seq, at, event, outcome, factor, account_id, name, actor, operator, address, user_agent, \
         reference, node, detail, previous, head, hash"
    };
}

/// The columns of a checkpoint.
macro_rules! of_checkpoint {
    () => {
        "seq, hash, at, signature"
    };
}

/// Reads the head and takes the lock.
pub(super) const TAKE_HEAD: &str = concat!(
    "UPDATE audit_head SET seq = seq WHERE id = 1 RETURNING ",
    of_head!(),
    ", checkpoint_at"
);

const HEAD: &str = concat!("SELECT ", of_head!(), " FROM audit_head WHERE id = 1");
const CHECKPOINTS: &str =
    concat!("SELECT ", of_checkpoint!(), " FROM audit_checkpoints ORDER BY seq");

fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

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
        link: Link {
            previous: text(row, "previous")?,
            head: text(row, "head")?,
            hash: text(row, "hash")?,
        },
    })
}

fn head(row: &AnyRow) -> sqlx::Result<Head> {
    Ok(Head {
        seq: number(row, "seq")?,
        hash: text(row, "hash")?,
        signature: text(row, "signature")?,
        pruned: number(row, "pruned")?,
        pruned_signature: text(row, "pruned_signature")?,
    })
}

fn checkpoint(row: &AnyRow) -> sqlx::Result<Checkpoint> {
    Ok(Checkpoint {
        seq: number(row, "seq")?,
        hash: text(row, "hash")?,
        at: at(row, "at")?,
        signature: text(row, "signature")?,
    })
}

/// Inserts an event. The head already counts it.
async fn insert(t: &mut Loan, row: &Record) -> sqlx::Result<()> {
    let new = &row.content;
    query(
        "INSERT INTO audit (seq, at, event, outcome, factor, account_id, name, actor, operator, \
         address, user_agent, reference, node, detail, previous, head, hash) VALUES \
         ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
    )
    .bind(stored(row.seq))
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
    .bind(row.link.previous.as_str())
    .bind(row.link.head.as_str())
    .bind(row.link.hash.as_str())
    .execute(t)
    .await?;
    Ok(())
}

/// Inserts a checkpoint.
async fn mark(t: &mut Loan, point: &Checkpoint) -> sqlx::Result<()> {
    query("INSERT INTO audit_checkpoints (seq, hash, at, signature) VALUES ($1, $2, $3, $4)")
        .bind(stored(point.seq))
        .bind(point.hash.as_str())
        .bind(moment(point.at))
        .bind(point.signature.as_str())
        .execute(t)
        .await?;
    Ok(())
}

/// Builds the statement for a query, with only the conditions that are set, so that indexes are
/// used.
fn find_statement(asked: &AuditQuery) -> String {
    let given = [
        ("name =", asked.name.is_some()),
        ("account_id =", asked.account.is_some()),
        ("event =", asked.event.is_some()),
        ("address =", asked.address.is_some()),
        ("reference LIKE", asked.reference_end.is_some()),
        ("at <", asked.before.is_some()),
    ];
    let conditions = given.into_iter().filter(|(_, given)| *given).map(|(condition, _)| condition);
    let conditions: Vec<String> = conditions
        .zip(4..)
        .map(|(condition, place)| format!(" AND {condition} ${place}"))
        .collect();
    let conditions = conditions.concat();
    format!(
        concat!(
            "SELECT ",
            of_event!(),
            " FROM audit WHERE seq > $1 AND at >= $2{} ORDER BY seq DESC LIMIT $3"
        ),
        conditions
    )
}

#[async_trait]
impl Audit for SqlStore {
    async fn append(&self, new: &NewRecord, keys: &KeyRing) -> Stored<Record> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                let taken = query(TAKE_HEAD).fetch_one(&mut *t).await?;
                let (row, next) = chain::append(keys, &head(&taken)?, new);
                let last = at(&taken, "checkpoint_at")?;
                let point = chain::checkpoint(keys, &row, last);
                query(
                    "UPDATE audit_head SET seq = $1, hash = $2, signature = $3, \
                     checkpoint_at = $4 WHERE id = 1",
                )
                .bind(stored(next.seq))
                .bind(next.hash.as_str())
                .bind(next.signature.as_str())
                .bind(moment(point.as_ref().map_or(last, |p| p.at)))
                .execute(&mut *t)
                .await?;
                insert(&mut t, &row).await?;
                if let Some(point) = point {
                    mark(&mut t, &point).await?;
                }
                t.commit().await?;
                Ok(row)
            })
            .await
    }

    async fn find(&self, asked: &AuditQuery) -> Stored<Vec<Record>> {
        let mut statement = query(AssertSqlSafe(find_statement(asked)))
            .bind(stored(asked.after))
            .bind(moment(asked.since))
            .bind(i64::from(asked.limit));
        if let Some(name) = asked.name.as_ref().map(LoginName::as_str) {
            statement = statement.bind(name);
        }
        if let Some(account) = asked.account {
            statement = statement.bind(account.to_string());
        }
        if let Some(event) = asked.event.as_deref() {
            statement = statement.bind(event);
        }
        if let Some(address) = asked.address {
            statement = statement.bind(address.to_string());
        }
        if let Some(end) = &asked.reference_end {
            // It contains only digits and letters, so no wildcard.
            let end: String = end.chars().filter(char::is_ascii_alphanumeric).collect();
            statement = statement.bind(format!("%{end}"));
        }
        if let Some(before) = asked.before {
            statement = statement.bind(moment(before));
        }
        let rows = self.db.fetch(statement).await?;
        self.read(&rows, record)
    }

    async fn rows_after(&self, seq: u64, limit: u32) -> Stored<Vec<Record>> {
        let statement = query(concat!(
            "SELECT ",
            of_event!(),
            " FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2"
        ))
        .bind(stored(seq))
        .bind(i64::from(limit));
        let rows = self.db.fetch(statement).await?;
        self.read(&rows, record)
    }

    async fn head(&self) -> Stored<Head> {
        let row = self.db.fetch_one(query(HEAD)).await?;
        let found = row.map(|row| head(&row)).transpose();
        found.ok().flatten().ok_or_else(|| self.db.damaged("the head of the audit log"))
    }

    async fn checkpoints(&self) -> Stored<Vec<Checkpoint>> {
        let rows = self.db.fetch(query(CHECKPOINTS)).await?;
        self.read(&rows, checkpoint)
    }

    async fn prune(&self, before: Timestamp, keys: &KeyRing) -> Stored<Option<Pruned>> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                let from = head(&query(TAKE_HEAD).fetch_one(&mut *t).await?)?;
                let points = query(concat!(
                    "SELECT ",
                    of_checkpoint!(),
                    " FROM audit_checkpoints WHERE seq > $1 AND at < $2 ORDER BY seq LIMIT $3"
                ))
                .bind(stored(from.pruned))
                .bind(moment(before))
                .bind(PRUNE_STEPS)
                .fetch_all(&mut *t)
                .await?;
                let Some(to) = points.last().map(checkpoint).transpose()? else {
                    return t.rolled_back(None).await;
                };
                query("UPDATE audit_head SET pruned = $1, pruned_signature = $2 WHERE id = 1")
                    .bind(stored(to.seq))
                    .bind(chain::sign_pruned(keys, &to))
                    .execute(&mut *t)
                    .await?;
                query("DELETE FROM audit_checkpoints WHERE seq < $1")
                    .bind(stored(to.seq))
                    .execute(&mut *t)
                    .await?;
                let gone = query("DELETE FROM audit WHERE seq <= $1").bind(stored(to.seq));
                let rows = gone.execute(&mut *t).await?.rows_affected();
                t.commit().await?;
                Ok(Some(Pruned { rows, through: to.seq }))
            })
            .await
    }
}

impl SqlStore {
    fn read<T>(&self, rows: &[AnyRow], one: fn(&AnyRow) -> sqlx::Result<T>) -> Stored<Vec<T>> {
        let found = rows.iter().map(one).collect::<sqlx::Result<Vec<T>>>();
        found.map_err(|_values| self.db.damaged("the audit trail"))
    }
}
