//! Forward-auth: a proxy asks about the requests that it holds, and gets the decision of the gate.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::support::client::{Browser, PATIENCE};
use super::support::gateway::{Gateway, HOST, PUBLIC_RULE, Plan};
use super::support::log::Line;
use super::support::upstream::Recorder;
use super::support::visitor::{self, SESSION};
use super::support::wire::{Answer, Wire};
use super::support::within;

const TRUSTED: &str = "[network]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
const IDENTITY: [&str; 4] = ["remote-user", "remote-name", "remote-email", "remote-groups"];
/// Headers of a request by a script.
const SCRIPT: &str = "Accept: application/json\r\nSec-Fetch-Mode: cors\r\n";
/// Headers of a browser that loads a page.
const PAGE: &str = "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n";

/// An app that only other proxies forward to, and one that they must not ask about.
pub(super) fn plan(app: &Recorder, more: &str) -> Plan {
    let plan = Plan { apps: String::new(), ..Plan::new(app) };
    let rules = format!(
        "forward_auth = true\nassertion = true\n{more}\n{PUBLIC_RULE}\
         [[apps.rules]]\npath = \"/admin/**\"\naccess = \"deny\"\n"
    );
    let plan = plan.app("wiki", HOST, "", &rules).app("files", "other.test", &app.url(), "");
    let open =
        "forward_auth = true\n[[apps.rules]]\nhosts = [\"plain.test\"]\naccess = \"public\"\n";
    let plan = plan.app("status", "plain.test", "", open);
    Plan { apps: plan.apps.replace("upstreams = [\"\"]\n", ""), ..plan }.extra(TRUSTED)
}

async fn send(to: SocketAddr, method: &str, target: &str, lines: &str) -> Answer {
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: vestibule\r\n{lines}Connection: close\r\n\r\n"
    );
    let mut wire = Wire::new(TcpStream::connect(to).await.unwrap());
    let exchange = async {
        wire.send(head.as_bytes()).await?;
        wire.answer(method).await
    };
    within(PATIENCE, &head, exchange).await.unwrap()
}

/// Asks about a request in each of the three forms; the answers must be the same.
async fn ask(gateway: &Gateway, method: &str, target: &str, lines: &str) -> Answer {
    let proxy = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n";
    let traefik = format!(
        "{proxy}X-Forwarded-Method: {method}\r\nX-Forwarded-Host: {HOST}\r\n\
         X-Forwarded-Uri: {target}\r\n{lines}"
    );
    let nginx = format!(
        "{proxy}X-Original-Method: {method}\r\nX-Original-URL: https://{HOST}{target}\r\n{lines}"
    );
    let envoy = format!("{proxy}X-Forwarded-Host: {HOST}\r\n{lines}");
    let path = format!("/_auth/verify/envoy{target}");
    let of =
        |a: &Answer| (a.status, a.location().to_owned(), a.get("remote-user").map(str::to_owned));
    let answer = send(gateway.http, "GET", "/_auth/verify", &traefik).await;
    for (other, method, target, lines) in
        [("nginx", "GET", "/_auth/verify", &nginx), ("envoy", method, path.as_str(), &envoy)]
    {
        let same = send(gateway.http, method, target, lines).await;
        assert_eq!(of(&same), of(&answer), "{other}: {method} {target} {lines}");
    }
    answer
}

fn cookie(browser: &Browser) -> String {
    format!("Cookie: a=1; {SESSION}={}; b=2\r\n", browser.jar[SESSION])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_in_user_passes_with_identity_and_assertion_and_a_stranger_does_not() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&plan(&app, "")).await;
    let (browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let cookie = cookie(&browser);
    for method in ["GET", "POST", "HEAD", "DELETE"] {
        let answer = ask(&gateway, method, "/page?q=%2F", &format!("{cookie}{SCRIPT}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.all("remote-user"), ["alice"]);
        assert_eq!(answer.all("remote-email"), ["alice@example.com"]);
        assert_eq!(answer.all("cookie"), ["a=1; b=2"]);
        assert_eq!(answer.all("cache-control"), ["no-store"]);
        assert_eq!(answer.get("vestibule-assertion").unwrap().split('.').count(), 3);
    }
    // Told, but not believed.
    let forged = "Remote-User: bob\r\nVestibule-Assertion: forged\r\n";
    let answer = ask(&gateway, "GET", "/page", &format!("{cookie}{forged}")).await;
    assert_eq!(answer.all("remote-user"), ["alice"]);

    let script = ask(&gateway, "GET", "/page", SCRIPT).await;
    assert_eq!((script.status, script.get("location")), (401, None));
    let told = script.json();
    assert_eq!(told["code"], "login_required");
    assert_eq!(told["login_url"], "https://gw.test/_auth/login");
    let page = ask(&gateway, "GET", "/page?q=1", PAGE).await;
    assert_eq!(page.status, 303);
    assert_eq!(page.location(), "https://gw.test/_auth/login?return_to=%2Fpage%3Fq%3D1");
    let form = ask(&gateway, "POST", "/page", PAGE).await;
    assert!(form.status == 401 && form.text().contains("Nothing was sent."), "{}", form.text());
    for path in ["/admin", "/admin/x", "/%61dmin/x"] {
        let denied = ask(&gateway, "GET", path, &format!("{cookie}{SCRIPT}")).await;
        assert_eq!((denied.status, denied.get("remote-user")), (403, None), "{path}");
    }
    for anonymous in ["", forged] {
        let public = ask(&gateway, "GET", "/public/x", &format!("{cookie}{anonymous}")).await;
        assert_eq!(public.status, 200);
        for name in IDENTITY.into_iter().chain(["vestibule-assertion"]) {
            assert_eq!(public.all(name), [""], "{name} replaces one of the client");
        }
    }
    assert_eq!(app.requests(app.mark_of_all()).len(), 0, "nothing is forwarded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_gets_401_with_the_place_of_sign_in_in_place_of_a_redirect() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&plan(&app, "")).await;
    let lines = |accept: &str| {
        format!("X-Original-Method: GET\r\nX-Original-URL: https://{HOST}:8443/a?b\r\n{accept}")
    };
    let target = "/_auth/verify?redirect=401";
    let page = send(gateway.http, "GET", target, &lines(PAGE)).await;
    assert_eq!(page.status, 401);
    assert_eq!(page.location(), "https://gw.test:8443/_auth/login?return_to=%2Fa%3Fb");
    let script = send(gateway.http, "GET", target, &lines(SCRIPT)).await;
    assert_eq!((script.status, script.location()), (401, ""));
    let head = send(gateway.http, "HEAD", target, &lines(PAGE)).await;
    assert_eq!((head.status, head.body.len()), (401, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_gate_refuses_is_refused_with_403_and_never_a_success() {
    let app = Recorder::start().await;
    let more = "cors_origins = [\"https://spa.example.com\"]\nwebsocket = false";
    let gateway = Gateway::start(&plan(&app, more)).await;
    let (browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let with_cookie = format!("{}{SCRIPT}", cookie(&browser));
    for target in [
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public//x",
        "//public/x",
        "/public/a;b",
        "/public/a%2fb",
        "/public/%252e%252e/admin",
        "/public/%EF%BC%8F",
        "/public/\\x",
        "/_auth/login",
        "/_auth/verify",
        "/_auth",
        "/.well-known/change-password",
    ] {
        let answer = ask(&gateway, "GET", target, &with_cookie).await;
        assert_eq!(answer.status, 403, "{target}: {}", answer.text());
        assert!(IDENTITY.iter().all(|name| answer.get(name).is_none()), "{target}");
    }
    for method in ["TRACE", "PROPFIND", "get", "FOO"] {
        let answer = ask(&gateway, method, "/public/x", &with_cookie).await;
        assert_eq!(answer.status, 403, "{method}: {}", answer.text());
    }
    for (target, lines) in [
        // Open only after decoding: the app gets it undecoded.
        ("/%70ublic/x", SCRIPT.to_owned()),
        // More than one session.
        ("/page", format!("{with_cookie}{}", cookie(&browser))),
        // A handshake at an app without WebSockets; `Upgrade` is not handed on.
        ("/page", format!("{with_cookie}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")),
        // One of HTTP/2 that HAProxy turned into one of HTTP/1.1, before it adds the key.
        ("/page", format!("{with_cookie}Sec-WebSocket-Version: 13\r\n")),
        ("/sw.js", format!("{with_cookie}Service-Worker: script\r\n")),
    ] {
        let answer = ask(&gateway, "GET", target, &lines).await;
        assert_eq!(answer.status, 403, "{target} {lines}: {}", answer.text());
    }
    let lower = ask(&gateway, "GET", "/public/caf%c3%a9", SCRIPT).await;
    assert_eq!(lower.status, 200, "the same path in lower-case digits");
    let full = ask(&gateway, "GET", "/%70age", &with_cookie).await;
    assert_eq!(full.status, 200, "no rule opened it");
    let preflight = "Origin: https://spa.example.com\r\nAccess-Control-Request-Method: GET\r\n";
    let answer = ask(&gateway, "OPTIONS", "/page", preflight).await;
    assert_eq!(answer.status, 401, "a preflight that Vestibule answers lets nothing pass");
}

/// One line about a refusal, which names what was asked.
async fn one_line_names_what_was_asked(gateway: &Gateway) {
    let asked = "X-Forwarded-Method: PUT\r\nX-Forwarded-Uri: /admin/x?secret\r\n";
    let refused = send(
        gateway.http,
        "GET",
        "/_auth/verify",
        &format!("{asked}X-Forwarded-Host: {HOST}\r\n{SCRIPT}"),
    )
    .await;
    let reference = refused.json()["reference"].as_str().unwrap().to_owned();
    let of_it = |line: &Line| {
        (line.get("reference") == Some(reference.as_str())).then(|| line.json().clone())
    };
    let line = gateway.log.wait_for("the refusal", of_it).await;
    for (name, value) in [
        ("method", "PUT"),
        ("host", HOST),
        ("path", "/admin/x"),
        ("app", "wiki"),
        ("level", "INFO"),
    ] {
        let said = line.get(name).or_else(|| line["fields"].get(name));
        assert_eq!(said.and_then(|said| said.as_str()), Some(value), "{name}: {line}");
    }
    let id = line.get("id").or_else(|| line["fields"].get("id")).unwrap().as_str().unwrap();
    let about_it = gateway.log.so_far().lines().filter(|line| line.contains(id)).count();
    assert_eq!(about_it, 1, "{}", gateway.log.so_far());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auth_request_that_can_be_read_in_two_ways_is_refused_with_its_reason_in_the_log() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&plan(&app, "")).await;
    let (method, uri) = ("X-Forwarded-Method: GET\r\n", "X-Forwarded-Uri: /public/x\r\n");
    let host = "X-Forwarded-Host: gw.test\r\n";
    let (original, url) =
        ("X-Original-Method: GET\r\n", "X-Original-URL: https://gw.test/public/x\r\n");
    let good = send(gateway.http, "GET", "/_auth/verify", &[method, uri, host].concat()).await;
    assert_eq!(good.status, 200);
    for (lines, reason) in [
        (&[method, uri, host, original, url][..], "exclude each other"),
        (&[method, uri, host, url], "exclude each other"),
        (&[original, url, uri], "exclude each other"),
        (&[url], "x-original-method is missing"),
        (&[uri, host], "x-forwarded-method is missing"),
        (&[method, host], "x-forwarded-uri is missing"),
        (&[], "no original request"),
        (&[original, "X-Original-URL: /public/x\r\n"], "x-original-url cannot be read"),
        (&[method, uri, host, uri], "x-forwarded-uri occurs more than once"),
        (&[method, "X-Forwarded-Uri: http://gw.test/public/x\r\n", host], "x-forwarded-uri cannot"),
        (&[original, url, "X-Forwarded-Host: other.test\r\n"], "different hosts"),
        (&[original, url, "X-Forwarded-Proto: http\r\n"], "different schemes"),
        (&[method, uri, "X-Forwarded-Host: nowhere.test\r\n"], "no app is served"),
        (&[method, uri, "X-Forwarded-Host: other.test\r\n"], "has no forward_auth"),
        (&[method, uri, "X-Forwarded-Host: gw.test, gw.test\r\n"], "x-forwarded-host cannot"),
        (&[method, uri], "no app is served"),
    ] {
        let answer = send(gateway.http, "GET", "/_auth/verify", &lines.concat()).await;
        assert_eq!(answer.status, 403, "{lines:?}: {}", answer.text());
        let reference = answer.json()["reference"].as_str().unwrap().to_owned();
        let told = |line: &Line| {
            let this = line.get("reference") == Some(reference.as_str());
            this.then(|| (line.get("level").map(str::to_owned), line.get("why").map(str::to_owned)))
        };
        let (level, why) = gateway.log.wait_for(reason, told).await;
        assert_eq!(level.as_deref(), Some("WARN"), "{lines:?}");
        assert!(why.as_deref().is_some_and(|why| why.contains(reason)), "{lines:?}: {why:?}");
    }
    one_line_names_what_was_asked(&gateway).await;
    let posted = send(gateway.http, "POST", "/_auth/verify", &[method, uri, host].concat()).await;
    assert_eq!(posted.status, 403);
    // A body that is announced and never comes holds nothing up.
    let lines = [method, uri, host, "Content-Length: 5\r\n"].concat();
    assert_eq!(send(gateway.http, "GET", "/_auth/verify", &lines).await.status, 200);
    // The proxy serves one app; another one's host is not its.
    for (app, status) in [("wiki", 200), ("status", 403), ("wik", 403), ("", 403)] {
        let target = format!("/_auth/verify?app={app}");
        let answer = send(gateway.http, "GET", &target, &[method, uri, host].concat()).await;
        assert_eq!(answer.status, status, "{app}");
    }
    // `Host` names another app; the header decides.
    let of_other = format!(
        "GET /_auth/verify HTTP/1.1\r\nHost: other.test\r\n{method}{uri}{host}Connection: close\r\n\r\n"
    );
    let mut wire = Wire::new(TcpStream::connect(gateway.http).await.unwrap());
    wire.send(of_other.as_bytes()).await.unwrap();
    assert_eq!(within(PATIENCE, "the answer", wire.answer("GET")).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_but_a_trusted_proxy_may_ask() {
    let app = Recorder::start().await;
    let plan = plan(&app, "");
    let plan = Plan { extra: plan.extra.replace("127.0.0.0/8", "127.9.0.0/16"), ..plan };
    let gateway = Gateway::start(&plan).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let lines = format!(
        "X-Forwarded-Method: GET\r\nX-Forwarded-Uri: /public/x\r\nX-Forwarded-Host: {HOST}\r\n\
         X-Forwarded-For: 127.9.0.1\r\n"
    );
    for target in ["/_auth/verify", "/_auth/verify?redirect=401", "/_auth/verify/envoy/public/x"] {
        let answer = browser.ask("GET", target, &lines, b"").await;
        assert_eq!(answer.status, 403, "{target}: {}", answer.text());
        assert!(answer.get("remote-user").is_none());
        assert_eq!(send(gateway.http, "GET", target, &lines).await.status, 403, "{target}");
    }
    // The pages of the host are there, and nothing else is.
    assert_eq!(browser.get("/_auth/account").await.status, 200);
    for target in ["/", "/public/x", "/page", "/_auth/verify/", "/_auth/%76erify"] {
        assert_eq!(browser.get(target).await.status, 404, "{target}");
    }
    assert_eq!(Browser::new(&gateway).get("/page").await.status, 404);
    assert_eq!(app.requests(app.mark_of_all()).len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ended_passes_no_more_and_a_token_passes_within_its_limits() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&plan(&app, "")).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let args = ["token", "create", "--user", "alice", "--app", "wiki", "--path", "/data/**"];
    let made = gateway.command(&[&args[..], &["--json"]].concat(), "");
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let token = format!("Vestibule-Token: {}\r\n", made["token"].as_str().unwrap());
    let answer = ask(&gateway, "GET", "/data/x", &token).await;
    assert_eq!((answer.status, answer.get("remote-user")), (200, Some("alice")));
    assert_eq!(ask(&gateway, "GET", "/other", &token).await.status, 401);
    let cookie = cookie(&browser);
    assert_eq!(ask(&gateway, "GET", "/page", &cookie).await.status, 200);
    browser.submit("/_auth/logout", &[]).await;
    let after = ask(&gateway, "GET", "/page", &format!("{cookie}{SCRIPT}")).await;
    assert_eq!((after.status, after.get("vestibule-assertion")), (401, None));
}
