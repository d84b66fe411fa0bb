//! What the gate believes of a session without asking: over a real store, with the clock in hand.

use std::sync::Arc;
use std::time::Duration;

use vestibule::auth::ports::{
    AccountManagement as _, PendingLogins, SessionEnds, SessionLookup, SessionStarts as _,
};
use vestibule::auth::session::{Session, SessionLimits};
use vestibule::auth::token::{HashedToken, PlainToken, SessionToken};
use vestibule::base::clock::{Clock, ManualClock};
use vestibule::base::id::SessionId;
use vestibule::base::random::OsRandom;
use vestibule::gate::sessions::{BATCH, CachedSessions, Standing, Use};
use vestibule::store::sql::ephemeral::EmbeddedStore;
use vestibule::store::sql::{SqlStore, SqlTarget};

use super::contract::samples::{account, login, plain_token, session, start, token};
use super::support::servers::damage_embedded_session;
use super::support::within;

const IDLE: Duration = Duration::from_mins(30);

struct Gate {
    known: Arc<CachedSessions>,
    store: Arc<EmbeddedStore>,
    accounts: Arc<SqlStore>,
    clock: Arc<ManualClock>,
    dir: tempfile::TempDir,
}

impl Gate {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let accounts = SqlTarget::Embedded(dir.path().join("accounts.db"));
        let accounts = Arc::new(SqlStore::open(accounts).await.unwrap());
        let store = EmbeddedStore::open(&dir.path().join("sessions.db")).await.unwrap();
        let store = Arc::new(store);
        let clock = Arc::new(ManualClock::at(start()));
        let known = CachedSessions::new(
            Arc::<EmbeddedStore>::clone(&store),
            Arc::<SqlStore>::clone(&accounts),
            Arc::<ManualClock>::clone(&clock),
            &OsRandom::new(),
            SessionLimits::default(),
        );
        Self { known: Arc::new(known.unwrap()), store, accounts, clock, dir }
    }

    /// A new account with a session.
    async fn signed_in(&self, name: &str) -> (PlainToken<SessionToken>, Session) {
        let new = account(name);
        let _added = self.accounts.add(&new).await.unwrap();
        let (from, now) = (token(), self.clock.now());
        self.store.begin(&from, &login(new.identity.account, now), now).await.unwrap();
        let (token, session) = (plain_token(), session(new.identity, now));
        let filed = self.store.promote(&from, token.hashed(), &session, IDLE).await.unwrap();
        assert!(filed);
        (token, session)
    }

    fn seen(&self, app: &str, token: &PlainToken<SessionToken>) -> bool {
        let at = self.clock.monotonic();
        self.known.find_seen(app, token.reveal().as_bytes(), (at, Use::Counts)).is_some()
    }

    /// Is let in, and waits until the use is noted.
    async fn is_used(&self, app: &str, token: &PlainToken<SessionToken>) {
        assert!(self.found(app, token).await, "at {:?}", self.clock.now());
        self.noted(token).await;
    }

    /// Waits until the session is noted to be used at this moment.
    async fn noted(&self, token: &PlainToken<SessionToken>) {
        let noted = async {
            while SessionLookup::load(&*self.store, token.hashed())
                .await
                .unwrap()
                .unwrap()
                .last_seen_at
                != self.clock.now()
            {
                tokio::task::yield_now().await;
            }
        };
        within(Duration::from_secs(30), "the use to be noted", noted).await;
    }

    async fn found(&self, app: &str, token: &PlainToken<SessionToken>) -> bool {
        self.known.find(app, token, (self.clock.monotonic(), Use::Counts)).await.unwrap().is_some()
    }
}

#[tokio::test]
async fn a_session_just_seen_is_known_for_less_than_a_second() {
    let gate = Gate::open().await;
    let (token, session) = gate.signed_in("alice").await;
    assert!(!gate.seen(&session.app, &token), "nobody has asked the store yet");
    assert!(gate.found(&session.app, &token).await);
    assert!(gate.seen(&session.app, &token));
    assert!(!gate.seen("another", &token), "a session is worth nothing at another app");
    assert!(!gate.seen(&session.app, &plain_token()));
    // Ended elsewhere: this node hears nothing of it.
    SessionEnds::end(&*gate.store, token.hashed()).await.unwrap();
    gate.clock.advance(Duration::from_millis(600));
    assert!(gate.seen(&session.app, &token));
    gate.clock.advance(Duration::from_millis(300));
    assert!(!gate.seen(&session.app, &token));
    assert!(!gate.found(&session.app, &token).await);
}

#[tokio::test]
async fn an_end_on_this_node_holds_at_once_whatever_was_read_since() {
    let gate = Gate::open().await;
    let (token, session) = gate.signed_in("alice").await;
    let known =
        gate.known.find(&session.app, &token, (gate.clock.monotonic(), Use::Counts)).await.unwrap();
    // As the sweep over open connections does.
    assert!(matches!(
        gate.known.standing(&[*known.unwrap().token()]).await[..],
        [Standing::Lives(_)]
    ));
    assert!(gate.seen(&session.app, &token));
    gate.known.end(token.hashed()).await.unwrap();
    assert!(!gate.seen(&session.app, &token));
    assert!(!gate.found(&session.app, &token).await);
}

#[tokio::test]
async fn a_reload_under_way_brings_no_session_back_after_the_keys_were_replaced() {
    let gate = Gate::open().await;
    let (token, session) = gate.signed_in("alice").await;
    assert!(gate.found(&session.app, &token).await);
    gate.clock.advance(Duration::from_millis(800));
    // The reload begins once this task waits for something.
    assert!(gate.seen(&session.app, &token));
    gate.known.keys_replaced();
    // The reload holds one reference, the second look at the keys another.
    let reloaded = async {
        while Arc::strong_count(&gate.known) > 2 {
            tokio::task::yield_now().await;
        }
    };
    within(Duration::from_secs(30), "the reload", reloaded).await;
    assert!(!gate.seen(&session.app, &token));
}

#[tokio::test]
async fn a_session_that_began_before_its_account_was_disabled_is_refused_when_first_met() {
    let gate = Gate::open().await;
    let (first, session) = gate.signed_in("alice").await;
    assert!(gate.found(&session.app, &first).await, "the account is known as good now");
    let (from, now) = (token(), gate.clock.now());
    gate.store.begin(&from, &login(session.identity.account, now), now).await.unwrap();
    gate.clock.advance(Duration::from_millis(1));
    let disabled_at = gate.clock.now();
    assert!(gate.accounts.set_disabled(session.identity.account, true, disabled_at).await.unwrap());
    // Filed by a sign-in that was under way.
    let late = plain_token();
    let id = SessionId::random(&OsRandom::new()).unwrap();
    let filed = Session { id, ..session.clone() };
    assert!(gate.store.promote(&from, late.hashed(), &filed, IDLE).await.unwrap());
    assert!(!gate.found(&session.app, &late).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_in_use_while_bytes_of_its_request_pass() {
    let gate = Gate::open().await;
    let (token, session) = gate.signed_in("alice").await;
    let at = gate.clock.monotonic();
    let upload = gate.known.find(&session.app, &token, (at, Use::Counts)).await.unwrap().unwrap();
    // An upload of three hours, and nobody asks for anything else.
    for _ in 0..9 {
        gate.clock.advance(Duration::from_mins(20));
        gate.known.bytes_passed(&upload, gate.clock.monotonic());
        gate.noted(&token).await;
    }
    // It stands still from here on; its last byte was the last use.
    gate.clock.advance(Duration::from_mins(29));
    assert!(gate.found(&session.app, &token).await);
    gate.noted(&token).await;
    gate.clock.advance(IDLE);
    assert!(!gate.found(&session.app, &token).await, "a stream without bytes keeps nothing alive");
    gate.known.bytes_passed(&upload, gate.clock.monotonic());
    gate.known.request_over(&upload, (at, gate.clock.monotonic()));
    assert!(!gate.found(&session.app, &token).await, "nor does it bring a session back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_idle_clock_starts_at_the_last_byte_of_a_long_request() {
    let gate = Gate::open().await;
    let (token, session) = gate.signed_in("alice").await;
    let began = gate.clock.monotonic();
    let long = gate.known.find(&session.app, &token, (began, Use::Counts)).await.unwrap().unwrap();
    gate.clock.advance(Duration::from_mins(2));
    gate.known.bytes_passed(&long, gate.clock.monotonic());
    gate.noted(&token).await;
    // Less than a minute later, when no further touch is due.
    gate.clock.advance(Duration::from_secs(50));
    let last = gate.clock.monotonic();
    gate.known.bytes_passed(&long, last);
    gate.known.request_over(&long, (began, last));
    gate.noted(&token).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_in_use_ends_at_its_absolute_limit() {
    let gate = Gate::open().await;
    let (token, session) = gate.signed_in("alice").await;
    let pause = Duration::from_mins(20);
    let mut uses = 0;
    while gate.clock.now().plus(pause) < session.expires_at {
        gate.clock.advance(pause);
        gate.is_used(&session.app, &token).await;
        uses += 1;
    }
    assert!(uses > 2, "longer than the idle limit");
    let left = session.expires_at.since(gate.clock.now());
    gate.clock.advance(left.saturating_sub(Duration::from_millis(1)));
    gate.is_used(&session.app, &token).await;
    assert!(gate.seen(&session.app, &token));
    gate.clock.advance(Duration::from_millis(1));
    assert!(!gate.seen(&session.app, &token), "used a moment ago, and over");
    assert!(!gate.found(&session.app, &token).await);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_says_nothing_of_other_sessions() {
    let gate = Gate::open().await;
    let mut tokens = Vec::new();
    for name in ["alice", "bob", "carol"] {
        tokens.push(*gate.signed_in(name).await.0.hashed());
    }
    let file = gate.dir.path().join("sessions.db");
    damage_embedded_session(&file, &tokens[1].to_hex()).await;
    for _ in 0..2 {
        let standing = gate.known.standing(&tokens).await;
        assert!(
            matches!(standing[..], [Standing::Lives(_), Standing::Unreadable, Standing::Lives(_)]),
            "{standing:?}"
        );
        gate.clock.advance(Duration::from_secs(2));
    }
}

async fn judged(gate: &Gate, tokens: &[HashedToken<SessionToken>]) -> Vec<Standing> {
    let mut all = Vec::new();
    for batch in tokens.chunks(BATCH) {
        all.extend(gate.known.standing(batch).await);
    }
    all
}

#[tokio::test]
async fn many_sessions_are_judged_at_once_and_a_look_is_no_use() {
    let gate = Gate::open().await;
    let mut tokens = Vec::new();
    for n in 0..250 {
        tokens.push(*gate.signed_in(&format!("user-{n}")).await.0.hashed());
    }
    let ended = [7, 120, 249];
    for n in ended {
        SessionEnds::end(&*gate.store, &tokens[n]).await.unwrap();
    }
    tokens.push(token());
    let standing = judged(&gate, &tokens).await;
    for (n, standing) in standing.iter().enumerate() {
        let gone = ended.contains(&n) || n == 250;
        assert_eq!(matches!(standing, Standing::Ended), gone, "{n}: {standing:?}");
        assert_eq!(matches!(standing, Standing::Lives(_)), !gone, "{n}");
    }
    gate.clock.advance(IDLE);
    let standing = judged(&gate, &tokens).await;
    assert!(standing.iter().all(|standing| matches!(standing, Standing::Ended)));
}
