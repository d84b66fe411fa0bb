//! Two gateways on one Redis and one PostgreSQL: what one knows the other knows, and nothing that
//! opens a door lies in Redis.

use std::time::Duration;

use tokio::time::Instant;

use super::support::certs::Certificates;
use super::support::client::{self, Browser, PATIENCE};
use super::support::cluster::Cluster;
use super::support::gateway::{self, Gateway, Plan};
use super::support::servers::RedisServer;
use super::support::upstream::Recorder;
use super::support::visitor::{self, SESSION};
use super::support::{html, over_after_a_second, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_in_on_one_is_signed_in_on_the_other_and_signed_out_as_well() {
    let cluster = Cluster::start().await;
    let (mut here, _person) = visitor::signed_in(&cluster.one, "alice").await;
    let mut there = here.at(&cluster.two);
    assert_eq!(there.fetch("/app").await.status, 200);

    let held = here.jar[SESSION].clone();
    let out = here.submit("/_auth/logout", &[]).await;
    assert_eq!(out.status, 303, "{}", out.text());
    there.jar.insert(SESSION.to_owned(), held);
    let refused = async || there.fetch("/app").await.status == 401;
    over_after_a_second("the other node to refuse", refused).await;
}

/// The status of a post, and whether it gave a session.
type Outcome = (u16, bool);

/// Returns true if one of the posts signed in. On a busy machine a store may answer too late for one
/// of them, even for the one whose code counts: 503.
fn one_signed_in(all: &[Outcome]) -> bool {
    let signed_in = all.iter().filter(|(_, session)| *session).count();
    let late = all.iter().any(|(status, _)| *status == 503);
    assert!(signed_in == 1 || late && signed_in == 0, "{all:?}");
    let expected = |(status, _): &Outcome| matches!(status, 303 | 401 | 429 | 503);
    assert!(all.iter().all(expected), "{all:?}");
    signed_in == 1
}

/// Tries until a round ends with a session.
async fn in_one_of_some_rounds(mut round: impl AsyncFnMut() -> Vec<Outcome>) {
    for _ in 0..5 {
        if one_signed_in(&round().await) {
            return;
        }
    }
    panic!("no round gave a session");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_posts_of_one_code_to_two_nodes_exactly_one_signs_in() {
    let cluster = Cluster::start().await;
    let (_first, mut person) = visitor::signed_in(&cluster.one, "alice").await;
    let nodes = [&cluster.one, &cluster.two];
    in_one_of_some_rounds(async || {
        // Each post is of a login of its own, so that only the code itself stands between them.
        let mut logins = Vec::new();
        for number in 0..50 {
            let mut browser = Browser::new(nodes[number % 2]);
            visitor::prove_password(&mut browser, "alice").await;
            let page = browser.get("/_auth/otp").await;
            logins.push((browser, html::field(&page.text(), "csrf").unwrap()));
        }
        let code = person.codes.next().await;
        let posts = logins.into_iter().map(|(mut browser, csrf)| {
            let code = code.clone();
            async move {
                let form = [("code", code.as_str()), ("csrf", csrf.as_str())];
                let answer = browser.post("/_auth/otp", &form).await;
                (answer.status, browser.jar.contains_key(SESSION))
            }
        });
        futures_util::future::join_all(posts).await
    })
    .await;
}

/// A form sent again and again: the browser's one login is not ended by its own code.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_posts_of_one_form_to_two_nodes_exactly_one_signs_in() {
    let cluster = Cluster::start().await;
    let (_first, mut person) = visitor::signed_in(&cluster.one, "alice").await;
    for wrong_before in [0, 3] {
        in_one_of_some_rounds(async || {
            let mut browser = Browser::new(&cluster.one);
            visitor::prove_password(&mut browser, "alice").await;
            for _ in 0..wrong_before {
                let wrong = browser.submit("/_auth/otp", &[("code", "000000")]).await;
                assert_eq!(wrong.status, 401);
            }
            let code = person.codes.next().await;
            at_once(&cluster, &mut browser, "/_auth/otp", &code).await
        })
        .await;
    }
    in_one_of_some_rounds(async || {
        let mut browser = Browser::new(&cluster.two);
        visitor::prove_password(&mut browser, "alice").await;
        let code = person.recovery.pop().unwrap();
        at_once(&cluster, &mut browser, "/_auth/recovery", &code).await
    })
    .await;
}

/// Sends a form with `code` fifty times at once, to both nodes in turn.
async fn at_once(cluster: &Cluster, browser: &mut Browser, path: &str, code: &str) -> Vec<Outcome> {
    let page = browser.get(path).await;
    let csrf = html::field(&page.text(), "csrf").unwrap();
    let nodes = [&cluster.one, &cluster.two];
    let posts = (0..50).map(|number| {
        let mut browser = browser.at(nodes[number % 2]);
        let csrf = csrf.as_str();
        async move {
            let answer = browser.post(path, &[("code", code), ("csrf", csrf)]).await;
            (answer.status, browser.jar.contains_key(SESSION))
        }
    });
    futures_util::future::join_all(posts).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_in_redis_opens_a_door() {
    let cluster = Cluster::start().await;
    cluster.one.add_user("alice");
    let mut browser = Browser::new(&cluster.one);
    visitor::prove_password(&mut browser, "alice").await;
    let pending = browser.jar[visitor::PENDING].clone();
    let page = browser.get("/_auth/enroll").await.text();
    let seed = html::by_id(&page, "totp-secret").unwrap();
    let halfway = cluster.redis.dump().await;
    let (_codes, enrolled) = visitor::enrol(&mut browser).await;
    visitor::keep_recovery_codes(&mut browser, &enrolled).await;
    let session = browser.jar[SESSION].clone();
    let dump = [halfway, cluster.redis.dump().await].concat();
    assert!(!dump.is_empty(), "Redis holds the session");

    for (what, text) in [("login cookie", &pending), ("session cookie", &session), ("seed", &seed)]
    {
        for form in forms(text) {
            assert!(!dump.contains(&form), "{form:?} of the {what} lies in Redis");
        }
    }
}

/// A secret's text in pieces, as each part of a token is a secret too, and its bytes in the codings
/// a store might use.
fn forms(text: &str) -> Vec<String> {
    let pieces = |text: &str| -> Vec<String> {
        let whole = text.as_bytes().chunks(16).filter(|piece| piece.len() == 16);
        whole.map(|piece| String::from_utf8_lossy(piece).into_owned()).collect()
    };
    let raw = data_encoding::BASE32_NOPAD
        .decode(text.as_bytes())
        .or_else(|_| data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()))
        .unwrap_or_else(|error| panic!("no secret that we know: {error}"));
    let mut all = pieces(text);
    all.extend(pieces(&data_encoding::HEXLOWER.encode(&raw)));
    all.extend(pieces(&data_encoding::BASE64.encode(&raw)));
    all.extend(pieces(&data_encoding::BASE64URL_NOPAD.encode(&raw)));
    all.push(format!("{raw:?}").trim_matches(['[', ']']).to_owned());
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_people_are_told_to_wait_and_with_it_all_is_as_before() {
    let mut cluster = Cluster::start().await;
    let (mut browser, mut person) = visitor::signed_in(&cluster.one, "alice").await;
    assert_eq!(browser.fetch("/app").await.status, 200);

    cluster.redis.kill();
    let since = Instant::now();
    let down = async {
        loop {
            let sent = since.elapsed();
            let answer = browser.get("/app").await;
            match answer.status {
                503 => return answer,
                // A session just seen may pass for a second.
                200 => assert!(sent < Duration::from_secs(4), "still let in after {sent:?}"),
                other => panic!("{other}: {:?} {}", answer.location(), answer.text()),
            }
        }
    };
    let answer = within(PATIENCE, "503", down).await;
    assert!(answer.get("retry-after").is_some(), "{:?}", answer.fields);
    let refused = browser.fetch("/app").await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("unavailable")));
    assert!(refused.get("retry-after").is_some(), "{:?}", refused.fields);
    assert!(browser.jar.contains_key(SESSION), "the cookie is not taken back");
    assert_eq!(browser.get("/public/x").await.status, 200, "public paths stay up");
    let form = Browser::new(&cluster.one).get("/_auth/login").await;
    assert_eq!(form.status, 503, "nobody is asked for a password: {}", form.text());
    assert_eq!(client::admin(&cluster.one, "/livez").await.status, 200);
    let unready = async { while client::admin(&cluster.one, "/readyz").await.status != 503 {} };
    within(PATIENCE, "readiness to go", unready).await;
    let node = client::admin(&cluster.one, "/nodez").await.status;
    assert_eq!(node, 200, "a balancer keeps sending: public paths are up");

    cluster.redis.restart();
    let ready = async { while client::admin(&cluster.one, "/readyz").await.status != 200 {} };
    within(PATIENCE, "readiness to come back", ready).await;
    cluster.redis.flush().await;

    let signed_out = async { while browser.fetch("/app").await.status != 401 {} };
    within(PATIENCE, "an empty Redis to sign people out", signed_out).await;
    let used = person.codes.of_step(person.codes.used_step());
    browser.jar.clear();
    let begun = visitor::prove_password(&mut browser, "alice").await;
    assert!(begun.location().starts_with("/_auth/otp"), "enrolment again: {}", begun.location());
    let replayed = browser.submit("/_auth/otp", &[("code", &used)]).await;
    assert_eq!(replayed.status, 401, "a code used before the loss");
    let code = person.codes.next().await;
    let back = browser.submit("/_auth/otp", &[("code", &code)]).await;
    assert_eq!(back.status, 303, "{}", back.text());
    assert_eq!(browser.at(&cluster.two).fetch("/app").await.status, 200);
    drop(cluster.app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_lie_in_a_redis_that_shows_a_certificate_of_ones_own_ca() {
    let (app, files) = (Recorder::start().await, tempfile::tempdir().unwrap());
    let certificates = Certificates::make(files.path(), &["localhost"]);
    let ca = format!("ca = \"{}\"\n", certificates.authority.display());
    let redis = RedisServer::start_tls(certificates);
    let keys = files.path().join("keys.toml");
    gateway::make_keys(&keys);
    let plan = Plan::new(&app);
    let extra = format!("[sessions]\nstore = \"redis\"\n[redis]\nurl = \"{}\"\n{ca}", redis.url());
    let plan = Plan { extra: plan.extra.clone() + &extra, keys: Some(keys), ..plan };
    let gateway = Gateway::start(&plan).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    assert_eq!(browser.fetch("/app").await.status, 200);

    let config = std::fs::read_to_string(&gateway.config).unwrap();
    std::fs::write(&gateway.config, config.replace(&ca, "")).unwrap();
    let told = gateway.command(&["check", "--online"], "");
    let told = String::from_utf8_lossy(&[told.stdout, told.stderr].concat()).into_owned();
    assert!(
        told.contains("its certificate is not trusted; give the one of its CA as redis.ca"),
        "{told}"
    );
}
