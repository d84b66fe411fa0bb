//! The raw configuration of the audit log.

use crate::config::table::table;

table! {
    /// The audit log.
    pub(in crate::config) RawAudit {
        /// Retention time of rows, at least `1d`. Older rows are removed once an hour, up to a
        /// checkpoint.
        retention: Option<String>, is "duration", default "400d";
        /// Also writes every row as a line of JSON. The file is created with mode 0600 and only
        /// appended to. It is opened again for each batch, so it can be moved at any time.
        file: Option<String>, is "`stdout` or path", implied "none",
            example "/var/log/vestibule/audit.jsonl";
        /// Name of this machine in rows.
        node: Option<String>, is "1 to 64 letters, digits, `-` `_` `.`", implied "the host name",
            example "gate-1";
    }
}
