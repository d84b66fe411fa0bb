//! What a row of the audit trail costs: rows appended to the trail in a second, and rows of the same
//! columns put into a table beside it, by turns in one run.
//!
//! `append sqlite FILE` or `append postgres URL`, then seconds for each turn and rounds.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::{Any, AnyPool, Executor as _};
use vestibule::auth::audit::NewRecord;
use vestibule::auth::keys::{KEY_LEN, Key, KeyMaterial, KeyRing};
use vestibule::auth::ports::Audit as _;
use vestibule::base::clock::{Clock as _, SystemClock};
use vestibule::base::secret::Secret;
use vestibule::store::sql::{SqlStore, SqlTarget};
use zeroize::Zeroizing;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str = "usage: append sqlite FILE | postgres URL, SECONDS ROUNDS";
/// Who writes at once.
const WRITERS: [u64; 2] = [1, 8];
/// The table beside the trail: its columns and its indexes, and no chain.
const TABLE: [&str; 4] = [
    "CREATE TABLE bare (seq BIGINT NOT NULL PRIMARY KEY, at BIGINT NOT NULL, event TEXT NOT NULL, \
     outcome TEXT NOT NULL, factor TEXT, account_id TEXT, name TEXT, actor TEXT NOT NULL, \
     operator TEXT, address TEXT, user_agent TEXT, reference TEXT, node TEXT NOT NULL, \
     detail TEXT NOT NULL, previous TEXT NOT NULL, head TEXT NOT NULL, hash TEXT NOT NULL)",
    "CREATE INDEX bare_account ON bare (account_id, seq)",
    "CREATE INDEX bare_name ON bare (name, seq)",
    "CREATE INDEX bare_time ON bare (at)",
];
const INSERT: &str = "INSERT INTO bare (seq, at, event, outcome, factor, account_id, name, actor, \
                      operator, address, user_agent, reference, node, detail, previous, head, hash) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, NULL, $9, $10, $11, $12, $13, $14, $14, $14)";

/// Both ways to write a row.
struct Bench {
    trail: SqlStore,
    keys: KeyRing,
    bare: AnyPool,
    next: AtomicU64,
    clock: SystemClock,
}

#[derive(Clone, Copy)]
enum Way {
    Trail,
    Bare,
}

fn keys() -> Result<KeyRing, Failure> {
    let key = |n: u8| Key { id: format!("k{n}"), bytes: Zeroizing::new([n; KEY_LEN]) };
    let material = KeyMaterial {
        token: vec![key(1)],
        data: vec![key(2)],
        pepper: vec![key(3)],
        assertion: vec![],
    };
    Ok(KeyRing::new(&material)?)
}

fn row() -> NewRecord {
    NewRecord {
        at: SystemClock::new().now(),
        event: "signed_in".to_owned(),
        outcome: "done".to_owned(),
        factor: Some("totp".to_owned()),
        account: Some("0123456789abcdef0123456789abcdef".to_owned()),
        name: Some("alice".to_owned()),
        actor: "person".to_owned(),
        operator: None,
        address: Some("192.0.2.7".to_owned()),
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0".to_owned()),
        reference: Some("0123456789abcdef01234567".to_owned()),
        node: "gate-1".to_owned(),
        detail: r#"{"app":"app","new_browser":false,"session":"0123456789abcdef"}"#.to_owned(),
    }
}

/// A pool as the store's own, on the same server or on a file of its own beside the store's.
async fn bare(kind: &str, place: &str) -> Result<AnyPool, Failure> {
    sqlx::any::install_default_drivers();
    let url =
        if kind == "sqlite" { format!("sqlite://{place}.bare?mode=rwc") } else { place.to_owned() };
    let sqlite = kind == "sqlite";
    let options = AnyPoolOptions::new().max_connections(8).after_connect(move |connection, _| {
        Box::pin(async move {
            if sqlite {
                let settings = "PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 10000; \
                                PRAGMA synchronous = FULL";
                connection.execute(settings).await?;
            }
            Ok(())
        })
    });
    let pool = options.connect(&url).await?;
    for statement in TABLE {
        pool.execute(statement).await?;
    }
    Ok(pool)
}

impl Bench {
    async fn open(kind: &str, place: &str) -> Result<Self, Failure> {
        let target = match kind {
            "sqlite" => SqlTarget::Embedded(Path::new(place).to_owned()),
            "postgres" => SqlTarget::Postgres(Secret::new(place.to_owned())),
            _ => return Err(USAGE.into()),
        };
        let trail = SqlStore::open(target).await?;
        let (next, clock) = (AtomicU64::new(0), SystemClock::new());
        Ok(Self { trail, keys: keys()?, bare: bare(kind, place).await?, next, clock })
    }

    async fn insert(&self) -> Result<(), Failure> {
        let new = row();
        let seq = i64::try_from(self.next.fetch_add(1, Ordering::Relaxed))?;
        sqlx::query::<Any>(INSERT)
            .bind(seq)
            .bind(i64::try_from(new.at.as_millis())?)
            .bind(new.event)
            .bind(new.outcome)
            .bind(new.factor)
            .bind(new.account)
            .bind(new.name)
            .bind(new.actor)
            .bind(new.address)
            .bind(new.user_agent)
            .bind(new.reference)
            .bind(new.node)
            .bind(new.detail)
            .bind("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
            .execute(&self.bare)
            .await?;
        Ok(())
    }

    async fn write(&self, way: Way) -> Result<(), Failure> {
        match way {
            Way::Trail => drop(self.trail.append(&row(), &self.keys).await?),
            Way::Bare => self.insert().await?,
        }
        Ok(())
    }

    /// Rows in a second.
    async fn rate(
        self: &Arc<Self>,
        way: Way,
        writers: u64,
        time: Duration,
    ) -> Result<f64, Failure> {
        let begun = self.clock.monotonic();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..writers {
            let bench = Arc::clone(self);
            tasks.spawn(async move {
                let mut rows = 0_u32;
                while bench.clock.monotonic().saturating_sub(begun) < time {
                    bench.write(way).await?;
                    rows += 1;
                }
                Ok::<_, Failure>(rows)
            });
        }
        let mut rows = 0_u32;
        while let Some(done) = tasks.join_next().await {
            rows += done??;
        }
        Ok(f64::from(rows) / self.clock.monotonic().saturating_sub(begun).as_secs_f64())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [kind, place, seconds, rounds] = args.as_slice() else { return Err(USAGE.into()) };
    let (time, rounds) = (Duration::from_secs(seconds.parse()?), rounds.parse::<u32>()?);
    let bench = Arc::new(Bench::open(kind, place).await?);
    let mut out = std::io::stdout();
    for writers in WRITERS {
        let (mut trail, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let appended = bench.rate(Way::Trail, writers, time).await?;
            let inserted = bench.rate(Way::Bare, writers, time).await?;
            ratios.push(appended / inserted);
            trail.push(appended);
            bare.push(inserted);
        }
        let (trail, bare, ratio) = (median(trail), median(bare), median(ratios));
        writeln!(
            out,
            "{kind}, {writers} at once: {trail:.0} rows/s appended, {bare:.0} rows/s inserted, ratio {ratio:.2}"
        )?;
    }
    Ok(())
}
