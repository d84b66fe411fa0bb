//! Our own tokens for programs: what they open, what they do not, and when that ends.

use serde_json::Value;

use super::support::client::{Browser, PATIENCE};
use super::support::cluster::Cluster;
use super::support::gateway::Gateway;
use super::support::visitor;
use super::support::wire::Answer;
use super::support::{over_after_a_second, within};

const RULES: &str = "[[apps.rules]]\npath = \"/sign/**\"\naccess = \"two_factor\"\n\
                     max_age = \"5m\"\n[[apps.rules]]\npath = \"/shut/**\"\naccess = \"deny\"\n";

/// A new token of alice's: its id and its text.
pub(crate) fn made(gateway: &Gateway, more: &[&str]) -> (String, String) {
    made_for(gateway, "alice", more)
}

/// The same for another person.
pub(crate) fn made_for(gateway: &Gateway, user: &str, more: &[&str]) -> (String, String) {
    let asked = ["token", "create", "--user", user, "--app", "main", "--json"];
    let done = gateway.command(&[&asked, more].concat(), "");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said: Value = serde_json::from_slice(&done.stdout).unwrap();
    (said["id"].as_str().unwrap().to_owned(), said["token"].as_str().unwrap().to_owned())
}

pub(crate) async fn ask(gateway: &Gateway, method: &str, target: &str, token: &str) -> Answer {
    let lines = format!("Vestibule-Token: {token}\r\nAccept: text/html\r\n");
    Browser::new(gateway).ask(method, target, &lines, b"").await
}

/// What `why` says at a node that a token did not allow, once it is there; never the token.
async fn reason(gateway: &Gateway, answer: &Answer, token: &str) -> String {
    let reference = answer.json()["reference"].as_str().unwrap().to_owned();
    let told = async {
        loop {
            let done = gateway.command(&["why", &reference, "--json"], "");
            if done.status.success() {
                return done.stdout;
            }
        }
    };
    let told = within(PATIENCE, "the refusal to be kept", told).await;
    let told: Value = serde_json::from_slice(&told).unwrap();
    assert_eq!(told["visitor"], "token_refused");
    assert!(!told.to_string().contains(token.trim_start_matches("vst_")), "no secret is kept");
    told["token"].as_str().unwrap().to_owned()
}

/// What `explain` says of a program with a token of alice's.
fn explained(gateway: &Gateway, path: &str) -> String {
    let asked = ["explain", "--user", "alice", "--by-token", "--json", "GET"];
    let url = format!("https://gw.test{path}");
    let done = gateway.command(&[asked.as_slice(), &[&url]].concat(), "");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said: Value = serde_json::from_slice(&done.stdout).unwrap();
    said["outcome"].as_str().unwrap().to_owned()
}

pub(crate) fn code(answer: &Answer) -> String {
    let said: Value = serde_json::from_slice(&answer.body).unwrap();
    said["code"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_opens_the_app_for_its_person_and_is_kept_from_it() {
    let cluster = Cluster::serving(RULES, "").await;
    cluster.one.add_user("alice");
    let (id, token) = made(&cluster.one, &["--description", "nightly export"]);
    assert!(token.starts_with("vst_"), "{}", token.len());
    let mark = cluster.app.mark();
    let lines = format!("Vestibule-Token: {token}\r\nAuthorization: Bearer of-the-app\r\n");
    let answer = Browser::new(&cluster.two).ask("GET", "/data", &lines, b"").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = cluster.app.requests(mark).pop().unwrap();
    assert_eq!(seen.head.all("remote-user"), ["alice"]);
    assert_eq!(seen.head.all("authorization"), ["Bearer of-the-app"]);
    assert!(seen.head.all("vestibule-token").is_empty());
    assert!(!cluster.app.heard(mark, &token));

    let mark = cluster.app.mark();
    for (path, status) in [("/sign/a", 403), ("/shut/a", 403)] {
        let refused = ask(&cluster.one, "GET", path, &token).await;
        assert_eq!((refused.status, refused.location()), (status, ""), "{path}");
        assert_eq!(explained(&cluster.one, path), "refuse", "{path}");
    }
    assert_eq!(explained(&cluster.one, "/data"), "forward");
    let own = ask(&cluster.one, "GET", "/_auth/account", &token).await;
    assert_ne!(own.status, 200, "our own pages are not opened");
    assert!(cluster.app.requests(mark).is_empty());

    let listed = async {
        loop {
            let done = cluster.two.command(&["token", "list", "--user", "alice", "--json"], "");
            let said: Value = serde_json::from_slice(&done.stdout).unwrap();
            assert_eq!(said[0]["id"].as_str(), Some(id.as_str()));
            assert!(!said.to_string().contains(&token));
            if said[0]["last_used_at"].is_string() {
                return;
            }
        }
    };
    within(PATIENCE, "the use to be noted", listed).await;
    for event in ["token_made", "token_used"] {
        let rows = cluster.one.command(&["audit", "list", "--event", event, "--json"], "");
        let rows: Value = serde_json::from_slice(&rows.stdout).unwrap();
        assert_eq!(rows.as_array().map(Vec::len), Some(1), "{event}: {rows}");
        assert!(!rows.to_string().contains(&token));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_its_limits_a_token_opens_nothing() {
    let cluster = Cluster::serving(RULES, "").await;
    let (mut browser, _person) = visitor::signed_in(&cluster.one, "alice").await;
    let (_, narrow) = made(&cluster.one, &["--method", "GET", "--path", "/data/**"]);
    let (_, far) = made(&cluster.one, &["--network", "192.0.2.0/24"]);
    let (_, all) = made(&cluster.one, &[]);
    assert_eq!(ask(&cluster.one, "GET", "/data/a", &narrow).await.status, 200);
    let mark = cluster.app.mark();
    let (mut typo, mut reasons) = (all.clone(), Vec::new());
    let last = typo.pop().unwrap();
    typo.push(if last == 'A' { 'B' } else { 'A' });
    for (method, target, token) in [
        ("POST", "/data/a", &narrow),
        ("GET", "/other", &narrow),
        ("GET", "/%64ata/a", &narrow),
        ("GET", "/data/a", &far),
        ("GET", "/data/a", &typo),
        ("GET", "/data/a", &"vst_made-up-by-nobody".to_owned()),
    ] {
        let refused = ask(&cluster.one, method, target, token).await;
        assert_eq!((refused.status, refused.location()), (401, ""), "{method} {target}");
        assert_eq!(code(&refused), "token_refused");
        reasons.push(reason(&cluster.two, &refused, token).await);
    }
    assert_eq!(reasons, ["method", "path", "path", "network", "unknown", "unknown"]);
    let twice = format!("{all}\r\nVestibule-Token: {all}");
    assert_eq!(ask(&cluster.one, "GET", "/data/a", &twice).await.status, 400);
    let line = format!("Vestibule-Token: {all}\r\n");
    let both = browser.ask("GET", "/data/a", &line, b"").await;
    assert_eq!(both.status, 400, "a session beside it");
    let as_bearer = format!("Authorization: Bearer {all}\r\n");
    let bearer = Browser::new(&cluster.one).ask("GET", "/data/a", &as_bearer, b"").await;
    assert_eq!(bearer.status, 401, "in the app's header it is nothing to us");
    assert!(cluster.app.requests(mark).is_empty());
    for more in
        [["--method", "get"], ["--path", "data"], ["--network", "x"], ["--expires", "2years"]]
    {
        let asked = ["token", "create", "--user", "alice", "--app", "main"];
        let done = cluster.one.command(&[asked.as_slice(), &more].concat(), "");
        assert_eq!(done.status.code(), Some(2), "{more:?}");
    }
    let asked = ["token", "create", "--user", "alice", "--app", "nowhere"];
    assert_eq!(cluster.one.command(&asked, "").status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_ends_on_every_node_within_a_second() {
    let cluster = Cluster::start().await;
    cluster.one.add_user("alice");
    for ends in [&["token", "revoke"][..], &["user", "disable", "alice"]] {
        let (id, token) = made(&cluster.one, &[]);
        assert_eq!(ask(&cluster.two, "GET", "/data", &token).await.status, 200);
        let mut command = ends.to_vec();
        if ends == ["token", "revoke"] {
            command.push(&id);
        }
        let done = cluster.one.command(&command, "");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let refused = async || ask(&cluster.two, "GET", "/data", &token).await.status == 401;
        over_after_a_second(&format!("{ends:?}"), refused).await;
    }
}
