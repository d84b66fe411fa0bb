//! Key rotation over two nodes with users signed in: two phases sign nobody out, and differing key
//! files are reported early.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use super::keys::{enrolled, options, origin};
use super::support::client::{self, Browser, PATIENCE};
use super::support::gateway::{self, Gateway, Plan};
use super::support::servers::{PostgresServer, RedisServer};
use super::support::upstream::Recorder;
use super::support::visitor::{self, Person, SESSION};
use super::support::within;

/// Two nodes on the same stores, each with a key file of its own.
struct Nodes {
    one: Gateway,
    two: Gateway,
    keys: [PathBuf; 2],
    _redis: RedisServer,
    _postgres: Arc<PostgresServer>,
    _app: Recorder,
    _dir: TempDir,
}

impl Nodes {
    async fn start() -> Self {
        let (app, redis, postgres) =
            (Recorder::start().await, RedisServer::start(), PostgresServer::shared());
        let (database, dir) = (postgres.database().await, tempfile::tempdir().unwrap());
        let keys = ["one.toml", "two.toml"].map(|name| dir.path().join(name));
        gateway::make_keys(&keys[0]);
        std::fs::copy(&keys[0], &keys[1]).unwrap();
        let mut plan = Plan::new(&app).sharing(&redis, &database, &keys[0]);
        let one = Gateway::start(&plan).await;
        plan.keys = Some(keys[1].clone());
        let two = Gateway::start(&plan).await;
        Self { one, two, keys, _redis: redis, _postgres: postgres, _app: app, _dir: dir }
    }

    /// Gives the second node the key file of the first and reloads it.
    async fn hand_over(&self) {
        std::fs::copy(&self.keys[0], &self.keys[1]).unwrap();
        self.two.reload().await;
    }

    fn change_keys(&self, how: &str) {
        let file = self.keys[0].display().to_string();
        gateway::done(&["keys", how, &file], "");
    }
}

async fn checks(gateway: &Gateway) -> Value {
    client::admin(gateway, "/readyz?verbose").await.json()
}

/// The line of `/readyz?verbose` about key files.
async fn told(gateway: &Gateway) -> Value {
    let all = checks(gateway).await;
    assert_eq!(all["ready"], true, "{all}");
    let checks = all["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == "keys").unwrap().clone()
}

fn online(gateway: &Gateway) -> Output {
    gateway.command(&["check", "--online"], "")
}

/// Signs in with the password and a recovery code.
async fn sign_in(gateway: &Gateway, person: &mut Person) -> Browser {
    let mut browser = Browser::new(gateway);
    visitor::prove_password(&mut browser, &person.name).await;
    let code = person.recovery.pop().unwrap();
    let answer = browser.submit("/_auth/recovery", &[("code", &code)]).await;
    assert_eq!(answer.status, 303, "{}: {}", person.name, answer.text());
    assert!(browser.jar.contains_key(SESSION));
    browser
}

/// Enrols a user at each node, checks that the other one accepts the session, a form, the password
/// and a recovery code, and that every earlier session is still accepted at both.
async fn everything_works(nodes: &Nodes, step: &str, known: &mut Vec<Browser>) {
    for (here, there, name) in [(&nodes.one, &nodes.two, "one"), (&nodes.two, &nodes.one, "two")] {
        let (browser, mut person) = visitor::signed_in(here, &format!("{step}-{name}")).await;
        known.push(browser);
        known.push(sign_in(there, &mut person).await);
        let mut halfway = Browser::new(here);
        visitor::prove_password(&mut halfway, &person.name).await;
        let form = halfway.get("/_auth/recovery").await;
        let mut halfway = halfway.at(there);
        let code = person.recovery.pop().unwrap();
        let answer = halfway.submit_from(&form, "/_auth/recovery", &[("code", &code)]).await;
        assert_eq!(answer.status, 303, "{step}: {}", answer.text());
        known.push(halfway);
    }
    for (number, browser) in known.iter().enumerate() {
        for node in [&nodes.one, &nodes.two] {
            let status = browser.at(node).fetch("/app").await.status;
            assert_eq!(status, 200, "{step}: session {number}");
        }
    }
    for node in [&nodes.one, &nodes.two] {
        let told = told(node).await;
        assert_eq!(told["ok"], true, "{step}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_rotate_in_two_phases_and_nobody_is_signed_out() {
    let nodes = Nodes::start().await;
    let mut known = Vec::new();
    everything_works(&nodes, "before", &mut known).await;
    nodes.change_keys("add");
    nodes.one.reload().await;
    everything_works(&nodes, "added-here", &mut known).await;
    nodes.hand_over().await;
    nodes.change_keys("use");
    nodes.one.reload().await;
    everything_works(&nodes, "used-here", &mut known).await;
    nodes.hand_over().await;
    everything_works(&nodes, "used", &mut known).await;
    assert_eq!(known.len(), 24);
    for node in [&nodes.one, &nodes.two] {
        let output = online(node);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_files_that_differ_are_told_by_every_node() {
    let nodes = Nodes::start().await;
    nodes.change_keys("rotate");
    nodes.one.reload().await;
    for (node, words) in
        [(&nodes.one, "lacks the token key"), (&nodes.two, "the key file lacks the token key")]
    {
        let differing = async {
            loop {
                let told = told(node).await;
                if told["ok"] == false {
                    return told["reason"].as_str().unwrap().to_owned();
                }
            }
        };
        let told = within(PATIENCE, "the difference", differing).await;
        assert!(told.contains(words), "{told}");
    }
    // Whether or not a monitor asked before.
    nodes.two.log.wait_for_words("key files differ: the key file lacks the token key").await;
    let output = online(&nodes.two);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("online: keys: the key file lacks the token key"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_written_with_the_key_file_of_another_installation() {
    let nodes = Nodes::start().await;
    nodes.two.signal("TERM");
    assert!(nodes.two.ended().await.success(), "{}", nodes.two.log.so_far());
    std::fs::remove_file(&nodes.keys[1]).unwrap();
    gateway::make_keys(&nodes.keys[1]);
    for command in [&["serve"][..], &["user", "add", "alice"], &["user", "list"]] {
        let output = nodes.two.command(command, "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
        assert!(said.contains("does not belong to the database"), "{command:?}: {said}");
    }
    let verified = nodes.two.command(&["audit", "verify"], "");
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(!said.contains("was changed"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_token_key_is_told_as_needed_while_an_access_token_rests_on_it() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    gateway.add_user("alice");
    let (id, token) = super::tokens::made(&gateway, &[]);
    let file = gateway.dir().join("data/keys.toml");
    gateway::done(&["keys", "rotate", &file.display().to_string()], "");
    gateway.reload().await;
    let said = || String::from_utf8_lossy(&online(&gateway).stdout).into_owned();
    let told = said();
    assert!(told.contains("the former token key "), "{told}");
    assert!(told.contains(": 1 access token may rest on it"), "{told}");
    let answer = super::tokens::ask(&gateway, "GET", "/data", &token).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(gateway.command(&["token", "revoke", &id], "").status.success());
    let told = said();
    assert!(!told.contains("access token"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_with_a_damaged_key_file_keeps_the_keys() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let file = gateway.dir().join("data/keys.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    write(&file, "version = 1\n");
    gateway.signal("HUP");
    let refused = |line: &super::support::log::Line| {
        (line.get("message")?.starts_with("reload failed")).then_some(())
    };
    gateway.log.wait_for("the refusal", refused).await;
    assert_eq!(browser.fetch("/app").await.status, 200);
    write(&file, &good);
    gateway.reload().await;
    assert_eq!(browser.fetch("/app").await.status, 200);
}

/// A page that one node showed is answered at the other, which writes with another key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passkey_answers_at_one_node_what_another_asked_with_another_writing_key() {
    let nodes = Nodes::start().await;
    let (mut owner, mut key, _) = enrolled(&nodes.one, "alice").await;
    nodes.change_keys("add");
    nodes.one.reload().await;
    nodes.hand_over().await;
    nodes.change_keys("use");
    nodes.one.reload().await;
    for (here, there) in [(&nodes.one, &nodes.two), (&nodes.two, &nodes.one)] {
        let mut halfway = Browser::new(here);
        visitor::prove_password(&mut halfway, "alice").await;
        let step_up = "/_auth/step-up?return_to=%2Fapp";
        for (mut browser, page, path) in [
            (Browser::new(here), "/_auth/login", "/_auth/passkey"),
            (halfway, "/_auth/key", "/_auth/key"),
            (owner.at(here), step_up, step_up),
        ] {
            let page = browser.get(page).await;
            assert_eq!(page.status, 200, "{path}: {}", page.text());
            let answer = key.get(&options(&page.text()), &origin(&browser)).to_string();
            let form = [("credential", answer.as_str())];
            let mut browser = browser.at(there);
            let done = browser.submit_from(&page, path, &form).await;
            assert_eq!(done.status, 303, "{path}: {}", done.text());
            if path == step_up {
                owner = browser; // with a new session id
            }
        }
    }
}

fn write(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_in_constant_use_ends_with_its_token_key() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    assert_eq!(browser.fetch("/app").await.status, 200);
    let file = gateway.dir().join("data/keys.toml");
    gateway::done(&["keys", "rotate", &file.display().to_string()], "");
    gateway.reload().await;
    assert_eq!(browser.fetch("/app").await.status, 200, "the former key still reads");
    let text = std::fs::read_to_string(&file).unwrap();
    // The second table of the ring holds the former key.
    let tables: Vec<&str> = text.split("[[").collect();
    let tokens: Vec<usize> =
        (0..tables.len()).filter(|i| tables[*i].starts_with("token]]")).collect();
    assert_eq!(tokens.len(), 2, "{} tables", tables.len());
    let others: Vec<&str> =
        (0..tables.len()).filter(|i| *i != tokens[1]).map(|i| tables[i]).collect();
    std::fs::write(&file, others.join("[[")).unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let using = tokio::spawn(async move {
        while !*stopped.borrow() {
            browser.fetch("/app").await;
        }
        browser
    });
    gateway.reload().await;
    stop.send_replace(true);
    let mut browser = using.await.unwrap();
    let over = async { while browser.fetch("/app").await.status != 401 {} };
    within(PATIENCE, "the session to end with its key", over).await;
}
