//! Every entry of the attack corpus, fired at one gateway, with an app behind that notes what gets
//! through. All failures are told together at the end.

mod corpus;
mod floods;
mod judge;
mod shots;
mod slow;

use std::fmt::Write as _;

use corpus::{Attack, Placeholders};
use judge::Seen;

use super::support::client::Browser;
use super::support::gateway::{Gateway, Plan};
use super::support::upstream::Recorder;
use super::support::visitor::{self, PENDING, SESSION, Visitor};

/// What stands ready for every attack.
struct Range {
    gateway: Gateway,
    app: Recorder,
    /// An app that only the slow attacks ask, on a host of its own, so that nothing they cause is
    /// put down to another attack.
    slow_app: Recorder,
    placeholders: Placeholders,
}

impl Range {
    /// `rules` stand behind the one that makes `/public/**` public.
    async fn set_up(rules: &str) -> Self {
        let (app, slow_app) = (Recorder::start().await, Recorder::start().await);
        let open = "[[apps.rules]]\npath = \"/big\"\naccess = \"public\"\n";
        let plan = Plan::new(&app);
        let plan = Plan { apps: plan.apps.clone() + rules, ..plan };
        let plan = plan.app("slow", "other.test", &slow_app.url(), open);
        let gateway = Gateway::start(&plan).await;
        let (full, _person) = visitor::signed_in(&gateway, "corpus").await;
        let mut half = Visitor::pending(&gateway, "halfway").await;
        let placeholders = Placeholders {
            session: full.jar[SESSION].clone(),
            pending: half.browser().jar[PENDING].clone(),
        };
        Self { gateway, app, slow_app, placeholders }
    }

    fn client(&self) -> Browser {
        // Not the address that attacks claim to come from.
        let mut client = Browser::new(&self.gateway);
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
