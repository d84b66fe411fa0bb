//! Backups of the embedded accounts: whole although the gateway writes, restored only while none
//! runs, and never over anything.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection};

use super::support::client::Browser;
use super::support::gateway::{Gateway, Plan};
use super::support::servers::PostgresServer;
use super::support::upstream::Recorder;
use super::support::visitor;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// Runs a command that must fail with these words.
fn refused(gateway: &Gateway, args: &[&str], words: &str) {
    let output = gateway.command(args, "");
    assert_eq!(output.status.code(), Some(1), "{args:?}: {}", said(&output));
    assert!(said(&output).contains(words), "{args:?}: {}", said(&output));
}

fn done(gateway: &Gateway, args: &[&str]) -> Output {
    let output = gateway.command(args, "");
    assert!(output.status.success(), "{args:?}: {}", said(&output));
    output
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

async fn count(file: &Path, table: &str) -> u64 {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file).immutable(true);
    let mut database = SqliteConnection::connect_with(&options).await.unwrap();
    let statement = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    let rows: i64 = sqlx::query_scalar(statement).fetch_one(&mut database).await.unwrap();
    rows.try_into().unwrap()
}

/// Writes rows to the audit log until told to stop; how many.
async fn write_on(gateway: &Gateway, stop: &AtomicBool) -> u32 {
    let mut rows = 0;
    while !stop.load(Ordering::Relaxed) {
        let form = [("username", "nobody"), ("password", "not-a-password-at-all")];
        Browser::new(gateway).submit("/_auth/login", &form).await;
        rows += 1;
    }
    rows
}

async fn end(gateway: &Gateway) {
    gateway.signal("TERM");
    assert!(gateway.ended().await.success());
}

/// Files in `data` that a restore was still writing.
fn incoming(data: &Path) -> Vec<String> {
    std::fs::read_dir(data)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("incoming"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_made_while_serving_brings_the_accounts_back() {
    let app = Recorder::start().await;
    let mut gateway = Gateway::start(&Plan::new(&app)).await;
    let (mut browser, mut person) = visitor::signed_in(&gateway, "alice").await;
    done(&gateway, &["user", "ticket", "alice"]);
    let kept = gateway.dir().join("kept/one");
    let dir = kept.to_str().unwrap().to_owned();

    let stop = Arc::new(AtomicBool::new(false));
    let backing_up = async {
        let config = gateway.config.display().to_string();
        let args = ["backup", &dir, "--json", "--config", &config].map(str::to_owned);
        let run = move || super::support::gateway::run(&args.each_ref().map(|a| &**a), "");
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        stop.store(true, Ordering::Relaxed);
        output
    };
    let (output, written) = tokio::join!(backing_up, write_on(&gateway, &stop));
    assert!(output.status.success() && written > 0, "{}", said(&output));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let (rows, copy) = (&told["backup"]["rows"], kept.join("accounts.db"));
    assert_eq!(rows["accounts"], 1);
    for table in ["accounts", "audit", "recovery_codes"] {
        assert_eq!(rows[table], count(&copy, table).await, "{table}");
    }
    assert_eq!(told["backup"]["audit_row"], rows["audit"], "the log verified to its last row");
    assert_eq!(told["backup"]["audit_intact"], true);
    assert_eq!(mode(&kept), 0o700);
    for entry in std::fs::read_dir(&kept).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }

    gateway.add_user("bob");
    refused(&gateway, &["backup", &dir], "is not empty");
    refused(&gateway, &["restore", &dir, "--replace"], "in use by another process");
    end(&gateway).await;
    refused(&gateway, &["restore", &dir], "--replace");
    assert!(said(&done(&gateway, &["user", "list"])).contains("bob"), "nothing was changed");
    let restored = said(&done(&gateway, &["restore", &dir, "--replace"]));
    assert!(restored.contains("before-restore-"), "{restored}");
    assert_eq!(count(&copy, "tickets").await, 1);
    let data = gateway.dir().join("data");
    let restored = data.join("accounts.db");
    assert_eq!(count(&restored, "tickets").await, 0, "no link of the backup works");
    let ends = "ended_sessions WHERE subject = 'all'";
    assert_eq!(count(&restored, ends).await, 1, "no session of the backup's time lives");

    gateway.start_again().await;
    let users = said(&done(&gateway, &["user", "list"]));
    assert!(users.contains("alice") && !users.contains("bob"), "{users}");
    done(&gateway, &["audit", "verify"]);
    browser = browser.at(&gateway);
    assert_eq!(browser.fetch("/app").await.status, 401, "a restore revives no session");
    assert_eq!(incoming(&data), Vec::<String>::new());
    let mut browser = Browser::new(&gateway);
    visitor::prove_password(&mut browser, "alice").await;
    let code = person.codes.next().await;
    assert_eq!(browser.submit("/_auth/otp", &[("code", &code)]).await.status, 303);
    assert_eq!(browser.fetch("/app").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_restored_whole_with_its_own_keys_or_not_at_all() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    gateway.add_user("alice");
    let (whole, bare) = (gateway.dir().join("whole"), gateway.dir().join("bare"));
    // An empty directory may be a mount point, which stays.
    std::fs::create_dir(&bare).unwrap();
    let inode = std::fs::metadata(&bare).unwrap().ino();
    let dir = whole.to_str().unwrap().to_owned();
    done(&gateway, &["backup", &dir]);
    let apart = done(&gateway, &["backup", bare.to_str().unwrap(), "--without-keys"]);
    assert!(said(&apart).contains("is not in the backup"), "{}", said(&apart));
    assert!(!bare.join("keys.toml").exists());
    assert_eq!((mode(&bare), std::fs::metadata(&bare).unwrap().ino()), (0o700, inode));
    end(&gateway).await;

    let data = gateway.dir().join("data");
    std::fs::rename(&data, gateway.dir().join("lost")).unwrap();
    refused(&gateway, &["restore", bare.to_str().unwrap()], "put it back first");
    let other = data.join("keys.toml");
    std::fs::create_dir(&data).unwrap();
    super::support::gateway::make_keys(&other);
    refused(&gateway, &["restore", &dir], "it was made with other keys or was changed");
    std::fs::remove_file(&other).unwrap();
    let (file, manifest) = (whole.join("accounts.db"), whole.join("backup.json"));
    let good = std::fs::read(&file).unwrap();
    let mut changed = good.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    std::fs::write(&file, &changed).unwrap();
    refused(&gateway, &["restore", &dir], "was changed after the backup was made");
    std::fs::write(&file, &good).unwrap();
    let description = std::fs::read(&manifest).unwrap();
    std::fs::remove_file(&manifest).unwrap();
    refused(&gateway, &["restore", &dir], "no complete backup");
    std::fs::write(&manifest, description).unwrap();
    assert!(!data.join("accounts.db").exists(), "a refused restore leaves no database");

    done(&gateway, &["restore", &dir]);
    assert_eq!((mode(&data.join("accounts.db")), mode(&other)), (0o600, 0o600));
    assert!(said(&done(&gateway, &["user", "list"])).contains("alice"));
    done(&gateway, &["audit", "verify"]);

    let entries = || std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path());
    let mut before: Vec<_> = entries().collect();
    let good = std::fs::read_to_string(&gateway.config).unwrap();
    let elsewhere = format!("{good}\n[keys]\nfile = \"missing/keys.toml\"\n");
    std::fs::write(&gateway.config, elsewhere).unwrap();
    refused(&gateway, &["restore", "--replace", &dir], "missing/keys.toml.incoming");
    let mut after: Vec<_> = entries().collect();
    before.sort();
    after.sort();
    assert_eq!(before, after, "a restore that fails changes nothing");
}

/// Changes the database of a backup and describes the result, as someone without the keys can.
async fn edit(dir: &Path, statement: &'static str) {
    let file = dir.join("accounts.db");
    let before = super::support::sha256_hex(&std::fs::read(&file).unwrap());
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(&file)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Delete);
    let mut database = SqliteConnection::connect_with(&options).await.unwrap();
    assert_eq!(sqlx::query(statement).execute(&mut database).await.unwrap().rows_affected(), 1);
    database.close().await.unwrap();
    let after = super::support::sha256_hex(&std::fs::read(&file).unwrap());
    let manifest = dir.join("backup.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    assert!(before != after && text.contains(&before), "{text}");
    std::fs::write(&manifest, text.replace(&before, &after)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_was_edited_without_the_keys_is_refused() {
    let app = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&app)).await;
    gateway.add_user("alice");
    let kept = gateway.dir().join("kept");
    let dir = kept.to_str().unwrap().to_owned();
    done(&gateway, &["backup", &dir, "--without-keys"]);
    end(&gateway).await;
    let (file, manifest) = (kept.join("accounts.db"), kept.join("backup.json"));
    let (good, described) = (std::fs::read(&file).unwrap(), std::fs::read(&manifest).unwrap());
    let changed =
        "it was made with other keys or was changed: the signature in backup.json is wrong";

    edit(&kept, "UPDATE accounts SET group_names = '[\"admins\"]' WHERE name = 'alice'").await;
    refused(&gateway, &["restore", &dir, "--replace"], changed);
    std::fs::write(&file, &good).unwrap();
    let mut unsigned: Value = serde_json::from_slice(&described).unwrap();
    assert!(unsigned.as_object_mut().unwrap().remove("signature").is_some());
    std::fs::write(&manifest, unsigned.to_string()).unwrap();
    refused(&gateway, &["restore", &dir, "--replace"], changed);
    unsigned["format"] = 1.into();
    std::fs::write(&manifest, unsigned.to_string()).unwrap();
    refused(&gateway, &["restore", &dir, "--replace"], "made by an older version");
    std::fs::write(&manifest, &described).unwrap();

    // A former key of the ring still vouches for it; one that is gone does not.
    let keys = gateway.dir().join("data/keys.toml");
    let before = std::fs::read(&keys).unwrap();
    let rotate = ["keys", "rotate", keys.to_str().unwrap()];
    super::support::gateway::done(&rotate, "");
    assert_ne!(std::fs::read(&keys).unwrap(), before);
    done(&gateway, &["restore", &dir, "--replace"]);
    assert!(said(&done(&gateway, &["user", "list"])).contains("alice"));
    done(&gateway, &["audit", "verify"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restore_of_postgresql_no_former_link_works() {
    let (app, postgres) = (Recorder::start().await, PostgresServer::shared());
    let database = postgres.database().await;
    let keys = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(&app).extra(&format!("[accounts]\ndatabase = \"{database}\"\n"));
    plan.keys = Some(keys.path().join("keys.toml"));
    super::support::gateway::make_keys(plan.keys.as_ref().unwrap());
    let gateway = Gateway::start(&plan).await;
    let link = super::tickets::link(&super::tickets::made(&gateway, &["user", "add", "alice"]));
    let opens = async |link: &str| {
        let mut browser = Browser::new(&gateway);
        browser.get(link).await;
        browser.get("/_auth/setup").await.status
    };
    assert_eq!(opens(&link).await, 200);
    let alone = gateway.command(&["session", "end", "--links"], "");
    assert_eq!(alone.status.code(), Some(2), "not alone: {}", said(&alone));
    done(&gateway, &["session", "end", "--all"]);
    assert_eq!(opens(&link).await, 200, "the end of all sessions leaves links");

    // What the documentation says to run after a restore.
    let output = done(&gateway, &["session", "end", "--all", "--links", "--json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told, serde_json::json!({ "sessions_ended": 0, "links_removed": 1 }));
    assert_eq!(opens(&link).await, 401);
    let rows = done(&gateway, &["audit", "list", "--event", "tickets_removed", "--json"]);
    let rows: Value = serde_json::from_slice(&rows.stdout).unwrap();
    assert_eq!((&rows[0]["detail"]["links"], &rows[0]["actor"]), (&1.into(), &"operator".into()));
    let new = super::tickets::link(&super::tickets::made(&gateway, &["user", "ticket", "alice"]));
    assert_eq!(opens(&new).await, 200);
}

#[tokio::test]
async fn accounts_in_postgresql_are_left_to_its_own_tools() {
    let (app, postgres) = (Recorder::start().await, PostgresServer::shared());
    let database = postgres.database().await;
    let keys = tempfile::tempdir().unwrap();
    let mut plan = Plan::new(&app).extra(&format!("[accounts]\ndatabase = \"{database}\"\n"));
    plan.keys = Some(keys.path().join("keys.toml"));
    super::support::gateway::make_keys(plan.keys.as_ref().unwrap());
    let gateway = Gateway::start(&plan).await;
    let dir = gateway.dir().join("backup");
    refused(&gateway, &["backup", dir.to_str().unwrap()], "pg_dump");
    assert!(!dir.exists());
}
