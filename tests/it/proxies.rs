//! Behind a proxy: what a trusted one says, and what becomes of the rest; links and origins as people
//! use them.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::support::client::{Browser, PATIENCE};
use super::support::gateway::{Gateway, HOST, Plan};
use super::support::html;
use super::support::upstream::Recorder;
use super::support::visitor::{self, SESSION};
use super::support::wire::{Answer, Wire};
use super::support::within;

const TRUSTED: &str = "[network]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
const NEAR: &str = "networks = [\"127.0.0.0/8\"]";

/// One request as it is written, without its empty line.
async fn send(mut wire: Wire, head: &str) -> Answer {
    let exchange = async {
        wire.send(format!("{head}Connection: close\r\n\r\n").as_bytes()).await?;
        wire.answer("GET").await
    };
    within(PATIENCE, head, exchange).await.unwrap()
}

async fn plain(to: SocketAddr, head: &str) -> Answer {
    send(Wire::new(TcpStream::connect(to).await.unwrap()), head).await
}

fn get(target: &str, host: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{lines}")
}

fn rule(more: &str, access: &str) -> String {
    format!("[[apps.rules]]\n{more}\naccess = \"{access}\"\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_cannot_be_read_opens_nothing_and_is_never_the_proxys() {
    let app = Recorder::start().await;
    let shut = rule(NEAR, "deny") + &rule("path = \"/public/**\"", "public");
    let plan = Plan { apps: String::new(), ..Plan::new(&app) }
        .app("main", HOST, &app.url(), &rule(NEAR, "public"))
        .app("shut", "other.test", &app.url(), &shut)
        .app("open", "plain.test", &app.url(), &rule("path = \"/public/**\"", "public"))
        .extra(TRUSTED);
    let gateway = Gateway::start(&plan).await;
    for lines in [
        "",
        "X-Forwarded-For: unknown\r\n",
        "X-Forwarded-For:\r\n",
        "X-Forwarded-For: 203.0.113.5:4711\r\n",
        "X-Forwarded-For: [2001:db8::1]:4711\r\n",
        "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-For: rubbish\r\n",
        "X-Forwarded-For: 127.0.0.1,\r\n",
        "Forwarded: for=_hidden\r\n",
        "Forwarded: for=127.0.0.1\r\nX-Forwarded-For: 203.0.113.5\r\n",
        "Forwarded: for=\"[2001:db8::1]:4711\";proto=https\r\n",
    ] {
        let mark = app.mark();
        let answer = plain(gateway.http, &get("/public/a", HOST, lines)).await;
        assert_eq!(answer.status, 401, "{lines:?}: {}", answer.text());
        let known = lines.contains("4711");
        let shut = plain(gateway.http, &get("/public/a", "other.test", lines)).await;
        assert_eq!(shut.status, if known { 200 } else { 401 }, "{lines:?}");
        app.barrier().await;
        assert_eq!(app.requests(mark).len(), usize::from(known), "{lines:?}");
    }
    for (lines, told) in [
        ("X-Forwarded-For: unknown\r\n", "unknown"),
        ("X-Forwarded-For: 203.0.113.5:4711\r\n", "203.0.113.5"),
        ("X-Forwarded-For: 127.0.0.9, 127.0.0.8\r\n", "127.0.0.9"),
    ] {
        let mark = app.mark();
        assert_eq!(plain(gateway.http, &get("/public/b", "plain.test", lines)).await.status, 200);
        let seen = app.wait_for(mark, |r| r.head.path() == "/public/b").await;
        assert_eq!(seen.head.all("x-forwarded-for"), [told]);
        assert!(seen.head.get("forwarded").unwrap().starts_with(&format!("for={told};")));
    }
    let near = plain(gateway.http, &get("/a", HOST, "X-Forwarded-For: 127.0.0.9\r\n")).await;
    assert_eq!(near.status, 200, "where all hops are trusted the leftmost is the client");
    gateway.signal("TERM");
    assert!(gateway.ended().await.success(), "{}", gateway.log.so_far());
    let log = gateway.log.whole();
    for reason in ["names an address", "cannot be read", "name different addresses"] {
        let told = log.lines().filter(|line| line.contains("WARN") && line.contains(reason));
        assert_eq!(told.count(), 1, "{reason}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_in_however_the_front_writes_the_scheme() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app).extra(TRUSTED)).await;
    for (number, said) in [
        "X-Forwarded-Proto: HTTPS\r\n",
        "X-Forwarded-Proto: https,http\r\n",
        "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n",
        "X-Forwarded-Proto: wss\r\n",
        "Forwarded: for=203.0.113.5;proto=HTTPS\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let lines = format!("X-Forwarded-For: 203.0.113.5\r\n{said}");
        let page = plain(gateway.http, &get("/_auth/login", HOST, &lines)).await;
        assert_eq!(page.status, 200, "{said:?}: {}", page.text());
        let csrf = html::field(&page.text(), "csrf").unwrap();
        let cookie = page.all("set-cookie")[0].split(';').next().unwrap().to_owned();
        let body = format!("username=nobody{number}&password=wrong&csrf={csrf}");
        for origin in ["https://gw.test", "null", "https://GW.test:443"] {
            let head = format!(
                "POST /_auth/login HTTP/1.1\r\nHost: {HOST}\r\n{lines}Cookie: {cookie}\r\n\
                 Origin: {origin}\r\nSec-Fetch-Site: same-origin\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{body}",
                body.len()
            );
            let mut wire = Wire::new(TcpStream::connect(gateway.http).await.unwrap());
            wire.send(head.as_bytes()).await.unwrap();
            let answer = within(PATIENCE, "the form", wire.answer("POST")).await.unwrap();
            assert_eq!(answer.status, 401, "{said:?} {origin}: {}", answer.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_plain_http_the_pages_say_that_they_need_https() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let port = gateway.https.port();
    for target in ["/_auth/login", "/_auth/account"] {
        let page = plain(gateway.http, &get(target, HOST, "Accept: text/html\r\n")).await;
        assert_eq!(page.status, 403, "{}", page.text());
        assert!(
            page.text().contains(&format!("https://gw.test:{port}/_auth/login")),
            "{}",
            page.text()
        );
    }
    let head = "POST /_auth/login HTTP/1.1\r\nHost: gw.test\r\nOrigin: http://gw.test\r\n\
                Content-Length: 0\r\n";
    let sent = plain(gateway.http, head).await;
    assert!(sent.status == 403 && sent.text().contains("needs https"), "{}", sent.text());
    let here = plain(gateway.http, &get("/_auth/login", "localhost", "")).await;
    assert_ne!(here.status, 403, "{}", here.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_lead_to_the_scheme_host_and_port_that_people_use() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app).extra(TRUSTED)).await;
    let port = gateway.https.port();
    let browser = Browser::new(&gateway);
    let direct = send(browser.connect().await, &get("/a", HOST, "")).await;
    assert_eq!(direct.json()["login_url"], format!("https://gw.test:{port}/_auth/login"));
    let session = send(browser.connect().await, &get("/_auth/session", HOST, "")).await;
    assert_eq!(session.json()["login_url"], format!("https://gw.test:{port}/_auth/login"));
    let moved = plain(gateway.redirect, &get("/a?b=c", "gw.test:8080", "")).await;
    assert_eq!((moved.status, moved.location()), (308, &*format!("https://gw.test:{port}/a?b=c")));
    for (lines, base) in [
        ("X-Forwarded-Proto: https\r\n", "https://gw.test"),
        ("X-Forwarded-Proto: https\r\nX-Forwarded-Port: 444\r\n", "https://gw.test:444"),
        ("X-Forwarded-Proto: https\r\nX-Forwarded-Host: gw.test:445\r\n", "https://gw.test:445"),
        ("X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n", "https://gw.test"),
        ("Forwarded: for=1.2.3.4;proto=https;host=\"gw.test:446\"\r\n", "https://gw.test:446"),
    ] {
        let refused = plain(gateway.http, &get("/a", HOST, lines)).await;
        assert_eq!(refused.json()["login_url"], format!("{base}/_auth/login"), "{lines:?}");
    }

    let first = "public_url = \"https://gw.test:4443\"\n".to_owned();
    let plan = Plan { first, ..Plan::new(&app) };
    let gateway = Gateway::start(&plan).await;
    let direct = send(Browser::new(&gateway).connect().await, &get("/a", HOST, "")).await;
    assert_eq!(direct.json()["login_url"], "https://gw.test:4443/_auth/login");
    let moved = plain(gateway.redirect, &get("/a", HOST, "")).await;
    assert_eq!(moved.location(), "https://gw.test:4443/a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_is_opened_by_a_page_of_the_host_however_that_is_written() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (browser, _person) = visitor::signed_in(&gateway, "alice").await;
    for (host, origin, site, status) in [
        ("gw.test:443", "https://gw.test", "", 101),
        ("Gw.TEST", "https://gw.test", "", 101),
        ("gw.test", "https://gw.test:443", "", 101),
        ("gw.test", "null", "Sec-Fetch-Site: same-origin\r\n", 101),
        ("gw.test", "null", "Sec-Fetch-Site: cross-site\r\n", 403),
        ("gw.test", "null", "", 403),
        ("gw.test", "https://gw.test:444", "", 403),
        ("gw.test", "http://gw.test", "", 403),
        ("gw.test", "https://other.test", "Sec-Fetch-Site: same-origin\r\n", 403),
    ] {
        let head = format!(
            "GET /ws HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n{site}\
             Cookie: {SESSION}={}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            browser.jar[SESSION]
        );
        let mut wire = browser.connect().await;
        wire.send(head.as_bytes()).await.unwrap();
        let answer = within(PATIENCE, &head, wire.answer_head()).await.unwrap();
        assert_eq!(answer.status, status, "{host} {origin} {site}");
    }
    app.barrier().await;
    let handshakes = app.requests(app.mark_of_all());
    let opened = handshakes.iter().filter(|seen| seen.head.target == "/ws").count();
    assert_eq!(opened, 4, "the app sees no handshake of another page");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_line_that_would_have_to_be_mended_is_refused() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let mark = app.mark();
    for line in [
        "GET /public/a b HTTP/1.1",
        "GET  /public/a HTTP/1.1",
        "GET /public/a HTTP/1.1 ",
        "GET /public/a\tb HTTP/1.1",
        "GET /public/?a=\"b c\" HTTP/1.1",
        "GET /public/\u{e9} HTTP/1.1",
        "GET /public/<a> HTTP/1.1",
        "GET /public/a\u{7f} HTTP/1.1",
        "GET /public/%EF%BC%8F HTTP/1.1",
        "GET /public/%E2%80%A5/app HTTP/1.1",
    ] {
        let head = format!("{line}\r\nHost: gw.test\r\n{}", browser.cookie_line());
        assert_eq!(send(browser.connect().await, &head).await.status, 400, "{line:?}");
    }
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\ncontent-length: 5\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length:\r\n",
    ] {
        let head = format!("POST /public/a HTTP/1.1\r\nHost: gw.test\r\n{framing}");
        assert_eq!(send(browser.connect().await, &head).await.status, 400, "{framing:?}");
    }
    app.barrier().await;
    assert!(app.requests(mark).is_empty(), "the app was asked");
    let mut wire = browser.connect().await;
    for target in ["/public/a", "/public/a%20b", "/public/a?q={}|^"] {
        let head = get(target, HOST, "\r\n");
        wire.send(head.as_bytes()).await.unwrap();
        let answer = within(PATIENCE, &head, wire.answer("GET")).await.unwrap();
        assert_eq!(answer.status, 200, "one after the other: {target}");
    }
}
