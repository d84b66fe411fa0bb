//! Notices by mail, through a real mail server over TLS: who is told of what, and what happens when
//! the mail server does not take them.

use std::time::Duration;

use super::support::client::{self, Browser, PATIENCE};
use super::support::codes::Codes;
use super::support::gateway::{Gateway, PASSWORD as OWN_PASSWORD, Plan};
use super::support::html;
use super::support::mail::MailServer;
use super::support::upstream::Recorder;
use super::support::visitor::{self, SESSION};
use super::support::within;

const PASSWORD: &str = "mail-password";
const NEW_PASSWORD: &str = "nine-herons-mend-the-clock";

async fn gateway(mail: &MailServer) -> (Recorder, Gateway) {
    let app = Recorder::start().await;
    let config =
        mail.config(PASSWORD).replacen("[mail]\n", "[mail]\ntime_zone = \"Asia/Tokyo\"\n", 1);
    let gateway = Gateway::start(&Plan::new(&app).extra(&config)).await;
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
    let (browser, mut person) = visitor::signed_in(&gateway, "alice").await;
    let told = mail.wait_for("Authenticator app set up").await;
    assert_eq!(told.to, "alice@example.com");
    for part in ["Hello alice", "127.0.0.1", "text/plain", "text/html", "App main", " JST"] {
        assert!(told.text.contains(part), "{part}: {}", told.text);
    }
    for link in ["http:", "https:", "href", "/_auth/"] {
        assert!(!told.text.contains(link), "a link: {}", told.text);
    }

    // From the same browser again, wherever it is now: no news. From another: news.
    let mut same = browser.clone();
    same.jar.remove(SESSION);
    same.from = [127, 0, 0, 8].into();
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
    mail.wait_for("Wrong codes after the correct password").await;

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
        "App main: Wrong codes after the correct password",
    ];
    assert_eq!(subjects, all);
}

/// Changes password and authenticator on the pages of the account.
async fn change_all(browser: &mut Browser) -> Codes {
    let form = [("current", OWN_PASSWORD), ("password", NEW_PASSWORD)];
    let changed = browser.submit("/_auth/account/password", &form).await;
    assert_eq!(changed.status, 303, "{}", changed.text());
    let page = browser.get("/_auth/account/authenticator").await;
    let mut codes = Codes::new(&html::by_id(&page.text(), "totp-secret").unwrap());
    let code = codes.next().await;
    let form = [("code", code.as_str())];
    let done = browser.submit_from(&page, "/_auth/account/authenticator", &form).await;
    assert_eq!(done.status, 303, "{}", done.text());
    codes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_told_of_every_change_of_what_protects_their_account() {
    let mail = MailServer::start(0).await;
    let app = Recorder::start().await;
    let throttle = "[throttle]\nsecond_factor = 100\nsecond_factor_most = 2\n";
    let plan = Plan::new(&app).extra(&mail.config(PASSWORD)).extra(throttle);
    let gateway = Gateway::start(&plan).await;
    let (mut browser, mut person) = visitor::signed_in(&gateway, "alice").await;
    mail.wait_for("Authenticator app set up").await;
    person.codes = change_all(&mut browser).await;
    assert!(mail.wait_for("Password changed").await.text.contains("127.0.0.1"));
    let count = |subject: &str| mail.subjects().iter().filter(|s| s.ends_with(subject)).count();
    let twice = async {
        while count("Authenticator app set up") != 2 {
            tokio::task::yield_now().await;
        }
    };
    within(PATIENCE, "the notice of the new authenticator", twice).await;

    // The browser in which it was changed is still known: no news.
    browser.jar.remove(SESSION);
    let form = [("username", "alice"), ("password", NEW_PASSWORD)];
    assert_eq!(browser.submit("/_auth/login", &form).await.status, 303);
    let code = person.codes.next().await;
    assert_eq!(browser.submit("/_auth/otp", &[("code", &code)]).await.status, 303);

    let mut thief = Browser::new(&gateway);
    assert_eq!(thief.submit("/_auth/login", &form).await.status, 303);
    for _ in 0..2 {
        let wrong = person.codes.of_step(1);
        thief.submit("/_auth/otp", &[("code", &wrong)]).await;
    }
    let told = mail.wait_for("Second factor suspended").await;
    assert!(told.text.contains("one-time link"), "{}", told.text);
    let args = ["user", "reset-2fa", "alice", "--reason", "lost phone"];
    assert!(gateway.command(&args, "").status.success());
    let told = mail.wait_for("Second factor removed").await;
    assert!(!told.text.contains("ticket="), "a link: {}", told.text);
    gateway.signal("TERM");
    gateway.ended().await;
    let mut subjects = mail.subjects();
    subjects.sort();
    let all = [
        "App main: Authenticator app set up",
        "App main: Authenticator app set up",
        "App main: Password changed",
        "App main: Second factor removed",
        "App main: Second factor suspended",
    ];
    assert_eq!(subjects, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_goes_over_tls_from_the_first_byte_or_without_any_where_that_is_asked_for() {
    for tls in ["tls", "none"] {
        let mail = MailServer::speaking(tls, 0).await;
        let (_app, gateway) = gateway(&mail).await;
        let _signed_in = visitor::signed_in(&gateway, "alice").await;
        let told = mail.wait_for("Authenticator app set up").await;
        assert_eq!(told.to, "alice@example.com", "{tls}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_to_a_mail_server_that_speaks_no_tls_where_it_should() {
    let mail = MailServer::speaking("none", 0).await;
    let other = MailServer::start(0).await;
    let app = Recorder::start().await;
    for tls in ["tls", "starttls"] {
        let mine = format!("port = {}\ntls = \"{tls}\"", mail.port);
        let theirs = format!("port = {}\ntls = \"starttls\"", other.port);
        let plan = Plan::new(&app).extra(&other.config(PASSWORD).replace(&theirs, &mine));
        let gateway = Gateway::start(&plan).await;
        let _signed_in = visitor::signed_in(&gateway, "alice").await;
        let failed = async {
            while metric(&gateway, "retrying").await + metric(&gateway, "failed").await == 0 {}
        };
        within(PATIENCE, "the failure to be counted", failed).await;
        assert!(mail.subjects().is_empty() && other.subjects().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_that_failed_is_retried() {
    let mail = MailServer::start(1).await;
    let (_app, gateway) = gateway(&mail).await;
    let _signed_in = visitor::signed_in(&gateway, "alice").await;
    mail.wait_for("Authenticator app set up").await;
    let counted = async { while metric(&gateway, "sent").await != 1 {} };
    within(PATIENCE, "the sent notice to be counted", counted).await;
    assert_eq!(metric(&gateway, "retrying").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_mail_server_keeps_nobody_from_signing_in_and_is_told_of() {
    let mut mail = MailServer::start(0).await;
    let (_app, gateway) = gateway(&mail).await;
    mail.kill();
    let (browser, _person) = visitor::signed_in(&gateway, "alice").await;
    assert!(browser.jar.contains_key(SESSION));
    let counted = async { while metric(&gateway, "retrying").await == 0 {} };
    within(PATIENCE, "the failure to be counted", counted).await;
    let said = |line: &super::support::log::Line| {
        (line.get("message") == Some("failed to send notice, will retry")).then_some(())
    };
    gateway.log.wait_for("failed notice", said).await;
    // A command says so, and has done its work all the same.
    let output = gateway.command(&["session", "end", "--user", "alice"], "");
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("notices not sent by mail: 1"), "{said}");
    // The gateway stops in spite of what waits.
    gateway.signal("TERM");
    within(Duration::from_secs(20), "the end", gateway.ended()).await;
    assert!(!gateway.log.whole().contains(PASSWORD), "the password of the mail server is logged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_that_waits_when_mail_is_removed_is_sent_before_the_program_ends() {
    let mut mail = MailServer::holding(1).await;
    let app = Recorder::start().await;
    let table = mail.config(PASSWORD);
    let gateway = Gateway::start(&Plan::new(&app).extra(&table)).await;
    let _signed_in = visitor::signed_in(&gateway, "alice").await;
    gateway.log.wait_for_words("failed to send notice, will retry").await;
    let config = std::fs::read_to_string(&gateway.config).unwrap();
    std::fs::write(&gateway.config, config.replacen(&table, "", 1)).unwrap();
    gateway.reload().await;
    mail.wait_for_held().await;
    gateway.signal("TERM");
    gateway.log.wait_for_words("sending the notices from before mail was removed").await;
    mail.let_go();
    mail.wait_for("Authenticator app set up").await;
    assert!(gateway.ended().await.success());
    let said = gateway.log.whole();
    assert!(said.contains("notice sent") && !said.contains("not sent"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_server_without_the_right_certificate_gets_nothing() {
    let (mail, other) = (MailServer::start(0).await, MailServer::start(0).await);
    let app = Recorder::start().await;
    let ports = (format!("port = {}", other.port), format!("port = {}", mail.port));
    let plan = Plan::new(&app).extra(&other.config(PASSWORD).replace(&ports.0, &ports.1));
    let gateway = Gateway::start(&plan).await;
    let _signed_in = visitor::signed_in(&gateway, "alice").await;
    let counted = async { while metric(&gateway, "retrying").await == 0 {} };
    within(PATIENCE, "the failure to be counted", counted).await;
    assert!(mail.subjects().is_empty());
}
