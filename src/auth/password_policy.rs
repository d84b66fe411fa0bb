//! The policy for new passwords: length and resistance to guessing. There are no composition rules
//! (NIST SP 800-63B-4 §3.1.1.2).
//!
//! zxcvbn estimates the number of guesses. Its lists hold common passwords, names and words; words
//! about the user and the service count as known to the attacker. The policy does not depend on
//! hashes or stores.

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;
use zxcvbn::feedback::Feedback;

use super::account::Identity;

/// Maximum length of a password, in code points (NIST SP 800-63B-4 §3.1.1.2 requires at least 64).
pub const MAX_LENGTH: usize = 256;
/// Minimum number of guesses that a password must withstand: far more than the attempt limits
/// allow.
const FEWEST_GUESSES: u64 = 1_000_000;
/// Number of leading characters that are rated: the work grows faster than the length.
const LOOKED_AT: usize = 64;
/// Minimum length of a forbidden word: shorter ones occur in too many other words.
const SHORTEST_WORD: usize = 4;

/// The reason why a password does not meet the policy.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PasswordRefused {
    /// The password is too short.
    #[error("the password is too short: use at least {0} characters")]
    TooShort(usize),
    /// The password is too long.
    #[error("the password is too long: use at most {MAX_LENGTH} characters")]
    TooLong,
    /// The password contains a word about the user.
    #[error("the password contains the name or the e-mail address: choose one without them")]
    NamesThePerson,
    /// The password contains a word about the service.
    #[error("the password contains the name of this service: choose one without it")]
    NamesTheService,
    /// The password is easy to guess.
    #[error("the password is easy to guess. {0}")]
    TooEasy(String),
}

/// The policy for new passwords.
#[derive(Clone, Debug)]
pub struct PasswordPolicy {
    min_length: usize,
    service: Vec<String>,
}

/// Returns the letters and digits in lower case: `Cell-Engine` and `cellengine` are one word.
fn squashed(text: &str) -> Zeroizing<String> {
    let folded = Zeroizing::new(text.nfkc().collect::<String>());
    Zeroizing::new(folded.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect())
}

fn is_word(text: &str) -> bool {
    text.chars().count() >= SHORTEST_WORD
}

/// Returns the publicly known words about a user.
fn words_of(whose: &Identity) -> Vec<Zeroizing<String>> {
    let address = whose.email.as_deref().and_then(|e| e.split('@').next()).unwrap_or_default();
    let parts = |text: &str| -> Vec<Zeroizing<String>> {
        text.split(|c: char| !c.is_alphanumeric()).map(squashed).collect()
    };
    let mut words = vec![squashed(whose.name.as_str()), squashed(address)];
    words.push(squashed(&whose.display_name));
    words.extend(parts(&whose.display_name));
    words.extend(parts(address));
    words.retain(|w| is_word(w));
    words
}

impl PasswordPolicy {
    /// Creates a policy: at least `min_length` characters, and no name of the service.
    pub fn new(min_length: usize, service_names: impl IntoIterator<Item = String>) -> Self {
        let service = service_names.into_iter().map(|name| squashed(&name).to_string());
        Self { min_length, service: service.filter(|w| is_word(w)).collect() }
    }

    /// Returns the minimum length, in code points.
    pub fn min_length(&self) -> usize {
        self.min_length
    }

    /// Checks a new password of this user, in NFC. The check is expensive: call it only where a
    /// hash could be computed.
    pub fn check(&self, password: &str, whose: &Identity) -> Result<(), PasswordRefused> {
        let length = password.chars().count();
        if length < self.min_length {
            return Err(PasswordRefused::TooShort(self.min_length));
        }
        if length > MAX_LENGTH {
            return Err(PasswordRefused::TooLong);
        }
        let (bare, person) = (squashed(password), words_of(whose));
        if person.iter().any(|word| bare.contains(word.as_str())) {
            return Err(PasswordRefused::NamesThePerson);
        }
        if self.service.iter().any(|word| bare.contains(word.as_str())) {
            return Err(PasswordRefused::NamesTheService);
        }
        let known: Vec<&str> = person
            .iter()
            .map(|w| w.as_str())
            .chain(self.service.iter().map(String::as_str))
            .collect();
        let looked_at: Zeroizing<String> =
            Zeroizing::new(password.chars().take(LOOKED_AT).collect());
        let estimate = zxcvbn::zxcvbn(&looked_at, &known);
        if estimate.guesses() < FEWEST_GUESSES {
            return Err(PasswordRefused::TooEasy(advice(estimate.feedback())));
        }
        Ok(())
    }
}

/// Returns advice for a password that is easy to guess.
fn advice(feedback: Option<&Feedback>) -> String {
    let warning = feedback.and_then(Feedback::warning).map(|w| w.to_string());
    let help = "Three or four words that do not belong together make a good one.";
    match warning {
        Some(warning) => format!("{warning} {help}"),
        None => help.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::account::LoginName;
    use crate::base::id::AccountId;
    use crate::base::random::OsRandom;

    fn alice() -> Identity {
        Identity {
            account: AccountId::random(&OsRandom::new()).unwrap(),
            name: LoginName::parse("aliddell").unwrap(),
            display_name: "Alice Müller-Liddell".to_owned(),
            email: Some("wonder.land@example.com".to_owned()),
            groups: Vec::new(),
        }
    }

    fn check(password: &str) -> Result<(), PasswordRefused> {
        let names = ["Cell Engine".to_owned(), "Vestibule".to_owned(), "App".to_owned()];
        PasswordPolicy::new(8, names).check(password, &alice())
    }

    #[test]
    fn a_new_password_is_measured_in_characters() {
        assert_eq!(check("éqzéxwé"), Err(PasswordRefused::TooShort(8)));
        assert_eq!(check("éqzéxwéj"), Ok(()));
        assert_eq!(check(&"qzjxwk83".repeat(32)), Ok(()));
        assert_eq!(check(&format!("{}q", "qzjxwk83".repeat(32))), Err(PasswordRefused::TooLong));
    }

    #[test]
    fn what_everybody_would_try_is_refused_with_a_reason() {
        for common in [
            "password",
            "Password1",
            "p4ssw0rd!",
            "12345678",
            "qwertyuiop",
            "iloveyou",
            "abcabcabc",
            "aaaaaaaaaaaa",
            "19841984",
            "sunshine1",
            "letmein123",
            "trustno1",
            "passwort",
            "starwars",
        ] {
            let refused = check(common);
            assert!(matches!(refused, Err(PasswordRefused::TooEasy(_))), "{common}: {refused:?}");
            let said = refused.unwrap_err().to_string();
            assert!(said.contains("easy to guess") && said.contains("words"), "{said}");
        }
    }

    #[test]
    fn the_person_and_the_service_are_no_part_of_it() {
        for personal in [
            "aliddell-42-xyz",
            "xyz ALICE 9041",
            "quiet.Mu\u{308}ller.9",
            "wonder-9-quilt-tree",
            "9-Wonder Land-tq",
            "my-Liddell-boat",
        ] {
            let password: String = personal.nfc().collect();
            assert_eq!(check(&password), Err(PasswordRefused::NamesThePerson), "{personal}");
        }
        for service in ["CellEngine-9-quilt", "cell engine quilt tree", "quilt-vestibule-9"] {
            assert_eq!(check(service), Err(PasswordRefused::NamesTheService), "{service}");
        }
        assert_eq!(check("apples-and-quilts-9"), Ok(()), "a short name is part of many words");
    }

    #[test]
    fn a_good_password_needs_no_digits_or_capitals() {
        for good in [
            "seven-owls-paint-the-fence",
            "correct horse battery",
            "k7qzjxw2",
            "ナナメの青いカエル",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }
}
