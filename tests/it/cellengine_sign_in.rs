//! Signing in by an app's own clients when things are against them: a stranger who guesses, an app that
//! does not answer, several names for one app, and news that no script reads.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::cellengine::{post_sign_in, script, typed, with_code};
use super::support::cellengine::Lab;
use super::support::client::{Browser, PATIENCE};
use super::support::gateway::{Gateway, HOST, Plan};
use super::support::upstream::Recorder;
use super::support::within;

/// A client at an address of its own.
fn client(gateway: &Gateway, host: &str, n: u8) -> Browser {
    let mut client = Browser::new(gateway);
    host.clone_into(&mut client.host);
    client.from = Ipv4Addr::new(127, 0, 7, n).into();
    client
}

/// The answer to a guess of a stranger's, from a new address each time.
async fn guess(lab: &Lab, n: u8) -> u16 {
    let wrong = json!({"username": "alice", "password": "guess"});
    post_sign_in(&mut client(&lab.one, "localhost", n), &wrong).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_toolkit_gets_in_with_its_two_posts_right_after_a_stranger_guessed() {
    let throttle = "[throttle]\nper_name = 11\nfirst_wait = \"10m\"\nlongest_wait = \"10m\"\n";
    let lab = Lab::start(&format!("provision = true\n{throttle}")).await;
    let (_browser, mut codes, _) = lab.join("alice").await;
    for n in 0..10 {
        assert_eq!(guess(&lab, n).await, 401);
    }
    let mut toolkit = client(&lab.two, "localhost", 100);
    for _ in 0..2 {
        let asked = post_sign_in(&mut toolkit, &typed("alice")).await;
        assert_eq!(asked.status, 400, "a code is asked for: {}", asked.text());
        script(&mut toolkit, "alice", &codes.next().await).await;
        toolkit.jar.clear();
    }
    // The stranger is where they were: one more guess, and then a wait for everybody from a network
    // where alice never signed in, right or not.
    assert_eq!(guess(&lab, 11).await, 401);
    assert_eq!(guess(&lab, 12).await, 429);
    let mut elsewhere = client(&lab.two, "localhost", 101);
    assert_eq!(post_sign_in(&mut elsewhere, &typed("alice")).await.status, 429);
    for _ in 0..12 {
        let asked = post_sign_in(&mut toolkit, &typed("alice")).await;
        assert_eq!(asked.status, 400, "a code is asked for: {}", asked.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_script_does_not_read_is_told_at_the_next_sign_in_on_our_page() {
    let lab = Lab::start("provision = true").await;
    let (_browser, mut codes, recovery) = lab.join("alice").await;
    let mut thief = client(&lab.one, "localhost", 7);
    let wrong = post_sign_in(&mut thief, &with_code("alice", "000000")).await;
    assert_eq!(wrong.status, 401, "{}", wrong.text());
    let mut nightly = client(&lab.two, "localhost", 8);
    script(&mut nightly, "alice", &recovery[0]).await;
    script(&mut nightly, "alice", &codes.next().await).await;

    let mut person = Lab::browser(&lab.one);
    let form = [("username", "alice"), ("password", "pw-alice")];
    assert_eq!(person.submit("/_auth/login", &form).await.status, 303);
    let done = person.submit("/_auth/otp", &[("code", &codes.next().await)]).await;
    assert!(done.location().starts_with("/_auth/notice"), "{} {}", done.status, done.location());
    let told = person.get(done.location()).await.text();
    for news in ["Someone entered a wrong code", "127.0.7.7", "One of your recovery codes was used"]
    {
        assert!(told.contains(news), "{news}: {told}");
    }
}

/// An app that takes every request and answers none; a message for each.
async fn silent_app() -> (String, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (seen, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = seen.clone();
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                let mut told = false;
                while let Ok(1..) = stream.read(&mut bytes).await {
                    if !told && bytes.starts_with(b"POST /api/v1/signin ") {
                        told = seen.send(()).is_ok();
                    }
                }
            });
        }
    });
    (url, heard)
}

const FIRST: &str = "dialect = \"cellengine\"\nfirst_factor = \"app\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_does_not_answer_is_asked_about_so_many_sign_ins_at_once_and_no_more() {
    let (url, mut heard) = silent_app().await;
    let other = Recorder::start().await;
    let plan = Plan { apps: String::new(), ..Plan::new(&other) };
    let plan =
        plan.app("silent", HOST, &url, FIRST).app("other", "other.test", &other.url(), FIRST);
    let gateway = Gateway::start(&plan).await;
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..64 {
        let mut client = client(&gateway, HOST, n);
        waiting.spawn(async move {
            let body = json!({"username": format!("name{n}"), "password": "p"});
            post_sign_in(&mut client, &body).await
        });
    }
    for _ in 0..64 {
        within(PATIENCE, "the app to be asked", heard.recv()).await.unwrap();
    }
    let body = json!({"username": "one-more", "password": "p"});
    let mut late = client(&gateway, HOST, 100);
    let asked = post_sign_in(&mut late, &body);
    let answer = within(Duration::from_secs(20), "an answer", asked).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.get("retry-after").is_some());
    assert!(heard.try_recv().is_err(), "the app was asked once more");
    // Another app has turns of its own.
    let mark = other.mark();
    let elsewhere = post_sign_in(&mut client(&gateway, "other.test", 101), &body).await;
    assert_ne!(elsewhere.status, 503, "{}", elsewhere.text());
    other.wait_for(mark, |seen| seen.head.path() == "/api/v1/signin").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_with_several_hosts_is_asked_by_the_one_that_the_client_used() {
    let app = Recorder::start().await;
    let plan = Plan { apps: String::new(), ..Plan::new(&app) };
    let hosts = format!("{HOST}\", \"*.other.test");
    let plan = Plan { names: vec![HOST, "lab.other.test"], ..plan };
    let gateway = Gateway::start(&plan.app("main", &hosts, &app.url(), FIRST)).await;
    for (n, host) in [(1, HOST), (2, "lab.other.test")] {
        let by_client = async {
            post_sign_in(&mut client(&gateway, host, n), &typed("alice")).await;
        };
        let by_page = async {
            let form = [("username", "alice"), ("password", "pw-alice")];
            client(&gateway, host, n).submit("/_auth/login", &form).await;
        };
        let mark = app.mark();
        by_client.await;
        let first = app.wait_for(mark, |seen| seen.head.path() == "/api/v1/signin").await.head;
        let mark = app.mark();
        by_page.await;
        let second = app.wait_for(mark, |seen| seen.head.path() == "/api/v1/signin").await.head;
        for head in [first, second] {
            assert_eq!((head.all("host"), head.all("x-forwarded-host")), (vec![host], vec![host]));
            let forwarded = head.get("forwarded").unwrap_or_default();
            assert!(forwarded.contains(&format!("host=\"{host}\"")), "{forwarded}");
        }
    }
}
