//! What this machine and its operator are called, for the audit trail.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// `file` from the root, for messages that outlive the working directory.
pub(super) fn absolute(file: &Path) -> PathBuf {
    std::path::absolute(file).unwrap_or_else(|_no_directory| file.to_owned())
}

/// The name of this machine.
pub(super) fn node() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

#[expect(clippy::disallowed_methods, reason = "this is no setting, but who is there")]
/// Who runs the command: who became root by `sudo`, or the user; the number of the user where the
/// environment gives no name.
pub(super) fn operator() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
        .unwrap_or_else(|| {
            let me = std::fs::metadata("/proc/self");
            me.map_or_else(|_hidden| "unknown".to_owned(), |me| format!("uid {}", me.uid()))
        })
}
