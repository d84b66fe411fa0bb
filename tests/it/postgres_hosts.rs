//! PostgreSQL on several hosts, and a server that is away at the start or hangs.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::support::client::{self, Browser, PATIENCE};
use super::support::gateway::{self, Gateway, Plan};
use super::support::servers::{Pooler, PostgresServer, RedisServer};
use super::support::upstream::Recorder;
use super::support::visitor;
use super::support::within;

fn plan(app: &Recorder, redis: &RedisServer, database: &str, keys: &Path) -> Plan {
    Plan::new(app).sharing(redis, database, keys).extra("pool = 5")
}

async fn is_ready(gateway: &Gateway) -> bool {
    client::admin(gateway, "/readyz").await.status == 200
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_standby_takes_over_and_nobody_is_signed_out() {
    let mut primary = PostgresServer::start();
    let name = primary.database().await;
    let standby = primary.standby();
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", standby.port(), primary.port());
    let one = format!("127.0.0.1:{}", primary.port());
    let database = name.replace(&one, &hosts) + "&target_session_attrs=read-write";
    let (app, redis) = (Recorder::start().await, RedisServer::start());
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys.toml");
    gateway::make_keys(&keys);
    let gateway = Gateway::start(&plan(&app, &redis, &database, &keys)).await;
    let (mut browser, mut person) = visitor::signed_in(&gateway, "alice").await;
    let online = gateway.command(&["check", "--online"], "");
    assert!(online.status.success(), "{}", String::from_utf8_lossy(&online.stderr));

    let arrived = async { while !standby_knows(&standby, &name, &primary).await {} };
    within(PATIENCE, "the standby", arrived).await;
    primary.kill();
    let down = async { while is_ready(&gateway).await {} };
    within(PATIENCE, "unready", down).await;
    standby.promote().await;
    let promoted = Instant::now();
    let up = async { while !is_ready(&gateway).await {} };
    within(PATIENCE, "ready", up).await;
    assert!(promoted.elapsed() < Duration::from_secs(15), "{:?}", promoted.elapsed());
    assert_eq!(browser.fetch("/app").await.status, 200);
    let mut other = Browser::new(&gateway);
    assert_eq!(visitor::sign_in(&mut other, &mut person).await.status, 303);
    assert_eq!(other.fetch("/app").await.status, 200);
    gateway.add_user("bob");
}

/// True once the standby has the account.
async fn standby_knows(standby: &PostgresServer, name: &str, primary: &PostgresServer) -> bool {
    use sqlx::Connection as _;
    let url = name.replace(&format!(":{}/", primary.port()), &format!(":{}/", standby.port()));
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    let query = "SELECT count(*) FROM authenticators";
    sqlx::query_scalar::<_, i64>(query).fetch_one(&mut connection).await.is_ok_and(|n| n > 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down_at_the_start_is_waited_for() {
    let mut postgres = PostgresServer::start();
    let database = postgres.database().await;
    let (app, redis) = (Recorder::start().await, RedisServer::start());
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys.toml");
    gateway::make_keys(&keys);
    postgres.kill();
    let gateway = Gateway::start(&plan(&app, &redis, &database, &keys)).await;
    let mut browser = Browser::new(&gateway);
    assert_eq!(browser.fetch("/public/x").await.status, 200);
    let answer = client::admin(&gateway, "/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("cannot be reached"), "{}", answer.text());
    postgres.restart();
    let started = Instant::now();
    let up = async { while !is_ready(&gateway).await {} };
    within(PATIENCE, "ready", up).await;
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    assert_eq!(browser.fetch("/app").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_in_use_do_not_outlast_a_database_that_hangs() {
    let postgres = PostgresServer::start();
    let database = postgres.database().await;
    let (app, redis) = (Recorder::start().await, RedisServer::start());
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys.toml");
    gateway::make_keys(&keys);
    let gateway = Gateway::start(&plan(&app, &redis, &database, &keys)).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    for _ in 0..3 {
        assert_eq!(browser.fetch("/app").await.status, 200);
    }
    postgres.freeze();
    let frozen = Instant::now();
    let mut last_admitted = frozen;
    let refused = async {
        loop {
            let asked = Instant::now();
            if browser.fetch("/app").await.status == 503 {
                return;
            }
            last_admitted = asked;
        }
    };
    within(PATIENCE, "503", refused).await;
    let admitted = last_admitted - frozen;
    assert!(admitted < Duration::from_secs(4), "{admitted:?}");
    postgres.thaw();
    let back = async { while browser.fetch("/app").await.status != 200 {} };
    within(PATIENCE, "200", back).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_in_session_mode_works_as_well() {
    let postgres = PostgresServer::shared();
    let direct = postgres.database().await;
    let (_pooler, database) = Pooler::by_session(&postgres, &direct);
    let (app, redis) = (Recorder::start().await, RedisServer::start());
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys.toml");
    gateway::make_keys(&keys);
    let gateway = Gateway::start(&plan(&app, &redis, &database, &keys)).await;
    let (mut browser, mut person) = visitor::signed_in(&gateway, "alice").await;
    gateway.reload().await;
    assert_eq!(browser.fetch("/app").await.status, 200);
    let out = browser.submit("/_auth/logout", &[]).await;
    assert_eq!(out.status, 303, "{}", out.text());
    let again = visitor::sign_in(&mut browser, &mut person).await;
    assert_eq!(again.status, 303, "{}", again.text());
    assert!(!gateway.log.so_far().contains("store unavailable"), "{}", gateway.log.so_far());
}
