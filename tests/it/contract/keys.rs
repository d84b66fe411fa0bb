//! Several keys of an account, on every database.

use std::time::Duration;

use vestibule::auth::authenticator::{AuthenticatorKind, AuthenticatorUse, NewAuthenticator};
use vestibule::auth::ports::{Added, AuthenticatorAdded, AuthenticatorRemoved, RemovedBy};
use vestibule::base::clock::Timestamp;
use vestibule::base::id::{AccountId, FactorId};

use super::places::{Durable, DurablePorts};
use super::samples::{account, at_once, factor, start};

const KIND: AuthenticatorKind = AuthenticatorKind::Webauthn;

fn later() -> Timestamp {
    start().plus(Duration::from_mins(1))
}

fn by(rp_id: Option<&str>) -> RemovedBy<'_> {
    RemovedBy { since: start(), keys: true, rp_id }
}

fn key(account: AccountId, lookup: &str) -> NewAuthenticator {
    NewAuthenticator {
        kind: KIND,
        name: format!("key {lookup}"),
        lookup: Some(lookup.to_owned()),
        rp_id: Some("gw.test".to_owned()),
        ..factor(account, 0)
    }
}

/// An account with an authenticator app.
async fn somebody<S: DurablePorts>(place: &Durable<S>, name: &str) -> AccountId {
    let new = account(name);
    assert_eq!(place.one.add(&new).await.unwrap(), Added::Yes);
    let id = new.identity.account;
    assert!(place.one.enrol_first(&factor(id, 100), start()).await.unwrap());
    id
}

async fn held<S: DurablePorts>(place: &Durable<S>, id: AccountId) -> Vec<FactorId> {
    let all = place.two.authenticators(id).await.unwrap();
    all.into_iter().map(|one| one.id).collect()
}

async fn a_key_is_added_and_found_by_its_lookup_key<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "alice").await;
    let new = key(id, "one");
    assert_eq!(
        place.one.add_authenticator(&new, 10, start()).await.unwrap(),
        AuthenticatorAdded::Yes
    );
    let found = place.two.authenticator_by("one").await.unwrap().unwrap();
    assert_eq!((found.id, found.account, found.kind), (new.id, id, KIND));
    assert_eq!(found.rp_id.as_deref(), Some("gw.test"));
    assert!(place.two.authenticator_by("two").await.unwrap().is_none());
    let other = somebody(place, "mallory").await;
    let again = place.two.add_authenticator(&key(other, "one"), 10, start()).await.unwrap();
    assert_eq!(again, AuthenticatorAdded::Registered, "of another account");
}

async fn of_many_keys_added_at_once_only_so_many_are_kept<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "bob").await;
    let added = at_once(20, |i| {
        let (store, new) = (place.either(i), key(id, &format!("{i}")));
        async move { store.add_authenticator(&new, 3, start()).await.unwrap() }
    })
    .await;
    assert_eq!(added.iter().filter(|done| **done == AuthenticatorAdded::Yes).count(), 3);
    assert_eq!(held(place, id).await.len(), 4, "three keys and the app");
}

async fn a_session_that_has_ended_adds_and_removes_no_key<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "carol").await;
    let new = key(id, "one");
    assert_eq!(
        place.one.add_authenticator(&new, 9, start()).await.unwrap(),
        AuthenticatorAdded::Yes
    );
    assert!(place.one.set_disabled(id, true, later()).await.unwrap());
    assert!(place.one.set_disabled(id, false, later()).await.unwrap());
    let added = place.two.add_authenticator(&key(id, "two"), 9, start()).await.unwrap();
    assert_eq!(added, AuthenticatorAdded::Ended);
    let removed = place.two.remove_authenticator(id, (KIND, new.id), Some(by(None)), later());
    assert_eq!(removed.await.unwrap(), AuthenticatorRemoved::Ended);
    assert_eq!(held(place, id).await.len(), 2);
}

async fn of_two_keys_removed_at_once_one_stays<S: DurablePorts>(place: &Durable<S>) {
    let new = account("dora");
    assert_eq!(place.one.add(&new).await.unwrap(), Added::Yes);
    let id = new.identity.account;
    let keys = [key(id, "one"), key(id, "two")];
    assert!(place.one.enrol_first(&keys[0], start()).await.unwrap());
    let added = place.one.add_authenticator(&keys[1], 9, start()).await.unwrap();
    assert_eq!(added, AuthenticatorAdded::Yes);
    let removed = at_once(2, |i| {
        let (store, key) = (place.either(i), keys[i].id);
        async move {
            store.remove_authenticator(id, (KIND, key), Some(by(None)), start()).await.unwrap()
        }
    })
    .await;
    let gone = removed.iter().filter(|r| matches!(r, AuthenticatorRemoved::Yes { .. })).count();
    assert_eq!((gone, held(place, id).await.len()), (1, 1), "{removed:?}");
    // An operator removes the last one, too.
    let last = held(place, id).await[0];
    let removed = place.one.remove_authenticator(id, (KIND, last), None, later()).await.unwrap();
    assert!(matches!(removed, AuthenticatorRemoved::Yes { .. }));
    let account = place.two.by_id(id).await.unwrap().unwrap();
    assert!(account.ever_enrolled && account.sessions_valid_from == later());
}

/// A key of another relying party, any key where none is accepted, and a suspended app let nobody in.
async fn one_that_works_stays<S: DurablePorts>(place: &Durable<S>) {
    let new = account("frida");
    assert_eq!(place.one.add(&new).await.unwrap(), Added::Yes);
    let id = new.identity.account;
    let orphan = NewAuthenticator { rp_id: Some("former.test".to_owned()), ..key(id, "former") };
    let good = key(id, "good");
    assert!(place.one.enrol_first(&orphan, start()).await.unwrap());
    let added = place.one.add_authenticator(&good, 9, start()).await.unwrap();
    assert_eq!(added, AuthenticatorAdded::Yes);
    let none = RemovedBy { keys: false, ..by(None) };
    for by in [by(Some("gw.test")), none] {
        let removed = place.two.remove_authenticator(id, (KIND, good.id), Some(by), start());
        assert_eq!(removed.await.unwrap(), AuthenticatorRemoved::Last, "{by:?}");
    }
    let which = (KIND, orphan.id);
    let removed = place.two.remove_authenticator(id, which, Some(by(Some("gw.test"))), start());
    assert!(matches!(removed.await.unwrap(), AuthenticatorRemoved::Yes { .. }));
    assert_eq!(held(place, id).await, [good.id]);
}

/// A session by the second factor of an app, whose user never enrolled one here.
async fn a_key_that_is_the_first_factor_marks_the_account<S: DurablePorts>(place: &Durable<S>) {
    let new = account("gina");
    assert_eq!(place.one.add(&new).await.unwrap(), Added::Yes);
    let id = new.identity.account;
    let added = place.one.add_authenticator(&key(id, "first"), 9, start()).await.unwrap();
    assert_eq!(added, AuthenticatorAdded::Yes);
    assert!(place.two.by_id(id).await.unwrap().unwrap().ever_enrolled);
    assert!(!place.two.enrol_first(&factor(id, 100), start()).await.unwrap());
}

async fn a_key_is_renamed_and_removed_by_its_own_account_only<S: DurablePorts>(place: &Durable<S>) {
    let (id, other) = (somebody(place, "emil").await, somebody(place, "mallory").await);
    let new = key(id, "one");
    assert_eq!(
        place.one.add_authenticator(&new, 9, start()).await.unwrap(),
        AuthenticatorAdded::Yes
    );
    let which = (KIND, new.id);
    assert!(!place.two.rename_authenticator(other, which, "mine").await.unwrap());
    let removed =
        place.two.remove_authenticator(other, which, Some(by(None)), start()).await.unwrap();
    assert_eq!(removed, AuthenticatorRemoved::Unknown);
    let app = (AuthenticatorKind::Totp, new.id);
    assert!(!place.two.rename_authenticator(id, app, "no key").await.unwrap());
    assert!(place.two.rename_authenticator(id, which, "blue").await.unwrap());
    let found = place.one.authenticator_by("one").await.unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.account), ("blue", id));
}

async fn a_counter_only_advances_and_none_is_as_good_as_zero<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "frida").await;
    let new = key(id, "one");
    assert_eq!(
        place.one.add_authenticator(&new, 9, start()).await.unwrap(),
        AuthenticatorAdded::Yes
    );
    let used = async |counter, sealed: Option<&str>| {
        let sealed = sealed.map(str::to_owned);
        let used = AuthenticatorUse { account: id, id: new.id, counter, sealed, at: later() };
        place.two.use_authenticator(&used).await.unwrap()
    };
    assert!(used(0, None).await && used(0, None).await, "without a counter");
    assert!(used(7, Some("v1.k1.other")).await);
    for back in [0, 6, 7] {
        assert!(!used(back, Some("v1.k1.never")).await, "counter {back}");
    }
    let found = place.one.authenticator_by("one").await.unwrap().unwrap();
    assert_eq!((found.counter, found.sealed.as_str()), (7, "v1.k1.other"));
    let many = at_once(20, |i| {
        let store = place.either(i);
        let used =
            AuthenticatorUse { account: id, id: new.id, counter: 8, sealed: None, at: later() };
        async move { store.use_authenticator(&used).await.unwrap() }
    })
    .await;
    assert_eq!(many.into_iter().filter(|won| *won).count(), 1);
}

super::on_both_databases!(
    a_key_is_added_and_found_by_its_lookup_key,
    of_many_keys_added_at_once_only_so_many_are_kept,
    a_session_that_has_ended_adds_and_removes_no_key,
    of_two_keys_removed_at_once_one_stays,
    a_key_is_renamed_and_removed_by_its_own_account_only,
    one_that_works_stays,
    a_key_that_is_the_first_factor_marks_the_account,
    a_counter_only_advances_and_none_is_as_good_as_zero,
);
