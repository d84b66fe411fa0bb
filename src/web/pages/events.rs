//! What happened to an account, told to its owner. Every event has words here, or is told by its
//! name: none is kept from the person.

use crate::auth::audit::Record;
use crate::base::browser;
use crate::web::words::Moment;

/// Each event by its name in the audit trail.
const WORDS: &[(&str, &str)] = &[
    ("signed_in", "Signed in"),
    ("password_right", "The right password was typed"),
    ("password_wrong", "A wrong password was typed"),
    ("rows_left_out", "More of the same happened than is told here"),
    ("second_factor_wrong", "A wrong code was typed after the right password"),
    ("throttled", "Too many tries: further ones were refused for a while"),
    ("session_ended", "A browser was signed out"),
    ("sessions_ended", "Other browsers were signed out"),
    ("second_factor_enrolled", "Two-factor authentication was set up"),
    ("second_factor_replaced", "The authenticator was replaced"),
    ("second_factor_reset", "An administrator removed the authenticator"),
    ("factor_suspended", "The authenticator was suspended after too many wrong codes"),
    ("recovery_codes_made", "New recovery codes were made"),
    ("recovery_codes_kept", "Recovery codes were confirmed as kept"),
    ("recovery_code_used", "A recovery code was used"),
    ("recovery_wrong", "A wrong recovery code was typed"),
    ("stepped_up", "Identity was confirmed for a change"),
    ("step_up_wrong", "A wrong password or code was typed for a change"),
    ("password_changed", "The password was changed"),
    ("password_set", "An administrator set a new password"),
    ("ticket_made", "An administrator made a one-time link"),
    ("ticket_used", "A one-time link was used"),
    ("token_made", "An administrator made a token for a program"),
    ("token_revoked", "A token for a program was revoked"),
    ("token_used", "A program used its token"),
    ("device_revoked", "A known browser was forgotten"),
    ("account_added", "The account was added"),
    ("account_disabled", "The account was disabled"),
    ("account_enabled", "The account was enabled"),
];

/// One event, as it is shown.
pub(super) struct Told {
    pub(super) what: String,
    /// Whether something was refused.
    pub(super) refused: bool,
    pub(super) at: Moment,
    /// Browser and address, as far as they are known.
    pub(super) from: Option<String>,
}

pub(super) fn told(record: &Record) -> Told {
    let content = &record.content;
    let known = WORDS.iter().find(|(name, _)| *name == content.event);
    let what =
        known.map_or_else(|| content.event.replace('_', " "), |(_, words)| (*words).to_owned());
    let browser = content.user_agent.as_deref().map(browser::in_words);
    let from = content.address.as_ref().map(|address| match &browser {
        Some(browser) => format!("{browser}, {address}"),
        None => address.clone(),
    });
    Told { what, refused: content.outcome == "refused", at: Moment::new(content.at), from }
}
