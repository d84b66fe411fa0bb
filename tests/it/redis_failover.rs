//! Redis fails over while requests are in flight: nobody is signed out, and requests are served
//! again soon after the failover.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::support::client::Browser;
use super::support::gateway::{self, Gateway, Plan};
use super::support::redis_ha::{Monitored, RedisCluster, SERVICE, Shape, in_sync};
use super::support::servers::RedisServer;
use super::support::upstream::Recorder;
use super::support::{visitor, within};

/// Time from the end of a failover until requests are served again: less than three seconds on an
/// idle machine.
const RECOVERS: Duration = Duration::from_secs(15);

/// A gateway with people signed in.
struct Scene {
    gateway: Gateway,
    browsers: Vec<Browser>,
    _app: Recorder,
    _keys: TempDir,
}

impl Scene {
    async fn start(redis: &str) -> Self {
        let (app, keys) = (Recorder::start().await, tempfile::tempdir().unwrap());
        let file = keys.path().join("keys.toml");
        gateway::make_keys(&file);
        let plan =
            Plan::new(&app).extra(&format!("[sessions]\nstore = \"redis\"\n[redis]\n{redis}\n"));
        let gateway = Gateway::start(&Plan { keys: Some(file), ..plan }).await;
        let mut browsers = Vec::new();
        for name in ["alice", "bob"] {
            browsers.push(visitor::signed_in(&gateway, name).await.0);
        }
        Self { gateway, browsers, _app: app, _keys: keys }
    }

    /// Sends requests until `over`, and at least until one is served. None is answered as if signed out.
    fn load(&self, over: &Arc<AtomicBool>) -> Vec<JoinHandle<u64>> {
        let load = |browser: &Browser| {
            let (mut browser, over) = (browser.at(&self.gateway), Arc::clone(over));
            tokio::spawn(async move {
                let mut served = 0;
                while served == 0 || !over.load(Ordering::Relaxed) {
                    match browser.fetch("/app").await.status {
                        200 => served += 1,
                        503 => {}
                        other => panic!("{other} to a person who is signed in"),
                    }
                }
                served
            })
        };
        self.browsers.iter().map(load).collect()
    }

    /// Everybody is served again, and sessions can be made and ended.
    async fn served(&self) {
        let all = async {
            for browser in &self.browsers {
                let mut browser = browser.at(&self.gateway);
                while browser.fetch("/app").await.status != 200 {}
            }
        };
        within(RECOVERS, "everybody to be served after the failover", all).await;
        let (mut browser, _) = visitor::signed_in(&self.gateway, "carol").await;
        let out = browser.submit("/_auth/logout", &[]).await;
        assert_eq!(out.status, 303, "{}", out.text());
    }
}

async fn fail_over<F: Future>(
    scene: Scene,
    strike: impl FnOnce(),
    failed_over: impl FnOnce() -> F,
) {
    let over = Arc::new(AtomicBool::new(false));
    let load = scene.load(&over);
    strike();
    failed_over().await;
    scene.served().await;
    over.store(true, Ordering::Relaxed);
    for one in load {
        assert!(one.await.unwrap() > 0);
    }
    let listed = gateway::done(
        &["session", "list", "--json", "--config", scene.gateway.config.to_str().unwrap()],
        "",
    );
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
}

async fn under_sentinel(strike: fn(&RedisServer)) {
    let mut monitored =
        Monitored::start(&Shape { replicas: 2, sentinels: 3, ..Shape::default() }).await;
    // The one that the configuration names first is not there, neither now nor later.
    monitored.kill_sentinel(0);
    let addresses: Vec<String> =
        monitored.addresses().iter().map(|(host, port)| format!("\"{host}:{port}\"")).collect();
    let scene = Scene::start(&format!(
        "sentinel = {{ service = \"{SERVICE}\", addresses = [{}] }}",
        addresses.join(", ")
    ))
    .await;
    let old = &monitored.servers[0];
    in_sync(old, 2).await;
    fail_over(scene, || strike(old), || monitored.failed_over(old.port())).await;
}

async fn in_a_cluster(strike: fn(&RedisServer)) {
    let cluster = RedisCluster::start(&Shape { replicas: 1, ..Shape::default() }).await;
    let scene = Scene::start(&format!("cluster = {:?}", &cluster.urls()[..2])).await;
    let old = cluster.primary_of("{vestibule}").await;
    in_sync(old, 1).await;
    fail_over(scene, || strike(old), || cluster.failed_over(old, "{vestibule}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_killed_under_sentinel_signs_nobody_out() {
    under_sentinel(RedisServer::die).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_hangs_under_sentinel_signs_nobody_out() {
    under_sentinel(RedisServer::hang).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_killed_in_a_cluster_signs_nobody_out() {
    in_a_cluster(RedisServer::die).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_hangs_in_a_cluster_signs_nobody_out() {
    in_a_cluster(RedisServer::hang).await;
}
