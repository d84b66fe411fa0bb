//! A form that met an expired session at an app below the portal reaches that app after the hand-over, once.

use vestibule::auth::keys::KeyRing;
use vestibule::auth::ports::SessionEnds;
use vestibule::auth::token::{PlainToken, SessionToken};
use vestibule::base::secret::Secret;
use vestibule::store::redis::RedisStore;

use super::tour::{Arrived, PLOTS, PORTAL, Tour, WIKI, cluster};
use crate::support::client::PATIENCE;
use crate::support::cluster::Cluster;
use crate::support::gateway::PASSWORD;
use crate::support::upstream::Seen;
use crate::support::visitor::{self, Person, SESSION};
use crate::support::wire::Answer;
use crate::support::{html, within};

const PARKED: &str = "__Host-vestibule-parked";
const MULTIPART: &str = "multipart/form-data; boundary=x";

struct Scene {
    cluster: Cluster,
    store: RedisStore,
}

impl Scene {
    async fn start() -> Self {
        let cluster = cluster().await;
        let url = Secret::new(cluster.redis.url());
        Self { store: RedisStore::open(&url, "vestibule").unwrap(), cluster }
    }

    /// Lets the session of a browser at the portal lapse, and with it those at the apps: nobody has ended it.
    async fn lapse(&self, tour: &mut Tour) {
        let keys =
            KeyRing::new(&vestibule::config::keys::load(&self.cluster.keys).unwrap()).unwrap();
        let cookie = &tour.jars[PORTAL][SESSION];
        let held = PlainToken::<SessionToken>::parse(cookie, &keys).unwrap();
        assert!(SessionEnds::end(&self.store, held.hashed()).await.unwrap());
        for node in 0..2 {
            let gone =
                async { while tour.clone().fetch(WIKI, node, "/data").await.status != 401 {} };
            within(PATIENCE, "the session to be gone", gone).await;
        }
    }

    /// The requests to `path` that came to the app.
    async fn came(&self, path: &str) -> Vec<Seen> {
        let app = &self.cluster.app;
        app.barrier().await;
        let all = app.requests(app.mark_of_all());
        all.into_iter().filter(|seen| seen.head.path() == path).collect()
    }
}

/// Sends a form from a page of the wiki, or the data of a script there.
async fn send(tour: &mut Tour, node: usize, (mode, kind): (&str, &str), body: &[u8]) -> Answer {
    send_to(tour, node, "/save?a=%20b", (mode, kind), body).await
}

async fn send_to(
    tour: &mut Tour,
    node: usize,
    target: &str,
    (mode, kind): (&str, &str),
    body: &[u8],
) -> Answer {
    let mut browser = tour.at(WIKI, Some(tour.port(node)));
    let lines = format!(
        "Content-Type: {kind}\r\nAccept: text/html\r\nOrigin: https://{WIKI}\r\nReferer: https://{WIKI}/form\r\n\
         Sec-Fetch-Mode: {mode}\r\nSec-Fetch-Site: same-origin\r\n"
    );
    let answer = browser.ask("POST", target, &lines, body).await;
    tour.keep(browser);
    assert_eq!(answer.status, 401, "{}", answer.text());
    assert!(answer.text().contains("We keep it for 10 minutes."), "{}", answer.text());
    answer
}

/// Follows the link of the page that says that the form was kept.
async fn follow_link(tour: &mut Tour, node: usize, answer: &Answer) -> Arrived {
    let target = link(&answer.text(), "resend");
    tour.open(WIKI, node, &target).await
}

/// The first link of a page with this text in it.
fn link(page: &str, text: &str) -> String {
    let mut links = page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    html::unescape(links.find(|link| link.contains(text)).unwrap_or_else(|| panic!("{page}")))
}

/// Signs in at the portal with a recovery code.
async fn sign_in(tour: &mut Tour, at: &Arrived, person: &mut Person) -> Arrived {
    assert!(at.host == PORTAL && at.target.starts_with("/_auth/login?app=wiki"), "{:#?}", at.hops);
    let form = [("username", person.name.as_str()), ("password", PASSWORD)];
    let second = tour.submit((PORTAL, 0), &at.target, &form).await;
    let recovery = second.target.replacen("/_auth/otp", "/_auth/recovery", 1);
    assert_ne!(recovery, second.target, "{:#?}", second.hops);
    let code = person.recovery.remove(0);
    let done = tour.submit((PORTAL, 0), &recovery, &[("code", &code)]).await;
    if !done.target.starts_with("/_auth/notice") {
        return done;
    }
    // What the user has to know before going on.
    let on = link(&done.answer.text(), "/_auth/login?app=wiki");
    tour.open(PORTAL, 0, &on).await
}

/// Asserts that a way has ended at the page that asks whether to send the form.
fn asks(arrived: &Arrived) {
    let at = (arrived.host.as_str(), arrived.target.as_str(), arrived.answer.status);
    assert_eq!(at, (WIKI, "/_auth/resend", 200), "{:#?}", arrived.hops);
    let text = arrived.answer.text();
    assert!(text.contains("Finish sending your form?") && text.contains(WIKI), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_of_an_app_arrives_byte_for_byte_once_after_the_hand_over() {
    let scene = Scene::start().await;
    let nodes = [&scene.cluster.one, &scene.cluster.two];
    let mut tour = Tour::new(&nodes);
    let mut person = tour.join(&scene.cluster.one, "alice").await;
    tour.open(WIKI, 0, "/form").await.at_app(WIKI, "/form");
    let binary: Vec<u8> = (0..=255).collect();
    let body =
        [b"--x\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n", &*binary, b"\r\n--x--\r\n"]
            .concat();
    scene.lapse(&mut tour).await;
    let kept = send(&mut tour, 0, ("navigate", MULTIPART), &body).await;
    // The page of the app leads over the portal and the other node.
    let login = follow_link(&mut tour, 1, &kept).await;
    let page = sign_in(&mut tour, &login, &mut person).await;
    asks(&page);
    assert_eq!(scene.came("/save").await.len(), 0, "nothing is sent before the confirm");
    let mut other = tour.at(WIKI, Some(tour.port(1)));
    let sent = other.submit_from(&page.answer, "/_auth/resend", &[("send", "1")]).await;
    assert_eq!((sent.status, sent.get("x-app")), (200, Some("recorder")), "{}", sent.text());
    let mut again = tour.at(WIKI, Some(tour.port(0)));
    let again = again.submit_from(&page.answer, "/_auth/resend", &[("send", "1")]).await;
    assert_eq!(again.status, 409, "{}", again.text());
    let came = scene.came("/save").await;
    assert_eq!(came.len(), 1);
    assert_eq!(
        (came[0].head.method.as_str(), came[0].head.target.as_str()),
        ("POST", "/save?a=%20b")
    );
    assert!(came[0].body == body, "byte for byte");
    assert_eq!(came[0].head.all("content-type"), [MULTIPART]);
    assert_eq!(came[0].head.all("remote-user"), ["alice"]);

    // What a script was sending, by the address that the answer gives to it: without a flow.
    scene.lapse(&mut tour).await;
    let kept = send(&mut tour, 1, ("cors", "application/json"), b"{\"a\": 1}").await;
    let url = kept.json()["login_url"].as_str().unwrap().to_owned();
    let target = url.split_at(url.find("/_auth/").unwrap()).1.to_owned();
    let login = tour.open(PORTAL, 0, &target).await;
    let page = sign_in(&mut tour, &login, &mut person).await;
    asks(&page);
    tour.submit((WIKI, 0), "/_auth/resend", &[("send", "1")]).await;
    assert_eq!(scene.came("/save").await.last().unwrap().body, b"{\"a\": 1}");

    // A proof that is too old.
    visitor::let_proofs_age_in(&scene.store, &scene.cluster.keys, &tour.at(PORTAL, None)).await;
    tour.jars.remove(WIKI);
    tour.open(WIKI, 0, "/").await.at_app(WIKI, "/");
    let kept = send_to(&mut tour, 0, "/signing/a", ("navigate", MULTIPART), &body).await;
    let step_up = follow_link(&mut tour, 0, &kept).await;
    assert!(
        step_up.host == PORTAL && step_up.target.starts_with("/_auth/step-up"),
        "{:#?}",
        step_up.hops
    );
    let code = person.recovery.remove(0);
    let by_code = format!("{}&with=recovery", step_up.target);
    let page = tour.submit((PORTAL, 0), &by_code, &[("code", &code)]).await;
    asks(&page);
    tour.submit((WIKI, 1), "/_auth/resend", &[("send", "1")]).await;
    assert!(scene.came("/signing/a").await.iter().map(|seen| &seen.body).eq([&body]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_no_other_browser_and_no_other_app_sends_a_form_of_an_app() {
    let scene = Scene::start().await;
    let nodes = [&scene.cluster.one, &scene.cluster.two];
    let (mut alice, mut bob) = (Tour::new(&nodes), Tour::new(&nodes));
    let mut person = alice.join(&scene.cluster.one, "alice").await;
    let mut other = bob.join(&scene.cluster.two, "bob").await;
    for tour in [&mut alice, &mut bob] {
        tour.open(WIKI, 0, "/").await.at_app(WIKI, "/");
    }
    scene.lapse(&mut alice).await;
    let form = ("navigate", "application/x-www-form-urlencoded");
    // Somebody else signs in in the browser: it is destroyed.
    let kept = send(&mut alice, 0, form, b"a=b").await;
    let mut thief = bob.clone();
    let cookie = alice.jars[WIKI][PARKED].clone();
    let login = follow_link(&mut alice, 0, &kept).await;
    let arrived = sign_in(&mut alice, &login, &mut other).await;
    assert!(arrived.host == WIKI && !asks_to_send(&arrived), "{:#?}", arrived.hops);
    alice.submit((WIKI, 0), "/_auth/logout", &[]).await;
    let login = alice.open(WIKI, 0, "/_auth/resend").await;
    let arrived = sign_in(&mut alice, &login, &mut person).await;
    assert!(!asks_to_send(&arrived), "it is gone: {}", arrived.answer.text());
    // Somebody else with the cookie of the browser.
    scene.lapse(&mut alice).await;
    let kept = send(&mut alice, 1, form, b"a=b").await;
    assert_ne!(alice.jars[WIKI][PARKED], cookie);
    // The same user in another browser, or at another app with the cookie.
    let mut elsewhere = Tour::new(&nodes);
    let login = elsewhere.open(WIKI, 0, "/form").await;
    sign_in(&mut elsewhere, &login, &mut person).await.at_app(WIKI, "/form");
    assert!(!asks_to_send(&elsewhere.open(WIKI, 1, "/_auth/resend").await));
    let login = follow_link(&mut alice, 1, &kept).await;
    let page = sign_in(&mut alice, &login, &mut person).await;
    asks(&page);
    alice.open(PLOTS, 0, "/").await.at_app(PLOTS, "/");
    let mut plots = alice.clone();
    let stolen = plots.jars[WIKI][PARKED].clone();
    plots.jars.get_mut(PLOTS).unwrap().insert(PARKED.to_owned(), stolen.clone());
    assert!(!asks_to_send(&plots.open(PLOTS, 0, "/_auth/resend").await));
    thief.jars.get_mut(WIKI).unwrap().insert(PARKED.to_owned(), stolen);
    assert!(!asks_to_send(&thief.open(WIKI, 0, "/_auth/resend").await));
    assert_eq!(scene.came("/save").await.len(), 0);
}

fn asks_to_send(arrived: &Arrived) -> bool {
    arrived.answer.text().contains("Finish sending your form?")
}
