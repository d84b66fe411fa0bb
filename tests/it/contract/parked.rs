//! Requests that wait for their sender, in every short-lived store.

use std::time::Duration;

use vestibule::auth::parked::{FormerSession, LIVES, ParkedLimits, ParkedRecord};
use vestibule::auth::token::{HashedToken, ParkedToken};
use vestibule::base::id::AccountId;

use super::places::{ShortLived, ShortLivedPorts};
use super::samples::{account_id, at_once, identity, session, token};

const LIMITS: ParkedLimits = ParkedLimits { of_account: 3, all: 5 };

fn record<S: ShortLivedPorts>(place: &ShortLived<S>, account: AccountId) -> ParkedRecord {
    let sealed = "v1.key.sealed".to_owned();
    ParkedRecord { account, sealed, expires_at: place.now().plus(LIVES) }
}

async fn parks<S: ShortLivedPorts>(
    place: &ShortLived<S>,
    id: &HashedToken<ParkedToken>,
    account: AccountId,
) -> bool {
    place.one.park(id, &record(place, account), LIMITS, place.now()).await.unwrap()
}

async fn is_kept<S: ShortLivedPorts>(place: &ShortLived<S>, id: &HashedToken<ParkedToken>) -> bool {
    place.two.parked(id, place.now()).await.unwrap().is_some()
}

async fn a_kept_request_is_taken_once<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (id, account) = (token(), account_id());
    assert!(parks(place, &id, account).await);
    assert_eq!(place.two.parked(&id, place.now()).await.unwrap().unwrap().account, account);
    let now = place.now();
    let taken = at_once(20, |i| {
        let store = place.either(i);
        async move { store.take_parked(&id, now).await.unwrap() }
    })
    .await;
    let taken: Vec<_> = taken.into_iter().flatten().collect();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].sealed, "v1.key.sealed");
    assert!(!is_kept(place, &id).await);
}

async fn a_kept_request_expires<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let id = token();
    assert!(parks(place, &id, account_id()).await);
    place.pass(LIVES).await;
    assert!(!is_kept(place, &id).await);
    assert_eq!(place.one.take_parked(&id, place.now()).await.unwrap(), None);
}

async fn the_oldest_of_an_account_goes_and_all_together_are_bounded<S: ShortLivedPorts>(
    place: &ShortLived<S>,
) {
    let (mine, theirs) = (account_id(), account_id());
    let ids: Vec<HashedToken<ParkedToken>> = (0..4).map(|_| token()).collect();
    for id in &ids {
        assert!(parks(place, id, mine).await);
        place.pass(Duration::from_millis(5)).await;
    }
    assert!(!is_kept(place, &ids[0]).await && is_kept(place, &ids[1]).await);
    let others: Vec<HashedToken<ParkedToken>> = (0..3).map(|_| token()).collect();
    assert!(parks(place, &others[0], theirs).await);
    assert!(parks(place, &others[1], theirs).await);
    assert!(!parks(place, &others[2], account_id()).await, "too many in all");
    assert!(!is_kept(place, &others[2]).await);
    assert!(parks(place, &others[0], mine).await, "in place of the one under the same id");
    assert!(is_kept(place, &others[0]).await && !is_kept(place, &ids[1]).await);
    assert!(place.one.take_parked(&others[1], place.now()).await.unwrap().is_some());
    assert!(parks(place, &others[2], account_id()).await, "there is room again");
}

async fn a_session_is_remembered_beyond_its_end<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (id, one) = (token(), session(identity("alice"), place.now()));
    let former = FormerSession::of(&one);
    place.one.remember_session(&id, &former, LIVES, place.now()).await.unwrap();
    assert_eq!(place.two.former_session(&id, place.now()).await.unwrap().as_ref(), Some(&former));
    let next = token();
    let renewed = FormerSession { next: Some(next.to_hex()), ..former };
    place.two.remember_session(&id, &renewed, LIVES, place.now()).await.unwrap();
    let found = place.one.former_session(&id, place.now()).await.unwrap().unwrap();
    assert_eq!(found.next(), Some(next), "in place of what was remembered before");
    assert_eq!(place.two.former_session(&token(), place.now()).await.unwrap(), None);
    place.pass(LIVES).await;
    assert_eq!(place.two.former_session(&id, place.now()).await.unwrap(), None);
}

super::on_session_stores!(
    a_kept_request_is_taken_once,
    a_kept_request_expires,
    the_oldest_of_an_account_goes_and_all_together_are_bounded,
    a_session_is_remembered_beyond_its_end,
);
