//! Rules that want a key, beside those of `keys::rules`: every kind of request, a proof that has grown
//! old, and programs.

use super::keys::{enrolled, prove, register};
use super::support::authenticator::{Authenticator, PRESENT};
use super::support::client::{Browser, PATIENCE};
use super::support::gateway::{Gateway, Plan};
use super::support::upstream::Recorder;
use super::support::visitor;
use super::support::within;

const RULES: &str = "[[apps.rules]]\nname = \"vault\"\npath = \"/vault/**\"\n\
                     access = \"two_factor\"\nphishing_resistant = true\n\
                     [[apps.rules]]\nname = \"safe\"\npath = \"/safe/**\"\n\
                     access = \"two_factor\"\nphishing_resistant = true\nmax_age = \"5m\"\n";

async fn start() -> (Recorder, Gateway) {
    let app = Recorder::start().await;
    let mut plan = Plan::new(&app);
    plan.apps = plan.apps.replacen("[[apps.rules]]", &format!("{RULES}[[apps.rules]]"), 1);
    let gateway = Gateway::start(&plan).await;
    (app, gateway)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_by_code_reaches_nothing_behind_the_rule_by_any_kind_of_request() {
    let (app, gateway) = start().await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let mark = app.mark();
    let script = browser.fetch("/vault/1").await;
    assert_eq!((script.status, &script.json()["code"]), (401, &"step_up_required".into()));
    let url = script.json()["step_up_url"].as_str().unwrap().to_owned();
    assert!(url.contains("/_auth/step-up?with=key"), "{url}");
    let posted = browser.ask("POST", "/vault/1", "Accept: */*\r\n", b"x=1").await;
    assert_eq!((posted.status, &posted.json()["code"]), (401, &"step_up_required".into()));
    let page = browser.post("/vault/1", &[("x", "1")]).await;
    assert_eq!(page.status, 401);
    assert!(page.text().contains("<html") && page.text().contains("with=key"), "{}", page.text());
    let socket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://gw.test\r\n";
    assert_eq!(browser.ask("GET", "/vault/socket", socket, b"").await.status, 401);
    for same in ["/vault/", "/vault/a/../1", "/%76ault/1", "/vault//1"] {
        let answer = browser.fetch(same).await;
        assert!(matches!(answer.status, 400 | 401), "{same}: {}", answer.status);
    }
    // Its administrator's token proves no key either.
    let args = ["token", "create", "--user", "alice", "--app", "main", "--json"];
    let made = gateway.command(&args, "");
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let token = made["token"].as_str().unwrap();
    let mut program = Browser::new(&gateway);
    let line = format!("Vestibule-Token: {token}\r\n");
    assert_eq!(program.ask("GET", "/other", &line, b"").await.status, 200, "a good token");
    app.wait_for(mark, |seen| seen.head.path() == "/other").await;
    assert_eq!(program.ask("GET", "/vault/1", &line, b"").await.status, 403);
    app.barrier().await;
    let seen = app.requests(mark);
    assert_eq!(seen.len(), 1, "{:?}", seen.iter().map(|s| &s.head.target).collect::<Vec<_>>());
}

/// A proof that has grown old is made anew by a key. A code, which can be phished, does not do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_proof_by_key_is_made_anew_by_a_key_and_not_by_a_code() {
    let (app, gateway) = start().await;
    let (mut browser, mut person) = visitor::signed_in(&gateway, "alice").await;
    let mut key = Authenticator { flags: PRESENT, ..Authenticator::default() };
    let added = register(&mut browser, &mut key, "/_auth/account/keys/new", "Blue").await;
    assert_eq!(added.status, 303, "{}", added.text());
    let led = browser.get("/safe/1").await.location().to_owned();
    let done = prove(&mut browser, &mut key, &led).await;
    assert_eq!((done.status, done.location()), (303, "/safe/1"), "{}", done.text());
    assert_eq!(browser.get("/safe/1").await.status, 200);

    visitor::let_proofs_age(&gateway, &browser).await;
    // A session that was just seen is asked for again within a second.
    let aged = async { while browser.fetch("/safe/1").await.status != 401 {} };
    within(PATIENCE, "the proof to be too old", aged).await;
    let led = browser.get("/safe/1").await;
    assert_eq!(led.status, 303, "five minutes are over");
    // With a code, which the page need not take.
    let page = browser.get("/_auth/step-up?return_to=%2Fsafe%2F1").await;
    let code = person.codes.next().await;
    let path = "/_auth/step-up?return_to=%2Fsafe%2F1";
    browser.submit_from(&page, path, &[("code", &code)]).await;
    let mark = app.mark();
    assert_eq!(browser.get("/safe/1").await.status, 303, "a code is no fresh proof of a key");
    assert_eq!(browser.fetch("/safe/1").await.status, 401);
    app.barrier().await;
    assert_eq!(app.requests(mark).len(), 0, "the app was asked");
    let done = prove(&mut browser, &mut key, led.location()).await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert_eq!(browser.get("/safe/1").await.status, 200);
}

/// A recovery code ends a session by key that the browser had, and what it opened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_by_key_that_gives_way_to_one_by_recovery_code_opens_no_more() {
    let (_app, gateway) = start().await;
    let (mut browser, _key, codes) = enrolled(&gateway, "bob").await;
    assert_eq!(browser.get("/vault/1").await.status, 200);
    let mut again = browser.clone();
    again.submit("/_auth/logout", &[]).await;
    visitor::prove_password(&mut again, "bob").await;
    let done = again.submit("/_auth/recovery", &[("code", &codes[1])]).await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert_eq!(again.fetch("/vault/1").await.status, 401);
    assert_eq!(again.fetch("/other").await.status, 200);
}
