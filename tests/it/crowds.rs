//! Too much at once: connections, requests, memory and descriptors are bounded, and whoever takes
//! them all keeps nobody else out.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::streams::{h2, h2_request};
use super::support::client::{self, Browser, PATIENCE, admin};
use super::support::frames::{self, Frames};
use super::support::gateway::{Gateway, Plan};
use super::support::upstream::Recorder;
use super::support::visitor;
use super::support::wire::Wire;
use super::support::within;

/// Growth of resident memory that a flood may cause, in a build without optimizations on a machine
/// that is busy with others. Without bounds it is more than three times as much.
const BOUND: u64 = 192 * 1024 * 1024;
/// A thousand requests at a busy machine.
const FLOOD_TIME: Duration = Duration::from_mins(1);

fn at(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 9, last))
}

fn from(gateway: &Gateway, last: u8) -> Browser {
    let mut browser = Browser::new(gateway);
    browser.from = at(last);
    browser
}

async fn set_up(more: &str, extra: &str) -> (Recorder, Gateway) {
    let app = Recorder::start().await;
    let mut plan = Plan::new(&app).extra(extra);
    plan.apps = plan.apps.replace("websocket = true\n", &format!("websocket = true\n{more}"));
    plan.descriptors = Some((512, 1024));
    let gateway = Gateway::start(&plan).await;
    (app, gateway)
}

/// The sum of the samples of a counter whose labels hold `label`.
async fn counted(gateway: &Gateway, name: &str, label: &str) -> u64 {
    let page = admin(gateway, "/metrics").await.text();
    let lines = page.lines().filter(|l| l.starts_with(name) && l.contains(label));
    lines.filter_map(|l| l.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// Opens so many streams on each of so many connections.
async fn flood(
    browser: &Browser,
    connections: usize,
    fields: &[(&str, &str)],
    (last, window): (bool, u32),
) -> Vec<Frames> {
    let mut all = vec![(":scheme".to_owned(), "https".to_owned())];
    all.push((":authority".to_owned(), "gw.test".to_owned()));
    all.extend(fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
    let mut open = Vec::new();
    for _ in 0..connections {
        let wire = Wire::new(browser.connect_h2().await);
        let mut connection = Frames::hello(wire, window).await.unwrap();
        for i in 0..100 {
            // A gateway that hangs up protects itself.
            if connection.send(&frames::headers(2 * i + 1, &all, last)).await.is_err() {
                break;
            }
        }
        open.push(connection);
    }
    open
}

/// Waits until the gateway has turned so many requests away.
async fn turned_away(gateway: &Gateway, least: u64) {
    let waiting = async {
        while counted(gateway, "vestibule_requests_turned_away_total", "").await < least {
            tokio::task::yield_now().await;
        }
    };
    within(FLOOD_TIME, "requests that are turned away", waiting).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_uploads_to_a_public_path_keep_nobody_out() {
    let (app, gateway) = set_up("", "").await;
    let (person, _codes) = visitor::signed_in(&gateway, "alice").await;
    let mark = app.mark();
    let upload = [(":method", "POST"), (":path", "/public/upload"), ("content-length", "1000000")];
    let flood = flood(&from(&gateway, 1), 10, &upload, (false, 65_535)).await;
    turned_away(&gateway, 200).await;
    let sockets = app.connections(mark);
    assert!(sockets <= 300, "{sockets} connections to the app");
    // Another stranger, a stranger who signs in, somebody who is signed in behind the same address.
    assert_eq!(from(&gateway, 2).fetch("/public/a").await.status, 200);
    gateway.add_user("bob");
    let (mut bob, _codes) = visitor::join(from(&gateway, 3), "bob").await;
    assert_eq!(bob.fetch("/app").await.status, 200);
    let mut neighbour = person;
    neighbour.from = at(1);
    assert_eq!(neighbour.fetch("/app").await.status, 200);
    assert_eq!(admin(&gateway, "/readyz").await.status, 200);
    drop(flood);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_of_many_addresses_keep_nobody_out() {
    let (_app, gateway) = set_up("", "").await;
    gateway.add_user("alice");
    let mut silent = Vec::new();
    for last in 10..21 {
        for _ in 0..100 {
            silent.push(client::tcp(gateway.https, at(last)).await.unwrap());
        }
    }
    let (mut alice, _codes) = visitor::join(from(&gateway, 1), "alice").await;
    assert_eq!(alice.fetch("/app").await.status, 200);
    assert!(counted(&gateway, "vestibule_connections_shed_total", "\"all\"").await > 0);
    assert_eq!(admin(&gateway, "/readyz").await.status, 200);
    drop(silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_idle_connection_of_an_address_goes_and_the_newcomer_stays() {
    let (_app, gateway) = set_up("", "[network]\nconnections_per_address = 3\n").await;
    let browser = from(&gateway, 1);
    let ask = b"GET /public/a HTTP/1.1\r\nHost: gw.test\r\n\r\n";
    let mut kept = Vec::new();
    for _ in 0..4 {
        let mut wire = browser.connect().await;
        wire.send(ask).await.unwrap();
        let answer = within(PATIENCE, "an answer", wire.answer("GET")).await.unwrap();
        assert_eq!(answer.status, 200);
        kept.push(wire);
    }
    let end = within(PATIENCE, "the end of the first", kept[0].some()).await;
    assert!(end.is_ok_and(|bytes| bytes.is_empty()));
    for wire in &mut kept[1..] {
        wire.send(ask).await.unwrap();
        let answer = within(PATIENCE, "an answer", wire.answer("GET")).await.unwrap();
        assert_eq!(answer.status, 200);
    }
    assert_eq!(counted(&gateway, "vestibule_connections_shed_total", "\"address\"").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_streams_of_one_browser_and_a_hundred_workers_are_served() {
    let (app, gateway) = set_up("", "").await;
    let (browser, _codes) = visitor::signed_in(&gateway, "alice").await;
    let mark = app.mark();
    let cookie = browser.cookie_line();
    let cookie = cookie.trim_start_matches("Cookie: ").trim();
    let mut client = h2(&browser).await;
    let request = h2_request("GET", "/app/slow", &[("cookie", cookie)]);
    let streams: Vec<_> =
        (0..100).map(|_| client.send_request(request.clone(), true).unwrap().0).collect();
    let workers = (0..100).map(|_| {
        let mut worker = browser.clone();
        worker.from = at(1);
        async move { worker.fetch("/app/slow").await.status }
    });
    let workers: Vec<_> = workers.map(tokio::spawn).collect();
    let all_there = async {
        while app.requests(mark).len() < 200 {
            tokio::task::yield_now().await;
        }
    };
    within(FLOOD_TIME, "200 requests at the app", all_there).await;
    for _ in 0..200 {
        app.go_on();
    }
    for stream in streams {
        let answer = within(PATIENCE, "an answer", stream).await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    for worker in workers {
        assert_eq!(worker.await.unwrap(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_sent_no_more_at_once_than_it_may_be() {
    let (app, gateway) = set_up("max_requests = 4\n", "").await;
    let (browser, _codes) = visitor::signed_in(&gateway, "alice").await;
    let mark = app.mark();
    let mut waiting: Vec<_> = Vec::new();
    for _ in 0..4 {
        let mut one = browser.clone();
        waiting.push(tokio::spawn(async move { one.fetch("/app/slow").await.status }));
    }
    let all_there = async {
        while app.requests(mark).len() < 4 {
            tokio::task::yield_now().await;
        }
    };
    within(PATIENCE, "4 requests at the app", all_there).await;
    let mut fifth = browser.clone();
    let script = fifth.fetch("/app").await;
    assert_eq!((script.status, script.json()["code"].as_str()), (503, Some("overloaded")));
    assert_eq!(script.get("retry-after"), Some("2"));
    let page = fifth.get("/app").await;
    assert_eq!(page.status, 503);
    assert!(page.get("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    assert!(page.get("retry-after").is_some());
    assert_eq!(fifth.get("/_auth/account").await.status, 200);
    assert_eq!(counted(&gateway, "vestibule_requests_turned_away_total", "\"app\"").await, 2);
    for _ in 0..4 {
        app.go_on();
    }
    for one in waiting {
        assert_eq!(one.await.unwrap(), 200);
    }
    // A place is free once its request is logged, which is after its answer.
    let free = async { while fifth.fetch("/app").await.status != 200 {} };
    within(PATIENCE, "a place at the app", free).await;
    assert_eq!(app.requests(mark).len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_trusted_proxy_requests_count_by_the_address_that_it_names() {
    let network = "[network]\ntrusted_proxies = [\"127.0.0.0/8\"]\nrequests_per_address = 4\n\
                   connections_per_address = 1\n";
    let (app, gateway) = set_up("", network).await;
    let mark = app.mark();
    let forwarded = |address: &str| {
        let mut browser = from(&gateway, 1);
        browser.forwarded_for = Some(address.to_owned());
        browser
    };
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut one = forwarded("203.0.113.5");
        waiting.push(tokio::spawn(async move { one.fetch("/public/slow").await.status }));
    }
    let all_there = async {
        while app.requests(mark).len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    within(PATIENCE, "2 requests at the app", all_there).await;
    assert_eq!(forwarded("203.0.113.5").fetch("/public/a").await.status, 503);
    assert_eq!(forwarded("203.0.113.6").fetch("/public/a").await.status, 200);
    app.go_on();
    app.go_on();
    for one in waiting {
        assert_eq!(one.await.unwrap(), 200);
    }
    // A place is free once its request is logged, which is after its answer.
    let free = async { while forwarded("203.0.113.5").fetch("/public/a").await.status != 200 {} };
    within(PATIENCE, "a place for the address", free).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_that_never_come_hold_little_memory() {
    let (_app, gateway) = set_up("", "").await;
    gateway.add_user("alice");
    let before = gateway.resident();
    let filler = "x".repeat(14_000);
    let post = [
        (":method", "POST"),
        (":path", "/_auth/login"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-filler", &filler),
    ];
    let mut floods = Vec::new();
    for last in 30..34 {
        floods.push(flood(&from(&gateway, last), 10, &post, (false, 65_535)).await);
    }
    turned_away(&gateway, 200).await;
    let (mut alice, _codes) = visitor::join(from(&gateway, 2), "alice").await;
    assert_eq!(alice.fetch("/app").await.status, 200);
    let grown = gateway.resident().saturating_sub(before);
    assert!(grown < BOUND, "memory grew by {} KiB", grown / 1024);
    drop(floods);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads_hold_little_memory() {
    let (_app, gateway) = set_up("", "").await;
    gateway.add_user("alice");
    let before = gateway.resident();
    let get = [(":method", "GET"), (":path", "/public/big?bytes=10000000")];
    let page = [(":method", "GET"), (":path", "/_auth/login")];
    let floods = [
        flood(&from(&gateway, 40), 10, &get, (true, 0)).await,
        flood(&from(&gateway, 41), 10, &page, (true, 0)).await,
    ];
    turned_away(&gateway, 200).await;
    let (mut alice, _codes) = visitor::join(from(&gateway, 2), "alice").await;
    assert_eq!(alice.fetch("/app").await.status, 200);
    let grown = gateway.resident().saturating_sub(before);
    assert!(grown < BOUND, "memory grew by {} KiB", grown / 1024);
    drop(floods);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_soft_limit_of_descriptors_is_raised() {
    let (_app, gateway) = set_up("", "").await;
    let limits = gateway.limits();
    let line = limits.lines().find(|l| l.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = line.split_whitespace().filter(|w| w.parse::<u64>().is_ok()).collect();
    assert_eq!(numbers, ["1024", "1024"], "{line}");
}
