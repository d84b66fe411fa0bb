//! Challenges of the sign-in page, which anyone may open any number of times.
//!
//! Nothing is stored for such a page. Its challenge carries the time of issue and the circumstances that
//! it is bound to, under a MAC. Only the one that is answered leaves a record, so that it is used once.

use std::time::Duration;

use ring::digest;
use subtle::ConstantTimeEq;

use super::Refusal;
use super::challenge::{self, Challenge, ChallengeId, Circumstances, LIFETIME, Purpose};
use crate::auth::keys::{ChallengeTag, KeyRing};
use crate::base::clock::Timestamp;
use crate::base::random::{Random, RandomError, bytes};

/// Time by which the clock of the node that issued a challenge may be ahead of this one. The use of a
/// challenge from further ahead could be forgotten before it expires.
const AHEAD: Duration = Duration::from_secs(30);
/// Length in bytes of the digest of a circumstance.
const DIGEST: usize = 16;
/// Length in bytes of the part under the MAC: random bytes, time of issue, browser and origin.
const SIGNED: usize = challenge::LEN + size_of::<u64>() + 2 * DIGEST;
/// Length in bytes.
pub(super) const LEN: usize = SIGNED + size_of::<ChallengeTag>();

/// A challenge of the sign-in page that was issued here and has not expired. It may have been used.
#[derive(Clone, Debug)]
pub struct SignInChallenge {
    id: ChallengeId,
    browser: [u8; DIGEST],
    origin: [u8; DIGEST],
    expires_at: Timestamp,
}

fn browser_digest(bound: &Circumstances) -> [u8; DIGEST] {
    short(b"browser\n", bound.browser.as_str())
}

fn origin_digest(bound: &Circumstances) -> [u8; DIGEST] {
    short(b"origin\n", &bound.origin)
}

fn short(of: &[u8], text: &str) -> [u8; DIGEST] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(of);
    context.update(text.as_bytes());
    let digest = context.finish();
    std::array::from_fn(|i| digest.as_ref().get(i).copied().unwrap_or_default())
}

/// Issues a challenge for a sign-in page.
pub fn issue(
    keys: &KeyRing,
    random: &dyn Random,
    bound: &Circumstances,
    now: Timestamp,
) -> Result<Challenge, RandomError> {
    let nonce: [u8; challenge::LEN] = bytes(random)?;
    let mut all = Vec::with_capacity(LEN);
    all.extend_from_slice(&nonce);
    all.extend_from_slice(&now.as_millis().to_be_bytes());
    all.extend_from_slice(&browser_digest(bound));
    all.extend_from_slice(&origin_digest(bound));
    let tag = keys.challenge_tag(&all);
    all.extend_from_slice(&tag);
    Ok(Challenge::signed(all))
}

impl SignInChallenge {
    /// Opens a challenge, if it was issued here, not after `now` and a little, and has not expired by
    /// `now`.
    pub fn open(challenge: &Challenge, keys: &KeyRing, now: Timestamp) -> Option<Self> {
        let all = challenge.bytes();
        if all.len() != LEN {
            return None;
        }
        let (signed, tag) = all.split_at_checked(SIGNED)?;
        if !keys.is_challenge_tag(signed, tag) {
            return None;
        }
        let (time, bound) =
            signed.get(challenge::LEN..)?.split_first_chunk::<{ size_of::<u64>() }>()?;
        let (browser, origin) = bound.split_first_chunk::<DIGEST>()?;
        let issued_at = Timestamp::from_millis(u64::from_be_bytes(*time));
        let expires_at = issued_at.plus(LIFETIME);
        (issued_at <= now.plus(AHEAD) && now < expires_at).then_some(Self {
            id: challenge.id(),
            browser: *browser,
            origin: origin.try_into().ok()?,
            expires_at,
        })
    }

    /// Verifies that the challenge was issued in the same circumstances.
    pub fn check(&self, here: &Circumstances) -> Result<(), Refusal> {
        if here.purpose != Purpose::PasskeySignIn {
            return Err(Refusal::OtherPurpose);
        }
        if self.origin != origin_digest(here) {
            return Err(Refusal::OtherHost);
        }
        if !bool::from(self.browser.ct_eq(&browser_digest(here))) {
            return Err(Refusal::OtherBrowser);
        }
        Ok(())
    }

    /// Returns the key of the record of its use.
    pub fn id(&self) -> &ChallengeId {
        &self.id
    }

    /// Returns the time of expiry.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use zeroize::Zeroizing;

    use super::super::challenge::BrowserBinding;
    use super::*;
    use crate::auth::keys::testing::material;
    use crate::auth::keys::{KEY_LEN, Key};
    use crate::base::random::OsRandom;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn bound() -> Circumstances {
        Circumstances {
            purpose: Purpose::PasskeySignIn,
            browser: BrowserBinding::of("a cookie"),
            account: None,
            origin: "https://gw.test".to_owned(),
        }
    }

    fn issued(keys: &KeyRing) -> Challenge {
        issue(keys, &OsRandom::new(), &bound(), NOW).unwrap()
    }

    #[test]
    fn a_challenge_is_good_for_five_minutes_where_it_was_issued() {
        let keys = KeyRing::new(&material()).unwrap();
        let challenge = issued(&keys);
        assert!(challenge.id() != issued(&keys).id());
        let late = NOW.plus(LIFETIME);
        let in_time = NOW.plus(LIFETIME.saturating_sub(Duration::from_millis(1)));
        let opened = SignInChallenge::open(&challenge, &keys, in_time).unwrap();
        assert_eq!((opened.check(&bound()), opened.expires_at()), (Ok(()), late));
        assert!(SignInChallenge::open(&challenge, &keys, late).is_none());
        for (here, refusal) in [
            (Circumstances { purpose: Purpose::StepUp, ..bound() }, Refusal::OtherPurpose),
            (Circumstances { origin: "https://b.test".to_owned(), ..bound() }, Refusal::OtherHost),
            (
                Circumstances { browser: BrowserBinding::of("another"), ..bound() },
                Refusal::OtherBrowser,
            ),
        ] {
            assert_eq!(opened.check(&here), Err(refusal));
        }
    }

    #[test]
    fn a_challenge_from_the_future_is_refused() {
        let keys = KeyRing::new(&material()).unwrap();
        let challenge = issued(&keys);
        let before = |by: Duration| {
            let by = u64::try_from(by.as_millis()).unwrap();
            Timestamp::from_millis(NOW.as_millis() - by)
        };
        let opens = |now| SignInChallenge::open(&challenge, &keys, now).is_some();
        assert!(opens(before(Duration::from_secs(30))), "clocks differ a little");
        assert!(!opens(before(Duration::from_millis(30_001))));
        assert!(!opens(before(Duration::from_hours(2))), "its use may be forgotten by then");
        assert!(!opens(Timestamp::EPOCH));
    }

    #[test]
    fn a_challenge_that_was_changed_anywhere_is_not_ours() {
        let keys = KeyRing::new(&material()).unwrap();
        let honest = issued(&keys);
        for at in 0..LEN {
            let mut changed = honest.bytes().to_vec();
            changed[at] ^= 1;
            let changed = Challenge::from_bytes(&changed).unwrap();
            assert!(SignInChallenge::open(&changed, &keys, NOW).is_none(), "byte {at}");
        }
        for bytes in [&honest.bytes()[1..], &honest.bytes()[..LEN - 1], &[0; LEN + 1]] {
            assert!(Challenge::from_bytes(bytes).is_none());
        }
        assert!(
            Challenge::from_bytes(&[0; LEN])
                .is_some_and(|c| { SignInChallenge::open(&c, &keys, NOW).is_none() })
        );
        let stored = Challenge::generate(&OsRandom::new()).unwrap();
        assert!(SignInChallenge::open(&stored, &keys, NOW).is_none());
    }

    #[test]
    fn a_challenge_outlives_a_change_of_the_writing_key_but_not_the_loss_of_its_key() {
        let before = KeyRing::new(&material()).unwrap();
        let challenge = issued(&before);
        let new = Key { id: "new".to_owned(), bytes: Zeroizing::new([9; KEY_LEN]) };
        let mut rotated = material();
        rotated.token.insert(0, new.clone());
        let after = KeyRing::new(&rotated).unwrap();
        assert!(SignInChallenge::open(&challenge, &after, NOW).is_some());
        assert!(SignInChallenge::open(&issued(&after), &before, NOW).is_none());
        rotated.token = vec![new];
        let lost = KeyRing::new(&rotated).unwrap();
        assert!(SignInChallenge::open(&challenge, &lost, NOW).is_none());
    }
}
