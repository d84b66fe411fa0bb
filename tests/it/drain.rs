//! A node that leaves: balancers see it first, requests in flight finish, `WebSockets` end with a
//! word, and a second signal ends it at once.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::Request;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::support::client::{self, Browser, PATIENCE};
use super::support::frames::{self, Frames, Reply};
use super::support::gateway::{Gateway, Plan};
use super::support::log::Line;
use super::support::upstream::Recorder;
use super::support::visitor;
use super::support::wire::{Stream, Wire};
use super::support::within;

/// Far less than the time that requests in flight have.
const SOON: Duration = Duration::from_secs(15);

/// Opens the app's echo.
async fn tunnel(browser: &Browser) -> WebSocketStream<Box<dyn Stream>> {
    let request = Request::builder()
        .uri("wss://gw.test/app/ws")
        .header("Host", "gw.test")
        .header("Cookie", browser.cookie_line().trim_start_matches("Cookie: ").trim())
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Origin", "https://gw.test")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(())
        .unwrap();
    let (stream, _ahead) = browser.connect().await.into_parts();
    let opened = tokio_tungstenite::client_async(request, stream);
    within(PATIENCE, "the handshake", opened).await.unwrap().0
}

async fn echoes(socket: &mut WebSocketStream<Box<dyn Stream>>, message: Message) {
    socket.send(message.clone()).await.unwrap();
    let echo = within(PATIENCE, "the echo", socket.next()).await.unwrap().unwrap();
    assert_eq!(echo, message);
}

/// Begins a request that the app holds back.
async fn slow_request(app: &Recorder, gateway: &Gateway) -> Wire {
    let mark = app.mark();
    let mut wire = Browser::new(gateway).connect().await;
    wire.send(b"GET /public/slow HTTP/1.1\r\nHost: gw.test\r\n\r\n").await.unwrap();
    app.wait_for(mark, |r| r.head.path() == "/public/slow").await;
    wire
}

async fn draining(gateway: &Gateway) {
    let begun = |line: &Line| line.get("message")?.starts_with("draining").then_some(());
    gateway.log.wait_for("drain", begun).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_leaves_says_so_and_takes_new_work_until_the_notice_is_over() {
    let app = Recorder::start().await;
    let plan = Plan::new(&app).extra("[server]\ndrain_notice = \"10m\"\n");
    let gateway = Gateway::start(&plan).await;
    assert_eq!(client::admin(&gateway, "/nodez").await.status, 200);
    gateway.signal("TERM");
    let left = async { while client::admin(&gateway, "/nodez").await.status != 503 {} };
    within(PATIENCE, "the node to say that it leaves", left).await;
    let ready = client::admin(&gateway, "/readyz?verbose").await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["checks"][0]["name"], "serving", "{}", ready.text());
    assert_eq!(ready.json()["checks"][0]["ok"], false, "{}", ready.text());
    assert_eq!(Browser::new(&gateway).get("/public/x").await.status, 200, "a new connection");
    gateway.signal("TERM");
    assert!(gateway.ended().await.success(), "{}", gateway.log.so_far());
    assert!(!gateway.log.whole().contains("draining:"), "the notice was not over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_last_as_long_as_requests_do_and_end_with_1012() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let mut socket = tunnel(&browser).await;
    echoes(&mut socket, Message::text("hello")).await;
    let mut wire = slow_request(&app, &gateway).await;
    gateway.signal("TERM");
    draining(&gateway).await;
    for length in [0, 1, 125, 126, 65_535, 65_536] {
        echoes(&mut socket, Message::binary(vec![7; length])).await;
    }
    app.go_on();
    let answer = within(PATIENCE, "the answer under way", wire.answer("GET")).await.unwrap();
    assert_eq!(answer.status, 200);
    drop(wire);
    let since = Instant::now();
    let last = within(PATIENCE, "the end", socket.next()).await.unwrap().unwrap();
    let Message::Close(Some(close)) = last else { panic!("no Close frame: {last:?}") };
    assert_eq!(u16::from(close.code), 1012);
    assert!(gateway.ended().await.success(), "{}", gateway.log.so_far());
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    let said = gateway.log.whole();
    assert!(!said.contains("drain time is over"), "{said}");
}

fn get(stream: u32, path: &str) -> Vec<u8> {
    let fields =
        [(":method", "GET"), (":scheme", "https"), (":authority", "gw.test"), (":path", path)];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    frames::headers(stream, &fields, true)
}

/// RFC 9113 §6.8: the first GOAWAY names no last stream, so that no request that is on its way is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_says_goodbye_twice_and_serves_what_is_opened_in_between() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let mark = app.mark();
    let wire = Wire::new(Browser::new(&gateway).connect_h2().await);
    let mut client = Frames::hello(wire, 65_535).await.unwrap();
    client.send(&get(1, "/public/slow")).await.unwrap();
    app.wait_for(mark, |r| r.head.path() == "/public/slow").await;
    gateway.signal("TERM");
    let first = within(PATIENCE, "the first goodbye", client.goaway()).await.unwrap();
    assert_eq!(first, (0x7fff_ffff, 0));
    let pong = within(PATIENCE, "the ping", client.pinged()).await.unwrap();
    // Sent by a client that has not seen the goodbye yet.
    client.send(&get(3, "/public/x")).await.unwrap();
    let reply = within(PATIENCE, "the answer", client.reply(3)).await;
    assert_eq!(reply, Reply::Status(200));
    client.send(&pong).await.unwrap();
    let last = within(PATIENCE, "the last goodbye", client.goaway()).await.unwrap();
    assert_eq!(last, (3, 0));
    app.go_on();
    let reply = within(PATIENCE, "the stream in flight", client.reply(1)).await;
    assert_eq!(reply, Reply::Status(200));
    within(PATIENCE, "the end of the connection", client.closed()).await;
    assert!(gateway.ended().await.success(), "{}", gateway.log.so_far());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let mut wire = slow_request(&app, &gateway).await;
    let since = Instant::now();
    gateway.signal("TERM");
    draining(&gateway).await;
    gateway.signal("TERM");
    assert!(gateway.ended().await.success(), "{}", gateway.log.so_far());
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    assert!(wire.answer("GET").await.is_err());
}
