//! Verification of the audit log: every row, the order of the rows, and both ends.

use std::fmt;

use super::{Checkpoint, Head, Record, chain};
use crate::auth::keys::{KeyRing, SignatureCheck};
use crate::auth::ports::{Audit, Stored};

/// Number of rows read at once.
const PAGE: u32 = 1000;
/// Maximum number of findings. Further ones are only counted.
const FINDINGS_MAX: usize = 50;
/// Maximum number of passes. The log is read again if it is pruned meanwhile.
const ROUNDS: u32 = 5;

/// A deviation from the log as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The row does not match its hash.
    Changed {
        /// Sequence number of the row in the audit log.
        seq: u64,
    },
    /// Rows between two others are missing.
    Removed {
        /// Number of the first missing row.
        from: u64,
        /// Number of the last missing row.
        to: u64,
    },
    /// The row is genuine, but followed another row when it was written.
    OutOfPlace {
        /// Sequence number of the row in the audit log.
        seq: u64,
    },
    /// The end of the log was changed before this row was written.
    EndTamperedBefore {
        /// Sequence number of the row in the audit log.
        seq: u64,
    },
    /// The end of the log does not match its last row.
    EndTampered {
        /// Number of the last row.
        seq: u64,
    },
    /// A checkpoint does not match its signature.
    CheckpointTampered {
        /// Number of its row.
        seq: u64,
    },
    /// Rows at the beginning were removed, but not by Vestibule.
    StartTampered {
        /// Number of the first row.
        seq: u64,
    },
    /// The key of a signature is not in the key file, so the signature cannot be verified.
    KeyMissing {
        /// Number of the first row signed with it.
        seq: u64,
        /// Id of the key.
        key: String,
    },
    /// A row recorded elsewhere is missing or has changed.
    RecordMismatch {
        /// Sequence number of the row in the audit log.
        seq: u64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { seq } => write!(f, "row {seq} was changed or inserted"),
            Self::Removed { from, to } if from == to => write!(f, "row {from} was removed"),
            Self::Removed { from, to } => write!(f, "rows {from} to {to} were removed"),
            Self::OutOfPlace { seq } => {
                write!(f, "row {seq} is genuine, but followed another row when it was written")
            }
            Self::EndTamperedBefore { seq } => {
                write!(f, "the end of the log was changed before row {seq} was written")
            }
            Self::EndTampered { seq } => {
                write!(f, "the end of the log was changed after row {seq}")
            }
            Self::CheckpointTampered { seq } => {
                write!(f, "the checkpoint at row {seq} was changed")
            }
            Self::StartTampered { seq } => {
                write!(f, "rows before row {seq} were removed, but not by retention")
            }
            Self::KeyMissing { seq, key } => write!(
                f,
                "from row {seq} on, the data key {key} is needed and not in the key file: put its \
                 entry back"
            ),
            Self::RecordMismatch { seq } => {
                write!(f, "row {seq} does not have the recorded hash")
            }
        }
    }
}

/// The result of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Number of rows read.
    pub rows: u64,
    /// Number of checkpoints read.
    pub checkpoints: usize,
    /// Number of the last row.
    pub last: u64,
    /// Hash of the last row. Recorded elsewhere, it proves later that no earlier row is missing.
    pub hash: String,
    /// First findings.
    pub findings: Vec<Finding>,
    /// Number of further findings.
    pub more: u64,
}

/// The hash of a row at an earlier time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedRow {
    /// Sequence number of the row in the audit log.
    pub seq: u64,
    /// Hash of the row.
    pub hash: String,
}

struct Walk<'a> {
    keys: &'a KeyRing,
    noted: Option<&'a RecordedRow>,
    checkpoints: Vec<Checkpoint>,
    report: Report,
}

impl Walk<'_> {
    fn note(&mut self, finding: Finding) {
        let again = |f: &Finding| match (f, &finding) {
            (Finding::KeyMissing { key: known, .. }, Finding::KeyMissing { key, .. }) => {
                known == key
            }
            (known, new) => known == new,
        };
        if self.report.findings.iter().any(again) {
            return;
        }
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(finding);
        } else {
            self.report.more += 1;
        }
    }

    fn judge(&mut self, signed: SignatureCheck, seq: u64, wrong: Finding) {
        match signed {
            SignatureCheck::Right => {}
            SignatureCheck::Wrong => self.note(wrong),
            SignatureCheck::UnknownKey(key) => self.note(Finding::KeyMissing { seq, key }),
        }
    }

    /// Verifies the removal of old rows and the start of the rest.
    fn start(&mut self, head: &Head) {
        self.report.last = head.pruned;
        if head.pruned == 0 {
            return;
        }
        let seq = head.pruned + 1;
        let wrong = Finding::StartTampered { seq };
        match self.checkpoints.iter().find(|c| c.seq == head.pruned).cloned() {
            Some(base) => {
                self.judge(chain::check_pruned(self.keys, &base, head), seq, wrong);
                self.report.hash = base.hash;
            }
            None => self.note(wrong),
        }
    }

    fn row(&mut self, row: &Record) {
        let (seq, last) = (row.seq, self.report.last);
        self.judge(chain::check_row(self.keys, row), seq, Finding::Changed { seq });
        if seq == last + 1 {
            if row.link.previous == self.report.hash {
                let head = chain::check_head(self.keys, last, &row.link.previous, &row.link.head);
                self.judge(head, seq, Finding::EndTamperedBefore { seq });
            } else {
                self.note(Finding::OutOfPlace { seq });
            }
        } else if self.report.rows == 0 {
            self.note(Finding::StartTampered { seq });
        } else {
            self.note(Finding::Removed { from: last + 1, to: seq - 1 });
        }
        if self.checkpoints.iter().any(|c| c.seq == seq && c.hash != row.link.hash) {
            self.note(Finding::CheckpointTampered { seq });
        }
        if self.noted.is_some_and(|n| n.seq == seq && n.hash != row.link.hash) {
            self.note(Finding::RecordMismatch { seq });
        }
        self.report.rows += 1;
        self.report.last = seq;
        self.report.hash.clone_from(&row.link.hash);
    }

    fn end(&mut self, head: &Head) {
        let seq = self.report.last;
        if head.seq > seq {
            self.note(Finding::Removed { from: seq + 1, to: head.seq });
        } else if head.seq < seq || head.hash != self.report.hash {
            self.note(Finding::EndTampered { seq });
        } else {
            let signed = chain::check_head(self.keys, seq, &head.hash, &head.signature);
            self.judge(signed, seq, Finding::EndTampered { seq });
        }
        let beyond: Vec<u64> =
            self.checkpoints.iter().map(|c| c.seq).filter(|point| *point > seq).collect();
        for seq in beyond {
            self.note(Finding::CheckpointTampered { seq });
        }
        if let Some(noted) = self.noted.filter(|n| n.seq > seq && n.seq > head.pruned) {
            self.note(Finding::RecordMismatch { seq: noted.seq });
        }
    }
}

/// Reads the whole log and verifies its hashes and signatures, and a row recorded elsewhere, if
/// given.
pub async fn verify(
    store: &dyn Audit,
    keys: &KeyRing,
    noted: Option<&RecordedRow>,
) -> Stored<Report> {
    let mut round = 1;
    loop {
        let (pruned, report) = walk(store, keys, noted).await?;
        if round == ROUNDS || report.findings.is_empty() || store.head().await?.pruned == pruned {
            return Ok(report);
        }
        round += 1;
    }
}

async fn walk(
    store: &dyn Audit,
    keys: &KeyRing,
    noted: Option<&RecordedRow>,
) -> Stored<(u64, Report)> {
    let start = store.head().await?;
    let checkpoints = store.checkpoints().await?;
    let report = Report { checkpoints: checkpoints.len(), ..Report::default() };
    let mut walk = Walk { keys, noted, checkpoints, report };
    for point in walk.checkpoints.clone() {
        let wrong = Finding::CheckpointTampered { seq: point.seq };
        walk.judge(chain::check_checkpoint(keys, &point), point.seq, wrong);
    }
    walk.start(&start);
    let mut after = 0;
    loop {
        let rows = store.rows_after(after, PAGE).await?;
        let Some(last) = rows.last() else {
            // The head is read after the rows, so it may be ahead of them by rows written
            // meanwhile.
            let head = store.head().await?;
            if head.seq > walk.report.last && !store.rows_after(after, 1).await?.is_empty() {
                continue;
            }
            walk.end(&head);
            return Ok((start.pruned, walk.report));
        };
        after = last.seq;
        for row in &rows {
            walk.row(row);
        }
    }
}
