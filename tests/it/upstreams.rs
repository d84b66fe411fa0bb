//! Connections to the app: when they are used again, when a request is sent a second time, and what
//! of HTTP's interim answers goes which way.

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::streams::{h2, h2_request};
use super::support::client::{Browser, PATIENCE};
use super::support::gateway::{Gateway, PUBLIC_RULE, Plan};
use super::support::upstream::Recorder;
use super::support::visitor;
use super::support::wire::{Answer, Wire};
use super::support::within;

/// An app that goes by a script: how it treats the n-th request on a connection.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// Answers the first request on its first connection, and closes at the second.
    ClosesUnanswered,
    /// Answers as soon as it has the header block, then reads the body and goes on.
    AnswersEarly,
    /// Sends an interim answer before each answer.
    Hints,
}

/// The heads it got, each with the number of its connection; an empty one for an end.
type Heard = mpsc::UnboundedReceiver<(usize, String)>;

async fn app(manner: Manner) -> (String, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((stream, _)) = listener.accept().await {
            number += 1;
            tokio::spawn(connection(Wire::new(stream), number, manner, sender.clone()));
        }
    });
    (url, heard)
}

async fn connection(
    mut wire: Wire,
    number: usize,
    manner: Manner,
    heard: mpsc::UnboundedSender<(usize, String)>,
) {
    let mut requests = 0;
    loop {
        let head = wire.until(b"\r\n\r\n", 64 * 1024).await.unwrap_or_default();
        let text = String::from_utf8(head).unwrap();
        drop(heard.send((number, text.clone())));
        requests += 1;
        if text.is_empty() || (matches!(manner, Manner::ClosesUnanswered) && requests > 1) {
            return;
        }
        let hint = match manner {
            Manner::Hints => "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n",
            Manner::ClosesUnanswered | Manner::AnswersEarly => "",
        };
        let answer = format!("{hint}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        drop(wire.send(answer.as_bytes()).await);
        let length =
            |line: &str| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok();
        let mut left: u64 = text.lines().find_map(length).unwrap_or(0);
        while left > 0 {
            match wire.up_to(left).await {
                Ok(piece) if !piece.is_empty() => left -= piece.len() as u64,
                _ => return,
            }
        }
    }
}

async fn next(heard: &mut Heard) -> (usize, String) {
    within(PATIENCE, "the app to hear", heard.recv()).await.unwrap()
}

/// The next request that the app got, without the ends of connections.
async fn next_request(heard: &mut Heard) -> String {
    loop {
        let (_, head) = next(heard).await;
        if !head.is_empty() {
            return head.to_ascii_lowercase();
        }
    }
}

async fn before(manner: Manner, keys: &str) -> (Gateway, Heard) {
    let (url, heard) = app(manner).await;
    let recorder = Recorder::start().await;
    let more = format!("{keys}{PUBLIC_RULE}");
    let plan = Plan::new(&recorder).app("scripted", "plain.test", &url, &more);
    (Gateway::start(&plan).await, heard)
}

async fn plain(gateway: &Gateway) -> Wire {
    Wire::new(TcpStream::connect(gateway.http).await.unwrap())
}

/// One request on a connection of its own.
async fn ask(gateway: &Gateway, method: &str, more: &str, body: &str) -> Answer {
    ask_on(&mut plain(gateway).await, method, more, body).await
}

/// One request on this connection. The gateway has put the connection to the app of the request
/// before back into its pool by then.
async fn ask_on(wire: &mut Wire, method: &str, more: &str, body: &str) -> Answer {
    let request = format!(
        "{method} /public/x HTTP/1.1\r\nHost: plain.test\r\n{more}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    wire.send(request.as_bytes()).await.unwrap();
    within(PATIENCE, method, wire.answer(method)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_met_a_closing_connection_is_sent_again_where_that_is_safe() {
    for (keys, method, body, status, connections) in [
        ("", "GET", "", 200, vec![1, 1, 2]),
        ("", "PUT", "a body", 200, vec![1, 1, 2]),
        ("", "POST", "a body", 502, vec![1, 1]),
        ("retry_unanswered = true\n", "POST", "a body", 200, vec![1, 1, 2]),
        ("retry_unanswered = true\n", "POST", "", 200, vec![1, 1, 2]),
    ] {
        let (gateway, mut heard) = before(Manner::ClosesUnanswered, keys).await;
        let mut wire = plain(&gateway).await;
        assert_eq!(ask_on(&mut wire, "GET", "", "").await.status, 200);
        let answer = ask_on(&mut wire, method, "", body).await;
        assert_eq!(answer.status, status, "{keys}{method}: {}", answer.text());
        for connection in connections {
            let (on, head) = next(&mut heard).await;
            assert_eq!(on, connection, "{keys}{method}: {head}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_whose_answer_came_before_the_bodys_end_is_not_used_again() {
    let (gateway, mut heard) = before(Manner::AnswersEarly, "upstream_idle = \"1m\"\n").await;
    let mut wire = plain(&gateway).await;
    let head = "POST /public/x HTTP/1.1\r\nHost: plain.test\r\nContent-Length: 100000\r\n\r\n";
    wire.send(head.as_bytes()).await.unwrap();
    let answer = within(PATIENCE, "the answer", wire.answer("POST")).await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    wire.send(&vec![b'x'; 100_000]).await.unwrap();
    assert!(within(PATIENCE, "the end", wire.some()).await.unwrap().is_empty());
    assert_eq!(next(&mut heard).await.0, 1);
    for method in ["POST", "GET", "GET"] {
        assert_eq!(ask(&gateway, method, "", "").await.status, 200);
        let (on, head) = next(&mut heard).await;
        if on == 1 {
            assert!(head.is_empty(), "{head}");
            assert_ne!(next(&mut heard).await.0, 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_without_a_request_is_closed_before_the_app_would() {
    let (gateway, mut heard) = before(Manner::Hints, "upstream_idle = \"300ms\"\n").await;
    assert_eq!(ask(&gateway, "GET", "", "").await.status, 200);
    assert!(next(&mut heard).await.1.starts_with("GET "));
    assert_eq!(next(&mut heard).await, (1, String::new()), "the gateway closes it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interim_answers_go_to_clients_that_can_read_them() {
    let (gateway, mut heard) = before(Manner::Hints, "").await;
    let answer = ask(&gateway, "GET", "", "").await;
    assert_eq!((answer.status, answer.interim.as_slice()), (200, &[103][..]));
    assert!(next_request(&mut heard).await.starts_with("get /public/x "));
    for more in ["", "Expect: 100-continue\r\nContent-Length: 1\r\n"] {
        let mut wire = plain(&gateway).await;
        let body = if more.is_empty() { "" } else { "x" };
        let request = format!("POST /public/x HTTP/1.0\r\nHost: plain.test\r\n{more}\r\n{body}");
        wire.send(request.as_bytes()).await.unwrap();
        let answer = within(PATIENCE, "an answer", wire.answer("POST")).await.unwrap();
        assert_eq!((answer.status, answer.interim.as_slice()), (200, &[][..]), "{more}");
        let head = next_request(&mut heard).await;
        assert!(head.starts_with("post /public/x ") && !head.contains("expect:"), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leave_to_send_comes_from_the_gateway_once_the_request_is_admitted() {
    let recorder = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&recorder)).await;
    let mut wire = plain(&gateway).await;
    for number in 1..=2 {
        let head = "POST /public/echo HTTP/1.1\r\nHost: gw.test\r\nExpect: 100-continue\r\n\
                    Content-Length: 5\r\n\r\n";
        wire.send(head.as_bytes()).await.unwrap();
        let leave = within(PATIENCE, "leave", wire.until(b"\r\n\r\n", 1024)).await.unwrap();
        assert!(leave.starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&leave));
        wire.send(b"hello").await.unwrap();
        let answer = within(PATIENCE, "the answer", wire.answer("POST")).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"), "{number}");
        assert_eq!(answer.interim, Vec::<u16>::new(), "leave is given once");
        assert_ne!(answer.get("connection"), Some("close"), "the connection is kept");
    }
    let seen = recorder.requests(recorder.mark_of_all());
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|r| r.head.get("expect").is_none() && r.length == 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_handshake_with_a_body_is_refused() {
    let recorder = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&recorder)).await;
    for body in ["Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] {
        let mut wire = plain(&gateway).await;
        let request = format!(
            "GET /public/ws HTTP/1.1\r\nHost: gw.test\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://gw.test\r\n{body}"
        );
        wire.send(request.as_bytes()).await.unwrap();
        let answer = within(PATIENCE, body, wire.answer("GET")).await.unwrap();
        assert_eq!((answer.status, answer.get("connection")), (400, Some("close")), "{body}");
    }
    recorder.barrier().await;
    assert!(recorder.requests(recorder.mark_of_all()).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_may_pause_in_a_body_for_less_long_than_people_who_are_signed_in() {
    let recorder = Recorder::start().await;
    let plan = Plan::new(&recorder).extra("[network]\nbody_idle = \"1s\"");
    let gateway = Gateway::start(&plan).await;
    let (browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let mut wires = Vec::new();
    for (path, visitor) in [("/private", &browser), ("/public/x", &Browser::new(&gateway))] {
        let mut wire = visitor.connect().await;
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: gw.test\r\n{}Content-Length: 6\r\n\r\nabc",
            visitor.cookie_line()
        );
        wire.send(request.as_bytes()).await.unwrap();
        wires.push(wire);
    }
    let mut stranger = wires.pop().unwrap();
    let cut = within(PATIENCE, "the stranger's", stranger.answer("POST")).await.unwrap();
    assert_eq!(cut.status, 400, "{}", cut.text());
    let mut alice = wires.pop().unwrap();
    alice.send(b"def").await.unwrap();
    let mut client = h2(&Browser::new(&gateway)).await;
    let (cut, _body) = client.send_request(h2_request("POST", "/public/x", &[]), false).unwrap();
    let cut = within(PATIENCE, "the stranger's over HTTP/2", cut).await.unwrap();
    assert_eq!(cut.status(), 504, "a pause of the client looks like one of the app");
    let answer = within(PATIENCE, "the answer", alice.answer("POST")).await.unwrap();
    assert_eq!((answer.status, answer.json()["length"].as_u64()), (200, Some(6)));
}
