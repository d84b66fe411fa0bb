//! What operators see: health, metrics, an orderly end, and logs that may be shown to anybody.

use tokio_rustls::TlsConnector;

use super::support::certs::Certificates;
use super::support::client::{self, Browser, PATIENCE};
use super::support::gateway::{Gateway, HOST, PASSWORD, Plan};
use super::support::log::Line;
use super::support::mail::MailServer;
use super::support::upstream::Recorder;
use super::support::visitor::{self, PENDING, SESSION};
use super::support::wire::Wire;
use super::support::within;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_serving_gateway_is_alive_and_ready_and_counts() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    assert_eq!(client::admin(&gateway, "/livez").await.status, 200);
    let ready = client::admin(&gateway, "/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.text());
    let mut browser = Browser::new(&gateway);
    assert_eq!(browser.get("/public/x").await.status, 200);
    let metrics = client::admin(&gateway, "/metrics").await;
    assert_eq!(metrics.status, 200);
    let named = |l: &&str| !l.starts_with('#') && !l.is_empty() && !l.starts_with("vestibule_");
    let text = metrics.text();
    assert!(text.lines().any(|l| l.starts_with("vestibule_")), "{text}");
    assert_eq!(text.lines().filter(named).count(), 0, "every name is vestibule_*: {text}");
    for path in ["/livez", "/readyz", "/metrics"] {
        let answer = browser.fetch(path).await;
        assert_eq!(answer.status, 401, "{path} is not on a public listener");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_flight_is_finished_before_the_gateway_ends() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let mark = app.mark();
    let browser = Browser::new(&gateway);
    let mut wire = browser.connect().await;
    wire.send(b"GET /public/slow HTTP/1.1\r\nHost: gw.test\r\n\r\n").await.unwrap();
    app.wait_for(mark, |r| r.head.path() == "/public/slow").await;

    gateway.signal("TERM");
    let draining = async {
        while client::admin(&gateway, "/readyz").await.status != 503 {
            tokio::task::yield_now().await;
        }
    };
    within(PATIENCE, "readiness to go", draining).await;
    app.go_on();
    let answer = within(PATIENCE, "the answer under way", wire.answer("GET")).await.unwrap();
    assert_eq!((answer.status, answer.get("x-app")), (200, Some("recorder")));
    drop(wire);
    let status = gateway.ended().await;
    assert_eq!(status.code(), Some(0), "{}", gateway.log.so_far());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_configuration_ends_with_two_and_names_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.toml");
    std::fs::write(&file, "data_dir = \"data\"\nno_such_key = 1\n").unwrap();
    let name = file.display().to_string();
    for command in ["check", "serve"] {
        let output = super::support::gateway::run(&[command, "--config", &name], "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{command}: {said}");
        assert!(said.contains("bad.toml:2:") && said.contains("no_such_key"), "{command}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_request_is_sent_to_https() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    for (method, expected) in [("GET", 308), ("HEAD", 308), ("POST", 403), ("DELETE", 403)] {
        let stream = tokio::net::TcpStream::connect(gateway.redirect).await.unwrap();
        let mut wire = Wire::new(stream);
        let request = format!("{method} /app?x=1 HTTP/1.1\r\nHost: gw.test\r\n\r\n");
        wire.send(request.as_bytes()).await.unwrap();
        let answer = within(PATIENCE, method, wire.answer(method)).await.unwrap();
        assert_eq!(answer.status, expected, "{method}");
        if expected == 308 {
            assert!(answer.location().starts_with("https://gw.test"), "{}", answer.location());
            assert!(answer.location().ends_with("/app?x=1"), "{}", answer.location());
        }
    }
    let stream = tokio::net::TcpStream::connect(gateway.http).await.unwrap();
    let mut wire = Wire::new(stream);
    wire.send(b"GET /app HTTP/1.1\r\nHost: gw.test\r\n\r\n").await.unwrap();
    let answer = within(PATIENCE, "plain http", wire.answer("GET")).await.unwrap();
    assert_eq!(answer.status, 401, "a plain listener protects as well");
    assert_eq!(app.requests(app.mark_of_all()).len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_holds_nothing_that_opens_a_door() {
    let app = Recorder::start().await;
    let mut plan = Plan::new(&app);
    plan.level = "trace";
    let gateway = Gateway::start(&plan).await;
    gateway.add_user("alice");
    let mut secrets: Vec<(&str, String)> = vec![("password", PASSWORD.to_owned())];

    let mut browser = Browser::new(&gateway);
    visitor::prove_password(&mut browser, "alice").await;
    secrets.push(("login cookie", browser.jar[PENDING].clone()));
    let page = browser.get("/_auth/enroll").await.text();
    let secret = super::support::html::by_id(&page, "totp-secret").unwrap();
    secrets.push(("authenticator secret", secret));
    let (mut codes, enrolled) = visitor::enrol(&mut browser).await;
    let (recovery, _) = visitor::keep_recovery_codes(&mut browser, &enrolled).await;
    secrets.extend(recovery.iter().map(|c| ("recovery code", c.clone())));
    secrets.extend(recovery.iter().map(|c| ("bare recovery code", c.replace('-', ""))));
    secrets.push(("session cookie", browser.jar[SESSION].clone()));
    browser
        .ask("GET", "/app?token=in-the-query", "Authorization: Bearer of-the-app\r\n", b"")
        .await;
    secrets.push(("authorization", "of-the-app".to_owned()));
    secrets.push(("query", "in-the-query".to_owned()));

    let mut wrong = Browser::new(&gateway);
    let form = [("username", "alice"), ("password", "a-wrong-password-of-alice")];
    assert_eq!(wrong.submit("/_auth/login", &form).await.status, 401);
    secrets.push(("wrong password", "a-wrong-password-of-alice".to_owned()));
    visitor::prove_password(&mut wrong, "alice").await;
    let code = codes.next().await;
    let used = wrong.submit("/_auth/otp", &[("code", &code)]).await;
    assert_eq!(used.status, 303, "{}", used.text());
    let mut lost = Browser::new(&gateway);
    visitor::prove_password(&mut lost, "alice").await;
    let recovered = lost.submit("/_auth/recovery", &[("code", &recovery[0])]).await;
    assert_eq!(recovered.status, 303, "{}", recovered.text());

    gateway.signal("TERM");
    gateway.ended().await;
    let log = gateway.log.whole();
    assert!(log.lines().count() > 10, "nothing was logged: {log}");
    for (what, secret) in &secrets {
        let line = log.lines().find(|l| l.contains(secret.as_str()));
        assert!(line.is_none(), "{what} in the log: {}", line.unwrap_or_default());
    }
    let typed =
        |l: &&str| l.contains(&format!("\"{code}\"")) || l.contains(&format!("code={code}"));
    assert_eq!(log.lines().find(typed), None, "a typed code in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_configuration_is_taken_up_on_sighup_and_a_bad_one_is_not() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let mut browser = Browser::new(&gateway);
    let open = async |browser: &mut Browser, path: &str| browser.fetch(path).await.status == 200;
    assert!(open(&mut browser, "/public/x").await && !open(&mut browser, "/open/x").await);

    let first = std::fs::read_to_string(&gateway.config).unwrap();
    let second = first.replace("/public/**", "/open/**");
    std::fs::write(&gateway.config, &second).unwrap();
    gateway.signal("HUP");
    let taken_up = async { while !open(&mut browser, "/open/x").await {} };
    within(PATIENCE, "the new rule to hold", taken_up).await;
    assert!(!open(&mut browser, "/public/x").await, "the old rule is gone");

    // Several mistakes: each is told with its place, and all stays as it is.
    let bad = second.replace("/open/**", "no-slash").replace("websocket = true", "web_socket = 1");
    std::fs::write(&gateway.config, &bad).unwrap();
    gateway.signal("HUP");
    for (key, line) in [("path", "no-slash"), ("web_socket", "web_socket")] {
        let number = bad.lines().position(|l| l.contains(line)).unwrap() + 1;
        let place = format!("vestibule.toml:{number}:");
        let told = |line: &Line| {
            let error = line.get("error")?;
            let ours =
                line.get("message") == Some("reload failed, keeping the current configuration");
            (ours && error.contains(&place) && error.contains(key)).then_some(())
        };
        gateway.log.wait_for(&place, told).await;
    }
    assert!(open(&mut browser, "/open/x").await && !open(&mut browser, "/public/x").await);

    std::fs::write(&gateway.config, &first).unwrap();
    gateway.signal("HUP");
    let taken_up = async { while !open(&mut browser, "/public/x").await {} };
    within(PATIENCE, "the first rule to hold again", taken_up).await;
    gateway.signal("TERM");
    assert_eq!(gateway.ended().await.code(), Some(0), "{}", gateway.log.so_far());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_a_restart_is_named_on_sighup_and_other_certificates_are_shown() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let first = std::fs::read_to_string(&gateway.config).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let other = Certificates::make(dir.path(), &[HOST]);
    let shown = async |certificates: &Certificates| {
        let stream = tokio::net::TcpStream::connect(gateway.https).await.unwrap();
        let connector = TlsConnector::from(certificates.client("http/1.1"));
        connector.connect(HOST.try_into().unwrap(), stream).await.is_ok()
    };
    assert!(shown(&gateway.certificates).await && !shown(&other).await);

    let ours = format!(
        "{}\"\nkey = \"{}\"",
        gateway.certificates.cert.display(),
        gateway.certificates.key.display()
    );
    let theirs = format!("{}\"\nkey = \"{}\"", other.cert.display(), other.key.display());
    let listener = "address = \"127.0.0.1:0\"\nkind = \"redirect\"";
    assert!(first.contains(&ours) && first.contains(listener), "{first}");
    let second = first
        .replace(&ours, &theirs)
        .replace(listener, "address = \"127.0.0.2:0\"\nkind = \"redirect\"")
        .replace("access = \"public\"", "access = \"password\"");
    let second = format!(
        "{second}\n[passwords]\nqueue = 7\n[sessions]\nidle = \"29m\"\n[throttle]\nper_login = 4\n"
    );
    std::fs::write(&gateway.config, &second).unwrap();
    gateway.signal("HUP");
    let read_again =
        |line: &Line| (line.get("message") == Some("configuration reloaded")).then_some(());
    gateway.log.wait_for("the end of the reading", read_again).await;
    assert!(shown(&other).await && !shown(&gateway.certificates).await);
    let log = gateway.log.so_far();
    let named: Vec<_> = log.lines().filter(|line| line.contains("need a restart")).collect();
    let [line] = named[..] else { panic!("not one line: {log}") };
    let keys = "\"keys\":\"listeners, sessions.idle, passwords.queue\"";
    assert!(line.contains(keys), "{line}");
    assert!(log.contains("weakening: "), "what is weak is told again: {log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_mail_and_rules_for_passwords_are_taken_up_on_sighup() {
    let (app, mail) = (Recorder::start().await, MailServer::start(0).await);
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let mut crowd = Browser::new(&gateway);
    crowd.from = [127, 0, 0, 8].into();
    let mut kept = crowd.connect().await;
    let first = std::fs::read_to_string(&gateway.config).unwrap();
    let more = "[passwords]\nmin_length = 21\n[throttle]\nper_name = 1\nfirst_wait = \"10m\"\n\
                longest_wait = \"10m\"\n[network]\nconnections_per_address = 3\n";
    std::fs::write(&gateway.config, format!("{first}\n{}\n{more}", mail.config("mail-password")))
        .unwrap();
    gateway.reload().await;
    assert!(!gateway.log.so_far().contains("need a restart"), "{}", gateway.log.so_far());

    let _newer = [crowd.connect().await, crowd.connect().await, crowd.connect().await];
    within(PATIENCE, "the oldest connection to end", kept.rest()).await;
    let page = browser.get("/_auth/account/password").await.text();
    assert!(page.contains("At least 21 characters"), "{page}");
    let mut other = Browser::new(&gateway);
    other.from = [127, 0, 0, 9].into();
    let wrong = [("username", "alice"), ("password", "wrong")];
    assert_eq!(other.submit("/_auth/login", &wrong).await.status, 401);
    assert_eq!(other.submit("/_auth/login", &wrong).await.status, 429);
    gateway.add_user("bob");
    visitor::join(Browser::new(&gateway), "bob").await;
    mail.wait_for("Authenticator app set up").await;

    std::fs::write(
        &gateway.config,
        format!(
            "{first}\n[mail]\nhost = \"localhost\"\n\
        from = \"a@b.test\"\nca = \"missing.pem\"\n"
        ),
    )
    .unwrap();
    gateway.signal("HUP");
    gateway.log.wait_for_words("mail.ca").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_serves_leaves_no_core_dump() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let line = gateway.limit("Max core file size");
    assert_eq!(line.split_whitespace().collect::<Vec<_>>()[..2], ["0", "0"], "{line}");
}
