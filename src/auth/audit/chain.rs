//! The hash chain of the audit log. Every row carries a keyed hash over its content, the hash of
//! the previous row, and the signed head at the time of writing. The head names the last row and
//! can only be signed with the key file. At intervals a row is recorded as a checkpoint, signed on
//! its own. Old rows are removed up to a checkpoint, which anchors the rest.

use std::time::Duration;

use serde_json::json;

use super::{Link, NewRecord, Record};
use crate::auth::keys::{KeyRing, SignatureCheck};
use crate::base::clock::Timestamp;

/// Maximum number of rows between checkpoints.
const CHECKPOINT_ROWS: u64 = 256;
/// Maximum time between checkpoints: the first row after it is one.
const CHECKPOINT_TIME: Duration = Duration::from_hours(1);

/// The last row, as recorded by the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Number of the last row; 0 if there is none.
    pub seq: u64,
    /// Hash of the last row.
    pub hash: String,
    /// Signature of number and hash.
    pub signature: String,
    /// Number of the last row that was removed because of its age.
    pub pruned: u64,
    /// Signature of that number.
    pub pruned_signature: String,
}

/// A row whose hash was signed on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Sequence number of the row in the audit log.
    pub seq: u64,
    /// Hash of the row.
    pub hash: String,
    /// Time of the row.
    pub at: Timestamp,
    /// Signature of number and hash.
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

/// Returns the row that follows `head`, and the new head.
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

/// Returns the checkpoint at `row` if one is due. `last` is the time of the last checkpoint.
pub fn checkpoint(keys: &KeyRing, row: &Record, last: Timestamp) -> Option<Checkpoint> {
    let (seq, at, hash) = (row.seq, row.content.at, row.link.hash.clone());
    if !seq.is_multiple_of(CHECKPOINT_ROWS) && at.since(last) < CHECKPOINT_TIME {
        return None;
    }
    let signature = keys.sign_trail("checkpoint", &place_text(seq, &hash));
    Some(Checkpoint { seq, hash, at, signature })
}

/// Signs the removal of the rows up to this checkpoint.
pub fn sign_pruned(keys: &KeyRing, to: &Checkpoint) -> String {
    keys.sign_trail("pruned", &place_text(to.seq, &to.hash))
}

/// Verifies the hash of a row.
pub(super) fn check_row(keys: &KeyRing, row: &Record) -> SignatureCheck {
    let text = row_text(row.seq, &row.content, &row.link.previous, &row.link.head);
    keys.check_trail("row", &text, &row.link.hash)
}

/// Verifies the signature of the head after this row.
pub(super) fn check_head(keys: &KeyRing, seq: u64, hash: &str, signature: &str) -> SignatureCheck {
    if seq == 0 && hash.is_empty() && signature.is_empty() {
        return SignatureCheck::Right;
    }
    keys.check_trail("head", &place_text(seq, hash), signature)
}

/// Verifies the signature of a checkpoint.
pub(super) fn check_checkpoint(keys: &KeyRing, point: &Checkpoint) -> SignatureCheck {
    keys.check_trail("checkpoint", &place_text(point.seq, &point.hash), &point.signature)
}

/// Verifies that Vestibule removed the rows up to this checkpoint.
pub(super) fn check_pruned(keys: &KeyRing, point: &Checkpoint, head: &Head) -> SignatureCheck {
    keys.check_trail("pruned", &place_text(point.seq, &point.hash), &head.pruned_signature)
}
