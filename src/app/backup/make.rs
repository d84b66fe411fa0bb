//! `vestibule backup`

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use super::{AppError, KEYS_FILE, Manifest, accounts_file, copy_private, data_dir, failed};
use super::{sync_dir, verify};
use crate::auth::keys::{KeyMaterial, KeyRing};
use crate::base::clock::{Clock, SystemClock};
use crate::config::keys;
use crate::config::settings::Settings;
use crate::store::sql::SqlStore;

/// Writes a backup to `dir`, which must be empty or missing, while other processes serve. The key
/// file is part of it if it lies in the data directory and `with_keys` is true.
pub async fn back_up(
    settings: &Settings,
    dir: &Path,
    with_keys: bool,
) -> Result<Manifest, AppError> {
    let data = data_dir(settings)?;
    let material = keys::load(&settings.keys_file)?;
    claim(dir)?;
    let with_keys = with_keys && settings.keys_file.parent() == Some(data);
    let made = write(settings, dir, with_keys, &material).await;
    if made.is_err() {
        // The error of the backup counts, not one of the removal.
        drop(fs::remove_dir_all(dir));
    }
    made
}

async fn write(
    settings: &Settings,
    dir: &Path,
    with_keys: bool,
    material: &KeyMaterial,
) -> Result<Manifest, AppError> {
    let copy = accounts_file(dir);
    let rows = SqlStore::copy_file(&accounts_file(data_dir(settings)?), &copy).await?;
    if with_keys {
        copy_private(&settings.keys_file, &dir.join(KEYS_FILE))?;
    }
    let now = SystemClock::new().now().rfc3339();
    let mut manifest = Manifest::of(dir, rows, now, with_keys)?;
    let report = verify(&copy, material, None).await?;
    manifest.audit_row = report.last;
    manifest.audit_hash = report.hash;
    manifest.audit_intact = report.findings.is_empty();
    manifest.sign(&KeyRing::new(material)?)?;
    manifest.write(dir)?;
    sync_dir(dir)?;
    Ok(manifest)
}

/// Creates the directory of a backup (0700), or takes an empty one. Never takes one that holds
/// anything.
fn claim(dir: &Path) -> Result<(), AppError> {
    if let Ok(mut entries) = fs::read_dir(dir) {
        if entries.next().is_some() {
            return Err(AppError::Other(format!(
                "{} is not empty: a backup overwrites nothing, name a new directory",
                dir.display()
            )));
        }
        // It may be a mount point, which cannot be removed.
        let private = fs::Permissions::from_mode(0o700);
        return fs::set_permissions(dir, private).map_err(failed("write", dir));
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(failed("create", parent))?;
    }
    // Fails if another process created it first.
    fs::DirBuilder::new().mode(0o700).create(dir).map_err(failed("create", dir))
}
