//! The names of all events.

macro_rules! kinds {
    ($($kind:ident => $name:literal,)*) => {
        /// An event type: an event without its fields, for rows, filters and descriptions.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "`Event` and `TokenEvent` document each type")]
        pub enum Kind { $($kind,)* }

        impl Kind {
            /// All event types.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// Returns the name in audit rows, logs and JSON lines.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }
        }
    };
}

kinds! {
    PasswordRight => "password_right",
    PasswordWrong => "password_wrong",
    SecondFactorWrong => "second_factor_wrong",
    Throttled => "throttled",
    PasswordSpray => "password_spray",
    RowsLeftOut => "rows_left_out",
    SignedIn => "signed_in",
    SessionEnded => "session_ended",
    SessionsEnded => "sessions_ended",
    SecondFactorEnrolled => "second_factor_enrolled",
    SecondFactorReplaced => "second_factor_replaced",
    SecondFactorReset => "second_factor_reset",
    FactorSuspended => "factor_suspended",
    RecoveryCodesMade => "recovery_codes_made",
    RecoveryCodesKept => "recovery_codes_kept",
    RecoveryCodeUsed => "recovery_code_used",
    RecoveryWrong => "recovery_wrong",
    SteppedUp => "stepped_up",
    StepUpWrong => "step_up_wrong",
    PasswordChanged => "password_changed",
    PasswordSet => "password_set",
    TicketMade => "ticket_made",
    TicketUsed => "ticket_used",
    TicketEnded => "ticket_ended",
    TrailPruned => "trail_pruned",
    DevicesRevoked => "devices_revoked",
    SuspensionLifted => "suspension_lifted",
    AccountAdded => "account_added",
    AppUserUnknown => "app_user_unknown",
    AppUserAdded => "app_user_added",
    AppUserLinked => "app_user_linked",
    AppUserUnlinked => "app_user_unlinked",
    AppTokenUsed => "app_token_used",
    AppTokenRefused => "app_token_refused",
    TokenMade => "token_made",
    TokenRevoked => "token_revoked",
    TokenUsed => "token_used",
    TokenRefused => "token_refused",
    AccountChanged => "account_changed",
    AccountDisabled => "account_disabled",
    AccountEnabled => "account_enabled",
    AccountRemoved => "account_removed",
}

impl Kind {
    /// Returns the names of all event types, sorted.
    pub fn names() -> Vec<&'static str> {
        let mut names: Vec<_> = Self::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names
    }

    /// Returns the event type with this name, if any.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_found_by_its_name_and_no_two_share_one() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.name()), Some(*kind));
        }
        assert_eq!(Kind::named("signed-in"), None);
    }
}
