//! The audit trail of running gateways: every event of an account's life once and in order over two
//! nodes, as a command tells it and as lines of JSON; and nothing secret in it.

use serde_json::Value;

use super::keys;
use super::support::client::{Browser, admin};
use super::support::cluster::Cluster;
use super::support::gateway::{Gateway, PASSWORD, Plan};
use super::support::html;
use super::support::upstream::Recorder;
use super::support::visitor;

/// Limits that the tests of many attempts do not reach.
const PATIENT: &str = "[throttle]\nper_address = 10000\nper_login = 100\nsecond_factor = 100\n\
                       second_factor_most = 100\n";

fn list(gateway: &Gateway, more: &[&str]) -> Vec<Value> {
    let args = [&["audit", "list", "--json", "--limit", "1000"], more].concat();
    let output = gateway.command(&args, "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "audit list: {said}");
    let mut rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    rows.reverse();
    rows
}

fn events(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["event"].as_str().unwrap()).collect()
}

fn verified(gateway: &Gateway) -> Value {
    let output = gateway.command(&["audit", "verify", "--json"], "");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.success(), report["intact"] == true, "{report}");
    report
}

/// What happens in the life below.
const LIFE: [&str; 20] = [
    "account_added",
    "password_right",
    "second_factor_enrolled",
    "signed_in",
    "recovery_codes_made",
    "recovery_codes_kept",
    "session_ended",
    "password_wrong",
    "password_right",
    "second_factor_wrong",
    "signed_in",
    "password_right",
    "recovery_code_used",
    "signed_in",
    "session_ended",
    "devices_revoked",
    "sessions_ended",
    "account_disabled",
    "account_enabled",
    "account_removed",
];

/// Leads a life over two nodes; the secrets that were typed.
async fn live(cluster: &Cluster) -> Vec<String> {
    let (one, two) = (&cluster.one, &cluster.two);
    let (mut here, mut person) = visitor::signed_in(one, "alice").await;
    here.submit("/_auth/logout", &[]).await;
    let mut there = Browser::new(two);
    let guess = "not-the-password-at-all";
    let wrong = [("username", "alice"), ("password", guess)];
    assert_eq!(there.submit("/_auth/login", &wrong).await.status, 401);
    visitor::prove_password(&mut there, "alice").await;
    let unlucky = person.codes.of_step(1);
    assert_eq!(there.submit("/_auth/otp", &[("code", &unlucky)]).await.status, 401);
    let code = person.codes.next().await;
    assert_eq!(there.submit("/_auth/otp", &[("code", &code)]).await.status, 303);
    let mut back = Browser::new(one);
    visitor::prove_password(&mut back, "alice").await;
    let recovery = person.recovery.first().unwrap().clone();
    assert_eq!(back.submit("/_auth/recovery", &[("code", &recovery)]).await.status, 303);
    back.at(two).submit("/_auth/logout", &[]).await;
    for args in [
        &["session", "end", "--user", "alice"][..],
        &["user", "disable", "alice"],
        &["user", "enable", "alice"],
        &["user", "remove", "alice"],
    ] {
        assert!(two.command(args, "").status.success(), "{args:?}");
    }
    vec![PASSWORD.to_owned(), guess.to_owned(), unlucky, code, recovery]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_of_a_life_is_told_once_and_in_order_over_two_nodes() {
    let cluster = Cluster::start().await;
    let secrets = live(&cluster).await;
    let (one, two) = (&cluster.one, &cluster.two);
    let rows = list(one, &["--user", "alice"]);
    assert_eq!(events(&rows), LIFE);
    let numbers: Vec<_> = rows.iter().map(|row| row["seq"].as_u64().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    assert!(rows.iter().all(|row| row["account"] == rows[0]["account"]));
    let at_the_browser = |row: &&Value| row["actor"] == "person";
    for row in rows.iter().filter(at_the_browser) {
        assert_eq!(row["address"], "127.0.0.1", "{row}");
        assert_eq!(row["reference"].as_str().map(str::len), Some(24), "{row}");
    }
    assert_eq!(rows.iter().filter(at_the_browser).count(), 14);
    let new: Vec<_> = rows.iter().map(|row| &row["detail"]["new_browser"]).collect();
    assert_eq!((new[3], new[10], new[13]), (&false.into(), &true.into(), &true.into()));
    assert_eq!(rows[14]["detail"]["why"], "signed_out");
    assert_eq!(rows[14]["detail"]["session"], rows[13]["detail"]["session"]);
    assert_eq!(rows[12]["detail"]["left"], 9);
    assert_eq!(verified(two)["intact"], true);
    // Nothing that opens a door, or helps to guess one, is in it.
    let all = Value::from(list(two, &[])).to_string();
    for secret in &secrets {
        assert!(!all.contains(secret), "{secret} is in the trail");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_ended_many_times_at_once_is_told_of_once() {
    let cluster = Cluster::start().await;
    let (mut browser, _person) = visitor::signed_in(&cluster.one, "alice").await;
    let page = browser.get("/_auth/logout").await;
    let csrf = html::field(&page.text(), "csrf").unwrap();
    let posts = (0..12).map(|n| {
        let node = if n % 2 == 0 { &cluster.one } else { &cluster.two };
        let mut browser = browser.at(node);
        let csrf = csrf.clone();
        async move { browser.post("/_auth/logout", &[("csrf", &csrf)]).await.status }
    });
    let answers = futures_util::future::join_all(posts).await;
    assert!(answers.contains(&303), "{answers:?}");
    let rows = list(&cluster.one, &["--user", "alice", "--event", "session_ended"]);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["detail"]["why"], "signed_out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_nobody_has_is_not_written_down() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let mut browser = Browser::new(&gateway);
    for _ in 0..2 {
        let form = [("username", "my-secret-passphrase"), ("password", "alice")];
        assert_eq!(browser.submit("/_auth/login", &form).await.status, 401);
    }
    let rows = list(&gateway, &[]);
    assert_eq!(events(&rows), ["password_wrong", "password_wrong"]);
    assert_eq!(rows[0]["name"], Value::Null);
    assert_eq!(rows[0]["detail"]["name_digest"], rows[1]["detail"]["name_digest"]);
    assert!(!Value::from(rows).to_string().contains("my-secret"));
    gateway.signal("TERM");
    assert!(gateway.ended().await.success(), "{}", gateway.log.so_far());
    assert!(!gateway.log.whole().contains("my-secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_refusals_one_row_tells() {
    let app = Recorder::start().await;
    let plan = Plan::new(&app).extra("[throttle]\nper_name = 3\nfirst_wait = \"1m\"");
    let gateway = Gateway::start(&plan).await;
    gateway.add_user("alice");
    let mut browser = Browser::new(&gateway);
    let form = [("username", "alice"), ("password", "not-the-password-at-all")];
    for attempt in 0..9 {
        let status = browser.submit("/_auth/login", &form).await.status;
        assert_eq!(status, if attempt < 3 { 401 } else { 429 });
    }
    let rows = list(&gateway, &[]);
    assert_eq!(
        events(&rows),
        ["account_added", "password_wrong", "password_wrong", "password_wrong", "throttled"]
    );
    assert_eq!(rows[4]["detail"]["name_digest"], rows[3]["detail"]["name_digest"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_password_fills_the_trail_no_more_than_a_wrong_one() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    for name in ["alice", "bob"] {
        gateway.add_user(name);
    }
    for name in ["alice"; 24].into_iter().chain(["bob"]) {
        visitor::prove_password(&mut Browser::new(&gateway), name).await;
    }
    let rows = list(&gateway, &[]);
    let of = |name: &str, event: &str| {
        rows.iter().filter(|row| row["name"] == name && row["event"] == event).count()
    };
    assert_eq!((of("alice", "password_right"), of("alice", "rows_left_out")), (20, 1));
    assert_eq!((of("bob", "password_right"), of("bob", "rows_left_out")), (1, 0));
    let left_out = rows.iter().find(|row| row["event"] == "rows_left_out").unwrap();
    assert_eq!(left_out["detail"]["event"], "password_right");
}

/// Answers of a key cannot be guessed, so no attempt limit of the account bounds them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_answers_of_a_key_fill_the_trail_no_more_than_right_passwords() {
    let app = Recorder::start().await;
    let plan = Plan::new(&app).extra(PATIENT);
    let gateway = Gateway::start(&plan).await;
    let (_alice, mut key, _) = keys::enrolled(&gateway, "alice").await;
    let (_bob, person) = visitor::signed_in(&gateway, "bob").await;
    let code = person.codes.wrong();
    let [mut alice, mut bob] = [Browser::new(&gateway), Browser::new(&gateway)];
    visitor::prove_password(&mut alice, "alice").await;
    visitor::prove_password(&mut bob, "bob").await;
    for _ in 0..24 {
        let wrong = alice.submit("/_auth/key", &[("credential", "x")]).await;
        assert_eq!(wrong.status, 401, "{}", wrong.text());
        let wrong = bob.submit("/_auth/otp", &[("code", &code)]).await;
        assert_eq!(wrong.status, 401, "{}", wrong.text());
    }
    // A copy of the key, whose counter stays behind.
    let done = keys::by_passkey(&mut Browser::new(&gateway), &mut key).await;
    assert_eq!(done.status, 303, "{}", done.text());
    let counter = key.counter;
    for _ in 0..24 {
        key.counter = counter.saturating_sub(1);
        let refused = keys::by_passkey(&mut Browser::new(&gateway), &mut key).await;
        assert_eq!(refused.status, 401, "{}", refused.text());
    }
    let rows = list(&gateway, &[]);
    let of = |name: &str, event: &str| {
        rows.iter().filter(|row| row["name"] == name && row["event"] == event).count()
    };
    let left_out = |name: &str| {
        let rows = rows.iter().filter(|row| row["name"] == name);
        let rows = rows.filter(|row| row["event"] == "rows_left_out");
        rows.map(|row| row["detail"]["event"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(
        (of("alice", "second_factor_wrong"), of("alice", "key_counter_regressed")),
        (20, 20)
    );
    assert_eq!(left_out("alice"), ["second_factor_wrong", "key_counter_regressed"]);
    assert_eq!(of("bob", "second_factor_wrong"), 24, "attempt limits bound wrong codes");
    assert_eq!(left_out("bob"), [""; 0]);
    let metrics = admin(&gateway, "/metrics").await.text();
    let failed = "vestibule_sign_in_failures_total{what=\"second_factor\"} 48";
    assert!(metrics.contains(failed), "{metrics}");
    for reason in ["credential_malformed", "counter_regressed"] {
        let refused = format!("vestibule_keys_refused_total{{reason=\"{reason}\"}} 24");
        assert!(metrics.contains(&refused), "{refused}: {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_lines_of_json_too() {
    let app = Recorder::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("audit.jsonl");
    let plan = Plan::new(&app)
        .extra(&format!("[audit]\nnode = \"gate-1\"\nfile = \"{}\"", file.display()));
    let gateway = Gateway::start(&plan).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    browser.submit("/_auth/logout", &[]).await;
    gateway.signal("TERM");
    gateway.ended().await;
    let text = std::fs::read_to_string(&file).unwrap();
    let mut lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.sort_by_key(|line| line["seq"].as_u64());
    assert_eq!(lines, list(&gateway, &[]));
    assert!(lines.iter().all(|line| line["node"] == "gate-1"));
    assert_eq!(events(&lines).last(), Some(&"session_ended"));
}
