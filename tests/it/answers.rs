//! Answers by intent: what scripts get where only scripts ask, and what scripts of other origins may
//! read.

use super::browser::{Look, Screen, Walk};
use super::streams;
use super::support::certs::Certificates;
use super::support::client::{self, Browser, PATIENCE};
use super::support::cluster::Cluster;
use super::support::gateway::{Gateway, Plan};
use super::support::upstream::Recorder;
use super::support::visitor;
use super::support::wire::{Answer, Wire};
use super::support::within;

const API: &str = r#"
api_paths = ["/api/**"]
cors_origins = ["https://spa.test:8443"]
[[apps.rules]]
path = "/api/shut/**"
access = "deny"
[[apps.rules]]
path = "/api/sign"
access = "two_factor"
max_age = "1ms"
[[apps.rules]]
path = "/api/public/**"
access = "public"
"#;

/// What a browser sends that opens a page.
const OPENS: &str = "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n";
const SPA: &str = "Origin: https://spa.test:8443\r\n";

async fn gateway(app: &Recorder, more: &str) -> Gateway {
    let plan = Plan { apps: String::new(), ..Plan::new(app) };
    Gateway::start(&plan.app("main", "gw.test", &app.url(), more)).await
}

/// JSON with a sentence, a code and a reference, which leads nowhere else.
fn assert_json(what: &str, answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.text());
    assert_eq!(answer.get("content-type"), Some("application/json"), "{what}");
    assert_eq!(answer.get("location"), None, "{what}");
    let said = answer.json();
    assert_eq!(said["code"], code, "{what}");
    assert!(said["error"].as_str().is_some_and(|e| !e.is_empty()), "{what}");
    assert!(said["reference"].as_str().is_some_and(|r| r.len() == 9), "{what}: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_api_paths_no_answer_of_ours_is_a_page_or_leads_elsewhere() {
    let app = Recorder::start().await;
    let gateway = gateway(&app, API).await;
    let (mut alice, _person) = visitor::signed_in(&gateway, "alice").await;
    let mut nobody = Browser::new(&gateway);
    let mark = app.mark();
    for (method, path, status, code) in [
        ("GET", "/api/x", 401, "login_required"),
        ("GET", "/api", 401, "login_required"),
        ("GET", "/%61pi/x?y", 401, "login_required"),
        ("GET", "/api/a//b", 400, "bad_request"),
        ("GET", "/api/../x", 400, "bad_request"),
        ("BREW", "/api/x", 405, "method_not_allowed"),
        ("POST", "/api/x", 401, "login_required"),
    ] {
        let answer = nobody.ask(method, path, OPENS, b"").await;
        assert_json(&format!("{method} {path}"), &answer, status, code);
        let allowed = (status == 405).then_some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        assert_eq!(answer.get("allow"), allowed, "{method} {path}");
    }
    let malformed = nobody.ask("GET", "/api/x", &format!("{OPENS}Expect: more\r\n"), b"").await;
    assert_json("a malformed request", &malformed, 400, "bad_request");
    malformed_over_http2(&nobody).await;
    let shut = alice.ask("GET", "/api/shut/a", OPENS, b"").await;
    assert_json("a denied path", &shut, 403, "forbidden");
    let old = alice.ask("GET", "/api/sign", OPENS, b"").await;
    assert_json("an old second factor", &old, 401, "step_up_required");
    app.barrier().await;
    assert_eq!((app.connections(mark), app.requests(mark).len()), (0, 0), "the app was asked");

    // Elsewhere people get pages.
    for path in ["/apis", "/x"] {
        assert_eq!(nobody.get(path).await.status, 303, "{path}");
    }
    assert!(nobody.get("/a//b").await.get("content-type").unwrap().starts_with("text/html"));
}

/// Over HTTP/2 no `Host` header tells which app's scripts are answered.
async fn malformed_over_http2(nobody: &Browser) {
    let fields = [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("expect", "more")];
    let request = streams::h2_request("GET", "/api/x", &fields);
    let (answer, _) = streams::h2(nobody).await.send_request(request, true).unwrap();
    let answer = within(PATIENCE, "the answer over HTTP/2", answer).await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.headers()["content-type"], "application/json");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_http_never_redirects_a_call_of_an_api() {
    let app = Recorder::start().await;
    let gateway = gateway(&app, API).await;
    let ask = async |method: &str, path: &str| {
        let stream = tokio::net::TcpStream::connect(gateway.redirect).await.unwrap();
        let mut wire = Wire::new(stream);
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: gw.test\r\n{OPENS}Connection: close\r\n\r\n"
        );
        wire.send(request.as_bytes()).await.unwrap();
        wire.answer(method).await.unwrap()
    };
    assert_json("GET", &ask("GET", "/api/x").await, 403, "https_required");
    assert_json("DELETE", &ask("DELETE", "/api/x").await, 403, "https_required");
    let page = ask("GET", "/x").await;
    let there = format!("https://gw.test:{}/x", gateway.https.port());
    assert_eq!((page.status, page.location()), (308, there.as_str()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_is_away_and_a_store_that_is_down_are_told_to_scripts_as_json() {
    let app = Recorder::start().await;
    let plan = Plan { apps: String::new(), ..Plan::new(&app) };
    let gateway = Gateway::start(&plan.app("main", "gw.test", "http://127.0.0.1:1", API)).await;
    let away = Browser::new(&gateway).ask("GET", "/api/public/x", OPENS, b"").await;
    assert_json("an app that is away", &away, 502, "upstream_unavailable");
    assert_eq!(away.get("retry-after"), Some("1"));

    let mut cluster = Cluster::serving("api_paths = [\"/api/**\"]\n", "").await;
    let (mut alice, _person) = visitor::signed_in(&cluster.one, "alice").await;
    cluster.redis.kill();
    let down = async {
        loop {
            let answer = alice.ask("GET", "/api/x", OPENS, b"").await;
            if answer.status != 200 {
                return answer;
            }
        }
    };
    let down = within(PATIENCE, "503", down).await;
    assert_json("a store that is down", &down, 503, "unavailable");
    assert_eq!(down.get("retry-after"), Some("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_of_a_configured_origin_may_read_our_answers_and_no_others() {
    let app = Recorder::start().await;
    let gateway = gateway(&app, API).await;
    let mut nobody = Browser::new(&gateway);
    for path in ["/api/x", "/x"] {
        let lines = format!("{SPA}Sec-Fetch-Mode: cors\r\n");
        let answer = nobody.ask("GET", path, &lines, b"").await;
        assert_json(path, &answer, 401, "login_required");
        let get = |name| answer.get(name);
        assert_eq!(get("access-control-allow-origin"), Some("https://spa.test:8443"));
        assert_eq!(get("access-control-allow-credentials"), Some("true"));
        assert_eq!(get("access-control-expose-headers"), Some("Retry-After"));
        assert!(answer.all("vary").iter().any(|v| v.contains("Origin")), "{path}");
    }
    for foreign in [
        "Origin: https://spa.test\r\n",
        "Origin: https://evil.test:8443\r\n",
        "Origin: null\r\n",
        "Origin: https://spa.test:8443.evil.test\r\n",
        "Origin: https://spa.test:8443\r\nOrigin: https://evil.test\r\n",
        "",
    ] {
        for (method, more) in [("GET", ""), ("OPTIONS", "Access-Control-Request-Method: PUT\r\n")] {
            let answer = nobody.ask(method, "/api/x", &format!("{foreign}{more}"), b"").await;
            assert_eq!(answer.status, 401, "{method} {foreign}");
            let told = answer.fields.iter().any(|(n, _)| n.starts_with("access-control-"));
            assert!(!told, "{method} {foreign}: {:?}", answer.fields);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preflights_of_a_configured_origin_are_answered_without_the_app() {
    let app = Recorder::start().await;
    let gateway = gateway(&app, API).await;
    let mut nobody = Browser::new(&gateway);
    let asks = "Access-Control-Request-Method: PUT\r\n\
                Access-Control-Request-Headers: content-type,x-mine\r\n";
    let mark = app.mark();
    let answer = nobody.ask("OPTIONS", "/api/x", &format!("{SPA}{asks}"), b"").await;
    assert_eq!(answer.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", "https://spa.test:8443"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "PUT"),
        ("access-control-allow-headers", "content-type,x-mine"),
    ] {
        assert_eq!(answer.get(name), Some(value));
    }
    let no_preflight = nobody.ask("OPTIONS", "/api/x", SPA, b"").await;
    assert_json("OPTIONS that is no preflight", &no_preflight, 401, "login_required");
    assert!(explained(&gateway, "/api/x").contains("cors_origins: 204 from Vestibule"));
    assert!(!explained(&gateway, "/api/public/x").contains("preflight"));
    app.barrier().await;
    assert_eq!(app.requests(mark).len(), 0);
    // What is public, the app answers itself.
    let public = nobody.ask("OPTIONS", "/api/public/x", &format!("{SPA}{asks}"), b"").await;
    assert_eq!(public.status, 200);
    app.barrier().await;
    assert_eq!(app.requests(mark).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preflights_that_are_to_pass_reach_the_app_and_nothing_else_does() {
    let app = Recorder::start().await;
    let gateway = gateway(&app, &format!("cors_preflight = \"pass\"\n{API}")).await;
    let mut nobody = Browser::new(&gateway);
    let asks = "Access-Control-Request-Method: PUT\r\n";
    let passing = format!("{SPA}{asks}");
    let foreign = format!("Origin: https://evil.test\r\n{asks}");
    for (method, path, lines, body, passes) in [
        ("OPTIONS", "/api/x", passing.as_str(), &b""[..], true),
        ("OPTIONS", "/api/x", &passing, b"body", false),
        ("OPTIONS", "/api/shut/x", &passing, b"", false),
        ("OPTIONS", "/api/x", &foreign, b"", false),
        ("OPTIONS", "/api/x", SPA, b"", false),
        ("OPTIONS", "/api/x", asks, b"", false),
        ("GET", "/api/x", &passing, b"", false),
    ] {
        let mark = app.mark();
        let answer = nobody.ask(method, path, lines, body).await;
        app.barrier().await;
        let seen = app.requests(mark);
        assert_eq!(seen.len(), usize::from(passes), "{method} {path} {lines}: {}", answer.status);
        assert!(seen.iter().all(|r| r.head.all("remote-user").is_empty()));
    }
    let answered = "a preflight from one of cors_origins: 204 from Vestibule";
    assert!(explained(&gateway, "/api/x").contains("from one of cors_origins: forwarded"));
    assert!(explained(&gateway, "/api/shut/x").contains(answered));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_says_of_every_preflight_what_becomes_of_it() {
    let app = Recorder::start().await;
    let any = API.replace("cors_origins = [\"https://spa.test:8443\"]\n", "");
    for (apps, expected) in [
        (API.to_owned(), ["answer", "forward", "answer", "answer"]),
        (format!("cors_preflight = \"pass\"\n{API}"), ["forward", "forward", "answer", "forward"]),
        (any.clone(), ["sign_in", "forward", "sign_in", "sign_in"]),
        (format!("cors_preflight = \"pass\"\n{any}"), ["forward", "forward", "sign_in", "forward"]),
    ] {
        let gateway = gateway(&app, &apps).await;
        gateway.add_user("alice");
        let paths = ["/api/x", "/api/public/x", "/api/shut/x", "/api/sign"];
        for (path, expected) in paths.into_iter().zip(expected) {
            let lines = format!("{SPA}Access-Control-Request-Method: PUT\r\n");
            let mark = app.mark();
            let answer = Browser::new(&gateway).ask("OPTIONS", path, &lines, b"").await;
            app.barrier().await;
            let happened = match (answer.status, app.requests(mark).len()) {
                (200, 1) => "forward",
                (204, 0) => "answer",
                (401, 0) => "sign_in",
                other => panic!("OPTIONS {path}: {other:?}"),
            };
            assert_eq!(happened, expected, "{path} of:{apps}");
            let (_, stranger) = preflight(&gateway, path, &[]);
            let (outcome, signed_in) = preflight(&gateway, path, &["--user", "alice"]);
            // Browsers send preflights without cookies, so no session changes them.
            assert_eq!(signed_in, stranger, "{path} of:{apps}");
            assert_eq!(stranger["outcome"], expected, "{path} of:{apps}");
            if path == "/api/x" {
                assert_eq!(outcome, "forward", "OPTIONS that is no preflight");
            }
            let named = expected != "sign_in" && path != "/api/public/x" && apps.contains("spa");
            let origins = if named { "cors_origins" } else { "any" };
            assert_eq!(stranger["origins"], origins, "{path} of:{apps}");
        }
    }
}

/// Returns the decisions of `explain` on an `OPTIONS` request, and on it as a preflight.
fn preflight(gateway: &Gateway, path: &str, who: &[&str]) -> (String, serde_json::Value) {
    let said = gateway.command(&[&["explain", "OPTIONS", path, "--json"], who].concat(), "");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    (said["outcome"].as_str().unwrap().to_owned(), said["preflight"].clone())
}

/// What is said of a question whether another origin may ask.
fn explained(gateway: &Gateway, path: &str) -> String {
    let said = gateway.command(&["explain", "OPTIONS", path], "");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_may_have_errors_in_a_shape_of_its_own() {
    let app = Recorder::start().await;
    let shape = "api_errors = { error = \"message\", code = \"kind\", login_url = \"\" }\n";
    let gateway = gateway(&app, &format!("{shape}{API}")).await;
    let answer = Browser::new(&gateway).fetch("/api/x").await;
    let said = answer.json();
    let mut fields: Vec<&str> = said.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["kind", "message", "reference"]);
    assert_eq!(said["kind"], "login_required");
    assert_eq!(client::admin(&gateway, "/readyz").await.status, 200);
}

/// What a script of the open page learns of an answer to another origin.
async fn learnt(screen: &Screen, request: &str) -> serde_json::Value {
    let script = format!(
        "const done = arguments[0];
         {request}.then(async answer => done([answer.status, (await answer.json()).code]),
                        () => done('unreadable'));"
    );
    within(PATIENCE, request, screen.client.execute_async(&script, Vec::new())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_lets_scripts_of_a_configured_origin_read_that_somebody_has_to_sign_in() {
    let app = Recorder::start().await;
    let origin = format!("cors_origins = [\"{}\"]\napi_paths = [\"/api/**\"]\n", app.url());
    let gateway = gateway(&app, &origin).await;
    let screen = Screen::open(Look::plain(true)).await;
    let api = format!("https://gw.test:{}/api/x", gateway.https.port());
    let get = format!("fetch('{api}', {{ credentials: 'include' }})");
    // The second one is asked about first, by a preflight.
    let put = format!(
        "fetch('{api}', {{ method: 'PUT', credentials: 'include', body: '{{}}', \
         headers: {{ 'Content-Type': 'application/json', 'X-Mine': '1' }} }})"
    );
    screen.client.goto(&format!("{}/page", app.url())).await.unwrap();
    let mark = app.mark();
    for request in [&get, &put] {
        let learnt = learnt(&screen, request).await;
        assert_eq!(learnt, serde_json::json!([401, "login_required"]), "{request}");
    }
    let other = app.url().replace("127.0.0.1", "localhost");
    screen.client.goto(&format!("{other}/page")).await.unwrap();
    for request in [&get, &put] {
        assert_eq!(learnt(&screen, request).await, "unreadable", "{request}");
    }
    app.barrier().await;
    let asked: Vec<String> = app.requests(mark).into_iter().map(|r| r.head.target).collect();
    assert!(!asked.iter().any(|target| target.starts_with("/api/")), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_origin_reads_that_the_session_it_had_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let spa = Recorder::start_tls(&Certificates::make(dir.path(), &["localhost"])).await;
    let page = format!("https://localhost:{}", spa.address.port());
    let app = Recorder::start().await;
    let more = format!("cors_origins = [\"{page}\"]\napi_paths = [\"/api/**\"]");
    let gateway =
        Gateway::start(&Plan::new(&app).app("local", "localhost", &app.url(), &more)).await;
    gateway.add_user("alice");
    let origin = format!("https://localhost:{}", gateway.https.port());
    let screen = Screen::open(Look::plain(true)).await;
    let walk = Walk { app, origin, screen, gateway };
    walk.enrol().await;

    walk.screen.client.goto(&format!("{page}/page")).await.unwrap();
    let allows = form_urlencoded::Serializer::new(String::new())
        .append_pair("Access-Control-Allow-Origin", &page)
        .append_pair("Access-Control-Allow-Credentials", "true")
        .finish();
    let get = format!("fetch('{}/api/says?{allows}', {{ credentials: 'include' }})", walk.origin);
    let before = learnt(&walk.screen, &get).await;
    assert_eq!(before, serde_json::json!([200, null]), "the app's own answer, to who is signed in");
    assert!(walk.gateway.command(&["session", "end", "--all"], "").status.success());
    let over = async {
        loop {
            let learnt = learnt(&walk.screen, &get).await;
            if learnt[0] != 200 {
                break learnt;
            }
        }
    };
    let after = within(PATIENCE, "the session to be over", over).await;
    assert_eq!(after, serde_json::json!([401, "login_required"]));
}
