//! The names of this machine and its operator, for the audit log.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Returns the absolute path of `file`, for messages that outlive the working directory.
pub(super) fn absolute(file: &Path) -> PathBuf {
    std::path::absolute(file).unwrap_or_else(|_no_directory| file.to_owned())
}

/// Returns the host name of this machine.
pub(super) fn node() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

#[expect(clippy::disallowed_methods, reason = "the operator, not a setting")]
/// Returns the name of the operator who runs the command: the user who called `sudo`, or the
/// current user. If the environment has no name, returns the user id.
pub(super) fn operator() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
        .unwrap_or_else(|| {
            let me = std::fs::metadata("/proc/self");
            me.map_or_else(|_hidden| "unknown".to_owned(), |me| format!("uid {}", me.uid()))
        })
}
