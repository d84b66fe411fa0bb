//! What the app behind gets: who asks, told once and by nobody else; its own cookies and none of
//! ours; the target byte for byte.

use super::support::client::Browser;
use super::support::gateway::{Gateway, HOST, PUBLIC_RULE, Plan};
use super::support::upstream::{Recorder, Seen};
use super::support::visitor::{self, SESSION};

async fn seen_at(app: &Recorder, browser: &mut Browser, target: &str, lines: &str) -> Seen {
    let mark = app.mark();
    let answer = browser.ask("GET", target, lines, b"").await;
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    app.wait_for(mark, |_| true).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "most of it is the list of forged names")]
async fn the_app_is_told_who_asks_once_and_under_no_other_name() {
    let app = Recorder::start().await;
    let rules = format!("strip_headers = [\"X_My_Proxy_User\"]\n{PUBLIC_RULE}");
    let plan = Plan { apps: String::new(), ..Plan::new(&app) };
    let plan = plan.app("main", HOST, &app.url(), &rules);
    let gateway = Gateway::start(&plan).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let forged = [
        "Remote-User",
        "remote_user",
        "Remote.User",
        "REMOTE-GROUPS",
        "X-Remote-User",
        "X-Forwarded-User",
        "X-Auth-Request-User",
        "X-Authentik-Username",
        "X-Pomerium-Claim-Email",
        "Cf-Access-Authenticated-User-Email",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Real-IP",
        "X-Client-IP",
        "True-Client-IP",
        "X-HTTP-Method-Override",
        "X-Forwarded-Prefix",
        "X-Forwarded-Port",
        "X-Forwarded-Server",
        "X-Forwarded-Scheme",
        "X-Forwarded-Ssl",
        "X_Forwarded_For",
        "X-Groups",
        "X-Roles",
        "Proxy",
        "X-User-Id",
        "X-Authenticated-User",
        "X-My-Proxy-User",
        "x-my-proxy_user",
        "Client-IP",
        "X-Originating-IP",
        "Fastly-Client-IP",
        "Client-Cert",
        "SM_USER",
        "OIDC-CLAIM-sub",
        "Impersonate-User",
        "X-Scheme",
        "X-Script-Name",
    ]
    .iter()
    .fold(String::new(), |lines, name| lines + name + ": forged-value\r\n");
    let lines = format!(
        "{forged}X-Forwarded-For: 203.0.113.9\r\nForwarded: for=203.0.113.9\r\n\
                         X-Forwarded-Proto: http\r\nX-Forwarded-Host: forged-value\r\n\
                         Authorization: Bearer of-the-app\r\nX-Of-The-App: kept\r\n"
    );
    let seen = seen_at(&app, &mut browser, "/app", &lines).await;
    let head = &seen.head;
    assert_eq!(head.all("remote-user"), ["alice"]);
    assert_eq!(head.all("remote-name"), ["alice of the test"]);
    assert_eq!(head.all("remote-email"), ["alice@example.com"]);
    let groups: Vec<&str> = head.get("remote-groups").unwrap_or_default().split(',').collect();
    assert_eq!(
        (groups.contains(&"staff"), groups.contains(&"readers")),
        (true, true),
        "{groups:?}"
    );
    assert_eq!(head.all("remote-groups").len(), 1);
    assert_eq!(head.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(head.all("x-forwarded-proto"), ["https"]);
    assert_eq!(head.all("x-forwarded-host"), ["gw.test"]);
    assert_eq!(head.all("forwarded").len(), 1);
    assert_eq!(head.all("x-request-id").len(), 1);
    assert_eq!(head.all("host"), ["gw.test"]);
    assert_eq!(head.all("authorization"), ["Bearer of-the-app"]);
    assert_eq!(head.all("x-of-the-app"), ["kept"]);
    let forged: Vec<_> = head.fields.iter().filter(|(_, v)| v.contains("forged-value")).collect();
    assert!(forged.is_empty(), "{forged:?}");
    assert!(head.fields.iter().all(|(n, v)| !n.contains('_') && !v.contains("203.0.113.9")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identity_headers_have_the_names_of_the_app_and_clients_send_none_of_them() {
    let app = Recorder::start().await;
    let names = "identity_headers = { user = \"X-WEBAUTH-USER\", email = \"\", name = \"Shown-As\", \
                 groups = \"X-WEBAUTH-GROUPS\" }";
    let plan = Plan { apps: String::new(), ..Plan::new(&app) };
    let plan = plan.app("main", HOST, &app.url(), &format!("{names}\n{PUBLIC_RULE}"));
    let gateway = Gateway::start(&plan).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let forged = [
        "X-WEBAUTH-USER",
        "x_webauth_user",
        "X.Webauth.User",
        "X-WEBAUTH-EMAIL",
        "X-Webauth-Name",
        "X-WEBAUTH-ROLE",
        "X-Webauth--Groups",
        "Shown-As",
        "SHOWN_AS",
        "shown.as",
        "Remote-User",
        "Remote-Email",
        "Remote_Groups",
    ]
    .iter()
    .fold(String::new(), |lines, name| lines + name + ": forged-value\r\n");
    let nominated = "x-webauth-user, shown-as, X-Forwarded-For, x-request-id, X-Own, close";
    let lines = format!("{forged}X-Own: of the hop\r\nConnection: {nominated}\r\n");
    let seen = seen_at(&app, &mut browser, "/app", &lines).await;
    assert_eq!(seen.head.all("x-webauth-user"), ["alice"]);
    assert_eq!(seen.head.all("shown-as"), ["alice of the test"]);
    assert_eq!(seen.head.all("x-webauth-groups").len(), 1);
    for name in ["host", "x-forwarded-for", "x-request-id"] {
        assert_eq!(
            seen.head.all(name).len(),
            1,
            "Connection does not remove the gateway's own header: {name}"
        );
    }
    assert_eq!(seen.head.all("x-own"), [""; 0], "what is nominated stays behind");
    let public = seen_at(&app, &mut browser, "/public/x", &lines).await;
    for name in ["x-webauth-user", "shown-as", "x-webauth-groups"] {
        assert_eq!(public.head.all(name), [""; 0], "{name}");
    }
    for seen in [seen, public] {
        for name in ["remote-user", "remote-name", "remote-email", "remote-groups"] {
            assert_eq!(seen.head.all(name), [""; 0], "{name}");
        }
    }
    assert!(!app.heard(app.mark_of_all(), "forged-value"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_public_paths_the_app_is_told_of_nobody() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let seen = seen_at(&app, &mut browser, "/public/x", "Remote-User: forged\r\n").await;
    for name in ["remote-user", "remote-name", "remote-email", "remote-groups"] {
        assert_eq!(seen.head.all(name), [""; 0], "{name}");
    }
    assert!(!app.heard(app.mark_of_all(), "__Host-vestibule"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_sees_an_upgrade_only_in_a_get() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://gw.test\r\n";
    for method in ["POST", "DELETE", "OPTIONS"] {
        let mark = app.mark();
        assert_eq!(browser.ask(method, "/app/data", upgrade, b"").await.status, 200, "{method}");
        let seen = app.wait_for(mark, |_| true).await;
        assert_eq!(seen.head.method, method);
        assert_eq!(seen.head.get("upgrade"), None, "{method}");
        let connection = seen.head.get("connection").unwrap_or_default().to_lowercase();
        assert!(!connection.contains("upgrade"), "{method}: {connection}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_cookies_stay_with_us_and_the_apps_cookies_pass() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let session = format!("{SESSION}={}", browser.jar[SESSION]);
    let mut bare = browser.clone();
    bare.jar.clear();

    let line = format!("Cookie: a=1; {session}; b=2; __Host-vestibule-csrf=x\r\nCookie: c=3\r\n");
    let seen = seen_at(&app, &mut bare, "/app", &line).await;
    assert_eq!(seen.head.all("cookie").join("; "), "a=1; b=2; c=3");

    let only_ours = seen_at(&app, &mut bare, "/app", &format!("Cookie: {session}\r\n")).await;
    assert_eq!(only_ours.head.all("cookie"), [""; 0]);

    let crumbs = [("cookie", "a=1"), ("cookie", session.as_str()), ("cookie", "b=2")];
    let mark = app.mark();
    let mut client = super::streams::h2(&browser).await;
    let request = super::streams::h2_request("GET", "/app/crumbs", &crumbs);
    let (answer, _body) = client.send_request(request, true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    let seen = app.wait_for(mark, |r| r.head.path() == "/app/crumbs").await;
    assert_eq!(seen.head.all("cookie").join("; "), "a=1; b=2");
    assert!(!app.heard(app.mark_of_all(), "__Host-vestibule"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_can_neither_set_nor_clear_our_cookies() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    let answer = browser.get("/app/cookies").await;
    assert_eq!(answer.all("set-cookie"), ["app=mine; Path=/"]);
    assert_eq!(browser.get("/app").await.status, 200, "still signed in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_caches_may_store_answers_on_public_paths_only() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    for (target, cache, in_front) in [
        ("/app/cached", "private, max-age=60", None),
        ("/app/a", "private", None),
        ("/public/cached", "public, max-age=60", Some("max-age=60")),
    ] {
        let answer = browser.get(target).await;
        assert_eq!(answer.all("cache-control"), [cache], "{target}");
        assert_eq!(answer.get("cdn-cache-control"), in_front, "{target}");

        let cookies = browser.cookie_line();
        let cookies = [("cookie", cookies.trim_start_matches("Cookie: ").trim())];
        let mut client = super::streams::h2(&browser).await;
        let request = super::streams::h2_request("GET", target, &cookies);
        let answer = client.send_request(request, true).unwrap().0.await.unwrap();
        let lines = |name: &str| -> Vec<_> {
            answer.headers().get_all(name).iter().map(|v| v.to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(lines("cache-control"), [cache], "{target}");
        assert_eq!(lines("cdn-cache-control"), in_front.as_slice(), "{target}");
    }
    assert_eq!(browser.get("/public/a").await.get("cache-control"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_a_user_authenticates_at_the_app_carries_nothing_else() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    for scheme in ["NTLM", "Negotiate"] {
        let lines = format!("Authorization: {scheme} YII=\r\n");
        let before = seen_at(&app, &mut browser, "/app/a", "").await.connection;
        let theirs = seen_at(&app, &mut browser, "/app/b", &lines).await;
        assert_eq!(theirs.head.get("authorization"), Some(&*format!("{scheme} YII=")));
        let again = seen_at(&app, &mut browser, "/app/b", &lines).await.connection;
        let after = seen_at(&app, &mut browser, "/app/c", "").await.connection;
        assert_ne!(before, theirs.connection, "{scheme}");
        assert!(![theirs.connection, again].contains(&after), "{scheme}");
        assert_ne!(theirs.connection, again, "{scheme}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_without_rules_gets_its_target_byte_for_byte() {
    let (app, plain) = (Recorder::start().await, Recorder::start().await);
    let plan = Plan::new(&app).app("plain", "plain.test", &plain.url(), "");
    let gateway = Gateway::start(&plan).await;
    gateway.add_user("alice");
    let mut browser = Browser::new(&gateway);
    browser.host = "plain.test".to_owned();
    let (mut browser, _person) = visitor::join(browser, "alice").await;
    for target in [
        "/",
        "/a//b",
        "/a%2fb",
        "/%7Euser/%41",
        "/a/./b/../c",
        "/a;v=1/b?x=%20+&y=%2F%2f&&=",
        "/a?",
        "/a?next=https://example.org/%3Fa%3Db",
        "/%E2%82%AC",
        "/a:b@c,d'(e)*!$",
    ] {
        let seen = seen_at(&plain, &mut browser, target, "").await;
        assert_eq!(seen.head.target, target);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_with_rules_gets_the_path_that_was_judged() {
    let app = Recorder::start().await;
    let plan = Plan::new(&app).app("other", "other.test", &app.url(), PUBLIC_RULE);
    let gateway = Gateway::start(&plan).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "alice").await;
    for target in ["/app/b?x=%2F..%2F&y=//", "/app/a:b@c"] {
        let seen = seen_at(&app, &mut browser, target, "").await;
        assert_eq!(seen.head.target, target);
    }
    for target in ["/app/..%2fx", "/public/%2e%2e/app", "/app%00", "/app/%2561"] {
        let mark = app.mark();
        let answer = browser.ask("GET", target, "", b"").await;
        app.barrier().await;
        let reached = app.requests(mark);
        let canonical = reached.iter().all(|r| !r.head.target.contains('%'));
        assert!(
            canonical && (answer.status == 400 || answer.status == 200),
            "{target}: {reached:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_service_worker_covers_our_pages_unless_the_configuration_says_so() {
    let app = Recorder::start().await;
    let lifted = format!("service_workers = true\n{PUBLIC_RULE}");
    let plan = Plan::new(&app).app("lifted", "other.test", &app.url(), &lifted);
    let gateway = Gateway::start(&plan).await;
    let (mut browser, _person) = visitor::signed_in(&gateway, "wendy").await;
    let script = "Service-Worker: script\r\nSec-Fetch-Dest: serviceworker\r\n\
                  Sec-Fetch-Mode: same-origin\r\nSec-Fetch-Site: same-origin\r\n";
    let mark = app.mark();
    let refused = browser.ask("GET", "/worker.js", script, b"").await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.text().contains("\"service_worker\""), "{}", refused.text());
    assert_eq!(browser.ask("GET", "/_auth/worker.js", script, b"").await.status, 404);
    app.barrier().await;
    assert!(app.requests(mark).is_empty(), "the app was asked");
    for (target, lines) in [("/public/worker.js", script), ("/worker.js", "")] {
        let taken = browser.ask("GET", target, lines, b"").await;
        assert_eq!((taken.status, taken.get("service-worker-allowed")), (200, None), "{target}");
    }
    let mut other = Browser::new(&gateway);
    "other.test".clone_into(&mut other.host);
    let allowed = other.ask("GET", "/public/worker.js", script, b"").await;
    assert_eq!(allowed.get("service-worker-allowed"), Some("/"));
    let asked = other.ask("GET", "/worker.js", script, b"").await;
    assert_eq!(asked.status, 401, "as any script is, that wants to be signed in");
}
