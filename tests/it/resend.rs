//! A form that met an expired session reaches the app byte for byte, once, after its user has confirmed
//! it, and never for another user.

use std::path::Path;

use vestibule::auth::keys::KeyRing;
use vestibule::auth::ports::{SessionEnds, Sessions};
use vestibule::auth::token::{PlainToken, SessionToken};
use vestibule::base::secret::Secret;
use vestibule::store::redis::RedisStore;
use vestibule::store::sql::ephemeral::EmbeddedStore;

use super::support::client::{Browser, PATIENCE};
use super::support::cluster::Cluster;
use super::support::gateway::{Gateway, PUBLIC_RULE, Plan};
use super::support::upstream::{Recorder, Seen};
use super::support::visitor::{self, Person, SESSION};
use super::support::wire::Answer;
use super::support::{html, within};

const FORM: &str = "application/x-www-form-urlencoded";
const PARKED: &str = "__Host-vestibule-parked";
const NAVIGATION: &str = "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\n\
                          Sec-Fetch-Dest: document\r\nOrigin: https://gw.test\r\n";
const SCRIPT: &str = "Accept: */*\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: same-origin\r\n\
                      Sec-Fetch-Dest: empty\r\nOrigin: https://gw.test\r\n";

/// Lets the session of a browser lapse: it is gone, and nobody has ended it.
async fn lapse_in(store: &dyn Sessions, keys: &Path, browser: &Browser) {
    let keys = KeyRing::new(&vestibule::config::keys::load(keys).unwrap()).unwrap();
    let held = PlainToken::<SessionToken>::parse(&browser.jar[SESSION], &keys).unwrap();
    assert!(SessionEnds::end(store, held.hashed()).await.unwrap());
}

async fn lapse(gateway: &Gateway, browser: &Browser) {
    let data = gateway.dir().join("data");
    let store = EmbeddedStore::open(&data.join("sessions.db")).await.unwrap();
    lapse_in(&store, &data.join("keys.toml"), browser).await;
    // The gateway may know it for less than a second.
    let gone = async { while browser.clone().fetch("/app").await.status != 401 {} };
    within(PATIENCE, "the session to be gone", gone).await;
}

struct Scene {
    app: Recorder,
    gateway: Gateway,
}

impl Scene {
    async fn start(more: &str) -> Self {
        let app = Recorder::start().await;
        let mut plan = Plan::new(&app);
        plan.apps = plan.apps.replacen(PUBLIC_RULE, &format!("{more}{PUBLIC_RULE}"), 1);
        Self { gateway: Gateway::start(&plan).await, app }
    }

    /// A user whose session has just expired.
    async fn lapsed(&self, name: &str) -> (Browser, Person) {
        let (browser, person) = visitor::signed_in(&self.gateway, name).await;
        lapse(&self.gateway, &browser).await;
        (browser, person)
    }

    /// The requests to `path` that came to the app.
    async fn came(&self, path: &str) -> Vec<Seen> {
        self.app.barrier().await;
        let all = self.app.requests(self.app.mark_of_all());
        all.into_iter().filter(|seen| seen.head.path() == path).collect()
    }
}

async fn send(browser: &mut Browser, target: &str, kind: &str, lines: &str, body: &[u8]) -> Answer {
    let lines = format!("Content-Type: {kind}\r\nReferer: https://gw.test/form\r\n{lines}");
    browser.ask("POST", target, &lines, body).await
}

/// Signs in with a recovery code.
async fn sign_in(browser: &mut Browser, person: &mut Person) -> Answer {
    // A session that still lives would be in the way.
    browser.jar.remove(SESSION);
    visitor::prove_password(browser, &person.name).await;
    let code = person.recovery.remove(0);
    let done = browser.submit("/_auth/recovery", &[("code", &code)]).await;
    assert_eq!(done.status, 303, "{}", done.text());
    done
}

fn is_kept(answer: &Answer) -> bool {
    let said = answer.text();
    let kept = said.contains("keep it for 10 minutes");
    let cookie = answer.all("set-cookie").iter().any(|line| line.starts_with(PARKED));
    assert_eq!(kept, cookie, "{said}");
    assert!(kept || said.contains("Nothing was sent") || answer.json()["error"].is_string());
    assert_eq!(answer.status, 401, "{said}");
    kept
}

fn leads_to_resend(answer: &Answer) -> bool {
    answer.location().contains("resend")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_being_sent_arrives_byte_for_byte_once_after_the_confirm() {
    let scene = Scene::start("").await;
    let (mut browser, mut person) = scene.lapsed("alice").await;
    let binary: Vec<u8> = (0..=255).collect();
    let part = "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\n";
    let multipart = [part.as_bytes(), &binary, b"\r\n--x--\r\n"].concat();
    let full = vec![b'a'; 65_536];
    for (place, (kind, lines, body)) in [
        (FORM, NAVIGATION, b"note=what+I+typed&x=%00".as_slice()),
        ("multipart/form-data; boundary=x", NAVIGATION, &multipart),
        ("application/json", SCRIPT, b"{\"note\": \"what I typed\"}"),
        (FORM, NAVIGATION, &full),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/app/save{place}");
        let target = format!("{path}?secret=1");
        let answer = send(&mut browser, &target, kind, lines, body).await;
        assert!(is_kept(&answer), "{}", answer.text());
        assert_eq!(scene.came(&path).await.len(), 0);
        assert!(leads_to_resend(&sign_in(&mut browser, &mut person).await));
        let page = browser.get("/_auth/resend").await;
        let text = page.text();
        assert_eq!(page.status, 200, "{text}");
        assert!(text.contains("Finish sending your form?"), "{text}");
        assert!(text.contains("POST") && text.contains(&path), "{text}");
        assert!(!text.contains("typed") && !text.contains("secret"), "no content: {text}");
        assert_eq!(scene.came(&path).await.len(), 0, "nothing is sent before the confirm");
        let answer = browser.submit_from(&page, "/_auth/resend", &[("send", "1")]).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.get("x-app"), Some("recorder"), "the app's answer is the answer");
        assert_eq!(answer.json()["length"], body.len());
        let came = scene.came(&path).await;
        assert_eq!(came.len(), 1);
        assert_eq!(
            (came[0].head.method.as_str(), came[0].head.target.as_str()),
            ("POST", &*target)
        );
        assert!(came[0].body == body, "byte for byte");
        assert_eq!(came[0].head.all("content-type"), [kind]);
        assert_eq!(came[0].head.all("remote-user"), ["alice"]);
        let again = browser.submit_from(&page, "/_auth/resend", &[("send", "1")]).await;
        assert_eq!(again.status, 409, "{}", again.text());
        assert_eq!(scene.came(&path).await.len(), 1);
        lapse(&scene.gateway, &browser).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_surely_the_browsers_own_is_not_kept() {
    let scene = Scene::start("passive = [\"/app/poll\"]\n").await;
    let (mut browser, _person) = scene.lapsed("alice").await;
    let without = |name: &str| -> String {
        let lines = NAVIGATION.split_inclusive("\r\n").filter(|line| !line.starts_with(name));
        lines.collect()
    };
    let site = |site: &str| NAVIGATION.replace("Site: same-origin", &format!("Site: {site}"));
    let origin = |origin: &str| without("Origin") + "Origin: " + origin + "\r\n";
    let unnamed = |more: &str| format!("Accept: text/html,application/xhtml+xml\r\n{more}");
    for (why, lines) in [
        ("another site", site("cross-site")),
        ("another host of the site", site("same-site")),
        ("the address bar", site("none")),
        ("twice", NAVIGATION.to_owned() + "Sec-Fetch-Site: same-origin\r\n"),
        ("another origin", origin("https://evil.example")),
        ("plain http", origin("http://gw.test")),
        ("no word of a browser", unnamed("")),
        ("another origin without metadata", unnamed("Origin: https://evil.example\r\n")),
        ("an unreadable origin", unnamed("Origin: null\r\n")),
        ("a program", NAVIGATION.to_owned() + "Authorization: Bearer x\r\n"),
        ("a beacon", SCRIPT.replace("Mode: cors", "Mode: no-cors")),
    ] {
        let answer = send(&mut browser, "/app/save", FORM, &lines, b"a=b").await;
        assert!(!is_kept(&answer), "{why}: {}", answer.text());
    }
    for (kind, lines) in [
        ("application/octet-stream", NAVIGATION),
        ("application/octet-stream", SCRIPT),
        ("application/json", NAVIGATION),
        ("text/plain", SCRIPT),
    ] {
        assert!(!is_kept(&send(&mut browser, "/app/save", kind, lines, b"{}").await), "{kind}");
    }
    let poll = send(&mut browser, "/app/poll", "application/json", SCRIPT, b"{}").await;
    assert!(!is_kept(&poll));
    let long = vec![b'a'; 65_537];
    let answer = send(&mut browser, "/app/save", FORM, NAVIGATION, &long).await;
    assert!(!is_kept(&answer));
    assert!(answer.text().contains("Nothing was sent"), "{}", answer.text());
    let chunked = format!("Transfer-Encoding: chunked\r\n{NAVIGATION}");
    let mut wire = browser.connect().await;
    let cookies = browser.cookie_line();
    let head = format!(
        "POST /app/save HTTP/1.1\r\nHost: gw.test\r\nContent-Type: {FORM}\r\n{cookies}{chunked}\r\n10001\r\n"
    );
    wire.send(head.as_bytes()).await.unwrap();
    drop(wire.send(&[&long[..], b"\r\n0\r\n\r\n"].concat()).await);
    assert!(!is_kept(&within(PATIENCE, "the answer", wire.answer("POST")).await.unwrap()));
    assert_eq!(scene.came("/app/save").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_session_that_merely_lapsed_is_not_kept() {
    let scene = Scene::start("").await;
    let (browser, _person) = scene.lapsed("alice").await;
    // One that was never a session here, and one of somebody who signed out.
    for cookie in [None, Some("A".repeat(64))] {
        let mut stranger = browser.clone();
        stranger.jar.clear();
        stranger.jar.extend(cookie.map(|text| (SESSION.to_owned(), text)));
        assert!(!is_kept(&send(&mut stranger, "/app/save", FORM, NAVIGATION, b"a=b").await));
    }
    let (mut ended, _person) = visitor::signed_in(&scene.gateway, "bob").await;
    let held = ended.jar[SESSION].clone();
    let done = ended.submit("/_auth/logout", &[]).await;
    assert_eq!(done.status, 303);
    ended.jar.insert(SESSION.to_owned(), held);
    assert!(!is_kept(&send(&mut ended, "/app/save", FORM, NAVIGATION, b"a=b").await));
    let (mut shut, _person) = scene.lapsed("carol").await;
    assert!(scene.gateway.command(&["user", "disable", "carol"], "").status.success());
    assert!(!is_kept(&send(&mut shut, "/app/save", FORM, NAVIGATION, b"a=b").await));
    assert_eq!(scene.came("/app/save").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_may_keep_nothing() {
    let scene = Scene::start("parked = { enabled = false }\n").await;
    let (mut browser, _person) = scene.lapsed("alice").await;
    assert!(!is_kept(&send(&mut browser, "/app/save", FORM, NAVIGATION, b"a=b").await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_sends_it_and_a_sign_in_of_somebody_else_destroys_it() {
    let scene = Scene::start("").await;
    let (mut alice, mut person) = scene.lapsed("alice").await;
    let (bob, mut other) = visitor::signed_in(&scene.gateway, "bob").await;
    assert!(is_kept(&send(&mut alice, "/app/save", FORM, NAVIGATION, b"a=b").await));
    // Bob's browser with alice's cookie.
    let mut thief = bob.clone();
    thief.jar.insert(PARKED.to_owned(), alice.jar[PARKED].clone());
    let page = thief.get("/_auth/resend").await;
    assert!(html::field(&page.text(), "csrf").is_none(), "{}", page.text());
    assert!(!leads_to_resend(&sign_in(&mut alice, &mut person).await), "it is gone");
    lapse(&scene.gateway, &alice).await;
    // Bob at alice's browser.
    assert!(is_kept(&send(&mut alice, "/app/save", FORM, NAVIGATION, b"a=b").await));
    assert!(!leads_to_resend(&sign_in(&mut alice, &mut other).await));
    assert!(!leads_to_resend(&sign_in(&mut alice, &mut person).await), "it is gone");
    // Alice in another browser.
    lapse(&scene.gateway, &alice).await;
    assert!(is_kept(&send(&mut alice, "/app/save", FORM, NAVIGATION, b"a=b").await));
    let mut elsewhere = Browser::new(&scene.gateway);
    assert!(!leads_to_resend(&sign_in(&mut elsewhere, &mut person).await));
    let page = elsewhere.get("/_auth/resend").await;
    assert!(html::field(&page.text(), "csrf").is_none(), "{}", page.text());
    // And without a form token.
    assert!(leads_to_resend(&sign_in(&mut alice, &mut person).await));
    for token in ["", "AAAA"] {
        let form = [("send", "1"), ("csrf", token)];
        assert_eq!(alice.post("/_auth/resend", &form).await.status, 403);
    }
    let discarded = alice.submit("/_auth/resend", &[("discard", "1")]).await;
    assert_eq!((discarded.status, discarded.location()), (303, "/form"));
    let page = alice.get("/_auth/resend").await;
    assert!(html::field(&page.text(), "csrf").is_none(), "{}", page.text());
    assert_eq!(scene.came("/app/save").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_up_keeps_it_as_well_and_the_rules_decide_when_it_is_sent() {
    let rules = "[[apps.rules]]\npath = \"/app/sign\"\naccess = \"two_factor\"\nmax_age = \"5m\"\n\
                 [[apps.rules]]\npath = \"/app/staff\"\ngroups = [\"staff\"]\naccess = \"two_factor\"\n\
                 [[apps.rules]]\npath = \"/app/staff\"\naccess = \"deny\"\n";
    let scene = Scene::start(rules).await;
    let (mut browser, mut person) = visitor::signed_in(&scene.gateway, "alice").await;
    visitor::let_proofs_age(&scene.gateway, &browser).await;
    let stale = async {
        while browser.clone().fetch("/app/sign").await.json()["code"] != "step_up_required" {}
    };
    within(PATIENCE, "the proof to be stale", stale).await;
    let answer = send(&mut browser, "/app/sign", FORM, NAVIGATION, b"a=b").await;
    assert!(is_kept(&answer));
    let page = browser.get("/_auth/resend").await;
    let refused = browser.submit_from(&page, "/_auth/resend", &[("send", "1")]).await;
    assert_eq!(refused.status, 401, "{}", refused.text());
    assert_eq!(scene.came("/app/sign").await.len(), 0);
    let code = person.recovery.remove(0);
    let done = browser
        .submit("/_auth/step-up?with=recovery&return_to=%2F_auth%2Fresend", &[("code", &code)])
        .await;
    assert_eq!(done.status, 303, "{}", done.text());
    let sent = browser.submit("/_auth/resend", &[("send", "1")]).await;
    assert_eq!(sent.status, 200, "{}", sent.text());
    assert_eq!(scene.came("/app/sign").await.len(), 1);
    // What the rules no longer let in is not sent.
    lapse(&scene.gateway, &browser).await;
    assert!(is_kept(&send(&mut browser, "/app/staff", FORM, NAVIGATION, b"a=b").await));
    let left = scene.gateway.command(&["user", "set", "alice", "--remove-group", "staff"], "");
    assert!(left.status.success());
    assert!(leads_to_resend(&sign_in(&mut browser, &mut person).await));
    let denied = browser.submit("/_auth/resend", &[("send", "1")]).await;
    assert_eq!(denied.status, 403, "{}", denied.text());
    assert_eq!(scene.came("/app/staff").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_confirms_over_two_nodes_one_sends_it() {
    let cluster = Cluster::start().await;
    let (mut browser, mut person) = visitor::signed_in(&cluster.one, "alice").await;
    let store = RedisStore::open(&Secret::new(cluster.redis.url()), "vestibule").unwrap();
    lapse_in(&store, &cluster.keys, &browser).await;
    let gone = async { while browser.clone().fetch("/app").await.status != 401 {} };
    within(PATIENCE, "the session to be gone", gone).await;
    let answer = send(&mut browser, "/app/save", FORM, NAVIGATION, b"note=what-I-typed").await;
    assert!(is_kept(&answer));
    let dump = cluster.redis.dump().await;
    assert!(!dump.contains("what-I-typed"), "sealed at rest");
    let mut other = browser.at(&cluster.two);
    assert!(leads_to_resend(&sign_in(&mut other, &mut person).await));
    let page = other.get("/_auth/resend").await;
    let csrf = html::field(&page.text(), "csrf").unwrap();
    let mark = cluster.app.mark();
    let confirms = (0..50).map(|number| {
        let node = if number % 2 == 0 { &cluster.one } else { &cluster.two };
        let (mut browser, csrf) = (other.at(node), csrf.clone());
        tokio::spawn(async move {
            browser.post("/_auth/resend", &[("send", "1"), ("csrf", &csrf)]).await.status
        })
    });
    let mut statuses = Vec::new();
    for confirm in confirms.collect::<Vec<_>>() {
        statuses.push(confirm.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses[0], 200, "{statuses:?}");
    assert!(statuses[1..].iter().all(|status| *status == 409), "{statuses:?}");
    cluster.app.barrier().await;
    let came = cluster.app.requests(mark);
    let saves: Vec<_> = came.iter().filter(|seen| seen.head.path() == "/app/save").collect();
    assert_eq!(saves.len(), 1);
    assert_eq!(saves[0].body, b"note=what-I-typed");
}
