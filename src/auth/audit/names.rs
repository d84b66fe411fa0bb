//! The names of all events, for filters.

/// The names of all events, sorted.
pub const EVENT_NAMES: [&str; 42] = [
    "account_added",
    "account_changed",
    "account_disabled",
    "account_enabled",
    "account_removed",
    "app_token_refused",
    "app_token_used",
    "app_user_added",
    "app_user_linked",
    "app_user_unknown",
    "app_user_unlinked",
    "devices_revoked",
    "factor_suspended",
    "password_changed",
    "password_right",
    "password_set",
    "password_spray",
    "password_wrong",
    "recovery_code_used",
    "recovery_codes_kept",
    "recovery_codes_made",
    "recovery_wrong",
    "rows_left_out",
    "second_factor_enrolled",
    "second_factor_replaced",
    "second_factor_reset",
    "second_factor_wrong",
    "session_ended",
    "sessions_ended",
    "signed_in",
    "step_up_wrong",
    "stepped_up",
    "suspension_lifted",
    "throttled",
    "ticket_ended",
    "ticket_made",
    "ticket_used",
    "token_made",
    "token_refused",
    "token_revoked",
    "token_used",
    "trail_pruned",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that a function `name` of this source returns.
    fn names_in(source: &str) -> Vec<&str> {
        let body = source.split("pub fn name(&self)").nth(1).unwrap_or_default();
        let body = body.split("\n    }\n").next().unwrap_or_default();
        body.lines().filter_map(|line| line.split("=> \"").nth(1)?.split('"').next()).collect()
    }

    #[test]
    fn every_event_has_its_name_here_and_nothing_else_has() {
        let sources = [include_str!("event.rs"), include_str!("token_event.rs")];
        let mut names: Vec<&str> = sources.into_iter().flat_map(names_in).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names, EVENT_NAMES);
    }
}
