//! The PROXY protocol: real `HAProxy` in front, and headers that nobody should send.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::support::client::{self, Browser, PATIENCE};
use super::support::gateway::{Gateway, Plan};
use super::support::upstream::Recorder;
use super::support::wire::Wire;
use super::support::within;

/// The address of the balancer.
const BALANCER: &str = "127.0.0.2";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V4: [u8; 12] = [203, 0, 113, 7, 127, 0, 0, 1, 0x30, 0x39, 1, 0xbb];
const GET: &[u8] = b"GET /public/x HTTP/1.1\r\nHost: gw.test\r\nX-Forwarded-For: 9.9.9.9\r\n\
                     Connection: close\r\n\r\n";

async fn start(more: &str) -> (Recorder, Gateway) {
    let app = Recorder::start().await;
    let network =
        format!("[network]\ntrusted_proxies = [\"{BALANCER}\"]\nproxy_protocol = true\n{more}");
    let gateway = Gateway::start(&Plan::new(&app).extra(&network)).await;
    (app, gateway)
}

/// `HAProxy`, which passes connections on with a PROXY header.
struct Balancer {
    child: Child,
    address: SocketAddr,
    _dir: TempDir,
}

impl Balancer {
    fn start(to: SocketAddr, how: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("haproxy.cfg");
        let config = format!(
            "global\n    maxconn 100\ndefaults\n    mode tcp\n    timeout connect 10s\n    \
             timeout client 60s\n    timeout server 60s\nlisten gateway\n    bind fd@0\n    \
             server one {to} {how} source {BALANCER}\n"
        );
        std::fs::write(&file, config).unwrap();
        // It listens from the start, so that nobody comes too early.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let child = Command::new("/usr/sbin/haproxy")
            .args(["-db", "-f"])
            .arg(&file)
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, address, _dir: dir }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn v2(command: u8, family: u8, length: u16, body: &[u8]) -> Vec<u8> {
    [SIGNATURE, &[command, family], &length.to_be_bytes(), body].concat()
}

/// Everything that comes back for `bytes` from this address.
async fn sent(to: SocketAddr, from: &str, pieces: &[&[u8]]) -> String {
    let from: IpAddr = from.parse().unwrap();
    let mut wire = Wire::new(client::tcp(to, from).await.unwrap());
    for piece in pieces {
        // It may have been closed by then.
        drop(wire.send(piece).await);
    }
    let rest = within(PATIENCE, "the end of the connection", wire.rest()).await;
    String::from_utf8_lossy(&rest).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_haproxy_the_client_is_who_the_header_names() {
    for how in
        ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options ssl,unique-id,crc32c"]
    {
        let (app, mut gateway) = start("").await;
        let balancer = Balancer::start(gateway.https, how);
        let direct = gateway.https;
        gateway.https = balancer.address;
        let mut browser = Browser::new(&gateway);
        browser.from = "127.0.0.9".parse().unwrap();
        let mark = app.mark();
        let lines = "X-Forwarded-For: 9.9.9.9\r\n";
        assert_eq!(browser.ask("GET", "/public/x", lines, b"").await.status, 200, "{how}");
        let seen = app.wait_for(mark, |r| r.head.path() == "/public/x").await;
        assert_eq!(seen.head.all("x-forwarded-for"), ["127.0.0.9"], "{how}");

        gateway.https = direct;
        let mut browser = Browser::new(&gateway);
        let mark = app.mark();
        assert_eq!(browser.get("/public/direct").await.status, 200, "{how}: past the balancer");
        let seen = app.wait_for(mark, |r| r.head.path() == "/public/direct").await;
        assert_eq!(seen.head.all("x-forwarded-for"), ["127.0.0.1"], "{how}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_counts_from_the_balancer_only_and_however_it_is_cut() {
    let (app, gateway) = start("").await;
    let line: &[u8] = b"PROXY TCP4 203.0.113.7 127.0.0.1 12345 443\r\n";
    let binary = v2(0x21, 0x11, 12, &V4);
    for header in [line, &binary] {
        let mark = app.mark();
        let bytes = [header, GET].concat();
        let one_by_one: Vec<&[u8]> = bytes.chunks(1).collect();
        for pieces in [&[header, GET][..], &[&bytes], &one_by_one] {
            let answer = sent(gateway.http, BALANCER, pieces).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        app.barrier().await;
        for seen in app.requests(mark) {
            assert_eq!(seen.head.all("x-forwarded-for"), ["203.0.113.7"]);
        }
        let mark = app.mark();
        let answer = sent(gateway.http, "127.0.0.1", &[&bytes]).await;
        assert!(!answer.contains(" 200 "), "{answer}");
        app.barrier().await;
        assert!(app.requests(mark).is_empty(), "a stranger's header is no header");
    }
    let answer = sent(gateway.http, "127.0.0.1", &[GET]).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "a stranger without a header: {answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_the_balancer_does_not_name_is_unknown_whatever_it_says() {
    let (app, gateway) = start("").await;
    for header in
        [b"PROXY UNKNOWN\r\n".to_vec(), v2(0x20, 0, 0, &[]), v2(0x21, 0x31, 216, &[0; 216])]
    {
        let mark = app.mark();
        let answer = sent(gateway.http, BALANCER, &[&header, GET]).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{header:02x?}: {answer}");
        let seen = app.wait_for(mark, |r| r.head.path() == "/public/x").await;
        for said in seen.head.all("x-forwarded-for") {
            assert!(!said.contains("9.9.9.9") && !said.contains(BALANCER), "{header:02x?}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_balancer_gets_no_answer_without_a_proper_header() {
    let (app, gateway) = start("").await;
    let mark = app.mark();
    let long = [b"PROXY TCP4 ", &*vec![b'1'; 4000], b"\r\n"].concat();
    for header in [
        GET.to_vec(),
        [&long[..], GET].concat(),
        [b"PROXY TCP4 203.0.113.7 127.0.0.1 12345 443\n", GET].concat(),
        [v2(0x21, 0x11, 8, &V4[..8]), GET.to_vec()].concat(),
        [v2(0x21, 0x11, 65_535, &[0; 4000]), GET.to_vec()].concat(),
        [v2(0x31, 0x11, 12, &V4), GET.to_vec()].concat(),
        [v2(0x21, 0x12, 12, &V4), GET.to_vec()].concat(),
    ] {
        for listener in [gateway.http, gateway.https, gateway.redirect] {
            assert_eq!(sent(listener, BALANCER, &[&header]).await, "", "{header:02x?}");
        }
    }
    // One that sends half a header is not waited for.
    assert_eq!(sent(gateway.http, BALANCER, &[b"PROXY TCP4 203"]).await, "");
    app.barrier().await;
    assert!(app.requests(mark).is_empty());
    let told = |line: &super::support::log::Line| {
        (line.get("message")? == "connection of a trusted proxy closed").then_some(())
    };
    gateway.log.wait_for("the reason", told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_counted_by_the_client_behind_the_balancer() {
    let (_app, gateway) = start("connections_per_address = 1\n").await;
    let open = async |client: &str| {
        let from: IpAddr = BALANCER.parse().unwrap();
        let mut wire = Wire::new(client::tcp(gateway.http, from).await.unwrap());
        let header = format!("PROXY TCP4 {client} 127.0.0.1 12345 443\r\n");
        wire.send(header.as_bytes()).await.unwrap();
        wire
    };
    let request = b"GET /public/x HTTP/1.1\r\nHost: gw.test\r\n\r\n";
    let ask = async |wire: &mut Wire| {
        wire.send(request).await?;
        within(PATIENCE, "an answer", wire.answer("GET")).await.map(|answer| answer.status)
    };
    let (mut one, mut other) = (open("203.0.113.1").await, open("203.0.113.2").await);
    assert_eq!((ask(&mut one).await.unwrap(), ask(&mut other).await.unwrap()), (200, 200));
    assert_eq!(ask(&mut one).await.unwrap(), 200, "another client closes nothing");
    // A connection is idle once its request is logged, which is after its answer. Until then a new one
    // is refused.
    let newer = async {
        loop {
            let mut second = open("203.0.113.1").await;
            if let Ok(status) = ask(&mut second).await {
                return (second, status);
            }
        }
    };
    let (_second, status) = within(PATIENCE, "a place for a new connection", newer).await;
    assert_eq!(status, 200);
    assert!(ask(&mut one).await.is_err(), "the idle connection of the same client");
    assert_eq!(ask(&mut other).await.unwrap(), 200);
}
