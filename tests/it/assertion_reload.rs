//! Assertions of requests that a reload overtakes.

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use super::assertion::{NAME, part, plan};
use super::support::client::PATIENCE;
use super::support::gateway::Gateway;
use super::support::upstream::Recorder;
use super::support::visitor;
use super::support::wire::Wire;
use super::support::within;

/// A request that an app got, and the way to say whether it is answered. If not, the connection ends.
type Heard = (String, oneshot::Sender<bool>);

/// An app that answers as the test says, request by request.
async fn told_app() -> (String, mpsc::UnboundedReceiver<Heard>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut wire = Wire::new(stream);
                loop {
                    let head = wire.until(b"\r\n\r\n", 64 * 1024).await.unwrap_or_default();
                    let (go_on, goes_on) = oneshot::channel();
                    let head = String::from_utf8(head).unwrap();
                    if head.is_empty() || sender.send((head, go_on)).is_err() {
                        return;
                    }
                    if !goes_on.await.unwrap_or(false) {
                        return;
                    }
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    drop(wire.send(answer).await);
                }
            });
        }
    });
    (url, heard)
}

/// The algorithm of the assertion in a header block.
fn algorithm(head: &str) -> String {
    let of =
        |line: &str| Some(line.split_once(": ").filter(|(name, _)| *name == NAME)?.1.to_owned());
    let token = head.lines().find_map(of).unwrap_or_else(|| panic!("no assertion: {head}"));
    part(&token, 0)["alg"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_a_reload_overtakes_is_signed_as_its_app_wanted() {
    let (url, mut heard) = told_app().await;
    let app = Recorder::start().await;
    let mut plan = plan(&app, "assertion = true\nupstream_idle = \"60s\"");
    plan.apps = plan.apps.replacen(&app.url(), &url, 1);
    let gateway = Gateway::start(&plan).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let mut next = async || within(PATIENCE, "a request", heard.recv()).await.unwrap();

    let mut first = browser.clone();
    let app = async {
        let (head, go_on) = next().await;
        go_on.send(true).unwrap();
        algorithm(&head)
    };
    let (answer, signed) = tokio::join!(first.ask("GET", "/app", "", b""), app);
    assert_eq!((answer.status, signed.as_str()), (200, "ES256"));

    // One reload takes the keys for ES256 away and has the apps want EdDSA. The request under way is
    // sent again, because its connection closes.
    let app = async {
        let (_head, go_on) = next().await;
        let file = gateway.dir().join("data/keys.toml");
        let keys = std::fs::read_to_string(&file).unwrap();
        let keys = keys.lines().filter(|line| !line.starts_with("es256"));
        std::fs::write(&file, keys.fold(String::new(), |all, line| all + line + "\n")).unwrap();
        let config = std::fs::read_to_string(&gateway.config).unwrap();
        let now = "assertion = true\nassertion_algorithm = \"EdDSA\"";
        std::fs::write(&gateway.config, config.replace("assertion = true", now)).unwrap();
        gateway.reload().await;
        go_on.send(false).unwrap();
        let (head, go_on) = next().await;
        go_on.send(true).unwrap();
        algorithm(&head)
    };
    let answer = first.ask("GET", "/app", "", b"");
    let (answer, signed) = tokio::join!(answer, within(PATIENCE, "the request again", app));
    assert_eq!((answer.status, signed.as_str()), (200, "ES256"));

    let app = async {
        let (head, go_on) = next().await;
        go_on.send(true).unwrap();
        algorithm(&head)
    };
    let (answer, signed) = tokio::join!(browser.ask("GET", "/app", "", b""), app);
    assert_eq!((answer.status, signed.as_str()), (200, "EdDSA"));
}
