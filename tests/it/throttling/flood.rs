//! A flood of guesses from outside, and the owner of the account in the middle of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::super::support::client::Browser;
use super::super::support::gateway::{Gateway, PASSWORD, Plan};
use super::super::support::html;
use super::super::support::upstream::Recorder;
use super::super::support::visitor::{self, PENDING, Person, SESSION};
use super::super::support::wire::Answer;
use super::{DEVICE, from, trusting, wrong_password};

const ADDRESSES: u16 = 500;
const GUESSES_EACH: usize = 40;
const GUESSES: usize = 20_000;

/// A flood under way.
struct Flood {
    attackers: JoinSet<Vec<u16>>,
    /// Guesses answered so far.
    answered: Arc<AtomicUsize>,
}

impl Flood {
    /// Each of the attackers' addresses is a browser of its own, with one form for all its posts.
    fn begin(gateway: &Arc<Gateway>) -> Self {
        let (room, answered) = (Arc::new(Semaphore::new(16)), Arc::new(AtomicUsize::new(0)));
        let mut attackers = JoinSet::new();
        for n in 0..ADDRESSES {
            let (gateway, room) = (Arc::clone(gateway), Arc::clone(&room));
            let answered = Arc::clone(&answered);
            attackers.spawn(async move {
                let [high, low] = n.to_be_bytes();
                let _place = room.acquire().await.unwrap();
                let mut browser = from(&gateway, &format!("198.51.{high}.{low}"));
                let page = browser.get("/_auth/login").await;
                let csrf = html::field(&page.text(), "csrf").unwrap();
                let form = [("username", "alice"), ("password", "guess"), ("csrf", csrf.as_str())];
                let statuses = browser.posts("/_auth/login", &form, GUESSES_EACH).await;
                answered.fetch_add(statuses.len(), Ordering::Relaxed);
                statuses
            });
        }
        Self { attackers, answered }
    }

    /// How many tenths of it are over.
    fn tenths(&self) -> usize {
        self.answered.load(Ordering::Relaxed) * 10 / GUESSES
    }

    async fn end(mut self) -> BTreeMap<u16, usize> {
        let mut statuses = BTreeMap::new();
        while let Some(answers) = self.attackers.join_next().await {
            for status in answers.unwrap() {
                *statuses.entry(status).or_default() += 1;
            }
        }
        statuses
    }
}

/// The owner, in a browser that the account knows.
struct Owner {
    browser: Browser,
    person: Person,
}

impl Owner {
    async fn proves_the_password(&mut self) {
        let step = visitor::prove_password(&mut self.browser, "alice").await;
        assert!(step.location().starts_with("/_auth/otp"), "{}", step.location());
    }

    async fn mistypes_the_password(&mut self) {
        let typo = wrong_password(&mut self.browser, "alice").await;
        assert_eq!(typo.status, 401, "a typo is answered, not put off: {}", typo.text());
    }

    /// Signs in with both factors, reaches the app, and leaves.
    async fn signs_in(&mut self) {
        self.proves_the_password().await;
        let code = self.person.recovery.pop().unwrap();
        let done = self.browser.submit("/_auth/recovery", &[("code", &code)]).await;
        assert_eq!(done.status, 303, "{}", done.text());
        assert_eq!(self.browser.get("/app").await.status, 200);
        self.browser.jar.remove(SESSION);
    }
}

/// Returns the seconds left of a wait, if the answer names them.
fn remaining(answer: &Answer) -> Option<u64> {
    answer.get("retry-after").and_then(|seconds| seconds.parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_guesses_from_five_hundred_addresses_never_slow_the_owners_browser() {
    let app = Recorder::start().await;
    let plan: Plan = trusting(&app).extra("[passwords]\nhashing_threads = 1\n");
    let gateway = Arc::new(Gateway::start(&plan).await);
    let (browser, person) = visitor::signed_in(&gateway, "alice").await;
    let mut owner = Owner { browser, person };
    assert!(owner.browser.jar.contains_key(DEVICE), "a full sign-in makes the browser known");
    owner.browser.jar.remove(SESSION);

    // In each tenth of the flood the owner signs in at once, now and then after a typo, and proves
    // the password again and again until the next.
    let flood = Flood::begin(&gateway);
    let mut rounds = [0; 10];
    while flood.tenths() < 10 {
        let tenth = flood.tenths().min(9);
        if rounds[tenth] == 0 {
            if tenth.is_multiple_of(2) {
                owner.mistypes_the_password().await;
            }
            owner.signs_in().await;
        } else {
            owner.proves_the_password().await;
            owner.browser.jar.remove(PENDING);
        }
        rounds[tenth] += 1;
    }
    let statuses = flood.end().await;
    // All that the owner did was done at once. It has to have been all the time, too.
    assert!(rounds.iter().filter(|n| **n > 0).count() >= 8, "the owner's rounds: {rounds:?}");
    assert_eq!(statuses.values().sum::<usize>(), GUESSES, "{statuses:?}");
    // On a busy machine a stranger's guess finds no turn now and then.
    assert!(statuses.keys().all(|s| matches!(s, 401 | 429 | 503)), "{statuses:?}");
    assert!(statuses[&429] > GUESSES * 9 / 10, "{statuses:?}");
    // Five at once, then growing waits: so few of them cost a hash.
    assert!(statuses[&401] < 60, "{statuses:?}");
    owner.proves_the_password().await;

    // The same password from elsewhere waits: that is what strangers can be slowed to.
    // The wait of the flood may be about to end: then one more guess begins a longer one.
    let mut guesser = from(&gateway, "203.0.113.8");
    while remaining(&wrong_password(&mut guesser, "alice").await).is_none_or(|left| left < 10) {}
    let mut stranger = from(&gateway, "203.0.113.9");
    let form = [("username", "alice"), ("password", PASSWORD)];
    let held_up = stranger.submit("/_auth/login", &form).await;
    assert_eq!(held_up.status, 429, "{}", held_up.text());
}
