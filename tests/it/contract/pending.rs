//! Logins in progress, in every short-lived store.

use std::time::Duration;

use vestibule::auth::token::{HashedToken, PendingToken};

use super::places::{ShortLived, ShortLivedPorts};
use super::samples::{account_id, at_once, login, provisional, token};

async fn begun<S: ShortLivedPorts>(place: &ShortLived<S>) -> HashedToken<PendingToken> {
    let id = token();
    place.one.begin(&id, &login(account_id(), place.now()), place.now()).await.unwrap();
    id
}

async fn a_login_comes_back_until_it_expires<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (id, mut filed) = (token(), login(account_id(), place.now()));
    filed.enrolment = Some(provisional("sealed"));
    place.one.begin(&id, &filed, place.now()).await.unwrap();
    let load = async || S::load_login(&place.two, &id, place.now()).await;
    assert_eq!(load().await, Some(filed.clone()));
    place.pass(Duration::from_mins(9)).await;
    assert_eq!(load().await, Some(filed));
    place.pass(Duration::from_mins(1)).await;
    assert_eq!(load().await, None);
    assert_eq!(place.one.count_guess(&id, 5, place.now()).await.unwrap(), None);
    let offer = place.one.offer_enrolment(&id, &provisional("x"), place.now()).await.unwrap();
    assert_eq!(offer, None, "nothing brings it back");
    assert_eq!(load().await, None);
}

async fn an_ended_login_is_gone<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let id = begun(place).await;
    S::end_login(&place.two, &id).await;
    S::end_login(&place.two, &id).await;
    assert_eq!(S::load_login(&place.one, &id, place.now()).await, None);
    assert_eq!(place.one.count_guess(&id, 5, place.now()).await.unwrap(), None);
    assert_eq!(S::load_login(&place.one, &token(), place.now()).await, None);
}

async fn guesses_at_once_are_counted_one_by_one<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (id, now) = (begun(place).await, place.now());
    let counted = at_once(30, |i| {
        let store = place.either(i);
        async move { store.count_guess(&id, 5, now).await.unwrap() }
    })
    .await;
    let mut counted: Vec<u32> = counted.into_iter().flatten().collect();
    counted.sort_unstable();
    assert_eq!(counted, [1, 2, 3, 4, 5]);
    assert_eq!(place.two.count_guess(&id, 5, now).await.unwrap(), None);
    let login = S::load_login(&place.one, &id, now).await;
    assert!(login.is_some_and(|l| l.spent), "whoever was counted may still finish it");
}

async fn one_authenticator_is_offered_however_often_asked<S: ShortLivedPorts>(
    place: &ShortLived<S>,
) {
    let (id, now) = (begun(place).await, place.now());
    let offered = at_once(20, |i| {
        let store = place.either(i);
        async move {
            store.offer_enrolment(&id, &provisional(&format!("sealed {i}")), now).await.unwrap()
        }
    })
    .await;
    let held = S::load_login(&place.two, &id, now).await.unwrap().enrolment;
    assert!(held.is_some());
    assert!(offered.iter().all(|o| *o == held));
}

super::on_session_stores!(
    a_login_comes_back_until_it_expires,
    an_ended_login_is_gone,
    guesses_at_once_are_counted_one_by_one,
    one_authenticator_is_offered_however_often_asked,
);
