//! Records of sessions that cannot be read.

/// Logs that a list has no sessions for this many records.
pub(super) fn left_out(records: usize) {
    if records > 0 {
        tracing::warn!(records, "sessions left out of a list: their records cannot be read");
    }
}
