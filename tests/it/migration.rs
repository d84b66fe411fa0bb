//! Databases of the schema before authenticators of several kinds, opened by this version: people
//! who were signed in still are, their codes work, and what was used or suspended stays so.

use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, Connection as _, Executor as _, SqlSafeStr as _, query};
use tempfile::TempDir;
use vestibule::auth::account::{Identity, LoginName};
use vestibule::auth::audit::Caller;
use vestibule::auth::authenticator::AuthenticatorKind;
use vestibule::auth::keys::KeyRing;
use vestibule::auth::login::{
    AppRef, FactorResponse, FirstFactor, FirstFactorAttempt, Owed, SecondFactor,
};
use vestibule::auth::password::PasswordPool;
use vestibule::auth::ports::{Authenticators as _, PendingLogins as _, SessionStarts as _};
use vestibule::auth::recovery::RecoveryCode;
use vestibule::auth::session::{Device, PendingLogin, Session};
use vestibule::auth::stage::Factor;
use vestibule::auth::throttle::Budgets;
use vestibule::auth::token::{PendingToken, PlainToken, SessionToken};
use vestibule::base::address::ClientIp;
use vestibule::base::clock::{ManualClock, Timestamp};
use vestibule::base::id::{AccountId, FactorId, RequestId};
use vestibule::base::random::{OsRandom, Random};
use vestibule::base::secret::Secret;
use vestibule::store::sql::ephemeral::EmbeddedStore;
use vestibule::store::sql::{SqlStore, SqlTarget};

use super::services::{CHEAP, Node, keys};
use super::support::codes::Codes;
use super::support::servers::PostgresServer;

const APP: AppRef<'static> = AppRef { name: "app", issuer: "App", party: None };
const NOW: u64 = 1_800_000_015_000;
/// The present time step, and the last one that each authenticator has used.
const STEP: u64 = NOW / 30_000;
const PASSWORD: &str = "seven-owls-paint-the-fence";
const SECRET: &[u8; 20] = b"12345678901234567890";

macro_rules! file {
    ($name:literal) => {
        include_str!(concat!("../../src/store/sql/migrations/", $name))
    };
}

/// The schema before the version under test, with the guard of the audit log for one database.
fn schema(guard: &'static str) -> [(i64, &'static str, String); 8] {
    let audit = format!("{}{guard}", file!("audit_0002.sql"));
    let same = str::to_owned;
    [
        (1, "accounts", same(file!("accounts_0001.sql"))),
        (2, "audit", audit),
        (3, "tickets", same(file!("tickets_0003.sql"))),
        (4, "passwords", same(file!("passwords_0004.sql"))),
        (5, "throttle", same(file!("throttle_0005.sql"))),
        (6, "recovery uses", same(file!("recovery_uses_0006.sql"))),
        (7, "app accounts", same(file!("app_accounts_0007.sql"))),
        (8, "access tokens", same(file!("access_tokens_0008.sql"))),
    ]
}

/// A user in the old database.
struct Person {
    id: AccountId,
    name: &'static str,
    recovery: Vec<RecoveryCode>,
}

/// State of somebody's authenticator.
#[derive(Clone, Copy, Default)]
struct Guessed {
    failures: i64,
    wait_until: u64,
    suspended_at: Option<i64>,
}

/// The old database with its people, and a session of alice.
struct Old {
    keys: Arc<KeyRing>,
    clock: Arc<ManualClock>,
    alice: Person,
    bob: Person,
    carol: Person,
    session: PlainToken<SessionToken>,
    /// A login of alice that has proved the password.
    pending: PlainToken<PendingToken>,
    dir: TempDir,
}

fn now() -> Timestamp {
    Timestamp::from_millis(NOW)
}

fn millis(at: u64) -> i64 {
    i64::try_from(at).unwrap()
}

/// Seals as the version before did: to the word, the account and the factor.
fn sealed(keys: &KeyRing, account: AccountId, factor: FactorId) -> String {
    let context = [b"totp".as_slice(), account.as_bytes(), factor.as_bytes()].concat();
    keys.seal(&OsRandom::new(), &context, SECRET).unwrap()
}

async fn add(
    db: &mut AnyConnection,
    keys: &Arc<KeyRing>,
    name: &'static str,
    guessed: Guessed,
) -> Person {
    let random: Arc<dyn Random> = Arc::new(OsRandom::new());
    let (id, factor) = (AccountId::random(&*random).unwrap(), FactorId::random(&*random).unwrap());
    let identity = identity(id, name);
    let pool = PasswordPool::new(CHEAP, Arc::clone(keys), Arc::clone(&random));
    let password = pool.hash_new(&Secret::new(PASSWORD.to_owned()), &identity).await.unwrap();
    query(
        "INSERT INTO accounts (id, name, display_name, email, group_names, password_phc, \
         password_pepper, disabled, ever_enrolled, sessions_valid_from, created_at) \
         VALUES ($1, $2, $2, NULL, '[]', $3, $4, 0, 1, 0, 5)",
    )
    .bind(id.to_string())
    .bind(name)
    .bind(password.phc)
    .bind(password.pepper_id)
    .execute(&mut *db)
    .await
    .unwrap();
    query(
        "INSERT INTO totp_factors (id, account_id, sealed, last_step, confirmed_at, last_used_at, \
         failures, wait_until, suspended_at) VALUES ($1, $2, $3, $4, 7, 9, $5, $6, $7)",
    )
    .bind(factor.to_string())
    .bind(id.to_string())
    .bind(sealed(keys, id, factor))
    .bind(millis(STEP))
    .bind(guessed.failures)
    .bind(millis(guessed.wait_until))
    .bind(guessed.suspended_at)
    .execute(&mut *db)
    .await
    .unwrap();
    let codes = (0..10).map(|_| RecoveryCode::generate(&*random).unwrap());
    let recovery: Vec<_> = codes.collect();
    let (salt, pepper, hashes) = pool.hash_recovery_set(&recovery).await.unwrap();
    query(
        "INSERT INTO recovery_sets (account_id, salt, pepper_id, created_at, confirmed_at) \
         VALUES ($1, $2, $3, 7, 8)",
    )
    .bind(id.to_string())
    .bind(salt)
    .bind(pepper)
    .execute(&mut *db)
    .await
    .unwrap();
    for (number, hash) in hashes.iter().enumerate() {
        // The first one is used.
        query("INSERT INTO recovery_codes (account_id, hash, used_at) VALUES ($1, $2, $3)")
            .bind(id.to_string())
            .bind(hash.as_str())
            .bind((number == 0).then_some(9_i64))
            .execute(&mut *db)
            .await
            .unwrap();
    }
    Person { id, name, recovery }
}

fn identity(account: AccountId, name: &str) -> Identity {
    Identity {
        account,
        name: LoginName::parse(name).unwrap(),
        display_name: name.to_owned(),
        email: None,
        groups: Vec::new(),
    }
}

/// A session as the version before filed it.
fn session(account: AccountId, name: &str) -> Session {
    let record = serde_json::json!({
        "id": "0123456789abcdef",
        "identity": identity(account, name),
        "app": APP.name,
        "method": "totp",
        "started_at": now(),
        "second_factor_at": now(),
        "password_at": now(),
        "last_seen_at": now(),
        "expires_at": now().plus(Duration::from_hours(12)),
        "device": { "address": "192.0.2.7", "user_agent": "test" },
        "recovery_codes_due": null,
    });
    serde_json::from_value(record).unwrap()
}

/// A login in progress as the version before filed it.
fn login(account: AccountId) -> PendingLogin {
    let record = serde_json::json!({
        "account": account,
        "app": APP.name,
        "begun_with": "password",
        "started_at": now(),
        "expires_at": now().plus(Duration::from_mins(10)),
        "return_to": "/",
        "enrolment": null,
    });
    serde_json::from_value(record).unwrap()
}

impl Old {
    async fn make(url: &str, guard: &'static str) -> Self {
        sqlx::any::install_default_drivers();
        let mut db = AnyConnection::connect(url).await.unwrap();
        let steps = schema(guard).into_iter().map(|(version, name, sql)| {
            let sql = sqlx::AssertSqlSafe(sql).into_sql_str();
            Migration::new(version, name.into(), MigrationType::Simple, sql, false)
        });
        Migrator::with_migrations(steps.collect()).run_direct(None, &mut db, false).await.unwrap();
        let keys = Arc::new(keys());
        let most = i64::from(Budgets::default().second_factor.most);
        let alice = add(&mut db, &keys, "alice", Guessed::default()).await;
        let suspended = Guessed { failures: most, suspended_at: Some(11), ..Guessed::default() };
        let bob = add(&mut db, &keys, "bob", suspended).await;
        let waiting = Guessed { failures: 10, wait_until: NOW + 60_000, suspended_at: None };
        let carol = add(&mut db, &keys, "carol", waiting).await;
        db.close().await.unwrap();

        let dir = tempfile::tempdir().unwrap();
        let short = EmbeddedStore::open(&dir.path().join("sessions.db")).await.unwrap();
        let random = OsRandom::new();
        let (first, pending) = (
            PlainToken::<PendingToken>::generate(&keys, &random).unwrap(),
            PlainToken::<PendingToken>::generate(&keys, &random).unwrap(),
        );
        let token = PlainToken::<SessionToken>::generate(&keys, &random).unwrap();
        for login_token in [&first, &pending] {
            short.begin(login_token.hashed(), &login(alice.id), now()).await.unwrap();
        }
        let (signed_in, ttl) = (session(alice.id, "alice"), Duration::from_hours(12));
        let done = short.promote(first.hashed(), token.hashed(), &signed_in, ttl).await.unwrap();
        assert!(done);
        short.close().await;
        let clock = Arc::new(ManualClock::at(now()));
        Self { keys, clock, alice, bob, carol, session: token, pending, dir }
    }

    async fn opened(&self, target: SqlTarget) -> Node {
        let (dir, budgets) = (self.dir.path(), Budgets::default());
        Node::over(("new", target), dir, &self.clock, &self.keys, CHEAP, budgets).await
    }
}

fn caller() -> Caller {
    Caller {
        browser: None,
        device: Device {
            address: ClientIp::new([192, 0, 2, 7].into()),
            user_agent: "test".to_owned(),
        },
        reference: RequestId::random(&OsRandom::new()).unwrap(),
        host: None,
        parked: None,
    }
}

/// The code of a time step.
fn code(step: u64) -> FactorResponse {
    let app = Codes::new(&data_encoding::BASE32_NOPAD.encode(SECRET));
    FactorResponse::parse(&app.of_step(step)).unwrap()
}

async fn password(node: &Node, name: &str) -> PlainToken<PendingToken> {
    let attempt = FirstFactorAttempt {
        name: name.to_owned(),
        password: Secret::new(PASSWORD.to_owned()),
        app_code: None,
        caller: caller(),
        return_to: "/".to_owned(),
    };
    let done = node.login.first.first_factor(APP, attempt).await.unwrap();
    let FirstFactor::Begun { token, enrol: false, .. } = done else {
        panic!("the password of {name}: {done:?}")
    };
    token
}

/// Sends a response in a login.
async fn send(
    node: &Node,
    token: &PlainToken<PendingToken>,
    response: &FactorResponse,
) -> SecondFactor {
    node.login.second.prove(APP, token, response, &caller()).await.unwrap()
}

/// What holds after the migration, on any database.
async fn people_go_on(old: &Old, target: SqlTarget) {
    let node = old.opened(target.clone()).await;
    let again = old.opened(target.clone()).await;
    let store = SqlStore::open(target).await.unwrap();

    // Still signed in.
    let session = node.login.sessions.session(APP.name, &old.session).await.unwrap().unwrap();
    assert_eq!((session.identity.account, session.method), (old.alice.id, Factor::TOTP));
    let held = store.authenticators(old.alice.id).await.unwrap();
    let [app] = held.as_slice() else { panic!("one authenticator: {held:?}") };
    assert_eq!((app.kind, app.counter), (AuthenticatorKind::Totp, STEP));
    assert_eq!(app.created_at, Timestamp::from_millis(7));
    assert_eq!(app.last_used_at, Some(Timestamp::from_millis(9)));

    // A used code is refused, in the login from before and in a new one, and the next one works.
    let used = send(&node, &old.pending, &code(STEP)).await;
    assert!(matches!(used, SecondFactor::Wrong { used_up: true, .. }), "{used:?}");
    let login = password(&node, old.alice.name).await;
    let used = send(&again, &login, &code(STEP - 1)).await;
    assert!(matches!(used, SecondFactor::Wrong { used_up: true, .. }), "{used:?}");
    assert!(
        node.login.enrolments.enrolment(APP, &login).await.unwrap().is_none(),
        "never by password"
    );
    let recovery = FactorResponse::RecoveryCode(old.alice.recovery[0].clone());
    let used = send(&node, &login, &recovery).await;
    assert!(matches!(used, SecondFactor::Wrong { used_up: true, .. }), "{used:?}");
    let done = send(&node, &old.pending, &code(STEP + 1)).await;
    assert!(matches!(done, SecondFactor::SignedIn(_)), "{done:?}");
    let used = send(&again, &login, &code(STEP + 1)).await;
    assert!(matches!(used, SecondFactor::Wrong { used_up: true, .. }), "{used:?}");

    // A suspended authenticator stays suspended, and a recovery code stands in for it.
    let login = password(&node, old.bob.name).await;
    let owed = node.login.logins.owed(APP, &login).await.unwrap();
    assert!(matches!(owed, Some(Owed::Suspended { recovery: true, .. })), "{owed:?}");
    let refused = send(&node, &login, &code(STEP + 1)).await;
    assert!(matches!(refused, SecondFactor::Suspended), "{refused:?}");
    let recovery = FactorResponse::RecoveryCode(old.bob.recovery[1].clone());
    let done = send(&node, &login, &recovery).await;
    assert!(matches!(done, SecondFactor::SignedIn(_)), "{done:?}");

    // A wait goes on, and ends.
    let login = password(&node, old.carol.name).await;
    let early = send(&node, &login, &code(STEP + 1)).await;
    assert!(
        matches!(early, SecondFactor::Wait(left) if left <= Duration::from_mins(1)),
        "{early:?}"
    );
    old.clock.advance(Duration::from_mins(1));
    let done = send(&node, &login, &code(STEP + 3)).await;
    assert!(matches!(done, SecondFactor::SignedIn(_)), "{done:?}");
}

async fn has_old_table(url: &str) -> bool {
    let mut db = AnyConnection::connect(url).await.unwrap();
    let found = db.execute("SELECT 1 FROM totp_factors").await.is_ok();
    db.close().await.unwrap();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_of_an_older_sqlite_database_stay_signed_in_and_their_used_codes_stay_used() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("accounts.db");
    let url = format!("sqlite:{}?mode=rwc", file.display());
    let old = Old::make(&url, file!("audit_0002_sqlite.sql")).await;
    people_go_on(&old, SqlTarget::Embedded(file)).await;
    assert!(!has_old_table(&url).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_of_an_older_postgresql_database_stay_signed_in_and_their_used_codes_stay_used() {
    let server = tokio::task::spawn_blocking(PostgresServer::shared).await.unwrap();
    let url = server.database().await;
    let old = Old::make(&url, file!("audit_0002_postgres.sql")).await;
    people_go_on(&old, SqlTarget::Postgres(Secret::new(url.clone()))).await;
    assert!(!has_old_table(&url).await);
}
