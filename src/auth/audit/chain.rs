//! What holds the rows together. Every row carries a keyed hash over its content, over the hash of
//! the row before, and over the signed head that stood when it was written: the head names the last
//! row, and only who has the key file can sign one. Now and then a row is noted as a checkpoint,
//! signed on its own; old rows are removed up to a checkpoint, and what remains is held by it.

use std::time::Duration;

use serde_json::json;

use super::{Link, NewRecord, Record};
use crate::auth::keys::{KeyRing, Signed};
use crate::base::clock::Timestamp;

/// A checkpoint at least every so many rows.
const CHECKPOINT_ROWS: u64 = 256;
/// A checkpoint with the first row after so much time.
const CHECKPOINT_TIME: Duration = Duration::from_hours(1);

/// The last row, as the store has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Its number; 0 where there is none yet.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
    /// Signs the two.
    pub signature: String,
    /// Rows up to this one were removed because of their age.
    pub pruned: u64,
    /// Signs that.
    pub pruned_signature: String,
}

/// A row whose hash was signed on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The row.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
    /// When it was written.
    pub at: Timestamp,
    /// Signs number and hash.
    pub signature: String,
}

fn row_text(seq: u64, content: &NewRecord, previous: &str, head: &str) -> String {
    json!([
        seq,
        previous,
        head,
        content.at.as_millis(),
        content.event,
        content.outcome,
        content.factor,
        content.account,
        content.name,
        content.actor,
        content.operator,
        content.address,
        content.user_agent,
        content.reference,
        content.node,
        content.detail,
    ])
    .to_string()
}

fn place_text(seq: u64, hash: &str) -> String {
    json!([seq, hash]).to_string()
}

/// The row that comes after `head`, and the head that it makes.
pub fn append(keys: &KeyRing, head: &Head, content: &NewRecord) -> (Record, Head) {
    let seq = head.seq + 1;
    let text = row_text(seq, content, &head.hash, &head.signature);
    let hash = keys.sign_trail("row", &text);
    let signature = keys.sign_trail("head", &place_text(seq, &hash));
    let link =
        Link { previous: head.hash.clone(), head: head.signature.clone(), hash: hash.clone() };
    let next = Head { seq, hash, signature, ..head.clone() };
    (Record { seq, content: content.clone(), link }, next)
}

/// The checkpoint at `row`, where one is due: `last` is when the last one was made.
pub fn checkpoint(keys: &KeyRing, row: &Record, last: Timestamp) -> Option<Checkpoint> {
    let (seq, at, hash) = (row.seq, row.content.at, row.link.hash.clone());
    if !seq.is_multiple_of(CHECKPOINT_ROWS) && at.since(last) < CHECKPOINT_TIME {
        return None;
    }
    let signature = keys.sign_trail("checkpoint", &place_text(seq, &hash));
    Some(Checkpoint { seq, hash, at, signature })
}

/// Signs that the rows up to this checkpoint were removed.
pub fn sign_pruned(keys: &KeyRing, to: &Checkpoint) -> String {
    keys.sign_trail("pruned", &place_text(to.seq, &to.hash))
}

/// Whether a row is as it was written.
pub(super) fn check_row(keys: &KeyRing, row: &Record) -> Signed {
    let text = row_text(row.seq, &row.content, &row.link.previous, &row.link.head);
    keys.check_trail("row", &text, &row.link.hash)
}

/// Whether `signature` is that of the head after this row.
pub(super) fn check_head(keys: &KeyRing, seq: u64, hash: &str, signature: &str) -> Signed {
    if seq == 0 && hash.is_empty() && signature.is_empty() {
        return Signed::Right;
    }
    keys.check_trail("head", &place_text(seq, hash), signature)
}

/// Whether a checkpoint is as it was signed.
pub(super) fn check_checkpoint(keys: &KeyRing, point: &Checkpoint) -> Signed {
    keys.check_trail("checkpoint", &place_text(point.seq, &point.hash), &point.signature)
}

/// Whether the rows up to this checkpoint were removed by us.
pub(super) fn check_pruned(keys: &KeyRing, point: &Checkpoint, head: &Head) -> Signed {
    keys.check_trail("pruned", &place_text(point.seq, &point.hash), &head.pruned_signature)
}
