//! Answers with `101`: nothing but the tunnel follows one, and nobody gets one without asking.

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::support::client::{Browser, PATIENCE};
use super::support::gateway::{Gateway, PUBLIC_RULE, Plan};
use super::support::log::Line;
use super::support::upstream::Recorder;
use super::support::wire::Wire;
use super::support::within;

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                        Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// An app that answers every request with 101. Its connections.
async fn switching_app() -> (String, mpsc::UnboundedReceiver<Wire>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, switched) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(switch(stream, sender));
        }
    });
    (url, switched)
}

async fn switch(stream: TcpStream, sender: mpsc::UnboundedSender<Wire>) {
    // A connection that is reset has no data that nobody read.
    stream.set_zero_linger().unwrap();
    let mut wire = Wire::new(stream);
    let head = wire.until(b"\r\n\r\n", 64 * 1024).await.unwrap_or_default();
    if !head.is_empty() && wire.send(SWITCH).await.is_ok() {
        // The test may be over.
        drop(sender.send(wire));
    }
}

async fn set_up() -> (Recorder, Gateway, mpsc::UnboundedReceiver<Wire>) {
    let (recorder, (url, switched)) = (Recorder::start().await, switching_app().await);
    let more = format!("websocket = true\n{PUBLIC_RULE}");
    let plan = Plan::new(&recorder)
        .app("switching", "plain.test", &url, &more)
        .extra("[network]\nbody_idle = \"1s\"\nbody_idle_signed_in = \"1s\"\n");
    (recorder, Gateway::start(&plan).await, switched)
}

async fn sent(gateway: &Gateway, lines: &str) -> Wire {
    let mut browser = Browser::new(gateway);
    "plain.test".clone_into(&mut browser.host);
    let mut wire = browser.connect().await;
    let request = format!("GET /public/x HTTP/1.1\r\nHost: plain.test\r\n{lines}\r\n");
    wire.send(request.as_bytes()).await.unwrap();
    wire
}

const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://plain.test\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_written_into_a_tunnel_that_breaks() {
    let (_recorder, gateway, mut switched) = set_up().await;
    for broken_by_app in [true, false] {
        let mut client = sent(&gateway, HANDSHAKE).await;
        let opened = within(PATIENCE, "the handshake", client.answer_head()).await.unwrap();
        assert_eq!(opened.status, 101);
        let app = within(PATIENCE, "the tunnel", switched.recv()).await.unwrap();
        // Otherwise the client stays silent for longer than it may.
        let app = if broken_by_app { None } else { Some(app) };
        let rest = within(PATIENCE, "the end of the tunnel", client.rest()).await;
        let text = String::from_utf8_lossy(&rest);
        assert!(!text.contains("HTTP/1.1") && !text.contains("reference"), "{text}");
        drop(app);
    }
    gateway.signal("TERM");
    assert!(gateway.ended().await.success(), "{}", gateway.log.so_far());
    let log = gateway.log.whole();
    assert!(!log.contains("bad_request"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_switches_unasked_is_a_bad_gateway() {
    let (_recorder, gateway, _switched) = set_up().await;
    for lines in ["", "Connection: Upgrade\r\nUpgrade: h2c\r\n"] {
        let mut client = sent(&gateway, lines).await;
        let answer = within(PATIENCE, "an answer", client.answer("GET")).await.unwrap();
        assert_eq!(answer.status, 502, "{lines:?}: {}", answer.text());
    }
    let failed = |line: &Line| (line.get("message") == Some("app failed")).then_some(());
    gateway.log.wait_for("the failure", failed).await;
}
