//! `vestibule check --online`: what it finds, and that it leaves everything as it is.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use vestibule::base::secret::Secret;
use vestibule::store::sql::{SqlStore, SqlTarget};

use crate::support::certs::Certificates;
use crate::support::gateway::{Gateway, Plan, done, make_keys};
use crate::support::program::{Run, Site, run};
use crate::support::servers::{PostgresServer, RedisServer};
use crate::support::upstream::Recorder;

/// The result for embedded stores and one app, with nothing more to say.
const NO_NOTES: &str = "\n\nonline: accounts: ok\nonline: sessions: ok\nonline: keys: ok\n\
                        online: certificates: ok\nonline: app main: ok\nonline: everything answers";
const LISTENER: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\nkind = \"http\"\n";

fn app(upstream: &str, more: &str) -> String {
    format!(
        "[[apps]]\nname = \"main\"\nhosts = [\"gw.test\"]\nupstreams = [\"{upstream}\"]\n{more}\n"
    )
}

/// Runs it on this configuration.
fn check(site: &Site, toml: &str) -> Run {
    let file = site.write("vestibule.toml", toml);
    run(&["check", "--online", "--config", file.to_str().unwrap()])
}

/// All there is in a directory, with mode, length and time of change; without that time for the
/// memory that readers of an SQLite database share, where each notes what it reads.
fn listing(dir: &Path) -> String {
    let mut all = String::new();
    let mut entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        let (path, about) = (entry.path(), entry.metadata().unwrap());
        let shared = path.extension().is_some_and(|ending| ending == "db-shm");
        let (mode, changed) =
            (about.permissions().mode(), if shared { 0 } else { about.mtime_nsec() });
        writeln!(all, "{} {mode:o} {changed} {}", path.display(), about.len()).unwrap();
        if about.is_dir() {
            all.push_str(&listing(&path));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_before_the_first_start_makes_no_file() {
    let upstream = Recorder::start().await;
    let site = Site::new();
    let toml = format!("data_dir = \"data\"\n{LISTENER}{}", app(&upstream.url(), ""));
    site.write("vestibule.toml", &toml);
    let before = listing(site.path());
    let done = run(&[
        "check",
        "--online",
        "--config",
        site.path().join("vestibule.toml").to_str().unwrap(),
    ]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    for store in ["the account database", "the session store"] {
        let note = format!(": {store} does not exist yet: the first start creates it");
        assert!(done.stdout.contains(&note), "{}", done.stdout);
    }
    assert!(done.stdout.contains("online: everything answers"), "{}", done.stdout);
    assert_eq!(listing(site.path()), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_of_embedded_stores_that_are_there_changes_no_file() {
    let upstream = Recorder::start().await;
    let gateway = Gateway::start(&Plan::new(&upstream)).await;
    let config = gateway.config.to_str().unwrap();
    let dir = gateway.config.parent().unwrap().join("data");
    let checked = done(&["check", "--online", "--config", config], "");
    assert!(checked.contains(NO_NOTES), "{checked}");

    gateway.signal("TERM");
    gateway.ended().await;
    let before = listing(&dir);
    assert!(before.contains("accounts.db"), "{before}");
    let checked = done(&["check", "--online", "--config", config], "");
    assert!(checked.contains(NO_NOTES), "{checked}");
    assert_eq!(listing(&dir), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_makes_no_table_and_tells_what_the_next_start_makes() {
    let upstream = Recorder::start().await;
    let postgres = PostgresServer::shared();
    let url = postgres.database().await;
    let site = Site::new();
    make_keys(&site.path().join("keys.toml"));
    let toml = format!(
        "data_dir = \"data\"\n{LISTENER}[keys]\nfile = \"keys.toml\"\n[accounts]\n\
         database = {{ file = \"url\" }}\n{}",
        app(&upstream.url(), "")
    );
    let secret = site.write("url", &url);
    std::fs::set_permissions(secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let checked = check(&site, &toml);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    assert!(checked.stdout.contains("the account database lacks "), "{}", checked.stdout);
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(connection.fetch_all(tables).await.unwrap().len(), 0);

    SqlStore::open(SqlTarget::Postgres(Secret::new(url.clone()))).await.unwrap();
    let last =
        "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)";
    let checked = check(&site, &toml);
    assert!(!checked.stdout.contains("lacks"), "{}", checked.stdout);
    connection.execute(last).await.unwrap();
    let checked = check(&site, &toml);
    assert!(checked.stdout.contains("the account database lacks 1 "), "{}", checked.stdout);

    let newer = "UPDATE _sqlx_migrations SET version = 4711 WHERE version = 2;\
                 UPDATE schema_floor SET version = 4711";
    connection.execute(newer).await.unwrap();
    let checked = check(&site, &toml);
    assert_eq!(checked.code, 1);
    assert!(checked.stderr.contains("created by another version"), "{}", checked.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_is_tried_with_tls_and_what_fails_is_told() {
    let site = Site::new();
    let made = |name: &str, names: &[&str], years| {
        let dir = site.path().join(name);
        std::fs::create_dir(&dir).unwrap();
        Certificates::make_for(&dir, names, years)
    };
    let good = made("good", &["127.0.0.1", "app.test"], 1975..4096);
    let other = made("other", &["other.test"], 1975..4096);
    let old = made("old", &["127.0.0.1"], 1975..1999);
    let young = made("young", &["127.0.0.1"], 4000..4096);
    let ca = |c: &Certificates| format!("upstream_ca = \"{}\"\n", c.authority.display());
    let of_good = ca(&good);
    let by_name = format!("{of_good}upstream_host = \"app.test\"\n");
    let by_wrong = format!("{of_good}upstream_host = \"wrong.test\"\n");
    let http2 = format!("{of_good}upstream_http2 = true\n");
    for (certificates, more, said) in [
        (&good, of_good.as_str(), None),
        (&good, &by_name, None),
        (&good, "", Some("from a CA that this machine does not trust: set upstream_ca")),
        (&good, &ca(&other), Some("is not from the CA in")),
        (&good, &by_wrong, Some("is not for wrong.test but for 127.0.0.1, app.test")),
        (&other, &ca(&other), Some("is not for 127.0.0.1 but for other.test: set upstream_host")),
        (&old, &ca(&old), Some("its certificate expired at 1999-01-01T00:00:00")),
        (&young, &ca(&young), Some("its certificate is not valid until 4000-01-01T00:00:00")),
        (&good, &http2, Some("it does not speak HTTP/2, which upstream_http2 asks for")),
    ] {
        let upstream = Recorder::start_tls(certificates).await;
        let mark = upstream.mark_of_all();
        let app = app(&upstream.url(), more);
        let checked = check(&site, &format!("data_dir = \"data\"\n{LISTENER}{app}"));
        let expected = said.unwrap_or("");
        assert!(checked.stderr.contains(expected), "{expected}: {}", checked.stderr);
        assert_eq!(checked.code, i32::from(said.is_some()), "{more}: {}", checked.stderr);
        assert_eq!(upstream.requests(mark).len(), 0, "it asks nothing");
    }
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let app = app(&format!("https://{}", plain.local_addr().unwrap()), &of_good);
    std::thread::spawn(move || {
        let (mut stream, _) = plain.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        // Open until the other side is done.
        std::io::copy(&mut stream, &mut std::io::sink()).unwrap_or_default();
    });
    let checked = check(&site, &format!("data_dir = \"data\"\n{LISTENER}{app}"));
    assert_eq!(checked.code, 1);
    assert!(checked.stderr.contains("does not speak TLS"), "{}", checked.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_ours_that_is_out_of_date_is_told() {
    let upstream = Recorder::start().await;
    let site = Site::new();
    for (years, said) in [
        (1975..1999, Some("expired at 1999-01-01T00:00:00")),
        (4000..4096, Some("is not valid until 4000-01-01T00:00:00")),
        (1975..4096, None),
    ] {
        let ours = Certificates::make_for(site.path(), &["gw.test"], years);
        let toml = format!(
            "data_dir = \"data\"\n{}[[certificates]]\ncert = \"{}\"\nkey = \"{}\"\n{}",
            LISTENER.replace("http", "https"),
            ours.cert.display(),
            ours.key.display(),
            app(&upstream.url(), "")
        );
        let checked = check(&site, &toml);
        assert_eq!(checked.code, i32::from(said.is_some()), "{}", checked.stderr);
        let expected = said.unwrap_or("");
        assert!(checked.stderr.contains(expected), "{expected}: {}", checked.stderr);
    }
}

/// A configuration with stores on servers.
fn on_servers(site: &Site, upstream: &str, redis: &str, postgres: &str) -> String {
    let keys = site.path().join("keys.toml");
    if !keys.exists() {
        make_keys(&keys);
    }
    format!(
        "data_dir = \"data\"\n{LISTENER}[keys]\nfile = \"keys.toml\"\n\
         [sessions]\nstore = \"redis\"\n[redis]\nurl = \"{redis}\"\n\
         [accounts]\ndatabase = \"{postgres}\"\n{}",
        app(upstream, "")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_store_refuses_is_told_with_the_line_to_write() {
    let upstream = Recorder::start().await;
    let (redis, postgres) = (RedisServer::start(), PostgresServer::shared());
    let url = postgres.database().await;
    let site = Site::new();
    let all = ["ACL", "SETUSER", "app", "on", ">secret", "~vestibule:*", "+@all"];
    redis.command::<()>(&all).await;
    let address = redis.url().replace("redis://", "redis://app:secret@");
    let toml = on_servers(&site, &upstream.url(), &address, &url);
    let checked = check(&site, &toml);
    assert_eq!(checked.code, 0, "{}", checked.stderr);

    redis.command::<()>(&["ACL", "SETUSER", "app", "-info"]).await;
    let checked = check(&site, &toml);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    assert!(checked.stdout.contains("ACL SETUSER app +info"), "{}", checked.stdout);

    let file = site.path().join("vestibule.toml");
    let told = run(&["check", "--online", "--json", "--config", file.to_str().unwrap()]);
    let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    let names: Vec<_> =
        told["checks"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(
        (told["ok"].as_bool(), names),
        (Some(true), vec!["accounts", "sessions", "keys", "app main"])
    );

    redis.command::<()>(&["ACL", "SETUSER", "app", "-zadd", "-evalsha"]).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let database = url.rsplit('/').next().unwrap().split('?').next().unwrap();
    let read_only = format!("ALTER DATABASE {database} SET default_transaction_read_only = on");
    connection.execute(AssertSqlSafe(read_only)).await.unwrap();
    let checked = check(&site, &toml);
    assert_eq!(checked.code, 1);
    for expected in ["ACL SETUSER app +zadd +evalsha", "it is read-only"] {
        assert!(checked.stderr.contains(expected), "{expected}: {}", checked.stderr);
    }
    assert!(!checked.stderr.contains("secret"), "{}", checked.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_serving_refuses_is_refused_by_the_check() {
    let site = Site::new();
    let (redis, postgres) = ("redis://127.0.0.1:1/0", "postgres://app@127.0.0.1:1/db");
    for (redis, postgres, key, expected) in [
        ("redis://app:12/3@127.0.0.1/0", postgres, "redis.url", "percent-encoded (%2F"),
        ("redis://app:hunter/2@127.0.0.1/0", postgres, "redis.url", "percent-encoded (%2F"),
        ("redis://app:a#b@127.0.0.1/0", postgres, "redis.url", "percent-encoded (%2F"),
        ("redis://127.0.0.1/first", postgres, "redis.url", "the database number"),
        (redis, "postgres://app:12/3@127.0.0.1/db", "accounts.database", "percent-encoded (%2F"),
        (redis, "postgres://app:a?b@127.0.0.1/db", "accounts.database", "percent-encoded (%2F"),
        (
            redis,
            "postgres://127.0.0.1/db?sslmode=verfy-full",
            "accounts.database",
            "sslmode is one",
        ),
    ] {
        let toml = on_servers(&site, "http://127.0.0.1:9", redis, postgres);
        let file = site.write("vestibule.toml", &toml);
        let checked = run(&["check", "--config", file.to_str().unwrap()]);
        assert_eq!(checked.code, 2, "{redis} {postgres}: {}", checked.stdout);
        let told =
            checked.stderr.contains(&format!(" {key}: ")) && checked.stderr.contains(expected);
        assert!(told, "{redis} {postgres}: {}", checked.stderr);
        assert!(!checked.stderr.contains("hunter"), "{}", checked.stderr);
    }
    let toml = on_servers(
        &site,
        "http://127.0.0.1:9",
        "redis://app:hunter%2F2@127.0.0.1/0",
        "postgres://app:hunter%2F2@127.0.0.1/db?sslmode=disable",
    );
    let file = site.write("vestibule.toml", &toml);
    let checked = run(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_somebody_who_does_not_exist_is_told() {
    let upstream = Recorder::start().await;
    let site = Site::new();
    let entry = |user: &str| {
        format!(
            "[[apps.tokens]]\nname = \"for {user}\"\nsha256 = \"{}\"\nuser = \"{user}\"\n",
            super::support::sha256_hex(user.as_bytes())
        )
    };
    let entries = [entry("alice"), entry("bob")].concat();
    let app = app(&upstream.url(), &format!("dialect = \"cellengine\"\n{entries}"));
    let file = site.write("vestibule.toml", &format!("data_dir = \"data\"\n{LISTENER}{app}"));
    let config = file.to_str().unwrap();
    done(&["user", "add", "alice", "--config", config], "");
    let checked = run(&["check", "--online", "--config", config]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    let said = [checked.stdout, checked.stderr].concat();
    assert!(said.contains("there is no user bob"), "{said}");
    assert!(!said.contains("there is no user alice"), "{said}");
}
