//! A client that shares no line with Vestibule or its tests: python-fido2, with a key in software.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{options, origin, session};
use crate::support::client::Browser;
use crate::support::gateway::{Gateway, Plan};
use crate::support::log::Log;
use crate::support::upstream::Recorder;
use crate::support::visitor::{self, SESSION};

const ES256: i64 = -7;
const EDDSA: i64 = -8;

/// The client; it is killed when this goes.
struct Client {
    child: Child,
    asks: ChildStdin,
    says: Log,
    answers: usize,
    algorithm: i64,
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Client {
    fn start(algorithm: i64) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/fido2_client.py");
        // Debian's own Python: that is where its packages are.
        let mut child = Command::new("/usr/bin/python3")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (asks, says) = (child.stdin.take().unwrap(), Log::follow(child.stdout.take().unwrap()));
        Self { child, asks, says, answers: 0, algorithm }
    }

    /// Answers the options of a page in this browser, as text.
    async fn answer(&mut self, ceremony: &str, page: &str, browser: &Browser) -> String {
        let asked = json!({
            "ceremony": ceremony, "options": options(page), "origin": origin(browser),
            "algorithm": self.algorithm,
        });
        writeln!(self.asks, "{asked}").unwrap();
        self.answers += 1;
        let (seen, number) = (AtomicUsize::new(0), self.answers);
        let answer = self.says.wait_for("an answer of the client", |line| {
            let is_next = seen.fetch_add(1, Ordering::Relaxed) + 1 == number;
            is_next.then(|| line.text().to_owned())
        });
        answer.await
    }
}

/// Opens the page, and sends the answer of the client.
async fn send(
    browser: &mut Browser,
    client: &mut Client,
    ceremony: &str,
    (page, form): (&str, &str),
) -> String {
    let opened = browser.get(page).await;
    assert_eq!(opened.status, 200, "{page}: {}", opened.text());
    let credential = client.answer(ceremony, &opened.text(), browser).await;
    let fields = [("name", "A key of another maker"), ("credential", credential.as_str())];
    let sent = browser.submit_from(&opened, form, &fields).await;
    assert_eq!(sent.status, 303, "{form}: {} {credential}", sent.text());
    sent.location().to_owned()
}

async fn signs_in(algorithm: i64) {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    gateway.add_user("alice");
    let mut client = Client::start(algorithm);
    let mut browser = Browser::new(&gateway);
    visitor::prove_password(&mut browser, "alice").await;
    let opened = browser.get("/_auth/enroll/key").await;
    let credential = client.answer("create", &opened.text(), &browser).await;
    let fields = [("name", "Of another maker"), ("credential", credential.as_str())];
    let done = browser.submit_from(&opened, "/_auth/enroll/key", &fields).await;
    assert_eq!(done.status, 303, "{} {credential}", done.text());
    visitor::keep_recovery_codes(&mut browser, &done).await;
    let listed = gateway.command(&["user", "keys", "alice", "--json"], "");
    let keys: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(keys[0]["name"], "Of another maker", "{keys}");

    // Beside the password.
    let mut second = Browser::new(&gateway);
    visitor::prove_password(&mut second, "alice").await;
    send(&mut second, &mut client, "get", ("/_auth/key", "/_auth/key")).await;
    assert_eq!(session(&mut second).await["amr"], json!(["pwd", "hwk", "user", "mfa"]));
    assert_eq!(second.get("/app").await.status, 200);

    // Alone.
    let mut alone = Browser::new(&gateway);
    let path = ("/_auth/login?return_to=%2Fapp", "/_auth/passkey?return_to=%2Fapp");
    let led = send(&mut alone, &mut client, "get", path).await;
    assert_eq!(led, "/app");
    assert!(alone.jar.contains_key(SESSION));
    assert_eq!(session(&mut alone).await["amr"], json!(["hwk", "user", "mfa"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_another_maker_registers_and_signs_in_with_es256() {
    signs_in(ES256).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_another_maker_registers_and_signs_in_with_eddsa() {
    signs_in(EDDSA).await;
}
