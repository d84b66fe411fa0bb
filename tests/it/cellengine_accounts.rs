//! People of an app that keeps their passwords, beside another app that does not: what Vestibule does
//! for them without a password of its own never comes to give them one.

use std::collections::BTreeSet;

use serde_json::Value;

use super::cellengine::LIST;
use super::support::cellengine::CellEngine;
use super::support::client::Browser;
use super::support::codes::Codes;
use super::support::gateway::{Gateway, PASSWORD, Plan};
use super::support::html;
use super::support::upstream::Recorder;
use super::support::visitor::{self, PENDING, SESSION};
use super::support::wire::Answer;
use super::tickets::made;

const ALICE: &str = "5d38a6f79fae870000000001";
const BOB: &str = "5d38a6f79fae870000000002";
const RESET: [&str; 5] = ["user", "reset-2fa", "ada", "--reason", "lost phone, came in person"];

/// A wiki with our passwords, and an app that keeps its own.
struct Site {
    app: CellEngine,
    gateway: Gateway,
    _wiki: Recorder,
}

impl Site {
    async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts it with options of the app.
    async fn with(options: &[&str]) -> Self {
        let wiki = Recorder::start().await;
        let app = CellEngine::start(options).await;
        let plan = Plan { apps: String::new(), ..Plan::new(&wiki) };
        let described = "dialect = \"cellengine\"\nfirst_factor = \"app\"\nprovision = true\n";
        let plan = plan.app("wiki", "other.test", &wiki.url(), "").app(
            "cellengine",
            "localhost",
            &app.url(),
            described,
        );
        // A wait lasts longer than any test.
        let plan = plan.extra("[throttle]\nfirst_wait = \"10m\"\nlongest_wait = \"10m\"");
        let gateway = Gateway::start(&plan).await;
        Self { app, gateway, _wiki: wiki }
    }

    fn at(&self, host: &str) -> Browser {
        let mut browser = Browser::new(&self.gateway);
        host.clone_into(&mut browser.host);
        browser
    }

    fn link(&self, name: &str, subject: &str) {
        let args = ["user", "link", name, "--app", "cellengine", "--subject", subject];
        assert!(self.gateway.command(&args, "").status.success());
    }

    fn shown(&self, name: &str) -> Value {
        let shown = self.gateway.command(&["user", "show", name, "--json"], "");
        serde_json::from_slice(&shown.stdout).unwrap()
    }

    /// A link, opened at `host`: the browser and the page.
    async fn opened(&self, host: &str, made: &Value) -> (Browser, Answer) {
        let mut browser = self.at(host);
        let link = made["link"].as_str().unwrap();
        let path = link.find("/_auth/").unwrap();
        assert_eq!(browser.get(&link[path..]).await.location(), "/_auth/setup");
        let page = browser.get("/_auth/setup").await;
        (browser, page)
    }
}

async fn send(browser: &mut Browser, name: &str, password: &str, code: &str) -> Answer {
    let csrf = html::field(&browser.get("/_auth/login").await.text(), "csrf").unwrap();
    let form = [("csrf", &*csrf), ("username", name), ("password", password), ("app_code", code)];
    browser.post("/_auth/setup", &form).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_password_of_ours_gets_none_by_forgetting_it() {
    let site = Site::start().await;
    let mut alice = site.at("localhost");
    let form = [("username", "alice"), ("password", "pw-alice")];
    assert_eq!(alice.submit("/_auth/login", &form).await.location(), "/_auth/enroll");
    let (_, enrolled) = visitor::enrol(&mut alice).await;
    let recovery = visitor::keep_recovery_codes(&mut alice, &enrolled).await.0;
    let mut pages = Vec::new();
    for name in ["alice", "nobody"] {
        let mut browser = site.at("other.test");
        let form = [("username", name), ("code", recovery[0].as_str())];
        let answer = browser.submit("/_auth/forgot", &form).await;
        assert_eq!(answer.status, 401, "{name}: {}", answer.text());
        assert!(!browser.jar.contains_key(PENDING), "{name}");
        let csrf = html::field(&answer.text(), "csrf").unwrap();
        pages.push(answer.text().replace(name, "NAME").replace(&csrf, "CSRF"));
    }
    assert_eq!(pages[0], pages[1]);
    let shown = site.shown("alice");
    assert_eq!(
        (&shown["has_password"], &shown["recovery_codes"]["left"]),
        (&false.into(), &10.into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_for_somebody_of_an_app_has_the_app_asked_and_sets_no_password() {
    let site = Site::start().await;
    let first = made(&site.gateway, &["user", "add", "ada"]);
    let (_, nobody_yet) = site.opened("localhost", &first).await;
    assert_eq!(nobody_yet.status, 403, "{}", nobody_yet.text());
    assert!(nobody_yet.text().contains("Ask your administrator to link"), "{}", nobody_yet.text());

    site.link("ada", ALICE);
    let (mut wiki, elsewhere) = site.opened("other.test", &first).await;
    assert_eq!(elsewhere.status, 403, "{}", elsewhere.text());
    assert!(
        elsewhere.text().contains("at the address of <b>cellengine</b>"),
        "{}",
        elsewhere.text()
    );
    assert_eq!(send(&mut wiki, "", PASSWORD, "").await.status, 403);
    assert!(!wiki.jar.contains_key(PENDING));

    for enrolled in [false, true] {
        let link = if enrolled { made(&site.gateway, &RESET) } else { first.clone() };
        let (mut owner, page) = site.opened("localhost", &link).await;
        assert!(page.text().contains("User name at App cellengine"), "{}", page.text());
        let code = site.app.code("bob").await;
        for (name, password, code) in [
            ("", PASSWORD, ""),
            ("ada", "pw-alice", ""),
            ("alice", "wrong", ""),
            // Right, says the app, and another's.
            ("bob", "pw-bob", code.as_str()),
        ] {
            let wrong = send(&mut owner, name, password, code).await;
            assert_eq!(wrong.status, 401, "{name}: {}", wrong.text());
            assert!(!owner.jar.contains_key(PENDING), "{name}");
        }
        let proved = send(&mut owner, "alice@lab.example", "pw-alice", "").await;
        assert_eq!((proved.status, proved.location()), (303, "/_auth/enroll"), "{}", proved.text());
        visitor::enrol(&mut owner).await;
        assert_eq!(owner.get("/_auth/recovery-codes").await.status, 200);
    }
    assert_eq!(site.shown("ada")["has_password"], false);

    let reset = made(&site.gateway, &RESET);
    assert_eq!(reset["link_for"], "second_factor");
    let link = reset["link"].as_str().unwrap();
    assert!(link.starts_with("https://localhost/_auth/setup?ticket="), "where the app is");
    for right in ["--password", "--password-only"] {
        let refused = site.gateway.command(&["user", "ticket", "ada", right], "");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains("cellengine checks it"), "{said}");
    }
    let told = site.gateway.command(&["user", "ticket", "ada"], "");
    let told = String::from_utf8_lossy(&told.stdout);
    assert!(told.contains("asks for the password, which cellengine checks"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_sets_a_password_of_ours_opens_nothing_at_the_app() {
    let site = Site::start().await;
    site.gateway.add_user("ada");
    site.link("ada", ALICE);
    let made = made(&site.gateway, &["user", "ticket", "ada", "--password"]);
    let (mut owner, page) = site.opened("localhost", &made).await;
    assert_eq!(page.status, 403, "{}", page.text());
    assert!(page.text().contains("keeps its own"), "{}", page.text());
    for password in ["nine-herons-mend-the-clock", "pw-alice"] {
        assert_eq!(send(&mut owner, "alice", password, "").await.status, 403);
        assert!(!owner.jar.contains_key(PENDING));
    }
    let (mut wiki, page) = site.opened("other.test", &made).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let set = send(&mut wiki, "", "nine-herons-mend-the-clock", "").await;
    assert_eq!((set.status, set.location()), (303, "/_auth/enroll"), "{}", set.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_the_apps_own_code_types_it_with_a_link_and_at_a_step_up() {
    let site = Site::start().await;
    made(&site.gateway, &["user", "add", "ada"]);
    site.link("ada", BOB);
    let (mut bob, page) = site.opened("localhost", &made(&site.gateway, &RESET)).await;
    assert!(!page.text().contains("name=\"app_code\""), "only where it is asked for");
    let asked = send(&mut bob, "bob", "pw-bob", "").await;
    assert_eq!(asked.status, 401);
    assert!(asked.text().contains("name=\"app_code\""), "{}", asked.text());
    assert!(asked.text().contains("value=\"bob\""), "{}", asked.text());
    let code = site.app.code("bob").await;
    let proved = send(&mut bob, "bob", "pw-bob", &code).await;
    assert_eq!((proved.status, proved.location()), (303, "/_auth/enroll"), "{}", proved.text());
    let (mut codes, enrolled) = visitor::enrol(&mut bob).await;
    visitor::keep_recovery_codes(&mut bob, &enrolled).await;
    assert!(bob.jar.contains_key(SESSION));

    visitor::let_proofs_age(&site.gateway, &bob).await;
    let target = "/_auth/step-up?return_to=%2F_auth%2Faccount%2Frecovery-codes";
    assert!(bob.get(target).await.text().contains("User name at App cellengine"));
    let ours = step_up(&mut bob, target, &mut codes, ("ada", "pw-bob", "")).await;
    assert_eq!(ours.status, 401, "the name that the app does not know: {}", ours.text());
    let asked = step_up(&mut bob, target, &mut codes, ("bob", "pw-bob", "")).await;
    assert!(asked.text().contains("name=\"app_code\""), "{}", asked.text());
    let code = site.app.code("bob").await;
    let done = step_up(&mut bob, target, &mut codes, ("bob", "pw-bob", &code)).await;
    let to = "/_auth/account/recovery-codes";
    assert_eq!((done.status, done.location()), (303, to), "{}", done.text());
}

async fn step_up(
    browser: &mut Browser,
    target: &str,
    codes: &mut Codes,
    (name, password, app_code): (&str, &str, &str),
) -> Answer {
    let code = codes.next().await;
    let form =
        [("username", name), ("password", password), ("app_code", app_code), ("code", &*code)];
    browser.submit(target, &form).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_is_told_that_removing_somebody_of_an_app_keeps_nobody_out() {
    let site = Site::start().await;
    let commands = [
        (&["user", "unlink", "ada", "--app", "cellengine"][..], "cellengine"),
        (&["user", "remove", "ada"], "cellengine"),
    ];
    for (command, app) in commands {
        site.gateway.command(&["user", "add", "ada"], "");
        site.link("ada", ALICE);
        let done = site.gateway.command(command, "");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{said}");
        for part in [app, "gets a new account", "`provision`", "`user disable`"] {
            assert!(said.contains(part), "{command:?} says nothing of {part}: {said}");
        }
    }
    site.gateway.add_user("carol");
    let done = site.gateway.command(&["user", "remove", "carol"], "");
    assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");

    // It is so, and a disabled person does stay out.
    let form = [("username", "alice"), ("password", "pw-alice")];
    let again = site.at("localhost").submit("/_auth/login", &form).await;
    assert_eq!(again.location(), "/_auth/enroll", "{}", again.text());
    assert!(site.gateway.command(&["user", "disable", "alice"], "").status.success());
    let mut out = site.at("localhost");
    let kept = out.submit("/_auth/login", &form).await;
    assert_eq!(kept.status, 403, "{}", kept.text());
    assert_eq!(out.fetch(LIST).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_at_a_name_that_is_none_of_ours_are_counted_like_any_other() {
    let site = Site::start().await;
    let asked = async || {
        let all = site.app.requests().await;
        all.iter().filter(|r| r["target"] == "/api/v1/signin").count()
    };
    for names in [
        ["ada lovelace", " Ada Lovelace ", "ADA  LOVELACE", "ada\u{a0}lovelace"],
        ["lovelace,ada", "Lovelace,Ada", "LOVELACE,ADA ", "lovelace\u{ff0c}ada"],
        ["lab:ada", "Lab:Ada", "LAB:ADA", "lab:\u{200b}ada"],
        ["ada;x", "Ada;X", "\u{e1}da;x", " ada;x"],
    ] {
        let before = asked().await;
        let mut refused = 0;
        for guess in 0..12 {
            let mut browser = site.at("localhost");
            browser.from = [127, 0, 7, guess].into();
            let name = names[usize::from(guess) % names.len()];
            let form = [("username", name), ("password", "not the right one")];
            refused += u32::from(browser.submit("/_auth/login", &form).await.status == 429);
        }
        let reached = asked().await - before;
        assert!(reached <= 5, "{names:?}: {reached} of 12 reached the app");
        assert!(refused >= 7, "{names:?}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_whose_names_and_ids_cannot_be_login_names_get_accounts_of_their_own() {
    // An invisible character, and ids with a colon, which no login name may have.
    let users = [("ev\u{200b}e", "lab:17"), ("eve\u{200b}", "lab:18"), ("e\u{feff}ve", "lab17")];
    let options = users.iter().flat_map(|(name, id)| ["--user", name, id]);
    let site = Site::with(&options.collect::<Vec<_>>()).await;
    site.gateway.add_user("eve");
    let names = || {
        let listed = site.gateway.command(&["user", "list", "--json"], "");
        let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
        let name = |account: &Value| account["name"].as_str().unwrap().to_owned();
        listed.as_array().unwrap().iter().map(name).collect::<BTreeSet<_>>()
    };
    let mut known = names();
    assert_eq!(known.len(), 1);
    for (name, id) in users {
        for attempt in ["first", "second"] {
            let form = [("username", name), ("password", &format!("pw-{id}"))];
            let answer = site.at("localhost").submit("/_auth/login", &form).await;
            assert_eq!((answer.status, answer.location()), (303, "/_auth/enroll"), "{name:?}");
            let now = names();
            let new: Vec<_> = now.difference(&known).cloned().collect();
            match (attempt, &new[..]) {
                ("first", [new]) if id == "lab17" => assert_eq!(new, id),
                ("first", [new]) => {
                    assert!(new.starts_with("eve-") && new.ends_with("@cellengine"), "{new}");
                }
                ("second", []) => {}
                _ => panic!("{attempt} sign-in of {name:?}: {new:?}"),
            }
            known = now;
        }
    }
    assert_eq!(known.len(), 4);
}
