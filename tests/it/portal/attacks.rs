//! Attempts to be signed in by somebody else's ticket or session, or to be led off the hosts.

use futures_util::future::join_all;
use sqlx::{Connection as _, SqliteConnection};

use super::tour::{PLOTS, PORTAL, STOCK, Tour, WIKI, cluster, gateway};
use crate::redirects::{corpus, encode_bytes, leads_astray};
use crate::support::codes;
use crate::support::gateway::Gateway;
use crate::support::upstream::Recorder;
use crate::support::visitor::SESSION;
use crate::support::wire::Answer;

const FLOW: &str = "__Host-vestibule-flow";

/// Begins a detour from a host and stops before the ticket is shown: its page at the app.
async fn ticket(tour: &mut Tour, host: &str, target: &str) -> String {
    let begun = tour.get(host, 0, target).await;
    let portal = begun.location().split_once(PORTAL).expect("the portal").1;
    let path = portal.split_at(portal.find('/').unwrap()).1.to_owned();
    let handed = tour.get(PORTAL, 0, &path).await;
    assert_eq!(handed.status, 303, "{}", handed.text());
    for (name, value) in [("cache-control", "no-store"), ("referrer-policy", "no-referrer")] {
        assert_eq!(handed.get(name), Some(value), "{name}");
    }
    let url = handed.location();
    let at = url.find("/_auth/continue?ticket=").unwrap_or_else(|| panic!("{url}"));
    assert!(url.starts_with(&format!("https://{host}:")), "{url}");
    url[at..].to_owned()
}

/// Asserts that an answer signs nobody in and is a page that begins again.
fn refused(answer: &Answer, tour: &Tour, host: &str) {
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("href=\"/_auth/login\""), "{}", answer.text());
    assert_eq!(answer.get("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.get("cache-control"), Some("no-store"));
    let jar = tour.jars.get(host);
    assert!(!jar.is_some_and(|jar| jar.contains_key(SESSION)), "{:?}", answer.fields);
}

/// Makes every ticket a minute older.
async fn let_a_minute_pass(gateway: &Gateway) {
    let file = gateway.dir().join("data/sessions.db");
    let mut store = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    let expires: i64 = sqlx::query_scalar("SELECT MAX(expires_at) FROM hand_overs")
        .fetch_one(&mut store)
        .await
        .unwrap();
    let left = expires - i64::try_from(codes::now()).unwrap() * 1000;
    assert!((1..=61_000).contains(&left), "{left} ms");
    let passed = sqlx::query("UPDATE hand_overs SET expires_at = expires_at - 60000");
    passed.execute(&mut store).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_works_once_in_its_own_browser_at_its_own_app() {
    let app = Recorder::start().await;
    let gateway = gateway(&app).await;
    let mut victim = Tour::new(&[&gateway]);
    victim.join(&gateway, "alice").await;
    let signed_in = victim.clone();

    // Replayed.
    let page = ticket(&mut victim, WIKI, "/a?b").await;
    let mut again = victim.clone();
    let done = victim.get(WIKI, 0, &page).await;
    assert_eq!((done.status, done.location()), (303, "/a?b"));
    assert_eq!(done.get("referrer-policy"), Some("no-referrer"));
    assert!(victim.jars[WIKI].contains_key(SESSION));
    let replayed = again.get(WIKI, 0, &page).await;
    refused(&replayed, &again, WIKI);

    // In another browser, which has a flow of its own: nobody gets in, and the ticket is used up.
    let mut victim = signed_in.clone();
    let page = ticket(&mut victim, WIKI, "/").await;
    let mut thief = Tour::new(&[&gateway]);
    thief.get(WIKI, 0, "/").await;
    assert!(thief.jars[WIKI].contains_key(FLOW));
    let stolen = thief.get(WIKI, 0, &page).await;
    refused(&stolen, &thief, WIKI);
    let late = victim.get(WIKI, 0, &page).await;
    refused(&late, &victim, WIKI);

    // Without a flow cookie, by a script, by HEAD.
    for method in ["GET", "HEAD"] {
        let mut victim = signed_in.clone();
        let page = ticket(&mut victim, WIKI, "/").await;
        let mut bare = Tour::new(&[&gateway]);
        let mut browser = bare.at(WIKI, None);
        let shown = browser.ask(method, &page, "", b"").await;
        assert_eq!(shown.status, 400);
        bare.keep(browser);
        assert!(bare.jars[WIKI].is_empty());
        let late = victim.get(WIKI, 0, &page).await;
        refused(&late, &victim, WIKI);
    }

    // At another app, with its own flow there.
    let mut victim = signed_in.clone();
    victim.get(PLOTS, 0, "/").await;
    let page = ticket(&mut victim, WIKI, "/").await;
    let flow = victim.jars[WIKI][FLOW].clone();
    victim.jars.get_mut(PLOTS).unwrap().insert(FLOW.to_owned(), flow);
    let elsewhere = victim.get(PLOTS, 0, &page).await;
    refused(&elsewhere, &victim, PLOTS);
    let late = victim.get(WIKI, 0, &page).await;
    refused(&late, &victim, WIKI);

    // A minute after it was issued.
    let page = ticket(&mut victim, WIKI, "/").await;
    let_a_minute_pass(&gateway).await;
    let late = victim.get(WIKI, 0, &page).await;
    refused(&late, &victim, WIKI);

    // At the portal and at hosts that take no tickets there is no such page.
    assert_eq!(victim.get(PORTAL, 0, &page).await.status, 404);
    for made_up in ["", "A", &"A".repeat(64)] {
        let page = format!("/_auth/continue?ticket={made_up}");
        let mut tour = signed_in.clone();
        let shown = tour.get(WIKI, 0, &page).await;
        refused(&shown, &tour, WIKI);
    }
    let audit = gateway.command(&["audit", "list", "--json"], "");
    let audit = String::from_utf8_lossy(&audit.stdout).into_owned();
    for named in ["handed_over", "hand_over_refused", "other_browser", "other_app"] {
        assert!(audit.contains(named), "{named}: {audit}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_uses_of_a_ticket_on_two_nodes_exactly_one_signs_in() {
    let cluster = cluster().await;
    let mut tour = Tour::new(&[&cluster.one, &cluster.two]);
    tour.join(&cluster.one, "alice").await;
    let page = ticket(&mut tour, STOCK, "/").await;
    let uses = (0..50).map(|i| {
        let (mut browser, page) = (tour.at(STOCK, Some(tour.port(i % 2))), page.clone());
        async move {
            let answer = browser.get(&page).await;
            (answer.status, browser.jar.contains_key(SESSION))
        }
    });
    let all = join_all(uses).await;
    assert_eq!(all.iter().filter(|(_, session)| *session).count(), 1, "{all:?}");
    assert!(all.iter().all(|(status, _)| matches!(status, 303 | 400)), "{all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_session_of_an_app_is_worth_that_app_alone() {
    let app = Recorder::start().await;
    let gateway = gateway(&app).await;
    let mut tour = Tour::new(&[&gateway]);
    tour.join(&gateway, "alice").await;
    tour.open(WIKI, 0, "/").await.at_app(WIKI, "/");
    let (of_app, of_portal) =
        (tour.jars[WIKI][SESSION].clone(), tour.jars[PORTAL][SESSION].clone());
    let mut thief = Tour::new(&[&gateway]);
    for (host, stolen) in
        [(PLOTS, &of_app), (STOCK, &of_app), (PORTAL, &of_app), (WIKI, &of_portal)]
    {
        let mut browser = thief.at(host, None);
        browser.jar.insert(SESSION.to_owned(), stolen.clone());
        assert_eq!(browser.fetch("/_auth/session").await.status, 401, "{host}");
        if host != PORTAL {
            assert_eq!(browser.fetch("/data").await.status, 401, "{host}");
        }
        thief.keep(browser);
    }
    // No ticket for another app, and no page of the account.
    for target in ["/_auth/login?app=plots&flow=x", "/_auth/account", "/"] {
        let page = thief.open(PORTAL, 0, target).await;
        assert!(page.target.starts_with("/_auth/login"), "{:#?}", page.hops);
        assert_eq!(page.answer.status, 200);
    }
    let mut at_app = Tour::new(&[&gateway]);
    at_app.jars.insert(WIKI.to_owned(), [(SESSION.to_owned(), of_app)].into());
    let account = at_app.open(WIKI, 0, "/_auth/account").await;
    assert_eq!((account.host.as_str(), account.answer.status), (PORTAL, 200));
    assert!(account.target.starts_with("/_auth/login"), "{:#?}", account.hops);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_signed_in_as_an_attacker_by_a_ticket_of_the_attacker() {
    let app = Recorder::start().await;
    let gateway = gateway(&app).await;
    let mut attacker = Tour::new(&[&gateway]);
    attacker.join(&gateway, "mallory").await;
    let page = ticket(&mut attacker, WIKI, "/").await;
    let mut victim = Tour::new(&[&gateway]);
    victim.join(&gateway, "alice").await;
    victim.open(WIKI, 0, "/").await.at_app(WIKI, "/");
    let shown = victim.get(WIKI, 0, &page).await;
    assert_eq!(shown.status, 400);
    assert_eq!(victim.fetch(WIKI, 0, "/_auth/session").await.json()["user"], "alice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_return_to_of_the_corpus_leads_off_the_app_or_the_portal() {
    let app = Recorder::start().await;
    let gateway = gateway(&app).await;
    let mut tour = Tour::new(&[&gateway]);
    tour.join(&gateway, "alice").await;
    let (portal, port) = (format!("https://{PORTAL}:"), gateway.https.port());
    let mut astray = Vec::new();
    for target in corpus("redirects.txt") {
        let value = encode_bytes(&target);
        // At the app, on the way to the portal.
        let begun = tour.get(WIKI, 0, &format!("/_auth/login?return_to={value}")).await;
        assert!(begun.location().starts_with(&portal), "{}", begun.location());
        // At the portal, with and without a flow, as return target and as name of an app or host.
        let flow = vestibule::auth::hand_over::FlowHash::of("x");
        for query in [
            format!("app=wiki&return_to={value}"),
            format!("app=wiki&return_to={value}&flow={}", flow.as_str()),
            format!("app={value}&return_to=%2F&flow={}", flow.as_str()),
            format!("app=wiki&host={value}&return_to=%2F&flow={}", flow.as_str()),
            format!("return_to={value}"),
        ] {
            let answer = tour.get(PORTAL, 0, &format!("/_auth/login?{query}")).await;
            let location = answer.location();
            let rest = location.strip_prefix(&format!("https://{WIKI}:{port}")).unwrap_or(location);
            let page = rest.strip_prefix("/_auth/continue?ticket=");
            let astray_by = if answer.status != 303 || page.is_some_and(|t| t.len() == 64) {
                None
            } else {
                leads_astray(rest)
            };
            if let Some(why) = astray_by {
                astray.push(format!("{query} -> {location}: {why}"));
            }
        }
    }
    assert!(astray.is_empty(), "{}:\n{}", astray.len(), astray.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_portal_forwards_nothing_whatever_is_asked() {
    let app = Recorder::start().await;
    let gateway = gateway(&app).await;
    let mut tour = Tour::new(&[&gateway]);
    tour.join(&gateway, "alice").await;
    let mark = app.mark();
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        for target in ["/secret", "/public/x", "//", "/%5fauth/login", "/_auth/no-such-page"] {
            let mut browser = tour.at(PORTAL, None);
            let answer = browser.ask(method, target, "Accept: text/html\r\n", b"").await;
            assert!((400..500).contains(&answer.status), "{method} {target}: {}", answer.status);
        }
    }
    let mut browser = tour.at(PORTAL, None);
    let upgrade = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    assert!(browser.ask("GET", "/ws", upgrade, b"").await.status >= 400);
    app.barrier().await;
    for target in ["/secret", "/public/x", "/ws", "_auth"] {
        assert!(!app.heard(mark, target), "{target}");
    }
}
