//! Our own tokens for programs, on every database.

use std::time::Duration;

use vestibule::auth::access_token::{AccessRecord, Limits, NewAccess};
use vestibule::auth::ports::Added;
use vestibule::auth::ticket::{NewTicket, Rights, Ticket};
use vestibule::base::id::{AccountId, TokenId};
use vestibule::base::random::OsRandom;

use super::on_both_databases;
use super::places::{Durable, DurablePorts};
use super::samples::{account, account_id, at_once, start, token};

const DAY: Duration = Duration::from_hours(24);

async fn somebody<S: DurablePorts>(place: &Durable<S>, name: &str) -> AccountId {
    let new = account(name);
    assert_eq!(place.one.add(&new).await.unwrap(), Added::Yes);
    new.identity.account
}

fn new(account: AccountId) -> NewAccess {
    let limits = Limits {
        methods: vec!["GET".to_owned()],
        paths: vec!["/data/**".to_owned()],
        networks: vec!["2001:db8::/32".to_owned()],
        websocket: true,
    };
    let record = AccessRecord {
        id: TokenId::random(&OsRandom::new()).unwrap(),
        account,
        app: "cell".to_owned(),
        description: "nightly \"export\" für alle".to_owned(),
        limits,
        made_at: start(),
        expires_at: start().plus(DAY),
        last_used_at: None,
    };
    NewAccess { hash: token(), record }
}

async fn filed<S: DurablePorts>(place: &Durable<S>, account: AccountId) -> NewAccess {
    let new = new(account);
    assert!(place.one.file_token(&new).await.unwrap());
    new
}

async fn a_token_is_found_by_its_hash_as_it_was_filed<S: DurablePorts>(place: &Durable<S>) {
    let (alice, bob) = (somebody(place, "alice").await, somebody(place, "bob").await);
    let (one, other) = (filed(place, alice).await, filed(place, bob).await);
    assert_eq!(place.two.token(&one.hash).await.unwrap().as_ref(), Some(&one.record));
    assert_eq!(place.two.token(&token()).await.unwrap(), None);
    assert_eq!(place.two.tokens(Some(bob)).await.unwrap(), [other.record]);
    assert_eq!(place.two.tokens(None).await.unwrap().len(), 2);
    assert!(!place.one.file_token(&new(account_id())).await.unwrap(), "nobody's");
    assert!(place.one.set_disabled(bob, true, start()).await.unwrap());
    assert!(!place.one.file_token(&new(bob)).await.unwrap(), "disabled");
}

async fn a_token_is_revoked_by_one_of_fifty_and_by_its_person_only<S: DurablePorts>(
    place: &Durable<S>,
) {
    let (alice, bob) = (somebody(place, "alice").await, somebody(place, "bob").await);
    let token = filed(place, alice).await;
    let id = token.record.id;
    assert_eq!(place.two.revoke_token(id, Some(bob)).await.unwrap(), None);
    assert!(place.two.token(&token.hash).await.unwrap().is_some());
    let revoked = at_once(50, |i| {
        let store = place.either(i);
        async move { store.revoke_token(id, (i % 3 == 0).then_some(alice)).await.unwrap() }
    })
    .await;
    let revoked: Vec<_> = revoked.into_iter().flatten().collect();
    assert_eq!(revoked, [token.record]);
    assert_eq!(place.two.token(&token.hash).await.unwrap(), None);
}

async fn the_use_of_a_token_is_noted_by_one_of_fifty<S: DurablePorts>(place: &Durable<S>) {
    let alice = somebody(place, "alice").await;
    let token = filed(place, alice).await;
    let (id, at) = (token.record.id, start().plus(DAY / 2));
    let noted = at_once(50, |i| {
        let store = place.either(i);
        async move { store.note_token_use(id, at, start()).await.unwrap() }
    })
    .await;
    assert_eq!(noted.into_iter().filter(|noted| *noted).count(), 1);
    let found = place.two.token(&token.hash).await.unwrap().unwrap();
    assert_eq!(found.last_used_at, Some(at));
    assert!(place.two.note_token_use(id, at.plus(DAY), at).await.unwrap(), "after a while");
}

async fn tokens_go_with_the_account_and_with_its_second_factor<S: DurablePorts>(
    place: &Durable<S>,
) {
    let (alice, bob) = (somebody(place, "alice").await, somebody(place, "bob").await);
    let (hers, his) = (filed(place, alice).await, filed(place, bob).await);
    let (created_at, expires_at) = (start(), start().plus(DAY));
    let ticket = Ticket { account: bob, rights: Rights::ENROL, created_at, expires_at };
    assert!(place.one.reset_second_factor(&NewTicket { id: token(), ticket }).await.unwrap());
    assert_eq!(place.two.token(&his.hash).await.unwrap(), None);
    assert!(place.two.token(&hers.hash).await.unwrap().is_some(), "another's stays");
    assert!(place.one.remove(alice).await.unwrap());
    assert_eq!(place.two.tokens(None).await.unwrap(), []);
}

on_both_databases!(
    a_token_is_found_by_its_hash_as_it_was_filed,
    a_token_is_revoked_by_one_of_fifty_and_by_its_person_only,
    the_use_of_a_token_is_noted_by_one_of_fifty,
    tokens_go_with_the_account_and_with_its_second_factor,
);
