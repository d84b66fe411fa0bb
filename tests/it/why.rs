//! Why a request was refused: told by its reference from any node, as it was, and without a secret.

use serde_json::Value;

use super::support::client::{Browser, PATIENCE};
use super::support::cluster::Cluster;
use super::support::gateway::{Gateway, Plan};
use super::support::upstream::Recorder;
use super::support::visitor::{self, SESSION, Visitor};
use super::support::wire::Answer;
use super::support::within;

const RULES: &str = r#"
api_paths = ["/api/**"]
[[apps.rules]]
name = "closed"
path = "/api/shut/**"
access = "deny"
[[apps.rules]]
name = "very fresh"
path = "/api/sign"
access = "two_factor"
max_age = "1ms"
"#;

/// What `why` says at a gateway, once it is there.
async fn why(gateway: &Gateway, reference: &str) -> Value {
    let asked = async {
        loop {
            let output = gateway.command(&["why", reference, "--json"], "");
            if output.status.success() {
                return serde_json::from_slice(&output.stdout).unwrap();
            }
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            tokio::task::yield_now().await;
        }
    };
    within(PATIENCE, "the refusal to be kept", asked).await
}

fn reference(answer: &Answer) -> String {
    answer.json()["reference"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_tells_why_a_request_was_refused() {
    let cluster = Cluster::serving(RULES, "").await;
    let (mut alice, _person) = visitor::signed_in(&cluster.one, "alice").await;
    let mut nobody = Browser::new(&cluster.one);
    nobody.from = [127, 0, 0, 9].into();
    let mut halfway = Visitor::pending(&cluster.one, "halfway").await;
    let mut gone = nobody.clone();
    let mut unknown = alice.jar[SESSION].clone();
    unknown.replace_range(..1, if unknown.starts_with('A') { "B" } else { "A" });
    gone.jar.insert(SESSION.to_owned(), unknown);
    let lines =
        "Sec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-origin\r\nAuthorization: Bearer s3cret\r\n";

    let refused = [
        (nobody.ask("GET", "/api/a?token=s3cret", lines, b"").await, "default", "nobody", None),
        (gone.ask("PUT", "/api/a?token=s3cret", lines, b"").await, "default", "nobody", None),
        (halfway.browser().ask("GET", "/api/a", lines, b"").await, "default", "nobody", None),
        (
            alice.ask("GET", "/%61pi/shut/a?x", lines, b"").await,
            "closed",
            "signed_in",
            Some("alice"),
        ),
        (alice.ask("GET", "/api/sign", lines, b"").await, "very fresh", "signed_in", Some("alice")),
    ];
    for (answer, rule, visitor, user) in refused {
        let said = answer.json();
        for node in [&cluster.two, &cluster.one] {
            let told = why(node, &reference(&answer)).await;
            assert_eq!(told["status"], answer.status);
            for field in ["code", "reference"] {
                assert_eq!(told[field], said[field], "{told}");
            }
            assert_eq!(told["sentence"], said["error"], "{told}");
            assert_eq!(told["rule"], rule, "{told}");
            assert_eq!(told["visitor"], visitor, "{told}");
            assert_eq!(told["user"].as_str(), user, "{told}");
            assert_eq!(told["app"], "main");
            assert!(told["path"].as_str().unwrap().starts_with("/api/"), "{told}");
            let text = told.to_string();
            assert!(
                text.contains("\"sec-fetch-mode\"") && text.contains("authorization"),
                "{text}"
            );
        }
    }
    // What would become of such requests is explained by the same rules.
    for (path, who, rule) in [
        ("/api/a", &[][..], "default"),
        ("/%61pi/shut/a", &["--user", "alice"], "closed"),
        ("/api/sign", &["--user", "alice", "--second-factor-age", "1s"], "very fresh"),
    ] {
        let url = format!("https://gw.test{path}");
        let output = cluster.two.command(&[&["explain", "GET", &url, "--json"], who].concat(), "");
        let explained: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(explained["decides"]["rule"], rule, "{explained}");
    }
    // Nothing of it opens a door.
    let kept = cluster.redis.dump().await;
    for secret in ["s3cret", alice.jar[SESSION].as_str()] {
        assert!(!kept.contains(secret), "Redis holds {secret}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_requests_and_refusals_of_our_own_pages_can_be_asked_about() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let mut nobody = Browser::new(&gateway);
    let malformed = nobody.ask("GET", "/a", "Expect: more\r\n", b"").await;
    let told = why(&gateway, &reference(&malformed)).await;
    assert_eq!(
        (&told["status"], &told["visitor"]),
        (&400.into(), &"not_looked_at".into()),
        "{told}"
    );
    assert_eq!((&told["address"], &told["app"]), (&"127.0.0.1".into(), &"main".into()));
    assert_eq!(told["rule"], Value::Null);

    let ambiguous = nobody.ask("GET", "/a;jsessionid=s3cret/../b?q=s3cret", "", b"").await;
    let told = why(&gateway, &reference(&ambiguous)).await;
    assert_eq!((&told["code"], &told["path"]), (&"bad_request".into(), &"/a".into()), "{told}");
    assert!(!told.to_string().contains("s3cret"));

    let forged = nobody.post("/_auth/login", &[("username", "alice"), ("password", "x")]).await;
    assert_eq!(forged.status, 403);
    let page = forged.text();
    let shown = page.split_once("reference: <code>").and_then(|(_, rest)| rest.split('<').next());
    let shown = shown.unwrap_or_else(|| panic!("no reference: {page}"));
    let told = why(&gateway, shown).await;
    assert_eq!((&told["code"], &told["path"]), (&"stale_form".into(), &"/_auth/login".into()));
    // However it is read out.
    let spoken = shown.replace('-', "").to_lowercase();
    assert_eq!(why(&gateway, &spoken).await, told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_says_in_words_what_it_knows_and_what_it_does_not() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let refused = Browser::new(&gateway).fetch("/app?x").await;
    let told = why(&gateway, &reference(&refused)).await;
    let id = told["id"].as_str().unwrap();
    let output = gateway.command(&["why", id], "");
    let text = String::from_utf8(output.stdout).unwrap();
    for words in
        ["GET /app\n", "401 login_required", "not signed in: no cookie of Vestibule", "default"]
    {
        assert!(text.contains(words), "{words} in:\n{text}");
    }
    for (reference, code, words) in
        [("AAAA-AAAA", 1, "no record with the reference"), ("AAAA", 2, "not a reference")]
    {
        let output = gateway.command(&["why", reference], "");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(words), "{said}");
    }
}
