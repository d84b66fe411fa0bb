//! Opens the store that implements each port.

use std::path::Path;
use std::sync::Arc;

use crate::auth::ports::{
    AccessTokens, Accounts, AppAccounts, AppTokens, Attempts, Audit, Factors, Guesses,
    PasswordResets, PendingLogins, Refusals, SeenNetworks, Sessions, StoreError, Tickets,
};
use crate::auth::waits::RememberedWaits;
use crate::base::secret::Secret;
use crate::config::settings::{Database, SessionStore, Settings};
use crate::store::redis::RedisStore;
use crate::store::sql::ephemeral::EmbeddedStore;
use crate::store::sql::{SchemaState, SqlStore, SqlTarget};

/// Embedded account database, in the data directory.
pub(super) const ACCOUNTS_FILE: &str = "accounts.db";

/// Embedded session store, in the data directory.
const SESSIONS_FILE: &str = "sessions.db";

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
    if names.is_empty() || SqlStore::look(&target).await? != SchemaState::UpToDate {
        return Ok(Vec::new());
    }
    SqlStore::unknown_names(&target, &names).await
}

/// Checks the session store and returns a remark, if any. A file is not changed. Redis gets a key
/// that expires after one second, as a test of write access.
pub(super) async fn check_sessions(settings: &Settings) -> Result<Option<String>, StoreError> {
    match &settings.session_store {
        SessionStore::Embedded(dir) => {
            let found = EmbeddedStore::look(&dir.join(SESSIONS_FILE)).await?;
            Ok(remark("the session store", found))
        }
        SessionStore::Redis { url, ca, key_prefix } => {
            let note = redis(url, ca.as_deref(), key_prefix)?.try_rights().await?;
            Ok(note.map(|note| format!("the session store (Redis): {note}")))
        }
    }
}

fn redis(url: &Secret, ca: Option<&Path>, key_prefix: &str) -> Result<RedisStore, StoreError> {
    let Some(file) = ca else { return RedisStore::open(url, key_prefix) };
    let pem = std::fs::read(file).map_err(|error| StoreError {
        store: "the session store (Redis)",
        reason: format!("failed to read its CA {}: {error}", file.display()),
    })?;
    RedisStore::open_with_ca(url, key_prefix, Some(&pem))
}

fn remark(store: &str, state: SchemaState) -> Option<String> {
    match state {
        SchemaState::UpToDate => None,
        SchemaState::NoFile => {
            Some(format!("{store} does not exist yet: the first start creates it"))
        }
        SchemaState::Behind(steps) => Some(format!(
            "{store} lacks {steps} of its tables or schema changes: the next start makes them"
        )),
    }
}

/// The stores, by port.
pub(super) struct Stores {
    pub(super) accounts: Arc<dyn Accounts>,
    pub(super) app_accounts: Arc<dyn AppAccounts>,
    pub(super) factors: Arc<dyn Factors>,
    pub(super) guesses: Arc<dyn Guesses>,
    pub(super) audit: Arc<dyn Audit>,
    pub(super) tickets: Arc<dyn Tickets>,
    pub(super) access_tokens: Arc<dyn AccessTokens>,
    pub(super) resets: Arc<dyn PasswordResets>,
    pub(super) pending: Arc<dyn PendingLogins>,
    pub(super) sessions: Arc<dyn Sessions>,
    pub(super) app_tokens: Arc<dyn AppTokens>,
    pub(super) attempts: Arc<dyn Attempts>,
    pub(super) networks: Arc<dyn SeenNetworks>,
    pub(super) refusals: Arc<dyn Refusals>,
}

impl Stores {
    /// Opens all stores. Returns an error if the database does not answer; waits for Redis.
    pub(super) async fn open(settings: &Settings) -> Result<Self, StoreError> {
        let durable = Arc::new(SqlStore::open(target(&settings.database)).await?);
        let accounts = Arc::<SqlStore>::clone(&durable);
        let app_accounts = Arc::<SqlStore>::clone(&durable);
        let (factors, tickets) =
            (Arc::<SqlStore>::clone(&durable), Arc::<SqlStore>::clone(&durable));
        let resets = Arc::<SqlStore>::clone(&durable);
        let guesses = Arc::<SqlStore>::clone(&durable);
        let access_tokens = Arc::<SqlStore>::clone(&durable);
        let audit = durable;
        match &settings.session_store {
            SessionStore::Embedded(dir) => {
                let store = Arc::new(EmbeddedStore::open(&dir.join(SESSIONS_FILE)).await?);
                Ok(Self {
                    accounts,
                    app_accounts,
                    factors,
                    guesses,
                    audit,
                    tickets,
                    access_tokens,
                    resets,
                    pending: Arc::<EmbeddedStore>::clone(&store),
                    sessions: Arc::<EmbeddedStore>::clone(&store),
                    app_tokens: Arc::<EmbeddedStore>::clone(&store),
                    refusals: Arc::<EmbeddedStore>::clone(&store),
                    networks: Arc::<EmbeddedStore>::clone(&store),
                    attempts: Arc::new(RememberedWaits::new(store)),
                })
            }
            SessionStore::Redis { url, ca, key_prefix } => {
                let store = Arc::new(redis(url, ca.as_deref(), key_prefix)?);
                Ok(Self {
                    accounts,
                    app_accounts,
                    factors,
                    guesses,
                    audit,
                    tickets,
                    access_tokens,
                    resets,
                    pending: Arc::<RedisStore>::clone(&store),
                    sessions: Arc::<RedisStore>::clone(&store),
                    app_tokens: Arc::<RedisStore>::clone(&store),
                    refusals: Arc::<RedisStore>::clone(&store),
                    networks: Arc::<RedisStore>::clone(&store),
                    attempts: Arc::new(RememberedWaits::new(store)),
                })
            }
        }
    }
}
