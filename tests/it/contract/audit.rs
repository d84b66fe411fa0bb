//! The audit trail.

use std::time::Duration;

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, query};
use vestibule::auth::account::LoginName;
use vestibule::auth::audit::{
    Caller, Context, Ended, Event, Finding, NewRecord, RecordedRow, Report, verify,
};
use vestibule::auth::ports::AuditQuery;
use vestibule::base::address::ClientIp;
use vestibule::base::clock::Timestamp;
use vestibule::base::id::{RequestId, SessionId};
use vestibule::base::random::OsRandom;

use super::places::{Durable, DurablePorts};
use super::samples::{at_once, identity, keys, other_keys, session, start};

fn caller() -> Caller {
    let device = session(identity("nobody"), start()).device;
    Caller {
        device,
        browser: None,
        reference: RequestId::random(&OsRandom::new()).unwrap(),
        host: None,
        parked: None,
    }
}

fn everything() -> AuditQuery {
    let since = Timestamp::EPOCH;
    AuditQuery { since, ..AuditQuery::newest(1000) }
}

async fn a_row_comes_back_as_it_was_written<S: DurablePorts>(place: &Durable<S>) {
    let who = identity("alice");
    let session = SessionId::random(&OsRandom::new()).unwrap();
    let event = Event::SessionEnded { session, why: Ended::SignedOut };
    let row = NewRecord::of(&event, &Context::person(&caller(), &who), start(), "node-1");
    assert_eq!(place.one.append(&row, &keys()).await.unwrap().seq, 1);
    let by_operator = Context::operator("ops", None);
    let bare = NewRecord::of(&Event::AccountAdded, &by_operator, start(), "node-2");
    assert_eq!(place.two.append(&bare, &keys()).await.unwrap().seq, 2);
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
        place.one.append(&row, &keys()).await.unwrap();
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
    let before = Some(since);
    assert_eq!(found(AuditQuery { before, ..everything() }).await, [1]);
    let rows = place.two.find(&everything()).await.unwrap();
    let id = rows[1].content.reference.clone().unwrap();
    let reference_end = Some(id[14..].to_owned());
    assert_eq!(found(AuditQuery { reference_end, ..everything() }).await, [2]);
    let reference_end = Some("%".to_owned() + &id[14..20]);
    assert_eq!(found(AuditQuery { reference_end, ..everything() }).await, [0_u64; 0]);
    let address = Some(caller().device.address);
    assert_eq!(found(AuditQuery { address, ..everything() }).await, [3, 2, 1]);
    let address = Some(ClientIp::new([192, 0, 2, 99].into()));
    assert_eq!(found(AuditQuery { address, ..everything() }).await, [0_u64; 0]);
    assert_eq!(found(AuditQuery { after: 2, ..everything() }).await, [3]);
    assert_eq!(found(AuditQuery { limit: 1, ..everything() }).await, [3]);
}

async fn rows_written_at_once_are_numbered_without_gaps<S: DurablePorts>(place: &Durable<S>) {
    let numbers = at_once(60, |i| {
        let store = place.either(i);
        async move {
            let context = Context::person(&caller(), &identity(&format!("user{i}")));
            let row = NewRecord::of(&Event::PasswordRight, &context, start(), "node-1");
            store.append(&row, &keys()).await.unwrap().seq
        }
    })
    .await;
    let mut numbers = numbers;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=60).collect::<Vec<u64>>());
    assert_eq!(place.one.find(&everything()).await.unwrap().len(), 60);
    assert_eq!(report(place).await.findings, []);
}

/// Appends `count` rows, a second apart.
async fn write<S: DurablePorts>(place: &Durable<S>, count: u64) {
    let who = identity("alice");
    for i in 0..count {
        let at = start().plus(Duration::from_secs(i));
        let context = Context::person(&caller(), &who);
        let row = NewRecord::of(&Event::PasswordRight, &context, at, "node-1");
        place.either(usize::try_from(i).unwrap()).append(&row, &keys()).await.unwrap();
    }
}

async fn report<S: DurablePorts>(place: &Durable<S>) -> Report {
    verify(&place.two, &keys(), None).await.unwrap()
}

async fn intruder<S>(place: &Durable<S>) -> AnyConnection {
    sqlx::any::install_default_drivers();
    AnyConnection::connect(&place.url).await.unwrap()
}

async fn run(db: &mut AnyConnection, sql: &str) -> Result<u64, sqlx::Error> {
    Ok(query(AssertSqlSafe(sql.to_owned())).execute(db).await?.rows_affected())
}

/// As whoever owns the database can.
async fn drop_guards(place_url: &str, db: &mut AnyConnection) {
    let statements: &[&str] = if place_url.starts_with("sqlite") {
        &[
            "DROP TRIGGER audit_only_appended",
            "DROP TRIGGER audit_never_changed",
            "DROP TRIGGER audit_removed_by_age_only",
        ]
    } else {
        &["DROP TRIGGER audit_guard ON audit", "DROP TRIGGER audit_guard_all ON audit"]
    };
    for sql in statements {
        run(db, sql).await.unwrap();
    }
}

/// What is found after an intruder ran `sql` on a trail of nine rows.
async fn after<S: DurablePorts>(place: &Durable<S>, sql: &[&str]) -> Vec<Finding> {
    write(place, 9).await;
    assert_eq!(report(place).await.findings, []);
    let mut db = intruder(place).await;
    drop_guards(&place.url, &mut db).await;
    for sql in sql {
        assert!(run(&mut db, sql).await.unwrap() > 0, "{sql}");
    }
    db.close().await.unwrap();
    report(place).await.findings
}

async fn the_database_itself_refuses_to_change_the_trail<S: DurablePorts>(place: &Durable<S>) {
    write(place, 3).await;
    let mut db = intruder(place).await;
    for sql in [
        "UPDATE audit SET name = 'bob' WHERE seq = 2",
        "DELETE FROM audit WHERE seq = 3",
        "DELETE FROM audit",
        "INSERT INTO audit SELECT 4, at, event, outcome, factor, account_id, name, actor, operator, \
         address, user_agent, reference, node, detail, previous, head, hash FROM audit WHERE seq = 3",
    ] {
        let refused = run(&mut db, sql).await.unwrap_err();
        assert!(refused.to_string().contains("the audit trail"), "{sql}: {refused}");
    }
    assert_eq!(report(place).await.rows, 3);
}

async fn an_untouched_trail_verifies<S: DurablePorts>(place: &Durable<S>) {
    assert_eq!(report(place).await, Report::default());
    write(place, 600).await;
    let report = report(place).await;
    assert_eq!((report.rows, report.last, report.findings), (600, 600, vec![]));
    // The first row, and every 256th.
    assert_eq!(report.checkpoints, 3);
}

async fn a_changed_row_is_found<S: DurablePorts>(place: &Durable<S>) {
    let found = after(place, &["UPDATE audit SET address = '203.0.113.9' WHERE seq = 4"]).await;
    assert_eq!(found, [Finding::Changed { seq: 4 }]);
}

async fn a_removed_row_is_found<S: DurablePorts>(place: &Durable<S>) {
    let found = after(place, &["DELETE FROM audit WHERE seq IN (4, 5)"]).await;
    assert_eq!(found, [Finding::Removed { from: 4, to: 5 }]);
}

async fn rows_removed_at_the_beginning_are_found<S: DurablePorts>(place: &Durable<S>) {
    let found = after(place, &["DELETE FROM audit WHERE seq < 4"]).await;
    assert_eq!(found, [Finding::StartTampered { seq: 4 }]);
}

async fn rows_removed_as_if_by_age_are_found<S: DurablePorts>(place: &Durable<S>) {
    let found = after(
        place,
        &["DELETE FROM audit WHERE seq < 2", "UPDATE audit_head SET pruned = 1 WHERE id = 1"],
    )
    .await;
    assert_eq!(found, [Finding::StartTampered { seq: 2 }]);
}

async fn a_row_put_in_place_of_another_is_found<S: DurablePorts>(place: &Durable<S>) {
    let found = after(
        place,
        &[
            "DELETE FROM audit WHERE seq = 4",
            "INSERT INTO audit SELECT 4, at, event, outcome, factor, account_id, 'bob', actor, \
             operator, address, user_agent, reference, node, detail, previous, head, hash \
             FROM audit WHERE seq = 3",
        ],
    )
    .await;
    assert!(found.contains(&Finding::Changed { seq: 4 }), "{found:?}");
}

async fn a_row_added_at_the_end_is_found<S: DurablePorts>(place: &Durable<S>) {
    let add = "INSERT INTO audit SELECT 10, at, event, outcome, factor, account_id, name, actor, \
               operator, address, user_agent, reference, node, detail, hash, head, hash \
               FROM audit WHERE seq = 9";
    let found = after(place, &[add]).await;
    assert!(found.contains(&Finding::Changed { seq: 10 }), "{found:?}");
    assert!(found.contains(&Finding::EndTampered { seq: 10 }), "{found:?}");
}

async fn a_tail_cut_off_is_found_also_when_the_trail_goes_on<S: DurablePorts>(place: &Durable<S>) {
    let found = after(place, &["DELETE FROM audit WHERE seq > 7"]).await;
    assert_eq!(found, [Finding::Removed { from: 8, to: 9 }]);
    // With the head set back too, as far as that is possible without the key file.
    let mut db = intruder(place).await;
    let back = "UPDATE audit_head SET seq = 7, hash = (SELECT hash FROM audit WHERE seq = 7) \
                WHERE id = 1";
    run(&mut db, back).await.unwrap();
    assert_eq!(report(place).await.findings, [Finding::EndTampered { seq: 7 }]);
    write(place, 2).await;
    assert_eq!(report(place).await.findings, [Finding::EndTamperedBefore { seq: 8 }]);
}

async fn a_row_noted_elsewhere_proves_that_nothing_was_undone<S: DurablePorts>(place: &Durable<S>) {
    write(place, 5).await;
    let then = report(place).await;
    let noted = RecordedRow { seq: then.last, hash: then.hash };
    write(place, 2).await;
    assert_eq!(verify(&place.one, &keys(), Some(&noted)).await.unwrap().findings, []);
    let mut db = intruder(place).await;
    drop_guards(&place.url, &mut db).await;
    // Everything undone, down to the day the tables were made.
    run(&mut db, "DELETE FROM audit").await.unwrap();
    run(&mut db, "DELETE FROM audit_checkpoints").await.unwrap();
    let reset = "UPDATE audit_head SET seq = 0, hash = '', signature = '' WHERE id = 1";
    run(&mut db, reset).await.unwrap();
    let found = verify(&place.one, &keys(), Some(&noted)).await.unwrap().findings;
    assert_eq!(found, [Finding::RecordMismatch { seq: 5 }]);
}

async fn a_checkpoint_tampered_with_is_found<S: DurablePorts>(place: &Durable<S>) {
    let found = after(place, &["UPDATE audit_checkpoints SET hash = 'x' WHERE seq = 1"]).await;
    assert_eq!(found, [Finding::CheckpointTampered { seq: 1 }]);
}

async fn old_rows_go_up_to_a_checkpoint_and_the_rest_still_verifies<S: DurablePorts>(
    place: &Durable<S>,
) {
    write(place, 600).await;
    let before = start().plus(Duration::from_secs(550));
    let mut gone = 0;
    while let Some(pruned) = place.one.prune(before, &keys()).await.unwrap() {
        gone += pruned.rows;
        assert_eq!(pruned.through, 512);
    }
    assert_eq!(gone, 512);
    write(place, 3).await;
    let report = report(place).await;
    assert_eq!((report.rows, report.last, report.findings), (91, 603, vec![]));
    let mut db = intruder(place).await;
    drop_guards(&place.url, &mut db).await;
    run(&mut db, "DELETE FROM audit WHERE seq = 513").await.unwrap();
    let found = verify(&place.two, &keys(), None).await.unwrap().findings;
    assert_eq!(found, [Finding::StartTampered { seq: 514 }]);
}

async fn a_missing_key_is_named<S: DurablePorts>(place: &Durable<S>) {
    write(place, 3).await;
    let found = verify(&place.one, &other_keys(), None).await.unwrap().findings;
    assert_eq!(found, [Finding::KeyMissing { seq: 1, key: "k2".to_owned() }]);
}

super::on_both_databases!(
    a_row_comes_back_as_it_was_written,
    rows_are_found_by_what_they_say,
    rows_written_at_once_are_numbered_without_gaps,
    the_database_itself_refuses_to_change_the_trail,
    an_untouched_trail_verifies,
    a_changed_row_is_found,
    a_removed_row_is_found,
    rows_removed_at_the_beginning_are_found,
    rows_removed_as_if_by_age_are_found,
    a_row_put_in_place_of_another_is_found,
    a_row_added_at_the_end_is_found,
    a_tail_cut_off_is_found_also_when_the_trail_goes_on,
    a_row_noted_elsewhere_proves_that_nothing_was_undone,
    a_checkpoint_tampered_with_is_found,
    old_rows_go_up_to_a_checkpoint_and_the_rest_still_verifies,
    a_missing_key_is_named,
);
