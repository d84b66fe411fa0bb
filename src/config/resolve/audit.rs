//! Resolution of the audit log's settings.

use std::path::Path;
use std::time::Duration;

use crate::config::key_path::KeyPath;
use crate::config::raw::RawAudit;
use crate::config::reader::Reader;
use crate::config::settings::{AuditSettings, LinesTarget};

const DAY: Duration = Duration::from_hours(24);
/// Default retention: a year, plus time to review it.
const RETENTION: Duration = Duration::from_hours(400 * 24);
/// Maximum characters in the name of a machine.
const NODE_MAX: usize = 64;

/// Resolves the settings of the audit log.
pub(super) fn audit(raw: &RawAudit, r: &mut Reader<'_>) -> AuditSettings {
    let at = KeyPath::of("audit");
    let key = at.key("retention");
    let mut retention = r.positive_duration(&key, raw.retention.as_deref(), RETENTION);
    if retention < DAY {
        r.fail(&key, "is shorter than a day: write at least \"1d\"");
        retention = RETENTION;
    }
    let lines = raw.file.as_deref().map(|text| {
        if text.trim().is_empty() {
            r.fail(&at.key("file"), "is empty: write \"stdout\" or a file");
        }
        if text == "stdout" {
            LinesTarget::Stdout
        } else {
            LinesTarget::File(r.path(Path::new(text)))
        }
    });
    let node = raw.node.clone().inspect(|name| {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > NODE_MAX || !name.chars().all(good) {
            let key = at.key("node");
            r.fail(&key, "is not a name: 1 to 64 letters, digits, `-`, `_` and `.`");
        }
    });
    AuditSettings { retention, lines, node }
}
