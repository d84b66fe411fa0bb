//! Records events: one row, written before the action goes on, then the log, the metrics and the
//! observers.

use std::fmt;
use std::sync::Arc;

use std::time::Duration;

use super::{Context, Event, NewRecord, Outcome, Record, RecordedRow, Report, verify};
use crate::auth::keys::KeyRing;
use crate::auth::ports::{Audit, AuditQuery, Stored};
use crate::base::clock::{Clock, Timestamp};

/// An observer of events. It is called after the row is written and must not block.
pub trait Observer: Send + Sync {
    /// Receives an event.
    fn happened(&self, event: &Event, context: &Context, record: &Record);
}

/// The audit log of this node.
pub struct Trail {
    store: Arc<dyn Audit>,
    keys: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    node: String,
    observers: Vec<Arc<dyn Observer>>,
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trail")
    }
}

impl Trail {
    /// Creates an audit log in `store`. `node` is the name of this machine in its rows.
    pub fn new(
        store: Arc<dyn Audit>,
        keys: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        node: String,
        observers: Vec<Arc<dyn Observer>>,
    ) -> Self {
        Self { store, keys, clock, node, observers }
    }

    /// Writes the row of `event`. An error is a store failure: callers must fail closed.
    pub async fn record(&self, event: Event, context: &Context) -> Stored<()> {
        let content = NewRecord::of(&event, context, self.clock.now(), &self.node);
        let record = self.store.append(&content, &self.keys).await?;
        log(&event, &record.content);
        let (name, outcome) = (event.name(), event.outcome().as_str());
        metrics::counter!("vestibule_security_events_total", "event" => name, "outcome" => outcome)
            .increment(1);
        for observer in &self.observers {
            observer.happened(&event, context, &record);
        }
        Ok(())
    }

    /// Returns the rows that match the query, newest first.
    pub async fn find(&self, asked: &AuditQuery) -> Stored<Vec<Record>> {
        self.store.find(asked).await
    }

    /// Verifies the log, and a row that was recorded elsewhere, if given.
    pub async fn verify(&self, noted: Option<&RecordedRow>) -> Stored<Report> {
        verify(&*self.store, &self.keys, noted).await
    }

    /// Removes rows older than `retention`, up to a checkpoint. Returns the number of rows.
    pub async fn prune(&self, retention: Duration) -> Stored<u64> {
        let now = self.clock.now().as_millis();
        let kept = u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
        let before = Timestamp::from_millis(now.saturating_sub(kept));
        let (mut rows, mut through) = (0, 0);
        while let Some(pruned) = self.store.prune(before, &self.keys).await? {
            rows += pruned.rows;
            through = pruned.through;
        }
        if rows > 0 {
            self.record(Event::TrailPruned { rows, through }, &Context::system()).await?;
        }
        Ok(rows)
    }
}

fn log(event: &Event, row: &NewRecord) {
    let none = || "-";
    let (name, outcome) = (event.name(), event.outcome().as_str());
    let account = row.account.as_deref().unwrap_or_else(none);
    let address = row.address.as_deref().unwrap_or_else(none);
    let reference = row.reference.as_deref().unwrap_or_else(none);
    let (actor, detail) = (row.actor.as_str(), row.detail.as_str());
    match event.outcome() {
        Outcome::Done => tracing::info!(
            event = name,
            outcome,
            account,
            address,
            reference,
            actor,
            detail,
            "security event"
        ),
        Outcome::Refused => tracing::warn!(
            event = name,
            outcome,
            account,
            address,
            reference,
            actor,
            detail,
            "security event"
        ),
    }
}
