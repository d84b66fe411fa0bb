//! What `user set` changes: at the app within a second and on every node, in the trail, and in mail
//! to the address that was known before.

use serde_json::Value;

use super::support::client::Browser;
use super::support::cluster::Cluster;
use super::support::gateway::{Gateway, Plan};
use super::support::mail::MailServer;
use super::support::over_after_a_second;
use super::support::upstream::Recorder;
use super::support::visitor;

fn set(gateway: &Gateway, changes: &[&str]) -> Value {
    let output = gateway.command(&[&["user", "set", "alice", "--json"], changes].concat(), "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Asks until the app hears these groups, which it does with every request from a second on.
async fn hears(app: &Recorder, browser: &mut Browser, groups: &str) {
    let heard = async || {
        let mark = app.mark();
        assert_eq!(browser.get("/data").await.status, 200);
        let seen = app.wait_for(mark, |seen| seen.head.path() == "/data").await;
        seen.head.get("remote-groups").unwrap_or_default() == groups
    };
    over_after_a_second(groups, heard).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_sessions_see_new_groups_within_a_second_on_every_node() {
    let cluster = Cluster::start().await;
    let (mut here, _person) = visitor::signed_in(&cluster.one, "alice").await;
    let mut there = here.at(&cluster.two);
    for browser in [&mut here, &mut there] {
        hears(&cluster.app, browser, "staff,readers").await;
    }
    for (changes, groups) in [
        (&["--add-group", "ops", "--add-group", "ops"][..], "staff,readers,ops"),
        (&["--remove-group", "staff", "--remove-group", "readers"], "ops"),
        (&["--remove-group", "ops", "--add-group", "night shift"], "night shift"),
    ] {
        set(&cluster.one, changes);
        for browser in [&mut here, &mut there] {
            hears(&cluster.app, browser, groups).await;
        }
    }
    let who = here.fetch("/_auth/session").await.json();
    assert_eq!(who["groups"], serde_json::json!(["night shift"]), "{who}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_identity_is_in_the_trail_and_told_to_the_former_address() {
    let (mail, app) = (MailServer::start(0).await, Recorder::start().await);
    let gateway = Gateway::start(&Plan::new(&app).extra(&mail.config("mail-password"))).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let changes =
        ["--email", "new@example.com", "--display-name", "Alice B.", "--add-group", "ops"];
    assert_eq!(set(&gateway, &changes)["done"], "changed");
    hears(&app, &mut browser, "staff,readers,ops").await;
    let seen = app.requests(app.mark_of_all()).pop().unwrap();
    assert_eq!(seen.head.get("remote-email"), Some("new@example.com"));
    assert_eq!(seen.head.get("remote-name"), Some("Alice B."));
    assert_eq!(set(&gateway, &["--add-group", "ops"])["done"], "unchanged");
    let told = mail.wait_for("Email address changed").await;
    assert_eq!(told.to, "alice@example.com");
    let rows = gateway.command(&["audit", "list", "--event", "account_changed", "--json"], "");
    let rows: Vec<Value> = serde_json::from_slice(&rows.stdout).unwrap();
    assert_eq!(rows.len(), 1, "what changes nothing makes no row: {rows:?}");
    let detail = &rows[0]["detail"];
    assert_eq!((&detail["email"], &detail["groups_added"][0]), (&true.into(), &"ops".into()));
    assert_eq!((&rows[0]["name"], &rows[0]["actor"]), (&"alice".into(), &"operator".into()));
    assert!(!rows[0].to_string().contains("example.com"), "{}", rows[0]);

    set(&gateway, &["--email", "", "--display-name", ""]);
    hears(&app, &mut browser, "staff,readers,ops").await;
    let shown = gateway.command(&["user", "show", "alice", "--json"], "");
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["email"], &shown["display_name"]), (&Value::Null, &"alice".into()));
    for (wrong, code) in [
        (&["user", "set", "alice"][..], 2),
        (&["user", "set", "alice", "--email", "nobody"], 2),
        (&["user", "set", "alice", "--add-group", "a,b"], 2),
        (&["user", "set", "alice", "--add-group", "a", "--remove-group", "a"], 2),
        (&["user", "set", "nobody", "--add-group", "a"], 1),
    ] {
        let output = gateway.command(wrong, "");
        assert_eq!(output.status.code(), Some(code), "{wrong:?}");
    }
}
