//! Every route, every method, every visitor. A route that has no row here fails; so does a request
//! that was refused and still made a connection to the app.

use vestibule::web::ROUTES;

use super::support::client::Browser;
use super::support::gateway::{Gateway, Plan};
use super::support::html;
use super::support::upstream::Recorder;
use super::support::visitor::Visitor;
use super::support::wire::Answer;

/// What a visitor must get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// This status.
    Status(u16),
    /// A redirect to this page.
    Leads(&'static str),
    /// A redirect to the step-up, and from there to this page.
    Proves(&'static str),
}

use Expect::{Leads, Proves, Status};

impl Expect {
    fn holds(self, answer: &Answer) -> bool {
        match self {
            Status(status) => answer.status == status,
            Proves(page) => {
                let target = page.replace('/', "%2F");
                answer.status == 303
                    && answer.location() == format!("/_auth/step-up?return_to={target}")
            }
            Leads(page) => {
                answer.status == 303 && answer.location().split('?').next() == Some(page)
            }
        }
    }
}

const LOGIN: Expect = Leads("/_auth/login");
const ENROLL: Expect = Leads("/_auth/enroll");
const ACCOUNT: Expect = Leads("/_auth/account");
const AUTHENTICATOR: &str = "/_auth/account/authenticator";
const CODES: &str = "/_auth/account/recovery-codes";
const PASSWORD: &str = "/_auth/account/password";
const KEYS: &str = "/_auth/account/keys";
const NEW_KEY: &str = "/_auth/account/keys/new";
const CODE: Expect = Leads("/_auth/otp");

/// Method, path, and what the four visitors get: nobody, somebody whose account still owes its
/// enrolment, somebody who proved both factors a moment ago, and somebody who did longer ago. A POST
/// carries a good token and an otherwise empty form. Signing out stands last, because it works.
const TABLE: &[(&str, &str, [Expect; 4])] = &[
    ("GET", "/_auth", [ACCOUNT, ACCOUNT, ACCOUNT, ACCOUNT]),
    ("GET", "/_auth/", [ACCOUNT, ACCOUNT, ACCOUNT, ACCOUNT]),
    ("GET", "/_auth/login", [Status(200), Status(200), ACCOUNT, ACCOUNT]),
    ("POST", "/_auth/login", [Status(401), Status(401), Status(401), Status(401)]),
    ("GET", "/_auth/continue", [Status(404); 4]),
    ("GET", "/_auth/otp", [LOGIN, ENROLL, LOGIN, LOGIN]),
    ("POST", "/_auth/otp", [LOGIN, ENROLL, LOGIN, LOGIN]),
    ("GET", "/_auth/recovery", [LOGIN, ENROLL, LOGIN, LOGIN]),
    ("POST", "/_auth/recovery", [LOGIN, ENROLL, LOGIN, LOGIN]),
    ("GET", "/_auth/key", [LOGIN, CODE, LOGIN, LOGIN]),
    ("POST", "/_auth/key", [LOGIN, CODE, LOGIN, LOGIN]),
    ("GET", "/_auth/passkey", [LOGIN; 4]),
    ("POST", "/_auth/passkey", [Status(401), Status(401), ACCOUNT, ACCOUNT]),
    ("GET", "/_auth/enroll/key", [LOGIN, Status(200), LOGIN, LOGIN]),
    ("POST", "/_auth/enroll/key", [LOGIN, Status(401), LOGIN, LOGIN]),
    ("GET", "/_auth/enroll", [LOGIN, Status(200), LOGIN, LOGIN]),
    ("POST", "/_auth/enroll", [LOGIN, Status(401), LOGIN, LOGIN]),
    ("GET", "/_auth/recovery-codes", [LOGIN, LOGIN, ACCOUNT, ACCOUNT]),
    ("POST", "/_auth/recovery-codes", [LOGIN, LOGIN, ACCOUNT, ACCOUNT]),
    ("GET", "/_auth/jwks.json", [Status(200); 4]),
    ("GET", "/_auth/account", [LOGIN, LOGIN, Status(200), Status(200)]),
    ("GET", "/_auth/step-up", [LOGIN, LOGIN, ACCOUNT, Status(200)]),
    ("POST", "/_auth/step-up", [LOGIN, LOGIN, Status(401), Status(401)]),
    ("GET", AUTHENTICATOR, [LOGIN, LOGIN, Status(200), Proves(AUTHENTICATOR)]),
    ("POST", AUTHENTICATOR, [LOGIN, LOGIN, Status(401), Proves(AUTHENTICATOR)]),
    ("GET", KEYS, [LOGIN, LOGIN, Status(200), Proves(KEYS)]),
    ("GET", NEW_KEY, [LOGIN, LOGIN, Status(200), Proves(NEW_KEY)]),
    ("POST", NEW_KEY, [LOGIN, LOGIN, Status(401), Proves(NEW_KEY)]),
    ("GET", "/_auth/account/keys/{id}", [Leads(KEYS); 4]),
    ("POST", "/_auth/account/keys/{id}", [LOGIN, LOGIN, Leads(KEYS), Proves(KEYS)]),
    ("GET", CODES, [LOGIN, LOGIN, Status(200), Proves(CODES)]),
    ("POST", CODES, [LOGIN, LOGIN, Status(401), Proves(CODES)]),
    ("GET", PASSWORD, [LOGIN, LOGIN, Status(200), Proves(PASSWORD)]),
    ("POST", PASSWORD, [LOGIN, LOGIN, Status(401), Proves(PASSWORD)]),
    ("POST", "/_auth/account/sessions", [LOGIN, LOGIN, ACCOUNT, Proves("/_auth/account")]),
    ("POST", "/_auth/account/tokens", [LOGIN, LOGIN, ACCOUNT, Proves("/_auth/account")]),
    ("GET", "/_auth/notice", [LOGIN, LOGIN, Leads("/"), Leads("/")]),
    ("GET", "/_auth/resend", [LOGIN, LOGIN, Status(200), Status(200)]),
    ("POST", "/_auth/resend", [LOGIN, LOGIN, Status(409), Status(409)]),
    ("GET", "/_auth/session/extend", [Status(401), Status(401), Status(200), Status(200)]),
    ("GET", "/_auth/session", [Status(401), Status(401), Status(200), Status(200)]),
    ("GET", "/.well-known/change-password", [Leads(PASSWORD); 4]),
    ("GET", "/_auth/forgot", [Status(200); 4]),
    ("POST", "/_auth/forgot", [Status(401); 4]),
    ("GET", "/_auth/forgot/password", [LOGIN, ENROLL, LOGIN, LOGIN]),
    ("POST", "/_auth/forgot/password", [LOGIN, ENROLL, LOGIN, LOGIN]),
    ("GET", "/_auth/setup", [Status(401); 4]),
    ("POST", "/_auth/setup", [Status(401); 4]),
    ("GET", "/_auth/assets/{name}", [Status(404), Status(404), Status(404), Status(404)]),
    ("GET", "/_auth/logout", [Status(200), Status(200), Status(200), Status(200)]),
    ("POST", "/_auth/logout", [Leads("/_auth/logout"); 4]),
];

/// What the app may be asked, on a path under two factors.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

async fn visitors(gateway: &Gateway) -> [Visitor; 4] {
    [
        Visitor::anonymous(gateway),
        Visitor::pending(gateway, "halfway").await,
        Visitor::full(gateway, "alice").await,
        Visitor::stale(gateway, "anthony").await,
    ]
}

async fn ask(browser: &mut Browser, method: &str, path: &str) -> Answer {
    let path = path.replace("{name}", "no-such-asset").replace("{id}", "no-such-key");
    if method == "POST" {
        let page = browser.get("/_auth/logout").await;
        let csrf = html::field(&page.text(), "csrf");
        let csrf = match csrf {
            Some(csrf) => csrf,
            None => html::field(&browser.get("/_auth/login").await.text(), "csrf").unwrap(),
        };
        browser.post(&path, &[("csrf", &csrf)]).await
    } else {
        browser.get(&path).await
    }
}

#[test]
fn every_route_has_a_row() {
    let known = |method: &str, path: &str| TABLE.iter().any(|(m, p, _)| *m == method && *p == path);
    let missing: Vec<String> = ROUTES
        .iter()
        .filter(|(method, path)| !known(method.as_str(), path))
        .map(|(method, path)| format!("{method} {path}"))
        .collect();
    assert!(missing.is_empty(), "routes without a row: {missing:?}");
    let gone: Vec<_> = TABLE
        .iter()
        .filter(|(method, path, _)| !ROUTES.iter().any(|(m, p)| m.as_str() == *method && p == path))
        .collect();
    assert!(gone.is_empty(), "rows without a route: {gone:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_visitor_gets_from_every_route_what_the_table_says() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let mut visitors = visitors(&gateway).await;
    let mark = app.mark();
    let mut wrong = Vec::new();
    for (method, path, expected) in TABLE {
        for (visitor, expected) in visitors.iter_mut().zip(expected) {
            let who = who(visitor);
            if *method == "POST" {
                let path = path.replace("{id}", "no-such-key");
                let bare = visitor.browser().post(&path, &[("code", "123456")]).await;
                if bare.status != 403 {
                    wrong.push(format!("POST {path} of {who} without a token: {}", bare.status));
                }
            }
            let answer = ask(visitor.browser(), method, path).await;
            if !expected.holds(&answer) {
                let got = (answer.status, answer.location());
                wrong.push(format!("{method} {path} of {who}: {got:?}, not {expected:?}"));
            }
            let cached = *path == "/_auth/jwks.json" || answer.status == 404;
            if !cached && answer.get("cache-control") != Some("no-store") {
                wrong.push(format!("{method} {path} of {who} may be cached"));
            }
        }
    }
    app.barrier().await;
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!((app.connections(mark), app.requests(mark).len()), (0, 0), "the app was asked");
    assert_eq!(app.silent_connections(mark), 0, "the app was connected to");
}

fn who(visitor: &Visitor) -> &'static str {
    match visitor {
        Visitor::Anonymous(_) => "nobody",
        Visitor::Pending(_) => "somebody halfway",
        Visitor::Full(_) => "somebody signed in",
        Visitor::Stale(_) => "somebody signed in for long",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_addresses_never_reach_the_app_by_any_method() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let mut visitors = visitors(&gateway).await;
    let mark = app.mark();
    let mut wrong = Vec::new();
    for visitor in &mut visitors {
        for path in ["/_auth/nothing-here", "/_auth/login/x", "/_auth/account/../../app"] {
            let answer = visitor.browser().get(path).await;
            if !matches!(answer.status, 400 | 404) {
                wrong.push(format!("GET {path} of {}: {}", who(visitor), answer.status));
            }
        }
        for method in ["PUT", "PATCH", "DELETE", "OPTIONS"] {
            for (_, path, _) in TABLE {
                let path = path.replace("{name}", "x").replace("{id}", "x");
                let answer = visitor.browser().ask(method, &path, "", b"").await;
                if !matches!(answer.status, 403 | 405) {
                    wrong.push(format!("{method} {path} of {}: {}", who(visitor), answer.status));
                }
            }
        }
    }
    app.barrier().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((app.connections(mark), app.requests(mark).len()), (0, 0), "the app was asked");
    assert_eq!(app.silent_connections(mark), 0, "the app was connected to");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_is_asked_for_people_with_both_factors_and_for_public_paths_only() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let mut visitors = visitors(&gateway).await;
    let start = app.mark();
    let mut wrong = Vec::new();
    for visitor in &mut visitors {
        let full = matches!(visitor, Visitor::Full(_) | Visitor::Stale(_));
        let who = who(visitor);
        for path in ["/", "/app", "/admin/x?y", "/publicity", "/public/x", "/public"] {
            let passes = full || path == "/public" || path.starts_with("/public/");
            for method in METHODS {
                let mark = app.mark();
                let answer = visitor.browser().ask(method, path, "", b"").await;
                app.barrier().await;
                let (connections, requests) = (app.connections(mark), app.requests(mark).len());
                let right = if passes {
                    answer.status == 200 && requests == 1
                } else {
                    answer.status == 401 && (connections, requests) == (0, 0)
                };
                if !right {
                    let got = (answer.status, connections, requests);
                    wrong.push(format!("{method} {path} of {who}: {got:?}"));
                }
            }
            let mark = app.mark();
            let opened = visitor.browser().get(path).await;
            app.barrier().await;
            let right = passes || (LOGIN.holds(&opened) && app.connections(mark) == 0);
            if !right {
                wrong.push(format!("opening {path} of {who}: {}", opened.status));
            }
        }
        let mark = app.mark();
        let odd = visitor.browser().ask("BREW", "/public/x", "", b"").await;
        if odd.status != 405 || !app.requests(mark).is_empty() {
            wrong.push(format!("BREW of {who}: {}", odd.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(app.silent_connections(start), 0, "connections for refused requests");
}
