//! Guessing, from outside: what a stranger can slow, how many guesses are compared, what is told.

use std::collections::BTreeMap;
use std::path::Path;

use tokio::sync::Semaphore;

use super::support::client::{Browser, admin};
use super::support::codes::Codes;
use super::support::gateway::{self, Gateway, PASSWORD, Plan};
use super::support::html;
use super::support::servers::{PostgresServer, RedisServer};
use super::support::upstream::Recorder;
use super::support::visitor::{self, PENDING, Person, SESSION};
use super::support::wire::Answer;

const DEVICE: &str = "__Host-vestibule-device";
const NO_WAITS: &str = "per_address = 1000000\nper_name = 100\n";

/// A browser that a trusted proxy on loopback says to be at this address.
fn from(gateway: &Gateway, address: &str) -> Browser {
    let mut browser = Browser::new(gateway);
    browser.forwarded_for = Some(address.to_owned());
    browser
}

fn trusting(app: &Recorder) -> Plan {
    Plan::new(app).extra("[network]\ntrusted_proxies = [\"127.0.0.0/8\"]\n")
}

async fn wrong_password(browser: &mut Browser, name: &str) -> Answer {
    browser.submit("/_auth/login", &[("username", name), ("password", "not the right one")]).await
}

/// A page without what differs between any two.
fn bare(answer: &Answer, name: &str) -> String {
    let text = answer.text();
    let csrf = html::field(&text, "csrf").unwrap_or_default();
    text.replace(name, "NAME").replace(&csrf, "CSRF")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_guesses_from_five_hundred_addresses_never_slow_the_owners_browser() {
    let app = Recorder::start().await;
    let plan = trusting(&app).extra("[passwords]\nhashing_threads = 1\n");
    let gateway = std::sync::Arc::new(Gateway::start(&plan).await);
    let (mut owner, mut person) = visitor::signed_in(&gateway, "alice").await;
    assert!(owner.jar.contains_key(DEVICE), "a full sign-in makes the browser known");
    owner.jar.remove(SESSION);

    // Each of the attackers' addresses is a browser of its own, with one form for all its posts.
    let room = std::sync::Arc::new(Semaphore::new(16));
    let flood: Vec<_> = (0..500_u16)
        .map(|n| {
            let (gateway, room) = (std::sync::Arc::clone(&gateway), std::sync::Arc::clone(&room));
            tokio::spawn(async move {
                let [high, low] = n.to_be_bytes();
                let _place = room.acquire().await.unwrap();
                let mut browser = from(&gateway, &format!("198.51.{high}.{low}"));
                let page = browser.get("/_auth/login").await;
                let csrf = html::field(&page.text(), "csrf").unwrap();
                let form = [("username", "alice"), ("password", "guess"), ("csrf", csrf.as_str())];
                browser.posts("/_auth/login", &form, 40).await
            })
        })
        .collect();

    // The owner signs in again and again meanwhile, at once each time, also after typos.
    let mut signed_in = 0;
    loop {
        let typo = wrong_password(&mut owner, "alice").await;
        assert_eq!(typo.status, 401, "the owner's typo is answered, not put off: {}", typo.text());
        let step = visitor::prove_password(&mut owner, "alice").await;
        assert!(step.location().starts_with("/_auth/otp"), "{}", step.location());
        signed_in += 1;
        if signed_in == 1 {
            let code = person.codes.next().await;
            let done = owner.submit("/_auth/otp", &[("code", &code)]).await;
            assert_eq!(done.status, 303, "{}", done.text());
            assert_eq!(owner.get("/app").await.status, 200);
            owner.jar.remove(SESSION);
        }
        owner.jar.remove(PENDING);
        if flood.iter().all(tokio::task::JoinHandle::is_finished) || signed_in == 9 {
            break;
        }
    }
    let mut statuses: BTreeMap<u16, u32> = BTreeMap::new();
    for task in flood {
        for status in task.await.unwrap() {
            *statuses.entry(status).or_default() += 1;
        }
    }
    assert_eq!(statuses.values().sum::<u32>(), 20_000, "{statuses:?}");
    assert!(statuses.keys().all(|s| matches!(s, 401 | 429)), "{statuses:?}");
    // Five at once, then growing waits: so few of them cost a hash.
    assert!(statuses[&401] < 60, "{statuses:?}");
    let last = visitor::prove_password(&mut owner, "alice").await;
    assert!(last.location().starts_with("/_auth/otp"), "{}", last.location());

    // The same password from elsewhere waits: that is what strangers can be slowed to.
    let mut stranger = from(&gateway, "203.0.113.9");
    let held_up = wrong_password(&mut stranger, "alice").await;
    assert!(matches!(held_up.status, 401 | 429), "{}", held_up.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_wait_alike_for_known_and_unknown_names() {
    let app = Recorder::start().await;
    let plan = trusting(&app).extra("[throttle]\nfirst_wait = \"40s\"\nlongest_wait = \"40s\"\n");
    let gateway = Gateway::start(&plan).await;
    gateway.add_user("alice");
    let mut pages = Vec::new();
    for (name, net) in [("alice", 1), ("nobody", 2)] {
        let mut statuses = Vec::new();
        let mut last = None;
        for n in 0..7 {
            let mut browser = from(&gateway, &format!("198.51.{net}.{n}"));
            let answer = wrong_password(&mut browser, name).await;
            statuses.push((answer.status, answer.get("retry-after").is_some()));
            assert!(!browser.jar.contains_key(DEVICE) && !browser.jar.contains_key(PENDING));
            last = Some(answer);
        }
        let last = last.unwrap();
        let seconds: u64 = last.get("retry-after").unwrap().parse().unwrap();
        assert!((20..=40).contains(&seconds), "{seconds}");
        assert!(last.text().contains(&format!("wait {seconds} seconds")), "{}", last.text());
        let page = bare(&last, name).replace(&format!("{seconds} seconds"), "SECONDS");
        let mut fields: Vec<String> = last.fields.iter().map(|f| format!("{:?}", f.0)).collect();
        fields.sort();
        pages.push((statuses, page, fields));
    }
    let refused = (429, true);
    assert_eq!(pages[0].0, [vec![(401, false); 5], vec![refused; 2]].concat());
    assert_eq!(pages[0], pages[1], "known and unknown names look alike");
    // The right password does not get a stranger past the wait either.
    let mut stranger = from(&gateway, "203.0.113.9");
    let form = [("username", "alice"), ("password", PASSWORD)];
    assert_eq!(stranger.submit("/_auth/login", &form).await.status, 429);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_browser_is_a_stranger_to_others_beyond_its_budget_and_once_revoked() {
    let app = Recorder::start().await;
    let plan = trusting(&app).extra(
        "[throttle]\nper_name = 2\nper_device = 2\nfirst_wait = \"10m\"\nlongest_wait = \"10m\"\n",
    );
    let gateway = Gateway::start(&plan).await;
    let (mut owner, _person) = visitor::signed_in(&gateway, "alice").await;
    gateway.add_user("bob");
    owner.jar.remove(SESSION);
    // Strangers have used up what they share.
    for name in ["alice", "bob"] {
        for (n, status) in [401, 401, 429].into_iter().enumerate() {
            let mut stranger = from(&gateway, &format!("198.51.100.{n}"));
            assert_eq!(wrong_password(&mut stranger, name).await.status, status, "{name} {n}");
        }
    }
    assert_eq!(wrong_password(&mut owner, "bob").await.status, 429, "bob does not know it");
    let mut forged = owner.clone();
    let cookie = forged.jar[DEVICE].replace('.', "A.");
    forged.jar.insert(DEVICE.to_owned(), cookie);
    assert_eq!(wrong_password(&mut forged, "alice").await.status, 429, "a forged cookie");
    let mut revoked = owner.clone();
    assert_eq!(wrong_password(&mut owner, "alice").await.status, 401);
    assert_eq!(wrong_password(&mut owner, "alice").await.status, 401);
    assert_eq!(wrong_password(&mut owner, "alice").await.status, 429, "its own budget is used up");

    gateway::done(
        &["session", "end", "--user", "alice", "--config", &gateway.config.display().to_string()],
        "",
    );
    assert_eq!(wrong_password(&mut revoked, "alice").await.status, 429, "no longer known");
    // Nor does the cookie ever stand in for a factor, nor does the app see it.
    assert_eq!(owner.fetch("/app").await.status, 401);
    let mark = app.mark_of_all();
    assert_eq!(owner.fetch("/public/x").await.status, 200);
    let seen = app.wait_for(mark, |r| r.head.path() == "/public/x").await;
    assert!(seen.head.all("cookie").is_empty(), "{:?}", seen.head.all("cookie"));
}

/// Posts a wrong code in a new login; the page.
async fn wrong_code(browser: &mut Browser, name: &str) -> Answer {
    visitor::prove_password(browser, name).await;
    browser.submit("/_auth/otp", &[("code", "000000")]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_guesses_over_sessions_addresses_and_nodes_no_more_than_the_ladder_allows_are_compared()
{
    let app = Recorder::start().await;
    let (redis, postgres) = (RedisServer::start(), PostgresServer::shared());
    let database = postgres.database().await;
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys.toml");
    gateway::make_keys(&keys);
    let plan = cluster(&app, &redis, &database, &keys);
    let nodes = [Gateway::start(&plan).await, Gateway::start(&plan).await];
    let (_browser, mut person) = visitor::signed_in(&nodes[0], "alice").await;

    // Forty logins, from forty addresses, on two nodes, all at once, each posting what it may.
    let mut logins = Vec::new();
    for n in 0..40 {
        let mut browser = from(&nodes[n % 2], &format!("198.51.100.{n}"));
        visitor::prove_password(&mut browser, "alice").await;
        let page = browser.get("/_auth/otp").await;
        logins.push((browser, html::field(&page.text(), "csrf").unwrap()));
    }
    let posts = logins.into_iter().map(|(mut browser, csrf)| async move {
        let form = [("code", "000000"), ("csrf", csrf.as_str())];
        browser.posts("/_auth/otp", &form, 5).await
    });
    let all: Vec<u16> = futures_util::future::join_all(posts).await.concat();
    let count = |status: u16| all.iter().filter(|s| **s == status).count();
    assert_eq!(count(401), 10, "ten are compared, then there is a wait: {all:?}");
    assert_eq!(count(429), 190, "{all:?}");

    // Neither the right password nor an emptied Redis buys another guess.
    redis.command::<()>(&["FLUSHALL"]).await;
    let mut browser = from(&nodes[1], "203.0.113.5");
    let wait = wrong_code(&mut browser, "alice").await;
    assert_eq!(wait.status, 429, "{}", wait.text());
    assert!(wait.text().contains("5 minutes"), "{}", wait.text());
    let code = person.codes.next().await;
    let right = browser.submit("/_auth/otp", &[("code", &code)]).await;
    assert_eq!(right.status, 429, "the right code waits as well");
    let by_recovery = browser.submit("/_auth/recovery", &[("code", &person.recovery[0])]).await;
    assert_eq!(by_recovery.status, 303, "recovery codes have a counter of their own");
    told_of_wrong_codes(&mut browser, &by_recovery, "10 wrong codes").await;
}

fn cluster(app: &Recorder, redis: &RedisServer, database: &str, keys: &Path) -> Plan {
    let mut plan = trusting(app).extra(&format!(
        "[sessions]\nstore = \"redis\"\n[redis]\nurl = \"{}\"\n[accounts]\ndatabase = \
         \"{database}\"\n[throttle]\n{NO_WAITS}",
        redis.url()
    ));
    plan.keys = Some(keys.to_owned());
    plan
}

async fn told_of_wrong_codes(browser: &mut Browser, answer: &Answer, words: &str) {
    assert!(answer.location().starts_with("/_auth/notice?return_to="), "{}", answer.location());
    let page = browser.get(answer.location()).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains(words), "{}", page.text());
    assert!(page.text().contains("198.51.100."), "from where: {}", page.text());
    assert_eq!(browser.get("/app").await.status, 200, "signed in all the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_wrong_codes_suspend_the_authenticator_and_a_recovery_code_still_works() {
    let app = Recorder::start().await;
    let plan = trusting(&app).extra(&format!(
        "[throttle]\n{NO_WAITS}second_factor = 100\nsecond_factor_most = 6\nper_login = 4\n"
    ));
    let gateway = Gateway::start(&plan).await;
    let (_owner, mut person) = visitor::signed_in(&gateway, "alice").await;
    let mut thief = from(&gateway, "198.51.100.7");
    for n in 1..=6 {
        let answer = wrong_code(&mut thief, "alice").await;
        assert_eq!(answer.status, if n == 6 { 403 } else { 401 }, "{n}: {}", answer.text());
    }
    let mut owner = from(&gateway, "203.0.113.5");
    visitor::prove_password(&mut owner, "alice").await;
    let page = owner.get("/_auth/otp").await;
    assert_eq!(page.status, 403);
    assert!(page.text().contains("suspended") && page.text().contains("/_auth/recovery"));
    let code = person.codes.next().await;
    let csrf = html::field(&owner.get("/_auth/recovery").await.text(), "csrf").unwrap();
    let refused = owner.post("/_auth/otp", &[("code", &code), ("csrf", &csrf)]).await;
    assert_eq!(refused.status, 403, "the right code is refused: {}", refused.text());
    assert!(!owner.jar.contains_key(SESSION));
    let done = owner.submit("/_auth/recovery", &[("code", &person.recovery[0])]).await;
    assert_eq!(done.status, 303, "{}", done.text());
    let told = owner.get(done.location()).await.text();
    assert!(told.contains("6 wrong codes") && told.contains("198.51.100.7"), "{told}");
    assert!(told.contains("Your authenticator is suspended"), "{told}");

    let show = gateway.command(&["user", "show", "alice"], "");
    let show = String::from_utf8_lossy(&show.stdout).into_owned();
    assert!(show.contains("SUSPENDED") && show.contains("after 6 wrong codes"), "{show}");
    let metrics = admin(&gateway, "/metrics").await.text();
    let event = "vestibule_security_events_total{event=\"factor_suspended\"";
    assert!(metrics.contains(event), "{metrics}");

    let lifted = gateway.command(&["user", "lift-suspension", "alice"], "");
    assert!(lifted.status.success());
    let mut again = from(&gateway, "203.0.113.6");
    person.codes.mark_used(person.codes.used_step());
    let answer = visitor::sign_in(&mut again, &mut person).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert!(again.jar.contains_key(SESSION));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_typos_are_not_told_and_those_of_another_login_are_told_once() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&trusting(&app)).await;
    let (_browser, mut person) = visitor::signed_in(&gateway, "alice").await;
    let mut owner = from(&gateway, "203.0.113.5");
    visitor::prove_password(&mut owner, "alice").await;
    assert_eq!(owner.submit("/_auth/otp", &[("code", "000000")]).await.status, 401);
    let done = owner.submit("/_auth/otp", &[("code", &person.codes.next().await)]).await;
    assert_eq!((done.status, done.location()), (303, "/"), "a typo of one's own");

    let mut thief = from(&gateway, "198.51.100.7");
    assert_eq!(wrong_code(&mut thief, "alice").await.status, 401);
    let mut owner = from(&gateway, "203.0.113.6");
    let done = visitor::sign_in(&mut owner, &mut person).await;
    told_of_wrong_codes(&mut owner, &done, "A wrong code was typed").await;
    let code = &person.recovery[0];
    let mut last = from(&gateway, "203.0.113.7");
    visitor::prove_password(&mut last, "alice").await;
    let done = last.submit("/_auth/recovery", &[("code", code)]).await;
    assert_eq!((done.status, done.location()), (303, "/"), "told already");
    let empty = last.get("/_auth/notice?return_to=%2Fapp").await;
    assert_eq!((empty.status, empty.location()), (303, "/app"), "nothing to tell");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_clock_is_told_and_the_code_told_of_is_good_at_no_time() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&trusting(&app).extra("[throttle]\nper_login = 50\n")).await;
    gateway.add_user("alice");
    let mut browser = Browser::new(&gateway);
    visitor::prove_password(&mut browser, "alice").await;
    let page = browser.get("/_auth/enroll").await.text();
    let codes = Codes::new(&html::by_id(&page, "totp-secret").unwrap());
    let step = Codes::settled_step(20).await;
    let slow = browser.submit("/_auth/enroll", &[("code", &codes.of_step(step - 10))]).await;
    assert_eq!(slow.status, 401);
    assert!(slow.text().contains("5 minutes behind"), "{}", slow.text());
    let right = browser.submit("/_auth/enroll", &[("code", &codes.of_step(step - 1))]).await;
    assert_eq!(right.status, 303, "{}", right.text());
    let (recovery, _) = visitor::keep_recovery_codes(&mut browser, &right).await;
    let mut person = Person { name: "alice".to_owned(), codes, recovery };
    person.codes.mark_used(step - 1);

    let mut second = from(&gateway, "203.0.113.5");
    visitor::prove_password(&mut second, "alice").await;
    let step = Codes::settled_step(20).await;
    let mut tell = async |step: u64| {
        let code = person.codes.of_step(step);
        let answer = second.submit("/_auth/otp", &[("code", &code)]).await;
        assert_eq!(answer.status, 401, "{}", answer.text());
        answer.text()
    };
    assert!(tell(step + 20).await.contains("10 minutes ahead"));
    let near = tell(step + 2).await;
    assert!(near.contains("60 seconds ahead"), "{near}");
    let gone = tell(step - 10).await;
    assert!(!gone.contains("behind"), "from before the enrolment: {gone}");
    assert!(!tell(step + 40).await.contains("ahead"), "twenty minutes are no clock");
    assert!(!tell(step + 20).await.contains("ahead"), "once is enough");

    // When its time has come, the code that was told of is refused; the next one works.
    Codes::reached(step + 1).await;
    let told = tell(step + 2).await;
    assert!(told.contains("not right or was used"), "{told}");
    let next = person.codes.of_step(step + 1);
    let done = second.submit("/_auth/otp", &[("code", &next)]).await;
    assert_eq!(done.status, 303, "{}", done.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spray_over_many_names_is_an_alarm_and_slows_nobody() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&trusting(&app).extra("[throttle]\nspray = 5\n")).await;
    gateway.add_user("alice");
    for n in 0..8 {
        let mut browser = from(&gateway, &format!("198.51.100.{n}"));
        assert_eq!(wrong_password(&mut browser, &format!("name{n}")).await.status, 401);
    }
    let metrics = admin(&gateway, "/metrics").await.text();
    let alarms = metrics.lines().find(|l| l.contains("event=\"password_spray\"")).unwrap();
    assert!(alarms.ends_with(" 1"), "one alarm: {alarms}");
    let mut stranger = from(&gateway, "203.0.113.5");
    visitor::prove_password(&mut stranger, "alice").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_clock_is_told_when_the_authenticator_is_configured_anew() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&trusting(&app)).await;
    let (mut owner, _person) = visitor::signed_in(&gateway, "alice").await;
    let target = "/_auth/account/authenticator";
    let page = owner.get(target).await.text();
    let codes = Codes::new(&html::by_id(&page, "totp-secret").unwrap());
    let step = Codes::settled_step(20).await;
    let mut send = async |step: u64| {
        let answer = owner.submit(target, &[("code", &codes.of_step(step))]).await;
        (answer.status, answer.text())
    };
    for (off, words) in [
        (step - 10, "about 5 minutes behind"),
        (step + 10, "about 5 minutes ahead"),
        (step + 20, "about 10 minutes ahead"),
        (step - 20, "about 10 minutes behind"),
        (step + 2, "about 60 seconds ahead"),
    ] {
        let (status, text) = send(off).await;
        assert_eq!(status, 401);
        assert!(text.contains(words), "{words}: {text}");
    }
    let (status, text) = send(step + 4).await;
    assert!(status == 401 && !text.contains("ahead"), "five times an hour: {text}");
    let (status, text) = send(step + 40).await;
    assert!(status == 401 && !text.contains("ahead"), "twenty minutes are no clock: {text}");
    let (status, text) = send(step).await;
    assert_eq!(status, 303, "{text}");
    let metrics = admin(&gateway, "/metrics").await.text();
    assert!(metrics.contains("event=\"second_factor_replaced\""), "{metrics}");
}
