//! What strangers may not take from owners: places and turns in the hashing pool, the way in from
//! where an account signs in, a link that works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::super::keys;
use super::super::support::authenticator::Authenticator;
use super::super::support::client::Browser;
use super::super::support::gateway::{Gateway, PASSWORD, Plan};
use super::super::support::html;
use super::super::support::upstream::Recorder;
use super::super::support::visitor::{self, PENDING, SESSION};
use super::super::tickets;
use super::{DEVICE, from, trusting, wrong_password};

const STRANGERS: usize = 24;

/// Strangers, each guess under a new name from a new network, until told to stop.
struct Crowd {
    strangers: JoinSet<()>,
    over: Arc<AtomicBool>,
    shed: Arc<AtomicUsize>,
}

impl Crowd {
    fn begin(gateway: &Arc<Gateway>) -> Self {
        let (over, shed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut strangers = JoinSet::new();
        for stranger in 0..STRANGERS {
            let gateway = Arc::clone(gateway);
            let (over, shed) = (Arc::clone(&over), Arc::clone(&shed));
            strangers.spawn(async move {
                let mut browser = from(&gateway, "198.51.100.1");
                let page = browser.get("/_auth/login").await;
                let csrf = html::field(&page.text(), "csrf").unwrap();
                for guess in 0_usize.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let [.., high, low] = (guess * STRANGERS + stranger).to_be_bytes();
                    browser.forwarded_for = Some(format!("198.51.{high}.{low}"));
                    let name = format!("somebody{stranger}x{guess}");
                    let form = [("username", &*name), ("password", "guess"), ("csrf", &*csrf)];
                    let status = browser.posts("/_auth/login", &form, 1).await;
                    shed.fetch_add(usize::from(status == [503]), Ordering::Relaxed);
                }
            });
        }
        Self { strangers, over, shed }
    }

    async fn has_filled_the_queue(&self) {
        while self.shed.load(Ordering::Relaxed) < STRANGERS {
            tokio::task::yield_now().await;
        }
    }

    async fn ends(mut self) {
        self.over.store(true, Ordering::Relaxed);
        while let Some(stranger) = self.strangers.join_next().await {
            stranger.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_strangers_fill_the_hashing_queue_a_known_browser_and_a_link_get_their_turn() {
    let app = Recorder::start().await;
    let plan: Plan = trusting(&app).extra("[passwords]\nhashing_threads = 1\nqueue = 4\n");
    let gateway = Arc::new(Gateway::start(&plan).await);
    let (mut owner, _person) = visitor::signed_in(&gateway, "alice").await;
    owner.jar.remove(SESSION);
    // A known browser, in a network where its account never signed in.
    owner.forwarded_for = Some("203.0.113.7".to_owned());
    let link = tickets::link(&tickets::made(&gateway, &["user", "add", "bob"]));

    let crowd = Crowd::begin(&gateway);
    crowd.has_filled_the_queue().await;
    for _ in 0..12 {
        visitor::prove_password(&mut owner, "alice").await;
        owner.jar.remove(PENDING);
    }
    let mut invited = from(&gateway, "203.0.113.8");
    assert_eq!(invited.get(&link).await.location(), "/_auth/setup");
    let set = invited.submit("/_auth/setup", &[("password", PASSWORD)]).await;
    assert_eq!((set.status, set.location()), (303, "/_auth/enroll"), "{}", set.text());
    crowd.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_do_not_keep_a_script_out_of_where_its_account_signs_in() {
    let app = Recorder::start().await;
    let plan = trusting(&app).extra("[throttle]\nfirst_wait = \"10m\"\nlongest_wait = \"10m\"\n");
    let gateway = Gateway::start(&plan).await;
    gateway.add_user("alice");
    let (_browser, _person) = visitor::join(from(&gateway, "203.0.113.7"), "alice").await;
    for n in 0..8 {
        let mut stranger = from(&gateway, &format!("198.51.100.{n}"));
        wrong_password(&mut stranger, "alice").await;
    }
    // No cookie of any kind, as scripts come.
    let mut elsewhere = from(&gateway, "198.51.100.99");
    assert_eq!(wrong_password(&mut elsewhere, "alice").await.status, 429);
    for _ in 0..12 {
        visitor::prove_password(&mut from(&gateway, "203.0.113.7"), "alice").await;
    }
    // Its budget ends as that of a known browser does.
    let mut statuses = Vec::new();
    for _ in 0..11 {
        let mut neighbour = from(&gateway, "203.0.113.7");
        statuses.push(wrong_password(&mut neighbour, "alice").await.status);
    }
    assert_eq!(statuses, [vec![401; 10], vec![429]].concat());
    // Nor does it hold once the account is to be signed in to anew everywhere.
    let config = gateway.config.display().to_string();
    gateway.add_user("bob");
    let (mut again, _person) = visitor::join(from(&gateway, "203.0.113.8"), "bob").await;
    again.jar.clear();
    for n in 0..6 {
        let mut stranger = from(&gateway, &format!("198.51.101.{n}"));
        wrong_password(&mut stranger, "bob").await;
    }
    visitor::prove_password(&mut again, "bob").await;
    super::gateway::done(&["session", "end", "--user", "bob", "--config", &config], "");
    again.jar.clear();
    assert_eq!(wrong_password(&mut again, "bob").await.status, 429);
    assert!(!again.jar.contains_key(DEVICE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_works_whoever_looked_for_others_from_the_same_network() {
    let app = Recorder::start().await;
    let waits = "[throttle]\nfirst_wait = \"10m\"\nlongest_wait = \"10m\"\n";
    let gateway = Gateway::start(&Plan::new(&app).extra(waits)).await;
    let link = tickets::link(&tickets::made(&gateway, &["user", "add", "alice"]));
    let mut statuses = Vec::new();
    for _ in 0..30 {
        statuses.push(Browser::new(&gateway).get("/_auth/setup").await.status);
    }
    assert!(statuses.contains(&401) && statuses.ends_with(&[429]), "{statuses:?}");
    let mut invited = Browser::new(&gateway);
    assert_eq!(invited.get(&link).await.location(), "/_auth/setup");
    assert_eq!(invited.get("/_auth/setup").await.status, 200);
    let set = invited.submit("/_auth/setup", &[("password", PASSWORD)]).await;
    assert_eq!((set.status, set.location()), (303, "/_auth/enroll"), "{}", set.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_enrols_at_once_whoever_posts_codes_with_the_password() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&trusting(&app)).await;
    for (name, by_key) in [("alice", false), ("bob", true)] {
        let (_former, person) = visitor::signed_in(&gateway, name).await;
        let reset = ["user", "reset-2fa", name, "--reason", "lost phone"];
        let link = tickets::link(&tickets::made(&gateway, &reset));
        for path in ["/_auth/enroll", "/_auth/otp", "/_auth/recovery"] {
            for login in 0..3 {
                let mut thief = from(&gateway, &format!("198.51.100.{login}"));
                visitor::prove_password(&mut thief, name).await;
                let page = thief.get("/_auth/login").await;
                let csrf = html::field(&page.text(), "csrf").unwrap();
                let typed = if path.ends_with("recovery") { &person.recovery[0] } else { "000000" };
                let form = [("csrf", csrf.as_str()), ("code", typed)];
                thief.posts(path, &form, 5).await;
            }
        }
        let mut owner = from(&gateway, "203.0.113.5");
        assert_eq!(owner.get(&link).await.status, 303);
        let proved = owner.submit("/_auth/setup", &[("password", PASSWORD)]).await;
        assert_eq!(proved.location(), "/_auth/enroll", "{}", proved.text());
        if by_key {
            let mut key = Authenticator::default();
            let done = keys::register(&mut owner, &mut key, "/_auth/enroll/key", "Blue").await;
            assert_eq!(done.status, 303, "{}", done.text());
        } else {
            visitor::enrol(&mut owner).await;
        }
        assert!(owner.jar.contains_key(SESSION), "{name}");
        let shown = gateway.command(&["user", "show", name, "--json"], "");
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(shown["ticket"], serde_json::Value::Null, "the link is used: {shown}");
    }
}
