//! An ended session stays dead, whatever the session store forgets: an older snapshot is restored, a
//! replica that lags behind takes over.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;
use vestibule::auth::ports::SessionLookup;
use vestibule::auth::token::{PlainToken, SessionToken};
use vestibule::base::id::SessionId;
use vestibule::base::random::OsRandom;
use vestibule::base::secret::Secret;
use vestibule::store::redis::RedisStore;

use super::support::client::{Browser, PATIENCE, signs_in};
use super::support::gateway::{self, Gateway, Plan};
use super::support::redis_ha::{Monitored, SERVICE, Shape, in_sync};
use super::support::servers::{PostgresServer, RedisServer};
use super::support::upstream::Recorder;
use super::support::visitor::{self, Person, SESSION};
use super::support::within;

struct Scene {
    gateway: Gateway,
    keys: PathBuf,
    _app: Recorder,
    _dir: TempDir,
}

impl Scene {
    async fn start(redis: &str, extra: &str) -> Self {
        let (app, dir) = (Recorder::start().await, tempfile::tempdir().unwrap());
        let keys = dir.path().join("keys.toml");
        gateway::make_keys(&keys);
        let extra = format!("[sessions]\nstore = \"redis\"\n[redis]\n{redis}\n{extra}");
        let plan = Plan { keys: Some(keys.clone()), ..Plan::new(&app).extra(&extra) };
        Self { gateway: Gateway::start(&plan).await, keys, _app: app, _dir: dir }
    }

    /// A person who has signed in.
    async fn person(&self, name: &str) -> (Browser, Person) {
        visitor::signed_in(&self.gateway, name).await
    }

    /// The same person in another browser.
    async fn again(&self, person: &Person) -> Browser {
        let mut browser = Browser::new(&self.gateway);
        visitor::prove_password(&mut browser, &person.name).await;
        let code = person.recovery[0].as_str();
        let done = browser.submit("/_auth/recovery", &[("code", code)]).await;
        assert_eq!(done.status, 303, "{}", done.text());
        browser
    }

    fn command(&self, words: &[&str]) -> String {
        let config = self.gateway.config.to_str().unwrap();
        gateway::done(&[words, &["--config", config]].concat(), "")
    }

    /// The sessions that the command line lists, by user.
    fn listed(&self) -> Vec<(String, String)> {
        let listed: serde_json::Value =
            serde_json::from_str(&self.command(&["session", "list", "--json"])).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let one = |s: &serde_json::Value| (text(&s["user"]), text(&s["id"]));
        let mut all: Vec<_> = listed.as_array().unwrap().iter().map(one).collect();
        all.sort();
        all
    }

    /// Returns true if Redis holds the record of the browser's session.
    async fn lies_in(&self, redis: &RedisServer, browser: &Browser) -> bool {
        let keys = vestibule::config::keys::load(&self.keys).unwrap();
        let keys = vestibule::auth::keys::KeyRing::new(&keys).unwrap();
        let held = PlainToken::<SessionToken>::parse(&browser.jar[SESSION], &keys).unwrap();
        let store = RedisStore::open(&Secret::new(redis.url()), "vestibule").unwrap();
        SessionLookup::load(&store, held.hashed()).await.unwrap().is_some()
    }
}

/// Waits until a browser is served.
async fn served(browser: &mut Browser) {
    let served = async { while browser.fetch("/app").await.status != 200 {} };
    within(PATIENCE, "the browser to be served", served).await;
}

/// Waits until a browser is answered as if signed out; five seconds after the end at the latest.
async fn refused(browser: &mut Browser) {
    let refused = async { while browser.fetch("/app").await.status != 401 {} };
    within(Duration::from_secs(10), "the ended session to be refused", refused).await;
    assert_eq!(browser.fetch("/app").await.status, 401);
}

/// Returns true if a browser that has proved the password is asked for the second factor.
async fn is_halfway(browser: &mut Browser) -> bool {
    let page = browser.clone().get("/_auth/otp").await;
    assert!(matches!(page.status, 200 | 303), "{}", page.text());
    page.status == 200
}

async fn sign_out(browser: &mut Browser) {
    let out = browser.submit("/_auth/logout", &[]).await;
    assert_eq!(out.status, 303, "{}", out.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_snapshot_of_redis_brings_no_ended_session_back() {
    let mut redis = RedisServer::start();
    let scene = Scene::start(&format!("url = \"{}\"", redis.url()), "").await;
    let (mut kept, _) = scene.person("kept").await;
    let (out, _) = scene.person("out").await;
    let (by_id, _) = scene.person("by_id").await;
    let (by_user, _) = scene.person("by_user").await;
    let (mut keeper, keeping) = scene.person("keeper").await;
    let other = scene.again(&keeping).await;
    let mut halfway = Vec::new();
    for name in ["by_user", "keeper", "kept"] {
        let mut browser = Browser::new(&scene.gateway);
        visitor::prove_password(&mut browser, name).await;
        halfway.push(browser);
    }
    redis.command::<()>(&["SAVE"]).await;

    sign_out(&mut out.clone()).await;
    let listed = scene.listed();
    let (_, id) = listed.iter().find(|(user, _)| user == "by_id").unwrap();
    scene.command(&["session", "end", id]);
    scene.command(&["session", "end", "--user", "by_user"]);
    let page = keeper.get("/_auth/account").await;
    let ended = keeper.submit_from(&page, "/_auth/account/sessions", &[("id", "others")]).await;
    assert_eq!(ended.status, 303, "{}", ended.text());

    redis.restart();
    served(&mut kept).await;
    served(&mut keeper).await;
    for ended in [&out, &by_id, &by_user, &other] {
        assert!(scene.lies_in(&redis, ended).await, "the snapshot brought it back to Redis");
        let mut ended = ended.clone();
        refused(&mut ended).await;
        assert_eq!(ended.fetch("/_auth/session").await.status, 401);
        assert_eq!(ended.get("/_auth/account").await.status, 303, "to the sign-in page");
    }
    for (browser, ended) in halfway.iter_mut().zip([true, true, false]) {
        assert_eq!(is_halfway(browser).await, !ended);
    }
    let users: Vec<String> = scene.listed().into_iter().map(|(user, _)| user).collect();
    assert_eq!(users, ["keeper", "kept"]);

    scene.command(&["session", "end", "--all", "--yes"]);
    redis.restart();
    signs_in(&scene.gateway).await;
    let (mut new, _) = scene.person("new").await;
    served(&mut new).await;
    for mut ended in [kept, keeper, out] {
        assert!(scene.lies_in(&redis, &ended).await);
        refused(&mut ended).await;
    }
    assert!(!is_halfway(&mut halfway[2]).await);
    assert_eq!(scene.listed().len(), 1);
}

/// The token that a session had before a step-up counts as ended, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_snapshot_of_redis_brings_no_replaced_token_back() {
    let mut redis = RedisServer::start();
    let scene = Scene::start(&format!("url = \"{}\"", redis.url()), "").await;
    let (mut browser, mut person) = scene.person("alice").await;
    let before = browser.clone();
    redis.command::<()>(&["SAVE"]).await;
    let code = person.codes.next().await;
    let form = [("password", gateway::PASSWORD), ("code", code.as_str())];
    let done = browser.submit("/_auth/step-up?return_to=%2Fapp", &form).await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert_ne!(browser.jar[SESSION], before.jar[SESSION]);
    redis.restart();
    assert!(scene.lies_in(&redis, &before).await);
    refused(&mut before.clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_lags_behind_brings_no_ended_session_back() {
    let shape = Shape { replicas: 1, sentinels: 1, ..Shape::default() };
    let monitored = Monitored::start(&shape).await;
    let sentinel = &monitored.addresses()[0];
    let scene = Scene::start(
        &format!(
            "sentinel = {{ service = \"{SERVICE}\", addresses = [\"{}:{}\"] }}",
            sentinel.0, sentinel.1
        ),
        "",
    )
    .await;
    let (mut kept, _) = scene.person("kept").await;
    let (mut out, _) = scene.person("out").await;
    let held = out.clone();
    let [primary, replica] = [0, 1].map(|index| Arc::clone(&monitored.servers[index]));
    in_sync(&primary, 1).await;
    replica.hang();
    // Otherwise the replica finds the sign-out in its connection when it goes on.
    primary.command::<u64>(&["CLIENT", "KILL", "TYPE", "replica"]).await;
    sign_out(&mut out).await;
    primary.die();
    replica.resume();
    monitored.failed_over(primary.port()).await;
    served(&mut kept).await;
    assert!(scene.lies_in(&replica, &held).await, "the replica did not see its end");
    refused(&mut held.clone()).await;
}

/// The page says to try again, and the user is signed out nevertheless.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_cannot_be_recorded_is_not_reported_as_done() {
    let mut redis = RedisServer::start();
    let postgres = tokio::task::spawn_blocking(PostgresServer::start).await.unwrap();
    let accounts = format!("[accounts]\ndatabase = \"{}\"\n", postgres.database().await);
    let scene = Scene::start(&format!("url = \"{}\"", redis.url()), &accounts).await;
    let (mut browser, _) = scene.person("alice").await;
    redis.command::<()>(&["SAVE"]).await;
    let held = browser.clone();
    let page = browser.get("/_auth/logout").await;
    postgres.freeze();
    let failed = browser.submit_from(&page, "/_auth/logout", &[]).await;
    assert_eq!(failed.status, 503, "{}", failed.text());
    assert!(browser.jar.contains_key(SESSION), "the browser can try again");
    assert!(!scene.lies_in(&redis, &held).await, "the session has ended nevertheless");
    postgres.thaw();
    let done = async {
        loop {
            let out = browser.submit_from(&page, "/_auth/logout", &[]).await;
            if out.status != 503 {
                return out.status;
            }
        }
    };
    assert_eq!(within(Duration::from_mins(1), "the second try", done).await, 303);
    redis.restart();
    assert!(scene.lies_in(&redis, &held).await);
    refused(&mut held.clone()).await;
}

/// The account database records an end that the session store does not take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_while_redis_is_down_is_recorded() {
    let mut redis = RedisServer::start();
    let scene = Scene::start(&format!("url = \"{}\"", redis.url()), "").await;
    let (mut out, _) = scene.person("out").await;
    let (by_id, _) = scene.person("by_id").await;
    let (mut kept, _) = scene.person("kept").await;
    let held = out.clone();
    let listed = scene.listed();
    let (_, id) = listed.iter().find(|(user, _)| user == "by_id").unwrap();
    let page = out.get("/_auth/logout").await;
    redis.command::<()>(&["SAVE"]).await;
    redis.die();
    let failed = out.submit_from(&page, "/_auth/logout", &[]).await;
    assert_eq!(failed.status, 503, "{}", failed.text());
    let config = scene.gateway.config.to_str().unwrap();
    let failed = gateway::run(&["session", "end", id, "--config", config], "");
    assert!(!failed.status.success(), "the end is not certain");
    redis.restart();
    served(&mut kept).await;
    for ended in [held, by_id] {
        assert!(scene.lies_in(&redis, &ended).await, "Redis still has it");
        refused(&mut ended.clone()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_session_that_there_never_was_is_not_recorded() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let page = browser.get("/_auth/account").await;
    for _ in 0..3 {
        let id = SessionId::random(&OsRandom::new()).unwrap().to_string();
        let form = [("id", id.as_str())];
        let answer = browser.submit_from(&page, "/_auth/account/sessions", &form).await;
        assert_eq!(answer.status, 303, "{}", answer.text());
    }
    let file = gateway.dir().join("data/accounts.db");
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    let rows = sqlx::query("SELECT * FROM ended_sessions").fetch_all(&mut connection).await;
    assert_eq!(rows.unwrap().len(), 0);
}
