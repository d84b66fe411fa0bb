//! Guessing, from outside: what a stranger can slow, how many guesses are compared, what is told.

mod clock;
mod codes;
mod flood;
mod owners;

use super::support::client::{Browser, admin};
use super::support::gateway::{self, Gateway, PASSWORD, Plan};
use super::support::html;
use super::support::upstream::Recorder;
use super::support::visitor::{self, PENDING, SESSION};
use super::support::wire::Answer;

const DEVICE: &str = "__Host-vestibule-device";

/// A browser that a trusted proxy on loopback says to be at this address.
fn from(gateway: &Gateway, address: &str) -> Browser {
    let mut browser = Browser::new(gateway);
    browser.forwarded_for = Some(address.to_owned());
    browser
}

fn trusting(app: &Recorder) -> Plan {
    Plan::new(app).extra("[network]\ntrusted_proxies = [\"127.0.0.0/8\"]\n")
}

async fn wrong_password(browser: &mut Browser, name: &str) -> Answer {
    browser.submit("/_auth/login", &[("username", name), ("password", "not the right one")]).await
}

/// A page without what differs between any two.
fn bare(answer: &Answer, name: &str) -> String {
    let text = answer.text();
    let csrf = html::field(&text, "csrf").unwrap_or_default();
    html::without_challenge(&text.replace(name, "NAME").replace(&csrf, "CSRF"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_wait_alike_for_known_and_unknown_names() {
    let app = Recorder::start().await;
    let plan = trusting(&app).extra("[throttle]\nfirst_wait = \"40s\"\nlongest_wait = \"40s\"\n");
    let gateway = Gateway::start(&plan).await;
    gateway.add_user("alice");
    let mut pages = Vec::new();
    for (name, net) in [("alice", 1), ("nobody", 2)] {
        let mut statuses = Vec::new();
        let mut last = None;
        for n in 0..7 {
            let mut browser = from(&gateway, &format!("198.51.{net}.{n}"));
            let answer = wrong_password(&mut browser, name).await;
            statuses.push((answer.status, answer.get("retry-after").is_some()));
            assert!(!browser.jar.contains_key(DEVICE) && !browser.jar.contains_key(PENDING));
            last = Some(answer);
        }
        let last = last.unwrap();
        let seconds: u64 = last.get("retry-after").unwrap().parse().unwrap();
        assert!((20..=40).contains(&seconds), "{seconds}");
        assert!(last.text().contains(&format!("Wait {seconds} seconds")), "{}", last.text());
        let page = bare(&last, name)
            .replace(&format!("{seconds} seconds"), "SECONDS")
            .replace(&format!("data-wait=\"{seconds}\""), "data-wait=SECONDS");
        let mut fields: Vec<String> = last.fields.iter().map(|f| format!("{:?}", f.0)).collect();
        fields.sort();
        pages.push((statuses, page, fields));
    }
    let refused = (429, true);
    assert_eq!(pages[0].0, [vec![(401, false); 5], vec![refused; 2]].concat());
    assert_eq!(pages[0], pages[1], "known and unknown names look alike");
    // The right password does not get a stranger past the wait either.
    let mut stranger = from(&gateway, "203.0.113.9");
    let form = [("username", "alice"), ("password", PASSWORD)];
    assert_eq!(stranger.submit("/_auth/login", &form).await.status, 429);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_browser_is_a_stranger_to_others_beyond_its_budget_and_once_revoked() {
    let app = Recorder::start().await;
    let plan = trusting(&app).extra(
        "[throttle]\nper_name = 2\nper_device = 2\nfirst_wait = \"10m\"\nlongest_wait = \"10m\"\n",
    );
    let gateway = Gateway::start(&plan).await;
    let (mut owner, _person) = visitor::signed_in(&gateway, "alice").await;
    gateway.add_user("bob");
    owner.jar.remove(SESSION);
    // From a network where the account never signed in: the cookie alone makes it known.
    owner.forwarded_for = Some("203.0.113.7".to_owned());
    // Strangers have used up what they share.
    for name in ["alice", "bob"] {
        for (n, status) in [401, 401, 429].into_iter().enumerate() {
            let mut stranger = from(&gateway, &format!("198.51.100.{n}"));
            assert_eq!(wrong_password(&mut stranger, name).await.status, status, "{name} {n}");
        }
    }
    assert_eq!(wrong_password(&mut owner, "bob").await.status, 429, "bob does not know it");
    let mut forged = owner.clone();
    let cookie = forged.jar[DEVICE].replace('.', "A.");
    forged.jar.insert(DEVICE.to_owned(), cookie);
    assert_eq!(wrong_password(&mut forged, "alice").await.status, 429, "a forged cookie");
    let mut revoked = owner.clone();
    assert_eq!(wrong_password(&mut owner, "alice").await.status, 401);
    assert_eq!(wrong_password(&mut owner, "alice").await.status, 401);
    assert_eq!(wrong_password(&mut owner, "alice").await.status, 429, "its own budget is used up");

    gateway::done(
        &["session", "end", "--user", "alice", "--config", &gateway.config.display().to_string()],
        "",
    );
    assert_eq!(wrong_password(&mut revoked, "alice").await.status, 429, "no longer known");
    // Nor does the cookie ever stand in for a factor, nor does the app see it.
    assert_eq!(owner.fetch("/app").await.status, 401);
    let mark = app.mark_of_all();
    assert_eq!(owner.fetch("/public/x").await.status, 200);
    let seen = app.wait_for(mark, |r| r.head.path() == "/public/x").await;
    assert!(seen.head.all("cookie").is_empty(), "{:?}", seen.head.all("cookie"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spray_over_many_names_is_an_alarm_and_slows_nobody() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&trusting(&app).extra("[throttle]\nspray = 5\n")).await;
    gateway.add_user("alice");
    for n in 0..8 {
        let mut browser = from(&gateway, &format!("198.51.100.{n}"));
        assert_eq!(wrong_password(&mut browser, &format!("name{n}")).await.status, 401);
    }
    let metrics = admin(&gateway, "/metrics").await.text();
    let alarms = metrics.lines().find(|l| l.contains("event=\"password_spray\"")).unwrap();
    assert!(alarms.ends_with(" 1"), "one alarm: {alarms}");
    let mut stranger = from(&gateway, "203.0.113.5");
    visitor::prove_password(&mut stranger, "alice").await;
}
