//! A newer version has migrated the databases: this version serves on, and starts beside it, unless
//! the newer one says that it is more than one release ahead.

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _, Row as _};

use super::support::client::Browser;
use super::support::gateway::{self, Gateway, Plan};
use super::support::servers::PostgresServer;
use super::support::upstream::Recorder;
use super::support::visitor::{self, Person, SESSION};

/// Does to a database what the migrations of a newer release do.
async fn migrate(url: &str, tables: &'static str) {
    sqlx::any::install_default_drivers();
    let mut database = AnyConnection::connect(url).await.unwrap();
    let names = database.fetch_all(tables).await.unwrap();
    assert!(names.len() > 5, "{url}");
    for row in names {
        let table: String = row.get(0);
        let column = format!("ALTER TABLE {table} ADD COLUMN newer TEXT NOT NULL DEFAULT 'x'");
        database.execute(AssertSqlSafe(column)).await.unwrap();
    }
    let made = "INSERT INTO _sqlx_migrations \
                (version, description, success, checksum, execution_time) \
                SELECT 4711, 'newer', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1";
    database.execute(made).await.unwrap();
    database.close().await.unwrap();
}

async fn raise_floor(url: &str) {
    let mut database = AnyConnection::connect(url).await.unwrap();
    database.execute("UPDATE schema_floor SET version = 4711").await.unwrap();
    database.close().await.unwrap();
}

const IN_SQLITE: &str = "SELECT name FROM sqlite_master WHERE type = 'table' \
                         AND name NOT LIKE 'sqlite%' AND name <> '_sqlx_migrations'";
const IN_POSTGRES: &str = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' \
                           AND tablename <> '_sqlx_migrations'";

async fn sign_in(gateway: &Gateway, person: &mut Person) -> Browser {
    let mut browser = Browser::new(gateway);
    visitor::prove_password(&mut browser, &person.name).await;
    let code = person.recovery.pop().unwrap();
    let answer = browser.submit("/_auth/recovery", &[("code", &code)]).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert!(browser.jar.contains_key(SESSION));
    browser
}

fn command(gateway: &Gateway, args: &[&str]) -> (Option<i32>, String) {
    let output = gateway.command(args, "");
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    (output.status.code(), said)
}

/// Uses everything that reads or writes tables, at a gateway that has done so before.
async fn lives_on(gateway: &Gateway, person: &mut Person, name: &str) {
    let mut browser = sign_in(gateway, person).await;
    assert_eq!(browser.fetch("/app").await.status, 200);
    assert_eq!(browser.get("/_auth/account").await.status, 200);
    let (mut newcomer, _person) = visitor::signed_in(gateway, name).await;
    assert_eq!(newcomer.fetch("/app").await.status, 200);
    for args in [
        &["user", "set", name, "--add-group", "ops"][..],
        &["user", "show", name],
        &["session", "list"],
        &["audit", "verify"],
        &["token", "create", "--user", name, "--app", "main"],
        &["token", "list"],
        &["user", "ticket", name],
        &["user", "disable", name],
        &["check", "--online"],
    ] {
        let (code, said) = command(gateway, args);
        assert_eq!(code, Some(0), "{args:?}: {said}");
    }
}

async fn beside(gateway: &mut Gateway, databases: &[(String, &'static str)]) {
    let (_browser, mut person) = visitor::signed_in(gateway, "alice").await;
    lives_on(gateway, &mut person, "before").await;
    for (url, tables) in databases {
        migrate(url, tables).await;
    }
    // Over more connections than a pool has, so that each statement of old meets the new tables.
    for round in 0..3 {
        lives_on(gateway, &mut person, &format!("after-{round}")).await;
    }
    let (_, said) = command(gateway, &["check", "--online"]);
    assert!(said.contains("was migrated by a newer version"), "{said}");
    gateway.signal("TERM");
    assert!(gateway.ended().await.success());
    gateway.start_again().await;
    lives_on(gateway, &mut person, "again").await;

    raise_floor(&databases[0].0).await;
    for args in [&["user", "list"][..], &["check", "--online"]] {
        let (code, said) = command(gateway, args);
        assert_eq!(code, Some(1), "{args:?}: {said}");
        assert!(said.contains("beside which this one cannot run"), "{args:?}: {said}");
    }
    assert_eq!(sign_in(gateway, &mut person).await.fetch("/app").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn this_version_runs_beside_the_next_one_on_postgresql() {
    let (app, postgres) = (Recorder::start().await, PostgresServer::shared());
    let database = postgres.database().await;
    let keys = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(&app).extra(&format!("[accounts]\ndatabase = \"{database}\"\n"));
    plan.keys = Some(keys.path().join("keys.toml"));
    gateway::make_keys(plan.keys.as_ref().unwrap());
    let mut gateway = Gateway::start(&plan).await;
    beside(&mut gateway, &[(database, IN_POSTGRES)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn this_version_runs_beside_the_next_one_on_embedded_stores() {
    let app = Recorder::start().await;
    let mut gateway = Gateway::start(&Plan::new(&app)).await;
    let url = |name| format!("sqlite://{}/data/{name}", gateway.dir().display());
    let databases = [(url("accounts.db"), IN_SQLITE), (url("sessions.db"), IN_SQLITE)];
    beside(&mut gateway, &databases).await;
}
