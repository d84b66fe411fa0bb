//! An app that takes a request and never answers: who asked is told so, by each way in.

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::streams::{h2, h2_request};
use super::support::client::{Browser, PATIENCE};
use super::support::gateway::{Gateway, PUBLIC_RULE, Plan};
use super::support::log::Line;
use super::support::upstream::Recorder;
use super::support::within;

/// Its address, and what it hears: the first bytes of each connection, and nothing when one ends.
async fn silent_app() -> (String, mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut bytes = vec![0; 4096];
                while let Ok(read) = stream.read(&mut bytes).await {
                    sender.send(bytes[..read].to_vec()).unwrap();
                    if read == 0 {
                        return;
                    }
                }
            });
        }
    });
    (url, heard)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_never_answers_is_a_gateway_timeout() {
    let recorder = Recorder::start().await;
    let (url, mut heard) = silent_app().await;
    let more = format!("read_timeout = \"1s\"\n{PUBLIC_RULE}");
    let gateway =
        Gateway::start(&Plan::new(&recorder).app("silent", "plain.test", &url, &more)).await;
    let mut browser = Browser::new(&gateway);
    browser.host = "plain.test".to_owned();
    for (method, body) in [("GET", &b""[..]), ("POST", b"a body")] {
        let answer = browser.ask(method, "/public/x", "", body).await;
        assert_eq!(answer.status, 504, "{method}: {}", answer.text());
        assert_eq!(answer.json()["code"], "upstream_timeout");
        let asked = within(PATIENCE, "the request", heard.recv()).await.unwrap();
        assert!(asked.starts_with(method.as_bytes()));
        // The connection is given up with the request: no later answer can be taken for another's.
        while !within(PATIENCE, "its end", heard.recv()).await.unwrap().is_empty() {}
    }
    let mut client = h2(&browser).await;
    let mut request = h2_request("GET", "/public/x", &[]);
    *request.uri_mut() = "https://plain.test/public/x".parse().unwrap();
    let (answer, _body) = client.send_request(request, true).unwrap();
    let answer: http::Response<h2::RecvStream> =
        within(PATIENCE, "an answer", answer).await.unwrap();
    assert_eq!(answer.status(), 504);
    let silent =
        |l: &Line| (l.get("message")? == "app failed").then(|| l.get("app") == Some("silent"));
    assert!(gateway.log.wait_for("the failure", silent).await);
}
