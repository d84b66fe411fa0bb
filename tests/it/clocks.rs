//! Wrong clocks: of a node, of the database, set before the start and while the gateway runs.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;
use vestibule::auth::session::{Session, SessionLimits};
use vestibule::base::clock::{Clock as _, SystemClock, Timestamp, millis};
use vestibule::base::secret::Secret;
use vestibule::store::redis::RedisStore;

use super::support::client::{self, Browser, PATIENCE};
use super::support::gateway::{self, FalseClock, Gateway, Plan};
use super::support::servers::{PostgresServer, RedisServer};
use super::support::upstream::Recorder;
use super::support::visitor;
use super::support::{over_after_a_second, within};

fn plan(app: &Recorder, redis: &RedisServer, database: &str, keys: &Path) -> Plan {
    let mut plan = Plan::new(app).sharing(redis, database, keys);
    plan.apps = plan.apps.replacen("[[apps.rules]]", "passive = [\"/poll\"]\n[[apps.rules]]", 1);
    plan
}

/// Sets the clock of a database, off by as many seconds. Connections that were made before the first time
/// do not see it.
async fn set_database(database: &str, seconds: i64) {
    use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
    let mut connection = sqlx::PgConnection::connect(database).await.unwrap();
    let (_, name) = database.split('?').next().unwrap().rsplit_once('/').unwrap();
    for statement in [
        format!(
            "CREATE OR REPLACE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql \
             AS $$SELECT pg_catalog.clock_timestamp() + interval '{seconds} seconds'$$"
        ),
        format!("ALTER DATABASE {name} SET search_path = public, pg_catalog"),
    ] {
        connection.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    connection.close().await.unwrap();
}

async fn clock_check(gateway: &Gateway) -> serde_json::Value {
    let all = client::admin(gateway, "/readyz?verbose").await.json();
    let checks = all["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == "clock").unwrap().clone()
}

/// Waits until the gateway's words about clocks contain `words`, and returns the difference it measured.
async fn says(gateway: &Gateway, words: &str) -> f64 {
    let said = async {
        let said =
            |check: &serde_json::Value| check["reason"].as_str().unwrap_or("").contains(words);
        while !said(&clock_check(gateway).await) {}
    };
    within(PATIENCE, words, said).await;
    let page = client::admin(gateway, "/metrics").await.text();
    let offset = page.lines().find_map(|l| l.strip_prefix("vestibule_clock_offset_seconds "));
    offset.unwrap().parse().unwrap()
}

async fn cannot_sign_in(gateway: &Gateway, person: &mut visitor::Person) {
    let refused = visitor::sign_in(&mut Browser::new(gateway), person).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("clock of this server is wrong"), "{}", refused.text());
}

/// Sessions end at the node `two` when they are due, whatever its clock says.
async fn sessions_end_in_time(
    (one, two): (&Gateway, &Gateway),
    redis: &RedisServer,
    keys: &Path,
    browser: &Browser,
) {
    let store = RedisStore::open(&Secret::new(redis.url()), "vestibule").unwrap();
    let now = || SystemClock::new().now();
    let ago = |ago: Duration| Timestamp::from_millis(now().as_millis() - millis(ago));
    let minutes = |session| Session { last_seen_at: ago(Duration::from_mins(10)), ..session };
    visitor::change_session(&store, keys, browser, minutes).await;
    assert_eq!(browser.at(two).fetch("/app").await.status, 200);
    let seen = async || visitor::stored_session(&store, keys, browser).await.last_seen_at;
    let noted = async { while now().since(seen().await) > Duration::from_mins(9) {} };
    within(PATIENCE, "the use to be noted", noted).await;
    // An estimate of the time of the database.
    assert!(seen().await <= now().plus(Duration::from_secs(2)));

    let soon = Duration::from_secs(4);
    let idle = SessionLimits::default().idle.checked_sub(soon).unwrap();
    let idle = |session| Session { last_seen_at: ago(idle), ..session };
    let old = |session| Session { expires_at: now().plus(soon), ..session };
    let both: [(_, &dyn Fn(Session) -> Session); 2] = [("idle", &idle), ("old", &old)];
    for (why, change) in both {
        let (browser, _) = visitor::signed_in(one, why).await;
        let since = Instant::now();
        visitor::change_session(&store, keys, &browser, change).await;
        let mut browser = browser.at(two);
        let over = async { while browser.fetch("/poll").await.status == 200 {} };
        within(PATIENCE, why, over).await;
        assert!(since.elapsed() > soon / 2, "{why}: {:?}", since.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_clock_ends_no_session_early_and_keeps_none_alive() {
    let (app, redis, postgres) =
        (Recorder::start().await, RedisServer::start(), PostgresServer::shared());
    let database = postgres.database().await;
    set_database(&database, 0).await;
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys.toml");
    gateway::make_keys(&keys);
    let mut plan = plan(&app, &redis, &database, &keys);
    let one = Gateway::start(&plan).await;
    let clock = FalseClock::at("+2h");
    plan.clock = Some(clock.clone());
    let two = Gateway::start(&plan).await;
    let used = async |browser: &Browser, gateways: &[&Gateway]| {
        for gateway in gateways {
            assert_eq!(browser.at(gateway).fetch("/app").await.status, 200);
        }
    };

    let (browser, mut person) = visitor::signed_in(&one, "alice").await;
    let (ended, mut other) = visitor::signed_in(&one, "bob").await;
    used(&browser, &[&two, &one]).await;
    let offset = says(&two, "ahead of that of the account database").await;
    assert!((7150.0..=7250.0).contains(&offset), "{offset}");
    two.log.wait_for_words("clocks differ: the clock of this node is 7").await;
    assert_eq!(clock_check(&one).await["ok"], true);
    cannot_sign_in(&two, &mut person).await;

    // With every other node, a node that runs keeps the former time.
    used(&browser, &[&one]).await;
    set_database(&database, 7200).await;
    says(&one, "database was set forward").await;
    says(&two, "database was set forward").await;
    one.log.wait_for_words("clocks differ: the clock of the account database was set").await;
    used(&browser, &[&one, &two]).await;
    cannot_sign_in(&one, &mut other).await;
    set_database(&database, 0).await;

    clock.set("-2h");
    let offset = says(&two, "behind that of the account database").await;
    assert!((-7250.0..=-7150.0).contains(&offset), "{offset}");
    used(&ended, &[&two]).await;
    assert_eq!(ended.clone().submit("/_auth/logout", &[]).await.status, 303);
    let refused = async || ended.at(&two).fetch("/app").await.status == 401;
    over_after_a_second("the ended session to be refused", refused).await;

    sessions_end_in_time((&one, &two), &redis, &keys, &browser).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_off_is_reported_and_one_that_is_far_off_ends_sign_in() {
    let postgres = PostgresServer::shared();
    let database = postgres.database().await;
    let (app, redis) = (Recorder::start().await, RedisServer::start());
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys.toml");
    gateway::make_keys(&keys);
    let plan = plan(&app, &redis, &database, &keys);
    let (mut person, browser) = {
        let gateway = Gateway::start(&plan).await;
        let (browser, person) = visitor::signed_in(&gateway, "alice").await;
        assert_eq!(clock_check(&gateway).await["ok"], true);
        (person, browser)
    };

    set_database(&database, -10).await;
    let gateway = Gateway::start(&plan).await;
    let check = clock_check(&gateway).await;
    let said = check["reason"].as_str().unwrap();
    assert!(said.contains("seconds ahead of that of the account database"), "{check}");
    assert!(gateway.log.text().contains("clocks differ: the clock of this node is"));
    let offset = says(&gateway, "seconds ahead").await;
    assert!((9.0..=12.0).contains(&offset), "{offset}");
    let mut other = Browser::new(&gateway);
    assert_eq!(visitor::sign_in(&mut other, &mut person).await.status, 303);
    drop(gateway);

    set_database(&database, 45).await;
    let gateway = Gateway::start(&plan).await;
    let mut other = Browser::new(&gateway);
    let refused = visitor::sign_in(&mut other, &mut person).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("clock of this server is wrong"), "{}", refused.text());
    let mut browser = browser.at(&gateway);
    assert_eq!(browser.fetch("/app").await.status, 200, "sessions go on");
}
