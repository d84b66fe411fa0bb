//! Used challenges of passkeys and security keys, in every durable store.

use std::time::Duration;

use vestibule::auth::webauthn::challenge::{Challenge, ChallengeId};
use vestibule::base::clock::Timestamp;
use vestibule::base::random::OsRandom;

use super::places::{Durable, DurablePorts};
use super::samples::{START, at_once};

const NOW: Timestamp = Timestamp::from_millis(START);
const KEPT: Duration = Duration::from_mins(65);

fn id() -> ChallengeId {
    Challenge::generate(&OsRandom::new()).unwrap().id()
}

async fn a_challenge_is_used_once_and_by_one_of_many<S: DurablePorts>(place: &Durable<S>) {
    let (one, other) = (id(), id());
    assert!(!place.two.is_used(&one).await.unwrap());
    let used = at_once(50, |i| {
        let (store, id) = (place.either(i), one.clone());
        async move { store.use_up(&id, NOW.plus(KEPT), NOW).await.unwrap() }
    })
    .await;
    assert_eq!(used.into_iter().filter(|first| *first).count(), 1);
    assert!(!place.two.use_up(&one, NOW.plus(KEPT), NOW).await.unwrap());
    assert!(place.one.is_used(&one).await.unwrap() && !place.one.is_used(&other).await.unwrap());
    assert!(place.two.use_up(&other, NOW.plus(KEPT), NOW).await.unwrap());
}

/// The next use deletes expired records, and no others.
async fn a_record_is_kept_until_it_is_over<S: DurablePorts>(place: &Durable<S>) {
    let first = id();
    assert!(place.one.use_up(&first, NOW.plus(KEPT), NOW).await.unwrap());
    let (before, after) = (NOW.plus(KEPT.saturating_sub(Duration::from_millis(1))), NOW.plus(KEPT));
    assert!(place.two.use_up(&id(), before.plus(KEPT), before).await.unwrap());
    assert!(!place.one.use_up(&first, NOW.plus(KEPT), before).await.unwrap());
    assert!(place.two.use_up(&id(), after.plus(KEPT), after).await.unwrap());
    assert!(place.one.use_up(&first, after, after).await.unwrap(), "the record was deleted");
}

super::on_both_databases!(
    a_challenge_is_used_once_and_by_one_of_many,
    a_record_is_kept_until_it_is_over,
);
