//! Two gateways on one Redis and one PostgreSQL.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::gateway::{self, Gateway, Plan};
use super::servers::{PostgresServer, RedisServer};
use super::upstream::Recorder;

/// Two gateways that share all there is.
pub(crate) struct Cluster {
    /// Sessions.
    pub(crate) redis: RedisServer,
    /// The app behind them.
    pub(crate) app: Recorder,
    /// A gateway.
    pub(crate) one: Gateway,
    /// Another one.
    pub(crate) two: Gateway,
    /// Their key file.
    pub(crate) keys: PathBuf,
    _postgres: Arc<PostgresServer>,
    _dir: TempDir,
}

impl Plan {
    /// Stores sessions in this Redis and accounts in this database, under this key file. Keys of
    /// `[accounts]` may follow in [`Plan::extra`].
    pub(crate) fn sharing(self, redis: &RedisServer, database: &str, keys: &Path) -> Self {
        let plan = self.extra(&format!(
            "[sessions]\nstore = \"redis\"\n[redis]\nurl = \"{}\"\n[accounts]\ndatabase = \"{database}\"",
            redis.url()
        ));
        Self { keys: Some(keys.to_owned()), ..plan }
    }
}

impl Cluster {
    /// Starts it all.
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// Starts it all with further tables in the configuration.
    pub(crate) async fn with(extra: &str) -> Self {
        Self::serving("", extra).await
    }

    /// Starts it all with further keys and rules of the app, and further tables.
    pub(crate) async fn serving(more: &str, extra: &str) -> Self {
        Self::shaped(|plan, _app| {
            let apps = plan.apps.replacen("[[apps.rules]]", &format!("{more}[[apps.rules]]"), 1);
            Plan { apps, ..plan }.extra(extra)
        })
        .await
    }

    /// Starts it all with a plan that `shape` changes.
    pub(crate) async fn shaped(shape: impl FnOnce(Plan, &Recorder) -> Plan) -> Self {
        let app = Recorder::start().await;
        let (redis, postgres) = (RedisServer::start(), PostgresServer::shared());
        let database = postgres.database().await;
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys.toml");
        gateway::make_keys(&keys);
        let plan = Plan::new(&app).sharing(&redis, &database, &keys);
        let plan = shape(plan, &app);
        let one = Gateway::start(&plan).await;
        let two = Gateway::start(&plan).await;
        Self { redis, app, one, two, keys, _postgres: postgres, _dir: dir }
    }
}
