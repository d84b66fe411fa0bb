//! Ended sessions in SQL.
//!
//! A row says which sessions ended: those of one subject (a session, by its id or by its token, an
//! account, or all) that started before a time, except one. The newest end of an account covers the
//! earlier ones. An end that spares a session has a row of its own, and gives the end that this row
//! had to the row that spares none: what has ended stays ended.

use std::collections::HashMap;

use async_trait::async_trait;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, query};

use crate::auth::ports::{EndedSessions, Stored};
use crate::auth::session::{EndOf, Session};
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, SessionId};

use super::SqlStore;
use super::loan::Transaction;
use super::values::{at, moment, text};

/// The subject of an end of all sessions.
const ALL: &str = "all";
/// The start time of a session that is named itself: it ended whenever it started.
const WHENEVER: Timestamp = Timestamp::from_millis(1 << 60);
/// Maximum sessions in one query.
const BATCH: usize = 100;
/// Maximum rows that one sweep deletes, so that a backlog delays no end.
const SWEPT: i64 = 1000;

struct Row {
    started_before: Timestamp,
    except: String,
}

impl Row {
    /// The row of a session that is named itself.
    fn named() -> Self {
        Self::before(WHENEVER)
    }

    fn before(started_before: Timestamp) -> Self {
        Self { started_before, except: String::new() }
    }

    fn covers(&self, session: &Session) -> bool {
        session.started_at < self.started_before && self.except != session.id.to_string()
    }
}

fn row(row: &AnyRow) -> sqlx::Result<(String, Row)> {
    let of =
        Row { started_before: at(row, "started_before")?, except: text(row, "except_session")? };
    Ok((text(row, "subject")?, of))
}

/// The subject of an end of an account that spares a session.
fn others(account: AccountId) -> String {
    format!("{account}:others")
}

/// The subject of a session that ends if it is of an account.
fn own(account: AccountId, id: SessionId) -> String {
    format!("{account}:{id}")
}

/// Returns the subjects of a session itself, without its token.
fn subjects_of(session: &Session) -> [String; 4] {
    let (id, account) = (session.id, session.identity.account);
    [id.to_string(), account.to_string(), others(account), own(account, id)]
}

/// Adds a row, or extends the one that is there.
async fn cover(
    t: &mut Transaction,
    subject: &str,
    row: &Row,
    until: Timestamp,
) -> sqlx::Result<()> {
    query(
        "INSERT INTO ended_sessions (subject, started_before, except_session, expires_at) \
         VALUES ($1, $2, $3, $4) ON CONFLICT (subject) DO UPDATE SET \
         started_before = CASE WHEN ended_sessions.started_before < $2 THEN $2 \
         ELSE ended_sessions.started_before END, except_session = $3, \
         expires_at = CASE WHEN ended_sessions.expires_at < $4 THEN $4 \
         ELSE ended_sessions.expires_at END",
    )
    .bind(subject)
    .bind(moment(row.started_before))
    .bind(row.except.as_str())
    .bind(moment(until))
    .execute(&mut **t)
    .await?;
    Ok(())
}

/// Gives the end of an account that spares a session other than `keep` to the row that spares none.
async fn take_over(t: &mut Transaction, account: AccountId, keep: &str) -> sqlx::Result<()> {
    query(
        "UPDATE ended_sessions SET started_before = (SELECT MAX(started_before) \
         FROM ended_sessions WHERE subject = $1 OR (subject = $2 AND except_session <> $3)) \
         WHERE subject = $1",
    )
    .bind(account.to_string())
    .bind(others(account))
    .bind(keep)
    .execute(&mut **t)
    .await?;
    Ok(())
}

impl SqlStore {
    /// Deletes some of the expired rows.
    async fn sweep_ended(&self, now: Timestamp) -> Stored<u64> {
        let sweep = query(
            "DELETE FROM ended_sessions WHERE expires_at <= $1 AND subject IN (SELECT subject \
             FROM ended_sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
        );
        self.db.change(sweep.bind(moment(now)).bind(SWEPT)).await
    }
}

#[async_trait]
impl EndedSessions for SqlStore {
    async fn now(&self) -> Stored<Timestamp> {
        self.db.now().await
    }

    async fn record_end(&self, end: &EndOf, now: Timestamp, until: Timestamp) -> Stored<()> {
        self.db
            .timed(async {
                let mut t = self.db.begin().await?;
                match end {
                    EndOf::Session { token, id } => {
                        let subjects = [token.map(|t| t.to_hex()), id.map(|id| id.to_string())];
                        for subject in subjects.into_iter().flatten() {
                            cover(&mut t, &subject, &Row::named(), until).await?;
                        }
                    }
                    EndOf::Own { account, id } => {
                        cover(&mut t, &own(*account, *id), &Row::named(), until).await?;
                    }
                    EndOf::Account { id, keep: None } => {
                        cover(&mut t, &id.to_string(), &Row::before(now), until).await?;
                        take_over(&mut t, *id, "").await?;
                    }
                    EndOf::Account { id, keep: Some(keep) } => {
                        // Also locks the row, so that concurrent ends see each other.
                        cover(&mut t, &id.to_string(), &Row::before(Timestamp::EPOCH), until)
                            .await?;
                        let row = Row { started_before: now, except: keep.to_string() };
                        take_over(&mut t, *id, &row.except).await?;
                        cover(&mut t, &others(*id), &row, until).await?;
                    }
                    EndOf::All => cover(&mut t, ALL, &Row::before(now), until).await?,
                }
                t.commit().await
            })
            .await?;
        if let Err(error) = self.sweep_ended(now).await {
            tracing::debug!(%error, "failed to delete expired ends of sessions");
        }
        Ok(())
    }

    async fn ended_among(&self, sessions: &[Session]) -> Stored<Vec<SessionId>> {
        let mut ended = Vec::new();
        for batch in sessions.chunks(BATCH) {
            let mut subjects: Vec<String> =
                batch.iter().flat_map(subjects_of).chain([ALL.to_owned()]).collect();
            subjects.sort_unstable();
            subjects.dedup();
            let places: Vec<String> = (1..=subjects.len()).map(|n| format!("${n}")).collect();
            let statement = format!(
                "SELECT subject, started_before, except_session FROM ended_sessions \
                 WHERE subject IN ({})",
                places.join(", ")
            );
            let statement =
                subjects.iter().fold(query(AssertSqlSafe(statement)), |query, subject| {
                    query.bind(subject.clone())
                });
            let rows = self.db.fetch(statement).await?;
            let rows = rows.iter().map(row).collect::<sqlx::Result<HashMap<String, Row>>>();
            let rows = rows.map_err(|_values| self.db.damaged("the record of an ended session"))?;
            let covers = |subject: &str, session| {
                rows.get(subject).is_some_and(|row: &Row| row.covers(session))
            };
            ended.extend(batch.iter().filter_map(|session| {
                let own = subjects_of(session);
                let mut subjects = own.iter().map(String::as_str).chain([ALL]);
                subjects.any(|subject| covers(subject, session)).then_some(session.id)
            }));
        }
        Ok(ended)
    }
}
