//! `vestibule doctor`: a healthy installation, and one fault each.

use std::net::SocketAddr;
use std::process::Output;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::certs::Certificates;
use crate::support::gateway::{Gateway, HOST, Plan, run};
use crate::support::mail::MailServer;
use crate::support::ports::ClosedPort;
use crate::support::upstream::Recorder;

/// A server that answers each request with the same text, and with the head of the request.
async fn answering(status: &'static str, shows: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_closed) => break,
                }
            }
            let body = if shows { head } else { b"hello".to_vec() };
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let written = stream.write_all(&[answer.into_bytes(), body].concat()).await;
            drop(written);
        }
    });
    address
}

/// Runs the doctor beside a gateway.
fn examined(gateway: &Gateway, more: &[&str]) -> Output {
    let at = gateway.https.to_string();
    at_address(gateway, &at, more)
}

fn at_address(gateway: &Gateway, at: &str, more: &[&str]) -> Output {
    let (plain, node) = (gateway.redirect.to_string(), gateway.admin.to_string());
    let mut arguments = vec!["doctor", "--config", gateway.config.to_str().unwrap(), "--at", at];
    if !more.contains(&"--ca") {
        arguments.extend(["--ca", gateway.certificates.authority.to_str().unwrap()]);
    }
    if !more.contains(&"--at-plain") {
        arguments.extend(["--at-plain", &plain]);
    }
    if !more.contains(&"--node") {
        arguments.extend(["--node", &node]);
    }
    arguments.extend(more);
    run(&arguments, "")
}

/// The standard error of an examination that finds problems.
#[track_caller]
fn problems(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}{out}");
    assert!(text.contains("the doctor found problems"), "{text}");
    text
}

#[track_caller]
fn healthy(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}{errors}");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_installation_has_no_problem_and_its_app_sees_no_request() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let text = healthy(&examined(&gateway, &[]));
    let node = format!("node {}", gateway.admin);
    let parts = ["host gw.test", &node, "clocks", "accounts", "sessions", "keys", "app main"];
    for part in parts {
        assert!(text.contains(&format!("doctor: {part}: ok")), "{part}: {text}");
    }
    assert_eq!(app.names(), [""; 0], "no request passed");

    let json: Value = serde_json::from_str(&healthy(&examined(&gateway, &["--json"]))).unwrap();
    assert_eq!(json["ok"], true);
    let names: Vec<_> = json["checks"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
    assert!(names.contains(&&Value::from("host gw.test")), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_the_rules_make_public_is_told_and_not_tried() {
    let app = Recorder::start().await;
    let mut plan = Plan::new(&app);
    plan.apps = plan.apps.replace("/public/**", "/");
    let gateway = Gateway::start(&plan).await;
    let text = healthy(&examined(&gateway, &[]));
    assert!(text.contains("the rules make / public"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_in_place_of_the_gateway_is_a_problem() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let open = Recorder::start_tls(&gateway.certificates).await;
    let text = problems(&at_address(&gateway, &open.address.to_string(), &[]));
    assert!(text.contains("by something else than Vestibule"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_related_origins_that_browsers_do_not_find_is_a_problem() {
    let app = Recorder::start().await;
    let webauthn = "rp_id = \"gw.test\"\nrelated_origins = [\"https://app.else.test\"]";
    let mut plan = Plan::new(&app).extra(&format!("[second_factor.webauthn]\n{webauthn}"));
    plan.names.push("app.else.test");
    let gateway = Gateway::start(&plan.app("two", "app.else.test", &app.url(), "")).await;
    let text = healthy(&examined(&gateway, &[]));
    assert!(text.contains("doctor: related origins: ok"), "{text}");
    let other = Recorder::start_tls(&gateway.certificates).await;
    let text = problems(&at_address(&gateway, &other.address.to_string(), &[]));
    assert!(
        text.contains("https://gw.test/.well-known/webauthn does not list https://app.else.test"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_ca_or_for_another_name_is_a_problem() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let dir = tempfile::tempdir().unwrap();
    let strange = Certificates::make(dir.path(), &[HOST]);
    let text = problems(&examined(&gateway, &["--ca", strange.authority.to_str().unwrap()]));
    assert!(text.contains("from a CA that this machine does not trust"), "{text}");

    let mut plan = Plan::new(&app);
    plan.names = vec!["else.test"];
    let gateway = Gateway::start(&plan).await;
    let text = problems(&examined(&gateway, &[]));
    assert!(text.contains("its certificate is for other names"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_http_that_does_not_lead_to_https_is_a_problem() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let plain = answering("200 OK", false).await.to_string();
    let text = problems(&examined(&gateway, &["--at-plain", &plain]));
    assert!(text.contains("was answered with 200 and does not lead to https"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_without_an_address_is_a_problem() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let arguments = ["doctor", "--config", gateway.config.to_str().unwrap()];
    let text = problems(&run(&arguments, ""));
    assert!(text.contains("gw.test has no address in DNS"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_answers_around_the_gate_is_a_problem_and_a_closed_port_is_not() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let around = app.address.to_string();
    let text = problems(&examined(&gateway, &["--around", &around]));
    assert!(text.contains(&format!("{around} ({around}) answers this machine with 200")), "{text}");

    let port = ClosedPort::any();
    let closed = port.address().to_string();
    let text = healthy(&examined(&gateway, &["--around", &closed]));
    assert!(text.contains(&format!("doctor: around {closed}: ok")), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_headers_that_reach_an_app_are_a_problem() {
    let app = answering("200 OK", true).await;
    let plan = Plan::new(&Recorder::start().await);
    let apps = plan.apps.lines().map(|line| {
        if line.starts_with("upstreams") {
            format!("upstreams = [\"http://{app}\"]")
        } else {
            line.to_owned()
        }
    });
    let plan = Plan { apps: apps.collect::<Vec<_>>().join("\n"), ..plan };
    let gateway = Gateway::start(&plan).await;
    let url = format!("https://{HOST}/public/headers");
    let text = healthy(&examined(&gateway, &["--echo", &url]));
    assert!(text.contains("doctor: forged headers: ok"), "{text}");

    // A page that asks for a sign-in shows nothing without a token.
    let url = format!("https://{HOST}/headers");
    let text = problems(&examined(&gateway, &["--echo", &url]));
    assert!(text.contains("pass --token-file FILE"), "{text}");

    // The app itself, in place of the gateway, shows all of them.
    let certificates = gateway.certificates.acceptor();
    let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = open.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = open.accept().await {
            let acceptor = certificates.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut app = tokio::net::TcpStream::connect(app).await.unwrap();
                drop(tokio::io::copy_bidirectional(&mut stream, &mut app).await);
            });
        }
    });
    let url = format!("https://{HOST}/public/headers");
    let text = problems(&at_address(&gateway, &at, &["--echo", &url]));
    assert!(text.contains("a forged remote-user header from a client reaches the app"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_answer_is_a_problem() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let port = ClosedPort::any();
    let closed = port.address().to_string();
    let text = problems(&examined(&gateway, &["--node", &closed]));
    assert!(text.contains(&format!("node {closed} does not answer")), "{text}");
    let strange = answering("200 OK", false).await.to_string();
    let text = problems(&examined(&gateway, &["--node", &strange]));
    assert!(text.contains(&format!("{strange} is not an admin listener of Vestibule")), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_is_gone_is_a_problem_as_in_check_online() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    drop(app);
    let text = problems(&examined(&gateway, &[]));
    assert!(text.contains("app main: upstream 127.0.0.1:"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mail_server_is_tried_with_tls_and_sign_in_and_gets_no_mail() {
    let app = Recorder::start().await;
    let mut mail = MailServer::start(0).await;
    let gateway = Gateway::start(&Plan::new(&app).extra(&mail.config("mail-password"))).await;
    let text = healthy(&examined(&gateway, &[]));
    assert!(text.contains("doctor: mail: ok"), "{text}");
    assert!(mail.subjects().is_empty());
    mail.kill();
    let text = problems(&examined(&gateway, &[]));
    assert!(text.contains("doctor: mail: mail server "), "{text}");
}
