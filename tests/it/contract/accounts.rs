//! Accounts, on every database.

use std::time::Duration;

use vestibule::auth::account::{IdentityChange, LoginName};
use vestibule::auth::ports::Added;

use super::places::{Durable, DurablePorts};
use super::samples::{account, account_id, at_once, factor, password, recovery, start, unseen};

async fn an_account_comes_back_as_it_was_added<S: DurablePorts>(place: &Durable<S>) {
    let new = account("alice");
    assert_eq!(place.one.add(&new).await.unwrap(), Added::Yes);
    for found in [
        place.two.by_name(&new.identity.name).await.unwrap().unwrap(),
        place.two.by_id(new.identity.account).await.unwrap().unwrap(),
    ] {
        assert_eq!(found.identity, new.identity);
        assert_eq!(found.password, new.password);
        assert_eq!((found.disabled, found.ever_enrolled), (false, false));
        assert_eq!(found.created_at, start());
    }
    let mut bare = account("bob");
    bare.identity.email = None;
    bare.password = None;
    assert_eq!(place.one.add(&bare).await.unwrap(), Added::Yes);
    let found = place.one.by_id(bare.identity.account).await.unwrap().unwrap();
    assert_eq!((found.identity.email, found.password), (None, None));
    assert!(place.one.by_id(account_id()).await.unwrap().is_none());
    assert!(place.one.status(account_id(), &unseen()).await.unwrap().is_none());
    place.one.ping().await.unwrap();
}

async fn a_name_is_given_to_one_of_many_at_once<S: DurablePorts>(place: &Durable<S>) {
    let added = at_once(20, |i| {
        let store = place.either(i);
        async move { store.add(&account("carol")).await.unwrap() }
    })
    .await;
    assert_eq!(added.iter().filter(|a| **a == Added::Yes).count(), 1);
    assert_eq!(place.one.list().await.unwrap().len(), 1);
}

async fn accounts_are_listed_by_name<S: DurablePorts>(place: &Durable<S>) {
    for name in ["zoë", "adam", "_svc", "mia"] {
        assert_eq!(place.one.add(&account(name)).await.unwrap(), Added::Yes);
    }
    let listed = place.two.list().await.unwrap();
    let names: Vec<&str> = listed.iter().map(|a| a.identity.name.as_str()).collect();
    assert_eq!(names, ["_svc", "adam", "mia", "zoë"]);
}

async fn a_new_password_ends_older_sessions_when_asked_to<S: DurablePorts>(place: &Durable<S>) {
    let new = account("dave");
    let id = new.identity.account;
    assert_eq!(place.one.add(&new).await.unwrap(), Added::Yes);
    place.one.set_password(id, &password("$two"), None).await.unwrap().unwrap();
    let status = place.two.status(id, &unseen()).await.unwrap().unwrap();
    assert!(status.honours(start()), "no session ends by itself");

    let later = start().plus(Duration::from_secs(5));
    place.one.set_password(id, &password("$three"), Some(later)).await.unwrap().unwrap();
    let status = place.two.status(id, &unseen()).await.unwrap().unwrap();
    assert!(!status.honours(start()));
    assert!(status.honours(later));

    place.one.set_password(id, &password("$four"), Some(start())).await.unwrap().unwrap();
    let kept = place.two.by_id(id).await.unwrap().unwrap();
    assert_eq!(kept.sessions_valid_from, later, "an ended session stays ended");
    assert_eq!(kept.password, Some(password("$four")));
    let nobody = place.one.set_password(account_id(), &password("$two"), None).await.unwrap();
    assert_eq!(nobody, None);
}

async fn a_rehash_never_undoes_a_new_password<S: DurablePorts>(place: &Durable<S>) {
    let new = account("erin");
    let id = new.identity.account;
    assert_eq!(place.one.add(&new).await.unwrap(), Added::Yes);
    place.one.rehash_password(id, &password("$one"), &password("$one again")).await.unwrap();
    place.one.set_password(id, &password("$two"), None).await.unwrap().unwrap();
    place.two.rehash_password(id, &password("$one again"), &password("$late")).await.unwrap();
    let found = place.one.by_id(id).await.unwrap().unwrap();
    assert_eq!(found.password, Some(password("$two")));
}

async fn disabling_ends_sessions_for_good<S: DurablePorts>(place: &Durable<S>) {
    let new = account("frank");
    let id = new.identity.account;
    assert_eq!(place.one.add(&new).await.unwrap(), Added::Yes);
    let later = start().plus(Duration::from_secs(1));
    assert!(place.one.set_disabled(id, true, later).await.unwrap());
    assert!(place.two.status(id, &unseen()).await.unwrap().unwrap().disabled);
    let even_later = later.plus(Duration::from_secs(1));
    assert!(place.one.set_disabled(id, false, even_later).await.unwrap());
    let status = place.two.status(id, &unseen()).await.unwrap().unwrap();
    assert!(!status.disabled);
    assert!(!status.honours(start()), "a session from before stays ended");
    assert!(status.honours(later));
    assert!(!place.one.set_disabled(account_id(), true, later).await.unwrap());
}

async fn an_identity_is_changed_in_its_named_parts_by_many_at_once<S: DurablePorts>(
    place: &Durable<S>,
) {
    let new = account("heidi");
    let id = new.identity.account;
    assert_eq!(place.one.add(&new).await.unwrap(), Added::Yes);
    let groups: Vec<String> = (0..20).map(|i| format!("group{i}")).collect();
    at_once(20, |i| {
        let add_groups = vec![groups[i].clone()];
        let (store, change) = (place.either(i), IdentityChange { add_groups, ..unchanged() });
        async move { store.change_identity(id, &change).await.unwrap().unwrap() }
    })
    .await;
    let mut held = place.two.by_id(id).await.unwrap().unwrap().identity;
    assert_eq!(
        (&held.email, &held.display_name),
        (&new.identity.email, &new.identity.display_name)
    );
    held.groups.retain(|group| groups.contains(group));
    assert_eq!(held.groups.len(), 20, "no change is lost to another");
    let change = IdentityChange {
        email: Some(String::new()),
        display_name: Some("Heidi H.".to_owned()),
        add_groups: vec!["ops".to_owned()],
        remove_groups: groups,
    };
    let (before, after) = place.one.change_identity(id, &change).await.unwrap().unwrap();
    assert_eq!(before.email, new.identity.email);
    assert_eq!((after.email.as_deref(), after.display_name.as_str()), (None, "Heidi H."));
    assert!(
        after.groups.contains(&"ops".to_owned()) && !after.groups.contains(&"group3".to_owned())
    );
    assert_eq!(*place.two.status(id, &unseen()).await.unwrap().unwrap().identity, after);
    assert_eq!(place.one.change_identity(account_id(), &change).await.unwrap(), None);
}

fn unchanged() -> IdentityChange {
    IdentityChange::default()
}

async fn removal_takes_factors_and_codes_along<S: DurablePorts>(place: &Durable<S>) {
    let new = account("grace");
    let id = new.identity.account;
    assert_eq!(place.one.add(&new).await.unwrap(), Added::Yes);
    assert!(place.one.enrol_first(&factor(id, 10), start()).await.unwrap());
    place.one.replace_recovery(&recovery(id, "salt"), start()).await.unwrap();
    assert!(place.two.remove(id).await.unwrap());
    assert!(!place.two.remove(id).await.unwrap());
    assert!(place.one.app(id).await.is_none());
    assert!(place.one.recovery_set(id).await.unwrap().is_none());
    assert!(place.one.by_name(&LoginName::parse("grace").unwrap()).await.unwrap().is_none());
}

async fn two_processes_write_at_once_without_error<S: DurablePorts>(place: &Durable<S>) {
    let added = at_once(60, |i| {
        let store = place.either(i);
        async move {
            let new = account(&format!("user{i}"));
            assert_eq!(store.add(&new).await.unwrap(), Added::Yes);
            assert!(store.enrol_first(&factor(new.identity.account, 1), start()).await.unwrap());
            store.replace_recovery(&recovery(new.identity.account, "s"), start()).await.unwrap();
        }
    })
    .await;
    assert_eq!(added.len(), 60);
    assert_eq!(place.one.list().await.unwrap().len(), 60);
}

async fn a_password_is_changed_once_and_only_by_a_session_that_is_honoured<S: DurablePorts>(
    place: &Durable<S>,
) {
    let new = account("rupert");
    let id = new.identity.account;
    assert_eq!(place.one.add(&new).await.unwrap(), Added::Yes);
    let since = start();
    let later = start().plus(Duration::from_mins(1));
    let changed = at_once(20, |i| {
        let (store, record) = (place.either(i), password(&format!("$new{i}")));
        async move { store.change_password(id, &record, since, later).await.unwrap() }
    })
    .await;
    assert_eq!(changed.iter().flatten().count(), 1);
    let won = changed.iter().position(Option::is_some).unwrap();
    let held = place.two.by_id(id).await.unwrap().unwrap();
    assert_eq!(held.password, Some(password(&format!("$new{won}"))));
    assert_eq!((held.sessions_valid_from, held.password_set_at), (later, Some(later)));
    let after = later.plus(Duration::from_secs(1));
    assert_eq!(place.one.change_password(id, &password("$x"), since, after).await.unwrap(), None);
    assert_eq!(
        place.one.change_password(account_id(), &password("$x"), after, after).await.unwrap(),
        None
    );
    assert!(place.one.set_disabled(id, true, start()).await.unwrap());
    assert_eq!(place.one.change_password(id, &password("$x"), later, after).await.unwrap(), None);
    assert_eq!(place.two.by_id(id).await.unwrap().unwrap().password, held.password);
}

super::on_both_databases!(
    a_password_is_changed_once_and_only_by_a_session_that_is_honoured,
    an_account_comes_back_as_it_was_added,
    a_name_is_given_to_one_of_many_at_once,
    accounts_are_listed_by_name,
    a_new_password_ends_older_sessions_when_asked_to,
    a_rehash_never_undoes_a_new_password,
    disabling_ends_sessions_for_good,
    an_identity_is_changed_in_its_named_parts_by_many_at_once,
    removal_takes_factors_and_codes_along,
    two_processes_write_at_once_without_error,
);
