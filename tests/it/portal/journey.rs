//! The ways of users over the portal.

use std::time::Duration;

use tokio::time::Instant;
use vestibule::base::secret::Secret;
use vestibule::store::redis::RedisStore;

use super::tour::{GRAPHS, PLOTS, PORTAL, STOCK, Tour, VAULT, WIKI, cluster, gateway};
use crate::support::cluster::Cluster;
use crate::support::gateway::PASSWORD;
use crate::support::html;
use crate::support::upstream::Recorder;
use crate::support::visitor::{self, SESSION};

const APPS: [&str; 3] = [WIKI, PLOTS, STOCK];
const FLOW: &str = "__Host-vestibule-flow";

/// Asserts that none of these hosts lets the browser in any more, on any node, within a second.
async fn all_end(tour: &mut Tour, hosts: &[&str], since: Instant) {
    for host in hosts.iter().copied() {
        for node in 0..2 {
            loop {
                let asked = since.elapsed();
                if tour.fetch(host, node, "/data").await.status == 401 {
                    break;
                }
                assert!(asked < Duration::from_secs(1), "{host} on {node} after {asked:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sign_in_opens_three_apps_on_two_domains_and_one_sign_out_ends_all_on_both_nodes() {
    let cluster = cluster().await;
    let mut tour = Tour::new(&[&cluster.one, &cluster.two]);
    let mut person = tour.join(&cluster.one, "alice").await;
    let mut tour = Tour::new(&[&cluster.one, &cluster.two]);
    let login = tour.open(WIKI, 0, "/page?a=b&c=%20d").await;
    assert_eq!(login.answer.status, 200, "{:#?}", login.hops);
    let mark = cluster.app.mark();
    let arrived = tour.sign_in(&login, &mut person).await;
    arrived.at_app(WIKI, "/page?a=b&c=%20d");
    let seen = cluster.app.wait_for(mark, |seen| seen.head.target == "/page?a=b&c=%20d").await;
    assert_eq!(seen.head.get("remote-user"), Some("alice"));
    assert!(seen.head.get("cookie").is_none(), "{:?}", seen.head);
    // Two more apps, one on another domain and one by the other node, without a page.
    tour.open(PLOTS, 1, "/").await.at_app(PLOTS, "/");
    let third = tour.open(STOCK, 0, "/s").await;
    third.at_app(STOCK, "/s");
    assert_eq!(third.hops.len(), 4, "app, portal, app, target: {:#?}", third.hops);
    for host in APPS {
        for node in 0..2 {
            assert_eq!(tour.fetch(host, node, "/data").await.status, 200, "{host}");
        }
    }
    let out = tour.submit((STOCK, 0), "/_auth/logout", &[]).await;
    assert_eq!((out.host.as_str(), out.target.as_str()), (STOCK, "/_auth/logout"));
    let since = Instant::now();
    all_end(&mut tour, &APPS, since).await;
    let portal = tour.open(PORTAL, 1, "/").await;
    assert!(portal.target.starts_with("/_auth/login"), "{:#?}", portal.hops);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ended_anywhere_ends_the_apps_on_both_nodes() {
    let cluster = cluster().await;
    let mut first = Tour::new(&[&cluster.one, &cluster.two]);
    let mut person = first.join(&cluster.one, "alice").await;
    for command in ["at the portal", "session end", "user disable"] {
        let mut tour = Tour::new(&[&cluster.one, &cluster.two]);
        let login = tour.open(WIKI, 0, "/").await;
        tour.sign_in(&login, &mut person).await.at_app(WIKI, "/");
        for host in [PLOTS, STOCK] {
            tour.open(host, 1, "/").await.at_app(host, "/");
        }
        match command {
            "at the portal" => {
                tour.submit((PORTAL, 1), "/_auth/logout", &[]).await;
            }
            "session end" => {
                let ended = cluster.one.command(&["session", "end", "--user", "alice"], "");
                assert!(ended.status.success(), "{ended:?}");
            }
            _ => {
                let done = cluster.two.command(&["user", "disable", "alice"], "");
                assert!(done.status.success(), "{done:?}");
            }
        }
        let since = Instant::now();
        all_end(&mut tour, &APPS, since).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_without_access_gets_words_and_no_loop() {
    let app = Recorder::start().await;
    let gateway = gateway(&app).await;
    let mut tour = Tour::new(&[&gateway]);
    tour.join(&gateway, "alice").await;
    let mark = app.mark();
    let refused = tour.open(VAULT, 0, "/gold").await;
    assert_eq!((refused.host.as_str(), refused.answer.status), (PORTAL, 403), "{refused:?}");
    let text = refused.answer.text();
    assert!(text.contains("signed in as alice") && text.contains("App vault"), "{text}");
    assert!(!tour.jars[VAULT].contains_key(SESSION), "no session there");
    let list = tour.open(PORTAL, 0, "/").await.answer.text();
    for shown in ["App wiki", "App plots", "App stock", "https://wiki.lab.test:"] {
        assert!(list.contains(shown), "{shown}: {list}");
    }
    assert!(!list.contains("App vault"), "{list}");
    app.barrier().await;
    assert!(!app.heard(mark, "/gold"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_with_two_hosts_is_returned_to_at_the_one_that_was_asked_for() {
    let app = Recorder::start().await;
    let gateway = gateway(&app).await;
    let mut tour = Tour::new(&[&gateway]);
    tour.join(&gateway, "alice").await;
    for host in [GRAPHS, PLOTS] {
        tour.open(host, 0, "/a?b").await.at_app(host, "/a?b");
        assert_eq!(tour.fetch(host, 0, "/data").await.status, 200);
    }
    assert_ne!(tour.jars[GRAPHS][SESSION], tour.jars[PLOTS][SESSION]);
    let login_url = Tour::new(&[&gateway]).fetch(GRAPHS, 0, "/data").await.json();
    let url = format!("https://{PORTAL}:{}/_auth/login", gateway.https.port());
    assert_eq!(login_url["login_url"], format!("{url}?app=plots&host={GRAPHS}"));
    let foreign = tour.get(PORTAL, 0, "/_auth/login?app=plots&host=wiki.lab.test").await;
    assert_eq!(foreign.status, 404, "a host of another app");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_learn_the_sign_in_of_the_portal_and_a_login_url_without_a_flow_begins_at_the_app()
{
    let app = Recorder::start().await;
    let gateway = gateway(&app).await;
    let mut tour = Tour::new(&[&gateway]);
    let base = format!("https://{PORTAL}:{}", gateway.https.port());
    for target in ["/data", "/_auth/session"] {
        let refused = tour.fetch(WIKI, 0, target).await;
        assert_eq!(refused.status, 401);
        assert_eq!(refused.json()["login_url"], format!("{base}/_auth/login?app=wiki"), "{target}");
    }
    assert!(tour.jars[WIKI].is_empty(), "nothing is set for scripts");
    tour.join(&gateway, "alice").await;
    let sent = tour.get(PORTAL, 0, "/_auth/login?app=wiki&return_to=%2Fa").await;
    assert_eq!(sent.location(), format!("https://{WIKI}:{}/a", gateway.https.port()));
    tour.open(PORTAL, 0, "/_auth/login?app=wiki&return_to=%2Fa").await.at_app(WIKI, "/a");
    assert_eq!(tour.fetch(WIKI, 0, "/_auth/session").await.json()["user"], "alice");
    let unknown = tour.open(PORTAL, 0, "/_auth/login?app=no-such-app").await;
    assert_eq!(unknown.answer.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_of_an_app_lead_to_the_portal_and_no_form_there_signs_in() {
    let app = Recorder::start().await;
    let gateway = gateway(&app).await;
    gateway.add_user("bob");
    let mut tour = Tour::new(&[&gateway]);
    for (asked, page) in [
        ("/_auth/account", "/_auth/account"),
        ("/_auth/account/password", "/_auth/account/password"),
        ("/_auth/account/keys/x", "/_auth/account/keys"),
        ("/_auth/setup?ticket=a%26b", "/_auth/setup?ticket=a%26b"),
    ] {
        let led = tour.get(WIKI, 0, asked).await;
        let url = format!("https://{PORTAL}:{}{page}", gateway.https.port());
        assert_eq!((led.status, led.location()), (303, url.as_str()), "{asked}");
    }
    for asked in ["/_auth/login?return_to=%2Fx", "/_auth/otp", "/_auth/enroll", "/_auth/forgot"] {
        let led = tour.open(WIKI, 0, asked).await;
        assert_eq!(led.host, PORTAL, "{:#?}", led.hops);
        assert!(led.target.starts_with("/_auth/login?app=wiki&return_to="), "{}", led.target);
    }
    let mut browser = tour.at(WIKI, None);
    let csrf = tour.get(WIKI, 0, "/_auth/logout").await.text();
    let csrf = html::field(&csrf, "csrf").unwrap_or_default();
    let form = [("username", "bob"), ("password", PASSWORD), ("csrf", csrf.as_str())];
    let sent = browser.post("/_auth/login", &form).await;
    assert_eq!(sent.status, 303);
    assert!(sent.location().starts_with(&format!("https://{PORTAL}:")), "{}", sent.location());
    assert!(!browser.jar.contains_key("__Host-vestibule-login"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tabs_and_several_apps_at_once_all_arrive() {
    let app = Recorder::start().await;
    let gateway = gateway(&app).await;
    let mut tour = Tour::new(&[&gateway]);
    let mut person = tour.join(&gateway, "alice").await;
    let mut tour = Tour::new(&[&gateway]);
    let one = tour.open(WIKI, 0, "/one").await;
    let flow = tour.jars[WIKI][FLOW].clone();
    let two = tour.open(WIKI, 0, "/two").await;
    let other = tour.open(STOCK, 0, "/three").await;
    assert_eq!(tour.jars[WIKI][FLOW], flow, "one flow serves all tabs");
    // The password in one tab, the code in another: each tab arrives where it began.
    let form = [("username", "alice"), ("password", PASSWORD)];
    let code_page = tour.submit((PORTAL, 0), &two.target, &form).await;
    let again = tour.submit((PORTAL, 0), &one.target, &form).await;
    assert!(code_page.target.starts_with("/_auth/otp") && again.target.starts_with("/_auth/otp"));
    let code = person.codes.next().await;
    let done = tour.submit((PORTAL, 0), &code_page.target, &[("code", &code)]).await;
    done.at_app(WIKI, "/two");
    tour.open(PORTAL, 0, &again.target).await.at_app(WIKI, "/one");
    tour.open(PORTAL, 0, &other.target).await.at_app(STOCK, "/three");
    tour.open(PORTAL, 0, &one.target).await.at_app(WIKI, "/one");
    let list = gateway.command(&["session", "list", "--json"], "");
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    let apps = list.as_array().unwrap().iter().map(|session| session["apps"].clone());
    assert!(apps.into_iter().any(|apps| apps == serde_json::json!(["stock", "wiki"])), "{list}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_cookies_a_hand_over_ends_in_a_page() {
    let app = Recorder::start().await;
    let gateway = gateway(&app).await;
    let mut tour = Tour::new(&[&gateway]);
    tour.join(&gateway, "alice").await;
    // Cookies work at the portal and are lost at the app.
    let mut lost = Tour { without_cookies: true, ..tour.clone() };
    let end = lost.open(WIKI, 0, "/a").await;
    assert_eq!((end.host.as_str(), end.answer.status), (WIKI, 400), "{:#?}", end.hops);
    let text = end.answer.text();
    assert!(text.contains("Cookies must be allowed") && text.contains("/_auth/login"), "{text}");
    let mut nowhere = Tour { without_cookies: true, ..Tour::new(&[&gateway]) };
    let end = nowhere.open(WIKI, 0, "/a").await;
    assert_eq!((end.host.as_str(), end.answer.status), (PORTAL, 200), "{:#?}", end.hops);
}

async fn let_proofs_age(cluster: &Cluster, tour: &Tour) {
    let url = Secret::new(cluster.redis.url());
    let store = RedisStore::open(&url, "vestibule").unwrap();
    visitor::let_proofs_age_in(&store, &cluster.keys, &tour.at(PORTAL, None)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_up_at_the_portal_counts_at_the_app_that_asked_and_the_others_continue() {
    let cluster = cluster().await;
    let mut tour = Tour::new(&[&cluster.one, &cluster.two]);
    let mut person = tour.join(&cluster.one, "alice").await;
    tour.open(WIKI, 0, "/").await.at_app(WIKI, "/");
    tour.open(PLOTS, 1, "/").await.at_app(PLOTS, "/");
    tour.open(WIKI, 0, "/signing/a").await.at_app(WIKI, "/signing/a");
    let plots = tour.jars[PLOTS][SESSION].clone();
    let_proofs_age(&cluster, &tour).await;
    // A hand-over does not make an old proof young: the portal asks before it hands over.
    tour.jars.remove(WIKI);
    let asked = tour.clone().open(WIKI, 1, "/signing/a").await;
    assert_eq!(asked.host, PORTAL, "{:#?}", asked.hops);
    assert!(asked.target.starts_with("/_auth/step-up"), "{:#?}", asked.hops);
    tour.open(WIKI, 1, "/").await.at_app(WIKI, "/");
    let mut thief = tour.clone();
    let refused = tour.fetch(WIKI, 0, "/signing/a").await.json();
    let step_up = format!("https://{PORTAL}:{}/_auth/step-up?app=wiki", tour.port(0));
    assert_eq!(refused["step_up_url"], step_up);
    let asked = tour.open(WIKI, 0, "/signing/a?b=c").await;
    assert_eq!(asked.host, PORTAL, "{:#?}", asked.hops);
    assert!(asked.target.starts_with("/_auth/step-up"), "{:#?}", asked.hops);
    let code = person.codes.next().await;
    let done = tour.submit((PORTAL, 0), &asked.target, &[("code", &code)]).await;
    done.at_app(WIKI, "/signing/a?b=c");
    assert_eq!(tour.jars[PLOTS][SESSION], plots);
    for node in 0..2 {
        assert_eq!(tour.fetch(PLOTS, node, "/data").await.status, 200, "an open page goes on");
        assert_eq!(tour.fetch(WIKI, node, "/signing/a").await.status, 200);
        let stolen = thief.fetch(WIKI, node, "/signing/a").await;
        assert_eq!(
            stolen.json()["code"],
            "step_up_required",
            "a former token gets no fresher proof"
        );
        assert_eq!(thief.fetch(WIKI, node, "/data").await.status, 200, "what is under way goes on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_ends_the_apps_and_the_portal_goes_on() {
    let cluster = cluster().await;
    let mut tour = Tour::new(&[&cluster.one, &cluster.two]);
    tour.join(&cluster.one, "alice").await;
    tour.open(WIKI, 0, "/").await.at_app(WIKI, "/");
    tour.open(STOCK, 1, "/").await.at_app(STOCK, "/");
    let stolen = tour.clone();
    let new = "nine-boats-cross-the-lake";
    let form = [("current", PASSWORD), ("password", new)];
    let changed = tour.submit((PORTAL, 0), "/_auth/account/password", &form).await;
    assert_eq!(changed.target, "/_auth/account?done=password", "{}", changed.answer.text());
    let since = Instant::now();
    let mut stolen = stolen;
    all_end(&mut stolen, &[WIKI, STOCK], since).await;
    tour.open(WIKI, 1, "/").await.at_app(WIKI, "/");
}
