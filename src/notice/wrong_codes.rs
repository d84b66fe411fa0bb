//! Counts wrong codes: several in a row send a notice.

use std::time::Duration;

use crate::auth::audit::Record;
use crate::auth::ports::{Audit, AuditQuery, Stored};
use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

/// Wrong codes within [`WRONG_CODES_WINDOW`] that send a notice.
const WRONG_CODES: usize = 3;
/// Window for counting wrong codes. At most one notice is sent within it.
const WRONG_CODES_WINDOW: Duration = Duration::from_hours(1);
/// Maximum audit events read to count wrong codes.
const LOOK_BACK: u32 = 1000;

/// Returns true if the wrong code in `record` is the one that reaches the limit, counting the
/// account's earlier events in the audit log.
pub(super) async fn reaches_limit(
    store: &dyn Audit,
    account: AccountId,
    record: &Record,
) -> Stored<bool> {
    let query = AuditQuery {
        since: earlier(record.content.at, WRONG_CODES_WINDOW),
        account: Some(account),
        event: Some(record.content.event.clone()),
        ..AuditQuery::newest(LOOK_BACK)
    };
    let rows = store.find(&query).await?;
    let before = rows.iter().filter(|row| row.seq < record.seq).count();
    Ok(before + 1 == WRONG_CODES)
}

fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(at.as_millis().saturating_sub(by))
}
