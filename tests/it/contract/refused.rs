//! The error for a refusal by a store names its cause and the next step.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use vestibule::auth::ports::{AccountLookup as _, StoreError, StoreHealth};
use vestibule::base::secret::Secret;
use vestibule::store::redis::RedisStore;
use vestibule::store::sql::{SqlStore, SqlTarget};

use super::samples::account_id;
use crate::support::servers::{Pooler, PostgresServer, RedisServer};
use crate::support::within;

const PATIENCE: Duration = Duration::from_secs(20);

/// Asks until the answer is another one: a store keeps its own for a second.
async fn until<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                break answer;
            }
            tokio::task::yield_now().await;
        }
    };
    within(PATIENCE, what, asking).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgresql_that_takes_no_writes_or_no_connections_is_told_of_and_recovers() {
    let server = tokio::task::spawn_blocking(PostgresServer::start).await.unwrap();
    let url = server.database().await;
    let mut control = PgConnection::connect(&url).await.unwrap();
    let prepare = "CREATE ROLE app LOGIN; GRANT ALL ON SCHEMA public TO app";
    control.execute(prepare).await.unwrap();
    let app = url.replace("vestibule@", "app@");
    let store = SqlStore::open(SqlTarget::Postgres(Secret::new(app.clone()))).await.unwrap();
    store.ping().await.unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'";
    for (refuse, expected, allow) in [
        (
            "ALTER ROLE app SET default_transaction_read_only = on",
            "it is read-only, so no one can sign in",
            "ALTER ROLE app RESET default_transaction_read_only",
        ),
        (
            "ALTER ROLE app CONNECTION LIMIT 0",
            "it refuses more connections",
            "ALTER ROLE app CONNECTION LIMIT -1",
        ),
        (
            "ALTER ROLE app NOLOGIN",
            "it refused the user name or the password",
            "ALTER ROLE app LOGIN",
        ),
    ] {
        control.execute(AssertSqlSafe(format!("{refuse}; {end}"))).await.unwrap();
        // A slow answer does not name the cause.
        let named = |error: &StoreError| !error.to_string().contains("did not answer within");
        let said = until(expected, async || store.ping().await.err().filter(named)).await;
        let said = said.to_string();
        assert!(said.contains(expected) && said.contains("it said: "), "{said}");
        let looked = SqlStore::look(&SqlTarget::Postgres(Secret::new(app.clone()))).await;
        let looked = looked.unwrap_err().to_string();
        assert!(looked.contains(expected), "check --online: {looked}");
        control.execute(AssertSqlSafe(format!("{allow}; {end}"))).await.unwrap();
        until("the way back", async || store.ping().await.ok()).await;
    }
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
    let said = store.by_id(account_id()).await.unwrap_err().to_string();
    assert!(said.contains("it cannot be reached (connection refused)"), "{said}");
}

#[tokio::test]
async fn a_redis_that_refuses_is_told_of_and_recovers() {
    let server = RedisServer::start();
    let mut control = server.connect().await;
    let acl = ["ACL", "SETUSER", "app", "on", ">secret", "~vestibule:*", "+@all"];
    server.command::<()>(&acl).await;
    let url = server.url().replace("redis://", "redis://app:secret@");
    let store = RedisStore::open(&Secret::new(url), "vestibule").unwrap();
    StoreHealth::ping(&store).await.unwrap();
    let ping = async || StoreHealth::ping(&store).await;
    for (refuse, expected, allow) in [
        (
            &["CONFIG", "SET", "maxmemory", "1"][..],
            "its memory is full",
            &["CONFIG", "SET", "maxmemory", "0"][..],
        ),
        (
            &["CONFIG", "SET", "min-replicas-to-write", "3"],
            "too few replicas",
            &["CONFIG", "SET", "min-replicas-to-write", "0"],
        ),
        (&["REPLICAOF", "127.0.0.1", "1"], "it is a replica", &["REPLICAOF", "NO", "ONE"]),
        (
            &["ACL", "SETUSER", "app", "-set"],
            "its user lacks permissions",
            &["ACL", "SETUSER", "app", "+set"],
        ),
    ] {
        run(&mut control, refuse).await;
        let said = until(expected, async || ping().await.err()).await.to_string();
        assert!(said.contains(expected) && said.contains("it said: "), "{said}");
        run(&mut control, allow).await;
        until("the way back", async || ping().await.ok()).await;
    }
    run(&mut control, &["ACL", "SETUSER", "app", "resetpass", ">other"]).await;
    run(&mut control, &["CLIENT", "KILL", "USER", "app"]).await;
    let said = until("the password", async || {
        ping().await.err().map(|e| e.to_string()).filter(|said| said.contains("WRONGPASS"))
    });
    let said = said.await;
    assert!(said.contains("refused the user name or the password"), "{said}");
    assert!(!said.contains("secret"), "{said}");
}

async fn run(control: &mut redis::aio::MultiplexedConnection, words: &[&str]) {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async::<redis::Value>(control).await.unwrap();
}

#[tokio::test]
async fn a_user_of_redis_with_the_documented_rights_and_no_more_suffices() {
    let server = RedisServer::start();
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operation.md"));
    let docs = docs.unwrap();
    let line = docs.lines().find(|line| line.starts_with("ACL SETUSER vestibule ")).unwrap();
    server.command::<()>(&line.split(' ').collect::<Vec<_>>()).await;
    let url = server.url().replace("redis://", "redis://vestibule:PASSWORD@");
    let store = RedisStore::open(&Secret::new(url), "vestibule").unwrap();
    let advice = store.try_rights().await.unwrap();
    assert_eq!(advice.len(), 1, "{advice:?}");
    assert!(advice[0].contains("set appendonly yes"), "{advice:?}");
    server.command::<()>(&["CONFIG", "SET", "appendonly", "yes"]).await;
    assert_eq!(store.try_rights().await.unwrap(), Vec::<String>::new());

    server.command::<()>(&["ACL", "SETUSER", "vestibule", "-info"]).await;
    let note = store.try_rights().await.unwrap().concat();
    assert!(
        note.contains("write: ACL SETUSER vestibule +info")
            || note.contains("ACL SETUSER vestibule +info"),
        "{note}"
    );
    StoreHealth::ping(&store).await.expect("INFO is not needed to be ready");

    server.command::<()>(&["ACL", "SETUSER", "vestibule", "-hset", "-script|load"]).await;
    let said = store.try_rights().await.unwrap_err().to_string();
    assert!(said.ends_with("write: ACL SETUSER vestibule +hset +script|load"), "{said}");
    server
        .command::<()>(&[
            "ACL",
            "SETUSER",
            "vestibule",
            "+hset",
            "+script|load",
            "resetkeys",
            "~other:*",
        ])
        .await;
    let said = store.try_rights().await.unwrap_err().to_string();
    assert!(said.contains("ACL SETUSER vestibule ~vestibule:*"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_is_noticed_whatever_start_up_parameters_it_lets_pass() {
    let server = tokio::task::spawn_blocking(PostgresServer::shared).await.unwrap();
    let direct = server.database().await;
    for ignored in ["extra_float_digits", "extra_float_digits, options"] {
        let (_pooler, url) = Pooler::ignoring(&server, &direct, ignored);
        for _ in 0..2 {
            let store =
                SqlStore::open(SqlTarget::Postgres(Secret::new(url.clone()))).await.unwrap();
            let asked = (0..50).map(|_| store.by_id(account_id()));
            for found in futures_util::future::join_all(asked).await {
                assert!(found.unwrap().is_none(), "{ignored}");
            }
            store.ping().await.unwrap();
            store.close().await;
        }
    }
    let (_pooler, url) = Pooler::ignoring(&server, &direct, "");
    let target = SqlTarget::Postgres(Secret::new(url));
    let said = SqlStore::open(target).await.unwrap_err().to_string();
    assert!(said.contains("write ignore_startup_parameters = extra_float_digits"), "{said}");
}
