//! Accounts, login names and identities.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::base::clock::Timestamp;
use crate::base::id::AccountId;

use super::characters::{is_formless, is_invisible};
use super::password_record::PasswordRecord;

/// Maximum length of a login name, in characters.
const NAME_MAX: usize = 128;

/// Maximum length of a folded name, in characters. Longer names that start alike are one name. A
/// character may stand for 18 others, so a short text can have a long compatibility form.
const FOLDED_MAX: usize = 8 * NAME_MAX;

/// Maximum characters of the compatibility form that a login name is read from. A longer one is not a
/// login name: at most three of its characters become one.
const COMPATIBLE_MAX: usize = 4 * NAME_MAX;

/// A login name: NFKC-normalised, lower case, 1 to 128 characters, no white space or control
/// characters, and none of the characters with a meaning in identity headers (`,` `;` `"`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LoginName(String);

fn normalised(typed: &str) -> String {
    let compatible: String = typed.nfkc().take(COMPATIBLE_MAX).collect();
    compatible.to_lowercase().nfkc().collect()
}

/// Returns true if no login name may have a character.
fn is_forbidden(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, ',' | ';' | '"' | ':')
}

/// The reason why a text is not a login name.
#[derive(Debug, thiserror::Error)]
pub enum NotAName {
    /// It is empty, too long or has a forbidden character.
    #[error(
        "not a login name: 1 to 128 characters without spaces, control characters, commas, \
         semicolons, colons or quotes"
    )]
    Form,
    /// It has a character without a form. Only new names are rejected for this.
    #[error("not a name for a new account: U+{:04X} in it has no visible form: leave it out", u32::from(*.0))]
    Formless(char),
}

impl LoginName {
    /// Parses a typed name. Surrounding white space is removed.
    pub fn parse(typed: &str) -> Result<Self, NotAName> {
        let name = normalised(typed.trim());
        if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(is_forbidden) {
            return Err(NotAName::Form);
        }
        Ok(Self(name))
    }

    /// Returns the text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LoginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A login name that a new account may have. Each of its characters can be seen, so that no two
/// names look the same because of a character that does not show. Older accounts may have others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewName(LoginName);

impl NewName {
    /// Parses a name as [`LoginName::parse`] does.
    pub fn parse(typed: &str) -> Result<Self, NotAName> {
        // As typed first, because the error names the character.
        formless(typed.trim())?;
        Self::of(LoginName::parse(typed)?)
    }

    /// Accepts a login name for a new account.
    pub fn of(name: LoginName) -> Result<Self, NotAName> {
        formless(name.as_str())?;
        Ok(Self(name))
    }

    /// Makes a name from any text: leaves out what a new name may not have, and ends it with `suffix`.
    /// Different texts may get one name without a suffix that tells them apart.
    pub fn made_of(text: &str, suffix: &str) -> Result<Self, NotAName> {
        let room = NAME_MAX.saturating_sub(suffix.chars().count());
        let fits = |c: &char| !is_forbidden(*c) && !is_formless(*c);
        let kept: String = normalised(text).chars().filter(fits).take(room).collect();
        let kept = if kept.is_empty() { "user" } else { &kept };
        Self::parse(&format!("{kept}{suffix}"))
    }

    /// Returns the login name.
    pub fn into_login(self) -> LoginName {
        self.0
    }
}

/// Fails with the first character that has no form, other than the space and the control
/// characters that no login name may have.
fn formless(text: &str) -> Result<(), NotAName> {
    let found = text.chars().find(|c| is_formless(*c) && *c != ' ' && !c.is_ascii_control());
    found.map_or(Ok(()), |c| Err(NotAName::Formless(c)))
}

/// A name as typed at a sign-in. It may not be a valid login name.
#[derive(Clone, PartialEq, Eq)]
pub struct TypedName {
    folded: String,
    login: Option<LoginName>,
}

impl fmt::Debug for TypedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypedName(…)")
    }
}

impl TypedName {
    /// Reads a typed name.
    pub fn new(typed: &str) -> Self {
        Self { folded: folded(typed), login: LoginName::parse(typed).ok() }
    }

    /// Returns the login name, if the typed name is a valid one.
    pub fn login(&self) -> Option<&LoginName> {
        self.login.as_ref()
    }

    /// Returns the text that attempts are counted under. All spellings that an app might treat as
    /// one name have the same text: case, accents, width, white space, control and format
    /// characters are folded.
    pub fn folded(&self) -> &str {
        &self.folded
    }
}

/// Folds a name. Every text has a folded form.
pub fn folded(typed: &str) -> String {
    fold(typed.chars()).take(FOLDED_MAX).collect()
}

/// Folds characters one after the other, in their order: compatibility form, case, no accents, no white
/// space, nothing invisible.
pub fn fold(text: impl Iterator<Item = char>) -> impl Iterator<Item = char> {
    let cased = text.nfkc().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    cased.nfkd().filter(|c| !is_ignorable(*c))
}

fn is_ignorable(c: char) -> bool {
    if c.is_ascii() {
        return c.is_whitespace() || c.is_control();
    }
    is_invisible(c) || c.is_whitespace() || c.is_control() || is_combining_mark(c)
}

/// The identity of a user, as sent to apps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Account id.
    pub account: AccountId,
    /// Login name.
    pub name: LoginName,
    /// Display name; the login name if none is set.
    pub display_name: String,
    /// Email address.
    pub email: Option<String>,
    /// Groups of the user.
    pub groups: Vec<String>,
}

/// A change to an identity. Omitted parts stay unchanged.
#[derive(Clone, Debug, Default)]
pub struct IdentityChange {
    /// New email address; empty removes it.
    pub email: Option<String>,
    /// New display name; empty resets it to the login name.
    pub display_name: Option<String>,
    /// Groups to add.
    pub add_groups: Vec<String>,
    /// Groups to remove.
    pub remove_groups: Vec<String>,
}

impl IdentityChange {
    /// Returns the change that turns `before` into `after`.
    #[must_use]
    pub fn between(before: &Identity, after: &Identity) -> Self {
        let missing = |of: &Identity, from: &Identity| {
            from.groups.iter().filter(|group| !of.groups.contains(group)).cloned().collect()
        };
        let email = after.email.clone().unwrap_or_default();
        Self {
            email: (before.email != after.email).then_some(email),
            display_name: (before.display_name != after.display_name)
                .then(|| after.display_name.clone()),
            add_groups: missing(before, after),
            remove_groups: missing(after, before),
        }
    }

    /// Returns true unless the change only removes groups.
    #[must_use]
    pub const fn may_open(&self) -> bool {
        self.email.is_some() || self.display_name.is_some() || !self.add_groups.is_empty()
    }

    /// Returns `who` with the change applied.
    #[must_use]
    pub fn apply(&self, who: &Identity) -> Identity {
        let mut changed = who.clone();
        if let Some(email) = &self.email {
            changed.email = Some(email.clone()).filter(|email| !email.is_empty());
        }
        if let Some(name) = &self.display_name {
            let empty = name.is_empty();
            changed.display_name = if empty { who.name.to_string() } else { name.clone() };
        }
        changed.groups.retain(|group| !self.remove_groups.contains(group));
        for group in &self.add_groups {
            if !changed.groups.contains(group) {
                changed.groups.push(group.clone());
            }
        }
        changed
    }
}

/// An account as stored.
#[derive(Clone, Debug)]
pub struct Account {
    /// Identity of the user.
    pub identity: Identity,
    /// Password hash, if a password is set.
    pub password: Option<PasswordRecord>,
    /// Time at which the password was set, if known.
    pub password_set_at: Option<Timestamp>,
    /// True if the account is disabled: it cannot sign in and has no sessions.
    pub disabled: bool,
    /// True if a second factor was ever confirmed. Never reset to false.
    pub ever_enrolled: bool,
    /// Sessions that started before this time are invalid.
    pub sessions_valid_from: Timestamp,
    /// Browsers that became known up to this time are unknown.
    pub devices_valid_from: Timestamp,
    /// Time of creation.
    pub created_at: Timestamp,
}

impl Account {
    /// Returns the account id.
    pub fn id(&self) -> AccountId {
        self.identity.account
    }

    /// Returns true if a browser that became known at `since` is still known. A new password makes
    /// all browsers unknown.
    pub fn knows_browsers_since(&self, since: Timestamp) -> bool {
        since >= self.sessions_valid_from && since > self.devices_valid_from
    }
}

/// A new account, for the store.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Identity of the user.
    pub identity: Identity,
    /// Password hash, if a password is set.
    pub password: Option<PasswordRecord>,
    /// Time of creation.
    pub created_at: Timestamp,
}

/// The state of an account that the gate needs to accept a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountStatus {
    /// Identity that the account database holds now.
    pub identity: Arc<Identity>,
    /// True if the account is disabled: it has no sessions.
    pub disabled: bool,
    /// Sessions that started before this time are invalid.
    pub sessions_valid_from: Timestamp,
    /// True if an end of the session in question is recorded.
    pub session_ended: bool,
}

impl AccountStatus {
    /// Returns true if the session in question, which started at `started`, is still valid.
    pub fn honours(&self, started: Timestamp) -> bool {
        !self.disabled && !self.session_ended && started >= self.sessions_valid_from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_are_one_name() {
        let plain = LoginName::parse("alice").unwrap();
        assert_eq!(LoginName::parse("  Alice ").unwrap(), plain);
        assert_eq!(LoginName::parse("ａｌｉｃｅ").unwrap(), plain);
    }

    #[test]
    fn a_name_read_again_is_the_same_name() {
        for typed in ["J\u{30C}an", "\u{1E96}", "H\u{331}", "Straße", "İ"] {
            let once = LoginName::parse(typed).unwrap();
            assert_eq!(LoginName::parse(once.as_str()).unwrap(), once, "{typed}");
        }
    }

    #[test]
    fn spellings_of_one_name_are_counted_together() {
        let folded = |typed: &str| TypedName::new(typed).folded().to_owned();
        for typed in [
            "Stra\u{df}e 1",
            "STRASSE 1",
            " strasse\u{a0}1\t",
            "\u{ff53}tra\u{200b}sse1",
            "stra\u{301}sse1\0",
        ] {
            assert_eq!(folded(typed), "strasse1", "{typed:?}");
        }
        assert_ne!(folded("a,b"), folded("ab"), "other signs tell names apart");
        for typed in ["J\u{30C}an", "H\u{331}", "\u{3a3}\u{3a3}", "\u{130}stanbul"] {
            let name = LoginName::parse(typed).unwrap();
            assert_eq!(super::folded(name.as_str()), folded(typed), "{typed}");
        }
    }

    #[test]
    fn a_long_compatibility_form_is_not_read_to_its_end() {
        let typed = "\u{fdfa}".repeat(5000);
        assert_eq!(folded(&typed).chars().count(), FOLDED_MAX);
        assert!(normalised(&typed).chars().count() <= COMPATIBLE_MAX);
        assert!(matches!(LoginName::parse(&typed), Err(NotAName::Form)));
        // A capital letter and its accent become one character only in lower case.
        let longest = "H\u{331}".repeat(NAME_MAX);
        assert_eq!(LoginName::parse(&longest).unwrap().as_str().chars().count(), NAME_MAX);
        let padded = format!("{}alice", "\u{200b}\u{301}".repeat(5000));
        assert_eq!(folded(&padded), "alice", "what is left out does not count");
        assert_eq!(folded("Α\u{3a3} Α"), folded("ασα"));
    }

    #[test]
    fn a_new_name_has_no_character_that_cannot_be_seen() {
        for (typed, point) in [
            ("ali\u{200b}ce", "U+200B"),
            ("alice\u{feff}", "U+FEFF"),
            ("\u{202e}alice", "U+202E"),
            ("al\u{ad}ice", "U+00AD"),
            ("alice\u{fe0f}", "U+FE0F"),
            ("\u{ffa0}alice", "U+FFA0"),
            ("alice\u{e0061}", "U+E0061"),
            ("al\u{a0}ice", "U+00A0"),
        ] {
            let why = NewName::parse(typed).unwrap_err().to_string();
            assert!(why.contains(point), "{typed:?}: {why}");
            // At a sign-in the name is another one, not alice.
            if let Ok(name) = LoginName::parse(typed) {
                assert_ne!(name, LoginName::parse("alice").unwrap(), "{typed:?}");
                assert!(NewName::of(name).is_err(), "{typed:?}");
            }
            assert_eq!(folded(typed), "alice", "attempts count together: {typed:?}");
        }
        let private = NewName::parse("alice\u{e000}").unwrap_err().to_string();
        assert!(private.contains("U+E000"), "{private}");
        for typed in [" Alice ", "ａｌｉｃｅ", "a.b+c@d-e_f'g", "Żółć", "محمد", "李雷", "😀"]
        {
            let new = NewName::parse(typed).unwrap();
            assert_eq!(new.into_login(), LoginName::parse(typed).unwrap());
        }
        assert!(matches!(NewName::parse("a b"), Err(NotAName::Form)));
    }

    #[test]
    fn a_name_is_made_of_any_text() {
        let long = "\u{fdfa}".repeat(200);
        for (text, expected) in [
            ("Ali\u{200b}ce", "alice-1@app"),
            ("Lovelace, Ada", "lovelaceada-1@app"),
            ("urn:lab:17", "urnlab17-1@app"),
            ("\u{202e}\u{feff} ", "user-1@app"),
            ("", "user-1@app"),
        ] {
            let made = NewName::made_of(text, "-1@app").unwrap().into_login();
            assert_eq!(made.as_str(), expected, "{text:?}");
        }
        let made = NewName::made_of(&long, "-1@app").unwrap().into_login();
        assert_eq!(made.as_str().chars().count(), NAME_MAX);
        assert!(made.as_str().ends_with("-1@app"), "{made}");
    }

    #[test]
    fn a_name_cannot_break_out_of_a_header() {
        for bad in ["", "a b", "a\r\nb", "a,b", "a\0", "a;b", "a\"b", "a:b", &"x".repeat(129)] {
            assert!(LoginName::parse(bad).is_err(), "{bad:?}");
        }
    }
}
