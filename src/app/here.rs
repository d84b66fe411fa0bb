//! What this machine and its operator are called, for the audit trail.

/// The name of this machine.
pub(super) fn node() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}

#[expect(clippy::disallowed_methods, reason = "this is no setting, but who is there")]
/// Who runs the command: who became root by `sudo`, or the user.
pub(super) fn operator() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
        .unwrap_or_else(|| "unknown".to_owned())
}
