//! Callers who go away in the middle: a browser that closes its connection, a limit in time. What
//! comes after finds a connection without their transaction.

use std::time::Duration;

use sqlx::{AnyConnection, Connection as _, query};
use vestibule::auth::audit::{Context, Event, NewRecord, verify};
use vestibule::auth::ports::{Added, PendingLogins as _, SessionLookup, SessionStarts as _};
use vestibule::auth::token::SessionToken;
use vestibule::base::secret::Secret;
use vestibule::store::redis::RedisStore;

use super::places::{Durable, DurablePorts};
use super::samples::{account, account_id, identity, keys, login, session, start, token};
use crate::support::servers::RedisServer;

/// Enough to be cut off before, in and after each step of a transaction.
const CUTS: u32 = 150;

async fn a_caller_who_goes_away_leaves_no_transaction_behind<S: DurablePorts>(place: &Durable<S>) {
    let mut outside = AnyConnection::connect(&place.url).await.unwrap();
    let row = NewRecord::of(&Event::AccountAdded, &Context::operator("ops", None), start(), "node");
    for cut in 0..CUTS {
        let limit = Duration::from_micros(u64::from(cut) * 40);
        // Cut off or not: both may be.
        drop(tokio::time::timeout(limit, place.one.append(&row, &keys())).await);
        let new = account(&format!("user{cut}"));
        assert_eq!(place.one.add(&new).await.unwrap(), Added::Yes);
        let seen = query("SELECT 1 FROM accounts WHERE id = $1")
            .bind(new.identity.account.to_string())
            .fetch_optional(&mut outside)
            .await
            .unwrap();
        assert!(seen.is_some(), "cut {cut}: what was said to be done is in an open transaction");
    }
    let report = verify(&place.two, &keys(), None).await.unwrap();
    assert_eq!(report.findings, []);
    outside.close().await.unwrap();
}

super::on_both_databases!(a_caller_who_goes_away_leaves_no_transaction_behind);

#[tokio::test]
async fn a_late_answer_of_redis_meets_no_later_question() {
    let server = RedisServer::start();
    let store = RedisStore::open(&Secret::new(server.url()), "vestibule").unwrap();
    let mut filed = Vec::new();
    for name in ["alice", "bob"] {
        let (from, id) = (token(), token::<SessionToken>());
        store.begin(&from, &login(account_id(), start()), start()).await.unwrap();
        let session = session(identity(name), start());
        assert!(store.promote(&from, &id, &session, Duration::from_mins(30)).await.unwrap());
        filed.push((id, session.identity.name));
    }
    server.hang();
    let given_up = Duration::from_millis(50);
    for (id, _) in filed.iter().cycle().take(7) {
        let asked = tokio::time::timeout(given_up, SessionLookup::load(&store, id)).await;
        assert!(asked.is_err(), "a hanging server does not answer");
    }
    assert!(SessionLookup::load(&store, &filed[0].0).await.is_err(), "nor within two seconds");
    server.resume();
    for (id, name) in filed.iter().cycle().take(20) {
        let found = SessionLookup::load(&store, id).await.unwrap().unwrap();
        assert_eq!(found.identity.name, *name);
    }
}
