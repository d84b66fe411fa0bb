//! One row of the trail.

use serde_json::{Value, json};

use super::{Context, Event};
use crate::base::clock::Timestamp;

/// A row about to be written: an event and what surrounds it, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// When.
    pub at: Timestamp,
    /// The name of the event.
    pub event: String,
    /// "done" or "refused".
    pub outcome: String,
    /// The factor that was tried or used.
    pub factor: Option<String>,
    /// The account.
    pub account: Option<String>,
    /// Its login name at that moment.
    pub name: Option<String>,
    /// "person" or "operator".
    pub actor: String,
    /// The operator's name.
    pub operator: Option<String>,
    /// The address of the browser.
    pub address: Option<String>,
    /// What the browser calls itself.
    pub user_agent: Option<String>,
    /// The request.
    pub reference: Option<String>,
    /// The machine that wrote the row.
    pub node: String,
    /// The fields of the event's own: a JSON object.
    pub detail: String,
}

/// A row that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number: one more than that of the row before.
    pub seq: u64,
    /// What it says.
    pub content: NewRecord,
    /// What holds it in its place.
    pub link: Link,
}

/// What holds a row in its place: see [`super::chain`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The hash of the row before.
    pub previous: String,
    /// The signed head that stood when the row was written.
    pub head: String,
    /// The row's own keyed hash.
    pub hash: String,
}

impl NewRecord {
    /// The row for `event`.
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
    /// As JSON, for lines and lists.
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
