//! Ended sessions, in every durable store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use vestibule::auth::ended::RecordedEnds;
use vestibule::auth::ports::{
    Added, EndedSessions, PendingLogins as _, SessionLookup as _, SessionStarts as _, StoreError,
    Stored,
};
use vestibule::auth::session::{EndOf, Session, SessionLimits};
use vestibule::auth::token::{HashedToken, SessionToken};
use vestibule::base::clock::{Clock as _, ManualClock, SystemClock, Timestamp};
use vestibule::base::id::SessionId;
use vestibule::base::random::OsRandom;
use vestibule::store::sql::ephemeral::EmbeddedStore;
use vestibule::store::sql::{SqlStore, SqlTarget};

use super::places::{Durable, DurablePorts};
use super::samples::{account, identity, login, session, start, token};
use crate::support::client::PATIENCE;
use crate::support::within;

const KEPT: Duration = Duration::from_hours(24);

type Known = (HashedToken<SessionToken>, Session);

/// Two sessions of one account that is there, an hour apart.
async fn two_sessions<S: DurablePorts>(place: &Durable<S>, name: &str) -> [Known; 2] {
    let new = account(name);
    assert_eq!(place.one.add(&new).await.unwrap(), Added::Yes);
    let later = start().plus(Duration::from_hours(1));
    [start(), later].map(|at| (token(), session(new.identity.clone(), at)))
}

/// Returns true if the session has ended, by the state of its account and by the list. Both must
/// agree.
async fn is_ended<S: DurablePorts>(place: &Durable<S>, (token, session): &Known) -> bool {
    let account = session.identity.account;
    let status = place.two.status(account, &session.mark(token)).await.unwrap().unwrap();
    let listed = place.two.ended_among(std::slice::from_ref(session)).await.unwrap();
    assert_eq!(status.session_ended, !listed.is_empty());
    assert_eq!(status.honours(session.started_at), !status.session_ended);
    status.session_ended
}

async fn a_session_ends_by_its_id_and_no_other_does<S: DurablePorts>(place: &Durable<S>) {
    let [first, second] = two_sessions(place, "alice").await;
    let end = EndOf::Session { token: Some(first.0), id: Some(first.1.id) };
    place.one.record_end(&end, start(), start().plus(KEPT)).await.unwrap();
    assert!(is_ended(place, &first).await);
    assert!(!is_ended(place, &second).await);
    let end = EndOf::Session { token: None, id: Some(second.1.id) };
    for _ in 0..2 {
        place.one.record_end(&end, start(), start().plus(KEPT)).await.unwrap();
    }
    assert!(is_ended(place, &second).await);
}

async fn a_session_under_an_old_token_has_ended<S: DurablePorts>(place: &Durable<S>) {
    let [first, _] = two_sessions(place, "bob").await;
    let end = EndOf::Session { token: Some(first.0), id: None };
    place.one.record_end(&end, start(), start().plus(KEPT)).await.unwrap();
    let account = first.1.identity.account;
    let under = async |token| {
        place.two.status(account, &first.1.mark(token)).await.unwrap().unwrap().session_ended
    };
    assert!(under(&first.0).await);
    assert!(!under(&token()).await, "the session under its new token goes on");
}

async fn an_end_of_an_account_ends_what_began_before_and_spares_one<S: DurablePorts>(
    place: &Durable<S>,
) {
    let [first, second] = two_sessions(place, "carol").await;
    let [other, _] = two_sessions(place, "dave").await;
    let id = first.1.identity.account;
    let between = start().plus(Duration::from_mins(30));
    let login = async |began| place.two.of_login(id, began).await.unwrap().is_some();
    assert!(login(start()).await);
    let end = EndOf::Account { id, keep: None };
    place.one.record_end(&end, between, start().plus(KEPT)).await.unwrap();
    assert!(is_ended(place, &first).await);
    assert!(!is_ended(place, &second).await, "it began after that");
    assert!(!login(start()).await);
    assert!(login(between).await);

    let after = start().plus(Duration::from_hours(2));
    let end = EndOf::Account { id, keep: Some(second.1.id) };
    place.one.record_end(&end, after, start().plus(KEPT)).await.unwrap();
    assert!(is_ended(place, &first).await);
    assert!(!is_ended(place, &second).await, "it is kept");
    assert!(!login(between).await, "no pending login is");
    assert!(login(after).await);
    let end = EndOf::Account { id, keep: None };
    // By a node whose clock is slow.
    place.one.record_end(&end, between, start().plus(KEPT)).await.unwrap();
    assert!(is_ended(place, &second).await);
    assert!(!is_ended(place, &other).await);
}

async fn a_session_ends_by_its_id_only_for_its_own_account<S: DurablePorts>(place: &Durable<S>) {
    let [first, _] = two_sessions(place, "heidi").await;
    let [other, _] = two_sessions(place, "ivan").await;
    let own = |account| EndOf::Own { account, id: first.1.id };
    let stranger = own(other.1.identity.account);
    place.one.record_end(&stranger, start(), start().plus(KEPT)).await.unwrap();
    assert!(!is_ended(place, &first).await);
    let owner = own(first.1.identity.account);
    place.one.record_end(&owner, start(), start().plus(KEPT)).await.unwrap();
    assert!(is_ended(place, &first).await);
    assert!(!is_ended(place, &other).await);
}

async fn an_end_that_spares_a_session_weakens_no_earlier_end<S: DurablePorts>(place: &Durable<S>) {
    let [first, second] = two_sessions(place, "judy").await;
    let id = first.1.identity.account;
    let record = async |keep: Option<&Known>, hours| {
        let now = start().plus(Duration::from_hours(hours));
        let end = EndOf::Account { id, keep: keep.map(|known| known.1.id) };
        place.one.record_end(&end, now, now.plus(KEPT)).await.unwrap();
    };
    record(None, 2).await;
    record(Some(&second), 3).await;
    assert!(is_ended(place, &first).await);
    assert!(is_ended(place, &second).await, "it had ended before");

    // Two browsers of one account end each other.
    let [first, second] = two_sessions(place, "kim").await;
    let id = first.1.identity.account;
    let keep = async |known: &Known, hours| {
        let now = start().plus(Duration::from_hours(hours));
        let end = EndOf::Account { id, keep: Some(known.1.id) };
        place.one.record_end(&end, now, now.plus(KEPT)).await.unwrap();
    };
    keep(&first, 2).await;
    assert!(is_ended(place, &second).await);
    keep(&first, 3).await;
    assert!(!is_ended(place, &first).await, "it is kept twice");
    keep(&second, 4).await;
    assert!(is_ended(place, &second).await, "the first browser had ended it before");
    assert!(is_ended(place, &first).await);
}

async fn the_time_is_that_of_the_database<S: DurablePorts>(place: &Durable<S>) {
    let before = SystemClock::new().now();
    let now = place.one.now().await.unwrap();
    // Both clocks are of this host; the database may round.
    let (now, after) = (now.plus(Duration::from_millis(2)), SystemClock::new().now());
    assert!(before <= now, "{now:?} is not after {before:?}");
    assert!(now <= after.plus(Duration::from_millis(4)), "{now:?} is not before {after:?}");
}

/// A backlog is deleted in parts.
async fn a_sweep_is_bounded<S: DurablePorts>(place: &Durable<S>) {
    let old: Vec<Session> = (0..501).map(|_| session(identity("mallory"), start())).collect();
    let end = |session: &Session| EndOf::Session { token: Some(token()), id: Some(session.id) };
    let mut until = start();
    for session in &old {
        until = until.plus(Duration::from_millis(1));
        // Two rows.
        place.one.record_end(&end(session), start(), until).await.unwrap();
    }
    let new = session(identity("niaj"), until);
    for left in [1, 0] {
        place.one.record_end(&end(&new), until, until.plus(KEPT)).await.unwrap();
        assert_eq!(place.two.ended_among(&old).await.unwrap().len(), left);
    }
    assert_eq!(place.two.ended_among(std::slice::from_ref(&new)).await.unwrap(), [new.id]);
}

async fn an_end_of_all_ends_what_began_before<S: DurablePorts>(place: &Durable<S>) {
    let [first, second] = two_sessions(place, "erin").await;
    let between = start().plus(Duration::from_mins(30));
    place.one.record_end(&EndOf::All, between, start().plus(KEPT)).await.unwrap();
    assert!(is_ended(place, &first).await);
    assert!(!is_ended(place, &second).await);
}

async fn an_end_is_kept_as_long_as_told<S: DurablePorts>(place: &Durable<S>) {
    let [first, second] = two_sessions(place, "frank").await;
    let end = |known: &Known| EndOf::Session { token: None, id: Some(known.1.id) };
    let until = start().plus(KEPT);
    place.one.record_end(&end(&first), start(), until).await.unwrap();
    let before = start().plus(KEPT.saturating_sub(Duration::from_millis(1)));
    place.one.record_end(&end(&second), before, before.plus(KEPT)).await.unwrap();
    assert!(is_ended(place, &first).await);
    place.one.record_end(&end(&second), until, until.plus(KEPT)).await.unwrap();
    assert!(!is_ended(place, &first).await, "no session lives that long");
    assert!(is_ended(place, &second).await);
}

async fn of_many_sessions_the_ended_ones_are_told<S: DurablePorts>(place: &Durable<S>) {
    let all: Vec<Session> = (0..250).map(|_| session(identity("grace"), start())).collect();
    let ended: Vec<_> = all.iter().step_by(50).map(|session| session.id).collect();
    for id in &ended {
        let end = EndOf::Session { token: None, id: Some(*id) };
        place.one.record_end(&end, start(), start().plus(KEPT)).await.unwrap();
    }
    assert_eq!(place.two.ended_among(&all).await.unwrap(), ended);
    assert_eq!(place.two.ended_among(&[]).await.unwrap(), []);
}

/// A store that does not record the next end.
struct Failing(SqlStore, AtomicBool);

#[async_trait]
impl EndedSessions for Failing {
    async fn now(&self) -> Stored<Timestamp> {
        EndedSessions::now(&self.0).await
    }

    async fn record_end(&self, end: &EndOf, now: Timestamp, until: Timestamp) -> Stored<()> {
        if self.1.swap(false, Ordering::Relaxed) {
            return Err(StoreError { store: "the store", reason: "it is away".to_owned() });
        }
        self.0.record_end(end, now, until).await
    }

    async fn ended_among(&self, sessions: &[Session]) -> Stored<Vec<SessionId>> {
        self.0.ended_among(sessions).await
    }
}

#[tokio::test]
async fn a_token_that_is_replaced_while_the_store_is_away_ends_later_and_the_new_one_holds() {
    let dir = tempfile::tempdir().unwrap();
    let durable =
        SqlStore::open(SqlTarget::Embedded(dir.path().join("accounts.db"))).await.unwrap();
    let short = Arc::new(EmbeddedStore::open(&dir.path().join("sessions.db")).await.unwrap());
    let failing = Arc::new(Failing(durable.clone(), AtomicBool::new(true)));
    let clock = Arc::new(ManualClock::at(start()));
    let limits = SessionLimits::default();
    let sessions = RecordedEnds::new(Arc::<EmbeddedStore>::clone(&short), failing, clock, limits);

    let (from, old, new) = (token(), token(), token());
    let session = session(identity("alice"), start());
    short.begin(&from, &login(session.identity.account, start()), start()).await.unwrap();
    assert!(sessions.promote(&from, &old, &session, limits.idle).await.unwrap());
    let next = Session { id: SessionId::random(&OsRandom::new()).unwrap(), ..session.clone() };
    assert!(sessions.renew(&old, &new, &next, None, limits.idle).await.unwrap());
    assert!(sessions.load(&new).await.unwrap().is_some());
    let ended =
        async || !durable.ended_among(std::slice::from_ref(&session)).await.unwrap().is_empty();
    within(PATIENCE, "the end to be recorded", async { while !ended().await {} }).await;
}

super::on_both_databases!(
    a_session_ends_by_its_id_and_no_other_does,
    a_session_under_an_old_token_has_ended,
    an_end_of_an_account_ends_what_began_before_and_spares_one,
    a_session_ends_by_its_id_only_for_its_own_account,
    an_end_that_spares_a_session_weakens_no_earlier_end,
    the_time_is_that_of_the_database,
    a_sweep_is_bounded,
    an_end_of_all_ends_what_began_before,
    an_end_is_kept_as_long_as_told,
    of_many_sessions_the_ended_ones_are_told,
);
