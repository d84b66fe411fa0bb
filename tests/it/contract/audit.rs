//! The audit trail.

use vestibule::auth::account::LoginName;
use vestibule::auth::audit::{Caller, Context, Ended, Event, NewRecord};
use vestibule::auth::ports::AuditQuery;
use vestibule::base::clock::Timestamp;
use vestibule::base::id::{RequestId, SessionId};
use vestibule::base::random::OsRandom;

use super::places::{Durable, DurablePorts};
use super::samples::{at_once, identity, session, start};

fn caller() -> Caller {
    let device = session(identity("nobody"), start()).device;
    Caller { device, reference: RequestId::random(&OsRandom::new()).unwrap() }
}

fn everything() -> AuditQuery {
    let since = Timestamp::EPOCH;
    AuditQuery { after: 0, since, name: None, account: None, event: None, limit: 1000 }
}

async fn a_row_comes_back_as_it_was_written<S: DurablePorts>(place: &Durable<S>) {
    let who = identity("alice");
    let session = SessionId::random(&OsRandom::new()).unwrap();
    let event = Event::SessionEnded { session, why: Ended::SignedOut };
    let row = NewRecord::of(&event, &Context::person(&caller(), &who), start(), "node-1");
    assert_eq!(place.one.append(&row).await.unwrap(), 1);
    let by_operator = Context::operator("ops", None);
    let bare = NewRecord::of(&Event::AccountAdded, &by_operator, start(), "node-2");
    assert_eq!(place.two.append(&bare).await.unwrap(), 2);
    let rows = place.two.find(&everything()).await.unwrap();
    assert_eq!(rows.iter().map(|r| r.seq).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(rows.iter().map(|r| r.content.clone()).collect::<Vec<_>>(), [bare, row]);
}

async fn rows_are_found_by_what_they_say<S: DurablePorts>(place: &Durable<S>) {
    let (alice, bob) = (identity("alice"), identity("bob"));
    for (i, who) in [&alice, &bob, &alice].into_iter().enumerate() {
        let at = Timestamp::from_millis(start().as_millis() + u64::try_from(i).unwrap());
        let event = if i == 2 { Event::PasswordRight } else { Event::AccountEnabled };
        let row = NewRecord::of(&event, &Context::person(&caller(), who), at, "node-1");
        place.one.append(&row).await.unwrap();
    }
    let found = async |asked: AuditQuery| {
        place.two.find(&asked).await.unwrap().iter().map(|r| r.seq).collect::<Vec<_>>()
    };
    let name = Some(LoginName::parse("alice").unwrap());
    assert_eq!(found(AuditQuery { name, ..everything() }).await, [3, 1]);
    assert_eq!(found(AuditQuery { account: Some(bob.account), ..everything() }).await, [2]);
    let event = Some("password_right".to_owned());
    assert_eq!(found(AuditQuery { event, ..everything() }).await, [3]);
    let since = Timestamp::from_millis(start().as_millis() + 1);
    assert_eq!(found(AuditQuery { since, ..everything() }).await, [3, 2]);
    assert_eq!(found(AuditQuery { after: 2, ..everything() }).await, [3]);
    assert_eq!(found(AuditQuery { limit: 1, ..everything() }).await, [3]);
}

async fn rows_written_at_once_are_numbered_without_gaps<S: DurablePorts>(place: &Durable<S>) {
    let numbers = at_once(60, |i| {
        let store = place.either(i);
        async move {
            let context = Context::person(&caller(), &identity(&format!("user{i}")));
            let row = NewRecord::of(&Event::PasswordRight, &context, start(), "node-1");
            store.append(&row).await.unwrap()
        }
    })
    .await;
    let mut numbers = numbers;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=60).collect::<Vec<u64>>());
    assert_eq!(place.one.find(&everything()).await.unwrap().len(), 60);
}

super::on_both_databases!(
    a_row_comes_back_as_it_was_written,
    rows_are_found_by_what_they_say,
    rows_written_at_once_are_numbered_without_gaps,
);
