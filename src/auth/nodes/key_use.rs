//! Keys that nodes wrote with, and how long each of them is needed.

use std::time::Duration;

use crate::auth::keys::{ASSERTION, KeyMark};
use crate::base::clock::Timestamp;

/// Ring of the token keys.
const TOKEN: &str = "token";
/// Ring of the data keys, which are kept for good.
const DATA: &str = "data";

/// A key that a node wrote with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// Ring of the key.
    pub ring: String,
    /// Id of the key.
    pub id: String,
    /// Digest of the key.
    pub digest: String,
    /// Time of the last report of a node that writes with it.
    pub used_at: Timestamp,
    /// Tokens in SQL that may have been made with it.
    pub tokens: LiveTokens,
}

/// Unexpired tokens that were made before the last use of a token key. They outlive sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveTokens {
    /// Number of access tokens.
    pub access_tokens: u64,
    /// Number of one-time links.
    pub links: u64,
    /// Time at which the last of them expires, or the epoch if there are none.
    pub expire_at: Timestamp,
}

impl LiveTokens {
    fn in_words(self) -> Option<String> {
        let count = |n: u64, what: &str| match n {
            0 => None,
            1 => Some(format!("1 {what}")),
            n => Some(format!("{n} {what}s")),
        };
        let counts =
            [count(self.access_tokens, "access token"), count(self.links, "one-time link")];
        let words: Vec<String> = counts.into_iter().flatten().collect();
        (!words.is_empty()).then(|| words.join(" and "))
    }
}

impl KeyUse {
    fn is(&self, mark: &KeyMark) -> bool {
        mark.ring == self.ring && mark.digest == self.digest
    }

    /// Returns true if a session or a pending login may still rest on the key.
    fn has_sessions(&self, now: Timestamp, sessions_live: Duration) -> bool {
        now.since(self.used_at) < sessions_live
    }

    /// Returns a sentence if `own` lacks the key and something still needs it.
    pub(super) fn missing(
        &self,
        own: &[KeyMark],
        now: Timestamp,
        sessions_live: Duration,
    ) -> Option<String> {
        if own.iter().any(|mark| self.is(mark)) {
            return None;
        }
        let Self { ring, id, .. } = self;
        // The output of other keys does not expire.
        let expires = ring == TOKEN || ring == ASSERTION;
        if !expires || self.has_sessions(now, sessions_live) {
            return Some(format!(
                "the key file lacks the {ring} key {id}, which a node wrote with: copy the key \
                 file from that node"
            ));
        }
        let tokens = self.tokens.in_words()?;
        Some(format!(
            "the key file lacks the token key {id}, on which {tokens} may rest: restore the key, \
             or revoke and replace what was made before it was removed"
        ))
    }
}

/// Returns the ids of the data keys in `uses` if `own` has none of them, although there are some:
/// the keys are those of another installation.
pub fn foreign(own: &[KeyMark], uses: &[KeyUse]) -> Option<String> {
    let data: Vec<&KeyUse> = uses.iter().filter(|used| used.ring == DATA).collect();
    let known = data.iter().any(|used| own.iter().any(|mark| used.is(mark)));
    let ids: Vec<&str> = data.iter().map(|used| used.id.as_str()).collect();
    (!known && !ids.is_empty()).then(|| ids.join(", "))
}

/// Returns a sentence about each former token key in the file of a node with these keys: the time
/// until which it is needed, or that it can be removed.
pub fn former_token_keys(
    own: &[KeyMark],
    uses: &[KeyUse],
    now: Timestamp,
    sessions_live: Duration,
) -> Vec<String> {
    let former = uses
        .iter()
        .filter(|used| used.ring == TOKEN && own.iter().any(|mark| !mark.writes && used.is(mark)));
    let sentence = |used: &KeyUse| {
        let id = &used.id;
        let sessions = used.used_at.plus(sessions_live);
        let until = sessions.max(used.tokens.expire_at);
        let why = used.tokens.in_words().unwrap_or_else(|| "sessions".to_owned());
        if until <= now {
            format!("the former token key {id} is not needed any more: it can be removed")
        } else {
            let until = until.minute();
            format!("the former token key {id} is needed until {until}: {why} may rest on it")
        }
    };
    former.map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn mark(ring: &str, writes: bool) -> KeyMark {
        let (id, digest) = ("k1".to_owned(), "d1".to_owned());
        KeyMark { ring: ring.to_owned(), id, digest, writes }
    }

    fn used(ring: &str, tokens: LiveTokens) -> KeyUse {
        let (id, digest) = ("k1".to_owned(), "d1".to_owned());
        KeyUse { ring: ring.to_owned(), id, digest, used_at: Timestamp::EPOCH, tokens }
    }

    fn live(access_tokens: u64, links: u64) -> LiveTokens {
        let expire_at = Timestamp::EPOCH.plus(DAY * 300);
        LiveTokens { access_tokens, links, expire_at }
    }

    fn after(days: u32) -> Timestamp {
        Timestamp::EPOCH.plus(DAY * days)
    }

    #[test]
    fn a_token_key_is_needed_for_as_long_as_a_token_may_rest_on_it() {
        let none = used("token", LiveTokens::default());
        let missing = |used: &KeyUse, days| used.missing(&[], after(days), DAY);
        assert!(missing(&none, 0).unwrap().contains("which a node wrote with"));
        assert_eq!(missing(&none, 1), None);
        let told = missing(&used("token", live(2, 1)), 200).unwrap();
        assert!(told.contains("on which 2 access tokens and 1 one-time link may rest"), "{told}");
        assert_eq!(used("token", live(2, 1)).missing(&[mark("token", false)], after(1), DAY), None);
        for ring in ["data", "pepper"] {
            assert!(missing(&used(ring, LiveTokens::default()), 900).is_some());
        }
    }

    #[test]
    fn keys_are_foreign_if_none_of_the_used_data_keys_is_among_them() {
        let used = [used("data", LiveTokens::default()), used("token", LiveTokens::default())];
        let other = KeyMark { digest: "d2".to_owned(), ..mark("data", true) };
        assert_eq!(foreign(std::slice::from_ref(&other), &used), Some("k1".to_owned()));
        assert_eq!(foreign(&[other.clone(), mark("data", false)], &used), None);
        assert_eq!(foreign(&[other], &used[1..]), None, "nothing was written yet");
    }

    #[test]
    fn a_former_token_key_is_told_with_the_time_until_which_it_is_needed() {
        let told = |used: KeyUse, days| {
            let own = [mark("token", false), mark("data", false)];
            former_token_keys(&own, &[used], after(days), DAY).concat()
        };
        let none = || used("token", LiveTokens::default());
        assert!(told(none(), 0).contains("until 1970-01-02 00:00Z: sessions may rest on it"));
        assert!(told(none(), 1).contains("is not needed any more"));
        let some = told(used("token", live(1, 0)), 200);
        assert!(some.contains("until 1970-10-28 00:00Z: 1 access token may rest on it"), "{some}");
        assert_eq!(told(used("data", live(1, 0)), 0), "");
        let first = [mark("token", true)];
        assert!(former_token_keys(&first, &[none()], after(0), DAY).is_empty());
    }
}
