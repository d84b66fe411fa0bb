//! A row of the audit log.

use serde_json::{Value, json};

use super::{Context, Event};
use crate::base::clock::Timestamp;

/// A row to write: an event and its context, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// Time of the event.
    pub at: Timestamp,
    /// Name of the event type.
    pub event: String,
    /// "done" or "refused".
    pub outcome: String,
    /// Factor that was attempted or used.
    pub factor: Option<String>,
    /// Account id.
    pub account: Option<String>,
    /// Login name at that time.
    pub name: Option<String>,
    /// "person", "system" or "operator".
    pub actor: String,
    /// Name of the operator.
    pub operator: Option<String>,
    /// Client address.
    pub address: Option<String>,
    /// `User-Agent` of the client.
    pub user_agent: Option<String>,
    /// Request id.
    pub reference: Option<String>,
    /// Name of the machine that wrote the row.
    pub node: String,
    /// The event's own fields, as a JSON object.
    pub detail: String,
}

/// A row as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Number of the row: one more than the previous row's.
    pub seq: u64,
    /// Content of the row.
    pub content: NewRecord,
    /// Position of the row in the hash chain.
    pub link: Link,
}

/// The position of a row in the hash chain; see [`super::chain`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Hash of the previous row.
    pub previous: String,
    /// Signed head at the time of writing.
    pub head: String,
    /// Keyed hash of the row.
    pub hash: String,
}

impl NewRecord {
    /// Creates the row of `event`.
    pub fn of(event: &Event, context: &Context, at: Timestamp, node: &str) -> Self {
        Self {
            at,
            event: event.name().to_owned(),
            outcome: event.outcome().as_str().to_owned(),
            factor: event.factor().map(str::to_owned),
            account: context.account.map(|a| a.to_string()),
            name: context.name.as_ref().map(ToString::to_string),
            actor: context.actor.kind().to_owned(),
            operator: context.actor.operator().map(str::to_owned),
            address: context.address.map(|a| a.to_string()),
            user_agent: context.user_agent.clone(),
            reference: context.reference.map(|r| r.to_string()),
            node: node.to_owned(),
            detail: Value::Object(event.detail()).to_string(),
        }
    }
}

impl Record {
    /// Returns the row as JSON, for lines and lists.
    pub fn json(&self) -> Value {
        let c = &self.content;
        let detail: Value = serde_json::from_str(&c.detail).unwrap_or_default();
        json!({
            "seq": self.seq,
            "at": c.at.rfc3339(),
            "event": c.event,
            "outcome": c.outcome,
            "factor": c.factor,
            "account": c.account,
            "name": c.name,
            "actor": c.actor,
            "operator": c.operator,
            "address": c.address,
            "user_agent": c.user_agent,
            "reference": c.reference,
            "node": c.node,
            "detail": detail,
            "hash": self.link.hash,
        })
    }
}
