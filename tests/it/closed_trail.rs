//! Acts whose row in the audit trail cannot be written: each does what the table in `docs/audit.md`
//! says, and says what it did.

use sqlx::{Connection as _, Executor as _, SqliteConnection};

use super::keys::register;
use super::portal::tour::{self, PORTAL, Tour, WIKI};
use super::support::authenticator::Authenticator;
use super::support::client::{self, Browser};
use super::support::gateway::{Gateway, PASSWORD, Plan};
use super::support::upstream::Recorder;
use super::support::visitor;
use super::support::within;

/// No row can be begun.
const CLOSED: &str = "CREATE TRIGGER closed BEFORE UPDATE ON audit_head \
                      BEGIN SELECT RAISE(ABORT, 'the trail is closed'); END";
/// A row fails after it was begun.
const FAILING: &str = "CREATE TRIGGER closed BEFORE INSERT ON audit \
                       BEGIN SELECT RAISE(ABORT, 'the trail is closed'); END";

/// The rows of the table: act, by whom, with the trail closed, with the row failing.
fn table() -> Vec<[String; 4]> {
    let docs = include_str!("../../docs/audit.md");
    let section = docs.split("## When the audit log cannot be written").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect();
        cells.try_into().unwrap()
    })
    .collect()
}

struct Trail {
    gateway: Gateway,
    database: SqliteConnection,
    _app: Recorder,
}

/// The cell of a person's act in a column of the table.
fn says(act: &str, column: usize) -> String {
    let row = table().into_iter().find(|row| row[1] == "person" && row[0] == act);
    row.unwrap_or_else(|| panic!("the table has no {act:?}"))[column].clone()
}

impl Trail {
    async fn new() -> Self {
        Self::with(|plan, _app| plan).await
    }

    async fn with(shape: impl FnOnce(Plan, &Recorder) -> Plan) -> Self {
        let app = Recorder::start().await;
        let gateway = Gateway::start(&shape(Plan::new(&app), &app)).await;
        let file = gateway.config.parent().unwrap().join("data/accounts.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
        let database = SqliteConnection::connect_with(&options).await.unwrap();
        Self { gateway, database, _app: app }
    }

    async fn break_by(&mut self, trigger: &'static str) {
        self.database.execute(trigger).await.unwrap();
        if trigger == CLOSED {
            self.noticed(503).await;
        }
    }

    async fn mend(&mut self) {
        self.database.execute("DROP TRIGGER closed").await.unwrap();
        self.noticed(200).await;
    }

    /// The gateway keeps what it found for a second.
    async fn noticed(&self, status: u16) {
        let asking = async {
            while client::admin(&self.gateway, "/readyz").await.status != status {
                tokio::task::yield_now().await;
            }
        };
        within(client::PATIENCE, "readiness", asking).await;
    }

    /// Runs a command: exit code, output, errors.
    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let input = if args.contains(&"--password-stdin") { PASSWORD } else { "" };
        let output = self.gateway.command(args, input);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    fn ok(&self, args: &[&str]) -> String {
        let (code, out, said) = self.run(args);
        assert_eq!(code, 0, "{args:?}: {said}");
        out
    }

    /// Ids and names of a user's keys.
    fn keys(&self, name: &str) -> Vec<(String, String)> {
        let all: Vec<serde_json::Value> =
            serde_json::from_str(&self.ok(&["user", "keys", name, "--json"])).unwrap();
        let text = |key: &serde_json::Value, field| key[field].as_str().unwrap().to_owned();
        all.iter().map(|key| (text(key, "id"), text(key, "name"))).collect()
    }

    /// All there is to see of accounts, tokens and sessions, and details of this user, who may be gone.
    fn state(&self, name: &str) -> String {
        let (_, details, _) = self.run(&["user", "show", name, "--json"]);
        self.ok(&["user", "list", "--json"])
            + &details
            + &self.ok(&["session", "list", "--json"])
            + &self.ok(&["token", "list", "--json"])
    }
}

/// The arguments of an operator's act at `name`, and what has to be there before.
fn act(trail: &Trail, act: &str, name: &str) -> Vec<String> {
    let session_of = || {
        let all: serde_json::Value =
            serde_json::from_str(&trail.ok(&["session", "list", "--json", "--user", name]))
                .unwrap();
        all[0]["id"].as_str().unwrap().to_owned()
    };
    let token_of = || {
        let all: serde_json::Value =
            serde_json::from_str(&trail.ok(&["token", "list", "--json", "--user", name])).unwrap();
        all[0]["id"].as_str().unwrap().to_owned()
    };
    let key_of = || {
        let all: serde_json::Value =
            serde_json::from_str(&trail.ok(&["user", "keys", name, "--json"])).unwrap();
        all[0]["id"].as_str().unwrap().to_owned()
    };
    let words: Vec<&str> = match act {
        "`user add`" => vec!["user", "add", "newcomer", "--password-stdin"],
        "`user enable`" => vec!["user", "enable", name],
        "`user link`" => vec!["user", "link", name, "--app", "main", "--subject", "s-1"],
        "`token create`" => vec!["token", "create", "--user", name, "--app", "main"],
        "`user ticket`" => vec!["user", "ticket", name],
        "`user set-password`" => vec!["user", "set-password", name, "--password-stdin"],
        "`user lift-suspension`" => vec!["user", "lift-suspension", name],
        "`user set`" => {
            let words = "--email new@example.com --display-name New --add-group ops";
            ["user", "set", name].into_iter().chain(words.split(' ')).collect()
        }
        "`user set --remove-group` alone" => vec!["user", "set", name, "--remove-group", "staff"],
        "`user disable`" => vec!["user", "disable", name],
        "`user remove`" => vec!["user", "remove", name],
        "`user unlink`" => vec!["user", "unlink", name, "--app", "main"],
        "`user reset-2fa`" => vec!["user", "reset-2fa", name, "--reason", "lost"],
        "`user remove-key`" => {
            let words = ["user", "remove-key", name, &key_of(), "--reason", "lost"];
            return words.map(str::to_owned).into();
        }
        "`token revoke`" => return ["token".into(), "revoke".into(), token_of()].into(),
        "`session end ID`" => return ["session".into(), "end".into(), session_of()].into(),
        "`session end --user`" => vec!["session", "end", "--user", name],
        "`session end --user --links`" => vec!["session", "end", "--user", name, "--links"],
        "`session end --all`" => vec!["session", "end", "--all"],
        "`session end --all --links`" => vec!["session", "end", "--all", "--links"],
        other => panic!("the table names an act that is not tried: {other}"),
    };
    words.into_iter().map(str::to_owned).collect()
}

/// Sets up what the act needs.
async fn before(trail: &mut Trail, act: &str, name: &str) {
    match act {
        "`user lift-suspension`" => {
            let guessed = sqlx::query(
                "UPDATE authenticators SET failures = 3 \
                 WHERE account_id = (SELECT id FROM accounts WHERE name = $1)",
            );
            guessed.bind(name).execute(&mut trail.database).await.unwrap();
        }
        "`user enable`" => drop(trail.ok(&["user", "disable", name])),
        "`user unlink`" => {
            drop(trail.ok(&["user", "link", name, "--app", "main", "--subject", name]));
        }
        "`token revoke`" => drop(trail.ok(&["token", "create", "--user", name, "--app", "main"])),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_act_without_its_row_does_and_says_what_the_table_says() {
    let mut trail = Trail::new().await;
    let acts: Vec<_> = table().into_iter().filter(|row| row[1] == "operator").collect();
    assert!(acts.len() > 10, "{acts:?}");
    for (column, trigger) in [(2, CLOSED), (3, FAILING)] {
        for (number, row) in acts.iter().enumerate() {
            let name = format!("user{column}x{number}");
            let (mut browser, _) = visitor::signed_in(&trail.gateway, &name).await;
            if row[0] == "`user remove-key`" {
                let mut key = Authenticator::default();
                let path = "/_auth/account/keys/new";
                let added = register(&mut browser, &mut key, path, "Blue").await;
                assert_eq!(added.status, 303, "{}", added.text());
            }
            before(&mut trail, &row[0], &name).await;
            let words = act(&trail, &row[0], &name);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let state = trail.state(&name);
            trail.break_by(trigger).await;
            let (code, out, said) = trail.run(&words);
            trail.mend().await;
            let (what, changed) = (&row[column], trail.state(&name) != state);
            let label = format!("{} with {what:?}: {code} {out} {said}", row[0]);
            assert_eq!(code, 1, "{label}");
            assert!(!out.contains("/_auth/setup") && !out.contains("vst_"), "{label}");
            let expected = match what.as_str() {
                "not begun" => {
                    assert!(!changed && said.contains("nothing was changed"), "{label}");
                    "the trail is closed"
                }
                "undone" => {
                    assert!(!changed && said.contains("nothing was changed"), "{label}");
                    "undone, because"
                }
                "the link is not shown" => "the link is not shown",
                "done, the link is not shown" | "done, and says so" => {
                    assert!(
                        changed || row[0].contains("lift") || row[0].contains("set-password"),
                        "{label}"
                    );
                    "done, but not recorded in the audit log"
                }
                other => panic!("the table says {other:?}"),
            };
            assert!(said.contains(expected), "{label}");
            if row[0].starts_with("`session end") {
                let left = trail.ok(&["session", "list", "--json", "--user", &name]);
                assert_eq!(left.trim(), "[]", "{label}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_persons_act_without_its_row_does_what_the_table_says() {
    let mut trail = Trail::new().await;
    for (column, trigger) in [(2, CLOSED), (3, FAILING)] {
        let says = |act: &str| says(act, column);
        let name = format!("person{column}");
        let (mut browser, mut person) = visitor::signed_in(&trail.gateway, &name).await;
        let (mut leaving, _) = visitor::signed_in(&trail.gateway, &format!("leaver{column}")).await;
        let mut other = Browser::new(&trail.gateway);
        assert_eq!(visitor::sign_in(&mut other, &mut person).await.status, 303);
        let code = person.codes.next().await;
        trail.break_by(trigger).await;
        assert!(says("signing out").starts_with("done"));
        let page = leaving.get("/_auth/logout").await;
        let out = leaving.submit_from(&page, "/_auth/logout", &[]).await;
        assert!([200, 303].contains(&out.status), "{}", out.text());
        assert_eq!(leaving.fetch("/x").await.status, 401, "signed out");
        assert!(says("ending other sessions").starts_with("done"));
        let page = browser.get("/_auth/account").await;
        let others = [("id", "others")];
        let ended = browser.submit_from(&page, "/_auth/account/sessions", &others).await;
        assert_eq!(ended.status, 303, "{}", ended.text());
        assert_eq!(other.fetch("/x").await.status, 401, "ended from another browser");
        assert!(says("a new password").starts_with(if column == 2 { "503" } else { "done" }));
        let new = "eleven-blue-lamps-at-noon";
        let form = [("current", PASSWORD), ("password", new)];
        let changed = browser.submit("/_auth/account/password", &form).await;
        trail.mend().await;
        assert_eq!(changed.status, if column == 2 { 503 } else { 303 }, "{}", changed.text());
        let mut again = Browser::new(&trail.gateway);
        let valid = if column == 2 { PASSWORD } else { new };
        let answer =
            again.submit("/_auth/login", &[("username", &name), ("password", valid)]).await;
        assert_eq!(answer.status, 303, "the password that was said to hold holds");
        trail.break_by(trigger).await;
        assert!(says("signing in").starts_with("503"));
        let refused = again.submit("/_auth/otp", &[("code", &code)]).await;
        trail.mend().await;
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert!(!again.jar.contains_key(visitor::SESSION));
        let words = "security event is missing from the audit log";
        trail.gateway.log.wait_for_words(words).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_keys_and_a_hand_over_without_their_rows_do_what_the_table_says() {
    let mut trail = Trail::with(tour::with_portal).await;
    for (column, trigger) in [(2, CLOSED), (3, FAILING)] {
        let name = format!("keeper{column}");
        let mut tour = Tour::new(&[&trail.gateway]);
        let mut person = tour.join(&trail.gateway, &name).await;
        let mut browser = tour.at(PORTAL, None);
        let (mut blue, mut red) = (Authenticator::default(), Authenticator::default());
        let page = "/_auth/account/keys/new";
        assert_eq!(register(&mut browser, &mut blue, page, "Blue").await.status, 303);
        // With a key, another change needs a proof by key or recovery code.
        visitor::step_up(&mut browser, &mut person).await;
        let keys = trail.keys(&name);
        let one = format!("/_auth/account/keys/{}", keys[0].0);
        let list = browser.get("/_auth/account/keys").await;
        tour.keep(browser.clone());
        trail.break_by(trigger).await;
        let handed = tour.open(WIKI, 0, "/").await;
        let mut statuses = [0; 3];
        statuses[0] = browser.submit_from(&list, &one, &[("name", "Green")]).await.status;
        statuses[1] = register(&mut browser, &mut red, page, "Red").await.status;
        statuses[2] = browser.submit_from(&list, &one, &[("remove", "1")]).await.status;
        trail.mend().await;
        for act in ["adding a key", "renaming a key", "removing a key"] {
            assert_eq!(says(act, column), if column == 2 { "503" } else { "done, logged" });
        }
        let left: Vec<_> = trail.keys(&name).into_iter().map(|(_, name)| name).collect();
        let expected = if column == 2 { ([503; 3], "Blue") } else { ([303; 3], "Red") };
        assert_eq!((statuses, left), (expected.0, vec![expected.1.to_owned()]));
        assert_eq!(says("a hand-over from the portal", column), "503, the ticket is used up");
        assert_eq!((handed.host.as_str(), handed.answer.status), (WIKI, 503), "{handed:#?}");
        assert!(!tour.jars[WIKI].contains_key(visitor::SESSION));
        assert!(handed.target.starts_with("/_auth/continue?ticket="), "{:#?}", handed.hops);
        assert_eq!(tour.get(WIKI, 0, &handed.target).await.status, 400, "used up");
    }
}
