//! Audit events of an account in words, by day, for its user. Every event is shown.

use serde_json::{Map, Value};

use crate::auth::audit::{Ended, Guess, Kind, Record};
use crate::base::browser;
use crate::web::words::{Moment, day};

/// An event as shown on the page.
pub(super) struct Line {
    pub(super) words: String,
    /// True if the event is a refusal.
    pub(super) refused: bool,
    pub(super) at: Moment,
    /// Browser and address, if known.
    pub(super) from: Option<String>,
}

/// The events of one day (UTC), newest first.
pub(super) struct Day {
    pub(super) date: String,
    pub(super) lines: Vec<Line>,
}

/// Groups records, newest first, by day.
pub(super) fn by_day(records: &[Record]) -> Vec<Day> {
    let mut days: Vec<Day> = Vec::new();
    for record in records {
        let date = day(record.content.at);
        match days.last_mut() {
            Some(day) if day.date == date => day.lines.push(line(record)),
            _ => days.push(Day { date, lines: vec![line(record)] }),
        }
    }
    days
}

fn line(record: &Record) -> Line {
    let content = &record.content;
    let detail: Map<String, Value> = serde_json::from_str(&content.detail).unwrap_or_default();
    let words = match Kind::named(&content.event) {
        Some(kind) => words(kind, &detail).to_owned(),
        // A later version wrote it.
        None => format!("Unknown event: {}", content.event),
    };
    let browser = content.user_agent.as_deref().map(browser::in_words);
    let from = content.address.as_ref().map(|address| match &browser {
        Some(browser) => format!("{browser}, {address}"),
        None => address.clone(),
    });
    Line { words, refused: content.outcome == "refused", at: Moment::new(content.at), from }
}

fn says(detail: &Map<String, Value>, field: &str, value: &str) -> bool {
    detail.get(field).and_then(Value::as_str) == Some(value)
}

/// Describes an event. A kind without a description does not compile.
fn words(kind: Kind, detail: &Map<String, Value>) -> &'static str {
    match kind {
        Kind::PasswordRight => "Correct password entered",
        Kind::PasswordWrong => "Incorrect password entered",
        Kind::SecondFactorWrong => "Wrong code entered after the correct password",
        Kind::Throttled => blocked(detail),
        Kind::PasswordSpray => "Incorrect passwords were tried for many accounts",
        Kind::RowsLeftOut => "More of the same happened than is listed here",
        Kind::SignedIn => match detail.get("new_browser") {
            Some(Value::Bool(true)) => "Signed in with a new browser",
            _ => "Signed in",
        },
        Kind::SessionEnded => ended(detail, false),
        Kind::SessionsEnded => ended(detail, true),
        Kind::SecondFactorEnrolled => "Authenticator app set up",
        Kind::SecondFactorReplaced => "Authenticator app replaced",
        Kind::SecondFactorReset => "An administrator removed the authenticator app",
        Kind::FactorSuspended => "Authenticator app suspended after too many wrong codes",
        Kind::SuspensionLifted => "An administrator reset the count of wrong codes",
        Kind::RecoveryCodesMade => "New recovery codes created",
        Kind::RecoveryCodesKept => "Recovery codes confirmed as saved",
        Kind::RecoveryCodeUsed if says(detail, "instead_of", Guess::Password.as_str()) => {
            "A recovery code was used instead of the password"
        }
        Kind::RecoveryCodeUsed => "A recovery code was used instead of the authenticator app",
        Kind::RecoveryWrong => "Wrong recovery code entered",
        Kind::SteppedUp => "Identity confirmed before a change",
        Kind::StepUpWrong => "Wrong password or code entered before a change",
        Kind::PasswordChanged if says(detail, "by", "recovery_code") => {
            "Password reset with a recovery code"
        }
        Kind::PasswordChanged if says(detail, "by", "ticket") => {
            "Password set with a one-time link"
        }
        Kind::PasswordChanged => "Password changed",
        Kind::PasswordSet => "An administrator set a new password",
        Kind::TicketMade => "An administrator created a one-time link for this account",
        Kind::TicketUsed => "The one-time link was used",
        Kind::TicketEnded => "The one-time link stopped working: it was no longer needed",
        Kind::TrailPruned => "Old events were deleted",
        Kind::DevicesRevoked => "All known browsers were forgotten",
        Kind::AccountAdded => "An administrator created the account",
        Kind::AccountChanged => {
            "An administrator changed the account's name, email address or groups"
        }
        Kind::AccountDisabled => "An administrator disabled the account",
        Kind::AccountEnabled => "An administrator enabled the account",
        Kind::AccountRemoved => "An administrator deleted the account",
        Kind::AppUserUnknown => "Sign-in refused: this user of the app has no account here",
        Kind::AppUserAdded => "The account was created at the first sign-in through the app",
        Kind::AppUserLinked => "An administrator linked the account to a user of an app",
        Kind::AppUserUnlinked => "An administrator unlinked the account from an app",
        Kind::AppTokenUsed => "A program used one of the app's own tokens",
        Kind::AppTokenRefused => "One of the app's own tokens was refused",
        Kind::TokenMade => "An administrator created an access token for a program",
        Kind::TokenRevoked => "An access token for a program was revoked",
        Kind::TokenUsed => "A program used its access token",
        Kind::TokenRefused => "An access token was refused",
    }
}

/// Describes the end of one or several sessions, by who ended them.
fn ended(detail: &Map<String, Value>, several: bool) -> &'static str {
    let why = |why: Ended| says(detail, "why", why.as_str());
    if why(Ended::SignedOut) {
        "Signed out"
    } else if why(Ended::Replaced) {
        "Signed in again with the same browser, so the earlier session ended"
    } else if why(Ended::TooManyTries) {
        "Signed out after too many wrong passwords or codes"
    } else {
        match (why(Ended::ByOperator), several) {
            (true, true) => "An administrator signed out all your browsers",
            (true, false) => "An administrator signed out one of your browsers",
            (false, true) => "You signed out all other browsers",
            (false, false) => "You signed out another browser",
        }
    }
}

fn blocked(detail: &Map<String, Value>) -> &'static str {
    let guess = |guess: Guess| says(detail, "guess", guess.as_str());
    if guess(Guess::Password) {
        "Too many wrong passwords: further attempts were blocked for a while"
    } else if guess(Guess::Ticket) {
        "Too many wrong one-time links: further attempts were blocked for a while"
    } else {
        "Too many wrong codes: further attempts were blocked for a while"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn no_event_is_shown_by_its_raw_name() {
        for kind in Kind::ALL {
            let words = words(*kind, &Map::new());
            assert!(!words.contains('_') && words.contains(' ') || words == "Signed in", "{words}");
        }
    }

    #[test]
    fn the_end_of_a_session_names_who_ended_it() {
        let ended = |kind, why| words(kind, &detail(&format!("{{\"why\": \"{why}\"}}")));
        assert_eq!(
            ended(Kind::SessionsEnded, "by_operator"),
            "An administrator signed out all your browsers"
        );
        assert_eq!(ended(Kind::SessionsEnded, "by_person"), "You signed out all other browsers");
        assert_eq!(ended(Kind::SessionEnded, "by_person"), "You signed out another browser");
        assert_eq!(ended(Kind::SessionEnded, "signed_out"), "Signed out");
    }
}
