//! An app that is addressed by its own name: it hears of no other, and a browser never hears of it.

use serde_json::json;
use tempfile::TempDir;

use super::support::cellengine::Lab;
use super::support::certs::Certificates;
use super::support::client::{Browser, PATIENCE};
use super::support::gateway::{Gateway, HOST, PUBLIC_RULE, Plan};
use super::support::grpc::GrpcApp;
use super::support::strict::Head;
use super::support::upstream::Recorder;
use super::support::wire::Answer;
use super::support::{visitor, within};

/// The name of the app.
const NAME: &str = "app.internal.test";
/// What a page of the gateway's says of itself.
const PAGE: &str = "Origin: https://gw.test\r\nReferer: https://gw.test/app/x?y=1\r\n";

fn plan(app: &Recorder, more: &str) -> Plan {
    let plan = Plan::new(app);
    let more = format!("{more}\n{PUBLIC_RULE}");
    Plan { apps: String::new(), ..plan }.app("main", HOST, &app.url(), &more)
}

/// An app with a certificate for this name, and a gateway that addresses it by [`NAME`].
async fn over_tls(certified: &str, more: &str) -> (Recorder, Gateway, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(dir.path(), &[certified]);
    let app = Recorder::start_tls(&certificates).await;
    let trusted = format!("upstream_ca = \"{}\"\n{more}", certificates.authority.display());
    let gateway = Gateway::start(&plan(&app, &trusted)).await;
    (app, gateway, dir)
}

async fn heard(app: &Recorder, browser: &mut Browser, target: &str, lines: &str) -> Head {
    let mark = app.mark();
    let answer = browser.ask("POST", target, lines, b"x").await;
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    app.wait_for(mark, |seen| seen.head.target == target).await.head
}

/// The same over HTTP/2.
async fn heard_h2(app: &Recorder, browser: &Browser, target: &str, page: bool) -> Head {
    let mark = app.mark();
    let mut client = super::streams::h2(browser).await;
    let cookies: Vec<String> = browser.jar.iter().map(|(n, v)| format!("{n}={v}")).collect();
    let mut fields: Vec<(&str, &str)> = cookies.iter().map(|c| ("cookie", c.as_str())).collect();
    if page {
        fields.push(("origin", "https://gw.test"));
        fields.push(("referer", "https://gw.test/app/x?y=1"));
    }
    let request = super::streams::h2_request("GET", target, &fields);
    let (answer, _body) = client.send_request(request, true).unwrap();
    assert_eq!(within(PATIENCE, target, answer).await.unwrap().status(), 200);
    app.wait_for(mark, |seen| seen.head.target == target).await.head
}

fn is_of_the_page(head: &Head, authority: &str, scheme: &str) {
    assert_eq!(head.all("host"), [authority]);
    assert_eq!(head.all("origin"), [format!("{scheme}://{authority}")]);
    assert_eq!(head.all("referer"), [format!("{scheme}://{authority}/app/x?y=1")]);
    assert_eq!(head.all("x-forwarded-host"), [HOST]);
    let forwarded = head.get("forwarded").unwrap_or_default();
    assert!(forwarded.contains("host=\"gw.test\""), "{forwarded}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_hears_the_name_it_has_for_itself() {
    let app = Recorder::start().await;
    let authority = format!("{NAME}:9443");
    let named = plan(&app, &format!("upstream_host = \"{authority}\""));
    let gateway = Gateway::start(&named).await;
    let (mut browser, _) = visitor::signed_in(&gateway, "alice").await;
    let checked = gateway.command(&["check"], "");
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    let line = |line: &str| line.split_whitespace().eq(["upstream_host", &authority]);
    assert!(said.lines().any(line), "{said}");
    // A target that is not to be touched, in whatever spelling.
    let odd = "/app/a%20b/?x=%ex&y=http://gw.test/";
    is_of_the_page(&heard(&app, &mut browser, odd, PAGE).await, &authority, "http");
    is_of_the_page(&heard_h2(&app, &browser, odd, true).await, &authority, "http");
    let bare = heard_h2(&app, &browser, "/app/bare", false).await;
    assert_eq!(bare.all("host"), [authority.as_str()]);
    assert_eq!((bare.get("origin"), bare.get("referer")), (None, None));

    // Pages of others stay others', one that takes the app's own name included.
    for (lines, origin, referer) in [
        (
            "Origin: https://evil.test\r\nReferer: https://evil.test/gw.test\r\n",
            "https://evil.test",
            Some("https://evil.test/gw.test"),
        ),
        (
            "Origin: https://gw.test.evil.test\r\nReferer: https://gw.test.evil.test/\r\n",
            "https://gw.test.evil.test",
            Some("https://gw.test.evil.test/"),
        ),
        (
            "Origin: https://gw.test:8443\r\nReferer: https://gw.test@evil.test/\r\n",
            "https://gw.test:8443",
            Some("https://gw.test@evil.test/"),
        ),
        (
            "Origin: http://gw.test\r\nReferer: http://gw.test/\r\n",
            "http://gw.test",
            Some("http://gw.test/"),
        ),
        ("Origin: null\r\n", "null", None),
        (
            "Origin: http://app.internal.test:9443\r\nReferer: http://app.internal.test:9443/x\r\n",
            "null",
            None,
        ),
    ] {
        let head = heard(&app, &mut browser, "/app/other", lines).await;
        assert_eq!((head.get("origin"), head.get("referer")), (Some(origin), referer), "{lines}");
    }
    // Without the key nothing of it happens.
    let plain = Gateway::start(&Plan::new(&app)).await;
    let head = heard(&app, &mut Browser::new(&plain), "/public/x", PAGE).await;
    let said = [head.get("host"), head.get("origin"), head.get("referer")];
    let page = [Some("gw.test"), Some("https://gw.test"), Some("https://gw.test/app/x?y=1")];
    assert_eq!(said, page);
}

async fn says(browser: &mut Browser, lines: &[(&str, &str)]) -> Answer {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(lines).finish();
    browser.fetch(&format!("/public/says?{query}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_hears_only_the_name_that_it_asked_for() {
    let (_app, gateway, _dir) = over_tls(NAME, &format!("upstream_host = \"{NAME}\"")).await;
    let mut browser = Browser::new(&gateway);
    for (name, said, got) in [
        ("Location", "https://app.internal.test/x?y#z", "https://gw.test/x?y#z"),
        ("Location", "http://App.Internal.Test/x", "https://gw.test/x"),
        ("Location", "https://app.internal.test:443", "https://gw.test"),
        ("Location", "//app.internal.test/x", "https://gw.test/x"),
        ("Location", "/experiments/1", "/experiments/1"),
        ("Location", "x", "x"),
        ("Location", "https://app.internal.test:8443/x", "https://app.internal.test:8443/x"),
        (
            "Location",
            "https://app.internal.test.evil.test/",
            "https://app.internal.test.evil.test/",
        ),
        (
            "Location",
            "https://evil.test/?u=https://app.internal.test/",
            "https://evil.test/?u=https://app.internal.test/",
        ),
        ("Content-Location", "https://app.internal.test/a", "https://gw.test/a"),
        ("Refresh", "5; url=https://app.internal.test/a", "5; url=https://gw.test/a"),
        ("Refresh", "0;URL='https://app.internal.test/a'", "0;URL='https://gw.test/a'"),
        ("Refresh", "5; url=/a", "5; url=/a"),
        ("Access-Control-Allow-Origin", "https://app.internal.test", "https://gw.test"),
        ("Access-Control-Allow-Origin", "https://spa.test", "https://spa.test"),
        ("Access-Control-Allow-Origin", "*", "*"),
        ("Set-Cookie", "a=1; Domain=app.internal.test; Path=/; Secure", "a=1; Path=/; Secure"),
        ("Set-Cookie", "a=1; Path=/; domain=.internal.test", "a=1; Path=/"),
        ("Set-Cookie", "a=1; Domain=gw.test; Path=/", "a=1; Domain=gw.test; Path=/"),
        ("Strict-Transport-Security", "max-age=9; includeSubDomains; preload", "max-age=31536000"),
        ("X-Of-The-App", "https://app.internal.test/", "https://app.internal.test/"),
    ] {
        let answer = says(&mut browser, &[(name, said)]).await;
        let lower = name.to_ascii_lowercase();
        assert_eq!((answer.status, answer.all(&lower)), (200, vec![got]), "{name}: {said}");
    }
    let lines = [
        ("Set-Cookie", "a=1; Domain=internal.test"),
        ("Set-Cookie", "b=2, 3"),
        ("Alt-Svc", "h3=\":443\""),
    ];
    let answer = says(&mut browser, &lines).await;
    assert_eq!(answer.all("set-cookie"), ["a=1", "b=2, 3"], "each has a line of its own");
    assert_eq!(answer.get("alt-svc"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstream_host_is_sent_as_sni_and_the_certificate_must_match_it() {
    let (app, gateway, _dir) = over_tls(NAME, &format!("upstream_host = \"{NAME}\"")).await;
    let (mut browser, _) = visitor::signed_in(&gateway, "alice").await;
    is_of_the_page(&heard(&app, &mut browser, "/app/x", PAGE).await, NAME, "https");
    is_of_the_page(&heard_h2(&app, &browser, "/app/x", true).await, NAME, "https");
    let handshake = |origin| {
        format!(
            "GET /app/ws HTTP/1.1\r\nHost: gw.test\r\n{}Connection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Origin: https://{origin}\r\n\r\n",
            browser.cookie_line()
        )
    };
    for (origin, status) in [(HOST, 101), (NAME, 403)] {
        let mut wire = browser.connect().await;
        wire.send(handshake(origin).as_bytes()).await.unwrap();
        let answer = within(PATIENCE, "the handshake", wire.answer_head()).await.unwrap();
        assert_eq!(answer.status, status, "{origin}");
    }
    let tunnel = app.wait_for(app.mark_of_all(), |seen| seen.head.path() == "/app/ws").await.head;
    assert_eq!(
        (tunnel.get("host"), tunnel.get("origin")),
        (Some(NAME), Some("https://app.internal.test"))
    );
    let names = app.names();
    assert!(!names.is_empty() && names.iter().all(|name| name == NAME), "{names:?}");

    // Another's certificate, and that of the name where nobody says that it is the one.
    let named = format!("upstream_host = \"{NAME}\"");
    for (certified, more) in [("other.test", named.as_str()), ("127.0.0.1", &named), (NAME, "")] {
        let (app, gateway, _dir) = over_tls(certified, more).await;
        let mut browser = Browser::new(&gateway);
        let answer = browser.ask("POST", "/public/x", PAGE, b"secret").await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (502, &json!("upstream_unavailable")),
            "{certified} {more}"
        );
        assert_eq!(app.connections(app.mark_of_all()), 0, "{certified}: nothing was sent");
    }
    let (app, gateway, _dir) = over_tls("127.0.0.1", "").await;
    heard(&app, &mut Browser::new(&gateway), "/public/x", "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_is_spoken_to_in_http2_hears_its_name_as_authority() {
    let (recorder, grpc) = (Recorder::start().await, GrpcApp::start().await);
    let more = format!("upstream_http2 = true\nupstream_host = \"{NAME}\"\n{PUBLIC_RULE}");
    let url = format!("http://{}", grpc.address);
    let plan = Plan { apps: String::new(), ..Plan::new(&recorder) }.app("main", HOST, &url, &more);
    let gateway = Gateway::start(&plan).await;
    let mut browser = Browser::new(&gateway);
    let target = "/public/Method?x=%ex";
    assert_eq!(browser.ask("POST", target, PAGE, b"hello").await.status, 200);
    let mut client = super::streams::h2(&browser).await;
    let request = super::streams::h2_request("GET", target, &[("origin", "https://gw.test")]);
    let (answer, _body) = client.send_request(request, true).unwrap();
    assert_eq!(within(PATIENCE, target, answer).await.unwrap().status(), 200);
    let heads = grpc.heads.lock();
    assert_eq!(heads.len(), 2);
    for head in heads.iter() {
        assert_eq!(head.uri.authority().unwrap().as_str(), NAME);
        assert_eq!(head.uri.path_and_query().unwrap().as_str(), target);
        assert_eq!(head.headers.get("origin").unwrap(), "http://app.internal.test");
        assert!(head.headers.get("host").is_none_or(|host| host == NAME));
    }
    drop(heads);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_checks_passwords_is_asked_by_its_own_name() {
    let options = ["--prod", "--rotate", "--cookie-domain", NAME];
    let lab = Lab::named(NAME, "provision = true\napi_paths = [\"/api/**\"]", &options).await;
    let (mut browser, mut codes, _) = lab.join("alice").await;
    assert_eq!(browser.fetch("/api/v1/experiments").await.status, 200);
    let code = codes.next().await;
    let done = Lab::client(&lab.two, &["work", "alice", "pw-alice"], &format!("{code}\n")).await;
    assert_eq!((&done["filed"], &done["got"]), (&done["sent"], &done["sent"]), "{done}");
    let moved =
        browser.fetch("/api/v1/__redirect?to=https://app.internal.test/experiments/1").await;
    assert_eq!((moved.status, moved.location()), (302, "https://localhost/experiments/1"));
    let out = browser.submit("/_auth/logout", &[]).await;
    assert_eq!(out.status, 303, "{}", out.text());
    let signed_out = async {
        loop {
            let seen = lab.app.requests().await;
            if seen.iter().any(|request| request["target"] == "/api/v1/signout") {
                break seen;
            }
        }
    };
    let seen = within(PATIENCE, "the app to be told of the sign-out", signed_out).await;
    for request in &seen {
        let headers = request["headers"].to_string();
        assert!(headers.to_lowercase().contains("[\"host\",\"app.internal.test\"]"), "{request}");
    }
}
