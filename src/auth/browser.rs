//! Known browsers. A signed cookie, set after both factors were verified, gives a browser its own
//! attempt budget for wrong passwords, so that strangers cannot exhaust the owner's. The cookie
//! never replaces a factor.
//!
//! Text of the cookie: base64url of a JSON object, a dot, base64url of its tag. It holds account
//! ids and a keyed digest of each login name, so no name can be read from it.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::account::{Identity, LoginName};
use super::keys::KeyRing;
use crate::base::clock::Timestamp;
use crate::base::id::{AccountId, BrowserId};
use crate::base::random::{Random, RandomError};

/// Maximum number of accounts in one cookie. The oldest entry is dropped first.
const ACCOUNTS_MAX: usize = 5;
/// Maximum length of the cookie, in bytes.
const TEXT_MAX: usize = 2048;

/// An account that knows the browser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Acquaintance {
    #[serde(rename = "n")]
    name_digest: String,
    #[serde(rename = "a")]
    account: AccountId,
    #[serde(rename = "s")]
    since: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    #[serde(rename = "b")]
    id: BrowserId,
    #[serde(rename = "k")]
    known_to: Vec<Acquaintance>,
}

/// The verified content of a browser's cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownBrowser {
    content: Content,
    /// Index in the ring of the key that made the cookie.
    key: usize,
}

fn name_digest(keys: &KeyRing, key: usize, id: BrowserId, name: &LoginName) -> String {
    let tag = keys.browser_tag(key, &[b"name\0", id.as_bytes(), name.as_str().as_bytes()]);
    let digest = tag.as_ref().map_or(&[][..], AsRef::as_ref);
    BASE64URL_NOPAD.encode(digest.get(..16).unwrap_or_default())
}

impl KnownBrowser {
    /// Parses a cookie. Returns `None` if no token key made it.
    pub fn parse(text: &str, keys: &KeyRing) -> Option<Self> {
        if text.len() > TEXT_MAX {
            return None;
        }
        let (payload, tag) = text.split_once('.')?;
        let tag = BASE64URL_NOPAD.decode(tag.as_bytes()).ok()?;
        let key = keys.browser_key(&[b"cookie\0", payload.as_bytes()].concat(), &tag)?;
        let json = BASE64URL_NOPAD.decode(payload.as_bytes()).ok()?;
        let content = serde_json::from_slice(&json).ok()?;
        Some(Self { content, key })
    }

    /// Returns the id of the browser in counters.
    pub fn id(&self) -> BrowserId {
        self.content.id
    }

    /// Returns the account of this name that knows the browser, and the time since when, if that is
    /// within `lives`. The account itself may have invalidated its known browsers since.
    pub fn known_to(
        &self,
        name: &LoginName,
        keys: &KeyRing,
        now: Timestamp,
        lives: Duration,
    ) -> Option<(AccountId, Timestamp)> {
        let digest = name_digest(keys, self.key, self.content.id, name);
        let known = self.content.known_to.iter().find(|a| {
            bool::from(a.name_digest.as_bytes().ct_eq(digest.as_bytes()))
                && a.since <= now
                && now.since(a.since) < lives
        })?;
        Some((known.account, known.since))
    }

    /// Returns the cookie of a browser in which `who` has just verified both factors. `former` is
    /// its previous cookie.
    pub fn cookie(
        former: Option<&Self>,
        who: &Identity,
        keys: &KeyRing,
        random: &dyn Random,
        now: Timestamp,
    ) -> Result<Option<String>, RandomError> {
        let mut content = match former {
            // Content made with an older key cannot be rebuilt without the login names.
            Some(former) if former.key == 0 => former.content.clone(),
            Some(former) => Content { id: former.content.id, known_to: Vec::new() },
            None => Content { id: BrowserId::random(random)?, known_to: Vec::new() },
        };
        content.known_to.retain(|a| a.account != who.account);
        content.known_to.insert(
            0,
            Acquaintance {
                name_digest: name_digest(keys, 0, content.id, &who.name),
                account: who.account,
                since: now,
            },
        );
        content.known_to.truncate(ACCOUNTS_MAX);
        let payload = BASE64URL_NOPAD.encode(serde_json::json!(content).to_string().as_bytes());
        let tag = keys.browser_tag(0, &[b"cookie\0", payload.as_bytes()]);
        Ok(tag.map(|tag| format!("{payload}.{}", BASE64URL_NOPAD.encode(tag.as_ref()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::keys::testing::material;
    use crate::auth::keys::{KEY_LEN, Key};
    use crate::base::random::OsRandom;

    const LIVES: Duration = Duration::from_hours(24);

    fn name(text: &str) -> LoginName {
        LoginName::parse(text).unwrap()
    }

    fn who(text: &str) -> Identity {
        Identity {
            account: AccountId::random(&OsRandom::new()).unwrap(),
            name: name(text),
            display_name: text.to_owned(),
            email: None,
            groups: Vec::new(),
        }
    }

    fn at(hours: u64) -> Timestamp {
        Timestamp::EPOCH.plus(Duration::from_hours(1000 + hours))
    }

    fn made(
        former: Option<&KnownBrowser>,
        who: &Identity,
        keys: &KeyRing,
    ) -> (String, KnownBrowser) {
        let text = KnownBrowser::cookie(former, who, keys, &OsRandom::new(), at(0));
        let text = text.unwrap().unwrap();
        let read = KnownBrowser::parse(&text, keys).unwrap();
        (text, read)
    }

    #[test]
    fn a_browser_is_known_to_its_account_by_name_until_it_expires() {
        let keys = KeyRing::new(&material()).unwrap();
        let alice = who("alice");
        let (text, known) = made(None, &alice, &keys);
        let found = |n: &str, hours| known.known_to(&name(n), &keys, at(hours), LIVES);
        assert_eq!(found("alice", 23), Some((alice.account, at(0))));
        assert_eq!(found("alice", 24), None);
        assert_eq!(found("bob", 1), None);
        assert!(!text.contains("alice") && text.len() < 300, "{text}");
    }

    #[test]
    fn a_changed_cookie_is_worth_nothing() {
        let keys = KeyRing::new(&material()).unwrap();
        let (text, _) = made(None, &who("alice"), &keys);
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(KnownBrowser::parse(&changed, &keys), None, "byte {at}");
        }
        assert_eq!(KnownBrowser::parse(&"A".repeat(3000), &keys), None);
        assert_eq!(KnownBrowser::parse("", &keys), None);
    }

    #[test]
    fn one_browser_is_known_to_five_accounts_at_most_and_keeps_its_id() {
        let keys = KeyRing::new(&material()).unwrap();
        let people: Vec<_> = (0..7).map(|n| who(&format!("person{n}"))).collect();
        let (mut text, mut known) = made(None, &people[0], &keys);
        let id = known.id();
        for person in people.iter().skip(1).chain([&people[6]]) {
            (text, known) = made(Some(&known), person, &keys);
        }
        let still: Vec<bool> =
            people.iter().map(|p| known.known_to(&p.name, &keys, at(1), LIVES).is_some()).collect();
        assert_eq!(still, [false, false, true, true, true, true, true]);
        assert_eq!(known.id(), id);
        assert!(text.len() < TEXT_MAX / 2, "{}", text.len());
    }

    #[test]
    fn a_cookie_of_an_older_key_is_still_known() {
        let alice = who("alice");
        let old = KeyRing::new(&material()).unwrap();
        let (text, _) = made(None, &alice, &old);
        let mut rotated = material();
        rotated.token.insert(0, Key { id: "new".into(), bytes: [9; KEY_LEN].into() });
        let new = KeyRing::new(&rotated).unwrap();
        let known = KnownBrowser::parse(&text, &new).unwrap();
        assert!(known.known_to(&alice.name, &new, at(1), LIVES).is_some());
        let (_, again) = made(Some(&known), &alice, &new);
        assert!(again.known_to(&alice.name, &new, at(1), LIVES).is_some());
        rotated.token.pop();
        let without = KeyRing::new(&rotated).unwrap();
        assert_eq!(KnownBrowser::parse(&text, &without), None);
    }
}
