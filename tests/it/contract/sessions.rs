//! Finished sessions, in every short-lived store.

use std::time::Duration;

use vestibule::auth::account::Identity;
use vestibule::auth::ports::{SessionLookup, Unreadable};
use vestibule::auth::session::{Offer, Offers, SESSIONS_MOST, Session};
use vestibule::auth::token::{HashedToken, PendingToken, SessionToken};
use vestibule::base::clock::Timestamp;

use super::places::{ShortLived, ShortLivedPorts};
use super::samples::{account_id, at_once, identity, login, session, token};

const IDLE: Duration = Duration::from_mins(30);

async fn pending<S: ShortLivedPorts>(
    place: &ShortLived<S>,
    who: &Identity,
) -> HashedToken<PendingToken> {
    let id = token();
    place.one.begin(&id, &login(who.account, place.now()), place.now()).await.unwrap();
    id
}

async fn signed_in<S: ShortLivedPorts>(
    place: &ShortLived<S>,
    who: &Identity,
) -> (HashedToken<SessionToken>, Session) {
    let (from, id) = (pending(place, who).await, token());
    let session = session(who.clone(), place.now());
    assert!(place.one.promote(&from, &id, &session, IDLE).await.unwrap());
    (id, session)
}

async fn a_login_becomes_a_session_once<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let who = identity("alice");
    let from = pending(place, &who).await;
    let (ids, now) = ((0..20).map(|_| token()).collect::<Vec<_>>(), place.now());
    let promoted = at_once(20, |i| {
        let (store, id, session) = (place.either(i), ids[i], session(who.clone(), now));
        async move { store.promote(&from, &id, &session, IDLE).await.unwrap() }
    })
    .await;
    assert_eq!(promoted.iter().filter(|p| **p).count(), 1);
    for (id, promoted) in ids.iter().zip(&promoted) {
        assert_eq!(S::load_session(&place.two, id).await.is_some(), *promoted);
    }
    assert_eq!(S::load_login(&place.two, &from, now).await, None, "the login is over");
    assert_eq!(place.one.list(None, now).await.unwrap().len(), 1);
}

async fn a_login_that_is_over_becomes_no_session<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let who = identity("bob");
    let (ended, expired) = (pending(place, &who).await, pending(place, &who).await);
    S::end_login(&place.one, &ended).await;
    place.pass(Duration::from_mins(10)).await;
    for from in [ended, expired, token()] {
        let (id, session) = (token(), session(who.clone(), place.now()));
        assert!(!place.two.promote(&from, &id, &session, IDLE).await.unwrap());
        assert_eq!(S::load_session(&place.one, &id).await, None);
    }
}

async fn a_session_comes_back_as_it_was_filed<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (id, mut filed) = signed_in(place, &identity("carol")).await;
    assert_eq!(S::load_session(&place.two, &id).await, Some(filed.clone()));
    place.two.recovery_codes_done(&id).await.unwrap();
    filed.recovery_codes_due = None;
    place.pass(Duration::from_mins(5)).await;
    place.two.touch(&id, place.now(), IDLE).await.unwrap();
    filed.last_seen_at = place.now();
    assert_eq!(S::load_session(&place.one, &id).await, Some(filed.clone()));
    let earlier = filed.started_at;
    place.two.touch(&id, earlier, Duration::from_secs(1)).await.unwrap();
    assert_eq!(S::load_session(&place.one, &id).await, Some(filed), "a late touch changes nothing");
}

async fn a_used_session_lives_on_and_an_unused_one_ends<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let who = identity("dave");
    let (used, _) = signed_in(place, &who).await;
    let (unused, _) = signed_in(place, &who).await;
    for _ in 0..4 {
        place.pass(Duration::from_mins(20)).await;
        place.one.touch(&used, place.now(), IDLE).await.unwrap();
    }
    let listed = place.two.list(Some(who.account), place.now()).await.unwrap();
    assert_eq!(listed.len(), 1, "what has lapsed is not listed");
    assert_eq!(listed.first().unwrap().last_seen_at, place.now());
    place.one.touch(&unused, place.now(), IDLE).await.unwrap();
    assert_eq!(place.two.list(None, place.now()).await.unwrap().len(), 1, "and stays lapsed");
    assert_eq!(place.two.end_account(who.account).await.unwrap(), 1, "it is still found");
    assert_eq!(S::load_session(&place.one, &used).await, None);
}

async fn a_sign_in_beyond_the_maximum_ends_the_session_that_expires_first<S: ShortLivedPorts>(
    place: &ShortLived<S>,
) {
    let (who, other) = (identity("sven"), identity("tina"));
    let (elsewhere, _) = signed_in(place, &other).await;
    let begun = pending(place, &who).await;
    let sign_in = async |ttl| {
        let (from, id) = (pending(place, &who).await, token());
        let session = session(who.clone(), place.now());
        assert!(place.one.promote(&from, &id, &session, ttl).await.unwrap());
        id
    };
    let mut ids = Vec::new();
    for n in 0..u64::from(SESSIONS_MOST) {
        ids.push(sign_in(IDLE + Duration::from_secs(n)).await);
    }
    // The oldest is in use.
    place.two.touch(&ids[0], place.now(), IDLE * 4).await.unwrap();
    let live = async |ids: &[HashedToken<SessionToken>]| {
        let read = place.two.load_all(ids).await.unwrap();
        read.iter().map(|one| one.as_ref().unwrap().is_some()).collect::<Vec<_>>()
    };
    let most = usize::try_from(SESSIONS_MOST).unwrap();
    assert_eq!(live(&ids).await, vec![true; most]);

    ids.push(sign_in(IDLE * 2).await);
    let mut expected = vec![true; most + 1];
    expected[1] = false;
    assert_eq!(live(&ids).await, expected);
    let listed = place.two.list(Some(who.account), place.now()).await.unwrap();
    assert_eq!(listed.len(), most);

    // The new one stays even if it expires first.
    ids.push(sign_in(Duration::from_mins(1)).await);
    expected.push(true);
    expected[2] = false;
    assert_eq!(live(&ids).await, expected);
    assert!(S::load_session(&place.two, &elsewhere).await.is_some(), "another account");
    let login = S::load_login(&place.two, &begun, place.now()).await;
    assert!(login.is_some(), "a login is no session");
    assert_eq!(place.two.end_account(who.account).await.unwrap(), u64::from(SESSIONS_MOST));
}

async fn nothing_brings_back_an_ended_session<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (id, _) = signed_in(place, &identity("erin")).await;
    assert!(S::end_session(&place.one, &id).await);
    place.two.touch(&id, place.now(), IDLE).await.unwrap();
    place.two.recovery_codes_done(&id).await.unwrap();
    assert_eq!(S::load_session(&place.one, &id).await, None);
    assert!(place.one.list(None, place.now()).await.unwrap().is_empty());

    let (id, _) = signed_in(place, &identity("erin")).await;
    let now = place.now();
    at_once(40, |i| {
        let store = place.either(i);
        async move {
            if i == 20 {
                assert!(S::end_session(&store, &id).await);
            } else {
                store.touch(&id, now, IDLE).await.unwrap();
            }
        }
    })
    .await;
    assert_eq!(S::load_session(&place.two, &id).await, None);
}

async fn of_all_who_end_a_session_one_did<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (id, _) = signed_in(place, &identity("olga")).await;
    let ended = at_once(20, |i| {
        let store = place.either(i);
        async move { S::end_session(&store, &id).await }
    })
    .await;
    assert_eq!(ended.iter().filter(|ended| **ended).count(), 1);
    assert!(!S::end_session(&place.two, &token()).await, "there never was one");
}

async fn a_session_is_ended_by_its_public_id<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let who = identity("frank");
    let (id, filed) = signed_in(place, &who).await;
    let (other, _) = signed_in(place, &who).await;
    let [owner, stranger] = [who.account, identity("frances").account].map(Some);
    assert!(!place.two.end_by_id(filed.id, stranger).await.unwrap());
    assert!(S::load_session(&place.one, &id).await.is_some(), "it is of another account");
    assert!(place.two.end_by_id(filed.id, owner).await.unwrap());
    assert!(!place.two.end_by_id(filed.id, owner).await.unwrap());
    assert!(!place.two.end_by_id(filed.id, None).await.unwrap());
    assert_eq!(S::load_session(&place.one, &id).await, None);
    assert!(S::load_session(&place.one, &other).await.is_some());
}

async fn all_of_an_account_ends_and_nothing_of_others<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (who, neighbour) = (identity("grace"), identity("heidi"));
    let (one, _) = signed_in(place, &who).await;
    let (two, _) = signed_in(place, &who).await;
    let waiting = pending(place, &who).await;
    let (theirs, _) = signed_in(place, &neighbour).await;
    let waiting_too = pending(place, &neighbour).await;
    assert_eq!(place.two.list(Some(who.account), place.now()).await.unwrap().len(), 2);
    assert_eq!(place.two.end_account(who.account).await.unwrap(), 2);
    assert_eq!(place.two.end_account(account_id()).await.unwrap(), 0);
    for id in [one, two] {
        assert_eq!(S::load_session(&place.one, &id).await, None);
    }
    assert_eq!(S::load_login(&place.one, &waiting, place.now()).await, None);
    let late = session(who, place.now());
    assert!(!place.one.promote(&waiting, &token(), &late, IDLE).await.unwrap());
    assert!(S::load_session(&place.one, &theirs).await.is_some());
    assert!(S::load_login(&place.one, &waiting_too, place.now()).await.is_some());
}

async fn all_there_is_can_be_ended<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let waiting = pending(place, &identity("ivan")).await;
    for i in 0..30 {
        signed_in(place, &identity(&format!("user{i}"))).await;
    }
    assert_eq!(place.two.end_all().await.unwrap(), 30);
    assert!(place.one.list(None, place.now()).await.unwrap().is_empty());
    assert_eq!(S::load_login(&place.one, &waiting, place.now()).await, None);
    let (fresh, _) = signed_in(place, &identity("judy")).await;
    assert!(S::load_session(&place.two, &fresh).await.is_some());
    S::ping_sessions(&place.two).await;
}

async fn sessions_are_listed_newest_first<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let who = identity("mia");
    let mut newest_first = Vec::new();
    for _ in 0..3 {
        newest_first.insert(0, signed_in(place, &who).await.1);
        place.pass(Duration::from_secs(10)).await;
    }
    signed_in(place, &identity("noah")).await;
    let mine = place.two.list(Some(who.account), place.now()).await.unwrap();
    assert_eq!(mine, newest_first);
    let all = place.two.list(None, place.now()).await.unwrap();
    assert_eq!(all.len(), 4);
    assert_eq!(all[1..], newest_first);
    place.pass(IDLE).await;
    assert!(place.two.list(None, place.now()).await.unwrap().is_empty());
    assert!(place.two.list(Some(who.account), place.now()).await.unwrap().is_empty());
}

/// The session as it goes on under a new id.
fn renewed(former: &Session, now: Timestamp) -> Session {
    Session {
        id: session(former.identity.clone(), now).id,
        renewed_since: Some(former.signed_in_at()),
        started_at: now,
        last_seen_at: now,
        second_factor_at: now,
        ..former.clone()
    }
}

async fn a_session_goes_on_under_one_new_id_only<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (old, filed) = signed_in(place, &identity("olga")).await;
    place.pass(Duration::from_mins(5)).await;
    let (ids, now) = ((0..20).map(|_| token()).collect::<Vec<_>>(), place.now());
    let won = at_once(20, |i| {
        let (store, id, next) = (place.either(i), ids[i], renewed(&filed, now));
        async move { store.renew(&old, &id, &next, None, IDLE).await.unwrap() }
    })
    .await;
    assert_eq!(won.iter().filter(|w| **w).count(), 1);
    for (id, won) in ids.iter().zip(&won) {
        let found = S::load_session(&place.two, id).await;
        assert_eq!(found.is_some(), *won);
        if let Some(found) = found {
            assert_eq!(found, Session { id: found.id, ..renewed(&filed, now) });
        }
    }
    assert_eq!(S::load_session(&place.one, &old).await, None, "the old one is over");
    assert!(!place.one.end_by_id(filed.id, None).await.unwrap(), "and its public id with it");
    let listed = place.two.list(Some(filed.identity.account), now).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert!(place.one.end_by_id(listed[0].id, None).await.unwrap());
}

async fn an_ended_or_lapsed_session_is_not_renewed<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let who = identity("peggy");
    let (ended, filed) = signed_in(place, &who).await;
    let (lapsed, _) = signed_in(place, &who).await;
    assert!(S::end_session(&place.one, &ended).await);
    place.pass(IDLE).await;
    for old in [ended, lapsed, token()] {
        let new = token();
        assert!(
            !place.two.renew(&old, &new, &renewed(&filed, place.now()), None, IDLE).await.unwrap()
        );
        assert_eq!(S::load_session(&place.one, &new).await, None);
    }
}

async fn the_first_offer_holds_until_it_is_taken_once<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (id, filed) = signed_in(place, &identity("quinn")).await;
    let (other, _) = signed_in(place, &identity("quinn")).await;
    let offered = at_once(20, |i| {
        let store = place.either(i);
        async move {
            store.offer(&id, Offer::Authenticator, &format!("sealed {i}")).await.unwrap().unwrap()
        }
    })
    .await;
    assert!(offered.iter().all(|o| o == &offered[0]), "{offered:?}");
    let held = place.two.offer(&id, Offer::RecoveryCodes, "codes").await.unwrap();
    assert_eq!(held.as_deref(), Some("codes"));
    let found = S::load_session(&place.two, &id).await.unwrap();
    assert_eq!(found.offers.authenticator.as_ref(), Some(&offered[0]));
    assert_eq!(found.offers.recovery_codes.as_deref(), Some("codes"));
    assert_eq!(S::load_session(&place.two, &other).await.unwrap().offers, Offers::default());

    let (next, renewal) = (token(), renewed(&found, place.now()));
    assert!(place.one.renew(&id, &next, &renewal, None, IDLE).await.unwrap());
    assert_eq!(S::load_session(&place.two, &next).await, Some(renewal), "offers go along");
    let taken = at_once(20, |i| {
        let store = place.either(i);
        async move { store.withdraw(&next, Offer::Authenticator).await.unwrap() }
    })
    .await;
    assert_eq!(taken.iter().filter(|t| **t).count(), 1);
    let left = S::load_session(&place.one, &next).await.unwrap().offers;
    assert_eq!((left.authenticator, left.recovery_codes.as_deref()), (None, Some("codes")));
    assert_eq!(place.one.offer(&id, Offer::Authenticator, "x").await.unwrap(), None);
    assert!(!place.one.withdraw(&token(), Offer::RecoveryCodes).await.unwrap());

    // Who renews read the session before its offer was withdrawn: that does not bring it back.
    let (third, stale) = (token(), renewed(&found, place.now()));
    assert!(stale.offers.authenticator.is_some());
    assert!(place.two.renew(&next, &third, &stale, None, IDLE).await.unwrap());
    let left = S::load_session(&place.one, &third).await.unwrap().offers;
    assert_eq!((left.authenticator, left.recovery_codes.as_deref()), (None, Some("codes")));
    let (last, others) =
        (token(), Offers { authenticator: None, recovery_codes: Some("new".into()) });
    assert!(place.one.renew(&third, &last, &stale, Some(&others), IDLE).await.unwrap());
    assert_eq!(S::load_session(&place.two, &last).await.unwrap().offers, others);
    assert_eq!(filed.offers, Offers::default());
}

async fn all_others_of_an_account_end_and_one_stays<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let (who, neighbour) = (identity("rosa"), identity("sven"));
    let (mine, _) = signed_in(place, &who).await;
    let (other, _) = signed_in(place, &who).await;
    let waiting = pending(place, &who).await;
    let (theirs, _) = signed_in(place, &neighbour).await;
    assert_eq!(place.two.end_others(who.account, &mine).await.unwrap(), 1);
    assert!(S::load_session(&place.one, &mine).await.is_some());
    assert_eq!(S::load_session(&place.one, &other).await, None);
    assert_eq!(S::load_login(&place.one, &waiting, place.now()).await, None);
    assert!(S::load_session(&place.one, &theirs).await.is_some());
    let listed = place.one.list(Some(who.account), place.now()).await.unwrap();
    assert_eq!(listed.len(), 1, "the one that stays is still found");
    assert_eq!(place.two.end_account(who.account).await.unwrap(), 1);
}

async fn changes_to_an_identity_are_counted_in_each_of_its_sessions<S: ShortLivedPorts>(
    place: &ShortLived<S>,
) {
    let (who, neighbour) = (identity("tove"), identity("uwe"));
    let (one, _) = signed_in(place, &who).await;
    let (two, _) = signed_in(place, &who).await;
    let (theirs, _) = signed_in(place, &neighbour).await;
    let changes = async |id| S::load_session(&place.two, id).await.unwrap().identity_changes;
    place.one.identity_changed(who.account).await.unwrap();
    assert_eq!((changes(&one).await, changes(&two).await, changes(&theirs).await), (1, 1, 0));
    place.two.identity_changed(who.account).await.unwrap();
    assert_eq!(changes(&one).await, 2);
    assert!(S::end_session(&place.one, &one).await);
    place.one.identity_changed(who.account).await.unwrap();
    assert_eq!(S::load_session(&place.one, &one).await, None, "nothing is brought back");
}

async fn many_sessions_are_read_as_each_of_them_is<S: ShortLivedPorts>(place: &ShortLived<S>) {
    let who = identity("vera");
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(signed_in(place, &who).await.0);
    }
    place.one.identity_changed(who.account).await.unwrap();
    place.one.offer(&ids[1], Offer::RecoveryCodes, "codes").await.unwrap();
    assert!(S::end_session(&place.one, &ids[3]).await);
    ids.extend([token(), ids[0]]);
    let mut each = Vec::new();
    for id in &ids {
        each.push(Ok(S::load_session(&place.two, id).await));
    }
    assert_eq!(place.two.load_all(&ids).await.unwrap(), each);
    assert_eq!(each.iter().flatten().flatten().count(), 5);
    assert_eq!(place.two.load_all(&[]).await.unwrap(), []);
}

async fn a_record_that_cannot_be_read_concerns_no_other_session<S: ShortLivedPorts>(
    place: &ShortLived<S>,
) {
    let who = identity("wendy");
    let (good, first) = signed_in(place, &who).await;
    let (bad, unreadable) = signed_in(place, &who).await;
    let (worse, _) = signed_in(place, &who).await;
    let (last, other) = signed_in(place, &identity("xaver")).await;
    place.damage(&bad).await;
    place.damage(&worse).await;
    let all = place.two.load_all(&[good, bad, last, worse, token()]).await.unwrap();
    let (good_one, last_one) = (Ok(Some(first.clone())), Ok(Some(other.clone())));
    assert_eq!(all, [good_one, Err(Unreadable), last_one, Err(Unreadable), Ok(None)]);
    assert!(SessionLookup::load(&place.two, &bad).await.is_err(), "not as if it had ended");
    let ids = |listed: Vec<Session>| {
        let mut ids: Vec<_> = listed.iter().map(|session| session.id).collect();
        ids.sort_unstable();
        ids
    };
    let listed = place.one.list(Some(who.account), place.now()).await.unwrap();
    assert_eq!(ids(listed), [first.id]);
    let mut both = [first.id, other.id];
    both.sort_unstable();
    assert_eq!(ids(place.one.list(None, place.now()).await.unwrap()), both);
    assert!(place.one.end_by_id(unreadable.id, Some(who.account)).await.unwrap());
    assert!(S::end_session(&place.one, &worse).await);
    let all = place.two.load_all(&[bad, worse]).await.unwrap();
    assert_eq!(all, [Ok(None), Ok(None)]);
    place.damage(&last).await;
    assert_eq!(place.one.end_account(other.identity.account).await.unwrap(), 1);
    assert_eq!(place.two.load_all(&[last]).await.unwrap(), [Ok(None)]);
}

super::on_session_stores!(
    a_sign_in_beyond_the_maximum_ends_the_session_that_expires_first,
    a_record_that_cannot_be_read_concerns_no_other_session,
    many_sessions_are_read_as_each_of_them_is,
    changes_to_an_identity_are_counted_in_each_of_its_sessions,
    a_session_goes_on_under_one_new_id_only,
    an_ended_or_lapsed_session_is_not_renewed,
    the_first_offer_holds_until_it_is_taken_once,
    all_others_of_an_account_end_and_one_stays,
    a_login_becomes_a_session_once,
    a_login_that_is_over_becomes_no_session,
    a_session_comes_back_as_it_was_filed,
    a_used_session_lives_on_and_an_unused_one_ends,
    nothing_brings_back_an_ended_session,
    of_all_who_end_a_session_one_did,
    a_session_is_ended_by_its_public_id,
    all_of_an_account_ends_and_nothing_of_others,
    all_there_is_can_be_ended,
    sessions_are_listed_newest_first,
);
