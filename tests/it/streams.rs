//! Bodies that flow: `WebSockets`, server-sent events, big uploads and downloads, trailers, old
//! clients. Nothing is gathered up on the way.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use h2::RecvStream;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Request};
use ring::digest::{Context, SHA256};
use tokio_tungstenite::tungstenite::Message;

use super::support::app::pattern;
use super::support::client::{Browser, PATIENCE};
use super::support::gateway::{Gateway, Plan};
use super::support::grpc::GrpcApp;
use super::support::upstream::Recorder;
use super::support::visitor;
use super::support::wire::{Answer, Body};
use super::support::within;

/// The size of a big body.
const BIG: u64 = 256 * 1024 * 1024;
/// What the gateway's memory may grow by while a big body goes through.
const GROWTH: u64 = 64 * 1024 * 1024;
/// How long a big body may take, on a busy machine.
const BIG_PATIENCE: Duration = Duration::from_mins(8);

/// An HTTP/2 connection.
pub(crate) async fn h2(browser: &Browser) -> SendRequest<Bytes> {
    let (client, connection) = h2::client::handshake(browser.connect_h2().await).await.unwrap();
    tokio::spawn(connection);
    client.ready().await.unwrap()
}

/// A request for it.
pub(crate) fn h2_request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(format!("https://gw.test{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

async fn set_up() -> (Recorder, Gateway, Browser) {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (browser, _person) = visitor::signed_in(&gateway, "alice").await;
    (app, gateway, browser)
}

fn handshake(browser: &Browser, origin: &str) -> String {
    format!(
        "GET /app/ws HTTP/1.1\r\nHost: gw.test\r\n{}Connection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Origin: {origin}\r\n\r\n",
        browser.cookie_line()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_echoes_what_it_is_sent() {
    let (app, _gateway, browser) = set_up().await;
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
    let (mut socket, answer) =
        within(PATIENCE, "the handshake", tokio_tungstenite::client_async(request, stream))
            .await
            .unwrap();
    assert_eq!(answer.status(), 101);
    for message in [Message::text("hello"), Message::binary(vec![7; 100_000])] {
        socket.send(message.clone()).await.unwrap();
        let echo = within(PATIENCE, "the echo", socket.next()).await.unwrap().unwrap();
        assert_eq!(echo, message);
    }
    socket.close(None).await.unwrap();
    let seen = app.wait_for(app.mark_of_all(), |r| r.head.path() == "/app/ws").await;
    assert_eq!(seen.head.all("remote-user"), ["alice"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_from_elsewhere_or_from_nobody_is_refused() {
    let (app, _gateway, browser) = set_up().await;
    let mark = app.mark();
    let mut anonymous = browser.clone();
    anonymous.jar.clear();
    for (visitor, origin, expected) in [
        (&browser, "https://evil.example", 403),
        (&browser, "http://gw.test", 403),
        (&browser, "https://gw.test.evil.example", 403),
        (&browser, "null", 403),
        (&anonymous, "https://gw.test", 401),
    ] {
        let mut wire = visitor.connect().await;
        wire.send(handshake(visitor, origin).as_bytes()).await.unwrap();
        let answer = within(PATIENCE, origin, wire.answer("GET")).await.unwrap();
        assert_eq!(answer.status, expected, "from {origin}: {}", answer.text());
    }
    app.barrier().await;
    assert_eq!(app.requests(mark).len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_arrives_before_the_next_one_is_made() {
    let (app, _gateway, browser) = set_up().await;
    let mut wire = browser.connect().await;
    let cookies = browser.cookie_line();
    let request = format!("GET /app/events?count=3 HTTP/1.1\r\nHost: gw.test\r\n{cookies}\r\n");
    wire.send(request.as_bytes()).await.unwrap();
    let head = within(PATIENCE, "the head", wire.answer_head()).await.unwrap();
    assert_eq!(head.get("content-type"), Some("text/event-stream"));
    let mut body = Body::of(&head, "GET");
    for number in 1..=3 {
        // The app makes the next event only after this one has come through.
        let expected = format!("data: {number}\n\n").into_bytes();
        let mut got = Vec::new();
        while got.len() < expected.len() {
            let piece = within(PATIENCE, "an event", wire.piece(&mut body)).await.unwrap();
            got.extend(piece.expect("the stream goes on"));
        }
        assert_eq!(got, expected);
        app.go_on();
    }
    while within(PATIENCE, "the end", wire.piece(&mut body)).await.unwrap().is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_anonymous_upload_is_refused_before_its_body_is_sent() {
    let (app, _gateway, mut browser) = set_up().await;
    browser.jar.clear();
    let mark = app.mark();
    let mut wire = browser.connect().await;
    let request = "POST /app/upload HTTP/1.1\r\nHost: gw.test\r\nExpect: 100-continue\r\n\
                   Content-Length: 1000000\r\n\r\n";
    wire.send(request.as_bytes()).await.unwrap();
    let answer = within(PATIENCE, "the refusal", wire.answer("POST")).await.unwrap();
    assert_eq!((answer.status, answer.interim.as_slice()), (401, &[][..]), "{}", answer.text());
    assert_eq!(answer.json()["code"], "login_required");
    app.barrier().await;
    assert_eq!((app.connections(mark), app.requests(mark).len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_waits_for_100_continue_gets_it_from_the_gateway() {
    let (app, _gateway, browser) = set_up().await;
    let mut wire = browser.connect().await;
    let request = format!(
        "POST /app/upload HTTP/1.1\r\nHost: gw.test\r\n{}Expect: 100-continue\r\n\
         Content-Length: 5\r\n\r\n",
        browser.cookie_line()
    );
    wire.send(request.as_bytes()).await.unwrap();
    let interim = within(PATIENCE, "100", wire.until(b"\r\n\r\n", 4096)).await.unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&interim));
    wire.send(b"hello").await.unwrap();
    let answer = within(PATIENCE, "the answer", wire.answer("POST")).await.unwrap();
    assert_eq!(answer.json()["length"], 5);
    drop(app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunked_upload_arrives_whole() {
    let (_app, _gateway, browser) = set_up().await;
    let mut wire = browser.connect().await;
    let cookies = browser.cookie_line();
    let head = format!("POST /app/echo HTTP/1.1\r\nHost: gw.test\r\n{cookies}");
    let body = "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nB\r\n, big world\r\n0\r\n\r\n";
    wire.send(format!("{head}{body}").as_bytes()).await.unwrap();
    let answer = within(PATIENCE, "the echo", wire.answer("POST")).await.unwrap();
    assert_eq!(answer.text(), "hello, big world");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_big_upload_arrives_unchanged_and_is_not_held_in_memory() {
    let (_app, gateway, browser) = set_up().await;
    let before = gateway.resident();
    let mut wire = browser.connect().await;
    let head = format!(
        "PUT /app/upload HTTP/1.1\r\nHost: gw.test\r\n{}Content-Length: {BIG}\r\n\r\n",
        browser.cookie_line()
    );
    let block = pattern();
    let mut digest = Context::new(&SHA256);
    let mut most = 0;
    let upload = async {
        wire.send(head.as_bytes()).await.unwrap();
        for sent in 0..BIG / block.len() as u64 {
            wire.send(&block).await.unwrap();
            digest.update(&block);
            if sent % 256 == 0 {
                most = most.max(gateway.resident());
            }
        }
        wire.answer("PUT").await.unwrap()
    };
    let answer = within(BIG_PATIENCE, "the upload", upload).await;
    let sha256 = data_encoding::HEXLOWER.encode(digest.finish().as_ref());
    assert_eq!(answer.json()["length"], BIG);
    assert_eq!(answer.json()["sha256"], sha256.as_str());
    let grown = most.saturating_sub(before);
    assert!(grown < GROWTH, "memory grew by {} KiB", grown / 1024);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_big_download_arrives_unchanged_and_is_not_held_in_memory() {
    let (_app, gateway, browser) = set_up().await;
    let before = gateway.resident();
    let mut wire = browser.connect().await;
    let cookies = browser.cookie_line();
    let head = format!("GET /app/big?bytes={BIG} HTTP/1.1\r\nHost: gw.test\r\n{cookies}\r\n");
    wire.send(head.as_bytes()).await.unwrap();
    let (mut got, mut expected) = (Context::new(&SHA256), Context::new(&SHA256));
    let (mut length, mut pieces, mut most) = (0, 0_u64, 0);
    let download = async {
        let answer = wire.answer_head().await.unwrap();
        let mut body = Body::of(&answer, "GET");
        while let Some(piece) = wire.piece(&mut body).await.unwrap() {
            got.update(&piece);
            length += piece.len() as u64;
            pieces += 1;
            if pieces % 256 == 0 {
                most = most.max(gateway.resident());
            }
        }
    };
    within(BIG_PATIENCE, "the download", download).await;
    let block = pattern();
    for _ in 0..BIG / block.len() as u64 {
        expected.update(&block);
    }
    assert_eq!(length, BIG);
    assert_eq!(got.finish().as_ref(), expected.finish().as_ref());
    let grown = most.saturating_sub(before);
    assert!(grown < GROWTH, "memory grew by {} KiB", grown / 1024);
}

/// A gateway before an app that speaks HTTP/2, with `settings`, and a client of it.
async fn grpc_behind(settings: &str) -> (GrpcApp, Gateway, SendRequest<Bytes>) {
    let (recorder, grpc) = (Recorder::start().await, GrpcApp::start().await);
    let open = format!(
        "upstream_http2 = true\n{settings}\
         [[apps.rules]]\npath = \"/service/**\"\naccess = \"public\"\n"
    );
    let url = format!("http://{}", grpc.address);
    let plan = Plan::new(&recorder).app("grpc", "other.test", &url, &open);
    let gateway = Gateway::start(&plan).await;
    let mut browser = Browser::new(&gateway);
    "other.test".clone_into(&mut browser.host);
    let client = h2(&browser).await;
    (grpc, gateway, client)
}

/// The whole of a body over HTTP/2.
async fn all_of(body: &mut RecvStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(piece) = within(PATIENCE, "the body", body.data()).await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        all.extend_from_slice(&piece);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_of_answers_pass_where_both_sides_speak_http2_and_those_of_requests_do_not() {
    let (grpc, _gateway, mut client) = grpc_behind("").await;
    let request = Request::builder()
        .method("POST")
        .uri("https://other.test/service/Method")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (answer, mut sender) = client.send_request(request, false).unwrap();
    sender.send_data(Bytes::from_static(b"hello"), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static("1"));
    trailers.insert("remote-user", HeaderValue::from_static("attacker"));
    sender.send_trailers(trailers).unwrap();
    let answer = within(PATIENCE, "the answer", answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    let echoed = all_of(&mut body).await;
    let end = within(PATIENCE, "the trailers", body.trailers()).await.unwrap().unwrap();
    assert_eq!(echoed, b"hello");
    assert_eq!(end.get("grpc-status").unwrap(), "5");
    let seen = grpc.trailers.lock().clone();
    assert!(seen.is_empty(), "nobody looks at them here, so none may reach the app: {seen:?}");
}

/// However long an upload takes in all: the app may be silent while it flows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_upload_to_an_app_over_http2_takes_as_long_as_it_takes() {
    let (_grpc, _gateway, mut client) = grpc_behind("read_timeout = \"3s\"\n").await;
    let request = Request::post("https://other.test/service/Late").body(()).unwrap();
    let (answer, mut sender) = client.send_request(request, false).unwrap();
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    for piece in 0..5 {
        beat.tick().await;
        sender.send_data(Bytes::from_static(b"drip"), piece == 4).unwrap();
    }
    let answer = within(PATIENCE, "the answer", answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(all_of(&mut answer.into_body()).await, b"drip".repeat(5));
}

/// Small pieces are gathered, but nobody waits for what has come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_known_length_comes_through_as_it_comes() {
    let (app, _gateway, browser) = set_up().await;
    let mut wire = browser.connect().await;
    let cookies = browser.cookie_line();
    let request = format!("GET /app/trickle HTTP/1.1\r\nHost: gw.test\r\n{cookies}\r\n");
    wire.send(request.as_bytes()).await.unwrap();
    let head = within(PATIENCE, "the head", wire.answer_head()).await.unwrap();
    assert_eq!(head.get("content-length"), Some("6"));
    let mut body = Body::of(&head, "GET");
    for expected in ["ab", "cd", "ef"] {
        app.go_on();
        let piece = within(PATIENCE, expected, wire.piece(&mut body)).await.unwrap();
        assert_eq!(piece.as_deref(), Some(expected.as_bytes()));
    }
    app.go_on();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_1_0_client_is_served_without_chunks() {
    let (app, _gateway, browser) = set_up().await;
    let cookies = browser.cookie_line();
    for target in ["/app/x", "/app/events?count=1"] {
        let mut wire = browser.connect().await;
        let request = format!("GET {target} HTTP/1.0\r\nHost: gw.test\r\n{cookies}\r\n");
        wire.send(request.as_bytes()).await.unwrap();
        app.go_on();
        let answer: Answer = within(PATIENCE, target, wire.answer("GET")).await.unwrap();
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(answer.get("transfer-encoding"), None, "{target}");
        assert!(!answer.body.is_empty(), "{target}");
    }
}
