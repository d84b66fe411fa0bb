//! Texts of notices.

use askama::Template;
use jiff::tz::TimeZone;
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};

use super::when;
use crate::auth::audit::{Occasion, Record};
use crate::base::browser;

/// The text for one occasion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Letter {
    /// Subject line, without the service name.
    subject: &'static str,
    /// One sentence that says what happened.
    what: &'static str,
    /// Instructions in case it was someone else.
    otherwise: &'static str,
}

/// The sender of notices and how it introduces itself.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    /// Sender address.
    pub(super) from: Mailbox,
    /// Name of the service as users know it.
    pub(super) service: String,
    /// Host name of the service. Mail contains no link.
    pub(super) host: String,
    /// Time zone of the times in notices.
    pub(super) zone: TimeZone,
}

#[derive(Template)]
#[template(path = "mail/notice.txt")]
struct Text<'a> {
    letter: Letter,
    person: &'a str,
    at: &'a str,
    address: Option<&'a str>,
    browser: Option<&'a str>,
    reference: Option<&'a str>,
    service: &'a str,
    host: &'a str,
    keys: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "mail/notice.html")]
struct Html<'a> {
    letter: Letter,
    person: &'a str,
    at: &'a str,
    address: Option<&'a str>,
    browser: Option<&'a str>,
    reference: Option<&'a str>,
    service: &'a str,
    host: &'a str,
    keys: Option<&'a str>,
}

const SIGN_IN_AND_CHANGE: &str = "sign in, change your password, sign out all other browsers, and \
                                  tell your administrator.";
const TELL_ADMINISTRATOR: &str = "tell your administrator right away.";

impl Letter {
    pub(super) fn of(occasion: Occasion) -> Self {
        let (subject, what, otherwise) = match occasion {
            Occasion::KeyAdded | Occasion::KeyRemoved | Occasion::KeyCopied => of_key(occasion),
            Occasion::NewBrowser => (
                "Sign-in from a new browser",
                "Someone signed in to your account from a browser or program we didn't recognise. \
                 This also happens with one you've used before if its cookies were deleted, if \
                 you haven't used it for a long time, or if your password was changed elsewhere.",
                SIGN_IN_AND_CHANGE,
            ),
            Occasion::SecondFactorConfigured => (
                "Authenticator app set up",
                "An authenticator app was set up for your account. Any earlier one no longer works.",
                TELL_ADMINISTRATOR,
            ),
            Occasion::SecondFactorRemoved => (
                "Second factor removed",
                "An administrator removed the second factor of your account and signed you out \
                 everywhere.",
                TELL_ADMINISTRATOR,
            ),
            Occasion::SecondFactorSuspended => (
                "Second factor suspended",
                "The second factor of your account was suspended after too many wrong codes. The \
                 person who entered them knew your password.",
                "ask your administrator for a one-time link and choose a new password.",
            ),
            Occasion::RecoveryCodeUsed => (
                "Recovery code used",
                "One of your recovery codes was used. It won't work again.",
                SIGN_IN_AND_CHANGE,
            ),
            Occasion::PasswordChanged => (
                "Password changed",
                "The password of your account was changed.",
                TELL_ADMINISTRATOR,
            ),
            Occasion::SessionsEnded => (
                "Signed out by an administrator",
                "An administrator signed you out of one or more browsers.",
                "ask your administrator why.",
            ),
            Occasion::TokenMade => (
                "Access token created",
                "An administrator created an access token for your account. A program can use it to \
                 act as you, without your password or a code. Your account page lists it.",
                "revoke it there and tell your administrator.",
            ),
            Occasion::EmailChanged => (
                "Email address changed",
                "An administrator changed or removed the email address of your account. This is \
                 the last message to the former address.",
                TELL_ADMINISTRATOR,
            ),
            Occasion::WrongCodes => (
                "Wrong codes after the correct password",
                "Someone entered the correct password for your account and then several wrong codes.",
                "someone else knows your password. Sign in and change it.",
            ),
        };
        Self { subject, what, otherwise }
    }
}

/// Returns the text about a passkey or security key.
#[expect(clippy::wildcard_enum_match_arm, reason = "three occasions are about keys")]
fn of_key(occasion: Occasion) -> (&'static str, &'static str, &'static str) {
    match occasion {
        Occasion::KeyAdded => (
            "Passkey or security key added",
            "A passkey or security key was added to your account. It can be used to sign in.",
            "sign in, remove the key on your account page, change your password, and tell \
             your administrator.",
        ),
        Occasion::KeyRemoved => (
            "Passkey or security key removed",
            "A passkey or security key was removed from your account. It no longer works.",
            TELL_ADMINISTRATOR,
        ),
        _ => (
            "A security key may have been copied",
            "A key of your account was refused, because its counter went back. This happens if \
             the key was copied, or if its device was restored from a backup.",
            "sign in another way, remove the key on your account page, and tell your \
             administrator.",
        ),
    }
}

/// Returns the keys that still sign in after the change that a row is about. An intruder may have named
/// them, so nothing in a name can become a link or break out of its quotes.
fn remaining_keys(detail: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Remaining {
        keys: Vec<String>,
    }
    let Remaining { keys } = serde_json::from_str(detail).ok()?;
    let plain = |c: char| if c.is_alphanumeric() || "-'()".contains(c) { c } else { ' ' };
    let tame = |name: &String| {
        let tame: String = name.chars().map(plain).collect();
        format!("\"{}\"", tame.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    (!keys.is_empty()).then(|| keys.iter().map(tame).collect::<Vec<_>>().join(", "))
}

/// Builds the mail to `to` about `record`. Returns an error if the address is invalid or the text
/// cannot be rendered.
pub(super) fn message(
    sender: &Sender,
    occasion: Occasion,
    record: &Record,
    to: &str,
) -> Result<Message, String> {
    let letter = Letter::of(occasion);
    let row = &record.content;
    let recipient = to.parse::<Address>().map_err(|e| format!("invalid address: {e}"))?;
    let person = row.name.as_deref().unwrap_or_default();
    let at = when::in_words(row.at, &sender.zone);
    let (service, host) = (sender.service.as_str(), sender.host.as_str());
    let browser = row.user_agent.as_deref().map(browser::in_words);
    let (from_where, browser) = (row.address.as_deref(), browser.as_deref());
    let reference = row.reference.as_deref();
    let (at, address) = (at.as_str(), from_where);
    let keys = remaining_keys(&row.detail);
    let keys = keys.as_deref();
    let text = Text { letter, person, at, address, browser, reference, service, host, keys };
    let html = Html { letter, person, at, address, browser, reference, service, host, keys };
    let failed = |e: askama::Error| format!("failed to render the text: {e}");
    let bodies = MultiPart::alternative_plain_html(
        text.render().map_err(failed)?,
        html.render().map_err(failed)?,
    );
    Message::builder()
        .from(sender.from.clone())
        .to(Mailbox::new(None, recipient))
        .subject(format!("{service}: {}", letter.subject))
        .multipart(bodies)
        .map_err(|e| format!("failed to build the message: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::audit::{Link, NewRecord};
    use crate::base::clock::Timestamp;

    fn row(user_agent: &str) -> Record {
        let content = NewRecord {
            at: Timestamp::EPOCH,
            event: "signed_in".to_owned(),
            outcome: "done".to_owned(),
            factor: None,
            account: None,
            name: Some("alice".to_owned()),
            actor: "person".to_owned(),
            operator: None,
            address: Some("192.0.2.7".to_owned()),
            user_agent: Some(user_agent.to_owned()),
            reference: None,
            node: "gate-1".to_owned(),
            detail: "{}".to_owned(),
        };
        let link = Link { previous: String::new(), head: String::new(), hash: String::new() };
        Record { seq: 1, content, link }
    }

    #[test]
    fn names_of_keys_cannot_become_links_in_a_notice() {
        let listed = |keys: &[&str]| {
            remaining_keys(&serde_json::json!({ "by": "password", "keys": keys }).to_string())
        };
        assert_eq!(listed(&["My phone", "Blue (work)"]).unwrap(), "\"My phone\", \"Blue (work)\"");
        let hostile =
            listed(&["see https://evil.test/x", "a\" <b>, \u{202e}me@evil.test"]).unwrap();
        assert_eq!(hostile, "\"see https evil test x\", \"a b me evil test\"");
        assert_eq!(listed(&[]), None);
        assert_eq!(remaining_keys("{}"), None);
    }

    #[test]
    fn a_user_agent_never_appears_verbatim_in_a_notice() {
        let from: Mailbox = "gate@example.com".parse().unwrap();
        let (service, host) = ("App".to_owned(), "gw.test".to_owned());
        let sender = Sender { from, service, host, zone: TimeZone::UTC };
        for (agent, words) in [
            ("Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0 evil.test/help", "Firefox on Linux"),
            ("Confirm at https://evil.test/", "Unknown browser"),
        ] {
            let letter = message(&sender, Occasion::NewBrowser, &row(agent), "a@example.com");
            let text = String::from_utf8(letter.unwrap().formatted()).unwrap();
            assert!(!text.contains("evil.test") && !text.contains("Confirm"), "{text}");
            assert_eq!(text.matches(words).count(), 2, "{text}");
            assert!(text.contains("Thursday, 1 January 1970, 00:00 UTC"), "{text}");
        }
    }
}
