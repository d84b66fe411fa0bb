//! Forms that come too late, tabs beside each other, and the way back: nobody is left on a dead end, and
//! nothing is done that was not asked for.

use super::support::client::Browser;
use super::support::gateway::{Gateway, HOST, PASSWORD, Plan};
use super::support::html;
use super::support::upstream::Recorder;
use super::support::visitor::{self, PENDING, SESSION};
use super::support::wire::{Answer, Wire};

const RULES: &str = "[[apps.rules]]\npath = \"/shut/**\"\naccess = \"deny\"\n\
                     [[apps.rules]]\npath = \"/sign/**\"\naccess = \"two_factor\"\nmax_age = \"1ms\"\n";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const NAVIGATES: &str = "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\n\
                         Sec-Fetch-Dest: document\r\nAccept: text/html,*/*;q=0.8\r\n";
/// As older browsers send a form, and browsers over plain http.
const WITHOUT_METADATA: &str =
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";

fn assert_page(what: &str, answer: &Answer, status: u16, says: &str) -> String {
    let page = answer.text();
    assert_eq!(answer.status, status, "{what}: {page}");
    assert_eq!(answer.get("content-type"), Some("text/html; charset=utf-8"), "{what}");
    assert_eq!(answer.get("cache-control"), Some("no-store"), "{what}");
    assert!(page.contains("<title>Error: "), "{what}: {page}");
    assert!(page.contains(says), "{what}: {page}");
    page
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_does_not_reach_the_app_is_answered_by_a_page_and_a_script_by_json() {
    let app = Recorder::start().await;
    let plan = Plan { apps: String::new(), ..Plan::new(&app) };
    let gateway = Gateway::start(&plan.app("main", HOST, &app.url(), RULES)).await;
    let (mut alice, _person) = visitor::signed_in(&gateway, "alice").await;
    let mut nobody = Browser::new(&gateway);
    nobody.jar.insert(SESSION.to_owned(), alice.jar[SESSION].clone());
    assert!(gateway.command(&["session", "end", "--all"], "").status.success());
    let (mut bob, _person) = visitor::signed_in(&gateway, "bob").await;
    super::support::within(super::support::client::PATIENCE, "the end of the session", async {
        while alice.fetch("/x").await.status != 401 {}
    })
    .await;
    app.barrier().await;
    let mark = app.mark();
    let referer = "Referer: https://gw.test/form?id=7\r\n";
    for browser in [NAVIGATES, WITHOUT_METADATA] {
        for (method, lines) in [("POST", FORM), ("PUT", FORM), ("DELETE", "")] {
            if browser == WITHOUT_METADATA && method != "POST" {
                continue;
            }
            let lines = format!("{lines}{browser}{referer}");
            let ended = nobody.ask(method, "/send", &lines, b"a=1").await;
            let page =
                assert_page(method, &ended, 401, "Your session has ended. Nothing was sent.");
            assert!(page.contains("href=\"/_auth/login?return_to=%2Fform%3Fid%3D7\""), "{page}");
            assert!(!page.contains("href=\"/_auth/logout\""), "{page}");
        }
        let lines = format!("{FORM}{browser}{referer}");
        let shut = bob.ask("POST", "/shut/a", &lines, b"a=1").await;
        let page = assert_page("deny", &shut, 403, "Nothing was sent.");
        assert!(page.contains("href=\"/_auth/logout\""), "{page}");
        let old = bob.ask("POST", "/sign/a", &lines, b"a=1").await;
        // What surely comes from the app's own page is kept, and sent after the step-up.
        let (words, next) = if browser == NAVIGATES {
            ("We keep it for 10 minutes.", "%2F_auth%2Fresend")
        } else {
            ("Nothing was sent.", "%2Fform%3Fid%3D7")
        };
        let page = assert_page("max_age", &old, 401, words);
        assert!(page.contains(&format!("href=\"/_auth/step-up?return_to={next}\"")), "{page}");
        let bare = bob.ask("POST", "/a//../b", &lines, b"a=1").await;
        assert_page("ambiguous", &bare, 400, "more than one way");
        let brewed = bob.ask("BREW", "/a", NAVIGATES, b"").await;
        assert_page("an unknown method", &brewed, 405, "not allowed here");
    }
    for script in [
        "Accept: */*\r\n",
        "Accept: application/json, text/xml, application/xml, */*\r\n",
        "Accept: text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2\r\n",
        "Accept: text/html\r\nSec-Fetch-Mode: cors\r\n",
    ] {
        for (path, code) in
            [("/send", "login_required"), ("/shut/a", "forbidden"), ("/sign/a", "step_up_required")]
        {
            let browser = if path == "/send" { &mut nobody } else { &mut bob };
            let answer = browser.ask("POST", path, &format!("{FORM}{script}"), b"a=1").await;
            assert_eq!(answer.json()["code"], code, "{script}");
        }
    }
    app.barrier().await;
    assert_eq!(app.requests(mark).len(), 0, "the app heard of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_at_unknown_hosts_and_over_plain_http_bring_their_style_along() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let ask = async |method: &str, host: &str| {
        let stream = tokio::net::TcpStream::connect(gateway.redirect).await.unwrap();
        let mut wire = Wire::new(stream);
        let request = format!(
            "{method} /x HTTP/1.1\r\nHost: {host}\r\n{FORM}{WITHOUT_METADATA}Connection: close\r\n\
             Content-Length: 0\r\n\r\n"
        );
        wire.send(request.as_bytes()).await.unwrap();
        wire.answer(method).await.unwrap()
    };
    let plain = ask("POST", "gw.test").await;
    let page = assert_page("plain http", &plain, 403, "Use https. Nothing was sent.");
    assert!(page.contains("href=\"https://gw.test"), "{page}");
    let unknown = ask("GET", "unknown.test").await;
    for (answer, page) in [(&plain, page), (&unknown, unknown.text())] {
        assert!(page.contains("<style>") && !page.contains("/_auth/assets/"), "{page}");
        let policy = answer.get("content-security-policy").unwrap();
        assert!(policy.contains("style-src 'sha256-"), "{policy}");
    }
    assert_eq!((unknown.status, ask("GET", "gw.test").await.status), (421, 308));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_is_too_large_for_us_is_answered_by_a_page() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let mut browser = Browser::new(&gateway);
    let long = "x".repeat(20_000);
    let answer = browser.post("/_auth/login", &[("username", &long)]).await;
    assert_page("a form of 20 KB", &answer, 413, "nothing was done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tabs_that_sign_in_beside_each_other_each_end_where_they_began() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (_first, mut person) = visitor::signed_in(&gateway, "alice").await;
    let mut browser = Browser::new(&gateway);
    let form = [("username", "alice"), ("password", PASSWORD)];
    let pages = [
        browser.get("/_auth/login?return_to=%2Fa").await,
        browser.get("/_auth/login?return_to=%2Fb").await,
        browser.get("/_auth/login?return_to=%2Fc").await,
    ];
    // All three stand before the form of the name; two go on, and the second login replaces the first.
    let a = browser.submit_from(&pages[0], "/_auth/login?return_to=%2Fa", &form).await;
    assert_eq!((a.status, a.location()), (303, "/_auth/otp?return_to=%2Fa"));
    let code_of_a = browser.get(a.location()).await;
    let b = browser.submit_from(&pages[1], "/_auth/login?return_to=%2Fb", &form).await;
    assert_eq!((b.status, b.location()), (303, "/_auth/otp?return_to=%2Fb"), "{}", b.text());
    let code_of_b = browser.get(b.location()).await;

    // The first tab's code goes to the login there is, and leads to where the first tab began.
    let code = person.codes.next().await;
    let done = browser.submit_from(&code_of_a, a.location(), &[("code", &code)]).await;
    assert_eq!((done.status, done.location()), (303, "/a"), "{}", done.text());
    // The others are led on by what they send, and by what they open.
    let session = browser.jar[SESSION].clone();
    let late = browser.submit_from(&code_of_b, b.location(), &[("code", "000000")]).await;
    assert_eq!((late.status, late.location()), (303, "/b"), "{}", late.text());
    let late = browser.submit_from(&pages[2], "/_auth/login?return_to=%2Fc", &form).await;
    assert_eq!((late.status, late.location()), (303, "/c"), "{}", late.text());
    for page in ["login", "otp", "recovery", "enroll", "forgot/password", "notice"] {
        let led = browser.get(&format!("/_auth/{page}?return_to=%2Fd%3Fx")).await;
        assert_eq!((led.status, led.location()), (303, "/d?x"), "{page}");
    }
    assert_eq!(browser.jar[SESSION], session, "the session is the same");
    assert_eq!(browser.get("/d?x").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_back_outlives_the_login_the_cookies_and_the_session() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut alice, mut person) = visitor::signed_in(&gateway, "alice").await;
    let mut browser = Browser::new(&gateway);
    // Bookmarked steps of a sign-in that there is not.
    for page in ["otp", "recovery", "enroll", "forgot/password", "notice", "recovery-codes"] {
        let led = browser.get(&format!("/_auth/{page}?return_to=%2Fd%3Fx")).await;
        let wanted = (303, "/_auth/login?return_to=%2Fd%3Fx");
        assert_eq!((led.status, led.location()), wanted, "{page}");
        assert_eq!(browser.get(&format!("/_auth/{page}")).await.location(), "/_auth/login");
    }
    for page in ["account", "account/password", "account/authenticator"] {
        let led = browser.get(&format!("/_auth/{page}")).await;
        let back = page.replace('/', "%2F");
        assert_eq!(led.location(), format!("/_auth/login?return_to=%2F_auth%2F{back}"));
    }
    // A form whose cookie is gone, as after the browser was closed.
    let old = browser.get("/_auth/login?return_to=%2Fd").await;
    browser.jar.clear();
    let form = [("username", "alice"), ("password", PASSWORD)];
    let anew = browser.submit_from(&old, "/_auth/login?return_to=%2Fd", &form).await;
    let page = assert_page("an old form", &anew, 403, "sent no cookie");
    assert_eq!(html::field(&page, "username").as_deref(), Some("alice"));
    assert_eq!(html::field(&page, "return_to").as_deref(), Some("/d"));
    assert!(!page.contains(PASSWORD) && !browser.jar.contains_key(PENDING));
    let proved = browser.submit_from(&anew, "/_auth/login?return_to=%2Fd", &form).await;
    assert_eq!((proved.status, proved.location()), (303, "/_auth/otp?return_to=%2Fd"));
    // The login is over: again the same way, and a sentence that says so.
    let otp = browser.get(proved.location()).await;
    browser.jar.insert(PENDING.to_owned(), alice.jar[SESSION].clone());
    let gone = browser.submit_from(&otp, proved.location(), &[("code", "000000")]).await;
    assert_eq!((gone.status, gone.location()), (303, "/_auth/login?return_to=%2Fd"));
    browser.jar.remove(PENDING);
    let proved = browser.submit("/_auth/login?return_to=%2Fd", &form).await;
    let code = person.codes.next().await;
    let done = browser.submit(proved.location(), &[("code", &code)]).await;
    assert_eq!((done.status, done.location()), (303, "/d"), "{}", done.text());
    // A form of the account whose session was replaced in another tab.
    let account = alice.get("/_auth/account/password").await;
    let mut other = browser.clone();
    let change = [("current", PASSWORD), ("password", "nine-geese-cross-the-river")];
    let anew = other.submit_from(&account, "/_auth/account/password", &change).await;
    assert_page("the password form of another session", &anew, 403, "nothing was changed");
    let ends = [("id", "others")];
    let anew = other.submit_from(&account, "/_auth/account/sessions", &ends).await;
    assert_page("a button of another session", &anew, 403, "nothing was changed");
    assert_eq!(alice.get("/x").await.status, 200, "still signed in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_address_is_kept_and_one_above_the_limit_is_reported() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (_first, mut person) = visitor::signed_in(&gateway, "alice").await;
    let long = format!("/search?q={}", "x".repeat(4000));
    let mut browser = Browser::new(&gateway);
    let turned = browser.get(&long).await;
    let form = [("username", "alice"), ("password", PASSWORD)];
    let proved = browser.submit(turned.location(), &form).await;
    let code = person.codes.next().await;
    let done = browser.submit(proved.location(), &[("code", &code)]).await;
    assert_eq!((done.status, done.location()), (303, long.as_str()));

    let longer = format!("/search?q={}", "x".repeat(6000));
    let mut other = Browser::new(&gateway);
    let turned = other.get(&longer).await;
    assert_eq!(turned.status, 303);
    let page = other.get(turned.location()).await;
    assert!(page.text().contains("too long to remember"), "{}", page.text());
    assert_eq!(html::field(&page.text(), "return_to").as_deref(), Some("/"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_of_another_site_does_nothing_whoever_is_signed_in() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut alice, _person) = visitor::signed_in(&gateway, "alice").await;
    let before = alice.jar.clone();
    let token = html::field(&Browser::new(&gateway).get("/_auth/login").await.text(), "csrf");
    let body = format!("csrf={}&username=alice&password={PASSWORD}", token.unwrap());
    for path in ["login", "otp", "recovery", "enroll", "forgot", "logout", "account/password"] {
        let lines = format!(
            "{FORM}Sec-Fetch-Mode: navigate\r\nSec-Fetch-Site: cross-site\r\n\
             Sec-Fetch-Dest: document\r\nOrigin: https://evil.example\r\n"
        );
        let path = format!("/_auth/{path}?return_to=%2Fa");
        let answer = alice.ask("POST", &path, &lines, body.as_bytes()).await;
        assert_page(&path, &answer, 403, "from another site");
        assert_eq!(answer.get("location"), None);
    }
    assert_eq!(alice.jar, before);
    assert_eq!(alice.get("/x").await.status, 200, "still signed in");
}
