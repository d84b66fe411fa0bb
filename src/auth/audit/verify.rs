//! Whether the trail is as it was written: every row, the order of the rows, both ends.

use std::fmt;

use super::{Checkpoint, Head, Record, chain};
use crate::auth::keys::{KeyRing, Signed};
use crate::auth::ports::{Audit, Stored};

/// Rows that are read at once.
const PAGE: u32 = 1000;
/// Findings beyond these are only counted.
const FINDINGS_MAX: usize = 50;
/// The trail may be pruned while it is read; then it is read again.
const ROUNDS: u32 = 5;

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The row's own hash does not fit.
    Changed {
        /// The row.
        seq: u64,
    },
    /// Rows between two others are gone.
    Removed {
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
    },
    /// The row is genuine, but another one stood before it.
    OutOfPlace {
        /// The row.
        seq: u64,
    },
    /// When the row was written, the end of the trail was not what we had left.
    EndTamperedBefore {
        /// The row.
        seq: u64,
    },
    /// The end of the trail does not fit its last row.
    EndTampered {
        /// The last row.
        seq: u64,
    },
    /// A checkpoint does not fit.
    CheckpointTampered {
        /// The row it is about.
        seq: u64,
    },
    /// Rows at the beginning were removed by somebody else than Vestibule.
    StartTampered {
        /// The first row there is.
        seq: u64,
    },
    /// A key that signed is not in the key file: what it signed cannot be judged.
    KeyMissing {
        /// The first row it signed.
        seq: u64,
        /// Its id.
        key: String,
    },
    /// A row that somebody noted down is not there as it was.
    NotAsNoted {
        /// The row.
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
                write!(f, "row {seq} is genuine, but another row stood before it")
            }
            Self::EndTamperedBefore { seq } => {
                write!(f, "the end of the trail was tampered with before row {seq} was written")
            }
            Self::EndTampered { seq } => {
                write!(f, "the end of the trail was tampered with after row {seq}")
            }
            Self::CheckpointTampered { seq } => {
                write!(f, "the checkpoint at row {seq} was tampered with")
            }
            Self::StartTampered { seq } => {
                write!(f, "rows before row {seq} were removed, and not because of their age")
            }
            Self::KeyMissing { seq, key } => write!(
                f,
                "from row {seq} on, the data key {key} is needed and not in the key file: put its \
                 entry back"
            ),
            Self::NotAsNoted { seq } => {
                write!(f, "row {seq} is not there with the hash that was noted")
            }
        }
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows that were read.
    pub rows: u64,
    /// Checkpoints that were read.
    pub checkpoints: usize,
    /// The last row's number.
    pub last: u64,
    /// The last row's hash: who notes it down elsewhere can prove later that nothing before it is
    /// missing.
    pub hash: String,
    /// What is wrong, the first of it.
    pub findings: Vec<Finding>,
    /// How much more is wrong.
    pub more: u64,
}

/// The hash that a row had at an earlier time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// The row.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
}

struct Walk<'a> {
    keys: &'a KeyRing,
    noted: Option<&'a Noted>,
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

    fn judge(&mut self, signed: Signed, seq: u64, wrong: Finding) {
        match signed {
            Signed::Right => {}
            Signed::Wrong => self.note(wrong),
            Signed::UnknownKey(key) => self.note(Finding::KeyMissing { seq, key }),
        }
    }

    /// What was removed because of its age, and where the rest begins.
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
            self.note(Finding::NotAsNoted { seq });
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
            self.note(Finding::NotAsNoted { seq: noted.seq });
        }
    }
}

/// Reads the whole trail and compares it with its hashes, signatures and, if there is one, with
/// what somebody noted down earlier.
pub async fn verify(store: &dyn Audit, keys: &KeyRing, noted: Option<&Noted>) -> Stored<Report> {
    let mut round = 1;
    loop {
        let (pruned, report) = walk(store, keys, noted).await?;
        if round == ROUNDS || report.findings.is_empty() || store.head().await?.pruned == pruned {
            return Ok(report);
        }
        round += 1;
    }
}

async fn walk(store: &dyn Audit, keys: &KeyRing, noted: Option<&Noted>) -> Stored<(u64, Report)> {
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
            // The head is read after the rows: it may be ahead of them only by rows just written.
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
