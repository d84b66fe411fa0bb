//! The records of running nodes, on every database.

use std::time::Duration;

use vestibule::auth::access_token::{AccessRecord, Limits, NewAccess};
use vestibule::auth::keys::KeyMark;
use vestibule::auth::nodes::{KeyUse, LiveTokens, Node};
use vestibule::auth::ports::Added;
use vestibule::auth::ticket::{NewTicket, Rights, Ticket};
use vestibule::base::clock::Timestamp;
use vestibule::base::id::TokenId;
use vestibule::base::random::OsRandom;

use super::on_both_databases;
use super::places::{Durable, DurablePorts};
use super::samples::{account, at_once, start, token};

fn mark(ring: &str, digest: &str, writes: bool) -> KeyMark {
    let id = format!("id of {digest}");
    KeyMark { ring: ring.to_owned(), id, digest: digest.to_owned(), writes }
}

fn node(instance: &str, seen_at: Timestamp) -> Node {
    Node {
        instance: instance.to_owned(),
        name: "gw1".to_owned(),
        version: "1.0.0".to_owned(),
        config: "a1".to_owned(),
        keys: vec![
            mark("token", "one", true),
            mark("token", "two", false),
            mark("data", "d", true),
        ],
        seen_at,
    }
}

async fn nodes_see_each_other_and_the_keys_that_were_written_with<S: DurablePorts>(
    place: &Durable<S>,
) {
    let (a, b) = (node("a", start()), node("b", start()));
    place.one.report(&a, Timestamp::EPOCH).await.unwrap();
    place.two.report(&b, Timestamp::EPOCH).await.unwrap();
    let mut seen = place.two.recorded(start()).await.unwrap();
    seen.nodes.sort_by(|x, y| x.instance.cmp(&y.instance));
    assert_eq!(seen.nodes, [a.clone(), b]);
    let mut keys: Vec<_> = seen.key_uses.iter().map(|k| (&*k.ring, &*k.digest)).collect();
    keys.sort_unstable();
    assert_eq!(keys, [("data", "d"), ("token", "one")], "a key that only reads is not needed");

    let later = start().plus(Duration::from_hours(1));
    let changed = Node { config: "a2".to_owned(), seen_at: later, ..a };
    place.one.report(&changed, start().plus(Duration::from_secs(1))).await.unwrap();
    let seen = place.two.recorded(start()).await.unwrap();
    assert_eq!(seen.nodes, [changed], "one that has not reported expires");
    assert!(seen.key_uses.iter().all(|used| used.used_at == later), "{:?}", seen.key_uses);
    place.two.leave("a").await.unwrap();
    let left = place.one.recorded(start()).await.unwrap();
    assert_eq!((left.nodes.len(), left.key_uses.len()), (0, 2));
}

async fn a_token_key_is_used_by_what_was_made_until_its_last_use<S: DurablePorts>(
    place: &Durable<S>,
) {
    let new = account("alice");
    assert_eq!(place.one.add(&new).await.unwrap(), Added::Yes);
    let owner = new.identity.account;
    let hours = |n: u64| start().plus(Duration::from_hours(n));
    place.one.report(&node("a", hours(2)), Timestamp::EPOCH).await.unwrap();
    for (made_at, expires_at) in
        [(hours(1), hours(100)), (hours(1), hours(9)), (hours(3), hours(200))]
    {
        let record = AccessRecord {
            id: TokenId::random(&OsRandom::new()).unwrap(),
            account: owner,
            app: "main".to_owned(),
            description: String::new(),
            limits: Limits::default(),
            made_at,
            expires_at,
            last_used_at: None,
        };
        assert!(place.one.file_token(&NewAccess { hash: token(), record }).await.unwrap());
    }
    let (created_at, expires_at) = (hours(2), hours(150));
    let ticket = Ticket { account: owner, rights: Rights::SET_UP, created_at, expires_at };
    assert!(place.one.issue(&NewTicket { id: token(), ticket }).await.unwrap());
    let live = |now, access_tokens, links, expire_at| async move {
        let seen = place.two.recorded(now).await.unwrap();
        let expected = LiveTokens { access_tokens, links, expire_at };
        for KeyUse { ring, tokens, .. } in seen.key_uses {
            let expected = if ring == "token" { expected } else { LiveTokens::default() };
            assert_eq!(tokens, expected, "{ring}");
        }
    };
    live(hours(8), 2, 1, hours(150)).await;
    live(hours(9), 1, 1, hours(150)).await;
    live(hours(100), 0, 1, hours(150)).await;
    live(hours(150), 0, 0, Timestamp::EPOCH).await;
}

async fn only_a_node_that_has_not_reported_again_is_forgotten<S: DurablePorts>(place: &Durable<S>) {
    let later = start().plus(Duration::from_secs(30));
    place.one.report(&node("a", start()), Timestamp::EPOCH).await.unwrap();
    place.one.report(&node("a", later), Timestamp::EPOCH).await.unwrap();
    place.two.forget("a", start()).await.unwrap();
    assert_eq!(place.one.recorded(start()).await.unwrap().nodes.len(), 1);
    place.two.forget("a", later).await.unwrap();
    assert_eq!(place.one.recorded(start()).await.unwrap().nodes, []);
}

async fn nodes_that_report_at_once_do_not_disturb_each_other<S: DurablePorts>(place: &Durable<S>) {
    let reports = at_once(16, |i| {
        let store = place.either(i);
        async move { store.report(&node(&i.to_string(), start()), Timestamp::EPOCH).await }
    });
    for report in reports.await {
        report.unwrap();
    }
    let seen = place.one.recorded(start()).await.unwrap();
    assert_eq!((seen.nodes.len(), seen.key_uses.len()), (16, 2));
}

on_both_databases! {
    nodes_see_each_other_and_the_keys_that_were_written_with,
    a_token_key_is_used_by_what_was_made_until_its_last_use,
    only_a_node_that_has_not_reported_again_is_forgotten,
    nodes_that_report_at_once_do_not_disturb_each_other,
}
