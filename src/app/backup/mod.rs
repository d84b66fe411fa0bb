//! Backup and restore of the embedded account database and of the key file beside it.
//!
//! Sessions, pending logins and counters are not part of a backup: an old copy of them would bring
//! ended sessions back.

mod make;
mod manifest;
mod restore;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::make::back_up;
pub use self::manifest::Manifest;
pub use self::restore::{Restored, restore};
use super::error::AppError;
use super::here;
use super::stores::ACCOUNTS_FILE;
use crate::auth::audit::{RecordedRow, Report, Trail};
use crate::auth::keys::{KeyMaterial, KeyRing};
use crate::base::clock::SystemClock;
use crate::config::settings::{Database, Settings};
use crate::store::sql::SqlStore;

/// Name of the key file in a backup.
const KEYS_FILE: &str = "keys.toml";

/// Returns the data directory. Only embedded accounts are backed up here.
fn data_dir(settings: &Settings) -> Result<&Path, AppError> {
    match &settings.database {
        Database::Embedded(dir) => Ok(dir),
        Database::Postgres(_) => Err(AppError::Other(
            "the accounts are in PostgreSQL: back up and restore that database with its own tools, \
             such as pg_dump and pg_restore, and keep a copy of the key file"
                .to_owned(),
        )),
    }
}

fn accounts_file(dir: &Path) -> PathBuf {
    dir.join(ACCOUNTS_FILE)
}

/// Verifies the audit log of a copy, and that it still holds the row `noted`.
async fn verify(
    copy: &Path,
    keys: &KeyMaterial,
    noted: Option<&RecordedRow>,
) -> Result<Report, AppError> {
    let store = SqlStore::read_copy(copy)?;
    let audit = Arc::new(store.clone());
    let keys = Arc::new(KeyRing::new(keys)?);
    let trail = Trail::new(audit, keys, Arc::new(SystemClock::new()), here::node(), Vec::new());
    let report = trail.verify(noted).await?;
    store.close().await;
    Ok(report)
}

/// Returns an error that names a failed action on a file.
fn failed(doing: &str, path: &Path) -> impl FnOnce(std::io::Error) -> AppError {
    AppError::io(format!("failed to {doing} {}", path.display()))
}

/// Writes a directory to the disk, so that its new entries survive a power failure.
fn sync_dir(dir: &Path) -> Result<(), AppError> {
    std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("write", dir))
}

/// Copies a file to a new one that only its owner can read.
fn copy_private(from: &Path, to: &Path) -> Result<(), AppError> {
    let mut source = std::fs::File::open(from).map_err(failed("read", from))?;
    let mut target = SqlStore::create_private(to)?;
    std::io::copy(&mut source, &mut target).map_err(failed("write", to))?;
    target.sync_all().map_err(failed("write", to))
}
