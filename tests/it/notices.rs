//! Notices by mail, through a real mail server over TLS: who is told of what, and what happens when
//! the mail server does not take them.

use std::time::Duration;

use super::support::client::{self, Browser, PATIENCE};
use super::support::gateway::{Gateway, Plan};
use super::support::mail::MailServer;
use super::support::upstream::Recorder;
use super::support::visitor::{self, SESSION};
use super::support::within;

const PASSWORD: &str = "mail-password";

async fn gateway(mail: &MailServer) -> (Recorder, Gateway) {
    let app = Recorder::start().await;
    let plan = Plan::new(&app).extra(&mail.config(PASSWORD));
    let gateway = Gateway::start(&plan).await;
    (app, gateway)
}

async fn metric(gateway: &Gateway, result: &str) -> u64 {
    let page = client::admin(gateway, "/metrics").await.text();
    let line = format!("vestibule_notices_total{{result=\"{result}\"}} ");
    page.lines().find_map(|l| l.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_told_what_happens_to_their_account() {
    let mail = MailServer::start(0).await;
    let (_app, gateway) = gateway(&mail).await;
    let (_browser, mut person) = visitor::signed_in(&gateway, "alice").await;
    let told = mail.wait_for("Authenticator app set up").await;
    assert_eq!(told.to, "alice@example.com");
    for part in ["Hello alice", "127.0.0.1", "text/plain", "text/html", "App main"] {
        assert!(told.text.contains(part), "{part}: {}", told.text);
    }
    for link in ["http:", "https:", "href", "/_auth/"] {
        assert!(!told.text.contains(link), "a link: {}", told.text);
    }

    // From the same browser again: no news. From another: news.
    let mut same = Browser::new(&gateway);
    assert_eq!(visitor::sign_in(&mut same, &mut person).await.status, 303);
    let mut other = Browser::new(&gateway);
    other.from = [127, 0, 0, 9].into();
    visitor::prove_password(&mut other, "alice").await;
    let code = person.recovery.first().unwrap().clone();
    assert_eq!(other.submit("/_auth/recovery", &[("code", &code)]).await.status, 303);
    assert!(mail.wait_for("Sign-in from a new browser").await.text.contains("127.0.0.9"));
    mail.wait_for("Recovery code used").await;

    let mut thief = Browser::new(&gateway);
    visitor::prove_password(&mut thief, "alice").await;
    for _ in 0..4 {
        let wrong = person.codes.of_step(1);
        assert_eq!(thief.submit("/_auth/otp", &[("code", &wrong)]).await.status, 401);
    }
    mail.wait_for("Wrong codes after the right password").await;

    // A command sends its own.
    let args = ["session", "end", "--user", "alice"];
    assert!(gateway.command(&args, "").status.success());
    mail.wait_for("Signed out by an administrator").await;
    let args = ["user", "set-password", "alice", "--password-stdin"];
    assert!(gateway.command(&args, "another-fine-passphrase").status.success());
    mail.wait_for("Password changed").await;

    gateway.signal("TERM");
    gateway.ended().await;
    let mut subjects = mail.subjects();
    subjects.sort();
    let all = [
        "App main: Authenticator app set up",
        "App main: Password changed",
        "App main: Recovery code used",
        "App main: Sign-in from a new browser",
        "App main: Signed out by an administrator",
        "App main: Wrong codes after the right password",
    ];
    assert_eq!(subjects, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_that_was_put_off_is_sent_again() {
    let mail = MailServer::start(1).await;
    let (_app, gateway) = gateway(&mail).await;
    let _signed_in = visitor::signed_in(&gateway, "alice").await;
    mail.wait_for("Authenticator app set up").await;
    let counted = async { while metric(&gateway, "sent").await != 1 {} };
    within(PATIENCE, "the sent notice to be counted", counted).await;
    assert_eq!(metric(&gateway, "put_off").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_mail_server_keeps_nobody_from_signing_in_and_is_told_of() {
    let mut mail = MailServer::start(0).await;
    let (_app, gateway) = gateway(&mail).await;
    mail.kill();
    let (browser, _person) = visitor::signed_in(&gateway, "alice").await;
    assert!(browser.jar.contains_key(SESSION));
    let counted = async { while metric(&gateway, "put_off").await == 0 {} };
    within(PATIENCE, "the failure to be counted", counted).await;
    let said = |line: &super::support::log::Line| {
        (line.get("message") == Some("a notice could not be sent yet")).then_some(())
    };
    gateway.log.wait_for("failed notice", said).await;
    // A command says so, and has done its work all the same.
    let output = gateway.command(&["session", "end", "--user", "alice"], "");
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("could not be sent by mail: 1"), "{said}");
    // The gateway stops in spite of what waits.
    gateway.signal("TERM");
    within(Duration::from_secs(20), "the end", gateway.ended()).await;
    assert!(!gateway.log.text().contains(PASSWORD), "the password of the mail server is logged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_server_without_the_right_certificate_gets_nothing() {
    let (mail, other) = (MailServer::start(0).await, MailServer::start(0).await);
    let app = Recorder::start().await;
    let ports = (format!("port = {}", other.port), format!("port = {}", mail.port));
    let plan = Plan::new(&app).extra(&other.config(PASSWORD).replace(&ports.0, &ports.1));
    let gateway = Gateway::start(&plan).await;
    let _signed_in = visitor::signed_in(&gateway, "alice").await;
    let counted = async { while metric(&gateway, "put_off").await == 0 {} };
    within(PATIENCE, "the failure to be counted", counted).await;
    assert!(mail.subjects().is_empty());
}
