//! Every entry of the attack corpus, fired at one gateway, with an app behind that notes what gets
//! through. All failures are told together at the end.

mod corpus;
mod floods;
mod judge;
mod shots;
mod slow;

use std::fmt::Write as _;
use std::net::SocketAddr;

use corpus::{Attack, Placeholders};
use judge::Seen;

use vestibule::gate::target::CanonicalTarget;

use super::portal::tour::{PORTAL, Tour, with_portal};
use super::support::client::Browser;
use super::support::gateway::{Gateway, HOST, Plan};
use super::support::upstream::Recorder;
use super::support::visitor::{self, PENDING, SESSION, Visitor};

/// What stands ready for every attack.
struct Range {
    gateway: Gateway,
    app: Recorder,
    /// An app that only the slow attacks ask, on a host of its own, so that nothing they cause is
    /// put down to another attack.
    slow_app: Recorder,
    /// Another proxy between the attacker and the gateway.
    front: Option<SocketAddr>,
    placeholders: Placeholders,
    plan: Plan,
}

impl Range {
    /// `rules` stand behind the one that makes `/public/**` public.
    async fn set_up(rules: &str) -> Self {
        let (app, slow_app) = (Recorder::start().await, Recorder::start().await);
        let open = "[[apps.rules]]\npath = \"/big\"\naccess = \"public\"\n";
        let plan = Plan::new(&app);
        let plan = Plan { apps: plan.apps.clone() + rules, ..plan };
        let plan = plan.app("slow", "other.test", &slow_app.url(), open);
        // The pending login of the corpus outlives the attacks.
        let plan = plan.extra("[sessions]\npending = \"1h\"");
        let gateway = Gateway::start(&plan).await;
        Self::over((plan, gateway), app, slow_app, None).await
    }

    async fn over(
        (plan, gateway): (Plan, Gateway),
        app: Recorder,
        slow_app: Recorder,
        front: Option<SocketAddr>,
    ) -> Self {
        let (full, _person) = visitor::signed_in(&gateway, "corpus").await;
        let mut half = Visitor::pending(&gateway, "halfway").await;
        let placeholders = Placeholders {
            session: full.jar[SESSION].clone(),
            pending: half.browser().jar[PENDING].clone(),
        };
        Self { gateway, app, slow_app, front, placeholders, plan }
    }

    /// Starts a gateway for an attack that is judged by the memory it takes: the others would count
    /// for it.
    async fn own_gateway(&self) -> Gateway {
        Gateway::start(&self.plan).await
    }

    fn client(&self) -> Browser {
        match self.front {
            None => Self::client_of(&self.gateway),
            Some(front) => Self::from_elsewhere(Browser::through(front, &self.gateway)),
        }
    }

    fn client_of(gateway: &Gateway) -> Browser {
        Self::from_elsewhere(Browser::new(gateway))
    }

    /// Not the address that attacks claim to come from.
    fn from_elsewhere(mut client: Browser) -> Browser {
        client.from = [127, 0, 0, 77].into();
        client
    }

    /// The session and the half-finished login that attacks carry are good: without this, nothing
    /// would get through for the wrong reason.
    async fn holds_good_cookies(&self) {
        let mut full = self.client();
        full.jar.insert(SESSION.to_owned(), self.placeholders.session.clone());
        let mark = self.app.mark();
        assert_eq!(full.fetch("/app").await.status, 200, "the session of the attacks");
        self.app.wait_for(mark, |r| r.head.all("remote-user") == ["corpus"]).await;
        let mut half = self.client();
        half.jar.insert(PENDING.to_owned(), self.placeholders.pending.clone());
        assert_eq!(half.get("/_auth/enroll").await.status, 200, "the login of the attacks");
    }

    /// Runs an attack and judges it: what went wrong, if anything.
    async fn run(&self, attack: &Attack) -> Result<(), String> {
        let mark = self.app.mark();
        let shot = match attack.proto.as_str() {
            "h1" if attack.asserts.iter().any(|a| a == "closed_after_logout") => {
                return slow::tunnel_ends_with_its_session(self, attack).await;
            }
            "h1" => shots::h1(self, attack).await,
            "h2" if attack.flood.is_some() => return floods::run(self, attack).await,
            "h2" => shots::h2(self, attack).await,
            other => return Err(format!("unknown proto {other:?}")),
        };
        self.app.barrier().await;
        let seen = Seen { app: &self.app, mark, shot };
        let failures: Vec<String> =
            attack.asserts.iter().filter_map(|a| seen.judge(a).err()).collect();
        if failures.is_empty() {
            return Ok(());
        }
        Err(format!("{}; {}", failures.join("; "), seen.describe()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_attack_of_the_corpus_gets_through() {
    none_gets_through("").await;
}

/// Rules about everything, none of which opens what two factors closed.
const ABOUT_ALL: &str = r#"
[[apps.rules]]
name = "only noted"
access = "deny"
report_only = true
[[apps.rules]]
name = "only noted as public"
path = "/**"
networks = ["0.0.0.0/0", "::/0"]
access = "public"
report_only = true
[[apps.rules]]
name = "staff"
hosts = ["gw.test"]
groups = ["staff"]
methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
access = "two_factor"
max_age = "12h"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_attack_of_the_corpus_gets_through_with_rules_of_every_kind() {
    let rules = super::rules::RULES.replace("hosts = [\"plain.test\"]\n", "methods = [\"PUT\"]\n");
    none_gets_through(&(rules + ABOUT_ALL)).await;
}

/// Fires the single requests of the corpus at an app below a portal, and at the portal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_of_the_corpus_gets_through_below_a_portal_or_at_it() {
    let (app, slow_app) = (Recorder::start().await, Recorder::start().await);
    let plan = with_portal(Plan::new(&app), &app);
    let gateway = Gateway::start(&plan).await;
    let mut tour = Tour::new(&[&gateway]);
    tour.join(&gateway, "corpus").await;
    tour.open(HOST, 0, "/app").await.at_app(HOST, "/app");
    gateway.add_user("halfway");
    let mut half = Tour::new(&[&gateway]).at(PORTAL, None);
    visitor::prove_password(&mut half, "halfway").await;
    let pending = half.jar[PENDING].clone();
    let placeholders = Placeholders { session: tour.jars[HOST][SESSION].clone(), pending };
    let mut range = Range { gateway, app, slow_app, front: None, placeholders, plan };
    let mut failures = Vec::new();
    for attack in corpus::read().iter().filter(|attack| attack.is_shot_at(HOST)) {
        if let Err(why) = range.run(attack).await {
            failures.push(format!("{} ({}): {why}", attack.id, attack.name));
        }
    }
    assert!(failures.is_empty(), "below the portal:\n{}", failures.join("\n"));
    // At the portal nothing at all reaches an app, with a session of its own.
    range.placeholders.session = tour.jars[PORTAL][SESSION].clone();
    let start = range.app.mark();
    let shots = corpus::read_at(PORTAL);
    for attack in shots.iter().filter(|attack| attack.is_shot_at(PORTAL)) {
        match attack.proto.as_str() {
            "h1" => drop(shots::h1(&range, attack).await),
            _ => drop(shots::h2(&range, attack).await),
        }
        range.app.barrier().await;
        let seen = range.app.requests(start);
        let reached = seen.iter().find(|seen| !seen.head.target.starts_with("/-"));
        assert!(reached.is_none(), "{} ({}): {reached:?}", attack.id, attack.name);
    }
}

async fn none_gets_through(rules: &str) {
    let range = Range::set_up(rules).await;
    let all = corpus::read();
    assert_eq!(all.len(), 247, "entries in the corpus");
    let (scripts, shots): (Vec<&Attack>, Vec<&Attack>) =
        all.iter().partition(|a| a.proto == "script");
    range.holds_good_cookies().await;
    let start = range.app.mark();
    let in_turn = async {
        let mut failures = Vec::new();
        for attack in shots {
            if let Err(why) = range.run(attack).await {
                failures.push((attack, why));
            }
        }
        failures
    };
    let beside = async {
        let runs =
            scripts.iter().map(|attack| async { (*attack, slow::run(&range, attack).await) });
        let done = futures_util::future::join_all(runs).await;
        let failed = |(attack, result): (_, Result<(), String>)| Some((attack, result.err()?));
        done.into_iter().filter_map(failed).collect::<Vec<(&Attack, String)>>()
    };
    let (mut failures, slow_failures) = tokio::join!(in_turn, beside);
    failures.extend(slow_failures);
    range.app.barrier().await;

    // What came too late to be put down to one attack is still seen here.
    let requests = range.app.requests(start);
    let smuggled = requests.iter().filter(|r| r.head.target.contains("SMUG")).count();
    assert_eq!(smuggled, 0, "smuggled requests in the whole run");
    let silent = range.app.silent_connections(start);
    assert_eq!(silent, 0, "connections to the app without a request");
    let mut report = String::new();
    for (attack, why) in &failures {
        writeln!(report, "{} ({}): {why}", attack.id, attack.name).unwrap();
    }
    let count = failures.len();
    assert!(failures.is_empty(), "{count} of {} attacks got through:\n{report}", all.len());
    range.holds_good_cookies().await;
}

/// The asserts about what reaches the app. What a proxy in front answers by itself, and whether it
/// closes, is its own affair.
const ABOUT_THE_APP: [&str; 6] = [
    "no_upstream",
    "no_smuggle",
    "refused_or_upstream_has",
    "response_lacks",
    "upstream_max",
    "upstream_never_contains",
];

/// Attacks by `Connection`, which every proxy in front replaces by its own.
const ABOUT_CONNECTION: [&str; 2] = ["CONN-016", "CONN-018"];

/// Fires the HTTP/1.1 attacks at another proxy that asks the gateway about each request. Whatever the app
/// gets must be what was judged: a path that is public, or one of the user who is named.
pub(super) async fn none_gets_through_front(
    gateway: (Plan, Gateway),
    app: Recorder,
    front: SocketAddr,
) {
    let slow_app = Recorder::start().await;
    let range = Range::over(gateway, app, slow_app, Some(front)).await;
    range.holds_good_cookies().await;
    let start = range.app.mark();
    let mut report = String::new();
    let (mut fired, mut forwarded) = (0, 0);
    for mut attack in corpus::read() {
        attack.asserts.retain(|a| ABOUT_THE_APP.contains(&a.split(':').next().unwrap_or_default()));
        if attack.proto != "h1" || ABOUT_CONNECTION.contains(&attack.id.as_str()) {
            continue;
        }
        fired += 1;
        let mark = range.app.mark();
        if let Err(why) = range.run(&attack).await {
            writeln!(report, "{} ({}): {why}", attack.id, attack.name).unwrap();
        }
        for seen in range.app.requests(mark) {
            forwarded += 1;
            let user = seen.head.all("remote-user");
            let path = CanonicalTarget::canonical(seen.head.target.as_bytes());
            let public =
                path.is_ok_and(|p| p.path() == "/public" || p.path().starts_with("/public/"));
            if user != ["corpus"] && !(public && user.is_empty()) {
                let got = &seen.head.target;
                writeln!(report, "{} ({}): the app got {got}", attack.id, attack.name).unwrap();
            }
        }
    }
    assert!(fired > 200 && forwarded > 10, "{fired} fired, {forwarded} forwarded");
    let smuggled = range.app.requests(start).iter().any(|r| r.head.target.contains("SMUG"));
    assert!(report.is_empty() && !smuggled, "{report}");
    range.holds_good_cookies().await;
}
