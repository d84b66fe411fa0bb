//! Counters of audit rows that were omitted in a flood.

use std::collections::HashMap;

use parking_lot::Mutex;

/// Audit rows that this process did not write because of a daily limit, counted by event.
#[derive(Debug, Default)]
pub(super) struct OmittedRows(Mutex<HashMap<&'static str, u64>>);

impl OmittedRows {
    /// Counts one omitted row.
    pub(super) fn add(&self, event: &'static str) {
        *self.0.lock().entry(event).or_default() += 1;
    }

    /// Returns and resets the number of omitted rows.
    pub(super) fn take(&self, event: &'static str) -> u64 {
        self.0.lock().remove(event).unwrap_or_default()
    }
}
