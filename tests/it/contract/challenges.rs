//! Challenges of passkeys and security keys, in every short-lived store.

use std::time::Duration;

use vestibule::auth::ports::ChallengeGroup;
use vestibule::auth::webauthn::challenge::{
    BrowserBinding, Challenge, ChallengeId, Circumstances, IssuedChallenge, LIFETIME, Purpose,
};
use vestibule::base::random::OsRandom;

use super::places::{ShortLived, ShortLivedPorts};
use super::samples::{account_id, at_once};

const MOST: u32 = 20;

fn group(name: &str) -> ChallengeGroup<'_> {
    ChallengeGroup { name, most: MOST }
}

fn challenge() -> ChallengeId {
    Challenge::generate(&OsRandom::new()).unwrap().id()
}

async fn issued<S: ShortLivedPorts>(place: &ShortLived<S>, name: &str) -> ChallengeId {
    let id = challenge();
    place.one.issue_challenge(&id, &record(place), group(name), place.now()).await.unwrap();
    id
}

fn record<S: ShortLivedPorts>(place: &ShortLived<S>) -> IssuedChallenge {
    let bound = Circumstances {
        purpose: Purpose::SecondFactor,
        browser: BrowserBinding::of("a cookie"),
        account: Some(account_id()),
        origin: "https://gw.test".to_owned(),
    };
    IssuedChallenge::new(bound, place.now())
}

async fn a_challenge_is_used_from_elsewhere_as_it_was_issued<S: ShortLivedPorts>(
    place: &ShortLived<S>,
) {
    let (id, filed) = (challenge(), record(place));
    place.one.issue_challenge(&id, &filed, group("group"), place.now()).await.unwrap();
    assert_eq!(place.two.use_challenge(&id, place.now()).await.unwrap(), Some(filed));
    assert_eq!(place.one.use_challenge(&id, place.now()).await.unwrap(), None, "used");
    assert_eq!(place.one.use_challenge(&challenge(), place.now()).await.unwrap(), None);
}

async fn one_of_many_at_once_uses_a_challenge<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (id, now) = (issued(place, "group").await, place.now());
    let used = at_once(50, |i| {
        let (store, id) = (place.either(i), id.clone());
        async move { store.use_challenge(&id, now).await.unwrap() }
    })
    .await;
    assert_eq!(used.into_iter().flatten().count(), 1);
}

async fn a_challenge_expires_after_five_minutes<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (in_time, late) = (issued(place, "group").await, issued(place, "group").await);
    let left = Duration::from_mins(1);
    place.pass(LIFETIME.saturating_sub(left)).await;
    assert!(place.two.use_challenge(&in_time, place.now()).await.unwrap().is_some());
    place.pass(left).await;
    assert_eq!(place.two.use_challenge(&late, place.now()).await.unwrap(), None);
}

async fn only_the_newest_challenges_of_a_group_are_kept<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let other = issued(place, "another").await;
    let mut all = Vec::new();
    for _ in 0..MOST + 5 {
        place.pass(Duration::from_millis(1)).await;
        all.push(issued(place, "group").await);
    }
    let mut kept = Vec::new();
    for id in &all {
        kept.push(place.two.use_challenge(id, place.now()).await.unwrap().is_some());
    }
    assert_eq!(kept.iter().position(|kept| *kept), Some(5));
    assert!(kept[5..].iter().all(|kept| *kept));
    assert!(place.two.use_challenge(&other, place.now()).await.unwrap().is_some());
}

super::on_session_stores!(
    a_challenge_is_used_from_elsewhere_as_it_was_issued,
    one_of_many_at_once_uses_a_challenge,
    a_challenge_expires_after_five_minutes,
    only_the_newest_challenges_of_a_group_are_kept,
);
