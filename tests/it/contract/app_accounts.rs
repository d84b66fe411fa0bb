//! Who at an app is which account, on every database.

use std::collections::BTreeSet;

use vestibule::auth::app_sign_in::{Linked, Subject};
use vestibule::auth::ports::Added;
use vestibule::base::id::AccountId;

use super::on_both_databases;
use super::places::{Durable, DurablePorts};
use super::samples::{account, account_id, at_once, start, unseen};

fn subject(text: &str) -> Subject {
    text.parse().unwrap()
}

async fn somebody<S: DurablePorts>(place: &Durable<S>, name: &str) -> AccountId {
    let new = account(name);
    assert_eq!(place.one.add(&new).await.unwrap(), Added::Yes);
    new.identity.account
}

async fn found<S: DurablePorts>(place: &Durable<S>, app: &str, of: &str) -> Option<AccountId> {
    place.two.by_subject(app, &subject(of)).await.unwrap().map(|account| account.id())
}

async fn a_link_is_of_one_account_and_one_person_of_an_app<S: DurablePorts>(place: &Durable<S>) {
    let (alice, bob) = (somebody(place, "alice").await, somebody(place, "bob").await);
    let (one, two) = (subject("u1"), subject("u2"));
    assert_eq!(place.one.link(alice, "cell", &one, start()).await.unwrap(), Linked::Yes);
    assert_eq!(place.two.link(alice, "cell", &one, start()).await.unwrap(), Linked::Yes, "again");
    assert_eq!(place.two.link(bob, "cell", &one, start()).await.unwrap(), Linked::SubjectTaken);
    assert_eq!(place.two.link(alice, "cell", &two, start()).await.unwrap(), Linked::AccountTaken);
    assert_eq!(
        place.two.link(account_id(), "cell", &two, start()).await.unwrap(),
        Linked::NoAccount
    );
    assert_eq!(place.two.link(bob, "wiki", &one, start()).await.unwrap(), Linked::Yes);
    assert_eq!(found(place, "cell", "u1").await, Some(alice));
    assert_eq!(found(place, "wiki", "u1").await, Some(bob));
    assert_eq!(found(place, "cell", "u2").await, None);
    let links = place.two.links_of(alice).await.unwrap();
    assert_eq!(links, [("cell".to_owned(), one.clone())]);

    let later = start().plus(std::time::Duration::from_secs(1));
    assert!(place.one.unlink(alice, "cell", later).await.unwrap());
    assert!(!place.two.unlink(alice, "cell", later).await.unwrap(), "once");
    assert_eq!(found(place, "cell", "u1").await, None);
    let status = place.two.status(alice, &unseen()).await.unwrap().unwrap();
    assert_eq!(status.sessions_valid_from, later, "what was signed in by it is over");
}

async fn a_link_goes_with_its_account<S: DurablePorts>(place: &Durable<S>) {
    let alice = somebody(place, "alice").await;
    assert_eq!(place.one.link(alice, "cell", &subject("u1"), start()).await.unwrap(), Linked::Yes);
    assert!(place.one.remove(alice).await.unwrap());
    assert_eq!(found(place, "cell", "u1").await, None);
    let bob = somebody(place, "bob").await;
    assert_eq!(place.one.link(bob, "cell", &subject("u1"), start()).await.unwrap(), Linked::Yes);
}

async fn of_fifty_first_sign_ins_of_one_person_comes_one_account<S: DurablePorts>(
    place: &Durable<S>,
) {
    // Half by the name and half by the address: they are one person all the same.
    let ids = at_once(50, |i| {
        let store = place.either(i);
        async move {
            let new = account(if i % 4 < 2 { "alice" } else { "alice@lab.example" });
            let made = store.link_or_add("cell", &subject("u1"), &new).await.unwrap();
            made.map(|account| account.id().to_string())
        }
    })
    .await;
    let made: BTreeSet<_> = ids.iter().flatten().collect();
    assert_eq!(made.len(), 1, "{ids:?}");
    assert!(ids.iter().all(Option::is_some), "{ids:?}");
    assert_eq!(place.two.list().await.unwrap().len(), 1);
}

async fn a_name_that_is_taken_is_not_taken_over<S: DurablePorts>(place: &Durable<S>) {
    let alice = somebody(place, "alice").await;
    let made = place.two.link_or_add("cell", &subject("u1"), &account("alice")).await.unwrap();
    assert!(made.is_none());
    assert_eq!(found(place, "cell", "u1").await, None);
    assert!(place.one.links_of(alice).await.unwrap().is_empty());
    let other = place.two.link_or_add("cell", &subject("u1"), &account("u1")).await.unwrap();
    assert!(other.is_some_and(|other| other.id() != alice));
}

on_both_databases! {
    a_link_is_of_one_account_and_one_person_of_an_app,
    a_link_goes_with_its_account,
    of_fifty_first_sign_ins_of_one_person_comes_one_account,
    a_name_that_is_taken_is_not_taken_over,
}
