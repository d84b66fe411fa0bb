//! What rules do: every kind of rule, method and visitor, with what the app received.

use vestibule::base::secret::Secret;
use vestibule::store::redis::RedisStore;

use super::support::client::{self, Browser};
use super::support::cluster::Cluster;
use super::support::gateway::{Gateway, Plan};
use super::support::upstream::{Mark, Recorder};
use super::support::visitor::{self, PENDING, SESSION, Visitor};
use super::support::wire::Answer;

/// Rules of every kind. Everybody is in the groups staff and readers.
pub(crate) const RULES: &str = r#"
[[apps.rules]]
name = "not mallory"
path = "/team/**"
users = ["mallory"]
access = "deny"
[[apps.rules]]
name = "team pages"
path = "/team/**"
methods = ["GET"]
access = "public"
[[apps.rules]]
path = "/shut/**"
access = "deny"
[[apps.rules]]
name = "by password"
path = "/pw/**"
access = "password"
[[apps.rules]]
path = "/admins/**"
groups = ["admins"]
access = "password"
[[apps.rules]]
path = "/staff/**"
groups = ["admins", "staff"]
access = "password"
[[apps.rules]]
name = "signing"
path = "/sign/**"
methods = ["POST"]
access = "two_factor"
max_age = "5m"
[[apps.rules]]
path = "/here/**"
networks = ["127.0.0.0/24"]
access = "public"
[[apps.rules]]
path = "/there/**"
networks = ["192.0.2.0/24", "2001:db8::/32"]
access = "public"
[[apps.rules]]
path = "/host/**"
hosts = ["plain.test"]
access = "public"
[[apps.rules]]
name = "trial"
path = "/trial/**"
access = "deny"
report_only = true
[[apps.rules]]
name = "trial of people"
path = "/trial/**"
users = ["alice"]
access = "two_factor"
report_only = true
[[apps.rules]]
path = "/trial/open/**"
access = "public"
"#;

/// What a visitor gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gets {
    /// The app's answer, and the app was told of nobody.
    Open,
    /// The app's answer, and the app was told who it is.
    Named,
    /// A demand to sign in.
    SignIn,
    /// A demand for a fresh second factor.
    StepUp,
    /// A refusal.
    Forbidden,
}

use Gets::{Forbidden, Named, Open, SignIn, StepUp};

/// Method, path, and what nobody, somebody who proved the password, alice, anthony (whose second
/// factor is six minutes old) and mallory get.
const TABLE: &[(&str, &str, [Gets; 5])] = &[
    ("GET", "/", [SignIn, SignIn, Named, Named, Named]),
    ("POST", "/", [SignIn, SignIn, Named, Named, Named]),
    ("GET", "/team/a", [SignIn, Open, Open, Open, Forbidden]),
    ("HEAD", "/team/a", [SignIn, SignIn, Named, Named, Forbidden]),
    ("POST", "/team/a", [SignIn, SignIn, Named, Named, Forbidden]),
    ("GET", "/%74eam/a", [SignIn, Open, Open, Open, Forbidden]),
    ("GET", "/teams", [SignIn, SignIn, Named, Named, Named]),
    ("GET", "/shut/a", [SignIn, SignIn, Forbidden, Forbidden, Forbidden]),
    // Many apps take these for the same. What opens a path opens one spelling only.
    ("GET", "/SHUT/a", [SignIn, SignIn, Forbidden, Forbidden, Forbidden]),
    ("GET", "/shut/", [SignIn, SignIn, Forbidden, Forbidden, Forbidden]),
    ("POST", "/Sign/a/", [SignIn, SignIn, Named, StepUp, Named]),
    ("POST", "/sign/", [SignIn, SignIn, Named, StepUp, Named]),
    ("GET", "/Here/a", [SignIn, SignIn, Named, Named, Named]),
    ("GET", "/PW/a", [SignIn, SignIn, Named, Named, Named]),
    ("DELETE", "/shut/a", [SignIn, SignIn, Forbidden, Forbidden, Forbidden]),
    ("GET", "/pw/a", [SignIn, Named, Named, Named, Named]),
    ("PUT", "/pw/a", [SignIn, Named, Named, Named, Named]),
    ("GET", "/admins/a", [SignIn, SignIn, Named, Named, Named]),
    ("GET", "/staff/a", [SignIn, Named, Named, Named, Named]),
    ("GET", "/sign/a", [SignIn, SignIn, Named, Named, Named]),
    ("POST", "/sign/a", [SignIn, SignIn, Named, StepUp, Named]),
    ("GET", "/here/a", [Open; 5]),
    ("PATCH", "/here/a", [Open; 5]),
    ("GET", "/there/a", [SignIn, SignIn, Named, Named, Named]),
    ("GET", "/host/a", [SignIn, SignIn, Named, Named, Named]),
    ("GET", "/trial/a", [SignIn, SignIn, Named, Named, Named]),
    ("GET", "/trial/open/a", [Open; 5]),
    ("OPTIONS", "/trial/open/a", [Open; 5]),
];

async fn gateway(app: &Recorder) -> Gateway {
    let plan = Plan::new(app);
    let hosts = plan.apps.replace("hosts = [\"gw.test\"]", "hosts = [\"gw.test\", \"plain.test\"]");
    Gateway::start(&Plan { apps: hosts + RULES, ..plan }).await
}

/// Whom the app was told of, by request.
fn told(app: &Recorder, mark: Mark) -> Vec<Vec<String>> {
    let users = |values: Vec<&str>| values.into_iter().map(str::to_owned).collect();
    app.requests(mark).iter().map(|r| users(r.head.all("remote-user"))).collect()
}

/// What an answer and the requests at the app come to.
fn gets(answer: &Answer, told: &[Vec<String>]) -> Option<Gets> {
    let code = || serde_json::from_slice::<serde_json::Value>(&answer.body).ok();
    let code = || code()?.get("code")?.as_str().map(str::to_owned);
    match (answer.status, told) {
        (200, [nobody]) if nobody.is_empty() => Some(Open),
        (200, [somebody]) if somebody.len() == 1 => Some(Named),
        (401, []) if code().as_deref() == Some("login_required") => Some(SignIn),
        (401, []) if code().as_deref() == Some("step_up_required") => Some(StepUp),
        (403, []) if code().as_deref() == Some("forbidden") => Some(Forbidden),
        // The answer to HEAD has no body to tell why.
        (401, []) if answer.body.is_empty() => Some(SignIn),
        (403, []) if answer.body.is_empty() => Some(Forbidden),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_visitor_gets_by_every_rule_what_the_table_says() {
    let app = Recorder::start().await;
    let gateway = gateway(&app).await;
    let mut visitors = [
        Visitor::anonymous(&gateway),
        Visitor::pending(&gateway, "halfway").await,
        Visitor::full(&gateway, "alice").await,
        Visitor::stale(&gateway, "anthony").await,
        Visitor::full(&gateway, "mallory").await,
    ];
    let start = app.mark();
    let mut wrong = Vec::new();
    for (method, path, expected) in TABLE {
        for (number, visitor) in visitors.iter_mut().enumerate() {
            let mark = app.mark();
            let answer = visitor.browser().ask(method, path, "", b"").await;
            app.barrier().await;
            let told = told(&app, mark);
            let got = gets(&answer, &told);
            if got != Some(expected[number]) {
                let status = answer.status;
                wrong.push(format!(
                    "{method} {path} of visitor {number}: {status} {told:?} {got:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(app.silent_connections(start), 0, "connections for refused requests");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_go_by_the_address_of_the_client_and_the_host_it_asked_for() {
    let app = Recorder::start().await;
    let gateway = gateway(&app).await;
    let mut elsewhere = Browser::new(&gateway);
    elsewhere.from = [127, 0, 7, 1].into();
    assert_eq!(elsewhere.fetch("/here/a").await.status, 401);
    elsewhere.from = [127, 0, 0, 1].into();
    assert_eq!(elsewhere.fetch("/here/a").await.status, 200);
    // No proxy is trusted here, so nobody is where a header says.
    elsewhere.forwarded_for = Some("192.0.2.7".to_owned());
    assert_eq!(elsewhere.fetch("/there/a").await.status, 401);
    for (host, status) in [("plain.test", 200), ("PLAIN.test:8443", 200), ("gw.test", 401)] {
        let mark = app.mark();
        let lines = "Connection: close\r\n";
        let request = format!("GET /host/a HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n");
        let mut wire = Browser::new(&gateway).connect().await;
        wire.send(request.as_bytes()).await.unwrap();
        assert_eq!(wire.answer("GET").await.unwrap().status, status, "{host}");
        app.barrier().await;
        assert_eq!(app.requests(mark).len(), usize::from(status == 200), "{host}");
    }
}

/// Apps fold case, width and invisible characters of Unicode, each in its own way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_closes_a_path_is_not_passed_by_another_spelling_in_unicode() {
    let app = Recorder::start().await;
    let rules = "[[apps.rules]]\npath = \"/docs/secret/**\"\naccess = \"two_factor\"\n\
                 [[apps.rules]]\npath = \"/docs/admin\"\naccess = \"deny\"\n\
                 [[apps.rules]]\npath = \"/docs/**\"\naccess = \"public\"\n";
    let plan = Plan::new(&app);
    let gateway = Gateway::start(&Plan { apps: plan.apps.clone() + rules, ..plan }).await;
    let mut nobody = Browser::new(&gateway);
    let mark = app.mark();
    for path in [
        "/docs/secret/plan.pdf",
        "/docs/%C5%BFecret/plan.pdf",
        "/docs/%EF%BD%93ecret/plan.pdf",
        "/docs/se%C2%ADcret/plan.pdf",
        "/docs/secret%E2%80%8C/plan.pdf",
        "/docs/%E2%80%8B/secret/plan.pdf",
        "/docs/adm%C4%B1n",
        "/docs/ADM%C4%B0N",
    ] {
        assert_eq!(nobody.fetch(path).await.status, 401, "{path}");
    }
    app.barrier().await;
    assert!(app.requests(mark).is_empty(), "the app received nothing");
    for path in ["/docs/%C3%A9t%C3%A9.pdf", "/docs/%D1%95ecret/plan.pdf"] {
        assert_eq!(nobody.fetch(path).await.status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_alone_leads_to_a_page_that_asks_for_no_more_and_no_further() {
    let app = Recorder::start().await;
    let gateway = gateway(&app).await;
    gateway.add_user("bob");
    let mut browser = Browser::new(&gateway);
    let asked = browser.get("/pw/page?x=1").await;
    assert_eq!(asked.location(), "/_auth/login?return_to=%2Fpw%2Fpage%3Fx%3D1");
    let form = [("username", "bob"), ("password", super::support::gateway::PASSWORD)];
    let led = browser.submit(asked.location(), &form).await;
    assert_eq!((led.status, led.location()), (303, "/pw/page?x=1"), "{}", led.text());
    let mark = app.mark();
    assert_eq!(browser.get("/pw/page?x=1").await.status, 200);
    let seen = app.wait_for(mark, |r| r.head.target == "/pw/page?x=1").await;
    assert_eq!(seen.head.all("remote-user"), ["bob"]);
    assert!(!browser.jar.contains_key(SESSION), "no session without a second factor");

    // Where two factors are asked for, this login counts for nothing.
    let other = browser.get("/two").await;
    assert_eq!(other.location(), "/_auth/login?return_to=%2Ftwo");
    assert_eq!(browser.fetch("/_auth/session").await.status, 401);
    let two = browser.submit("/_auth/login?return_to=%2Ftwo", &form).await;
    assert_eq!(two.location(), "/_auth/enroll?return_to=%2Ftwo");

    // It ends as a session does.
    let held = browser.jar[PENDING].clone();
    assert_eq!(browser.fetch("/pw/a").await.status, 200);
    browser.submit("/_auth/logout", &[]).await;
    browser.jar.insert(PENDING.to_owned(), held);
    let refused = async || browser.fetch("/pw/a").await.status == 401;
    super::support::over_after_a_second("the pending login to be over", refused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_a_password_did_not_begin_opens_nothing() {
    let app = Recorder::start().await;
    let gateway = gateway(&app).await;
    let (_browser, mut person) = visitor::signed_in(&gateway, "carol").await;
    let mut stranger = Browser::new(&gateway);
    let code = person.recovery.pop().unwrap();
    let form = [("username", "carol"), ("code", code.as_str())];
    let led = stranger.submit("/_auth/forgot", &form).await;
    assert_eq!(led.status, 303, "{}", led.text());
    assert!(stranger.jar.contains_key(PENDING));
    assert_eq!(stranger.fetch("/pw/a").await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_second_factor_is_proved_again_and_then_counts_on_every_node() {
    let cluster =
        Cluster::serving(RULES.replace("hosts = [\"plain.test\"]\n", "").as_str(), "").await;
    let (mut here, mut person) = visitor::signed_in(&cluster.one, "alice").await;
    let store = RedisStore::open(&Secret::new(cluster.redis.url()), "vestibule").unwrap();
    visitor::let_proofs_age_in(&store, &cluster.keys, &here).await;
    let mut there = here.at(&cluster.two);
    let mark = cluster.app.mark();
    let body = [b'x'; 2000];
    let refused = there.ask("POST", "/sign/a", "Sec-Fetch-Mode: cors\r\n", &body).await;
    assert_eq!(refused.status, 401);
    let said: serde_json::Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(said["code"], "step_up_required");
    let port = cluster.two.https.port();
    assert_eq!(said["step_up_url"], format!("https://gw.test:{port}/_auth/step-up"));
    assert!(said.get("login_url").is_none());
    assert_eq!(there.fetch("/sign/a").await.status, 200, "reading asks for no fresh factor");
    cluster.app.barrier().await;
    assert_eq!(cluster.app.requests(mark).len(), 1);

    let page = "/_auth/step-up?return_to=%2Fsign%2Fa";
    let code = person.codes.next().await;
    let proved = here.submit(page, &[("code", &code)]).await;
    assert_eq!((proved.status, proved.location()), (303, "/sign/a"), "{}", proved.text());
    let mut there = here.at(&cluster.two);
    for browser in [&mut here, &mut there] {
        let mark = cluster.app.mark();
        let signed = browser.ask("POST", "/sign/a", "Sec-Fetch-Mode: cors\r\n", &body).await;
        assert_eq!(signed.status, 200, "{}", signed.text());
        let seen = cluster.app.wait_for(mark, |r| r.head.target == "/sign/a").await;
        assert_eq!((seen.length, seen.head.all("remote-user")), (2000, vec!["alice"]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_wants_a_fresh_second_factor_leads_to_the_step_up_however_fresh_it_is() {
    let app = Recorder::start().await;
    let rule = "[[apps.rules]]\npath = \"/now\"\naccess = \"two_factor\"\nmax_age = \"1ms\"\n";
    let plan = Plan::new(&app);
    let gateway = Gateway::start(&Plan { apps: plan.apps.clone() + rule, ..plan }).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let led = browser.get("/now").await;
    assert_eq!((led.status, led.location()), (303, "/_auth/step-up?return_to=%2Fnow"));
    // No way round and round between the two.
    assert_eq!(browser.get(led.location()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_only_reports_is_logged_and_counted_and_changes_nothing() {
    let app = Recorder::start().await;
    let gateway = gateway(&app).await;
    let mut nobody = Browser::new(&gateway);
    assert_eq!(nobody.fetch("/trial/open/a").await.status, 200);
    let (mut alice, _person) = visitor::signed_in(&gateway, "alice").await;
    assert_eq!(alice.fetch("/trial/open/a").await.status, 200);
    let would = |rule: &'static str, outcome: &'static str| {
        let log = gateway.log.clone();
        async move {
            log.wait_for("the report", |line| {
                let this =
                    line.get("report_only") == Some(rule) && line.get("would") == Some(outcome);
                (this && line.get("did") == Some("forward")).then_some(())
            })
            .await;
        }
    };
    would("trial", "sign_in").await;
    would("trial", "refuse").await;
    would("trial of people", "sign_in").await;
    let metrics = client::admin(&gateway, "/metrics").await.text();
    let counted = |name: &str, rule: &str, outcome: &str| {
        let labels = format!("{name}{{app=\"main\",rule=\"{rule}\",outcome=\"{outcome}\"}}");
        let line = metrics.lines().find_map(|l| l.strip_prefix(labels.as_str()));
        line.map(|l| l.trim().to_owned())
    };
    let report = "vestibule_rules_report_only_total";
    assert_eq!(counted(report, "trial", "sign_in").as_deref(), Some("1"), "{metrics}");
    assert_eq!(counted(report, "trial", "refuse").as_deref(), Some("1"));
    assert_eq!(counted(report, "trial of people", "forward").as_deref(), Some("1"));
    assert_eq!(counted("vestibule_rules_total", "rule 14", "forward").as_deref(), Some("2"));
}

/// What `explain` calls it.
fn explained(gets: Gets) -> (&'static str, bool) {
    match gets {
        Open => ("forward", false),
        Named => ("forward", true),
        SignIn => ("sign_in", false),
        StepUp => ("step_up", false),
        Forbidden => ("refuse", false),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_says_of_every_request_what_became_of_it() {
    let app = Recorder::start().await;
    let gateway = gateway(&app).await;
    gateway.add_user("tina");
    let (_, token) = super::tokens::made_for(&gateway, "tina", &[]);
    let token = format!("Vestibule-Token: {token}\r\n");
    let mut visitors = [
        (Visitor::anonymous(&gateway), &[][..]),
        (Visitor::anonymous(&gateway), &["--user", "tina", "--by-token"]),
        (Visitor::pending(&gateway, "halfway").await, &["--user", "halfway", "--password-only"]),
        (Visitor::full(&gateway, "alice").await, &["--user", "alice"]),
        (
            Visitor::stale(&gateway, "anthony").await,
            &["--user", "anthony", "--second-factor-age", "6m"],
        ),
        (Visitor::full(&gateway, "mallory").await, &["--user", "mallory"]),
    ];
    let mut wrong = Vec::new();
    for (method, path, _) in TABLE {
        for (visitor, who) in &mut visitors {
            let mark = app.mark();
            let lines = if who.contains(&"--by-token") { token.as_str() } else { "" };
            let answer = visitor.browser().ask(method, path, lines, b"").await;
            app.barrier().await;
            let told = told(&app, mark);
            let happened = gets(&answer, &told).map(explained);
            let url = format!("https://gw.test{path}");
            let command = ["explain", method, &url, "--address", "127.0.0.1", "--json"];
            let output = gateway.command(&[&command[..], who].concat(), "");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{method} {path}: {said}");
            let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            let outcome = (said["outcome"].as_str().unwrap(), said["told"].is_string());
            if happened != Some(outcome) {
                wrong.push(format!("{method} {path} {who:?}: {happened:?}, explained: {said}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_names_the_rule_and_why_those_before_it_did_not_decide() {
    let app = Recorder::start().await;
    let gateway = gateway(&app).await;
    gateway.add_user("alice");
    let explain = |args: &[&str]| {
        let output = gateway.command(&[&["explain"], args].concat(), "");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let from = ["--address", "127.0.0.1"];
    let team = ["GET", "https://gw.test:8443/team/a"];
    let (code, text) = explain(&[&team[..], &from, &["--user", "alice"]].concat());
    assert_eq!(code, Some(0), "{text}");
    let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("no {words:?} in:\n{text}"));
    assert!(at("\"not mallory\"") < at("does not match: user differs"));
    assert!(at("does not match: user differs") < at("\"team pages\""));
    assert!(at("\"team pages\"") < at("decides"));
    assert!(text.contains("forwarded without an identity"), "{text}");

    let (_, text) = explain(&[&team[..], &from].concat());
    assert!(text.contains("it names users or groups"), "{text}");
    let (_, text) = explain(&[&["POST", "/admins/x"][..], &from, &["--user", "alice"]].concat());
    assert!(text.contains("in none of its groups") && text.contains("none: default two_factor"));
    let (_, text) = explain(
        &[&["POST", "/admins/x"][..], &from, &["--user", "alice", "--group", "admins"]].concat(),
    );
    assert!(text.contains("\"rule 6\"") && text.contains("decides"), "{text}");

    for (args, words) in [
        (&["GET", "https://gw.test/a/../b"][..], "more than one way"),
        (&["GET", "https://gw.test/_auth/login"], "own pages"),
        (&["BREW", "https://gw.test/a"], "405"),
        (&["GET", "https://nowhere.test/"], "421"),
    ] {
        let (code, text) = explain(&[args, &from].concat());
        assert!(code == Some(0) && text.contains(words), "{args:?}: {text}");
    }
    for (args, words) in
        [(&["GET", "https://gw.test/a"][..], "--address IP"), (&["GET", "gw.test"], "not a URL")]
    {
        let (code, text) = explain(args);
        assert!(code == Some(2) && text.contains(words), "{args:?}: {text}");
    }
    let (code, text) = explain(&[&team[..], &from, &["--user", "nobody"]].concat());
    assert_eq!(code, Some(1), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_only_reports_takes_no_public_path_down_with_the_store() {
    let rules = "[[apps.rules]]\nname = \"trial\"\npath = \"/public/**\"\naccess = \"deny\"\n\
                 report_only = true\n";
    let mut cluster = Cluster::serving(rules, "").await;
    let (mut alice, _person) = visitor::signed_in(&cluster.one, "alice").await;
    assert_eq!(alice.fetch("/public/a").await.status, 200);
    // Nor do credentials that no rule looks at.
    let mut stranger = Browser::new(&cluster.one);
    let cookies = "Cookie: __Host-vestibule=a; __Host-vestibule=b\r\n";
    let token = "Vestibule-Token: vst_unknown\r\n";
    let both = "Vestibule-Token: vst_unknown\r\nCookie: __Host-vestibule=a\r\n";
    for lines in [cookies, token, both] {
        let answer = stranger.ask("GET", "/public/a", lines, b"").await;
        assert_eq!(answer.status, 200, "{lines}");
    }
    cluster.redis.kill();
    let down = async { while alice.fetch("/app").await.status != 503 {} };
    tokio::time::timeout(client::PATIENCE, down).await.unwrap();
    assert_eq!(alice.fetch("/public/a").await.status, 200, "what is public stays up");
    let seen = cluster.app.requests(cluster.app.mark_of_all());
    let public = seen.iter().filter(|seen| seen.head.target == "/public/a").count();
    assert_eq!(public, 5, "all requests reached the app");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_opened_by_the_password_alone_ends_with_the_login() {
    let app = Recorder::start().await;
    let gateway = gateway(&app).await;
    gateway.add_user("bob");
    let mut browser = Browser::new(&gateway);
    visitor::prove_password(&mut browser, "bob").await;
    let mut wire = browser.connect().await;
    let opening = format!(
        "GET /pw/ws HTTP/1.1\r\nHost: gw.test\r\n{}Connection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Origin: https://gw.test\r\n\r\n",
        browser.cookie_line()
    );
    wire.send(opening.as_bytes()).await.unwrap();
    assert_eq!(wire.answer_head().await.unwrap().status, 101);
    assert_eq!(browser.submit("/_auth/logout", &[]).await.status, 303);
    tokio::time::timeout(client::PATIENCE, wire.rest()).await.unwrap();
}
