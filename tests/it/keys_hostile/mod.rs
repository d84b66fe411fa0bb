//! Hostile answers at every page that takes a key. Each is refused with one sentence on the page, its own
//! reason in the log, and nothing changed in the accounts database.

mod assertions;
mod challenges;
mod copies;
mod corpus;
mod registrations;
mod told;

use std::cell::Cell;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};

use super::keys::{enrolled, options, origin};
use super::support::authenticator::{Authenticator, Parts};
use super::support::client::Browser;
use super::support::gateway::{Gateway, Plan};
use super::support::html;
use super::support::upstream::{Mark, Recorder};
use super::support::visitor::{self, SESSION};
use super::support::wire::Answer;

/// Attempt limits too high for a table of rejected answers to reach.
const PATIENT: &str = "[throttle]\nper_login = 100\nper_address = 10000\n";
/// Tables whose rows say who gets in.
const TABLES: [&str; 5] =
    ["accounts", "authenticators", "recovery_sets", "recovery_codes", "tickets"];

/// A page that takes the answer of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// The second factor of a login.
    SecondFactor,
    /// Sign-in by a passkey alone.
    Passkey,
    /// A fresh proof in a session.
    StepUp,
    /// A key as the first second factor.
    Enrol,
    /// A further key on the account page.
    Add,
}

impl Door {
    /// The pages that take a proof.
    const PROOFS: [Self; 3] = [Self::SecondFactor, Self::Passkey, Self::StepUp];

    /// The address of the page, and the one that takes its form.
    fn addresses(self) -> (&'static str, &'static str) {
        match self {
            Self::SecondFactor => ("/_auth/key", "/_auth/key"),
            Self::Passkey => ("/_auth/login", "/_auth/passkey"),
            Self::StepUp => ("/_auth/step-up?return_to=%2Fapp", "/_auth/step-up?return_to=%2Fapp"),
            Self::Enrol => ("/_auth/enroll/key", "/_auth/enroll/key"),
            Self::Add => ("/_auth/account/keys/new", "/_auth/account/keys/new"),
        }
    }
}

/// A change of an honest answer.
enum Change {
    /// Before it is signed. Gets the origin of the page.
    Signed(fn(&mut Parts, &str)),
    /// After it was signed.
    Sent(fn(&mut Value)),
}

use Change::{Sent, Signed};

/// A page on the screen of a browser.
struct Open {
    page: Answer,
    options: Value,
    origin: String,
}

/// A gateway with an account that has a key and is signed in, and whose password is proved in another
/// browser.
struct Stage {
    app: Recorder,
    gateway: Gateway,
    key: Authenticator,
    /// Signed in.
    owner: Browser,
    /// Proved the password.
    halfway: Browser,
    mark: Mark,
    refused: usize,
}

/// The reason of a line about a refused answer.
fn reason(line: &super::support::log::Line) -> Option<String> {
    let refused = line.get("message") == Some("key refused");
    refused.then(|| line.get("reason").unwrap().to_owned())
}

impl Stage {
    async fn start(extra: &str) -> Self {
        let app = Recorder::start().await;
        let plan = Plan::new(&app).extra(PATIENT).extra(extra);
        let gateway = Gateway::start(&plan).await;
        let (owner, key, _) = enrolled(&gateway, "alice").await;
        let mut halfway = Browser::new(&gateway);
        visitor::prove_password(&mut halfway, "alice").await;
        let mark = app.mark();
        Self { app, gateway, key, owner, halfway, mark, refused: 0 }
    }

    /// The browser before a page.
    fn browser(&self, door: Door) -> Browser {
        match door {
            Door::SecondFactor | Door::Enrol => self.halfway.clone(),
            Door::StepUp | Door::Add => self.owner.clone(),
            Door::Passkey => Browser::new(&self.gateway),
        }
    }

    async fn open(door: Door, browser: &mut Browser) -> Open {
        let page = browser.get(door.addresses().0).await;
        assert_eq!(page.status, 200, "{door:?}: {} {}", page.location(), page.text());
        Open { options: options(&page.text()), origin: origin(browser), page }
    }

    /// Has the key make an answer to a page, changed.
    fn answer(&mut self, door: Door, open: &Open, change: &Change) -> Value {
        let here = open.origin.clone();
        let signed = |parts: &mut Parts| {
            if let Signed(change) = change {
                change(parts, &here);
            }
        };
        let mut answer = match door {
            Door::Enrol | Door::Add => {
                let answer = self.key.create_with(&open.options, &here, signed);
                // No account holds it.
                self.key.held.pop();
                answer
            }
            Door::SecondFactor | Door::Passkey | Door::StepUp => {
                self.key.get_with(&open.options, &here, signed)
            }
        };
        if let Sent(change) = change {
            change(&mut answer);
        }
        answer
    }

    /// Sends an answer, which must be refused: the reason in the log, and what the page says.
    async fn refused(&mut self, door: Door, change: &Change) -> (String, String) {
        let mut browser = self.browser(door);
        let open = Self::open(door, &mut browser).await;
        let answer = self.answer(door, &open, change).to_string();
        self.refused_text(door, &mut browser, &open, &answer).await
    }

    async fn refused_text(
        &mut self,
        door: Door,
        browser: &mut Browser,
        open: &Open,
        answer: &str,
    ) -> (String, String) {
        let before = browser.jar.get(SESSION).cloned();
        let form = [("name", "x"), ("credential", answer)];
        let sent = browser.submit_from(&open.page, door.addresses().1, &form).await;
        assert_eq!(sent.status, 401, "{door:?}: {}", sent.text());
        assert_eq!(browser.jar.get(SESSION), before.as_ref(), "{door:?}: no session begins");
        let reason = self.next_reason().await;
        let page = sent.text();
        // The page goes on with a new challenge.
        let (old, new) = (&open.options["publicKey"], &options(&page)["publicKey"]);
        assert_ne!(old["challenge"], new["challenge"], "{door:?}: {page}");
        (reason, complaint(&page))
    }

    /// The reason of the next refusal in the log.
    async fn next_reason(&mut self) -> String {
        let seen = Cell::new(0);
        let next = |line: &super::support::log::Line| {
            let reason = reason(line)?;
            seen.set(seen.get() + 1);
            (seen.get() > self.refused).then_some(reason)
        };
        let found = self.gateway.log.wait_for("a refused key", next).await;
        self.refused += 1;
        found
    }

    /// The rows that say who gets in.
    async fn held(&self) -> Vec<String> {
        let file = self.gateway.dir().join("data/accounts.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).read_only(true);
        let mut database = SqliteConnection::connect_with(&options).await.unwrap();
        let mut held = Vec::new();
        for table in TABLES {
            let names = AssertSqlSafe(format!("SELECT name FROM pragma_table_info('{table}')"));
            let names: Vec<String> =
                sqlx::query_scalar(names).fetch_all(&mut database).await.unwrap();
            assert!(!names.is_empty(), "no table {table}");
            let quoted: Vec<_> = names.iter().map(|name| format!("quote({name})")).collect();
            let rows = format!("SELECT {} AS row FROM {table}", quoted.join(" || ' ' || "));
            let rows = sqlx::query(AssertSqlSafe(rows)).fetch_all(&mut database).await.unwrap();
            held.extend(rows.iter().map(|row| format!("{table} {}", row.get::<String, _>("row"))));
        }
        held.sort();
        held
    }

    /// The app heard nothing, and the honest key still works.
    async fn end(mut self, held: Vec<String>) {
        assert_eq!(self.held().await, held, "a refused answer changed what is stored");
        self.app.barrier().await;
        assert_eq!(self.app.requests(self.mark).len(), 0, "the app was asked");
        let mut browser = Browser::new(&self.gateway);
        let open = Self::open(Door::Passkey, &mut browser).await;
        self.key.counter += 1000;
        let answer = self.answer(Door::Passkey, &open, &Signed(|_, _| ())).to_string();
        let form = [("credential", answer.as_str())];
        let done = browser.submit_from(&open.page, "/_auth/passkey", &form).await;
        assert_eq!(done.status, 303, "the honest key works: {}", done.text());
        assert!(browser.jar.contains_key(SESSION));
    }
}

/// Returns the error message of a page.
fn complaint(page: &str) -> String {
    let said = html::by_id(page, "problem").or_else(|| html::by_id(page, "key-problem"));
    said.unwrap_or_else(|| panic!("the page says nothing: {page}"))
}
