//! Which adapter stands behind which port.

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
use crate::store::sql::{Found, SqlStore, SqlTarget};

/// The accounts where they are embedded, in the data directory.
pub(super) const ACCOUNTS_FILE: &str = "accounts.db";

/// The sessions where they are embedded, in the data directory.
const SESSIONS_FILE: &str = "sessions.db";

fn target(database: &Database) -> SqlTarget {
    match database {
        Database::Embedded(dir) => SqlTarget::Embedded(dir.join(ACCOUNTS_FILE)),
        Database::Postgres(url) => SqlTarget::Postgres(url.clone()),
    }
}

/// What is to be said of the account database, if anything. Nothing in it is changed.
pub(super) async fn look_at_accounts(settings: &Settings) -> Result<Option<String>, StoreError> {
    let found = SqlStore::look(&target(&settings.database)).await?;
    Ok(in_words("the account database", found))
}

/// The people of app tokens that no account is there for. None are named while the tables are still
/// to be made.
pub(super) async fn unknown_people(settings: &Settings) -> Result<Vec<String>, StoreError> {
    let target = target(&settings.database);
    let tokens = settings.proxy.apps.iter().flat_map(|app| &app.tokens);
    let mut names: Vec<String> = tokens.map(|token| token.user.to_string()).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() || SqlStore::look(&target).await? != Found::UpToDate {
        return Ok(Vec::new());
    }
    SqlStore::unknown_names(&target, &names).await
}

/// What is to be said of the session store, if anything. A file is not changed; in Redis a key is
/// written that lasts for a second, to see that it takes any.
pub(super) async fn look_at_sessions(settings: &Settings) -> Result<Option<String>, StoreError> {
    match &settings.session_store {
        SessionStore::Embedded(dir) => {
            let found = EmbeddedStore::look(&dir.join(SESSIONS_FILE)).await?;
            Ok(in_words("the session store", found))
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
        reason: format!("its CA {} cannot be read: {error}", file.display()),
    })?;
    RedisStore::open_with_ca(url, key_prefix, Some(&pem))
}

fn in_words(store: &str, found: Found) -> Option<String> {
    match found {
        Found::UpToDate => None,
        Found::NoFile => {
            Some(format!("{store} is not there yet: it will be made at the first start"))
        }
        Found::Behind(steps) => Some(format!(
            "{store} lacks {steps} of its tables or of the changes to them: the next start makes \
             them"
        )),
    }
}

/// All stores.
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
    /// Opens them; a database that does not answer is an error, a Redis that does not answer is
    /// waited for.
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
