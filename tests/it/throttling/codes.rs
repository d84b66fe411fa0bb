//! Guesses at second factors: how many are compared, whatever the mix of logins, addresses and nodes.

use std::path::Path;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use super::super::support::client::{Browser, admin};
use super::super::support::gateway::{self, Gateway, PASSWORD, Plan};
use super::super::support::html;
use super::super::support::servers::{PostgresServer, RedisServer};
use super::super::support::upstream::Recorder;
use super::super::support::visitor::{self, SESSION};
use super::super::support::wire::Answer;
use super::super::tickets;
use super::{from, trusting};

const NO_WAITS: &str = "per_address = 1000000\nper_name = 100\n";

/// Posts a wrong code in a new login; the page.
async fn wrong_code(browser: &mut Browser, name: &str) -> Answer {
    visitor::prove_password(browser, name).await;
    browser.submit("/_auth/otp", &[("code", "000000")]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_guesses_over_sessions_addresses_and_nodes_no_more_than_the_ladder_allows_are_compared()
{
    let app = Recorder::start().await;
    let (redis, postgres) = (RedisServer::start(), PostgresServer::shared());
    let database = postgres.database().await;
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys.toml");
    gateway::make_keys(&keys);
    let plan = cluster(&app, &redis, &database, &keys);
    let nodes = [Gateway::start(&plan).await, Gateway::start(&plan).await];
    let (_browser, mut person) = visitor::signed_in(&nodes[0], "alice").await;

    // Forty logins, from forty addresses, on two nodes, all at once, each posting what it may.
    let mut logins = Vec::new();
    for n in 0..40 {
        let mut browser = from(&nodes[n % 2], &format!("198.51.100.{n}"));
        visitor::prove_password(&mut browser, "alice").await;
        let page = browser.get("/_auth/otp").await;
        logins.push((browser, html::field(&page.text(), "csrf").unwrap()));
    }
    let posts = logins.into_iter().map(|(mut browser, csrf)| async move {
        let form = [("code", "000000"), ("csrf", csrf.as_str())];
        browser.posts("/_auth/otp", &form, 5).await
    });
    let all: Vec<u16> = futures_util::future::join_all(posts).await.concat();
    assert_eq!(compared(&all), 10, "ten are compared, then there is a wait: {all:?}");
    assert_eq!(all.iter().filter(|status| **status == 429).count(), 190, "{all:?}");

    // Neither the right password nor an emptied Redis buys another guess.
    redis.command::<()>(&["FLUSHALL"]).await;
    let mut browser = from(&nodes[1], "203.0.113.5");
    let wait = wrong_code(&mut browser, "alice").await;
    assert_eq!(wait.status, 429, "{}", wait.text());
    assert!(wait.text().contains("5 minutes"), "{}", wait.text());
    let code = person.codes.next().await;
    let right = browser.submit("/_auth/otp", &[("code", &code)]).await;
    assert_eq!(right.status, 429, "the right code waits as well");
    let by_recovery = browser.submit("/_auth/recovery", &[("code", &person.recovery[0])]).await;
    assert_eq!(by_recovery.status, 303, "recovery codes have a counter of their own");
    told_of_wrong_codes(&mut browser, &by_recovery, "10 wrong codes").await;
}

/// How many codes were compared: all of them wrong, and the fifth of a login ends it.
fn compared(statuses: &[u16]) -> usize {
    statuses.iter().filter(|status| matches!(status, 401 | 303)).count()
}

fn cluster(app: &Recorder, redis: &RedisServer, database: &str, keys: &Path) -> Plan {
    let throttle = format!("[throttle]\n{NO_WAITS}");
    trusting(app).sharing(redis, database, keys).extra(&throttle)
}

async fn told_of_wrong_codes(browser: &mut Browser, answer: &Answer, words: &str) {
    assert!(answer.location().starts_with("/_auth/notice?return_to="), "{}", answer.location());
    let page = browser.get(answer.location()).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains(words), "{}", page.text());
    assert!(page.text().contains("198.51.100."), "from where: {}", page.text());
    assert_eq!(browser.get("/app").await.status, 200, "signed in all the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_wrong_codes_suspend_the_authenticator_and_a_recovery_code_still_works() {
    let app = Recorder::start().await;
    let plan = trusting(&app).extra(&format!(
        "[throttle]\n{NO_WAITS}second_factor = 100\nsecond_factor_most = 6\nper_login = 4\n"
    ));
    let gateway = Gateway::start(&plan).await;
    let (_owner, mut person) = visitor::signed_in(&gateway, "alice").await;
    let mut thief = from(&gateway, "198.51.100.7");
    for n in 1..=6 {
        let answer = wrong_code(&mut thief, "alice").await;
        assert_eq!(answer.status, if n == 6 { 403 } else { 401 }, "{n}: {}", answer.text());
    }
    let mut owner = from(&gateway, "203.0.113.5");
    visitor::prove_password(&mut owner, "alice").await;
    let page = owner.get("/_auth/otp").await;
    assert_eq!(page.status, 403);
    assert!(page.text().contains("suspended") && page.text().contains("/_auth/recovery"));
    let code = person.codes.next().await;
    let csrf = html::field(&owner.get("/_auth/recovery").await.text(), "csrf").unwrap();
    let refused = owner.post("/_auth/otp", &[("code", &code), ("csrf", &csrf)]).await;
    assert_eq!(refused.status, 403, "the right code is refused: {}", refused.text());
    assert!(!owner.jar.contains_key(SESSION));
    let done = owner.submit("/_auth/recovery", &[("code", &person.recovery[0])]).await;
    assert_eq!(done.status, 303, "{}", done.text());
    let told = owner.get(done.location()).await.text();
    assert!(told.contains("6 wrong codes") && told.contains("198.51.100.7"), "{told}");
    assert!(told.contains("Your authenticator app is suspended"), "{told}");

    let show = gateway.command(&["user", "show", "alice"], "");
    let show = String::from_utf8_lossy(&show.stdout).into_owned();
    assert!(show.contains("SUSPENDED") && show.contains("after 6 failures"), "{show}");
    let metrics = admin(&gateway, "/metrics").await.text();
    let event = "vestibule_security_events_total{event=\"factor_suspended\"";
    assert!(metrics.contains(event), "{metrics}");

    let lifted = gateway.command(&["user", "lift-suspension", "alice"], "");
    assert!(lifted.status.success());
    let mut again = from(&gateway, "203.0.113.6");
    person.codes.mark_used(person.codes.used_step());
    let answer = visitor::sign_in(&mut again, &mut person).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert!(again.jar.contains_key(SESSION));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_typos_are_not_told_and_those_of_another_login_are_told_once() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&trusting(&app)).await;
    let (_browser, mut person) = visitor::signed_in(&gateway, "alice").await;
    let mut owner = from(&gateway, "203.0.113.5");
    visitor::prove_password(&mut owner, "alice").await;
    assert_eq!(owner.submit("/_auth/otp", &[("code", "000000")]).await.status, 401);
    let done = owner.submit("/_auth/otp", &[("code", &person.codes.next().await)]).await;
    assert_eq!((done.status, done.location()), (303, "/"), "a typo of one's own");
    let empty = owner.get("/_auth/notice?return_to=%2Fapp").await;
    assert_eq!((empty.status, empty.location()), (303, "/app"), "nothing to tell");

    let mut thief = from(&gateway, "198.51.100.7");
    assert_eq!(wrong_code(&mut thief, "alice").await.status, 401);
    let mut owner = from(&gateway, "203.0.113.6");
    let done = visitor::sign_in(&mut owner, &mut person).await;
    told_of_wrong_codes(&mut owner, &done, "Someone entered a wrong code").await;
    let code = &person.recovery[0];
    let mut last = from(&gateway, "203.0.113.7");
    visitor::prove_password(&mut last, "alice").await;
    let done = last.submit("/_auth/recovery", &[("code", code)]).await;
    assert_eq!(done.status, 303, "{}", done.text());
    let page = last.get(done.location()).await.text();
    assert!(page.contains("You signed in with a recovery code"), "{page}");
    assert!(!page.contains("entered a wrong code"), "told already: {page}");
}

/// Lets time pass for the waits of all accounts, in the durable store.
async fn let_waits_pass(database: &str, time: Duration) {
    let mut connection = PgConnection::connect(database).await.unwrap();
    let passed = sqlx::query("UPDATE authenticators SET wait_until = wait_until - $1");
    let millis = i64::try_from(time.as_millis()).unwrap();
    passed.bind(millis).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Four logins from as many addresses on two nodes post five wrong codes each, all at once: how many
/// were compared, and how many put off or refused.
async fn rung(nodes: &[Gateway; 2], number: usize) -> (usize, usize) {
    let mut logins = Vec::new();
    for n in 0..4 {
        let mut browser = from(&nodes[n % 2], &format!("198.51.{number}.{n}"));
        visitor::prove_password(&mut browser, "alice").await;
        let page = browser.get("/_auth/otp").await;
        logins.push((browser, html::field(&page.text(), "csrf").unwrap()));
    }
    let posts = logins.into_iter().map(|(mut browser, csrf)| async move {
        let form = [("code", "000000"), ("csrf", csrf.as_str())];
        browser.posts("/_auth/otp", &form, 5).await
    });
    let all: Vec<u16> = futures_util::future::join_all(posts).await.concat();
    let refused = all.iter().filter(|status| matches!(status, 403 | 429)).count();
    assert_eq!(compared(&all) + refused, all.len(), "{all:?}");
    (compared(&all), refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_ladder_over_two_nodes_lets_fifty_guesses_through_and_a_link_leads_back() {
    let app = Recorder::start().await;
    let (redis, postgres) = (RedisServer::start(), PostgresServer::shared());
    let database = postgres.database().await;
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys.toml");
    gateway::make_keys(&keys);
    let plan = cluster(&app, &redis, &database, &keys);
    let nodes = [Gateway::start(&plan).await, Gateway::start(&plan).await];
    let (_browser, mut person) = visitor::signed_in(&nodes[0], "alice").await;
    let mins = Duration::from_mins;
    let waits = [(10, mins(5)), (20, mins(30)), (30, mins(30)), (40, mins(30))];
    for (number, (documented, wait)) in waits.into_iter().enumerate() {
        assert_eq!(rung(&nodes, number).await, (10, 10), "up to the {documented}th");
        assert_eq!(failures(&nodes[1]), documented);
        // A moment before the wait is over nothing is compared.
        let_waits_pass(&database, wait.saturating_sub(mins(1))).await;
        let mut early = from(&nodes[number % 2], "203.0.113.5");
        let put_off = wrong_code(&mut early, "alice").await;
        assert_eq!(put_off.status, 429, "after {documented}: {}", put_off.text());
        assert_eq!(failures(&nodes[0]), documented);
        let_waits_pass(&database, mins(1)).await;
    }
    let (compared, refused) = rung(&nodes, 4).await;
    assert_eq!(failures(&nodes[0]), 50, "{compared} compared, {refused} refused");

    // Whatever is tried from now on is not compared, not even what is right.
    let_waits_pass(&database, mins(600)).await;
    let mut owner = from(&nodes[1], "203.0.113.6");
    visitor::prove_password(&mut owner, "alice").await;
    let csrf = html::field(&owner.get("/_auth/recovery").await.text(), "csrf").unwrap();
    let code = person.codes.next().await;
    let refused = owner.post("/_auth/otp", &[("code", &code), ("csrf", &csrf)]).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert_eq!((failures(&nodes[0]), owner.jar.contains_key(SESSION)), (50, false));

    // A link sets up another authenticator, and the count is that one's own.
    let link = tickets::link(&tickets::made(&nodes[0], &["user", "ticket", "alice"]));
    let mut back = from(&nodes[1], "203.0.113.7");
    assert_eq!(back.get(&link).await.status, 303);
    let proved = back.submit("/_auth/setup", &[("password", PASSWORD)]).await;
    assert_eq!(proved.location(), "/_auth/enroll", "{}", proved.text());
    let (codes, _) = visitor::enrol(&mut back).await;
    person.codes = codes;
    assert_eq!(failures(&nodes[0]), 0);
    let mut again = from(&nodes[0], "203.0.113.8");
    assert_eq!(visitor::sign_in(&mut again, &mut person).await.status, 303);
}

/// Wrong codes in a row, as a command tells.
fn failures(node: &Gateway) -> u64 {
    let shown = node.command(&["user", "show", "alice", "--json"], "");
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    shown["totp"]["wrong_codes"].as_u64().unwrap_or_else(|| panic!("{shown}"))
}
