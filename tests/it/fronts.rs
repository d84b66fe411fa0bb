//! Real proxies in front, with the configurations of `docs/forward-auth.md`.

use super::attacks;
use super::forward_auth::plan;
use super::support::client::{Browser, PATIENCE};
use super::support::fronts::Front;
use super::support::gateway::Gateway;
use super::support::upstream::{Recorder, Seen};
use super::support::visitor::{self, SESSION};
use super::support::within;

const SCRIPT: &str = "Accept: application/json\r\nSec-Fetch-Mode: cors\r\n";
const PAGE: &str = "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n";

/// The cookies that the app got.
fn cookies(seen: &Seen) -> Vec<String> {
    let lines = seen.head.all("cookie").join(";");
    let pairs = lines.split(';').map(str::trim).filter(|pair| !pair.is_empty());
    pairs.map(str::to_owned).collect()
}

/// A gateway, an app, and a proxy that forwards to the app.
struct Scene {
    app: Recorder,
    gateway: Gateway,
    front: Front,
}

/// Headers that the app must never get from a client.
const FORGED: &str = "Remote-User: forged-bob\r\nRemote-Groups: forged-admins\r\n\
                      X-Forwarded-User: forged-bob\r\nVestibule-Assertion: forged\r\n";
/// An auth request of a client, in each form.
const NGINX: &str = "X-Original-Method: GET\r\nX-Original-URL: https://gw.test/public/x\r\n";
const TRAEFIK: &str = "X-Forwarded-Method: GET\r\nX-Forwarded-Uri: /public/x\r\n\
                       X-Forwarded-Host: gw.test\r\n";

impl Scene {
    async fn set_up(front: impl Fn(&Gateway, &Recorder) -> Front) -> Self {
        let app = Recorder::start().await;
        let gateway = Gateway::start(&plan(&app, "")).await;
        let front = front(&gateway, &app);
        let mut anyone = Browser::through(front.address, &gateway);
        let ready = async {
            while !anyone.reaches().await || anyone.ask("GET", "/a", PAGE, b"").await.status == 404
            {
            }
        };
        within(PATIENCE, "the routes of the proxy", ready).await;
        Self { app, gateway, front }
    }

    async fn leads_a_stranger_to_the_sign_in(&self) -> Browser {
        let mut stranger = Browser::through(self.front.address, &self.gateway);
        let page = stranger.ask("GET", "/start?a=b%20c", PAGE, b"").await;
        assert_eq!(page.status, 303, "{}", page.text());
        let port = self.front.address.port();
        let login = format!("https://gw.test:{port}/_auth/login?return_to=%2Fstart%3Fa%3Db%2520c");
        assert_eq!(page.location(), login);
        let script = stranger.ask("GET", "/start", SCRIPT, b"").await;
        let code = script.json()["code"].as_str().map(str::to_owned);
        assert_eq!((script.status, code.as_deref()), (401, Some("login_required")));
        assert_eq!(stranger.ask("POST", "/start", SCRIPT, b"a=1").await.status, 401);
        let requests = self.app.requests(self.app.mark_of_all());
        assert_eq!(requests.len(), 0, "nothing passes before the sign-in");
        stranger
    }

    async fn forwards_for(&self, browser: &mut Browser) {
        let all = self.app.mark();
        let token = format!("{SCRIPT}Vestibule-Token: vst_forged\r\n");
        let refused = browser.ask("GET", "/start", &token, b"").await;
        assert_ne!(refused.status, 200, "a token beside a session");
        let lines = format!("{SCRIPT}{FORGED}");
        browser.jar.insert("a".to_owned(), "1".to_owned());
        for (method, target, body) in [
            ("GET", "/start/a%20b?x=%2F", &b""[..]),
            ("POST", "/start", b"hello"),
            ("PUT", "/a", b"x"),
        ] {
            let mark = self.app.mark();
            let answer = browser.ask(method, target, &lines, body).await;
            assert_eq!(answer.status, 200, "{method} {target}: {}", answer.text());
            let seen = self.app.wait_for(mark, |seen| seen.head.method == method).await;
            assert_eq!(seen.head.target, target, "as the client wrote it");
            assert_eq!(seen.head.all("remote-user"), ["alice"]);
            assert_eq!(seen.head.all("remote-groups").len(), 1);
            let assertion = seen.head.get("vestibule-assertion").unwrap();
            assert_eq!(assertion.split('.').count(), 3);
            assert_eq!(cookies(&seen), ["a=1"]);
        }
        browser.jar.remove("a");
        let mark = self.app.mark();
        assert_eq!(browser.ask("GET", "/own", SCRIPT, b"").await.status, 200);
        let seen = self.app.wait_for(mark, |seen| seen.head.path() == "/own").await;
        assert_eq!(cookies(&seen), [""; 0]);
        for text in ["forged", "__Host-vestibule", &browser.jar[SESSION]] {
            assert!(!self.app.heard(all, text), "the app heard {text}");
        }
        assert_eq!(browser.ask("GET", "/admin/x", SCRIPT, b"").await.status, 403);
    }

    async fn forwards_public_paths_without_identity(&self, bare: &mut Browser) {
        let mark = self.app.mark();
        let lines = format!("{SCRIPT}{FORGED}");
        let public = bare.ask("GET", "/public/x", &lines, b"").await;
        assert_eq!(public.status, 200, "{}", public.text());
        let seen = self.app.wait_for(mark, |seen| seen.head.path() == "/public/x").await;
        for name in ["remote-user", "remote-groups", "vestibule-assertion", "x-forwarded-user"] {
            assert_eq!(seen.head.all(name).concat(), "", "{name} on a public path");
        }
    }

    /// Another app is open to everybody; this proxy does not serve it.
    async fn serves_no_other_host(&self, browser: &Browser) {
        for host in ["plain.test", "other.test", "nowhere.test"] {
            let mark = self.app.mark();
            let head = format!(
                "GET /secret HTTP/1.1\r\nHost: {host}\r\n{}Connection: close\r\n\r\n",
                browser.cookie_line()
            );
            let mut wire = browser.connect().await;
            wire.send(head.as_bytes()).await.unwrap();
            let refused = match within(PATIENCE, host, wire.answer("GET")).await {
                Ok(answer) => answer.status >= 400 || answer.body.is_empty(),
                Err(_closed) => true,
            };
            assert!(refused, "{host}");
            self.app.barrier().await;
            assert_eq!(self.app.requests(mark).len(), 0, "{host}");
        }
    }

    async fn keeps_auth_requests_from_the_outside(
        &self,
        browser: &mut Browser,
        bare: &mut Browser,
    ) {
        for target in [
            "/_auth/verify",
            "/_auth/verify?redirect=401",
            "/_auth/verify/envoy/public/x",
            "/_auth/%76erify",
            "/_auth/verify/envoy/",
            "/x/../_auth/verify",
            "/_auth/verify/envoy/../../x",
            "/_auth/verify/envoy/%2e%2e/%2e%2e/x",
            "/_auth/verify/envoy/..%2f..%2fpublic/x",
        ] {
            for lines in [NGINX, TRAEFIK, ""] {
                let outside = browser.ask("GET", target, lines, b"").await;
                assert!(outside.status >= 400, "{target} {lines}: {}", outside.status);
                assert!(outside.get("remote-user").is_none(), "{target} {lines}");
            }
        }
        for (target, lines) in [("/start", NGINX), ("/start", TRAEFIK), ("/admin/x", "")] {
            let mark = self.app.mark();
            let answer = bare.ask("GET", target, &format!("{lines}{SCRIPT}"), b"").await;
            assert!(matches!(answer.status, 401 | 403), "{target} {lines}: {}", answer.status);
            self.app.barrier().await;
            assert_eq!(self.app.requests(mark).len(), 0, "{target} {lines}");
        }
    }
}

/// Checks everything that a proxy has to do with the documented configuration.
async fn works(front: impl Fn(&Gateway, &Recorder) -> Front) {
    let scene = Scene::set_up(front).await;
    let stranger = scene.leads_a_stranger_to_the_sign_in().await;
    scene.gateway.add_user("alice");
    let (mut browser, _person) = visitor::join(stranger, "alice").await;
    scene.forwards_for(&mut browser).await;
    let mut bare = browser.clone();
    bare.jar.clear();
    scene.forwards_public_paths_without_identity(&mut bare).await;
    scene.serves_no_other_host(&browser).await;
    scene.keeps_auth_requests_from_the_outside(&mut browser, &mut bare).await;
    assert_eq!(browser.get("/_auth/account").await.status, 200);
    browser.submit("/_auth/logout", &[]).await;
    assert_eq!(browser.ask("GET", "/start", SCRIPT, b"").await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_nginx_asks_and_forwards_what_was_judged() {
    works(Front::nginx).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_haproxy_asks_and_forwards_what_was_judged() {
    works(Front::haproxy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_caddy_asks_and_forwards_what_was_judged() {
    works(Front::caddy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_traefik_asks_and_forwards_what_was_judged() {
    works(Front::traefik).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_envoy_asks_and_forwards_what_was_judged() {
    works(Front::envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_attack_of_the_corpus_gets_through_nginx() {
    let app = Recorder::start().await;
    let plan = plan(&app, "");
    let gateway = Gateway::start(&plan).await;
    let front = Front::nginx(&gateway, &app);
    attacks::none_gets_through_front((plan, gateway), app, front.address).await;
}
