//! One-time links from the command line to the browser: what they open, and what they do not.

use serde_json::Value;

use super::support::client::Browser;
use super::support::codes::Codes;
use super::support::gateway::{Gateway, PASSWORD, Plan};
use super::support::html;
use super::support::upstream::Recorder;
use super::support::visitor::{self, PENDING, SESSION};

const TICKET: &str = "__Host-vestibule-ticket";
const NEW_PASSWORD: &str = "nine-herons-mend-the-clock";

/// What a command that makes a link says of it.
pub(crate) fn made(gateway: &Gateway, args: &[&str]) -> Value {
    let output = gateway.command(&[args, &["--json"]].concat(), "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The path and query of a link.
pub(crate) fn link(made: &Value) -> String {
    let url = made["link"].as_str().unwrap_or_else(|| panic!("no link in {made}"));
    let path = url.strip_prefix("https://gw.test").unwrap_or_else(|| panic!("elsewhere: {url}"));
    assert!(path.starts_with("/_auth/setup?ticket="), "{path}");
    path.to_owned()
}

/// Opens a link: the page behind it.
async fn open(browser: &mut Browser, link: &str) -> super::support::wire::Answer {
    let turned = browser.get(link).await;
    assert_eq!((turned.status, turned.location()), (303, "/_auth/setup"));
    assert_eq!(turned.get("referrer-policy"), Some("no-referrer"));
    browser.get("/_auth/setup").await
}

async fn is_worthless(gateway: &Gateway, link: &str) {
    let mut browser = Browser::new(gateway);
    let page = open(&mut browser, link).await;
    assert_eq!(page.status, 401, "{}", page.text());
    assert!(page.text().contains("This link doesn't work"));
    assert!(!browser.jar.contains_key(TICKET));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_person_sets_password_and_authenticator_by_the_link_and_it_works_once() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let made = made(&gateway, &["user", "add", "alice"]);
    assert_eq!(
        (&made["link_for"], &made["done"]),
        (&"password_and_second_factor".into(), &"added".into())
    );
    let link = link(&made);

    // Whoever looks at a link, a mail scanner too, uses nothing up.
    for _ in 0..3 {
        let mut scanner = Browser::new(&gateway);
        scanner.ask("HEAD", &link, "", b"").await;
        scanner.ask("GET", &link, "", b"").await;
        assert_eq!(scanner.ask("GET", "/_auth/setup", "", b"").await.status, 200);
        assert_eq!(scanner.fetch(&link).await.status, 403);
    }

    let mut browser = Browser::new(&gateway);
    let page = open(&mut browser, &link).await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(page.text().contains("<b>alice</b>"));
    let easy = browser.submit("/_auth/setup", &[("password", "password1")]).await;
    assert_eq!(easy.status, 400, "{}", easy.text());
    assert!(!browser.jar.contains_key(PENDING));
    let set = browser.submit("/_auth/setup", &[("password", NEW_PASSWORD)]).await;
    assert_eq!((set.status, set.location()), (303, "/_auth/enroll"), "{}", set.text());
    assert!(browser.jar.contains_key(PENDING) && !browser.jar.contains_key(SESSION));
    assert!(!browser.jar.contains_key(TICKET), "the ticket's cookie is taken back");
    assert_eq!(browser.fetch("/app").await.status, 401, "the password alone opens nothing");

    // Interrupted: the link now asks for the password that it set.
    let mut later = Browser::new(&gateway);
    assert_eq!(open(&mut later, &link).await.status, 200);
    let wrong = later.submit("/_auth/setup", &[("password", "nine-herons-mend-the-cart")]).await;
    assert_eq!(wrong.status, 401, "{}", wrong.text());
    assert!(!later.jar.contains_key(PENDING));
    let right = later.submit("/_auth/setup", &[("password", NEW_PASSWORD)]).await;
    assert_eq!((right.status, right.location()), (303, "/_auth/enroll"), "{}", right.text());

    let (_codes, enrolled) = visitor::enrol(&mut later).await;
    visitor::keep_recovery_codes(&mut later, &enrolled).await;
    assert_eq!(later.fetch("/app").await.status, 200);
    is_worthless(&gateway, &link).await;
    let late = browser.get("/_auth/enroll").await;
    assert_eq!((late.status, late.location()), (303, "/_auth/login"), "begun before, too late");
    assert_eq!(browser.fetch("/app").await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_ends_what_was_and_its_link_enrols_with_the_password_only() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, mut person) = visitor::signed_in(&gateway, "bob").await;
    for args in [
        &["user", "reset-2fa", "bob"][..],
        &["user", "reset-2fa", "bob", "--reason", " "],
        &["user", "reset-2fa", "nobody", "--reason", "lost phone"],
    ] {
        assert!(!gateway.command(args, "").status.success(), "{args:?}");
    }
    assert_eq!(browser.fetch("/app").await.status, 200, "nothing was done");

    let args = ["user", "reset-2fa", "bob", "--reason", "lost phone"];
    let made = made(&gateway, &args);
    assert_eq!((&made["sessions_ended"], &made["link_for"]), (&1.into(), &"second_factor".into()));
    assert_eq!(browser.get("/_auth/account").await.status, 303, "the session is over");
    let shown = gateway.command(&["user", "show", "bob", "--json"], "");
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["totp"], &shown["recovery_codes"]), (&Value::Null, &Value::Null));
    assert_eq!(shown["ever_enrolled"], true);
    assert_eq!(shown["ticket"]["for"], "second_factor");

    // The password alone leads to help, never to enrolment.
    let mut fresh = Browser::new(&gateway);
    visitor::prove_password(&mut fresh, "bob").await;
    assert_ne!(fresh.get("/_auth/enroll").await.status, 200);
    let help = fresh.get("/_auth/otp").await;
    assert_eq!(help.status, 403);
    assert!(help.text().contains("one-time link"), "{}", help.text());
    for code in [person.codes.next().await, person.recovery[0].clone()] {
        for path in ["/_auth/otp", "/_auth/recovery", "/_auth/enroll"] {
            let csrf = html::field(&fresh.get("/_auth/login").await.text(), "csrf").unwrap();
            let answer = fresh.post(path, &[("csrf", &csrf), ("code", &code)]).await;
            assert!(!fresh.jar.contains_key(SESSION), "{path}: {}", answer.status);
        }
    }

    // Nor does the link alone.
    let link = link(&made);
    let mut owner = Browser::new(&gateway);
    let page = open(&mut owner, &link).await;
    assert!(page.text().contains("autocomplete=\"current-password\""), "{}", page.text());
    let proved = owner.submit("/_auth/setup", &[("password", PASSWORD)]).await;
    assert_eq!((proved.status, proved.location()), (303, "/_auth/enroll"), "{}", proved.text());
    let (codes, enrolled) = visitor::enrol(&mut owner).await;
    visitor::keep_recovery_codes(&mut owner, &enrolled).await;
    is_worthless(&gateway, &link).await;

    person.codes = codes;
    let back = visitor::sign_in(&mut Browser::new(&gateway), &mut person).await;
    assert_eq!(back.status, 303, "{}", back.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_for_a_new_phone_replaces_the_old_one_when_the_new_one_is_confirmed() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut elsewhere, mut person) = visitor::signed_in(&gateway, "carol").await;
    let link = link(&made(&gateway, &["user", "ticket", "carol", "--expires", "2h"]));
    let mut owner = Browser::new(&gateway);
    open(&mut owner, &link).await;
    owner.submit("/_auth/setup", &[("password", PASSWORD)]).await;
    assert_eq!(owner.get("/_auth/enroll").await.status, 200);
    assert_eq!(elsewhere.fetch("/app").await.status, 200, "nothing is replaced yet");
    let still = visitor::sign_in(&mut Browser::new(&gateway), &mut person).await;
    assert_eq!(still.status, 303, "the old phone still works: {}", still.text());

    let (codes, _) = visitor::enrol(&mut owner).await;
    assert_eq!(elsewhere.get("/_auth/account").await.status, 303, "other sessions are over");
    assert_eq!(owner.get("/_auth/account").await.status, 200);
    let mut other = Browser::new(&gateway);
    visitor::prove_password(&mut other, "carol").await;
    let old_code = other.submit("/_auth/otp", &[("code", &person.codes.next().await)]).await;
    assert_eq!(old_code.status, 401, "the old phone");
    let old = other.submit("/_auth/recovery", &[("code", &person.recovery[0])]).await;
    assert_eq!(old.status, 401, "the old recovery codes");
    person.codes = codes;
    let new = other.submit("/_auth/otp", &[("code", &person.codes.next().await)]).await;
    assert_eq!(new.status, 303, "{}", new.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_for_a_new_password_leaves_the_second_factor_owed() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut elsewhere, mut person) = visitor::signed_in(&gateway, "dave").await;
    let link = link(&made(&gateway, &["user", "ticket", "dave", "--password-only"]));
    let mut owner = Browser::new(&gateway);
    open(&mut owner, &link).await;
    let set = owner.submit("/_auth/setup", &[("password", NEW_PASSWORD)]).await;
    assert_eq!((set.status, set.location()), (303, "/_auth/otp"), "{}", set.text());
    assert_ne!(owner.get("/_auth/enroll").await.status, 200);
    assert_eq!(elsewhere.get("/_auth/account").await.status, 303, "other sessions are over");
    let done = owner.submit("/_auth/otp", &[("code", &person.codes.next().await)]).await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert_eq!(owner.fetch("/app").await.status, 200);
    let mut other = Browser::new(&gateway);
    let form = [("username", "dave"), ("password", PASSWORD)];
    assert_eq!(other.submit("/_auth/login", &form).await.status, 401, "the old password");
    is_worthless(&gateway, &link).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_takes_the_rights_of_a_link_that_someone_else_may_hold() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let leaked = link(&made(&gateway, &["user", "add", "bob"]));
    let set = gateway.command(&["user", "set-password", "bob", "--password-stdin"], PASSWORD);
    let said = String::from_utf8_lossy(&set.stderr);
    assert!(set.status.success() && said.contains("no longer sets a password"), "{said}");
    assert_eq!(ended_links(&gateway, "bob"), ["password"]);
    let mut finder = Browser::new(&gateway);
    let page = open(&mut finder, &leaked).await;
    assert!(page.text().contains("autocomplete=\"current-password\""), "{}", page.text());
    let wrong = finder.submit("/_auth/setup", &[("password", NEW_PASSWORD)]).await;
    assert_eq!(wrong.status, 401, "{}", wrong.text());
    assert!(!finder.jar.contains_key(PENDING));
    let mut owner = Browser::new(&gateway);
    open(&mut owner, &leaked).await;
    let right = owner.submit("/_auth/setup", &[("password", PASSWORD)]).await;
    assert_eq!(right.location(), "/_auth/enroll", "{}", right.text());

    // The end of the sessions ends that login, and says that the link is in force.
    let ended = gateway.command(&["session", "end", "--user", "bob"], "");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.contains("--user bob --links"), "{said}");
    assert_eq!(owner.get("/_auth/enroll").await.status, 303);
    assert_eq!(open(&mut Browser::new(&gateway), &leaked).await.status, 200);
    let spared = link(&made(&gateway, &["user", "add", "carol"]));
    let args = ["session", "end", "--user", "bob", "--links", "--json"];
    let ended: Value = serde_json::from_slice(&gateway.command(&args, "").stdout).unwrap();
    assert_eq!(ended, serde_json::json!({ "sessions_ended": 0, "links_removed": 1 }));
    is_worthless(&gateway, &leaked).await;
    assert_eq!(open(&mut Browser::new(&gateway), &spared).await.status, 200);
    let args = ["audit", "list", "--json", "--user", "bob", "--event", "tickets_removed"];
    let rows: Vec<Value> = serde_json::from_slice(&gateway.command(&args, "").stdout).unwrap();
    assert_eq!(rows[0]["detail"]["links"], 1);
}

/// What the trail says of links that ended.
fn ended_links(gateway: &Gateway, name: &str) -> Vec<String> {
    let args = ["audit", "list", "--json", "--user", name, "--event", "ticket_ended"];
    let rows: Vec<Value> = serde_json::from_slice(&gateway.command(&args, "").stdout).unwrap();
    rows.iter().map(|row| row["detail"]["for"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_ends_when_its_person_does_without_it_what_it_was_for() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut owner, person) = visitor::signed_in(&gateway, "heidi").await;
    let for_password = link(&made(&gateway, &["user", "ticket", "heidi", "--password-only"]));
    let form = [("current", PASSWORD), ("password", NEW_PASSWORD)];
    let changed = owner.submit("/_auth/account/password", &form).await;
    assert_eq!(changed.status, 303, "{}", changed.text());
    is_worthless(&gateway, &for_password).await;
    assert_eq!(ended_links(&gateway, "heidi"), ["password"]);

    let for_phone = link(&made(&gateway, &["user", "ticket", "heidi"]));
    let page = owner.get("/_auth/account/authenticator").await;
    let mut codes = Codes::new(&html::by_id(&page.text(), "totp-secret").unwrap());
    let code = codes.next().await;
    let form = [("code", code.as_str())];
    let done = owner.submit_from(&page, "/_auth/account/authenticator", &form).await;
    assert_eq!(done.status, 303, "{}", done.text());
    is_worthless(&gateway, &for_phone).await;
    assert_eq!(ended_links(&gateway, "heidi"), ["second_factor", "password"]);
    let shown = gateway.command(&["user", "show", "heidi", "--json"], "");
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["ticket"], Value::Null);

    // A forgotten password that was set by recovery codes needs no link either.
    let page = owner.get("/_auth/account/recovery-codes").await.text();
    let recovery = html::recovery_codes(&page);
    assert_ne!(recovery, person.recovery);
    let for_password = link(&made(&gateway, &["user", "ticket", "heidi", "--password-only"]));
    let mut forgetful = Browser::new(&gateway);
    let form = [("username", "heidi"), ("code", recovery[0].as_str())];
    assert_eq!(forgetful.submit("/_auth/forgot", &form).await.status, 303);
    let second = [("code", recovery[1].as_str())];
    assert_eq!(forgetful.submit("/_auth/recovery", &second).await.status, 303);
    let new = [("password", "four-otters-mend-a-roof")];
    assert_eq!(forgetful.submit("/_auth/forgot/password", &new).await.status, 303);
    is_worthless(&gateway, &for_password).await;
    assert_eq!(ended_links(&gateway, "heidi"), ["password", "second_factor", "password"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_that_do_not_work_are_one_page_and_many_of_them_have_to_wait() {
    let app = Recorder::start().await;
    let plan = Plan::new(&app).extra("[throttle]\nper_address = 6\nfirst_wait = \"1m\"");
    let gateway = Gateway::start(&plan).await;
    let replaced = link(&made(&gateway, &["user", "add", "erin"]));
    let good = link(&made(&gateway, &["user", "ticket", "erin"]));
    let made_up = format!("/_auth/setup?ticket={}", "A".repeat(64));
    let mut pages = Vec::new();
    for bad in [replaced.as_str(), &made_up, "/_auth/setup?ticket=x", "/_auth/setup?ticket="] {
        let mut browser = Browser::new(&gateway);
        let first = browser.get(bad).await;
        let page = if first.status == 303 { browser.get("/_auth/setup").await } else { first };
        assert_eq!(page.status, 401, "{bad}");
        pages.push(page.text());
    }
    assert!(pages.iter().all(|page| *page == pages[0]));
    let mut owner = Browser::new(&gateway);
    assert_eq!(open(&mut owner, &good).await.status, 200, "a good one costs no try");
    for _ in 0..2 {
        is_worthless(&gateway, &made_up).await;
    }
    let mut browser = Browser::new(&gateway);
    let slowed = open(&mut browser, &made_up).await;
    assert_eq!(slowed.status, 429, "{}", slowed.text());
    assert!(slowed.get("retry-after").is_some());

    let disabled = gateway.command(&["user", "disable", "erin"], "");
    assert!(disabled.status.success());
    let refused = gateway.command(&["user", "ticket", "erin"], "");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("user enable"), "{said}");
    gateway.command(&["user", "enable", "erin"], "");
    owner.from = [127, 0, 0, 9].into();
    assert_eq!(owner.get("/_auth/setup").await.status, 401, "disabling took the link");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_enrolment_takes_a_ticket_the_password_alone_leads_to_help() {
    let app = Recorder::start().await;
    let plan = Plan::new(&app).extra("[second_factor]\nenrolment = \"ticket\"");
    let gateway = Gateway::start(&plan).await;
    let args = ["user", "add", "frank", "--password-stdin", "--json"];
    let added = gateway.command(&args, PASSWORD);
    let added: Value = serde_json::from_slice(&added.stdout).unwrap();
    assert_eq!(added["link_for"], "second_factor");

    let mut fresh = Browser::new(&gateway);
    let first = visitor::prove_password(&mut fresh, "frank").await;
    assert_eq!(first.location(), "/_auth/otp");
    let help = fresh.get("/_auth/otp").await;
    assert!(help.status == 403 && help.text().contains("one-time link"), "{}", help.text());
    assert_ne!(fresh.get("/_auth/enroll").await.status, 200);

    let mut owner = Browser::new(&gateway);
    open(&mut owner, &link(&added)).await;
    let proved = owner.submit("/_auth/setup", &[("password", PASSWORD)]).await;
    assert_eq!(proved.location(), "/_auth/enroll", "{}", proved.text());
    let (_, enrolled) = visitor::enrol(&mut owner).await;
    visitor::keep_recovery_codes(&mut owner, &enrolled).await;
    assert_eq!(owner.fetch("/app").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_is_in_no_log_and_not_in_the_database() {
    let app = Recorder::start().await;
    let mut plan = Plan::new(&app);
    plan.level = "debug";
    let gateway = Gateway::start(&plan).await;
    let link = link(&made(&gateway, &["user", "add", "grace"]));
    let token = link.split('=').nth(1).unwrap();
    let mut browser = Browser::new(&gateway);
    open(&mut browser, &link).await;
    browser.submit("/_auth/setup", &[("password", NEW_PASSWORD)]).await;
    gateway.signal("TERM");
    gateway.ended().await;
    let log = gateway.log.whole();
    assert!(log.contains("/_auth/setup") && !log.contains(token));
    let data = gateway.config.parent().unwrap().join("data");
    for file in std::fs::read_dir(data).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!super::support::contains(&bytes, token.as_bytes()));
    }
}
