//! Second factors and recovery codes, on every database.

use std::time::Duration;

use vestibule::auth::authenticator::NewAuthenticator;
use vestibule::auth::ports::{Added, AuthenticatorAdded, LinkEnded};
use vestibule::auth::session::EndOf;
use vestibule::base::id::AccountId;

use super::places::{Durable, DurablePorts};
use super::samples::{
    account, account_id, at_once, code, factor, factor_id, password, recovery, start, unseen,
};

async fn somebody<S: DurablePorts>(place: &Durable<S>, name: &str) -> AccountId {
    let new = account(name);
    assert_eq!(place.one.add(&new).await.unwrap(), Added::Yes);
    new.identity.account
}

async fn the_first_authenticator_is_the_only_first<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "alice").await;
    let enrolled = at_once(20, |i| {
        let store = place.either(i);
        async move { store.enrol_first(&factor(id, 100), start()).await.unwrap() }
    })
    .await;
    assert_eq!(enrolled.iter().filter(|e| **e).count(), 1);
    assert!(!place.two.enrol_first(&factor(id, 100), start()).await.unwrap());
    assert!(place.two.by_id(id).await.unwrap().unwrap().ever_enrolled);
    let held = place.two.app(id).await.unwrap();
    assert_eq!((held.created_at, held.last_used_at), (start(), Some(start())));
    assert_eq!(held.sealed, "v1.k1.sealed");
    assert!(
        !place.one.enrol_first(&factor(account_id(), 1), start()).await.unwrap(),
        "no such account"
    );
}

async fn a_first_authenticator_needs_a_login_that_the_account_still_accepts<S: DurablePorts>(
    place: &Durable<S>,
) {
    let (since, ended) = (start(), start().plus(Duration::from_secs(5)));
    let until = start().plus(Duration::from_hours(1));
    let ids = [
        somebody(place, "ines").await,
        somebody(place, "jonas").await,
        somebody(place, "karl").await,
    ];
    let [disabled, set, signed_out] = ids;
    assert!(place.two.set_disabled(disabled, true, ended).await.unwrap());
    place.two.set_password(set, &password("$two"), Some(ended)).await.unwrap().unwrap();
    let end = EndOf::Account { id: signed_out, keep: None };
    place.two.record_end(&end, ended, until).await.unwrap();
    for id in ids {
        assert!(!place.one.enrol_first(&factor(id, 100), since).await.unwrap());
        assert!(place.two.app(id).await.is_none());
        assert!(!place.two.by_id(id).await.unwrap().unwrap().ever_enrolled);
    }
    assert!(!place.one.enrol_first(&factor(disabled, 100), ended).await.unwrap(), "disabled");
    for id in [set, signed_out] {
        assert!(place.one.enrol_first(&factor(id, 100), ended).await.unwrap(), "begun after it");
        assert!(place.two.app(id).await.is_some());
    }
}

async fn an_ended_session_changes_no_credential<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "lena").await;
    assert!(place.one.enrol_first(&factor(id, 100), start()).await.unwrap());
    let (ended, until) =
        (start().plus(Duration::from_secs(5)), start().plus(Duration::from_hours(1)));
    let end = EndOf::Account { id, keep: None };
    place.two.record_end(&end, ended, until).await.unwrap();
    let (new, codes) = (password("$own"), recovery(id, "new"));
    for (since, changes) in [(start(), false), (ended, true)] {
        let changed = place.one.change_password(id, &new, since, ended).await.unwrap();
        assert_eq!(changed.is_some(), changes);
        let replaced = place.one.replace_authenticator(&factor(id, 200), &codes, since).await;
        assert_eq!(replaced.unwrap().is_some(), changes);
        let added = place.one.add_authenticator(&factor(id, 300), 10, since).await.unwrap();
        assert_eq!(added != AuthenticatorAdded::Ended, changes, "{added:?}");
    }
}

async fn a_step_is_used_by_one_of_fifty_at_once<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "bob").await;
    let new = factor(id, 100);
    assert!(place.one.enrol_first(&new, start()).await.unwrap());
    for round in 101..104 {
        let used = at_once(50, |i| {
            let (store, factor) = (place.either(i), new.id);
            async move { store.use_step(id, factor, round, start()).await }
        })
        .await;
        assert_eq!(used.iter().filter(|u| **u).count(), 1, "step {round}");
    }
}

async fn a_step_not_after_the_last_is_refused<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "carol").await;
    let new = factor(id, 100);
    assert!(place.one.enrol_first(&new, start()).await.unwrap());
    let later = start().plus(Duration::from_secs(90));
    let consume = |n| place.two.use_step(id, new.id, n, later);
    assert!(!consume(100).await, "the confirming step is used already");
    assert!(!consume(99).await);
    assert!(consume(102).await);
    assert!(!consume(102).await);
    assert!(!consume(101).await, "skipped is gone");
    assert!(consume(103).await);
    assert_eq!(place.one.app(id).await.unwrap().last_used_at, Some(later));
    let other = somebody(place, "mallory").await;
    let foreign = place.one.use_step(other, new.id, 500, later).await;
    assert!(!foreign, "another account's factor");
    let unknown = place.one.use_step(id, factor_id(), 500, later).await;
    assert!(!unknown);
}

async fn no_two_authenticators_are_found_by_one_lookup_key<S: DurablePorts>(place: &Durable<S>) {
    let (first, second) = (somebody(place, "nina").await, somebody(place, "omar").await);
    let keyed = |account, lookup: &str| NewAuthenticator {
        lookup: Some(lookup.to_owned()),
        ..factor(account, 100)
    };
    assert!(place.one.enrol_first(&keyed(first, "digest"), start()).await.unwrap());
    assert!(!place.two.enrol_first(&keyed(second, "digest"), start()).await.unwrap());
    assert!(!place.one.by_id(second).await.unwrap().unwrap().ever_enrolled, "nothing was changed");
    let (taken, codes) = (keyed(second, "digest"), recovery(second, "salt"));
    assert!(place.two.enrol_first(&factor(second, 100), start()).await.unwrap());
    let replaced = place.two.replace_authenticator(&taken, &codes, start()).await.unwrap();
    assert_eq!(replaced, None);
    assert_ne!(place.one.app(second).await.unwrap().id, taken.id, "the present one stays");
    assert!(place.one.remove(first).await.unwrap());
    let replaced = place.two.replace_authenticator(&taken, &codes, start()).await.unwrap();
    assert!(replaced.is_some(), "it went with its account");
}

async fn a_recovery_code_is_used_by_one_of_fifty_at_once<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "dave").await;
    place.one.replace_recovery(&recovery(id, "salt"), start()).await.unwrap();
    let left = at_once(50, |i| {
        let store = place.either(i);
        async move { store.consume_recovery(id, &code(3), start()).await.unwrap() }
    })
    .await;
    let winners: Vec<u32> = left.into_iter().flatten().collect();
    assert_eq!(winners, [9]);
    assert_eq!(place.two.recovery_set(id).await.unwrap().unwrap().left, 9);
    let used = async |n| place.two.recovery_was_used(id, &code(n)).await.unwrap();
    assert_eq!((used(3).await, used(4).await, used(77).await), (true, false, false));
    let stranger = somebody(place, "mallory").await;
    assert!(!place.one.recovery_was_used(stranger, &code(3)).await.unwrap());
}

async fn the_number_of_codes_left_is_exact<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "erin").await;
    place.one.replace_recovery(&recovery(id, "salt"), start()).await.unwrap();
    let left = at_once(10, |i| {
        let store = place.either(i);
        async move { store.consume_recovery(id, &code(i), start()).await.unwrap() }
    })
    .await;
    let mut left: Vec<u32> = left.into_iter().map(|l| l.expect("each code is good once")).collect();
    left.sort_unstable();
    assert_eq!(left, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

async fn a_code_of_somebody_else_is_worth_nothing<S: DurablePorts>(place: &Durable<S>) {
    let (mine, theirs) = (somebody(place, "frank").await, somebody(place, "grace").await);
    place.one.replace_recovery(&recovery(mine, "salt"), start()).await.unwrap();
    assert_eq!(place.one.consume_recovery(theirs, &code(1), start()).await.unwrap(), None);
    assert_eq!(place.one.consume_recovery(mine, &code(77), start()).await.unwrap(), None);
    assert_eq!(place.one.recovery_set(mine).await.unwrap().unwrap().left, 10);
}

async fn new_codes_are_for_sessions_that_the_account_honours<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "ivy").await;
    assert!(place.one.replace_recovery(&recovery(id, "first"), start()).await.unwrap());
    let later = start().plus(Duration::from_mins(1));
    place.two.set_password(id, &password("$two"), Some(later)).await.unwrap().unwrap();
    assert!(!place.one.replace_recovery(&recovery(id, "late"), start()).await.unwrap());
    assert!(place.one.replace_recovery(&recovery(id, "second"), later).await.unwrap());
    assert!(place.two.set_disabled(id, true, later).await.unwrap());
    assert!(!place.one.replace_recovery(&recovery(id, "late"), later).await.unwrap());
    assert!(!place.one.replace_recovery(&recovery(account_id(), "nobody"), later).await.unwrap());
    assert_eq!(place.one.recovery_set(id).await.unwrap().unwrap().salt, "second");
}

async fn new_codes_replace_all_old_ones<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "heidi").await;
    assert!(!place.one.confirm_recovery_by(id, &code(0), start()).await.unwrap(), "none yet");
    place.one.replace_recovery(&recovery(id, "first"), start()).await.unwrap();
    assert!(place.one.confirm_recovery_by(id, &code(0), start()).await.unwrap());
    assert_eq!(place.one.consume_recovery(id, &code(0), start()).await.unwrap(), Some(9));
    let mut second = recovery(id, "second");
    second.hashes = (100..110).map(code).collect();
    place.two.replace_recovery(&second, start()).await.unwrap();
    let set = place.one.recovery_set(id).await.unwrap().unwrap();
    assert_eq!((set.salt.as_str(), set.left, set.confirmed_at), ("second", 10, None));
    assert_eq!(place.one.consume_recovery(id, &code(1), start()).await.unwrap(), None);
    let first = start().plus(Duration::from_secs(1));
    assert!(place.one.confirm_recovery_by(id, &code(100), first).await.unwrap());
    let later = first.plus(Duration::from_secs(1));
    assert!(place.one.confirm_recovery_by(id, &code(101), later).await.unwrap());
    let set = place.two.recovery_set(id).await.unwrap().unwrap();
    assert_eq!(set.confirmed_at, Some(first), "confirmed when it was first");
}

async fn codes_replaced_by_many_at_once_are_one_whole_set<S: DurablePorts>(place: &Durable<S>) {
    let id = somebody(place, "ivan").await;
    at_once(20, |i| {
        let store = place.either(i);
        async move {
            let mut set = recovery(id, &format!("salt {i}"));
            set.hashes = (i * 100..i * 100 + 10).map(code).collect();
            store.replace_recovery(&set, start()).await.unwrap();
            store.consume_recovery(id, &code(i * 100), start()).await.unwrap()
        }
    })
    .await;
    let set = place.one.recovery_set(id).await.unwrap().unwrap();
    let winner: usize = set.salt.trim_start_matches("salt ").parse().unwrap();
    assert!((9..=10).contains(&set.left), "{} codes of one set", set.left);
    assert!(
        place.one.consume_recovery(id, &code(winner * 100 + 5), start()).await.unwrap().is_some()
    );
}

async fn an_authenticator_is_replaced_at_once_with_all_that_hangs_on_it<S: DurablePorts>(
    place: &Durable<S>,
) {
    let id = somebody(place, "sybil").await;
    let old = factor(id, 100);
    assert!(place.one.enrol_first(&old, start()).await.unwrap());
    place.one.replace_recovery(&recovery(id, "old"), start()).await.unwrap();
    let at = start().plus(Duration::from_hours(1));
    let replaced = at_once(20, |i| {
        let (store, mut new, mut codes) = (place.either(i), factor(id, 300), recovery(id, "new"));
        new.created_at = at;
        new.sealed = format!("v1.new.{i}");
        codes.hashes = vec![code(100 + i)];
        async move { store.replace_authenticator(&new, &codes, start()).await.unwrap() }
    })
    .await;
    assert_eq!(replaced.iter().flatten().count(), 1);
    let won = replaced.iter().position(Option::is_some).unwrap();
    let held = place.two.app(id).await.unwrap();
    assert_eq!((held.sealed, held.created_at), (format!("v1.new.{won}"), at));
    assert!(!place.one.use_step(id, old.id, 301, at).await, "the old one");
    assert!(!place.one.use_step(id, held.id, 300, at).await, "is used");
    assert!(place.one.use_step(id, held.id, 301, at).await);
    let set = place.two.recovery_set(id).await.unwrap().unwrap();
    assert_eq!((set.salt.as_str(), set.left, set.confirmed_at), ("new", 1, None));
    assert_eq!(place.one.consume_recovery(id, &code(1), at).await.unwrap(), None, "an old code");
    let status = place.two.status(id, &unseen()).await.unwrap().unwrap();
    assert!(!status.honours(start()) && status.honours(at), "older sessions are over");
}

async fn no_authenticator_is_replaced_by_a_session_that_is_over<S: DurablePorts>(
    place: &Durable<S>,
) {
    let id = somebody(place, "trent").await;
    assert!(place.one.enrol_first(&factor(id, 100), start()).await.unwrap());
    let (new, codes) = (factor(id, 200), recovery(id, "new"));
    let later = start().plus(Duration::from_secs(1));
    assert!(place.one.set_disabled(id, true, later).await.unwrap());
    assert_eq!(
        place.two.replace_authenticator(&new, &codes, later).await.unwrap(),
        None,
        "disabled"
    );
    assert!(place.one.set_disabled(id, false, later).await.unwrap());
    assert_eq!(
        place.two.replace_authenticator(&new, &codes, start()).await.unwrap(),
        None,
        "ended"
    );
    assert!(place.two.recovery_set(id).await.unwrap().is_none(), "nothing was changed");
    assert_ne!(place.two.app(id).await.unwrap().id, new.id);
    let stranger = account_id();
    assert_eq!(
        place.two.replace_authenticator(&factor(stranger, 1), &codes, later).await.unwrap(),
        None
    );
    let done = place.two.replace_authenticator(&new, &codes, later).await.unwrap();
    assert_eq!(done, Some(LinkEnded(false)), "there is no link");
}

async fn a_code_shows_that_its_set_was_kept_and_stays_good<S: DurablePorts>(place: &Durable<S>) {
    let (id, other) = (somebody(place, "uma").await, somebody(place, "vera").await);
    let show = |who, n| {
        let store = place.one.clone();
        async move { store.confirm_recovery_by(who, &code(n), start()).await.unwrap() }
    };
    assert!(!show(id, 1).await, "there is no set");
    place.two.replace_recovery(&recovery(id, "salt"), start()).await.unwrap();
    assert!(!show(id, 99).await && !show(other, 1).await, "none of theirs");
    assert_eq!(place.two.recovery_set(id).await.unwrap().unwrap().confirmed_at, None);
    assert_eq!(place.two.consume_recovery(id, &code(2), start()).await.unwrap(), Some(9));
    assert!(!show(id, 2).await, "a used one shows nothing");
    assert!(show(id, 1).await);
    assert_eq!(place.two.recovery_set(id).await.unwrap().unwrap().confirmed_at, Some(start()));
    assert_eq!(place.two.consume_recovery(id, &code(1), start()).await.unwrap(), Some(8));
    let mut kept = recovery(id, "kept");
    kept.confirmed_at = Some(start());
    place.one.replace_recovery(&kept, start()).await.unwrap();
    assert_eq!(place.two.recovery_set(id).await.unwrap().unwrap().confirmed_at, Some(start()));
}

async fn a_used_code_is_untold_until_told_whatever_becomes_of_the_codes<S: DurablePorts>(
    place: &Durable<S>,
) {
    let (id, other) = (somebody(place, "uma").await, somebody(place, "vera").await);
    let at = |minutes| start().plus(Duration::from_mins(minutes));
    place.one.replace_recovery(&recovery(id, "salt"), start()).await.unwrap();
    assert_eq!(place.one.consume_recovery(id, &code(77), at(1)).await.unwrap(), None);
    assert_eq!(place.two.untold_recovery(id, at(9)).await.unwrap(), None, "a wrong one is no use");
    assert!(place.one.consume_recovery(id, &code(1), at(2)).await.unwrap().is_some());
    assert!(place.two.consume_recovery(id, &code(2), at(4)).await.unwrap().is_some());
    place.two.replace_recovery(&recovery(id, "new"), start()).await.unwrap();
    assert_eq!(place.two.untold_recovery(id, at(9)).await.unwrap(), Some(at(4)));
    assert_eq!(place.two.untold_recovery(id, at(4)).await.unwrap(), Some(at(2)));
    assert_eq!(place.two.untold_recovery(id, at(2)).await.unwrap(), None);
    assert_eq!(place.two.untold_recovery(other, at(9)).await.unwrap(), None);
    place.two.recovery_told(id, at(4)).await.unwrap();
    assert_eq!(place.one.untold_recovery(id, at(4)).await.unwrap(), None, "told");
    assert_eq!(place.one.untold_recovery(id, at(9)).await.unwrap(), Some(at(4)), "not yet");
    place.two.recovery_told(id, at(9)).await.unwrap();
    assert_eq!(place.one.untold_recovery(id, at(9)).await.unwrap(), None);
}

super::on_both_databases!(
    a_first_authenticator_needs_a_login_that_the_account_still_accepts,
    an_ended_session_changes_no_credential,
    a_used_code_is_untold_until_told_whatever_becomes_of_the_codes,
    an_authenticator_is_replaced_at_once_with_all_that_hangs_on_it,
    no_authenticator_is_replaced_by_a_session_that_is_over,
    a_code_shows_that_its_set_was_kept_and_stays_good,
    the_first_authenticator_is_the_only_first,
    no_two_authenticators_are_found_by_one_lookup_key,
    a_step_is_used_by_one_of_fifty_at_once,
    a_step_not_after_the_last_is_refused,
    a_recovery_code_is_used_by_one_of_fifty_at_once,
    the_number_of_codes_left_is_exact,
    a_code_of_somebody_else_is_worth_nothing,
    new_codes_are_for_sessions_that_the_account_honours,
    new_codes_replace_all_old_ones,
    codes_replaced_by_many_at_once_are_one_whole_set,
);
