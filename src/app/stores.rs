//! Opens the store that implements each port.

use std::path::Path;
use std::sync::Arc;

use super::base::Base;
use crate::auth::ended::RecordedEnds;
use crate::auth::ports::{
    AccessTokens, Accounts, AppAccounts, AppTokens, Attempts, Audit, Authenticators, Challenges,
    Guesses, HandOvers, Nodes, ParkedRequests, PasswordResets, PendingLogins, Recorded,
    RecoveryCodes, Refusals, SeenNetworks, Sessions, StoreError, Tickets, UsedChallenges,
};
use crate::auth::waits::RememberedWaits;
use crate::base::clock::Timestamp;
use crate::config::settings::{Database, SessionStore, Settings};
use crate::store::redis::{RedisStore, Servers};
use crate::store::sql::ephemeral::EmbeddedStore;
use crate::store::sql::{OpenSettings, SchemaState, SqlStore, SqlTarget};

/// Embedded account database, in the data directory.
pub(super) const ACCOUNTS_FILE: &str = "accounts.db";

/// Embedded session store, in the data directory.
pub(super) const SESSIONS_FILE: &str = "sessions.db";

fn target(database: &Database) -> SqlTarget {
    match database {
        Database::Embedded(dir) => SqlTarget::Embedded(dir.join(ACCOUNTS_FILE)),
        Database::Postgres(url) => SqlTarget::Postgres(url.clone()),
    }
}

/// Checks the account database and returns a remark, if any. Changes nothing.
pub(super) async fn check_accounts(settings: &Settings) -> Result<Option<String>, StoreError> {
    let found = SqlStore::look(&target(&settings.database)).await?;
    Ok(remark("the account database", found))
}

/// Returns the users of configured app tokens that have no account. Returns none if the tables are
/// missing or out of date.
pub(super) async fn unknown_users(settings: &Settings) -> Result<Vec<String>, StoreError> {
    let target = target(&settings.database);
    let tokens = settings.proxy.apps.iter().flat_map(|app| &app.tokens);
    let mut names: Vec<String> = tokens.map(|token| token.user.to_string()).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() || !SqlStore::look(&target).await?.has_tables() {
        return Ok(Vec::new());
    }
    SqlStore::unknown_names(&target, &names).await
}

/// Returns what the nodes of the cluster have recorded, or `None` if the tables are missing or out
/// of date.
pub(super) async fn recorded_nodes(
    settings: &Settings,
    now: Timestamp,
) -> Result<Option<Recorded>, StoreError> {
    let target = target(&settings.database);
    if !SqlStore::look(&target).await?.has_tables() {
        return Ok(None);
    }
    SqlStore::recorded_nodes(&target, now).await.map(Some)
}

/// Returns the number of keys that are registered with a relying party other than `rp_id`, or with any if
/// it is empty, by relying party. Returns none if the tables are missing or out of date.
pub(super) async fn orphaned_keys(
    settings: &Settings,
    rp_id: &str,
) -> Result<Vec<(String, u64)>, StoreError> {
    let target = target(&settings.database);
    if !SqlStore::look(&target).await?.has_tables() {
        return Ok(Vec::new());
    }
    SqlStore::keys_elsewhere(&target, rp_id).await
}

/// Checks the session store and returns remarks. A file is not changed. Redis gets a key
/// that expires after one second, as a test of write access.
pub(super) async fn check_sessions(settings: &Settings) -> Result<Vec<String>, StoreError> {
    match &settings.session_store {
        SessionStore::Embedded(dir) => {
            let found = EmbeddedStore::look(&dir.join(SESSIONS_FILE)).await?;
            Ok(remark("the session store", found).into_iter().collect())
        }
        SessionStore::Redis { servers, ca, key_prefix } => {
            let advice = redis(servers, ca.as_deref(), key_prefix)?.try_rights().await?;
            let told = |advice| format!("the session store (Redis): {advice}");
            Ok(advice.into_iter().map(told).collect())
        }
    }
}

fn redis(servers: &Servers, ca: Option<&Path>, key_prefix: &str) -> Result<RedisStore, StoreError> {
    let read = |file: &Path| {
        std::fs::read(file).map_err(|error| StoreError {
            store: "the session store (Redis)",
            reason: format!("failed to read its CA {}: {error}", file.display()),
        })
    };
    let pem = ca.map(read).transpose()?;
    RedisStore::open_at(servers, key_prefix, pem.as_deref())
}

fn remark(store: &str, state: SchemaState) -> Option<String> {
    match state {
        SchemaState::UpToDate => None,
        SchemaState::NoFile => {
            Some(format!("{store} does not exist yet: the first start creates it"))
        }
        SchemaState::Ahead => Some(format!(
            "{store} was migrated by a newer version, beside which this one runs: upgrade this node"
        )),
        SchemaState::Behind(steps) => Some(format!(
            "{store} lacks {steps} of its tables or schema changes: the next start makes them"
        )),
    }
}

/// The stores, by port.
pub(super) struct Stores {
    pub(super) accounts: Arc<dyn Accounts>,
    pub(super) app_accounts: Arc<dyn AppAccounts>,
    pub(super) authenticators: Arc<dyn Authenticators>,
    pub(super) recovery: Arc<dyn RecoveryCodes>,
    pub(super) guesses: Arc<dyn Guesses>,
    pub(super) audit: Arc<dyn Audit>,
    pub(super) tickets: Arc<dyn Tickets>,
    pub(super) access_tokens: Arc<dyn AccessTokens>,
    pub(super) nodes: Arc<dyn Nodes>,
    pub(super) resets: Arc<dyn PasswordResets>,
    pub(super) pending: Arc<dyn PendingLogins>,
    pub(super) sessions: Arc<dyn Sessions>,
    pub(super) app_tokens: Arc<dyn AppTokens>,
    pub(super) attempts: Arc<dyn Attempts>,
    pub(super) networks: Arc<dyn SeenNetworks>,
    pub(super) refusals: Arc<dyn Refusals>,
    pub(super) challenges: Arc<dyn Challenges>,
    pub(super) parked: Arc<dyn ParkedRequests>,
    pub(super) used_challenges: Arc<dyn UsedChallenges>,
    pub(super) hand_overs: Arc<dyn HandOvers>,
}

/// The short-lived stores, by port.
struct ShortLived {
    pending: Arc<dyn PendingLogins>,
    sessions: Arc<dyn Sessions>,
    app_tokens: Arc<dyn AppTokens>,
    attempts: Arc<dyn Attempts>,
    networks: Arc<dyn SeenNetworks>,
    refusals: Arc<dyn Refusals>,
    challenges: Arc<dyn Challenges>,
    hand_overs: Arc<dyn HandOvers>,
    parked: Arc<dyn ParkedRequests>,
}

impl ShortLived {
    fn of<S>(store: Arc<S>) -> Self
    where
        S: PendingLogins
            + Sessions
            + AppTokens
            + Attempts
            + SeenNetworks
            + Refusals
            + Challenges
            + HandOvers
            + ParkedRequests
            + 'static,
    {
        Self {
            pending: Arc::<S>::clone(&store),
            sessions: Arc::<S>::clone(&store),
            app_tokens: Arc::<S>::clone(&store),
            networks: Arc::<S>::clone(&store),
            refusals: Arc::<S>::clone(&store),
            challenges: Arc::<S>::clone(&store),
            hand_overs: Arc::<S>::clone(&store),
            parked: Arc::<S>::clone(&store),
            attempts: store,
        }
    }
}

impl Stores {
    /// Opens all stores. Returns an error if the database does not answer; waits for Redis.
    pub(super) async fn open(settings: &Settings, base: &Base) -> Result<Self, StoreError> {
        Self::open_with(settings, base, false).await
    }

    /// Opens all stores. A store that does not answer yet is no error: its operations fail until it
    /// does.
    pub(super) async fn open_or_wait(settings: &Settings, base: &Base) -> Result<Self, StoreError> {
        Self::open_with(settings, base, true).await
    }

    async fn open_with(settings: &Settings, base: &Base, wait: bool) -> Result<Self, StoreError> {
        let clock = Some(Arc::clone(&base.database_clock));
        let open = OpenSettings { pool: settings.pool, wait, clock };
        let durable = Arc::new(SqlStore::open_with(target(&settings.database), open).await?);
        let short = match &settings.session_store {
            SessionStore::Embedded(dir) => {
                ShortLived::of(Arc::new(EmbeddedStore::open(&dir.join(SESSIONS_FILE)).await?))
            }
            SessionStore::Redis { servers, ca, key_prefix } => {
                ShortLived::of(Arc::new(redis(servers, ca.as_deref(), key_prefix)?))
            }
        };
        let (ended, clock) = (Arc::<SqlStore>::clone(&durable), Arc::clone(&base.clock));
        let sessions = RecordedEnds::new(short.sessions, ended, clock, settings.sessions);
        Ok(Self {
            accounts: Arc::<SqlStore>::clone(&durable),
            app_accounts: Arc::<SqlStore>::clone(&durable),
            authenticators: Arc::<SqlStore>::clone(&durable),
            recovery: Arc::<SqlStore>::clone(&durable),
            guesses: Arc::<SqlStore>::clone(&durable),
            tickets: Arc::<SqlStore>::clone(&durable),
            access_tokens: Arc::<SqlStore>::clone(&durable),
            nodes: Arc::<SqlStore>::clone(&durable),
            resets: Arc::<SqlStore>::clone(&durable),
            used_challenges: Arc::<SqlStore>::clone(&durable),
            audit: durable,
            pending: short.pending,
            sessions: Arc::new(sessions),
            app_tokens: short.app_tokens,
            attempts: Arc::new(RememberedWaits::new(short.attempts)),
            networks: short.networks,
            refusals: short.refusals,
            challenges: short.challenges,
            hand_overs: short.hand_overs,
            parked: short.parked,
        })
    }
}
