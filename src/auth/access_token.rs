//! Tokens of ours for programs, `vst_…`: each stands for both factors of its person, at one app and
//! within what its limits say, until it is revoked or its time is over.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::keys::KeyRing;
use super::token::{AccessToken, HashedToken, PlainToken};
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, TokenId};
use crate::base::secret::Secret;

/// What the text of such a token starts with, so that scanners of source code know one.
pub const PREFIX: &str = "vst_";
/// How long a token lives at most, and where nothing else is said.
pub const LONGEST: Duration = Duration::from_hours(365 * 24);
/// The use of a token is noted no more often than this.
pub const NOTED_EVERY: Duration = Duration::from_mins(1);

/// What a token may be used for, as it was written; an empty list allows all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Methods.
    pub methods: Vec<String>,
    /// Globs on the canonical path.
    pub paths: Vec<String>,
    /// Networks it may come from.
    pub networks: Vec<String>,
    /// It may open `WebSocket`s although its methods are limited: what goes through one is no longer
    /// a question of methods.
    #[serde(default)]
    pub websocket: bool,
}

impl Limits {
    /// What it allows, in one line; nothing where it allows all.
    pub fn in_words(&self) -> Option<String> {
        let all = [&self.methods, &self.paths, &self.networks];
        let mut words: Vec<_> = all.into_iter().flatten().map(String::as_str).collect();
        if self.websocket && !self.methods.is_empty() {
            words.insert(self.methods.len(), "WebSocket");
        }
        (!words.is_empty()).then(|| words.join(" "))
    }
}

/// A token as it is stored, beside its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRecord {
    /// What it is called in lists and commands.
    pub id: TokenId,
    /// Whose it is.
    pub account: AccountId,
    /// The app it opens.
    pub app: String,
    /// What it is for, in words; may be empty.
    pub description: String,
    /// What it may be used for.
    pub limits: Limits,
    /// When it was made.
    pub made_at: Timestamp,
    /// When its time is over.
    pub expires_at: Timestamp,
    /// When it was last used, as far as that was noted.
    pub last_used_at: Option<Timestamp>,
}

/// A token to be filed.
#[derive(Clone, Debug)]
pub struct NewAccess {
    /// What the store knows it by.
    pub hash: HashedToken<AccessToken>,
    /// The rest.
    pub record: AccessRecord,
}

/// The token in a header's value, or nothing when none of our keys made it.
pub fn parse(text: &str, keys: &KeyRing) -> Option<PlainToken<AccessToken>> {
    PlainToken::parse(text.strip_prefix(PREFIX)?, keys)
}

/// The text of a token, to be shown once.
pub fn text(token: &PlainToken<AccessToken>) -> Secret {
    let text = Zeroizing::new([PREFIX, token.reveal()].concat());
    Secret::new(text.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::keys::testing::material;
    use crate::auth::token::SessionToken;
    use crate::base::random::OsRandom;

    #[test]
    fn a_mistyped_token_and_one_of_another_kind_are_told_apart_without_a_store() {
        let keys = KeyRing::new(&material()).unwrap();
        let token = PlainToken::<AccessToken>::generate(&keys, &OsRandom::new()).unwrap();
        let shown = text(&token);
        let again = parse(shown.reveal(), &keys).unwrap();
        assert_eq!(again.hashed(), token.hashed());
        assert!(parse(token.reveal(), &keys).is_none(), "without its prefix");
        let last = if shown.reveal().ends_with('A') { 'B' } else { 'A' };
        let mut typo = shown.reveal().to_owned();
        typo.pop();
        typo.push(last);
        assert!(parse(&typo, &keys).is_none());
        let other = PlainToken::<SessionToken>::generate(&keys, &OsRandom::new()).unwrap();
        assert!(parse(&[PREFIX, other.reveal()].concat(), &keys).is_none());
    }
}
