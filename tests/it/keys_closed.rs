//! Keys when a store is lost, over nodes and hosts, and at an account that no password alone may enrol.

use std::sync::Arc;

use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use super::keys::{by_passkey, enrolled, options, origin, prove, register, session};
use super::support::authenticator::{Authenticator, PRESENT};
use super::support::client::{Browser, PATIENCE};
use super::support::cluster::Cluster;
use super::support::gateway::{self, Gateway, PASSWORD, Plan};
use super::support::servers::{PostgresServer, RedisServer};
use super::support::upstream::Recorder;
use super::support::visitor::{self, PENDING, SESSION};
use super::support::wire::Answer;
use super::support::within;
use super::tickets::{link, made};

/// Two gateways, each for a host of its own, on stores of their own.
struct Lab {
    one: Gateway,
    two: Gateway,
    app: Recorder,
    redis: RedisServer,
    postgres: Option<Arc<PostgresServer>>,
    database: String,
    _dir: TempDir,
}

const HOSTS: [&str; 2] = ["one.lab.test", "two.lab.test"];

impl Lab {
    async fn start(postgres: Arc<PostgresServer>) -> Self {
        let (app, redis) = (Recorder::start().await, RedisServer::start());
        let database = postgres.database().await;
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys.toml");
        gateway::make_keys(&keys);
        let plan = |host: &'static str| {
            let webauthn = "[second_factor.webauthn]\nrp_id = \"lab.test\"";
            let plan = Plan::new(&app).sharing(&redis, &database, &keys);
            let mut plan = plan.extra(webauthn);
            plan.apps.clear();
            plan.names = vec![host];
            plan.app("main", host, &app.url(), "")
        };
        let one = Gateway::start(&plan(HOSTS[0])).await;
        let two = Gateway::start(&plan(HOSTS[1])).await;
        Self { one, two, app, redis, postgres: Some(postgres), database, _dir: dir }
    }

    fn browser(&self, number: usize) -> Browser {
        let mut browser = Browser::new([&self.one, &self.two][number]);
        HOSTS[number].clone_into(&mut browser.host);
        browser
    }

    /// An account that enrolled a key at the first host.
    async fn enrolled(&self, name: &str) -> (Browser, Authenticator) {
        self.one.add_user(name);
        let (mut browser, mut key) = (self.browser(0), Authenticator::default());
        visitor::prove_password(&mut browser, name).await;
        let done = register(&mut browser, &mut key, "/_auth/enroll/key", "x").await;
        assert_eq!(done.status, 303, "{}", done.text());
        visitor::keep_recovery_codes(&mut browser, &done).await;
        (browser, key)
    }

    /// Signs in by passkey, and ends all sessions of the account after the check of the key and before
    /// the session starts. Returns the answer, which is 503 if this took longer than the gateway waits
    /// for Redis.
    async fn end_after_the_check(
        &self,
        database: &mut PgConnection,
        key: &mut Authenticator,
    ) -> (Answer, Browser) {
        let mut waiting =
            Waiting::proof(self.browser(0), key, ["/_auth/login", "/_auth/passkey"]).await;
        let used = "SELECT MAX(last_used_at) FROM authenticators";
        let used = || sqlx::query_scalar::<_, Option<i64>>(used);
        let before = used().fetch_one(&mut *database).await.unwrap();
        self.redis.hang();
        let sent = tokio::spawn(async move {
            let sent = waiting.send().await;
            (sent, waiting.browser)
        });
        let checked = async { while used().fetch_one(&mut *database).await.unwrap() == before {} };
        within(PATIENCE, "the check of the key", checked).await;
        // What another node does to end all sessions of the account.
        let end = "UPDATE accounts SET sessions_valid_from = \
                   CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)";
        sqlx::query(end).execute(&mut *database).await.unwrap();
        self.redis.resume();
        sent.await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_registered_at_one_host_and_node_is_used_at_another() {
    let lab = Lab::start(PostgresServer::shared()).await;
    let (_owner, mut key) = lab.enrolled("alice").await;
    assert_eq!(key.held[0].rp_id, "lab.test");

    let mut alone = lab.browser(1);
    let done = by_passkey(&mut alone, &mut key).await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert_eq!(session(&mut alone).await["amr"], json!(["hwk", "user", "mfa"]));
    let mut both = lab.browser(1);
    visitor::prove_password(&mut both, "alice").await;
    assert_eq!(prove(&mut both, &mut key, "/_auth/key").await.status, 303);
    assert_eq!(both.get("/app").await.status, 200);
    let seen = lab.app.wait_for(lab.app.mark_of_all(), |r| r.head.path() == "/app").await;
    assert_eq!(seen.head.all("remote-user"), ["alice"]);
    // Added at the second host, used at the first.
    let mut other = Authenticator::default();
    let added = register(&mut both, &mut other, "/_auth/account/keys/new", "Two").await;
    assert_eq!(added.status, 303, "{}", added.text());
    assert_eq!(by_passkey(&mut lab.browser(0), &mut other).await.status, 303);
}

/// A page with a challenge, what the key answered, and the address for it.
struct Waiting {
    browser: Browser,
    page: Answer,
    path: &'static str,
    answer: String,
}

impl Waiting {
    async fn proof(
        mut browser: Browser,
        key: &mut Authenticator,
        pages: [&'static str; 2],
    ) -> Self {
        let page = browser.get(pages[0]).await;
        assert_eq!(page.status, 200, "{}: {}", pages[0], page.text());
        let answer = key.get(&options(&page.text()), &origin(&browser)).to_string();
        Self { browser, page, path: pages[1], answer }
    }

    async fn registration(mut browser: Browser, path: &'static str) -> Self {
        let page = browser.get(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        let mut key = Authenticator::default();
        let answer = key.create(&options(&page.text()), &origin(&browser)).to_string();
        Self { browser, page, path, answer }
    }

    /// Every page that takes a key, in the middle of its ceremony.
    async fn all(lab: &Lab) -> (Vec<Self>, Authenticator) {
        let (owner, mut key) = lab.enrolled("alice").await;
        let mut halfway = lab.browser(0);
        visitor::prove_password(&mut halfway, "alice").await;
        lab.one.add_user("newcomer");
        let mut newcomer = lab.browser(0);
        visitor::prove_password(&mut newcomer, "newcomer").await;
        let step_up = "/_auth/step-up?return_to=%2Fapp";
        let all = vec![
            Self::proof(halfway, &mut key, ["/_auth/key"; 2]).await,
            Self::proof(lab.browser(0), &mut key, ["/_auth/login", "/_auth/passkey"]).await,
            Self::proof(owner.clone(), &mut key, [step_up; 2]).await,
            Self::registration(newcomer, "/_auth/enroll/key").await,
            Self::registration(owner, "/_auth/account/keys/new").await,
        ];
        (all, key)
    }

    async fn send(&mut self) -> Answer {
        let form = [("name", "x"), ("credential", self.answer.as_str())];
        self.browser.submit_from(&self.page, self.path, &form).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_emptied_in_the_middle_lets_nobody_in_and_enrols_nothing() {
    let lab = Lab::start(PostgresServer::shared()).await;
    let (all, mut key) = Waiting::all(&lab).await;
    lab.redis.flush().await;
    let mark = lab.app.mark();
    // The sign-in page had stored nothing.
    for mut one in all.into_iter().filter(|one| one.path != "/_auth/passkey") {
        let before = one.browser.jar.get(SESSION).cloned();
        let sent = one.send().await;
        // The session and the login are gone as well: sign in again.
        let again = sent.status == 401
            || (sent.status == 303 && sent.location().starts_with("/_auth/login"));
        assert!(again, "{}: {} {}", one.path, sent.status, sent.location());
        assert!(one.browser.jar.get(SESSION).is_none_or(|now| Some(now) == before.as_ref()));
        assert_eq!(one.browser.fetch("/app").await.status, 401, "{}", one.path);
    }
    lab.app.barrier().await;
    assert_eq!(lab.app.requests(mark).len(), 0);
    let listed = lab.one.command(&["user", "keys", "newcomer", "--json"], "");
    assert_eq!(String::from_utf8_lossy(&listed.stdout).trim(), "[]");
    let done = by_passkey(&mut lab.browser(0), &mut key).await;
    assert_eq!(done.status, 303, "a new challenge works: {}", done.text());
}

/// The sign-in page stores nothing, so nothing of it is lost. That its challenge was used is not lost
/// either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_from_the_sign_in_page_is_good_once_however_often_redis_is_emptied() {
    let lab = Lab::start(PostgresServer::shared()).await;
    lab.one.add_user("alice");
    // Without a counter, nothing but the challenge tells copies apart.
    let mut key = Authenticator { counter: 0, ..Authenticator::default() };
    let mut owner = lab.browser(0);
    visitor::prove_password(&mut owner, "alice").await;
    let done = register(&mut owner, &mut key, "/_auth/enroll/key", "x").await;
    visitor::keep_recovery_codes(&mut owner, &done).await;
    let pages = ["/_auth/login", "/_auth/passkey"];
    let waiting = Waiting::proof(lab.browser(0), &mut key, pages).await;
    let form = [("credential", waiting.answer.as_str())];
    for (number, status) in [303, 401, 401].into_iter().enumerate() {
        lab.redis.flush().await;
        let mut copy = waiting.browser.clone();
        let sent = copy.submit_from(&waiting.page, waiting.path, &form).await;
        assert_eq!(sent.status, status, "copy {number}: {}", sent.text());
        assert_eq!(copy.jar.contains_key(SESSION), status == 303, "copy {number}");
    }
    let used = |line: &super::support::log::Line| {
        (line.get("reason") == Some("challenge_unknown_or_used")).then_some(())
    };
    lab.one.log.wait_for("the reason", used).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_of_sessions_after_the_check_of_a_passkey_ends_its_session() {
    let lab = Lab::start(PostgresServer::shared()).await;
    let (_owner, mut key) = lab.enrolled("alice").await;
    let mut database = PgConnection::connect(&lab.database).await.unwrap();
    // The gateway waits two seconds for Redis. A test that was slower tries again.
    let mut tries = 0..10;
    let (sent, mut browser) = loop {
        tries.next().expect("one of the tries within two seconds");
        let done = lab.end_after_the_check(&mut database, &mut key).await;
        if done.0.status != 503 {
            break done;
        }
    };
    assert_eq!(sent.status, 303, "{}", sent.text());
    assert!(browser.jar.contains_key(SESSION));
    assert_eq!(browser.get("/app").await.status, 303, "the session has ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_every_page_of_a_key_says_that_it_cannot_now() {
    let mut lab = Lab::start(PostgresServer::shared()).await;
    let (all, mut key) = Waiting::all(&lab).await;
    lab.redis.kill();
    for mut one in all {
        let held = one.browser.jar.clone();
        let sent = one.send().await;
        assert_eq!(sent.status, 503, "{}: {} {}", one.path, sent.location(), sent.text());
        assert!(sent.get("retry-after").is_some(), "{}", one.path);
        assert_eq!(one.browser.jar, held, "{}: cookies stay as they are", one.path);
        let page =
            one.browser.get(if one.path == "/_auth/passkey" { "/_auth/login" } else { one.path });
        assert_eq!(page.await.status, 503, "{}", one.path);
    }
    lab.redis.restart();
    // The first request may still find the former connection.
    let back = async { while lab.browser(0).get("/_auth/login").await.status != 200 {} };
    within(PATIENCE, "the sign-in page", back).await;
    let done = by_passkey(&mut lab.browser(0), &mut key).await;
    assert_eq!(done.status, 303, "{}", done.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_accounts_no_key_lets_anybody_in() {
    let mut lab = Lab::start(Arc::new(PostgresServer::start())).await;
    let (all, _key) = Waiting::all(&lab).await;
    drop(lab.postgres.take());
    let mark = lab.app.mark();
    for mut one in all {
        let held = one.browser.jar.clone();
        let sent = one.send().await;
        assert_eq!(sent.status, 503, "{}: {} {}", one.path, sent.location(), sent.text());
        assert_eq!(one.browser.jar, held, "{}: cookies stay as they are", one.path);
    }
    lab.app.barrier().await;
    assert_eq!(lab.app.requests(mark).len(), 0);
}

/// The password of an account that ever had a key opens no enrolment: not of a key, not of an
/// authenticator app.
async fn never_enrols(browser: &mut Browser, name: &str) {
    visitor::prove_password(browser, name).await;
    for page in ["/_auth/enroll", "/_auth/enroll/key"] {
        let mut shown = browser.get(page).await;
        assert_eq!(shown.status, 303, "{page}: {}", shown.text());
        for _ in 0..5 {
            if shown.status == 303 {
                shown = browser.get(shown.location()).await;
            }
        }
        assert_ne!(shown.status, 303, "{page} leads in a circle: {}", shown.location());
        let text = shown.text();
        let enrols = text.contains("totp-secret") || text.contains("name=\"name\"");
        assert!(!enrols, "{page}: {text}");
        let login = browser.clone().get("/_auth/login").await;
        let mut key = Authenticator::default();
        let asked = json!({"publicKey": {
            "rp": {"id": browser.host}, "user": {"id": "AAAA"},
            "challenge": data_encoding::BASE64URL_NOPAD.encode(&[7; 32]),
        }});
        let made = key.create(&asked, &origin(browser)).to_string();
        let form = [("name", "x"), ("credential", made.as_str()), ("code", "000000")];
        let sent = browser.submit_from(&login, page, &form).await;
        assert_ne!(sent.status, 200, "{page}: {}", sent.text());
        assert!(!browser.jar.contains_key(SESSION), "{page}");
    }
    assert_eq!(browser.fetch("/app").await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_ever_had_a_key_never_enrols_on_its_password_alone() {
    let app = Recorder::start().await;
    let mut gateway = Gateway::start(&Plan::new(&app)).await;
    let (_owner, mut key, codes) = enrolled(&gateway, "alice").await;
    never_enrols(&mut Browser::new(&gateway), "alice").await;

    // After keys are disabled, its keys are rejected, and its password still enrols nothing.
    let before = std::fs::read_to_string(&gateway.config).unwrap();
    let off = "[second_factor.webauthn]\nenabled = false\n[[apps]]";
    std::fs::write(&gateway.config, before.replacen("[[apps]]", off, 1)).unwrap();
    gateway.signal("TERM");
    gateway.ended().await;
    gateway.start_again().await;
    never_enrols(&mut Browser::new(&gateway), "alice").await;
    let mut lost = Browser::new(&gateway);
    let led = visitor::prove_password(&mut lost, "alice").await;
    assert!(!led.location().starts_with("/_auth/key"), "{}", led.location());
    let done = lost.submit("/_auth/recovery", &[("code", &codes[1])]).await;
    assert_eq!(done.status, 303, "a recovery code is the way: {}", done.text());
    std::fs::write(&gateway.config, before).unwrap();
    gateway.signal("TERM");
    gateway.ended().await;
    gateway.start_again().await;

    // Nor where the administrator removed its factors. The link does, beside the password.
    let args = ["user", "reset-2fa", "alice", "--reason", "lost on the train"];
    let link = link(&made(&gateway, &args));
    never_enrols(&mut Browser::new(&gateway), "alice").await;
    let refused = by_passkey(&mut Browser::new(&gateway), &mut key).await;
    assert_eq!(refused.status, 401, "the key is gone");
    let mut owner = Browser::new(&gateway);
    assert_eq!(owner.get(&link).await.status, 303);
    let proved = owner.submit("/_auth/setup", &[("password", PASSWORD)]).await;
    assert_eq!((proved.status, proved.location()), (303, "/_auth/enroll"), "{}", proved.text());
    let mut new = Authenticator::default();
    let done = register(&mut owner, &mut new, "/_auth/enroll/key", "New phone").await;
    assert_eq!(done.status, 303, "{}", done.text());
    visitor::keep_recovery_codes(&mut owner, &done).await;
    assert_eq!(by_passkey(&mut Browser::new(&gateway), &mut new).await.status, 303);
    let mut again = Browser::new(&gateway);
    again.get(&link).await;
    assert_eq!(again.get("/_auth/setup").await.status, 401, "the link is used up");
    never_enrols(&mut Browser::new(&gateway), "alice").await;
}

/// Two browsers prove the password of a new account. What one enrols ends what the other was offered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enrolment_by_key_ends_every_other_that_was_offered() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    gateway.add_user("alice");
    let (mut thief, mut owner) = (Browser::new(&gateway), Browser::new(&gateway));
    visitor::prove_password(&mut thief, "alice").await;
    let by_code = thief.get("/_auth/enroll").await;
    let by_key = thief.get("/_auth/enroll/key").await;
    let mut key = Authenticator::default();
    visitor::prove_password(&mut owner, "alice").await;
    let done = register(&mut owner, &mut key, "/_auth/enroll/key", "x").await;
    assert_eq!(done.status, 303, "{}", done.text());
    visitor::keep_recovery_codes(&mut owner, &done).await;

    let secret = super::support::html::by_id(&by_code.text(), "totp-secret").unwrap();
    let code = super::support::codes::Codes::new(&secret).next().await;
    let late = thief.submit_from(&by_code, "/_auth/enroll", &[("code", &code)]).await;
    assert!(!thief.jar.contains_key(SESSION), "{} {}", late.status, late.location());
    let made = Authenticator::default().create(&options(&by_key.text()), &origin(&thief));
    let made = made.to_string();
    let form = [("name", "x"), ("credential", made.as_str())];
    let late = thief.submit_from(&by_key, "/_auth/enroll/key", &form).await;
    assert!(!thief.jar.contains_key(SESSION), "{} {}", late.status, late.location());
    assert_eq!(thief.fetch("/app").await.status, 401);
    let listed = gateway.command(&["user", "keys", "alice", "--json"], "");
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(owner.fetch("/app").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_enrolment_needs_a_link_a_key_needs_one_too() {
    let app = Recorder::start().await;
    let by_link = "[second_factor]\nenrolment = \"ticket\"";
    let gateway = Gateway::start(&Plan::new(&app).extra(by_link)).await;
    gateway.add_user("alice");
    never_enrols(&mut Browser::new(&gateway), "alice").await;
    let link = link(&made(&gateway, &["user", "ticket", "alice"]));
    let mut owner = Browser::new(&gateway);
    owner.get(&link).await;
    let proved = owner.submit("/_auth/setup", &[("password", PASSWORD)]).await;
    assert_eq!(proved.status, 303, "{}", proved.text());
    let mut key = Authenticator::default();
    let done = register(&mut owner, &mut key, "/_auth/enroll/key", "x").await;
    assert_eq!(done.status, 303, "{}", done.text());
    visitor::keep_recovery_codes(&mut owner, &done).await;
    assert_eq!(by_passkey(&mut Browser::new(&gateway), &mut key).await.status, 303);
}

/// The password is forgotten: a recovery code and the key, which may be one without user verification.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_password_is_replaced_by_recovery_code_and_key() {
    let cluster = Cluster::start().await;
    let (mut owner, mut key, codes) = enrolled(&cluster.one, "alice").await;
    key.flags = PRESENT;
    let mut browser = Browser::new(&cluster.two);
    let form = [("username", "alice"), ("code", codes[1].as_str())];
    let led = browser.submit("/_auth/forgot", &form).await;
    assert_eq!(led.status, 303, "{}", led.text());
    let done = prove(&mut browser, &mut key, "/_auth/key").await;
    let leads = (done.status, done.location().split('?').next().unwrap());
    assert_eq!(leads, (303, "/_auth/forgot/password"), "{}", done.text());
    assert!(!browser.jar.contains_key(SESSION), "no session without a password");
    let new = "nine-herons-mend-the-clock";
    let done = browser.submit("/_auth/forgot/password", &[("password", new)]).await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert_eq!(owner.get("/_auth/account").await.status, 303, "other sessions are over");
    let mut again = Browser::new(&cluster.one);
    let form = [("username", "alice"), ("password", PASSWORD)];
    assert_eq!(again.submit("/_auth/login", &form).await.status, 401, "the old password");
    let form = [("username", "alice"), ("password", new)];
    assert_eq!(again.submit("/_auth/login", &form).await.status, 303);
    assert!(again.jar.contains_key(PENDING));
    assert_eq!(prove(&mut again, &mut key, "/_auth/key").await.status, 303);
    assert_eq!(again.fetch("/app").await.status, 200);
}
