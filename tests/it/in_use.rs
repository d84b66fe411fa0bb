//! A session is in use while bytes of its requests pass, and no longer: over a real gateway with a
//! short idle limit, by the clock on the wall.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::Request;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, interval};
use tokio_tungstenite::tungstenite::Message;

use super::streams::{h2, h2_request};
use super::support::client::{Browser, PATIENCE};
use super::support::gateway::{Gateway, Plan};
use super::support::upstream::Recorder;
use super::support::visitor::{self, Person};
use super::support::within;

/// Bytes pass for this long, which is longer than the sessions may be idle: 10 s.
const LONG: Duration = Duration::from_secs(17);

fn beats() -> Interval {
    interval(Duration::from_secs(1))
}

/// How many of them fall within `LONG`.
fn pieces() -> u64 {
    LONG.as_secs()
}

/// An upload during which its user proves the second factor again.
async fn upload_in_http1(browser: &mut Browser, person: &mut Person) {
    let mut wire = browser.connect().await;
    let head = format!(
        "PUT /app/upload HTTP/1.1\r\nHost: gw.test\r\n{}Content-Length: {}\r\n\r\n",
        browser.cookie_line(),
        pieces()
    );
    wire.send(head.as_bytes()).await.unwrap();
    let mut beats = beats();
    for piece in 0..pieces() {
        beats.tick().await;
        wire.send(b"x").await.unwrap();
        if piece == 0 {
            visitor::step_up(browser, person).await;
        }
    }
    let answer = within(PATIENCE, "the answer", wire.answer("PUT")).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

async fn upload_in_http2(browser: &Browser) {
    let mut client = h2(browser).await;
    let cookies = browser.cookie_line();
    let cookies = cookies.trim_start_matches("Cookie: ").trim();
    let request = h2_request("PUT", "/app/upload", &[("cookie", cookies)]);
    let (answer, mut body) = client.send_request(request, false).unwrap();
    let mut beats = beats();
    for piece in 1..=pieces() {
        beats.tick().await;
        body.send_data(Bytes::from_static(b"x"), piece == pieces()).unwrap();
    }
    assert_eq!(within(PATIENCE, "the answer", answer).await.unwrap().status(), 200);
}

async fn messages_in_a_websocket(browser: &Browser) {
    let cookies = browser.cookie_line();
    let request = Request::builder()
        .uri("wss://gw.test/app/ws")
        .header("Host", "gw.test")
        .header("Cookie", cookies.trim_start_matches("Cookie: ").trim())
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Origin", "https://gw.test")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(())
        .unwrap();
    let (stream, _ahead) = browser.connect().await.into_parts();
    let opened = tokio_tungstenite::client_async(request, stream);
    let mut socket = within(PATIENCE, "the handshake", opened).await.unwrap().0;
    let mut beats = beats();
    for _ in 0..pieces() {
        beats.tick().await;
        socket.send(Message::text("hello")).await.unwrap();
        let echo = within(PATIENCE, "the echo", socket.next()).await.unwrap().unwrap();
        assert_eq!(echo, Message::text("hello"));
    }
}

/// An upload that sends one byte and then nothing.
async fn upload_that_stands_still(browser: &Browser) {
    let mut wire = browser.connect().await;
    let head = format!(
        "PUT /app/upload HTTP/1.1\r\nHost: gw.test\r\n{}Content-Length: 2\r\n\r\nx",
        browser.cookie_line()
    );
    wire.send(head.as_bytes()).await.unwrap();
    let began = Instant::now();
    let mut beats = beats();
    while began.elapsed() <= LONG {
        beats.tick().await;
    }
}

/// Signs these people in, one after the other, so that no session is idle at the end.
pub(crate) async fn all_in_use(gateway: &Gateway, names: [&str; 4]) -> Vec<(Browser, Person)> {
    let (begin, begun) = watch::channel(());
    let mut waiting = Vec::new();
    for name in names {
        let (browser, person) = visitor::signed_in(gateway, name).await;
        waiting.push((tokio::spawn(in_use_until(begun.clone(), browser)), person));
    }
    drop(begin);
    let mut browsers = Vec::new();
    for (one, person) in waiting {
        browsers.push((one.await.unwrap(), person));
    }
    browsers
}

/// Keeps a session in use while others sign in, which takes its time.
async fn in_use_until(mut begun: watch::Receiver<()>, mut browser: Browser) -> Browser {
    let mut beats = beats();
    loop {
        tokio::select! {
            _ = begun.changed() => return browser,
            _ = beats.tick() => assert_eq!(browser.fetch("/app").await.status, 200),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_under_way_keep_a_session_alive_and_silence_does_not() {
    let app = Recorder::start().await;
    let plan = Plan::new(&app).extra("[sessions]\nidle = \"10s\"\n");
    let gateway = Gateway::start(&plan).await;
    let mut browsers = all_in_use(&gateway, ["alice", "bob", "carol", "dave"]).await;
    let [(alice, person), (bob, _), (carol, _), (dave, _)] = &mut browsers[..] else {
        panic!("four of them")
    };
    let after = async |browser: &mut Browser| browser.fetch("/app").await.status;
    let statuses = tokio::join!(
        async {
            upload_in_http1(alice, person).await;
            after(alice).await
        },
        async {
            upload_in_http2(bob).await;
            after(bob).await
        },
        async {
            messages_in_a_websocket(carol).await;
            after(carol).await
        },
        async {
            upload_that_stands_still(dave).await;
            after(dave).await
        },
    );
    assert_eq!(statuses, (200, 200, 200, 401));
}
