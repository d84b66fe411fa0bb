//! Answers that are given before a request's body was read arrive, whichever client asked and
//! however it sends; and nothing of what is discarded reaches an app or is taken for a request.

use super::support::program::run_to_end;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::streams::{h2, h2_request};
use super::support::client::{Browser, PATIENCE, tls};
use super::support::gateway::{Gateway, PUBLIC_RULE, Plan};
use super::support::ports::ClosedPort;
use super::support::upstream::Recorder;
use super::support::visitor;
use super::support::wire::Wire;
use super::support::within;

/// How long all uploads of one client may take on a busy machine.
const LONGEST: Duration = Duration::from_mins(4);
const ONE_MB: usize = 1024 * 1024;
const LARGE: usize = 64 * ONE_MB;

/// An app that answers 413 as soon as it has read a header block, and closes.
async fn hasty_app() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut wire = Wire::new(stream);
                let head = wire.until(b"\r\n\r\n", 64 * 1024).await.unwrap_or_default();
                if head.is_empty() {
                    return;
                }
                let text = "{\"code\":\"too_large_for_the_app\"}";
                let answer = format!(
                    "HTTP/1.1 413 Content Too Large\r\nContent-Type: application/json\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
                    text.len()
                );
                drop(wire.send(answer.as_bytes()).await);
            });
        }
    });
    url
}

/// A gateway with an app that refuses uploads, one that is gone, and one that takes them.
async fn set_up() -> (Recorder, Gateway, ClosedPort) {
    let app = Recorder::start().await;
    let closed = ClosedPort::any();
    let gone = format!("http://{}", closed.address());
    let plan = Plan::new(&app).app("hasty", "plain.test", &hasty_app().await, PUBLIC_RULE).app(
        "gone",
        "other.test",
        &gone,
        PUBLIC_RULE,
    );
    (app, Gateway::start(&plan).await, closed)
}

fn file_of(dir: &Path, size: usize) -> String {
    let path = dir.join(format!("body-{size}"));
    std::fs::write(&path, vec![b'x'; size]).unwrap();
    path.display().to_string()
}

async fn output_of(mut command: Command) -> String {
    let run = tokio::task::spawn_blocking(move || run_to_end(&mut command));
    let output = within(LONGEST, "the client", run).await.unwrap();
    let wrong = String::from_utf8_lossy(&output.stderr);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{wrong}");
    said
}

/// Host, path, and the status and code of the answer.
const REFUSALS: [(&str, &str, u16, &str); 4] = [
    ("gw.test", "/upload", 401, "login_required"),
    ("gw.test", "/_auth/login", 413, ""),
    ("plain.test", "/public/upload", 413, "too_large_for_the_app"),
    ("other.test", "/public/upload", 502, "upstream_unavailable"),
];

async fn curl_reads(gateway: &Gateway, version: &str, plain: bool, size: usize, times: usize) {
    let dir = tempfile::tempdir().unwrap();
    let body = file_of(dir.path(), size);
    for (host, path, status, code) in REFUSALS {
        let (scheme, address) =
            if plain { ("http", gateway.http) } else { ("https", gateway.https) };
        let port = address.port();
        for number in 0..times {
            let mut command = Command::new("curl");
            command
                .args(["-sS", version, "-X", "POST", "-H", "Expect:", "-w", " %{http_code}"])
                .args(["--noproxy", "*", "--max-time", "60", "--data-binary"])
                .arg(format!("@{body}"))
                .arg("--cacert")
                .arg(&gateway.certificates.authority)
                .arg("--resolve")
                .arg(format!("{host}:{port}:127.0.0.1"))
                .arg(format!("{scheme}://{host}:{port}{path}"));
            let said = output_of(command).await;
            let what = format!("{version} {scheme} {host}{path} {size}, {number}: {said}");
            assert!(said.ends_with(&format!(" {status}")), "{what}");
            assert!(said.contains(code), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_reads_every_early_answer() {
    let (app, gateway, _closed) = set_up().await;
    let mark = app.mark();
    for (version, plain) in [("--http1.1", true), ("--http1.1", false), ("--http2", false)] {
        curl_reads(&gateway, version, plain, ONE_MB, 5).await;
        curl_reads(&gateway, version, plain, LARGE, 1).await;
    }
    app.barrier().await;
    assert!(app.requests(mark).is_empty(), "nothing reached the app");
}

/// Uploads by Python's requests, or over a socket where the sender is to send on after the answer: it
/// sends half, waits for the answer, and sends the rest before it reads on. Prints a list of
/// statuses and texts, or what went wrong.
const PYTHON: &str = r#"
import http.client, json, socket, ssl, sys, requests
base, ca, host, path, size, times, manner = sys.argv[1:]
size = int(size)
def at_once():
    r = requests.post(base + path, data=b"x" * size, verify=ca or False, headers={"Host": host}, timeout=60)
    return [r.status_code, r.text]
def on_and_on():
    scheme, _, address = base.partition("://")
    name, port = address.rsplit(":", 1)
    sock = socket.create_connection((name, int(port)), timeout=60)
    if scheme == "https":
        sock = ssl.create_default_context(cafile=ca).wrap_socket(sock, server_hostname=name)
    head = "POST %s HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % (path, host)
    chunk = b"%x\r\n%s\r\n" % (size // 10, b"x" * (size // 10))
    sock.sendall(head.encode() + chunk * 5)
    answer = http.client.HTTPResponse(sock, method="POST")
    answer.fp.peek(1)
    for _ in range(5):
        sock.sendall(chunk)
    sock.sendall(b"0\r\n\r\n")
    answer.begin()
    return [answer.status, answer.read().decode()]
said = []
for _ in range(int(times)):
    try:
        said.append(on_and_on() if manner == "on and on" else at_once())
    except Exception as e:
        said.append([0, repr(e)])
print(json.dumps(said))
"#;

async fn python_reads(gateway: &Gateway, plain: bool, size: usize, times: usize, goes_on: bool) {
    for (host, path, status, code) in REFUSALS {
        let base = if plain {
            format!("http://{}", gateway.http)
        } else {
            format!("https://localhost:{}", gateway.https.port())
        };
        let mut command = Command::new("python3");
        command
            .args(["-c", PYTHON, &base])
            .arg(&gateway.certificates.authority)
            .args([host, path, &size.to_string(), &times.to_string()])
            .arg(if goes_on { "on and on" } else { "at once" })
            .env("no_proxy", "*");
        let said = output_of(command).await;
        let answers: Vec<(u16, String)> = serde_json::from_str(&said).unwrap();
        assert_eq!(answers.len(), times);
        for (got, text) in answers {
            assert_eq!(got, status, "{base} {host}{path} {size} {goes_on}: {text}");
            assert!(text.contains(code), "{base} {host}{path} {size}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_requests_read_every_early_answer() {
    let (app, gateway, _closed) = set_up().await;
    let mark = app.mark();
    for plain in [true, false] {
        python_reads(&gateway, plain, ONE_MB, 10, false).await;
        python_reads(&gateway, plain, LARGE, 2, false).await;
        python_reads(&gateway, plain, ONE_MB, 1, true).await;
    }
    app.barrier().await;
    assert!(app.requests(mark).is_empty(), "nothing reached the app");
}

/// Uploads by R's httr, which is curl underneath and speaks HTTP/2 where it can.
const R: &str = r#"
suppressPackageStartupMessages(library(httr))
args <- commandArgs(trailingOnly = TRUE)
for (i in seq_len(as.integer(args[5]))) {
  r <- POST(args[1], body = upload_file(args[4]), add_headers(Host = args[3], Expect = ""),
            config(cainfo = args[2]), timeout(60))
  cat(status_code(r), "")
}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_reads_every_early_answer() {
    let (app, gateway, _closed) = set_up().await;
    let mark = app.mark();
    let dir = tempfile::tempdir().unwrap();
    for (size, times) in [(ONE_MB, 5_usize), (LARGE, 1)] {
        let body = file_of(dir.path(), size);
        for (host, path, status, _) in REFUSALS {
            let mut command = Command::new("/usr/bin/Rscript");
            command
                .args(["--vanilla", "-e", R])
                .arg(format!("https://localhost:{}{path}", gateway.https.port()))
                .arg(&gateway.certificates.authority)
                .args([host, &body, &times.to_string()])
                .env("no_proxy", "*");
            let said = output_of(command).await;
            assert_eq!(said, format!("{status} ").repeat(times), "{host}{path} {size}");
        }
    }
    app.barrier().await;
    assert!(app.requests(mark).is_empty(), "nothing reached the app");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_an_early_answer_is_never_a_request() {
    let (app, gateway, _closed) = set_up().await;
    let mark = app.mark();
    let mut wire = Browser::new(&gateway).connect().await;
    let head = "POST /upload HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 1000000\r\n\r\n";
    wire.send(head.as_bytes()).await.unwrap();
    let smuggled = "GET /public/smuggled HTTP/1.1\r\nHost: gw.test\r\n\r\n";
    let answer = within(PATIENCE, "the refusal", wire.answer("POST")).await.unwrap();
    assert_eq!((answer.status, answer.get("connection")), (401, Some("close")));
    for _ in 0..1000 {
        if wire.send(smuggled.as_bytes()).await.is_err() {
            break;
        }
    }
    drop(wire.finish().await);
    assert!(within(PATIENCE, "the end", wire.some()).await.unwrap_or_default().is_empty());
    app.barrier().await;
    assert!(app.requests(mark).is_empty(), "{:?}", app.requests(mark));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http2_a_refused_client_may_send_all_before_its_stream_ends() {
    let (app, gateway, _closed) = set_up().await;
    let mark = app.mark();
    let mut client = h2(&Browser::new(&gateway)).await;
    let request = h2_request("POST", "/upload", &[("content-length", "3000000")]);
    let (answer, mut body) = client.send_request(request, false).unwrap();
    let answer = within(PATIENCE, "the refusal", answer).await.unwrap();
    assert_eq!(answer.status(), 401);
    let mut left = 3_000_000_usize;
    while left > 0 {
        body.reserve_capacity(left.min(16 * 1024));
        let room = within(PATIENCE, "room", std::future::poll_fn(|cx| body.poll_capacity(cx)));
        let room = room.await.expect("the stream is open").expect("no reset").min(left);
        left -= room;
        body.send_data(Bytes::from(vec![0; room]), left == 0).unwrap();
    }
    let (again, _) = client.send_request(h2_request("GET", "/public/x", &[]), true).unwrap();
    assert_eq!(within(PATIENCE, "the next", again).await.unwrap().status(), 200);
    assert_eq!(app.requests(mark).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_cannot_be_read_is_refused_in_our_words() {
    let (_app, gateway, _closed) = set_up().await;
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: gw.test\r\nBad Header: x\r\n\r\n", 400),
        ("\u{1}\u{2}\u{3}\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        ("CONNECT gw.test:443 HTTP/1.1\r\nHost: gw.test:443\r\n\r\n", 405),
    ] {
        let stream = TcpStream::connect(gateway.http).await.unwrap();
        let mut wire = Wire::new(stream);
        wire.send(request.as_bytes()).await.unwrap();
        let answer = within(PATIENCE, request, wire.answer("GET")).await.unwrap();
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(answer.get("server"), None, "{request}");
        assert!(answer.json()["error"].is_string() && answer.json()["code"].is_string());
        assert_eq!(answer.get("connection"), Some("close"), "{request}");
        assert!(within(PATIENCE, "the end", wire.some()).await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tls_connection_that_ends_after_an_answer_says_so() {
    let (_app, gateway, _closed) = set_up().await;
    for request in [
        "GET /public/x HTTP/1.1\r\nHost: other.test\r\n\r\n",
        "POST /upload HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 1000000\r\n\r\nxyz",
    ] {
        let stream = TcpStream::connect(gateway.https).await.unwrap();
        let mut stream = tls(stream, &gateway.certificates, "gw.test", "http/1.1").await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // Without close_notify this fails: the answer might have been cut.
        within(PATIENCE, request, stream.read_to_end(&mut answer)).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 "), "{}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_of_somebody_signed_in_meets_no_early_answer_of_ours() {
    let (app, gateway, _closed) = set_up().await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let answer = browser.ask("POST", "/upload", "", &vec![b'x'; ONE_MB]).await;
    let said: Value = answer.json();
    assert_eq!((answer.status, said["length"].as_u64()), (200, Some(1024 * 1024)));
    let seen = app.wait_for(app.mark_of_all(), |r| r.head.path() == "/upload").await;
    assert_eq!(seen.length, 1024 * 1024);
}
