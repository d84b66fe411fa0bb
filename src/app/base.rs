//! Keys, clock, randomness and password hashing: the dependencies that every part of the product
//! shares.

use std::path::Path;
use std::sync::Arc;

use super::error::AppError;
use super::stores::ACCOUNTS_FILE;
use crate::auth::database_clock::DatabaseClock;
use crate::auth::keys::{KeyMaterial, KeyRing};
use crate::auth::password::PasswordPool;
use crate::base::clock::{Clock, SystemClock};
use crate::base::random::{OsRandom, Random};
use crate::config::keys::{self, KeyFileError};
use crate::config::settings::Settings;

/// Dependencies that every part of the product shares.
pub(super) struct Base {
    pub(super) keys: Arc<KeyRing>,
    pub(super) clock: Arc<dyn Clock>,
    /// The same clock. It follows a database on a server once that is open.
    pub(super) database_clock: Arc<DatabaseClock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) passwords: Arc<PasswordPool>,
}

impl Base {
    /// Creates the data directory, creates the key file if all stores are embedded, and reads the
    /// keys.
    pub(super) fn open(settings: &Settings) -> Result<Self, AppError> {
        if let Some(dir) = &settings.data_dir {
            make_private_dir(dir)?;
        }
        let keys = Arc::new(KeyRing::new(&read_keys(settings)?)?);
        let random: Arc<dyn Random> = Arc::new(OsRandom::new());
        let passwords =
            PasswordPool::new(settings.passwords, Arc::clone(&keys), Arc::clone(&random));
        passwords.set_rules(settings.passwords, service_names(settings));
        let passwords = Arc::new(passwords);
        let database_clock = Arc::new(DatabaseClock::new(Arc::new(SystemClock::new())));
        let clock: Arc<dyn Clock> = Arc::<DatabaseClock>::clone(&database_clock);
        Ok(Self { keys, clock, database_clock, random, passwords })
    }
}

/// Reads the keys. Creates new ones if all stores are embedded and no key file exists, unless there
/// are accounts: without their keys, no password and no code of theirs would be accepted.
fn read_keys(settings: &Settings) -> Result<KeyMaterial, AppError> {
    let file = &settings.keys_file;
    if !settings.keys_may_be_made {
        return Ok(keys::load(file)?);
    }
    // The database is looked up first: its keys were created before it.
    let accounts = settings.data_dir.as_ref().map(|dir| dir.join(ACCOUNTS_FILE));
    let accounts = accounts.filter(|accounts| accounts.exists());
    match (keys::load(file), accounts) {
        (Err(KeyFileError::Missing(_)), Some(accounts)) => Err(AppError::Other(format!(
            "the key file {} is missing, but {} holds accounts that need it: put the key file back. \
             To start over, move the data directory away",
            file.display(),
            accounts.display()
        ))),
        _ => Ok(keys::load_or_init(file)?),
    }
}

/// Returns the words that a password may not contain: those on the sign-in page, which anyone can
/// read.
pub(super) fn service_names(settings: &Settings) -> Vec<String> {
    let titles = settings.proxy.apps.iter().map(|app| app.title.clone());
    titles.chain(settings.issuer.clone()).chain(["Vestibule".to_owned()]).collect()
}

/// Creates a directory that only its owner can read. An existing directory keeps its mode: it may
/// hold other files.
pub(super) fn make_private_dir(dir: &Path) -> Result<(), AppError> {
    use std::os::unix::fs::DirBuilderExt;
    let what = format!("failed to create the data directory {}", dir.display());
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(AppError::io(what))
}
