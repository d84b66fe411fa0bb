//! What the stores do when their servers are down, hang, or refuse to write; and what their files
//! and dumps tell.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use sqlx::{Connection as _, Executor as _};
use vestibule::auth::ports::{
    AccountLookup as _, AccountManagement as _, Attempts, PendingLogins, SessionEnds,
    SessionLookup, SessionOverview as _, SessionStarts as _, StoreError, StoreHealth,
};
use vestibule::auth::throttle::{AttemptKey, ENROLMENT_GUESSES, Verdict};
use vestibule::auth::token::{PendingToken, PlainToken, SessionToken};
use vestibule::base::secret::Secret;
use vestibule::store::redis::RedisStore;
use vestibule::store::sql::ephemeral::EmbeddedStore;
use vestibule::store::sql::{SqlStore, SqlTarget};

use super::samples::{
    account, account_id, identity, keys, login, plain_token, session, start, token,
};
use crate::support::servers::{PostgresServer, RedisServer};

const IDLE: Duration = Duration::from_mins(30);

fn store(server: &RedisServer) -> RedisStore {
    RedisStore::open(&Secret::new(server.url()), "vestibule").unwrap()
}

async fn load(store: &RedisStore) -> Result<(), StoreError> {
    SessionLookup::load(store, &token::<SessionToken>()).await.map(drop)
}

#[expect(clippy::disallowed_methods, reason = "the time that really passes is what is tested")]
async fn seconds<T>(work: impl Future<Output = T>) -> (T, f64) {
    let started = Instant::now();
    let done = work.await;
    (done, started.elapsed().as_secs_f64())
}

#[tokio::test]
async fn a_dead_redis_is_an_error_and_one_that_is_back_is_used_at_once() {
    let mut server = RedisServer::start();
    let store = store(&server);
    server.kill();
    for _ in 0..3 {
        let (failed, took) = seconds(load(&store)).await;
        assert!(failed.unwrap_err().to_string().starts_with("the session store (Redis) is not"));
        assert!(took < 15.0, "{took} s");
    }
    server.restart();
    load(&store).await.expect("the first command after the return succeeds");
    server.restart();
    // The connection that broke may cost one command, never two.
    if load(&store).await.is_err() {
        load(&store).await.unwrap();
    }
    StoreHealth::ping(&store).await.unwrap();
}

#[tokio::test]
async fn a_hanging_redis_counts_as_down_after_two_seconds_and_recovers() {
    let server = RedisServer::start();
    let store = store(&server);
    load(&store).await.unwrap();
    server.hang();
    let (failed, took) = seconds(load(&store)).await;
    let failed = failed.unwrap_err().to_string();
    assert!(failed.contains("did not answer within 2 seconds"), "{failed}");
    assert!((1.5..15.0).contains(&took), "{took} s");
    let fresh = self::store(&server);
    let (failed, took) = seconds(load(&fresh)).await;
    assert!(failed.is_err() && took < 15.0, "a new connection is not waited for either: {took} s");
    server.resume();
    load(&store).await.unwrap();
    if load(&fresh).await.is_err() {
        load(&fresh).await.unwrap();
    }
}

#[tokio::test]
async fn a_redis_that_takes_no_writes_tells_of_no_session() {
    let server = RedisServer::start();
    let (primary, store) = (RedisServer::start(), store(&server));
    let (from, id) = (token(), token());
    store.begin(&from, &login(account_id(), start()), start()).await.unwrap();
    assert!(store.promote(&from, &id, &session(identity("a"), start()), IDLE).await.unwrap());
    let port = primary.url().rsplit(':').next().unwrap().trim_end_matches("/0").to_owned();
    server.command::<()>(&["REPLICAOF", "127.0.0.1", &port]).await;
    for failed in [
        SessionLookup::load(&store, &id).await.map(drop),
        PendingLogins::load(&store, &from, start()).await.map(drop),
        store.touch(&id, start(), IDLE).await,
        StoreHealth::ping(&store).await,
    ] {
        let said = failed.unwrap_err().to_string();
        assert!(said.contains("READONLY") || said.contains("replica"), "{said}");
    }
}

#[tokio::test]
async fn a_redis_that_is_full_or_evicts_is_an_error() {
    let server = RedisServer::start();
    let store = store(&server);
    let login = login(account_id(), start());
    let (first, next, id) = (token(), token(), token());
    store.begin(&first, &login, start()).await.unwrap();
    store.begin(&next, &login, start()).await.unwrap();
    assert!(store.promote(&first, &id, &session(identity("a"), start()), IDLE).await.unwrap());
    server.command::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let filed = session(identity("b"), start());
    assert!(store.promote(&next, &token(), &filed, IDLE).await.is_err());
    let full = store.begin(&token(), &login, start()).await.unwrap_err().to_string();
    assert!(full.contains("OOM"), "{full}");
    let keys = [(AttemptKey::second_factor(account_id()), ENROLMENT_GUESSES)];
    assert!(Attempts::count(&store, &keys, start()).await.is_err());
    assert!(StoreHealth::ping(&self::store(&server)).await.is_err());
    SessionEnds::end(&store, &id).await.expect("a full server can still end a session");
    server.command::<()>(&["CONFIG", "SET", "maxmemory", "1gb"]).await;
    assert_eq!(SessionLookup::load(&store, &id).await.unwrap(), None);
    let waits = PendingLogins::load(&store, &next, start()).await.unwrap();
    assert!(waits.is_some(), "a promotion that did not fit left the login as it was");
    StoreHealth::ping(&self::store(&server)).await.unwrap();
    server.command::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    let evicts = StoreHealth::ping(&self::store(&server)).await.unwrap_err().to_string();
    assert!(evicts.contains("noeviction"), "{evicts}");
}

#[tokio::test]
async fn a_redis_dump_signs_nobody_in_and_every_key_in_it_expires() {
    let server = RedisServer::start();
    let store = store(&server);
    let (plain_login, plain_session) = (plain_token::<PendingToken>(), plain_token());
    let waiting = token();
    store.begin(plain_login.hashed(), &login(account_id(), start()), start()).await.unwrap();
    let filed = session(identity("a"), start());
    assert!(
        store.promote(plain_login.hashed(), plain_session.hashed(), &filed, IDLE).await.unwrap()
    );
    store.begin(&waiting, &login(account_id(), start()), start()).await.unwrap();
    let counted = AttemptKey::second_factor(account_id());
    let budget = ENROLMENT_GUESSES;
    assert_eq!(store.count(&[(counted, budget)], start()).await.unwrap(), Verdict::Go);
    let dump = server.dump().await;
    assert!(dump.contains(&plain_session.hashed().to_hex()));
    assert!(!dump.contains(plain_session.reveal()) && !dump.contains(plain_login.reveal()));
    for word in dump.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')) {
        assert!(PlainToken::<SessionToken>::parse(word, &keys()).is_none(), "{word}");
    }
    let mut all: Vec<String> = server.command(&["KEYS", "*"]).await;
    all.retain(|key| key != "vestibule:w");
    assert_eq!(all.len(), 6, "session, its id, login, two accounts, counter: {all:?}");
    for key in all {
        assert!(key.starts_with("vestibule:"), "{key}");
        let left: i64 = server.command(&["PTTL", &key]).await;
        assert!(left > 0, "{key} never expires");
    }
    server.flush().await;
    assert_eq!(SessionLookup::load(&store, plain_session.hashed()).await.unwrap(), None);
}

#[tokio::test]
async fn what_has_lapsed_leaves_the_index_of_its_account() {
    let server = RedisServer::start();
    let store = store(&server);
    let who = identity("a");
    for minutes in [10, 40] {
        let (from, id) = (token(), token());
        store.begin(&from, &login(who.account, start()), start()).await.unwrap();
        let ttl = Duration::from_mins(minutes);
        assert!(store.promote(&from, &id, &session(who.clone(), start()), ttl).await.unwrap());
    }
    server.pass(Duration::from_mins(20)).await;
    let index = format!("vestibule:a:{}", who.account);
    let members = async || server.command::<u64>(&["ZCARD", &index]).await;
    assert_eq!(members().await, 2);
    assert_eq!(store.list(Some(who.account), start()).await.unwrap().len(), 1);
    assert_eq!(members().await, 1);
}

#[tokio::test]
async fn a_redis_with_too_many_clients_is_used_again_when_there_is_room() {
    let server = RedisServer::start();
    let store = store(&server);
    let mut control = server.connect().await;
    server.set(&mut control, "maxclients", "1").await;
    let full = load(&store).await.unwrap_err().to_string();
    assert!(full.contains("(Redis) is not available"), "{full}");
    server.set(&mut control, "maxclients", "100").await;
    if load(&store).await.is_err() {
        load(&store).await.unwrap();
    }
}

#[tokio::test]
async fn a_database_made_by_a_newer_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("accounts.db");
    SqlStore::open(SqlTarget::Embedded(file.clone())).await.unwrap().close().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file);
    let mut newer = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    newer
        .execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, \
             execution_time) VALUES (999, 'newer', TRUE, x'00', 0)",
        )
        .await
        .unwrap();
    newer.execute("UPDATE schema_floor SET version = 999").await.unwrap();
    newer.close().await.unwrap();
    let said = SqlStore::open(SqlTarget::Embedded(file)).await.unwrap_err().to_string();
    assert!(said.contains("another version, beside which this one cannot run"), "{said}");
}

#[tokio::test]
async fn an_address_with_a_password_is_never_told() {
    let server = RedisServer::start();
    let address = server.url().replace("redis://", "redis://app:hunter2@");
    let refused = RedisStore::open(&Secret::new(address.clone()), "vestibule").unwrap();
    let said = format!("{:?} {refused:?}", load(&refused).await.unwrap_err());
    assert!(said.contains("password"), "{said}");
    server.command::<()>(&["ACL", "SETUSER", "app", "on", ">hunter2", "~*", "+@all"]).await;
    load(&refused).await.expect("the password is right now");
    let mut told = vec![said];
    for bad in ["http://app:hunter2@h", "redis://app:hunter2@h:notaport", "hunter2"] {
        told.push(format!("{:?}", RedisStore::open(&Secret::new(bad.into()), "v").unwrap_err()));
        let target = SqlTarget::Postgres(Secret::new(bad.into()));
        told.push(format!("{:?}", SqlStore::open(target).await.unwrap_err()));
    }
    for bad in
        ["postgres://app:hunter2@127.0.0.1:notaport/x", "postgres://app:hunter2@127.0.0.1:1/x"]
    {
        let target = SqlTarget::Postgres(Secret::new(bad.into()));
        told.push(format!("{target:?} {:?}", SqlStore::open(target.clone()).await.unwrap_err()));
    }
    for said in told {
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_or_hanging_postgresql_is_an_error_in_time() {
    let server = tokio::task::spawn_blocking(PostgresServer::start).await.unwrap();
    let target = SqlTarget::Postgres(Secret::new(server.database().await));
    let store = SqlStore::open(target.clone()).await.unwrap();
    server.hang();
    let (failed, took) = seconds(store.ping()).await;
    let failed = failed.unwrap_err().to_string();
    assert!(failed.starts_with("the account database (PostgreSQL) is not available"), "{failed}");
    assert!(took < 15.0, "{took} s");
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
    let (failed, took) = seconds(store.by_id(account_id())).await;
    assert!(failed.is_err() && took < 15.0, "{took} s");
}

#[tokio::test]
async fn embedded_files_are_private_and_outlive_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("accounts.db");
    let store = SqlStore::open(SqlTarget::Embedded(file.clone())).await.unwrap();
    let new = account("alice");
    let added = store.add(&new).await.unwrap();
    assert_eq!(added, vestibule::auth::ports::Added::Yes);
    let sessions = EmbeddedStore::open(&dir.path().join("sessions.db")).await.unwrap();
    StoreHealth::ping(&sessions).await.unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
    store.close().await;
    let said = store.ping().await.unwrap_err().to_string();
    assert!(said.contains("closed"), "{said}");
    let again = SqlStore::open(SqlTarget::Embedded(file)).await.unwrap();
    assert!(again.by_id(new.identity.account).await.unwrap().is_some());
}
