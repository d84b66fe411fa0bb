//! Where events go: one row, awaited; then the log, the counter and whoever listens.

use std::fmt;
use std::sync::Arc;

use super::{Context, Event, NewRecord, Outcome, Record};
use crate::auth::ports::{Audit, Stored};
use crate::base::clock::Clock;

/// Hears of every event after its row is written. It must not wait.
pub trait Observer: Send + Sync {
    /// This has happened.
    fn happened(&self, event: &Event, context: &Context, record: &Record);
}

/// The audit trail of this node.
pub struct Trail {
    store: Arc<dyn Audit>,
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
    /// A trail in `store`; `node` names this machine in its rows.
    pub fn new(
        store: Arc<dyn Audit>,
        clock: Arc<dyn Clock>,
        node: String,
        observers: Vec<Arc<dyn Observer>>,
    ) -> Self {
        Self { store, clock, node, observers }
    }

    /// Writes the row of `event`. A failure is a store's failure: whoever meets it denies.
    pub async fn record(&self, event: Event, context: &Context) -> Stored<()> {
        let content = NewRecord::of(&event, context, self.clock.now(), &self.node);
        let seq = self.store.append(&content).await?;
        let record = Record { seq, content };
        log(&event, &record.content);
        let (name, outcome) = (event.name(), event.outcome().as_str());
        metrics::counter!("vestibule_security_events_total", "event" => name, "outcome" => outcome)
            .increment(1);
        for observer in &self.observers {
            observer.happened(&event, context, &record);
        }
        Ok(())
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
