//! Words for the user of an account about events whose detail matters.

use serde_json::Value;

use super::fields::{Detail, Ended, Guess};
use crate::auth::authenticator::AuthenticatorKind;

fn says(detail: &Detail, field: &str, value: &str) -> bool {
    detail.get(field).and_then(Value::as_str) == Some(value)
}

pub(super) fn signed_in(detail: &Detail) -> &'static str {
    match detail.get("new_browser") {
        Some(Value::Bool(true)) => "Signed in with a new browser",
        _ => "Signed in",
    }
}

pub(super) fn session_ended(detail: &Detail) -> &'static str {
    ended(detail, false)
}

pub(super) fn sessions_ended(detail: &Detail) -> &'static str {
    ended(detail, true)
}

/// Describes the end of one or several sessions, by who ended them.
fn ended(detail: &Detail, several: bool) -> &'static str {
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

pub(super) fn throttled(detail: &Detail) -> &'static str {
    let guess = |guess: Guess| says(detail, "guess", guess.as_str());
    if guess(Guess::Password) {
        "Too many wrong passwords: further attempts were blocked for a while"
    } else if guess(Guess::Ticket) {
        "Too many wrong one-time links: further attempts were blocked for a while"
    } else {
        "Too many wrong codes: further attempts were blocked for a while"
    }
}

fn is_about_a_key(detail: &Detail) -> bool {
    says(detail, "factor", AuthenticatorKind::Webauthn.as_str())
}

pub(super) fn second_factor_enrolled(detail: &Detail) -> &'static str {
    if is_about_a_key(detail) {
        "Passkey or security key set up"
    } else {
        "Authenticator app set up"
    }
}

pub(super) fn second_factor_replaced(detail: &Detail) -> &'static str {
    if is_about_a_key(detail) {
        "Passkey or security key set up in place of all others"
    } else {
        "Authenticator app replaced"
    }
}

pub(super) fn recovery_code_used(detail: &Detail) -> &'static str {
    if says(detail, "instead_of", Guess::Password.as_str()) {
        "A recovery code was used instead of the password"
    } else {
        "A recovery code was used instead of the authenticator app"
    }
}

pub(super) fn password_changed(detail: &Detail) -> &'static str {
    if says(detail, "by", "recovery_code") {
        "Password reset with a recovery code"
    } else if says(detail, "by", "ticket") {
        "Password set with a one-time link"
    } else {
        "Password changed"
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    fn detail(text: &str) -> Detail {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn no_event_is_shown_by_its_raw_name() {
        for kind in Kind::ALL {
            let words = kind.words(&Detail::new());
            assert!(!words.contains('_') && words.contains(' ') || words == "Signed in", "{words}");
        }
    }

    #[test]
    fn the_end_of_a_session_names_who_ended_it() {
        let ended = |kind: Kind, why| kind.words(&detail(&format!("{{\"why\": \"{why}\"}}")));
        assert_eq!(
            ended(Kind::SessionsEnded, "by_operator"),
            "An administrator signed out all your browsers"
        );
        assert_eq!(ended(Kind::SessionsEnded, "by_person"), "You signed out all other browsers");
        assert_eq!(ended(Kind::SessionEnded, "by_person"), "You signed out another browser");
        assert_eq!(ended(Kind::SessionEnded, "signed_out"), "Signed out");
    }
}
