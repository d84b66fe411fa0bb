//! Access tokens (`vst_…`). A token stands for both factors of its user, at one app and within its
//! limits, until it expires or is revoked.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::keys::KeyRing;
use super::token::{AccessToken, HashedToken, PlainToken};
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, TokenId};
use crate::base::secret::Secret;

/// Prefix of the text of an access token, so that secret scanners recognise one.
pub const PREFIX: &str = "vst_";
/// Maximum and default lifetime of a token.
pub const LONGEST: Duration = Duration::from_hours(365 * 24);
/// Minimum interval between two records of a token's use.
pub const NOTED_EVERY: Duration = Duration::from_mins(1);

/// Limits of a token, as written by the operator. An empty list allows everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Allowed methods.
    pub methods: Vec<String>,
    /// Allowed globs on the canonical path.
    pub paths: Vec<String>,
    /// Allowed client networks.
    pub networks: Vec<String>,
    /// True if the token may open a `WebSocket` although its methods are limited. Methods do not
    /// apply to the traffic in a `WebSocket`.
    #[serde(default)]
    pub websocket: bool,
}

impl Limits {
    /// Describes the limits on one line, or returns `None` if there are none.
    pub fn in_words(&self) -> Option<String> {
        let all = [&self.methods, &self.paths, &self.networks];
        let mut words: Vec<_> = all.into_iter().flatten().map(String::as_str).collect();
        if self.websocket && !self.methods.is_empty() {
            words.insert(self.methods.len(), "WebSocket");
        }
        (!words.is_empty()).then(|| words.join(" "))
    }
}

/// An access token as stored, without its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRecord {
    /// Id of the token in lists and commands.
    pub id: TokenId,
    /// Account that the token acts for.
    pub account: AccountId,
    /// App that accepts the token.
    pub app: String,
    /// Description; may be empty.
    pub description: String,
    /// Limits of the token.
    pub limits: Limits,
    /// Time of creation.
    pub made_at: Timestamp,
    /// Time of expiry.
    pub expires_at: Timestamp,
    /// Time of the last recorded use.
    pub last_used_at: Option<Timestamp>,
}

/// A new access token, for the store.
#[derive(Clone, Debug)]
pub struct NewAccess {
    /// Hash of the token.
    pub hash: HashedToken<AccessToken>,
    /// Record of the token.
    pub record: AccessRecord,
}

/// Parses the token in a header's value. Returns `None` if none of the token keys made it.
pub fn parse(text: &str, keys: &KeyRing) -> Option<PlainToken<AccessToken>> {
    PlainToken::parse(text.strip_prefix(PREFIX)?, keys)
}

/// Returns the text of a token, which is shown once.
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
