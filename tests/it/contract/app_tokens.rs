//! The tokens of apps, on every short-lived store.

use std::time::Duration;

use vestibule::auth::session::Session;
use vestibule::auth::token::{AppToken, HashedToken, SessionToken};

use super::on_session_stores;
use super::places::{ShortLived, ShortLivedPorts};
use super::samples::{at_once, identity, login, session, token};

const HOUR: Duration = Duration::from_hours(1);

async fn signed_in<S: ShortLivedPorts>(
    place: &ShortLived<S>,
    name: &str,
) -> (HashedToken<SessionToken>, Session) {
    let session = session(identity(name), place.now());
    again(place, &session).await
}

/// Another session of the same account.
async fn again<S: ShortLivedPorts>(
    place: &ShortLived<S>,
    session: &Session,
) -> (HashedToken<SessionToken>, Session) {
    let next = super::samples::session(session.identity.clone(), place.now());
    let (pending, id) = (token(), token());
    let login = login(next.identity.account, place.now());
    place.one.begin(&pending, &login, place.now()).await.unwrap();
    assert!(place.one.promote(&pending, &id, &next, HOUR).await.unwrap());
    (id, next)
}

async fn of<S: ShortLivedPorts>(
    place: &ShortLived<S>,
    held: &HashedToken<AppToken>,
) -> Option<HashedToken<SessionToken>> {
    place.two.session_of(held).await.unwrap()
}

async fn a_token_is_worth_its_session_and_no_longer<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (id, _) = signed_in(place, "alice").await;
    let (held, unknown) = (token::<AppToken>(), token::<AppToken>());
    assert!(place.one.bind(&id, &held, 8, HOUR).await.unwrap());
    assert_eq!(of(place, &held).await, Some(id));
    assert_eq!(of(place, &unknown).await, None);
    place.one.end_session(&id).await;
    assert_eq!(of(place, &held).await, None);
    assert!(!place.two.bind(&id, &held, 8, HOUR).await.unwrap(), "the session is over");
    assert_eq!(of(place, &held).await, None);
}

async fn tokens_go_with_a_session_to_its_new_id<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (old, first) = signed_in(place, "alice").await;
    let (one, two) = (token::<AppToken>(), token::<AppToken>());
    assert!(place.one.bind(&old, &one, 8, HOUR).await.unwrap());
    let new = token::<SessionToken>();
    let next =
        Session { renewed_since: Some(first.started_at), ..session(first.identity, place.now()) };
    assert!(place.two.renew(&old, &new, &next, None, HOUR).await.unwrap());
    assert_eq!(of(place, &one).await, Some(new));
    assert!(place.one.bind(&new, &two, 8, HOUR).await.unwrap());
    assert!(!place.one.bind(&old, &two, 8, HOUR).await.unwrap());
    place.two.end_account(next.identity.account).await.unwrap();
    assert_eq!((of(place, &one).await, of(place, &two).await), (None, None));
}

async fn a_token_is_not_taken_from_another_account<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (alices, session) = signed_in(place, "alice").await;
    let (bobs, _) = signed_in(place, "bob").await;
    let held = token::<AppToken>();
    assert!(place.one.bind(&alices, &held, 8, HOUR).await.unwrap());
    assert!(!place.two.bind(&bobs, &held, 8, HOUR).await.unwrap());
    assert_eq!(of(place, &held).await, Some(alices));
    let (others, _) = again(place, &session).await;
    assert!(place.two.bind(&others, &held, 8, HOUR).await.unwrap(), "alice's own");
    assert_eq!(of(place, &held).await, Some(others));
    place.one.end_session(&others).await;
    assert!(place.two.bind(&bobs, &held, 8, HOUR).await.unwrap(), "nobody's any more");
}

async fn of_many_tokens_the_oldest_but_the_first_are_let_go<S: ShortLivedPorts>(
    place: &ShortLived<S>,
) {
    let (id, _) = signed_in(place, "alice").await;
    let (other, _) = signed_in(place, "bob").await;
    let theirs = token();
    assert!(place.one.bind(&other, &theirs, 3, HOUR).await.unwrap());
    let all: Vec<HashedToken<AppToken>> = (0..6).map(|_| token()).collect();
    for held in &all {
        assert!(place.one.bind(&id, held, 3, HOUR).await.unwrap());
    }
    assert!(place.one.bind(&id, &all[4], 3, HOUR).await.unwrap(), "again");
    for (i, held) in all.iter().enumerate() {
        assert_eq!(of(place, held).await.is_some(), i == 0 || i >= 4, "number {i}");
    }
    let new = token();
    assert!(place.one.bind(&id, &new, 3, HOUR).await.unwrap());
    assert_eq!(of(place, &all[5]).await, None, "bound before number 4 was bound again");
    assert_eq!(of(place, &all[4]).await, Some(id));
    assert_eq!(of(place, &all[0]).await, Some(id), "what the sign-in gave out");
    assert_eq!(of(place, &theirs).await, Some(other), "another session has its own");
}

async fn fifty_at_once_are_all_bound<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (id, _) = signed_in(place, "alice").await;
    let all: Vec<HashedToken<AppToken>> = (0..50).map(|_| token()).collect();
    let bound = at_once(50, |i| {
        let (store, held) = (place.either(i), all[i]);
        async move { store.bind(&id, &held, 64, HOUR).await.unwrap() }
    })
    .await;
    assert!(bound.iter().all(|bound| *bound));
    for held in &all {
        assert_eq!(of(place, held).await, Some(id));
    }
}

on_session_stores! {
    a_token_is_worth_its_session_and_no_longer,
    tokens_go_with_a_session_to_its_new_id,
    a_token_is_not_taken_from_another_account,
    of_many_tokens_the_oldest_but_the_first_are_let_go,
    fifty_at_once_are_all_bound,
}
